# SPDX-License-Identifier: Apache-2.0
"""fathom dns against programs that know how many questions they asked, and a resolver that answers as it is told."""
import json
import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

import runtimes
from agent_client import Agent
from support import STOP_S, Missing, join, lack, run, tool, wait_for

SLOW_NS = 50e6
TIMEOUT = "300ms"


def inside(container, *command, **options):
    return container.runtime.cli("exec", container.id, *command, **options)


def listening(container):
    table = run("nsenter", "-t", container.pid, "-n", "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False).stdout
    return re.search(r":0035 [0:]+ 0A", table)


def links(process):
    """How many links to a cgroup the process holds."""
    found = 0
    for info in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        try:
            found += "link_type:\tcgroup" in info.read_text()
        except OSError:
            pass
    return found


def wait_attached(process):
    wait_for(lambda: process.poll() is not None or links(process) == 2, what="fathom to attach")


@contextmanager
def watching(fathom, *arguments):
    """fathom dns runs in the body; the yielded list holds its JSON object afterwards."""
    found = []
    process = fathom.start("dns", "-d", "600", "--json", "--timeout", TIMEOUT, *arguments)
    wait_attached(process)
    yield found
    process.send_signal(signal.SIGINT)
    text, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    found.append(json.loads(text))


@pytest.fixture(scope="module")
def pair(docker):
    """A resolver and somebody who asks, joined by a wire: 10.78.1.1 and fd78:1::1 ask 10.78.1.2 and fd78:1::2."""
    resolver = docker.run("oracle", "/bin/dnsload", "serve", "::")
    client = docker.run("curious", "sleep", "600")
    a, b = f"da{client.pid}", f"db{resolver.pid}"
    run("ip", "link", "add", a, "type", "veth", "peer", "name", b)
    for container, device, host in ((client, a, 1), (resolver, b, 2)):
        run("ip", "link", "set", device, "netns", container.pid)
        enter = ("nsenter", "-t", container.pid, "-n")
        run(*enter, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
        for address in (f"10.78.1.{host}/24", f"fd78:1::{host}/64"):
            run(*enter, "ip", "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        run(*enter, "ip", "link", "set", device, "up")
        run(*enter, "ip", "link", "set", "lo", "up")
    run("nsenter", "-t", resolver.pid, "-n", "ip", "address", "add", "10.78.1.3/24", "dev", b)
    wait_for(lambda: listening(resolver), what="the resolver to listen")
    yield client, resolver
    docker.rm(client)
    docker.rm(resolver)


def rows(result, client, **labels):
    return [r for r in result["resolvers"] if client.name in r["source"].values() and
            all(r.get(label) == value for label, value in labels.items())]


def only(result, client, **labels):
    found = rows(result, client, **labels)
    assert len(found) == 1, result
    return found[0]


def outcomes(row):
    """Every counter that is not 0, but the number of questions."""
    return {k: v for k, v in row.items() if isinstance(v, int) and v and k != "queries"}


TELL_ONESELF = """
import errno, socket, struct, sys
def message(number, name, address):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0"
    question = struct.pack("!6H", number, 0x100 if not address else 0x8180, 1, bool(address), 0, 0) + labels + struct.pack("!2H", 1, 1)
    return question + (b"\\xc0\\x0c" + struct.pack("!2HIH", 1, 1, 60, 4) + socket.inet_aton(address) if address else b"")
def refused(address, times):
    for _ in range(times):
        with socket.socket() as s:
            assert s.connect_ex((address, 9)) == errno.ECONNREFUSED
resolver, asker, silent = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
resolver.bind(("127.0.0.1", 53))
silent.bind(("127.0.0.1", 0))
# An answer to its own question, with the name of somebody else; then one that nobody asked for, and one that makes no sense.
asker.connect(("127.0.0.1", 53))
asker.send(message(7, sys.argv[1], None))
answer_to = resolver.recvfrom(512)[1]
resolver.sendto(message(7, sys.argv[1], "127.9.0.1"), answer_to)
asker.recv(512)
resolver.sendto(message(8, "unasked.example", "127.9.0.2"), silent.getsockname())
silent.recv(512)
asker.send(message(9, "cut.example", None))
resolver.recv(512)
resolver.sendto(message(9, "cut.example", "127.9.0.3")[:-3], answer_to)
asker.recv(512)
for host, times in ((1, 11), (2, 12), (3, 13)):
    refused(f"127.9.0.{host}", times)
for _ in range(14):
    with socket.socket() as s:
        assert s.connect_ex(("192.0.2.1", 9)) == errno.ECONNREFUSED
"""


def told_by_agent(agent, container):
    """Failed connects of the container by the kind and the name of the other end, as the agent's map has them."""
    answer = agent.json("/api/edges?seconds=120")
    ends = [(end["kind"], end["name"]) for end in answer["ends"]]
    return {ends[e["target"]]: e["failed"] for e in answer["edges"]
            if ends[e["source"]] == ("container", container.name) and e["failed"]}


def test_peers_outside_have_the_names_dns_told(fathom, pair, tmp_path):
    """The name a container asked for when it was told an address: for that container only, marked, never taken for a container, and
    only when it was asked for."""
    client, resolver = pair
    agent = Agent(tmp_path, "--names").start()
    for container in pair:
        run("nsenter", "-t", container.pid, "-n", "ip", "address", "replace", "192.0.2.1/32", "dev", "lo")
        # A rule refuses, not a socket that is not there: who it is stays unknown, as of a machine outside.
        run("nsenter", "-t", container.pid, "-n", "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "9", "-j", "REJECT", "--reject-with", "tcp-reset")
    with watching_peers(fathom, "connections", "--json") as found, watching_peers(fathom, "map", "--format", "text") as drawn:
        assert inside(client, "dnsload", "ask", "10.78.1.2", 3, "ok.example").stdout == "answered 3\n"
        for container, name in ((client, resolver.name), (resolver, None)):
            run("nsenter", "-t", container.pid, "-n", "python3", "-c", TELL_ONESELF if name else STRANGER, name or "",
                preexec_fn=lambda: join(container))
    ends = {(edge["source"]["container"], *next(iter(edge["target"].items()))): edge["failures"]["refused"]
            for edge in json.loads(found[0])["edges"] if edge["target"].get("port") == 9}
    assert ends == {(client.name, "dns_name", "ok.example"): 14, (client.name, "dns_name", resolver.name): 11,
                    (client.name, "address", "127.9.0.2"): 12, (client.name, "address", "127.9.0.3"): 13,
                    (resolver.name, "address", "192.0.2.1"): 5}, found[0]
    try:
        named = {("told", "ok.example"): 14, ("told", resolver.name): 11, ("external", "127.9.0.2"): 12, ("external", "127.9.0.3"): 13}
        wait_for(lambda: sum(told_by_agent(agent, client).values()) >= sum(named.values()), what="the agent to say so")
        assert told_by_agent(agent, client) == named
    finally:
        agent.stop()
    assert f"{resolver.name} (by DNS) :9" in drawn[0] and "ok.example (by DNS) :9" in drawn[0], drawn[0]


STRANGER = """
import socket
for _ in range(5):
    with socket.socket() as s:
        s.connect_ex(("192.0.2.1", 9))
"""


@contextmanager
def watching_peers(fathom, *arguments):
    found = []
    process = fathom.start(*arguments, "-d", "600", "--remotes", "name")
    wait_attached(process)
    yield found
    process.send_signal(signal.SIGINT)
    text, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    found.append(text)


def test_dockers_own_resolver(fathom):
    """In a network that somebody made docker answers itself, at 127.0.0.11, behind rules that translate its ports: over UDP and TCP."""
    try:
        docker = runtimes.DockerNetwork(False)
    except Missing as missing:
        lack(str(missing))
    with docker:
        docker.cli("network", "create", "--subnet", "172.31.99.0/24", "made")
        server, client = (docker.run(name, "sleep", "600", network="made") for name in ("named", "asks"))
        with watching(fathom) as found:
            for way, count in (("ask", 50), ("tcp", 7)):
                assert inside(client, "dnsload", way, "127.0.0.11", count, server.name).stdout == f"answered {count}\n"
    asked = {edge["transport"]: edge for edge in found[0]["resolvers"] if edge["source"] == {"container": client.name}}
    assert {way: (edge["queries"], edge["noerror"], edge["resolver"]) for way, edge in asked.items()} == {
        "udp": (50, 50, "127.0.0.11"), "tcp": (7, 7, "127.0.0.11")}, found[0]["resolvers"]


@pytest.mark.parametrize("address", ["10.78.1.2", "fd78:1::2"])
def test_every_question_and_its_outcome(fathom, pair, address):
    client, resolver = pair
    planted = {"ok": 200, "empty": 20, "nx": 30, "fail": 10, "refuse": 5, "silent": 3, "slow": 6}
    with watching(fathom) as found:
        for name, count in planted.items():
            answered = 0 if name == "silent" else count
            assert inside(client, "dnsload", "ask", address, count, f"{name}.example").stdout == f"answered {answered}\n"
    row = only(found[0], client, resolver=address, transport="udp")
    assert row["target"] == {"container": resolver.name}
    # The last of the silent ones may still be waited for when the measurement ends.
    waited = row["unanswered"] + row["pending"]
    assert (row["queries"], row["noerror"], row["nodata"], row["nxdomain"], row["servfail"], row["refused"], waited) == (
        sum(planted.values()), 206, 20, 30, 10, 5, 3), row
    assert row["unanswered"] >= 1 and not row["search_waste"] and not row["surplus"]
    latency = row["latency_ns"]
    assert latency["count"] == sum(planted.values()) - 3
    assert latency["sum"] >= 6 * SLOW_NS and latency["max"] >= SLOW_NS
    assert not found[0]["ledger"]["items"], found[0]["ledger"]


def test_over_tcp(fathom, pair):
    client, resolver = pair
    with watching(fathom) as found:
        assert inside(client, "dnsload", "tcp", "10.78.1.2", 100, "ok.example").stdout == "answered 100\n"
    row = only(found[0], client, transport="tcp")
    assert outcomes(row) == {"noerror": 100}, row
    assert row["target"] == {"container": resolver.name}


def test_several_resolvers_at_once(fathom, pair):
    """As musl asks: the first answer counts, the others are no failures. (Slow answers: both must have been asked.)"""
    client, _ = pair
    with watching(fathom) as found:
        assert inside(client, "dnsload", "all", 8, "slow.example", "10.78.1.2", "10.78.1.3").stdout == "answered 8\n"
    both = rows(found[0], client)
    assert sum(row["queries"] for row in both) == 16, both
    assert sum(row["noerror"] for row in both) == 8, both
    assert sum(row["surplus"] for row in both) == 8, both
    assert not any(row["unanswered"] or row["pending"] for row in both), both


def test_search_list_waste(fathom, pair):
    """The C library tries two domains that do not have the name before the third does, and then the name itself."""
    client, _ = pair
    text = "nameserver 10.78.1.2\\nsearch one.cluster.test two.cluster.test shop.test\\noptions ndots:5\\n"
    inside(client, "sh", "-c", f"printf '{text}' >/etc/resolv.conf")
    with watching(fathom, "--names") as found:
        assert inside(client, "dnsload", "resolve", 10, "ok").stdout == "answered 10\n"
        assert inside(client, "dnsload", "resolve", 10, "nxx.cluster.test").stdout == "answered 0\n"
    by_name = {row["name"]: outcomes(row) for row in rows(found[0], client)}
    assert by_name["ok.shop.test"] == {"noerror": 10}
    assert by_name["ok.one.cluster.test"] == by_name["ok.two.cluster.test"] == {"nxdomain": 10, "search_waste": 10}
    # Nothing ever answered these: they were in vain, but not the search list's waste.
    assert by_name["nxx.cluster.test.one.cluster.test"] == {"nxdomain": 10}


def test_port_translated_before_it_is_seen(fathom, pair):
    """As with a service address: the client asks another address and port than the resolver's."""
    client, _ = pair
    enter = ("nsenter", "-t", client.pid, "-n")
    rule = ("OUTPUT", "-p", "udp", "-d", "10.78.1.99", "--dport", "53", "-j", "DNAT", "--to-destination", "10.78.1.2:53")
    run(*enter, "iptables", "-t", "nat", "-A", *rule)
    try:
        with watching(fathom) as found:
            assert inside(client, "dnsload", "all", 20, "ok.example", "10.78.1.99").stdout == "answered 20\n"
            assert inside(client, "dnsload", "ask", "10.78.1.99", 20, "ok.example").stdout == "answered 20\n"
    finally:
        run(*enter, "iptables", "-t", "nat", "-D", *rule)
    assert sum(row["noerror"] for row in rows(found[0], client)) == 40, found[0]


def test_latency_by_outcome_and_hostile_names(fathom, pair):
    client, _ = pair
    process = fathom.start("latency", "dns", client.name, "-d", "600", "--json")
    wait_attached(process)
    inside(client, "dnsload", "ask", "10.78.1.2", 10, "slow.example")
    process.send_signal(signal.SIGINT)
    text, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    assert '"noerror"' in text and "10.78.1.2" in text
    with watching(fathom, "--names") as found:
        assert inside(client, "dnsload", "ask", "10.78.1.2", 1, "ok\x1b[2J<b>\"\n.example").stdout == "answered 1\n"
    assert rows(found[0], client)[0]["name"] == "ok\x1b[2j<b>\"\n.example"
    shown = fathom("dns", "--names", "--timeout", "zero", "-d", "1")
    assert shown.returncode == 2 and "makes no sense" in shown.stderr


FLOOD_QUESTIONS = 60_000


def test_a_flood_is_sampled_and_its_count_is_right(fathom, pair):
    """As fast as they come, within a budget that is too small for all of them. From one in 100 on an estimate by 600 has a
    standard deviation of 4 %; the number of whole questions must be that of all."""
    client, _ = pair
    process = fathom.start("latency", "dns", client.name, "-d", "600", "--json", "--budget", "0.2")
    wait_attached(process)
    answered = inside(client, "dnsload", "ask", "10.78.1.2", FLOOD_QUESTIONS, "ok.example", timeout=120).stdout
    process.send_signal(signal.SIGINT)
    text, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    shape = json.loads(text)["shapes"][0]
    counted = sum(row["counts"]["count"] for row in shape["rows"])
    notes = " ".join(shape["ledger"]["notes"])
    assert answered == f"answered {FLOOD_QUESTIONS}\n"
    assert counted == pytest.approx(FLOOD_QUESTIONS, rel=0.2), shape["ledger"]
    assert "to stay within the budget" in notes and "cost: " in notes
    assert not shape["ledger"]["items"], shape["ledger"]


SPREAD_S = 90  # until who asked at the root cgroup is forgotten, and a look is over
SLOW_QUESTIONS = 280  # of 50 ms each: some 14 s, so that all packets are looked at for a moment meanwhile (every 10 s)


def hung(agent):
    """Cgroups (number) that hold programs of packets of the agent."""
    found = set()
    for info in Path(f"/proc/{agent.process.pid}/fdinfo").iterdir():
        try:
            text = info.read_text()
        except OSError:
            continue
        if "link_type:\tcgroup" in text and re.search(r"attach_type:\t[01]\n", text):
            found.add(int(re.search(r"cgroup_id:\t(\d+)", text)[1]))
    return found


def unified_id(container):
    """The number of its cgroup in the unified hierarchy: what the kernel knows its sockets by. 1: the root."""
    lines = Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()
    path = next((line.split(":", 2)[2] for line in lines if line.startswith("0::")), "/")
    if path == "/":
        return 1
    root = next(root for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if (root / "cgroup.procs").exists())
    return (root / path.lstrip("/")).stat().st_ino


def questions_told(agent, container):
    text = agent.request("GET", "/metrics")[2].decode()
    return sum(float(found) for found in re.findall(rf'dns_queries_total{{[^}}]*container_name="{container.name}"[^}}]*}} (\S+)', text))


def questions_lost(agent):
    part = next(part for part in agent.json("/api/self")["parts"] if part["name"] == "dns")
    return part["items"].get("lost_missed", 0), " ".join(part["notes"])


def test_where_there_are_many_packets(pair, tmp_path, monkeypatch):
    """The agent looks at packets of those alone that ask: at all of them from when it has heard of them, once each; and counts what it
    did not hear."""
    client, resolver = pair
    if unified_id(client) == 1:
        lack("containers' sockets belong to no cgroups of their own")
    monkeypatch.setenv("FATHOM_MANY_PACKETS", "1")
    agent = Agent(tmp_path, "--off", "profile").start()
    try:
        wait_for(lambda: 1 not in hung(agent), SPREAD_S, "the programs to leave the root cgroup")
        assert unified_id(client) not in hung(agent)
        assert inside(client, "dnsload", "ask", "10.78.1.2", 1, "ok.example").stdout == "answered 1\n"
        wait_for(lambda: unified_id(client) in hung(agent), SPREAD_S, "the programs to hang where somebody asked")
        assert unified_id(resolver) not in hung(agent)
        wait_for(lambda: questions_told(agent, client) + questions_lost(agent)[0] >= 1, what="the first question to be told or counted as lost")
        assert "cgroups that asked DNS" in questions_lost(agent)[1]
        answered = int(inside(client, "dnsload", "ask", "10.78.1.2", SLOW_QUESTIONS, "slow.example", timeout=120).stdout.split()[1])
        # What came too late for the program is told when its time is over (5 s).
        wait_for(lambda: questions_told(agent, client) >= SLOW_QUESTIONS, what="all questions to be told")
        # The first of all was told only if all packets were just being looked at.
        assert questions_told(agent, client) - SLOW_QUESTIONS in (0, 1), (answered, questions_lost(agent))
        # So of who only answered until now.
        assert inside(resolver, "dnsload", "ask", "10.78.1.2", 1, "ok.example").stdout == "answered 1\n"
        wait_for(lambda: unified_id(resolver) in hung(agent), SPREAD_S, "the programs to hang there, too")
        assert inside(resolver, "dnsload", "tcp", "10.78.1.2", 7, "ok.example").stdout == "answered 7\n"
        wait_for(lambda: questions_told(agent, resolver) >= 7, what="questions over TCP to be told")
        assert questions_told(agent, resolver) in (7, 8)
    finally:
        agent.stop()


def test_nothing_is_left_behind(fathom):
    """The links are the process's own: gone with it, however it goes."""
    process = fathom.start("dns")
    wait_attached(process)
    mine = ids(process)
    assert len(mine) == 2 and mine <= loaded()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not mine & loaded(), what="the programs to be gone")


def ids(process):
    """Ids of the programs the process has attached to a cgroup."""
    texts = [info.read_text() for info in Path(f"/proc/{process.pid}/fdinfo").iterdir()]
    return {int(re.search(r"prog_id:\t(\d+)", text)[1]) for text in texts if "link_type:\tcgroup" in text}


def loaded():
    return {program["id"] for program in json.loads(run(tool("bpftool"), "-j", "prog", "show").stdout)}
