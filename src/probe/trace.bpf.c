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
		struct trace_oom oom;
		struct trace_throttle throttle;
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

SEC("btf_tp/sched_process_exec")
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

SEC("btf_tp/sched_process_exit")
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
SEC("btf_tp/signal_generate")
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

SEC("btf_tp/sys_exit")
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

/* ---- oom ---- */

#define OOM_PROCESSES 65536 /* walked */
#define OOM_TOLD 512 /* sent */
#define OOM_LEVELS 32
#define OOM_SLACK_PAGES 64
#define OOM_PAGES_MIN 16 /* smaller ones are not worth telling */
#define PID_MAX_LIMIT (4 * 1024 * 1024) /* include/linux/threads.h */

enum {
	MM_FILE = 0, /* include/linux/mm_types_task.h: MM_FILEPAGES … */
	MM_ANON = 1,
	MM_SWAP = 2,
	MM_SHMEM = 3,
};

struct oom_walk {
	u64 at, first; /* tasks; `at` 0: to begin */
	u64 cgroup; /* in whose reach; 0: all */
	u64 victim; /* task */
	u32 victim_pid; /* to look for; 0: found */
	u32 processes, told;
	struct trace_oom_process record;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct oom_walk);
} oom_walks SEC(".maps");

struct oom_context {
	struct oom_walk *walk;
};

/* Array elements are found by hand: their size differs, too. */
static __always_inline u64 oom_pages(struct mm_struct *mm, int kind)
{
	struct mm_struct___before_6_2 *before = (void *)mm;
	s64 pages = 0;
	void *at;

	if (bpf_core_field_exists(before->rss_stat.count))
		at = (void *)mm + bpf_core_field_offset(before->rss_stat.count) + kind * sizeof(pages);
	else
		at = (void *)mm + bpf_core_field_offset(mm->rss_stat) +
		     kind * bpf_core_type_size(struct percpu_counter) +
		     bpf_core_field_offset(struct percpu_counter, count);
	bpf_probe_read_kernel(&pages, sizeof(pages), at);
	return pages > 0 ? pages : 0;
}

static __always_inline struct mem_cgroup *oom_memcg(struct cgroup_subsys_state *css)
{
	return (void *)css - bpf_core_field_offset(struct mem_cgroup, css);
}

static __always_inline struct cgroup_subsys_state *oom_css(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return NULL;
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) +
				      bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) * sizeof(css));
	return css;
}

static __always_inline bool oom_reaches(struct task_struct *task, u64 cgroup)
{
	struct cgroup_subsys_state *css = oom_css(task);

	if (!cgroup)
		return true;
	for (int i = 0; i < OOM_LEVELS && css; i++) {
		if ((u64)BPF_CORE_READ(css, cgroup) == cgroup)
			return true;
		css = BPF_CORE_READ(css, parent);
	}
	return false;
}

static __always_inline struct task_struct *oom_next(struct task_struct *task)
{
	return (void *)BPF_CORE_READ(task, tasks.next) - bpf_core_field_offset(struct task_struct, tasks);
}

/* One step on the round of all processes; 0 when it is over. */
static __always_inline struct task_struct *oom_step(struct oom_walk *walk)
{
	struct task_struct *task = (void *)walk->at;

	if (walk->at && walk->at == walk->first)
		return NULL;
	if (!walk->at)
		task = (void *)walk->first;
	walk->at = (u64)oom_next(task);
	return task;
}

/* bpf_loop: the victim by its number (before 6.8 the tracepoint has no more). */
static long oom_seek(u32 i, struct oom_context *context)
{
	struct oom_walk *walk = context->walk;
	struct task_struct *task = oom_step(walk);

	if (!task)
		return 1;
	if ((u32)BPF_CORE_READ(task, pid) != walk->victim_pid)
		return 0;
	walk->victim = (u64)task;
	return 1;
}

/* bpf_loop: sends what each process in reach holds. */
static long oom_tell(u32 i, struct oom_context *context)
{
	struct oom_walk *walk = context->walk;
	struct trace_oom_process *record = &walk->record;
	struct task_struct *task = oom_step(walk);
	struct mm_struct *mm;

	if (!task)
		return 1;
	mm = BPF_CORE_READ(task, mm);
	if (!mm || BPF_CORE_READ(task, flags) & PF_KTHREAD || !oom_reaches(task, walk->cgroup))
		return 0;
	walk->processes++;
	record->anon = oom_pages(mm, MM_ANON);
	record->file = oom_pages(mm, MM_FILE);
	record->shmem = oom_pages(mm, MM_SHMEM);
	record->swap = oom_pages(mm, MM_SWAP);
	if (record->anon + record->file + record->shmem + record->swap < OOM_PAGES_MIN || walk->told >= OOM_TOLD)
		return 0;
	event_head_fill(&record->head, task, cgroup_key_of(task), TRACE_OOM_PROCESS);
	record->start_time = BPF_CORE_READ(task, start_time);
	event_send(record, sizeof(*record));
	walk->told++;
	return 0;
}

/* Kernels without cgroup v1 have no `oom_lock`. There a task that runs out of memory has just tried to make room: in its
 * cgroup (then the culprit is the innermost at its limit), or on the whole machine. */
enum oom_reclaim {
	OOM_RECLAIM_MACHINE = 1,
	OOM_RECLAIM_CGROUP = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* tid */
	__type(value, u32); /* the last */
} oom_reclaims SEC(".maps");

static __always_inline void oom_reclaims_note(u32 what)
{
	u32 tid = bpf_get_current_pid_tgid();

	if (!bpf_core_field_exists(struct mem_cgroup, oom_lock))
		bpf_map_update_elem(&oom_reclaims, &tid, &what, BPF_ANY);
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int trace_oom_cgroup(void *ctx)
{
	oom_reclaims_note(OOM_RECLAIM_CGROUP);
	return 0;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int trace_oom_machine(void *ctx)
{
	oom_reclaims_note(OOM_RECLAIM_MACHINE);
	return 0;
}

/* Others may have given back a little since the charge failed. */
static __always_inline bool oom_at_limit(struct mem_cgroup *memcg)
{
	u64 usage = BPF_CORE_READ(memcg, memory.usage.counter), limit = BPF_CORE_READ(memcg, memory.max);

	return usage + OOM_SLACK_PAGES + limit / 64 >= limit;
}

/* Is `memcg`, at or above the victim's, (still) a candidate? `found`: one further in is. */
static __always_inline bool oom_is_culprit(struct mem_cgroup *memcg, bool found, u32 reclaimed)
{
	if (bpf_core_field_exists(struct mem_cgroup, oom_lock))
		return BPF_CORE_READ(memcg, oom_lock);
	return !found && reclaimed == OOM_RECLAIM_CGROUP && oom_at_limit(memcg);
}

static __always_inline u32 oom_reclaimed(void)
{
	u32 tid = bpf_get_current_pid_tgid(), *last = bpf_map_lookup_elem(&oom_reclaims, &tid);

	return last ? *last : 0;
}

/* Whose limit was hit. While a cgroup looks for a victim, it and all below it hold `oom_lock`, so it is the outermost
 * above the victim that does; when none does, the machine itself is out of memory. */
static __always_inline void oom_culprit(struct trace_oom *record, struct task_struct *victim)
{
	struct cgroup_subsys_state *css = oom_css(victim);
	struct mem_cgroup *culprit = NULL;
	u32 reclaimed = oom_reclaimed();
	struct cgroup *cgroup;

	record->cgroup_key = record->usage = record->limit = 0;
	record->path.flags = record->path.bytes = 0;
	for (int i = 0; i < OOM_LEVELS && css; i++) {
		struct mem_cgroup *memcg = oom_memcg(css);

		if (oom_is_culprit(memcg, culprit != NULL, reclaimed))
			culprit = memcg;
		css = BPF_CORE_READ(css, parent);
	}
	if (!culprit)
		return;
	record->usage = BPF_CORE_READ(culprit, memory.usage.counter);
	record->limit = BPF_CORE_READ(culprit, memory.max);
	cgroup = BPF_CORE_READ(culprit, css.cgroup);
	record->cgroup_key = BPF_CORE_READ(cgroup, kn, id);
	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		record->cgroup_key |= CGROUP_V1_BIT;
	path_of_cgroup(&record->path, cgroup);
}

static __always_inline void oom_victim(struct trace_oom *record, struct task_struct *victim)
{
	struct mm_struct *mm = BPF_CORE_READ(victim, mm);

	event_head_fill(&record->head, victim, cgroup_key_of(victim), TRACE_OOM);
	record->start_time = BPF_CORE_READ(victim, group_leader, start_time);
	record->anon = oom_pages(mm, MM_ANON);
	record->file = oom_pages(mm, MM_FILE);
	record->shmem = oom_pages(mm, MM_SHMEM);
	record->swap = oom_pages(mm, MM_SWAP);
	record->score_adjust = BPF_CORE_READ(victim, signal, oom_score_adj);
	record->known = 1;
}

static __always_inline void oom_trigger(struct trace_oom *record, struct task_struct *current)
{
	record->trigger.cgroup_key = cgroup_key_of(current);
	record->trigger.tgid = BPF_CORE_READ(current, tgid);
	record->trigger.tid = BPF_CORE_READ(current, pid);
	BPF_CORE_READ_INTO(&record->trigger.comm, current, group_leader, comm);
	BPF_CORE_READ_INTO(&record->trigger.thread_comm, current, comm);
	record->trigger_inner_pid = event_inner_pid(current);
}

static __always_inline void oom_record(struct trace_oom *record, struct oom_walk *walk, struct task_struct *current)
{
	struct task_struct *victim = (void *)walk->victim;

	__builtin_memset(&record->head, 0, sizeof(record->head));
	record->known = 0;
	record->start_time = record->anon = record->file = record->shmem = record->swap = 0;
	record->score_adjust = 0;
	oom_trigger(record, current);
	if (victim) {
		oom_victim(record, victim);
		oom_culprit(record, victim);
	} else {
		record->head.time_ns = bpf_ktime_get_ns();
		record->head.task.tgid = walk->victim_pid;
		record->head.kind = TRACE_OOM;
		record->cgroup_key = record->usage = record->limit = 0;
		record->path.flags = record->path.bytes = 0;
	}
}

/* Address of the cgroup with that key at or above the victim's in the memory hierarchy. */
static __always_inline u64 oom_cgroup_at(struct task_struct *victim, u64 key)
{
	struct cgroup_subsys_state *css = oom_css(victim);

	for (int i = 0; i < OOM_LEVELS && css; i++) {
		struct cgroup *cgroup = BPF_CORE_READ(css, cgroup);

		if (BPF_CORE_READ(cgroup, kn, id) == (key & ~CGROUP_V1_BIT))
			return (u64)cgroup;
		css = BPF_CORE_READ(css, parent);
	}
	return 0;
}

/* mark_victim's argument is a pid, since 6.8 a task: their values tell. */
SEC("raw_tp/mark_victim")
int trace_oom(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	struct trace_scratch *scratch = trace_scratch_get();
	struct oom_context context;
	struct oom_walk *walk;
	struct trace_oom *record;
	u64 argument = ctx->args[0];
	u32 zero = 0, bytes;

	walk = bpf_map_lookup_elem(&oom_walks, &zero);
	if (!scratch || !walk)
		return 0;
	context.walk = walk;
	record = &scratch->oom;
	__builtin_memset(walk, 0, sizeof(*walk));
	walk->first = (u64)BPF_CORE_READ(current, group_leader);
	if (argument > PID_MAX_LIMIT) {
		walk->victim = argument;
	} else {
		walk->victim_pid = argument;
		bpf_loop(OOM_PROCESSES, oom_seek, &context, 0);
	}
	if (walk->victim && !filter_wants((void *)walk->victim, cgroup_key_of((void *)walk->victim)))
		return 0;
	loss_add(LOSS_SEEN, 1, 1);
	oom_record(record, walk, current);
	walk->cgroup = 0;
	if (record->cgroup_key)
		walk->cgroup = walk->victim ? oom_cgroup_at((void *)walk->victim, record->cgroup_key) : 0;
	walk->at = 0;
	bpf_loop(OOM_PROCESSES, oom_tell, &context, 0);
	record->processes = walk->processes;
	bytes = record->path.bytes;
	if (bytes > sizeof(record->path.text))
		bytes = sizeof(record->path.text);
	event_send(record, __builtin_offsetof(struct trace_oom, path.text) + bytes);
	return 0;
}

/* What every process holds, for the seconds before. */
SEC("btf_iter/task")
int trace_memory(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct trace_memory record = { 0 };
	struct mm_struct *mm;

	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	mm = BPF_CORE_READ(task, mm);
	if (!mm || BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return 0;
	record.tgid = BPF_CORE_READ(task, tgid);
	record.start_time = BPF_CORE_READ(task, start_time);
	record.pages = oom_pages(mm, MM_ANON) + oom_pages(mm, MM_FILE) + oom_pages(mm, MM_SHMEM);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

/* ---- throttle ---- */

#define THROTTLES 16384 /* queues (one a cgroup and CPU) that are throttled at the same time */
#define THROTTLE_LEVELS 16

struct throttle {
	struct event_head head;
	struct cgroup *cgroup; /* whose quota; only compared and read while its queue is throttled */
	u64 cgroup_key, quota_ns, period_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THROTTLES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64); /* address of the queue */
	__type(value, struct throttle);
} throttles SEC(".maps");

/* The queue at or above the thread's whose own quota is used up. */
static __always_inline struct cfs_rq *throttle_queue(struct task_struct *task)
{
	struct sched_entity *entity = (void *)task + bpf_core_field_offset(struct task_struct, se);

	for (int i = 0; i < THROTTLE_LEVELS && entity; i++) {
		struct cfs_rq *queue = BPF_CORE_READ(entity, cfs_rq);

		if (BPF_CORE_READ_BITFIELD_PROBED(queue, throttled))
			return queue;
		entity = BPF_CORE_READ(entity, parent);
	}
	return NULL;
}

static __noinline int throttle_begin(struct task_struct *task, u64 address)
{
	struct throttle begun;
	struct task_group *group;
	struct cgroup *cgroup;
	struct cfs_rq *queue;
	u64 key = cgroup_key_of(task);

	if (!filter_wants(task, key))
		return 0;
	queue = throttle_queue(task);
	if (!queue)
		return 0;
	__builtin_memset(&begun, 0, sizeof(begun));
	event_head_fill(&begun.head, task, key, TRACE_THROTTLE);
	group = BPF_CORE_READ(queue, tg);
	cgroup = BPF_CORE_READ(group, css.cgroup);
	begun.cgroup = cgroup;
	begun.cgroup_key = BPF_CORE_READ(cgroup, kn, id);
	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		begun.cgroup_key |= CGROUP_V1_BIT;
	begun.quota_ns = BPF_CORE_READ(group, cfs_bandwidth.quota);
	begun.period_ns = BPF_CORE_READ(group, cfs_bandwidth.period);
	if (bpf_map_update_elem(&throttles, &address, &begun, BPF_NOEXIST) != 0)
		loss_add(LOSS_MAP, 1, 1);
	return 0;
}

static __noinline int throttle_end(struct throttle *begun, u64 address)
{
	struct trace_scratch *scratch = trace_scratch_get();
	u64 now = bpf_ktime_get_ns();
	struct trace_throttle *record;
	u32 bytes;

	if (!scratch || !begun)
		return 0;
	record = &scratch->throttle;
	record->head = begun->head;
	record->head.time_ns = now;
	record->duration_ns = now - begun->head.time_ns;
	record->cgroup_key = begun->cgroup_key;
	record->quota_ns = begun->quota_ns;
	record->period_ns = begun->period_ns;
	record->cpu = bpf_get_smp_processor_id();
	record->pad = 0;
	path_of_cgroup(&record->path, begun->cgroup);
	bpf_map_delete_elem(&throttles, &address);
	loss_add(LOSS_SEEN, 1, 1);
	if (!event_allowed(record->head.task.cgroup_key))
		return 0;
	bytes = record->path.bytes;
	if (bytes > sizeof(record->path.text))
		bytes = sizeof(record->path.text);
	event_send(record, __builtin_offsetof(struct trace_throttle, path.text) + bytes);
	return 0;
}

SEC("btf_tp/sched_switch")
int BPF_PROG(trace_throttle, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u64 was = (u64)BPF_CORE_READ(prev, se.cfs_rq), is = (u64)BPF_CORE_READ(next, se.cfs_rq);
	struct throttle *begun;

	if (BPF_CORE_READ(prev, se.cfs_rq, throttle_count) > 0 && !bpf_map_lookup_elem(&throttles, &was))
		throttle_begin(prev, was);
	begun = bpf_map_lookup_elem(&throttles, &is);
	if (begun && BPF_CORE_READ(next, se.cfs_rq, throttle_count) == 0)
		throttle_end(begun, is);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
