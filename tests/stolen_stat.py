# SPDX-License-Identifier: Apache-2.0
"""Runs a command that sees a /proc/stat in which a part of all CPU time is stolen by a hypervisor.

usage: stolen_stat.py PART COMMAND…

In a mount namespace of its own a file lies over /proc/stat; it is written anew, in place, twenty times a second."""
import ctypes
import os
import subprocess
import sys
import tempfile

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 0x4000, 1 << 18
PERIOD_S = 0.05
ROOM = 1024  # for numbers that get longer
STEAL = 7


def told(text, first, part):
    """The text with `part` of what each CPU has done since `first` turned into steal, and padded to one length."""
    lines = []
    for line in text.splitlines():
        name, *values = line.split()
        if name.startswith("cpu"):
            before = first.setdefault(name, [int(v) for v in values])
            grown = [int(v) - b for v, b in zip(values, before)]
            values = [b + round(g * (1 - part)) for b, g in zip(before, grown)]
            values[STEAL] += round(part * sum(grown[:STEAL + 1]))
            line = " ".join([name, *map(str, values)])
        lines.append(line)
    text = "\n".join(lines) + "\n"
    size = first.setdefault("size", len(text) + ROOM)
    return text.ljust(size, "\n").encode()


def main():
    part, command = float(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    real, first = os.open("/proc/stat", os.O_RDONLY), {}
    with tempfile.NamedTemporaryFile() as file:
        def write():
            os.pwrite(file.fileno(), told(os.pread(real, 1 << 20, 0).decode(), first, part), 0)

        write()
        if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) or \
           libc.mount(file.name.encode(), b"/proc/stat", None, MS_BIND, None):
            sys.exit(f"stolen_stat: {os.strerror(ctypes.get_errno())}")
        child = subprocess.Popen(command)
        while True:
            try:
                sys.exit(child.wait(PERIOD_S))
            except subprocess.TimeoutExpired:
                write()


if __name__ == "__main__":
    main()
