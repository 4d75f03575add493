// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How long interrupt handlers and soft interrupts take. They work for nobody in particular: whoever was interrupted has
 * nothing to do with it, so all of it is the host's. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "interrupt.h"
#define TABLE_CLASSES 1
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/table.bpf.h"

struct start {
	u64 ns; /* 0: none */
	u32 number;
	u32 many; /* interrupts it stands for */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct start);
} starts SEC(".maps");

static __always_inline int interrupt_begin(u32 number)
{
	u32 zero = 0;
	struct start *start = bpf_map_lookup_elem(&starts, &zero);

	if (start) {
		start->number = number;
		start->many = budget_pick();
		start->ns = start->many ? bpf_ktime_get_ns() : 0;
	}
	return 0;
}

static __always_inline int interrupt_end(u32 number)
{
	struct table_key key = { .cgroup_key = CGROUP_ROOT, .label = number };
	struct task_struct *task = bpf_get_current_task_btf();
	u32 zero = 0, row;
	struct start *start = bpf_map_lookup_elem(&starts, &zero);
	struct table_owner *owner;
	u64 ns;

	if (!start || !start->ns || start->number != number)
		return 0;
	ns = bpf_ktime_get_ns() - start->ns;
	start->ns = 0;
	row = table_row(task, &key);
	owner = table_owner(row);
	if (!filter_on || (owner && owner->wanted))
		table_add_ns_many(row, 0, ns, start->many);
	return 0;
}

SEC("btf_tp/softirq_entry")
int BPF_PROG(interrupt_softirq_entry, unsigned int vector)
{
	return PACED(0, interrupt_begin(vector));
}

SEC("btf_tp/softirq_exit")
int BPF_PROG(interrupt_softirq_exit, unsigned int vector)
{
	return PACED(1, interrupt_end(vector));
}

SEC("btf_tp/irq_handler_entry")
int BPF_PROG(interrupt_irq_entry, int irq)
{
	return PACED(0, interrupt_begin(irq));
}

SEC("btf_tp/irq_handler_exit")
int BPF_PROG(interrupt_irq_exit, int irq)
{
	return PACED(1, interrupt_end(irq));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
