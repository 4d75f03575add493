#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How often fathom diagnose is right: every scenario of tests/scenarios, again and again, as a confusion matrix.

Each (those that load the machine alone, all others at the same time) without more, beside a busy neighbour (a container that
burns on every CPU) and beside a load of the host (the same, in no container); from kernel programs and from files alone.
Right: the first verdict for the container is the scenario's, and names the culprit where there is one. For healthy ones: no
verdict. Beside another load the kernel's own account (cpu.pressure, time used) is the truth: who surely waits for CPUs by
it has that trouble, for whom it may be said to, either is right; who waits for disks, but twice as long for CPUs, has that
trouble first, as has who uses up a quota in less than half of its periods; and a culprit may be another load than the planted one when that has used as much CPU.
Looks while the machine did something else as well (more than a fifth of a CPU in nobody's name here: the host's load, then) are
judged so, too, but counted apart, and repeated, at most twice as often as was asked.

usage: ./dev bench diagnosis [--repeat N] [--seconds S] [--variant plain|neighbour|host]... [--files|--both]
                             [--append FILE] [--matrix FILE] [--limit S] [--shard I/N] [--many N] [SCENARIO...]
--append keeps every result as a line of JSON, --matrix prints the matrix of such a file and measures nothing: so the whole
can be measured in pieces, --shard 0/6, 1/6 … or with --limit."""
import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import scenarios  # noqa: E402
from runtimes import Docker, Runc  # noqa: E402
from support import fathom_binary, run  # noqa: E402

SETTLE_S = 1.0  # a load that has just begun is not yet what it is
FOREIGN_CPUS = 0.2  # more used by what is not of this bench, and a look is disturbed
# CPUs a healthy load wants beside another, and the part of that it waits, from which it surely has a trouble (three times the
# thresholds of fathom, whose own beginning and end are in this account), and from which it may be said to have (half).
WAITS_SURELY = 0.15, 0.3
WAITS_MAYBE = 0.025, 0.05
DISK_WAITS = {"waits for fsync", "own disk demand", "slow disk", "disk taken by a neighbour"}
DISK_OUTWEIGHED = 2  # who waits so much longer for CPUs than for disks is first told about the CPUs
STEALS_MAYBE = 0.05  # of all CPU time is stolen by a hypervisor, and it may be said to be a trouble (half of fathom's threshold)
QUOTA_BINDS = 0.5  # of its periods use up a container's quota; in fewer it is the load beside it that decides what it gets
NEIGHBOURS = {"CPU taken by a neighbour", "behind a neighbour, beside idle CPUs"}
CGROUPS = Path("/sys/fs/cgroup")


class Noise:
    """What else goes on: nothing, a busy neighbour, or a load of the host."""

    def __init__(self, docker, variant):
        self.docker, self.container, self.process = docker, None, None
        threads = str(os.cpu_count())
        self.name = None
        if variant == "neighbour":
            self.container = docker.run("noise", "/bin/burn", threads)
            self.name = self.container.name
        elif variant == "host":
            self.process = subprocess.Popen([docker.rootfs / "bin/burn", threads], stdin=subprocess.DEVNULL)
            self.name = "the host"

    def close(self):
        if self.container:
            self.docker.rm(self.container)
        if self.process:
            self.process.kill()
            self.process.wait()


def container_cpu_s(container):
    """CPU time a container has used."""
    groups = container.cgroups()
    if "cpuacct" in groups:
        return int((CGROUPS / "cpuacct" / groups["cpuacct"][1:] / "cpuacct.usage").read_text()) / 1e9
    stat = dict(line.split() for line in (CGROUPS / groups[""][1:] / "cpu.stat").read_text().splitlines())
    return int(stat["usage_usec"]) / 1e6


def container_periods(container):
    """Periods of its quota so far, those in which it was used up, and seconds it stood still for that (of each CPU)."""
    groups = container.cgroups()
    path = CGROUPS / "cpu" / groups["cpu"][1:] if "cpu" in groups else CGROUPS / groups[""][1:]
    stat = dict(line.split() for line in (path / "cpu.stat").read_text().splitlines())
    stood_s = int(stat["throttled_time"]) / 1e9 if "throttled_time" in stat else int(stat.get("throttled_usec", 0)) / 1e6
    return int(stat.get("nr_periods", 0)), int(stat.get("nr_throttled", 0)), stood_s


def container_waited_s(container, resource):
    """Time in which somebody in a container waited for it (cpu: was ready and did not run), as the kernel's pressure counts
    it; None where it does not."""
    path = container.cgroups().get("")
    for root in (CGROUPS / "unified", CGROUPS):
        with contextlib.suppress(OSError, AttributeError):
            return int((root / path[1:] / f"{resource}.pressure").read_text().split()[4].partition("=")[2]) / 1e6
    return None


class Wanted(NamedTuple):
    cpus: float  # used, and waited for
    used: float
    waiting: float  # part of that
    disk: float  # time waited for I/O, of that time
    throttled: float  # periods in which its quota was used up, of all


NOTHING = Wanted(0, 0, 0, 0, 0)


class Waits:
    """What containers wait for, by the kernel's own account, not by fathom's: Wanted of each."""

    def __init__(self, containers):
        self.began = time.monotonic()
        self.before = {c.name: (c, self.read(c)) for c in containers}

    @staticmethod
    def read(container):
        try:
            return (container_cpu_s(container), container_waited_s(container, "cpu"), container_waited_s(container, "io"),
                    *container_periods(container))
        except (OSError, KeyError):
            return None  # it may have been killed: that is some scenarios' truth

    def wanted(self):
        found, seconds = {}, time.monotonic() - self.began
        for name, (container, before) in self.before.items():
            after = self.read(container)
            if before and after and None not in before and None not in after:
                used, waited, disk, periods, throttled, stood = (b - a for a, b in zip(before, after))
                waited = max(waited - stood, 0)  # pressure counts that, too
                if used + waited > 0:
                    found[name] = Wanted((used + waited) / seconds, used / seconds, waited / (used + waited),
                                         disk / (used + waited), throttled / max(periods, 1))
        return found


class Account:
    """How much CPU time goes to what is neither a scenario's, nor the noise, nor fathom, and how much a hypervisor steals."""

    def __init__(self, stages, noise, daemon):
        self.containers = [c for stage in stages.values() for c in stage.containers.values()]
        self.containers += [noise.container] if noise.container else []
        self.processes = [noise.process.pid] if noise.process else []
        self.processes += [daemon.pid]
        self.noise = noise
        self.began, self.before, self.noise_before = time.monotonic(), self.read(), self.noise_s()
        self.stolen_before = self.stolen_s()

    @staticmethod
    def process_s(pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def noise_s(self):
        if self.noise.container:
            return container_cpu_s(self.noise.container)
        return self.process_s(self.noise.process.pid) if self.noise.process else 0

    def loads(self):
        """CPUs' worth since the beginning of each load that is not a scenario's, by name."""
        foreign = self.foreign()
        found = {"the host": foreign} if foreign >= FOREIGN_CPUS else {}
        if self.noise.name:
            used = (self.noise_s() - self.noise_before) / (time.monotonic() - self.began)
            found[self.noise.name] = found.get(self.noise.name, 0) + used
        return found

    @staticmethod
    def cpu_times():
        """/proc/stat, seconds: user, nice, system, idle, iowait, irq, softirq, steal, …"""
        return [int(n) / os.sysconf("SC_CLK_TCK") for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]

    def stolen_s(self):
        return self.cpu_times()[7]

    def stolen(self):
        """Part of the CPUs' time since the beginning."""
        return (self.stolen_s() - self.stolen_before) / (time.monotonic() - self.began) / os.cpu_count()

    def read(self):
        values = self.cpu_times()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = children.ru_utime + children.ru_stime + time.process_time()
        for pid in self.processes:
            own += self.process_s(pid)
        for container in self.containers:
            with contextlib.suppress(OSError, KeyError):  # it may have been killed: that is some scenarios' truth
                own += container_cpu_s(container)
        return sum(values[:7]) - values[3] - values[4] - own

    def foreign(self):
        """CPUs' worth since the beginning."""
        return max(self.read() - self.before, 0) / (time.monotonic() - self.began)


def diagnose(seconds, files, before):
    done = run(*before, fathom_binary(), "diagnose", "-d", seconds, "--json", *(["--files"] if files else []), check=False,
               timeout=seconds + 60)
    if done.returncode not in (0, 1, 3):
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def truth_beside(beside, wanted):
    """What is so of a load beside another one on the CPUs: (that it waits for that is surely a trouble, or may be)."""
    return (beside and wanted.cpus >= WAITS_SURELY[0] and wanted.waiting >= WAITS_SURELY[1],
            beside and wanted.cpus >= WAITS_MAYBE[0] and wanted.waiting >= WAITS_MAYBE[1])


def judge(scenario, stage, report, noise, wanted, loads, stolen):
    """What it said of each container of the scenario: (short name, truth, verdict, right, and whether it said so only after
    the wait for CPUs that the noise surely causes, or the steal there was)."""
    beside = noise.name or next(iter(loads), None)  # what else may have had the CPUs
    culprits = {short: stage.name_of(name) for short, name in getattr(scenario, "CULPRIT", {}).items()}
    truths = dict(scenario.TRUTH)
    for short, truth in truths.items():
        found = scenarios.first_verdict(report, stage.name_of(short))
        verdict = found and found["verdict"]
        waits = wanted.get(stage.name_of(short), NOTHING)
        surely, maybe = truth_beside(beside, waits)
        if surely and (truth is None or (truth in DISK_WAITS and waits.waiting >= DISK_OUTWEIGHED * waits.disk)):
            truth, culprits[short] = "CPU taken by a neighbour", beside
        if surely and truth == "cap throttled" and waits.throttled < QUOTA_BINDS:
            truth, culprits[short] = "CPU taken by a neighbour", beside
        right = verdict == truth
        is_steal = verdict == "hypervisor steal" and stolen >= STEALS_MAYBE
        if truth is None and is_steal:
            right = True
        if truth is None and verdict in NEIGHBOURS and maybe:
            right = found["culprit"] in loads
        if right and short in culprits:
            planted = next((c.name for c in stage.containers.values() if c.name == culprits[short]), None)
            right = scenarios.blames(found, culprits[short]) or (
                verdict in NEIGHBOURS and loads.get(found["culprit"], -1) >= wanted.get(planted, NOTHING).used)
        is_wait = surely and verdict in NEIGHBOURS and found["culprit"] in loads
        after = bool(not right and truth and (is_wait or is_steal) and
                     any(f["verdict"] == truth for f in report["findings"] if f["container"] == stage.name_of(short)))
        yield short, truth, found, right, after
    for short, note in getattr(scenario, "NOTES", {}).items():
        right = scenarios.has_note(report, stage.name_of(short), note)
        yield short, note, {"verdict": note if right else None, "culprit": None}, right, False


def look(docker, stages, variant, options, end):
    """Looks at scenarios that go on, again and again."""
    noise = Noise(docker, variant)
    chosen = {name: scenarios.load(name) for name in stages}
    seconds = max([options.seconds, *(getattr(scenario, "SECONDS", 0) for scenario in chosen.values())])
    before = [word for stage in stages.values() for word in stage.before]
    try:
        time.sleep(SETTLE_S)
        for files in ([False, True] if options.both else [options.files]):
            wanted = {n: s for n, s in chosen.items() if not files or getattr(s, "FILES", False)}
            calm = 0
            for _ in range(2 * options.repeat if wanted else 0):
                account = Account(stages, noise, docker.daemon)
                waits = Waits([c for stage in stages.values() for c in stage.containers.values()])
                report = diagnose(seconds, files, before)
                cpus, foreign, loads, stolen = waits.wanted(), account.foreign(), account.loads(), account.stolen()
                for name, scenario in wanted.items():
                    for short, truth, found, right, after in judge(scenario, stages[name], report, noise, cpus, loads,
                                                                     stolen):
                        yield {"scenario": name, "container": short, "variant": variant, "files": files,
                               "truth": truth, "verdict": found and found["verdict"],
                               "culprit": found and found["culprit"], "foreign": round(foreign, 2), "right": right, "after": after,
                               "stolen": round(stolen, 3),
                               "account": [round(n, 3) for n in cpus.get(stages[name].name_of(short), NOTHING)]}
                calm += foreign < FOREIGN_CPUS
                if calm == options.repeat or time.monotonic() > end:
                    break
    finally:
        noise.close()


def play(docker, names, variants, options, end):
    """Sets up scenarios at the same time and looks at them beside each noise."""
    stages = {name: scenarios.Stage(docker, f"{name.replace('_', '-')}-") for name in names}
    try:
        for name, stage in stages.items():
            scenarios.load(name).setup(stage)
        for name, stage in stages.items():
            stage.wait_ready(scenarios.load(name))
        for variant in variants:
            if variant == "plain" or not any(getattr(scenarios.load(name), "QUIET", False) for name in names):
                yield from look(docker, stages, variant, options, end)
    finally:
        for stage in stages.values():
            stage.close()


def groups(names, variants):
    """Which scenarios are played at the same time, beside which noise: those that load the machine alone, all others
    together; beside noise the healthy ones apart, so that it is the only other load there is."""
    many, noises = [], [variant for variant in variants if variant != "plain"]
    for name in names:
        scenario = scenarios.load(name)
        if scenarios.lacks(scenario):
            print(f"left out: {name} ({', '.join(scenarios.lacks(scenario))} not found)", flush=True)
        elif getattr(scenario, "QUIET", False) or getattr(scenario, "ALONE", False):
            yield [name], variants
        else:
            many.append(name)
    healthy = [name for name in many if not any(scenarios.load(name).TRUTH.values())]
    if many and "plain" in variants:
        yield many, ["plain"]
    if noises:
        yield from ((group, noises) for group in (healthy, [n for n in many if n not in healthy]) if group)


def told_after(results):
    count = sum(r.get("after", False) for r in results)
    return f", {count} told right after the wait for CPUs that the noise causes" if count else ""


def print_matrix(results):
    for files in (False, True):
        disturbed = [r for r in results if r["files"] == files and r["foreign"] >= FOREIGN_CPUS]
        chosen = [r for r in results if r["files"] == files and r["foreign"] < FOREIGN_CPUS]
        if not chosen and not disturbed:
            continue
        print(f"\n== {'files alone' if files else 'kernel programs'}: truth, then what was said first")
        matrix = defaultdict(Counter)
        for r in chosen:
            said = (r["verdict"] or "nothing") + ("" if r["right"] or r["verdict"] != r["truth"] else " (wrong culprit)")
            matrix[r["truth"] or "healthy"][said] += 1
        for truth in sorted(matrix):
            print(f"{truth:28} " + ", ".join(f"{said} {n}" for said, n in matrix[truth].most_common()))
        for variant in sorted({r["variant"] for r in chosen}):
            own = [r for r in chosen if r["variant"] == variant]
            sick = [r for r in own if r["truth"]]
            well = [r for r in own if not r["truth"]]
            print(f"{variant}: right first verdicts {sum(r['right'] for r in sick)} of {len(sick)}, "
                  f"false alarms {sum(not r['right'] for r in well)} of {len(well)}"
                  f"{told_after(own)}")
        if disturbed:
            print(f"apart, as the machine did something else as well: {sum(r['right'] for r in disturbed)} right of "
                  f"{len(disturbed)}, false alarms {sum(not r['right'] for r in disturbed if not r['truth'])} of "
                  f"{sum(not r['truth'] for r in disturbed)}{told_after(disturbed)}")


def measure_many(count, seconds):
    """How long it takes beyond its window, with so many containers."""
    with Runc() as runc:
        for i in range(count):
            runc.run(f"many{i}", "/bin/trouble", "timer", "10", cpus=0.5)
        for _ in range(3):
            began = time.monotonic()
            done = run(fathom_binary(), "diagnose", "-d", seconds, "--json", "--timing", check=False, timeout=120)
            print(f"{count} containers: {time.monotonic() - began - seconds:.2f} s beyond the window; {done.stderr.strip()}",
                  flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--variant", action="append", choices=["plain", "neighbour", "host"])
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--both", action="store_true")
    parser.add_argument("--append", type=Path)
    parser.add_argument("--matrix", type=Path)
    parser.add_argument("--shard", default="0/1", help="I/N: only every N-th scenario, from the I-th on")
    parser.add_argument("--limit", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--many", type=int, help="only time it, with so many idle containers")
    options = parser.parse_args()
    if options.many:
        measure_many(options.many, options.seconds)
        return
    if options.matrix:
        print_matrix([json.loads(line) for line in options.matrix.read_text().splitlines()])
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # nothing is left running
    part, parts = (int(n) for n in options.shard.split("/"))
    names = (options.names or scenarios.names())[part::parts]
    results, end = [], time.monotonic() + options.limit
    with Docker() as docker:
        for group, variants in groups(names, options.variant or ["plain", "neighbour", "host"]):
            if time.monotonic() > end:
                continue
            for result in play(docker, group, variants, options, end):
                results.append(result)
                if options.append:
                    with options.append.open("a") as file:
                        file.write(json.dumps(result) + "\n")
                print(f"{'right' if result['right'] else 'WRONG':6}{result['scenario']:21}{result['variant']:10}"
                      f"{'files' if result['files'] else 'bpf':6}{result['container']}: {result['verdict']}"
                      f"{' (disturbed)' if result['foreign'] >= FOREIGN_CPUS else ''}", flush=True)
    print_matrix(results)


if __name__ == "__main__":
    main()
