/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All threads, once an interval, by an iterator: sums per cgroup (tasks_walk), or a record each (tasks_list).
 *
 * The kernel counts run delay per thread and forgets it with the thread, so the sums are made of differences: what each
 * thread had at the last walk is kept with it; what it added since then is added to its cgroup, by the walk or, when it
 * ends, by tasks_exit. Nothing is lost between walks and nothing counts twice (compare and swap). What a thread had
 * before the programs were loaded is not counted. */
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/asleep.bpf.h"
#include "bpf/births.bpf.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/waits.bpf.h"
#include "tasks_record.h"

#define TASKS_CGROUPS 16384

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_delay_info {
	u64 blkio_delay;
};

struct task_io_accounting {
	u64 read_bytes, write_bytes;
};

struct signal_struct___tasks {
	u64 utime, stime;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
};

struct task_struct___tasks {
	u64 utime, stime;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	struct task_io_accounting ioac;
	struct task_delay_info *delays;
};

#pragma clang attribute pop

#define RSS_FILE 0 /* include/linux/mm_types_task.h: MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES */
#define RSS_ANON 1
#define RSS_SHMEM 3

const volatile __u64 loaded_ns = 0; /* threads born later are counted from their birth */
const volatile __u32 page_bytes = 4096;
__u32 generation = 0; /* set by user space before each walk … */
__u64 walk_ns = 0; /* … as is its beginning (CLOCK_MONOTONIC) */

struct seen {
	u64 wrong_queued; /* the scheduler's stamp of a wait that is sleep (asleep.bpf.h); 0: none */
	u64 slept_ns; /* of its run delay, such sleep */
	u64 run_delay_ns, disk_delay_ns, voluntary, involuntary;
	u64 until_ns; /* its time off the CPU is accounted up to here, when it had … */
	u64 cpu_ns, waited_ns; /* … so much CPU time and run delay */
	u32 wait; /* enum tasks_wait: what it was last found waiting for */
	u32 is_asleep; /* it was found so, and `wait` is known */
	u64 key; /* of its cgroup … */
	void *cgroups; /* … as long as this is its css_set */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct seen);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS_CGROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct tasks_sum);
} sums SEC(".maps");

static __always_inline u64 disk_delay(struct task_struct *task)
{
	struct task_delay_info *delays = NULL;
	struct task_struct___tasks *wide = (void *)task;

	if (bpf_core_field_exists(wide->delays))
		delays = wide->delays;
	return delays ? delays->blkio_delay : 0;
}

/* With what it waits right now, else a starving thread would show only when it is over. (Since 6.12 a sleeper may stay
 * queued for a while: it is not waiting.) */
static __always_inline u64 run_delay(struct task_struct *task, u64 wrong_queued)
{
	u64 delay = task->sched_info.run_delay, queued = task->sched_info.last_queued;
	bool waits = queued && queued != wrong_queued && task->__state == 0 && !task->on_cpu;
	u64 now = waits ? task->se.cfs_rq->rq->clock : 0;

	return now > queued ? delay + (now - queued) : delay;
}

static __always_inline void read_now(struct task_struct *task, u64 wrong_queued, struct seen *now)
{
	struct task_struct___tasks *wide = (void *)task;

	now->run_delay_ns = run_delay(task, wrong_queued);
	now->disk_delay_ns = disk_delay(task);
	now->voluntary = wide->nvcsw;
	now->involuntary = wide->nivcsw;
	now->until_ns = bpf_ktime_get_ns();
	now->cpu_ns = task->se.sum_exec_runtime;
	now->waited_ns = now->run_delay_ns;
}

static __always_inline struct tasks_sum *sum_of(u64 key)
{
	struct tasks_sum *sum = bpf_map_lookup_elem(&sums, &key);

	if (!sum) {
		struct tasks_sum fresh = {};

		bpf_map_update_elem(&sums, &key, &fresh, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&sums, &key);
	}
	return sum;
}

/* Adds to `sum` what `now` is beyond `*seen`, once. */
#define ADD_SINCE(sum, seen, now)                                                                                      \
	do {                                                                                                           \
		u64 before = *(seen);                                                                                  \
		if ((now) > before && __sync_bool_compare_and_swap(seen, before, now))                                 \
			__sync_fetch_and_add(sum, (now)-before);                                                       \
	} while (0)

/* What the thread had at the last walk; made when it is new. NULL when there is no room. */
static __always_inline struct seen *seen_get(struct task_struct *task)
{
	struct seen *seen = bpf_task_storage_get(&threads, task, 0, 0), fresh = {};

	if (seen)
		return seen;
	if (task->start_time < loaded_ns)
		read_now(task, 0, &fresh);
	else
		fresh.until_ns = task->start_time;
	seen = bpf_task_storage_get(&threads, task, &fresh, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!seen)
		loss_add(LOSS_STORAGE, 1, 0);
	return seen;
}

static __always_inline u64 key_of(struct task_struct *task, struct seen *seen)
{
	void *cgroups = task->cgroups;

	if (seen->cgroups != cgroups) {
		seen->key = cgroup_key_of(task);
		seen->cgroups = cgroups;
	}
	return seen->key;
}

/* The CPU time of a thread that runs is some milliseconds old. What does not come out positive is left for the next walk:
 * so one that always runs has at most those milliseconds, once. */
static __always_inline void account_offcpu(struct task_struct *task, struct seen *seen, const struct seen *now,
					   struct tasks_sum *sum)
{
	u64 before = seen->until_ns, ran = now->cpu_ns - seen->cpu_ns, waited = now->waited_ns - seen->waited_ns;

	seen->is_asleep = task->__state && !task->on_cpu && !task->exit_state;
	if (task->flags & PF_KTHREAD)
		return;
	if (task->__state && !task->exit_state)
		seen->wait = waits_for(task);
	if (now->until_ns <= before || now->until_ns - before <= ran + waited ||
	    !__sync_bool_compare_and_swap(&seen->until_ns, before, now->until_ns))
		return;
	seen->cpu_ns = now->cpu_ns;
	seen->waited_ns = now->waited_ns;
	__sync_fetch_and_add(&sum->offcpu_ns[seen->wait & (TASKS_WAITS - 1)], now->until_ns - before - ran - waited);
}

/* Once a thread that was stamped in its sleep has had a CPU, that sleep is in its run_delay: none of it was a wait. */
static __always_inline void forget_sleep(struct task_struct *task, struct seen *seen)
{
	if (seen->wrong_queued && task->sched_info.last_queued != seen->wrong_queued) {
		seen->wrong_queued = 0;
		if (task->sched_info.run_delay > seen->run_delay_ns)
			seen->slept_ns += task->sched_info.run_delay - seen->run_delay_ns;
		seen->run_delay_ns = seen->waited_ns = task->sched_info.run_delay;
	}
	if (asleep_stamped(task))
		seen->wrong_queued = task->sched_info.last_queued;
}

static __always_inline void account(struct task_struct *task, struct seen *seen, struct tasks_sum *sum)
{
	struct seen now = {};

	forget_sleep(task, seen);
	read_now(task, seen->wrong_queued, &now);
	ADD_SINCE(&sum->run_delay_ns, &seen->run_delay_ns, now.run_delay_ns);
	ADD_SINCE(&sum->disk_delay_ns, &seen->disk_delay_ns, now.disk_delay_ns);
	ADD_SINCE(&sum->voluntary, &seen->voluntary, now.voluntary);
	ADD_SINCE(&sum->involuntary, &seen->involuntary, now.involuntary);
	account_offcpu(task, seen, &now, sum);
}

/* Was it asleep at the last walk, and has it slept since? Whoever runs in between switches when he sleeps again. */
static __always_inline bool sleeps_on(struct task_struct *task, const struct seen *seen)
{
	struct task_struct___tasks *wide = (void *)task;

	return seen->is_asleep && task->__state && !task->on_cpu && !task->exit_state &&
	       wide->nvcsw == seen->voluntary && wide->nivcsw == seen->involuntary;
}

/* Of most threads there is nothing to tell but that time has passed. */
static __always_inline void account_sleep(struct task_struct *task, struct seen *seen, struct tasks_sum *sum)
{
	u64 before = seen->until_ns, now = walk_ns;

	if (!(task->flags & PF_KTHREAD) && now > before && __sync_bool_compare_and_swap(&seen->until_ns, before, now))
		__sync_fetch_and_add(&sum->offcpu_ns[seen->wait & (TASKS_WAITS - 1)], now - before);
}

static __always_inline char state_of(struct task_struct *task)
{
	u32 state = task->__state & 0x7fff;

	if (task->exit_state)
		return 'Z';
	if (state == 0)
		return 'R';
	if (state & 0x2) /* TASK_UNINTERRUPTIBLE; with TASK_NOLOAD it is idle */
		return state & 0x400 ? 'I' : 'D';
	if (state & 0x1)
		return 'S';
	return state & (0x4 | 0x8) ? 'T' : 'S';
}

SEC("btf_iter/task")
int tasks_walk(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct tasks_sum *sum;
	struct seen *seen;
	char state;

	if (!task)
		return 0;
	seen = seen_get(task);
	sum = sum_of(seen ? key_of(task, seen) : cgroup_key_of(task));
	if (!sum) {
		loss_add(LOSS_MAP, 1, 0);
		return 0;
	}
	loss_add(LOSS_SEEN, 1, 0);
	if (seen && sleeps_on(task, seen))
		account_sleep(task, seen, sum);
	else if (seen)
		account(task, seen, sum);
	if (sum->generation != generation) {
		sum->generation = generation;
		sum->threads = sum->processes = sum->running = sum->blocked = 0;
	}
	state = state_of(task);
	if (state == 'Z')
		return 0;
	sum->threads++;
	sum->processes += task->pid == task->tgid;
	sum->running += state == 'R';
	sum->blocked += state == 'D';
	return 0;
}

SEC("btf_tp/sched_process_exit")
int BPF_PROG(tasks_exit, struct task_struct *task)
{
	struct tasks_sum *sum = sum_of(cgroup_key_of(task));
	struct seen now = {}, *seen;

	if (!sum) {
		loss_add(LOSS_MAP, 1, 0);
		return 0;
	}
	__sync_fetch_and_add(&sum->ended, 1);
	seen = bpf_task_storage_get(&threads, task, 0, 0);
	if (seen) {
		account(task, seen, sum);
		return 0;
	}
	if (task->start_time < loaded_ns)
		return 0; /* ended before the first walk: what of it is new is not known, and little */
	read_now(task, 0, &now);
	if (now.voluntary) { /* without having slept all of its time was CPU or run delay */
		struct seen born = { .until_ns = task->start_time };

		account_offcpu(task, &born, &now, sum);
	}
	__sync_fetch_and_add(&sum->run_delay_ns, now.run_delay_ns);
	__sync_fetch_and_add(&sum->disk_delay_ns, now.disk_delay_ns);
	__sync_fetch_and_add(&sum->voluntary, now.voluntary);
	__sync_fetch_and_add(&sum->involuntary, now.involuntary);
	return 0;
}

/* ---- the list ---- */

/* What is asked of every thread is read through BTF pointers, without a helper; indexes must be constants, or they are not
 * relocated. */
static __always_inline u64 page_count(s64 pages)
{
	return pages > 0 ? pages : 0; /* sums of what CPUs have told so far: below zero for a moment */
}

static __always_inline u64 rss_bytes(struct mm_struct *mm)
{
	struct mm_struct___before_6_2 *older = (void *)mm;
	u64 pages;

	if (!mm)
		return 0;
	if (bpf_core_type_exists(struct mm_rss_stat)) /* the verifier of 6.1 does not follow it to its counters */
		pages = page_count(BPF_CORE_READ(older, rss_stat.count[RSS_FILE].counter)) +
			page_count(BPF_CORE_READ(older, rss_stat.count[RSS_ANON].counter)) +
			page_count(BPF_CORE_READ(older, rss_stat.count[RSS_SHMEM].counter));
	else
		pages = page_count(mm->rss_stat[RSS_FILE].count) + page_count(mm->rss_stat[RSS_ANON].count) +
			page_count(mm->rss_stat[RSS_SHMEM].count);
	return pages * page_bytes;
}

static __always_inline u32 inner_tid(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	u32 level = pid ? pid->level : 0;
	u64 offset;
	int number = 0;

	if (!pid || level > 32)
		return 0;
	if (level == 0)
		return task->pid;
	offset = (level * bpf_core_type_size(struct upid)) & 1023; /* the verifier of 6.1 knows no bound of products */
	bpf_probe_read_kernel(&number, sizeof(number),
			      (char *)pid + bpf_core_field_offset(struct pid, numbers) + offset);
	return number;
}

static __always_inline void copy_comm(struct tasks_record *record, struct task_struct *task)
{
	const u64 *from = (void *)task + bpf_core_field_offset(struct task_struct, comm);
	u64 *to = (u64 *)record->comm;

	to[0] = from[0];
	to[1] = from[1];
}

static __always_inline void fill_ended(struct tasks_record *record, struct signal_struct___tasks *signal)
{
	record->ended_cpu_ns = signal->sum_sched_runtime;
	record->ended_user_ns = signal->utime;
	record->ended_system_ns = signal->stime;
	record->ended_major_faults = signal->maj_flt;
	record->ended_faults = signal->min_flt + record->ended_major_faults;
	record->ended_voluntary = signal->nvcsw;
	record->ended_involuntary = signal->nivcsw;
	if (bpf_core_field_exists(signal->ioac.read_bytes)) {
		record->ended_read_bytes = signal->ioac.read_bytes;
		record->ended_write_bytes = signal->ioac.write_bytes;
	}
}

/* Without what it slept: known of who was found asleep and stamped at one walk over the threads at least. */
static __always_inline u64 run_delay_awake(struct task_struct *task)
{
	struct seen *seen = bpf_task_storage_get(&threads, task, 0, 0);
	u64 delay;

	if (!seen)
		return run_delay(task, 0);
	forget_sleep(task, seen);
	delay = run_delay(task, seen->wrong_queued);
	return delay > seen->slept_ns ? delay - seen->slept_ns : 0;
}

SEC("btf_iter/task")
int tasks_list(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct___tasks *wide = (void *)task;
	struct tasks_record record = {};
	struct signal_struct___tasks *signal;
	struct mm_struct *mm;

	if (!task)
		return 0;
	record.cgroup_key = cgroup_key_of(task);
	record.start_ns = task->start_time;
	record.cpu_ns = task->se.sum_exec_runtime;
	record.user_ns = wide->utime;
	record.system_ns = wide->stime;
	record.run_delay_ns = run_delay_awake(task);
	record.disk_delay_ns = disk_delay(task);
	record.voluntary = wide->nvcsw;
	record.involuntary = wide->nivcsw;
	record.major_faults = wide->maj_flt;
	record.faults = wide->min_flt + record.major_faults;
	if (bpf_core_field_exists(wide->ioac.read_bytes)) {
		record.read_bytes = wide->ioac.read_bytes;
		record.write_bytes = wide->ioac.write_bytes;
	}
	mm = task->mm;
	record.rss_bytes = rss_bytes(mm);
	record.tgid = task->tgid;
	record.tid = task->pid;
	record.inner_tid = inner_tid(task);
	record.state = state_of(task);
	copy_comm(&record, task);
	signal = (void *)task->signal;
	if (record.tid == record.tgid && signal)
		fill_ended(&record, signal);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
