# SPDX-License-Identifier: Apache-2.0
"""Datagrams to ever new ports through a firewall that tracks connections, until there is no room for more."""
from scenarios import TROUBLE
from support import wait_for

TRUTH = {"tracked": "conntrack full"}
FILES = True
ALONE = True
FULL = 0.97


def setup(stage):
    stage.run("tracked", "sh", "-c", f"sleep 1; exec {TROUBLE} track")
    stage.inside("tracked", "iptables", "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    stage.inside("tracked", "iptables", "-A", "INPUT", "-p", "udp", "-j", "DROP")  # nothing is answered
    wait_for(lambda: stage.read("tracked", "nf_conntrack_count") > FULL * stage.read("tracked", "nf_conntrack_max"), 60,
             "the table to fill")
