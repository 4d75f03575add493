# SPDX-License-Identifier: Apache-2.0
"""Nothing to do."""
TRUTH = {"idle": None}
FILES = True


def setup(stage):
    stage.run("idle", "sleep", "1000")
