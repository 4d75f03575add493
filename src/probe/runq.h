/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two halves of the run-queue probes (runq, blame) share. */
#pragma once
#include "bpf/shared.h"

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

/* Who had the CPU, by row; these two are no rows. */
#define BLAME_IDLE 0xffffU /* nobody: the CPU was leaving its sleep, or slept although somebody waited */
#define BLAME_QUOTA 0xfffeU /* nobody was allowed to: the waiter's own quota was used up */
#define BLAME_OLDER 0xfffdU /* longer ago than the CPU's memory reaches */
#define BLAME_ELSEWHERE 0xfffcU /* waited on another CPU before it was moved */
#define BLAME_ROWS_MAX 0xfff0U

struct blame_key {
	__u16 waiter, culprit;
};

struct blame_sum {
	__u64 ns;
	__u64 waits; /* in how many waits it had a part */
};
