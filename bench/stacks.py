#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stacks without frame pointers: perf record --call-graph dwarf + perf script beside fathom profile -o svg.
Per workload, same rate and length: share of samples whose stack reaches the thread's first function, bytes moved from kernel to
user space, CPU seconds from start to picture (perf's as FlameGraph draws it: flamegraph.pl is the one of Debian's libdevel-nytprof-perl,
and bench/collapse.py folds, which is quicker than stackcollapse-perf.pl; FLAMEGRAPH_DIR names a folder with both of FlameGraph's own
scripts); then what fathom costs of the CPU it observes, kernel half
included, without its start and end; at last the same with every CPU busy and all processes watched. Rounds are interleaved;
figures are medians."""
import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support import ROOT, fathom_binary, run, tool  # noqa: E402

HZ = 99
FIRST = {"_start", "__clone", "clone", "clone3", "__clone3", "start_thread"}
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
PYTHON = "def f(n):\n return n if n < 2 else f(n-1) + f(n-2)\nimport json\nwhile True:\n f(12); json.loads(json.dumps([{'a': list(range(50))}]))"


FLAMEGRAPH = Path("/usr/share/perl5/Devel/NYTProf/flamegraph.pl")
BOTH = "python3 and C" # at the same time: two CPUs busy
WORKLOADS = ["python3", "C, hard stacks", "clang", BOTH]


def workloads(work, wanted):
    """Name → commands of processes that keep a CPU busy each (or, C with its two threads, as much as it gets)."""
    python = ["/usr/bin/python3", "-c", PYTHON]
    commands = {}
    if "python3" in wanted:
        commands["python3"] = [python]
    if "C, hard stacks" in wanted:
        commands["C, hard stacks"] = [hard(work)]
    if "clang" in wanted:
        commands["clang"] = [clang_of_a_large_file(work)]
    if BOTH in wanted:
        commands[BOTH] = [python, hard(work)]
    return commands


def hard(work):
    run("cc", "-O2", "-g", "-pthread", "-fomit-frame-pointer", "-o", work / "hard", ROOT / "tests/programs/hardstacks.c", timeout=120)
    return [work / "hard"]


def clang_of_a_large_file(work):
    functions = "\n".join(f"template<class T> struct s{i} {{ std::map<T, std::vector<T>> m; T f(T x) {{ m[x].push_back(x);"
                          f" return m.size() + x; }} }}; int f{i}(int x) {{ return s{i}<int>().f(x) + s{i}<long>().f(x); }}"
                          for i in range(4000))
    (work / "large.cc").write_text("#include <map>\n#include <vector>\n#include <regex>\n" + functions)
    clang = run("clang", "-print-prog-name=clang").stdout.strip()
    lines = run("clang", "-###", "-O2", "-c", work / "large.cc", "-o", "/dev/null", check=False).stderr.splitlines()
    return [clang, *re.findall(r'"([^"]*)"', lines[-1])[1:]]


def timed(command, **options):
    child = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             **{"stdout": subprocess.DEVNULL, **options})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):
        sys.exit(f"{command[0]} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def perf_complete(text):
    """(samples with a user half that is complete, samples with one) of perf script's text."""
    whole = total = 0
    for sample in text.split("\n\n"):
        frames = [line.split() for line in sample.splitlines()[1:]]
        user = [f for f in frames if len(f) > 1 and not f[0].startswith("ffff")]
        if user:
            total += 1
            whole += user[-1][1].split("+")[0] in FIRST
    return whole, total


def perf_picture(text, work):
    """CPU of folding and drawing."""
    scripts = os.environ.get("FLAMEGRAPH_DIR")
    fold = [f"{scripts}/stackcollapse-perf.pl"] if scripts else ["python3", "-S", Path(__file__).with_name("collapse.py")]
    picture = Path(scripts) / "flamegraph.pl" if scripts else FLAMEGRAPH
    with open(work / "folded", "wb") as out:
        cpu = timed([*fold, text], stdout=out)
    with open(work / "perf.svg", "wb") as out:
        return cpu + timed(["perl", picture, work / "folded"], stdout=out)


def perf_round(work, pids, seconds, size):
    data, text = work / "data", work / "text"
    perf = tool("perf")
    cpu = timed([perf, "record", "-q", "-B", "-N", "-F", HZ, "-p", ",".join(map(str, pids)), "--call-graph", f"dwarf,{size}", "-e", "cpu-clock", "-o", data,
                 "--", "sleep", seconds])
    with open(text, "wb") as out:
        cpu += timed([perf, "script", "-i", data], stdout=out)
    cpu += perf_picture(text, work)
    whole, total = perf_complete(text.read_text(errors="replace"))
    return {"cpu": cpu / max(1, total), "bytes": data.stat().st_size / max(1, total), "whole": whole / max(1, total), "samples": total}


def fathom_round(work, pids, seconds):
    cpu = timed([fathom_binary(), "profile", *pids, "-q", "-F", HZ, "-d", seconds, "-o", work / "f.svg"])
    # What it copied and how complete it was: from a second run, since a picture does not say it for machines.
    timed([fathom_binary(), "profile", *pids, "-q", "-F", HZ, "-d", seconds, "-o", work / "f.json"])
    shape = json.loads((work / "f.json").read_text())["shapes"][0]
    ends = [process["stacks"] for process in shape["ledger"]["processes"]]
    whole, total = sum(e.get("complete", 0) for e in ends), sum(sum(e.values()) for e in ends)
    # All that came of them, not what was copied in the kernel: most of it is known from the sample before.
    note = next((n for n in shape["ledger"]["notes"] if "all that came" in n), "all that came of them: 0 B")
    number, unit = re.search(r"all that came of them: ([\d.]+) (\w+)", note).groups()
    copied = float(number) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
    total = max(1, total)
    return {"cpu": cpu / total, "bytes": copied / total, "whole": whole / total, "samples": total}


def tick_ns(targets):
    """ns a tick of fathom's sampling program takes."""
    def programs():
        return {p["id"]: p for p in json.loads(run(tool("bpftool"), "-j", "prog", "show").stdout) if p.get("name") == "profile_tick"}

    before, STATS_before = set(programs()), STATS.read_text()
    STATS.write_text("1")
    child = subprocess.Popen([fathom_binary(), "profile", *map(str, targets), "-q", "-F", str(HZ), "-d", "6", "-o", "/dev/null", "--format", "folded"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = (0, 1)
    try:
        while child.poll() is None:
            for number, program in programs().items():
                if number not in before and program.get("run_cnt", 0) > found[1]:
                    found = (program["run_time_ns"], program["run_cnt"])
            try:
                child.wait(0.5)
            except subprocess.TimeoutExpired:
                pass
    finally:
        child.wait()
        STATS.write_text(STATS_before)
    return found[0] / found[1]


def cpu_ns(pid):
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def steady_share(targets, seconds, observed_ns):
    """Of the CPU observed (`observed_ns()` counts it), what fathom's process takes when it has started and not yet ended."""
    child = subprocess.Popen([fathom_binary(), "profile", *map(str, targets), "-q", "-F", str(HZ), "-d", str(seconds + 7), "-o", "/dev/null",
                              "--format", "folded"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(6) # names and tables of the first samples
    ours, theirs = cpu_ns(child.pid), observed_ns()
    time.sleep(seconds)
    ours, theirs = cpu_ns(child.pid) - ours, observed_ns() - theirs
    child.wait()
    return ours / theirs


def print_cost(name, shares, ns):
    print(f"{name:<16}{'fathom costs':<14}{100 * (statistics.median(shares) + ns * HZ / 1e9):.3f} % of the CPU observed "
          f"({ns:.0f} ns a tick in the kernel, {100 * statistics.median(shares):.3f} % in user space)", flush=True)


def busy_machine(work, arguments):
    """Two processes for every CPU, of different kinds; all processes watched."""
    kinds = [["/usr/bin/python3", "-c", PYTHON], hard(work)]
    cpus = os.cpu_count()
    children = [subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL) for _ in range(cpus) for command in kinds]
    try:
        shares = [steady_share(["all"], arguments.seconds, lambda: sum(cpu_ns(child.pid) for child in children))
                  for _ in range(arguments.rounds)]
        print_cost("busy machine", shares, tick_ns(["all"]))
    finally:
        for child in children:
            child.kill()
            child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=int, default=10)
    parser.add_argument("-b", "--brief", action="store_true", help="fathom and perf with copies of 8 KiB only, without the steady cost")
    parser.add_argument("-w", "--workload", action="append", choices=[*WORKLOADS, "busy machine"])
    arguments = parser.parse_args()
    wanted = arguments.workload or [*WORKLOADS, "busy machine"]
    if os.geteuid() != 0:
        sys.exit("needs root")
    if not FLAMEGRAPH.exists() and not os.environ.get("FLAMEGRAPH_DIR"):
        sys.exit("no flamegraph.pl: apt install libdevel-nytprof-perl, or set FLAMEGRAPH_DIR")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    print(f"{'':<16}{'':<14}{'samples':>8}{'complete':>10}{'B/sample':>10}{'CPU µs/sample':>15}{'ratio B':>9}{'ratio CPU':>10}")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name, commands in workloads(work, wanted).items():
            children = [subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL) for command in commands]
            pids = [child.pid for child in children]
            rounds = {"fathom": [], "perf 8 KiB": [], "perf 64 KiB": []}
            shares, ns = [], None
            try:
                for _ in range(arguments.rounds):
                    rounds["fathom"].append(fathom_round(work, pids, arguments.seconds))
                    rounds["perf 8 KiB"].append(perf_round(work, pids, arguments.seconds, 8192))
                    if not arguments.brief:
                        rounds["perf 64 KiB"].append(perf_round(work, pids, arguments.seconds, 65528))
                        shares.append(steady_share(pids, arguments.seconds, lambda: sum(map(cpu_ns, pids))))
                if not arguments.brief:
                    ns = tick_ns(pids)
            finally:
                for child in children:
                    child.kill()
                    child.wait()
            rounds = {who: them for who, them in rounds.items() if them}
            medians = {who: {key: statistics.median(r[key] for r in them) for key in them[0]} for who, them in rounds.items()}
            ours = medians["fathom"]
            for who, m in medians.items():
                print(f"{name:<16}{who:<14}{m['samples']:>8.0f}{100 * m['whole']:>9.1f}%{m['bytes']:>10.0f}{1e6 * m['cpu']:>15.0f}"
                      f"{m['bytes'] / max(1, ours['bytes']):>9.1f}{m['cpu'] / max(1e-9, ours['cpu']):>10.1f}")
            if ns:
                print_cost(name, shares, ns)
        if "busy machine" in wanted:
            busy_machine(work, arguments)


if __name__ == "__main__":
    main()
