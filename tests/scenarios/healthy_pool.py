# SPDX-License-Identifier: Apache-2.0
"""Sixteen threads wait on a condition for work that seldom comes."""
from scenarios import TROUBLE

TRUTH = {"pool": None}
FILES = True


def setup(stage):
    stage.run("pool", TROUBLE, "pool", "16")
