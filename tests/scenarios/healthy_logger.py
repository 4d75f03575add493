# SPDX-License-Identifier: Apache-2.0
"""A line of a log five times a second, through the page cache."""
TRUTH = {"logger": None}
FILES = True


def setup(stage):
    stage.run("logger", "sh", "-c", "while :; do echo line >> /log; sleep 0.2; done")
