/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Single happenings in the life of processes: exec, exit, signal, open. Only the programs of the kind asked for are
 * loaded. They run rarely next to the scheduler's, so fields are read by helper (READ_BY_PROBE): cheaper to verify. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/births.bpf.h"
#include "bpf/event.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/path.bpf.h"
#include "bpf/syscall.bpf.h"
#include "trace.h"

#define TRACE_EXITS 1024 /* processes whose end was told a moment ago */
#define SIGNAL_GROUP_EXIT 0x00000004 /* include/linux/sched/signal.h */
#define SIGCHLD 17
#define SEND_SIG_MAX 1 /* SEND_SIG_NOINFO (0, current sends) and SEND_SIG_PRIV (1, the kernel): no pointers */

const volatile bool trace_arguments = false;
const volatile struct trace_system_calls system_calls = {};

struct trace_scratch {
	union {
		struct trace_exec exec;
		struct trace_open open;
	};
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct trace_scratch);
} trace_scratches SEC(".maps");

static __always_inline struct trace_scratch *trace_scratch_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&trace_scratches, &zero);
}

/* Counts, and tells whether to go on. The observer's own doings are no news, and would never end. */
static __always_inline bool trace_wants(struct task_struct *task, u64 key)
{
	if ((u32)BPF_CORE_READ(task, tgid) == event_self_tgid || !filter_wants(task, key))
		return false;
	loss_add(LOSS_SEEN, 1, 1);
	return event_allowed(key);
}

/* ---- exec ---- */

static __always_inline u32 exec_arguments(struct trace_exec *record, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	unsigned long start = BPF_CORE_READ(mm, arg_start), end = BPF_CORE_READ(mm, arg_end);
	u32 bytes = end > start ? end - start : 0;

	record->argument_bytes = bytes;
	if (!trace_arguments)
		return 0;
	if (bytes > TRACE_ARGUMENTS - 1)
		bytes = TRACE_ARGUMENTS - 1;
	bytes &= TRACE_ARGUMENTS - 1; /* for the verifier */
	if (bytes == 0 || bpf_probe_read_user(record->arguments, bytes, (void *)start) != 0)
		return 0;
	return bytes;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(trace_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct trace_scratch *scratch = trace_scratch_get();
	u64 key = cgroup_key_current();
	struct trace_exec *record;
	u32 bytes;

	if (!scratch || !trace_wants(task, key))
		return 0;
	record = &scratch->exec;
	event_head_fill(&record->head, task, key, TRACE_EXEC);
	record->pad = 0;
	record->parent_tgid = BPF_CORE_READ(task, real_parent, tgid);
	BPF_CORE_READ_INTO(&record->parent, task, real_parent, group_leader, comm);
	record->count = BPF_CORE_READ(bprm, argc);
	record->file[0] = '\0';
	bpf_probe_read_kernel_str(record->file, sizeof(record->file), BPF_CORE_READ(bprm, filename));
	path_of(&record->program, BPF_CORE_READ(task, mm, exe_file), task);
	bytes = exec_arguments(record, task) & (TRACE_ARGUMENTS - 1);
	event_send(record, __builtin_offsetof(struct trace_exec, arguments) + bytes);
	return 0;
}

/* ---- exit ---- */

/* Threads that end at the same moment may each find that none is left: the first one tells. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TRACE_EXITS);
	__type(key, u64); /* address of the signal_struct */
	__type(value, u64); /* start time of the process: addresses are used again */
} trace_exits SEC(".maps");

static __always_inline bool exit_is_first(struct task_struct *task, u64 start_time)
{
	u64 address = (u64)BPF_CORE_READ(task, signal);
	u64 *told = bpf_map_lookup_elem(&trace_exits, &address);

	if (told && *told == start_time)
		return false;
	bpf_map_update_elem(&trace_exits, &address, &start_time, BPF_ANY);
	return true;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(trace_exit, struct task_struct *task)
{
	u64 key = cgroup_key_current(), start_time = BPF_CORE_READ(task, group_leader, start_time);
	struct trace_exit record;

	if (BPF_CORE_READ(task, signal, live.counter) != 0 || !exit_is_first(task, start_time) ||
	    !trace_wants(task, key))
		return 0;
	__builtin_memset(&record, 0, sizeof(record));
	event_head_fill(&record.head, task, key, TRACE_EXIT);
	record.lifetime_ns = record.head.time_ns - start_time;
	record.status = BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT
				? BPF_CORE_READ(task, signal, group_exit_code)
				: BPF_CORE_READ(task, group_leader, exit_code);
	event_send(&record, sizeof(record));
	return 0;
}

/* ---- signal ---- */

static __always_inline void signal_sender(struct trace_signal *record, struct task_struct *sender, u64 key)
{
	record->sender.cgroup_key = key;
	record->sender.tgid = BPF_CORE_READ(sender, tgid);
	record->sender.tid = BPF_CORE_READ(sender, pid);
	BPF_CORE_READ_INTO(&record->sender.comm, sender, group_leader, comm);
	BPF_CORE_READ_INTO(&record->sender.thread_comm, sender, comm);
	record->sender_inner_pid = event_inner_pid(sender);
}

/* si_code > 0: the kernel sends, for its own reasons or because of a timer, a fault, a child. */
SEC("tp_btf/signal_generate")
int BPF_PROG(trace_signal, int number, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
{
	struct task_struct *sender = (void *)bpf_get_current_task();
	u64 key = cgroup_key_of(task), sender_key = cgroup_key_current();
	struct trace_signal record;

	if (number == SIGCHLD) /* every child's end: fathom trace exit */
		return 0;
	if (!filter_wants(task, key) && !filter_wants(sender, sender_key))
		return 0;
	loss_add(LOSS_SEEN, 1, 1);
	if (!event_allowed(key))
		return 0;
	__builtin_memset(&record, 0, sizeof(record));
	event_head_fill(&record.head, task, key, TRACE_SIGNAL);
	record.signal = number;
	record.result = result;
	record.code = (u64)info > SEND_SIG_MAX ? BPF_CORE_READ(info, si_code) : (u64)info ? 128 : 0;
	if (record.code <= 0)
		signal_sender(&record, sender, sender_key);
	event_send(&record, sizeof(record));
	return 0;
}

/* ---- open ---- */

struct open_call {
	const char *file;
	u32 flags;
};

/* What an open system call was asked for; FALSE when the call is another one. */
static __always_inline bool open_asked(struct pt_regs *regs, struct open_call *call)
{
	s64 number = syscall_number(regs);

	if (number == system_calls.openat) {
		call->file = (void *)syscall_argument(regs, 1);
		call->flags = syscall_argument(regs, 2);
	} else if (number == system_calls.openat2) {
		u64 flags = 0; /* first member of struct open_how */

		call->file = (void *)syscall_argument(regs, 1);
		bpf_probe_read_user(&flags, sizeof(flags), (void *)syscall_argument(regs, 2));
		call->flags = flags;
	} else if (number == system_calls.open) {
		call->file = (void *)syscall_argument(regs, 0);
		call->flags = syscall_argument(regs, 1);
	} else if (number == system_calls.creat) {
		call->file = (void *)syscall_argument(regs, 0);
		call->flags = 01101; /* O_CREAT | O_WRONLY | O_TRUNC */
	} else {
		return false;
	}
	return true;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(trace_open, struct pt_regs *regs, long result)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct trace_scratch *scratch;
	struct trace_open *record;
	struct open_call call;
	u32 bytes = 0;
	u64 key;

	if (!open_asked(regs, &call))
		return 0;
	key = cgroup_key_current();
	scratch = trace_scratch_get();
	if (!scratch || !trace_wants(task, key))
		return 0;
	record = &scratch->open;
	event_head_fill(&record->head, task, key, TRACE_OPEN);
	record->result = result;
	record->flags = call.flags;
	record->file[0] = '\0';
	record->asked = bpf_probe_read_user_str(record->file, sizeof(record->file), call.file) > 0;
	record->path.flags = record->path.bytes = 0;
	if (result >= 0)
		path_of(&record->path, path_file(task, result), task);
	bytes = record->path.bytes;
	if (bytes > sizeof(record->path.text))
		bytes = sizeof(record->path.text);
	event_send(record, __builtin_offsetof(struct trace_open, path.text) + bytes);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
