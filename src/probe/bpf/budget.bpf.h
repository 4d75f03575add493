/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A probe that costs more than its budget looks at one event in so many, each of which then stands for that many. User space
 * measures the cost and sets the number while the probe runs (allowance.h). */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32); /* 0, 1: every event */
} budget_one_in SEC(".maps");

/* How many events the one that begins now stands for; 0: it is not looked at. */
static __always_inline u32 budget_pick(void)
{
	u32 zero = 0, *one_in = bpf_map_lookup_elem(&budget_one_in, &zero), n = one_in ? *(volatile u32 *)one_in : 1;

	if (n <= 1)
		return 1;
	return bpf_get_prandom_u32() % n == 0 ? n : 0;
}
