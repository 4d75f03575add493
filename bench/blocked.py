#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the agent's windows of stacks of blocked threads cost: CPU time of agent and children, and of their kernel programs, with and without.

The share they may take is raised so that a run of seconds has several (a thousandth of a core is one in some minutes): what a window
takes is the same, and that the share is kept is what is seen."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "tests"),
                str(Path(__file__).resolve().parent.parent / "tests/containers")]
import runtimes  # noqa: E402
from agent_client import Agent  # noqa: E402
from support import tool  # noqa: E402
from top import STATS, bpf_s, exact_cpu_s, family  # noqa: E402

POLL_S = 0.1
FIRST_LENGTHS = 6  # as src/serve/sampler.c


def ended_children_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[i]) for i in (13, 14)) / os.sysconf("SC_CLK_TCK")


class Programs:
    """Of the children that run: kernel time and runs of the programs on hooks (walks over threads run in the child's own system calls)."""
    def __init__(self, pid):
        self.pid, self.hooks, self.children = pid, {}, set()

    def poll(self):
        for child in family(self.pid)[1:]:
            try:
                texts = [path.read_text() for path in Path(f"/proc/{child}/fdinfo").iterdir()]
            except OSError:
                continue  # it has ended
            for fields in (dict(re.findall(r"^(\w+):\s*(\S+)", text, re.M)) for text in texts):
                number = fields.get("prog_id")
                if "run_cnt" not in fields or (number not in self.hooks and not self.is_hook(number)):
                    continue
                self.hooks[number] = int(fields["run_time_ns"]), int(fields["run_cnt"])
                self.children.add(child)

    @staticmethod
    def is_hook(number):
        done = subprocess.run([tool("bpftool"), "-j", "prog", "show", "id", number], capture_output=True, text=True)
        return done.returncode == 0 and json.loads(done.stdout)["name"] in ("offcpu_switch", "offcpu_moved")

    def totals(self):
        return len(self.children), sum(ns for ns, _ in self.hooks.values()) / 1e9, sum(runs for _, runs in self.hooks.values())


def measure(options, percent):
    wanted = ["--offcpu-seconds", str(options.window if percent else 0), "--offcpu-percent", str(percent or 1)]
    with tempfile.TemporaryDirectory(prefix="fathom-blocked-") as directory:
        agent = Agent(directory, "--profile-seconds", "0", "--cpu-percent", "0", "--memory-mib", "0", *wanted).start()
        try:
            pid = agent.process.pid
            time.sleep(FIRST_LENGTHS * options.window - 1)
            programs, before, began = Programs(pid), (exact_cpu_s(pid), bpf_s(pid), ended_children_s(pid)), time.monotonic()
            while time.monotonic() - began < options.seconds:
                programs.poll()
                time.sleep(POLL_S)
            elapsed = time.monotonic() - began
            count, kernel_s, switched = programs.totals()
            own, theirs = exact_cpu_s(pid) - before[0] + bpf_s(pid) - before[1], ended_children_s(pid) - before[2]
            part, = [one for one in agent.json("/api/self")["parts"] if one["name"] == "offcpu"]
            return {"agent": own / elapsed * 100, "children": theirs / elapsed * 100, "kernel": kernel_s / elapsed * 100, "windows": count,
                    "child_s": theirs / max(count, 1), "ns": kernel_s * 1e9 / max(switched, 1), "switches": switched / max(count, 1), "looked": part["looked_ratio"]}
        finally:
            agent.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--containers", type=int, default=10)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-s", "--seconds", type=int, default=20)
    parser.add_argument("-w", "--window", type=int, default=2, help="seconds")
    parser.add_argument("-p", "--percent", type=float, default=4)
    parser.add_argument("--switching", action="store_true", help="beside it a pipe's two ends hand a byte to and fro")
    options = parser.parse_args()
    results = {0: [], options.percent: []}
    with runtimes.Docker() as docker:
        for i in range(options.containers):
            docker.run(f"b{i}", "sh", "-c", "sleep 100000 & while :; do sleep 0.05; done")
        if options.switching:
            docker.run("bswitch", "sh", "-c", "mkfifo /a /b; (while read -r x; do echo x; done < /a > /b) & exec 3>/a 4</b; echo x >&3; while read -r x <&4; do echo x >&3; done")
        before = STATS.read_text()
        STATS.write_text("1")
        try:
            for _ in range(options.rounds):
                for percent in results:
                    results[percent].append(measure(options, percent))
                    print(percent, results[percent][-1], file=sys.stderr)
        finally:
            STATS.write_text(before)
    for percent, found in results.items():
        of = lambda what: statistics.median(one[what] or 0 for one in found)  # noqa: E731
        print(f"{percent or 'without'}: agent {of('agent'):.2f} % of a core, children {of('children'):.2f} %, their programs {of('kernel'):.3f} %; {of('windows'):.0f} windows, "
              f"{of('child_s') * 1e3:.0f} ms of CPU each, {of('ns'):.0f} ns of each of {of('switches'):.0f} switches; looked for {100 * of('looked'):.1f} % of the time")


if __name__ == "__main__":
    main()
