#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom trace costs: programs started and ended, files opened, signals sent, and system calls and context switches that are none of
these, alone and beside it, in interleaved rounds. All events are shown (--rate as high as it goes), their text thrown away: its CPU time is the
last column."""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402
from offcpu import STATS, Tool, pingpong, programs  # noqa: E402
from top import exact_cpu_s  # noqa: E402

SOURCE = r"""
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static void ignore(int number) { (void)number; }
int main(int argc, char **argv)
{
	char *none[] = { argv[0], NULL };
	struct timespec a, b;
	long turns;
	if (argc < 3)
		return 0; /* the program that is started */
	turns = atol(argv[2]);
	signal(SIGUSR1, ignore);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < turns; i++) {
		pid_t pid;
		if (strcmp(argv[1], "exec") == 0 && posix_spawn(&pid, argv[0], NULL, NULL, none, NULL) == 0)
			waitpid(pid, NULL, 0);
		else if (strcmp(argv[1], "open") == 0)
			close(open(argv[0], O_RDONLY));
		else if (strcmp(argv[1], "signal") == 0)
			raise(SIGUSR1);
		else if (strcmp(argv[1], "call") == 0)
			syscall(SYS_getppid);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / turns);
	return 0;
}
"""

# What is traced, by what load, how often.
ROWS = [("exec", "exec", 1000), ("exit", "exec", 1000), ("open", "open", 100000), ("signal", "signal", 100000),
        ("open", "call", 1000000), ("throttle", "switch", 40000)]
WORDS = {"exec": "a program started and ended", "open": "a file opened", "signal": "a signal to oneself",
         "call": "a system call that opens nothing", "switch": "a round trip through pipes, two switches"}


def load_ns(program, load, turns, cpu):
    """ns each."""
    if load == "switch":
        return pingpong(cpu, turns) * 1000
    return float(support.run("taskset", "-c", cpu, program, load, turns, timeout=100).stdout)


def bpf_ns(command, program, load, turns, cpu):
    """What the kernel programs and fathom itself take for each."""
    STATS.write_text("1")
    try:
        with Tool(command) as tool:
            time.sleep(0.5)  # it has read the state of the machine
            pid, before = tool.process.pid, programs(tool.process.pid)
            began_s = exact_cpu_s(pid)
            load_ns(program, load, turns, cpu)
            time.sleep(0.3)  # what is on its way to the text
            used_s, after = exact_cpu_s(pid) - began_s, programs(pid)
    finally:
        STATS.write_text("0")
    return sum(after[i][1] - before.get(i, (0, 0))[1] for i in after) / turns, used_s * 1e9 / turns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("-c", "--cpu", type=int, default=os.cpu_count() - 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        program, source = Path(directory) / "load", Path(directory) / "load.c"
        source.write_text(SOURCE)
        support.run("cc", "-O2", "-static", "-o", program, source)
        print("| `fathom trace` | what happens | ns alone | beside it | ratio (least … most) | ns of kernel programs | ns of fathom itself |")
        print("|---|---|---|---|---|---|---|")
        for kind, load, turns in ROWS:
            command = [str(support.fathom_binary()), "trace", kind, "-d", "600", "--rate", "100000"]
            alone, beside = [], []
            for _ in range(options.rounds):
                alone.append(load_ns(program, load, turns, options.cpu))
                with Tool(command):
                    beside.append(load_ns(program, load, turns, options.cpu))
            ratios = [b / a for a, b in zip(alone, beside)]
            kernel, user = bpf_ns(command, program, load, turns, options.cpu)
            print(f"| {kind} | {WORDS[load]} | {statistics.median(alone):.0f} | {statistics.median(beside):.0f} | "
                  f"{statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f}) | {kernel:.0f} | {user:.0f} |", flush=True)


if __name__ == "__main__":
    main()
