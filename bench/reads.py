#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching files, system calls and block I/O costs: small reads of a cached file (two system calls each: the worst
case), and small direct reads of the disk, alone and beside fathom's probes and libbpf-tools' syscount and biolatency.
Interleaved rounds; the ratio of each round is to the run alone in the same round.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import support  # noqa: E402
from offcpu import STATS, Tool, programs  # noqa: E402

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int direct = argv[2][0] == 'd', fd = open(argv[1], O_RDONLY | (direct ? O_DIRECT : 0));
	long turns = atol(argv[3]);
	char *block = aligned_alloc(4096, 4096);
	struct timespec a, b;

	if (fd < 0 || argc < 4)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < turns; i++)
		if (pread(fd, block, direct ? 4096 : 1, direct ? i % 4096 * 4096 : 0) <= 0)
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / turns);
	return 0;
}
"""


class Work:
    """The program and its file, in a directory of their own."""

    def __init__(self, directory):
        self.program, self.file = Path(directory) / "reads", Path(directory) / "file"
        source = Path(directory) / "reads.c"
        source.write_text(SOURCE)
        support.run("cc", "-O2", "-o", self.program, source)
        support.run("dd", "if=/dev/zero", f"of={self.file}", "bs=1M", "count=16", "conv=fsync")

    def ns(self, kind, turns, cpu):
        return float(support.run("taskset", "-c", cpu, self.program, self.file, kind, turns, timeout=300).stdout)


def fathom(*words):
    return [str(support.fathom_binary()), *words, "-d", "600"]


def peers(kind):
    ours = {"direct": {"fathom block": fathom("latency", "block", "-q")},
            "cached": {"fathom fs": fathom("latency", "fs", "-q"), "fathom syscall": fathom("latency", "syscall", "-q"),
                       "fathom slow fs": fathom("slow", "fs", "--over", "10s"),
                       "fathom memory": fathom("memory", "-q")}}[kind]
    theirs = {"direct": ("biolatency", "1000"), "cached": ("syscount", "-L", "-i", "1000")}[kind]
    try:
        return {theirs[0]: [support.tool(theirs[0]), *theirs[1:]], **ours}
    except support.Missing:
        print(f"{theirs[0]} is not installed (libbpf-tools): measured without it", file=sys.stderr)
        return ours


def run_time(work, command, kind, turns, cpu):
    """ns of all its programs for each read, with the kernel's statistics on."""
    STATS.write_text("1")
    try:
        with Tool(command) as tool:
            before = programs(tool.process.pid)
            work.ns(kind, turns, cpu)
            after = programs(tool.process.pid)
    finally:
        STATS.write_text("0")
    runs = sum(after[i][0] - before.get(i, (0, 0))[0] for i in after)
    return sum(after[i][1] - before.get(i, (0, 0))[1] for i in after) / max(1, runs)


def measure(work, kind, turns, options):
    alone, beside = [], {name: [] for name in peers(kind)}
    for _ in range(options.rounds):
        alone.append(work.ns(kind, turns, options.cpu))
        for name, command in peers(kind).items():
            with Tool(command):
                time.sleep(0.1)
                beside[name].append(work.ns(kind, turns, options.cpu))
    print(f"\n{kind + ' reads':20} {'ns/read':>10} {'ratio':>7} {'min..max':>13} {'added ns':>9} {'BPF ns/run':>11}")
    print(f"{'alone':20} {statistics.median(alone):10.0f}")
    for name, command in peers(kind).items():
        ratios = [with_tool / base for with_tool, base in zip(beside[name], alone)]
        added = statistics.median(with_tool - base for with_tool, base in zip(beside[name], alone))
        print(f"{name:20} {statistics.median(beside[name]):10.0f} {statistics.median(ratios):7.3f} "
              f"{min(ratios):6.2f}..{max(ratios):5.2f} {added:9.0f} "
              f"{run_time(work, command, kind, turns, options.cpu):11.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("-c", "--cpu", type=int, default=os.cpu_count() - 1)
    parser.add_argument("-k", "--kind", choices=("cached", "direct"), help="only these reads")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        work = Work(directory)
        for kind, turns in (("cached", 1000000), ("direct", 20000)):
            if options.kind in (None, kind):
                measure(work, kind, turns, options)


if __name__ == "__main__":
    main()
