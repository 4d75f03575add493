/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Block I/O, from the request's point of view: made, given to the device, done.
 *
 * Time in the queue runs from the kernel's own stamp of the request's making (start_time_ns; where it keeps none, from
 * its insertion) to the last time it was given to the device; time in the device from there to its completion. A
 * request that is sent back (requeued) is in the queue again; one that is merged into another is no request any more.
 *
 * Whose a request is says its bio: the cgroup it is accounted to, also when a kernel thread writes it back. On a v1
 * hierarchy that cgroup is another than the one tasks are known by: which belongs to which is learnt from tasks that
 * submit their own I/O. What is accounted to nobody (the root) belongs to the task that queued it. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "block.h"
#define TABLE_CLASSES BLOCK_TIMES
#include "bpf/births.bpf.h"
#include "bpf/block.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/event.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/table.bpf.h"

#define BLOCK_REQUESTS 16384 /* in flight */
#define REQ_OP_MASK 0xff /* include/linux/blk_types.h */

const volatile bool block_events = false; /* else: histograms */
const volatile __u64 block_over_ns = 0; /* events: only what takes this long in all */

struct block_flight {
	u64 made_ns, issued_ns; /* issued 0: in the queue */
	u32 row; /* histograms */
	u32 requeues;
	u32 many; /* histograms: requests it stands for */
	struct event_head head; /* events */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BLOCK_REQUESTS);
	__type(key, u64); /* address of the request */
	__type(value, struct block_flight);
} block_flights SEC(".maps");

static __always_inline u32 block_size(u32 bytes)
{
	return bytes == 0	    ? 0
	       : bytes <= 4 << 10   ? 1
	       : bytes <= 16 << 10  ? 2
	       : bytes <= 64 << 10  ? 3
	       : bytes <= 256 << 10 ? 4
				    : 5;
}

/* How many requests this one stands for. Its address is one of its numbers, which the verifier lets nobody reckon with. */
static __always_inline u32 block_pick(struct request *request, u64 made)
{
	u64 address = (u64)request, whose = 0;
	u32 one_in = budget_now();

	if (one_in <= 1 || !made)
		return 1;
	bpf_probe_read_kernel(&whose, sizeof(whose), &address);
	return budget_pick_by(one_in, whose, made);
}

/* A request seen for the first time, in the context of whoever queues it. FALSE: nobody asked for it, or it
 * is not one of those that are looked at. */
static __always_inline bool block_begin(struct request *request, struct block_flight *flight, u64 now)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 made = BPF_CORE_READ(request, start_time_ns), key;
	u32 operation = BPF_CORE_READ(request, cmd_flags) & REQ_OP_MASK;
	struct table_key row;
	u32 many = block_events ? 1 : block_pick(request, made);

	if (!many)
		return false;
	__builtin_memset(flight, 0, sizeof(*flight));
	key = block_owner(request, task);
	flight->made_ns = made && made <= now ? made : now;
	flight->many = many;
	if (block_events) {
		if (!filter_wants(task, key))
			return false;
		event_head_fill(&flight->head, task, key, 0);
		return true;
	}
	table_key_init(&row, task, key,
		       BLOCK_LABEL(block_device(request), operation, block_size(BPF_CORE_READ(request, __data_len))));
	flight->row = table_row(task, &row);
	return table_wants(task, flight->row);
}

static __always_inline int insert_look(struct request *request)
{
	u64 address = (u64)request, now = bpf_ktime_get_ns();
	struct block_flight flight;

	if (bpf_map_lookup_elem(&block_flights, &address)) /* sent back before */
		return 0;
	if (block_begin(request, &flight, now) && bpf_map_update_elem(&block_flights, &address, &flight, BPF_ANY) != 0)
		loss_add(LOSS_MAP, 1, 0);
	return 0;
}

SEC("btf_tp/block_rq_insert")
int BPF_PROG(block_insert, struct request *request)
{
	return PACED(0, insert_look(request));
}

static __always_inline int issue_look(struct request *request)
{
	u64 address = (u64)request, now = bpf_ktime_get_ns();
	struct block_flight *known = bpf_map_lookup_elem(&block_flights, &address), flight;

	if (known) {
		known->issued_ns = now;
		return 0;
	}
	if (!block_begin(request, &flight, now))
		return 0;
	flight.issued_ns = now;
	if (bpf_map_update_elem(&block_flights, &address, &flight, BPF_ANY) != 0)
		loss_add(LOSS_MAP, 1, 0);
	return 0;
}

SEC("btf_tp/block_rq_issue")
int BPF_PROG(block_issue, struct request *request)
{
	return PACED(1, issue_look(request));
}

static __always_inline int requeue_look(struct request *request)
{
	u64 address = (u64)request;
	struct block_flight *flight = bpf_map_lookup_elem(&block_flights, &address);

	if (flight) {
		flight->issued_ns = 0;
		flight->requeues++;
	}
	return 0;
}

SEC("btf_tp/block_rq_requeue")
int BPF_PROG(block_requeue, struct request *request)
{
	return PACED(3, requeue_look(request));
}

/* Merged into another one: its data goes on, it does not. */
static __always_inline int merge_look(struct request *request)
{
	u64 address = (u64)request;

	bpf_map_delete_elem(&block_flights, &address);
	return 0;
}

SEC("btf_tp/block_rq_merge")
int BPF_PROG(block_merge, struct request *request)
{
	return PACED(3, merge_look(request));
}

static __always_inline void block_tell(struct request *request, const struct block_flight *flight, u64 now, int status,
				       u32 bytes)
{
	u64 total = now - flight->made_ns;
	struct block_record record;

	loss_add(LOSS_SEEN, 1, 1);
	if (total < block_over_ns) {
		loss_add(LOSS_BELOW_THRESHOLD, 1, 1);
		return;
	}
	if (!event_allowed(flight->head.task.cgroup_key))
		return;
	__builtin_memset(&record, 0, sizeof(record));
	record.head = flight->head;
	record.head.time_ns = now;
	record.bytes = bytes;
	record.sector = BPF_CORE_READ(request, __sector);
	record.queue_ns = flight->issued_ns - flight->made_ns;
	record.device_ns = now - flight->issued_ns;
	record.device = block_device(request);
	record.flags = BPF_CORE_READ(request, cmd_flags);
	record.status = status & 0xff;
	record.requeues = flight->requeues;
	event_send(&record, sizeof(record));
}

static __always_inline int complete_look(struct request *request, int status, unsigned int bytes)
{
	u64 address = (u64)request, now;
	struct block_flight *known = bpf_map_lookup_elem(&block_flights, &address), flight;

	if (!known || (status == 0 && bytes < BPF_CORE_READ(request, __data_len))) /* more of it is still to come */
		return 0;
	now = bpf_ktime_get_ns();
	flight = *known;
	bpf_map_delete_elem(&block_flights, &address);
	if (!flight.issued_ns || flight.issued_ns < flight.made_ns || now < flight.issued_ns) {
		if (flight.issued_ns)
			loss_add(LOSS_OUT_OF_ORDER, 1, 0);
		return 0;
	}
	if (block_events) {
		block_tell(request, &flight, now, status, bytes);
		return 0;
	}
	table_add_ns_many(flight.row, BLOCK_QUEUE, flight.issued_ns - flight.made_ns, flight.many);
	table_add_ns_many(flight.row, BLOCK_DEVICE, now - flight.issued_ns, flight.many);
	return 0;
}

SEC("btf_tp/block_rq_complete")
int BPF_PROG(block_complete, struct request *request, int status, unsigned int bytes)
{
	return PACED(2, complete_look(request, status, bytes));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
