# SPDX-License-Identifier: Apache-2.0
"""A line at a time, each on disk before the next."""
from scenarios import TROUBLE

TRUTH = {"syncing": "waits for fsync"}
ALONE = True


def setup(stage):
    stage.run("syncing", TROUBLE, "sync", "/file")
