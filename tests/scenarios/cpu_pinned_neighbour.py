# SPDX-License-Identifier: Apache-2.0
"""A thread that has bound itself to the CPU on which two of a neighbour are bound, too, though others are free."""
TRUTH = {"bound": "behind a neighbour, beside idle CPUs"}
CULPRIT = {"bound": "squatter"}
FILES = False  # from files alone nobody knows who had that one CPU
QUIET = True


def setup(stage):
    stage.run("bound", "taskset", "1", "/bin/burn")
    stage.run("squatter", "taskset", "1", "/bin/burn", "3")
