# SPDX-License-Identifier: Apache-2.0
"""The slides' third game: one thread that runs all the time and is not held up by anything."""
TRUTH = {"free": None}
NOISY = {"free": "CPU taken by a neighbour"}
FILES = True
ALONE = True


def setup(stage):
    stage.run("free", "/bin/burn")
