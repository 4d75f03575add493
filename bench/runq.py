#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching run queues costs: a pipe ping-pong on one CPU, alone and beside libbpf-tools' runqlat, fathom's runq and
blame. Interleaved rounds; the ratio of each round is to the run alone in the same round. The last column is what
is added, as a share of what runqlat adds.
"""
import argparse
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402
from offcpu import Tool, pingpong, run_time  # noqa: E402


def tools():
    binary = str(support.build_dir() / "src/cli/fathom")
    found = {"fathom runq": [binary, "latency", "runq", "-q", "-d", "1000", "--json"],
             "fathom blame": [binary, "blame", "cpu", "-q", "-d", "1000", "--json"]}
    try:
        return {"runqlat": [support.tool("runqlat"), "1000"], **found}
    except support.Missing:
        print("runqlat is not installed (libbpf-tools): measured without it", file=sys.stderr)
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("-l", "--loops", type=int, default=150000)
    parser.add_argument("-c", "--cpu", type=int, default=os.cpu_count() - 1)
    parser.add_argument("-R", "--realtime", action="store_true",
                        help="the ping-pong runs with real-time priority, so that a busy machine disturbs it less")
    options = parser.parse_args()
    if options.realtime:
        plain = support.run
        support.run = lambda *command, **more: plain(*(("chrt", "-f", "50") if command[0] == "taskset" else ()), *command, **more)
    alone, beside = [], {name: [] for name in tools()}
    for _ in range(options.rounds):
        alone.append(pingpong(options.cpu, options.loops))
        for name, command in tools().items():
            with Tool(command):
                beside[name].append(pingpong(options.cpu, options.loops))
    peer = [with_tool / base - 1 for with_tool, base in zip(beside.get("runqlat", []), alone)]
    print(f"{'':16} {'us/round trip':>14} {'ratio':>7} {'min..max':>13} {'BPF ns/switch':>14} {'runs/switch':>12} {'of runqlat':>11}")
    print(f"{'alone':16} {statistics.median(alone):14.3f}")
    for name, command in tools().items():
        ratios = [with_tool / base for with_tool, base in zip(beside[name], alone)]
        ns, runs = run_time(command, options.cpu, options.loops)
        share = (statistics.median(ratios) - 1) / statistics.median(peer) if peer else float("nan")
        print(f"{name:16} {statistics.median(beside[name]):14.3f} {statistics.median(ratios):7.3f} "
              f"{min(ratios):6.2f}..{max(ratios):5.2f} {ns / 2:14.0f} {runs / 2:12.2f} {share:11.2f}", flush=True)


if __name__ == "__main__":
    main()
