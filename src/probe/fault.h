/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Page faults: histograms kept for each key. */
#pragma once
#include "bpf/table.h"

enum fault_kind {
	FAULT_MINOR = 0, /* the page was in memory, or new */
	FAULT_MAJOR = 1, /* it had to be read */
	FAULT_KINDS = 2,
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_fault;
#endif
