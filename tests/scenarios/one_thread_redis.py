# SPDX-License-Identifier: Apache-2.0
"""redis, which has one thread for all commands, and clients who each want a long list sorted again and again."""
import shutil
from pathlib import Path

from support import wait_for

TRUTH = {"redis": "one thread at its limit"}
NEEDS = ["redis-server", "redis-benchmark"]
FILES = True
ALONE = True
QUIET = True  # beside another load the thread waits for a CPU first
SYSTEM = {path: path for path in ("/usr", "/lib", "/lib64", "/etc/alternatives") if Path(path).exists()}
FILL = "for i = 1, 5000 do redis.call('rpush', 'list', (i * 7919) % 5000) end"


def setup(stage):
    server = stage.run("redis", shutil.which("redis-server"), "--port", "7062", "--save", "", "--dir", "/tmp", mounts=SYSTEM)
    wait_for(lambda: "Ready to accept" in stage.docker.cli("logs", server.id, check=False).stdout, 60, "redis to begin")
    stage.docker.cli("exec", server.id, shutil.which("redis-cli"), "-p", "7062", "eval", FILL, "0")
    stage.run("clients", shutil.which("redis-benchmark"), "-p", "7062", "-c", "20", "-n", "100000000", "-q", "sort", "list",
              "limit", "0", "1", network=f"container:{server.id}", mounts=SYSTEM)
