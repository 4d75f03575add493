# SPDX-License-Identifier: Apache-2.0
"""The slides' second game: two on one CPU, one with an eighth of the other's share."""
TRUTH = {"victim": "CPU taken by a neighbour"}
CULPRIT = {"victim": "bully"}
FILES = True
ALONE = True


def setup(stage):
    stage.run("victim", "/bin/burn", cpu_shares=128, args=["--cpuset-cpus", "0"])
    stage.run("bully", "/bin/burn", "2", cpu_shares=8192, args=["--cpuset-cpus", "0"])
