# SPDX-License-Identifier: Apache-2.0
"""Every twentieth packet is dropped on the way."""
from scenarios import TROUBLE

TRUTH = {"lossy": "packets lost"}
FILES = True


def setup(stage):
    stage.run("lossy", TROUBLE, "talk", "7005")
    stage.inside("lossy", "iptables", "-A", "INPUT", "-i", "lo", "-p", "tcp", "-m", "statistic", "--mode", "random",
                 "--probability", "0.05", "-j", "DROP")
