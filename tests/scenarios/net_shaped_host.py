# SPDX-License-Identifier: Apache-2.0
"""The host sends a container three times what a token bucket lets through at the host's end of their pair of interfaces, as
network plugins that limit what is sent to a pod have it."""
import subprocess

from scenarios import TROUBLE
from support import run

TRUTH = {"limited": "tc drops packets"}
FILES = True
NEEDS = ["tc"]


def setup(stage):
    limited = stage.run("limited", TROUBLE, "timer", "10")
    host = f"fs{limited.pid}"
    run("ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", limited.pid)
    stage.undo.append(lambda: run("ip", "link", "delete", host, check=False))  # it may have gone with the container
    stage.inside("limited", "ip", "link", "set", "eth0", "up")
    run("ip", "address", "add", "10.231.9.1/24", "dev", host)
    run("ip", "link", "set", host, "up")
    run("ip", "neighbour", "replace", "10.231.9.2", "lladdr", "02:00:0a:e7:09:02", "dev", host)
    run("tc", "qdisc", "add", "dev", host, "root", "tbf", "rate", "1mbit", "burst", "4k", "limit", "8k")
    sender = subprocess.Popen([stage.docker.rootfs / TROUBLE[1:], "push", "10.231.9.2"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL)
    stage.undo.append(sender.wait)
    stage.undo.append(sender.kill)
