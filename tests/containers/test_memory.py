# SPDX-License-Identifier: Apache-2.0
"""fathom memory against a program that loses a known amount of memory."""
import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from folded import stacks, total
from support import STOP_S, lack, run, spoilt_at_times, tool, wait_for

PAGE = 4096
MIB = 1 << 20


def anonymous(pid):
    return int(re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * 1024


@pytest.mark.parametrize("every", [1, 16])
def test_all_that_was_lost_is_found(docker, start, fathom, wait_attached, tmp_path, every):
    # It begins when it is watched, and ends before the watching does: the amount is known.
    leak = start(docker, "leak", "sh", "-c", "until [ -e /tmp/go ]; do sleep 0.05; done; exec /bin/leaker 40 48")
    watch = fathom.start("memory", leak.name, "-q", "-d", "600", "--every", every, "-o", "leak.folded")
    wait_attached(watch)
    Path(f"/proc/{leak.pid}/root/tmp/go").touch()
    wait_for(lambda: anonymous(leak.pid) >= 48 * MIB, 30, "the leak to end")
    watch.send_signal(2)
    _, complaints = watch.communicate(timeout=STOP_S)
    assert watch.returncode == 0, complaints
    found = stacks(tmp_path / "leak.folded")
    lost = total(found, "leak_here")
    # Of each CPU's faults the last few may not be full: `every` pages for each.
    assert abs(lost - 48 * MIB) <= 0.02 * 48 * MIB + 8 * every * PAGE
    assert all(stack[0] == leak.name for stack, _ in found)
    assert lost > 0.9 * total(found)


@spoilt_at_times  # the leak keeps its pace by the clock: when it gets no CPU for a while it makes up for that at once
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
    folded = fathom("memory", leak.name, "-q", "-d", "1", "--format", "folded")
    assert folded.returncode == 0 and "leak_here" in folded.stdout, folded.stderr


def test_json_has_both_shapes(docker, start, fathom):
    leak = start(docker, "leak", "/bin/leaker", "8")
    done = fathom("memory", leak.name, "-q", "-d", "2", "--json")
    assert done.returncode == 0, done.stderr
    capture = json.loads(done.stdout)
    tree, gauges, reads = capture["shapes"]
    assert (tree["kind"], tree["unit"], gauges["kind"]) == ("calltree", "bytes", "gauges")
    assert (reads["kind"], reads["probe"]) == ("histogram", "cache")
    [row] = [row for row in gauges["rows"] if row["name"] == leak.name]
    assert row["faults"] * PAGE == pytest.approx(sum(node[2] for node in tree["nodes"]), rel=0.2)


READS = 4  # times each file is read; only the first time it comes from the disk
FILE_PAGES = 4096


def pages(capture, container, which):
    [reads] = [shape for shape in capture["shapes"] if shape["kind"] == "histogram"]
    return sum(row["counts"]["sum"] for row in reads["rows"] if row["values"] == [container, which])


@pytest.mark.parametrize("block", ["4k", "1M"])
def test_hits_of_the_page_cache(docker, start, fathom, tmp_path, block):
    """A container reads a file that is not in the page cache four times, another one a file that is; a third writes one."""
    path = "/data/file"
    again = f"until [ -e /tmp/go ]; do sleep 0.05; done; for i in 1 2 3 4; do dd if={path} of=/dev/null bs={block}; done; touch /tmp/done; exec sleep 60"
    write = f"until [ -e /tmp/go ]; do sleep 0.05; done; dd if=/dev/zero of={path} bs={block} count=1; touch /tmp/done; exec sleep 60"
    containers = {}
    for name, script in (("cold", again), ("warm", again), ("writer", write)):
        data = tmp_path / name
        data.mkdir()
        with open(data / "file", "wb") as file:
            file.write(bytes(FILE_PAGES * PAGE))
            os.fsync(file.fileno())
            if name == "cold":
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        containers[name] = start(docker, name, "sh", "-c", script, mounts={data: "/data"})
    watch = fathom.start("memory", *[c.name for c in containers.values()], "-q", "-d", "600", "-o", "hits.json")
    wait_for(lambda: has_attached(watch, "memory_fault"), 20, "the page fault events to be watched")
    for container in containers.values():
        (Path(f"/proc/{container.pid}/root/tmp") / "go").touch()
    for container in containers.values():
        wait_for((Path(f"/proc/{container.pid}/root/tmp") / "done").exists, 30, "the reads")
    watch.send_signal(2)
    _, complaints = watch.communicate(timeout=STOP_S)
    assert watch.returncode == 0, complaints
    capture = json.loads((tmp_path / "hits.json").read_text())
    for name in ("cold", "warm"):
        asked = pages(capture, containers[name].name, "asked")
        brought = pages(capture, containers[name].name, "brought")
        # Programs and libraries of the shell and dd are read, too, a page or so each.
        assert READS * FILE_PAGES <= asked <= READS * FILE_PAGES * 1.03, (name, asked)
        assert abs(brought - (FILE_PAGES if name == "cold" else 0)) <= FILE_PAGES * 0.03, (name, brought)
    assert pages(capture, containers["writer"].name, "brought") <= FILE_PAGES * 0.03


@pytest.mark.parametrize("arguments, sentence", [
    (("--every", "-1"), "makes no sense"),
    (("-d", "soon"), "not a duration"),
    (("--heap",), "say whose heap"),
    (("--heap", "all"), "say whose heap"),
    (("--heap", "--sample", "often", "host"), "no size to sample by"),
    (("--sample", "64k", "host"), "--heap"),
    (("no-such-thing-here",), "no container"),
])
def test_bad_input(fathom, arguments, sentence):
    done = fathom("memory", *arguments)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1


# The records of so many fit into the ring (4 MiB with two CPUs), however late they are read.
HEAP_EXACT = 1000
HEAP_SAMPLED = 5000  # of two containers, those that are looked at
HEAP_MANY, HEAP_MANY_SAMPLE = 100_000, 2048  # for seconds, which is what the budget needs to be found exceeded


def heap_truth(count):
    """What tests/programs/allocs.c allocates: {function: (fate, bytes)}."""
    return {
        "keep_here": ("still allocated", count * 1000),
        "drop_here": ("freed again", count * 1000),
        "zeroed_here": ("still allocated", count * 1000),
        "aligned_here": ("still allocated", count // 10 * 4096),
        "grow_here": ("freed again", count // 100 * 1000 * 5050),
        "child_here": ("not freed before its process ended", count * 1000),
    }


def heap_watched(start, docker, fathom, tmp_path, names, count, *options):
    """Containers that allocate the same, the first of them watched → its container, [(frames, bytes)], the capture."""
    containers = [start(docker, name, "/bin/allocs", count, "/tmp/go") for name in names]  # the same file, and so the same breakpoints
    watch = fathom.start("memory", containers[0].name, "--heap", *options, "-q", "-d", "600", "-o", "heap.json")
    wait_for(lambda: has_attached(watch, "heap_exit"), 20, "the breakpoints to be set")
    for container in reversed(containers):
        root = Path(f"/proc/{container.pid}/root/tmp")
        (root / "go").touch()
        wait_for((root / "go.done").exists, 50, "the allocations")
    watch.send_signal(2)
    _, complaints = watch.communicate(timeout=STOP_S)
    assert watch.returncode == 0, complaints
    fathom("flame", "heap.json", "-o", "heap.folded")
    return containers[0], stacks(tmp_path / "heap.folded"), json.loads((tmp_path / "heap.json").read_text())


def check_heap(found, count, every):
    """One byte in `every` was looked at (1: all): unbiased, so each sum is within four standard deviations, sqrt(every × sum) each."""
    for function, (fate, truth) in heap_truth(count).items():
        there = Counter()
        for stack, weight in found:
            if function in stack:
                there[stack[1]] += weight
        allowed = 4 * (every * truth) ** 0.5 if every > 1 else 0
        assert abs(sum(there.values()) - truth) <= allowed, (function, there, every)
        assert abs(there[fate] - truth) <= allowed, (function, there, every)


@pytest.mark.parametrize("sample", [1, 16384])
def test_heap_by_function_and_fate(docker, start, fathom, tmp_path, sample):
    """Every allocation looked at: exact. Some of them: unbiased."""
    count = HEAP_EXACT if sample == 1 else HEAP_SAMPLED
    heap, found, capture = heap_watched(start, docker, fathom, tmp_path, ("heap", "other"), count, "--sample", sample)
    check_heap(found, count, sample)
    assert all(stack[0] == heap.name for stack, _ in found)
    ledger = capture["shapes"][0]["ledger"]
    truth = sum(bytes for _, bytes in heap_truth(count).values())
    assert truth <= ledger["seen"]["weight"] <= truth + MIB  # and what libc allocates for itself
    assert any(note.startswith("cost: ") and "ns a run" in note for note in ledger["notes"])


def test_heap_above_the_budget(docker, start, fathom, tmp_path):
    """Too small a budget: fewer allocations are looked at while it lasts, which the result says; its sums stay true."""
    heap, found, capture = heap_watched(start, docker, fathom, tmp_path, ("heap",), HEAP_MANY, "--sample", HEAP_MANY_SAMPLE, "--budget", "0.5")
    notes = [note for note in capture["shapes"][0]["ledger"]["notes"] if "to stay within the budget" in note]
    assert len(notes) == 1, capture["shapes"][0]["ledger"]
    amount, unit = re.search(r"down to one in ([\d.]+) (\w+)", notes[0]).groups()
    every = float(amount) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
    assert every >= 2 * HEAP_MANY_SAMPLE
    check_heap(found, HEAP_MANY, every)
    assert all(stack[0] == heap.name for stack, _ in found)


LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
ALLOCATORS = {  # name: (compiler, library to load first, what must be there)
    "glibc": ("cc", None, "/usr/bin/cc"),
    "jemalloc": ("cc", LIBRARIES / "libjemalloc.so.2", LIBRARIES / "libjemalloc.so.2"),
    "tcmalloc": ("cc", LIBRARIES / "libtcmalloc_minimal.so.4", LIBRARIES / "libtcmalloc_minimal.so.4"),
    "musl": ("musl-gcc", None, "/usr/bin/musl-gcc"),
}


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_heap_of_other_allocators(fathom, tmp_path, allocator):
    """The same known amounts by other libraries, linked dynamically: each allocation looked at, so exact."""
    compiler, preloaded, needed = ALLOCATORS[allocator]
    if not Path(needed).exists():
        lack(f"{needed} is not installed")
    program = tmp_path / "allocs"
    run(compiler, "-O2", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-o", program,
        Path(__file__).resolve().parent.parent / "programs/allocs.c")
    environment = {**os.environ, **({"LD_PRELOAD": str(preloaded)} if preloaded else {})}
    with subprocess.Popen([program, str(HEAP_EXACT), str(tmp_path / "go")], env=environment) as process:
        try:
            wait_for(lambda: (preloaded.name if preloaded else "libc") in Path(f"/proc/{process.pid}/maps").read_text(),
                     what="the library to be mapped")
            watch = fathom.start("memory", process.pid, "--heap", "--sample", "1", "-q", "-d", "600", "-o", "heap.folded")
            wait_for(lambda: has_attached(watch, "heap_exit"), 20, "the breakpoints to be set")
            (tmp_path / "go").touch()
            wait_for((tmp_path / "go.done").exists, 60, "the allocations")
            watch.send_signal(2)
            _, complaints = watch.communicate(timeout=STOP_S)
        finally:
            process.kill()
    assert watch.returncode == 0, complaints
    found = stacks(tmp_path / "heap.folded")
    for function, (fate, truth) in heap_truth(HEAP_EXACT).items():
        if function == "child_here":
            continue  # another process: the target is one alone
        there = {stack[1]: 0 for stack, _ in found if function in stack}
        for stack, weight in found:
            if function in stack:
                there[stack[1]] += weight
        assert there == {fate: truth}, function


def has_attached(process, name):
    """Is the program that is attached last?"""
    names = {program["id"]: program.get("name") for program in json.loads(run(tool("bpftool"), "-j", "prog", "show").stdout)}
    for info in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        try:
            fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if "link_type" in fields and names.get(int(fields["prog_id"])) == name:
            return True
    return False
