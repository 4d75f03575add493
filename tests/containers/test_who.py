# SPDX-License-Identifier: Apache-2.0
"""ps, namespaces and whois against real runtimes: who is there, under which name, and back."""
import json
import subprocess
from pathlib import Path

import pytest

from support import STOP_S, tool, wait_for

RUNTIMES = ["docker", "podman", "containerd", "runc"]
SLEEP = ("sleep", "100000")


def rows(fathom, *arguments):
    done = fathom(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(fathom, name):
    found = [r for r in rows(fathom, "ps") if r["name"] == name]
    assert len(found) == 1, found
    return found[0]


def status(pid, field):
    for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return line.split()[1:]
    raise KeyError(field)


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def comm(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.parametrize("kind", RUNTIMES)
def test_life(kind, request, start, fathom):
    runtime = request.getfixturevalue(kind)
    container = start(runtime, "life", *SLEEP)
    found = row(fathom, container.name)
    # runc leaves no process behind that would tell where its state is; it is found in /run/runc, not in a private place.
    assert found["runtime"] == ("other" if kind == "runc" else kind)
    assert found["pid"] == container.pid
    assert found["processes"] == 1
    if kind in ("docker", "podman"):
        assert found["id"] == container.id
        assert found["image"].split("/")[-1].split(":")[0] == "fathom-test"
    if "" in container.cgroups():
        assert found["cgroup"] == container.cgroups()[""]
    assert container.name in fathom("ps").stdout
    runtime.rm(container)
    assert container.name not in [r["name"] for r in rows(fathom, "ps")]
    gone = fathom("whois", container.name)
    assert gone.returncode == 2
    assert gone.stderr.startswith("fathom whois: no container") and gone.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", RUNTIMES)
def test_whois_inner_pid(kind, request, start, fathom):
    container = start(request.getfixturevalue(kind), "inner", "sh", "-c", "sleep 100000 & sleep 100001; true")
    child = wait_for(lambda: [c for c in children(container.pid) if comm(c) == "sleep"][1:] and children(container.pid),
                     what="two children that have become what they are")[0]
    inner = status(child, "NSpid")[-1]
    [by_host], [by_inner] = rows(fathom, "whois", child), rows(fathom, "whois", f"{container.name}:{inner}")
    assert by_host == by_inner
    assert by_host["pid"] == child
    assert by_host["pids"] == [child, int(inner)]
    assert by_host["container"]["name"] == container.name
    assert by_host["cgroups"] == container.cgroups()
    [first] = rows(fathom, "whois", f"{container.name}:1")
    assert first["pid"] == container.pid
    assert row(fathom, container.name)["processes"] == 3
    text = fathom("whois", child).stdout
    assert f"{child} → {inner}" in text and container.name in text
    missing = fathom("whois", f"{container.name}:4000000")
    assert missing.returncode == 2 and "no process 4000000 in container" in missing.stderr


def test_hostname_is_the_containers(docker, start, fathom):
    container = start(docker, "host", *SLEEP, args=["--hostname", "inside-name"])
    assert rows(fathom, "whois", container.pid)[0]["hostname"] == "inside-name"


def test_pod(containerd, start, fathom):
    cart = start(containerd, "cart", *SLEEP, pod="shop-7", container="cart", pod_namespace="prod", pod_uid="cafe77")
    side = start(containerd, "side", *SLEEP, pod="shop-7", container="side", pod_namespace="prod", pod_uid="cafe77")
    pids = {cart.pid, side.pid}
    for text in ("shop-7", "prod/shop-7"):
        found = rows(fathom, "ps", text)
        assert {r["pid"] for r in found} == pids
        assert {(r["pod"], r["pod_namespace"], r["runtime"]) for r in found} == {("shop-7", "prod", "containerd")}
    assert {r["name"] for r in found} == {"shop-7/cart", "shop-7/side"}
    assert found[0]["image"] == "fathom-test:latest"
    assert rows(fathom, "whois", "shop-7/cart")[0]["pid"] == cart.pid
    assert rows(fathom, "whois", cart.id)[0]["pid"] == cart.pid
    other = fathom("ps", "dev/shop-7")
    assert other.returncode == 2 and "did you mean" in other.stderr


def test_id_prefix_and_ambiguity(docker, start, fathom):
    containers = [start(docker, f"many{i}", *SLEEP) for i in range(2)]
    for container in containers:
        assert rows(fathom, "whois", container.id[:12])[0]["pid"] == container.pid
    near = fathom("whois", containers[0].name[:-1])
    assert near.returncode == 2 and "did you mean" in near.stderr and containers[0].name in near.stderr
    assert "\n" == near.stderr[-1] and near.stdout == ""


# One name used by two runtimes is nobody's.
def test_same_name_twice(docker, podman, start, fathom):
    one = start(docker, "twin", *SLEEP)
    podman_suffix, podman.suffix = podman.suffix, docker.suffix
    try:
        other = start(podman, "twin", *SLEEP)
    finally:
        podman.suffix = podman_suffix
    assert one.name == other.name
    done = fathom("whois", one.name)
    assert done.returncode == 2
    assert "ambiguous" in done.stderr and one.short_id in done.stderr and other.short_id in done.stderr


def test_namespaces(docker, start, fathom):
    alone = start(docker, "alone", *SLEEP)
    hosts = start(docker, "hosts", *SLEEP, args=["--pid=host", "--uts=host"])
    guest = start(docker, "guest", *SLEEP, args=["--pid", f"container:{alone.id}"])
    found = {r["name"]: r["namespaces"] for r in rows(fathom, "namespaces")}
    for container in (alone, hosts, guest):
        for kind, space in found[container.name].items():
            assert f"{kind}:[{space['inode']}]" == Path(f"/proc/{container.pid}/ns/{kind}").readlink().name
    assert found[hosts.name]["pid"]["shared_with_host"] and found[hosts.name]["uts"]["shared_with_host"]
    assert not found[hosts.name]["mnt"]["shared_with_host"]
    assert found[alone.name]["pid"]["shared_with"] == [guest.name]
    assert found[guest.name]["pid"]["shared_with"] == [alone.name]
    assert not found[alone.name]["pid"]["shared_with_host"]
    lines = {line.split()[0]: line for line in fathom("namespaces").stdout.splitlines() if line}
    assert f"{found[alone.name]['pid']['inode']}+" in lines[alone.name]
    assert f"{found[hosts.name]['pid']['inode']}*" in lines[hosts.name]


def test_hostile_process_name(docker, start, fathom):
    script = r"""printf 'x\033[2J) R 1' > /proc/self/comm; while true; do sleep 100000; done"""
    container = start(docker, "hostile", "sh", "-c", script)
    wait_for(lambda: b"R 1" in Path(f"/proc/{container.pid}/comm").read_bytes(), what="the name to be set")
    done = fathom("whois", container.pid)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout and r"x\x1b[2J) R 1" in done.stdout
    assert container.name in done.stdout
    assert rows(fathom, "whois", container.pid)[0]["comm"] == "x\x1b[2J) R 1"


def test_nested_cgroup_gets_no_trust(docker, start, fathom):
    bank = start(docker, "bank", *SLEEP)
    evil = start(docker, "evil", *SLEEP)
    spoofed = []
    try:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, (kind, _, options) = line.split(" - ")[0].split(), line.split(" - ")[1].split(" ", 2)
            if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
                mount = Path(fields[4])
                path = evil.cgroups()["" if kind == "cgroup2" else "memory"]
                nested = mount / path.lstrip("/") / f"docker-{bank.id}.scope"
                nested.mkdir()
                spoofed.append(nested)
                (nested / "cgroup.procs").write_text(str(evil.pid))
        assert spoofed
        assert rows(fathom, "whois", evil.pid)[0]["container"]["name"] == evil.name
        assert row(fathom, bank.name)["pid"] == bank.pid
        assert row(fathom, evil.name)["processes"] == 1
    finally:
        docker.rm(evil)
        for nested in spoofed:
            if nested.exists():
                nested.rmdir()


def test_runc_that_minds_its_container(runc, start, fathom):
    first = start(runc, "kept", *SLEEP)
    bundle = runc.dir / "bundle-minded"
    bundle.mkdir()
    spec = json.loads((runc.dir / f"bundle-{first.name}" / "config.json").read_text())
    name = runc.unique("minded")
    spec["linux"]["cgroupsPath"] = f"/{runc.cgroup_parents[0]}/{name}"
    (bundle / "config.json").write_text(json.dumps(spec))
    log = open(bundle / "log", "wb")
    process = subprocess.Popen([tool("runc"), "--root", runc.dir / "state", "run", "--bundle", bundle, name],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: any(r["name"] == name and r["runtime"] == "runc" for r in rows(fathom, "ps")),
                 what="the container to be named")
        assert row(fathom, name)["id"] == name
    finally:
        runc.cli("delete", "-f", name)
        process.wait(STOP_S)
        log.close()


def test_all_shows_more_than_containers(docker, start, fathom):
    container = start(docker, "more", *SLEEP)
    found = rows(fathom, "ps", "--all")
    names = [r["name"] for r in found]
    assert container.name in names and "host" in names
    assert any(r["runtime"] in ("cgroup", "systemd") for r in found)
    assert all(r["runtime"] not in ("cgroup", "systemd", "host") for r in rows(fathom, "ps"))


@pytest.mark.parametrize("arguments, sentence", [
    (("whois",), "give a pid"),
    (("whois", "all"), "nobody in particular"),
    (("whois", "3999999"), "no process 3999999"),
    (("whois", "/no/such/cgroup"), "no cgroup"),
    (("whois", "no-such-thing-here"), "no container"),
    (("whois", "x\x1b[2J"), r"\x1b[2J"),
    (("ps", "--nonsense"), "nknown option"),
    (("ps", "no-such-thing-here"), "no container"),
    (("namespaces", "web"), "no targets"),
])
def test_bad_input(fathom, arguments, sentence):
    done = fathom(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr and done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
