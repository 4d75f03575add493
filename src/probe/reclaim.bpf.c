// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Direct reclaim: a task that wants memory has to make room first. Who waits so, at whose limit, and who allocated
 * how much meanwhile; user space puts the two together. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "reclaim.h"
#define TABLE_CLASSES RECLAIM_KINDS
#include "bpf/births.bpf.h"
#include "bpf/table.bpf.h"

#define PAGE_ORDER_MAX 20

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} reclaim_starts SEC(".maps");

static __always_inline u32 reclaim_row(struct task_struct *task)
{
	struct table_key key;

	table_key_init(&key, task, cgroup_key_current(), 0);
	return table_row(task, &key);
}

static __always_inline int reclaim_begin(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 *start = bpf_task_storage_get(&reclaim_starts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (start)
		*start = bpf_ktime_get_ns();
	else
		loss_add(LOSS_STORAGE, 1, 0);
	return 0;
}

static __always_inline int reclaim_end(u32 kind)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 *start = bpf_task_storage_get(&reclaim_starts, task, 0, 0), ns;
	u32 row;

	if (!start || !*start)
		return 0;
	ns = bpf_ktime_get_ns() - *start;
	*start = 0;
	row = reclaim_row(task);
	if (table_wants(task, row))
		table_add_ns(row, kind, ns);
	return 0;
}

SEC("btf_tp/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(reclaim_machine_begin)
{
	return reclaim_begin();
}

SEC("btf_tp/mm_vmscan_direct_reclaim_end")
int BPF_PROG(reclaim_machine_end)
{
	return reclaim_end(RECLAIM_MACHINE);
}

SEC("btf_tp/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(reclaim_limit_begin)
{
	return reclaim_begin();
}

SEC("btf_tp/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(reclaim_limit_end)
{
	return reclaim_end(RECLAIM_LIMIT);
}

/* Everybody's, wanted or not. An interrupt's allocations count for whom it interrupted. */
SEC("btf_tp/mm_page_alloc")
int BPF_PROG(reclaim_alloc, void *page, unsigned int order)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (page && order <= PAGE_ORDER_MAX)
		table_add_size(reclaim_row(task), RECLAIM_TAKEN, 1ULL << order);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
