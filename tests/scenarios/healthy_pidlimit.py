# SPDX-License-Identifier: Apache-2.0
"""Eight processes where twelve may be."""
TRUTH = {"pidlimit": None}
FILES = True


def setup(stage):
    stage.run("pidlimit", "sh", "-c", "for i in 1 2 3 4 5 6 7; do sleep 1000 & done; wait", args=["--pids-limit", "12"])
