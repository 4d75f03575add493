# SPDX-License-Identifier: Apache-2.0
"""Sends into a tunnel whose other end is not read: its interface drops what does not fit into the queue."""
from scenarios import TROUBLE
from support import wait_for

TRUTH = {"tunnel": "interface drops packets"}
FILES = True


def setup(stage):
    stage.run("tunnel", TROUBLE, "drain", "tun0", args=["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"])
    wait_for(lambda: stage.is_ready("tunnel"), 60, "the tunnel to begin")
    stage.inside("tunnel", "ip", "address", "add", "10.231.7.1/24", "dev", "tun0")
    stage.inside("tunnel", "ip", "link", "set", "tun0", "txqueuelen", "4", "up")
