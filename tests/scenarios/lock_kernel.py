# SPDX-License-Identifier: Apache-2.0
"""Six threads write to one file: its inode belongs to one of them at a time."""
from scenarios import TROUBLE

TRUTH = {"writers": "kernel lock contention"}
ALONE = True


def setup(stage):
    stage.run("writers", TROUBLE, "shared", "/file", "6")
