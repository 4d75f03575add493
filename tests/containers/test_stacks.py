# SPDX-License-Identifier: Apache-2.0
"""User stacks are complete without frame pointers: they reach the thread's first frame, and are the right ones."""
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from folded import stacks
from runtimes import PROGRAMS
from support import run, wait_for

SECONDS = 3
HZ = 499
ENOUGH = 0.99
FIRST = {"_start", "clone", "__clone", "clone3", "__clone3", "start_thread"}

# Endless work that spends its time in the interpreter, its libraries and callbacks out of them.
SCRIPTS = {
    "python3": ("-c", "def f(n):\n return n if n < 2 else f(n-1) + f(n-2)\nimport json\n"
                      "while True:\n f(12); json.loads(json.dumps([{'a': list(range(50))}]))"),
    "ruby": ("-e", "def f(n) n < 2 ? n : f(n-1) + f(n-2) end; loop { f(14); [3,1,2].sort_by { |x| -x } }"),
    "ruby, threads": ("-e", "def f(n) n < 2 ? n : f(n-1) + f(n-2) end;"
                            " 3.times.map { Thread.new { loop { f(14); [3,1,2].sort_by { |x| -x } } } }.each(&:join)"),
    "php": ("-r", "function f($n) { return $n < 2 ? $n : f($n-1) + f($n-2); }"
                  " while (true) { f(14); $a = [3,1,2]; usort($a, fn($x, $y) => $x - $y); }"),
    "perl": ("-e", "sub f { my $n = shift; $n < 2 ? $n : f($n-1) + f($n-2) } while (1) { f(12); sort { $a <=> $b } 3, 1, 2 }"),
    "node": ("-e", "function f(n) { return n < 2 ? n : f(n-1) + f(n-2) }"
                   " for (;;) { f(16); JSON.parse(JSON.stringify({ a: [3, 1, 2].sort((x, y) => x - y) })) }"),
}

RUST = """
fn opaque<T: Copy>(value: T) -> T { unsafe { std::ptr::read_volatile(&value) } }
fn fib(n: u64) -> u64 { if n < 2 { n } else { opaque(fib(n - 1)) + fib(n - 2) } }
fn main() {
    std::thread::spawn(|| loop { let mut v: Vec<u64> = (0..50).map(|i| (i * 7919) % 1000).collect(); v.sort_by(|a, b| b.cmp(a)); opaque(v[7]); });
    loop { opaque(fib(opaque(20))); }
}
"""


@contextmanager
def running(*command, is_busy=True, **options):
    child = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, **options)
    try:
        # Started is: it has had some CPU after exec.
        if is_busy:
            wait_for(lambda: int(Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[11]) > 5, 30, "work to begin")
        yield child
    finally:
        child.kill()
        child.wait()


def user_halves(path, least=100):
    """Counter of user halves (functions, outermost first) of the process's stacks."""
    halves = Counter()
    for stack, weight in stacks(path):
        user = tuple(f for f in stack[2:] if not f.endswith("_[k]"))
        if user:
            halves[user] += weight
    assert halves.total() >= least, f"only {halves.total()} samples"
    return halves


def assert_complete(halves):
    bad = Counter()
    for user, weight in halves.items():
        if user[0] not in FIRST:
            bad[user[:3]] += weight
    assert bad.total() <= (1 - ENOUGH) * halves.total(), bad.most_common(5)


def profile(fathom, tmp_path, target, seconds=SECONDS):
    done = fathom("profile", target, "-d", seconds, "-F", HZ, "-o", "out.folded")
    assert done.returncode == 0, done.stderr
    return user_halves(tmp_path / "out.folded")


def build(tmp_path, name, *flags):
    run("cc", "-O2", "-g", "-pthread", "-fno-stack-protector", *flags, "-o", tmp_path / name, PROGRAMS / "hardstacks.c", timeout=120)
    return tmp_path / name


def without_library(halves):
    """Shares of the program's own functions: which way libc goes inside is none of its business."""
    own = Counter()
    names = {"main", "thread_main", "round_of_all", "with_alloca", "realigned", "large_frame", "recurse", "sorted", "compare",
             "signalled", "on_signal", "memory", "spin"}
    for user, weight in halves.items():
        own[tuple(f for f in user if f in names)] += weight
    return {path: weight / halves.total() for path, weight in own.items()}


def test_the_same_as_with_frame_pointers(fathom, tmp_path):
    found = {}
    for name in ("omit", "no-omit"):
        with running(build(tmp_path, name, f"-f{name}-frame-pointer")) as child:
            halves = profile(fathom, tmp_path, child.pid, SECONDS + 2)
        assert_complete(halves)
        assert sum(w for user, w in halves.items() if user.count("recurse") == 501) > 0.05 * halves.total()
        found[name] = {path: share for path, share in without_library(halves).items() if share > 0.02}
    assert found["omit"].keys() == found["no-omit"].keys()
    assert len(found["omit"]) >= 12 # six kinds of stacks, two threads


def test_in_a_container(docker, start, fathom, tmp_path):
    hard = start(docker, "hard", "/bin/hardstacks_omit")
    halves = profile(fathom, tmp_path, hard.name)
    assert_complete(halves)
    # By name in the container, too: its file is read through its own mount namespace.
    assert any("large_frame" in user for user in halves)
    assert fathom("profile", hard.name, "-d", 1, "-o", "out.json").returncode == 0
    entries = json.loads((tmp_path / "out.json").read_text())["shapes"][0]["ledger"]["processes"]
    entry = next(e for e in entries if e["name"].startswith("hardstacks"))
    assert entry["container"] == hard.name
    assert entry["stacks"].get("complete", 0) >= ENOUGH * sum(entry["stacks"].values())


def test_stacks_in_two_places(fathom, tmp_path):
    """A handler on a stack of its own leads to what it interrupted; a frame larger than any copy does not cut the stack."""
    odd = tmp_path / "odd"
    run("cc", "-O2", "-g", "-pthread", "-fomit-frame-pointer", "-o", odd, PROGRAMS / "oddstacks.c", timeout=60)
    with running(odd) as child:
        halves = profile(fathom, tmp_path, child.pid)
    assert_complete(halves)
    for first in ("main", "start_thread"):
        for inner in ({"interrupted", "on_other_stack"}, {"huge_frame"}):
            found = sum(weight for user, weight in halves.items() if {first, "spin"} | inner <= set(user))
            assert found > 0.1 * halves.total(), (first, inner, halves.most_common(5))
    with running(odd, "vfork", is_busy=False) as child:
        assert fathom("offcpu", child.pid, "-d", 1, "-o", "vfork.folded").returncode == 0
    blocked = Counter({tuple(stack): weight for stack, weight in stacks(tmp_path / "vfork.folded") if "vfork" in stack})
    whole = sum(weight for stack, weight in blocked.items() if {"_start", "main", "vforked"} <= set(stack))
    assert whole >= 0.98 * blocked.total() and whole > 5e5, blocked


@pytest.mark.parametrize("language", SCRIPTS)
def test_interpreters(fathom, tmp_path, language):
    program = shutil.which(language.split(",")[0], path="/usr/bin:/usr/local/bin:/bin")
    if not program:
        pytest.skip(f"{language} is not installed")
    with running(program, *SCRIPTS[language]) as child:
        assert_complete(profile(fathom, tmp_path, child.pid))


def test_rust(fathom, tmp_path):
    if not shutil.which("rustc"):
        pytest.skip("rustc is not installed")
    (tmp_path / "fib.rs").write_text(RUST)
    run("rustc", "-O", "-o", tmp_path / "fib", tmp_path / "fib.rs", timeout=300)
    with running(tmp_path / "fib") as child:
        assert_complete(profile(fathom, tmp_path, child.pid))


def test_a_large_program(fathom, tmp_path):
    """clang: deep recursion, large frames, and a library with a million rows."""
    functions = "\n".join(f"template<class T> struct s{i} {{ std::map<T, std::vector<T>> m; T f(T x) {{ m[x].push_back(x);"
                          f" return m.size() + x; }} }}; int f{i}(int x) {{ return s{i}<int>().f(x) + s{i}<long>().f(x); }}"
                          for i in range(400))
    (tmp_path / "large.cc").write_text("#include <map>\n#include <vector>\n#include <string>\n#include <regex>\n" + functions)
    clang = re.sub(r"\n.*", "", run("clang", "-print-prog-name=clang").stdout)
    arguments = run("clang", "-###", "-O2", "-c", tmp_path / "large.cc", "-o", "/dev/null", check=False).stderr.splitlines()[-1]
    with running(clang, *re.findall(r'"([^"]*)"', arguments)[1:]) as child:
        assert_complete(profile(fathom, tmp_path, child.pid))


UNDESCRIBED = ("-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")


def build_musl(tmp_path, name, *flags):
    run("musl-gcc", "-O2", "-pthread", "-fno-stack-protector", *flags, "-o", tmp_path / name, PROGRAMS / "hardstacks.c", timeout=120)
    return tmp_path / name


def share_complete(fathom, tmp_path, child):
    """→ (share of samples that reach the first frame, notes of the ledger)"""
    assert fathom("profile", child.pid, "-d", 2, "-F", HZ, "-o", "out.json").returncode == 0
    ledger = json.loads((tmp_path / "out.json").read_text())["shapes"][0]["ledger"]
    ends = ledger["processes"][0]["stacks"]
    return ends.get("complete", 0) / sum(ends.values()), ledger.get("notes", [])


@pytest.mark.parametrize("how", ["static", "dynamic", "stripped"])
def test_musl_without_tables(fathom, tmp_path, how):
    """What is worked out from machine code is what the same program's frame pointers tell, and is called so."""
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not installed")
    link = () if how == "dynamic" else ("-static",)
    known = build(tmp_path, "known", "-fno-omit-frame-pointer")
    with running(known) as child:
        truth = {path: share for path, share in without_library(profile(fathom, tmp_path, child.pid, SECONDS + 2)).items() if share > 0.02}
    blind = build_musl(tmp_path, "blind", *link, *UNDESCRIBED)
    if how == "stripped":
        run("strip", blind)
    with running(blind) as child:
        share, notes = share_complete(fathom, tmp_path, child)
        assert share >= ENOUGH, (share, notes)
        assert any("worked out from its machine code" in note for note in notes), notes
        if how == "stripped":
            return # no names to compare
        found = without_library(profile(fathom, tmp_path, child.pid, SECONDS + 2))
    # A path that was worked out wrongly would be one that the program does not have. (raise() runs its handler where musl calls it.)
    assert truth.keys() <= found.keys(), truth.keys() - found.keys()
    assert sum(share for path, share in found.items() if path not in truth) < 0.05, found


GO_BUILDS = {"plain": (), "stripped": ("-ldflags", "-s -w"), "pie": ("-buildmode=pie", "-ldflags", "-s -w")}


@pytest.mark.parametrize("how", GO_BUILDS)
def test_go_without_frames(fathom, tmp_path, how):
    """A function of Go that makes no frame is called from where it was called: no frame pointer leads there."""
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    shutil.copy(PROGRAMS / "frameless.go", tmp_path)
    run("go", "build", *GO_BUILDS[how], "-o", "frameless", "frameless.go", cwd=tmp_path, timeout=300,
        env={**os.environ, "HOME": str(tmp_path), "GO111MODULE": "off", "GOFLAGS": ""})
    with running(tmp_path / "frameless") as child:
        halves = profile(fathom, tmp_path, child.pid, SECONDS + 2)
    callers = Counter()
    for user, weight in halves.items():
        if "main.leaf" in user: # what is above it are signals, by which Go's scheduler interrupts
            callers[user[user.index("main.leaf") - 1]] += weight
    known = callers["main.often"] + callers["main.rarely"]
    assert known >= 100 and known >= ENOUGH * callers.total(), callers
    # Three calls in four are of often(): the rest is chance, of at least 100 samples.
    assert 0.5 < callers["main.often"] / known < 0.95, callers
    # Where frames are made and left, the place of the return address is told to the kernel when it is met first.
    small = Counter({user: weight for user, weight in halves.items() if "main.small" in user})
    assert sum(weight for user, weight in small.items() if "main.calls" in user) > 0.5 * small.total(), small


def test_incomplete_stacks_say_why(fathom, tmp_path):
    """Code without tables and frame pointers of which nobody can tell its caller is named in the ledger, and is not taken for
    complete: each sample in it, and no other."""
    blind = build(tmp_path, "blind", *UNDESCRIBED, "-g0", "-DSCRAMBLED")
    with running(blind) as child:
        done = fathom("profile", child.pid, "-d", SECONDS, "-F", HZ, "-o", "out.json")
    assert done.returncode == 0, done.stderr
    assert fathom("flame", "out.json", "-o", "out.folded").returncode == 0
    halves = user_halves(tmp_path / "out.folded")
    lost = sum(weight for user, weight in halves.items() if "scrambled" in user)
    # (It begins and ends with an instruction or two at which the caller can still be told.)
    assert sum(weight for user, weight in halves.items() if user[0] == "scrambled") >= ENOUGH * lost > 50, halves
    assert_complete(Counter({user: weight for user, weight in halves.items() if "scrambled" not in user}))
    entries = json.loads((tmp_path / "out.json").read_text())["shapes"][0]["ledger"]["processes"]
    entry = next(e for e in entries if e["name"] == "blind")
    ends = entry["stacks"]
    assert ENOUGH * lost <= sum(ends.values()) - ends.get("complete", 0) <= lost + (1 - ENOUGH) * halves.total(), (ends, lost)
    assert any("blind" in missing["text"] for missing in entry["missing"]), entry
