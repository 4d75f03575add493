/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two halves of the run-queue probes (runq, blame) share. */
#pragma once
#include "bpf/blame.h"
#include "bpf/pace.h"

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_runq; /* run-queue latency */
extern const struct probe probe_blame; /* who ran while others waited */
#endif

/* Histograms of one key: why it waited. A wait is counted in one of them: THROTTLED when its quota was used up for
 * most of it, else by how it began. The sums are exact: a wait's throttled part is in the sum of THROTTLED, the rest
 * in that of how it began. */
enum runq_wait {
	RUNQ_WOKEN = 0,
	RUNQ_PREEMPTED = 1,
	RUNQ_THROTTLED = 2,
	RUNQ_WAITS = 3,
};
