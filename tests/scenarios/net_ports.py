# SPDX-License-Identifier: Apache-2.0
"""Ten ports of its own, and no more."""
from scenarios import TROUBLE

TRUTH = {"callers": "local ports used up"}


def setup(stage):
    stage.run("callers", TROUBLE, "ports", "7007", args=["--sysctl", "net.ipv4.ip_local_port_range=40000 40009"])
