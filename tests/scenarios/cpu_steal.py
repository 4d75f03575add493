# SPDX-License-Identifier: Apache-2.0
"""A hypervisor that keeps three tenths of every CPU for others. There is none to be had for a test: /proc/stat, in the mount
namespace fathom is started in, says so (stolen_stat.py)."""
import sys
from pathlib import Path

TRUTH = {"stolen": "hypervisor steal"}
FILES = True
ALONE = True
QUIET = True


def setup(stage):
    stage.run("stolen", "/bin/burn")
    stage.before = [sys.executable, Path(__file__).parent.parent / "stolen_stat.py", "0.3"]
