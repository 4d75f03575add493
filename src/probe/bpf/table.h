/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables of histograms: what both halves must agree on (see table.bpf.h). */
#pragma once
#include "histogram.h"
#include "shared.h"

#define TABLE_NO_ROW 0 /* there was no room: counted as lost */

struct table_key {
	__u64 cgroup_key; /* never 0 */
	__u64 label; /* the probe's own */
	__u32 tgid; /* 0 unless processes are kept apart */
	__u32 pidns; /* 0 unless pid namespaces are kept apart */
};

/* Whose a row is. The key of a row that is not in use is 0. */
struct table_owner {
	struct table_key key;
	char comm[STACK_COMM]; /* with a tgid: of its group leader */
	__u32 wanted; /* what the filter says of the cgroup */
	__u32 pad;
};
