# SPDX-License-Identifier: Apache-2.0
"""Reads from a device that takes 20 ms for each request, and has one at a time: a loop device on a file whose reads are
delayed by the program that serves it (slow_file.py, FUSE)."""
import subprocess
import sys
from pathlib import Path

from scenarios import TROUBLE
from support import run

TRUTH = {"victim": "slow disk"}
NEEDS = ["losetup"]


def setup(stage):
    mount = stage.docker.dir / "slow"
    mount.mkdir(exist_ok=True)
    server = subprocess.Popen([sys.executable, Path(__file__).parent.parent / "slow_file.py", mount, "16", "0.02"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    stage.undo.append(server.wait)
    stage.undo.append(server.stdout.close)
    stage.undo.append(lambda: run("umount", "-l", mount, check=False))
    assert server.stdout.readline() == "ready\n"
    device = run("losetup", "--find", "--show", "--read-only", mount / "file").stdout.strip()
    stage.undo.append(lambda: run("losetup", "--detach", device))
    stage.run("victim", TROUBLE, "peek", "/dev/slow", args=["--device", f"{device}:/dev/slow:r"])
