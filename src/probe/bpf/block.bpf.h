/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose a request for block I/O is, and for which device. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "cgroup.bpf.h"

#define BLOCK_OWNERS 4096
#define DEVICE_MINOR_BITS 20

/* Cgroup of I/O accounting (v1; by address) → key that tasks of it are known by. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BLOCK_OWNERS);
	__type(key, u64);
	__type(value, u64);
} block_owners SEC(".maps");

static __always_inline struct cgroup *block_cgroup_of(struct request *request)
{
	struct bio *bio = BPF_CORE_READ(request, bio);

	return bio ? BPF_CORE_READ(bio, bi_blkg, blkcg, css.cgroup) : NULL;
}

/* The current task's cgroup in the hierarchy that accounts I/O. */
static __always_inline struct cgroup *block_cgroup_current(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, io_cgrp_id))
		return NULL;
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) +
				      bpf_core_enum_value(enum cgroup_subsys_id, io_cgrp_id) * sizeof(css));
	return BPF_CORE_READ(css, cgroup);
}

static __always_inline u64 block_owner(struct request *request, struct task_struct *task)
{
	struct cgroup *cgroup = block_cgroup_of(request);
	u64 own = cgroup_key_current(), address = (u64)cgroup, *known;

	if (!cgroup || BPF_CORE_READ(cgroup, level) == 0)
		return own;
	if (BPF_CORE_READ(cgroup, root, hierarchy_id) == 0) {
		/* A cgroup without an io controller of its own is accounted to one above: the task knows better. */
		return cgroup == block_cgroup_current(task) ? own : BPF_CORE_READ(cgroup, kn, id);
	}
	if (cgroup == block_cgroup_current(task)) {
		bpf_map_update_elem(&block_owners, &address, &own, BPF_ANY);
		return own;
	}
	known = bpf_map_lookup_elem(&block_owners, &address);
	return known ? *known : own;
}

static __always_inline u32 block_device(struct request *request)
{
	struct gendisk *disk = BPF_CORE_READ(request, q, disk);

	return disk ? (u32)BPF_CORE_READ(disk, major) << DEVICE_MINOR_BITS | (u32)BPF_CORE_READ(disk, first_minor) : 0;
}
