#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to know who is connected to whom, beside a scanner of /proc (bench/procscan.c, once a second): Weave Scope's
published test, 50 containers with 10 connections each, and 2,000 processes with 20,000 sockets. Containers are cgroups with network
namespaces of their own (bench/holders.c). --new also measures how soon a new edge is shown; --scale holds 100,000 sockets, 5,000
edges and 500 containers, and asks for memory: with both ends on the machine, then with all peers outside it.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402
from offcpu import STATS, links, programs  # noqa: E402

HERE = Path(__file__).resolve().parent
SHAPES = {  # containers, processes of each, connections of each process, ports
    "50 containers, 500 connections": (50, 1, 10, 1),
    "2,000 processes, 20,000 sockets": (50, 40, 5, 1),
}
SCALE = {
    "both ends here": (500, 1, 100, 10),
    "all peers outside": (500, 1, 200, 10, "outside"),
}
RENEW_MS = 1000
STOP_S = 60
SETTLE_TABLES = 3  # until then containers get their names
CONNECT = """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", 1000), 5)
print(time.monotonic(), flush=True)
sys.stdin.read()
"""


def cgroup_root():
    return "/sys/fs/cgroup" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "/sys/fs/cgroup/unified"


@contextmanager
def holding(directory, shape, renew_ms):
    """The containers; yields a pid in each."""
    process = subprocess.Popen([directory / "holders", cgroup_root(), *map(str, shape[:4]), str(renew_ms), *shape[4:]],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the containers did not start")
        yield Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    finally:
        process.stdin.close()
        process.wait(STOP_S)


class Watcher:
    """fathom connections, a table a second; what it last said is in `last`, and when in `at`."""

    def __init__(self, *options):
        self.last, self.at, self.tables = None, 0, 0
        self.process = subprocess.Popen([support.fathom_binary(), "connections", "--json", *options], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        support.wait_for(lambda: links(self.process.pid), 20, "fathom to attach")

    def read(self):
        for line in self.process.stdout:
            self.last, self.at = line, time.monotonic()
            self.tables += 1

    def cpu_s(self):
        return sum(int(path.read_text().split()[0]) for path in
                   Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")) / 1e9

    def bpf_s(self):
        """Of programs that run in others' time: not of iterators, which run in our own."""
        return sum(ns for _, ns in programs(self.process.pid).values()) / 1e9

    def close(self):
        self.process.terminate()
        self.process.wait(STOP_S)


def watch(seconds):
    """CPU seconds to start, CPU seconds a second while it watches, of BPF programs, and how many connections it knows."""
    watcher = Watcher("-i", "1")
    try:
        support.wait_for(lambda: watcher.tables, 20, "the first table")
        first = json.loads(watcher.last)
        support.wait_for(lambda: watcher.tables >= SETTLE_TABLES, 20, "all names")
        start_s = watcher.cpu_s()
        before, own_s, bpf_s = time.monotonic(), watcher.cpu_s(), watcher.bpf_s()
        time.sleep(seconds)
        elapsed = time.monotonic() - before
        own, bpf = (watcher.cpu_s() - own_s) / elapsed, (watcher.bpf_s() - bpf_s) / elapsed
    finally:
        watcher.close()
    return start_s, own, bpf, sum(edge["existing"] for edge in first["edges"] if "container" in edge["source"])


def scan(directory, count):
    """CPU seconds a scan (median), and connections found."""
    lines = support.run(directory / "procscan", 1, count, timeout=count + 60).stdout.splitlines()
    return statistics.median(float(line.split()[2]) for line in lines) / 1e3, int(lines[0].split()[0])


def compare(directory, options):
    print(f"{'CPU ms a second':34} {'scanner':>9} {'found':>7} {'fathom':>8} {'BPF':>8} {'found':>7} {'share':>8} {'start':>8}")
    for name, shape in SHAPES.items():
        scans, owns, bpfs, found, starts = [], [], [], [], []
        with holding(directory, shape, options.renew):
            for _ in range(options.rounds):
                scans.append(scan(directory, options.seconds))
                start_s, own, bpf, known = watch(options.seconds)
                owns.append(own)
                bpfs.append(bpf)
                starts.append(start_s)
                found.append(known)
        scanned = statistics.median(cost for cost, _ in scans)
        own, bpf = statistics.median(owns), statistics.median(bpfs)
        print(f"{name:34} {scanned * 1e3:9.2f} {min(count for _, count in scans):7} {own * 1e3:8.3f} {bpf * 1e3:8.3f} {min(found):7} "
              f"{'1/%.0f' % (scanned / (own + bpf)):>8} {statistics.median(starts) * 1e3:8.1f}", flush=True)


def seen_edge(watcher, name):
    return watcher.last and any(name in edge["target"].values() and "host" in edge["source"]
                                for edge in json.loads(watcher.last)["edges"])


def new_edges(directory, rounds, interval):
    """Seconds until an edge that was never there is in a table."""
    delays = []
    with holding(directory, (rounds, 1, 1, 1), 0) as pids:
        watcher = Watcher("-i", interval)
        try:
            for pid in pids[:rounds]:
                name = Path(f"/proc/{pid}/cgroup").read_text().rpartition("/docker/")[2][:12]
                with subprocess.Popen(["nsenter", "-t", pid, "-n", sys.executable, "-c", CONNECT], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True) as client:
                    opened = float(client.stdout.readline())
                    support.wait_for(lambda: seen_edge(watcher, name), 20, "the edge", 0.002)
                    delays.append(watcher.at - opened)
                    client.stdin.close()
        finally:
            watcher.close()
    print(f"new edges, a table every {interval} s: shown after {statistics.median(delays):.3f} s (most {max(delays):.3f} s), of {rounds}")


def map_bytes(pid):
    """Memory of the maps a process holds, as the kernel accounts it."""
    held = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        fields = dict(re.findall(r"^(\w+):\s*(\S+)", path.read_text(), re.M))
        if "map_id" in fields and "memlock" in fields:  # a link to an iterator names a map, too
            held[fields["map_id"]] = int(fields["memlock"])
    return sum(held.values())


def memory(pid):
    """Resident bytes: its own, of files, and of kernel maps it has mapped, which are counted with the maps."""
    found, name = {"own": 0, "files": 0, "mapped": 0}, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        fields = line.split()
        if re.match(r"[0-9a-f]+-[0-9a-f]+$", fields[0]):
            name = "mapped" if "bpf-map" in line else "files"
        elif fields[0] == "Rss:":
            found[name] += int(fields[1]) * 1024
        elif fields[0] == "Anonymous:":
            found["own"] += int(fields[1]) * 1024
            found[name] -= int(fields[1]) * 1024
    return found


def small_objects():
    """Bytes in the kernel's small objects: what it keeps with each socket is among them, and counts with no map."""
    kept = 0
    for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
        name, _, count, size = line.split()[:4]
        if re.fullmatch(r"kmalloc-(\w+-)*(96|128|192|256|512)", name):
            kept += int(count) * int(size)
    return kept


def scale(directory, seconds, name, shape):
    with holding(directory, shape, 0):
        before = small_objects()
        watcher = Watcher("-i", "1")
        try:
            support.wait_for(lambda: watcher.tables > seconds, 60, "tables")
            first_found = json.loads(watcher.last)
            used, maps, cpu_s = memory(watcher.process.pid), map_bytes(watcher.process.pid), watcher.cpu_s()
            kept = small_objects() - before
        finally:
            watcher.close()
        whole = json.loads(support.run(support.fathom_binary(), "connections", "-d", "1", "--json", timeout=90).stdout)
    edges = [edge for edge in whole["edges"] if "container" in edge["source"]]
    ends = 1 if "outside" in shape else 2
    print(f"{name}: {sum(edge['existing'] for edge in edges) * ends} sockets in {len(edges)} edges of "
          f"{len({edge['source']['container'] for edge in edges})} containers; lost: {whole['ledger']['items']}")
    print(f"MiB: maps {maps / 2**20:.1f}, small objects (with sockets) {kept / 2**20:.1f}, own {used['own'] / 2**20:.1f}, files "
          f"{used['files'] / 2**20:.1f} (maps it has mapped, counted above: {used['mapped'] / 2**20:.1f}): "
          f"{(maps + kept + used['own'] + used['files']) / 2**20:.1f}; CPU {cpu_s:.2f} s; {len(first_found['edges'])} edges changed in "
          f"the last second", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=1)
    parser.add_argument("-s", "--seconds", type=int, default=15)
    parser.add_argument("--renew", type=int, default=RENEW_MS, help="ms after which each container renews a connection; 0: never")
    parser.add_argument("--new", action="store_true")
    parser.add_argument("--scale", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for program in ("holders", "procscan"):
            subprocess.run(["cc", "-O2", "-o", directory / program, HERE / f"{program}.c"], check=True)
        if options.new:
            new_edges(directory, 10, "0.5")
            new_edges(directory, 10, "1")
        elif options.scale:
            for name, shape in SCALE.items():
                scale(directory, 5, name, shape)
        else:
            STATS.write_text("1")
            try:
                compare(directory, options)
            finally:
                STATS.write_text("0")


if __name__ == "__main__":
    main()
