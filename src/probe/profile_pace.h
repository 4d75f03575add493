/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pace of sampling: CPU time the sampled threads got between their samples, by the scheduler's own count. With no
 * sample missed it is one period per interval; what is more, the kernel skipped (throttled timer, virtual CPU that
 * did not run). */
#pragma once
#include <linux/types.h>

struct profile_pace {
	__u64 intervals;
	__u64 cpu_ns;
};
