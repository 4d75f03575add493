# SPDX-License-Identifier: Apache-2.0
"""Page cache fills the memory limit, and nobody needs it."""
from scenarios import TROUBLE

TRUTH = {"cached": None}
FILES = True


def setup(stage):
    stage.run("cached", TROUBLE, "cache", "/file", "100", memory="32m", args=["--memory-swap", "32m"])
