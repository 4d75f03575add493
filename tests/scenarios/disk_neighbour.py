# SPDX-License-Identifier: Apache-2.0
"""One asks the disk for a little at a time; another keeps it busy from 16 threads."""
from scenarios import TROUBLE

TRUTH = {"victim": "disk taken by a neighbour"}
CULPRIT = {"victim": "storm"}
ALONE = True


def setup(stage):
    stage.run("victim", TROUBLE, "direct", "/file", "16")
    stage.run("storm", TROUBLE, "storm", "/file", "16")
