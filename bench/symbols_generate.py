#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes FILES C files with FUNCTIONS small functions in all, and a main, into DIRECTORY: a large program to name.
usage: symbols_generate.py DIRECTORY FUNCTIONS FILES [inline]: with inline, each has others inlined into it, two deep."""
import pathlib
import sys


def main():
    directory, functions, files = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    directory.mkdir(parents=True, exist_ok=True)
    each = functions // files
    inline = sys.argv[4:] == ["inline"]
    helpers = ["static inline __attribute__((always_inline)) int stir(int x) { return x * 3 + (x >> 2); }",
               "static inline __attribute__((always_inline)) int twice(int x) { return stir(x) ^ stir(x + 1); }"]
    for number in range(files):
        lines = ["extern volatile int sink;"] + (helpers if inline else [])
        body = "twice(x) + stir(sink ^ x)" if inline else "x"
        for index in range(number * each, (number + 1) * each):
            kind = "" if index % 3 else "static __attribute__((used)) "
            lines.append(f"{kind}int module_{number:02d}_work_item_{index:05d}(int x)"
                         f" {{ sink = {body} + {index}; return x * {index % 97 + 2} + sink; }}")
        (directory / f"part{number:02d}.c").write_text("\n".join(lines) + "\n")
    (directory / "main.c").write_text("volatile int sink;\nint main(void) { return sink; }\n")


main()
