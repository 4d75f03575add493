# SPDX-License-Identifier: Apache-2.0
"""Child after child is killed at the memory limit."""
from scenarios import TROUBLE

TRUTH = {"eater": "memory limit, killed"}
FILES = True


def setup(stage):
    stage.run("eater", TROUBLE, "grow", "200", memory="32m", args=["--memory-swap", "32m"])
