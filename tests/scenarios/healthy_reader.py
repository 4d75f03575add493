# SPDX-License-Identifier: Apache-2.0
"""Reads a file that is in the page cache."""
TRUTH = {"reader": None}
FILES = True


def setup(stage):
    stage.run("reader", "sh", "-c", "dd if=/dev/zero of=/file bs=64k count=64 2>/dev/null; while :; do cat /file > /dev/null; sleep 0.2; done")
