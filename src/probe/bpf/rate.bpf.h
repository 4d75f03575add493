/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How often something dear may be done for one cgroup: RATE_INTERVAL_NS apart, and RATE_BURST_NS of it ahead. Both, and RATE_CGROUPS (counted
 * at a time), are the includer's. For events, whose loss is counted by container, see event.bpf.h. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RATE_CGROUPS);
	__type(key, u64); /* cgroup key */
	__type(value, u64); /* when its next is due */
} rate_due SEC(".maps");

static __always_inline bool rate_allowed(u64 cgroup_key, u64 now)
{
	u64 *next = bpf_map_lookup_elem(&rate_due, &cgroup_key), start;

	if (!next) {
		bpf_map_update_elem(&rate_due, &cgroup_key, &now, BPF_NOEXIST);
		return true;
	}
	start = *next > now ? *next : now;
	if (start - now > RATE_BURST_NS)
		return false;
	*next = start + RATE_INTERVAL_NS; /* two CPUs at once: one too many */
	return true;
}
