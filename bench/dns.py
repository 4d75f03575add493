#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching DNS costs: somebody who asks one question after the other and a resolver on loopback, alone and beside
fathom dns, in interleaved rounds and a network namespace of their own; and what the programs take for packets that are
no DNS (TCP connections, opened and closed)."""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402
from offcpu import STATS, Tool, programs  # noqa: E402

NAMESPACE = "FATHOM_BENCH_NETNS"
RESOLVER = "127.0.0.1"


def compiled(directory, name):
    program = Path(directory) / name
    subprocess.run(["cc", "-O2", "-static", "-pthread", "-o", program, support.ROOT / f"tests/programs/{name}.c"],
                   check=True, stderr=subprocess.DEVNULL)
    return program


def questions(program, seconds):
    """Questions a second."""
    done = subprocess.run([program, "rate", RESOLVER, str(seconds)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def run_time(command, load):
    """(ns, runs) of all its programs while `load` runs, with the kernel's statistics on; and what `load` returns."""
    STATS.write_text("1")
    try:
        with Tool(command) as tool:
            before = programs(tool.process.pid)
            result = load()
            after = programs(tool.process.pid)
    finally:
        STATS.write_text("0")
    grown = [[after[i][at] - before.get(i, (0, 0))[at] for at in (0, 1)] for i in after]
    return sum(ns for _, ns in grown), sum(runs for runs, _ in grown), result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-s", "--seconds", type=float, default=2)
    options = parser.parse_args()
    if NAMESPACE not in os.environ:
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, NAMESPACE: "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    watcher = [str(support.fathom_binary()), "dns", "-d", "600"]
    with tempfile.TemporaryDirectory() as directory:
        asker, talker = compiled(directory, "dnsload"), compiled(directory, "tcpload")
        resolver = subprocess.Popen([asker, "serve", RESOLVER])
        try:
            questions(asker, 0.5)
            alone, ratios = [], []
            for _ in range(options.rounds):
                alone.append(questions(asker, options.seconds))
                with Tool(watcher):
                    ratios.append(questions(asker, options.seconds) / alone[-1])
            ns, _, rate = run_time(watcher, lambda: questions(asker, options.seconds))
            other_ns, runs, _ = run_time(watcher, lambda: subprocess.run([talker, "rate", str(options.seconds)], check=True,
                                                                         stdout=subprocess.DEVNULL))
        finally:
            resolver.kill()
            resolver.wait()
    print(f"questions/s alone {statistics.median(alone):.0f}, beside fathom dns {statistics.median(ratios):.3f} of that "
          f"({min(ratios):.2f}..{max(ratios):.2f})")
    print(f"BPF ns per question with its answer, both ends: {ns / (rate * options.seconds):.0f}")
    print(f"BPF ns per packet that is no DNS: {other_ns / runs:.0f}")


if __name__ == "__main__":
    main()
