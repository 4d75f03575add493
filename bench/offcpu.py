#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching blocked threads costs: a pipe ping-pong on one CPU, alone and beside libbpf-tools' offcputime, fathom
offcpu and fathom walltime. Interleaved rounds; the ratio of each round is to the run alone in the same round.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402

SETTLE_S = 0.3  # several programs are attached, one after the other; and what runs already is named
STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


def fathom(command, *options):
    return [str(support.build_dir() / "src/cli/fathom"), command, "all", "-q", "-d", "1000s", "-o", "/dev/null", "--format", "folded",
            *options]


def tools():
    found = {"fathom offcpu": fathom("offcpu"), "fathom walltime": fathom("walltime"),
             "fathom offcpu --waker": fathom("offcpu", "--waker")}
    try:
        return {"offcputime": [support.tool("offcputime"), "1000"], **found}
    except support.Missing:
        print("offcputime is not installed (libbpf-tools): measured without it", file=sys.stderr)
        return found


def programs(pid):
    """Run counts and times of the BPF programs a process holds: {id: (name, runs, ns)}."""
    held = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = path.read_text()
        except OSError:
            continue
        fields = dict(re.findall(r"^(\w+):\s*(\S+)", text, re.M))
        if "run_time_ns" in fields:
            held[fields["prog_id"]] = (int(fields.get("run_cnt", 0)), int(fields["run_time_ns"]))
    return held


def link_of(descriptor):
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:
        return ""  # closed meanwhile


def links(pid):
    return [fd for fd in Path(f"/proc/{pid}/fd").iterdir()
            if any(word in link_of(fd) for word in ("bpf_link", "bpf-link", "perf_event", "raw-tracepoint"))]


TRACING = Path("/sys/kernel/tracing")


def with_tracing():
    """Tools that attach to tracepoints by name look them up in a file system that nobody has mounted on some machines."""
    if not (TRACING / "events").exists():
        support.run("mount", "-t", "tracefs", "tracefs", TRACING)


class Tool:
    """A tool that has attached when the body begins, and has gone when it ends."""

    def __init__(self, command):
        with_tracing()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        support.wait_for(lambda: links(self.process.pid), 10, f"{command[0]} to attach")
        time.sleep(SETTLE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


def pingpong(cpu, loops):
    """Microseconds a round trip."""
    text = support.run("taskset", "-c", cpu, "perf", "bench", "sched", "pipe", "-l", loops, timeout=300).stdout
    return float(re.search(r"([\d.]+) usecs/op", text)[1])


def run_time(command, cpu, loops):
    """ns and runs of all its programs, per round trip, with the kernel's statistics on."""
    STATS.write_text("1")
    try:
        with Tool(command) as tool:
            before = programs(tool.process.pid)
            pingpong(cpu, loops)
            after = programs(tool.process.pid)
    finally:
        STATS.write_text("0")
    runs = sum(after[i][0] - before.get(i, (0, 0))[0] for i in after)
    ns = sum(after[i][1] - before.get(i, (0, 0))[1] for i in after)
    return ns / loops, runs / loops


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("-l", "--loops", type=int, default=150000)
    parser.add_argument("-c", "--cpu", type=int, default=os.cpu_count() - 1)
    options = parser.parse_args()
    alone, beside = [], {name: [] for name in tools()}
    for _ in range(options.rounds):
        alone.append(pingpong(options.cpu, options.loops))
        for name, command in tools().items():
            with Tool(command):
                beside[name].append(pingpong(options.cpu, options.loops))
    print(f"{'':24} {'us/round trip':>14} {'ratio':>7} {'min..max':>13} {'BPF ns/switch':>14} {'runs/switch':>12}")
    print(f"{'alone':24} {statistics.median(alone):14.3f}")
    for name, command in tools().items():
        ratios = [with_tool / base for with_tool, base in zip(beside[name], alone)]
        ns, runs = run_time(command, options.cpu, options.loops)
        print(f"{name:24} {statistics.median(beside[name]):14.3f} {statistics.median(ratios):7.3f} "
              f"{min(ratios):6.2f}..{max(ratios):5.2f} {ns / 2:14.0f} {runs / 2:12.2f}", flush=True)


if __name__ == "__main__":
    main()
