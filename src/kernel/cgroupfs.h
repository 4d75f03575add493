/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup hierarchies of this machine: v1, v2 or both (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/).
 * They are found in /proc/self/mountinfo below a `root` directory: "/" live, a made-up tree in tests.
 *
 * The number of a cgroup is its directory's inode, which is the kernel's kernfs id (cgrp->kn->id). A task is named by
 * its cgroup in the v2 hierarchy; only when that is the v2 root, by its cgroup in one v1 hierarchy, that of
 * cgroupfs_v1_controller(). Kernel programs must follow the same rule. */
#pragma once
#include <glib.h>

#define CGROUPFS_KEY_V1 (G_GUINT64_CONSTANT(1) << 63) /* in the key of a cgroup of a v1 hierarchy */
#define CGROUPFS_DEPTH_MAX 128
#define CGROUPFS_CGROUPS_MAX (1 << 18) /* in one hierarchy */

struct cgroup_hierarchy {
	gboolean v2;
	char *controllers; /* "" for v2, else as mounted: "memory", "cpu,cpuacct", "name=systemd" */
	char *mount; /* directory, `root` in front */
	char *base; /* path of the cgroup that is mounted there: "/" but in containers */
};

struct cgroupfs {
	GPtrArray *hierarchies; /* of struct cgroup_hierarchy */
	const struct cgroup_hierarchy *unified; /* v2; NULL when not mounted */
	const struct cgroup_hierarchy *legacy; /* the v1 hierarchy that names tasks; NULL when there is none */
};

struct cgroupfs *cgroupfs_open(const char *root, GError **error);
void cgroupfs_free(struct cgroupfs *cgroupfs);
/* "v1", "v2" or "hybrid". */
const char *cgroupfs_mode(const struct cgroupfs *cgroupfs);
/* The v1 controller whose hierarchy names tasks that are in the v2 root: "memory", "cpu" or "pids"; NULL on v2 only. */
const char *cgroupfs_v1_controller(const struct cgroupfs *cgroupfs);
/* The hierarchy with that controller (one name, "" for v2, "name=…"); NULL when absent. */
const struct cgroup_hierarchy *cgroupfs_find(const struct cgroupfs *cgroupfs, const char *controller);

/* One cgroup on a walk. `path` begins with "/" and is valid during the call. */
struct cgroup_seen {
	const char *path;
	guint64 inode;
	guint32 parent_uid; /* owner of the directory above: who may make such a cgroup */
};
typedef void (*cgroup_visit)(const struct cgroup_seen *seen, gpointer data);
/* Visits the root and all below it, parents first. Cgroups that vanish meanwhile are left out. */
gboolean cgroup_hierarchy_walk(const struct cgroup_hierarchy *hierarchy, cgroup_visit visit, gpointer data,
			       GError **error);
/* One cgroup by path, as on a walk. FALSE when it is not there. */
gboolean cgroup_hierarchy_look(const struct cgroup_hierarchy *hierarchy, const char *path, struct cgroup_seen *seen);
/* The path of the cgroup with this inode, without a walk; NULL when it is gone or the kernel cannot tell
 * (`*known` FALSE: not a kernfs, or no CAP_DAC_READ_SEARCH). Owned by the caller. */
char *cgroup_hierarchy_path(const struct cgroup_hierarchy *hierarchy, guint64 inode, gboolean *known);
/* Appends the pids (guint32) in this cgroup and, if wanted, in those below it; processes outside our pid namespace are
 * left out. FALSE when it is gone. */
gboolean cgroup_hierarchy_pids(const struct cgroup_hierarchy *hierarchy, const char *path, gboolean below,
			       GArray *pids);
/* Directory of a cgroup in the file system, owned by the caller. */
char *cgroup_hierarchy_directory(const struct cgroup_hierarchy *hierarchy, const char *path);
/* The key of a live process's cgroup (see container.h: kernfs id, top bit for v1); 0: not known. `*path` (may be NULL)
 * becomes that cgroup's, owned by the caller. */
guint64 cgroupfs_key_of(const struct cgroupfs *cgroupfs, guint32 pid, char **path);
/* The other way round: appends the pids (guint32) that are in the cgroup with this key. FALSE when it is gone, or cannot be found
 * without CAP_DAC_READ_SEARCH. */
gboolean cgroupfs_pids_of(const struct cgroupfs *cgroupfs, guint64 key, GArray *pids);
