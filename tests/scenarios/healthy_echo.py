# SPDX-License-Identifier: Apache-2.0
"""Requests of 32 KiB over loopback, with pauses."""
from scenarios import TROUBLE

TRUTH = {"echo": None}
FILES = True


def setup(stage):
    stage.run("echo", TROUBLE, "talk", "7020")
