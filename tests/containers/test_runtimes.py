# SPDX-License-Identifier: Apache-2.0
"""The private runtimes themselves: a container starts, sits in a cgroup of its own, and leaves nothing behind."""
import pytest

import runtimes
from support import mounts_below, processes_mentioning, wait_for


@pytest.mark.parametrize("name", ["docker", "podman", "containerd", "runc"])
def test_container_has_its_own_cgroup(request, start, name):
    container = start(request.getfixturevalue(name), "rest", "sleep", "300", cpus=0.5)
    assert container.alive()
    assert all(container.id in path for path in container.cgroups().values())
    container.runtime.rm(container)
    wait_for(lambda: not container.alive(), what="the process to end")


def test_cri_annotations_reach_the_bundle(containerd, start):
    container = start(containerd, "app", "sleep", "300", pod="shop", container="app")
    assert "/kubepods/" in container.cgroups().get("", "/kubepods/")
    bundle = containerd.dir / "state/io.containerd.runtime.v2.task/k8s.io" / container.id / "config.json"
    assert '"io.kubernetes.cri.sandbox-name":"shop"' in bundle.read_text().replace(": ", ":")


@pytest.mark.parametrize("kind", [runtimes.Runc, runtimes.Containerd])
def test_nothing_is_left_behind(kind):
    with kind() as runtime:
        runtime.run("rest", "sleep", "300")
    assert not runtime.dir.exists()
    assert not mounts_below(runtime.dir)
    assert not processes_mentioning(f"{runtime.dir}/")
