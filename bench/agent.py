#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom serve costs with N containers at 1 s, beside netdata in the same minutes; what a scrape takes.

Figures are of all processes of each, those that run on and those that run for some of the time; beside them those of the agent's first one
alone. Memory of several: RSS counts what they share once for each, PSS once.
"""
import argparse
import gzip
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "tests"),
                str(Path(__file__).resolve().parent.parent / "tests/containers")]
import runtimes  # noqa: E402
from agent_client import Agent  # noqa: E402
from top import SETTLE_S, STATS, bpf_s, exact_cpu_s, family, family_share, living, measure_netdata, memory_kib  # noqa: E402

SCRAPES = 20
HOLD = "tcpload serve 127.0.0.1 7000 & until tcpload connect 127.0.0.1 7000 1 | grep -q 'done 0'; do sleep 0.1; done; tcpload hold 127.0.0.1 7000 {count}"


def measure_agent(seconds):
    with tempfile.TemporaryDirectory(prefix="fathom-agent-") as directory:
        agent = Agent(directory).start()
        try:
            time.sleep(SETTLE_S)
            pid = agent.process.pid
            before, began = (exact_cpu_s(pid), bpf_s(pid)), time.monotonic()
            cpu, bpf = family_share(pid, seconds)
            elapsed = time.monotonic() - began
            memory = living(family(pid), memory_kib)
            first = {"cpu": (exact_cpu_s(pid) - before[0]) / elapsed * 100, "bpf": (bpf_s(pid) - before[1]) / elapsed * 100, **memory_kib(pid)}
            found = {"cpu": cpu, "bpf": bpf, **{key: sum(m[key] for m in memory) for key in ("Rss", "Pss")},
                     **{f"first_{key}": value for key, value in first.items()}, "maps": agent.json("/api/self")["map_bytes"] / 1024}
            took = []
            for _ in range(SCRAPES):
                began = time.monotonic()
                body = agent.request("GET", "/metrics")[2]
                took.append((time.monotonic() - began) * 1000)
            return {**found, "scrape_ms": statistics.median(took), "scrape_kb": len(body) / 1000,
                    "packed_kb": len(gzip.compress(body)) / 1000}
        finally:
            agent.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--containers", type=int, default=50)
    parser.add_argument("-c", "--connections", type=int, default=500)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=int, default=20)
    options = parser.parse_args()
    results = {"fathom serve": [], "netdata": []}
    with runtimes.Docker() as docker:
        print(f"starting {options.containers} containers", file=sys.stderr)
        for i in range(options.containers):
            docker.run(f"c{i}", "sh", "-c", HOLD.format(count=options.connections // options.containers))
        stats = STATS.read_text()
        STATS.write_text("1")
        try:
            for _ in range(options.rounds):
                results["fathom serve"].append(measure_agent(options.seconds))
                results["netdata"].append(measure_netdata(options.seconds))
        finally:
            STATS.write_text(stats)
    print(f"\n{options.containers} idle containers with {options.connections} open connections, 1 s, {options.rounds} rounds of {options.seconds} s; medians\n")
    print("| | CPU % of a core | of BPF programs | RSS MiB | PSS MiB | kernel maps MiB | /metrics ms | kB | kB as gzip |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, measured in results.items():
        value = {key: statistics.median(m[key] for m in measured) for key in measured[0]}
        print(f"| {name} | {value['cpu']:.2f} | {value['bpf']:.3f} | {value['Rss'] / 1024:.1f} | {value['Pss'] / 1024:.1f} | "
              f"{value.get('maps', 0) / 1024:.1f} | {value.get('scrape_ms', 0):.2f} | {value.get('scrape_kb', 0):.0f} | "
              f"{value.get('packed_kb', 0):.0f} |")
        if "first_cpu" in value:
            print(f"| … its first process alone | {value['first_cpu']:.2f} | {value['first_bpf']:.3f} | {value['first_Rss'] / 1024:.1f} | {value['first_Pss'] / 1024:.1f} | | | | |")


if __name__ == "__main__":
    main()
