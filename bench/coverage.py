#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many stacks reach their thread's first function, by fathom's own ledger: programs in the languages people run, one
after another, first running (fathom profile), then waiting (fathom offcpu). What the machine has no compiler or interpreter of is left out.
With --guest: the same programs and interpreters on one of Debian's kernels, in an emulated machine that boots from them."""
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
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/kernel"))
from stacks import clang_of_a_large_file, hard  # noqa: E402
from support import ROOT, fathom_binary, run  # noqa: E402

PROGRAMS = ROOT / "tests/programs"
HZ = 499
SETTLE_S = 2  # interpreters and virtual machines start
# An emulated processor is slow, and so are its clock's interrupts.
GUEST_HZ = 99
GUEST_SETTLE_S = 25
GUEST_MEMORY_MIB = 5120
GUEST_DEADLINE_S = 1800
GUEST_TREES = ["/usr/lib/python3.11", "/usr/lib/ruby", "/usr/lib/x86_64-linux-gnu/ruby"]
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


def measurements(work):
    """(title, name, command, fathom's options) of each."""
    for title, commands, options in (("on CPU, samples", running(work), ["profile"]), ("blocked, s", waiting(work), ["offcpu"])):
        for name, command in commands.items():
            yield title, name, [str(word) for word in command], options


def alone(name, command, options, settle_s):
    """(complete, all, lost) of one program."""
    with tempfile.TemporaryDirectory() as directory:
        capture = Path(directory) / "c.json"
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(settle_s)
            if child.poll() is not None:
                sys.exit(f"{name}: has ended, status {child.returncode}")
            done = subprocess.run([fathom_binary(), *options, str(child.pid), "-q", "-o", capture], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
            if done.returncode not in (0, 3):
                sys.exit(f"{name}: {done.stderr}")
        finally:
            child.kill()
            child.wait()
        ledger = json.loads(capture.read_text())["shapes"][0]["ledger"]
    ends = [process["stacks"] for process in ledger.get("processes", [])]
    lost = sum(count for item, count in ledger.get("lost", {}).items() if isinstance(count, int))
    return sum(end.get("complete", 0) for end in ends), sum(sum(end.values()) for end in ends), lost


def measure(title, name, command, options, seconds, hz, settle_s):
    more = ["-F", str(hz)] if options[0] == "profile" else []
    whole, total, lost = alone(name, command, [*options, *more, "-d", str(seconds)], settle_s)
    unit = 1e9 if options[0] == "offcpu" else 1
    print(f"{title:<18}{name:<32}{whole / unit:>10.4g} of {total / unit:<10.4g}{100 * whole / max(1, total):>7.2f} %", flush=True)


def add_runtimes(image, work):
    """Everything the commands need, at the same places as here."""
    for program in ("/usr/bin/python3", "node", "ruby", "php"):
        if shutil.which(program):
            image.add_program(os.path.realpath(shutil.which(program)), shutil.which(program))
    for tree in GUEST_TREES:
        if os.path.isdir(tree):
            image.add_tree(tree, tree)
    for encoding in Path("/usr/lib/x86_64-linux-gnu/ruby").rglob("*.so") if shutil.which("ruby") else ():
        image.add_program(encoding, encoding)
    if shutil.which("java"):
        home = Path(os.path.realpath(shutil.which("java"))).parent.parent
        for part in ("lib", "conf"):
            run("mkdir", "-p", f"{image.root}{home}")
            run("cp", "-aL", home / part, f"{image.root}{home}/", check=False)  # what a package left out is a dangling link
        for library in (home / "lib").glob("*.so"):
            image.add_program(library, library)
        image.add_program(home / "bin/java", home / "bin/java")
        (image.root / "usr/bin/java").symlink_to(home / "bin/java")
    clang = run("clang", "-print-prog-name=clang").stdout.strip()
    image.add_program(clang, clang)
    for tree in (work, ROOT / "tests/programs", ROOT / "tests/support.py", ROOT / "bench"):
        image.add_tree(tree, tree)
    for program in [p for p in work.iterdir() if p.is_file() and os.access(p, os.X_OK)]:
        image.add_program(program, program)


def in_guest(series, seconds, only):
    """The same on another kernel: what each measurement printed there, and whether it worked."""
    import guest  # it needs an emulator, which who measures here need not have

    kernel = guest.Kernel.fetch(series, fathom_binary().parents[2] / "kernels")
    with tempfile.TemporaryDirectory(prefix="fathom-guest-", dir="/var/tmp") as directory:
        work = Path(directory) / "work"
        work.mkdir()
        rows = [row for row in measurements(work) if not only or any(word in row[1] for word in only)]
        # The guest has no headers.
        if any("clang" in row[1] for row in rows):
            run("clang", "-E", "-o", work / "large.ii", work / "large.cc")
            (work / "large.cc").unlink()
        for _, name, command, _ in rows:
            if "clang" in name:
                command[:] = [w.replace("large.cc", "large.ii") if w != "c++" else "c++-cpp-output" for w in command]
        (work / "rows.json").write_text(json.dumps(rows))
        image = guest.Initramfs(Path(directory) / "root")
        image.add_program(fathom_binary(), "/usr/bin/fathom")
        add_runtimes(image, work)
        ask = f"FATHOM_BINARY=/usr/bin/fathom /usr/bin/python3 {ROOT}/bench/coverage.py -s {seconds} --rows {work}/rows.json --row"
        archive = Path(directory) / "initrd"
        image.pack(kernel, guest.script([(f"row{i}", f"{ask} {i}") for i in range(len(rows))]), archive)
        run("rm", "-rf", image.root)
        guest.MEMORY_MIB = GUEST_MEMORY_MIB
        answers, ready_s = guest.boot(kernel, archive, directory, GUEST_DEADLINE_S)
    print(f"Linux {kernel.release}, emulated, up after {ready_s:.0f} s")
    for i, (title, name, _, _) in enumerate(rows):
        print(answers[f"row{i}"].text.rstrip() if answers[f"row{i}"].status == 0 else f"{title:<18}{name:<32}failed: {answers[f'row{i}'].text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-s", "--seconds", type=int, default=4)
    parser.add_argument("-g", "--guest", action="append", metavar="SERIES", help="on this kernel instead: 6.1, 6.12; may be repeated")
    parser.add_argument("-o", "--only", action="append", help="only programs with this in their name; may be repeated")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # in the guest: all measurements,
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)  # and which of them
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    if arguments.rows:
        measure(*json.loads(arguments.rows.read_text())[arguments.row], arguments.seconds, GUEST_HZ, GUEST_SETTLE_S)
        return
    for series in arguments.guest or ():
        in_guest(series, arguments.seconds, arguments.only)
    if arguments.guest:
        return
    with tempfile.TemporaryDirectory() as directory:
        for row in measurements(Path(directory)):
            if not arguments.only or any(word in row[1] for word in arguments.only):
                measure(*row, arguments.seconds, HZ, SETTLE_S)


if __name__ == "__main__":
    main()
