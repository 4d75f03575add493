/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs time themselves, one call in some, since what they cost must be known without the kernel's statistics, which take a right
 * that the agent has given up and make every program on the machine slower. Those that are on for part of the time (parttime.h) do
 * nothing while they are told so. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "pace.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PACE_CPUS);
	__type(key, u32);
	__type(value, struct pace);
} paces SEC(".maps");

const volatile bool pace_closes = false; /* user space says when they are on */
__u32 pace_open = 0;

static __always_inline bool pace_is_closed(void)
{
	return pace_closes && !pace_open;
}

static __always_inline struct pace *pace_here(void)
{
	u32 cpu = bpf_get_smp_processor_id() & (PACE_CPUS - 1);

	return bpf_map_lookup_elem(&paces, &cpu);
}

/* When the call of `program` that begins now is timed, since when; else 0. Global, so that the verifier looks at it by itself and takes
 * any number to come back: it would follow all that comes after it twice. */
__noinline u64 pace_begin(u32 program)
{
	struct pace *pace = pace_here();

	if (!pace || ++pace->runs[program & (PACE_PROGRAMS - 1)] & (PACE_TIMED - 1))
		return 0;
	return bpf_ktime_get_ns();
}

static __always_inline void pace_end(u32 program, u64 since_ns)
{
	struct pace *pace = since_ns ? pace_here() : NULL;
	u64 ns;

	if (!pace)
		return;
	ns = bpf_ktime_get_ns() - since_ns;
	pace->timed_ns[program] += ns < PACE_LONGEST_NS ? ns : PACE_LONGEST_NS;
}

/* What a program returns, whose work is `work` and whose number is `program`. */
#define PACED(program, work)                                                                                           \
	({                                                                                                             \
		u64 paced_since_ns = pace_begin(program);                                                              \
		int paced_result = (work);                                                                             \
                                                                                                                       \
		pace_end(program, paced_since_ns);                                                                     \
		paced_result;                                                                                          \
	})
