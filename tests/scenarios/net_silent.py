# SPDX-License-Identifier: Apache-2.0
"""Who is asked to connect never answers: a firewall drops it."""
from scenarios import TROUBLE

TRUTH = {"waiting": "connections without answer"}


def setup(stage):
    stage.run("waiting", "sh", "-c", f"sleep 1; exec {TROUBLE} silent 7006")
    stage.inside("waiting", "iptables", "-A", "INPUT", "-i", "lo", "-p", "tcp", "--dport", "7006", "-j", "DROP")
