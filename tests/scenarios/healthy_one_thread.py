# SPDX-License-Identifier: Apache-2.0
"""A thread of Python that runs all the time, another that reports now and then, and four idle connections in which lies what
nobody will read: nobody waits for that thread."""
from pathlib import Path

from support import wait_for

TRUTH = {"single": None}
FILES = True
ALONE = True
SYSTEM = {path: path for path in ("/usr", "/lib", "/lib64") if Path(path).exists()}
PROGRAM = """
import socket, threading, time
listening = socket.create_server(("127.0.0.1", 7063))
pairs = [(socket.create_connection(("127.0.0.1", 7063)), listening.accept()[0]) for _ in range(4)]
for _, end in pairs:
    end.send(b"bye")
def report():
    while True:
        time.sleep(0.05)
threading.Thread(target=report).start()
print("ready", flush=True)
number = 0
while True:
    number += 1
"""


def setup(stage):
    stage.run("single", "/usr/bin/python3", "-S", "-c", PROGRAM, mounts=SYSTEM)
    wait_for(lambda: stage.is_ready("single"), 60, "Python to begin")
