/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files: from a descriptor to the file, its file system and its path as the task sees it: up to the task's root
 * directory, across mounts. (bpf_d_path is only allowed in a few hooks that not every kernel has.) */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "event.h"

#define PATH_STEPS 64 /* names and mounts on the way */

struct path_walk {
	struct path_text *path; /* in a map: 6.1 mistakes state on the stack for constants */
};

static __always_inline void path_name(struct path_text *path, struct dentry *dentry)
{
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	u32 at = path->bytes;
	long bytes;

	if (at >= PATH_BYTES) {
		path->flags |= PATH_CUT;
		return;
	}
	bytes = bpf_probe_read_kernel_str(path->text + at, PATH_NAME, name);
	if (bytes > 0)
		path->bytes = at + bytes;
}

static long path_step(u32 i, struct path_walk *walk)
{
	struct path_text *path = walk->path;
	struct dentry *dentry = (void *)path->dentry, *parent;
	struct mount *mount = (void *)path->mount, *above;

	if (path->dentry == path->root_dentry && path->mount == path->root_mount) {
		path->flags |= PATH_COMPLETE;
		return 1;
	}
	if (mount && dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount || !above) { /* no mount above: on as its file system names it */
			path->flags |= PATH_OUTSIDE;
			path->mount = 0;
			goto up;
		}
		path->dentry = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
		path->mount = (u64)above;
		return 0;
	}
up:
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry || !parent)
		return 1; /* the root of a file system, or on no tree (a pipe) */
	path_name(path, dentry);
	path->dentry = (u64)parent;
	return (path->flags & PATH_CUT) != 0;
}

/* ---- cgroups ---- */

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___since_6_15 *since = (void *)node;
	struct kernfs_node___before_6_15 *before = (void *)node;

	if (bpf_core_field_exists(since->__parent))
		return (void *)BPF_CORE_READ(since, __parent);
	return (void *)BPF_CORE_READ(before, parent);
}

static long path_kernfs_step(u32 i, struct path_walk *walk)
{
	struct path_text *path = walk->path;
	struct kernfs_node *node = (void *)path->dentry, *parent = kernfs_parent(node);
	u32 at = path->bytes;
	long bytes;

	if (!parent) { /* the root has no name */
		path->flags |= PATH_COMPLETE;
		return 1;
	}
	if (at >= PATH_BYTES) {
		path->flags |= PATH_CUT;
		return 1;
	}
	bytes = bpf_probe_read_kernel_str(path->text + at, PATH_NAME, BPF_CORE_READ(node, name));
	if (bytes > 0)
		path->bytes = at + bytes;
	path->dentry = (u64)parent;
	return 0;
}

/* Fills `path` (in a map) with the path of a cgroup below its hierarchy's root. */
static __noinline __attribute__((unused)) int path_of_cgroup(struct path_text *path, struct cgroup *cgroup)
{
	struct path_walk walk = { .path = path };

	if (!path)
		return 0;
	path->flags = 0;
	path->bytes = 0;
	path->mount = path->root_dentry = path->root_mount = 0;
	path->dentry = (u64)BPF_CORE_READ(cgroup, kn);
	bpf_loop(PATH_STEPS, path_kernfs_step, &walk, 0);
	return 0;
}

/* ---- files ---- */

static __always_inline struct mount *path_mount(struct vfsmount *mount)
{
	return (void *)mount - bpf_core_field_offset(struct mount, mnt);
}

/* Fills `path` (in a map) with the path of `file` as `task` sees it. */
static __noinline int path_of(struct path_text *path, struct file *file, struct task_struct *task)
{
	struct path_walk walk = { .path = path };

	if (!path)
		return 0;
	path->flags = 0;
	path->bytes = 0;
	path->dentry = (u64)BPF_CORE_READ(file, f_path.dentry);
	path->mount = (u64)path_mount(BPF_CORE_READ(file, f_path.mnt));
	path->root_dentry = (u64)BPF_CORE_READ(task, fs, root.dentry);
	path->root_mount = (u64)path_mount(BPF_CORE_READ(task, fs, root.mnt));
	bpf_loop(PATH_STEPS, path_step, &walk, 0);
	return 0;
}

/* The open file behind descriptor `fd` of the task; NULL when there is none. */
static __always_inline struct file *path_file(struct task_struct *task, u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}
