# SPDX-License-Identifier: Apache-2.0
"""fathom map from a capture: the same numbers in every format, hostile names in none of them, and the page in a browser."""
import json
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_flame import HOSTILE, browser, fathom_binary, run  # noqa: E402, F401

COUNTERS = ["opens", "accepts", "closes", "existing", "failed_refused", "sent_bytes", "received_bytes", "sent_segments",
            "received_segments", "retransmits_rto", "spurious"]


def edge(source, target, port, **counters):
    return {"source": source, "target": target, "values": [str(port)],
            "counters": [counters.get(name, 0) for name in COUNTERS], "histograms": {}}


def write(path, rows):
    columns = [[name, "bytes" if "bytes" in name else "count"] for name in COUNTERS]
    shape = {"kind": "edges", "probe": "connections", "unit": "count", "overflow": 0, "labels": ["port"],
             "counters": columns, "histograms": [], "rows": rows}
    path.write_text(json.dumps({"format": "fathom capture", "version": 1, "title": "a test", "duration_ns": 10**10,
                                "shapes": [shape]}))
    return path


@pytest.fixture
def capture(tmp_path):
    web, shop, base = ["container", "web"], ["container", "shop"], ["container", "base"]
    return write(tmp_path / "capture.json", [
        edge(["external", "203.0.113.9"], web, 443, accepts=3000, received_bytes=10**8),
        edge(web, shop, 80, opens=2000, accepts=2000, sent_bytes=10**6),
        edge(web, shop, 8080, opens=10, accepts=10),
        edge(shop, base, 5432, opens=100, accepts=100, failed_refused=50),
        edge(base, shop, 80, opens=1),
    ])


def test_formats_agree(capture, tmp_path):
    made = json.loads(run(fathom_binary(), "map", capture, "--json").stdout)
    names = {node["id"]: node["name"] for node in made["nodes"]}
    links = {(names[link["source"]], names[link["target"]]): link for link in made["links"]}
    assert set(links) == {("203.0.113.9", "web"), ("web", "shop"), ("shop", "base"), ("base", "shop")}
    assert links["web", "shop"]["opens"] == 2010 and links["web", "shop"]["ports"] == [80, 8080]
    assert (links["shop", "base"]["status"], links["shop", "base"]["why"]) == ("bad", "50 refused")
    text = run(fathom_binary(), "map", capture).stdout
    assert re.search(r"203\.0\.113\.9 .*\n└─ web :443 .*\n   └─ shop :80 :8080  201/s.*\n      └─ base :5432 .*!! 50 refused", text)
    dot = run(fathom_binary(), "map", capture, "--format", "dot").stdout
    assert dot.count(" -> ") == 4
    run(fathom_binary(), "map", capture, "-o", tmp_path / "map.svg")
    picture = xml.parse(tmp_path / "map.svg").getroot()
    groups = [g.get("class") for g in picture.iter("{http://www.w3.org/2000/svg}g")]
    assert (groups.count("link ok"), groups.count("link bad"), groups.count("node container")) == (3, 1, 3)


def test_words_do_not_cover_each_other(tmp_path):
    """What is said of links that cross stands apart; numbers are as wide as they are about in a browser."""
    ends = {name: ["container", name] for name in ("door", "shop", "client", "web", "middle", "cache")}
    path = write(tmp_path / "town.json", [
        edge(ends["door"], ends["web"], 80, opens=37), edge(ends["door"], ends["cache"], 80, failed_refused=11),
        edge(ends["shop"], ends["web"], 80, opens=190), edge(ends["shop"], ends["cache"], 6379, existing=1, failed_refused=6),
        edge(ends["client"], ends["middle"], 7002, existing=1)])
    run(fathom_binary(), "map", path, "-o", tmp_path / "map.svg")
    boxes = []
    for text in xml.parse(tmp_path / "map.svg").getroot().iter("{http://www.w3.org/2000/svg}text"):
        if text.get("class", "").startswith("number"):
            x, y, half = float(text.get("x")), float(text.get("y")), 3 * len(text.text)
            boxes.append((x - half, x + half, y - 10, y, text.text))
    assert len(boxes) == 7, boxes
    covered = [(a[4], b[4]) for i, a in enumerate(boxes) for b in boxes[:i]
               if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]]
    assert not covered, boxes


def test_hostile_names(tmp_path):
    rows = [edge(["container", name.decode(errors="replace")], ["container", "victim"], 80, opens=5) for name in HOSTILE]
    path = write(tmp_path / "hostile.json", rows)
    text = run(fathom_binary(), "map", path).stdout
    assert "\x1b" not in text and "\u202e" not in text
    dot = run(fathom_binary(), "map", path, "--format", "dot").stdout
    assert all(line.endswith(("{", ";", "}")) for line in dot.splitlines())
    for suffix in (".svg", ".html"):
        run(fathom_binary(), "map", path, "-o", tmp_path / f"map{suffix}")
        page = (tmp_path / f"map{suffix}").read_text()
        assert "<script>alert" not in page and "<img" not in page and "\x1b" not in page
    xml.parse(tmp_path / "map.svg")


def test_page(browser, capture, tmp_path):  # noqa: F811
    page = tmp_path / "map.html"
    run(fathom_binary(), "map", capture, "-o", page)
    seen = browser(page, "base")
    assert not seen["errors"] and not seen["requests"] and not seen["dialogs"]
    assert (seen["title"], seen["nodes"], seen["links"]) == ("a test", 4, 4)
    boxes = [[float(number) for number in seen[step].split()] for step in ("box", "zoomed", "moved", "fitted")]
    assert boxes[1][2] < boxes[0][2] and boxes[2][:2] != boxes[1][:2] and boxes[2][2] == boxes[1][2]
    assert boxes[3] == boxes[0]
    assert seen["found"] == "1 found" and seen["near"] == 4  # itself, both its links, and shop
    assert "→" in seen["story"] and "opened" in seen["story"]
    assert seen["theme"] in ("dark", "light")


def test_bad_input(capture, tmp_path):
    (tmp_path / "a.folded").write_text("main;work 1\n")
    empty = tmp_path / "stacks.json"
    run(fathom_binary(), "flame", tmp_path / "a.folded", "-o", empty)
    for arguments, word in (((capture, "--by", "pod"), "capture"), ((empty,), "connections"), (("--by", "colour"), "colour"),
                            ((capture, "-o", "x.png"), "x.png"), (("-d", "0"), "range"), ((tmp_path / "no.json",), "no.json")):
        done = run(fathom_binary(), "map", *arguments, check=False)
        assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") == 1, done.stderr
