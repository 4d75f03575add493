# SPDX-License-Identifier: Apache-2.0
"""Files until the limit refuses them."""
from scenarios import TROUBLE

TRUTH = {"files": "limit of open files"}
FILES = True


def setup(stage):
    stage.run("files", TROUBLE, "files", args=["--ulimit", "nofile=64:64"])
