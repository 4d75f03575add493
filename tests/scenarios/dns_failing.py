# SPDX-License-Identifier: Apache-2.0
"""A name server that says it failed."""
from scenarios import TROUBLE

TRUTH = {"asking": "DNS fails"}
SERVFAIL = 2


def setup(stage):
    stage.run("asking", TROUBLE, "resolve", "5", str(SERVFAIL))
