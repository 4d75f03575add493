/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* On-CPU sampling: at every tick of a CPU's perf event, whose task runs and where. One sample = weight 1. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/births.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/stack.bpf.h"

SEC("perf_event")
int profile_tick(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct stack_record *record;
	u64 key;

	if (READ(task, pid) == 0)
		return 0; /* the idle task: nobody's time */
	key = cgroup_key_of(task);
	if (!filter_wants(task, key))
		return 0;
	loss_add(LOSS_SEEN, 1, 1);
	record = stack_record_get(0);
	if (!record)
		return 0;
	stack_record_begin(record, task, key);
	stack_record_frames(record, ctx, 0);
	stack_record_count(record, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
