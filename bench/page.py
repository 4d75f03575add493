#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the agent's page is with 500 containers and 5,000 edges: first paint, the table, the map panned and zoomed.
A live agent in headless Chromium without a GPU; its answers about containers and edges are replaced by made-up ones."""
import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/containers")]
from agent_client import Agent  # noqa: E402
from support import run, tool  # noqa: E402

WEB = ROOT / "tests/web"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--containers", type=int, default=500)
    parser.add_argument("-e", "--edges", type=int, default=5000)
    options = parser.parse_args()
    chromium, node, npm = tool("chromium"), tool("node"), tool("npm")
    if not (WEB / "node_modules/playwright-core/package.json").exists():
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=WEB, timeout=300)
    with tempfile.TemporaryDirectory() as directory:
        agent = Agent(directory).start()
        try:
            done = run(node, WEB / "speed.mjs", chromium, Path(directory) / "profile", f"{agent.url}#token={agent.token}",
                       options.containers, options.edges, cwd=WEB, timeout=200)
        finally:
            agent.stop()
    seen = json.loads(done.stdout)
    print(f"{options.containers} containers, {options.edges} edges")
    print(f"first paint                {seen['first_paint_ms']:.0f} ms")
    print(f"table of all containers    {seen['table_ms']:.0f} ms after the start of the page")
    print(f"a live update of the table {seen['update_ms']:.0f} ms (median of 20; most {seen['update_most_ms']:.0f} ms; {seen['drawn_rows']} rows are elements)")
    print(f"map drawn once, whole      {seen['draw_ms']:.0f} ms ({seen['nodes']} ends, {seen['links']} edges, not grouped)")
    edges = sorted(seen["edges_ms"])
    print(f"a connection is on the map after {edges[len(edges) // 2]:.0f} ms (median of {len(edges)}; most {edges[-1]:.0f} ms)")
    for name in ("pan", "zoom"):
        one = seen[name]
        print(f"{name:4}                       {one['per_second']:.0f} frames/s; longest between two frames {one['longest_ms']:.0f} ms ({one['frames']} frames)")


if __name__ == "__main__":
    main()
