/* SPDX-License-Identifier: Apache-2.0 */
/* Who: containers, found from the cgroup tree and the runtimes' on-disk state; no daemon is asked.
 *
 * A container is a cgroup that a runtime (or systemd, or a person) made. Its identity is the cgroup key; names,
 * images and pods are decoration. Nested cgroups (a systemd inside a container, a spoofed "docker-….scope" below
 * a real container) belong to the outermost container and get no trust of their own.
 * All strings are raw bytes from the system: escape on output. */
#pragma once
#include <glib.h>

/* A cgroup's identity, the same number in kernel programs and here: the kernfs id (= inode) of the cgroup in the
 * unified (v2) hierarchy; for a cgroup that only exists in a v1 hierarchy, its inode there with the top bit set. 0 is
 * never a cgroup. */
#define CGROUP_KEY_V1 (G_GUINT64_CONSTANT(1) << 63)

enum container_runtime {
	RUNTIME_HOST = 0, /* the host itself: everything in no container and no unit */
	RUNTIME_CGROUP = 1, /* some other cgroup, named by its path */
	RUNTIME_SYSTEMD = 2, /* a systemd unit (service, scope of a user …) */
	RUNTIME_DOCKER = 3,
	RUNTIME_CONTAINERD = 4,
	RUNTIME_CRIO = 5,
	RUNTIME_PODMAN = 6,
	RUNTIME_RUNC = 7,
	RUNTIME_CRUN = 8,
	RUNTIME_LXC = 9,
	RUNTIME_NSPAWN = 10,
	RUNTIME_OTHER = 11, /* namespaces of its own, made by a runtime whose state we do not find */
};

struct container {
	guint64 cgroup_key; /* 0 only for RUNTIME_HOST */
	enum container_runtime runtime;
	char *id; /* full id given by the runtime; the cgroup path for RUNTIME_CGROUP, unit name for SYSTEMD */
	char *name; /* never NULL: runtime's name, else pod/container, else short id, else path */
	char *image; /* NULL when not known */
	char *pod, *pod_namespace; /* Kubernetes; NULL when not in a pod */
	char *cgroup; /* path below the hierarchy's root, "/docker/…" */
	guint32 init_pid; /* host pid of its first process; 0 when not known or dead */
	guint64 start_realtime_ns; /* birth; 0 when not known */
	gboolean dead; /* its cgroup is gone; kept so that names survive death */
};

/* "docker", "containerd", … for people and JSON. */
const char *container_runtime_name(enum container_runtime runtime);
/* TRUE for what a person would call a container (not the host, a unit, or a bare cgroup). */
gboolean container_is_container(const struct container *container);
