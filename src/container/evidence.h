/* SPDX-License-Identifier: Apache-2.0 */
/* What can be found out about one cgroup without asking a daemon, gathered only as far as somebody wants to know:
 * its processes, the process outside that minds them (shim, conmon, lxc-start …), files of runtimes' state.
 *
 * Trust: a cgroup's name is chosen by whoever may write to the directory above it. A name alone is believed only when
 * that directory belongs to the owner of the whole tree; otherwise the runtime's state must agree (runtime.h). */
#pragma once
#include <glib.h>
#include <jansson.h>

#include "kernel/cgroupfs.h"
#include "kernel/procfs.h"

#define EVIDENCE_TEXT_MAX 1024 /* longest name, id or image that is believed */
#define EVIDENCE_JSON_MAX (4 << 20)
#define EVIDENCE_LIST_MAX (32 << 20) /* podman keeps one file for all containers */

/* Shared by all cgroups of a machine. */
struct machine {
	char *root; /* "/" or a made-up tree */
	char *state_root; /* where the host's own files are: `root`, or /proc/1/root when we live in a container */
	const struct cgroupfs *cgroupfs;
	guint64 host_pid_namespace, host_mnt_namespace, own_mnt_namespace;
	GPtrArray *docker_roots; /* data roots heard of, the default one first */
	gboolean dockerd_sought; /* once a refresh: the arguments of running dockerds were read */
	GPtrArray *oci_states; /* of struct oci_state, read once a refresh; NULL: not yet */
	struct file_root *files; /* the root asked last, for a moment; NULL: none */
	guint64 files_since_ns; /* CLOCK_MONOTONIC */
	guint64 boot_realtime_ns; /* asked once a refresh; 0: not yet */
};
struct machine *machine_new(const char *root, const struct cgroupfs *cgroupfs);
void machine_free(struct machine *machine);
/* Forgets what is only good for one refresh. */
void machine_refresh(struct machine *machine);

/* When something began that many ticks after the machine was started, in ns since 1970; 0 when that cannot be told. */
guint64 machine_start_realtime_ns(struct machine *machine, guint64 start_ticks);
/* A file of a runtime's state, opened as by file_open_in_root. */
int machine_file(struct machine *machine, const char *state_root, const char *path);

/* The process outside the cgroup that is the parent of those in it. */
struct monitor {
	guint32 pid; /* 0: none */
	guint32 uid;
	char comm[PROCFS_COMM_MAX];
	char **arguments; /* NULL when unreadable */
	char *cwd;
	char *state_root; /* for files it names: the host's, or its own root when it has its own mounts */
};

struct evidence {
	struct machine *machine;
	const struct cgroup_hierarchy *hierarchy;
	const char *path, *base; /* of the cgroup, and its last component */
	gboolean trusted_place; /* only the owner of the cgroup tree could make this name */
	GArray *direct, *below; /* pids, NULL: not read yet; below: the cgroup and all in it */
	struct monitor monitor;
	gboolean monitor_sought;
	guint64 eldest_ticks; /* when the eldest process started, since boot; 0: not looked at */
};
void evidence_init(struct evidence *evidence, struct machine *machine, const struct cgroup_hierarchy *hierarchy,
		   const char *path, gboolean trusted_place);
void evidence_clear(struct evidence *evidence);

/* Processes in this very cgroup, or in it and below; owned by the evidence. */
const GArray *evidence_direct(struct evidence *evidence);
const GArray *evidence_below(struct evidence *evidence);
/* The eldest process in the cgroup or below (among the first EVIDENCE_ELDEST_MAX); 0 when there is none. */
guint32 evidence_eldest(struct evidence *evidence);
gboolean evidence_has_pid(struct evidence *evidence, guint32 pid);
/* Never NULL; pid 0 when there is none. */
const struct monitor *evidence_monitor(struct evidence *evidence);
/* The value after argument `name`, also as name=value; NULL when absent. */
const char *monitor_argument(const struct monitor *monitor, const char *name);

/* "docker-<64 hex>.scope" and "<64 hex>" with prefix "docker-": a new string; NULL when `base` is not like that. */
char *evidence_hex_id(const char *base, const char *prefix, gboolean prefix_needed);
/* Does `spec` (a runtime's cgroupsPath: "/a/b", or "slice:prefix:name" for systemd) mean this cgroup? */
gboolean evidence_is_cgroups_path(const struct evidence *evidence, const char *spec);

/* A JSON file of the state of a runtime; NULL when absent, too large or malformed. json_decref. */
json_t *evidence_json(struct machine *machine, const char *state_root, const char *path, gsize limit);
/* A number in a file, 0 when absent. */
guint32 evidence_pid_file(struct machine *machine, const char *state_root, const char *path);
/* Text at a path of keys ending with NULL; NULL when absent, empty or longer than EVIDENCE_TEXT_MAX. */
const char *evidence_text(const json_t *object, ...) G_GNUC_NULL_TERMINATED;
