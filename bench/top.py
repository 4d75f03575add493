#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom top costs with 50 idle containers at 1 s, beside docker stats and systemd-cgtop; first screen; many births.
"""
import argparse
import json
import os
import pty
import re
import secrets
import select
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import runtimes  # noqa: E402
import support  # noqa: E402

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
SETTLE_S = 3
WARM_S = 2


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[i]) for i in (11, 12)) * TICK_S


def exact_cpu_s(pid):
    """To the nanosecond, of all threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def memory_kib(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) for key in ("Rss", "Pss")}


def bpf_s(pid):
    """Run time of the BPF programs a process holds."""
    found = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            fields = dict(re.findall(r"^(\w+):\s*(\S+)", path.read_text(), re.M))
        except OSError:
            continue
        if "run_time_ns" in fields:
            found[fields["prog_id"]] = int(fields["run_time_ns"])
    return sum(found.values()) / 1e9


class Terminal:
    """A program on a pseudo-terminal of its own; what it writes is read and thrown away."""

    def __init__(self, command, env):
        self.began = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(env, TERM="xterm-256color", COLUMNS="150", LINES="40", LC_ALL="C.UTF-8")
            os.execv(command[0], command)
        self.seen = b""
        self.first_s = None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                return
            if not piece:
                return
            self.seen = (self.seen + piece)[-200000:]

    def wait_for(self, text, deadline_s=20):
        support.wait_for(lambda: text.encode() in self.seen, deadline_s, f"{text} on the screen", interval_s=0.001)
        return time.monotonic() - self.began

    def close(self):
        os.kill(self.pid, 15)
        try:
            support.wait_for(lambda: os.waitpid(self.pid, os.WNOHANG)[0], 5, "the end", 0.05)
        except TimeoutError:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def measure(command, env, mark, seconds, daemons=()):
    """CPU in percent of a core and memory of a tool; daemons that work on its behalf are counted with it."""
    terminal = Terminal(command, env)
    try:
        first_s = terminal.wait_for(mark)
        time.sleep(SETTLE_S)
        before = exact_cpu_s(terminal.pid), sum(cpu_s(d) for d in daemons), bpf_s(terminal.pid)
        began = time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        own = (exact_cpu_s(terminal.pid) - before[0]) / elapsed * 100
        theirs = (sum(cpu_s(d) for d in daemons) - before[1]) / elapsed * 100
        kernel = (bpf_s(terminal.pid) - before[2]) / elapsed * 100
        return {"first_s": first_s, "cpu": own, "daemon": theirs, "bpf": kernel, **memory_kib(terminal.pid)}
    finally:
        terminal.close()


def idle_share(daemons, seconds):
    before = sum(cpu_s(d) for d in daemons)
    time.sleep(seconds)
    return (sum(cpu_s(d) for d in daemons) - before) / seconds * 100


def tools(docker):
    found = {"fathom top": ([str(support.fathom_binary()), "top"], ())}
    found["docker stats"] = ([support.tool("docker"), "stats"], (docker.daemon.pid,))
    try:
        found["systemd-cgtop"] = ([support.tool("systemd-cgtop"), "-d", "1"], ())
    except support.Missing:
        print("systemd-cgtop is not installed: measured without it", file=sys.stderr)
    return found


def bench_tools(count, rounds, seconds):
    with runtimes.Docker() as docker:
        print(f"starting {count} containers", file=sys.stderr)
        names = [docker.run(f"c{i}", "sleep", "100000").name for i in range(count)]
        results = {name: [] for name in tools(docker)}
        stats = STATS.read_text()
        STATS.write_text("1")
        try:
            quiet = idle_share((docker.daemon.pid,), seconds)
            for _ in range(rounds):
                for name, (command, daemons) in tools(docker).items():
                    mark = names[0][:6] if name != "systemd-cgtop" else "docker"
                    results[name].append(measure(command, docker.env, mark, seconds, daemons))
        finally:
            STATS.write_text(stats)
    print(f"\n{count} idle containers, an interval of 1 s, {rounds} rounds of {seconds} s; medians. dockerd idle: {quiet:.2f} %\n")
    print("| tool | CPU % of a core | of its daemon | of BPF programs | RSS MiB | PSS MiB | first screen s |")
    print("|---|---|---|---|---|---|---|")
    for name, measured in results.items():
        values = {key: statistics.median(m[key] for m in measured) for key in measured[0]}
        print(f"| {name} | {values['cpu']:.3f} | {values['daemon']:.2f} | {values['bpf']:.3f} | {values['Rss'] / 1024:.1f} | "
              f"{values['Pss'] / 1024:.1f} | {values['first_s']:.3f} |")


class Churn:
    """Cgroups made by hand: `living` of them, and `per_minute` born and dead."""

    def __init__(self, living, per_minute):
        self.mounts = [m for m in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
                       if (m / "cgroup.procs").exists()]
        self.name = f"fathom-bench-{secrets.token_hex(3)}"
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
    parser.add_argument("-n", "--containers", type=int, default=50)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=int, default=20)
    parser.add_argument("--churn-only", action="store_true")
    options = parser.parse_args()
    if not options.churn_only:
        bench_tools(options.containers, options.rounds, options.seconds)
    bench_churn(500, 1000, 2 * options.seconds)


if __name__ == "__main__":
    main()
