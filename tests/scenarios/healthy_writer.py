# SPDX-License-Identifier: Apache-2.0
"""A MiB through the page cache each second."""
TRUTH = {"writer": None}
FILES = True


def setup(stage):
    stage.run("writer", "sh", "-c", "while :; do dd if=/dev/zero of=/file bs=64k count=16 2>/dev/null; sleep 1; done")
