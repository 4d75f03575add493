# SPDX-License-Identifier: Apache-2.0
"""Stacks of blocked threads are recognised without walking them. None may be taken for another: programs that make it easy."""
import json
from collections import Counter
from pathlib import Path

import pytest

from folded import stacks
from support import scheduled_us, spoilt_at_times, wait_for

SECONDS = 4
FIRST = ("_start", "__clone", "clone", "start_thread")
COMPLETE = 0.98
NEAR = 0.1  # sleeps end a little late

# Turns from the root, and how long a sleep there is, in ms.
WAYS = {"turn_left turn_right turn_left turn_right": 4, "turn_left turn_left turn_right turn_right": 8,
        "turn_right turn_left turn_right turn_left": 12}
ROOTS = {"root_short": 4, "root_long": 12, "littered": 8}


def measure(fathom, tmp_path, command, name, *options):
    for old in ("out.json", "out.folded"):
        (tmp_path / old).unlink(missing_ok=True)
    done = fathom(command, name, "-d", SECONDS, "-o", "out.json", *options)
    assert done.returncode == 0, done.stderr
    ledger = json.loads((tmp_path / "out.json").read_text())["shapes"][0]["ledger"]
    assert fathom("flame", "out.json", "-o", "out.folded").returncode == 0
    return stacks(tmp_path / "out.folded"), ledger


def kind(frames):
    """Which of the program's stacks it is."""
    turns = " ".join(frame for frame in frames if frame.startswith("turn_"))
    roots = [frame for frame in frames if frame in ROOTS]
    return turns or (roots[0] if roots else "")


@pytest.mark.parametrize("command", ["offcpu", "walltime"])
@pytest.mark.parametrize("program", ["twinstacks", "twinstacks_omit"])
@spoilt_at_times  # a machine that stands still makes one sleep of milliseconds a long one
def test_twins_are_told_apart(docker, start, fathom, tmp_path, command, program):
    twins = start(docker, program.replace("_", ""), f"/bin/{program}")
    found, ledger = measure(fathom, tmp_path, command, twins.name)
    blocked = [(frames, weight) for frames, weight in found if "blocked: sleep" in frames]
    told = Counter()
    for frames, weight in blocked:
        told[kind(frames)] += weight
    all_us = sum(told.values())
    for name, ms in {**WAYS, **ROOTS}.items():
        share = ms / (sum(WAYS.values()) + sum(ROOTS.values()))
        assert told[name] / all_us == pytest.approx(share, rel=NEAR), (name, told)
    # Nothing else, but for what was seen before it was known how much of a deep stack to copy.
    assert told[""] < (1 - COMPLETE) * all_us, told
    complete = sum(weight for frames, weight in blocked if any(frame in FIRST for frame in frames))
    assert complete >= COMPLETE * all_us, blocked
    assert all(note.endswith("of these wrong: 0") for note in ledger["notes"] if "of these wrong" in note), ledger["notes"]


def functions(found):
    """The distinct stacks of the program's own functions."""
    own = ("turn_", "root_", "way", "deeper", "littered", "nap", "main")
    return {tuple(frame for frame in frames if frame.startswith(own)) for frames, weight in found
            if "blocked: sleep" in frames and any(frame in FIRST for frame in frames)}


def test_same_stacks_as_with_frame_pointers(docker, start, fathom, tmp_path):
    seen = []
    for program in ("twinstacks", "twinstacks_omit"):
        container = start(docker, "oracle" + program.replace("_", ""), f"/bin/{program}")
        seen.append(functions(measure(fathom, tmp_path, "offcpu", container.name)[0]))
    assert seen[0] == seen[1] and len(seen[0]) == len(WAYS) + len(ROOTS)


@pytest.mark.parametrize("program", ["twinstacks", "twinstacks_omit"])
@spoilt_at_times  # a machine that stands still makes one sleep of milliseconds a long one
def test_twin_wakers_are_told_apart(docker, start, fathom, tmp_path, program):
    """One thread blocks at one place; who wakes it are stacks that are easily taken for one another."""
    container = start(docker, "wakers" + program.replace("_", ""), f"/bin/{program}", "wake")
    tasks = Path(f"/proc/{container.pid}/task")
    wait_for(lambda: len(list(tasks.iterdir())) == 2, what="the listener")
    [listener] = [int(task.name) for task in tasks.iterdir() if int(task.name) != container.pid]
    waited, busy = scheduled_us(container.pid)[1], sum(scheduled_us(container.pid, listener))
    found, ledger = measure(fathom, tmp_path, "offcpu", container.name, "--waker")
    waited, busy = scheduled_us(container.pid)[1] - waited, sum(scheduled_us(container.pid, listener)) - busy
    told, complete = Counter(), 0
    for frames, weight in found:
        waker = next((at for at, frame in enumerate(frames) if frame.startswith("woken by")), None)
        if "listen_to_bell" not in frames or waker is None:
            continue
        assert container.name in frames[waker] and "listen_to_bell" in frames[:waker], frames
        told[kind(frames[:waker:-1])] += weight # written from the innermost on
        complete += weight if any(frame in FIRST for frame in frames[waker:]) else 0
    all_us = sum(told.values())
    assert all_us > max(0.9 * (SECONDS * 1e6 - busy), 0.3 * SECONDS * 1e6), (busy, found) # nothing else it does takes time
    for name, ms in {**WAYS, **ROOTS}.items():
        share = ms / (sum(WAYS.values()) + sum(ROOTS.values()))
        # The listener also waits while who is to wake it waits for a CPU, on whatever stack that is.
        least, most = (1 - NEAR) * share * (all_us - waited), (1 + NEAR) * share * all_us + waited
        assert least <= told[name] <= most, (name, least, most, told)
    assert complete >= COMPLETE * all_us and told[""] < (1 - COMPLETE) * all_us, told
    assert all(note.endswith("of these wrong: 0") for note in ledger["notes"] if "of these wrong" in note), ledger["notes"]


@pytest.mark.parametrize("command", ["offcpu", "walltime"])
@spoilt_at_times  # as above
def test_budget_looks_at_fewer_stacks(docker, start, fathom, tmp_path, command):
    """Above the budget only some stacks are looked at. All time is still measured, and each stack has the share that it has
    when all are looked at."""
    quick = start(docker, "quick", "/bin/twinstacks", "quick")

    def shares(budget):
        found, ledger = measure(fathom, tmp_path, command, quick.name, "--budget", budget)
        elapsed_us = json.loads((tmp_path / "out.json").read_text())["duration_ns"] / 1000
        told = Counter()
        for frames, weight in found:
            if "blocked: sleep" in frames:
                told[kind(frames)] += weight
        if command == "walltime":
            assert sum(weight for _, weight in found) == pytest.approx(elapsed_us, rel=0.01)
        assert sum(told.values()) > 0.3 * elapsed_us, found
        return {name: told[name] / sum(told.values()) for name in (*WAYS, *ROOTS, "")}, ledger

    exact, ledger = shares(100)
    assert not [note for note in ledger["notes"] if "within the budget" in note], ledger
    # Of some 8,000 sleeps a second one in 32 is looked at: at least 100 of each stack, which chance spreads by 10 %.
    estimated, ledger = shares(0.05)
    [note] = [note for note in ledger["notes"] if "within the budget" in note]
    assert "only some of the stacks were looked at" in note, note
    for name, share in exact.items():
        assert estimated[name] == pytest.approx(share, rel=0.35, abs=0.02), (name, exact, estimated, ledger["notes"])
    if command == "offcpu":
        assert fathom("offcpu", quick.name, "--budget", 0).returncode == 2


@pytest.mark.parametrize("command", ["offcpu", "walltime"])
def test_blocked_before_the_start(docker, start, fathom, tmp_path, command):
    """A deep stack that is only ever seen from outside: each of its frames is there, up to the first."""
    resting = start(docker, "resting", "/bin/deeprest_omit")
    assert fathom(command, resting.name, "-d", "0.3", "-o", "out.folded").returncode == 0
    [(frames, _)] = [(frames, weight) for frames, weight in stacks(tmp_path / "out.folded") if "descend" in frames]
    assert frames.count("descend") == 120 and any(frame in FIRST for frame in frames), frames
