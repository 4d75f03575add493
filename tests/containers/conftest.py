# SPDX-License-Identifier: Apache-2.0
"""Fixtures with real container runtimes; tests/runtimes.py says what they can do.
`docker`, `podman`, `containerd`, `runc`: one private runtime each for the whole session.
`start`: start(runtime, name, *command, **options) -> container, removed when the test ends.
`fathom`: fathom(*arguments, timeout=60) -> CompletedProcess; fathom.start(*arguments) -> Popen."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import runtimes  # noqa: E402
from support import ROOT, Missing, fathom_binary, lack, run, tool, wait_for  # noqa: E402


def session(kind):
    if os.geteuid() != 0:
        lack("needs root to start a container runtime")
    try:
        runtime = kind()
    except Missing as missing:
        lack(str(missing))
    try:
        yield runtime
    finally:
        runtime.close()


@pytest.fixture(scope="session")
def docker():
    yield from session(runtimes.Docker)


@pytest.fixture(scope="session")
def podman():
    yield from session(runtimes.Podman)


@pytest.fixture(scope="session")
def containerd():
    yield from session(runtimes.Containerd)


@pytest.fixture(scope="session")
def runc():
    yield from session(runtimes.Runc)


@pytest.fixture
def start():
    started = []

    def run_one(runtime, name, *command, **options):
        container = runtime.run(name, *command, **options)
        started.append(container)
        return container

    def remove_all():
        for container in started:
            if container in container.runtime.containers:
                container.runtime.rm(container)
        started.clear()

    run_one.put_away = remove_all
    yield run_one
    remove_all()


WAITS = ("7", "271", "232", "281")  # poll, ppoll, epoll_wait, epoll_pwait


class Fathom:
    def __init__(self, binary, directory):
        self.binary = binary
        self.directory = directory
        self.running = []

    def __call__(self, *arguments, timeout=60, **options):
        options.setdefault("cwd", self.directory)
        return run(self.binary, *arguments, timeout=timeout, check=False, **options)

    def start(self, *arguments, **options):
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("cwd", self.directory)
        process = subprocess.Popen([str(self.binary), *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
                                   errors="backslashreplace", **options)
        self.running.append(process)
        return process

    def put_away(self):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
        self.running.clear()

    def json(self, *arguments, status=0, **options):
        done = self(*arguments, **options)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def playwright():
    """(node, chromium), and what the scripts in tests/web need is there."""
    web = ROOT / "tests/web"
    try:
        node, chromium, npm = tool("node"), tool("chromium"), tool("npm")
    except Missing as missing:
        lack(str(missing))
    if not (web / "node_modules/playwright-core/package.json").exists():
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=web, timeout=300)
    return node, chromium


@pytest.fixture
def fathom(tmp_path):
    try:
        program = Fathom(fathom_binary(), tmp_path)
    except Missing as missing:
        lack(str(missing))
    yield program
    program.put_away()


@pytest.fixture
def wait_attached():
    """wait_attached(process): waits until a started fathom has its probes attached, and waits for what they tell."""
    def is_attached(process):
        if process.poll() is not None:
            raise RuntimeError(f"fathom ended: {process.communicate()}")
        return Path(f"/proc/{process.pid}/syscall").read_text().split()[0] in WAITS and any(word in link for link in links(process.pid) for word in ("bpf_link", "bpf-link", "perf_event"))

    def links(pid):
        found = []
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.append(os.readlink(descriptor))
            except OSError:
                pass
        return found

    return lambda process, deadline_s=20: wait_for(lambda: is_attached(process), deadline_s, "fathom to attach")
