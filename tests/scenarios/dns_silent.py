# SPDX-License-Identifier: Apache-2.0
"""A name server that never answers."""
from scenarios import TROUBLE

TRUTH = {"asking": "DNS without answer"}


def setup(stage):
    stage.run("asking", TROUBLE, "resolve", "0")
