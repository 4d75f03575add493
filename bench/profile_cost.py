#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From start to picture on a busy machine: perf record + perf script (+ FlameGraph) beside fathom profile
-o svg: CPU seconds and lateness. Then how soon after their start fathom's commands are attached, on a quiet machine.
Rounds are interleaved; figures are medians. flamegraph.pl is the one of Debian's libdevel-nytprof-perl and bench/collapse.py folds for
it, which is quicker than stackcollapse-perf.pl; FLAMEGRAPH_DIR names a folder with both of FlameGraph's own scripts. The load is of
one program; with --builds compilers run beside it, large programs that come and go, as on a machine that others use: what
perf script takes is then several times as much."""
import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support import fathom_binary, tool, wait_for  # noqa: E402

LOAD = ("--cpu", "16", "--cpu-method", "all", "--switch", "8", "--pipe", "8", "--hdd", "2", "--vm", "4", "--vm-bytes", "64M")
BUILD = r"""
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
template <int N> int grow(std::map<std::string, int> &m) { m[std::to_string(N)] = N; return grow<N - 1>(m); }
template <> int grow<0>(std::map<std::string, int> &m) { return m.size(); }
int main(int, char **v) { std::map<std::string, int> m; return std::regex_search(v[0], std::regex("a+b")) + grow<300>(m); }
"""
BUILD_LOOP = 'while :; do "$1" -O2 -c "$2" -o "$2.$1.o" || exit 1; done'
COMPILERS = ("g++", "clang++")
HZ = 99
ATTACH_DEADLINE_S = 10
TARGET_CPU_RATIO = 1 / 20
FLAMEGRAPH = Path("/usr/share/perl5/Devel/NYTProf/flamegraph.pl")
TARGET_LATE_S = 0.3
TARGET_ATTACH_S = 0.1


def timed(command, **options):
    """Runs to the end; (CPU seconds of it and its children, wall seconds, largest resident MiB)."""
    began = time.monotonic()
    child = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             **{"stdout": subprocess.DEVNULL, **options})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):
        sys.exit(f"{command[0]} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024


def perf_round(work, seconds):
    data, text, folded = work / "data", work / "text", work / "folded"
    perf, scripts = tool("perf"), os.environ.get("FLAMEGRAPH_DIR")
    collapse = [f"{scripts}/stackcollapse-perf.pl"] if scripts else ["python3", "-S", Path(__file__).with_name("collapse.py")]
    picture = Path(scripts) / "flamegraph.pl" if scripts else FLAMEGRAPH
    # -B: without collecting build-ids, which is cheaper, and aborts perf 6.1 on some files.
    cpu, wall, rss = timed([perf, "record", "-q", "-B", "-F", HZ, "-a", "-g", "-e", "cpu-clock", "-o", data, "--",
                            "sleep", seconds])
    parts = [cpu]
    for command, output in (([perf, "script", "-i", data], text), ([*collapse, text], folded),
                            (["perl", picture, folded], work / "svg")):
        with open(output, "wb") as out:
            more, longer, size = timed(command, stdout=out)
        wall, rss = wall + longer, max(rss, size)
        parts.append(more)
    samples = text.read_bytes().count(b"cpu-clock")
    return {"cpu": sum(parts), "late": wall - seconds, "rss": rss, "samples": samples, "parts": parts}


def fathom_round(work, seconds):
    cpu, wall, rss = timed([fathom_binary(), "profile", "all", "-q", "-F", HZ, "-d", seconds, "-o", work / "f.svg"])
    return {"cpu": cpu, "late": wall - seconds, "rss": rss}


def fathom_samples(work):
    """How many samples a run sees (from a run of its own: a picture does not say it for machines)."""
    timed([fathom_binary(), "profile", "all", "-q", "-F", HZ, "-d", 2, "-o", work / "f.json"])
    return json.loads((work / "f.json").read_text())["shapes"][0]["ledger"]["seen"]["events"] / 2


def attached(pid):
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += any(word in os.readlink(entry) for word in ("bpf_link", "bpf-link", "perf_event", "raw-tracepoint"))
        except OSError:
            pass
    return count


def attach_s(command):
    """Seconds from the start of the command until its last link or perf event is there."""
    began = time.monotonic()
    child = subprocess.Popen([fathom_binary(), command, "all", "-q", "-d", "60", "-o", "/dev/null", "--format", "folded"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most, last = 0, 0.0
    try:
        wait_for(lambda: attached(child.pid), ATTACH_DEADLINE_S, "fathom to attach", 0.001)
        while time.monotonic() - began < last + 0.5 or most == 0:
            now = attached(child.pid)
            if now > most:
                most, last = now, time.monotonic() - began
            time.sleep(0.001)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return last


def row(name, peer, ours, unit, target):
    ratio = f"{ours / peer:.3f}" if peer else "-"
    print(f"{name:<34}{f'{peer:.2f} {unit}' if peer else '-':>12}{f'{ours:.3f} {unit}':>14}{ratio:>9}   {target}")


def builds(work):
    """Compilers in a loop, each in a group of processes of its own."""
    source = work / "build.cc"
    source.write_text(BUILD)
    return [subprocess.Popen(["bash", "-c", BUILD_LOOP, "bash", compiler, source], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             process_group=0) for compiler in COMPILERS if shutil.which(compiler)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=int, default=19)
    parser.add_argument("--builds", action="store_true", help="compilers run beside the load")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    if not os.environ.get("FLAMEGRAPH_DIR") and not FLAMEGRAPH.exists():
        sys.exit("no flamegraph.pl: apt install libdevel-nytprof-perl, or set FLAMEGRAPH_DIR")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    peers, ours = [], []
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        load = subprocess.Popen([tool("stress-ng"), "-q", *LOAD], stdin=subprocess.DEVNULL, cwd=work)
        loops = builds(work) if arguments.builds else []
        try:
            for _ in range(arguments.rounds):
                peers.append(perf_round(work, arguments.seconds))
                ours.append(fathom_round(work, arguments.seconds))
            per_s = fathom_samples(work)
        finally:
            for loop in loops:
                os.killpg(loop.pid, signal.SIGKILL)
                loop.wait()
            load.terminate()
            load.wait()
        attach = {c: statistics.median(attach_s(c) for _ in range(7)) for c in ("profile", "offcpu", "walltime")}

    def median(rounds, key):
        return statistics.median(r[key] for r in rounds)

    print(f"{arguments.seconds} s at {HZ} Hz, {arguments.rounds} rounds; samples: perf {median(peers, 'samples'):.0f}, "
          f"fathom about {per_s * arguments.seconds:.0f}\n")
    print(f"{'':<34}{'perf':>12}{'fathom':>14}{'ratio':>9}   target")
    parts = [statistics.median(part) for part in zip(*(r["parts"] for r in peers))]
    print("of perf's CPU: " + ", ".join(f"{name} {s:.2f} s" for name, s in zip(("record", "script", "fold", "picture"), parts)) + "\n")
    row("CPU, start to picture", median(peers, "cpu"), median(ours, "cpu"), "s", f"ratio ≤ {TARGET_CPU_RATIO:.3f}")
    row("picture after the end", median(peers, "late"), median(ours, "late"), "s", f"≤ {TARGET_LATE_S} s")
    row("largest resident size", median(peers, "rss"), median(ours, "rss"), "MiB", "≤ 64 MiB")
    for command, seconds in attach.items():
        row(f"attached: {command}", 0, seconds, "s", f"≤ {TARGET_ATTACH_S} s")


if __name__ == "__main__":
    main()
