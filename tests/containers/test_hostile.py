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

from agent_client import Agent
from support import fathom_binary, lack, run, wait_for

EVIL = "e\033[2J\"q'<b>\n}"  # 12 bytes: a comm holds 15
EVIL_GROUP = "fathom\033[2J\"'<b>"  # the kernel refuses a newline there
# Opens a file of its own name and starts programs of that name, again and again.
LOOP = 'while :; do : < "$0"; "$0" -c :; sleep 0.005; done'
SHORT = ("-d", "0.2")
HERE = "TARGET"
CAPTURE, RECORDING = "CAPTURE", "RECORDING"  # what fathom profile and fathom record wrote

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
    ("diagnose", "--exit-zero", "-d", "1", "--all"), ("enter", HERE, "--", "true"), ("drops", *SHORT), ("guest", *SHORT),
    ("doctor",), ("flame", CAPTURE), ("diff", CAPTURE, CAPTURE), ("replay", RECORDING), ("replay", RECORDING, "top", "--all"),
    ("replay", RECORDING, "profile"), ("replay", RECORDING, "trace", "exec"),
]
OTHERWISE = {"record", "serve"}  # are in tests of their own
WITHOUT_JSON = {"enter", "flame", "diff"}
SLOW = {"doctor"}  # and its JSON holds no other names
# Of these it is certain that a name of the three is in the text.
NAMED = {"top", "flame", "replay RECORDING trace exec", "whois", "trace open", "trace exec", "trace exit", "slow fs", "slow syscall", "walltime", "memory", "use",
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


@pytest.fixture(scope="module")
def files(target, tmp_path_factory):
    """What stands for words of COMMANDS."""
    directory = tmp_path_factory.mktemp("captures")
    found = {HERE: target, CAPTURE: directory / "capture.json", RECORDING: directory / "recording"}
    run(fathom_binary(), "profile", "-q", "-F", "997", *SHORT, "-o", found[CAPTURE], target)
    done = run(fathom_binary(), "record", "-d", "2", "-o", found[RECORDING])
    assert is_plain(done.stdout + done.stderr.replace("\r", "")), done.stderr
    return found


def arguments(command, files):
    return [files.get(word, word) for word in command]


def name(command):
    return "-".join(word for word in command[:2] if word[0] != "-" and word not in (HERE, CAPTURE, RECORDING))


def is_plain(text):
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]", text)


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_text(fathom, files, command):
    done = fathom(*arguments(command, files))
    assert done.returncode in (0, 3), done.stderr
    assert is_plain(done.stdout), done.stdout
    assert is_plain(done.stderr.replace("\r", "")), done.stderr
    if {command[0], " ".join(command[:2]), " ".join(command)} & NAMED:
        assert "[2J" in done.stdout, done.stdout


def test_every_command_is_here(fathom):
    """A command that is new shows names, too."""
    known = set(re.findall(r"^  (\w+) +\S", fathom("--help").stdout, re.M))
    assert "top" in known and known == {command[0] for command in COMMANDS} | OTHERWISE


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] not in WITHOUT_JSON | SLOW], ids=name)
def test_json(fathom, files, command):
    done = fathom(command[0], "--json", *arguments(command[1:], files)) if command[:2] != ("replay", RECORDING) or len(command) == 2 \
        else fathom(*arguments(command, files), "--json")
    assert done.returncode in (0, 3), done.stderr
    assert is_plain(done.stdout)
    decoder, text = json.JSONDecoder(), done.stdout.strip()
    while text:
        text = text[decoder.raw_decode(text)[1]:].lstrip()


def test_agent(target, tmp_path):
    agent = Agent(tmp_path, "--profile-seconds", "0").start()
    try:
        for path in ("/api/containers", "/metrics", "/api/events", "/api/ledger", "/api/self"):
            status, _, body = agent.request("GET", path)
            assert status == 200 and is_plain(body.decode()), path
    finally:
        agent.stop()
    assert is_plain(agent.said())


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
