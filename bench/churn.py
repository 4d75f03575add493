#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom top does when cgroups come and go: 500 live, 1,000 a minute are born and die. Names lost, how long a reading
takes, CPU, memory.
"""
import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import leftovers  # noqa: E402
import support  # noqa: E402
from top import exact_cpu_s, memory_kib  # noqa: E402

WARM_S = 2


class Churn:
    """Cgroups made by hand: `living` of them, and `per_minute` born and dead."""

    def __init__(self, living, per_minute):
        self.mounts = [m for m in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
                       if (m / "cgroup.procs").exists()]
        leftovers.sweep()
        self.name = leftovers.name_of_mine("bench")
        self.roots = [m / self.name for m in self.mounts]
        self.wait_s = 60 / per_minute
        self.made = []
        self.stop = threading.Event()
        for root in self.roots:
            root.mkdir()
        for i in range(living):
            self.make(f"lives{i}")
        self.thread = threading.Thread(target=self.run, daemon=True)

    def make(self, name):
        for root in self.roots:
            (root / name).mkdir()

    def remove(self, name):
        for root in self.roots:
            (root / name).rmdir()

    def run(self):
        i = 0
        while not self.stop.wait(self.wait_s):
            self.make(f"brief{i}")
            self.made.append(f"brief{i}")
            if i >= 5:
                self.remove(f"brief{i - 5}")
            i += 1

    def close(self):
        self.stop.set()
        self.thread.join()
        for root in self.roots:
            for group in root.iterdir():
                if group.is_dir():
                    group.rmdir()
            root.rmdir()


def bench_churn(living, per_minute, seconds):
    churn = Churn(living, per_minute)
    try:
        top = subprocess.Popen([str(support.fathom_binary()), "top", "--all", "--json", "--filter", churn.name], text=True,
                               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        full = subprocess.Popen([str(support.fathom_binary()), "top", "--all", "--json", "--filter", "/^host$/"], text=True,
                                stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        named, readings, sizes = set(), [], []
        time.sleep(WARM_S)
        churn.thread.start()
        end = time.monotonic() + seconds
        cpu = exact_cpu_s(full.pid)
        began = time.monotonic()
        while time.monotonic() < end:
            ready, _, _ = select.select([top.stdout, full.stdout], [], [], 1)
            for stream in ready:
                row = json.loads(stream.readline())
                if row["resource"] == "host":
                    readings.append(row["reading_ns"] / 1e6)
                    sizes.append(memory_kib(full.pid)["Rss"] / 1024)
                else:
                    named.add(row["name"].rsplit("/", 1)[-1])
        used = (exact_cpu_s(full.pid) - cpu) / (time.monotonic() - began) * 100
        churn.stop.set()
        made = set(churn.made)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and made - named:
            if select.select([top.stdout], [], [], 1)[0]:
                named.add(json.loads(top.stdout.readline())["name"].rsplit("/", 1)[-1])
        for process in (top, full):
            process.terminate()
            process.communicate()
    finally:
        churn.close()
    third = max(1, len(sizes) // 3)
    print(f"\n{living} cgroups live, {per_minute} a minute are born and die, {seconds} s:\n")
    print(f"| names lost | of | reading, median ms | largest ms | CPU % | RSS at first, last third MiB |\n|---|---|---|---|---|---|")
    print(f"| {len(made - named)} | {len(made)} | {statistics.median(readings):.1f} | {max(readings):.1f} | {used:.2f} | "
          f"{statistics.mean(sizes[:third]):.1f}, {statistics.mean(sizes[-third:]):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-l", "--living", type=int, default=500)
    parser.add_argument("-m", "--per-minute", type=int, default=1000)
    parser.add_argument("-s", "--seconds", type=int, default=40)
    options = parser.parse_args()
    bench_churn(options.living, options.per_minute, options.seconds)


if __name__ == "__main__":
    main()
