#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every room includes only the rooms it may, and that each third-party library stays in its home.
The plan is docs/architecture.md; here it is as data. Exit status 1 when something is out of place."""
import re
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"

# Room: the rooms it may include besides itself.
ROOMS = {
    "base": set(),
    "kernel": {"base"},
    "model": {"base"},
    "container": {"base", "kernel", "model"},
    "symbol": {"base", "kernel", "model"},
    "probe": {"base", "kernel", "model"},
    "observe": {"base", "kernel", "model", "container", "symbol", "probe"},
    "import": {"base", "model"},
    "render": {"base", "model"},
    "diagnose": {"base", "model"},
    "store": {"base", "model"},
    "serve": {"base", "kernel", "model", "container", "symbol", "probe", "observe", "import", "render", "diagnose", "store"},
    "tui": {"base", "model", "render"},
}
ROOMS["cli"] = set(ROOMS)

# Header of a library (as a pattern): its home.
HOMES = {
    r"bpf/(?!bpf_(helpers|core_read|tracing|endian)\.h).*": "probe",
    r"(libelf|gelf|elf|dwarf|libdw|libdwfl|elfutils/.*)(\.h)?": "symbol",
    r"libiberty/.*|demangle\.h": "symbol",
    r"lzma\.h": "symbol",
    r"seccomp\.h": "symbol",
    r"sqlite3\.h": "store",
    r"zstd\.h": "store",
    r"microhttpd\.h": "serve",
    r"ncurses.*|curses\.h": "tui",
}

# File and what it includes out of place: why that is right.
EXCEPTIONS = {
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.MULTILINE)


def room_of(path):
    return path.relative_to(SRC).parts[0]


def wrong_room(room, name):
    head = name.split("/")[0]
    if "/" not in name or head not in ROOMS or head == room:
        return None
    if room not in ROOMS:
        return f"the room {room} is not in the plan"
    return None if head in ROOMS[room] else f"{room} may not include {head}"


def wrong_home(room, name):
    for pattern, home in HOMES.items():
        if re.fullmatch(pattern, name) and room != home:
            return f"<{name}> belongs to {home}"
    return None


def main():
    faults = []
    used = set()
    for path in sorted(SRC.rglob("*.[ch]")):
        file, room = str(path.relative_to(SRC)), room_of(path)
        for bracket, name in INCLUDE.findall(path.read_text()):
            fault = wrong_room(room, name) or (wrong_home(room, name) if bracket == "<" else None)
            if not fault:
                continue
            if (file, name) in EXCEPTIONS:
                used.add((file, name))
            else:
                faults.append(f"src/{file}: {fault}")
    faults += [f"tools/layering.py: exception {e} is not needed any more" for e in set(EXCEPTIONS) - used]
    print("\n".join(faults) or "layering: every room keeps to its place")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
