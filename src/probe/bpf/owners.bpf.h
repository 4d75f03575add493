/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many rows of a table each owner has made, so that none fills it for the others. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define OWNERS 4096 /* counted at a time; those not heard of for the longest time are forgotten */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OWNERS);
	__type(key, u64); /* whatever tells owners apart */
	__type(value, u32); /* rows */
} owners SEC(".maps");

/* May `owner` have one more row, of `max`? Counts it when it may. */
static __always_inline bool owner_may_add(u64 owner, u32 max)
{
	u32 one = 1, *count = bpf_map_lookup_elem(&owners, &owner);

	if (!count) {
		bpf_map_update_elem(&owners, &owner, &one, BPF_NOEXIST);
		return true;
	}
	if (*count >= max)
		return false;
	__sync_fetch_and_add(count, 1);
	return true;
}
