# SPDX-License-Identifier: Apache-2.0
"""Two threads that wake each other two hundred times a second."""
from scenarios import TROUBLE

TRUTH = {"pingpong": None}
FILES = True


def setup(stage):
    stage.run("pingpong", TROUBLE, "pingpong")
