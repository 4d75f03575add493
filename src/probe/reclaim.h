/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* blame memory: who took memory while others had to make room themselves. */
#pragma once
#include "bpf/table.h"

enum reclaim_kind {
	RECLAIM_LIMIT = 0, /* ns: at a memory limit of its own, or of a cgroup above it */
	RECLAIM_MACHINE = 1, /* ns: because the machine was short of memory */
	RECLAIM_TAKEN = 2, /* pages allocated */
	RECLAIM_REFAULT = 3, /* ns: for pages that had been given up and are read again */
	RECLAIM_GIVEN_UP = 4, /* pages given up at a limit, by whom made room */
	RECLAIM_KSWAPD = 5, /* ns: of the kernel's own thread */
	RECLAIM_KINDS = 6,
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_blame_memory;
#endif
