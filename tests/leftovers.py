# SPDX-License-Identifier: Apache-2.0
"""Cgroups that carry their maker's process number in their names, so that those of a maker that was killed can be told from those of
one that is still at work, and be removed by whoever comes next."""
import os
import re
import secrets
import signal
import sys
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OURS = re.compile(r"fathom-(?:test|bench)-(\d+)-[0-9a-f]{6}")


def name_of_mine(kind, suffix=None):
    """For a cgroup at the top of a hierarchy; kind: "test" or "bench"."""
    return f"fathom-{kind}-{os.getpid()}-{suffix or secrets.token_hex(3)}"


def remove_tree_of_cgroups(group):
    """With the processes in it, which are ended."""
    for below, _, _ in os.walk(group, topdown=False):
        try:
            for pid in (Path(below) / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass  # it has ended meanwhile
    for _ in range(50):
        try:
            for below, _, _ in os.walk(group, topdown=False):
                os.rmdir(below)
            return True
        except OSError:  # a process that was killed is still there
            time.sleep(0.1)
    return False


def sweep(root=CGROUPS):
    """Removes what makers left that live no longer. The names of what was removed."""
    removed = []
    for group in (*root.glob("fathom-*"), *root.glob("*/fathom-*")):
        found = OURS.fullmatch(group.name)
        if found and not Path(f"/proc/{found[1]}").exists() and remove_tree_of_cgroups(group):
            removed.append(group.name)
    return removed


def end_in_order():
    """A polite kill ends this process as an exception does: what it made is removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
