/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Named loss counters: every path that gives something up says so here. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_COUNT);
	__type(key, u32);
	__type(value, struct loss_line);
} losses SEC(".maps");

static __always_inline void loss_add(enum loss kind, u64 events, u64 weight)
{
	u32 index = kind;
	struct loss_line *line = bpf_map_lookup_elem(&losses, &index);

	if (line) { /* per CPU; an NMI in between may cost one count of a loss, never of a result */
		line->events += events;
		line->weight += weight;
	}
}
