# SPDX-License-Identifier: Apache-2.0
"""Reads what `-o FILE.folded` wrote."""
import math
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


def chance(share, samples):
    """How far off chance may put a share in so many samples: four standard deviations. Who has the CPU rarely has few."""
    return 4 * math.sqrt(share * (1 - share) / max(1, samples))
