/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Single happenings: the ring they travel in, what is the same in all of them, and each container's share: a container
 * that floods must not hide the others, so it gets `1 / event_interval_ns` events a second (and a burst); what is above
 * is left out and counted, by container and in the ledger. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "event.h"
#include "loss.bpf.h"

#define EVENT_BUCKETS 4096
#define EVENT_RING_BYTES (4 << 20) /* user space sets the real size */
#define EVENT_TRIES 4 /* of a bucket that another CPU changes at the same time */

const volatile __u64 event_interval_ns = 0; /* 0: no limit */
const volatile __u64 event_burst_ns = 0;
const volatile __u32 event_self_tgid = 0; /* the observer */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_RING_BYTES);
} event_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, EVENT_BUCKETS);
	__type(key, u64); /* cgroup key */
	__type(value, struct event_bucket);
} event_buckets SEC(".maps");

static __always_inline struct event_bucket *event_bucket_of(u64 key)
{
	struct event_bucket fresh = { 0 };
	struct event_bucket *bucket = bpf_map_lookup_elem(&event_buckets, &key);

	if (bucket)
		return bucket;
	bpf_map_update_elem(&event_buckets, &key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&event_buckets, &key);
}

/* May one more event of the container be sent? `next_ns` is when the bucket will be empty again: it runs ahead of the
 * clock by what has been spent. */
static __noinline bool event_allowed(u64 key)
{
	u64 now = bpf_ktime_get_ns();
	struct event_bucket *bucket;

	if (event_interval_ns == 0)
		return true;
	bucket = event_bucket_of(key);
	if (!bucket) {
		loss_add(LOSS_MAP, 1, 1);
		return false;
	}
	for (int i = 0; i < EVENT_TRIES; i++) {
		u64 next = bucket->next_ns, start = next > now ? next : now;

		if (start - now > event_burst_ns) {
			__sync_fetch_and_add(&bucket->left_out, 1);
			loss_add(LOSS_FLOOD, 1, 1);
			return false;
		}
		if (__sync_val_compare_and_swap(&bucket->next_ns, next, start + event_interval_ns) == next)
			return true;
	}
	return true; /* contended: one too many rather than one too few */
}

/* The process's number in its own pid namespace. */
static __always_inline u32 event_inner_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	struct upid number = { 0 };

	bpf_probe_read_kernel(&number, sizeof(number),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid));
	return number.nr;
}

/* Everything of `head`, so that no byte of it is left from before. */
static __always_inline void event_head_fill(struct event_head *head, struct task_struct *task, u64 key, u32 kind)
{
	head->time_ns = bpf_ktime_get_ns();
	head->task.cgroup_key = key;
	head->task.tgid = BPF_CORE_READ(task, tgid);
	head->task.tid = BPF_CORE_READ(task, pid);
	BPF_CORE_READ_INTO(&head->task.comm, task, group_leader, comm);
	BPF_CORE_READ_INTO(&head->task.thread_comm, task, comm);
	head->inner_pid = event_inner_pid(task);
	head->kind = kind;
}

/* Sends `bytes` of `record`; a full ring is counted. */
static __always_inline void event_send(void *record, u64 bytes)
{
	if (bpf_ringbuf_output(&event_ring, record, bytes, 0) != 0)
		loss_add(LOSS_RING, 1, 1);
}
