// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How long page faults take. Where functions can be watched, from the beginning of handle_mm_fault to its end; one that is
 * to be tried again (its lock was given up) goes on until it is done. Elsewhere no tracepoint says when a fault ends, but the
 * kernel counts it then (mm_account_fault), as minor or major, by a software event of perf: that is the end. The
 * beginning is the tracepoint of the exception, or, where an architecture has none, perf's count of all faults, a
 * moment later.
 *
 * A fault that ends in a signal is counted nowhere; its beginning is forgotten at the next one. A major fault sleeps, so
 * the beginning stays with the task. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "fault.h"
#define TABLE_CLASSES FAULT_KINDS
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/table.bpf.h"

struct fault_start {
	u64 ns; /* 0: none */
	u64 many; /* faults it stands for */
	u64 again; /* handle_mm_fault: address of a fault that is to be tried again; 0: none */
};

/* include/linux/mm_types.h; the kernel says which numbers they are. */
enum vm_fault_reason {
	VM_FAULT_OOM = 0x1,
	VM_FAULT_SIGBUS = 0x2,
	VM_FAULT_MAJOR = 0x4,
	VM_FAULT_SIGSEGV = 0x40,
	VM_FAULT_RETRY = 0x400,
};
enum fault_flag {
	FAULT_FLAG_TRIED = 1 << 5,
};
#define FAULT_REASON(name) ((u32)bpf_core_enum_value(enum vm_fault_reason, name))

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fault_start);
} fault_starts SEC(".maps");

static __always_inline int fault_begin(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fault_start *start;
	u32 many;

	many = budget_pick();
	if (!many)
		return 0;
	if (filter_on && !filter_wants(task, cgroup_key_current()))
		return 0;
	start = bpf_task_storage_get(&fault_starts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!start) {
		loss_add(LOSS_STORAGE, many, 0);
		return 0;
	}
	start->many = many;
	start->ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int fault_end(u32 kind)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fault_start *start = bpf_task_storage_get(&fault_starts, task, 0, 0);
	u64 ns;
	struct table_key key;
	u32 row;

	if (!start || !start->ns)
		return 0; /* nobody's we watch, or begun before we looked */
	ns = bpf_ktime_get_ns() - start->ns;
	start->ns = 0;
	table_key_init(&key, task, cgroup_key_current(), 0);
	row = table_row(task, &key);
	table_add_ns_many(row, kind, ns, (u32)start->many);
	return 0;
}

/* vm_fault_t handle_mm_fault(struct vm_area_struct *, unsigned long address, unsigned int flags, struct pt_regs *) */
static __always_inline int handle_look(u64 *ctx)
{
	struct fault_start *start = bpf_task_storage_get(&fault_starts, bpf_get_current_task_btf(), 0, 0);

	if (start && start->again) {
		if (start->again == ctx[1])
			return 0;
		start->again = start->ns = 0;
	}
	return fault_begin();
}

SEC("fentry/handle_mm_fault")
int fault_handle(u64 *ctx)
{
	return PACED(0, handle_look(ctx));
}

static __always_inline int handled_look(u64 *ctx)
{
	u32 flags = (u32)ctx[2], reason = (u32)ctx[4];
	struct fault_start *start = bpf_task_storage_get(&fault_starts, bpf_get_current_task_btf(), 0, 0);

	if (!start || !start->ns)
		return 0;
	start->again = reason & FAULT_REASON(VM_FAULT_RETRY) ? ctx[1] : 0;
	if (start->again)
		return 0;
	if (reason & (FAULT_REASON(VM_FAULT_OOM) | FAULT_REASON(VM_FAULT_SIGBUS) | FAULT_REASON(VM_FAULT_SIGSEGV))) {
		start->ns = 0;
		return 0;
	}
	return fault_end(reason & FAULT_REASON(VM_FAULT_MAJOR) ||
					 flags & (u32)bpf_core_enum_value(enum fault_flag, FAULT_FLAG_TRIED)
				 ? FAULT_MAJOR
				 : FAULT_MINOR);
}

SEC("fexit/handle_mm_fault")
int fault_handled(u64 *ctx)
{
	return PACED(1, handled_look(ctx));
}

SEC("btf_tp/page_fault_user")
int BPF_PROG(fault_user)
{
	return PACED(0, fault_begin());
}

/* The kernel touching a process's memory. */
SEC("btf_tp/page_fault_kernel")
int BPF_PROG(fault_kernel)
{
	return PACED(0, fault_begin());
}

SEC("perf_event")
int fault_any(void *ctx)
{
	return PACED(0, fault_begin());
}

SEC("perf_event")
int fault_minor(void *ctx)
{
	return PACED(1, fault_end(FAULT_MINOR));
}

SEC("perf_event")
int fault_major(void *ctx)
{
	return PACED(1, fault_end(FAULT_MAJOR));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
