# SPDX-License-Identifier: Apache-2.0
"""Asks a server that sleeps for a fifth of a second before each answer, which is what it is meant to do."""
from scenarios import TROUBLE

TRUTH = {"asker": "slow answers", "drowsy": None}
CULPRIT = {"asker": "drowsy"}


def setup(stage):
    drowsy = stage.run("drowsy", TROUBLE, "drowse", "7020", "200")
    stage.run("asker", TROUBLE, "ask", "7020", network=f"container:{drowsy.id}")
