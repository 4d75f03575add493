# SPDX-License-Identifier: Apache-2.0
"""Grows by half a MiB a second below a limit of 64."""
from scenarios import TROUBLE

TRUTH = {"leaking": "memory grows to its limit"}
FILES = True


def setup(stage):
    stage.run("leaking", TROUBLE, "leak", "5", memory="64m", args=["--memory-swap", "64m"])
