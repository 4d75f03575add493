# SPDX-License-Identifier: Apache-2.0
"""fathom memory against a program that loses a known amount of memory."""
import json
import re
from pathlib import Path

import pytest

from folded import stacks, total
from support import wait_for

PAGE = 4096
MIB = 1 << 20


def anonymous(pid):
    return int(re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * 1024


@pytest.mark.parametrize("every", [1, 16])
def test_all_that_was_lost_is_found(docker, start, fathom, wait_attached, tmp_path, every):
    # It begins when it is watched, and ends before the watching does: the amount is known.
    leak = start(docker, "leak", "sh", "-c", "until [ -e /tmp/go ]; do sleep 0.05; done; exec /bin/leaker 40 48")
    watch = fathom.start("memory", leak.name, "-q", "-d", "60", "--every", every, "-o", "leak.folded")
    wait_attached(watch)
    Path(f"/proc/{leak.pid}/root/tmp/go").touch()
    wait_for(lambda: anonymous(leak.pid) >= 48 * MIB, 30, "the leak to end")
    watch.send_signal(2)
    _, complaints = watch.communicate(timeout=30)
    assert watch.returncode == 0, complaints
    found = stacks(tmp_path / "leak.folded")
    lost = total(found, "leak_here")
    # Of each CPU's faults the last few may not be full: `every` pages for each.
    assert abs(lost - 48 * MIB) <= 0.02 * 48 * MIB + 8 * every * PAGE
    assert all(stack[0] == leak.name for stack, _ in found)
    assert lost > 0.9 * total(found)


def test_verdict_slope_and_time_to_limit(docker, start, fathom):
    leak = start(docker, "leak", "/bin/leaker", "4", memory="256m")
    calm = start(docker, "calm", "/bin/split7525", memory="64m")
    before = anonymous(leak.pid)
    done = fathom("memory", leak.name, calm.name, "-q", "-d", "4")
    grown = anonymous(leak.pid) - before
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(leak.name))
    assert "grows steadily" in line and re.search(r"\d [ms]*s ", line), line
    slope = re.search(r"\+([\d.]+) MiB\s+\+([\d.]+) MiB", line)
    assert float(slope[2]) == pytest.approx(4, rel=0.2)
    assert float(slope[1]) <= grown / MIB * 1.02
    other = next(line for line in done.stdout.splitlines() if line.startswith(calm.name))
    assert "steady" in other and "grows" not in other
    assert "leak_here" in done.stdout


def test_json_has_both_shapes(docker, start, fathom):
    leak = start(docker, "leak", "/bin/leaker", "8")
    done = fathom("memory", leak.name, "-q", "-d", "2", "--json")
    assert done.returncode == 0, done.stderr
    capture = json.loads(done.stdout)
    tree, gauges = capture["shapes"]
    assert (tree["kind"], tree["unit"], gauges["kind"]) == ("calltree", "bytes", "gauges")
    [row] = [row for row in gauges["rows"] if row["name"] == leak.name]
    assert row["faults"] * PAGE == pytest.approx(sum(node[2] for node in tree["nodes"]), rel=0.2)


@pytest.mark.parametrize("arguments, sentence", [
    (("--every", "-1"), "makes no sense"),
    (("-d", "soon"), "not a duration"),
    (("no-such-thing-here",), "no container"),
])
def test_bad_input(fathom, arguments, sentence):
    done = fathom("memory", *arguments)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
