/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose task is it? Its cgroup key is the kernfs id of its cgroup in the unified hierarchy. When that is the root (a v1
 * host, or a runtime that joins v1 hierarchies only), the cgroup in the v1 hierarchy of `v1_controller` names it, with
 * the top bit set. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

const volatile __u32 v1_controller = V1_NONE;

#define V1_INDEX(which, name)                                                                                          \
	if (v1_controller == (which) && bpf_core_enum_value_exists(enum cgroup_subsys_id, name))                       \
		return bpf_core_enum_value(enum cgroup_subsys_id, name);

/* Index of the named controller in css_set->subsys on this kernel, -1 when there is none. */
static __always_inline int cgroup_v1_index(void)
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
static __always_inline struct cgroup *cgroup_v1_of(struct css_set *set)
{
	struct cgroup_subsys_state *css = NULL;
	int index = cgroup_v1_index();
	struct cgroup *cgroup;

	if (index < 0)
		return NULL;
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) + index * 8);
	cgroup = BPF_CORE_READ(css, cgroup);
	return cgroup && BPF_CORE_READ(cgroup, level) ? cgroup : NULL;
}

#ifndef READ_BY_PROBE
/* The key by the v1 hierarchy, through BTF pointers: what runs at every switch; 0 as above. */
static __always_inline u64 cgroup_v1_key(struct css_set *set)
{
	int index = cgroup_v1_index();
	struct cgroup_subsys_state *css;
	struct cgroup *cgroup;

	if (index < 0)
		return 0;
	css = *(struct cgroup_subsys_state **)((void *)set + bpf_core_field_offset(struct css_set, subsys) + index * 8);
	cgroup = css->cgroup;
	return cgroup->level ? cgroup->kn->id | CGROUP_V1_BIT : 0;
}
#else
static __always_inline u64 cgroup_v1_key(struct css_set *set)
{
	struct cgroup *v1 = cgroup_v1_of(set);

	return v1 ? BPF_CORE_READ(v1, kn, id) | CGROUP_V1_BIT : 0;
}
#endif

static __always_inline u64 cgroup_key_of(struct task_struct *task)
{
	struct css_set *set = READ(task, cgroups);
	struct cgroup *cgroup = READ(set, dfl_cgrp);
	struct kernfs_node *node;

	if (v1_controller != V1_NONE && READ(cgroup, level) == 0) {
		u64 key = cgroup_v1_key(set);

		if (key)
			return key;
	}
	node = READ(cgroup, kn);
	return READ(node, id);
}

#define CGROUP_ROOT 1 /* kernfs id of every hierarchy's root */

/* The same for the current task, without following BTF pointers (see READ): cheap to run and to verify. */
static __always_inline u64 cgroup_key_current(void)
{
	u64 id = bpf_get_current_cgroup_id();

	if (v1_controller != V1_NONE && id == CGROUP_ROOT) {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct cgroup *v1 = cgroup_v1_of(BPF_CORE_READ(task, cgroups));

		if (v1)
			return BPF_CORE_READ(v1, kn, id) | CGROUP_V1_BIT;
	}
	return id;
}
