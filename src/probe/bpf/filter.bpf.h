/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose task is it, and is it wanted?
 *
 * A task's cgroup key is the kernfs id of its cgroup in the unified hierarchy. When that is the root (a v1 host, or a
 * runtime that joins v1 hierarchies only), the cgroup in the v1 hierarchy of `v1_controller` names it, with the top
 * bit set. A cgroup that user space has not registered (born later) inherits from its nearest registered ancestor;
 * the answer is remembered. kernfs ids are not reused, so a remembered answer cannot turn wrong. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

#define FILTER_CGROUPS 16384 /* user space sets the real number */
#define FILTER_LATER 4096 /* cgroups born later, remembered */
#define FILTER_TGIDS 1024
#define FILTER_LEVELS 32 /* nesting looked at */

const volatile bool filter_on = false; /* FALSE: every task is wanted */
const volatile bool filter_by_tgid = false;
const volatile u32 v1_controller = V1_NONE;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILTER_CGROUPS);
	__type(key, u64);
	__type(value, u8);
} filter_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FILTER_LATER);
	__type(key, u64);
	__type(value, u8);
} filter_later SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILTER_TGIDS);
	__type(key, u32);
	__type(value, u8);
} filter_tgids SEC(".maps");

#define V1_INDEX(which, name)                                                                                          \
	if (v1_controller == (which) && bpf_core_enum_value_exists(enum cgroup_subsys_id, name))                       \
		return bpf_core_enum_value(enum cgroup_subsys_id, name);

/* Index of the named controller in css_set->subsys on this kernel, -1 when there is none. */
static __always_inline int filter_v1_index(void)
{
	V1_INDEX(V1_MEMORY, memory_cgrp_id)
	V1_INDEX(V1_PIDS, pids_cgrp_id)
	V1_INDEX(V1_CPU, cpu_cgrp_id)
	V1_INDEX(V1_CPUACCT, cpuacct_cgrp_id)
	V1_INDEX(V1_DEVICES, devices_cgrp_id)
	V1_INDEX(V1_FREEZER, freezer_cgrp_id)
	return -1;
}

/* The task's cgroup in the v1 hierarchy; NULL when that is its root or there is none. */
static __always_inline struct cgroup *filter_v1_cgroup(struct css_set *set)
{
	struct cgroup_subsys_state *css = NULL;
	int index = filter_v1_index();
	struct cgroup *cgroup;

	if (index < 0)
		return NULL;
	bpf_probe_read_kernel(&css, sizeof(css), (void *)set + bpf_core_field_offset(struct css_set, subsys) + index * 8);
	cgroup = BPF_CORE_READ(css, cgroup);
	return cgroup && BPF_CORE_READ(cgroup, level) ? cgroup : NULL;
}

/* `task` is a BTF pointer (argument of a tp_btf program, or bpf_get_current_task_btf()). */
static __always_inline u64 filter_key(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup *cgroup = set->dfl_cgrp;

	if (v1_controller != V1_NONE && cgroup->level == 0) {
		struct cgroup *v1 = filter_v1_cgroup(set);

		if (v1)
			return BPF_CORE_READ(v1, kn, id) | CGROUP_V1_BIT;
	}
	return cgroup->kn->id;
}

/* The answer of the nearest registered ancestor of an unregistered cgroup; none registered: not wanted. */
static __noinline bool filter_inherit(struct css_set *set, u64 key)
{
	struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);
	u64 bit = 0;
	u8 wanted = 0;

	if (key & CGROUP_V1_BIT) {
		cgroup = filter_v1_cgroup(set);
		bit = CGROUP_V1_BIT;
	}
	for (int i = 0; i < FILTER_LEVELS && cgroup; i++) {
		u64 at = BPF_CORE_READ(cgroup, kn, id) | bit;
		u8 *known = bpf_map_lookup_elem(&filter_cgroups, &at);

		if (known) {
			wanted = *known;
			break;
		}
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	bpf_map_update_elem(&filter_later, &key, &wanted, BPF_ANY);
	return wanted;
}

/* Is the task with cgroup key `key` (filter_key) wanted? */
static __always_inline bool filter_wants(struct task_struct *task, u64 key)
{
	u8 *wanted;

	if (!filter_on)
		return true;
	if (filter_by_tgid) {
		u32 tgid = task->tgid;

		if (bpf_map_lookup_elem(&filter_tgids, &tgid))
			return true;
	}
	wanted = bpf_map_lookup_elem(&filter_cgroups, &key);
	if (wanted)
		return *wanted;
	wanted = bpf_map_lookup_elem(&filter_later, &key);
	if (wanted)
		return *wanted;
	return filter_inherit(task->cgroups, key);
}
