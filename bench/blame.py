#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often fathom blame names the planted culprit first, and whether a row adds up to the wait measured at the same hook. What else
the machine does (the host) and the victim itself are left out of the order.
  cpu     three neighbours burn CPU; one, drawn by lot, is put on the victim's CPU and the others on another one
  block   three neighbours write a little past the page cache, one of them, drawn by lot, without end; the victim reads so
  memory  victims that make room at a limit of their own, read pages again that their limit gave up, and read a file that fits: the
          limit is to be named of the first two, nobody of the third
"""
import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import runtimes  # noqa: E402
import support  # noqa: E402

NAMES = ("red", "green", "blue")
SETTLE_S = 1
LIMIT = ["quota", "its own memory limit"]
WRITER = ("while :; do if [ -e /tmp/flood ]; then dd if=/dev/zero of=/file bs=1M count=16 oflag=direct; "
          "else dd if=/dev/zero of=/file bs=4k count=1 oflag=direct; usleep 100000; fi; done 2>/dev/null")
READER = "dd if=/dev/zero of=/file bs=1M count=4; sync; while :; do dd if=/file of=/dev/null bs=4k count=50 iflag=direct; usleep 1000; done 2>/dev/null"
FILLER = "while :; do dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null; done"


def blame(kind, victim, seconds):
    """[(whose end, ns)], the largest first, and the wait that they should add up to."""
    done = support.run(support.fathom_binary(), "blame", kind, victim.name, "-d", seconds, "--json", timeout=60)
    table = next(shape for shape in json.loads(done.stdout)["shapes"] if shape["kind"] == "edges")
    rows = [(row["target"], row["counters"][0]) for row in table["rows"]]
    return sorted(rows, key=lambda row: -row[1]), table["ledger"]["expected_weight"]


def is_first(rows, victim, planted):
    others = [end[1] for end, _ in rows if end[0] == "container" and end[1] != victim.name]
    return others[:1] == [planted.name]


class Cpu:
    def __init__(self, docker):
        self.victim = docker.run("victim", "/bin/split7525")
        self.neighbours = [docker.run(name, "/bin/burn") for name in NAMES]
        os.sched_setaffinity(self.victim.pid, {0})

    def turn(self, seconds):
        planted = random.choice(self.neighbours)
        for neighbour in self.neighbours:
            os.sched_setaffinity(neighbour.pid, {0 if neighbour is planted else 1})
        rows, expected = blame("cpu", self.victim, seconds)
        return is_first(rows, self.victim, planted), rows, expected


class Block:
    def __init__(self, docker):
        self.victim = docker.run("victim", "sh", "-c", READER)
        self.neighbours = [docker.run(name, "sh", "-c", WRITER) for name in NAMES]

    def turn(self, seconds):
        planted = random.choice(self.neighbours)
        for neighbour in self.neighbours:
            flood = Path(f"/proc/{neighbour.pid}/root/tmp/flood")
            if neighbour is planted:
                flood.touch()
            else:
                flood.unlink(missing_ok=True)
        time.sleep(SETTLE_S)
        rows, expected = blame("block", self.victim, seconds)
        return is_first(rows, self.victim, planted), rows, expected


class Memory:
    def __init__(self, docker):
        self.victims = [(docker.run("filler", "sh", "-c", FILLER, memory="24m"), True),
                        (docker.run("reader", "/bin/trouble", "reread", "/file", "64", memory="64m"), True),
                        (docker.run("fits", "/bin/trouble", "reread", "/file", "16", memory="64m"), False)]
        time.sleep(5 * SETTLE_S)

    def turn(self, seconds):
        victim, is_short = random.choice(self.victims)
        rows, expected = blame("memory", victim, seconds)
        return bool(rows and rows[0][0] == LIMIT) == is_short, rows, expected


KINDS = {"cpu": Cpu, "block": Block, "memory": Memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=KINDS, default="cpu")
    parser.add_argument("-r", "--rounds", type=int, default=40)
    parser.add_argument("-d", "--duration", type=float, default=1)
    options = parser.parse_args()
    with runtimes.Docker() as docker:
        stage, right, worst = KINDS[options.kind](docker), 0, 0
        for _ in range(options.rounds):
            good, rows, expected = stage.turn(options.duration)
            right += good
            if not good:
                print(f"  wrong: {rows[:4]}", flush=True)
            if expected:
                worst = max(worst, abs(sum(ns for _, ns in rows) / expected - 1))
        print(f"blame {options.kind}: planted culprit named first: {right} of {options.rounds}; rows off from the wait by at most {100 * worst:.2f} %")


if __name__ == "__main__":
    main()
