/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both halves of payers must agree on. */
#pragma once
#include <linux/types.h>

#define PAYERS_PROGRAMS 64 /* watched at once */
#define PAYERS_TABLE 16384 /* (cgroup, program) pairs */

struct payer_key {
	__u64 cgroup_key; /* 0: nobody, the CPU was idle */
	__u32 program; /* index */
	__u32 pad;
};

struct payer_sum {
	__u64 run_count;
	__u64 run_time_ns;
};
