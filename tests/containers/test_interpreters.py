# SPDX-License-Identifier: Apache-2.0
"""Stripped Go programs, and interpreters whose functions are not named: their native stacks are complete, and how to get
the names is said. Programs are the machine's own, mounted into containers."""
import json
import os
from pathlib import Path

import pytest

from folded import stacks, total
from runtimes import PROGRAMS
from support import Missing, lack, run, tool, wait_for

SYSTEM = {path: f"{path}:ro" for path in ("/usr", "/lib", "/lib64") if Path(path).exists()}
POINTS = 0.03
COMPLETE = 0.99
SECONDS = 4
HERTZ = 997


def need(name):
    try:
        return tool(name)
    except Missing as missing:
        return lack(str(missing))


def measure(fathom, tmp_path, container):
    """Stacks below the process, and the coverage list."""
    done = fathom("profile", container.name, "-d", SECONDS, "-F", HERTZ, "--format", "json", "-o", "p.json")
    assert done.returncode == 0, done.stderr
    assert fathom("flame", "p.json", "--format", "folded", "-o", "p.folded").returncode == 0
    coverage = json.loads((tmp_path / "p.json").read_text())["shapes"][0]["ledger"]["processes"]
    return [(stack[2:], weight) for stack, weight in stacks(tmp_path / "p.folded")], coverage


# ---- Go ----

BUILDS = {
    "static": ["-ldflags=-s -w"],
    "pie": ["-buildmode=pie", "-ldflags=-s -w"],
    "pie-system-linker": ["-buildmode=pie", "-ldflags=-s -w -linkmode=external"],
}


@pytest.mark.parametrize("build", BUILDS)
def test_stripped_go(docker, start, fathom, tmp_path, build):
    program = tmp_path / "split"
    run(need("go"), "build", *BUILDS[build], "-o", program, PROGRAMS / "split.go", timeout=300,
        env={**os.environ, "GO111MODULE": "off", "GOFLAGS": ""})
    container = start(docker, "go", "/srv/split", mounts={**SYSTEM, str(program): "/srv/split:ro"})
    found, _ = measure(fathom, tmp_path, container)
    first = ("runtime.goexit", "runtime.mstart", "runtime.rt0_go", "_rt0_", "_start", "clone", "__clone", "runtime.clone")
    reached = sum(weight for stack, weight in found if stack[0].startswith(first))
    assert reached >= COMPLETE * total(found), [s for s in found if not s[0][0].startswith(first)]
    assert total(found, "main.burn") > 0.95 * total(found)
    assert total(found, "main.(*counter).spin") > 0.9 * total(found)
    if build == "pie-system-linker":
        check_lines(fathom, tmp_path, container)


def check_lines(fathom, tmp_path, container):
    """Without debug information Go's own table still tells files and lines."""
    assert fathom("profile", container.name, "-d", 1, "-F", HERTZ, "--lines", "-o", "l.folded").returncode == 0
    source = (PROGRAMS / "split.go").read_text().splitlines()
    burn = {f"main.burn (split.go:{i})" for i, line in enumerate(source, 1) if line.startswith("\t\tc.")}
    spin = {f"main.(*counter).spin (split.go:{i})" for i, line in enumerate(source, 1) if "step" in line or "c.state = " in line}
    found = stacks(tmp_path / "l.folded")
    for lines in (burn, spin):
        assert sum(weight for stack, weight in found if lines & set(stack)) > 0.9 * total(found), (lines, found[:5])


# ---- Ruby, PHP ----

INTERPRETERS = {
    "ruby": (["ruby"], "spin.rb", "rb_vm_exec", "--yjit-perf"),
    "php": (["php"], "spin.php", "execute_ex", "opcache.jit_debug=16"),
}


@pytest.mark.parametrize("name", INTERPRETERS)
def test_native_stack_is_complete_and_advice_given(docker, start, fathom, tmp_path, name):
    command, program, loop, advice = INTERPRETERS[name]
    command = [os.path.realpath(need(command[0])), *command[1:]]
    extra = {path: f"{path}:ro" for path in ("/etc/php", "/var/lib/php") if Path(path).exists()}
    container = start(docker, name, *command, f"/srv/{program}",
                      mounts={**SYSTEM, **extra, str(PROGRAMS / program): f"/srv/{program}:ro"})
    wait_for(lambda: program.encode() in Path(f"/proc/{container.pid}/cmdline").read_bytes(), what=name)
    found, coverage = measure(fathom, tmp_path, container)
    reached = sum(weight for stack, weight in found if stack[0] == "_start")
    assert reached >= COMPLETE * total(found), [s for s in found if s[0][0] != "_start"][:5]
    assert total(found, loop) > 0.95 * total(found)
    assert [advice in (process.get("advice", "")) for process in coverage] == [True], coverage
    assert advice in fathom("flame", "p.json", "--format", "text").stdout.replace("\n", " ")
