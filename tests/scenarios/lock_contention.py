# SPDX-License-Identifier: Apache-2.0
"""Eight threads, one mutex, held for 2 ms at a time."""
from scenarios import TROUBLE

TRUTH = {"locked": "lock contention"}


def setup(stage):
    stage.run("locked", TROUBLE, "lock", "8", "2")
