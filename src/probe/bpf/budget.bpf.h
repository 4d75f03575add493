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
	__type(value, u32); /* a power of two; 0, 1: every event */
} budget_one_in SEC(".maps");

static __always_inline u32 budget_now(void)
{
	u32 zero = 0, *one_in = bpf_map_lookup_elem(&budget_one_in, &zero);

	return one_in ? *(volatile u32 *)one_in : 1;
}

/* How many events the one that begins now stands for; 0: it is not looked at. */
static __always_inline u32 budget_pick(void)
{
	u32 n = budget_now();

	if (n <= 1)
		return 1;
	return bpf_get_prandom_u32() % n == 0 ? n : 0;
}

/* The same where beginning and end of an event cannot be told of each other: both ask with the event's own two numbers and
 * `one_in` as it is now (budget_now). It is a power of two, so that what is picked of few is picked of more, too. */
static __always_inline u32 budget_pick_by(u32 one_in, u64 whose, u64 which)
{
	u64 mixed;

	if (one_in <= 1)
		return 1;
	mixed = (whose + which * 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
	mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ULL;
	return (mixed >> 32 & (one_in - 1)) == 0 ? one_in : 0;
}
