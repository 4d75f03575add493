/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sums by waiter and culprit. Before including: READ_BY_PROBE or not, as for loss.bpf.h. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "blame.h"
#include "loss.bpf.h"

#define BLAME_PAIRS 16384

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, BLAME_PAIRS);
	__type(key, struct blame_key);
	__type(value, struct blame_sum);
} blame_pairs SEC(".maps");

/* `many`: how many waits like this one it stands for. Not static: the verifier looks at it once. */
__noinline int blame_add_many(u32 waiter, u32 culprit, u64 ns, u32 many)
{
	struct blame_key key = { .waiter = waiter, .culprit = culprit };
	struct blame_sum *sum = bpf_map_lookup_elem(&blame_pairs, &key);

	if (!sum) {
		struct blame_sum fresh = { .ns = ns * many, .waits = many };

		if (bpf_map_update_elem(&blame_pairs, &key, &fresh, BPF_NOEXIST) == 0)
			return 0;
		sum = bpf_map_lookup_elem(&blame_pairs, &key);
		if (!sum) {
			loss_add(LOSS_MAP, many, ns * many);
			return 0;
		}
	}
	sum->ns += ns * many;
	sum->waits += many;
	return 0;
}
