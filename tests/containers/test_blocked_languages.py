# SPDX-License-Identifier: Apache-2.0
"""Blocked time of programs in the languages people run: nearly all of it has a stack that reaches its thread's first frame,
and leads through the functions that blocked. All of them are watched at once, so that the file takes seconds."""
import json
import os
import shutil
from pathlib import Path

import pytest

from folded import stacks, total
from runtimes import PROGRAMS
from support import fathom_binary, lack, run, scheduled_us, tool, wait_for

SYSTEM = {path: f"{path}:ro" for path in ("/usr", "/lib", "/lib64") if Path(path).exists()}
SECONDS = 4
COMPLETE = 0.98
# Where threads begin. (_start has no name in stripped programs, and calls __libc_start_main; Go's scheduler begins in mcall.)
FIRST = {"__libc_start_main", "_start", "clone", "__clone", "clone3", "__clone3", "start_thread", "runtime.goexit", "runtime.mstart",
         "runtime.rt0_go", "runtime.mcall"}
CLANG = "mkfifo /tmp/source; (exec 3> /tmp/source; while :; do echo 'int f(int x);' >&3; usleep 5000; done) & exec {} -fsyntax-only -x c - < /tmp/source"

# What it takes; its command; functions of which each must have blocked: its own where they are named, or its runtime's.
LANGUAGES = {
    "python": ("python3.11", ["python3.11", "naps.py"], ["nap_asleep (", "nap_on_lock (", "nap_on_pipe ("]),
    "ruby": ("ruby", ["ruby", "naps.rb"], ["rb_vm_exec"]),
    "php": ("php", ["php", "naps.php"], ["execute_ex"]),
    "node": ("node", ["node", "naps.js"], ["uv_run", "v8::internal::FutexEmulation::Wait", "uv__fs_work"]),
    "rust": ("rustc", ["/srv/naps"], ["naps::nap_asleep", "naps::nap_on_lock", "naps::nap_on_socket"]),
    "go": ("go", ["/srv/naps"], ["main.napInCall", "main.napOnPipe", "runtime.findRunnable"]),
    "clang": ("clang", ["sh", "-c", CLANG], ["cc1_main"]),
}
PROCESS = {"rust": "naps", "go": "naps"}  # its name, where it is not the language's


def build(language, directory):
    if language == "rust":
        run("rustc", "-O", "-C", "symbol-mangling-version=v0", "-o", directory / "naps", PROGRAMS / "naps.rs", timeout=120)
    elif language == "go":
        run("go", "build", "-ldflags=-s -w", "-o", directory / "naps", PROGRAMS / "naps.go", timeout=300,
            env={**os.environ, "GO111MODULE": "off", "GOFLAGS": ""})
    elif language != "clang":
        source = next(PROGRAMS.glob(f"naps.{ {'python': 'py', 'ruby': 'rb', 'php': 'php', 'node': 'js'}[language] }"))
        shutil.copy(source, directory)


def start(docker, language, directory):
    needed, command, _ = LANGUAGES[language]
    build(language, directory)
    directory.chmod(0o755)
    path = os.path.realpath(tool(needed))
    words = [path if word == needed else f"/srv/{word}" if word.startswith("naps.") else word.replace("{}", path) for word in command]
    extra = {path: f"{path}:ro" for path in ("/etc/php", "/var/lib/php") if Path(path).exists()}
    return docker.run(language, *words, mounts={**SYSTEM, **extra, str(directory): "/srv"})


def has_begun(container):
    """Its threads have waited for one another some times."""
    switches = [int(line.split()[1]) for status in Path("/proc").glob(f"{container.pid}/task/*/status")
                for line in status.read_text().splitlines() if line.startswith("voluntary")]
    return sum(switches) > 50


def busy_us(container):
    """How long its first thread has not blocked, but run or waited for a CPU."""
    return sum(scheduled_us(container.pid))


def blocked_of(path, container, process):
    """Stacks of the container's processes of that name, container and process left out."""
    return [(stack[2:], weight) for stack, weight in stacks(path) if stack[0] == container and stack[1].startswith(process)]


@pytest.fixture(scope="module")
def watched(docker, tmp_path_factory):
    """Language → (stacks, coverage list, how long its first thread did not block) of one observation; languages the machine
    lacks are left out."""
    directory = tmp_path_factory.mktemp("naps")
    containers, result, told = {}, directory / "o.json", directory / "o.folded"
    try:
        for language in LANGUAGES:
            if shutil.which(LANGUAGES[language][0]):
                (directory / language).mkdir()
                containers[language] = start(docker, language, directory / language)
        for language, container in containers.items():
            wait_for(lambda one=container: has_begun(one), 30, f"{language} to begin")
        names = [container.name for container in containers.values()]
        before = {language: busy_us(container) for language, container in containers.items()}
        run(fathom_binary(), "offcpu", *names, "-d", SECONDS, "-o", result)
        busy = {language: busy_us(container) - before[language] for language, container in containers.items()}
        run(fathom_binary(), "flame", result, "-o", told)
        coverage = json.loads(result.read_text())["shapes"][0]["ledger"]["processes"]
        yield {language: (blocked_of(told, container.name, PROCESS.get(language, language)),
                          [entry for entry in coverage if entry["container"] == container.name], busy[language])
               for language, container in containers.items()}
    finally:
        for container in containers.values():
            docker.rm(container)


@pytest.mark.parametrize("language", LANGUAGES)
def test_blocked_stacks_are_complete(watched, language):
    if language not in watched:
        lack(f"{LANGUAGES[language][0]} is not installed")
    found, coverage, busy = watched[language]
    whole = sum(weight for _, weight in found)
    # At least one thread, which does little but block; on a busy machine it waits for a CPU as well.
    assert whole > max(0.9 * (SECONDS * 1e6 - busy), 0.1 * SECONDS * 1e6), (busy, found, coverage)
    reached = sum(weight for stack, weight in found if FIRST & set(stack))
    assert reached >= COMPLETE * whole, sorted((s for s in found if not FIRST & set(s[0])), key=lambda s: -s[1])[:5]
    said = [entry["stacks"] for entry in coverage if entry["name"].startswith(PROCESS.get(language, language))]
    assert sum(one.get("complete", 0) for one in said) >= COMPLETE * sum(sum(one.values()) for one in said), coverage
    for function in LANGUAGES[language][2]:
        assert total(found, function) > 0.1 * SECONDS * 1e6 / 4, (function, found[:5])
