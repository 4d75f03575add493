#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes FILES C files with FUNCTIONS small functions in all, and a main, into DIRECTORY: a large program to name."""
import pathlib
import sys


def main():
    directory, functions, files = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    directory.mkdir(parents=True, exist_ok=True)
    each = functions // files
    for number in range(files):
        lines = ["extern volatile int sink;"]
        for index in range(number * each, (number + 1) * each):
            kind = "" if index % 3 else "static __attribute__((used)) "
            lines.append(f"{kind}int module_{number:02d}_work_item_{index:05d}(int x)"
                         f" {{ sink = x + {index}; return x * {index % 97 + 2} + sink; }}")
        (directory / f"part{number:02d}.c").write_text("\n".join(lines) + "\n")
    (directory / "main.c").write_text("volatile int sink;\nint main(void) { return sink; }\n")


main()
