# SPDX-License-Identifier: Apache-2.0
"""fathom connections against programs that know how many connections they made: right containers, right direction,
exact numbers, whether the two ends share a network namespace, are joined by a wire, or by a translated address."""
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import runtimes
from support import STOP_S, Missing, join, lack, run, tool, wait_for

MANY = 20000
DATAGRAM_PORT = 64000  # higher than clients' here
CALLER_PORT = 20000
SETTLED_S = 1.5  # who sends first is believed a second after the start
REFUSED = 10000
PUBLISHED, FEW = 5000, 300
HELD = 20
BRIEF = 50
LOST = 12  # of 600 requests
REQUEST, ANSWER = 100, 1000
PORT = 7000
HOST_PORT = 8080
SERVICE_US = 3000
CROSSED = 30
CROSSING_MS = 10000
BUCKET_2MS = 21  # 2 to 4 ms
subnets = itertools.count(1)


def settled(container):
    """Whether no connection of the container's network namespace is on its way to its end: the server closes later."""
    table = run("nsenter", "-t", container.pid, "-n", "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False).stdout
    states = {line.split()[3] for line in table.splitlines() if ":" in line.split()[0]}
    return not states & {"01", "04", "05", "08", "09", "0B"}  # established … last ack; not waiting, not listening


def inside(container, *command, **options):
    """Runs a program in the container: its namespaces and its cgroup. What it connected is closed at both ends then."""
    done = container.runtime.cli("exec", container.id, *command, **options)
    if command[:2] == ("tcpload", "connect"):
        wait_for(lambda: settled(container), what="connections to end")
    return done


def has_iterators(process):
    """Whether the programs that walk over sockets are attached, which come after those that hear of events."""
    for path in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        try:
            if re.search(r"^link_type:\s*iter$", path.read_text(), re.M):
                return True
        except OSError:
            pass
    return False


@contextmanager
def watching(fathom, wait_attached, *arguments):
    """fathom connections runs in the body; the yielded list holds its JSON object afterwards."""
    found = []
    process = fathom.start("connections", "-d", "600", "--json", *arguments)
    wait_attached(process)
    wait_for(lambda: has_iterators(process), what="all its programs")
    yield found
    process.send_signal(signal.SIGINT)
    text, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    found.append(json.loads(text))


def edges(result, source, target, port=None):
    """The edges whose two ends are so named."""
    return [e for e in result["edges"] if source in e["source"].values() and target in e["target"].values() and
            port in (None, e["target"].get("port"))]


def check_exact(result, source, target, count, port=PORT):
    found = edges(result, source, target, port)
    assert len(found) == 1, result["edges"]
    edge = found[0]
    assert (edge["opens"], edge["accepts"], edge["closes"]) == (count, count, count), edge
    assert edge["live"] == 0
    assert (edge["sent_bytes"], edge["received_bytes"]) == (count * REQUEST, count * ANSWER), edge
    assert not any(edge["failures"].values())
    assert edge["connect_ns"]["count"] == edge["session_ns"]["count"] == count
    return edge


@contextmanager
def wire(left, right):
    """A pair of virtual Ethernet interfaces between two containers without a network; yields right's addresses."""
    number = next(subnets)
    a, b = f"fa{left.pid}", f"fb{right.pid}"
    run(tool("ip"), "link", "add", a, "type", "veth", "peer", "name", b)
    run(tool("ip"), "link", "set", a, "netns", left.pid)
    run(tool("ip"), "link", "set", b, "netns", right.pid)
    for container, device, host in ((left, a, 1), (right, b, 2)):
        enter = ("nsenter", "-t", container.pid, "-n", "ip")
        # With few ports left the kernel searches long for a free one.
        run("nsenter", "-t", container.pid, "-n", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0",
            "net.ipv4.ip_local_port_range=1024 60999")
        run(*enter, "address", "add", f"10.77.{number}.{host}/24", "dev", device)
        run(*enter, "address", "add", f"fd77:{number}::{host}/64", "dev", device, "nodad")
        run(*enter, "link", "set", device, "up")
        run(*enter, "link", "set", "lo", "up")
    yield f"10.77.{number}.2", f"fd77:{number}::2"
    run("nsenter", "-t", left.pid, "-n", "ip", "link", "del", a, check=False)


def listening(container, port=PORT):
    """Whether something listens on the port in the container's network namespace."""
    table = run("nsenter", "-t", container.pid, "-n", "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False).stdout
    return any(line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
               for line in table.splitlines() if ":" in line.split()[0])


@pytest.fixture
def pair(docker, start):
    """A server on all its addresses, and a client that waits to be told; each in its own network namespace."""
    server = start(docker, "shop", "/bin/tcpload", "serve", "::", PORT)
    client = start(docker, "caller", "sleep", "600")
    wait_for(lambda: listening(server), what="the server to listen")
    return client, server


def address_in(addresses, family):
    """Of IPv4, IPv6, or of IPv4 as a socket of IPv6 has it."""
    return {"ipv4": addresses[0], "ipv6": addresses[1], "mapped": f"::ffff:{addresses[0]}"}[family]


@pytest.mark.parametrize("family", ["ipv4", "ipv6", "mapped"])
def test_every_connection_is_counted(fathom, wait_attached, pair, family):
    client, server = pair
    with wire(client, server) as addresses, watching(fathom, wait_attached) as found:
        address = address_in(addresses, family)
        assert inside(client, "tcpload", "connect", address, PORT, MANY).stdout == "done 0\n"
    check_exact(found[0], client.name, server.name, MANY)
    assert not found[0]["ledger"]["items"], found[0]["ledger"]


def test_shared_network_namespace(fathom, wait_attached, docker, start, tmp_path):
    """TCP, datagrams and unix sockets: whose each end is cannot be told by the namespace."""
    server = start(docker, "shop", "/bin/tcpload", "serve", "127.0.0.1", PORT)
    run("nsenter", "-t", server.pid, "-n", "ip", "link", "set", "lo", "up")
    wait_for(lambda: listening(server), what="the server to listen")
    client = start(docker, "caller", "sleep", "600", network=f"container:{server.id}")
    path = tmp_path / "answers.sock"
    with python_in(server, ANSWERER, "127.0.0.1", DATAGRAM_PORT, path) as answerer:
        assert answerer.stdout.readline() == "ready\n"
        with watching(fathom, wait_attached, "--all-sockets") as found:
            assert inside(client, "tcpload", "connect", "127.0.0.1", PORT, MANY).stdout == "done 0\n"
            with python_in(client, ASKER, "127.0.0.1", DATAGRAM_PORT, path, FEW, 1) as asker:
                assert asker.stdout.readline() == "done\n"
                asker.stdin.close()
        answerer.kill()
    check_exact(found[0], client.name, server.name, MANY)
    datagrams = [e for e in found[0]["edges"] if e["target"].get("protocol") == "udp" and
                 {client.name, server.name} & {*e["source"].values(), *e["target"].values()}]
    assert [(e["source"], e["target"].get("container"), e["sent_bytes"], e["received_bytes"]) for e in datagrams] == [
        ({"container": client.name}, server.name, FEW * 100, FEW * 30)], datagrams


def test_translated_address(fathom, wait_attached, pair):
    """As with a published port or a service address: the client knows another address and port than the server's."""
    client, server = pair
    tables = ("nsenter", "-t", client.pid, "-n", "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", "10.99.0.1",
              "--dport", "80", "-j", "DNAT", "--to-destination")
    with wire(client, server) as addresses:
        run("nsenter", "-t", client.pid, "-n", "ip", "route", "add", "default", "via", addresses[0])
        run(*tables, f"{addresses[0]}:{PORT}")
        with watching(fathom, wait_attached) as found:
            assert inside(client, "tcpload", "connect", "10.99.0.1", 80, MANY).stdout == "done 0\n"
    check_exact(found[0], client.name, server.name, MANY)


@pytest.mark.parametrize("proxy", [False, True], ids=["rules", "proxy"])
def test_published_port(fathom, wait_attached, proxy):
    """docker run -p: who connects to the machine's port is joined with the container behind it, through docker's own rules. Where its
    proxy is between them (for containers beside the published one, and on the loopback address) there are two connections: one to it,
    one from it."""
    try:
        docker = runtimes.DockerNetwork(proxy)
    except Missing as missing:
        lack(str(missing))
    with docker:
        server = docker.run("shop", "/bin/tcpload", "serve", "0.0.0.0", PORT, publish=f"{HOST_PORT}:{PORT}")
        client = docker.run("caller", "sleep", "600")
        wait_for(lambda: listening(server), what="the server to listen")
        run("nsenter", "-t", client.pid, "-n", "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
        with watching(fathom, wait_attached) as found:
            assert inside(client, "tcpload", "connect", docker.address, HOST_PORT, PUBLISHED).stdout == "done 0\n"
            for address in (docker.address, "127.0.0.1"):
                assert run(*docker.enter, docker.rootfs / "bin/tcpload", "connect", address, HOST_PORT, FEW).stdout == "done 0\n"
            wait_for(lambda: settled(server), what="connections to end")
    if not proxy:
        check_exact(found[0], client.name, server.name, PUBLISHED)
        check_exact(found[0], "host", server.name, 2 * FEW)
        return
    check_exact(found[0], client.name, "host", PUBLISHED, HOST_PORT)
    check_exact(found[0], "host", "host", FEW, HOST_PORT)
    check_exact(found[0], "host", server.name, PUBLISHED + 2 * FEW)


def test_refused_connections_are_counted_and_end(fathom, wait_attached, pair):
    client, server = pair
    with wire(client, server) as addresses, watching(fathom, wait_attached) as found:
        assert inside(client, "tcpload", "connect", addresses[0], PORT + 1, REFUSED).stdout == f"done {REFUSED}\n"
    refused = edges(found[0], client.name, server.name, PORT + 1)
    assert len(refused) == 1, found[0]["edges"]
    assert refused[0]["failures"]["refused"] == REFUSED
    assert sum(refused[0]["failures"].values()) == REFUSED
    assert (refused[0]["opens"], refused[0]["live"]) == (0, 0)


@pytest.mark.parametrize("how", ["ipv6", "translated", "by a rule", "own"])
def test_who_refuses_is_named(fathom, wait_attached, pair, how):
    """Whoever has nobody at the port; but where a rule answers in its place, the address it was sent to."""
    client, server = pair
    enter = ("nsenter", "-t", client.pid, "-n")
    with wire(client, server) as addresses:
        to, port, named = addresses[0], PORT + 1, server.name
        if how == "ipv6":
            to = addresses[1]
        elif how == "translated":
            to = "10.99.0.1"
            run(*enter, "ip", "route", "add", "default", "via", addresses[0])
            run(*enter, "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", to, "--dport", 80, "-j", "DNAT",
                "--to-destination", f"{addresses[0]}:{port}")
        elif how == "by a rule":
            named = to
            run("nsenter", "-t", server.pid, "-n", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", port, "-j", "REJECT",
                "--reject-with", "tcp-reset")
        else:
            to, named = "127.0.0.1", client.name
        one_by_one = fathom.start("tcp", "-d", "600", "--json")
        wait_attached(one_by_one)
        with watching(fathom, wait_attached) as found:
            assert inside(client, "tcpload", "connect", to, 80 if how == "translated" else port, FEW).stdout == f"done {FEW}\n"
        one_by_one.send_signal(signal.SIGINT)
        events = [json.loads(line) for line in one_by_one.communicate(timeout=60)[0].splitlines()]
    failed = [e for e in events if e.get("event") == "fail" and e.get("container") == client.name]
    assert len(failed) == FEW and {(e["peer"], e["why"]) for e in failed} == {(named, "refused")}, failed[:3]
    refused = edges(found[0], client.name, named, port)
    assert [(e["failures"]["refused"], e["opens"]) for e in refused] == [(FEW, 0)], found[0]["edges"]


def test_requests_and_who_does_not_reuse_connections(fathom, wait_attached, docker, start):
    """Every request and answer is timed, on connections with one, two and many; with and without reuse."""
    server = start(docker, "shop", "/bin/tcpload", "serve", "::", PORT, SERVICE_US)
    callers = {name: start(docker, name, "sleep", "600", network=f"container:{server.id}") for name in ("reuses", "churns")}
    run("nsenter", "-t", server.pid, "-n", "ip", "link", "set", "lo", "up")
    wait_for(lambda: listening(server), what="the server to listen")
    histogram = fathom.start("latency", "request", "-d", "600", "--json", callers["reuses"].name)
    wait_attached(histogram)
    started = time.monotonic()
    with watching(fathom, wait_attached) as found:
        assert inside(callers["reuses"], "tcpload", "connect", "127.0.0.1", PORT, 3, 30).stdout == "done 0\n"
        assert inside(callers["reuses"], "tcpload", "connect", "127.0.0.1", PORT, 5, 2).stdout == "done 0\n"
        assert inside(callers["churns"], "tcpload", "connect", "127.0.0.1", PORT, 100).stdout == "done 0\n"
    histogram.send_signal(signal.SIGINT)
    timed = json.loads(histogram.communicate(timeout=STOP_S)[0])["shapes"][0]
    elapsed_ns = (time.monotonic() - started) * 1e9
    both = {name: edges(found[0], container.name, server.name, PORT)[0] for name, container in callers.items()}
    for edge in both.values():  # one after the other, and none faster than it is made
        assert edge["requests"] * SERVICE_US * 1000 <= edge["request_ns"]["sum"] <= elapsed_ns, edge
        assert min(bucket for bucket, _ in edge["request_ns"]["buckets"]) >= BUCKET_2MS, edge
    assert (both["reuses"]["requests"], both["reuses"]["churn"]["single_request"]) == (100, 0), both
    assert (both["churns"]["requests"], both["churns"]["churn"]["single_request"]) == (100, 100), both
    assert both["reuses"]["first_byte_ns"]["count"] == 8 and both["churns"]["first_byte_ns"]["count"] == 100, both
    rows = [(dict(zip(timed["labels"], row["values"])), row["counts"]) for row in timed["rows"]]
    assert [row for row, _ in rows] == [{"container": callers["reuses"].name, "peer": server.name, "port": str(PORT),
                                         "side": "client"}], rows
    assert rows[0][1]["count"] == 100 and rows[0][1]["sum"] >= 100 * SERVICE_US * 1000, rows


def check_crossed(result, name, count):
    """One connection each, opened by one end, known at both; its port may be either end's."""
    found = edges(result, name, name)
    sums = {what: sum(edge[what] for edge in found) for what in ("opens", "accepts", "closes", "live")}
    assert sums == {"opens": count, "accepts": count, "closes": count, "live": 0}, result["edges"]
    asked, answered = sum(edge["sent_bytes"] for edge in found), sum(edge["received_bytes"] for edge in found)
    assert asked + answered == count * (REQUEST + ANSWER), result["edges"]
    assert not any(name in edge["source"].values() and "address" in edge["target"] and edge["opens"] for edge in result["edges"])


@pytest.mark.parametrize("how", ["half", "full"])
def test_both_ends_connect_at_the_same_moment(fathom, wait_attached, docker, start, how):
    """No listener anywhere, so each connection there is has been opened from both ends: it is one, not two."""
    alone = start(docker, "crossing", "sleep", "600")
    run("nsenter", "-t", alone.pid, "-n", "ip", "link", "set", "lo", "up")
    one_by_one = fathom.start("tcp", "-d", "600", "--json", alone.name)
    wait_attached(one_by_one)
    with watching(fathom, wait_attached) as found:
        crossed = int(run("nsenter", "-t", alone.pid, "-n", docker.rootfs / "bin/crossing", how, CROSSED, CROSSING_MS,
                          preexec_fn=lambda: join(alone)).stdout)
        wait_for(lambda: settled(alone), what="connections to end")
    one_by_one.send_signal(signal.SIGINT)
    events = [json.loads(line) for line in one_by_one.communicate(timeout=STOP_S)[0].splitlines()]
    check_crossed(found[0], alone.name, crossed)
    told = [event["event"] for event in events if event.get("container") == alone.name]
    assert told.count("accept") == 0, events[:5]
    if how == "half":  # those that met by chance are few among the refused, which are more than are told
        assert told.count("connect") == 2 * crossed, events[:5]
    if not crossed:
        pytest.skip("the two threads never met: this machine has not two CPUs at a time for them")


SCAN = """
import errno, socket
refused = 0
for port in range(1, 65536):
    with socket.socket() as s:  # one now and then is given that very port, and meets itself
        refused += s.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
print(refused)
"""


def test_a_port_scan_is_counted_and_stays_bounded(fathom, wait_attached, docker, start):
    """More ports than edges may be: what has no edge of its own is in one "other", nothing is lost, others' edges are right."""
    alone = start(docker, "scanned", "sleep", "600")
    server = start(docker, "shop", "/bin/tcpload", "serve", "::", PORT)
    for container in (alone, server):
        run("nsenter", "-t", container.pid, "-n", "ip", "link", "set", "lo", "up")
    wait_for(lambda: listening(server), what="the server to listen")
    with watching(fathom, wait_attached) as found:
        refused = int(run("nsenter", "-t", alone.pid, "-n", "python3", "-c", SCAN).stdout)
        assert inside(server, "tcpload", "connect", "127.0.0.1", PORT, 50).stdout == "done 0\n"
    assert refused > 65000
    # Others on the machine may be refused now and then, too.
    assert refused <= sum(edge["failures"]["refused"] for edge in found[0]["edges"]) < refused + 500
    assert len(found[0]["edges"]) < 1100
    check_exact(found[0], server.name, server.name, 50)
    assert not found[0]["ledger"]["items"], found[0]["ledger"]


STRANGERS = """
import errno, socket
refused = 0
for net in range(3):
    for host in range(1, 201):
        with socket.socket() as s:
            refused += s.connect_ex((f"127.1.{net}.{host}", 9)) == errno.ECONNREFUSED
print(refused)
"""


def test_remotes_are_grouped(fathom, wait_attached, docker, start):
    """600 addresses nobody here listens at, by subnet, by port, by name and one by one: no more groups than there may be, and none of
    the connections gone."""
    alone = start(docker, "worldly", "sleep", "600")
    run("nsenter", "-t", alone.pid, "-n", "ip", "link", "set", "lo", "up")
    run("nsenter", "-t", alone.pid, "-n", "iptables", "-A", "INPUT", "-p", "tcp", "-d", "127.1.0.0/16", "-j", "REJECT",
        "--reject-with", "tcp-reset")  # in the name of somebody else
    inside(alone, "sh", "-c", "printf '127.1.0.7\\tledger.test # ours\\n127.1.2.8 ledger.test alias\\n::1 self\\n' >>/etc/hosts")
    with ExitStack() as stack:
        found = {how: stack.enter_context(watching(fathom, wait_attached, "--remotes", how, alone.name))
                 for how in ("subnet", "subnet=32", "port", "name")}
        assert run("nsenter", "-t", alone.pid, "-n", "python3", "-c", STRANGERS, preexec_fn=lambda: join(alone)).stdout == "600\n"
    groups = {how: {edge["target"]["address"]: edge["failures"]["refused"] for edge in result[0]["edges"]
                    if edge["source"] == {"container": alone.name}} for how, result in found.items()}
    assert groups["subnet"] == {f"127.1.{net}.0/24": 200 for net in range(3)}, groups["subnet"]
    assert groups["port"] == {"any address": 600}
    assert len(groups["subnet=32"]) == 257 and groups["subnet=32"]["other addresses"] == 600 - 256
    assert groups["name"]["ledger.test"] == 2 and groups["name"]["other addresses"] == 598 - 256, groups["name"]
    assert len(groups["name"]) == 258 and sum(groups["name"].values()) == 600


def test_open_before_the_start(fathom, wait_attached, pair):
    client, server = pair
    with wire(client, server) as addresses:
        with subprocess.Popen(["nsenter", "-t", str(client.pid), "-a", "/bin/tcpload", "hold", addresses[0], str(PORT),
                               str(HELD)], stdout=subprocess.PIPE, text=True,
                              preexec_fn=lambda: join(client)) as holder:
            try:
                assert holder.stdout.readline() == "open\n"
                with watching(fathom, wait_attached) as found:
                    said = run("nsenter", "-t", client.pid, "-n", tool("ss"), "-tinH", "state", "established").stdout
            finally:
                holder.kill()
    held = edges(found[0], client.name, server.name, PORT)
    assert len(held) == 1, found[0]["edges"]
    assert (held[0]["existing"], held[0]["live"], held[0]["opens"]) == (HELD, HELD, 0)
    # Round trips as ss has them: nothing was sent meanwhile that could change them.
    truth = [round(float(ms) * 1000) * 1000 for ms in re.findall(r"\brtt:([\d.]+)/", said)]
    assert len(truth) == HELD, said
    assert {bucket for bucket, _ in held[0]["rtt_ns"]["buckets"]} == set(map(bucket_of_ns, truth)), held


def bucket_of_ns(ns):
    """Where a histogram counts it: lower bounds are 2^(i % 10) · 1000^(i / 10)."""
    return max(i for i in range(48) if ns >= 2 ** (i % 10) * 1000 ** (i // 10))


def sent_again(container, file="snmp", protocol="Tcp:", name="RetransSegs"):
    """Segments the kernel has sent again in the container's network namespace: nstat's TcpRetransSegs."""
    table = run("nsenter", "-t", container.pid, "-n", "cat", f"/proc/net/{file}").stdout
    names, values = (line.split() for line in table.splitlines() if line.startswith(protocol))
    return int(values[names.index(name)])


def begun_again(container):
    """Those of them that have SYN: of a connection nobody has accepted yet, when they answer one."""
    return sent_again(container, "netstat", "TcpExt:", "TCPSynRetrans")


def test_loss_is_found_and_counted_as_the_kernel_does(fathom, wait_attached, pair, tmp_path):
    """One segment of payload in fifty is dropped: two per cent."""
    client, server = pair
    capture = tmp_path / "loss.json"
    with wire(client, server) as addresses:
        run("nsenter", "-t", server.pid, "-n", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", PORT, "-m", "length",
            "--length", f"{REQUEST}:", "-m", "statistic", "--mode", "nth", "--every", 50, "--packet", 0, "-j", "DROP")
        before = sent_again(client) + sent_again(server)
        syn = begun_again(client) + begun_again(server)
        with watching(fathom, wait_attached, "-o", capture) as found:
            assert inside(client, "tcpload", "connect", addresses[0], PORT, 4, 150).stdout == "done 0\n"
            wait_for(lambda: settled(server), what="its ends, which may be sent again, too")
        truth = sent_again(client) + sent_again(server) - before
        syn = begun_again(client) + begun_again(server) - syn
    lost = edges(found[0], client.name, server.name, PORT)
    assert len(lost) == 1, found[0]["edges"]
    # A request that is dropped takes the acknowledgement of the answer before with it: that answer may be sent needlessly.
    assert truth - syn <= sum(lost[0]["retransmits"].values()) <= truth, (truth, syn, lost)
    assert truth - syn >= LOST + lost[0]["spurious"], (truth, syn, lost)
    assert lost[0]["requests"] == 600, lost
    links = json.loads(fathom("map", capture, "--json").stdout)["links"]
    assert any("sent again" in (link.get("why", "")) for link in links), links


TALK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("open", flush=True)
for line in sys.stdin:
    s.sendall(bytes(int(line)))
    print("sent", flush=True)
"""


@contextmanager
def talking(container, address, port=PORT):
    """A connection out of the container's namespace and cgroup; yields say(BYTES), which sends so many."""
    with subprocess.Popen(["nsenter", "-t", str(container.pid), "-n", "python3", "-c", TALK, address, str(port)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: join(container)) as it:
        def say(size):
            it.stdin.write(f"{size}\n")
            it.stdin.flush()
            assert it.stdout.readline() == "sent\n"

        try:
            assert it.stdout.readline() == "open\n"
            yield say
        finally:
            it.kill()


def tried_again(container):
    """How often the timers of the container's sockets have run out since they last heard anything."""
    table = run("nsenter", "-t", container.pid, "-n", "cat", "/proc/net/tcp").stdout
    return max((int(line.split()[6], 16) for line in table.splitlines()[1:]), default=0)


def test_what_could_not_be_sent_again_is_not_counted(fathom, wait_attached, pair):
    """There is no way to the server any more: the timers run out, and nothing goes out."""
    client, server = pair
    enter = ("nsenter", "-t", client.pid, "-n", "ip")
    with wire(client, server) as addresses, watching(fathom, wait_attached) as found:
        with talking(client, addresses[0]) as say:
            run("nsenter", "-t", server.pid, "-n", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", PORT, "-j", "DROP")
            before = sent_again(client)
            say(REQUEST)
            run(*enter, "address", "del", f"{addresses[0].rpartition('.')[0]}.1/24", "dev", f"fa{client.pid}")
            wait_for(lambda: tried_again(client) >= 2, what="the timer to run out twice")
            truth = sent_again(client) - before
    tried = edges(found[0], client.name, server.name, PORT)
    assert [sum(edge["retransmits"].values()) for edge in tried] == [truth], (truth, tried)


def test_what_is_sent_again_before_the_server_is_known(fathom, wait_attached, pair):
    """The end of the handshake and the request are dropped, again and again: the server is not open when its client speaks, and
    what was sent again is in the edge of both when it is."""
    client, server = pair
    rule = ("INPUT", "-p", "tcp", "--dport", PORT, "!", "--syn", "-j", "DROP")
    enter = ("nsenter", "-t", server.pid, "-n", "iptables")
    with wire(client, server) as addresses:
        run(*enter, "-A", *rule)
        before, syn = sent_again(client) + sent_again(server), begun_again(client) + begun_again(server)
        with watching(fathom, wait_attached) as found:
            with talking(client, addresses[0]) as say:
                say(REQUEST)
                wait_for(lambda: sent_again(client) - before >= 2, what="its request to be sent again")
                run(*enter, "-D", *rule)
                wait_for(lambda: not tried_again(client), what="its request to arrive")
            wait_for(lambda: settled(client) and settled(server), what="its end")
        truth, syn = sent_again(client) + sent_again(server) - before, begun_again(client) + begun_again(server) - syn
    told = edges(found[0], client.name, server.name, PORT)
    assert truth >= 2 and [(edge["opens"], edge["closes"], edge["live"]) for edge in told] == [(1, 1, 0)], found[0]["edges"]
    assert truth - syn <= sum(told[0]["retransmits"].values()) <= truth, (truth, syn, told)


AGAIN = """
import errno, socket, sys
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
for i in range(2):
    assert s.connect_ex((sys.argv[1], int(sys.argv[2]))) == errno.ETIMEDOUT
"""


def test_a_socket_that_connects_again_starts_anew(fathom, wait_attached, pair):
    client, server = pair
    with wire(client, server) as addresses:
        run("nsenter", "-t", server.pid, "-n", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", PORT, "-j", "DROP")
        before = sent_again(client)
        with watching(fathom, wait_attached) as found:
            run("nsenter", "-t", client.pid, "-n", "python3", "-c", AGAIN, addresses[0], PORT, preexec_fn=lambda: join(client))
        truth = sent_again(client) - before
    failed = edges(found[0], client.name, addresses[0], PORT)
    assert truth >= 2 and [(e["failures"]["timeout"], sum(e["retransmits"].values())) for e in failed] == [(2, truth)], failed


RAW = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.connect(("127.0.0.1", 0))
print("open", flush=True)
input()
"""


def test_a_raw_socket_is_no_connection(fathom, wait_attached, docker, start):
    """It may say that its protocol is TCP's."""
    alone = start(docker, "raw", "sleep", "600")
    with subprocess.Popen(["nsenter", "-t", str(alone.pid), "-n", "python3", "-c", RAW], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, preexec_fn=lambda: join(alone)) as raw:
        try:
            assert raw.stdout.readline() == "open\n"
            with watching(fathom, wait_attached) as found:
                pass
        finally:
            raw.kill()
    assert not [e for e in found[0]["edges"] if alone.name in (*e["source"].values(), *e["target"].values())], found[0]["edges"]


def test_what_is_sent_needlessly_is_no_loss(fathom, wait_attached, docker, start, tmp_path):
    """Requests arrive, but the acknowledgements before their late answers do not: they are sent again in vain."""
    server = start(docker, "shop", "/bin/tcpload", "serve", "127.0.0.1", PORT, 400_000)
    enter = ("nsenter", "-t", server.pid, "-n")
    run(*enter, "ip", "link", "set", "lo", "up")
    run(*enter, "iptables", "-A", "INPUT", "-p", "tcp", "--sport", PORT, "--tcp-flags", "ALL", "ACK", "-m", "length",
        "--length", 52, "-j", "DROP")
    wait_for(lambda: listening(server), what="the server to listen")
    capture = tmp_path / "spurious.json"
    with watching(fathom, wait_attached, "-o", capture) as found:
        assert inside(server, "tcpload", "connect", "127.0.0.1", PORT, 1, 5).stdout == "done 0\n"
    edge = edges(found[0], server.name, server.name, PORT)[0]
    assert sum(edge["retransmits"].values()) == edge["spurious"] >= 4, edge
    assert edge["requests"] == 5, edge
    links = json.loads(fathom("map", capture, "--json").stdout)["links"]
    assert links and not any("sent again" in link.get("why", "") for link in links), links


UNREAD_S = 1.0
UNREAD = """
import socket, sys, threading, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
def serve():
    taken, _ = listener.accept()
    taken.recv(1)
    time.sleep(float(sys.argv[2]))
    while taken.recv(1 << 16):
        pass
thread = threading.Thread(target=serve)
thread.start()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sender:
    began = time.monotonic()
    sender.sendall(bytes(1 << 20))
thread.join()
print(time.monotonic() - began)
"""


def test_time_without_a_window(fathom, wait_attached, docker, start):
    """Who reads nothing for a second lets its sender wait for that second."""
    server = start(docker, "shop", "sleep", "600")
    run("nsenter", "-t", server.pid, "-n", "ip", "link", "set", "lo", "up")
    with watching(fathom, wait_attached) as found:
        took_s = float(run("nsenter", "-t", server.pid, "-n", "python3", "-c", UNREAD, PORT + 77, UNREAD_S).stdout)
    edge = [e for e in found[0]["edges"] if e["target"].get("port") == PORT + 77 and e["opens"]]
    assert len(edge) == 1 and edge[0]["sent_bytes"] == 1 << 20, edge
    # Ticks are counted; the window is small while it is read, too.
    assert 0.9 * UNREAD_S < edge[0]["window_limited_ns"] / 1e9 < 1.1 * took_s, edge


def test_a_short_life_is_named(fathom, wait_attached, docker, pair):
    """A container that is born, connects and is gone while fathom watches."""
    _, server = pair
    run("nsenter", "-t", server.pid, "-n", "ip", "link", "set", "lo", "up")
    with watching(fathom, wait_attached) as found:
        name = docker.unique("brief")
        docker.cli("run", "--rm", "--name", name, "--network", f"container:{server.id}", "fathom-test", "sh", "-c",
                   f"tcpload connect 127.0.0.1 {PORT} 3")
    check_exact(found[0], name, server.name, 3)


def test_processes_of_milliseconds_are_named(fathom, wait_attached, pair):
    """Processes that connect, ask, and are gone: whose they were is known of each, and what they were called."""
    client, server = pair
    script = f"i=0; while [ $i -lt {BRIEF} ]; do tcpload connect $0 {PORT} 1 >/dev/null; i=$((i + 1)); done"
    with wire(client, server) as addresses, watching(fathom, wait_attached) as found:
        mapper = fathom.start("map", "-d", "600", "-q", "--by", "process", "--json")
        events = fathom.start("tcp", "--json", client.name, server.name)
        for process in (mapper, events):
            wait_attached(process)
        inside(client, "sh", "-c", script, addresses[0])
        wait_for(lambda: settled(server), what="connections to end")
        lines = [json.loads(events.stdout.readline()) for _ in range(4 * BRIEF)]
        for process in (mapper, events):
            process.send_signal(signal.SIGINT)
        told = json.loads(mapper.communicate(timeout=STOP_S)[0])
        assert not events.communicate(timeout=STOP_S)[0] and events.returncode == 0
    check_exact(found[0], client.name, server.name, BRIEF)
    kinds = [(line["container"], line["process"], line["event"], line["peer"]) for line in lines]
    for event in ("connect", "close"):
        assert kinds.count((client.name, "tcpload", event, server.name)) == BRIEF, kinds
    names = {node["id"]: node["name"] for node in told["nodes"]}
    links = [(names[link["source"]], names[link["target"]]) for link in told["links"]]
    assert (f"{client.name} (tcpload)", f"{server.name} (tcpload)") in links, links
    assert not [link for link in links if client.name in link[0] and "tcpload" not in link[0]], links
    assert len({line["pid"] for line in lines if line["container"] == client.name}) == BRIEF, lines


def test_targets_choose_edges(fathom, wait_attached, docker, start, pair):
    client, server = pair
    with wire(client, server) as addresses, watching(fathom, wait_attached, server.name) as found:
        inside(client, "tcpload", "connect", addresses[0], PORT, 5)
        run("nsenter", "-t", client.pid, "-n", "python3", "-c",
            "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass")
    assert [list(e["source"].values()) for e in found[0]["edges"]] == [[client.name]], found[0]["edges"]


def test_a_new_edge_is_in_one_of_the_next_readings(fathom):
    """Nobody waits for a walk or a scan: what has just connected is in the reading that comes next, or, where that was on its way, the one
    after it."""
    process = fathom.start("connections", "-i", "0.3", "-d", "120", "--json")
    readings, pending = [], b""

    def read_some(wait_s):
        nonlocal pending
        while select.select([process.stdout], [], [], wait_s)[0]:
            pending += os.read(process.stdout.fileno(), 1 << 20)
            *whole, pending = pending.split(b"\n")
            readings.extend(json.loads(line) for line in whole)
            wait_s = 0

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        deadline = time.monotonic() + 60
        while not readings:
            read_some(0.1)
            assert time.monotonic() < deadline and process.poll() is None
        read_some(0)
        before = len(readings)
        with socket.create_connection(("127.0.0.1", port)):
            while len(readings) < before + 3:
                read_some(0.1)
                assert time.monotonic() < deadline and process.poll() is None
    found = [e for reading in readings[before:before + 3] for e in reading["edges"] if e["target"].get("port") == port]
    assert found and sum(edge["opens"] for edge in found) == 1, found


def test_bad_input(fathom):
    for arguments, word in ((("-d", "0"), "duration"), (("-i", "1ms"), "interval"), (("nobody-here",), "nobody-here"),
                            ((os.getpid(),), "a socket belongs to a container"), (("-o", "x.svg"), "json"),
                            (("--remotes", "planet"), "planet"), (("--remotes", "subnet=33"), "subnet")):
        done = fathom("connections", *arguments)
        assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") <= 2, done.stderr


def test_events_one_by_one(fathom, wait_attached, pair):
    """fathom tcp: both containers in every line, true bytes, and the container's own pids."""
    client, server = pair
    with wire(client, server) as addresses:
        process = fathom.start("tcp", "--json", client.name, server.name)
        wait_attached(process)
        assert inside(client, "tcpload", "connect", addresses[0], PORT, 3).stdout == "done 0\n"
        assert inside(client, "tcpload", "connect", addresses[0], PORT + 1, 1).stdout == "done 1\n"
        lines = [json.loads(process.stdout.readline()) for _ in range(13)]
        process.send_signal(signal.SIGINT)
        rest, complaint = process.communicate(timeout=STOP_S)
    assert process.returncode == 0, complaint
    assert not rest
    found = [(line["container"], line) for line in lines]
    kinds = [(who, fields["event"], fields["peer"]) for who, fields in found]
    for expected in ((client.name, "connect", server.name), (server.name, "accept", client.name),
                     (client.name, "close", server.name), (server.name, "close", client.name)):
        assert kinds.count(expected) == 3, kinds
    assert kinds.count((client.name, "fail", server.name)) == 1, kinds  # who refused it
    for who, fields in found:
        if fields["event"] == "close":
            sent = REQUEST if who == client.name else ANSWER
            assert (fields["sent_bytes"], fields["received_bytes"]) == (sent, REQUEST + ANSWER - sent), fields
        assert fields["port"] == (PORT + 1 if fields["event"] == "fail" else PORT)
    assert all(line["inner_pid"] == 1 for line in lines if line["container"] == server.name), lines
    assert all(line["process"] == "tcpload" for line in lines), lines


def test_map_by_process(fathom, pair):
    client, server = pair
    with wire(client, server) as addresses:
        maker = fathom.start("map", "-d", "3", "-q", "--by", "process", "--json")
        wait_for(lambda: inside(client, "tcpload", "connect", addresses[0], PORT, 5).stdout and maker.poll() is not None,
                 what="the map")
        made = json.loads(maker.communicate(timeout=STOP_S)[0])
    names = {node["id"]: node["name"] for node in made["nodes"]}
    links = {(names[link["source"]], names[link["target"]]) for link in made["links"]}
    assert (f"{client.name} (tcpload)", f"{server.name} (tcpload)") in links, links


ANSWERER = """
import os, socket, sys
host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
udp, unix = socket.socket(family, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX)
udp.bind((host, port))
unix.bind(path)
unix.listen(64)
print("ready", flush=True)
while True:
    _, asker = udp.recvfrom(4096)
    udp.sendto(b"y" * 30, asker)
"""

ASKER = """
import socket, sys
host, port, path, count, held = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.settimeout(10)
for _ in range(count):
    udp.sendto(b"x" * 100, (host, port))
    udp.recvfrom(4096)
kept = []
for _ in range(held):
    kept.append(socket.socket(socket.AF_UNIX))
    kept[-1].connect(path)
print("done", flush=True)
sys.stdin.read()
"""


def python_in(container, script, *arguments):
    """A program of ours as one of the container's, but for its files."""
    return subprocess.Popen(["nsenter", "-t", str(container.pid), "-n", "/usr/bin/python3", "-c", script,
                             *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: join(container))


@pytest.mark.parametrize("family", ["mapped", "ipv6"])
def test_datagrams_and_unix_sockets(fathom, wait_attached, tmp_path, pair, family):
    client, server = pair
    path = tmp_path / "answers.sock"
    with wire(client, server) as addresses:
        address = address_in(addresses, family)
        with python_in(server, ANSWERER, address, DATAGRAM_PORT, path) as answerer:
            assert answerer.stdout.readline() == "ready\n"
            with watching(fathom, wait_attached, "--all-sockets") as found:
                with python_in(client, ASKER, address, DATAGRAM_PORT, path, MANY, HELD) as asker:
                    assert asker.stdout.readline() == "done\n"
                    seen = fathom("connections", "--all-sockets", "-d", "1500ms", client.name)
                    assert f"unix:{path}" in seen.stdout  # and meanwhile the other one has walked, too
                    asker.stdin.close()
            answerer.kill()
    datagrams = [e for e in edges(found[0], client.name, server.name, DATAGRAM_PORT) if e["target"].get("protocol") == "udp"]
    assert len(datagrams) == 1, [(e["source"], e["target"], e["sent_segments"]) for e in found[0]["edges"]]
    edge = datagrams[0]
    assert (edge["sent_bytes"], edge["received_bytes"]) == (MANY * 100, MANY * 30), edge
    assert (edge["sent_segments"], edge["received_segments"]) == (MANY, MANY), edge
    held = [e for e in edges(found[0], client.name, server.name) if e["target"].get("path") == str(path)]
    assert len(held) == 1 and (held[0]["opens"], held[0]["closes"]) == (HELD, HELD), held


SHORT_QUEUE = """
import socket, sys
listener = socket.socket(socket.AF_INET)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(int(sys.argv[3]))
print("ready", flush=True)
sys.stdin.read()
"""
BACKLOG = 3  # lets one more in; so many handshakes may be under way at a time, or the kernel begins to send cookies

HURRY = """
import select, socket, struct, sys, time
host, port, late_port, late, count, seconds = sys.argv[1], *map(int, sys.argv[2:])
kept = []
def begin(own_port=0):
    kept.append(socket.socket())
    kept[-1].bind(("", own_port))
    kept[-1].setblocking(False)
    kept[-1].connect_ex((host, port))
    return kept[-1]
for client in [begin(late_port + i) for i in range(late)] + [begin() for _ in range(count)]:
    select.select([], [client], [])
print("open", flush=True)
sys.stdin.readline()
for client in [begin() for _ in range(count)]:
    client.settimeout(seconds)
time.sleep(seconds)
for client in kept[late + count:]:
    client.close()
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
own = socket.inet_aton(host[:-1] + "1")
segment = struct.pack("!HHIIBBHHH", 5, port, 12345, 0, 0x50, 2, 1000, 0, 0)
total = sum(struct.unpack("!16H", own + socket.inet_aton(host) + struct.pack("!HH", 6, len(segment)) + segment))
total = (total & 0xffff) + (total >> 16)
raw.sendto(segment[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + segment[18:], (host, 0))
print("done", flush=True)
sys.stdin.read()
"""


def overflows(container):
    return sent_again(container, "netstat", "TcpExt:", "ListenOverflows")


def test_a_full_accept_queue_is_named(fathom, wait_attached, pair):
    """Nobody accepts. Some are dropped at the end of their handshake, because others were faster; later ones at its beginning; and one
    more has no socket on this machine."""
    client, server = pair
    port, late_port, late, count = PORT + 2, 1100, BACKLOG, BACKLOG + 1
    tables = ("nsenter", "-t", server.pid, "-n", "iptables")
    rule = ("-p", "tcp", "--sport", f"{late_port}:{late_port + late}", "--tcp-flags", "SYN,ACK", "ACK", "-j", "DROP")
    with wire(client, server) as addresses, python_in(server, SHORT_QUEUE, addresses[0], port, BACKLOG) as listener:
        assert listener.stdout.readline() == "ready\n"
        run(*tables, "-A", "INPUT", *rule)
        with watching(fathom, wait_attached) as found:
            with python_in(client, HURRY, addresses[0], port, late_port, late, count, 3) as hurry:
                assert hurry.stdout.readline() == "open\n"
                run(*tables, "-D", "INPUT", *rule)
                wait_for(lambda: overflows(server) >= 2 * late, what="handshakes to be dropped twice")
                print("go", file=hurry.stdin, flush=True)
                assert hurry.stdout.readline() == "done\n"
                hurry.kill()
        listener.kill()
    named = edges(found[0], client.name, server.name, port)
    assert len(named) == 1, found[0]["edges"]
    assert named[0]["failures"] == {**dict.fromkeys(named[0]["failures"], 0), "overflow": late + count}, named
    assert (named[0]["opens"], named[0]["accepts"]) == (late + count, count), named
    outside = [e for e in found[0]["edges"] if e["failures"]["overflow"] and e not in named]
    assert [(e["target"]["container"], e["failures"]["overflow"]) for e in outside] == [(server.name, 1)], outside


TWO_BOUND = """
import socket, sys, time
host, port, caller, seconds, count = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4]), int(sys.argv[5])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((host, port))
def ask(own, times):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((host, own))
        for _ in range(times):
            client.sendto(b"x" * 100, (host, port))
            server.sendto(b"y" * 30, server.recvfrom(4096)[1])
            client.recvfrom(4096)
early, at = time.monotonic() + seconds, caller
while time.monotonic() < early:
    at += 1
    ask(at, 1)
    time.sleep(0.05)
ask(caller, count)
chosen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
chosen.bind((host, 0))
for _ in range(count):  # a service that has let the kernel choose its port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"z" * 10, chosen.getsockname())
        chosen.recvfrom(4096)
print(chosen.getsockname()[1])
"""


def test_who_sends_first_is_the_client(fathom, wait_attached, docker, start):
    """Both ends have asked for their ports, or neither has: no port says whose the service is."""
    both = start(docker, "both", "sleep", "600")
    run("nsenter", "-t", both.pid, "-n", "ip", "link", "set", "lo", "up")
    with watching(fathom, wait_attached, "--all-sockets", both.name) as found:
        with python_in(both, TWO_BOUND, "127.0.0.1", DATAGRAM_PORT, CALLER_PORT, SETTLED_S, FEW) as talk:
            chosen = int(talk.stdout.readline())
    served = {e["target"]["port"]: e for e in found[0]["edges"] if e["target"].get("protocol") == "udp"}
    assert CALLER_PORT not in served, served
    assert served[DATAGRAM_PORT]["sent_bytes"] >= FEW * 100, served
    assert served[chosen]["sent_bytes"] == FEW * 10, served
