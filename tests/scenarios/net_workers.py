# SPDX-License-Identifier: Apache-2.0
"""Two workers that take 50 ms for each connection, and twelve clients that come anew for each request."""
from scenarios import TROUBLE

TRUTH = {"workers": "all workers taken"}
FILES = True


def setup(stage):
    stage.run("workers", TROUBLE, "workers", "7021", "2", "12", "50")
