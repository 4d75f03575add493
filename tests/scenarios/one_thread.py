# SPDX-License-Identifier: Apache-2.0
"""A server of one thread that takes 5 ms of CPU time for each request, and eight clients that keep their connections."""
from scenarios import TROUBLE

TRUTH = {"loop": "one thread at its limit"}
FILES = True
ALONE = True
QUIET = True  # beside another load the thread waits for a CPU first


def setup(stage):
    stage.run("loop", TROUBLE, "loop", "7060", "8", "5")
