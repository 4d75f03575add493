// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Direct reclaim: a task that wants memory has to make room first. Who waits so, at whose limit, and who allocated
 * how much meanwhile; user space puts the two together. Refaults: a task that waits for a page to be read that was in
 * memory before; the kernel marks it (in_memstall, what pressure stall information counts) while it sleeps. A marked sleep
 * that is no I/O is the brake of memory.high. And how long kswapd is at work. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "reclaim.h"
#define TABLE_CLASSES RECLAIM_KINDS
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/table.bpf.h"

#define PAGE_ORDER_MAX 20

struct reclaim_task {
	u64 start_ns; /* in reclaim since; 0: not */
	u64 stalled_ns; /* asleep and marked since, outside of reclaim; 0: not */
	u64 is_braked;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct reclaim_task);
} reclaim_tasks SEC(".maps");

static __always_inline u32 reclaim_row(struct task_struct *task)
{
	struct table_key key;

	table_key_init(&key, task, cgroup_key_current(), 0);
	return table_row(task, &key);
}

static __always_inline int reclaim_begin(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct reclaim_task *own = bpf_task_storage_get(&reclaim_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (own)
		own->start_ns = bpf_ktime_get_ns();
	else
		loss_add(LOSS_STORAGE, 1, 0);
	return 0;
}

static __always_inline int reclaim_end(u32 kind, unsigned long given_up)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct reclaim_task *own = bpf_task_storage_get(&reclaim_tasks, task, 0, 0);
	u64 ns;
	u32 row;

	if (!own || !own->start_ns)
		return 0;
	ns = bpf_ktime_get_ns() - own->start_ns;
	own->start_ns = 0;
	row = reclaim_row(task);
	if (!table_wants(task, row))
		return 0;
	table_add_ns(row, kind, ns);
	if (kind == RECLAIM_LIMIT && given_up)
		table_add_size(row, RECLAIM_GIVEN_UP, given_up);
	return 0;
}

SEC("btf_tp/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(reclaim_machine_begin)
{
	return PACED(0, reclaim_begin());
}

SEC("btf_tp/mm_vmscan_direct_reclaim_end")
int BPF_PROG(reclaim_machine_end, unsigned long given_up)
{
	return PACED(1, reclaim_end(RECLAIM_MACHINE, given_up));
}

SEC("btf_tp/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(reclaim_limit_begin)
{
	return PACED(0, reclaim_begin());
}

SEC("btf_tp/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(reclaim_limit_end, unsigned long given_up)
{
	return PACED(1, reclaim_end(RECLAIM_LIMIT, given_up));
}

/* Everybody's, wanted or not. An interrupt's allocations count for whom it interrupted. */
static __always_inline int alloc_look(void *page, unsigned int order)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 many = page && order <= PAGE_ORDER_MAX ? budget_pick() : 0;

	if (many)
		table_add_size_many(reclaim_row(task), RECLAIM_TAKEN, 1ULL << order, many);
	return 0;
}

SEC("btf_tp/mm_page_alloc")
int BPF_PROG(reclaim_alloc, void *page, unsigned int order)
{
	return PACED(2, alloc_look(page, order));
}

/* Marked, and about to sleep. */
static __always_inline void reclaim_sleeps(struct task_struct *task)
{
	struct reclaim_task *own = bpf_task_storage_get(&reclaim_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!own) {
		loss_add(LOSS_STORAGE, 1, 0);
		return;
	}
	own->stalled_ns = own->start_ns ? 0 : bpf_ktime_get_ns();
	own->is_braked = !BPF_CORE_READ_BITFIELD(task, in_iowait);
}

/* Marked, and on a CPU again. */
static __always_inline void reclaim_wakes(struct task_struct *task)
{
	struct reclaim_task *own = bpf_task_storage_get(&reclaim_tasks, task, 0, 0);
	struct table_key key;
	u64 ns;
	u32 row;

	if (!own || !own->stalled_ns)
		return;
	ns = bpf_ktime_get_ns() - own->stalled_ns;
	own->stalled_ns = 0;
	table_key_init(&key, task, cgroup_key_of(task), 0);
	row = table_row(task, &key);
	if (table_wants(task, row))
		table_add_ns(row, own->is_braked ? RECLAIM_LIMIT : RECLAIM_REFAULT, ns);
}

static __always_inline int switch_look(bool preempted, struct task_struct *prev, struct task_struct *next)
{
	if (!bpf_core_field_exists(prev->in_memstall))
		return 0;
	if (!preempted && BPF_CORE_READ_BITFIELD(prev, in_memstall) && !(prev->flags & PF_KTHREAD))
		reclaim_sleeps(prev);
	if (BPF_CORE_READ_BITFIELD(next, in_memstall) && !(next->flags & PF_KTHREAD))
		reclaim_wakes(next);
	return 0;
}

SEC("btf_tp/sched_switch")
int BPF_PROG(reclaim_switch, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return PACED(3, switch_look(preempted, prev, next));
}

/* Told at each round of its work; only the first begins it. */
static __always_inline int kswapd_begins()
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct reclaim_task *own = bpf_task_storage_get(&reclaim_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (own && !own->start_ns)
		own->start_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("btf_tp/mm_vmscan_kswapd_wake")
int BPF_PROG(reclaim_kswapd_begin)
{
	return PACED(0, kswapd_begins());
}

/* Everybody's business, whoever is wanted. */
static __always_inline int kswapd_ends()
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct reclaim_task *own = bpf_task_storage_get(&reclaim_tasks, task, 0, 0);

	if (own && own->start_ns) {
		table_add_ns(reclaim_row(task), RECLAIM_KSWAPD, bpf_ktime_get_ns() - own->start_ns);
		own->start_ns = 0;
	}
	return 0;
}

SEC("btf_tp/mm_vmscan_kswapd_sleep")
int BPF_PROG(reclaim_kswapd_end)
{
	return PACED(1, kswapd_ends());
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
