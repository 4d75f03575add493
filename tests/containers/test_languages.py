# SPDX-License-Identifier: Apache-2.0
"""Node.js, Java, Rust and C++ in containers: the functions people wrote are named, in the shares that are true.

The programs and what they need are the machine's own, mounted into the container, so that no image has to be made."""
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from folded import chance, stacks, total
from runtimes import PROGRAMS, die_with_parent
from support import PATIENCE, STOP_S, Missing, lack, run, tool, wait_for

POINTS = 0.03
SYSTEM = {path: path for path in ("/usr", "/lib", "/lib64", "/etc/java-17-openjdk") if Path(path).exists()}
NODE_FLAGS = ("--perf-basic-prof-only-functions", "--interpreted-frames-native-stack")


def need(name):
    try:
        return tool(name)
    except Missing as missing:
        return lack(str(missing))


def share(found):
    """Of three_quarters in both."""
    three, one = total(found, "three_quarters"), total(found, "one_quarter")
    assert three + one > 300, found
    return three / (three + one)


def is_split(found):
    three, one = total(found, "three_quarters"), total(found, "one_quarter")
    return abs(share(found) - 0.75) < max(POINTS, chance(0.75, three + one))


def named(found, *frames):
    return [(stack, weight) for stack, weight in found if any(f.split(" ")[0].removesuffix("_[j]").removesuffix("_[i]")
                                                               in frames for f in stack)]


@pytest.fixture
def measure(fathom, tmp_path):
    """measure(container, *options) -> (stacks, notes): enough samples for 3 points on a busy machine, too."""
    def one(container, *options, seconds=5):
        done = fathom("profile", container.name, "-d", seconds, "-F", 997, "--format", "json", "-o", "p.json", *options)
        assert done.returncode in (0, 3), done.stderr
        flat = fathom("flame", "p.json", "--format", "folded", "-o", "p.folded")
        assert flat.returncode == 0, flat.stderr
        notes = fathom.json("flame", "p.json", "--format", "json", "-o", "-")["shapes"][0]["ledger"].get("notes", [])
        return strip(stacks(tmp_path / "p.folded")), notes
    return one


def strip(found):
    """Namespaces and classes are not what is asked here."""
    def short(frame):
        for prefix in ("shop::", "split::", "Split."):
            frame = frame.removeprefix(prefix)
        return frame
    return [([short(frame) for frame in stack], weight) for stack, weight in found]


# ---- Node.js ----

def start_node(docker, start, *flags, name="web"):
    need("node")
    container = start(docker, name, os.path.realpath(need("node")), *flags, "/srv/split.js",
                      mounts={**SYSTEM, str(PROGRAMS / "split.js"): "/srv/split.js"})
    wait_for(lambda: Path(f"/proc/{container.pid}/comm").read_text() == "node\n", what="node to start")
    return container


def test_node_names_come_from_its_map(docker, start, measure):
    web = start_node(docker, start, *NODE_FLAGS)
    found, notes = measure(web)
    assert is_split(found), share(found)
    js = total(found, "three_quarters") + total(found, "one_quarter")
    assert total(found, "turn", "three_quarters") + total(found, "turn", "one_quarter") > 0.97 * js
    assert not [note for note in notes if "Node.js" in note]


def test_node_without_a_map_says_how_to_get_one_once(docker, start, measure):
    web = start_node(docker, start)
    found, notes = measure(web, seconds=2)
    assert total(found, "[jit: no perf map]") > 0
    advice = [note for note in notes if "Node.js" in note]
    assert len(advice) == 1 and all(flag in advice[0] for flag in NODE_FLAGS), notes


FIRST = ("_start", "clone", "clone3", "start_thread")


def complete(found):
    """Share of samples with a user half that begins where its thread does. (The frames before are container and process.)"""
    user = [(stack[2:], weight) for stack, weight in found]
    user = [(stack, weight) for stack, weight in user if stack and not stack[0].endswith("_[k]")]
    whole = sum(weight for _, weight in user)
    assert whole > 200, found
    return sum(weight for stack, weight in user if stack[0] in FIRST) / whole


def test_node_under_load_is_complete(docker, start, measure):
    """JIT code, V8's and libuv's C++ without frame pointers, OpenSSL's assembler, zlib: mixed, in several threads."""
    web = start(docker, "web", os.path.realpath(need("node")), *NODE_FLAGS, "/srv/load.js",
                mounts={**SYSTEM, str(PROGRAMS / "load.js"): "/srv/load.js"})
    wait_for(lambda: max(map(cpu_ns, Path(f"/proc/{web.pid}/task").iterdir())) > 5e8, 60, "it to run")
    found, notes = measure(web)
    assert complete(found) >= 0.99, notes
    assert total(found, "processTicksAndRejections") + total(found, "(anonymous load.js:") > 0.1 * total(found)


# ---- Java ----

@pytest.fixture(scope="module")
def java(tmp_path_factory):
    directory = tmp_path_factory.mktemp("java")
    run(need("javac"), "-d", directory, PROGRAMS / "Split.java", PROGRAMS / "Busy.java", timeout=120)
    directory.chmod(0o755)  # for another user in the container
    return directory


def start_java(docker, start, java, *flags, main="Split", **options):
    container = start(docker, "shop", os.path.realpath(need("java")), "-Xmx64m", *flags, "-cp", "/srv", main,
                      mounts={**SYSTEM, str(java): "/srv"}, **options)
    # Its first thread only waits for the one that runs main(); that runs when it has used CPU for a while.
    wait_for(lambda: max(map(cpu_ns, Path(f"/proc/{container.pid}/task").iterdir())) > 5e8, 60, "it to run")
    return container


def cpu_ns(task):
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def attach_files(container):
    return [path.name for path in Path(f"/proc/{container.pid}/root/tmp").iterdir()
            if path.name.startswith((".attach_pid", ".java_pid", "perf-"))]


def test_java_is_asked_for_its_map(docker, start, java, measure):
    shop = start_java(docker, start, java, "-XX:+PreserveFramePointer")
    found, notes = measure(shop, "--java-map")
    assert not [note for note in notes if "Java" in note]
    assert is_split(found), share(found)
    assert total(found, "Interpreter") + total(found, "main") > 0.9 * total(found, "JavaMain")
    assert sorted(attach_files(shop)) == [".java_pid1", "perf-1.map"]


def test_java_with_frame_pointers_is_complete(docker, start, java, measure):
    shop = start_java(docker, start, java, "-XX:+PreserveFramePointer", main="Busy")
    found, notes = measure(shop, "--java-map")
    assert complete(found) >= 0.95, notes
    assert total(found, "Busy.sort") > 0 and total(found, "Busy.maps") > 0


def test_java_without_frame_pointers_says_which_flag(docker, start, java, fathom):
    shop = start_java(docker, start, java, main="Busy")
    done = fathom("profile", shop.name, "-d", 2, "--java-map")
    assert done.stdout.count("-XX:+PreserveFramePointer") == 1, done.stdout


def test_java_is_not_touched_unless_asked(docker, start, java, measure):
    shop = start_java(docker, start, java, "-XX:+PreserveFramePointer")
    found, notes = measure(shop, seconds=2)
    assert total(found, "three_quarters") == 0
    assert [note for note in notes if "--java-map" in note]
    assert attach_files(shop) == []


def test_java_that_handles_no_signals_is_asked_without(docker, start, java, measure):
    """With -Xrs, SIGQUIT would end it; its socket is open from the start."""
    shop = start_java(docker, start, java, "-XX:+PreserveFramePointer", "-Xrs")
    found, notes = measure(shop, "--java-map", seconds=2)
    assert shop.alive() and total(found, "three_quarters") > 0, notes


def test_java_that_takes_no_questions_lives_on(docker, start, java, measure):
    shop = start_java(docker, start, java, "-XX:+DisableAttachMechanism")
    _, notes = measure(shop, "--java-map", seconds=2)
    assert [note for note in notes if "start it without -XX:+DisableAttachMechanism" in note], notes
    assert not [note for note in notes if "--java-map" in note], notes # it was measured with that
    assert shop.alive() and attach_files(shop) == []
    assert "Full thread dump" not in docker.cli("logs", shop.id).stdout


def test_java_of_another_user_is_asked_as_that_user(docker, start, java, measure):
    shop = start_java(docker, start, java, "-XX:+PreserveFramePointer", 
                      args=["--user", "4711:4712", "--tmpfs", "/tmp:mode=1777"])
    found, notes = measure(shop, "--java-map", seconds=3)
    assert total(found, "three_quarters") > 0, notes
    written = Path(f"/proc/{shop.pid}/root/tmp/perf-1.map").stat()
    assert written.st_uid == 4711


# ---- what passes for Java ----

@pytest.mark.parametrize("how, said", [
    ("silent", "did not end in time"),
    ("deaf", "did not open its socket"),
    ("endless", "Java process"),
    ("link", "takes no questions|cannot be used|did not open"),
    ("none", "takes no questions"),
])
def test_hostile_java_costs_a_bounded_time_and_nothing_else(docker, start, fathom, tmp_path, how, said):
    """Nothing outside of the container is touched, the target lives, the result is there."""
    outside = tmp_path / "outside.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(outside))
        listening.listen()
        bad = start(docker, "bad", "sh", "-c", f"cp /bin/busybox /libjvm.so && exec notjava /libjvm.so {how} {outside}")
        wait_for(lambda: Path(f"/proc/{bad.pid}/comm").read_text() == "notjava\n", what="the program to start")
        began = time.monotonic()
        done = fathom("profile", bad.name, "-d", 1, "--java-map")
        took = time.monotonic() - began
        assert done.returncode in (0, 3), done.stderr
        assert re.search(said, done.stdout), done.stdout
        assert took < 20 * PATIENCE  # two questions of 8 s
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert bad.alive()
    assert not [name for name in attach_files(bad) if name.startswith(".attach_pid")]


# ---- inlined functions ----

BUILDS = {
    "c++": ["g++", "-O2", "-g", "-o", "split", PROGRAMS / "split.cc"],
    "rust": ["rustc", "-O", "-g", "-o", "split", PROGRAMS / "split.rs"],
}


@pytest.fixture(params=sorted(BUILDS))
def built(request, tmp_path):
    command = BUILDS[request.param]
    run(need(command[0]), *command[1:], cwd=tmp_path, timeout=120)
    return tmp_path / "split"


def start_program(docker, start, program, **mounts):
    shutil.copy(program, program.with_name("mounted"))
    return start(docker, "app", "/srv/split", mounts={**SYSTEM, str(program.with_name("mounted")): "/srv/split", **mounts})


def test_inlined_functions(docker, start, measure, built):
    app = start_program(docker, start, built)
    found, _ = measure(app)
    assert total(found, "three_quarters") == 0 and total(found, "main") > 0
    found, notes = measure(app, "--inline", "--lines")
    assert is_split(found), notes
    line = 1 + built_source(built).index("three_quarters(")
    assert any(frame.startswith("main (split.") and frame.endswith(f":{line})") for stack, _ in found
               for frame in stack if "three_quarters" in " ".join(stack)), (line, found[:3])


def built_source(program):
    """Lines of the source; the last that names three_quarters is the call in main."""
    name = "split.rs" if b"rustc" in program.read_bytes() else "split.cc"
    lines = (PROGRAMS / name).read_text().splitlines()

    class Lines(list):
        def index(self, text):
            return max(number for number, line in enumerate(self) if text in line)
    return Lines(lines)


def test_debug_file_of_the_container_counts_before_the_hosts(docker, start, measure, tmp_path):
    """A stripped program; its debug file lies in the container only, found by build-id."""
    need("objcopy")
    run(need("g++"), "-O2", "-g", "-Wl,--build-id", "-o", "split", PROGRAMS / "split.cc", cwd=tmp_path, timeout=120)
    notes = run("readelf", "-n", tmp_path / "split").stdout
    build_id = notes.split("Build ID: ")[1].split()[0]
    place = tmp_path / "debug" / build_id[:2]
    place.mkdir(parents=True)
    run("objcopy", "--only-keep-debug", tmp_path / "split", place / f"{build_id[2:]}.debug")
    run("strip", "-s", tmp_path / "split")
    mounts = {path: path for path in SYSTEM if path != "/usr"}
    mounts[str(tmp_path / "debug")] = "/usr/lib/debug/.build-id"
    mounts[str(tmp_path / "split")] = "/srv/split"
    app = start(docker, "app", "/srv/split", mounts=mounts)
    found, notes = measure(app, "--inline")
    assert total(found, "main", "three_quarters") > 0, (found[:3], notes)


# ---- debug files from a server ----

@pytest.fixture
def server(tmp_path):
    """A real debuginfod on loopback, serving tmp_path/served; yields its URL."""
    (tmp_path / "served").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([need("debuginfod"), "-d", ":memory:", "-p", str(port), "-F", "-t", "1", "-c", "1",
                                str(tmp_path / "served")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(STOP_S)


def is_served(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_debug_files_come_from_a_server_only_when_asked(docker, start, fathom, tmp_path, server):
    run(need("g++"), "-O2", "-g", "-Wl,--build-id", "-o", "split", PROGRAMS / "split.cc", cwd=tmp_path, timeout=120)
    build_id = run("readelf", "-n", tmp_path / "split").stdout.split("Build ID: ")[1].split()[0]
    run(need("objcopy"), "--only-keep-debug", tmp_path / "split", tmp_path / "served/split.debug")
    run("strip", "-s", tmp_path / "split")
    wait_for(lambda: is_served(f"{server}/buildid/{build_id}/debuginfo"), 30, "the server to index the file")
    app = start(docker, "app", "/srv/split", mounts={**SYSTEM, str(tmp_path / "split"): "/srv/split"})
    environment = {**os.environ, "DEBUGINFOD_URLS": server, "DEBUGINFOD_CACHE_PATH": str(tmp_path / "cache")}

    def measure(*options):
        done = fathom("profile", app.name, "-d", 1, "-o", "d.folded", *options, env=environment)
        assert done.returncode in (0, 3), done.stderr
        return strip(stacks(tmp_path / "d.folded"))

    found = measure("--inline")
    assert total(found, "[split+0x") > 0 and total(found, "three_quarters") == 0
    assert not (tmp_path / "cache").exists()
    assert total(measure("--debuginfod"), "main") > 0
    assert total(measure("--debuginfod", "--inline"), "main", "three_quarters") > 0
    done = fathom("profile", app.name, "-d", 1, "--debuginfod",
                  env={name: value for name, value in environment.items() if name != "DEBUGINFOD_URLS"})
    assert done.returncode == 2 and "DEBUGINFOD_URLS" in done.stderr
