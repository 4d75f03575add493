# SPDX-License-Identifier: Apache-2.0
"""More threads than the machine has CPUs, and nobody else."""
import os

TRUTH = {"crowd": "own CPU demand"}
FILES = True
QUIET = True


def setup(stage):
    stage.run("crowd", "/bin/burn", str(4 * os.cpu_count()))
