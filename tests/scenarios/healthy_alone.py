# SPDX-License-Identifier: Apache-2.0
"""The slides' third game: one thread that runs all the time and is not held up by anything. (Beside another load it is entitled to
half of the machine: on two CPUs the scheduler may well find it one that is free. The kernel's account says whether it did.)"""
TRUTH = {"free": None}
FILES = True
ALONE = True


def setup(stage):
    stage.run("free", "/bin/burn")
