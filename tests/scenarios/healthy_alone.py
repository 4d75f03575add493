# SPDX-License-Identifier: Apache-2.0
"""The slides' third game: one thread that runs all the time and is not held up by anything."""
TRUTH = {"free": None}
FILES = True
QUIET = True


def setup(stage):
    stage.run("free", "/bin/burn")
