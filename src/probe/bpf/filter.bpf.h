/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Is a task wanted? By its thread group, or by its cgroup: one that user space has not registered (born later) inherits
 * from its nearest registered ancestor; the answer is remembered. kernfs ids are not reused, so a remembered answer
 * cannot turn wrong. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "cgroup.bpf.h"
#include "shared.h"

#define FILTER_CGROUPS 16384 /* user space sets the real number */
#define FILTER_LATER 4096 /* cgroups born later, remembered */
#define FILTER_TGIDS 1024
#define FILTER_LEVELS 32 /* nesting looked at */

const volatile bool filter_on = false; /* FALSE: every task is wanted */
const volatile bool filter_by_tgid = false;

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

/* The answer of the nearest registered ancestor of an unregistered cgroup; none registered: not wanted. Global, so that
 * the verifier follows it once instead of once for every way to get here; such functions take no kernel pointers. */
__noinline int filter_inherit(u64 css_set, u64 key)
{
	struct css_set *set = (void *)css_set;
	struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);
	u64 root = BPF_CORE_READ(cgroup, kn, id), bit = 0;
	u8 *known = NULL, wanted = 0;

	if (key & CGROUP_V1_BIT) {
		cgroup = cgroup_v1_of(set);
		bit = CGROUP_V1_BIT;
	}
	for (int i = 0; i < FILTER_LEVELS && cgroup; i++) {
		u64 at = BPF_CORE_READ(cgroup, kn, id) | bit;

		known = bpf_map_lookup_elem(&filter_cgroups, &at);
		if (known)
			break;
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	if (!known && bit) /* above a v1 hierarchy's root is the unified one's, where such a task is */
		known = bpf_map_lookup_elem(&filter_cgroups, &root);
	if (known)
		wanted = *known;
	bpf_map_update_elem(&filter_later, &key, &wanted, BPF_ANY);
	return wanted;
}

/* Is the cgroup with key `key`, which is that of `task`, wanted? */
static __always_inline bool filter_wants_cgroup(struct task_struct *task, u64 key)
{
	u8 *wanted;

	if (!filter_on)
		return true;
	wanted = bpf_map_lookup_elem(&filter_cgroups, &key);
	if (wanted)
		return *wanted;
	wanted = bpf_map_lookup_elem(&filter_later, &key);
	if (wanted)
		return *wanted;
	return filter_inherit((u64)BPF_CORE_READ(task, cgroups), key); /* a number: by probe, whoever includes this */
}

/* Is the task with cgroup key `key` (cgroup_key_of) wanted? */
static __always_inline bool filter_wants(struct task_struct *task, u64 key)
{
	if (!filter_on)
		return true;
	if (filter_by_tgid) {
		u32 tgid = READ(task, tgid);

		if (bpf_map_lookup_elem(&filter_tgids, &tgid))
			return true;
	}
	return filter_wants_cgroup(task, key);
}
