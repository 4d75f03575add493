#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching TCP connections costs: a server and a client on loopback opening and closing connections as fast as
they can, alone and beside libbpf-tools' tcplife and tcpstates and fathom connections. Interleaved rounds, in a network
namespace of its own (elsewhere connection tracking would fill up); the rate beside a tool is given as a share of the
rate alone in the same round.
"""
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


def tools():
    found = {}
    for name in ("tcplife", "tcpstates"):
        try:
            found[name] = [support.tool(name)]
        except support.Missing:
            print(f"{name} is not installed (libbpf-tools): measured without it", file=sys.stderr)
    found["fathom connections"] = [str(support.fathom_binary()), "connections", "-d", "600"]
    return found


def load(program, seconds):
    """Connections a second, and how many."""
    words = subprocess.run([program, "rate", str(seconds)], check=True, capture_output=True, text=True).stdout.split()
    return float(words[0]), int(words[2])


def run_time(command, program, seconds):
    """ns of all its programs per connection, both ends, with the kernel's statistics on."""
    STATS.write_text("1")
    try:
        with Tool(command) as tool:
            before = programs(tool.process.pid)
            _, count = load(program, seconds)
            after = programs(tool.process.pid)
    finally:
        STATS.write_text("0")
    return sum(after[i][1] - before.get(i, (0, 0))[1] for i in after) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-s", "--seconds", type=float, default=2)
    options = parser.parse_args()
    if NAMESPACE not in os.environ:
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, NAMESPACE: "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "tcpload"
        subprocess.run(["cc", "-O2", "-static", "-pthread", "-o", program,
                        support.ROOT / "tests/programs/tcpload.c"], check=True)
        alone, beside = [], {name: [] for name in tools()}
        load(program, 0.5)
        for _ in range(options.rounds):
            alone.append(load(program, options.seconds)[0])
            for name, command in tools().items():
                with Tool(command):
                    beside[name].append(load(program, options.seconds)[0])
        print(f"{'':20} {'connections/s':>14} {'of alone':>9} {'min..max':>13} {'BPF ns/connection':>18}")
        print(f"{'alone':20} {statistics.median(alone):14.0f}")
        for name, command in tools().items():
            ratios = [rate / base for rate, base in zip(beside[name], alone)]
            ns = run_time(command, program, options.seconds)
            print(f"{name:20} {statistics.median(beside[name]):14.0f} {statistics.median(ratios):9.3f} "
                  f"{min(ratios):6.2f}..{max(ratios):5.2f} {ns:18.0f}", flush=True)


if __name__ == "__main__":
    main()
