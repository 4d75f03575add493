# SPDX-License-Identifier: Apache-2.0
"""Three threads on one CPU of several, the others idle."""
TRUTH = {"pinned": "cpuset too small"}
FILES = True
QUIET = True


def setup(stage):
    stage.run("pinned", "/bin/burn", "3", args=["--cpuset-cpus", "0"])
