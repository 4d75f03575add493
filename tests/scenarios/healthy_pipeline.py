# SPDX-License-Identifier: Apache-2.0
"""Two processes and a pipe, a little at a time."""
TRUTH = {"pipeline": None}
FILES = True


def setup(stage):
    stage.run("pipeline", "sh", "-c", "while :; do echo x; sleep 0.05; done | while read x; do :; done")
