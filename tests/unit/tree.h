/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up root directory with /proc and cgroup trees, for tests of what reads them. */
#pragma once
#include <glib.h>

/* A new empty root below the temporary directory; tree_remove deletes it. Owned by the caller. */
char *tree_new(void);
void tree_remove(const char *root);
void tree_file(const char *root, const char *path, const char *text);
void tree_link(const char *root, const char *path, const char *text);
void tree_directory(const char *root, const char *path);
/* Removes one file or an empty directory, with cgroup.procs in it. */
void tree_remove_cgroup(const char *root, const char *path);
guint64 tree_inode(const char *root, const char *path);

enum tree_mode {
	TREE_MODE_V2 = 0,
	TREE_MODE_V1 = 1,
	TREE_MODE_HYBRID = 2
};
/* mountinfo, the roots of the hierarchies, process 1 and the boot time. */
void tree_machine(const char *root, enum tree_mode mode);
/* Where the hierarchy is below `root`: v2 "/sys/fs/cgroup[/unified]", v1 "/sys/fs/cgroup/memory". */
const char *tree_v2(enum tree_mode mode);

struct tree_process {
	guint32 pid, ppid;
	guint32 inner; /* pid in a namespace below; 0: none */
	const char *comm;
	const char *v2, *v1; /* cgroup paths; NULL: not in that hierarchy's tree, "/" */
	const char *cwd;
	const char *const *arguments;
	guint64 start_ticks;
	gboolean contained; /* pid and mount namespace of its own */
	guint32 uid;
};
/* The process in /proc and in its cgroups' cgroup.procs (directories made as needed). */
void tree_process(const char *root, enum tree_mode mode, const struct tree_process *process);
