# SPDX-License-Identifier: Apache-2.0
"""Two threads that have bound themselves to one CPU, though others are free."""
TRUTH = {"bound": "waits beside idle CPUs"}
FILES = True
QUIET = True


def setup(stage):
    stage.run("bound", "taskset", "1", "/bin/burn", "2")
