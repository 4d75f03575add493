#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""genfolded.py N [SEED] : N different folded stacks like those of a large service, the same for the same seed.
Stacks share their roots as real ones do, are about 32 frames deep, use some 4,000 names and have weights of which few
are large. 200,000 of them are about 110 MB."""
import random
import sys
import zlib


def stack(rng):
    node = rng.randrange(12)
    frames = [f"svc{node}"]
    for level in range(max(4, min(100, int(rng.gauss(32, 10))))):
        # Near the root a few callees take nearly everything; towards the leaf paths spread out.
        branch = int(rng.random() ** 2 * (1.3 if level < 16 else 2.6))
        node = zlib.crc32(b"%d %d %d" % (node, level, branch))
        frames.append(f"func_{node & 0xfff:03x}_handler")
    return ";".join(frames)


def main():
    wanted = int(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    seen = set()
    for _ in range(50 * wanted):
        line = stack(rng)
        if line in seen:
            continue
        seen.add(line)
        sys.stdout.write(f"{line} {1 + int(rng.paretovariate(1.2))}\n")
        if len(seen) == wanted:
            return 0
    return f"only {len(seen)} different stacks"


sys.exit(main())
