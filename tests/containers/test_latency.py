# SPDX-License-Identifier: Apache-2.0
"""fathom latency and blame beside workloads whose truth is known."""
import json
import os
import re
import signal
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

import support
from folded import stacks, total
from runtimes import limited_parent
from support import STOP_S
from test_events import wait_watching
from test_walltime import throttled_us

SECONDS = 4
THROTTLED_US = 2000  # some twenty ends of periods, a tenth of a millisecond each
CUT_CALLS = 5000
TOP_S = 0.5
PRESSURE_S = 2.3  # the kernel adds up every two seconds


def rows(capture, shape="histogram"):
    """A table's rows as (labels, row)."""
    table = next(s for s in capture["shapes"] if s["kind"] == shape)
    if shape == "edges":
        return [((row["source"][1], row["target"][0], row["target"][1]), row["counters"][0]) for row in table["rows"]]
    return [(dict(zip(table["labels"], row["values"])), row["counts"]) for row in table["rows"]]


def waits(capture, **labels):
    """Count and sum (ns) of everything with these labels."""
    found = [counts for values, counts in rows(capture) if all(values.get(k) == v for k, v in labels.items())]
    return sum(c["count"] for c in found), sum(c["sum"] for c in found)


def test_throttled_share_at_a_tenth_of_a_cpu(docker, start, fathom):
    """As much CPU time of one thread as takes some twenty periods, all of it within the measurement; where others want the CPU,
    too, it is throttled less."""
    capped = start(docker, "tenth", "sh", "-c", "until [ -e /go ]; do sleep 0.2; done; split7525 0.2; touch /done; sleep 600",
                   cpus=0.1, args=["--cpuset-cpus", "1"])
    inside = Path(f"/proc/{capped.pid}/root")
    watching = [fathom.start(*command, capped.name, "-d", 300, "--json") for command in (("latency", "runq"), ("blame",))]
    for process in watching:
        wait_watching(process, "runq")
    before = throttled_us(capped)
    (inside / "go").touch()
    support.wait_for((inside / "done").exists, 60, "the work to be done")
    truth = throttled_us(capped) - before
    for process in watching:
        process.send_signal(signal.SIGINT)
    waited, blamed = (json.loads(process.communicate(timeout=STOP_S)[0]) for process in watching)
    assert truth > 1e5
    assert waits(waited, container=capped.name, wait="throttled")[1] / 1000 == pytest.approx(truth, rel=0.02, abs=THROTTLED_US)
    # The same by blame: so much is its own quota's, whatever else the CPU is busy with.
    quota = sum(ns for (_, kind, _), ns in rows(blamed, "edges") if kind == "quota")
    assert quota / 1000 == pytest.approx(truth, rel=0.02, abs=THROTTLED_US)


def test_sleepers_that_are_moved_do_not_wait(docker, start, fathom, tmp_path):
    """The scheduler takes a sleep for a wait: that of a thread which was moved to another CPU when it had just fallen asleep,
    here before anybody looked. None of it is told as one, neither while it lasts nor when it is over."""
    moved = start(docker, "moved", "/bin/moved", "12")
    support.wait_for(lambda: "ready" in docker.cli("logs", moved.id).stdout, 60, "the sleepers to be moved")
    walltime = fathom.start("walltime", moved.name, "-d", 300, "-o", "out.folded")
    latency = fathom.start("latency", "runq", moved.name, "-d", 300, "--json")
    wait_watching(walltime, "walltime")
    wait_watching(latency, "runq")
    began = time.monotonic()
    diagnoses = [fathom.start("diagnose", moved.name, "-d", 2, "--json", *files) for files in ([], ["--files"])]
    time.sleep(1)  # of sleep
    slept_ns = (time.monotonic() - began) * 1e9
    os.kill(moved.pid, signal.SIGTERM)
    logs = support.wait_for(lambda: re.search(r"waiting: (\d+)", docker.cli("logs", moved.id).stdout), 30, "them to wake up")
    if int(logs[1]) == 0:
        support.lack("a kernel that keeps sleepers on their run queue")
    for process in (walltime, latency):
        process.send_signal(signal.SIGINT)
    waited = waits(json.loads(latency.communicate(timeout=STOP_S)[0]), container=moved.name)[1]
    assert waited < slept_ns / 2
    assert walltime.wait(STOP_S) == 0
    found = stacks(tmp_path / "out.folded")
    assert total(found, "blocked") * 1000 > 12 * 0.9 * slept_ns
    assert total(found, "waiting for CPU") * 1000 < slept_ns / 2
    for process in diagnoses:
        report = json.loads(process.communicate(timeout=STOP_S)[0])
        assert not any("CPU" in f["verdict"] for f in report["findings"] if f["container"] == moved.name), report["findings"]


def test_processes_that_were_moved_asleep_do_not_wait(docker, start, fathom, tmp_path):
    """The same in the list of processes: of threads that were looked at while they slept, stamped as if they waited."""
    moved = start(docker, "moved", "/bin/moved", "8", "stay")
    support.wait_for(lambda: "ready" in docker.cli("logs", moved.id).stdout, 60, "the sleepers to be moved")
    with open(tmp_path / "processes", "w") as file:
        fathom.start("top", "--processes", "--json", "--interval", TOP_S, stdout=file)

    def looks():
        return [row for row in map(json.loads, (tmp_path / "processes").read_text().rpartition("\n")[0].splitlines())
                if row.get("key") == str(moved.pid)]
    support.wait_for(looks, 60, "top to look at them asleep")
    began = time.monotonic()
    time.sleep(2)  # of sleep
    slept_ns = (time.monotonic() - began) * 1e9
    os.kill(moved.pid, signal.SIGTERM)
    logs = support.wait_for(lambda: re.search(r"waiting: (\d+)", docker.cli("logs", moved.id).stdout), 30, "them to wake up")
    if int(logs[1]) == 0:
        support.lack("a kernel that keeps sleepers on their run queue")
    before = len(looks())
    support.wait_for(lambda: len(looks()) > before + 1, 30, "top to look at them awake")
    assert sum(row["runqueue_wait_ns"] for row in looks()) < int(logs[1]) * slept_ns / 2


def test_planted_culprit_is_named_first(docker, start, fathom):
    """A victim and the one who takes its CPU, beside an innocent on the other."""
    innocent = start(docker, "innocent", "/bin/burn", args=["--cpuset-cpus", "1"])
    culprit = start(docker, "culprit", "/bin/burn", "2", cpu_shares=4096, args=["--cpuset-cpus", "0"])
    victim = start(docker, "victim", "/bin/split7525", args=["--cpuset-cpus", "0"])
    done = fathom("blame", victim.name, "-i", SECONDS / 8, "--count", 8, "--json")
    assert done.returncode == 0, done.stderr
    captures = [json.loads(line) for line in done.stdout.splitlines()]
    first = 0
    for capture in captures:
        culprits = sorted(rows(capture, "edges"), key=lambda row: -row[1])
        assert all(source == victim.name for (source, _, _), _ in culprits)
        # What else the machine is busy with is the host's, and may be more.
        first += [end[1:] for end, _ in culprits if end[1] != "host"][:1] == [("container", culprit.name)]
    assert first >= 0.95 * len(captures) - 1 and len(captures) == 8
    assert not any(name == innocent.name and ns > sum(n for _, n in culprits) / 50 for (_, _, name), ns in culprits)
    # The parts add up to the wait that is measured at the same hook by itself.
    ledger = next(s for s in capture["shapes"] if s["kind"] == "edges")["ledger"]
    assert sum(ns for _, ns in culprits) == pytest.approx(ledger["expected_weight"], rel=0.05)
    text = fathom("blame", victim.name, "-d", "0.5").stdout
    assert culprit.name in text and victim.name in text


def test_intervals(docker, start, fathom):
    ticking = start(docker, "ticking", "sh", "-c", "while :; do usleep 1000; done").name
    done = fathom("latency", "runq", ticking, "-i", "0.3", "--count", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    done = fathom("latency", "runq", ticking, "-i", "0.3", "--count", "2")
    assert done.stdout.count("What this rests on") == 2


def test_an_interval_cut_short_is_told(docker, start, fathom):
    calls = start(docker, "calls", "/bin/flood", CUT_CALLS, "/tmp/go")
    root = Path(f"/proc/{calls.pid}/root/tmp")
    watch = fathom.start("latency", "syscall", calls.name, "-i", 4, "--budget", 100, "--json")
    lines = [watch.stdout.readline()]
    (root / "go").touch()
    support.wait_for((root / "go.done").exists, 30, "the calls to be made")
    watch.send_signal(signal.SIGINT)
    lines += watch.communicate(timeout=STOP_S)[0].splitlines()
    captures = [json.loads(line) for line in lines]
    assert sum(waits(capture, syscall="getppid")[0] for capture in captures) == CUT_CALLS
    assert len(captures) >= 2 and captures[-1]["duration_ns"] < 4e9
    partial = [[note for note in c["shapes"][0]["ledger"]["notes"] if note.startswith("partial: ")] for c in captures]
    assert not any(partial[:-1]) and len(partial[-1]) == 1 and "of an interval of 4.0" in partial[-1][0]


@pytest.mark.parametrize("arguments", [["latency"], ["latency", "moon"], ["latency", "runq", "--by", "moon"],
                                       ["latency", "runq", "--count", "3"], ["latency", "runq", "-d", "x"],
                                       ["latency", "runq", "-o", "a.folded"], ["latency", "runq", "nosuchcontainer"],
                                       ["latency", "runq", "--rung", "moon"], ["latency", "syscall", "--budget", "0"], ["blame", "nosuchcontainer"],
                                       ["blame", "-i", "1", "-o", "a.svg"]])
def test_bad_input_is_one_sentence(fathom, arguments):
    done = fathom(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"fathom {arguments[0]}: ")


def test_blame_of_a_memory_limit(docker, start, fathom):
    """A page cache that does not fit below the limit: whoever fills it makes room himself."""
    tight = start(docker, "tight", "sh", "-c", "while :; do dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null; done",
                  args=["--memory", "24m"])
    capture = fathom.json("blame", "memory", tight.name, "-d", SECONDS, "--json")
    culprits = sorted(rows(capture, "edges"), key=lambda row: -row[1])
    assert culprits and culprits[0][0] == (tight.name, "quota", "its own memory limit") and culprits[0][1] > 0


def test_blame_names_limits_above(docker, start, fathom):
    """What a limit of the cgroup above explains is not called the container's own."""
    with limited_parent(docker, 20_000, 24 << 20) as parent:
        under = ["--cgroup-parent", parent]
        free = start(docker, "free", "/bin/burn", args=under)
        both = start(docker, "both", "/bin/burn", cpus=0.1, args=under)
        filler = start(docker, "filler", "sh", "-c", "while :; do dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null; done", args=under)
        cpu = rows(fathom.json("blame", "cpu", free.name, both.name, "-d", 2, "--json"), "edges")
        memory = rows(fathom.json("blame", "memory", filler.name, "-d", SECONDS, "--json"), "edges")
    quotas = {source: name for (source, kind, name), ns in cpu if kind == "quota" and ns > 0}
    assert quotas == {free.name: f"CPU quota of {parent}", both.name: f"its own CPU quota or that of {parent}"}
    limits = {name for (_, kind, name), ns in memory if kind == "quota" and ns > 0}
    assert limits == {f"memory limit of {parent}"}


class Pressure:
    """How long a container's processes have waited for memory, as the kernel counts it: it adds up every two seconds."""

    def __init__(self, container):
        self.pid = container.pid
        base = Path("/sys/fs/cgroup/unified" if Path("/sys/fs/cgroup/unified").exists() else "/sys/fs/cgroup")
        self.file = Path(f"{base}{container.cgroups()['']}") / "memory.pressure"
        if not self.file.exists():
            pytest.skip("this kernel keeps no pressure stall information")

    def us(self):
        return int(re.search(r"^some .*total=(\d+)", self.file.read_text(), re.M)[1])

    def stop(self):
        """Stops the container's process; what it has waited until then."""
        os.kill(self.pid, signal.SIGSTOP)
        told, since = self.us(), time.monotonic()
        while time.monotonic() - since < PRESSURE_S:
            if (now := self.us()) != told:
                told, since = now, time.monotonic()
            time.sleep(0.05)
        return told


def test_blame_of_pages_read_again(docker, start, fathom, wait_attached):
    """A file as large as the limit, read over and over: what blame counts is what the kernel counts as pressure."""
    thrash = start(docker, "thrash", "/bin/trouble", "reread", "/file", "64", memory="64m")
    pressure = Pressure(thrash)
    support.wait_for(pressure.us, 20, "the file not to fit")
    before = pressure.stop()
    watch = fathom.start("blame", "memory", thrash.name, "-d", "600", "--json")
    wait_attached(watch)
    os.kill(thrash.pid, signal.SIGCONT)
    support.wait_for(lambda: pressure.us() - before > 200_000, 30, "pressure")
    truth = pressure.stop() - before
    watch.send_signal(signal.SIGINT)
    out, complaints = watch.communicate(timeout=STOP_S)
    assert watch.returncode == 0, complaints
    table = next(shape for shape in json.loads(out)["shapes"] if shape["kind"] == "edges")
    assert sum(row["counters"][0] for row in table["rows"]) / 1000 == pytest.approx(truth, rel=0.15)
    assert all(row["target"] == ["quota", "its own memory limit"] for row in table["rows"] if row["counters"][0] > 1e7)
    # Whether a page counts as read again depends on how soon it is; often half of the time is such.
    assert {row["values"][1] for row in table["rows"]} <= {None, "pages read again"}


def test_blame_at_a_disk(docker, start, fathom):
    """One that floods the disk and one that writes a little: the flood is what the other waits for."""
    flood = start(docker, "flood", "sh", "-c", "while :; do dd if=/dev/zero of=/big bs=1M count=64 conv=fsync 2>/dev/null; done")
    little = start(docker, "little", "sh", "-c",
                   "while :; do dd if=/dev/zero of=/small bs=4k count=1 conv=fsync 2>/dev/null; usleep 20000; done")
    capture = fathom.json("blame", "block", little.name, "-d", SECONDS, "--json")
    ledger = next(s for s in capture["shapes"] if s["kind"] == "edges")["ledger"]
    found = rows(capture, "edges")
    if not found:
        pytest.skip("the containers' file system is on no disk")
    assert sum(ns for _, ns in found) == pytest.approx(ledger["expected_weight"], rel=0.05)
    assert any(target == flood.name and ns > 0 for (_, _, target), ns in found), found


def test_hostile_process_name(docker, start, fathom, tmp_path):
    evil = "\x1b]0;\"<b>\n"
    bad = start(docker, "bad", "sh", "-c", 'cp /bin/split7525 "/tmp/$EVIL" && exec "/tmp/$EVIL"', env={"EVIL": evil})
    support.wait_for(lambda: "\x1b" in Path(f"/proc/{bad.pid}/comm").read_text(), what="the hostile name")
    for probe in ("runq", "fault", "syscall"):
        done = fathom("latency", probe, bad.name, "--by", "process", "-d", "0.5")
        assert done.returncode == 0 and "\x1b" not in done.stdout and "<b>\n" not in done.stdout
    named = [values["process"] for values, _ in rows(fathom.json("latency", "runq", bad.name, "--by", "process", "-d", 1, "--json"))]
    assert evil in named
    for suffix in ("svg", "html"):
        assert fathom("latency", "runq", bad.name, "--by", "process", "-d", "0.5", "-o", f"out.{suffix}").returncode == 0
        assert "<b>" not in (tmp_path / f"out.{suffix}").read_text()
        assert fathom("blame", bad.name, "-d", "0.5", "-o", f"who.{suffix}").returncode == 0
        assert "<b>" not in (tmp_path / f"who.{suffix}").read_text()
    ElementTree.parse(tmp_path / "out.svg")
    ElementTree.parse(tmp_path / "who.svg")


SWITCHES = 300_000


@pytest.mark.parametrize("command", [("latency", "runq"), ("blame", "cpu")])
def test_a_flood_of_switches_is_sampled_and_its_count_is_right(docker, start, fathom, command):
    """Two processes that wake each other, within a budget nothing keeps to: at worst one wait in 1024 is looked at, some 600,
    so that the estimate has a standard deviation of 4 %."""
    pair = start(docker, "pair", "sh", "-c", f"until [ -e /go ]; do sleep 0.05; done; pingpong {SWITCHES}; touch /done; sleep 600",
                 args=["--cpuset-cpus", "0"])
    root = Path(f"/proc/{pair.pid}/root")
    watch = fathom.start(*command, pair.name, "-d", 300, "--budget", "0.01", "--json")
    wait_watching(watch, "runq")
    (root / "go").touch()
    support.wait_for((root / "done").exists, 90, "the flood to end")
    watch.send_signal(signal.SIGINT)
    capture = json.loads(watch.communicate(timeout=STOP_S)[0])
    ledger = capture["shapes"][0]["ledger"]
    notes = " ".join(ledger["notes"])
    assert "to stay within the budget" in notes and "down to one in" in notes, notes
    # Each round trip is two waits, and more where both are preempted meanwhile. Of blame they are parts of waits.
    assert ledger["seen"]["events"] >= 2 * SWITCHES * 0.84, ledger
    if command[0] == "blame":
        assert sum(ns for _, ns in rows(capture, "edges")) == pytest.approx(ledger["expected_weight"], rel=0.05)
    else:
        assert ledger["seen"]["events"] <= 2 * SWITCHES * 1.3, ledger


FLOOD_CALLS = 4_000_000


def test_a_flood_is_sampled_and_its_count_is_right(docker, start, fathom):
    """Four million calls, as fast as they come, within a budget that is too small for all of them: at worst one in 1024 is
    looked at, some 4,000, so that the estimate has a standard deviation of 1.6 %."""
    flood = start(docker, "flood", "/bin/flood", FLOOD_CALLS, "/tmp/go")
    root = Path(f"/proc/{flood.pid}/root/tmp")
    watch = fathom.start("latency", "syscall", flood.name, "-d", 300, "--budget", "1", "--json")
    wait_watching(watch, "syscall")
    (root / "go").touch()
    support.wait_for((root / "go.done").exists, 60, "the flood to end")
    watch.send_signal(signal.SIGINT)
    capture = json.loads(watch.communicate(timeout=STOP_S)[0])
    assert waits(capture, syscall="getppid")[0] == pytest.approx(FLOOD_CALLS, rel=0.08)
    notes = " ".join(capture["shapes"][0]["ledger"]["notes"])
    assert "to stay within the budget" in notes and "cost: " in notes
