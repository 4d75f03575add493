# SPDX-License-Identifier: Apache-2.0
"""Node.js whose event loop takes 5 ms for each request, and twelve clients that ask again at once."""
import os
import shutil
from pathlib import Path

from scenarios import TROUBLE
from support import wait_for

TRUTH = {"node": "one thread at its limit"}
NEEDS = ["node"]
FILES = True
ALONE = True
QUIET = True  # beside another load the thread waits for a CPU first
SYSTEM = {path: path for path in ("/usr", "/lib", "/lib64") if Path(path).exists()}
SERVER = """
const busy = (ms) => { const end = process.cpuUsage().user + ms * 1000; while (process.cpuUsage().user < end); };
require('net').createServer((socket) => socket.on('data', (data) => { busy(5); socket.write(data); }).on('error', () => 0))
	.listen(7061, '127.0.0.1', () => console.log('ready'));
"""


def setup(stage):
    server = stage.run("node", os.path.realpath(shutil.which("node")), "-e", SERVER, mounts=SYSTEM)
    wait_for(lambda: stage.is_ready("node"), 60, "Node.js to begin")
    for number in range(12):
        stage.run(f"asks-{number}", TROUBLE, "ask", "7061", network=f"container:{server.id}")
