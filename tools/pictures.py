#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the README's pictures anew, from the demonstration containers: sudo tools/pictures.py"""
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "tests/web"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/containers"), str(ROOT / "tools")]

from agent_client import Agent  # noqa: E402
from run import start_demo  # noqa: E402
from runtimes import Docker  # noqa: E402
from support import fathom_binary, run, tool  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SECONDS = 10
PAGE_SECONDS = 110  # until there are verdicts and lines behind the numbers


class Plain(Docker):
    """A private daemon needs no suffixes in names."""

    def unique(self, name):
        return name


def page_address(agent, names):
    """The table of the containers `names`: without a filter where there are no others."""
    others = [row for row in agent.json("/api/containers")["containers"] if row["resource"] == "container" and row["name"] not in names]
    return f"#/?filter=/^({'|'.join(names)})$/" if others else "#/"


def picture_page(names):
    """The agent's first view, in a real browser."""
    if not (WEB / "node_modules/playwright-core/package.json").exists():
        run(tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=WEB, timeout=300)
    with tempfile.TemporaryDirectory() as directory:
        agent = Agent(directory).start()
        try:
            run(tool("node"), WEB / "picture.mjs", tool("chromium"), Path(directory) / "profile",
                f"{agent.url}#token={agent.token}", PAGE_SECONDS, page_address(agent, names), PICTURES / "overview.png", cwd=WEB, timeout=180)
        finally:
            agent.stop()


def main():
    PICTURES.mkdir(exist_ok=True)
    with Plain() as docker:
        names = start_demo(docker)
        for name, *arguments in (("walltime", "walltime", "web", "capped", "waiter"),
                                 ("offcpu", "offcpu", "waiter", "--waker")):
            run(fathom_binary(), *arguments, "-q", "-d", SECONDS, "-o", PICTURES / f"{name}.svg", timeout=60)
        picture_page(names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
