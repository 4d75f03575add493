# SPDX-License-Identifier: Apache-2.0
"""The agent's page in a real browser, against a live agent with a container whose name is as hostile as a runtime allows."""
import gzip
import json
import os
import re
from pathlib import Path

import pytest

from agent_client import Agent
from support import ROOT, Missing, lack, run, tool

WEB = ROOT / "tests/web"


@pytest.fixture(scope="module")
def seen(docker, tmp_path_factory):
    try:
        chromium, node, npm = tool("chromium"), tool("node"), tool("npm")
    except Missing as missing:
        lack(str(missing))
    if not (WEB / "node_modules/playwright-core/package.json").exists():
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=WEB, timeout=300)
    base = tmp_path_factory.mktemp("page")
    pictures = Path(os.environ.get("FATHOM_PICTURES", base))
    container = docker.run("agentpage", "sh", "-c", "while :; do :; done", cpus=0.2, memory="64m",
                           labels={"evil": "<img src=x onerror=alert(1)>"})
    agent = Agent(base).start()
    try:
        link = f"{agent.url}#token={agent.token}"
        done = run(node, WEB / "agent.mjs", chromium, base / "profile", link, container.name, pictures, cwd=WEB,
                   timeout=240)
        yield {**json.loads(done.stdout), "name": container.name, "agent": agent}
    finally:
        agent.stop()
        docker.rm(container)


def test_walks_through(seen):
    assert "failed" not in seen, seen["failed"]
    assert seen["errors"] == [] and seen["dialogs"] == 0


def test_nothing_from_elsewhere(seen):
    assert seen["foreign"] == []


def test_token(seen):
    """Asked for when missing; gone from the address at once; not kept beyond the tab."""
    assert "token" in seen["without_token"] and seen["name"] not in seen["without_token"]
    assert "token" not in seen["hash"] and "token" not in seen["token_kept"]


def test_overview(seen):
    assert seen["roles"]["table"] == 1 and seen["roles"]["headers"] >= 10 and seen["roles"]["status"] >= 2
    assert "/ 0.2" in seen["cpu"] and seen["markup"] == 0


def test_state_is_in_the_address(seen):
    assert "filter=" in seen["address"] and "sort=memory" in seen["address"]
    assert seen["filter_again"].endswith("cpu>0.01") and seen["sorted"] == "memory"
    assert seen["back"].startswith("#/?") and "sort=memory" in seen["back"]


def test_container_view(seen):
    assert seen["title"] == seen["name"] and seen["heat_ink"] > 0


def test_flame(seen):
    assert seen["progress"] == 1 and seen["frames"] > 3
    assert "matched" in seen["matched"] and seen["zoomed"] != "all"
    assert "a=p1" in seen["flame_address"] and "z=" in seen["flame_address"]


def test_map(seen):
    """Live: the browser's own connection to the agent is on it."""
    it = seen["map"]
    assert it["nodes"] >= 1 and "round trip" in it["story"] and "sel=" in it["address"] and "view=" in it["view"]
    assert it["svg"].startswith("<svg") and it["csv"].startswith("from,to,ports,opens")


def test_latency(seen):
    it = seen["latency"]
    assert "what=" in it["address"] or "sel=" in it["address"]
    assert int(re.match(r"[\d.]+", it["region"])[0].split(".")[0]) > 0 and " in this time" in it["again"]
    assert "a=r%2C0%2C" in it["flame"] and "to=" in it["zoomed"]


def test_host(seen):
    it = seen["host"]
    assert it["use"] >= 3 and it["checklist"] == 10 and "undefined" not in it["words"] and "NaN" not in it["words"]


def test_self_and_lost_connection(seen):
    assert seen["probes"] == len(seen["agent"].json("/api/self")["parts"])
    assert "No connection" in seen["banner"]


def test_is_small(seen):
    """All that is loaded before anything is asked for, as it is served."""
    agent = seen["agent"]
    assert sum(len(gzip.compress(agent.request("GET", path)[2])) for path in
               ("/", "/app.js", "/app.css", "/flame.js", "/flame.css")) <= 150_000
