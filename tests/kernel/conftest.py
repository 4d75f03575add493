# SPDX-License-Identifier: Apache-2.0
"""One boot of each kernel serves all tests here."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import guest  # noqa: E402
import scenario  # noqa: E402
from support import Missing, lack  # noqa: E402


@pytest.fixture(scope="session", params=list(guest.SERIES))
def answers(request, tmp_path_factory):
    try:
        _, found, _ = scenario.ask(request.param, tmp_path_factory.mktemp("guest"))
    except Missing as missing:
        lack(str(missing))
    return found


@pytest.fixture(scope="session")
def here():
    if os.geteuid() != 0:
        lack("needs root to attach probes")
    try:
        return scenario.ask_here()[1]
    except Missing as missing:
        lack(str(missing))
