# SPDX-License-Identifier: Apache-2.0
"""Busy at two fifths of its quota."""
from scenarios import TROUBLE

TRUTH = {"busy": None}
FILES = True
QUIET = True


def setup(stage):
    stage.run("busy", TROUBLE, "busy", "20", cpus=0.5)
