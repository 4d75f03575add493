/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* On-CPU sampling: at every tick of a CPU's perf event, whose task runs and where. One sample = weight 1, or as many as the
 * periods it stands for where the frequency was lowered to stay within the budget. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define STACK_COPY_ALIGN 64
#include "bpf/delta.bpf.h"
#include "bpf/filter.bpf.h"
#define BIRTHS_OF_WANTED true
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/python.bpf.h"
#include "bpf/stack.bpf.h"
#include "profile_pace.h"

#define PROFILE_THREADS 8192 /* remembered; who is forgotten starts a new interval */

struct profile_last {
	u64 start_time; /* of the thread: guards against reuse of its tid */
	u64 cpu_ns; /* it had had at its last sample */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROFILE_THREADS);
	__type(key, u32);
	__type(value, struct profile_last);
} last_samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct profile_pace);
} pace SEC(".maps");

const volatile bool profile_moments = false;

/* User space looks at the ring ten times a second anyway. One that does not fit in is missed in the count of those that
 * came. */
static __always_inline void profile_moment(const struct stack_value *value)
{
	struct stack_moment moment = { .time_ns = bpf_ktime_get_ns(), .id = value->id };

	bpf_ringbuf_output(&stack_ring, &moment, sizeof(moment), BPF_RB_NO_WAKEUP);
}

static __always_inline void profile_pace(struct task_struct *task, u32 tid, u32 periods)
{
	struct profile_last now = { .start_time = READ(task, start_time),
				    .cpu_ns = BPF_CORE_READ(task, se.sum_exec_runtime) };
	struct profile_last *last = bpf_map_lookup_elem(&last_samples, &tid);
	u32 zero = 0;
	struct profile_pace *sum = bpf_map_lookup_elem(&pace, &zero);

	if (!last) {
		bpf_map_update_elem(&last_samples, &tid, &now, BPF_ANY);
		return;
	}
	if (sum && last->start_time == now.start_time && last->cpu_ns <= now.cpu_ns) {
		sum->intervals += periods;
		sum->cpu_ns += now.cpu_ns - last->cpu_ns;
	}
	*last = now;
}

/* A copy is sent one by one: hardly two samples have the same registers, so there is nothing to gather under a
 * fingerprint. But most of a thread's stack is what it was a sample ago, and need not be sent again. FALSE when frame pointers are to be followed: they do, or have to, because the ring is full. */
static __always_inline bool profile_copy(void *ctx, struct task_struct *task, u64 key, u32 periods, u32 *flags)
{
	u32 bytes = stack_copy_wanted(task);
	struct stack_copy_room *room = bytes ? stack_copy_room_get(0) : NULL;

	if (!room)
		return false;
	stack_record_begin(&room->record, task, key);
	room->record.weight = periods;
	stack_delta_send_tail(room, READ(task, pid), stack_copy_tail_wanted(task));
	stack_record_kernel(&room->record, ctx, 0);
	script_of_current(0, room->record.script);
	if (!stack_copy_take(room, bytes))
		return false;
	*flags = STACK_NO_COPY;
	return stack_delta_send(room, READ(task, pid));
}

static __always_inline int tick_look(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 tid = READ(task, pid);
	struct stack_record *record;
	struct stack_value *value;
	u32 flags = 0, periods;
	u64 key;

	if (tid == 0)
		return 0; /* the idle task: nobody's time */
	key = cgroup_key_current();
	if (!filter_wants(task, key))
		return 0;
	periods = budget_now(); /* the event's period is so many times as long as asked for: profile.c */
	if (!periods)
		periods = 1;
	loss_add(LOSS_SEEN, 1, periods);
	profile_pace(task, tid, periods);
	if (profile_copy(ctx, task, key, periods, &flags))
		return 0;
	record = stack_record_get(0);
	if (!record)
		return 0;
	stack_record_begin(record, task, key);
	stack_record_frames(record, ctx, 0);
	stack_record_at_sp(record, task);
	record->flags |= flags;
	script_of_current(0, record->script);
	value = stack_record_count(record, periods);
	if (profile_moments && value)
		profile_moment(value);
	return 0;
}

SEC("perf_event")
int profile_tick(void *ctx)
{
	return PACED(0, tick_look(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
