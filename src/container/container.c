/* SPDX-License-Identifier: Apache-2.0 */
#include "container/container.h"

static const struct {
	const char *name;
	gboolean is_container;
} runtimes[] = {
	[RUNTIME_HOST] = { "host", FALSE },
	[RUNTIME_CGROUP] = { "cgroup", FALSE },
	[RUNTIME_SYSTEMD] = { "systemd", FALSE },
	[RUNTIME_DOCKER] = { "docker", TRUE },
	[RUNTIME_CONTAINERD] = { "containerd", TRUE },
	[RUNTIME_CRIO] = { "cri-o", TRUE },
	[RUNTIME_PODMAN] = { "podman", TRUE },
	[RUNTIME_RUNC] = { "runc", TRUE },
	[RUNTIME_CRUN] = { "crun", TRUE },
	[RUNTIME_LXC] = { "lxc", TRUE },
	[RUNTIME_NSPAWN] = { "nspawn", TRUE },
	[RUNTIME_OTHER] = { "other", TRUE },
};

const char *container_runtime_name(enum container_runtime runtime)
{
	return (guint)runtime < G_N_ELEMENTS(runtimes) ? runtimes[runtime].name : "unknown";
}

gboolean container_is_container(const struct container *container)
{
	return (guint)container->runtime < G_N_ELEMENTS(runtimes) && runtimes[container->runtime].is_container;
}
