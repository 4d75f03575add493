# SPDX-License-Identifier: Apache-2.0
"""Ten connections a second to a port where nobody listens."""
from scenarios import TROUBLE

TRUTH = {"caller": "connections refused"}


def setup(stage):
    stage.run("caller", TROUBLE, "refused", "7001")
