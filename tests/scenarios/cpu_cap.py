# SPDX-License-Identifier: Apache-2.0
"""The slides' first game: a thread that wants a whole CPU has a quota of a fifth."""
TRUTH = {"capped": "cap throttled"}
FILES = True


def setup(stage):
    stage.run("capped", "/bin/burn", cpus=0.2)
