# SPDX-License-Identifier: Apache-2.0
"""Many threads asleep in accept, poll and the like."""
TRUTH = {"sockets": None}
FILES = True


def setup(stage):
    stage.run("sockets", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do nc -l -p 710$i & done; wait")
