# SPDX-License-Identifier: Apache-2.0
"""Four threads of Python that each would use a CPU, and have one among them."""
from pathlib import Path

from support import wait_for

TRUTH = {"threads": "interpreter lock"}
FILES = True
ALONE = True
QUIET = True  # beside another load they wait for a CPU first
SYSTEM = {path: path for path in ("/usr", "/lib", "/lib64") if Path(path).exists()}
PROGRAM = """
import threading
def count():
    number = 0
    while True:
        number += 1
for _ in range(3):
    threading.Thread(target=count).start()
print("ready", flush=True)
count()
"""


def setup(stage):
    stage.run("threads", "/usr/bin/python3", "-S", "-c", PROGRAM, mounts=SYSTEM)
    wait_for(lambda: stage.is_ready("threads"), 60, "Python to begin")
