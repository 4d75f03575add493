# SPDX-License-Identifier: Apache-2.0
"""fathom trace, slow and latency of files, block I/O and system calls, against programs that say what they did."""
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import STOP_S, Missing, lack, run, tool, wait_for

SECRET = "hunter2-not-to-be-seen"
HOSTILE = "e\033[2J\"q'\n}"
HOSTILE_SHELL = "$(printf 'e\\033[2J\\042q\\047\\n}')"
EXACT = ("--budget", "100")  # nothing sampled, however slow the machine: counts are compared


def events_of(text):
    return [json.loads(line) for line in text.splitlines()]


# Programs a probe attaches besides the two that hear of cgroups' births: when it has them all, it watches.
PROGRAMS = {"oom": 4, "block": 5, "fs": 2, "syscall": 2, "futex": 2}


def links(pid):
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += any(word in os.readlink(descriptor) for word in ("bpf_link", "bpf-link", "raw-tracepoint"))
        except OSError:
            pass
    return count


def wait_watching(process, kind):
    def watching():
        assert process.poll() is None, process.communicate()
        return links(process.pid) >= 2 + PROGRAMS.get(kind, 1)
    wait_for(watching, 30, "fathom to attach")


@dataclass
class Truth:
    times: int
    ns: int
    longest_ns: int


class Worker:
    """A container that does something the moment it is told to."""

    def __init__(self, container, directory):
        self.container, self.directory = container, directory
        self.name = container.name

    def go(self):
        (self.directory / "go").touch()

    def result(self):
        path = wait_for(lambda: (self.directory / "result").exists() and self.directory / "result", 60, "the result")
        return {line.split()[0]: Truth(*map(int, line.split()[1:])) for line in path.read_text().splitlines()}


@pytest.fixture
def worker(docker, start, tmp_path):
    """worker(name, *command, **options): DIR in the command is a directory the host sees, too."""
    def make(name, *command, **options):
        directory = tmp_path / f"{name}-files"
        directory.mkdir()
        container = start(docker, name, *[c.replace("DIR", "/work") for c in command],
                          mounts={directory: "/work"}, **options)
        return Worker(container, directory)
    return make


def shell(worker, name, script, **options):
    return worker(name, "sh", "-c", f"until [ -e DIR/go ]; do sleep 0.02; done; {script}\nsleep 600", **options)


@pytest.fixture
def follow(fathom):
    """follow(worker, *arguments, until=…): runs fathom, lets the worker go, and returns (events, process's stderr,
    exit status) once `until` finds what it waits for in the events so far."""
    def run(worker, *arguments, until, out="follow.jsonl"):
        path = fathom.directory / out
        with open(path, "w") as output:
            process = fathom.start(*arguments, "--json", stdout=output)
        wait_watching(process, arguments[1])
        worker.go()
        try:
            wait_for(lambda: until(events_of(whole_lines(path))), 30, "the events")
        except TimeoutError as late:
            raise AssertionError(path.read_text()) from late
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=STOP_S)
        return events_of(path.read_text()), errors, process.returncode
    return run


def whole_lines(path):
    return path.read_text().rpartition("\n")[0]


def kinds(events, kind, **fields):
    return [e for e in events if e["kind"] == kind and all(e.get(k) == v for k, v in fields.items())]


def some(kind, **fields):
    return lambda events: kinds(events, kind, **fields)


# ---- trace ----

def test_exec_without_secrets(worker, follow):
    web = shell(worker, "web", f"/bin/echo {SECRET} >/dev/null")
    events, errors, status = follow(web, "trace", "exec", web.name, until=some("exec", process="echo"))
    assert status == 0, errors
    event = kinds(events, "exec", process="echo")[0]
    assert event["container"] == web.name and event["file"] == "/bin/echo" and event["program"] == "/bin/busybox"
    assert event["argument_count"] == 2 and 1 < event["inner_pid"] < event["pid"] and event["parent"] == "sh"
    assert SECRET not in json.dumps(events)


def test_exec_with_arguments(worker, follow):
    web = shell(worker, "web", f"/bin/echo {SECRET} 'a b' '' >/dev/null")
    events, _, _ = follow(web, "trace", "exec", "--args", web.name, until=some("exec", process="echo"))
    assert kinds(events, "exec", process="echo")[0]["arguments"] == ["/bin/echo", SECRET, "a b", ""]


def test_exit_status_and_signal(worker, follow):
    web = shell(worker, "web", "sh -c 'exit 3'; sleep 100 & kill -TERM $!; wait")
    events, _, _ = follow(web, "trace", "exit", web.name, until=some("exit", signal="SIGTERM"))
    assert kinds(events, "exit", status=3)[0]["process"] == "sh"
    killed = kinds(events, "exit", signal="SIGTERM")[0]
    assert "status" not in killed and killed["container"] == web.name and killed["lifetime_ns"] > 0


def test_signal_names_sender(worker, follow):
    web = shell(worker, "web", "sleep 100 & kill -USR1 $!; wait")
    events, _, _ = follow(web, "trace", "signal", web.name, until=some("signal", signal="SIGUSR1"))
    event = kinds(events, "signal", signal="SIGUSR1")[0]
    assert event["from"] == web.name and event["sender"] == "sh" and event["sender_inner_pid"] == 1
    assert event["result"] == "delivered" and event["inner_pid"] > 1


def test_open_path_and_error(worker, follow):
    web = shell(worker, "web", "cd /etc; cat ../etc/./passwd nothing-there >/dev/null 2>&1")
    events, _, _ = follow(web, "trace", "open", web.name, until=some("open", error="ENOENT", file="nothing-there"))
    event = kinds(events, "open", file="/etc/passwd")[0]
    assert event["asked"] == "../etc/./passwd" and event["flags"] == "read" and event["process"] == "cat"


def test_oom_names_culprit(worker, follow):
    # A shell inside takes the memory, so that the container lives on.
    web = shell(worker, "web", "tail /dev/zero", memory="64m")
    events, errors, status = follow(web, "trace", "oom", web.name, until=some("oom process", process="tail"))
    assert status == 0, errors
    event = kinds(events, "oom")[0]
    assert event["container"] == web.name and event["process"] == "tail" and event["culprit"] == web.name
    assert event["scope"] == "container" and event["limit_bytes"] == 64 << 20
    assert 0.8 * event["limit_bytes"] <= event["usage_bytes"] <= 1.01 * event["limit_bytes"]
    assert 0.5 * event["limit_bytes"] <= event["resident_bytes"] <= 1.1 * event["limit_bytes"]
    rows = kinds(events, "oom process")
    assert rows[0]["killed"] == "yes" and rows[0]["process"] == "tail"
    assert {e["container"] for e in rows} == {web.name}
    assert sum(e["resident_bytes"] for e in rows) <= event["processes_resident_bytes"] * 1.01


def test_throttle_names_quota(worker, follow):
    web = shell(worker, "web", "while :; do :; done", cpus=0.1)
    events, _, _ = follow(web, "trace", "throttle", web.name, until=lambda e: len(e) >= 5)
    for event in events:
        assert event["container"] == web.name and event["limit_of"] == web.name and event["scope"] == "container"
        assert event["quota_ns"] * 10 == event["period_ns"]
    assert any(0.1 * e["period_ns"] < e["duration_ns"] < 2 * e["period_ns"] for e in events)


def test_flood_does_not_hide_others(worker, follow, fathom):
    loud = shell(worker, "loud", "while :; do : </etc/passwd; done")
    quiet = shell(worker, "quiet", "cat /etc/group >/dev/null")
    loud.go()
    events, errors, status = follow(quiet, "trace", "open", loud.name, quiet.name, "--rate", 20, "-o", "capture.json",
                                    until=lambda e: kinds(e, "open", container=quiet.name, file="/etc/group") and
                                    len(kinds(e, "open", container=loud.name)) > 20)
    assert status == 3 and "left out" in errors and loud.name in errors, errors
    capture = json.loads((fathom.directory / "capture.json").read_text())
    shape = capture["shapes"][0]
    floods = {f["container"]: f["events"] for f in shape["floods"]}
    assert floods[loud.name] > 0 and quiet.name not in floods
    ledger = shape["ledger"]
    assert ledger["items"]["lost_flood"]["events"] == sum(floods.values())
    assert ledger["seen"]["events"] == len(events) + sum(floods.values())


def test_hostile_names(worker, follow, fathom):
    script = f"f=/tmp/{HOSTILE_SHELL}; cp /bin/busybox \"$f\"; \"$f\" \"$f\" 2>/dev/null; cat \"$f\" >/dev/null"
    for number, arguments in enumerate((("trace", "exec", "--args"), ("trace", "open"), ("trace", "exit"),
                                        ("slow", "fs", "--over", "0"))):
        web = shell(worker, f"web{number}", script)
        events, _, _ = follow(web, *arguments, web.name, until=lambda e: "[2J" in json.dumps(e), out=f"{number}.jsonl")
        assert f"/tmp/{HOSTILE}" in json.dumps(events, ensure_ascii=False).encode().decode("unicode_escape") or \
            any(HOSTILE[:15] in e.get("process", "") for e in events)
        web = shell(worker, f"text{number}", script)
        with open(fathom.directory / "text", "wb") as output:
            process = fathom.start(*arguments, web.name, stdout=output)
        wait_watching(process, arguments[1])
        web.go()
        wait_for(lambda: b"[2J" in (fathom.directory / "text").read_bytes(), 30, "the name")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S)
        text = (fathom.directory / "text").read_bytes()
        assert b"\033" not in text and all(32 <= b or b == 10 for b in text)
        assert all(line.startswith((b"TIME", b"0", b"1", b"2")) for line in text.splitlines()), text


# ---- slow ----

def test_slow_syscall_finds_fifo(worker, follow):
    web = worker("web", "/bin/slowops", "DIR")
    events, _, _ = follow(web, "slow", "syscall", "--over", "40ms", web.name, until=some("slow", file="/work/fifo", syscall="read"))
    truth = web.result()["fifo"]
    event = kinds(events, "slow", file="/work/fifo", syscall="read")[0]
    assert event["container"] == web.name and event["inner_pid"] == 1 and event["size_bytes"] == 1
    assert 0.9 * truth.longest_ns <= event["latency_ns"] <= truth.longest_ns


def test_slow_futex(worker, follow):
    web = worker("web", "/bin/slowops", "DIR")
    events, _, _ = follow(web, "slow", "futex", "--over", "40ms", web.name, until=lambda e: len(e) >= 3)
    truth = web.result()["futex"]
    assert len(events) == truth.times
    assert 0.9 * truth.ns <= sum(e["latency_ns"] for e in events) <= truth.ns
    assert {(e["operation"], e["likely"], e["error"]) for e in events} == {("wait", "lock", "ETIMEDOUT")}


def test_slow_fs_lists_every_operation(worker, follow):
    web = worker("web", "/bin/slowops", "DIR")
    events, _, _ = follow(web, "slow", "fs", "--over", "0", web.name,
                          until=lambda e: len(kinds(e, "slow", operation="fsync", file="/work/file")) >= 50)
    truth = web.result()
    for operation in ("open", "write", "read", "fsync"):
        mine = kinds(events, "slow", operation=operation, file="/work/file")
        assert len(mine) == truth[operation].times, operation
        # Of a few microseconds, entering the kernel and being watched is a good part, and one turn of somebody else is all.
        least = 0.7 if operation == "fsync" else 0
        assert least * truth[operation].ns < sum(e["latency_ns"] for e in mine) <= truth[operation].ns
    sizes = {e["size_bytes"] for e in kinds(events, "slow", operation="write", file="/work/file")}
    assert sizes == {4096}
    assert {e["offset_bytes"] for e in kinds(events, "slow", operation="read", file="/work/file")} == {0}


# ---- latency ----

def rows_of(text, **wanted):
    """count and sum of the histogram's rows that have these labels."""
    shape = json.loads(text)["shapes"][0]
    found = [row for row in shape["rows"] if all(labels_of(shape, row)[k] == v for k, v in wanted.items())]
    return sum(row["counts"]["count"] for row in found), sum(row["counts"]["sum"] for row in found)


def labels_of(shape, row):
    return dict(zip(shape["labels"], row["values"]))


@pytest.fixture
def measure(fathom):
    """measure(worker, *arguments): the JSON of a measurement during which the worker did all it does, and its truth."""
    def run(worker, *arguments):
        process = fathom.start(*arguments, worker.name, "-d", "300", "--json", *EXACT)
        wait_watching(process, arguments[1])
        worker.go()
        truth = worker.result()
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=STOP_S)
        assert process.returncode == 0, errors
        return text, truth
    return run


def test_fs_latency_is_what_the_program_measured(worker, measure):
    web = worker("web", "/bin/slowops", "DIR")
    text, truth = measure(web, "latency", "fs")
    for operation in ("open", "fsync"):
        count, ns = rows_of(text, container=web.name, operation=operation)
        assert truth[operation].times <= count <= truth[operation].times + 10, operation  # its own start and result
    count, ns = rows_of(text, container=web.name, operation="fsync")
    assert 0.7 * truth["fsync"].ns <= ns <= truth["fsync"].ns


def test_syscall_counts_and_errors(worker, measure):
    web = worker("web", "/bin/slowops", "DIR")
    text, truth = measure(web, "latency", "syscall")
    count, ns = rows_of(text, container=web.name, syscall="futex", error="ETIMEDOUT")
    assert count == truth["futex"].times and 0.9 * truth["futex"].ns <= ns <= truth["futex"].ns
    assert rows_of(text, container=web.name, syscall="fsync")[0] == truth["fsync"].times


def test_block_latency_of_direct_writes(worker, measure):
    web = worker("web", "/bin/slowops", "DIR")
    text, truth = measure(web, "latency", "block")
    if not truth["direct"].times:
        pytest.skip("this file system has no direct I/O")
    count, device_ns = rows_of(text, container=web.name, time="device", operation="write", size="to 64 KiB")
    _, queue_ns = rows_of(text, container=web.name, time="queue", operation="write", size="to 64 KiB")
    assert count >= truth["direct"].times  # fsync writes, too
    direct_ns = truth["direct"].ns + truth["fsync"].ns
    assert 0 < device_ns + queue_ns <= direct_ns * 1.05


@pytest.fixture
def disk(tmp_path):
    """(directory, device): a file system on a disk of its own."""
    image, directory = tmp_path / "image", tmp_path / "disk"
    directory.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    device = run("losetup", "-f", "--show", image, check=False).stdout.strip()
    if not device:
        lack("this machine has no loop devices")
    try:
        run(tool("mkfs.ext4"), "-q", device)
        run("mount", device, directory)
        yield directory, device.removeprefix("/dev/")
    finally:
        run("umount", directory, check=False)
        run("losetup", "-d", device)


def log2_tables(text, key):
    """libbpf-tools' histograms, as {name: {lowest µs of a bucket: count}}; `key` stands before each name."""
    tables = {}
    for block in text.split(key)[1:]:
        tables[re.match(r"\d+|", block)[0]] = {int(low): int(count) for low, count in
                                               re.findall(r"^\s*(\d+) -> \d+\s*: (\d+)", block, re.M)}
    return tables


def own_tables(text, name_of, **wanted):
    """fathom's histograms in the same form. Beyond a millisecond ours double from 1000 µs, theirs from 1024."""
    shape, tables = json.loads(text)["shapes"][0], {}
    for row in shape["rows"]:
        labels = labels_of(shape, row)
        if any(labels[k] != v for k, v in wanted.items()):
            continue
        table = tables.setdefault(name_of(labels), {})
        for bucket, count in row["counts"]["buckets"]:
            low_us = shape["bounds"][bucket] // 1000
            low_us = 0 if low_us < 2 else 1 << low_us.bit_length() - (low_us < 1000)
            table[low_us] = table.get(low_us, 0) + count
    return tables


def shares_below(table):
    """A function that says which part of a histogram's events lies below a bucket's end."""
    return lambda low_us: sum(n for low, n in table.items() if low <= low_us) / sum(table.values())


# A wake-up's hooks stand some microseconds after the clock that the scheduler reads there, more where caches are cold.
FINEST_US = 16


def farthest_apart(ours, theirs):
    """The largest difference of both in the part of events that lies below a bound."""
    both = sorted(low for low in {*ours, *theirs} if low >= FINEST_US // 2)
    mine, peers = shares_below(ours), shares_below(theirs)
    return max(abs(mine(low) - peers(low)) for low in both)


def peer_tool(name):
    try:
        return tool(name)
    except Missing as missing:
        lack(str(missing))


@pytest.fixture
def peer():
    """peer(links, name, *arguments): a tool that is watching by the time this returns; its finish() gives what it said."""
    started = []

    def run(expected, name, *arguments):
        process = subprocess.Popen([peer_tool(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        wait_for(lambda: links(process.pid) >= expected, 30, f"{name} to attach")

        def finish():
            process.send_signal(signal.SIGINT)
            return process.communicate(timeout=STOP_S)[0]
        process.finish = finish
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


CROWD = "crowd 4 600 & pingpong 15000 >/dev/null & wait; touch DIR/done"
RUNQLAT_HOOKS = 3
APART = 0.05


def test_run_queues_agree_with_runqlat(worker, fathom, peer):
    """Six processes share a CPU for some seconds, all of it watched by both: by process and by pid namespace."""
    crowd = shell(worker, "crowd", CROWD, args=["--cpuset-cpus", "0"])
    by_pid, by_pidns = peer(RUNQLAT_HOOKS, "runqlat", "-P"), peer(RUNQLAT_HOOKS, "runqlat", "--pidnss")
    watching = {by: fathom.start("latency", "runq", crowd.name, "--by", by, "-d", "300", "--json", *EXACT) for by in ("pid", "pidns")}
    for process in watching.values():
        wait_watching(process, "runq")
    space = re.search(r"\d+", os.readlink(f"/proc/{crowd.container.pid}/ns/pid"))[0]
    crowd.go()
    wait_for((crowd.directory / "done").exists, 60, "the crowd to end")
    for process in watching.values():
        process.send_signal(signal.SIGINT)
    theirs = log2_tables(by_pidns.finish(), "pidns = ")[space]
    [ours] = own_tables(watching["pidns"].communicate(timeout=STOP_S)[0], lambda labels: labels["pidns"]).values()
    assert sum(theirs.values()) > 30000
    assert sum(ours.values()) == pytest.approx(sum(theirs.values()), rel=0.05)
    assert farthest_apart(ours, theirs) < APART, (ours, theirs)
    # What waited long is few beside the ping-pong: looked at by itself.
    long_ours, long_theirs = ({low: n for low, n in table.items() if low >= 64} for table in (ours, theirs))
    assert sum(long_theirs.values()) > 1000
    assert sum(long_ours.values()) == pytest.approx(sum(long_theirs.values()), rel=0.05)
    assert farthest_apart(long_ours, long_theirs) < APART, (ours, theirs)
    theirs = log2_tables(by_pid.finish(), "pid = ")
    ours = own_tables(watching["pid"].communicate(timeout=STOP_S)[0], lambda labels: re.search(r"(\d+)\)$", labels["process"])[1])
    busy = [pid for pid, table in ours.items() if sum(table.values()) > 100]
    assert len(busy) >= 6  # four of the crowd, both of pingpong
    for pid in busy:
        assert sum(ours[pid].values()) == pytest.approx(sum(theirs[pid].values()), rel=0.05), pid
        assert farthest_apart(ours[pid], theirs[pid]) < APART, (pid, ours[pid], theirs[pid])


FIO_READS = 300
FIO_READ_BYTES = 512 << 10


def fio_reads(device, directory):
    """Reads of the disk itself, one after the other; what fio's own log says of each, in ns: from before it hands it over until it
    has heard of its end, which is late where it waits for a CPU."""
    run(peer_tool("fio"), "--name=reads", f"--filename=/dev/{device}", "--rw=randread", "--direct=1", f"--bs={FIO_READ_BYTES}",
        "--ioengine=libaio", "--iodepth=1", "--clocksource=clock_gettime",
        f"--size={16 << 20}", f"--io_size={FIO_READS * FIO_READ_BYTES}", "--write_lat_log=log", "--log_avg_msec=0",
        cwd=directory)
    return [int(line.split(",")[1]) for line in (directory / "log_lat.1.log").read_text().splitlines()]


def kernels_reads(device):
    """(reads, ns of them all) of a disk so far, by the kernel's own books: from the making of a request to its end."""
    reads, _, _, ms = map(int, Path(f"/sys/block/{device}/stat").read_text().split()[:4])
    return reads, ms * 1_000_000



def test_block_agrees_with_biolatency_and_fio(docker, start, disk, fathom, peer, tmp_path):
    directory, device = disk
    web = Worker(start(docker, "web", "/bin/slowops", "/work", mounts={directory: "/work"}), directory)
    biolatency = peer(2, "biolatency", "-d", device, "1000")
    process = fathom.start("latency", "block", "-d", "300", "--json", *EXACT)
    wait_watching(process, "block")
    reads, reads_ns = kernels_reads(device)
    web.go()
    truth = web.result()
    read_ns = fio_reads(device, tmp_path)
    run("sync", "-f", directory)
    reads, reads_ns = (after - before for after, before in zip(kernels_reads(device), (reads, reads_ns)))
    theirs = log2_tables(biolatency.finish(), "\n\n").popitem()[1]
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, errors
    ours = own_tables(text, lambda labels: labels["device"], device=device, time="device")[device]
    assert sum(ours.values()) == pytest.approx(sum(theirs.values()), rel=0.02, abs=2), (ours, theirs)
    assert farthest_apart(ours, theirs) < APART, (ours, theirs)
    # The size of a read tells fio's from those of the file system's own.
    wanted = {"device": device, "operation": "read", "size": "above 256 KiB"}
    count, device_ns = rows_of(text, time="device", **wanted)
    _, queue_ns = rows_of(text, time="queue", **wanted)
    assert len(read_ns) == FIO_READS and count == pytest.approx(FIO_READS, rel=0.01)
    assert device_ns + queue_ns < sum(read_ns), (device_ns, queue_ns, sum(read_ns))
    # All reads, of whatever size, beside the kernel's books, which are in ms, begin when a request is made, before it is put aside and
    # handed on together with others, and are closed a moment later.
    wanted.pop("size")
    count, device_ns = rows_of(text, time="device", **wanted)
    _, queue_ns = rows_of(text, time="queue", **wanted)
    assert count == reads, (count, reads)
    assert 0.5 * reads_ns - 1_000_000 <= device_ns + queue_ns <= reads_ns + 1_000_000, (device_ns, queue_ns, reads_ns, reads)
    if truth["direct"].times:  # these are the container's, by their bios
        mine, _ = rows_of(text, container=web.name, device=device, time="device", operation="write", size="to 64 KiB")
        assert mine >= truth["direct"].times
