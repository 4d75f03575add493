#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watching allocations costs: a program that does nothing but malloc and free, alone and under fathom memory --heap (sampled, and
every allocation looked at), interleaved. It is linked statically, so that nobody else runs into its breakpoints."""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402

PAIRS = 200000
SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	long pairs = atol(argv[1]);
	struct timespec a, b;
	while (access(argv[2], F_OK) != 0)
		usleep(10000);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (long i = 0; i < pairs; i++) {
		void *volatile block = malloc(100);
		free(block);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / pairs);
	fflush(stdout);
	pause();
}
"""


def breakpoints(pid):
    """What follows the ends of processes is attached last."""
    names = {p["id"]: p.get("name") for p in json.loads(support.run(support.tool("bpftool"), "-j", "prog", "show").stdout)}
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if "link_type" in fields and names.get(int(fields["prog_id"])) == "heap_exit":
            return True
    return False


def measure(directory, program, arguments):
    go = Path(directory) / "go"
    go.unlink(missing_ok=True)
    work = subprocess.Popen([program, str(PAIRS), go], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    tool = None
    try:
        if arguments is not None:
            tool = subprocess.Popen([str(support.fathom_binary()), "memory", "--heap", "-q", "-d", "600", *arguments, "-o",
                                     f"{directory}/out.folded", str(work.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            support.wait_for(lambda: breakpoints(tool.pid), 20, "the breakpoints")
        go.touch()
        return float(work.stdout.readline())
    finally:
        if tool:
            tool.send_signal(2)
            tool.wait(60)
        work.kill()
        work.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    options = parser.parse_args()
    cases = {"alone": None, "`fathom memory --heap`": [], "`fathom memory --heap --sample 1`": ["--sample", "1"]}
    told = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory) / "heap.c", Path(directory) / "heap"
        source.write_text(SOURCE)
        support.run("cc", "-O1", "-static", "-fno-omit-frame-pointer", "-o", program, source)
        for _ in range(options.rounds):
            for name, arguments in cases.items():
                told[name].append(measure(directory, program, arguments))
    print("| | ns per malloc and free (least … most) |\n|---|---|")
    for name, values in told.items():
        print(f"| {name} | {statistics.median(values):.0f} ({min(values):.0f} … {max(values):.0f}) |")


if __name__ == "__main__":
    main()
