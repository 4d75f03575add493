# SPDX-License-Identifier: Apache-2.0
"""A receiver that hardly reads."""
from scenarios import TROUBLE

TRUTH = {"deaf": "receiver does not read"}
FILES = True


def setup(stage):
    stage.run("deaf", TROUBLE, "deaf", "7003")
