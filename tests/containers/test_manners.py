# SPDX-License-Identifier: Apache-2.0
"""Bad input gets one sentence and exit status 2 before anything is measured; nothing stays behind, whatever happens."""
import ctypes
import errno
import json
import os
import shutil
import signal
import tempfile

import pytest

from support import STOP_S, run, tool, wait_for

MEASURING = ("profile", "offcpu", "walltime")


@pytest.mark.parametrize("command", MEASURING)
@pytest.mark.parametrize("arguments", [
    ("no-such-container",),
    ("all", "-d", "0"),
    ("all", "-d", "-3"),
    ("all", "-d", "soon"),
    ("all", "-d", "1e30"),
    ("all", "-o", "/nonexistent/out.svg"),
    ("all", "-o", "/proc/out.svg"),
    ("all", "-o", "out.png"),
    ("all", "--format", "gif", "-o", "out"),
    ("all", "--by", "colour"),
    ("all", "--rung", "no-such-rung"),
    ("all", "--no-such-option"),
    ("999999999",),
    ("",),
], ids=lambda arguments: " ".join(arguments) or "empty")
def test_bad_input(fathom, command, arguments):
    done = fathom(command, *arguments, "-q", timeout=5)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("command", [
    "map --rung no-such-rung", "drops --rung no-such-rung", "blame cpu --rung no-such-rung", "trace exec --rung no-such-rung",
    "dns -o out.png", "connections -o out.svg", "tcp -o out", "slow fs -o /nonexistent/out.json", "guest extra", "replay /dev/null ps",
    "replay /nonexistent ps", "diagnose --thresholds /nonexistent", "use no-such-container", "whois 0", "ps no-such-pod:1",
])
def test_bad_input_of_others(fathom, command):
    """And the sentence does not advise what the command cannot do."""
    done = fathom(*command.split(), timeout=15)
    assert (done.returncode, done.stdout) == (2, ""), done
    said = done.stderr.strip()
    assert len(said.splitlines()) == 1 and said.startswith(f"fathom {command.split()[0]}: "), said
    assert "--format" not in said and said.count("/nonexistent") <= 1, said


@pytest.mark.parametrize("frequency", ["0", "-1", "often", "10000000"])
def test_absurd_frequency(fathom, frequency):
    done = fathom("profile", "all", "-F", frequency, timeout=5)
    assert done.returncode == 2, done.stderr


def test_near_match_is_suggested(docker, start, fathom):
    web = start(docker, "webserver", "sleep", "1000")
    done = fathom("profile", "webservre" + web.name.removeprefix("webserver"), timeout=5)
    assert done.returncode == 2
    assert web.name in done.stderr


def test_ambiguous_prefix(docker, start, fathom):
    """Containers until two share the first three digits of their ids are too many; a name's prefix is no target."""
    one = start(docker, "twin", "sleep", "1000", labels={"n": "1"})
    two = start(docker, "twin2", "sleep", "1000")
    done = fathom("profile", "twin", timeout=5)
    assert done.returncode == 2
    assert one.name in done.stderr or two.name in done.stderr


def test_without_root_names_the_capability(fathom):
    with tempfile.TemporaryDirectory() as directory:
        # A checkout below /root is closed to others, and so is pytest's own directory.
        os.chmod(directory, 0o755)
        fathom.binary = shutil.copy(fathom.binary, directory)
        done = fathom("profile", "all", "-d", "1", user=65534, timeout=10, cwd="/")
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "CAP_" in done.stderr.upper()


def refuse_bpf():
    """bpf(2) gives EPERM to this process and what it starts, as in a container with a runtime's usual filter."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    allow, refuse = 0x7fff0000, 0x00050000 | errno.EPERM
    context = ctypes.c_void_p(seccomp.seccomp_init(allow))
    assert seccomp.seccomp_rule_add(context, ctypes.c_uint32(refuse), seccomp.seccomp_syscall_resolve_name(b"bpf"), 0) == 0
    assert seccomp.seccomp_load(context) == 0


def test_a_seccomp_filter_is_told_apart_from_a_limit(fathom):
    done = fathom("latency", "runq", "-d", "0.2", timeout=10, preexec_fn=refuse_bpf)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, (done.returncode, done.stderr)
    assert "seccomp" in done.stderr and "bpf(2)" in done.stderr and "locked-memory" not in done.stderr


def loaded():
    """Ids of programs and links in the kernel, and what is pinned."""
    bpftool = tool("bpftool")
    found = {kind: {entry["id"] for entry in json.loads(run(bpftool, "-j", kind, "show").stdout or "[]")}
             for kind in ("prog", "link", "map")}
    found["pinned"] = {os.path.join(d, n) for d, _, names in os.walk("/sys/fs/bpf") for n in names}
    return found


def owned(pid):
    """Ids of BPF programs that process `pid` holds, from its descriptors."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="utf-8", errors="replace") as file:
                found |= {("prog", int(line.split()[1])) for line in file if line.startswith("prog_id:")}
        except OSError:
            pass
    return found


@pytest.mark.parametrize("command", MEASURING)
@pytest.mark.parametrize("last", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_attached(fathom, wait_attached, command, last):
    pinned = loaded()["pinned"]
    measuring = fathom.start(command, "all", "-d", "600", "-o", "out.folded")
    wait_attached(measuring)
    mine = wait_for(lambda: owned(measuring.pid), what="a program of fathom's own")
    measuring.send_signal(last)
    measuring.wait(STOP_S)
    gone = {number for _, number in mine}
    # The kernel frees programs a grace period after the last descriptor closes.
    wait_for(lambda: not gone & loaded()["prog"], 30, "the kernel to drop the programs")
    assert loaded()["pinned"] == pinned


@pytest.mark.parametrize("command", MEASURING)
def test_output_is_checked_before_measuring(fathom, command, tmp_path):
    done = fathom(command, "all", "-d", "600", "-o", str(tmp_path), timeout=20)
    assert done.returncode == 2, done.stderr
