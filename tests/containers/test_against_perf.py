# SPDX-License-Identifier: Apache-2.0
"""fathom profile beside perf record: the same container, the same rate, the same seconds."""
import re
import subprocess
from collections import Counter

import pytest

from folded import chance, stacks
from support import STOP_S, Missing, run, tool

SECONDS = 8
HZ = 499  # at 99 Hz chance alone makes three points of difference in so short a run


def leaf_shares(counts):
    whole = sum(counts.values())
    return {name: count / whole for name, count in counts.items()}


def perf_leaves(data):
    script = run(tool("perf"), "script", "-i", data, "-F", "ip,sym", timeout=120).stdout
    # Without call graphs there is one line a sample: address and symbol.
    return Counter(match.group(1) for match in re.finditer(r"^\s*[0-9a-f]+ (\S+)", script, re.M))


def test_top_ten_functions_agree_with_perf_record(docker, start, fathom, tmp_path):
    try:
        perf = tool("perf")
    except Missing as missing:
        pytest.skip(str(missing))
    web = start(docker, "web", "/bin/tenparts")
    data = tmp_path / "perf.data"
    recording = subprocess.Popen([perf, "record", "-q", "-e", "cpu-clock", "-F", str(HZ), "-p", str(web.pid), "-o",
                                  str(data), "--", "sleep", str(SECONDS)], stdin=subprocess.DEVNULL)
    try:
        done = fathom("profile", web.name, "-d", SECONDS, "-F", HZ, "-o", "web.folded")
    finally:
        assert recording.wait(STOP_S) == 0
    assert done.returncode == 0, done.stderr
    ours = Counter()
    for stack, weight in stacks(tmp_path / "web.folded"):
        ours[stack[-1].removesuffix("_[k]")] += weight
    leaves = perf_leaves(data)
    samples = min(sum(ours.values()), sum(leaves.values()))
    ours, theirs = leaf_shares(ours), leaf_shares(leaves)
    top = sorted(theirs, key=theirs.get, reverse=True)[:10]
    assert sum(name.startswith("part_") for name in top) >= 9, theirs
    for name in top:
        # Two samples of the same: chance has its part in the difference where the program had the CPU rarely.
        assert ours.get(name, 0) == pytest.approx(theirs[name], abs=max(0.03, 1.5 * chance(theirs[name], samples))), (name, ours, theirs)
