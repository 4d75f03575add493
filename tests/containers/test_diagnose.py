# SPDX-License-Identifier: Apache-2.0
"""fathom diagnose beside loads whose trouble is known: the short form of ./dev bench diagnosis. What does not disturb each
other runs at the same time, under one observation."""
import contextlib
import json
from pathlib import Path

import pytest

import scenarios
from support import machines_cpu_s, run, wait_for

SECONDS = 4
# Of these no more than a few per cent of a CPU is used, but for one quota.
TOGETHER = ["cpu_cap", "healthy_cache", "healthy_pool", "healthy_idle", "memory_oom", "lock_contention", "limit_pids",
            "limit_files", "net_refused", "net_listen", "net_deaf", "net_udp", "net_drops", "net_shaped", "net_shaped_host",
            "net_workers", "dns_failing", "peer_chain"]
BUSY_CPU = {"CPU taken by a neighbour", "behind a neighbour, beside idle CPUs", "waits beside idle CPUs", "cpuset too small",
            "own CPU demand"}


@pytest.fixture
def stage(docker):
    stage = scenarios.Stage(docker)
    yield stage
    stage.close()


def set_up(stage, *names):
    """Starts them; the truths and culprits of all, by short name."""
    truths, culprits = {}, {}
    for name in names:
        scenario = scenarios.load(name)
        before = set(stage.containers)
        scenario.setup(stage)
        truths |= {c: (name, verdict) for c, verdict in scenario.TRUTH.items()}
        culprits |= getattr(scenario, "CULPRIT", {})
        for short in set(stage.containers) - before:
            if f'"{short}", TROUBLE' in Path(scenario.__file__).read_text():
                wait_for(lambda s=short: stage.is_ready(s), 60, f"{short} to begin")
    return truths, culprits


def diagnose(fathom, *arguments):
    done = fathom("diagnose", "-d", SECONDS, "--json", *arguments)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def verdict_of(stage, report, short, truth):
    """The first verdict. Whatever else this machine does while it is tested may take the CPU from a container for a while:
    that it waited is then true, and not what is asked. ./dev bench diagnosis, on a quiet machine, makes no such allowance."""
    found = [f for f in report["findings"] if f["container"] == stage.name_of(short)]
    return next((f for f in found if truth in BUSY_CPU or f["verdict"] not in BUSY_CPU), None)


def check(stage, report, truths, culprits):
    for short, (scenario, truth) in truths.items():
        found = verdict_of(stage, report, short, truth)
        assert (found and found["verdict"]) == truth, (scenario, short, found)
        if short in culprits and not (truth in BUSY_CPU and found["fault"] == "host"):
            # (What else this machine does may have had more of that CPU than the neighbour.)
            assert scenarios.blames(found, stage.name_of(culprits[short])), found
        if found:
            assert found["evidence"] and found["disproof"] and found["advice"] and found["more"]


def test_many_at_once(stage, fathom):
    truths, culprits = set_up(stage, *TOGETHER)
    report = diagnose(fathom)
    check(stage, report, truths, culprits)
    front = verdict_of(stage, report, "front", "waits for a peer")
    assert front["chain"] == [stage.name_of(n) for n in ("front", "middle", "back")]
    # The same from files alone, for those where that is enough.
    truths = {c: t for c, t in truths.items() if getattr(scenarios.load(t[0]), "FILES", False)}
    check(stage, diagnose(fathom, "--files"), truths, culprits)


def test_neighbour_and_thrashing(stage, fathom):
    truths, culprits = set_up(stage, "cpu_neighbour")
    check(stage, diagnose(fathom, stage.name_of("victim")), truths, culprits)
    check(stage, diagnose(fathom, "--files"), truths, culprits)
    stage.close()
    truths, culprits = set_up(stage, "memory_thrash")
    check(stage, diagnose(fathom), truths, culprits)
    check(stage, diagnose(fathom, "--files"), truths, culprits)


def run_and_wait_ns(container):
    """Time the threads of a container ran and waited for a CPU so far, by the kernel's own account."""
    times = []
    for task in Path(f"/proc/{container.pid}/task").iterdir():
        with contextlib.suppress(OSError):
            times.append([int(n) for n in (task / "schedstat").read_text().split()[:2]])
    return [sum(column) for column in zip(*times)]


LOOKS = 6
STOLEN = 0.02  # of all CPU time: with more of it a thread that is always busy has no whole CPU either
CALM_WAIT = 0.1  # of the time its threads want to run they wait: what is left of the machine for others is another's fault


@pytest.mark.parametrize("name", ["one_thread", "interpreter_lock"])
def test_one_thread(stage, fathom, name):
    """What goes through one thread, from kernel programs and from files. Where this machine has no CPU for it all the time, that
    is another trouble: then it is looked at again, and only looks with a CPU for it count."""
    truths, _ = set_up(stage, name)
    (short, (_, truth)), = truths.items()
    container, right, calm_and_wrong = stage.containers[short], {}, []
    for number in range(LOOKS):
        files = bool(number % 2)
        if right.get(files):
            continue
        before, machine = run_and_wait_ns(container), machines_cpu_s()
        report = diagnose(fathom, *(["--files"] if files else []), container.name)
        ran, waited = (b - a for a, b in zip(before, run_and_wait_ns(container)))
        found = next((f for f in report["findings"] if f["container"] == container.name and f["verdict"] == truth), None)
        if found:
            right[files] = True
            assert found["more"] == f"fathom profile {container.name}:1" and found["fault"] == "container", found
        everything, stolen = (after - b for after, b in zip(machines_cpu_s(), machine))
        if not found and waited < CALM_WAIT * (ran + waited) and stolen < STOLEN * everything:
            calm_and_wrong.append(report)
        assert len(calm_and_wrong) < 3, calm_and_wrong
        if len(right) == 2:
            return
    pytest.skip(f"this machine has no CPU for a thread that is always busy: {right}")


def test_one_busy_thread_is_no_trouble(stage, fathom):
    truths, culprits = set_up(stage, "healthy_one_thread")
    check(stage, diagnose(fathom), truths, culprits)
    check(stage, diagnose(fathom, "--files"), truths, culprits)


def test_steal(stage, fathom):
    """Of a hypervisor there is none but what /proc/stat says."""
    truths, culprits = set_up(stage, "cpu_steal")
    machine = machines_cpu_s()
    done = run(*stage.before, fathom.binary, "diagnose", "-d", 2, "--files", "--json", stage.name_of("stolen"), check=False)
    everything, stolen = (after - before for after, before in zip(machines_cpu_s(), machine))
    report = json.loads(done.stdout)
    check(stage, report, truths, culprits)
    found = verdict_of(stage, report, "stolen", "hypervisor steal")
    truth = 0.3 + 0.7 * stolen / everything  # of what is left a hypervisor that there is has its part
    assert next(e["value"] for e in found["evidence"] if e["name"] == "steal") == pytest.approx(truth, abs=0.05)


def test_outputs_and_exit_statuses(stage, fathom, tmp_path):
    set_up(stage, "limit_files")
    name = stage.name_of("files")
    done = fathom("diagnose", "-d", 1, name)
    assert done.returncode == 1 and f"1. {name}: " in done.stdout, done.stdout
    assert fathom("diagnose", "-d", 1, "--exit-zero", "--files", name).returncode == 0
    done = fathom("diagnose", "-d", 1, "--files", "--markdown", name)
    assert done.returncode == 1 and done.stdout.startswith("## Diagnosis of ") and "```sh" in done.stdout
    # Thresholds of one's own. (On a busy machine it may wait for a CPU, too.)
    (tmp_path / "calm.conf").write_text("[thresholds]\nfiles = 200 %\ncontention = 200 %\ncontention_beside_idle = 200 %\n")
    done = fathom("diagnose", "-d", 1, "--files", "--thresholds", "calm.conf", name)
    assert done.returncode == 0 and "Nothing found." in done.stdout, done.stdout


@pytest.mark.parametrize("arguments, words", [
    (["-d", "never"], "not a duration"),
    (["--json", "--markdown"], "exclude each other"),
    (["--thresholds", "/nowhere"], "/nowhere"),
    (["no-such-container-here"], "no-such-container-here"),
])
def test_bad_input(fathom, arguments, words):
    done = fathom("diagnose", *arguments)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) <= 3
