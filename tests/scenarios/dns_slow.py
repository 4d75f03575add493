# SPDX-License-Identifier: Apache-2.0
"""A name server that takes a fifth of a second."""
from scenarios import TROUBLE

TRUTH = {"asking": "DNS slow"}


def setup(stage):
    stage.run("asking", TROUBLE, "resolve", "200")
