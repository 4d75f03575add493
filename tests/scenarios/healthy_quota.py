# SPDX-License-Identifier: Apache-2.0
"""Bursts of a tenth of a CPU below a quota of half of one."""
from scenarios import TROUBLE

TRUTH = {"quota": None}
FILES = True


def setup(stage):
    stage.run("quota", TROUBLE, "busy", "10", cpus=0.5)
