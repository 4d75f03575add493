#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each part of fathom serve takes of a program that does nothing but system calls and packets: CPU time of a round trip.

bench/roundtrip.c, pinned to one CPU, never stops; the agent runs beside it with parts off (--off) in turns, and between any two turns
nothing runs. Told are the mean of a turn (what is on for part of the time counts with its part), and its tenth percentile: what is
always on. CPU time of one thread is little disturbed by what else the machine does.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "tests"),
                str(Path(__file__).resolve().parent.parent / "tests/containers")]
import runtimes  # noqa: E402
from agent_client import Agent  # noqa: E402
from support import tool  # noqa: E402

PARTS = ("profile", "fs", "dns", "exec", "connections", "block", "runq", "oom")
UNBOUNDED = ("--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0")
SETTLE_S = 3.5


class Trips:
    """The program, and what it has said."""

    def __init__(self, directory, cpu):
        binary = Path(directory) / "roundtrip"
        subprocess.run([tool("cc"), "-O2", "-o", binary, Path(__file__).with_name("roundtrip.c")], check=True)
        self.said = Path(directory) / "said"
        self.process = subprocess.Popen([binary, str(cpu)], stdin=subprocess.DEVNULL, stdout=open(self.said, "w"), preexec_fn=runtimes.die_with_parent)

    def turn(self, seconds):
        """Mean and tenth percentile of a trip, ns."""
        began = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        rows = [[float(word) for word in line.split()] for line in self.said.read_text().splitlines()[:-1]]
        trips = [ns for at, ns in rows if began < at <= ended]
        return statistics.mean(trips), statistics.quantiles(trips, n=10)[0]

    def close(self):
        self.process.kill()
        self.process.wait()


def variants(only, less):
    """Name → arguments of the agent; None: no agent."""
    found = {"alone": None, "all": ()}
    if only:
        found["gauges alone"] = [word for part in PARTS for word in ("--off", part)]
        found.update({f"{part} alone": [word for other in PARTS if other != part for word in ("--off", other)] for part in PARTS})
    if less:
        found.update({f"without {part}": ("--off", part) for part in PARTS})
    found["no kernel programs"] = ("--no-bpf", "--off", "profile")
    return found


def turn(trips, arguments, seconds):
    if arguments is None:
        time.sleep(0.5)
        return trips.turn(seconds)
    with tempfile.TemporaryDirectory(prefix="fathom-parts-") as directory:
        agent = Agent(directory, *UNBOUNDED, *arguments).start()
        try:
            time.sleep(SETTLE_S)
            return trips.turn(seconds)
        finally:
            agent.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=float, default=6, help="of a turn")
    parser.add_argument("--only", action="store_true", help="each part alone, too")
    parser.add_argument("--less", action="store_true", help="all but one part, too")
    parser.add_argument("-v", "--variant", action="append", help="these alone")
    parser.add_argument("--cpu", type=int, default=1)
    options = parser.parse_args()
    turns = {name: arguments for name, arguments in variants(options.only, options.less).items()
             if not options.variant or name in options.variant or name == "alone"}
    found = {name: [] for name in turns}
    with tempfile.TemporaryDirectory(prefix="fathom-parts-") as directory:
        trips = Trips(directory, options.cpu)
        try:
            time.sleep(1)
            for _ in range(options.rounds):
                for name, arguments in turns.items():
                    if arguments is None:
                        continue
                    before = turn(trips, None, options.seconds / 3)
                    got = turn(trips, arguments, options.seconds)
                    after = turn(trips, None, options.seconds / 3)
                    alone = [(a + b) / 2 for a, b in zip(before, after)]
                    found["alone"].append(alone)
                    found[name].append([got[i] - alone[i] for i in range(2)])
        finally:
            trips.close()
    alone = statistics.median(a[0] for a in found.pop("alone"))
    print(f"alone: {alone:.0f} ns a round trip (two packets, four system calls)\n\n| | added, ns, mean (each) | of a trip | always (tenth percentile) |\n|---|---|---|---|")
    for name, rows in found.items():
        means = [row[0] for row in rows]
        print(f"| {name} | {statistics.median(means):.0f} ({', '.join(f'{m:.0f}' for m in means)}) | {statistics.median(means) / alone * 100:.2f} % | "
              f"{statistics.median(row[1] for row in rows):.0f} |", flush=True)


if __name__ == "__main__":
    main()
