#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf script's text → folded stacks, the step between perf and flamegraph.pl. No more than that needs: it stands for FlameGraph's
stackcollapse-perf.pl, which Debian does not have and which takes longer."""
import sys
from collections import Counter


def fold(lines):
    counts, name, frames = Counter(), None, []
    for line in lines:
        if line[0] in "\t ":
            fields = line.split(None, 2)
            if len(fields) > 1:
                frames.append(fields[1].partition("+0x")[0])
        elif line != "\n":
            name = line[:16].split()[0]
        elif name:
            counts[";".join([name, *reversed(frames)])] += 1
            name, frames = None, []
    return counts


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", errors="replace") as text:
        for stack, count in fold(text).items():
            print(stack, count)
