# SPDX-License-Identifier: Apache-2.0
"""fathom walltime and offcpu: the sum is elapsed time × threads, and each part is the part it says it is."""
import json
import re
import signal
from pathlib import Path

import pytest

from folded import stacks, total
from support import STOP_S, spoilt_at_times, wait_for

SECONDS = 5
CHILDREN = 20
LETTERS = 50000


def measure(fathom, tmp_path, command, *arguments):
    """The folded stacks (in µs) and how long was measured (in µs)."""
    for name in ("out.json", "out.folded"):
        (tmp_path / name).unlink(missing_ok=True)
    done = fathom(command, *arguments, "-d", SECONDS, "-o", "out.json")
    assert done.returncode == 0, done.stderr
    capture = json.loads((tmp_path / "out.json").read_text())
    # One measurement, two formats: `flame` turns the capture into folded stacks.
    assert fathom("flame", "out.json", "-o", "out.folded").returncode == 0
    return stacks(tmp_path / "out.folded"), capture["duration_ns"] / 1000


def throttled_us(container):
    """What the kernel's own books say: time the container's quota was used up."""
    groups = container.cgroups()
    if "cpu" in groups or "cpu,cpuacct" in groups:
        stat = Path("/sys/fs/cgroup/cpu" + groups["cpu"]) / "cpu.stat"
        return int(re.search(r"throttled_time (\d+)", stat.read_text())[1]) / 1000
    stat = Path("/sys/fs/cgroup" + groups[""]) / "cpu.stat"
    return int(re.search(r"throttled_usec (\d+)", stat.read_text())[1])


def test_quota_of_half_a_cpu(docker, start, fathom, tmp_path):
    # On one CPU, because the kernel counts a group's throttling for each CPU.
    capped = start(docker, "capped", "/bin/split7525", cpus=0.5, args=["--cpuset-cpus", "1"])
    found, elapsed = measure(fathom, tmp_path, "walltime", capped.name)
    assert total(found) == pytest.approx(elapsed, rel=0.01)
    throttled = total(found, "waiting for CPU: throttled")
    waited = total(found, "waiting for CPU") - throttled  # for neighbours: so much less of the quota may be used
    assert 0.9 * 0.5 * elapsed - waited <= total(found, "running") <= 1.1 * 0.5 * elapsed, (waited, throttled)
    assert throttled > 0


def test_throttled_is_what_the_kernel_counts(docker, start, fathom, tmp_path, wait_attached):
    """As much work as takes some twenty periods, all of it within the measurement. What neighbours take of the CPU is a wait for
    them, and no part of it: how much that is, the kernel knows. (So little a quota is used up beside many of them, too.)"""
    capped = start(docker, "tenth", "sh", "-c", "until [ -e /go ]; do sleep 0.2; done; split7525 0.2; touch /done; sleep 600",
                   cpus=0.1, args=["--cpuset-cpus", "1"])
    inside = Path(f"/proc/{capped.pid}/root")
    watch = fathom.start("walltime", capped.name, "-d", 300, "-o", "out.folded")
    wait_attached(watch)
    before = throttled_us(capped)
    (inside / "go").touch()
    wait_for((inside / "done").exists, 60, "the work to be done")
    truth = throttled_us(capped) - before
    watch.send_signal(signal.SIGINT)
    assert watch.wait(STOP_S) == 0
    assert truth > 100_000
    assert total(stacks(tmp_path / "out.folded"), "waiting for CPU: throttled") == pytest.approx(truth, rel=0.05)


@spoilt_at_times  # who shares that CPU for a while with one of them only changes their parts
def test_competing_under_cpu_shares(docker, start, fathom, tmp_path):
    """Two on one CPU, 3 to 1: each thread's time adds up, and the weak one waits three quarters of it."""
    strong = start(docker, "strong", "/bin/split7525", cpu_shares=3072, args=["--cpuset-cpus", "0"])
    weak = start(docker, "weak", "/bin/split7525", cpu_shares=1024, args=["--cpuset-cpus", "0"])
    found, elapsed = measure(fathom, tmp_path, "walltime", strong.name, weak.name)
    for container in (strong, weak):
        assert total(found, container.name) == pytest.approx(elapsed, rel=0.01)
    ran = {c: total(found, c.name, "running") for c in (strong, weak)}
    assert ran[strong] == pytest.approx(3 * ran[weak], rel=0.15)
    assert total(found, weak.name, "waiting for CPU: preempted") > 0.6 * elapsed
    assert total(found, weak.name, "waiting for CPU: throttled") == 0


def test_sleeper_is_blocked_all_the_time(docker, start, fathom, tmp_path):
    rest = start(docker, "rest", "sleep", "1000")
    for command in ("walltime", "offcpu"):
        found, elapsed = measure(fathom, tmp_path, command, rest.name)
        assert total(found) == pytest.approx(elapsed, rel=0.02), command
        assert total(found, "blocked") == total(found) or command == "offcpu"


def test_naps_add_up(docker, start, fathom, tmp_path):
    """A shell that starts a nap after the other: the shell's own time adds up, and the naps are sleep."""
    naps = start(docker, "naps", "sh", "-c", "while :; do usleep 200000; done")
    found, elapsed = measure(fathom, tmp_path, "walltime", naps.name, "--by", "thread")
    shell = f"sh ({naps.pid})"
    assert total(found, shell) == pytest.approx(elapsed, rel=0.01)
    # What it does not run or wait for a CPU it waits for the naps, which sleep but for their beginnings and ends.
    off = elapsed - total(found, shell, "running") - total(found, shell, "waiting for CPU")
    assert off > 0 and total(found, shell, "blocked: child") > 0.95 * off
    asleep = total(found, "blocked: sleep", "usleep (")
    held_up = sum(total(found, cause) - total(found, shell, cause) for cause in ("running", "waiting for CPU"))  # the naps
    assert 0 < off - held_up < 1.1 * asleep and total(found) - total(found, shell) - held_up < 1.1 * asleep, (asleep, held_up, off)


def test_waits_are_those_the_run_queue_has(docker, start, fathom, tmp_path, wait_attached):
    """Two probes see the same wake-ups: who takes a CPU at once waits for a microsecond or two, which is no part of its sleep."""
    box = start(docker, "letters", "sleep", "600")
    watch = fathom.start("walltime", box.name, "-d", 600, "--budget", 100, "-o", "out.folded")
    queue = fathom.start("latency", "runq", box.name, "-d", 600, "--budget", 100, "--json")
    for process in (watch, queue):
        wait_attached(process)
    docker.cli("exec", box.id, "pingpong", LETTERS)
    queue.send_signal(signal.SIGINT)
    watch.send_signal(signal.SIGINT)
    shape = json.loads(queue.communicate(timeout=STOP_S)[0])["shapes"][0]
    assert watch.wait(STOP_S) == 0
    row = next(row["counts"] for row in shape["rows"] if row["values"] == [box.name, "woken"])
    assert row["count"] > LETTERS and total(stacks(tmp_path / "out.folded"), "waiting for CPU: woken") > 0.7 * row["sum"] / 1000


def test_children_that_start_no_program(docker, start, fathom, tmp_path, wait_attached):
    """Each is there with a life of its own, which its threads' parts add up to; by its own clock, which is the one measured with."""
    box = start(docker, "forks", "sleep", "600")
    watch = fathom.start("walltime", box.name, "--by", "thread", "-d", 600, "-o", "out.json")
    wait_attached(watch)
    said = docker.cli("exec", box.id, "forks", CHILDREN).stdout
    watch.send_signal(signal.SIGINT)
    assert watch.wait(STOP_S) == 0
    ledger = json.loads((tmp_path / "out.json").read_text())["shapes"][0]["ledger"]
    assert ledger["seen"]["weight"] == ledger["expected_weight"], ledger
    assert fathom("flame", "out.json", "-o", "out.folded").returncode == 0
    found = stacks(tmp_path / "out.folded")
    names = {frame for stack, _ in found for frame in stack if re.fullmatch(r"forks \(\d+\)", frame)}
    told = sorted(((total(found, name), total(found, name, "running")) for name in names))
    truth = sorted([int(number) for number in line.split()[1:3]] for line in said.splitlines())
    assert len(told) == len(truth) + 1, names  # and their parent, who lives longest
    for (lived, ran), (least_us, cpu_us) in zip(told, truth):
        assert lived >= least_us and ran > 0, (told, truth)
    assert sum(ran for _, ran in told[:-1]) >= sum(cpu_us for _, cpu_us in truth), (told, truth)


def test_own_machinery_is_in_no_stack(docker, start, fathom, tmp_path):
    """A stack ends where the program blocked, not in the tracer that watched it block."""
    naps = start(docker, "naps", "sh", "-c", "while :; do usleep 20000; done")
    found, _ = measure(fathom, tmp_path, "offcpu", naps.name)
    assert total(found) > 0
    assert not [stack for stack, _ in found if any("bpf_" in frame for frame in stack)]


def test_a_program_that_never_waits_is_not_the_one_that_has_started_it(docker, start, fathom, tmp_path, wait_attached):
    """Each child of the shell is another program from its exec on, even if it gives up the CPU only to end."""
    box = start(docker, "brief", "sleep", "600")
    watch = fathom.start("walltime", box.name, "-d", 600, "-o", "out.folded")
    wait_attached(watch)
    docker.cli("exec", box.id, "sh", "-c", f"for i in $(seq {CHILDREN}); do /bin/split7525 0.02; done")
    watch.send_signal(signal.SIGINT)
    assert watch.wait(STOP_S) == 0
    found = stacks(tmp_path / "out.folded")
    assert total(found, "split7525", "running") >= CHILDREN * 20_000, found
