# SPDX-License-Identifier: Apache-2.0
"""fathom host and use beside what /proc and the cgroup files say, and with containers whose use is known."""
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from support import STOP_S, spoilt_at_times, tool, wait_for


def meminfo():
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines}


def test_host_agrees_with_proc(docker, start, fathom):
    burning = start(docker, "burning", "/bin/burn", cpus=0.2)
    before = meminfo()
    report = fathom.json("host", "--json", "-i", 2)
    after = meminfo()
    values = {name: entry["value"] for name, entry in report["values"].items()}
    assert values["memory_total"] == pytest.approx(after["MemTotal"], rel=1e-6)
    low, high = sorted((before["MemAvailable"], after["MemAvailable"]))
    assert low - (1 << 30) <= values["memory_available"] <= high + (1 << 30)
    assert sum(values[f"cpu_{n}"] for n in ("user", "nice", "system", "iowait", "irq", "softirq", "steal", "idle")) == (
        pytest.approx(1, abs=1e-6))
    assert len(report["cpus"]) == os.cpu_count()
    assert {d["name"] for d in report["interfaces"]} == set(os.listdir("/sys/class/net"))
    assert values["uptime"] == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=30)
    mine = [p for p in report["processes"] if p["container"] == burning.name]
    assert [p["pid"] for p in mine] == [burning.pid] and mine[0]["command"] == "burn"
    assert mine[0]["cpu"] == pytest.approx(0.2, abs=0.1)
    text = fathom("host", "-i", "200ms", "--top", 3)
    assert text.returncode == 0
    for heading in ("uptime", "dmesg", "vmstat", "mpstat", "free", "pressure", "DISK", "INTERFACE", "TCP", "limits"):
        assert heading in text.stdout, heading


SYSSTAT_S = 4
# Two tools that look at the same seconds do not begin in the same instant: of four seconds they may miss a fifth of one at
# each end, and counters of ticks are rounded to 10 ms a CPU.
SHARE_ABS, RATE_REL = 0.12, 0.25


def started(*command):
    environment = os.environ | {"S_TIME_FORMAT": "ISO", "LC_ALL": "C"}
    return subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                            env=environment)


def averages(text):
    """Of sar and pidstat: dicts by column of the lines they average the interval to."""
    names, found = [], []
    for line in text.splitlines():
        words = line.split()
        if words[:1] != ["Average:"]:
            continue
        if any(word in words for word in ("IFACE", "active/s", "atmptf/s", "UID")):
            names = words[1:]
        else:
            found.append(dict(zip(names, words[1:])))
    return found


@spoilt_at_times  # they look for the same seconds, but not quite
def test_host_and_use_agree_with_sysstat(docker, start, fathom):
    """vmstat, mpstat, iostat, free, sar and pidstat beside fathom host and use, over the same seconds of a steady load."""
    tools = {name: tool(name) for name in ("vmstat", "mpstat", "iostat", "free", "sar", "pidstat")}
    burning = start(docker, "burning", "/bin/burn", cpus=0.6)
    writing = start(docker, "writing", "/bin/trouble", "direct", "/file", "64")
    talking = start(docker, "talking", "/bin/trouble", "talk", "7399", network="host")
    wait_for(lambda: all("ready" in docker.cli("logs", c.id).stdout for c in (writing, talking)), 30, "the load")
    running = {
        "vmstat": started(tools["vmstat"], "-n", SYSSTAT_S, 2),
        "free": started(tools["free"], "-b"),
        "mpstat": started(tools["mpstat"], "-P", "ALL", "-o", "JSON", SYSSTAT_S, 1),
        "iostat": started(tools["iostat"], "-d", "-x", "-o", "JSON", SYSSTAT_S, 2),
        "sar": started(tools["sar"], "-n", "DEV,TCP,ETCP", SYSSTAT_S, 1),
        "pidstat": started(tools["pidstat"], "-u", "-d", "-p", f"{burning.pid},{writing.pid}", SYSSTAT_S, 1),
        "use": started(fathom.binary, "use", "--json", "-d", SYSSTAT_S, burning.name),
        "host": started(fathom.binary, "host", "--json", "-i", SYSSTAT_S, "--top", 100),
    }
    said = {name: process.communicate(timeout=STOP_S)[0] for name, process in running.items()}
    host, use = json.loads(said["host"]), json.loads(said["use"])
    values = {name: entry["value"] for name, entry in host["values"].items()}

    cpus = json.loads(said["mpstat"])["sysstat"]["hosts"][0]["statistics"][-1]["cpu-load"]
    names = {"user": "usr", "system": "sys", "idle": "idle", "iowait": "iowait", "steal": "steal"}
    for ours, theirs in names.items():
        assert values[f"cpu_{ours}"] == pytest.approx(cpus[0][theirs] / 100, abs=SHARE_ABS), (ours, cpus[0])
        for cpu in host["cpus"]:
            assert cpu[ours] == pytest.approx(cpus[1 + cpu["cpu"]][theirs] / 100, abs=2 * SHARE_ABS), (ours, cpus)

    names, *_, last = (line.split() for line in said["vmstat"].splitlines()[1:])
    vmstat = dict(zip(names, map(int, last)))
    for ours, theirs in {"user": "us", "system": "sy", "idle": "id", "iowait": "wa"}.items():
        nice = values["cpu_nice"] if ours == "user" else 0  # to vmstat that is user time, and interrupts are system time
        extra = values["cpu_irq"] + values["cpu_softirq"] if ours == "system" else 0
        assert values[f"cpu_{ours}"] + nice + extra == pytest.approx(vmstat[theirs] / 100, abs=SHARE_ABS), (ours, vmstat)
    assert values["switches"] == pytest.approx(vmstat["cs"], rel=RATE_REL)
    assert values["interrupts"] == pytest.approx(vmstat["in"], rel=RATE_REL)
    assert values["written_bytes"] == pytest.approx(vmstat["bo"] * 1024, rel=RATE_REL)
    free = dict(zip(*(line.split()[-6:] for line in said["free"].splitlines()[:2])))
    assert values["memory_total"] == pytest.approx(int(free["total"]), rel=1e-6)
    for ours, theirs in {"free": "free", "available": "available", "used": "used"}.items():
        assert values[f"memory_{ours}"] == pytest.approx(int(free[theirs]), abs=values["memory_total"] / 20), ours

    disks = {d["disk_device"]: d for d in json.loads(said["iostat"])["sysstat"]["hosts"][0]["statistics"][-1]["disk"]}
    busiest = max(host["disks"], key=lambda d: d["write_bytes_per_s"])
    disk = disks[busiest["name"]]
    assert busiest["write_bytes_per_s"] == pytest.approx(disk["wkB/s"] * 1024, rel=RATE_REL)
    assert busiest["writes_per_s"] == pytest.approx(disk["w/s"], rel=RATE_REL)
    assert busiest["busy"]["value"] == pytest.approx(disk["util"] / 100, abs=2 * SHARE_ABS)

    lines = averages(said["sar"])
    loopback = next(line for line in lines if line.get("IFACE") == "lo")
    ours = next(i for i in host["interfaces"] if i["name"] == "lo")
    assert ours["received_packets_per_s"] == pytest.approx(float(loopback["rxpck/s"]), rel=RATE_REL)
    assert ours["received_bytes_per_s"] == pytest.approx(float(loopback["rxkB/s"]) * 1024, rel=RATE_REL)
    tcp = next(line for line in lines if "oseg/s" in line)
    assert values["tcp_segments_sent"] == pytest.approx(float(tcp["oseg/s"]), rel=RATE_REL)
    errors = next(line for line in lines if "retrans/s" in line)
    assert values["tcp_retransmits"] == pytest.approx(float(errors["retrans/s"]), rel=RATE_REL, abs=20)

    lines = [line for line in averages(said["pidstat"]) if line.get("PID") == str(burning.pid) and "%CPU" in line]
    processes = {p["pid"]: p for p in host["processes"]}
    theirs = float(lines[0]["%CPU"]) / 100
    assert processes[burning.pid]["cpu"] == pytest.approx(theirs, abs=SHARE_ABS)
    own = {row["resource"]: row["container"] for row in use["resources"]}
    assert own["CPU"]["utilisation"]["value"] == pytest.approx(theirs, abs=SHARE_ABS)
    # Every process with its container.
    for container in (burning, writing, talking):
        assert processes[container.pid]["container"] == container.name


def test_watch_counts(fathom):
    done = fathom("host", "--watch", "-n", 2, "-i", "150ms", "--json", "--top", 1)
    assert done.returncode == 0 and len([json.loads(line) for line in done.stdout.splitlines()]) == 2
    for arguments in (["-i", "0"], ["web"], ["-n", "3"]):
        done = fathom("host", *arguments)
        assert done.returncode == 2 and done.stderr, arguments


@spoilt_at_times  # two seconds: where it gets less than its quota for one of them it is not throttled
def test_use_of_a_capped_container(docker, start, fathom):
    capped = start(docker, "capped", "/bin/burn", cpus=0.1, memory="64m", args=["--pids-limit", "100"])
    time.sleep(0.2)
    report = fathom.json("use", "--json", "-d", 2, capped.name)
    own = {row["resource"]: row["container"] for row in report["resources"]}
    assert own["CPU"]["utilisation"]["value"] == pytest.approx(0.1, abs=0.05)
    assert own["CPU quota"]["utilisation"]["value"] == pytest.approx(1, abs=0.4)
    assert own["CPU quota"]["saturation"]["value"] > 0.5
    assert own["threads"]["utilisation"]["value"] == pytest.approx(0.01)
    assert 0 < own["memory"]["utilisation"]["value"] < 0.5
    assert own["locks"]["saturation"]["value"] is None and "fathom" in own["locks"]["saturation"]["unknown"]
    text = fathom("use", capped.name)
    assert text.returncode == 0 and capped.name in text.stdout and "HOST" in text.stdout
    assert "CPU" in fathom("use").stdout
    assert fathom("use", "no-such-container-here").returncode == 2


@spoilt_at_times  # as above
def test_started_inside_a_container(docker, start, fathom):
    build = fathom.binary.parent.parent.parent
    inside = start(docker, "inside", "/bin/trouble", "busy", "30", cpus=0.2, memory="64m",
                   args=["--memory-swap", "64m", "--pids-limit", "100", "-v", f"{build}:/fathom:ro", "-v", "/usr:/usr:ro",
                         "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"])
    done = docker.cli("exec", inside.id, "/fathom/src/cli/fathom", "guest", "--json", "-d", "2")
    report = json.loads(done.stdout)
    values = {name: entry["value"] for name, entry in report["values"].items()}
    assert values["cpu_quota"] == pytest.approx(0.2) and values["cpus"] == os.cpu_count()
    assert values["cpu_used"] == pytest.approx(0.2, abs=0.1) and values["throttled_periods"] > 0.2
    assert values["memory_limit"] == pytest.approx(64 << 20) and 0 < values["memory_working_set"] < 64 << 20
    assert values["pids_limit"] == 100 and values["processes"] == 2
    assert all(tool["shows_host"] for tool in report["tools"])
    # Commands for the host say the same instead of failing; that it is throttled is a finding.
    for command, status in (("diagnose", 1), ("diagnose --exit-zero", 0), ("host", 0), ("use", 0)):
        done = docker.cli("exec", inside.id, "/fathom/src/cli/fathom", *command.split(), check=False)
        assert "Inside a container" in done.stdout and "THE HOST'S" in done.stdout and not done.stderr, command
        assert done.returncode == status, (command, done.returncode)
    done = docker.cli("exec", inside.id, "/fathom/src/cli/fathom", check=False)
    assert done.returncode == 2 and "fathom guest" in done.stderr and "First thing to try" not in done.stderr
    # Process 1 is its own there: that the two share a network namespace does not make that the host's.
    done = docker.cli("exec", inside.id, "/fathom/src/cli/fathom", "top", "--count", "1", check=False)
    assert done.returncode == 0 and "MEM/LIMIT" in done.stdout and "host" not in done.stdout, done
    # Of one that does nothing it cannot be said from inside that nothing is wrong.
    calm = start(docker, "calm", "/bin/trouble", "busy", "1", cpus=1,
                 args=["-v", f"{build}:/fathom:ro", "-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"])
    for arguments, statuses in (([], {3}), (["--files", "-d", "2"], {0})):
        done = docker.cli("exec", calm.id, "/fathom/src/cli/fathom", "diagnose", *arguments, check=False)
        assert done.returncode in statuses, (arguments, done.stdout)
