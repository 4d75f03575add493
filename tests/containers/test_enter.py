# SPDX-License-Identifier: Apache-2.0
"""fathom enter: in which namespaces a command is, with which rights, and within which limits."""
import os
from pathlib import Path

import pytest


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


@pytest.fixture
def web(docker, start):
    return start(docker, "web", "sleep", "1000", args=["--hostname", "inside", "--pids-limit", "50"])


def entered(fathom, *arguments):
    """Standard output of a command inside, as the tool of whoever it is."""
    done = fathom("enter", "-q", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def links(fathom, *arguments):
    lines = entered(fathom, *arguments, "--", "readlink", *(f"/proc/self/ns/{k}" for k in ("net", "uts", "pid", "mnt")))
    return dict(zip(("net", "uts", "pid", "mnt"), lines.split()))


def test_network_and_host_name(web, fathom):
    done = fathom("enter", web.name, "--", "ls", "/sys/class/net")
    assert done.returncode == 0 and done.stdout.split() == ["lo"], done
    assert "seccomp" in done.stderr and "--confined" in done.stderr  # said once what does not apply
    assert entered(fathom, web.name, "--", "uname", "-n").strip() == "inside"
    found = links(fathom, web.name)
    assert found["net"] == namespace(web.pid, "net") and found["uts"] == namespace(web.pid, "uts")
    assert found["pid"] == namespace("self", "pid")
    found = links(fathom, "--uts", web.name)
    assert found["uts"] == namespace(web.pid, "uts") and found["net"] == namespace("self", "net")


def test_processes_are_the_containers(web, fathom):
    shown = entered(fathom, "--pid", web.name, "--", "ls", "/proc").split()
    pids = [int(name) for name in shown if name.isdigit()]
    assert 1 in pids and len(pids) <= 3
    assert "sleep" in entered(fathom, "--pid", web.name, "--", "cat", "/proc/1/cmdline")


def test_the_containers_programs_get_its_rights(web, fathom, monkeypatch):
    monkeypatch.setenv("SECRET", "of the host")
    status = entered(fathom, "--mount", web.name, "--", "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    bounding = [line.split()[1] for line in Path(f"/proc/{web.pid}/status").read_text().splitlines()
                if line.startswith("CapBnd")]
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert fields[name] == bounding[0], name
    assert fields["NoNewPrivs"] == "1" and int(fields["CapInh"], 16) == 0
    assert "SECRET" not in entered(fathom, "--mount", web.name, "--", "env")
    assert "busybox" in entered(fathom, "--mount", web.name, "--", "ls", "/bin")


def test_confined_joins_the_cgroups(web, fathom):
    inside = Path(f"/proc/{web.pid}/cgroup").read_text()
    assert entered(fathom, "--confined", web.name, "--", "cat", "/proc/self/cgroup") == inside
    assert entered(fathom, web.name, "--", "cat", "/proc/self/cgroup") != inside


def test_exit_statuses(web, fathom):
    assert fathom("enter", "-q", web.name, "--", "sh", "-c", "exit 7").returncode == 7
    assert fathom("enter", "-q", "--pid", web.name, "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    assert fathom("enter", "-q", web.name, "--", "no-such-tool-anywhere").returncode == 127
    for arguments in ([web.name], [web.name, "--"], ["--", "true"], ["all", "--", "true"], ["host", "--", "true"],
                      ["no-such-container-here", "--", "true"]):
        done = fathom("enter", *arguments)
        assert done.returncode == 2 and done.stderr, arguments


def test_says_whose(docker, start, fathom):
    """A network that is the host's, and processes that are, are not taken for the container's."""
    shared, own = start(docker, "shared", "sleep", "1000", network="host"), start(docker, "own", "sleep", "1000")
    said = [fathom("enter", container.name, "--", "ps", "-e") for container in (shared, own)]
    assert [done.returncode for done in said] == [0, 0], said
    assert [f"{c.name} has no network of its own" in done.stderr for c, done in zip((shared, own), said)] == [True, False]
    assert not any("/sys shows" in done.stderr for done in said), said
    assert all("ps shows the host's processes" in done.stderr for done in said), said
    inside = fathom("enter", "--pid", own.name, "--", "ps", "-e", "-o", "comm=")
    assert "sleep" in inside.stdout.split() and "--pid" not in inside.stderr, inside
