#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the agent's page is with 500 containers and 5,000 edges: first paint, the table, the map panned and zoomed.
Headless Chromium without a GPU. Containers and edges are those of a capture (manycontainers.c makes it) that goes through fathom
replay, the history and the API; how soon a connection of this machine is on the map is asked of a live agent."""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/containers")]
from agent_client import Agent
from runtimes import die_with_parent  # noqa: E402
from support import build_dir, fathom_binary, run, tool  # noqa: E402

WEB = ROOT / "tests/web"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--containers", type=int, default=500)
    parser.add_argument("-e", "--edges", type=int, default=5000)
    options = parser.parse_args()
    chromium, node, npm = tool("chromium"), tool("node"), tool("npm")
    if not (WEB / "node_modules/playwright-core/package.json").exists():
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=WEB, timeout=300)
    run("ninja", "-C", build_dir(), "bench/manycontainers", timeout=300)
    with tempfile.TemporaryDirectory() as directory:
        capture = Path(directory) / "made.fathom"
        run(build_dir() / "bench/manycontainers", capture, options.containers, options.edges, 60)
        replay = subprocess.Popen([str(fathom_binary()), "replay", str(capture), "serve", "--listen", "127.0.0.1:0"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        shown = re.match(r"page: +(\S+)", replay.stdout.readline())[1]
        agent = Agent(directory).start()
        try:
            done = run(node, WEB / "speed.mjs", chromium, Path(directory) / "profile", f"{agent.url}#token={agent.token}", shown,
                       options.containers, cwd=WEB, timeout=200)
        finally:
            agent.stop()
            replay.terminate()
            replay.wait()
    seen = json.loads(done.stdout)
    print(f"{options.containers} containers, {options.edges} edges")
    print(f"/api/containers, /api/edges  {seen['containers_ms']:.0f} and {seen['edges_answer_ms']:.0f} ms, {seen['edges_bytes'] / 1024:.0f} KiB of edges")
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
