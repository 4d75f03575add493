#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching page faults costs: a program that does nothing but fault, alone and under fathom memory (one fault in 16, and each),
interleaved.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402

PAGES = 4096
ROUNDS_INSIDE = 60
SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
int main(int argc, char **argv)
{
	long pages = atol(argv[1]), rounds = atol(argv[2]);
	char *area = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec a, b;
	madvise(area, pages * 4096, MADV_NOHUGEPAGE);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (long r = 0; r < rounds; r++) {
		for (long i = 0; i < pages; i++)
			area[i * 4096] = 1;
		madvise(area, pages * 4096, MADV_DONTNEED);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / (pages * rounds));
}
"""


def attached(pid):
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "perf_event" in os.readlink(descriptor):
                return True
        except OSError:
            pass
    return False


def watched(command, program):
    if not command:
        return float(support.run(*program).stdout)
    tool = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        support.wait_for(lambda: attached(tool.pid), 20, "the tool to attach")
        time.sleep(0.3)
        return float(support.run(*program).stdout)
    finally:
        tool.send_signal(2)
        tool.wait(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory) / "faults.c", Path(directory) / "faults"
        source.write_text(SOURCE)
        support.run("cc", "-O1", "-fno-omit-frame-pointer", "-o", program, source)
        command = [str(program), str(PAGES), str(ROUNDS_INSIDE)]
        memory = [str(support.fathom_binary()), "memory", "-q", "-d", "600", "-o", f"{directory}/out.folded"]
        cases = {"alone": None, "fathom memory (1 in 16)": memory, "fathom memory --every 1": [*memory, "--every", "1"]}
        told = {name: [] for name in cases}
        for _ in range(options.rounds):
            for name, tool in cases.items():
                told[name].append(watched(tool, command))
    print("| | ns per page fault | ratio to alone (least … most) |\n|---|---|---|")
    for name, values in told.items():
        ratios = [value / alone for value, alone in zip(values, told["alone"])]
        print(f"| {name} | {statistics.median(values):.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f}) |")


if __name__ == "__main__":
    main()
