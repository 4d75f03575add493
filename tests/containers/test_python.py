# SPDX-License-Identifier: Apache-2.0
"""Python functions in place of the interpreter's, in containers whose split is known (tests/programs/split.py). Debian's
CPython is always there; others are tested where they are found (pyenv, /usr/local)."""
import os
from pathlib import Path

import pytest

from folded import stacks, total
from support import ROOT, lack, spoilt_at_times, wait_for

PROGRAM = ROOT / "tests/programs/split.py"
PLACES = (Path.home() / ".pyenv/versions", Path("/usr/local"))
SECONDS = 3
HERTZ = 1499  # some 4,000 samples: three points are four standard deviations
POINTS = 0.03
DEVIATIONS = 4  # where neighbours left the interpreter less of the CPU, there are fewer samples
SAMPLES_MIN = 300
TRUTH = {"seventy": 0.70, "twenty": 0.20, "ten": 0.10}
FIRST = ("_start", "clone", "__clone", "start_thread")  # where a thread begins
COMPLETE = 0.99  # of 4,000 samples in 3 s
NAMED = 0.98  # with Python functions: a thread that begins or waits for the interpreter's lock has none at times
UNREADABLE = 0.001  # a call's first instructions: CPython 3.11 and 3.12 show its record before they fill it (measured: 0.00004)


def interpreter(version):
    """Path of a CPython: "debian", or a version to be found besides Debian's."""
    if version == "debian":
        path = Path("/usr/bin/python3.11")
        if not path.exists():
            lack("no python3.11 of Debian's")
        return path
    found = [path for place in PLACES for path in sorted(place.glob(f"{version}.*/bin/python{version}"))
             + sorted(place.glob(f"bin/python{version}"))]
    if not found:
        pytest.skip(f"no CPython {version} besides Debian's")
    return found[-1]


def run_split(start, docker, version, *arguments):
    path = interpreter(version)
    home = path.resolve().parent.parent
    mounts = {place: f"{place}:ro" for place in ("/usr", "/lib", "/lib64") if os.path.exists(place)}
    mounts[str(PROGRAM)] = "/app/split.py:ro"
    if home != Path("/usr"):
        mounts[str(home)] = f"{home}:ro"
    container = start(docker, "python", str(path), "/app/split.py", *arguments, mounts=mounts)
    wait_for(lambda: os.readlink(f"/proc/{container.pid}/cwd") == "/app", what="the interpreter to have begun")
    return container


def profile(fathom, tmp_path, container, *options):
    done = fathom("profile", container.name, "-d", SECONDS, "-F", HERTZ, "-o", "p.folded", *options)
    assert done.returncode == 0, done.stderr
    return stacks(tmp_path / "p.folded")


def check_split(found):
    found = [(stack, weight) for stack, weight in found if stack[2] != "[user stack not readable]"]
    whole = sum(total(found, f"{part} (split.py:") for part in TRUTH)
    assert whole > 0.6 * total(found), sorted(found, key=lambda s: -s[1])[:5]
    shares = {part: total(found, f"{part} (split.py:") / whole for part in TRUTH}
    assert whole >= SAMPLES_MIN, whole
    for part, truth in TRUTH.items():
        chance = DEVIATIONS * (truth * (1 - truth) / whole) ** 0.5
        assert abs(shares[part] - truth) < max(POINTS, chance), (shares, whole)


def check_complete(found):
    """From the thread's first function on, and no sample without a Python function."""
    reached = sum(weight for stack, weight in found if stack[2].startswith(FIRST))
    assert reached >= COMPLETE * total(found), sorted((s for s in found if not s[0][2].startswith(FIRST)),
                                                      key=lambda s: -s[1])[:5]
    named = total(found, "<module> (split.py:") + total(found, "Thread._bootstrap (threading.py:")
    assert named >= NAMED * total(found)
    assert total(found, "[Python function") <= UNREADABLE * total(found)


def order(stack):
    """The Python functions of a stack, from the root on."""
    return [frame.partition(" (")[0] for frame in stack if ".py:" in frame or "<made for" in frame]


WAYS = [("debian", way) for way in ("mixed", "threads", "asyncio", "deep", "fork")]
WAYS += [(version, way) for version in ("3.11", "3.12", "3.13") for way in ("mixed", "threads")]


@pytest.mark.parametrize("version,way", WAYS)
def test_split_is_within_three_points(docker, start, fathom, tmp_path, version, way):
    container = run_split(start, docker, version, way)
    found = profile(fathom, tmp_path, container)
    check_split(found)
    if way != "fork":  # a child's own start and end are not all Python's
        check_complete(found)
    if way == "mixed":
        check_ways_are_apart(found)


def check_ways_are_apart(found):
    """Each part was reached in each way, through the frames of that way and in their order, C functions between them."""
    ways = {"by_call": [], "by_sorted": ["by_sorted.<locals>.<lambda>"], "by_map": ["by_map.<locals>.<lambda>"],
            "by_generator": ["parts_in_turn"], "by_eval": ["<module>"]}
    seen = set()
    for stack, _ in found:
        names = order(stack)
        if "burn" not in names:
            continue
        at = names.index("by_mixed") + 1
        way, part = names[at], names[names.index("burn") - 1]
        assert names[:at] == ["<module>", "main", "loop", "by_mixed"]
        assert names[at + 1:names.index("burn") - 1] == ways[way], names
        if way == "by_eval":
            assert any(frame == f"<module> (<made for {part}>:1)" for frame in stack), stack
        if way == "by_sorted":
            assert not stack[stack.index(next(f for f in stack if f.startswith("by_sorted ("))) + 1].startswith("by_")
        seen.add((way, part))
    assert {way for way, _ in seen} == set(ways)
    assert len(seen) >= 12  # of 15: one in a hundred samples is in the smallest


@pytest.mark.parametrize("version", ["debian", "3.12", "3.13"])
def test_lines(docker, start, fathom, tmp_path, version):
    text = PROGRAM.read_text().splitlines()
    inner = text.index("            total += step * step") + 1
    container = run_split(start, docker, version, "call")
    found = profile(fathom, tmp_path, container, "--lines")
    hot = total(found, f"burn (split.py:{inner})") + total(found, f"burn (split.py:{inner - 1})")
    assert hot > 0.9 * total(found, "burn (split.py:"), inner
    assert total(found, f"burn (split.py:{inner})") > 0.3 * total(found)
    calls = {part: text.index(f"def {part}(_=1):") + 2 for part in TRUTH}
    for part, line in calls.items():
        assert total(found, f"{part} (split.py:{line})") > 0.9 * total(found, f"{part} (split.py:"), part


# ---- blocked ----

@pytest.mark.parametrize("version", ["debian", "3.12", "3.13"])
@spoilt_at_times  # a machine that stands still makes one sleep of milliseconds a long one
def test_blocked_time_is_told_apart_by_python_functions(docker, start, fathom, tmp_path, version):
    """Two functions that sleep through the same native stack."""
    container = run_split(start, docker, version, "naps")
    assert fathom("offcpu", container.name, "-d", SECONDS, "-o", "o.folded").returncode == 0
    found = stacks(tmp_path / "o.folded")
    long, short = total(found, "nap_long (split.py:"), total(found, "nap_short (split.py:")
    assert long + short > 0.95 * total(found), found
    assert abs(long / (long + short) - 0.7) < POINTS, (long, short)
    assert fathom("walltime", container.name, "-d", 1, "-o", "w.folded").returncode in (0, 3)
    assert total(stacks(tmp_path / "w.folded"), "blocked: sleep", "nap_long (split.py:") > 0

