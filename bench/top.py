#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom top costs with 50 idle containers at 1 s, beside docker stats, systemd-cgtop and netdata; the first screen.
With --processes: what its table of so many idle processes costs, beside those of procps' top and of pidstat.
"""
import argparse
import os
import pty
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import runtimes  # noqa: E402
import support  # noqa: E402

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
SETTLE_S = 3
NETDATA_SETTLE_S = 12  # it looks for cgroups every 10 s


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
    """Run time of the BPF programs a process holds, without iterators: those run in its own system calls."""
    found, iterators = {}, set()
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            fields = dict(re.findall(r"^(\w+):\s*(\S+)", path.read_text(), re.M))
        except OSError:
            continue
        if "run_time_ns" in fields:
            found[fields["prog_id"]] = int(fields["run_time_ns"])
        elif fields.get("link_type") == "iter":
            iterators.add(fields["prog_id"])
    return sum(ns for number, ns in found.items() if number not in iterators) / 1e9


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


def family(pid):
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            pass  # it has ended
    return found


def living(processes, of):
    """`of` each of the processes that are there."""
    found = []
    for pid in processes:
        try:
            found.append(of(pid))
        except OSError:
            pass
    return found


def taken(pid):
    """Of each of its family: CPU seconds, seconds of its programs."""
    found = {}
    for member in family(pid):
        try:
            found[member] = exact_cpu_s(member), bpf_s(member)
        except OSError:
            pass  # it has ended
    return found


def family_share(pid, seconds):
    """What it and all below it take, in percent of a core: CPU time, and time of their programs. Of who ends meanwhile, up to some seconds
    before: looking takes hundreds of files, which is what some of these programs watch."""
    began, first = time.monotonic(), taken(pid)
    last = dict(first)
    while time.monotonic() < began + seconds:
        time.sleep(min(5, seconds))
        last.update(taken(pid))
    elapsed = time.monotonic() - began
    return [sum(last[p][i] - first.get(p, (0, 0))[i] for p in last) / elapsed * 100 for i in range(2)]


def measure_netdata(seconds):
    """Without alarms, registry and statistics of its own users; its plug-ins as Debian has them, once a second. It has no screen."""
    with tempfile.TemporaryDirectory(prefix="fathom-netdata-") as directory:
        options = {"cache directory": "cache", "lib directory": "lib", "log directory": "log", "home directory": "."}
        lines = [f"    {key} = {directory}/{value}" for key, value in options.items()]
        config = Path(directory) / "netdata.conf"
        config.write_text("\n".join(["[directories]", *lines, "[global]", "    run as user = root", "[web]",
                                     "    bind to = 127.0.0.1:0", "[ml]", "    enabled = no", ""]))
        for value in options.values():
            (Path(directory) / value).mkdir(exist_ok=True)
        with open(Path(directory) / "out", "wb") as log:
            netdata = subprocess.Popen([support.tool("netdata"), "-D", "-c", config, "-P", f"{directory}/pid", "-W",
                                        "set", "registry", "enabled", "no"], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(NETDATA_SETTLE_S)
            if netdata.poll() is not None:
                raise RuntimeError((Path(directory) / "out").read_text(errors="replace")[-2000:])
            processes = family(netdata.pid)
            before, began = sum(living(processes, cpu_s)), time.monotonic()
            time.sleep(seconds)
            own = (sum(living(processes, cpu_s)) - before) / (time.monotonic() - began) * 100
            memory = living(processes, memory_kib)
            return {"first_s": float("nan"), "cpu": own, "daemon": 0, "bpf": 0,
                    **{key: sum(m[key] for m in memory) for key in memory[0]}}
        finally:
            os.killpg(netdata.pid, signal.SIGTERM)
            try:
                netdata.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(netdata.pid, signal.SIGKILL)
                netdata.wait()


def idle_share(daemons, seconds):
    before = sum(cpu_s(d) for d in daemons)
    time.sleep(seconds)
    return (sum(cpu_s(d) for d in daemons) - before) / seconds * 100


def tools(docker, targets=()):
    found = {"fathom top": ([str(support.fathom_binary()), "top", *targets], ())}
    found["docker stats"] = ([support.tool("docker"), "stats"], (docker.daemon.pid,))
    try:
        found["systemd-cgtop"] = ([support.tool("systemd-cgtop"), "-d", "1"], ())
    except support.Missing:
        print("systemd-cgtop is not installed: measured without it", file=sys.stderr)
    return found


def first_screens(docker, times):
    """Seconds until a container's name is on fathom top's screen, sorted."""
    found = []
    for _ in range(times):
        terminal = Terminal([str(support.fathom_binary()), "top"], docker.env)
        try:
            found.append(terminal.wait_for(docker.suffix))
        finally:
            terminal.close()
    return sorted(found)


def bench_tools(count, rounds, seconds, only, screens, own):
    with runtimes.Docker() as docker:
        print(f"starting {count} containers", file=sys.stderr)
        names = [docker.run(f"c{i}", "sleep", "100000").name for i in range(count)]
        results = {name: [] for name in tools(docker)}
        stats = STATS.read_text()
        STATS.write_text("1")
        try:
            quiet = idle_share((docker.daemon.pid,), seconds)
            for _ in range(rounds):
                for name, (command, daemons) in tools(docker, names if own else ()).items():
                    if only and name not in only:
                        continue
                    mark = docker.suffix if name != "systemd-cgtop" else "docker"
                    results[name].append(measure(command, docker.env, mark, seconds, daemons))
                if not only or "netdata" in only:
                    results.setdefault("netdata", []).append(measure_netdata(seconds))
            first = first_screens(docker, screens)
        finally:
            STATS.write_text(stats)
    print(f"\n{count} idle containers, an interval of 1 s, {rounds} rounds of {seconds} s; medians. dockerd idle: {quiet:.2f} %\n")
    print("| tool | CPU % of a core | of its daemon | of BPF programs | RSS MiB | PSS MiB | first screen s |")
    print("|---|---|---|---|---|---|---|")
    for name, measured in results.items():
        if not measured:
            continue
        values = {key: statistics.median(m[key] for m in measured) for key in measured[0]}
        print(f"| {name} | {values['cpu']:.3f} | {values['daemon']:.2f} | {values['bpf']:.3f} | {values['Rss'] / 1024:.1f} | "
              f"{values['Pss'] / 1024:.1f} | {values['first_s']:.3f} |")


    if first:
        print(f"\nfathom top's first screen, {len(first)} times: median {statistics.median(first):.3f} s, {first[0]:.3f} … {first[-1]:.3f} s")


class Crowd:
    """Idle processes."""

    def __init__(self, count):
        self.sleepers = subprocess.Popen(["sh", "-c", f"for i in $(seq {count}); do sleep 300 & done; echo ready; wait"],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)

    def __enter__(self):
        if self.sleepers.stdout.readline() != b"ready\n":
            raise RuntimeError("the processes did not start")
        return self

    def __exit__(self, *_):
        os.killpg(self.sleepers.pid, signal.SIGTERM)
        self.sleepers.wait(30)


def process_tables():
    """Each tool's command, and what is on its screen. The table of containers alone is what the processes come on top of; without kernel programs they are
    read from /proc."""
    fathom = str(support.fathom_binary())
    found = {"fathom top": ([fathom, "top"], "NAME"), "fathom top -p": ([fathom, "top", "-p"], "INNER"),
             "fathom top -p --no-bpf": ([fathom, "top", "-p", "--no-bpf"], "INNER")}
    for name, command, mark in (("top", ["-d", "1"], "PID"), ("pidstat", ["1"], "UID")):
        try:
            found[name] = ([support.tool(name), *command], mark)
        except support.Missing:
            print(f"{name} is not installed: measured without it", file=sys.stderr)
    return found


def bench_processes(count, rounds, seconds):
    results = {}
    with Crowd(count):
        for _ in range(rounds):
            for name, (command, mark) in process_tables().items():
                results.setdefault(name, []).append(measure(command, {}, mark, seconds)["cpu"])
    print(f"\n{count} idle processes, an interval of 1 s, {rounds} rounds of {seconds} s; medians\n")
    print("| tool | CPU % of a core | least | most |\n|---|---|---|---|")
    for name, cpu in results.items():
        print(f"| {name} | {statistics.median(cpu):.3f} | {min(cpu):.3f} | {max(cpu):.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--containers", type=int, default=50)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=int, default=20)
    parser.add_argument("-t", "--tool", action="append", help="only this one (several times: these)")
    parser.add_argument("-f", "--first-screens", type=int, default=9, help="how often only the first screen is waited for")
    parser.add_argument("-o", "--own", action="store_true",
                        help="name the containers to fathom top: on a machine that has others, which are left out")
    parser.add_argument("-p", "--processes", type=int, help="measure the table of so many processes instead")
    options = parser.parse_args()
    if options.processes:
        bench_processes(options.processes, options.rounds, options.seconds)
        return
    bench_tools(options.containers, options.rounds, options.seconds, options.tool, options.first_screens, options.own)


if __name__ == "__main__":
    main()
