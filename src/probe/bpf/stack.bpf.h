/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stacks, each distinct one kept once.
 *
 * A record (whose, which frames) is built in per-CPU scratch memory and fingerprinted with a keyed 128-bit hash. The
 * table `stacks` maps the fingerprint to counters; the first event with a fingerprint also sends the record through
 * the ring `stack_ring`. Nothing is lost silently: a full table counts LOSS_MAP; a full ring leaves the entry marked
 * unsent, later events try again, and user space counts what never got through. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "hash.h"
#include "loss.bpf.h"
#include "shared.h"

#define STACK_TABLE 131072 /* distinct stacks */
#define STACK_RING_BYTES (4 << 20)
#ifndef STACK_SLOTS
#define STACK_SLOTS 1 /* records under construction per CPU: one per context that may interrupt another */
#endif

/* enum probe_stack_flags */
#define STACK_USER_TRUNCATED (1 << 0)
#define STACK_KERNEL_TRUNCATED (1 << 1)
#define STACK_IOWAIT (1 << 2)
#define STACK_NO_USER (1 << 3)
#define STACK_KTHREAD (1 << 4)
#define STACK_NO_COPY (1 << 5)
#define STACK_NO_SCHED (1 << 6)

const volatile bool stack_user = true;
const volatile bool stack_kernel = true;
const volatile bool stack_by_thread = false;
const volatile __u32 stack_depth = STACK_DEPTH; /* less when kernel.perf_event_max_stack is */
const volatile __u64 stack_seed[2] = { 0x9e3779b97f4a7c15ULL, 0xc2b2ae3d27d4eb4fULL }; /* random for each run */

__u32 stack_next_id = 0;

/* Entries are made as stacks come: all at once they would be 12 MB and 10 ms of every start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STACK_TABLE);
	__type(key, struct stack_key);
	__type(value, struct stack_value);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STACK_RING_BYTES);
} stack_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STACK_SLOTS);
	__type(key, u32);
	__type(value, struct stack_record);
} stack_scratch SEC(".maps");

#define STACK_PROCESSES 4096 /* remembered as told to user space; who is forgotten wakes it once more */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STACK_PROCESSES);
	__type(key, u32); /* tgid */
	__type(value, u64); /* start time and count of execs: which life of that pid */
} stack_told SEC(".maps");

#define STACK_DEPTH_MASK 127
_Static_assert(STACK_DEPTH == STACK_DEPTH_MASK, "an index up to STACK_DEPTH must pass the mask unchanged");

#define STACK_HEAD_WORDS                                                                                               \
	((__builtin_offsetof(struct stack_record, frames) - __builtin_offsetof(struct stack_record, task)) / 8)

static __always_inline struct stack_record *stack_record_get(u32 slot)
{
	return bpf_map_lookup_elem(&stack_scratch, &slot);
}

static __always_inline void stack_comm_read(char *into, struct task_struct *task)
{
	((u64 *)into)[0] = 0; /* the rest behind the NUL takes part in the hash */
	((u64 *)into)[1] = 0;
	bpf_probe_read_kernel_str(into, STACK_COMM, task->comm);
}

/* Whose: fills `record->task` and the fixed fields. */
static __always_inline void stack_record_begin(struct stack_record *record, struct task_struct *task, u64 cgroup_key)
{
	struct task_struct *leader = READ(task, group_leader);

	record->tail_bytes = 0;
	record->weight = 1;
	record->task.cgroup_key = cgroup_key;
	record->task.tgid = READ(task, tgid);
	stack_comm_read(record->task.comm, leader);
	if (stack_by_thread) {
		record->task.tid = READ(task, pid);
		stack_comm_read(record->task.thread_comm, task);
	} else {
		record->task.tid = 0;
		((u64 *)record->task.thread_comm)[0] = 0;
		((u64 *)record->task.thread_comm)[1] = 0;
	}
	record->script[0] = 0;
	record->script[1] = 0;
	record->at_sp = 0;
	record->syscall = -1;
	record->flags = READ(task, flags) & PF_KTHREAD ? STACK_KTHREAD : 0;
	record->kernel_count = 0;
	record->user_count = 0;
	record->copy_bytes = 0;
}

/* Which frames: of the current task, in the context `ctx`. `kernel_skip` innermost kernel frames are left out. */
static __always_inline void stack_record_kernel(struct stack_record *record, void *ctx, u64 kernel_skip)
{
	u32 kernel = 0;
	long got;

	if (!stack_kernel)
		return;
	got = bpf_get_stack(ctx, record->frames, STACK_DEPTH * 8, kernel_skip & BPF_F_SKIP_FIELD_MASK);
	if (got > 0 && got <= STACK_DEPTH * 8)
		kernel = (u32)got / 8;
	if (kernel >= stack_depth)
		record->flags |= STACK_KERNEL_TRUNCATED;
	record->kernel_count = kernel;
}

/* `got`: what the helper returned that wrote the user half behind the kernel's. */
static __always_inline void stack_record_user_got(struct stack_record *record, long got)
{
	u32 user = 0;

	if (got > 0 && got <= STACK_DEPTH * 8)
		user = (u32)got / 8;
	if (user == 0)
		record->flags |= STACK_NO_USER;
	if (user >= stack_depth)
		record->flags |= STACK_USER_TRUNCATED;
	record->user_count = user;
}

/* By frame pointers; after the kernel's. */
static __always_inline void stack_record_user(struct stack_record *record, void *ctx)
{
	u32 kernel = record->kernel_count;

	if (!stack_user || (record->flags & STACK_KTHREAD))
		return;
	asm volatile("" : "+r"(kernel)); /* or clang drops the mask, which the verifier needs to see */
	stack_record_user_got(record, bpf_get_stack(ctx, &record->frames[kernel & STACK_DEPTH_MASK], STACK_DEPTH * 8,
						    BPF_F_USER_STACK));
}

static __always_inline void stack_record_frames(struct stack_record *record, void *ctx, u64 kernel_skip)
{
	stack_record_kernel(record, ctx, kernel_skip);
	stack_record_user(record, ctx);
}

static __always_inline u32 stack_record_words(const struct stack_record *record)
{
	u32 words = STACK_HEAD_WORDS + record->kernel_count + record->user_count;

	return words > STACK_HEAD_WORDS + 2 * STACK_DEPTH ? STACK_HEAD_WORDS + 2 * STACK_DEPTH : words;
}

/* bpf_loop callback (the verifier follows it once): one word into record->key. */
static long stack_record_hash_word(u32 i, struct stack_record **at)
{
	struct stack_record *record = *at;

	if (i >= stack_record_words(record) || i >= STACK_HEAD_WORDS + 2 * STACK_DEPTH)
		return 1;
	stack_hash_word(&record->key, ((const u64 *)&record->task)[i]);
	return 0;
}

static __always_inline void stack_record_hash(struct stack_record *record, struct stack_key *key)
{
	record->key.hash[0] = stack_seed[0];
	record->key.hash[1] = stack_seed[1];
	bpf_loop(STACK_HEAD_WORDS + 2 * STACK_DEPTH, stack_record_hash_word, &record, 0);
	*key = record->key;
}

/* User space looks at the ring ten times a second anyway. It is woken for the first stack of a process, which may be gone a
 * moment later, and when the ring fills. */
static __always_inline u64 stack_wakeup(const struct stack_record *record)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 tgid = record->task.tgid;
	struct task_struct *leader = READ(task, group_leader);
	u64 life = READ(leader, start_time) + READ(task, self_exec_id); /* another one after an exec */
	u64 *known;

	if (bpf_ringbuf_query(&stack_ring, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&stack_ring, BPF_RB_RING_SIZE) / 4)
		return BPF_RB_FORCE_WAKEUP;
	if ((u32)READ(task, tgid) != tgid)
		return BPF_RB_FORCE_WAKEUP; /* somebody else's stack */
	known = bpf_map_lookup_elem(&stack_told, &tgid);
	if (known && *known == life)
		return BPF_RB_NO_WAKEUP;
	bpf_map_update_elem(&stack_told, &tgid, &life, BPF_ANY);
	return BPF_RB_FORCE_WAKEUP;
}

/* Sends the record of a table entry that was not sent yet. */
static __always_inline void stack_send(struct stack_record *record, struct stack_value *value)
{
	u64 bytes = __builtin_offsetof(struct stack_record, task) + (u64)stack_record_words(record) * 8;

	if (__sync_val_compare_and_swap(&value->sent, 0, 1) != 0)
		return; /* another CPU is at it */
	record->time_ns = bpf_ktime_get_ns();
	record->id = value->id;
	if (bytes > sizeof(*record) || bpf_ringbuf_output(&stack_ring, record, bytes, stack_wakeup(record)))
		value->sent = 0;
}

/* The table entry of the record, made at first sight; NULL when it could not be kept (nothing counted). */
static __always_inline struct stack_value *stack_record_find(struct stack_record *record)
{
	struct stack_key key;
	struct stack_value *value;

	stack_record_hash(record, &key);
	value = bpf_map_lookup_elem(&stacks, &key);
	if (!value) {
		struct stack_value fresh = { .id = __sync_fetch_and_add(&stack_next_id, 1) };

		bpf_map_update_elem(&stacks, &key, &fresh, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&stacks, &key);
	}
	return value;
}

/* The same; and its record is sent at first sight. */
static __always_inline struct stack_value *stack_record_intern(struct stack_record *record)
{
	struct stack_value *value = stack_record_find(record);

	if (value && !value->sent)
		stack_send(record, value);
	return value;
}

/* Counts the event under the record's stack; NULL when that could not be kept. */
static __always_inline struct stack_value *stack_record_count(struct stack_record *record, u64 weight)
{
	struct stack_value *value = stack_record_intern(record);

	if (!value) {
		loss_add(LOSS_MAP, 1, weight);
		return NULL;
	}
	__sync_fetch_and_add(&value->events, 1);
	__sync_fetch_and_add(&value->weight, weight);
	return value;
}
