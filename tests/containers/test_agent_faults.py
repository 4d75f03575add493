# SPDX-License-Identifier: Apache-2.0
"""What happens to the agent from outside: its clock jumps, it is stopped for a while, readers do not read, clients do not speak, somebody in
a container has its socket. It goes on, and what it does not know is told as not known."""
import json
import os
import secrets
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import leftovers
from agent_client import Agent
from support import ROOT, lack, run, tool, wait_for

HOUR_MS = 3600 * 1000
MANY = 600  # containers: an interval of the stream is 70 kB then, and what waits has no room before the reader is sent away
HEADERS = "Host: localhost\r\nAuthorization: Bearer {}\r\n\r\n"


def hierarchies():
    return [root for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")) if (root / "cgroup.procs").exists()]


@pytest.fixture
def groups():
    """groups(count): cgroups as docker names them, the paths of each in all hierarchies."""
    if os.geteuid() != 0:
        lack("needs root")
    mine = leftovers.name_of_mine("test")
    roots = [root / mine for root in hierarchies()]

    def make(count):
        names = [f"docker-{secrets.token_hex(32)}.scope" for _ in range(count)]
        for root in roots:
            root.mkdir(exist_ok=True)
            for name in names:
                (root / name).mkdir()
        return [[root / name for root in roots] for name in names]
    yield make
    for root in roots:
        leftovers.remove_tree_of_cgroups(root)


@pytest.fixture
def agent(tmp_path):
    """One that reads files alone: nothing here depends on what is watched."""
    agent = Agent(tmp_path, "--no-bpf").start()
    yield agent
    agent.process.send_signal(signal.SIGCONT)
    assert agent.stop() == 0


def ticks_go_on(agent, count=3):
    before = agent.json("/api/self")["ticks"]
    return wait_for(lambda: (told := agent.json("/api/self"))["ticks"] >= before + count and told, 60, "readings to go on")


def cpu_of_the_host(agent, from_ms, to_ms):
    answer = agent.json(f"/api/series?id=1&names=cpu&from_ms={from_ms}&to_ms={to_ms}&step_ms=1000")["resources"]
    return answer[0]["values"]["cpu"] if answer else []


def test_the_clock_jumps(tmp_path, monkeypatch):
    """An hour ahead, back, an hour back: readings go on at the new time, all is written, and what was before stays readable."""
    library, shift = tmp_path / "clockshift.so", tmp_path / "shift"
    run(tool("cc"), "-O2", "-shared", "-fPIC", "-o", library, ROOT / "tests/clockshift.c")
    shift.write_bytes(struct.pack("q", 0))
    with monkeypatch.context() as patched:
        patched.setenv("LD_PRELOAD", str(library))
        patched.setenv("FATHOM_CLOCKSHIFT", str(shift))
        agent = Agent(tmp_path, "--no-bpf").start()
    try:
        begun_ms = ticks_go_on(agent)["time_ms"]
        seen = []
        for hours in (1, 0, -1, 0):
            with open(shift, "r+b") as file:
                file.write(struct.pack("q", hours * HOUR_MS * 1_000_000))
            before_ms = int(time.time() * 1000) + hours * HOUR_MS
            wait_for(lambda: before_ms <= agent.json("/api/self")["time_ms"] < before_ms + HOUR_MS // 2, 60, "a reading at the new time")
            told = ticks_go_on(agent)
            assert before_ms <= told["time_ms"] < before_ms + HOUR_MS // 2
            assert told["trouble"] is None and told["history"]["trouble"] is None and told["history"]["dropped"] == 0
            assert any(value is not None for value in cpu_of_the_host(agent, told["time_ms"] - 3000, told["time_ms"]))
            seen.append(told["time_ms"])
    finally:
        assert agent.stop() == 0
    with sqlite3.connect(agent.state / "history.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = Agent(tmp_path, "--no-bpf").start()
    try:
        for time_ms in (begun_ms, *seen):
            assert any(value is not None for value in cpu_of_the_host(again, time_ms - 3000, time_ms)), (time_ms, begun_ms, seen)
    finally:
        assert again.stop() == 0


def test_stopped_for_a_while(agent):
    """The seconds in which it could not read are gaps, not zeroes and not guesses."""
    ticks_go_on(agent)
    agent.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: "\nState:\tT" in Path(f"/proc/{agent.process.pid}/status").read_text(), what="the agent to stand still")
    from_ms = int(time.time() * 1000)
    time.sleep(5)  # what is tested: a time without readings
    to_ms = int(time.time() * 1000)
    agent.process.send_signal(signal.SIGCONT)
    ticks_go_on(agent)
    later_ms = agent.json("/api/self")["time_ms"]
    begin_ms = from_ms - 10000
    values = cpu_of_the_host(agent, begin_ms, later_ms)
    # A reading belongs to the second in which it was taken.
    meanwhile = [value for i, value in enumerate(values) if from_ms + 1000 <= begin_ms + i * 1000 and begin_ms + (i + 1) * 1000 <= to_ms]
    assert len(meanwhile) >= 2 and set(meanwhile) == {None}, values
    assert any(value is not None for value in values[:10]) and any(value is not None for value in values[-3:]), values


def test_a_reader_of_the_stream_that_does_not_read(agent, groups):
    """What waits for him has a bound; he is told how much he missed, and others are served meanwhile."""
    groups(MANY)
    wait_for(lambda: len(agent.json("/api/containers")["containers"]) > MANY, 60, "them to be read")
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", agent.port))
    with reader:
        reader.sendall(b"GET /api/stream HTTP/1.1\r\n" + HEADERS.format(agent.token).encode())
        wait_for(lambda: agent.json("/api/self")["http"]["streams"] == 1, what="the stream")
        wait_for(lambda: agent.json("/api/self")["http"]["stream_dropped"] >= 2, 120, "messages that have no room")
        ticks_go_on(agent)
        reader.settimeout(60)
        got = b""
        while b"event: gap\ndata: " not in got or b"event: interval\n" not in got.split(b"event: gap\ndata: ", 1)[1]:
            got = got[-100:] + reader.recv(65536)
        assert int(got.split(b"event: gap\ndata: ", 1)[1].split(b"\n")[0]) >= 1
    wait_for(lambda: agent.json("/api/self")["http"]["streams"] == 0, 60, "the stream to be gone")


def test_clients_that_do_not_finish_what_they_say(agent):
    """More of them than there is room for: in the end they are sent away, and whoever speaks is answered."""
    clients = []
    try:
        for _ in range(200):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", agent.port))
            clients.append(client)
        for client in clients:
            try:
                client.sendall(b"GET /api/self HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            except OSError:
                pass

        def is_answered():
            for client in clients:  # each goes on, a byte at a time
                try:
                    client.send(b"x")
                except OSError:
                    pass
            try:
                return agent.request("GET", "/healthz", token=None)[0] == 200
            except OSError:
                return False
        wait_for(is_answered, 120, "an answer for who asks properly", interval_s=0.5)
        wait_for(lambda: is_answered() and agent.json("/api/self")["http"]["ended_slow"] > 0, 120, "the slow to be sent away", interval_s=0.5)
    finally:
        for client in clients:
            client.close()


def test_readers_take_no_probe_away(tmp_path):
    """What answering takes has no bound: to watch less would not make it less."""
    limit = 0.15
    agent = Agent(tmp_path, "--no-bpf", "--cpu-percent", str(100 * limit), "--memory-mib", "0").start()
    over = threading.Event()

    def read():
        while not over.is_set():
            agent.json("/api/self")
            agent.request("GET", "/metrics")
    readers = [threading.Thread(target=read) for _ in range(4)]
    try:
        for reader in readers:
            reader.start()
        books = wait_for(lambda: [books for books in [agent.json("/api/self")] if books["uptime_seconds"] > 63 and books["cpu_cores"] > limit], 240,
                         "a minute above the bound", interval_s=2)[0]
        assert books["answers_cores"] > books["cpu_cores"] - limit
        assert not [note for note in books["notes"] if "shed" in note] and "shed" not in {part["state"] for part in books["parts"]}
    finally:
        over.set()
        for reader in readers:
            reader.join()
        assert agent.stop() == 0


def test_the_socket_in_a_container(agent, groups):
    """Who can open the unix socket from inside of a container still needs the token."""
    [paths] = groups(1)
    wait_for(lambda: any(c.get("cgroup", "").endswith(paths[0].name) for c in agent.json("/api/containers")["containers"]), 60, "it to be known")
    command = [tool("curl"), "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", str(agent.socket), "http://x/api/self"]

    def enter():
        for path in paths:
            (path / "cgroup.procs").write_text(str(os.getpid()))

    def ask(*more, **how):
        return subprocess.run([*command, *more], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **how).stdout
    assert ask() == "200"
    assert ask(preexec_fn=enter) == "401"
    assert ask("-H", f"Authorization: Bearer {agent.token}", preexec_fn=enter) == "200"


def test_labels_have_a_bound(tmp_path, groups):
    """However many containers there are: beyond the bound they are one, with what all of them used."""
    groups(5)
    agent = Agent(tmp_path, "--no-bpf", "--metrics-containers", "2").start()
    try:
        wait_for(lambda: agent.json("/api/ledger")["containers_without_labels"] >= 3, 60, "the rest to be counted")
        text = agent.request("GET", "/metrics")[2].decode()
        names = {json.loads(line.split("container_name=", 1)[1].split(",")[0].split("}")[0]) for line in text.splitlines()
                 if line.startswith("fathom_container_") and "container_name=" in line}
        assert "other" in names and len(names) <= 3, names
    finally:
        assert agent.stop() == 0
