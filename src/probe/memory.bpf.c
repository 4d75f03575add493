/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Growth: at every n-th page fault of a CPU, whose memory grew and where in the program. One event stands for the pages of
 * n faults; which ones are left out depends on the count of all faults of that CPU, not on the program. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/filter.bpf.h"
#define BIRTHS_OF_WANTED true
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/copy.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/python.bpf.h"
#include "bpf/stack.bpf.h"

const volatile __u64 event_bytes = 4096; /* a page times the faults an event stands for */

static __always_inline bool memory_copy(void *ctx, struct task_struct *task, u64 key, u64 weight)
{
	u32 bytes = stack_copy_wanted(task);
	struct stack_copy_room *room = bytes ? stack_copy_room_get(0) : NULL;

	if (!room)
		return false;
	stack_record_begin(&room->record, task, key);
	room->record.weight = weight;
	stack_record_kernel(&room->record, ctx, 0);
	script_of_current(0, room->record.script);
	if (!stack_copy_take(room, bytes))
		return false;
	if (!stack_copy_send(room, STACK_NO_ID))
		loss_add(LOSS_RING, 1, weight);
	return true;
}

static __always_inline int fault_look(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 key = cgroup_key_current();
	struct stack_record *record;
	u64 weight;

	if (!filter_wants(task, key))
		return 0;
	weight = event_bytes * budget_pick();
	if (!weight)
		return 0;
	loss_add(LOSS_SEEN, 1, weight);
	if (memory_copy(ctx, task, key, weight))
		return 0;
	record = stack_record_get(0);
	if (!record)
		return 0;
	stack_record_begin(record, task, key);
	stack_record_frames(record, ctx, 0);
	stack_record_at_sp(record, task);
	script_of_current(0, record->script);
	stack_record_count(record, weight);
	return 0;
}

SEC("perf_event")
int memory_fault(void *ctx)
{
	return PACED(0, fault_look(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
