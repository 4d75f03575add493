# SPDX-License-Identifier: Apache-2.0
"""fathom drops against packets that are known to be lost: how many, whose, and why."""
import itertools
import json
import os
import signal
from collections import Counter
from contextlib import contextmanager

import pytest

from support import STOP_S, join, run, tool, wait_for

LOST, FLOWS = 300, 40
NOBODY, FLOOD, CROWD = 5999, 7004, 7002
subnets = itertools.count(1)

AT_ONCE = 20

SEND_TO_MANY = """
import socket, sys
first, ports, count = map(int, sys.argv[1:])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for port in range(first, first + ports):
        for _ in range(count):
            s.sendto(b"x", ("127.0.0.1", port))
"""

SEND = """
import socket, sys
host, port, count, flows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "flows"
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(count):
    try:
        (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if flows else one).sendto(b"x", (host, port))
    except OSError:
        pass
"""


def enter(container, *command, **options):
    return run("nsenter", "-t", container.pid, "-n", *command, **options)


def send(container, host, port, count, how="one"):
    enter(container, "python3", "-c", SEND, host, port, count, how)


@contextmanager
def watching(fathom, wait_attached, *arguments):
    """fathom drops runs in the body; the yielded list holds its JSON object afterwards."""
    found = []
    process = fathom.start("drops", "-d", "600", "--json", *arguments)
    wait_attached(process)
    yield found
    process.send_signal(signal.SIGINT)
    text, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    found.append(json.loads(text))


@pytest.fixture(scope="module")
def lossy(docker):
    """A container that is flooded, and one that does not accept; each has a network namespace of its own."""
    flooded = docker.run("flooded", "/bin/trouble", "flood", FLOOD)
    crowded = docker.run("crowded", "/bin/trouble", "crowd", CROWD, "12")
    for container in (flooded, crowded):
        wait_for(lambda c=container: "ready" in docker.cli("logs", c.id, check=False).stdout, what="the load")
    yield flooded, crowded
    for container in (flooded, crowded):
        docker.rm(container)


def drops(result, name, **wanted):
    return [d for d in result["drops"] if d.get("container") == name and
            all(d.get(key) == value for key, value in wanted.items())]


def netstat(container, prefix, name):
    """A counter of the container's network namespace, by the kernel's own account."""
    lines = enter(container, "cat", "/proc/net/snmp", "/proc/net/netstat").stdout.splitlines()
    names, values = [line.split() for line in lines if line.startswith(prefix)][:2]
    return int(values[names.index(name)])


def test_reasons_by_container(fathom, wait_attached, lossy):
    flooded, crowded = lossy
    with watching(fathom, wait_attached) as found:
        before = netstat(flooded, "Udp:", "RcvbufErrors")
        send(crowded, "127.0.0.1", NOBODY, LOST)
        wait_for(lambda: netstat(flooded, "Udp:", "RcvbufErrors") > before + 100, what="datagrams to be dropped")
        lost = netstat(flooded, "Udp:", "RcvbufErrors") - before
    nobody = drops(found[0], crowded.name, reason="no_socket", protocol="udp", port=str(NOBODY), direction="in")
    assert [d["packets"] for d in nobody] == [LOST], found[0]["drops"]
    full = drops(found[0], flooded.name, reason="socket_rcvbuff", port=str(FLOOD), direction="in")
    assert sum(d["packets"] for d in full) >= lost, found[0]["drops"]
    assert all("too slowly" in d["meaning"] for d in full)
    assert not found[0]["ledger"]["items"], found[0]["ledger"]


def test_accept_queues(fathom, wait_attached, lossy):
    _, crowded = lossy
    with watching(fathom, wait_attached, crowded.name) as found:
        before = netstat(crowded, "TcpExt:", "ListenDrops")
        wait_for(lambda: netstat(crowded, "TcpExt:", "ListenDrops") > before + 3, what="connections to be refused")
        refused = netstat(crowded, "TcpExt:", "ListenDrops") - before
    listeners = [l for l in found[0]["listeners"] if l["address"].endswith(f":{CROWD}")]
    assert [l.get("container") for l in listeners] == [crowded.name], found[0]["listeners"]
    assert listeners[0]["queue"] > listeners[0]["limit"] > 0  # the kernel lets one more in
    assert listeners[0]["refused"] >= refused
    assert {l.get("container") for l in found[0]["listeners"]} == {crowded.name}


def test_on_the_way_through_the_host(fathom, wait_attached, lossy):
    """What the host's firewall drops, and who fills its table of connections, is found by the containers' addresses."""
    flooded, _ = lossy
    number = next(subnets)
    here, there, host, inner = f"ha{flooded.pid}", f"hb{flooded.pid}", f"10.81.{number}.1", f"10.81.{number}.2"
    rules = [("-s", f"{inner}/32", "-p", "udp", "--dport", str(NOBODY), "-j", "DROP"),
             ("-s", f"{inner}/32", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")]
    run(tool("ip"), "link", "add", here, "type", "veth", "peer", "name", there)
    try:
        run(tool("ip"), "link", "set", there, "netns", flooded.pid)
        run(tool("ip"), "address", "add", f"{host}/24", "dev", here)
        run(tool("ip"), "link", "set", here, "up")
        enter(flooded, "ip", "address", "add", f"{inner}/24", "dev", there)
        enter(flooded, "ip", "link", "set", there, "up")
        for rule in rules:
            run(tool("iptables"), "-I", "INPUT", *rule)
        with watching(fathom, wait_attached) as found:
            send(flooded, host, NOBODY, LOST)
            send(flooded, host, NOBODY + 1, FLOWS, "flows")
    finally:
        for rule in rules:
            run(tool("iptables"), "-D", "INPUT", *rule, check=False)
        run(tool("ip"), "link", "del", here, check=False)
    dropped = drops(found[0], flooded.name, reason="netfilter_drop", port=str(NOBODY), direction="out")
    assert sum(d["packets"] for d in dropped) == LOST, found[0]["drops"]
    tables = {t.get("container", t.get("host")): t for t in found[0]["conntrack"]}
    assert tables[flooded.name]["of_the_hosts"] >= FLOWS, tables
    assert tables["host"]["entries"] >= FLOWS and tables["host"]["limit"] > FLOWS


def test_rows_that_are_idle_make_room(fathom, wait_attached, lossy):
    """More ports, some at a time, than one owner may have rows, and in the end than there are: each is told, of none one datagram
    too few."""
    _, crowded = lossy
    sent = {str(port): 3 for port in range(NOBODY + 100, NOBODY + 100 + 5 * AT_ONCE)}
    smallest = {**os.environ, "FATHOM_SMALLEST": "1"}
    process = fathom.start("drops", "-i", "0.2", "--json", crowded.name, env=smallest)
    talk = fathom.start("connections", "-i", "0.2", "--json", "--all-sockets", crowded.name, env=smallest)
    for started in (process, talk):
        wait_attached(started)
    lost, asked = Counter(), Counter()

    def take():
        for drop in json.loads(process.stdout.readline())["drops"]:
            if drop.get("reason") == "no_socket" and drop["port"] in sent:
                lost[drop["port"]] += drop["packets"]
        for edge in json.loads(talk.stdout.readline())["edges"]:
            if edge["target"].get("protocol") == "udp" and str(edge["target"]["port"]) in sent:
                asked[str(edge["target"]["port"])] += edge["sent_segments"]

    for first in range(NOBODY + 100, NOBODY + 100 + 5 * AT_ONCE, AT_ONCE):
        enter(crowded, "python3", "-c", SEND_TO_MANY, first, AT_ONCE, 3, preexec_fn=lambda: join(crowded))
        for _ in range(60):
            take()
            if {str(first + i) for i in range(AT_ONCE)} <= lost.keys() & asked.keys():
                break
        for _ in range(3):  # they are idle, and are taken away
            take()
    assert lost == sent and asked == sent, (lost, asked)
    for started in (process, talk):
        started.send_signal(signal.SIGINT)
        _, complaint = started.communicate(timeout=STOP_S)
        assert started.returncode == 0, complaint


def test_bad_input(fathom):
    for arguments, word in ((("-d", "0"), "duration"), (("nobody-here",), "nobody-here"), (("--rung", "x"), "rung")):
        done = fathom("drops", *arguments)
        assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") <= 2, done.stderr
