#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the README's pictures anew, from the demonstration containers: sudo tools/pictures.py"""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

from run import start_demo  # noqa: E402
from runtimes import Docker  # noqa: E402
from support import fathom_binary, run  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SECONDS = 10


class Plain(Docker):
    """A private daemon needs no suffixes in names."""

    def unique(self, name):
        return name


def main():
    PICTURES.mkdir(exist_ok=True)
    with Plain() as docker:
        start_demo(docker)
        for name, *arguments in (("walltime", "walltime", "web", "capped", "waiter"),
                                 ("offcpu", "offcpu", "waiter", "--waker")):
            run(fathom_binary(), *arguments, "-q", "-d", SECONDS, "-o", PICTURES / f"{name}.svg", timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
