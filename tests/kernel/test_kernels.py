# SPDX-License-Identifier: Apache-2.0
"""Every probe on every rung, on Debian's 6.1 and 6.12 and on the running kernel; and whole commands on containers of
crun and podman on cgroup v2, in the guests."""
import json
import re

import pytest

import scenario

SPLIT_POINTS = 0.20  # an emulated timer is late, and more so in one loop than in the other
FEW_SAMPLES = 30
worked = {}  # (probe, rung) by kernel, filled in ascending order of kernels


def check_rungs(answer):
    """All rungs' states; fails when one failed, or when a probe has none that works."""
    rungs = scenario.rungs(answer.text)
    assert rungs, answer.text
    assert not [r for r in rungs if r.state == "fail"], answer.text
    assert {r.probe for r in rungs} == {r.probe for r in rungs if r.state == "ok"}, answer.text
    assert answer.status == 0, answer.text
    return {(r.probe, r.name) for r in rungs if r.state == "ok"}


def test_every_probe_on_every_rung(answers):
    found = check_rungs(answers["probe_check"])
    older = set().union(*worked.values())
    worked[len(worked)] = found
    assert not older - found, "worked on an older kernel"


def test_every_probe_here(here):
    check_rungs(here)


def test_doctor_finds_probes(answers):
    assert answers["doctor"].status == 0, answers["doctor"].text
    for probe in ("profile", "offcpu", "walltime"):
        assert probe in answers["doctor"].text


@pytest.mark.parametrize("runtime", scenario.CONTAINERS)
def test_ps_names_container(answers, runtime):
    assert answers[runtime].status == 0, answers[runtime].text
    rows = [line for line in answers["ps"].text.splitlines() if scenario.CONTAINERS[runtime] in line]
    assert rows and runtime in rows[0], answers["ps"].text


@pytest.mark.parametrize("runtime", scenario.CONTAINERS)
def test_profile_tells_the_truth(answers, runtime):
    answer = answers[f"profile_{runtime}"]
    assert answer.status == 0, answer.text
    share, samples = scenario.shares(answer.text)
    assert samples >= FEW_SAMPLES, answer.text
    assert abs(share["three_quarters"] - 0.75) < SPLIT_POINTS, share


def test_walltime_tells_throttling_apart(answers):
    """On cgroup v2: the quota's part of the time, beside cpu.stat, and all parts together."""
    answer = answers["capped"]
    assert answer.status == 0, answer.text
    found = scenario.capped(answer.text)
    before, after = found.throttled
    ours = found.states.get("waiting for CPU: throttled", 0)
    assert sum(found.states.values()) == pytest.approx(found.expected, rel=0.02), answer.text
    # The books are read a little before and after, and count a period when it ends.
    assert 0 < ours <= 1.1 * (after - before) + 2 * scenario.PERIOD_US, answer.text
    assert ours >= 0.5 * found.expected, answer.text  # an eighth of a CPU, and never idle
    running = sum(us for cause, us in found.states.items() if cause.startswith("running"))
    assert running <= 0.3 * found.expected, answer.text


def test_diagnose_finds_memory_high(answers):
    """On cgroup v2: above memory.high the kernel makes it wait, and that is the first verdict."""
    answer = answers["high"]
    assert answer.status == 1, answer.text
    before, after = (int(n) for n in re.findall(r"^high (\d+)$", answer.text, re.M))
    report = json.loads(next(line for line in answer.text.splitlines() if line.startswith("{")))
    found = report["findings"][0]
    assert found["container"] == "high" and found["verdict"] == "memory.high reached", found
    values = {e["name"]: e["value"] for e in found["evidence"]}
    assert values["memory_high"] == scenario.HIGH
    assert 0 < values["high_events"] * report["duration_ns"] / 1e9 <= after - before


def test_cost_knows_who_pays(answers):
    answer = answers["cost"]
    assert answer.status == 0, answer.text
    found = json.loads(next(line for line in answer.text.splitlines() if line.startswith("{")))
    assert found["programs"] and sum(p["run_count"] for p in found["programs"]) > 0
    assert found["payers"] is not None, found.get("payers_why_not")
    charged = sum(p["run_time_ns"] for p in found["payers"])
    assert charged > 0 and found["uncharged_ns"] <= 0.2 * (charged + found["uncharged_ns"]), answer.text


def test_agent_watches_all(answers):
    """What it always watches, with the programs that are on for part of the time, loads on this kernel, and its containers are there."""
    answer = answers["agent"]
    assert answer.status == 0, answer.text
    books, listed = json_lines(answer.text)
    assert books["ticks"] >= 5 and {part["name"]: (part["state"], part["why"]) for part in books["parts"]} == \
        dict.fromkeys((part["name"] for part in books["parts"]), ("on", None)), answer.text
    assert {"crunweb", "podweb"} <= {container["name"] for container in listed["containers"]}, answer.text


def test_walltime_finds_running_time(answers):
    answer = answers["walltime_crun"]
    assert answer.status == 0, answer.text
    assert "split7525" in answer.text and "three_quarters" in answer.text


def test_stacks_are_complete(answers):
    answer = answers["stacks"]
    assert answer.status in (0, 3), answer.text # 3: emulated CPUs miss ticks
    whole, total = re.search(r"whole (\d+) of (\d+)", answer.text).groups()
    assert int(total) >= FEW_SAMPLES and int(whole) >= 0.99 * int(total), answer.text


def test_heap_by_function_and_fate(answers):
    """As tests/containers/test_memory.py, which explains the numbers, has it of this machine's kernel."""
    answer = answers["heap"]
    assert answer.status == 0, answer.text
    count = scenario.HEAP_COUNT
    truth = {("keep_here", "still allocated"): count * 1000, ("drop_here", "freed again"): count * 1000,
             ("zeroed_here", "still allocated"): count * 1000, ("aligned_here", "still allocated"): count // 10 * 4096,
             ("grow_here", "freed again"): count // 100 * 1000 * 5050,
             ("child_here", "not freed before its process ended"): count * 1000}
    found = dict.fromkeys(truth, 0)
    for stack, weight in re.findall(r"^(heap;.*) (\d+)$", answer.text, re.M):
        for function, fate in truth:
            found[function, fate] += int(weight) * (function in stack.split(";") and fate in stack.split(";"))
    assert found == truth, answer.text


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("rung", ["fentry/vfs_*", "tp_btf/sys_enter+exit"])
def test_fs_counts_as_ext4dist(answers, rung):
    answer = answers["ext4"]
    assert answer.status == 0, answer.text
    peer = {operation: sum(int(n) for n in re.findall(r"-> \d+\s*: (\d+)", body))
            for operation, body in re.findall(r"operation = '(\w+)'(.*?)(?=operation =|^\{)", answer.text, re.S | re.M)}
    shapes = [line["shapes"][0] for line in json_lines(answer.text)]
    counts = dict.fromkeys(("read", "write", "open", "fsync"), 0)
    for shape in shapes:
        for row in shape["rows"] if shape["ledger"]["rung"] == rung else []:
            labels = dict(zip(shape["labels"], row["values"]))
            if labels["type"] == "ext4":
                counts[labels["operation"]] += row["counts"]["count"]
    for operation, count in counts.items():
        assert count >= 50 and abs(count - peer[operation]) <= 2, (operation, count, peer, answer.text)


def test_top_agrees_with_cgroup_files(answers):
    answer = answers["top"]
    assert answer.status == 0, answer.text
    [before_us, after_us] = [int(n) for n in re.findall(r"^usage_usec (\d+)", answer.text, re.M)]
    first, second = [row for row in json_lines(answer.text) if row["name"] == "crunweb"]
    assert before_us * 1000 <= first["cpu_ns"] < second["cpu_ns"] <= after_us * 1000, answer.text
    assert second["rates"]["runqueue_wait"] > 0 and second["threads"] == 1 and second["pids"] == 1, answer.text
    assert second["memory_bytes"] > 0 and "memory_working_set_bytes" in second and "oom_kills" in second, answer.text
    assert [row for row in json_lines(answer.text) if row["resource"] == "host"][1]["rates"]["cpu"] > 0.5, answer.text


def test_top_shows_processes(answers):
    answer = answers["top_processes"]
    assert answer.status == 0, answer.text
    burning = [row for row in json_lines(answer.text) if row["name"] == "split7525" and row["rates"].get("cpu", 0) > 0]
    assert burning and all(row["inner_pid"] == "1" and row["memory_bytes"] > 0 for row in burning), answer.text


def test_nothing_stays_pinned(answers):
    assert answers["left"].text == ""
