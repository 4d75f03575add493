# SPDX-License-Identifier: Apache-2.0
"""Reads what `-o FILE.folded` wrote."""
from pathlib import Path


def stacks(path):
    """List of (frames, weight)."""
    found = []
    for line in Path(path).read_text().splitlines():
        stack, _, weight = line.rpartition(" ")
        found.append((stack.split(";"), int(weight)))
    return found


def total(found, *frames):
    """Weight of the stacks that hold a frame starting with each of `frames`."""
    return sum(weight for stack, weight in found
               if all(any(f.startswith(frame) for f in stack) for frame in frames))
