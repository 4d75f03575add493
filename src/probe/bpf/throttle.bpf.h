/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long a run queue of a cgroup has been throttled: its quota used up. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Nanoseconds (of the scheduler's clock) for which `queue` has been throttled, up to now. */
static __always_inline u64 throttled_clock(struct cfs_rq *queue)
{
	u64 since, total;

	if (bpf_core_field_exists(queue->throttled_clock_self_time)) {
		total = queue->throttled_clock_self_time;
		since = queue->throttled_clock_self;
		return since ? total + queue->rq->clock - since : total;
	}
	if (bpf_core_field_exists(queue->throttled_clock_pelt_time)) {
		total = queue->throttled_clock_pelt_time;
		if (queue->throttle_count > 0)
			total += queue->rq->clock_pelt - queue->rq->lost_idle_time - queue->throttled_clock_pelt;
		return total;
	}
	return 0;
}
