#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often fathom blame names the planted culprit first. Three neighbours burn CPU; in each run one of them, drawn by
lot, is put on the victim's CPU and the others on another one. What else the machine does (the host) is left out of the
order. Also: whether a row adds up to the wait measured at the same hook.
"""
import argparse
import json
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import runtimes  # noqa: E402
import support  # noqa: E402


def blame(victim, seconds):
    done = support.run(support.fathom_binary(), "blame", victim.name, "-d", seconds, "--json", timeout=60)
    table = json.loads(done.stdout)["shapes"][0]
    rows = [(row["target"], row["counters"][0]) for row in table["rows"]]
    return sorted(rows, key=lambda row: -row[1]), table["ledger"]["expected_weight"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=40)
    parser.add_argument("-d", "--duration", type=float, default=1)
    options = parser.parse_args()
    docker = runtimes.Docker()
    try:
        victim = docker.run("victim", "/bin/split7525")
        neighbours = [docker.run(name, "/bin/burn") for name in ("red", "green", "blue")]
        os.sched_setaffinity(victim.pid, {0})
        first, worst = 0, 0
        for _ in range(options.rounds):
            planted = random.choice(neighbours)
            for neighbour in neighbours:
                os.sched_setaffinity(neighbour.pid, {0 if neighbour is planted else 1})
            rows, expected = blame(victim, options.duration)
            others = [end[1] for end, _ in rows if end[0] == "container" and end[1] != victim.name]
            first += others[:1] == [planted.name]
            worst = max(worst, abs(sum(ns for _, ns in rows) / expected - 1))
        print(f"planted culprit named first: {first} of {options.rounds}; rows off from the wait by at most {100 * worst:.2f} %")
    finally:
        docker.close()


if __name__ == "__main__":
    main()
