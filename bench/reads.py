#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching small operations costs: reads of a cached file, direct reads of the disk, page faults, futex waits, datagrams.
Alone and beside fathom's probes, libbpf-tools (syscount, biolatency, softirqs) and bpftrace where those have no tool for it.
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
#include <linux/futex.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define PAGE 4096
#define PAGES 4096
static char *block;
static int file, sender, receiver;
static struct sockaddr_in here = { .sin_family = AF_INET };
static int turn, other = 1;
static long turns;
static int cached(long i) { return pread(file, block, 1, 0) == 1; }
static int direct(long i) { return pread(file, block, PAGE, i % PAGES * PAGE) == PAGE; }
static int fault(long i)
{
	static char *area;
	if (i % PAGES == 0) {
		if (area)
			munmap(area, PAGES * PAGE);
		area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(area, PAGES * PAGE, MADV_NOHUGEPAGE);
	}
	area[i % PAGES * PAGE] = 1;
	return 1;
}
/* Two threads that take turns: each waits for the other. */
static void wait_turn(int mine)
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
}
static void pass_turn(int to)
{
	__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static int futex(long i) { wait_turn(0); pass_turn(1); return 1; }
static void *answer(void *none)
{
	for (long i = 0; i < turns; i++) { wait_turn(1); pass_turn(0); }
	return none;
}
static int datagram(long i)
{
	return sendto(sender, block, 1, 0, (void *)&here, sizeof(here)) == 1 && recv(receiver, block, 1, 0) == 1;
}
static const struct { const char *name; int (*once)(long); } kinds[] = {
	{ "cached", cached }, { "direct", direct }, { "fault", fault }, { "futex", futex }, { "datagram", datagram },
};
int main(int argc, char **argv)
{
	socklen_t length = sizeof(here);
	struct timespec a, b;
	pthread_t thread;
	unsigned kind = 0;

	while (strcmp(kinds[kind].name, argv[2]) != 0)
		kind++;
	turns = atol(argv[3]);
	block = aligned_alloc(PAGE, PAGE);
	file = open(argv[1], O_RDONLY | (kinds[kind].once == direct ? O_DIRECT : 0));
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	receiver = socket(AF_INET, SOCK_DGRAM, 0);
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (file < 0 || bind(receiver, (void *)&here, length) || getsockname(receiver, (void *)&here, &length))
		return 1;
	if (kinds[kind].once == futex)
		pthread_create(&thread, NULL, answer, NULL);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < turns; i++)
		if (!kinds[kind].once(i))
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / turns);
	return 0;
}
"""

# Kind: how many of them are a run.
TURNS = {"cached": 1000000, "direct": 20000, "fault": 400000, "futex": 200000, "datagram": 200000}


class Work:
    """The program and its file, in a directory of their own."""

    def __init__(self, directory):
        self.program, self.file = Path(directory) / "reads", Path(directory) / "file"
        source = Path(directory) / "reads.c"
        source.write_text(SOURCE)
        support.run("cc", "-O2", "-pthread", "-o", self.program, source)
        support.run("dd", "if=/dev/zero", f"of={self.file}", "bs=1M", "count=16", "conv=fsync")

    def ns(self, kind, turns, cpu):
        return float(support.run("taskset", "-c", cpu, self.program, self.file, kind, turns, timeout=300).stdout)


def fathom(*words):
    return [str(support.fathom_binary()), *words, "-d", "600"]


OURS = {
    "cached": {"fathom fs": ("latency", "fs", "-q"), "fathom syscall": ("latency", "syscall", "-q"), "fathom slow fs": ("slow", "fs", "--over", "10s"),
               "fathom memory": ("memory", "-q")},
    "direct": {"fathom block": ("latency", "block", "-q")},
    "fault": {"fathom fault": ("latency", "fault", "-q")},
    "futex": {"fathom futex": ("latency", "futex", "-q")},
    "datagram": {"fathom softirq": ("latency", "softirq", "-q"), "fathom irq": ("latency", "irq", "-q")},
}
# The same histogram by cgroup in bpftrace, where libbpf-tools has no tool that works without kprobes.
BETWEEN = "%s { @start[tid] = nsecs; } %s /@start[tid]/ { @[cgroup] = hist(nsecs - @start[tid]); delete(@start[tid]); }"
THEIRS = {
    "cached": ("syscount", "-L", "-i", "1000"),
    "direct": ("biolatency", "1000"),
    "fault": ("bpftrace", "-e", BETWEEN % ("tracepoint:exceptions:page_fault_user", "software:faults:1")),
    "futex": ("bpftrace", "-e", BETWEEN % ("tracepoint:syscalls:sys_enter_futex", "tracepoint:syscalls:sys_exit_futex")),
    "datagram": ("softirqs", "-d", "1000"),
}


def peers(kind):
    ours = {name: fathom(*words) for name, words in OURS[kind].items()}
    theirs = THEIRS[kind]
    try:
        return {theirs[0]: [support.tool(theirs[0]), *theirs[1:]], **ours}
    except support.Missing:
        print(f"{theirs[0]} is not installed: measured without it", file=sys.stderr)
        return ours


def run_time(work, command, kind, turns, cpu):
    """ns of all its programs for each run of one, and for each operation, with the kernel's statistics on."""
    STATS.write_text("1")
    try:
        with Tool(command) as tool:
            before = programs(tool.process.pid)
            work.ns(kind, turns, cpu)
            after = programs(tool.process.pid)
    finally:
        STATS.write_text("0")
    runs = sum(after[i][0] - before.get(i, (0, 0))[0] for i in after)
    ns = sum(after[i][1] - before.get(i, (0, 0))[1] for i in after)
    return ns / max(1, runs), ns / turns


def measure(work, kind, turns, options):
    alone, beside = [], {name: [] for name in peers(kind)}
    for _ in range(options.rounds):
        alone.append(work.ns(kind, turns, options.cpu))
        for name, command in peers(kind).items():
            with Tool(command):
                time.sleep(0.1)
                beside[name].append(work.ns(kind, turns, options.cpu))
    print(f"\n{kind:20} {'ns each':>10} {'ratio':>7} {'min..max':>13} {'added ns':>9} {'BPF ns/run':>11} {'BPF ns each':>12}")
    print(f"{'alone':20} {statistics.median(alone):10.0f}")
    for name, command in peers(kind).items():
        ratios = [with_tool / base for with_tool, base in zip(beside[name], alone)]
        added = statistics.median(with_tool - base for with_tool, base in zip(beside[name], alone))
        run, each = run_time(work, command, kind, turns, options.cpu)
        print(f"{name:20} {statistics.median(beside[name]):10.0f} {statistics.median(ratios):7.3f} "
              f"{min(ratios):6.2f}..{max(ratios):5.2f} {added:9.0f} {run:11.0f} {each:12.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("-c", "--cpu", type=int, default=os.cpu_count() - 1)
    parser.add_argument("-k", "--kind", choices=tuple(TURNS), help="only these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        work = Work(directory)
        for kind, turns in TURNS.items():
            if options.kind in (None, kind):
                measure(work, kind, turns, options)


if __name__ == "__main__":
    main()
