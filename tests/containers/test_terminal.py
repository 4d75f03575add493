# SPDX-License-Identifier: Apache-2.0
"""What commands write fits the terminal they write to: no row is broken by its edge."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import unicodedata

import pytest

from support import STOP_S, fathom_binary

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMANDS = [
    "help", "ps", "ps --help", "serve --help", "namespaces", "host -i 0.2", "guest", "cost -d 0.5", "doctor", "nosuch",
    "walltime NAME -d 0.5", "profile NAME -d 0.5", "latency syscall NAME -d 0.5", "blame cpu NAME -d 0.5",
    "memory NAME -d 0.5", "trace exec NAME -n 2", "connections -d 0.5", "map -d 0.5", "drops -d 0.5", "dns -d 0.5",
]


def in_terminal(command, columns):
    """What a command writes to a terminal of so many columns, as lines; of a line written over, what stands last."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    child = subprocess.Popen([str(fathom_binary()), *command.split()], stdin=writer, stdout=writer, stderr=writer,
                             start_new_session=True, env={**os.environ, "TERM": "xterm"})
    os.close(writer)
    text = b""
    try:
        while chunk := os.read(reader, 65536):
            text += chunk
    except OSError:  # EIO: the last writer has gone
        pass
    finally:
        os.close(reader)
        child.wait(STOP_S)
    plain = ESCAPES.sub("", text.decode(errors="replace"))
    return [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]


def wide(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@pytest.fixture(scope="module")
def container(docker):
    container = docker.run("checkout-with-a-long-name", "sh", "-c", "while :; do sleep 0.1; done")
    yield container
    docker.rm(container)


@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize("command", COMMANDS)
def test_fits(command, columns, container):
    lines = in_terminal(command.replace("NAME", container.name), columns)
    # A single word (a path) that is wider than the terminal can only be broken by it.
    broken = [line for line in lines if wide(line) > columns and max(map(wide, line.split())) < columns - 16]
    assert [line for line in lines if line.strip()] and not broken, broken
