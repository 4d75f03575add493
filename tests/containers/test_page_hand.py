# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, by mouse: an agent that has just begun, and a part of a capture whose commands are run as they were copied."""
import base64
import json
import os
import re
import subprocess
import time

import pytest

from agent_client import Agent
from runtimes import die_with_parent
from support import ROOT, STOP_S, fathom_binary, run, tool

WEB = ROOT / "tests/web"
TALK_PORT = "7311"


@pytest.fixture(scope="module")
def browser(playwright):
    """browser(script, directory, link, container): what the walk saw."""
    node, chromium = playwright

    def walk(script, directory, link, container):
        pictures = os.environ.get("FATHOM_PICTURES", directory)
        done = run(node, WEB / script, chromium, directory / f"profile-{script}", link, container, pictures, cwd=WEB, timeout=150)
        seen = json.loads(done.stdout)
        assert "failed" not in seen, seen["failed"]
        assert seen["errors"] == []
        return seen
    return walk


@pytest.fixture(scope="module")
def hand(docker, browser, tmp_path_factory):
    base = tmp_path_factory.mktemp("hand")
    container = docker.run("handsplit", "split7525", cpus=0.3)
    began_ms = time.time() * 1000
    agent = Agent(base, "--profile-seconds=5", "--cpu-percent=0").start()
    try:
        yield {**browser("hand.mjs", base, f"{agent.url}#token={agent.token}", container.name), "name": container.name, "began_ms": began_ms}
    finally:
        agent.stop()
        docker.rm(container)


def test_first_seconds_are_gaps(hand):
    """Nothing was recorded before the agent began, and nothing is drawn there: the gap reaches from the range's begin to then at least."""
    early = hand["early"]
    for gaps in (early["latency"], early["chart"]):
        assert gaps and gaps[0][0] < hand["began_ms"] - 200_000 and gaps[0][1] >= hand["began_ms"] - 1000, (gaps, hand["began_ms"])
    assert early["span"]["to"] - early["span"]["from"] == 300_000
    first = min(float(x) for x in re.findall(r"M([\d.]+) ", early["spark"]["path"]))
    ran_s = (early["spark"]["at"] - hand["began_ms"]) / 1000
    assert first >= 100 - (ran_s + 10) / 3, (first, ran_s)  # of 300 s, in steps of 5


def test_hits(hand):
    """Small and large: the hand meets an end where it is drawn, and an edge beside its line."""
    assert {round(one["scale"], 1) for one in hand["hits"]} >= {0.5, 1.0, 2.5}
    for one in hand["hits"]:
        assert one["drawn"] > 20 and one["points"] > one["drawn"] and one["wrong"] == 0, one
        assert one["edge"].startswith(f"front → {hand['name']}"), one


def test_map_by_mouse(hand):
    it = hand["map"]
    assert "view=" in it["view"] and it["back"] == it["view"] and it["scale_again"] == pytest.approx(it["scale"], rel=0.01)
    assert it["chosen"] == "203.0.113.9" and it["edge"] == f"front → {hand['name']}" and it["shift"] == hand["name"]
    assert it["moved"] == [60, 40, 60, 40]


def test_pins(hand):
    """Where it was dragged to, though news came meanwhile; there after news, a reload, and another view; back when its dot is clicked."""
    it = hand["map"]
    assert it["pinned"] == pytest.approx([-50, 70], abs=2)
    for after in ("after_news", "after_reload", "kept"):
        assert it[after] == pytest.approx([0, 0], abs=2), after
    assert "pin=container" in it["pin_address"] and "pin=" not in it["after_unpin"] and it["unpinned"] == [True, False, None]


def test_causes_are_listed(hand):
    it = hand["causes"]
    assert (it["head"], it["button"]) == ("cause", "Causes") and it["rows"] and all(re.match("blocked|waiting|running", row) for row in it["rows"]), it


def test_zoom_is_a_step(hand):
    it = hand["flame"]
    assert it["zoomed"] != "all" and it["back"] == [it["whole"], "all"]


def test_search_lists(hand):
    it = hand["flame"]
    assert it["found"] == ["three_quarters"] and it["rows"] > 1 and "matches" in it["not_found"]


def test_scope_by_hand(hand):
    it = hand["scope"]
    begin, end = map(int, re.search(r"sel=(\d+)%2C(\d+)", it["address"]).groups())
    assert end - begin == 1000 and begin % 1000 == 0 and "cell=20" in it["address"] and "\n1 s, " in it["says"] and "n=1" in it["against"]


def top_of(pprof, directory):
    """What go tool pprof says of a file that the page saved."""
    path = directory / "saved.pb.gz"
    path.write_bytes(base64.b64decode(pprof))
    return run(tool("go"), "tool", "pprof", "-top", path, env={**os.environ, "HOME": str(directory), "PPROF_TMPDIR": str(directory)}, timeout=120).stdout


def test_pprof(hand, tmp_path):
    said = top_of(hand["pprof"], tmp_path)
    assert "Type: cpu" in said and re.search(r"\d+ms .*three_quarters", said), said


@pytest.fixture(scope="module")
def part(docker, browser, tmp_path_factory):
    """A part of a capture of which two containers talk to each other all the time."""
    base = tmp_path_factory.mktemp("part")
    server = docker.run("parttalk", "tcpload", "serve", "127.0.0.1", TALK_PORT)
    client = docker.run("partsplit", "sh", "-c", f"split7525 & while :; do tcpload connect 127.0.0.1 {TALK_PORT} 5; sleep 0.05; done", cpus=0.4, network=f"container:{server.id}")
    replay = None
    try:
        run(fathom_binary(), "record", "-q", "-d", "12", "-o", base / "a.fathom", timeout=60)
        replay = subprocess.Popen([str(fathom_binary()), "replay", "--from", "2.5", "--to", "10", "a.fathom", "serve", "--listen", "127.0.0.1:0"], cwd=base, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        link = re.match(r"page: +(\S+)", replay.stdout.readline())[1]
        yield {**browser("part.mjs", base, link, client.name), "base": base}
    finally:
        if replay:
            replay.terminate()
            replay.wait(timeout=STOP_S)
            replay.stdout.close()
        docker.rm(client)
        docker.rm(server)


def copied_run(part, command):
    """The command as it was copied, on the same file: one JSON object."""
    words = re.sub(r"^fathom ", f"{fathom_binary()} ", command)
    done = run("sh", "-c", f"{words} --json", cwd=part["base"], timeout=60, check=False)
    assert done.returncode in (0, 3), (command, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("which", ["all", "piece"])
def test_commands_of_a_part(part, which):
    """Times in them are the capture's, whatever part of it is shown, and what they show is what the page shows."""
    command, opens = part[which]["map"]
    assert command.startswith("fathom replay --from 2.5 --to " if which == "all" else "fathom replay --from "), command
    assert sum(link["opens"] for link in copied_run(part, command)["links"]) == opens > 0
    command, samples = part[which]["profile"]
    made = copied_run(part, command)
    assert sum(node[2] for shape in made["shapes"] for node in shape["nodes"]) == samples > 0


def test_latency_of_a_part(part):
    command, count = part["all"]["latency"]
    rows = copied_run(part, command)["shapes"][0]["rows"]
    assert sum(row["counts"]["count"] for row in rows) == count > 0


def test_pprof_of_a_capture(part, tmp_path):
    for which in ("all", "piece"):
        said = top_of(part[which]["pprof"], tmp_path)
        assert "three_quarters" in said or "one_quarter" in said, said
