/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of containers. One thread. Pointers to containers stay valid until registry_free (the dead are kept;
 * the oldest dead beyond REGISTRY_DEAD_MAX are dropped only by registry_refresh). A name that was learnt late replaces
 * the first one in the same struct: strings stay valid until the next registry_refresh, but read them afresh. */
#pragma once
#include <glib.h>

#include "container/container.h"

#define REGISTRY_DEAD_MAX 2048

struct registry;
struct cgroupfs;

/* Scans the cgroup trees and runtime state below `root` ("/" on a live system, a made-up tree in tests). */
struct registry *registry_new(const char *root, GError **error);
/* One that knows nothing of this machine: what was recorded elsewhere is added to it. Never NULL. */
struct registry *registry_new_recorded(void);
/* Adds a container (or unit, or cgroup) of a recording; copied. The host's own row changes nothing; one with a key that is
 * there already, only that a name takes the place of an id. */
void registry_record(struct registry *registry, const struct container *container);
/* Of a recording: what containers were called before their names were known → their names. The registry's. */
GHashTable *registry_renamed(struct registry *registry);
void registry_free(struct registry *registry);
/* Scans again: births, deaths, names that appeared late. */
gboolean registry_refresh(struct registry *registry, GError **error);
/* How long ago that was begun, or the registry made. */
guint64 registry_age_ns(const struct registry *registry);

/* The hierarchies in use; cgroupfs_v1_controller() of it names the controller that kernel programs must ask. */
const struct cgroupfs *registry_cgroupfs(const struct registry *registry);
/* The root directory given to registry_new. */
const char *registry_root(const struct registry *registry);

/* All containers, units and other cgroups, the living first, sorted by runtime and name; array owned by the caller,
 * elements by the registry. */
GPtrArray *registry_list(struct registry *registry);

/* The living ones only, in no order: for who asks often. The same ownership. */
GPtrArray *registry_list_living(struct registry *registry);

/* The container a cgroup belongs to: itself, or the outermost container above it; the host when there is none.
 * An unknown key is looked up afresh once (it may have been born a moment ago); NULL when it cannot be found. */
const struct container *registry_by_cgroup(struct registry *registry, guint64 cgroup_key);
/* By host pid; `start_ticks` 0 or the process's start time (field 22 of /proc/PID/stat) to guard against reuse. */
const struct container *registry_by_pid(struct registry *registry, guint32 pid, guint64 start_ticks);
const struct container *registry_host(struct registry *registry);
/* How many cgroups are known: there now, and of those that ended. */
struct registry_counts {
	guint living, dead;
};
struct registry_counts registry_counts(const struct registry *registry);
/* Is there a cgroup with this key, as far as is known? */
gboolean registry_is_alive(struct registry *registry, guint64 cgroup_key);
/* By path below the hierarchy's root, the living only; NULL when there is none. */
const struct container *registry_by_path(struct registry *registry, const char *path);
/* Appends the host pids (guint32) of its processes, nested cgroups included; of the host: those in no other cgroup. */
void registry_pids(struct registry *registry, const struct container *container, GArray *pids);
/* The process known inside as `inner_pid`; 0 when there is none. */
guint32 registry_inner_pid(struct registry *registry, const struct container *container, guint32 inner_pid);

/* A path heard of at a birth (cgroup_mkdir), so that a container that lived for a moment still has a name. */
void registry_note_birth(struct registry *registry, guint64 cgroup_key, const char *path);
void registry_note_death(struct registry *registry, guint64 cgroup_key);

/* Every cgroup known now, containers' or not: key → owner. For the kernel-side filter. */
struct registry_cgroup {
	guint64 key;
	const struct container *owner; /* NULL: not asked for */
};
/* Whose owners are asked for: those that may be one of `owners` (of const struct container *, not the host); NULL: all. */
GArray *registry_cgroups(struct registry *registry, const GPtrArray *owners);

/* ---- targets: what a person types ---- */
enum target_kind {
	TARGET_ALL = 0,
	TARGET_CONTAINER = 1,
	TARGET_PROCESS = 2
};

struct target {
	enum target_kind kind;
	const struct container *container; /* TARGET_CONTAINER (RUNTIME_HOST for "host"), TARGET_PROCESS */
	guint32 pid; /* TARGET_PROCESS: host pid (thread group) */
	char *text; /* as typed */
};

#define TARGET_ERROR (target_error_quark())
GQuark target_error_quark(void);
enum target_error {
	TARGET_ERROR_NONE_SUCH = 1, /* the message lists near matches */
	TARGET_ERROR_AMBIGUOUS = 2, /* the message lists the candidates */
};

/* Resolves `text`: "all", "host", a container's name, an id or its unique prefix (≥ 3 characters), "pod" or
 * "namespace/pod" (all its containers), a container in a pod by its own name, a systemd unit, a host pid, "web:1" (pid
 * inside), or a cgroup path; appends to `targets` (an array made with target_array_new). Messages are escaped. */
gboolean target_resolve(struct registry *registry, const char *text, GPtrArray *targets, GError **error);
GPtrArray *target_array_new(void);
