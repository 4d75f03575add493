# SPDX-License-Identifier: Apache-2.0
"""fathom profile against programs whose CPU time is known."""
import json
import math
import os
import signal
import time
from pathlib import Path

import pytest

from folded import chance, stacks, total
from support import STOP_S, machines_cpu_s, wait_for

SECONDS = 4
POINTS = 0.03
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    """CPU time of a process so far, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def share(found, part, *whole):
    return total(found, part) / max(1, sum(total(found, name) for name in whole))


@pytest.fixture
def profile_all(fathom, wait_attached):
    """profile_all(container, CPU time, *arguments): the CPU time its process used, and its part of one CPU. All of it lies
    within the measurement: the process stands still before and after."""
    def run(container, seconds, *arguments):
        def stopped():
            return Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        os.kill(container.pid, signal.SIGSTOP)
        wait_for(stopped, what="the program to stand still")
        process = fathom.start("profile", container.name, "-d", 600, *arguments)
        wait_attached(process)
        before, began = cpu_s(container.pid), time.monotonic()
        os.kill(container.pid, signal.SIGCONT)
        wait_for(lambda: cpu_s(container.pid) - before > seconds, 60, "the work")
        os.kill(container.pid, signal.SIGSTOP)
        wait_for(stopped, what="the program to stand still")
        used, elapsed = cpu_s(container.pid) - before, time.monotonic() - began
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=STOP_S)
        assert process.returncode == 0, complaint
        os.kill(container.pid, signal.SIGCONT)
        return used, min(1, used / elapsed)
    return run


@pytest.mark.parametrize("name", ["docker", "podman", "containerd", "runc"])
def test_split_is_within_three_points(request, start, fathom, tmp_path, name):
    web = start(request.getfixturevalue(name), "web", "/bin/split7525")
    # 499 Hz: at 99 Hz the chance alone in 400 samples is more than three points.
    done = fathom("profile", web.name, "-d", SECONDS, "-F", 499, "-o", "web.folded")
    assert done.returncode == 0, done.stderr
    found = stacks(tmp_path / "web.folded")
    assert all(stack[0] == web.name for stack, _ in found)
    assert abs(share(found, "three_quarters", "three_quarters", "one_quarter") - 0.75) < max(POINTS, chance(0.75, total(found)))
    assert total(found, "three_quarters") + total(found, "one_quarter") > 0.9 * total(found)


@pytest.mark.parametrize("frequency", [99, 499])
def test_sample_count_is_frequency_times_cpu_seconds(docker, start, profile_all, tmp_path, frequency):
    web = start(docker, "web", "/bin/split7525")
    _, before = machines_cpu_s()
    used, share = profile_all(web, 6, "-F", frequency, "-o", "web.json")
    stolen = frequency * (machines_cpu_s()[1] - before)
    capture = json.loads((tmp_path / "web.json").read_text())
    due = frequency * used
    seen = capture["shapes"][0]["ledger"]["seen"]["events"]
    # A program that has the CPU only a part of the time is hit by chance; the timer goes on while the CPU is stolen.
    slack = 0.03 * due + 1 + 3 * math.sqrt(due * (1 - share))
    assert due - slack <= seen <= due + stolen + slack, (seen, due, stolen)


def test_budget_lowers_the_frequency(docker, start, fathom, profile_all, tmp_path):
    """Fewer samples, each of which counts for more: the sum stays frequency × CPU time, and the ledger says it."""
    web = start(docker, "web", "/bin/split7525")
    used, share_of_cpu = profile_all(web, 6, "-F", 1999, "--budget", 0.05, "-o", "web.json")
    capture = json.loads((tmp_path / "web.json").read_text())
    ledger = capture["shapes"][0]["ledger"]
    due = 1999 * used
    every = ledger["seen"]["weight"] / ledger["seen"]["events"]
    hit = 3 * math.sqrt(every * due * (1 - share_of_cpu))
    assert [note for note in ledger["notes"] if "fewer samples" in note], ledger
    assert ledger["seen"]["events"] < 0.7 * ledger["seen"]["weight"], ledger["seen"]
    assert abs(ledger["seen"]["weight"] - due) < 0.1 * due + hit, (ledger["seen"], due)
    assert fathom("flame", "web.json", "-o", "web.folded").returncode == 0
    found = stacks(tmp_path / "web.folded")
    assert abs(share(found, "three_quarters", "three_quarters", "one_quarter") - 0.75) < max(0.1, chance(0.75, ledger["seen"]["events"]))
    assert total(found) > 0.9 * ledger["seen"]["weight"]
    assert fathom("profile", web.name, "--budget", 0).returncode == 2


def test_targets_in_every_form(docker, start, fathom, tmp_path):
    web = start(docker, "web", "/bin/split7525")
    group = next(iter(web.cgroups().values()))
    for number, target in enumerate([web.name, web.id, web.short_id, web.pid, f"{web.name}:1", group]):
        done = fathom("profile", target, "-d", 1, "-o", f"{number}.folded")
        assert done.returncode == 0, (target, done.stderr)
        found = stacks(tmp_path / f"{number}.folded")
        assert total(found, "three_quarters") > 0, target
        assert total(found, web.name) == total(found), target


def test_several_targets_all_host_and_busiest(docker, start, fathom, tmp_path):
    web = start(docker, "web", "/bin/split7525")
    other = start(docker, "other", "/bin/split7525")
    for targets in ([web.name, other.name], ["all"], ["busiest"], []):
        assert fathom("profile", *targets, "-d", 2, "-o", "f.folded").returncode == 0
        found = stacks(tmp_path / "f.folded")
        assert total(found, web.name) > 0 and total(found, other.name) > 0, targets
    assert fathom("profile", "host", "-d", 1, "-o", "h.folded").returncode in (0, 3)
    found = stacks(tmp_path / "h.folded")
    assert total(found, web.name) == total(found, other.name) == 0


def test_short_job_is_still_named(docker, fathom, tmp_path):
    """A container born after the start and gone before the end."""
    measuring = fathom.start("profile", "all", "-d", 8, "-o", "all.folded")
    wait_for(lambda: any("perf_event" in os.readlink(f) for f in Path(f"/proc/{measuring.pid}/fd").iterdir()
                         if f.is_symlink()), what="fathom to attach")
    job = docker.run("job", "/bin/split7525", "0.7")
    wait_for(lambda: not job.alive(), 20, "the job to end")
    docker.rm(job)
    assert measuring.wait(STOP_S) == 0
    found = stacks(tmp_path / "all.folded")
    assert total(found, job.name, "three_quarters") > 0, sorted({stack[0] for stack, _ in found})


def test_quota_shows_in_samples(docker, start, profile_all, tmp_path):
    capped = start(docker, "capped", "/bin/split7525", cpus=0.5)
    used, share = profile_all(capped, 3, "-F", 499, "-o", "c.folded")
    assert total(stacks(tmp_path / "c.folded")) == pytest.approx(499 * used, rel=0.1, abs=3 * math.sqrt(499 * used * (1 - share)))


def test_ctrl_c_gives_what_there_is(docker, start, fathom, tmp_path, wait_attached):
    web = start(docker, "web", "/bin/split7525")
    measuring = fathom.start("profile", web.name, "-d", 600, "-o", "web.folded")
    wait_attached(measuring)
    before = cpu_s(web.pid)
    wait_for(lambda: cpu_s(web.pid) - before > 0.5, 30, "half a second of work")
    measuring.send_signal(signal.SIGINT)
    assert measuring.wait(STOP_S) == 0, measuring.stderr.read()
    assert total(stacks(tmp_path / "web.folded"), "three_quarters") > 10


def test_process_names_cannot_write_to_the_terminal(docker, start, fathom, tmp_path):
    evil = "\x1b]0;owned\x07"
    bad = start(docker, "bad", "sh", "-c", "cp /bin/split7525 \"/tmp/$EVIL\" && exec \"/tmp/$EVIL\"", env={"EVIL": evil})
    wait_for(lambda: "\x1b" in Path(f"/proc/{bad.pid}/comm").read_text(), what="the hostile name")
    done = fathom("profile", bad.name, "-d", 1)
    assert done.returncode == 0, done.stderr
    assert "owned" in done.stdout, done.stdout
    texts = [done.stdout, done.stderr, fathom("ps").stdout, fathom("whois", bad.pid).stdout]
    for suffix in ("svg", "html", "json", "folded"):
        assert fathom("profile", bad.name, "-d", 1, "-o", f"bad.{suffix}").returncode == 0
        texts.append((tmp_path / f"bad.{suffix}").read_text())
    for text in texts:
        assert "\x1b" not in text and "\x07" not in text
    json.loads((tmp_path / "bad.json").read_text())
