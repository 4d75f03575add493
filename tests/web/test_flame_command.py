# SPDX-License-Identifier: Apache-2.0
"""fathom flame and fathom diff as commands: what they print, their exit statuses, one sentence for bad input."""
import gzip
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support import Missing, fathom_binary, run  # noqa: E402


def fathom(*arguments, **options):
    try:
        return run(fathom_binary(), *arguments, check=False, **options)
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def stacks(tmp_path):
    path = tmp_path / "a.folded"
    path.write_text("main;parse 30\nmain;work;loop_[k] 60\nmain 10\n")
    return path


@pytest.mark.parametrize("content, words", [
    ("", "empty"),
    ("main;a 1\nmain;b\n", "line 2"),
    ("main;a 1\nmain;\x1b]0;x\x07 y\n", "line 2"),
    ('{"format":"other"}', "byte"),
])
def test_bad_input(tmp_path, content, words):
    path = tmp_path / "bad"
    path.write_text(content)
    done = fathom("flame", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and words in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("arguments", [
    ["flame"], ["flame", "no-such-file"], ["flame", "/"], ["flame", "A", "-o", "/no/such/folder/a.svg"], ["flame", "A", "-o", "a.png"],
    ["flame", "A", "--format", "gif"], ["flame", "A", "--unit", "miles"], ["flame", "A", "--from", "x"], ["diff", "A"], ["diff", "A", "no-such-file"],
])
def test_bad_usage(stacks, arguments):
    done = fathom(*[stacks if argument == "A" else argument for argument in arguments])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_pipe_and_gzip(stacks, tmp_path):
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(stacks.read_bytes()))
    with open(stacks) as file:
        piped = fathom("flame", "-", "--format", "folded", stdin=file)
    assert piped.returncode == 0
    assert sorted(piped.stdout.splitlines()) == sorted(stacks.read_text().splitlines())
    assert fathom("flame", packed, "--format", "folded").stdout == piped.stdout


def test_capture_round_trip(stacks, tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    assert fathom("flame", stacks, "-o", first).returncode == 0
    assert fathom("flame", first, "-o", second).returncode == 0
    assert first.read_bytes() == second.read_bytes()


def test_inconclusive(stacks, tmp_path):
    capture = tmp_path / "a.json"
    fathom("flame", stacks, "-o", capture)
    content = json.loads(capture.read_text())
    content["shapes"][0]["ledger"]["items"] = {"lost_map_full": {"events": 10, "weight": 10}}
    capture.write_text(json.dumps(content))
    done = fathom("flame", capture)
    assert done.returncode == 3
    assert "INCONCLUSIVE" in done.stdout
    assert fathom("diff", stacks, capture).returncode == 3


def test_diff(stacks, tmp_path):
    after = tmp_path / "b.folded"
    after.write_text("main;parse 90\nmain;work;loop_[k] 60\nmain;fresh 5\n")
    table = fathom("diff", stacks, after)
    assert table.returncode == 0
    rows = [line.split() for line in table.stdout.splitlines() if line.endswith(("parse", "fresh", "main"))]
    assert ["+60", "30", "90", "+60", "parse"] in rows
    assert ["+5", "0", "5", "+5", "fresh"] in rows
    assert ["−10", "10", "0", "+55", "main"] in rows
    svg = tmp_path / "diff.svg"
    assert fathom("diff", stacks, after, "-o", svg).returncode == 0
    assert 'class="more6"' in svg.read_text()


def test_no_colour(stacks):
    assert "\x1b" not in fathom("flame", stacks, env={**os.environ, "NO_COLOR": "1"}).stdout
    assert "\x1b" not in fathom("flame", stacks).stdout
