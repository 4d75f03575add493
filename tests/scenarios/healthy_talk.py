# SPDX-License-Identifier: Apache-2.0
"""Requests and answers over loopback, as fast as they go with a millisecond of work each: retransmissions there are spurious."""
from scenarios import TROUBLE

TRUTH = {"server": None, "client": None}
FILES = True
QUIET = True


def setup(stage):
    server = stage.run("server", TROUBLE, "serve", "7000", "1")
    stage.run("client", TROUBLE, "ask", "7000", network=f"container:{server.id}")
