# SPDX-License-Identifier: Apache-2.0
"""Eight threads keep the disk busy, and nobody else does."""
from scenarios import TROUBLE

TRUTH = {"storm": "own disk demand"}
ALONE = True


def setup(stage):
    stage.run("storm", TROUBLE, "storm", "/file", "8")
