# SPDX-License-Identifier: Apache-2.0
"""The agent's page in a real browser, against a live agent with a container whose name is as hostile as a runtime allows."""
import base64
import gzip
import json
import os
import re
import struct
import subprocess
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from agent_client import Agent
from runtimes import die_with_parent
from support import ROOT, STOP_S, fathom_binary, run, wait_for

WEB = ROOT / "tests/web"


@pytest.fixture(scope="module")
def seen(docker, playwright, tmp_path_factory):
    node, chromium = playwright
    base = tmp_path_factory.mktemp("page")
    pictures = Path(os.environ.get("FATHOM_PICTURES", base))
    container = docker.run("agentpage", "sh", "-c", "while :; do :; done", cpus=0.2, memory="64m",
                           labels={"evil": "<img src=x onerror=alert(1)>"})
    agent = Agent(base, "--profile-seconds=5", "--offcpu-seconds=1", "--offcpu-percent=20", "--cpu-percent=0").start()
    try:
        wait_for(lambda: agent.container(container.name), 30, "the container")
        docker.cli("update", "--pids-limit=500", container.name)
        link = f"{agent.url}#token={agent.token}"
        done = run(node, WEB / "agent.mjs", chromium, base / "profile", link, container.name, pictures, cwd=WEB,
                   timeout=240)
        yield {**json.loads(done.stdout), "name": container.name, "agent": agent, "pictures": pictures, "base": base,
               "browser": (node, chromium)}
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
    assert seen["name_width"] >= 150 and seen["table_width"] >= 1200  # of 1280: names can be read, nothing lies idle


def test_state_is_in_the_address(seen):
    assert "filter=" in seen["address"] and "sort=memory" in seen["address"]
    assert seen["filter_again"].endswith("cpu>0.01") and seen["sorted"] == "memory"
    assert seen["back"].startswith("#/?") and "sort=memory" in seen["back"]


def test_container_view(seen):
    assert seen["title"] == seen["name"] and seen["heat_ink"] > 0
    assert "with=before" in seen["against"]
    assert "threads' limit" in seen["changes"] and "→ 500" in seen["changes"]


def test_flame(seen):
    assert seen["progress"] == 1 and seen["frames"] > 3
    assert "matched" in seen["matched"] and seen["zoomed"] != "all"
    assert "a=p1" in seen["flame_address"] and "z=" in seen["flame_address"]


def test_map(seen):
    """Live: the browser's own connection to the agent is on it."""
    it = seen["map"]
    assert it["nodes"] >= 1 and "round trip" in it["story"] and "sel=" in it["address"] and "view=" in it["view"]


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
    assert "No connection: the agent does not answer" in seen["banner"]
    assert seen["lost_offers"] == 0 and seen["lost_scrolls"] <= 0  # nothing that cannot work; the map's legend is in the window


def test_is_small(seen):
    """All that is loaded before anything is asked for, as it is served."""
    agent = seen["agent"]
    assert sum(len(gzip.compress(agent.request("GET", path)[2])) for path in
               ("/", "/app.js", "/app.css", "/flame.js", "/flame.css")) <= 150_000


def check_drawing(it):
    """Times on the axis are round, heat maps stand at their time on an axis of another's, buckets are ranges, numbers of events have units."""
    drawn = it["drawn"]
    assert drawn["heat"][0] == pytest.approx(62 + 100, abs=1) and drawn["heat"][1] == pytest.approx(62 + 150, abs=1)
    for ticks in drawn["ticks"]:
        steps = {b[0] - a[0] for a, b in zip(ticks, ticks[1:])}
        assert 3 <= len(ticks) <= 14 and len(steps) == 1, ticks
        step = steps.pop()
        # of an hour and less, whatever zone the browser is in; longer ones are round there alone
        assert all(time % min(step, 900_000) == 0 for time, _ in ticks), ticks
    assert drawn["ticks"][0][0][1].count(":") == 2 and drawn["ticks"][2][0][1].count(":") == 1
    assert drawn["buckets"] == ["0–1 ns", "1–2 µs", "64–128 µs", "512 µs–1 ms", "2–4 ms"]
    assert [kind for kind, _ in drawn["rows"]] == ["9 programs started", "oom"] and drawn["rows"][0][1].startswith("sh × 6, cat × 3; since ")
    assert drawn["fields"] == ["usage 1.00 MiB", "1 s before 1.00 KiB", "file /bin/sh"]


def test_capture(seen):
    """What the flight recorder kept, in the page: all views but those of now, nothing to measure, the time stands."""
    agent, (node, chromium) = seen["agent"], seen["browser"]
    name = agent.json("/api/captures", method="POST", status=201)["name"]
    capture = seen["base"] / name
    capture.write_bytes(agent.request("GET", f"/api/captures/{name}")[2])
    replay = subprocess.Popen([str(fathom_binary()), "replay", str(capture), "serve", "--listen", "127.0.0.1:0"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        link = re.match(r"page: +(\S+)", replay.stdout.readline())[1]
        done = run(node, WEB / "replay.mjs", chromium, seen["base"] / "profile-replay", link, seen["name"],
                   seen["pictures"], cwd=WEB, timeout=120)
        url, token = link.split("#token=")
        for path, method, status in (("api/host", "GET", 200), ("metrics", "GET", 409), ("healthz", "GET", 200),
                                     ("api/profiles?series=0&kind=profile&seconds=1", "POST", 409),
                                     ("api/captures", "POST", 409), ("api/stream", "GET", 409)):
            asked = urllib.request.Request(url + path, method=method, headers={"Authorization": f"Bearer {token}"})
            try:
                got = urllib.request.urlopen(asked, timeout=STOP_S).status
            except urllib.error.HTTPError as refused:
                got = refused.code
            assert got == status, path
        asked = urllib.request.Request(url + "api/verdicts", headers={"Authorization": f"Bearer {token}"})
        judged = json.loads(urllib.request.urlopen(asked, timeout=STOP_S).read())
        said = json.loads(run(fathom_binary(), "replay", capture, "diagnose", "--json", check=False).stdout)
    finally:
        replay.terminate()
        assert replay.wait(timeout=STOP_S) == 0
        replay.stdout.close()
    it = json.loads(done.stdout)
    assert "failed" not in it and it["errors"] == [], it
    assert it["state"].startswith("capture ") and not it["pause"] and it["measures"] == 0 and it["banner"] == ""
    assert "/ 0.2" in it["cpu"] and "to=" in it["range"] and "the whole machine" in it["flame"]
    # judged as fathom diagnose judges the same file
    assert judged["every_ms"] == 0 and judged["containers"] > 0
    rules = {(one["container"], one["rule"]) for one in judged["verdicts"] if one["severity"] != "info"}
    assert rules == {(one["container"], one["verdict"]) for one in said["findings"]}, (judged, said)
    assert any(name == seen["name"] for name, _ in rules) and it["verdict"] not in ("", "not judged")
    check_drawing(it)
    assert re.search(r"range=4&to=", it["key_range"]) and "--to " in it["commands"]["part"] and "--from " in it["commands"]["part"]
    assert it["commands"]["compared"].count("fathom replay ") == 2 and it["widest"] == "4" and not it["kind_shown"]
    assert it["self"] == "What the capture rests on" and "mpstat" in it["host"] and "NaN" not in it["host"]
    for view, command in it["commands"].items():
        assert re.match(rf"fathom replay (--from [\d.]+ )?(--to [\d.]+ )?{re.escape(name)} ", command), (view, command)
        command = re.sub(r"(^|&& )fathom ", rf"\1{fathom_binary()} ", command)
        assert run("sh", "-c", command, cwd=seen["base"], timeout=60, check=False).returncode in (0, 3), command


FILES = {"overview": {"CSV", "JSON"}, "container": {"CSV", "JSON", "PNG"}, "map": {"SVG", "PNG", "CSV", "JSON"},
         "flame": {"SVG", "PNG", "CSV", "folded", "pprof", "JSON"}, "latency": {"PNG", "CSV", "JSON"},
         "host": {"CSV", "JSON"}, "self": {"CSV", "JSON"}, "flame graphs": {"JSON"},
         "compared ranges": {"SVG", "PNG", "CSV", "folded"}, "compared containers": {"SVG", "PNG", "CSV", "folded"}}


def check_file(kind, data):
    if kind == "PNG":
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert width > 300 and height > 100
    elif kind == "JSON":
        json.loads(data)
    elif kind == "SVG":
        assert ElementTree.fromstring(data).tag.endswith("svg")
    elif kind == "pprof":
        assert len(gzip.decompress(data)) > 100
    elif kind == "CSV":
        lines = data.decode().splitlines()
        assert len(lines) > 1 and "," in lines[0]
    else:
        assert re.search(rb" \d+$", data.strip())


def test_files_open(seen):
    """Every view can be saved, and what was saved is what it says."""
    assert {view: set(files) for view, files in seen["files"].items()} == FILES
    for view, files in seen["files"].items():
        for kind, file in files.items():
            assert file["size"] < 4_000_000, f"{view} {kind} was not looked at"
            check_file(kind, base64.b64decode(file["base64"]))


def test_commands_run(seen, tmp_path):
    """What "Copy as command" copies can be pasted: it runs for a second, on the container that is still there."""
    def shortened(command):
        command = re.sub(r"-d \S+", "-d 1", command)
        command = re.sub(r"^fathom top", "fathom top -n 1", command)
        return command.replace("fathom ", f"{fathom_binary()} ")
    commands = seen["commands"]
    assert len(commands) >= 20 and all(command.startswith("fathom ") for command in commands.values())
    assert "latency rtt" in commands["latency tcp"] and "latency connect" in commands["latency connect"]
    assert "fathom tcp" in commands["latency session"] and "fathom diff" in commands["compared ranges"]
    wrong = {}
    unique = sorted({shortened(command) for command in commands.values()})
    for at in range(0, len(unique), 12):
        running = []
        for i, command in enumerate(unique[at:at + 12]):
            (tmp_path / f"{at}-{i}").mkdir()
            running.append((command, subprocess.Popen(["timeout", "60", "sh", "-c", command], cwd=tmp_path / f"{at}-{i}",
                                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                      stderr=subprocess.PIPE, text=True)))
        for command, process in running:
            _, err = process.communicate(timeout=STOP_S)
            if process.returncode not in (0, 3):  # 3: less than 95 % of one second was covered
                wrong[command] = f"{process.returncode}: {err[-300:]}"
    assert not wrong


def test_accessible(seen):
    """Names, roles, one heading, no id twice, contrast of 4.5 in both themes, nothing wider than 1280 pixels."""
    assert {view: found for view, found in seen["complaints"].items() if found} == {}
    assert seen["focus"][:5] == ["Overview", "Map", "Flame", "Latency", "Host"] and "Filter" in seen["focus"]
    assert "pause" in seen["keys"]


def test_recorded_stacks(seen):
    """A range, two ranges and two containers of what is always sampled."""
    assert "a=r%2C" in seen["range"] or "a=r," in seen["range"]
    # (Or the one that says that both are the same.)
    assert seen["compared"]["ranges"]["rows"] > 0 and "→" in seen["compared"]["ranges"]["says"]
    assert seen["compared"]["containers"]["says"].startswith("the whole machine")


def test_blocked_stacks_of_the_past(seen):
    """A range of blocked threads has stacks of some of its seconds, and says of how many; and back to all of it without stacks."""
    said = seen["blocked"]["said"]
    windows, looked, whole = map(float, re.search(r"Stacks of (\d+) windows? in this range, ([\d.]+) s of its (\d+) s", said).groups())
    assert windows >= 1 and 0 < looked < whole and "not scaled up" in said and "threads at a time" in said
