# SPDX-License-Identifier: Apache-2.0
"""Touches 90 MiB of its own over and over, of which 40 may be in memory; the rest is in a swap file."""
import os

from scenarios import TROUBLE
from support import run

TRUTH = {"swapped": "swapping"}
FILES = True
ALONE = True
NEEDS = ["mkswap", "swapon"]
SWAP_MIB = 192


def setup(stage):
    path = stage.docker.dir / "swap"
    run("dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={SWAP_MIB}")
    os.chmod(path, 0o600)
    run("mkswap", path)
    run("swapon", path)
    stage.undo.append(path.unlink)
    stage.undo.append(lambda: run("swapoff", path))
    stage.run("swapped", TROUBLE, "lru", "90", memory="40m", args=["--memory-swap", "160m"])
