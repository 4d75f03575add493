# SPDX-License-Identifier: Apache-2.0
"""fathom record beside containers that do known things, and any command on the capture: without rights, somewhere else,
from a file that may be cut, changed or nobody's."""
import json
import os
import pwd
import struct
import subprocess
import zlib

import pytest

from runtimes import die_with_parent
from support import STOP_S, fathom_binary, run, wait_for

COMMANDS = ("profile", "offcpu", "latency runq", "latency fs", "latency block", "ps", "top", "trace exec", "map -d 1",
            "connections -d 1", "diagnose", "dns -d 1", "memory", "host", "use")


@pytest.fixture(scope="module")
def capture(docker, tmp_path_factory):
    """A container at its quota, one that talks to itself fifty times: three seconds of them."""
    path = tmp_path_factory.mktemp("record") / "a.fathom"
    busy = docker.run("recbusy", "sh", "-c", "while :; do :; done", cpus=0.2, memory="64m")
    talk = docker.run("rectalk", "tcpload", "serve", "127.0.0.1", "7000")
    process = subprocess.Popen([fathom_binary(), "record", "-q", "-o", path], stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    # The first interval is in the file when all is attached.
    wait_for(lambda: path.exists() and path.stat().st_size > 100, 60, "the first interval")
    docker.cli("exec", talk.id, "tcpload", "connect", "127.0.0.1", "7000", "50")
    # Born meanwhile: it connects before its name is known, or not, as it happens.
    late = docker.run("reclate", "sh", "-c", "tcpload connect 127.0.0.1 7000 5; while :; do sleep 0.2; done", network=f"container:{talk.id}")
    docker.cli("exec", "-d", talk.id, "dnsload", "serve", "127.0.0.1")
    wait_for(lambda: "answered 2" in docker.cli("exec", talk.id, "dnsload", "ask", "127.0.0.1", "2", "ok.example").stdout, 20, "a resolver")
    docker.cli("exec", talk.id, "dnsload", "ask", "127.0.0.1", "7", "nx.example")
    docker.cli("exec", "-d", talk.id, "leaker", "64", "32")
    before = path.stat().st_size
    wait_for(lambda: path.stat().st_size > before + 3000, 30, "more intervals")
    process.terminate()
    complaint = process.communicate(timeout=STOP_S)[1]
    assert process.returncode == 0, complaint
    docker.rm(busy)
    docker.rm(talk)
    docker.rm(late)
    assert path.stat().st_mode & 0o777 == 0o600
    return path, busy.name, talk.name, late


def replay(path, *words, status=0):
    """As nobody, who may do nothing."""
    nobody = pwd.getpwnam("nobody")

    def become():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    with open(path, "rb") as file:  # nobody may not go to where it lies: the descriptor is handed on
        done = subprocess.run([fathom_binary(), "replay", f"/proc/self/fd/{file.fileno()}", *words], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, preexec_fn=become,
                              pass_fds=[file.fileno()])
    assert status is None or done.returncode == status, (done.returncode, done.stderr)
    return done.stdout


@pytest.fixture
def readable(capture, tmp_path):
    path = tmp_path / "a.fathom"
    path.write_bytes(capture[0].read_bytes())
    path.chmod(0o644)
    return path


def test_contents(capture, readable):
    found = json.loads(run(fathom_binary(), "replay", "--json", readable).stdout)
    _, busy, talk, late = capture
    assert {busy, talk, late.name} <= set(found["containers"])
    assert not [name for name in found["containers"] if name.startswith(late.id[:12])]
    held = {one["name"]: one for one in found["holds"]}
    assert {"usage", "connections", "runq", "fs", "block", "profile", "offcpu", "memory", "resolvers", "host"} <= set(held)
    assert found["cut_bytes"] == 0 and held["usage"]["intervals"] >= 2


def test_memory_is_bounded(docker, tmp_path):
    """Beyond the bound stacks are written and begun anew: those of before and after are in the file."""
    path = tmp_path / "b.fathom"
    busy = docker.run("recbound", "sh", "-c", "while :; do :; done", cpus=0.2, memory="64m")

    def held():
        return {one["name"]: one for one in json.loads(run(fathom_binary(), "replay", "--json", path).stdout)["holds"]}

    process = subprocess.Popen([fathom_binary(), "record", "--memory-mib", "1", "-o", path], stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    wait_for(lambda: path.exists() and path.stat().st_size > 100, 60, "the first interval")
    wait_for(lambda: "profile" in held(), STOP_S, "stacks while it goes on", 1)
    before = held()["usage"]["intervals"]
    wait_for(lambda: held()["usage"]["intervals"] >= before + 3, STOP_S, "intervals after it", 0.5)
    process.terminate()
    said = process.communicate(timeout=STOP_S)[1]
    docker.rm(busy)
    assert process.returncode == 0 and "begun anew" in said, said
    assert held()["profile"]["intervals"] >= 2 and held()["offcpu"]["intervals"] >= 2
    assert busy.name in run(fathom_binary(), "replay", path, "profile", "--format", "folded").stdout


def test_commands(capture, readable):
    _, busy, talk, late = capture
    folded = replay(readable, "profile", "--format", "folded", busy)
    assert folded and all(line.startswith(busy + ";") for line in folded.splitlines())
    everybody = replay(readable, "profile", "--format", "folded")
    assert len(everybody.splitlines()) > len(folded.splitlines())
    assert "blocked: " in replay(readable, "offcpu", "--format", "folded")
    # No stacks of it are in the capture: what threads waited for is.
    spent = {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in replay(readable, "walltime", "--format", "folded", busy).splitlines()}
    assert set(spent) <= {f"{busy};{cause}" for cause in ("running", "waiting for CPU", "blocked: other", "blocked: sleep")} and \
        spent[f"{busy};running"] > 0 and spent[f"{busy};waiting for CPU"] > spent[f"{busy};running"]
    edges = json.loads(replay(readable, "connections", "-d", "1", "--json", talk))["edges"]
    between = {e["source"].get("container"): (e["opens"], e["closes"]) for e in edges if e["target"].get("container") == talk}
    assert between == {talk: (50, 50), late.name: (5, 5)}
    for words in (("trace", "exec"), ("latency", "runq"), ("profile", "--format", "folded"), ("ps",)):
        told = replay(readable, *words, status=None)
        assert late.name in told or words[0] == "profile", told
        assert not [line for line in told.splitlines() if line.split(";")[0].strip().startswith(late.id[:12])], told
    assert "throttled" in replay(readable, "latency", "runq", busy, status=None)
    rows = [json.loads(line) for line in replay(readable, "top", "--json").splitlines()]
    cpu = [row["cpu_ns"] / row["interval_ns"] for row in rows if row["name"] == busy and "cpu_ns" in row and
           row.get("interval_ns")]
    assert cpu and 0.05 < sum(cpu) / len(cpu) < 0.35
    assert busy in replay(readable, "ps") and talk in replay(readable, "map", "-d", "1")
    assert busy in replay(readable, "diagnose", status=1)
    cpu = next(r["container"]["utilisation"] for r in json.loads(replay(readable, "use", "--json", busy))["resources"] if r["resource"] == "CPU")
    assert 0.05 < cpu["value"] < 0.35, cpu  # of CPUs: it may have a fifth of one
    assert "not in this capture" not in replay(readable, "use", busy)
    assert any(talk in line and "tcpload" in line for line in replay(readable, "trace", "exec").splitlines())


@pytest.mark.parametrize("words", [("profile", "nosuch"), ("profile", "--by", "thread"), ("slow",), ("nothing",)])
def test_refused(readable, words):
    assert replay(readable, *words, status=None) == ""


def test_dns_memory_and_the_machine(capture, readable):
    """What is observed beside the intervals: resolvers each second, memory and the page cache in the end, readings of the machine."""
    _, busy, talk, _ = capture
    asked = json.loads(replay(readable, "dns", "-d", "1", "--json", talk))["resolvers"]
    assert asked and sum(edge["nxdomain"] for edge in asked) == 7, asked
    assert "NXDOMAIN" in replay(readable, "dns", "-d", "1", status=None)
    told = replay(readable, "memory", status=None)
    assert "Memory of each container meanwhile" in told and busy in told and "READ HITS" in told
    assert talk not in replay(readable, "memory", busy, status=None)
    grown = json.loads(replay(readable, "memory", "--json", talk, status=None))
    shapes = {shape["probe"] for shape in grown["shapes"]}
    assert shapes >= {"memory"} and any(shape["kind"] == "gauges" for shape in grown["shapes"])
    assert any(row["name"] == talk and row["memory_anon_bytes"] for shape in grown["shapes"] for row in shape.get("rows", []) if shape["kind"] == "gauges")
    machine = json.loads(replay(readable, "host", "--json"))
    values = {name: one["value"] for name, one in machine["values"].items()}
    assert machine["interval_s"] >= 0.5 and 0 <= values["cpu_idle"] < 1 and values["memory_total"] > 2**28 and values["switches"] > 0
    assert machine["cpus"] and any(one["container"] == busy for one in machine["processes"])
    assert "not in a capture" in replay(readable, "host")
    alone = json.loads(replay(readable, "use", "--json"))  # the same two readings
    assert alone["container"] is None and alone["interval_s"] == machine["interval_s"]
    assert alone["resources"][0]["host"]["utilisation"]["value"] == pytest.approx(1 - values["cpu_idle"], abs=1e-6)
    assert json.loads(replay(readable, "host", "--watch", "--count", "1", "--json"))["interval_s"] > 0


HEAD, SEGMENT = 16, struct.Struct("<IIqII")  # store/capture.h


def segments(content):
    """Of a capture: (time in ms, what follows its head)."""
    at = HEAD
    while at < len(content):
        _, length, time_ms, _, _ = SEGMENT.unpack_from(content, at)
        yield time_ms, content[at + SEGMENT.size:at + SEGMENT.size + length]
        at += SEGMENT.size + length


def segment(time_ms, packed):
    head = SEGMENT.pack(0x47455346, len(packed), time_ms, zlib.crc32(packed), 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + packed


def test_longer_than_can_be_held(readable, tmp_path):
    """A capture of so many hours that its latest part alone is shown: that is said, where nothing was read is said, and there is an option."""
    content = readable.read_bytes()
    known = list(segments(content))
    length_ms = known[-1][0] - known[0][0] + 60_000  # a minute between one copy and the next
    long = tmp_path / "long.fathom"
    copies = 1 + (6 << 20) // len(content)
    long.write_bytes(content[:HEAD] + b"".join(segment(time_ms + i * length_ms, packed) for i in range(copies) for time_ms, packed in known))
    told = json.loads(run(fathom_binary(), "replay", "--json", long).stdout)
    assert told["gaps"] >= copies - 1 and told["missing_ns"] >= (copies - 1) * 50e9
    assert "nothing was read for a while" in replay(long) and "nothing was read for a while" in replay(long, "latency", "runq")
    for option, said in ((["--capture-mib", "1"], True), ([], False)):
        shown = subprocess.Popen([fathom_binary(), "replay", long, "serve", "--listen", "127.0.0.1:0", *option], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        assert shown.stdout.readline().startswith("page:")
        shown.terminate()
        complaint = shown.communicate(timeout=STOP_S)[1]
        assert ("its latest 1 MiB are shown" in complaint) == said and "nothing was read for a while" in complaint, complaint
    done = run(fathom_binary(), "replay", long, "serve", "--capture-mib", "0", check=False)
    assert done.returncode == 2 and "capture-mib is a number" in done.stderr


def test_damage(readable, tmp_path):
    whole = readable.read_bytes()
    cut = tmp_path / "cut.fathom"
    cut.write_bytes(whole[:-7])
    done = run(fathom_binary(), "replay", cut, check=False)
    assert done.returncode == 0 and "no whole segment" in done.stderr
    changed = tmp_path / "changed.fathom"
    changed.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    for path in (changed, tmp_path / "absent", "/etc/passwd", "/dev/null", tmp_path):
        done = run(fathom_binary(), "replay", path, check=False)
        assert done.returncode == 2 and done.stderr.startswith("fathom replay: ") and done.stderr.count("\n") == 1
    for command in COMMANDS:
        done = run(fathom_binary(), "replay", changed, *command.split(), check=False)
        assert done.returncode in (1, 2) and "segment" in done.stderr and not done.stdout, command
