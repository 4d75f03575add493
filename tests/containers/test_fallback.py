# SPDX-License-Identifier: Apache-2.0
"""fathom connections where kernel programs are refused: the same edges by looking again and again, and it says so."""
import json
import signal
import subprocess
import time

import pytest

from support import STOP_S, join, run, tool, wait_for

PORT = 7000
HELD = 20
REFUSED = "-sys_admin,-bpf,-perfmon"
LONGEST = 480  # seconds: no reader waits for ever
# Connections no process holds, as their descriptors are under way in a message nobody takes.
NOBODYS = """
import array, socket, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server, (here, there) = socket.create_server(("127.0.0.1", 0)), socket.socketpair()
for _ in range(60):
    with socket.create_connection(server.getsockname()) as one, server.accept()[0] as other:
        here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [one.fileno(), other.fileno()]))])
print("open", flush=True)
input()
"""


@pytest.fixture(scope="module")
def pair(docker):
    """A server and a client, joined by a wire, and HELD connections between them."""
    server = docker.run("depot", "/bin/tcpload", "serve", "0.0.0.0", PORT)
    client = docker.run("buyer", "sleep", "600")
    a, b = f"pa{client.pid}", f"pb{server.pid}"
    run(tool("ip"), "link", "add", a, "type", "veth", "peer", "name", b)
    for container, device, host in ((client, a, 1), (server, b, 2)):
        run(tool("ip"), "link", "set", device, "netns", container.pid)
        enter = ("nsenter", "-t", container.pid, "-n", "ip")
        run(*enter, "address", "add", f"10.79.1.{host}/24", "dev", device)
        run(*enter, "link", "set", device, "up")
    wait_for(lambda: sockets(server, "0A"), what="the server to listen")
    yield client, server
    docker.rm(client)
    docker.rm(server)


def sockets(container, state):
    table = run("nsenter", "-t", container.pid, "-n", "cat", "/proc/net/tcp", check=False).stdout
    return sum(line.split()[3] == state and f":{PORT:04X}" in line for line in table.splitlines()[1:])


def hold(client):
    """HELD connections, open until the returned function is called."""
    client.runtime.cli("exec", "-d", client.id, "tcpload", "hold", "10.79.1.2", PORT, HELD)
    wait_for(lambda: sockets(client, "01") == HELD, what="the connections to be open")
    return lambda: client.runtime.cli("exec", client.id, "sh", "-c", "kill $(pidof tcpload)")


def edge_between(result, client, server):
    found = [e for e in result["edges"] if e["source"] == {"container": client.name} and
             e["target"] == {"container": server.name, "port": PORT}]
    assert len(found) == 1, result["edges"]
    return found[0]


def ours(result, server):
    return [e for e in result["edges"] if server.name in e["target"].values()]


def count(found, key, server):
    return sum(edge[key] for result in found for edge in ours(result, server))


def reading(process):
    line = process.stdout.readline()
    assert line, "fathom ended"
    return json.loads(line)


def read_until(process, found, condition, what):
    """Adds readings to `found` until that fulfils `condition`. (On a busy machine many have gathered in the pipe by now.)"""
    deadline = time.monotonic() + LONGEST / 3
    while not condition(found):
        assert time.monotonic() < deadline, (what, found)
        found.append(reading(process))


def refused(fathom, *arguments):
    """fathom without the right to load kernel programs."""
    return run("setpriv", f"--bounding-set={REFUSED}", fathom.binary, *arguments, check=False)


def test_without_the_right_to_load_programs(fathom, pair):
    client, server = pair
    release = hold(client)
    try:
        done = refused(fathom, "connections", "-d", "1", "--json")
        shown = refused(fathom, "connections", "-d", "1")
    finally:
        release()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    edge = edge_between(result, client, server)
    assert (edge["existing"], edge["opens"], edge["closes"], edge["live"]) == (HELD, 0, 0, HELD), edge
    assert "sent_bytes" not in edge and "failures" not in edge  # not known is not zero
    assert result["ledger"]["rung"] == "polled", result["ledger"]
    assert "short connections are missed" in done.stderr and "CAP_BPF" in done.stderr
    assert "polled every 3 s: short connections are missed" in shown.stdout.splitlines()[0]


def test_what_has_no_other_way_says_so(fathom):
    """Datagrams and unix sockets are left out, and said to be; connecting, requests and DNS have nothing that could be read instead."""
    for command in ("connections", "map"):
        done = refused(fathom, command, "--all-sockets", "-d", "1")
        assert done.returncode == 0 and "datagrams and unix sockets are not told at all: " in done.stdout + done.stderr, done
    for kind, word in (("connect", "sock_diag"), ("request", "nothing else"), ("dns", "/proc")):
        done = refused(fathom, "latency", kind, "-d", "1")
        assert done.returncode != 0 and "CAP_BPF" in done.stderr and word in done.stderr, done
    done = refused(fathom, "dns", "-d", "1")
    assert done.returncode != 0 and "CAP_BPF" in done.stderr and "nothing else keeps count of DNS" in done.stderr, done


def test_what_begins_and_ends_between_looks(fathom, pair):
    client, server = pair
    process = fathom.start("connections", "--rung", "polled", "-i", "0.5", "-d", LONGEST, "--json")
    found = []

    def look_until(key, most):
        """Edges of ours: others on the machine come and go, too."""
        while not any(e[key] and server.name in e["target"].values() for e in found[-1]["edges"]):
            found.append(json.loads(process.stdout.readline()))
            assert len(found) < most, f"{key} to be seen"

    try:
        found.append(json.loads(process.stdout.readline()))  # it has looked once
        release = hold(client)
        look_until("opens", 40)
        release()
        look_until("closes", 80)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S)
    assert process.returncode == 0
    counts = [count(found, key, server) for key in ("existing", "opens", "accepts", "closes")]
    assert counts == [0, HELD, HELD, HELD], found
    assert {e["source"].get("container") for one in found for e in ours(one, server)} == {client.name}


def test_traffic_and_round_trips_while_polled(fathom, pair):
    """What is sent on connections that are looked at twice is known, and so is their round trip."""
    client, server = pair
    process = fathom.start("connections", "--rung", "polled", "-i", "0.5", "-d", LONGEST, "--json")
    try:
        found = [reading(process)]  # it has looked once
        client.runtime.cli("exec", "-d", client.id, "tcpload", "connect", "10.79.1.2", PORT, 2, 1000000)
        read_until(process, found, lambda found: any("sent_bytes" in e for e in ours(found[-1], server)), "traffic")
    finally:
        client.runtime.cli("exec", client.id, "sh", "-c", "kill $(pidof tcpload)", check=False)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S)
    edge = next(e for e in ours(found[-1], server) if "sent_bytes" in e)
    assert edge["received_bytes"] == pytest.approx(10 * edge["sent_bytes"], rel=0.1), edge  # 100 are answered with 1,000
    assert edge["rtt_ns"]["count"] >= 1 and "failures" not in edge, edge


@pytest.mark.parametrize("beside", [False, True], ids=["nobodys-elsewhere", "nobodys-beside"])
def test_events_while_polled(fathom, pair, beside):
    client, server = pair
    place = ("nsenter", "-t", str(client.pid), "-n") if beside else ("unshare", "-n")
    nobody = None
    process = subprocess.Popen(["setpriv", f"--bounding-set={REFUSED}", str(fathom.binary), "tcp", "-d", str(LONGEST), "--json", client.name,
                                server.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "polled every 3 s: short connections are missed" in process.stderr.readline()
        nobody = subprocess.Popen([*place, "python3", "-c", NOBODYS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert nobody.stdout.readline() == "open\n"
        release = hold(client)
        lines = [json.loads(process.stdout.readline()) for _ in range(2 * HELD)]
        release()
        lines += [json.loads(process.stdout.readline()) for _ in range(HELD)]
    finally:
        process.send_signal(signal.SIGINT)
        complaint = process.communicate(timeout=STOP_S)[1]
        if nobody:
            nobody.communicate("\n", timeout=STOP_S)
    kinds = [(line["container"], line["event"], line["peer"]) for line in lines]
    assert sorted(set(kinds)) == sorted([(client.name, "connect", server.name), (server.name, "accept", client.name),
                                         (client.name, "close", server.name)]), kinds
    assert all(kinds.count(kind) == HELD and line["port"] == PORT for kind, line in zip(kinds, lines)), kinds
    # What might have been the containers' own is missing; what cannot is not.
    assert process.returncode == (3 if beside else 0) and ("inconclusive" in complaint) == beside, complaint


def test_drops_and_queues_without_programs(fathom, pair):
    """Datagrams to a port nobody listens at, as the network namespace counts them; and the accept queues."""
    client, server = pair
    shown = refused(fathom, "drops", "-d", "0.2")
    assert shown.returncode == 0 and "as network namespaces count them" in shown.stdout, shown
    assert "CAP_BPF" in shown.stderr and "namespaces count themselves" in shown.stderr, shown
    process = fathom.start("drops", "--rung", "polled", "-d", LONGEST, "--json", "-i", "0.5")
    try:
        first = json.loads(process.stdout.readline())
        run("nsenter", "-t", client.pid, "-n", "python3", "-c", "import socket\ns = socket.socket(2, 2)\n"
            "for _ in range(30): s.sendto(b'x', ('10.79.1.2', 9))")
        dropped = []
        while sum(d["packets"] for d in dropped) < 30:
            found = json.loads(process.stdout.readline())
            dropped += [d for d in found["drops"] if d.get("container") == server.name]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S)
    assert {(d["reason"], d["protocol"], d["direction"]) for d in dropped} == {("no_socket", "udp", "in")}, dropped
    assert sum(d["packets"] for d in dropped) == 30 and not any("bytes" in d for d in dropped), dropped
    assert any(q.get("container") == server.name and q["address"].endswith(f":{PORT}") for q in first["listeners"]), first


FULL_QUEUE = """
import socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1)
print("ready", flush=True)
sys.stdin.read()
"""
KNOCK = """
import select, socket, sys
kept = []
for _ in range(8):
    kept.append(socket.socket())
    kept[-1].setblocking(False)
    kept[-1].connect_ex(("10.79.1.2", int(sys.argv[1])))
    select.select([], [kept[-1]], [], 0.2)
"""


def test_full_accept_queues_while_polled(fathom, pair):
    """Nobody accepts: as often as the kernel says it has dropped what came, to the listener that did."""
    client, server = pair
    enter = [("nsenter", "-t", str(container.pid), "-n", "/usr/bin/python3", "-c") for container in (client, server)]

    def dropped():
        names, values = (line.split() for line in run("nsenter", "-t", server.pid, "-n", "cat", "/proc/net/netstat").stdout.splitlines()
                         if line.startswith("TcpExt:"))
        return int(values[names.index("ListenDrops")])

    with subprocess.Popen([*enter[1], FULL_QUEUE, str(PORT + 2)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: join(server)) as listener:
        assert listener.stdout.readline() == "ready\n"
        process = fathom.start("connections", "--rung", "polled", "-i", "0.5", "-d", LONGEST, "--json", server.name)
        try:
            found = [reading(process)]  # it has looked once
            before = dropped()
            run(*enter[0], KNOCK, PORT + 2)
            truth = dropped() - before
            read_until(process, found, lambda found: any("failures" in e for e in ours(found[-1], server)), "drops")
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=STOP_S)[0]
            listener.kill()
    found += [json.loads(line) for line in rest.splitlines()]
    failed = [e for result in found for e in ours(result, server) if "failures" in e]
    assert {e["target"]["port"] for e in failed} == {PORT + 2} and {e["target"]["container"] for e in failed} == {server.name}, failed
    assert truth >= 4 and sum(e["failures"]["overflow"] for e in failed) == truth, (truth, failed)
    assert all(list(e["failures"]) == ["overflow"] for e in failed), failed


def test_dns_says_why_not(fathom):
    done = refused(fathom, "dns", "-d", "1")
    assert done.returncode == 2 and "keeps count of DNS questions" in done.stderr, done
