# SPDX-License-Identifier: Apache-2.0
"""Children until the limit of pids refuses them."""
from scenarios import TROUBLE

TRUTH = {"forks": "limit of pids"}
FILES = True


def setup(stage):
    stage.run("forks", TROUBLE, "forks", args=["--pids-limit", "6"])
