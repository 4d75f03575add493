# SPDX-License-Identifier: Apache-2.0
"""A short-lived child ten times a second."""
TRUTH = {"children": None}
FILES = True


def setup(stage):
    stage.run("children", "sh", "-c", "while :; do true | cat >/dev/null; sleep 0.1; done")
