# SPDX-License-Identifier: Apache-2.0
"""A tenth of a CPU all the time, and every four seconds more at once than its quota of a half allows: nothing is wrong, but
it is worth saying. (Each burst uses up two or three periods, and there are two of eighty: 5 to 8 %, far from both ends of
what is marginal.)"""
from scenarios import TROUBLE

TRUTH = {"bursty": None}
NOTES = {"bursty": "cap marginal"}
FILES = True
QUIET = True  # who gets half a CPU uses up no quota of a half
SECONDS = 8


def setup(stage):
    stage.run("bursty", TROUBLE, "bursts", "10", "120", "4000", cpus=0.5)
