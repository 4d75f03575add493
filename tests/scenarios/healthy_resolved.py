# SPDX-License-Identifier: Apache-2.0
"""A name server that answers at once."""
from scenarios import TROUBLE

TRUTH = {"resolved": None}
FILES = True


def setup(stage):
    stage.run("resolved", TROUBLE, "resolve", "1")
