# SPDX-License-Identifier: Apache-2.0
"""Writes a tenth of what it may."""
TRUTH = {"iolimit": None}
FILES = True


def setup(stage):
    stage.run("iolimit", "sh", "-c", "while :; do dd if=/dev/zero of=/file bs=4k count=25 oflag=direct 2>/dev/null; sleep 1; done", args=["--device-write-bps", f"{stage.disk()}:1mb"])
