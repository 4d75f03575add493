# SPDX-License-Identifier: Apache-2.0
"""fathom cost against workloads that make one probe run, in one container."""
import subprocess

import pytest

from support import tool, wait_for

SECONDS = 2


def watch(fathom, command, target):
    """`fathom COMMAND TARGET`, running and attached."""
    process = fathom.start(command, target, "-q", "-d", "600", "-o", "out.folded")
    links = f"/proc/{process.pid}/fdinfo"
    wait_for(lambda: "link_type" in subprocess.run(["grep", "-rhs", "link_type", links], capture_output=True,
                                                   text=True, check=False).stdout, what="fathom to attach")
    return process


def test_switching_container_pays(docker, start, fathom):
    busy = start(docker, "pingpong", "/bin/pingpong")
    start(docker, "quiet", "sleep", "1000")
    watcher = watch(fathom, "offcpu", "all")
    found = fathom.json("cost", "--json", "-d", SECONDS)
    program = next(p for p in found["programs"] if p["name"] == "offcpu_switch" and p["holder_pid"] == watcher.pid)
    assert program["run_count"] > 1000 and program["run_time_ns"] > 50 * program["run_count"]
    assert program["map_bytes"] > 1 << 20 and program["type"] == "tracing"
    holder = next(h for h in found["holders"] if h["pid"] == watcher.pid)
    assert holder["comm"] == "fathom" and holder["rss_bytes"] > 1 << 20
    paid = {p["container"]: p for p in found["payers"] if p["program_id"] == program["id"]}
    # Every payer's part, and all of them together what the kernel says of the program.
    charged = sum(p["run_time_ns"] for p in paid.values())
    assert charged == pytest.approx(program["run_time_ns"], rel=0.05)
    assert sum(p["run_count"] for p in paid.values()) == pytest.approx(program["run_count"], rel=0.05)
    assert busy.name in paid
    assert paid[busy.name]["run_count"] > 100
    assert found["uncharged_ns"] < 0.05 * charged


def test_statistics_agree_with_bpftool(fathom, docker, start):
    """The same programs as another tool lists, under their full names."""
    start(docker, "pingpong", "/bin/pingpong")
    watcher = watch(fathom, "offcpu", "all")
    listed = fathom.json("cost", "--json", "-d", "0.5")
    shown = subprocess.run([tool("bpftool"), "prog", "show"], capture_output=True, text=True, check=True).stdout
    theirs = {int(line.split(":")[0]) for line in shown.splitlines() if line[:1].isdigit()}
    ours = {p["id"] for p in listed["programs"] if p["holder_pid"] == watcher.pid}
    assert ours and ours <= theirs


def test_text(fathom, docker, start):
    busy = start(docker, "pingpong", "/bin/pingpong")
    watch(fathom, "offcpu", busy.name)
    done = fathom("cost", "-d", SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("offcpu_switch", "always all", "HELD BY", "PAID BY", busy.name, "of one CPU"):
        assert words in done.stdout, done.stdout


def test_leaves_statistics_as_they_were(fathom):
    with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as setting:
        before = setting.read()
    assert fathom("cost", "-d", "0.2").returncode in (0, 3)
    with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as setting:
        assert setting.read() == before


@pytest.mark.parametrize("arguments", [("-d", "0"), ("-d", "soon"), ("-d", "9h"), ("web",), ("--colour",)],
                         ids=" ".join)
def test_bad_input(fathom, arguments):
    done = fathom("cost", *arguments, timeout=5)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
