# SPDX-License-Identifier: Apache-2.0
"""Eight tenths of its memory limit in use, and no more wanted."""
from scenarios import TROUBLE

TRUTH = {"memory": None}
FILES = True
QUIET = True


def setup(stage):
    stage.run("memory", TROUBLE, "lru", "48", memory="64m", cpus=1.5, args=["--memory-swap", "64m"])
