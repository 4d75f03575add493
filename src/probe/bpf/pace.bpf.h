/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs that are on for part of the time (parttime.h): they time themselves, one call in some, since what they cost must be
 * known without the kernel's statistics, and do nothing while they are told so. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "pace.h"

const volatile bool pace_on = false;
struct pace paces[PACE_CPUS];
__u32 pace_open = 0;

static __always_inline bool pace_is_closed(void)
{
	return pace_on && !pace_open;
}

static __always_inline struct pace *pace_here(void)
{
	return &paces[bpf_get_smp_processor_id() & (PACE_CPUS - 1)];
}

/* When the call of `program` that begins now is timed, since when; else 0. */
static __always_inline u64 pace_begin(u32 program)
{
	if (!pace_on || ++pace_here()->runs[program] & (PACE_TIMED - 1))
		return 0;
	return bpf_ktime_get_ns();
}

static __always_inline void pace_end(u32 program, u64 since_ns)
{
	u64 ns;

	if (!since_ns)
		return;
	ns = bpf_ktime_get_ns() - since_ns;
	pace_here()->timed_ns[program] += ns < PACE_LONGEST_NS ? ns : PACE_LONGEST_NS;
}
