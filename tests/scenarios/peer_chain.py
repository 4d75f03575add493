# SPDX-License-Identifier: Apache-2.0
"""front asks middle, middle asks back, and back has a quota of a tenth of a CPU."""
from scenarios import TROUBLE

TRUTH = {"front": "waits for a peer", "middle": "waits for a peer", "back": "cap throttled"}
CULPRIT = {"front": "back", "middle": "back"}


def setup(stage):
    back = stage.run("back", TROUBLE, "serve", "7010", "20", cpus=0.1)
    stage.run("middle", TROUBLE, "ask", "7010", "7011", network=f"container:{back.id}")
    stage.run("front", TROUBLE, "ask", "7011", network=f"container:{back.id}")
