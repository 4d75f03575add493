# SPDX-License-Identifier: Apache-2.0
"""A server that never accepts, and twelve clients a second."""
from scenarios import TROUBLE

TRUTH = {"server": "accept queue full"}
FILES = True


def setup(stage):
    stage.run("server", TROUBLE, "crowd", "7002", "12")
