# SPDX-License-Identifier: Apache-2.0
"""offcpu and walltime against what the kernel's own books say: a program that blocks in known ways, and one that is
held to part of a CPU."""
import os
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runtimes import compile_programs
from support import STOP_S, build_dir, lack, wait_for

TRUTH = 0.02
SUM = 0.01
SWITCH_NS = 50_000  # of a single interval: where within a switch it begins and ends (the machine may be busy elsewhere)
LIVES = 4  # a machine that stands still for a while within a switch spoils one of them
PERIOD_US = 100_000
CHECKED_SWITCHES = 20_000  # some twenty of them are checked by unwinding
QUOTA_SHARE = 8  # little enough to be used up on a busy machine, too


@dataclass
class Told:
    states: Counter = field(default_factory=Counter)
    syscalls: Counter = field(default_factory=Counter)  # blocked ns by system call
    events: Counter = field(default_factory=Counter)
    wakers: Counter = field(default_factory=Counter)
    stackless_ns: int = 0
    ledger: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


def parse(text):
    told = Told()
    for line in text.splitlines():
        kind, *values = line.split("\t")
        if kind == "WEIGHT":
            state, _, _, _, syscall, _, events, ns, _, kernel, user, waker = values
            told.states[state] += int(ns)
            if state == "blocked":
                told.syscalls[int(syscall)] += int(ns)
                told.events[int(syscall)] += int(events)
                told.wakers[waker] += int(events)
                told.stackless_ns += int(ns) * (not int(kernel) or not int(user))
        elif kind == "LEDGER":
            told.ledger[values[0]] = (int(values[1]), int(values[2]))
        elif kind == "NOTE":
            told.notes.append(values[0])
    return told


@contextmanager
def watching(probe, *options):
    """The probe is attached in the body; the yielded list holds what it told afterwards."""
    if os.geteuid() != 0:
        lack("needs root to attach probes")
    binary = build_dir() / "tests/kernel/probe_watch"
    if not binary.exists():
        lack(f"{binary} is not built")
    told = []
    with subprocess.Popen([str(binary), probe, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            assert process.stdout.readline() == "READY\n"
            yield told
            text, _ = process.communicate(timeout=STOP_S)
            assert process.returncode == 0
            told.append(parse(text))
        finally:
            process.kill()


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("programs")
    compile_programs(directory)
    return directory


@contextmanager
def sleeper(programs, path):
    """Yields the process, and a function that makes it live its life and returns [(way, syscall, blocked, elapsed)]."""
    cpu = min(os.sched_getaffinity(0))
    # On one CPU: since 6.12 the scheduler's books, which the sleeper takes its truth from, take the sleep of who is moved for a wait.
    with subprocess.Popen([str(programs / "sleeper"), str(path)], stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, {cpu})) as process:
        def live():
            process.send_signal(signal.SIGUSR1)
            ways = []
            for line in process.stdout:
                if line == "done\n":
                    return ways
                way, *numbers = line.split()
                ways.append((way, *map(int, numbers)))
            raise AssertionError("the sleeper died")

        try:
            assert process.stdout.readline() == "ready\n"
            yield process, live
        finally:
            process.kill()


@pytest.mark.parametrize("probe", ["offcpu", "walltime"])
def test_blocked_time_is_what_the_sleeper_slept(programs, tmp_path, probe):
    """In each way: never longer than it took, and in one life at least as long as the kernel's books say. (These count what passes
    between a wake-up and the switch it leads to as time on the CPU: microseconds, unless the machine stands still just then.)"""
    wrong = {}
    for life in range(LIVES):
        with sleeper(programs, tmp_path / "file") as (process, live):
            with watching(probe, "--tgid", process.pid) as told:
                ways = live()
        told = told[0]
        assert len(ways) == 7
        found = {name: (life, what) for name, what in told.ledger.items() if name.startswith("lost")}
        for way, syscall, truth_ns, elapsed_ns in ways:
            got_ns, slack_ns = told.syscalls[syscall], told.events[syscall] * SWITCH_NS
            assert got_ns <= elapsed_ns + (slack_ns if way == "fault" else 0), (way, got_ns, elapsed_ns)  # its code may have to be read, too
            # Working with files blocks in other system calls (open, pwrite, munmap …), too.
            least_ns = (0.7 if way in ("fsync", "fault") else 1 - TRUTH) * truth_ns
            if not least_ns <= got_ns <= (1 + TRUTH) * truth_ns + slack_ns:
                found[way] = (life, got_ns, truth_ns, elapsed_ns, told.events[syscall])
        total_ns, told_ns = sum(truth for _, _, truth, _ in ways), sum(told.syscalls.values())
        if told_ns < (1 - TRUTH) * total_ns:
            found["all"] = (life, told_ns, total_ns)
        wrong = {way: what for way, what in found.items() if life == 0 or way in wrong}
        if not wrong:
            return
    raise AssertionError(wrong)


def test_walltime_adds_up(programs, tmp_path):
    with sleeper(programs, tmp_path / "file") as (process, live):
        with watching("walltime", "--tgid", process.pid) as told:
            start_ns = time.monotonic_ns()
            live()
            elapsed_ns = time.monotonic_ns() - start_ns
    told = told[0]
    total_ns = sum(told.states.values())
    assert total_ns >= elapsed_ns
    assert abs(total_ns - told.ledger["expected"][1]) <= SUM * total_ns


def test_blocked_before_and_after(programs):
    """A thread that sleeps all along, with its stack."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            wait_for(lambda: "S (sleeping)" in Path(f"/proc/{process.pid}/status").read_text(), what="sleep to sleep")
            before_ns = time.monotonic_ns()
            with watching("offcpu", "--tgid", process.pid) as told:
                start_ns = time.monotonic_ns()
                wait_for(lambda: time.monotonic_ns() - start_ns > 300_000_000, what="time to pass")
                slept_ns = time.monotonic_ns() - start_ns
            at_most_ns = time.monotonic_ns() - before_ns
        finally:
            process.kill()
    blocked_ns = told[0].states["blocked"]
    assert slept_ns <= blocked_ns <= at_most_ns
    assert told[0].stackless_ns == 0
    assert len(told[0].syscalls) == 1


def test_waker_is_named(programs):
    with subprocess.Popen([str(programs / "pingpong")]) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            child = int(wait_for(children.read_text, what="pingpong to fork"))
            with watching("offcpu", "--waker", "--tgid", process.pid, "--tgid", child) as told:
                before = switches(process.pid)
                wait_for(lambda: switches(process.pid) > before + 1000, what="pingpong to block")
        finally:
            process.kill()
    assert told[0].wakers["pingpong"] > 0.5 * sum(told[0].events.values()) > 100


def switches(pid):
    """How often a process has blocked."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_interrupts_wake(programs, tmp_path):
    with sleeper(programs, tmp_path / "file") as (process, live):
        with watching("offcpu", "--waker", "--tgid", process.pid) as told:
            live()
    assert told[0].wakers["interrupt"] >= 50  # its timers


def recognition(told):
    """(recognised, seen, checked, wrong) of a run's stacks."""
    note = next(n for n in told.notes if n.startswith("stacks recognised"))
    return [int(number) for number in re.findall(r"\d+", note)]


def test_recognition_is_never_wrong(programs):
    with subprocess.Popen([str(programs / "pingpong")]) as process:
        try:
            with watching("offcpu", "--tgid", process.pid) as told:
                deadline_ns = time.monotonic_ns() + 1_000_000_000
                wait_for(lambda: time.monotonic_ns() > deadline_ns, what="time to pass")
        finally:
            process.kill()
    recognised, seen, _, wrong = recognition(told[0])
    assert wrong == 0
    assert recognised > 0.9 * seen > 0, told[0].notes


@contextmanager
def programs_timed_or_not():
    """Yields a function that makes the kernel time BPF programs, which it then calls from another place, or end that."""
    path = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = path.read_text()

    def flip():
        path.write_text("1" if path.read_text().strip() == "0" else "0")

    try:
        yield flip
    finally:
        path.write_text(before)


@pytest.mark.parametrize("options", [(), ("--waker",)])
def test_recognition_does_not_depend_on_who_times_programs(programs, options):
    with subprocess.Popen([str(programs / "pingpong")]) as process, programs_timed_or_not() as flip:
        try:
            with watching("offcpu", *options, "--tgid", process.pid) as told:
                for _ in range(4):
                    before = switches(process.pid)
                    wait_for(lambda: switches(process.pid) > before + CHECKED_SWITCHES, what="pingpong to block")
                    flip()
        finally:
            process.kill()
    _, _, checked, wrong = recognition(told[0])
    assert checked > 0 and wrong == 0, told[0].notes


class Quota:
    """A cgroup with an eighth of a CPU, on v1 or v2."""

    def __init__(self):
        self.v1 = Path("/sys/fs/cgroup/cpu/cpu.shares").exists() or Path("/sys/fs/cgroup/cpu/tasks").exists()
        self.path = Path("/sys/fs/cgroup/cpu" if self.v1 else "/sys/fs/cgroup") / f"fathom-test-{os.getpid()}"

    def __enter__(self):
        if not self.v1 and "cpu" not in Path("/sys/fs/cgroup/cgroup.subtree_control").read_text().split():
            lack("the cpu controller is not enabled for children of the root cgroup")
        self.path.mkdir()
        if self.v1:
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(PERIOD_US // QUOTA_SHARE))
        else:
            (self.path / "cpu.max").write_text(f"{PERIOD_US // QUOTA_SHARE} {PERIOD_US}")
        return self

    def __exit__(self, *_):
        wait_for(lambda: not (self.path / "cgroup.procs").read_text(), STOP_S, "the cgroup to empty")
        self.path.rmdir()

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def throttled_ns(self):
        stat = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return int(stat["throttled_time"]) if self.v1 else int(stat["throttled_usec"]) * 1000


@pytest.mark.parametrize("threads", [1, 2])
def test_throttling_is_told_apart(programs, threads):
    with Quota() as quota:
        with subprocess.Popen([str(programs / "burn"), str(threads)], preexec_fn=quota.enter) as process:
            try:
                wait_for(lambda: quota.throttled_ns() > 0, what="the quota to be used up")
                at_most_ns = -quota.throttled_ns()
                with watching("walltime", "--tgid", process.pid) as told:
                    before_ns, start_ns = quota.throttled_ns(), time.monotonic_ns()
                    wait_for(lambda: time.monotonic_ns() - start_ns > 2_000_000_000, what="time to pass")
                    throttled_ns = quota.throttled_ns() - before_ns
                    elapsed_ns = time.monotonic_ns() - start_ns
                at_most_ns += quota.throttled_ns()  # before it watched and after
            finally:
                process.kill()
                process.wait()
    told = told[0]
    total_ns = sum(told.states.values())
    assert abs(total_ns - told.ledger["expected"][1]) <= SUM * total_ns
    assert elapsed_ns * threads <= total_ns
    assert told.states["throttled"] > 0
    # The kernel counts by CPU: with both threads throttled on one CPU it counts once what we count for each. It does
    # so when the throttling ends: a period may be missing at either side.
    assert told.states["throttled"] >= 0.9 * throttled_ns - PERIOD_US * 1000 * threads
    assert told.states["throttled"] <= 1.1 * threads * at_most_ns + 2 * PERIOD_US * 1000 * threads
