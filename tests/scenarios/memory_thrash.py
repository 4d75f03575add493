# SPDX-License-Identifier: Apache-2.0
"""A file three times the memory limit, read over and over."""
from scenarios import TROUBLE

TRUTH = {"thrash": "memory limit too small"}
FILES = True
ALONE = True


def setup(stage):
    stage.run("thrash", TROUBLE, "reread", "/file", "200", memory="64m", args=["--memory-swap", "64m"])
