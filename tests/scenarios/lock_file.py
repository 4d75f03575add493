# SPDX-License-Identifier: Apache-2.0
"""Six processes take turns at the lock of one file, 2 ms each."""
from scenarios import TROUBLE

TRUTH = {"flocked": "file lock contention"}


def setup(stage):
    stage.run("flocked", TROUBLE, "flock", "/file", "6", "2")
