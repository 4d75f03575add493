# SPDX-License-Identifier: Apache-2.0
"""Two thousand datagrams a second to a socket with room for a few."""
from scenarios import TROUBLE

TRUTH = {"flooded": "datagrams dropped"}
FILES = True


def setup(stage):
    stage.run("flooded", TROUBLE, "flood", "7004")
