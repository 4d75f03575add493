# SPDX-License-Identifier: Apache-2.0
"""A hundred timers a second, and nothing to do."""
from scenarios import TROUBLE

TRUTH = {"timer": None}
FILES = True


def setup(stage):
    stage.run("timer", TROUBLE, "timer", "100")
