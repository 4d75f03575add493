# SPDX-License-Identifier: Apache-2.0
"""fathom connections where kernel programs are refused: the same edges by looking again and again, and it says so."""
import json
import signal

import pytest

from support import run, tool, wait_for

PORT = 7000
HELD = 20
REFUSED = "-sys_admin,-bpf,-perfmon"


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


def test_what_begins_and_ends_between_looks(fathom, pair):
    client, server = pair
    process = fathom.start("connections", "--rung", "polled", "-i", "0.5", "--json")
    try:
        found = [json.loads(process.stdout.readline())]  # it has looked once
        release = hold(client)
        while not any(e["opens"] for e in found[-1]["edges"]):
            found.append(json.loads(process.stdout.readline()))
            assert len(found) < 40, "the connections to be seen"
        release()
        while not any(e["closes"] for e in found[-1]["edges"]):
            found.append(json.loads(process.stdout.readline()))
            assert len(found) < 80, "their end to be seen"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    ours = [e for result in found for e in result["edges"] if server.name in e["target"].values()]
    assert [sum(e[key] for e in ours) for key in ("existing", "opens", "accepts", "closes")] == [0, HELD, HELD, HELD], ours
    assert {e["source"].get("container") for e in ours} == {client.name}
