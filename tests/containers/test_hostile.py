# SPDX-License-Identifier: Apache-2.0
"""A cgroup, a program and a file whose names want to run the reader's terminal, through every command that shows names: as
text nothing but printable lines, as JSON what can be parsed and read back, as pictures well-formed XML."""
import json
import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support import lack, wait_for

EVIL = "e\033[2J\"q'<b>\n}"  # 12 bytes: a comm holds 15
EVIL_GROUP = "fathom\033[2J\"'<b>"  # the kernel refuses a newline there
# Opens a file of its own name and starts programs of that name, again and again.
LOOP = 'while :; do : < "$0"; "$0" -c :; sleep 0.005; done'
SHORT = ("-d", "0.2")
HERE = "TARGET"

# Command and arguments; each shows the program, its file or its cgroup, as text and with --json.
COMMANDS = [
    ("ps", "--all"), ("whois", HERE), ("namespaces", "--all"),
    ("top", "--all", "--count", "1", "--interval", "0.1"), ("top", "--threads", "--count", "1", "--interval", "0.1"),
    ("latency", "runq", *SHORT, "--by", "process", HERE), ("latency", "runq", *SHORT, "--by", "cgroup", HERE),
    ("latency", "fs", *SHORT, "--by", "pid", HERE), ("latency", "syscall", *SHORT, HERE),
    ("latency", "futex", *SHORT, HERE), ("latency", "fault", *SHORT, HERE), ("latency", "block", *SHORT),
    ("latency", "dns", *SHORT), ("blame", "cpu", *SHORT), ("blame", "block", *SHORT), ("blame", "memory", *SHORT),
    ("slow", "fs", "--over", "0", "-n", "200", HERE), ("slow", "syscall", "--over", "0", "-n", "200", HERE),
    ("trace", "open", "-n", "100", HERE), ("trace", "exec", "--args", "-n", "5", HERE), ("trace", "exit", "-n", "5", HERE),
    ("trace", "signal", *SHORT, HERE), ("walltime", *SHORT, HERE), ("profile", *SHORT, HERE), ("offcpu", *SHORT, HERE),
    ("memory", *SHORT, HERE), ("connections", *SHORT), ("map", *SHORT), ("tcp", *SHORT), ("dns", *SHORT),
    ("cost", *SHORT, "--all"), ("host", "--interval", "0.2", "--top", "1000"), ("use", *SHORT, HERE),
    ("diagnose", "--exit-zero", "-d", "1", "--all"),
]
# Of these it is certain that a name of the three is in the text.
NAMED = {"top", "whois", "trace open", "trace exec", "trace exit", "slow fs", "slow syscall", "walltime", "memory", "use",
         "latency runq", "latency fs"}


def places():
    """The cgroup to be made in each hierarchy that names containers."""
    roots = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    return [root for root in roots if (root / "cgroup.procs").exists()]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """The path of the cgroup."""
    if os.geteuid() != 0:
        lack("needs root")
    name = f"{EVIL_GROUP}{secrets.token_hex(3)}"
    groups = [place / name for place in places()]
    program = tmp_path_factory.mktemp("hostile") / EVIL
    shutil.copy("/bin/dash", program)
    process = None
    try:
        for group in groups:
            group.mkdir()

        def enter():
            for group in groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))
        process = subprocess.Popen([program, "-c", LOOP, program], preexec_fn=enter, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: EVIL[:15] in Path(f"/proc/{process.pid}/comm").read_text(), what="the program to run")
        yield f"/{name}"
    finally:
        if process:
            os.killpg(process.pid, 9)
            process.wait()
        for group in groups:
            if group.exists():
                wait_for(lambda: not (group / "cgroup.procs").read_text(), what="the cgroup to be empty")
                group.rmdir()


def arguments(command, target):
    return [target if word == HERE else word for word in command]


def is_plain(text):
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", text)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(w for w in command[:2] if w[0] != "-" and w != HERE))
def test_text(fathom, target, command):
    done = fathom(*arguments(command, target))
    assert done.returncode in (0, 3), done.stderr
    assert is_plain(done.stdout), done.stdout
    assert is_plain(done.stderr.replace("\r", "")), done.stderr
    if {command[0], " ".join(command[:2])} & NAMED:
        assert "[2J" in done.stdout, done.stdout


@pytest.mark.parametrize("command", [("top", "--all", "--count", "1", "--interval", "0.2"),
                                     ("latency", "runq", *SHORT, "--by", "process", HERE), ("blame", "cpu", *SHORT),
                                     ("trace", "exec", "--args", "-n", "5", HERE), ("slow", "fs", "--over", "0", "-n", "200", HERE)], ids=lambda c: c[0])
def test_json(fathom, target, command):
    done = fathom(*arguments(command, target), "--json")
    assert done.returncode in (0, 3), done.stderr
    assert is_plain(done.stdout)
    for line in done.stdout.splitlines():
        json.loads(line)


@pytest.mark.parametrize("command", [("latency", "runq", "--by", "process", "--heatmap"), ("blame", "cpu"), ("walltime",),
                                     ("memory",), ("offcpu",)], ids=lambda c: c[0])
def test_pictures(fathom, target, command, tmp_path):
    targets = [] if command[0] == "blame" else [target]
    for suffix in ("svg", "html"):
        done = fathom(*command, *SHORT, *targets, "-q", "-o", f"out.{suffix}")
        assert done.returncode in (0, 3), done.stderr
        text = (tmp_path / f"out.{suffix}").read_text()
        assert is_plain(text.replace("\t", "")) and "<b>" not in text
    ElementTree.parse(tmp_path / "out.svg")
