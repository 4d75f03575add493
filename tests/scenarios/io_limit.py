# SPDX-License-Identifier: Apache-2.0
"""May write 1 MiB a second past the page cache, and would write more."""
from scenarios import TROUBLE

TRUTH = {"slowed": "I/O limit"}
FILES = True


def setup(stage):
    stage.run("slowed", TROUBLE, "direct", "/file", "256", args=["--device-write-bps", f"{stage.disk()}:1mb"])
