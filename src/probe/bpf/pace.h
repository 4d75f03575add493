/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both halves know of how often programs are called, and of how long a call takes. */
#pragma once
#include <linux/types.h>

#define PACE_CPUS 256 /* a power of two; more share */
#define PACE_PROGRAMS 4 /* a power of two; of objects that have more, some share */
#define PACE_TIMED 64 /* a power of two: of so many calls one is timed */
#define PACE_LONGEST_NS 65536 /* what takes longer was interrupted */
#define PACE_MAP "paces" /* found by its name (../pace.h, ../cost.h) */

/* Of one CPU. */
struct pace {
	__u64 runs[PACE_PROGRAMS];
	__u64 timed_ns[PACE_PROGRAMS]; /* of one run in PACE_TIMED */
};
