# SPDX-License-Identifier: Apache-2.0
"""Writes `[number] = "name",` for every system call the compiler's kernel headers define. Arguments: the compiler."""
import re
import subprocess
import sys

macros = subprocess.run([*sys.argv[1:], "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"], check=True,
                        capture_output=True, text=True).stdout
for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", macros, re.M):
    print(f'[{number}] = "{name}",')
