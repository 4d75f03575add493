#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev run and ./dev shell: fathom's main job, on the machine's own containers or on demonstration ones."""
import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from runtimes import Docker, die_with_parent  # noqa: E402
from support import fathom_binary, tool  # noqa: E402

SECONDS = 10
OUTPUT = "fathom-profile.html"

# Name, what it is known to do, command, options.
DEMO = (
    ("web", "burns CPU, 75 % in three_quarters() and 25 % in one_quarter()", ("split7525",), {}),
    ("capped", "the same work, but with a quota of half a CPU", ("split7525",), {"cpus": 0.5}),
    ("waiter", "mostly waits: sleeps, and writes 8 MiB through to the disk",
     ("sh", "-c", "while :; do dd if=/dev/zero of=/tmp/data bs=1M count=8 conv=fsync 2>/dev/null; sleep 0.2; done"), {}),
)


def start_demo(docker):
    names = []
    for name, does, command, options in DEMO:
        container = docker.run(name, *command, **options)
        names.append(container.name)
        print(f"started {container.name}: {does}", file=sys.stderr)
    return names


def run_to_end(*command, **options):
    """Ctrl-C ends the child early, with a valid result; this process then goes on to clean up."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def prepare():
        signal.signal(signal.SIGINT, before)
        die_with_parent()
    try:
        child = subprocess.Popen([str(c) for c in command], preexec_fn=prepare, **options)
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def profile(targets):
    output = Path(OUTPUT).resolve()
    status = run_to_end(fathom_binary(), "profile", *targets, "-d", SECONDS, "--by", "process", "-o", output)
    if output.exists() and status in (0, 3):
        print(f"flame graph: {output} (open it in a browser)")
    return status


def serve(arguments):
    """The agent, until Ctrl-C: its link is on the terminal."""
    print("the agent: open the link in a browser; Ctrl-C ends it (./dev run --once: ten seconds into one page)",
          file=sys.stderr)
    return run_to_end(fathom_binary(), "serve", *arguments)


def shell(docker, wanted):
    names = start_demo(docker)
    name = next((n for n in names if n.startswith(wanted)), None)
    if not name:
        sys.exit(f"no demonstration container is called {wanted}: {', '.join(n for n, *_ in DEMO)}")
    print(f"inside {name}; from another terminal try: sudo {fathom_binary()} walltime {name}; exit ends it all",
          file=sys.stderr)
    return run_to_end(tool("docker"), "exec", "-it", name, "/bin/sh", env=docker.env)


def main():
    parser = argparse.ArgumentParser(prog="./dev run")
    parser.add_argument("--demo", action="store_true", help="with demonstration containers, removed afterwards")
    parser.add_argument("--once", action="store_true", help="profile for ten seconds into one page instead of serving")
    parser.add_argument("--shell", nargs="?", const="web", metavar="NAME", help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if rest and (arguments.once or arguments.shell):
        parser.error(f"unknown: {rest[0]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    if not (arguments.demo or arguments.shell):
        return profile(["busiest"]) if arguments.once else serve(rest)
    with Docker() as docker:
        if arguments.shell:
            return shell(docker, arguments.shell)
        names = start_demo(docker)
        return profile(names) if arguments.once else serve(rest)


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
