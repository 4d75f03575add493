# SPDX-License-Identifier: Apache-2.0
"""fathom serve beside a real container: what it measures, who may ask, what Prometheus makes of it, what it survives."""
import base64
import gzip
import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import leftovers
from agent_client import Agent
from support import ROOT, STOP_S, Missing, attached, fathom_binary, lack, run, tool, wait_for

SEGMENTS_PER_CPU = 0.001 / 150e-9  # a second, that are looked at one by one (tcp.h)


@pytest.fixture(scope="module")
def busy(docker):
    """A container that would keep a CPU busy, and may have a tenth of one, which it has on a busy machine, too."""
    container = docker.run("agentbusy", "sh", "-c", "while :; do :; done", cpus=0.1, memory="64m")
    yield container
    docker.rm(container)


@pytest.fixture(scope="module")
def agent(busy, tmp_path_factory):
    try:
        fathom_binary()
    except Missing as missing:
        lack(str(missing))
    # The machine may run hundreds of others, and may be so slow or busy that the agent would switch parts off to keep within its budget.
    agent = Agent(tmp_path_factory.mktemp("agent"), "--metrics-containers", "5000", "--cpu-percent", "0").start()
    yield agent
    agent.stop()


def test_state_is_private(agent):
    assert stat.S_IMODE(agent.state.stat().st_mode) == 0o700
    for name in ("token", "token-reader"):
        assert stat.S_IMODE((agent.state / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o600
    assert len(agent.token) == 43 and agent.token != agent.reader_token


def test_capabilities_are_dropped(agent):
    """What is left after attaching: nothing that changes anything outside of the agent."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{agent.process.pid}/status").read_text().splitlines()
                  if line.startswith("Cap"))
    names = {1: "DAC_OVERRIDE", 12: "NET_ADMIN", 16: "SYS_MODULE", 17: "SYS_RAWIO", 21: "SYS_ADMIN", 27: "MKNOD",
             7: "SETUID", 25: "SYS_TIME", 22: "SYS_BOOT"}
    assert [name for bit, name in names.items() if int(status["CapPrm"], 16) >> bit & 1] == []
    assert int(status["CapBnd"], 16) >> 21 & 1 == 0


def children(pid, name):
    """Numbers of the process's children that bear the name."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split() if Path(f"/proc/{child}/comm").read_text().strip() == name]


def test_child_that_hangs_programs(agent):
    """It keeps the one capability that takes, no file but the agent's socket, and the system calls for that alone."""
    if next(part for part in agent.json("/api/self")["parts"] if part["name"] == "dns")["state"] != "on":
        pytest.skip("the agent may not watch DNS here")
    (child,) = children(agent.process.pid, "fathom-hanger")
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 12 and (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert [os.readlink(fd).split(":")[0] for fd in Path(f"/proc/{child}/fd").iterdir()] == ["socket"]


def test_listens_on_loopback_only(agent):
    done = run(tool("ss"), "-Hltnp")
    mine = [line for line in done.stdout.splitlines() if f"pid={agent.process.pid}," in line]
    assert len(mine) == 1 and f"127.0.0.1:{agent.port}" in mine[0]


def test_measures_the_container(agent, busy):
    def rate():
        row = agent.container(busy.name)
        return row and row["rates"].get("cpu")
    wait_for(lambda: 0.05 < (rate() or 0) < 0.15, 20, "a tenth of a CPU")
    row = agent.container(busy.name)
    assert row["cpu_limit_nanocores"] == 100_000_000
    wait_for(lambda: agent.container(busy.name)["rates"]["cpu_throttled"] > 0.2, 20, "throttling")

    def history():
        answer = agent.json(f"/api/series?id={row['series']}&seconds=10&names=cpu,throttled&waits=1")
        return answer["resources"] and answer
    answer = wait_for(history, 20, "history")
    known = [value for value in answer["resources"][0]["values"]["cpu"] if value is not None]
    assert known and 0.05 < sum(known) / len(known) < 0.15
    assert sum(count for _, _, count in answer["resources"][0]["waits"]) > 0


def test_verdicts(agent, busy):
    """Every container its verdict, from the agent's own readings."""
    def throttled():
        answer = agent.json("/api/verdicts")
        return next(((answer, f) for f in answer["verdicts"] if f["container"] == busy.name and f["rule"] == "cap throttled"), None)
    answer, found = wait_for(throttled, 60, "the verdict")
    assert found["fault"] == "container"
    assert any("throttled periods" in text for text in found["evidence"]) and found["disproof"] and found["since_ms"] < answer["time_ms"]
    # The agent watches no locks: of a container that does anything it does not know, and it says what is lacking.
    wait_for(lambda: any(c["verdict"] == "lock contention" and c["unknown"] and c["lacking"] == "lock_wait"
                         for c in agent.json("/api/verdicts")["checked"]), 60, "what it does not know")
    row = wait_for(lambda: (row := agent.container(busy.name)) and row["verdict"] == "cap throttled" and row, 60, "the verdict to stand first")
    assert row["series"] == found["series"] and "periods" in row["verdict_sentence"]


def test_edges_and_latencies(agent, docker, start):
    """Sixty connections of a container to itself, and what it reads, are in the past as they were."""
    talk = start(docker, "agenttalk", "tcpload", "serve", "127.0.0.1", "7000")
    wait_for(lambda: agent.container(talk.name), 20, "the container to be seen")
    series = agent.container(talk.name)["series"]
    docker.cli("exec", talk.id, "tcpload", "connect", "127.0.0.1", "7000", "60")

    def edge():
        answer = agent.json(f"/api/edges?seconds=60&series={series}")
        assert answer["state"] == "on"
        ends = [end["name"] for end in answer["ends"]]
        found = [e for e in answer["edges"] if ends[e["source"]] == ends[e["target"]] == talk.name]
        return found and found[0]["closes"] >= 60 and found[0]
    found = wait_for(edge, 20, "the connections")
    assert (found["opens"], found["failed"], found["live"], found["ports"]) == (60, 0, 0, ["7000"])
    assert (found["bytes_sent"], found["bytes_received"]) == (60 * 100, 60 * 1000)
    assert found["connect_p50_ns"] > 0 and found["session_p99_ns"] >= found["session_p50_ns"]

    connects = agent.json(f"/api/latency?what=connect&series={series}&seconds=60")
    assert connects["count"] == 60 == sum(count for _, _, count in connects["cells"])
    assert connects["kinds"] == [{"name": talk.name, "count": 60}]
    waits = agent.json(f"/api/latency?what=runq&container={talk.name}&seconds=60&step_ms=5000")
    assert waits["count"] > 0 and {kind["name"] for kind in waits["kinds"]} <= {"woken", "preempted", "throttled"}
    woken = agent.json(f"/api/latency?what=runq&container={talk.name}&kind=woken&to_ms={waits['to_ms']}&seconds=60")
    assert 0 < woken["count"] <= waits["count"]
    # Beside much noise of the machine files are a sample, which check_files_are_a_sample() is about.
    fs = next(part for part in agent.json("/api/self")["parts"] if part["name"] == "fs")
    assert agent.json(f"/api/latency?what=fs&container={talk.name}&seconds=60")["count"] > 0 or "part of the time" in "".join(fs["notes"])
    # Before the agent there was nothing: that is a gap, not zero.
    assert agent.json("/api/latency?what=fs&seconds=86400")["gaps"]
    for query in ("what=nothing", "what=fs&seconds=0", "what=fs&series=999999", "what=fs&step_ms=1",
                  "what=fs&from_ms=5&to_ms=2", "what=fs&seconds=99999999999",
                  "what=fs&seconds=9223372036854775807", "what=fs&to_ms=-9223372036854775808"):
        assert agent.request("GET", "/api/latency?" + query)[0] == 400, query


def test_requests_of_a_flood_are_a_sample(agent, docker, start):
    """Segments are looked at for part of the time where there are very many: connections and bytes stay exact, requests are an estimate
    that says so, and a connection that is used again is not taken for one that is not."""
    flood = start(docker, "agentflood", "tcpload", "serve", "127.0.0.1", "7000")
    wait_for(lambda: agent.container(flood.name), 20, "the container to be seen")
    series = agent.container(flood.name)["series"]
    began, count, requests = time.monotonic(), 3, 100_000
    docker.cli("exec", flood.id, "tcpload", "connect", "127.0.0.1", "7000", str(count), str(requests), timeout=120)
    segments = 2 * count * requests / (time.monotonic() - began)

    def edge():
        answer = agent.json(f"/api/edges?seconds=120&series={series}")
        ends = [end["name"] for end in answer["ends"]]
        found = [e for e in answer["edges"] if ends[e["source"]] == ends[e["target"]] == flood.name]
        return found and found[0]["closes"] >= count and found[0]
    found = wait_for(edge, 20, "the connections' ends")
    assert (found["opens"], found["closes"], found["live"]) == (count, count, 0), found
    assert (found["bytes_sent"], found["bytes_received"]) == (count * requests * 100, count * requests * 1000), found
    timed = agent.json(f"/api/latency?what=request&series={series}&seconds=120")
    notes = [note for part in agent.json("/api/self")["parts"] if part["name"] == "connections" for note in part["notes"]]
    sampled = [note for note in notes if "part of the time only" in note]
    if segments > 2 * SEGMENTS_PER_CPU * os.cpu_count():
        assert sampled, (notes, segments)
    if not sampled:
        assert timed["count"] == count * requests, timed["count"]
    assert count * requests / 3 < timed["count"] < count * requests * 3, (timed["count"], segments, sampled)


def test_machine(agent):
    answer = agent.json("/api/host")
    assert answer["interval_s"] > 0 and answer["cpus"] and answer["values"]["cpu_idle"]["value"] is not None
    assert {meaning["name"] for meaning in answer["meanings"]} == set(answer["values"])


def weight(folded):
    return sum(int(line.rsplit(" ", 1)[1]) for line in folded.splitlines())


def check_parts_of_seconds(agent, container):
    """What burns for two seconds is in the cells of those seconds, and in no flame graph of another range."""
    wait_for(lambda: agent.container(container.name), 20, "the container")

    def burnt():
        """(from, to) in ms; None where a window ended meanwhile and the next was long in coming, as it is on a slow machine."""
        time.sleep(3)  # without work of its own, some of it after the window before was over
        before_ms = int(time.time() * 1000)
        container.runtime.cli("exec", container.id, "burn", "1", "2", check=False)
        after_ms = int(time.time() * 1000)

        def gaps():
            now_ms = int(time.time() * 1000)
            found = agent.json(f"/api/flamescope?{series}&from_ms={before_ms - 2000}&to_ms={now_ms}")["gaps"]
            *known, last = found or [[now_ms, now_ms]]  # up to now: a window that is not over yet
            if last[1] < now_ms:
                known, last = found, [now_ms, now_ms]
            return [[gap for gap in known if gap[1] > before_ms - 2000 and gap[0] < after_ms]] if last[0] > after_ms else None
        return None if wait_for(gaps, 60, "the window to be over")[0] else (before_ms, after_ms)
    series = f"series={agent.container(container.name)['series']}"
    before_ms, after_ms = wait_for(burnt, 60, "two seconds of work within a window")
    ask = f"{series}&from_ms={before_ms - 2000}&to_ms={after_ms}"

    def folded(from_ms, to_ms):
        status, _, text = agent.request("GET", f"/api/flame?container={container.name}&format=folded&from_ms={from_ms}&to_ms={to_ms}")
        return text.decode() if status == 200 else ""
    assert ";burn" in folded(before_ms, after_ms) and ";burn" not in folded(before_ms - 2000, before_ms)
    scope = agent.json(f"/api/flamescope?{ask}")
    assert (scope["rows"], scope["cell_ms"], scope["frequency_hz"], scope["samples_without_time"]) == (50, 20, 19, 0)
    assert scope["from_ms"] % 1000 == 0 and scope["samples"] == sum(count for _, _, count in scope["cells"]) > 0
    # Each cell is a flame graph of as many samples.
    column, row, count = max(scope["cells"], key=lambda cell: cell[2])
    start_ms = scope["from_ms"] + 1000 * column + 20 * row
    assert weight(folded(start_ms, start_ms + 20)) == count == scope["most"]
    compared = agent.json(f"/api/flame?{ask}&before_from_ms={before_ms - 2000}&before_to_ms={before_ms}")["shapes"][0]
    names = {frame[1] for frame in compared["frames"]}
    assert "burn" in names and all(len(node) == 4 for node in compared["nodes"])
    for wrong in ("cell_ms=3", "cell_ms=300", "seconds=4000", "profile=x"):
        assert agent.request("GET", "/api/flamescope?" + wrong)[0] == 400


def check_files_are_a_sample(agent, reader):
    """Where files can be watched through all system calls only, and there are many, they are for part of the time: an estimate that says so."""
    def part():
        return next(part for part in agent.json("/api/self")["parts"] if part["name"] == "fs")
    if not part()["rung"].startswith("tp_btf/"):
        return
    wait_for(lambda: [note for note in part()["notes"] if "part of the time only" in note], 30, f"{reader.name} to make too many calls")
    assert part()["state"] == "on"
    wait_for(lambda: agent.container(reader.name), 20, "the container")

    def reads():
        return int(re.search(r"syscr: (\d+)", Path(f"/proc/{reader.pid}/io").read_text())[1]), int(time.time() * 1000)
    before, from_ms = reads()
    wait_for(lambda: time.time() * 1000 > from_ms + 10000, 20, "ten seconds")
    after, to_ms = reads()
    wait_for(lambda: agent.json("/api/self")["time_ms"] > to_ms, 20, "the last second")
    count = agent.json(f"/api/latency?what=fs&container={reader.name}&from_ms={from_ms}&to_ms={to_ms}")["count"]
    # A read of a byte takes half a microsecond: while it is watched, twice that, so fewer are made.
    assert (after - before) / 5 < count < (after - before) * 2, (count, after - before)


def test_flame_of_the_past(busy, docker, start, tmp_path):
    """Windows of stacks, sampled all the time, of one container as a capture, folded and as pprof; to programs that know
    passwords only, too. The budget, when it is too small, takes it away and says so."""
    agent = Agent(tmp_path, "--profile-seconds", "10", "--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0").start()
    try:
        wait_for(lambda: agent.container(busy.name), 20, "the container")
        path = f"/api/flame?seconds=60&series={agent.container(busy.name)['series']}"
        wait_for(lambda: agent.request("GET", path)[0] == 200, 40, "a window")
        capture = agent.json(path)
        assert capture["format"] == "fathom capture" and capture["frequency_hz"] == 19
        folded = agent.request("GET", path + "&format=folded")[2].decode()
        assert folded and all(line.startswith(busy.name + ";") for line in folded.splitlines())
        password = base64.b64encode(f"x:{agent.token}".encode()).decode()
        status, _, pprof = agent.request("GET", path + "&format=pprof", token=None,
                                         headers={"Authorization": f"Basic {password}"})
        assert status == 200 and pprof[:2] == b"\x1f\x8b"
        done = run(tool("go"), "tool", "pprof", "-top", f"http://x:{agent.token}@127.0.0.1:{agent.port}{path}&format=pprof",
                   env={**os.environ, "HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}, timeout=120)
        assert "flat%" in done.stdout and weight(folded) > 0
        assert agent.request("GET", path, token=None, headers={"Authorization": "Basic eDp5"})[0] == 401
        for wrong in ("&kind=nothing", "&format=exe", "&seconds=x", "&profile=77", "&before_from_ms=5&before_to_ms=4"):
            assert agent.request("GET", "/api/flame?series=0" + wrong)[0] == 400
        check_parts_of_seconds(agent, start(docker, "agentburn", "sleep", "1000"))
        part, = [p for p in agent.json("/api/self")["parts"] if p["name"] == "profile"]
        assert part["state"] == "on" and part["seen"] > 0 and part["cost_seconds"] > 0
        assert agent.json("/api/self")["children_resident_bytes"] > 0
        check_files_are_a_sample(agent, start(docker, "agentcalls", "sh", "-c", "dd of=/many bs=1048576 seek=1024 count=0; exec dd if=/many of=/dev/null bs=1"))
    finally:
        assert agent.stop() == 0


def test_blocked_stacks_of_the_past(docker, start, tmp_path):
    """Of blocked threads there are stacks of some seconds of any range: it is said of how many, nothing is scaled up to the rest, and a
    capture of the flight recorder has them, too. Who wants none has none."""
    agent = Agent(tmp_path, "--offcpu-seconds", "1", "--offcpu-percent", "100", "--profile-seconds", "0", "--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0").start()
    try:
        sleeper = start(docker, "agentblocked", "sleep", "1000")
        wait_for(lambda: agent.container(sleeper.name), 30, "the container")

        def part():
            return next(one for one in agent.json("/api/self")["parts"] if one["name"] == "offcpu")
        path = f"/api/flame?kind=offcpu&detail=stacks&seconds=600&series={agent.container(sleeper.name)['series']}"
        wait_for(lambda: agent.request("GET", path)[0] == 200, 120, "a window")
        capture = agent.json(path)
        shape, seconds = capture["shapes"][0], capture["looked_ns"] / 1e9
        assert shape["probe"] == "offcpu" and shape["unit"] == "nanoseconds" and {"container", "cause", "kernel"} <= {frame[0] for frame in shape["frames"]}
        windows, told, whole = next(map(float, found.groups()) for note in shape["ledger"]["notes"]
                                    if (found := re.match(r"of (\d+) windows? in this range, ([\d.]+) s of its (\d+) s", note)))
        assert windows >= 1 and abs(told - seconds) < 0.1 and seconds < whole <= 601 and abs(capture["duration_ns"] / 1e9 - whole) < 1
        # One thread, always blocked: as long as was looked at (or a little longer: windows have edges), which is next to nothing of ten minutes.
        blocked = sum(node[2] for node in shape["nodes"]) / 1e9
        assert 0.9 * seconds < blocked < whole / 2, (blocked, seconds, whole)
        state = part()
        assert state["state"] == "on" and state["seen"] > 0 and 0 < state["looked_ratio"] <= 1 and state["cost_seconds"] > 0
        status, _, pprof = agent.request("GET", path + "&format=pprof")
        assert status == 200 and pprof[:2] == b"\x1f\x8b"
        folded = agent.request("GET", path + "&format=folded")[2].decode()
        assert all(line.startswith(sleeper.name + ";") for line in folded.splitlines()) and "blocked: sleep" in folded
        # without stacks there is all of the range
        assert {frame[0] for frame in agent.json(path.replace("stacks", "classes"))["shapes"][0]["frames"]} <= {"container", "cause"}
        file = agent.state / "captures" / agent.json("/api/captures", method="POST", status=201)["name"]
        kept = json.loads(run(fathom_binary(), "replay", file, "offcpu", "--json").stdout)
        assert any(frame[1] == sleeper.name for frame in kept["shapes"][0]["frames"]) and 0 < kept["looked_ns"] < kept["duration_ns"]
    finally:
        assert agent.stop() == 0
    without = Agent(tmp_path, "--offcpu-seconds", "0", "--offcpu-percent", "100", "--profile-seconds", "0").start()
    try:
        state, = [one for one in without.json("/api/self")["parts"] if one["name"] == "offcpu"]
        assert (state["state"], state["why"], state["looked_ratio"]) == ("off", "not asked for", None)
    finally:
        assert without.stop() == 0


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def read_bytes(pid):
    return int(re.search(r"rchar: (\d+)", Path(f"/proc/{pid}/io").read_text())[1])


@pytest.fixture
def slow_mounts(docker):
    """File systems with one file each, a read of which takes a quarter of a second or so: each another time, so that reads do not begin and
    end together."""
    servers = {}
    try:
        for i in range(6):
            mount = docker.dir / f"agentslow{i}"
            mount.mkdir()
            servers[mount] = subprocess.Popen([sys.executable, ROOT / "tests/slow_file.py", mount, "16", f"{0.22 + 0.013 * i}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            assert servers[mount].stdout.readline() == "ready\n"
        yield list(servers)
    finally:
        for mount, server in servers.items():
            run("umount", "-l", mount, check=False)
            server.terminate()
            server.communicate()


def test_long_file_operations_beside_many(docker, start, slow_mounts, tmp_path):
    """Where files are watched for part of the time, a read that takes longer than a stretch of it is told as often as one that does not, with its length."""
    agent = Agent(tmp_path, "--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0").start()
    try:
        def part():
            return next(part for part in agent.json("/api/self")["parts"] if part["name"] == "fs")
        if not part()["rung"].startswith("tp_btf/"):
            pytest.skip("this kernel lets files be watched without looking at all calls")
        start(docker, "agentcalls", "sh", "-c", "dd of=/many bs=1048576 seek=1024 count=0; exec dd if=/many of=/dev/null bs=1")
        wait_for(lambda: [note for note in part()["notes"] if "part of the time only" in note], 30, "too many calls")
        reads = " ".join(f"dd if=/slow{i}/file of=/dev/null bs=4096 &" for i in range(len(slow_mounts)))
        slow = start(docker, "agentslow", "sh", "-c", f"{reads} wait", mounts={mount: f"/slow{i}" for i, mount in enumerate(slow_mounts)})
        wait_for(lambda: agent.container(slow.name), 20, "the container")
        # None of them reads anything but its slow file any more.
        children = wait_for(lambda: len(found := children_of(slow.pid)) == len(slow_mounts) and all(read_bytes(pid) > 3 * 4096 for pid in found) and found,
                            60, "all of them to read")
        from_ms, before = int(time.time() * 1000), sum(map(read_bytes, children))
        wait_for(lambda: time.time() * 1000 > from_ms + 40000, 60, "40 s")
        to_ms, after = int(time.time() * 1000), sum(map(read_bytes, children))
        wait_for(lambda: agent.json("/api/self")["time_ms"] > to_ms, 20, "the last second")
        found = agent.json(f"/api/latency?what=fs&kind=read&container={slow.name}&from_ms={from_ms}&to_ms={to_ms}")
        long = sum(count for _, bucket, count in found["cells"] if found["bounds_ns"][bucket] >= 100e6)
        # Of some 900 one in 40 or so is looked at: 20 are, each of which stands for as many.
        reads = (after - before) / 4096
        assert reads / 4 < long < reads * 3, (reads, found)
        assert long > 0.9 * found["count"] and all(found["bounds_ns"][bucket] < 1e9 for _, bucket, _ in found["cells"])
    finally:
        assert agent.stop() == 0


@pytest.fixture
def starved(docker):
    """A container that is throttled nearly always, on a busy machine, too."""
    container = docker.run("agentstarved", "sh", "-c", "while :; do :; done", cpus=0.03)
    yield container
    docker.rm(container)


def test_flight_recorder(agent, busy, tmp_path):
    """A click keeps the minutes before as a capture that replay reads; who may only read may not ask for one."""
    assert agent.request("POST", "/api/captures", token=agent.reader_token)[0] == 403
    path = tmp_path / "a.fathom"

    def kept():
        name = agent.json("/api/captures", method="POST", status=201)["name"]
        assert name in [one["name"] for one in agent.json("/api/captures")["captures"]]
        status, _, content = agent.request("GET", f"/api/captures/{name}", token=agent.reader_token)
        assert status == 200
        path.write_bytes(content)
        return busy.name in run(fathom_binary(), "replay", path, "ps").stdout
    wait_for(kept, 20, "a reading of the container to be kept", interval_s=1)
    for wrong in ("../token", "..%2ftoken", "%2e%2e/token", "nothing.fathom", ""):
        assert agent.request("GET", f"/api/captures/{wrong}")[0] == 404


QUIET = ";".join(f"{name}=off" for name in ("oom", "throttling", "memory-pressure", "io-pressure", "cpu-pressure", "block-latency",
                                          "connect-latency", "run-queue-latency", "connection-errors"))


def test_what_comes_after_is_captured(docker, start, tmp_path):
    """Stacks of blocked threads are looked at seldom: right after a capture is made there is a window, which belongs to it, and says so. Who
    asks again at once gets what there is."""
    agent = Agent(tmp_path, "--offcpu-seconds", "2", "--offcpu-percent", "0.001", "--profile-seconds", "0", "--cpu-percent", "0",
                  "--memory-mib", "0", "--map-mib", "0", *(word for name in QUIET.split(";") for word in ("--trigger", name))).start()
    try:
        sleeper = start(docker, "agentafter", "sleep", "1000")
        wait_for(lambda: agent.container(sleeper.name), 30, "the container")
        # After the first window the next one of itself is hours away.
        wait_for(lambda: next(one for one in agent.json("/api/self")["parts"] if one["name"] == "offcpu")["looked_ratio"], 120, "a window")

        def freeze():
            name = agent.json("/api/captures", method="POST", status=201)["name"]
            assert not next(one for one in agent.json("/api/captures")["captures"] if one["name"] == name)["is_complete"]
            wait_for(lambda: next(one for one in agent.json("/api/captures")["captures"] if one["name"] == name)["is_complete"], 150, "what comes after")
            return agent.state / "captures" / name

        def stacks(file):
            return json.loads(run(fathom_binary(), "replay", file, "offcpu", "--json").stdout)["shapes"][0]
        first = freeze()
        shape = stacks(first)
        assert "kernel" in {frame[0] for frame in shape["frames"]} and any(frame[1] == sleeper.name for frame in shape["frames"])
        assert [note for note in shape["ledger"]["notes"] if "after the capture was made (asked)" in note and "looked at since then" in note], shape["ledger"]
        told = json.loads(run(fathom_binary(), "replay", "--json", first).stdout)

        def windows(told):
            return {one["name"]: one["intervals"] for one in told["holds"]}.get("offcpu")
        assert 1 <= windows(told) <= 2
        # where it was made is an event, there and in the history
        (event,) = agent.json("/api/events?kind=capture")["events"]
        assert event["fields"]["what"] == "asked" and told["last_ms"] >= event["time_ms"] + 8000  # (the seconds after are in it)
        assert "after the capture was made" in run(fathom_binary(), "replay", first, "offcpu").stdout
        second = freeze()
        assert second != first and windows(json.loads(run(fathom_binary(), "replay", "--json", second).stdout)) <= windows(told)
    finally:
        assert agent.stop() == 0


def test_throttling_that_lasts_is_kept(starved, tmp_path):
    """Without being asked for; what else the machine goes through must not be the reason, as after any it rests."""
    quiet = [word for name in (*QUIET.split(";"), "request-latency=off") if not name.startswith("throttling") for word in ("--trigger", name)]
    agent = Agent(tmp_path, "--cpu-percent", "0", "--profile-seconds", "0", *quiet).start()
    try:
        wait_for(lambda: [one["why"] for one in agent.json("/api/captures")["captures"]] == ["throttling"], 60, "a capture for the throttling")
    finally:
        assert agent.stop() == 0


def test_triggers(docker, start, tmp_path):
    """A bound that is reached for so many readings keeps the minutes before; one that is not does not. Read again on SIGHUP."""
    config = tmp_path / "fathom.conf"

    def set_triggers(text):
        config.write_text((ROOT / "deploy/fathom.conf").read_text().split("trigger=")[0] + f"trigger={QUIET};{text}\n")

    def captures():
        return [one["why"] for one in agent.json("/api/captures")["captures"]]

    def again(text, words):
        said = len(agent.said())
        set_triggers(text)
        agent.process.send_signal(signal.SIGHUP)
        wait_for(lambda: words in agent.said()[said:], 10, words)
    set_triggers("request-latency=20s/2")
    agent = Agent(tmp_path, "--config", config, "--profile-seconds", "0", "--cpu-percent", "0").start()
    try:
        # Answers take 20 ms: 16 ms and more, as such times are counted.
        slow = start(docker, "agentslow", "sh", "-c", "tcpload serve 127.0.0.1 7000 20000 & sleep 0.5; "
                     "for i in 1 2 3; do tcpload connect 127.0.0.1 7000 1 100000 & done; wait")

        def asked():
            return agent.json(f"/api/latency?what=request&container={slow.name}&seconds=60")["count"] if agent.container(slow.name) else 0
        wait_for(lambda: asked() > 300, 20, "requests")
        assert captures() == []
        again("request-latency=16ms/many", "settings stay as they were")
        assert "no number of readings" in agent.said() and captures() == []
        again("request-latency=16ms/2", "settings read again")
        wait_for(lambda: captures() == ["request-latency"], 20, "a capture for slow answers")
        # Nobody listens there; other triggers need not rest for what those before them kept.
        again("connection-errors=30%/1", "settings read again")
        wait_for(lambda: docker.cli("exec", slow.id, "tcpload", "connect", "127.0.0.1", "7001", "200", check=False) and
                 "connection-errors" in captures(), 20, "a capture for failing connections", interval_s=0.5)
        on = {one["name"]: one for one in agent.json("/api/captures")["triggers"] if one["on"]}
        assert list(on) == ["connection-errors"] and (on["connection-errors"]["share"], on["connection-errors"]["readings"]) == (0.3, 1)
    finally:
        assert agent.stop() == 0


def test_gzip(agent):
    plain = agent.request("GET", "/metrics")[2]
    status, headers, body = agent.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    assert status == 200 and headers["Content-Encoding"] == "gzip" and len(body) < len(plain) / 3
    assert gzip.decompress(body).startswith(b"# TYPE")
    assert "Content-Encoding" not in agent.request("GET", "/metrics", headers={"Accept-Encoding": "gzip;q=0"})[1]


def metric(text, name, **labels):
    for line in text.splitlines():
        if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rsplit(" ", 1)[1])
    return None


def test_metrics(agent, busy):
    wait_for(lambda: metric(agent.request("GET", "/metrics")[2].decode(),
                            "fathom_container_cpu_runqueue_latency_seconds_count", container_name=busy.name), 20, "a wait")
    status, headers, body = agent.request("GET", "/metrics")
    text = body.decode()
    assert status == 200 and "version=0.0.4" in headers["Content-Type"] and "# EOF" not in text
    done = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    # the same number as the kernel's file says, read before and after
    usage = metric(text, "fathom_container_cpu_usage_seconds_total", container_name=busy.name)
    later = agent.container(busy.name)["cpu_ns"] / 1e9
    assert later - 5 < usage <= later
    assert metric(text, "fathom_container_cpu_limit_cores", container_name=busy.name) == 0.1
    assert metric(text, "fathom_container_cpu_runqueue_latency_seconds_count", container_name=busy.name) > 0
    assert metric(text, "fathom_agent_part_on", part="runq") == 1

    status, headers, body = agent.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert "openmetrics-text" in headers["Content-Type"] and body.endswith(b"# EOF\n")
    assert b"# TYPE fathom_container_cpu_usage_seconds counter\n" in body
    assert b"# TYPE fathom_container info\n" in body


@pytest.fixture(scope="module")
def waiting(docker):
    """A container whose threads wait: three for time or a signal, six for the network, one for a pipe."""
    container = docker.run("agentwaits", "sh", "-c", "sleep 1000 & sleep 1000 & tcpload serve 127.0.0.1 7100 & mkfifo /tmp/pipe; (exec 3<>/tmp/pipe; exec cat <&3) & "
                           "until tcpload connect 127.0.0.1 7100 1 | grep -q 'done 0'; do sleep 0.1; done; exec tcpload hold 127.0.0.1 7100 5")
    yield container
    docker.rm(container)


def test_waits_by_reason(agent, waiting, busy):
    """What threads off the CPU wait for, without stacks: now, in the past, and in metrics."""
    def rates():
        row = agent.container(waiting.name)
        return row["rates"] if row else {}
    # Two sleep; one waits in pause() with its connections held.
    wait_for(lambda: 2.7 < rates().get("offcpu_sleep", 0) < 3.3 and 0.9 < rates().get("offcpu_pipe", 0) < 1.1 and 5.5 < rates().get("offcpu_net", 0) < 6.5,
             30, "waits for time, a pipe and the network")
    # Throttled or running, it never waits for anything else than a CPU.
    assert agent.container(busy.name)["rates"]["offcpu_sleep"] == 0 and agent.container(busy.name)["rates"]["offcpu_futex"] == 0
    series = agent.container(waiting.name)["series"]

    def past(kind):
        status, _, text = agent.request("GET", f"/api/flame?series={series}&seconds=6&format=folded&detail=classes&kind={kind}")
        return {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) / 1e6 for line in text.decode().splitlines()} if status == 200 else {}
    found = wait_for(lambda: (p := past("offcpu")).get(f"{waiting.name};blocked: sleep", 0) > 9 and p, 30, "six seconds of the past")
    assert 0.25 < found[f"{waiting.name};blocked: pipe"] / found[f"{waiting.name};blocked: sleep"] < 0.42
    assert not any("running" in stack for stack in found) and all(stack.startswith(waiting.name + ";") for stack in found)
    assert "walltime" in agent.json("/api/flame?seconds=6&kind=walltime")["shapes"][0]["probe"]
    text = agent.request("GET", "/metrics")[2].decode()
    sleeping = metric(text, "fathom_container_offcpu_seconds_total", container_name=waiting.name, reason="sleep")
    assert sleeping > metric(text, "fathom_container_offcpu_seconds_total", container_name=waiting.name, reason="pipe") > 1


def test_metrics_of_connections(agent, waiting, start, docker):
    """Families of TCP and edges, checked by promtool; edges beyond the bound are "other"."""
    talk = start(docker, "agentedges", "sh", "-c", "tcpload serve 127.0.0.1 7200 & until tcpload connect 127.0.0.1 7200 1 | grep -q 'done 0'; do sleep 0.1; done; "
                 "while :; do tcpload connect 127.0.0.1 7200 20 >/dev/null; tcpload connect 127.0.0.1 7201 1 >/dev/null; sleep 0.2; done")
    name = talk.name

    def told():
        text = agent.request("GET", "/metrics")[2].decode()
        container = "fathom_container_"
        found = [metric(text, container + "tcp_connects_total", container_name=name, result="ok"),
                 metric(text, container + "tcp_connects_total", container_name=name, result="refused"),
                 metric(text, container + "tcp_accepts_total", container_name=name),
                 metric(text, container + "tcp_rtt_seconds_count", container_name=name),
                 # Of a machine with many others its edge may be among the rest.
                 metric(text, "fathom_edge_connects_total", src=name, dst=name, port="7200") or metric(text, "fathom_edge_connects_total", src="other", dst="other")]
        return text if all(found) else None
    text = wait_for(told, 40, "connections in metrics")
    assert metric(text, "fathom_container_tcp_connections", container_name=waiting.name) == 5
    ok, accepts = (metric(text, f"fathom_container_tcp_{n}_total", container_name=name) for n in ("connects", "accepts"))
    assert abs(ok - accepts) <= 20
    for accept in ("text/plain", "application/openmetrics-text"):
        text = agent.request("GET", "/metrics", headers={"Accept": accept})[2].decode()
        done = subprocess.run([tool("promtool"), "check", "metrics"], input=text.replace("# EOF\n", ""), capture_output=True, text=True)
        assert accept != "text/plain" or (done.returncode, done.stdout + done.stderr) == (0, "")
    edges = {line.split(" ")[0] for line in text.splitlines() if line.startswith("fathom_edge_connects_total{")}
    assert len(edges) <= 51


def test_prometheus_scrapes(agent, busy, tmp_path):
    """Debian's own Prometheus, with the reader's token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: fathom
  authorization: {{credentials: {agent.reader_token}}}
  static_configs: [{{targets: ['127.0.0.1:{agent.port}']}}]
""")
    log = open(tmp_path / "log", "w")
    server = subprocess.Popen([tool("prometheus"), f"--config.file={tmp_path}/prometheus.yml",
                               f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def query(text):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", f"/api/v1/query?query={text}")
            return json.loads(connection.getresponse().read())["data"]["result"]
        except (OSError, ValueError, KeyError):
            return None
    try:
        name = f"container_name%3D%22{busy.name}%22"
        def is_right():
            rate = query(f"rate(fathom_container_cpu_usage_seconds_total%7B{name}%7D[10s])")
            return rate and 0.05 < float(rate[0]["value"][1]) < 0.15
        wait_for(is_right, 40, "a tenth of a CPU in Prometheus", interval_s=0.5)
        assert query("up")[0]["value"][1] == "1"
        assert query(f"histogram_quantile(0.99,fathom_container_cpu_runqueue_latency_seconds_bucket%7B{name}%7D)")
    finally:
        server.terminate()
        server.wait(timeout=STOP_S)


def test_alerts(agent):
    """The example rules are rules, and speak of metrics that there are."""
    rules = ROOT / "deploy/fathom-alerts.yml"
    run(tool("promtool"), "check", "rules", rules)
    wait_for(lambda: b"runqueue_latency_seconds_bucket" in agent.request("GET", "/metrics")[2], 20, "a wait")
    text = agent.request("GET", "/metrics")[2].decode()
    names = set(re.findall(r"fathom_\w+", re.sub(r"annotations:.*", "", rules.read_text())))
    missing = [name for name in names if not re.search(rf"^{name}[ {{]", text, re.MULTILINE)]
    assert names and missing == []
    # And so does the example dashboard; what has not moved here yet is a gauge's name all the same.
    panels = json.loads((ROOT / "deploy/fathom-grafana.json").read_text())["panels"]
    asked = {name for panel in panels for target in panel["targets"] for name in re.findall(r"fathom_\w+", target["expr"])}
    quiet = {"fathom_container_io_bytes_total", "fathom_container_network_bytes_total"}
    assert len(panels) == 10 and [name for name in asked - quiet if not re.search(rf"^{name}[ {{]", text, re.MULTILINE)] == []


def test_unit_forbids_much(tmp_path):
    """systemd knows every line of the unit, and how much it leaves open."""
    unit = tmp_path / "fathom.service"
    text = (ROOT / "deploy/fathom.service").read_text()
    unit.write_text(text.replace("/usr/bin/fathom", str(fathom_binary())).replace("man:fathom-serve(1)", "https://example.org/"))
    done = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    assert done.stdout + done.stderr == ""
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=65", unit)
    assert float(re.search(r"exposure level for fathom.service: ([\d.]+)", done.stdout)[1]) <= 6.5


@pytest.mark.parametrize("path", ["/metrics", "/api/containers", "/api/series", "/api/self", "/api/ledger",
                                  "/api/events", "/api/stream", "/api/profiles", "/api/profiles/1", "/nothing"])
def test_token_is_needed(agent, path):
    for token in (None, "wrong", agent.token[:-1], agent.token + "x"):
        status, headers, body = agent.request("GET", path, token=token)
        assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer")
        assert agent.token.encode() not in body
    # not in a cookie, not in the address
    assert agent.request("GET", f"{path}?token={agent.token}", token=None,
                         headers={"Cookie": f"token={agent.token}"})[0] == 401


def test_reader_cannot_start(agent, busy):
    series = agent.container(busy.name)["series"]
    path = f"/api/profiles?series={series}&seconds=1&kind=walltime"
    assert agent.request("POST", path, token=agent.reader_token)[0] == 403
    assert agent.request("GET", "/api/containers", token=agent.reader_token)[0] == 200


@pytest.mark.parametrize("headers, status", [
    ({"Host": "evil.example"}, 421), ({"Host": "127.0.0.1.evil.example"}, 421), ({"Host": "localhost.evil"}, 421),
    ({"Host": "localhost:1234"}, 200), ({"Host": "[::1]:7070"}, 200),
    ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "https://127.0.0.1:1"}, 403),
])
def test_host_and_origin(agent, headers, status):
    """Against DNS rebinding and pages of other sites, even ones that know the token."""
    assert agent.request("GET", "/api/self", headers=headers)[0] == status


def test_headers_of_the_page(agent):
    status, headers, body = agent.request("GET", "/", token=None)
    policy = headers["Content-Security-Policy"]
    assert status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in headers and "Set-Cookie" not in headers
    # no script or style of its own inside, nothing from elsewhere
    assert not re.search(rb"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|https?://", body)


def test_only_reads(agent):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert agent.request(method, "/api/containers")[0] in (404, 405)
    assert agent.request("POST", "/api/containers")[0] == 405
    assert agent.request("GET", "/api/../etc/passwd")[0] == 404
    assert agent.request("GET", "/api/profiles/../../token")[0] == 404


@pytest.mark.parametrize("path", [
    "/api/series?id=x", "/api/series?seconds=0", "/api/series?names=nothing", "/api/series?step_ms=1",
    "/api/series?from_ms=5&to_ms=1", "/api/series?from_ms=0&to_ms=99999999999999", "/api/series?seconds=9999999",
    "/api/series?id=-1", "/api/series?names=" + ",".join(["cpu"] * 40), "/api/series?seconds=3000000&step_ms=1000",
])
def test_senseless_questions(agent, path):
    status, _, body = agent.request("GET", path)
    assert status == 400 and json.loads(body)["error"]


@pytest.mark.parametrize("data", [
    b"\r\n" * 50, b"GET", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100,
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(5000)) + b"\r\n",
    b"POST /api/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n" + b"z" * 5000,
    b"POST /api/profiles HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n" + b"z" * 5000,
    b"GET / HTTP/1.1\r\n\r\n",
], ids=["empty", "cut", "tls", "version", "zeroes", "path", "header", "headers", "body", "chunk", "hostless"])
def test_malformed_requests(agent, data):
    try:
        answer = agent.raw(data, timeout=2)
    except OSError:  # it closed, or waits for more: that it does not wait for ever is checked below
        answer = b""
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert agent.request("GET", "/healthz", token=None)[0] == 200


def test_host_network_container_needs_the_token(agent, docker, start):
    """Who shares the host's network reaches the port; without the token it is of no use."""
    container = start(docker, "agentpeer", "sh", "-c",
                      f"wget -q -O - http://127.0.0.1:{agent.port}/healthz; echo; "
                      f"wget -q -O - http://127.0.0.1:{agent.port}/api/containers || echo refused; sleep 100",
                      network="host")
    said = wait_for(lambda: "refused" in (text := docker.cli("logs", container.id).stdout) and text, 20, "its answer")
    assert '"status"' in said and "agentbusy" not in said


def test_unix_socket(agent):
    done = run(tool("curl"), "-s", "--unix-socket", agent.socket, "http://x/api/self")
    assert json.loads(done.stdout)["ticks"] > 0


def test_many_clients(agent):
    """A hundred that say nothing and one that drips: others are served, and the slow are gone in the end."""
    idle = []
    try:
        for _ in range(100):
            idle.append(socket.create_connection(("127.0.0.1", agent.port), timeout=STOP_S))
        assert agent.request("GET", "/healthz", token=None)[0] == 200
        # drip: a byte now and then does not keep a request alive beyond its time
        idle[0].sendall(b"GET / HT")

        def is_ended():
            try:
                idle[0].sendall(b"x")
                idle[0].setblocking(False)
                return idle[0].recv(1) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True
        wait_for(is_ended, 30, "the slow request to be ended", interval_s=0.2)
    finally:
        for connection in idle:
            connection.close()


def test_a_thousand_clients(agent):
    """At the same time: each is answered or turned away, none hangs, and the agent keeps no descriptor of them."""
    before = agent.json("/api/self")["descriptors"]
    connections, answered, turned_away = [], 0, 0
    try:
        for _ in range(1000):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", agent.port))
            connections.append(connection)
        for connection in connections:
            connection.settimeout(30)
            try:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            except OSError:
                pass
        for connection in connections:
            try:
                is_answered = connection.recv(12) == b"HTTP/1.1 200"
            except ConnectionError:
                is_answered = False
            answered += is_answered
            turned_away += not is_answered
    finally:
        for connection in connections:
            connection.close()
    assert answered >= 100 and answered + turned_away == 1000
    assert agent.request("GET", "/healthz", token=None)[0] == 200
    wait_for(lambda: agent.json("/api/self")["descriptors"] <= before + 5, 30, "the connections to be gone")


def test_tls(tmp_path):
    """With a certificate the agent speaks TLS and nothing else; the token is needed all the same."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    run(tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate)
    process = subprocess.Popen([fathom_binary(), "serve", "--no-bpf", "--state", tmp_path / "s", "--socket", "none", "--listen",
                                "127.0.0.1:0", "--tls-key", key, "--tls-certificate", certificate],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        port, token = re.match(r"page: +https://127\.0\.0\.1:(\d+)/#token=(\S+)", process.stdout.readline()).groups()
        context = ssl.create_default_context(cafile=certificate)

        def ask(path, **headers):
            connection = http.client.HTTPSConnection("127.0.0.1", int(port), timeout=STOP_S, context=context)
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        wait_for(lambda: ask("/healthz") == 200, 20, "a reading")
        assert ask("/api/self") == 401 and ask("/api/self", Authorization=f"Bearer {token}") == 200
        plain = http.client.HTTPConnection("127.0.0.1", int(port), timeout=STOP_S)
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.request("GET", "/healthz")
            plain.getresponse()
        old = ssl.create_default_context(cafile=certificate)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=STOP_S) as connection:
            old.wrap_socket(connection, server_hostname="localhost")
    finally:
        process.terminate()
        status = process.wait(timeout=STOP_S)
        process.stdout.close()
    assert status == 0


UNDER_SYSTEMD = """
[Unit]
Requires=basic.target
After=basic.target
Wants=fathom.service
[Service]
Type=oneshot
ExecStart=/bin/bash /out/check
ExecStopPost=/bin/systemctl --no-block exit
StandardOutput=file:/out/told
StandardError=file:/out/told
"""
UNDER_SYSTEMD_CHECK = """
systemctl start fathom; echo started=$?
pid=$(systemctl show fathom -p MainPID --value)
echo mode=$(stat -c %a /var/lib/fathom)
curl -s -o /out/self -H "Authorization: Bearer $(cat /var/lib/fathom/token)" http://127.0.0.1:7070/api/self
systemctl reload fathom; echo reloaded=$?
for i in $(seq 600); do journalctl -u fathom --no-pager | grep -q "settings" && break; sleep 0.1; done
kill -9 $pid
for i in $(seq 600); do [ "$(systemctl show fathom -p ActiveState -p NRestarts --value | tr '\\n' ' ')" = "1 active " ] && break; sleep 0.1; done
echo again=$(systemctl show fathom -p ActiveState --value),$(systemctl show fathom -p NRestarts --value)
systemctl stop fathom
echo ended=$(systemctl show fathom -p Result --value),$(systemctl show fathom -p ExecMainStatus --value)
journalctl -u fathom --no-pager
"""


def test_starts_under_systemd(tmp_path):
    """The unit as it is, with all that it forbids, under systemd as the first process of a system of its own."""
    if not Path("/usr/lib/systemd/systemd").exists():
        lack("systemd is not installed")
    files = {"fathom.service": (ROOT / "deploy/fathom.service").read_text(), "check.service": UNDER_SYSTEMD,
             "fathom.service.d/here.conf": "[Service]\nExecStart=\nExecStart=/opt/fathom serve\nRestartSec=100ms\n"}
    binds = [f"--bind={tmp_path}:/out", f"--bind-ro={fathom_binary()}:/opt/fathom"]
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        binds.append(f"--bind-ro={path}:/etc/systemd/system/{name}")
    (tmp_path / "check").write_text(UNDER_SYSTEMD_CHECK)
    # systemd-nspawn's own filter of system calls forbids bpf(2) to all but its own.
    done = run(tool("systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--directory=/", "--volatile=yes", f"--machine=fathom{os.getpid()}",
               "--capability=all", "--private-network", *binds, "--boot", "systemd.unit=check.service", "systemd.firstboot=no",
               env={**os.environ, "SYSTEMD_SECCOMP": "0"}, timeout=120, check=False)
    assert (tmp_path / "told").exists(), done.stdout[-2000:] + done.stderr
    told = (tmp_path / "told").read_text()
    for word in ("started=0", "mode=700", "reloaded=0", "again=active,1", "ended=success,0", "settings"):
        assert word in told, told
    parts = {part["name"]: part for part in json.loads((tmp_path / "self").read_text())["parts"]}
    assert not [p for p in parts.values() if p["state"] not in ("on", "shed")], parts


def test_killed_again_and_again(tmp_path):
    """kill -9 at any moment: the history opens and has everything but its last second, as it was."""
    path, kept = None, None
    for _ in range(4):
        agent = Agent(tmp_path, "--no-bpf").start()

        def known():
            return agent.json(path)["resources"][0]["values"]["cpu"]
        if kept:
            assert known() == kept
        ticks = agent.json("/api/self")["history"]["memory_ticks"]
        wait_for(lambda: agent.json("/api/self")["history"]["memory_ticks"] >= ticks + 3, 20, "three ticks")
        time.sleep(random.uniform(0, 0.5))  # any moment between them
        to_ms = agent.json("/api/self")["time_ms"] - 1000
        path = f"/api/series?id=1&names=cpu&from_ms={to_ms - 2000}&to_ms={to_ms}"  # the host
        kept = known()
        assert any(value is not None for value in kept)
        agent.stop(signal.SIGKILL)
        with sqlite3.connect(agent.state / "history.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_unit_file_as_it_is():
    """systemd understands every line of the unit."""
    done = run(tool("systemd-analyze"), "--man=no", "verify", ROOT / "deploy/fathom.service", check=False)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "fathom.service" in line
                  and "is not executable" not in line]  # where it is not installed
    assert complaints == []


def test_stream(agent):
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=STOP_S)
    connection.request("GET", "/api/stream", headers={"Authorization": f"Bearer {agent.token}"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
    seen = []
    while len(seen) < 2:
        line = answer.readline().decode()
        if line.startswith("data: "):
            seen.append(json.loads(line[len("data: "):]))
    connection.close()
    assert seen[1]["time_ms"] > seen[0]["time_ms"]
    assert any("cpu" in resource["values"] for resource in seen[1]["resources"])


def test_events(agent, docker, start):
    """A program started in a container is an event of it."""
    container = start(docker, "agentexec", "sh", "-c", "while :; do busybox true; sleep 0.2; done")
    wait_for(lambda: agent.json(f"/api/events?kind=exec&container={container.name}")["events"], 20, "exec events")
    wait_for(lambda: (agent.container(container.name) or {}).get("execs"), 20, "a count")


def test_changes(agent, docker, start):
    """What explains a bend in a line: other limits, a restart, a replacement; also of a container told of for the first time."""
    container = start(docker, "agentchanged", "sleep", "1000", cpus=0.5, memory="64m")

    def told(kind):
        return agent.json(f"/api/events?kind={kind}&container={container.name}")["events"]

    [born] = wait_for(lambda: told("start"), 20, "its start")
    assert not told("limit") and born["fields"]["image"]
    docker.cli("update", "--cpus=1.5", "--memory=128m", "--memory-swap=-1", container.name)
    wait_for(lambda: len(told("limit")) >= 2, 40, "its limits")  # read every ten seconds
    changes = {event["fields"]["limit"]: event["fields"] for event in told("limit")}
    assert (changes["cpu"]["before"], changes["cpu"]["after"]) == (500_000_000, 1_500_000_000)
    assert changes["memory"]["change"] == "memory limit 64.0 MiB → 128 MiB"
    docker.cli("restart", "-t", "0", container.name)
    wait_for(lambda: told("restart"), 20, "its restart")
    assert len(told("start")) == 1 and told("stop")
    # where its threads are: asleep, not on a CPU
    threads = wait_for(lambda: agent.json(f"/api/threads?container={container.name}&seconds=60")["values"], 20, "its threads")
    assert all(0 <= value < 1 for value in threads["cpu"] if value is not None)
    # both lives on one line
    again = wait_for(lambda: agent.container(container.name), 20, "its second life")

    def known_steps(lives):
        read = agent.json(f"/api/series?id={again['series']}&names=pids&seconds=60&lives={lives}")["resources"]
        return sum(value is not None for value in read[0]["values"]["pids"]) if read else 0

    wait_for(lambda: known_steps(0), 20, "a point of its second life")
    assert known_steps(1) > known_steps(0)
    # from what was written down, with more than is in memory asked for
    # (Of half an hour: of a longer time there are sums only, of which a machine that starts many programs fills each.)
    before = agent.json(f"/api/events?from_ms={born['time_ms'] - 1800_000}&container={container.name}")["events"]
    assert {"start", "limit", "restart"} <= {event["kind"] for event in before}


def test_events_are_not_flooded(agent, docker, start):
    """A thousand programs started push out each other, not the one kill for lack of memory."""
    killed = start(docker, "agentoom", "sh", "-c", "tail /dev/zero; sleep 100", memory="16m")
    wait_for(lambda: agent.json(f"/api/events?kind=oom&container={killed.name}")["events"], 30, "the kill")
    before = agent.json("/api/events")["forgotten"]
    for number in range(4):  # a container may make 200 events a second
        start(docker, f"agentflood{number}", "sh", "-c", "while :; do busybox true; done")
    wait_for(lambda: agent.json("/api/events")["forgotten"] > before + 200, 40, "events to be forgotten")
    assert agent.json(f"/api/events?kind=oom&container={killed.name}")["events"]
    events = agent.json("/api/events")["events"]
    assert any(event["kind"] == "oom" and event["container"] == killed.name for event in events)
    assert [event["time_ms"] for event in events] == sorted((event["time_ms"] for event in events), reverse=True)


def test_containers_that_come_and_go(tmp_path):
    """What is remembered of those that ended is counted, and no descriptor of theirs stays open. (That each kind has a bound: unit tests.)"""
    living = 40
    group = leftovers.name_of_mine("test")
    roots = [root / group for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
             if (root / "cgroup.procs").exists()]
    names = [f"docker-{secrets.token_hex(32)}.scope" for _ in range(living)]
    agent = Agent(tmp_path, "--off", "profile", "--cpu-percent", "0", "--memory-mib", "0").start()

    def there():
        return sum(group in (c.get("cgroup") or "") and not c.get("dead") for c in agent.json("/api/containers")["containers"])

    def open_files():
        return sum(group in os.readlink(link) for link in Path(f"/proc/{agent.process.pid}/fd").iterdir() if link.is_symlink())
    try:
        for root in roots:
            root.mkdir()
            for name in names:
                (root / name).mkdir()
        wait_for(lambda: there() == living, 60, "all to be read")
        assert open_files() >= living
        ticks = agent.json("/api/self")["ticks"]
        wait_for(lambda: agent.json("/api/self")["ticks"] > ticks + 5, 60, "their births to be told")
        for root in roots:
            leftovers.remove_tree_of_cgroups(root)
        wait_for(lambda: there() == 0, 60, "all to be gone")
        wait_for(lambda: open_files() == 0, 20, "their files to be closed")
        counts = agent.json("/api/self")["memory"]["counts"]
        assert counts["cgroups_ended"] >= living and counts["ended"] >= living and counts["names"] >= living, counts
    finally:
        for root in roots:
            leftovers.remove_tree_of_cgroups(root)
        assert agent.stop() == 0


def test_its_file_is_replaced(tmp_path, monkeypatch, busy):
    """A package was upgraded beneath it: what it starts is still the program that it is itself."""
    program = tmp_path / "fathom"
    shutil.copy(fathom_binary(), program)
    monkeypatch.setenv("FATHOM_BINARY", str(program))
    agent = Agent(tmp_path, "--profile-seconds", "0", "--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0").start()
    try:
        program.unlink()
        program.write_text("#!/bin/sh\nexit 7\n")
        program.chmod(0o755)
        series = wait_for(lambda: agent.container(busy.name), 30, "the container")["series"]
        one = agent.json(f"/api/profiles?series={series}&seconds=1&kind=profile", method="POST", status=202)["id"]
        job = wait_for(lambda: (told := agent.json(f"/api/profiles/{one}"))["state"] in ("done", "failed") and told, 60, "the profile")
        assert job["state"] == "done", job
    finally:
        assert agent.stop() == 0


def test_profile(agent, busy):
    series = agent.container(busy.name)["series"]
    started = [agent.json(f"/api/profiles?series={series}&seconds=2&kind={kind}", method="POST", status=202)["id"]
               for kind in ("profile", "walltime")]
    # no more than two at a time; nothing but what the table names
    assert agent.request("POST", f"/api/profiles?series={series}&seconds=2&kind=profile")[0] == 429
    assert agent.request("POST", f"/api/profiles?series={series}&seconds=2&kind=top")[0] == 400
    assert agent.request("POST", f"/api/profiles?series={series}&seconds=61&kind=profile")[0] == 400
    assert agent.request("POST", "/api/profiles?series=999999&seconds=1&kind=profile")[0] == 404

    def done():
        jobs = [agent.json(f"/api/profiles/{one}") for one in started]
        assert not [job for job in jobs if job["state"] == "failed"], jobs
        return all(job["state"] == "done" for job in jobs)
    wait_for(done, 90, "the profile", interval_s=0.2)
    capture = agent.json(f"/api/profiles/{started[0]}/result")
    assert capture["format"] == "fathom capture" and capture["shapes"][0]["probe"] == "profile"
    status, headers, body = agent.request("GET", f"/api/profiles/{started[0]}/result?format=pprof")
    assert status == 200 and body[:2] == b"\x1f\x8b" and "attachment" in headers["Content-Disposition"]
    assert agent.request("GET", f"/api/profiles/{started[0]}/result?format=../token")[0] == 404
    check_kept(agent, busy, series)


def test_budget_of_a_measurement(agent, docker, start):
    """What is measured on demand keeps within the usual budget, and says so, though neither the agent nor its children may turn on the
    kernel's statistics. One flood of calls on each CPU takes most of them, and watching all that many times the budget."""
    flood = start(docker, "agentflood", "sh", "-c", f"for i in $(seq {os.cpu_count()}); do flood 1000000000000 /tmp/go & done; touch /tmp/go; wait")
    row = wait_for(lambda: agent.container(flood.name), 30, "the container")
    job = agent.json(f"/api/profiles?series={row['series']}&seconds=4&kind=syscall", method="POST", status=202)["id"]

    def done():
        state = agent.json(f"/api/profiles/{job}")
        assert state["state"] != "failed", state
        return state["state"] == "done"
    wait_for(done, 120, "the measurement", interval_s=0.2)
    notes = " ".join(agent.json(f"/api/profiles/{job}/result")["shapes"][0]["ledger"]["notes"])
    assert "to stay within the budget (5 % of the machine's CPU time)" in notes and "down to one in" in notes and "cost: " in notes, notes


def check_kept(agent, busy, series):
    """What was measured is in the history from then on: an event says so, ranges that hold it show its stacks, and without
    them, or where only one of two that are compared has any, what threads waited for."""
    def kinds(capture):
        return {frame[0] for frame in capture["shapes"][0]["frames"]}
    # (The other, of samples, is there only where the budget has taken away what is always sampled.)
    event, = [one for one in agent.json("/api/events?kind=measured")["events"]
              if one["container"] == busy.name and one["fields"]["what"] == "walltime"]
    assert event["fields"]["duration"] == 2 * 10**9
    begin = event["time_ms"]
    around = f"/api/flame?kind=walltime&series={series}&from_ms={begin - 500}&to_ms={begin + 4000}"
    capture = agent.json(around)
    assert {"container", "process", "cause"} < kinds(capture) and kinds(capture) & {"kernel", "user", "unresolved"}
    ran = capture["shapes"][0]
    assert 1e9 < sum(node[2] for node in ran["nodes"]) < 8e9 and any("of 1 window in this range" in note for note in ran["ledger"]["notes"])
    assert kinds(agent.json(around + "&detail=classes")) == {"container", "cause"}
    before = agent.json(f"{around}&before_from_ms={begin - 60000}&before_to_ms={begin - 1000}")
    assert kinds(before) == {"container", "cause"}
    # of kinds that nothing is kept of always, and nothing was measured
    assert agent.request("GET", around.replace("walltime", "memory"))[0] == 404
    assert agent.request("GET", around + "&detail=all")[0] == 400


def test_clean_stop_and_kill(busy, tmp_path):
    """Nothing stays attached; after kill -9 the next one has the history, without its last moments at most."""
    config = tmp_path / "fathom.conf"
    config.write_text("[serve]\nmap-mib=64\n")
    agent = Agent(tmp_path, "--config", config).start()
    assert agent.json("/api/self")["limits"]["map_bytes"] == 64 << 20
    token = agent.token
    wait_for(lambda: agent.json("/api/self")["history"]["memory_ticks"] >= 3, 20, "three ticks")
    assert attached(agent.process.pid) > 0
    series = agent.container(busy.name)["series"]
    last_ms = agent.json("/api/self")["time_ms"]
    agent.stop(signal.SIGKILL)

    again = Agent(tmp_path, "--config", config).start()
    assert again.token == token
    assert again.container(busy.name)["series"] == series
    answer = again.json(f"/api/series?id={series}&names=cpu&from_ms={last_ms - 3000}&to_ms={last_ms}")
    assert sum(value is not None for value in answer["resources"][0]["values"]["cpu"]) >= 1
    config.write_text("[serve]\nmap-mib=65\n")
    again.process.send_signal(signal.SIGHUP)
    wait_for(lambda: again.json("/api/self")["limits"]["map_bytes"] == 65 << 20, 10, "the new settings")
    config.write_text("[serve]\nmap-mib=none of them\n")
    again.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "settings stay as they were" in again.said(), 10, "the complaint")
    assert again.stop() == 0
    assert not again.socket.exists()
    with sqlite3.connect(again.state / "history.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("arguments, words", [
    (["--listen", "nowhere"], "nowhere"), (["--listen", "example.com:80"], "numeric"), (["extra"], "no option"),
    (["--tls-key", "/x"], "both"), (["--history-mib", "1"], "history-mib"), (["--state", "relative"], "absolute"),
    (["--config", "/nonexistent"], "nonexistent"), (["--trigger", "nonsense"], "NAME=BOUND"), (["--trigger", "warmth=1"], "one of oom,"),
    (["--trigger", "throttling=1.5"], "at most 1"), (["--trigger", "throttling=nan"], "at most 1"), (["--trigger", "throttling=0.5/0"], "1 to 3600"),
    (["--trigger", "block-latency=20"], "20ms"), (["--trigger", "block-latency=2h"], "an hour"), (["--trigger", "oom=1"], "on or off"),
    (["--trigger", "oom=on/3"], "no readings"), (["--off", "gauges"], "no part called"), (["--memory-minutes", "16"], "1 to 15"), (["--offcpu-seconds", "61"], "1 to 60"), (["--offcpu-percent", "0"], "offcpu-percent"), (["--listen", "none", "--socket", "none"], "nobody"),
])
def test_bad_usage(arguments, words, tmp_path):
    done = run(fathom_binary(), "serve", "--state", tmp_path / "s", "--socket", "none", *arguments, check=False)
    assert done.returncode in (1, 2) and words in done.stderr and done.stderr.count("\n") == 1


def test_parts_that_are_off(tmp_path):
    """They load nothing, and say so; what they would show is not known."""
    agent = Agent(tmp_path, "--off", "dns", "--off", "profile", "--memory-minutes", "1").start()
    try:
        states = {part["name"]: (part["state"], part["why"]) for part in agent.json("/api/self")["parts"]}
        assert {name for name, (state, _) in states.items() if state == "off"} == {"dns", "profile"}
        assert states["dns"][1] == "not asked for"
        assert agent.json("/api/latency?what=dns")["state"] == "off"
        # All of its time is a gap; that of one that is watched, and may have seen nothing, is known to its last seconds.
        def ends(what):
            read = agent.json(f"/api/latency?what={what}&seconds=60")
            return read["to_ms"] - max((to_ms for _, to_ms in read["gaps"]), default=read["from_ms"])
        wait_for(lambda: ends("dns") < 3000, 60, "all of its time to be a gap")
        wait_for(lambda: ends("runq") > 3000, 60, "what is known of waits")
    finally:
        assert agent.stop() == 0


KERNEL_TYPES = "/sys/kernel/btf/vmlinux"


def test_what_was_refused_is_tried_again(tmp_path):
    """Where the kernel's types cannot be read most parts cannot be had, which is said; once they can, the parts come back by themselves."""
    if os.geteuid() != 0 or not Path(KERNEL_TYPES).exists():
        lack("needs root, and a kernel that describes its types")
    agent = Agent(tmp_path, "--off", "profile", "--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0")
    agent.wrapper = [tool("unshare"), "--mount", "sh", "-c", f'mount --bind /dev/null {KERNEL_TYPES} && exec "$@"', "sh"]
    agent.start()

    def parts(state):
        return {part["name"]: part for part in agent.json("/api/self")["parts"] if part["state"] == state}

    try:
        refused = set(parts("refused")) - {"dns"}  # hanging it needs a right that is given up after the start
        assert refused >= {"exec", "oom", "runq"}
        wait_for(lambda: all(part.get("retry_ms") for part in parts("refused").values()), STOP_S, "a plan")
        assert any("tried again in" in note for note in agent.json("/api/self")["notes"])
        run(tool("nsenter"), f"--mount=/proc/{agent.process.pid}/ns/mnt", tool("umount"), KERNEL_TYPES)
        # 10 s after the first attempt, 20 s after the next: how many there were before depends on the machine.
        wait_for(lambda: set(parts("on")) >= refused, STOP_S, "all parts")
        notes = [note.split(": ", 1)[1] for note in agent.json("/api/self")["notes"]]
        for name in refused:
            assert any(note.startswith(f"{name} is watched again, at attempt") for note in notes), notes
            assert "retry_ms" not in parts("on")[name]
        wait_for(lambda: parts("on")["runq"]["seen"], STOP_S, "waits for a CPU")
    finally:
        assert agent.stop() == 0


BPF_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


def test_what_each_program_takes(tmp_path):
    """While the kernel counts: runs a second and what a run takes, of each part and each of its programs. While it does not, a part's
    programs tell together what they take, by their own timing; what each takes is not known, which is not nothing."""
    before = BPF_STATS.read_text()
    BPF_STATS.write_text("0")
    agent = Agent(tmp_path, "--cpu-percent", "0", "--profile-seconds", "0").start()
    try:
        def kernels():
            now = agent.json("/api/self")
            return now["bpf_statistics"], {part["name"]: part["kernel"] for part in now["parts"]}
        state, parts = kernels()
        assert state == "off" and parts["profile"] is None and parts["offcpu"] is None
        assert parts["runq"]["programs"] and all(one["cores"] is None and one["runs_per_second"] is None
                                                 for part in parts.values() if part for one in part["programs"])
        # (Threads are switched while we wait, and their requests answered: soon one call in 64 was among them.)
        wait_for(lambda: (kernels()[1]["runq"]["runs_per_second"] or 0) > 0, 90, "two readings of what they say themselves")
        state, parts = kernels()
        own = parts["runq"]
        assert state == "off" and own["measured_by"] == "itself" and own["cores"] > 0 and own["untimed"] < len(own["programs"])
        assert own["cores"] == pytest.approx(own["runs_per_second"] * own["ns_per_run"] / 1e9, rel=1e-6)
        scraped = agent.request("GET", "/metrics")[2].decode()
        runs, seconds = (float(re.search(rf'^fathom_agent_bpf_{name}_total{{part="runq"}} (\S+)$', scraped, re.M)[1]) for name in ("runs", "seconds"))
        assert runs > 0 and seconds > 0
        BPF_STATS.write_text("1")
        wait_for(lambda: kernels()[1]["runq"]["measured_by"] == "kernel", 90, "two readings while the kernel counts")
        state, parts = kernels()
        assert state == "on"
        for part in (one for one in parts.values() if one and one["measured_by"] == "kernel"):  # (one that was begun anew meanwhile is not known yet)
            # together as many as each, but for what is cut off of their digits
            assert abs(sum(one["runs_per_second"] for one in part["programs"]) - part["runs_per_second"]) <= 1e-6 * part["runs_per_second"] + 1e-6
            for one in (part, *part["programs"]):
                assert one["cores"] >= 0 and (one["ns_per_run"] is not None or one["runs_per_second"] == 0)
                if one["runs_per_second"]:
                    assert one["cores"] == pytest.approx(one["runs_per_second"] * one["ns_per_run"] / 1e9, rel=1e-6)
        # as the kernel tells it of our descriptors
        told = {}
        for path in Path(f"/proc/{agent.process.pid}/fdinfo").iterdir():
            try:
                fields = dict(re.findall(r"^(\w+):\s*(\S+)", path.read_text(), re.M))
            except FileNotFoundError:
                continue  # the agent opens and closes files
            if "run_cnt" in fields:
                told[fields["prog_id"]] = int(fields["run_cnt"])
        assert sum(len(part["programs"]) for part in parts.values() if part) <= len(told)
        assert sum(count > 0 for count in told.values()) >= sum((one["runs_per_second"] or 0) > 0 for part in parts.values() if part for one in part["programs"])
        BPF_STATS.write_text("0")
        wait_for(lambda: kernels()[0] == "off", 90, "a reading when it no longer counts")
        wait_for(lambda: kernels()[1]["runq"]["measured_by"] == "itself", 90, "what they say themselves to be told again")
        assert all(one["runs_per_second"] is None and one["cores"] is None for one in kernels()[1]["runq"]["programs"])
        assert any(one["ns_per_run"] for one in kernels()[1]["runq"]["programs"])  # what a run takes stays known
    finally:
        BPF_STATS.write_text(before)
        assert agent.stop() == 0


def test_settings_file(tmp_path):
    config = tmp_path / "fathom.conf"
    for text, words in (("[serve]\nlisten-on=x\n", "no setting"), ("[other]\nx=1\n", "no group"),
                        ("[serve]\nhistory-mib=many\n", "history-mib"), ("[serve]\ntrigger=oom=off;io-pressure=x\n", "io-pressure"), ("junk", "fathom.conf")):
        config.write_text(text)
        done = run(fathom_binary(), "serve", "--config", config, check=False)
        assert done.returncode == 2 and words in done.stderr


def test_state_directory_of_others(tmp_path):
    """Not one that others can read, nor a link to somewhere else."""
    if os.geteuid() != 0:
        lack("needs root")
    loose, link = tmp_path / "loose", tmp_path / "link"
    loose.mkdir(mode=0o755)
    link.symlink_to(loose)
    for path in (loose, link):
        done = run(fathom_binary(), "serve", "--state", path, "--socket", "none", "--listen", "127.0.0.1:0",
                   check=False)
        assert done.returncode == 1 and "state directory" in done.stderr


def test_disk_full(busy, tmp_path):
    """The agent says so and goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run(tool("mount"), "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", disk)
    try:
        agent = Agent(disk, "--history-mib", "64")
        agent.socket = tmp_path / "sock"
        agent.start()
        filler = disk / "filler"
        with open(filler, "wb") as file:
            try:
                while file.write(b"x" * 65536):
                    file.flush()
            except OSError:
                pass
        wait_for(lambda: agent.json("/api/self")["history"]["trouble"], 30, "the trouble to be told")
        ticks = agent.json("/api/self")["ticks"]
        wait_for(lambda: agent.json("/api/self")["ticks"] > ticks + 1, 20, "readings to go on")
        assert agent.json("/api/self")["history"]["dropped"] > 0
        assert agent.said().count("\n") < 20, agent.said()  # what fails each second is not a line each second
        filler.unlink()
        wait_for(lambda: not agent.json("/api/self")["history"]["trouble"], 40, "writing again")
        assert agent.stop() == 0
    finally:
        run(tool("umount"), "-l", disk)
