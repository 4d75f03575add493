/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who pays for BPF programs: the kernel counts each program's runs and nanoseconds per CPU (while its statistics are
 * on). At every context switch we look what has been added on this CPU since the last one: it was done on the time of the
 * task that ran. Exact for programs in any context; one that runs at the switch itself is charged to one side of it.
 *
 * The counters lie in per-CPU memory, of which only the address common to all CPUs is known. What must be added to
 * it on this CPU is found from a map of our own, whose common address and address here are both known. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/cgroup.bpf.h"
#include "payers_record.h"

const volatile __u32 programs_count = 0;

__u64 program_stats[PAYERS_PROGRAMS] = {}; /* common address of each watched program's counters; 0: not found */
__u64 payers_lost_ns = 0; /* the table was full */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAYERS_PROGRAMS);
	__type(key, __u32); /* id of a program */
	__type(value, __u32); /* its index */
} program_ids SEC(".maps");

struct payers_cpu {
	__u64 self, map; /* addresses, as numbers */
	__u64 shift; /* from the common address to this CPU's; 0: not known yet */
	struct payer_sum last[PAYERS_PROGRAMS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct payers_cpu);
} payers_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAYERS_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct payer_key);
	__type(value, struct payer_sum);
} payers SEC(".maps");

SEC("btf_iter/bpf_prog")
int payers_find(struct bpf_iter__bpf_prog *ctx)
{
	struct bpf_prog *program = ctx->prog;
	__u32 id, at, *index;

	if (!program)
		return 0;
	id = BPF_CORE_READ(program, aux, id);
	index = bpf_map_lookup_elem(&program_ids, &id);
	if (!index)
		return 0;
	at = *(volatile __u32 *)index;
	if (at < PAYERS_PROGRAMS)
		program_stats[at] = (__u64)BPF_CORE_READ(program, stats);
	return 0;
}

/* Written to memory and read back, the verifier takes an address for a number. */
static __always_inline __u64 payers_number(volatile __u64 *place)
{
	return *place;
}

static __always_inline bool payers_locate(struct payers_cpu *cpu)
{
	__u64 common = 0, map;

	*(volatile __u64 *)&cpu->self = (__u64)cpu;
	*(volatile __u64 *)&cpu->map = (__u64)&payers_cpus;
	map = payers_number(&cpu->map);
	bpf_probe_read_kernel(&common, sizeof(common), (void *)(map + bpf_core_field_offset(struct bpf_array, pptrs)));
	if (!common)
		return false;
	cpu->shift = payers_number(&cpu->self) - common;
	return true;
}

static __always_inline void payers_charge(__u64 cgroup_key, __u32 program, const struct payer_sum *more)
{
	struct payer_key key = { .cgroup_key = cgroup_key, .program = program };
	struct payer_sum *sum = bpf_map_lookup_elem(&payers, &key), none = {};

	if (!sum) {
		bpf_map_update_elem(&payers, &key, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&payers, &key);
	}
	if (!sum) {
		__sync_fetch_and_add(&payers_lost_ns, more->run_time_ns);
		return;
	}
	__sync_fetch_and_add(&sum->run_count, more->run_count);
	__sync_fetch_and_add(&sum->run_time_ns, more->run_time_ns);
}

/* bpf_prog_stats begins with count and nanoseconds, next to each other. */
static __always_inline void payers_look(struct payers_cpu *cpu, __u32 program, bool is_first, __u64 cgroup_key)
{
	struct payer_sum now = {}, more;
	__u64 stats = program_stats[program];

	if (!stats)
		return;
	bpf_probe_read_kernel(&now, sizeof(now),
			      (void *)(stats + cpu->shift + bpf_core_field_offset(struct bpf_prog_stats, cnt)));
	more.run_count = now.run_count - cpu->last[program].run_count;
	more.run_time_ns = now.run_time_ns - cpu->last[program].run_time_ns;
	cpu->last[program] = now;
	if (!is_first && more.run_count)
		payers_charge(cgroup_key, program, &more);
}

SEC("btf_tp/sched_switch")
int BPF_PROG(payers_switch, bool preempt, struct task_struct *prev)
{
	__u32 zero = 0;
	struct payers_cpu *cpu = bpf_map_lookup_elem(&payers_cpus, &zero);
	bool is_first;
	__u64 key;

	if (!cpu)
		return 0;
	is_first = cpu->shift == 0;
	if (is_first && !payers_locate(cpu))
		return 0;
	key = READ(prev, pid) ? cgroup_key_of(prev) : 0;
	for (__u32 i = 0; i < PAYERS_PROGRAMS; i++) {
		if (i >= programs_count)
			break;
		payers_look(cpu, i, is_first, key);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
