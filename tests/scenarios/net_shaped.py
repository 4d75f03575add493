# SPDX-License-Identifier: Apache-2.0
"""Sends three times what a token bucket (tc) on its interface lets through."""
from scenarios import TROUBLE

TRUTH = {"shaped": "tc drops packets"}
FILES = True
NEEDS = ["tc"]


def setup(stage):
    stage.run("shaped", TROUBLE, "push", "10.231.8.2")
    stage.inside("shaped", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    stage.inside("shaped", "ip", "link", "set", "far0", "up")
    stage.inside("shaped", "ip", "link", "set", "eth0", "up")
    stage.inside("shaped", "ip", "address", "add", "10.231.8.1/24", "dev", "eth0")
    stage.inside("shaped", "ip", "neighbour", "replace", "10.231.8.2", "lladdr", "02:00:0a:e7:08:02", "dev", "eth0")
    stage.inside("shaped", "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "4k", "limit", "8k")
