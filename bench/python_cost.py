#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a sample of a Python program costs by the depth of its Python stack: BPF time per sample from the kernel's own
run-time statistics, each depth with its Python frames and, beside it, without them (fathom profile --kernel: no user half
at all). Rounds are interleaved; figures are medians. INTERPRETER: which CPython (Debian's python3.11)."""
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support import ROOT, fathom_binary  # noqa: E402

STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
DEPTHS = (5, 30, 60, 120)
HERTZ = 999


def spent(pid):
    """BPF ns of the sampling program that the process holds, so far; 0: not loaded yet."""
    total = 0
    for entry in Path(f"/proc/{pid}/fdinfo").glob("*"):
        try:
            fields = dict(line.split(":", 1) for line in entry.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        total += int(fields.get("run_time_ns", 0))
    return total


def measure(interpreter, depth, seconds, directory, *options):
    """BPF ns, all ticks of the machine together, per sample of the program."""
    program = subprocess.Popen([interpreter, ROOT / "tests/programs/split.py", f"deep{depth}", "600"])
    output = Path(directory) / "p.folded"
    fathom = subprocess.Popen([fathom_binary(), "profile", str(program.pid), "-q", "-d", str(seconds), "-F", str(HERTZ), "-o",
                               output, *options], stderr=subprocess.DEVNULL)
    last = 0
    try:
        while fathom.poll() is None:
            last = max(last, spent(fathom.pid))
            time.sleep(0.02)
    finally:
        fathom.wait(60)
        program.kill()
        program.wait()
    return last / max(1, sum(int(line.rpartition(" ")[2]) for line in output.read_text().splitlines()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-d", "--seconds", type=float, default=4)
    parser.add_argument("interpreter", nargs="?", default="/usr/bin/python3.11")
    arguments = parser.parse_args()
    found = {}
    old = STATS.read_text()
    STATS.write_text("1")
    try:
        with tempfile.TemporaryDirectory() as directory:
            for _ in range(arguments.rounds):
                for depth in DEPTHS:
                    for name, options in (("python", ()), ("kernel half", ("--kernel",))):
                        found.setdefault((depth, name), []).append(
                            measure(arguments.interpreter, depth, arguments.seconds, directory, *options))
    finally:
        STATS.write_text(old)
    print(f"{arguments.interpreter}: BPF ns per sample (medians of {arguments.rounds}; ticks of other tasks included)")
    for depth in DEPTHS:
        both = {name: statistics.median(found[depth, name]) for name in ("python", "kernel half")}
        print(f"  {depth:4} calls deep: {both['python']:8.0f}   without the user half {both['kernel half']:8.0f}")


main()
