#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many stacks reach their thread's first function, by fathom's own ledger: programs in the languages people run, one
after another, first running (fathom profile), then waiting (fathom offcpu). What the machine has no compiler or interpreter of is left out."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from stacks import clang_of_a_large_file, hard  # noqa: E402
from support import ROOT, fathom_binary, run  # noqa: E402

PROGRAMS = ROOT / "tests/programs"
HZ = 499
GO = {**os.environ, "GO111MODULE": "off", "GOFLAGS": ""}
SCRIPTS = {"python3": ("py", "/usr/bin/python3"), "node": ("js", "node"), "ruby": ("rb", "ruby"), "php": ("php", "php")}


def rust(work, name):
    run("rustc", "-O", "-o", work / f"{name}-rust", PROGRAMS / f"{name}.rs", timeout=120)
    return [work / f"{name}-rust"]


def go(work, name):
    run("go", "build", "-ldflags=-s -w", "-o", work / f"{name}-go", PROGRAMS / f"{name}.go", timeout=300, env=GO)
    return [work / f"{name}-go"]


def java(work):
    run("javac", "-d", work, PROGRAMS / "Busy.java", timeout=120)
    return ["java", "-Xmx64m", "-XX:+PreserveFramePointer", "-cp", work, "Busy"]


def script(name, language):
    suffix, program = SCRIPTS[language]
    path = next(p for p in (PROGRAMS / f"{stem}.{suffix}" for stem in name) if p.exists())
    return [program, path, *(["mixed"] if path.name == "split.py" else [])]


def running(work):
    """Name → command of what uses the CPU."""
    commands = {"C -O2 -fomit-frame-pointer": hard(work), "clang, a large file": clang_of_a_large_file(work)}
    for language in SCRIPTS:
        if shutil.which(SCRIPTS[language][1]):
            commands[language] = script(("split", "spin"), language)
    for language, needed, build in (("Rust", "rustc", lambda: rust(work, "split")), ("Go, stripped", "go", lambda: go(work, "split")),
                                    ("Java, PreserveFramePointer", "javac", lambda: java(work))):
        if shutil.which(needed):
            commands[language] = build()
    return commands


def waiting(work):
    """Name → command of what waits: for time, locks, pipes."""
    run("cc", "-O2", "-pthread", "-fomit-frame-pointer", "-o", work / "rest", PROGRAMS / "deeprest.c", timeout=60)
    commands = {"C -O2 -fomit-frame-pointer": [work / "rest"]}
    for language in SCRIPTS:
        if shutil.which(SCRIPTS[language][1]):
            commands[language] = script(("naps",), language)
    for language, needed, build in (("Rust", "rustc", lambda: rust(work, "naps")), ("Go, stripped", "go", lambda: go(work, "naps")),
                                    ("Java, PreserveFramePointer", "javac", lambda: java(work))):
        if shutil.which(needed):
            commands[language] = build()
    return commands


def alone(work, name, command, options):
    """(complete, all) of one program."""
    child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2) # interpreters and virtual machines start
        done = subprocess.run([fathom_binary(), *options, str(child.pid), "-q", "-o", work / "c.json"], stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode not in (0, 3):
            sys.exit(f"{name}: {done.stderr}")
    finally:
        child.kill()
        child.wait()
    ends = [process["stacks"] for process in json.loads((work / "c.json").read_text())["shapes"][0]["ledger"].get("processes", [])]
    return sum(end.get("complete", 0) for end in ends), sum(sum(end.values()) for end in ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-s", "--seconds", type=int, default=4)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for title, commands, options in (("on CPU, samples", running(work), ["profile", "-F", str(HZ)]),
                                         ("blocked, s", waiting(work), ["offcpu"])):
            for name, command in commands.items():
                whole, total = alone(work, name, command, [*options, "-d", str(arguments.seconds)])
                unit = 1e9 if options[0] == "offcpu" else 1
                print(f"{title:<18}{name:<32}{whole / unit:>10.4g} of {total / unit:<10.4g}{100 * whole / max(1, total):>7.2f} %", flush=True)


if __name__ == "__main__":
    main()
