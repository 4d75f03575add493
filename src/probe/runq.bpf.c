// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Run-queue latency at one hook, and who ran meanwhile.
 *
 * At sched_switch the scheduler itself knows how long `next` has waited: rq->clock - last_queued, the value it adds to
 * run_delay a moment later. So there is no hook at wake-ups and no record per thread, with two exceptions that are
 * rare: a thread that loses its CPU while runnable gets a `parked` record (since when its quota was how much used up,
 * and run_delay then: parts of its wait on other CPUs are in run_delay). Whether a thread has one is seen from
 * `parked_count`, counters by a hash of its pid. Sleepers that were moved have one, too: what they wait is not known.
 *
 * On kernels without these stamps, the second rung notes the time at wake-ups (two hooks, one record per thread).
 *
 * Throttled time is told apart by the throttled clock of the waiter's queue, see wait_throttled().
 *
 * Above its budget it looks at some of the waits only: the number of times a thread has run names its next wait, at its
 * beginning as at its end, and whether that one is looked at.
 *
 * Who watches for ever takes it off its hook for part of the time where switches are many (parttime.h). A wait that began
 * meanwhile is whole in the scheduler's own stamps; only why it waited is not known then: it counts as woken.
 *
 * blame: every CPU remembers its last slices (from, to, whose row). When somebody who waited gets the CPU, his wait is
 * laid over them. Both tracepoints run with the lock of the run queue held, which protects its slices; a waiter moved
 * to another CPU is charged on the one he leaves. */
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "runq.h"
#define TABLE_CLASSES RUNQ_WAITS
#include "bpf/asleep.bpf.h"
#include "bpf/births.bpf.h"
#include "bpf/blame.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/rqclock.bpf.h"
#include "bpf/table.bpf.h"
#include "bpf/throttle.bpf.h"

#define PARKED_COUNTERS 16384 /* a power of two */
#define SLICES 32 /* a power of two; remembered by each CPU */
#define ERAS 128 /* a power of two */
#define ERA_ROWS 6
#define ERA_NS 1000000
#define BLAME_CPUS 1024 /* user space sets the real number */
#define TASK_ON_RQ_MIGRATING 2

const volatile bool blame_on = false;
const volatile bool two_hooks = false;

__u64 moved_unknown = 0; /* waits of woken threads that began on another CPU */
__u64 asleep_unknown = 0; /* waits of those that were moved while they slept */
__u64 queued_seen = 0; /* waits seen at all: the user half checks that the kernel keeps its stamps */

enum parked_why {
	PARKED_NOT = 0,
	PARKED_RUNNABLE = 1,
	PARKED_ASLEEP = 2, /* the scheduler's stamp of its next wait is wrong: asleep.bpf.h */
};

struct parked {
	u64 run_delay_ns; /* sched_info.run_delay when it left its CPU */
	u64 throttled_ns; /* throttled_clock() of `queue` then */
	u64 queue;
	u64 charged_ns; /* of run_delay since: charged to somebody already, when it was moved (blame) */
	u32 parked; /* enum parked_why */
	u32 was_throttled;
	u64 runs; /* sched_info.pcount then: another number means it has run since, and we were not called */
	u64 queued_ns; /* two hooks: when it became runnable; 0: not waiting */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct parked);
} parked_tasks SEC(".maps");

__u32 parked_count[PARKED_COUNTERS];

/* A wait that is over. */
struct wait {
	u64 ns; /* all of it */
	u64 here_ns; /* the part on this CPU's queue, which ends now */
	u64 throttled_ns; /* at the beginning of it all */
	u64 charged_ns; /* of what lies before: charged when it was moved */
	u32 why; /* RUNQ_WOKEN or RUNQ_PREEMPTED */
	u32 many; /* waits it stands for */
};

/* How many waits the one that `task` is in, or is about to begin, stands for; 0: it is not looked at. */
static __always_inline u32 wait_pick(u32 one_in, struct task_struct *task)
{
	return budget_pick_by(one_in, (u32)task->pid, task->sched_info.pcount);
}

/* ---- throttled ---- */

/* What is known of a queue from the last switch to one of its threads on this CPU; per row, that is per cgroup. */
struct seen_queue {
	u64 throttled_ns; /* throttled_clock() then */
	u64 last_ns; /* how long it was throttled last … */
	u64 until_ns; /* … and when that was noticed (rq->clock): a moment after its end */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TABLE_ROWS); /* as table_owners */
	__type(key, u32);
	__type(value, struct seen_queue);
} seen_queues SEC(".maps");

/* Woken threads that find their queue throttled wait with it (before 6.18; since then they run, and are throttled on
 * their way back to user space). The throttled time that ended last is known; what of it lies after `queued`
 * counts. */
static __always_inline u64 woken_throttled(u32 row, struct cfs_rq *queue, u64 queued, u64 now)
{
	struct seen_queue *seen = bpf_map_lookup_elem(&seen_queues, &row);
	u64 total = throttled_clock(queue);

	if (!seen)
		return 0;
	if (total != seen->throttled_ns) {
		/* The first time a queue is seen says nothing about when it was throttled. */
		seen->last_ns = seen->throttled_ns || total < now - queued ? total - seen->throttled_ns : 0;
		seen->until_ns = now;
		seen->throttled_ns = total;
	}
	if (seen->until_ns <= queued)
		return 0;
	return seen->last_ns < seen->until_ns - queued ? seen->last_ns : seen->until_ns - queued;
}

static __always_inline u64 parked_throttled(const struct parked *parked, struct task_struct *task, struct cfs_rq *queue,
					    u64 wait_ns)
{
	u64 ns;

	if (bpf_core_field_exists(task->throttled) && !parked->was_throttled)
		return 0;
	if ((u64)queue != parked->queue)
		return bpf_core_field_exists(task->throttled) ? wait_ns : 0;
	ns = throttled_clock(queue) - parked->throttled_ns;
	return ns < wait_ns ? ns : wait_ns;
}

/* ---- parked threads ---- */

static __always_inline u32 parked_slot(struct task_struct *task)
{
	return (u32)task->pid & (PARKED_COUNTERS - 1);
}

static __always_inline void parked_mark(struct task_struct *task, struct parked *parked, enum parked_why why)
{
	if (parked->parked == PARKED_NOT)
		__sync_fetch_and_add(&parked_count[parked_slot(task)], 1);
	parked->parked = why;
}

/* `prev` loses the CPU but could run on. */
static __always_inline void park(struct task_struct *prev, struct cfs_rq *queue)
{
	struct parked *parked = bpf_task_storage_get(&parked_tasks, prev, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!parked) {
		loss_add(LOSS_STORAGE, 0, 0); /* its wait counts as that of a woken thread */
		return;
	}
	if (two_hooks) {
		parked->queued_ns = bpf_ktime_get_ns();
	} else {
		parked->run_delay_ns = prev->sched_info.run_delay;
		parked->queue = (u64)queue;
		parked->throttled_ns = throttled_clock(queue);
		parked->was_throttled = bpf_core_field_exists(prev->throttled) ? prev->throttled : 0;
		parked->charged_ns = 0;
		parked->runs = prev->sched_info.pcount;
	}
	parked_mark(prev, parked, PARKED_RUNNABLE);
}

static __always_inline void unpark(struct task_struct *task, struct parked *parked)
{
	parked->parked = PARKED_NOT;
	__sync_fetch_and_add(&parked_count[parked_slot(task)], -1);
}

static __always_inline struct parked *parked_find(struct task_struct *task)
{
	struct parked *parked;

	if (!parked_count[parked_slot(task)])
		return NULL;
	parked = bpf_task_storage_get(&parked_tasks, task, 0, 0);
	if (!parked || !parked->parked)
		return NULL;
	if (two_hooks || parked->runs == task->sched_info.pcount)
		return parked;
	unpark(task, parked);
	return NULL;
}

static __always_inline void park_asleep(struct task_struct *task)
{
	struct parked *parked = bpf_task_storage_get(&parked_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!parked) {
		loss_add(LOSS_STORAGE, 1, 0);
		return;
	}
	parked->runs = task->sched_info.pcount;
	parked_mark(task, parked, PARKED_ASLEEP);
}

/* `task` gets the CPU: was it moved while it slept? */
static __always_inline bool unpark_asleep(struct task_struct *task)
{
	struct parked *parked = two_hooks ? NULL : parked_find(task);

	if (!parked || parked->parked != PARKED_ASLEEP)
		return false;
	unpark(task, parked);
	return true;
}

/* ---- blame ---- */

struct slice {
	u64 until_ns; /* rq->clock; it began when the one before it ended */
	u32 row;
	u32 pad;
};

/* Many slices together: who had how much of [end of the one before, until_ns]. */
struct era {
	u64 until_ns;
	u64 ns[ERA_ROWS];
	u32 row[ERA_ROWS];
};

/* What a CPU did: the newest slices one by one, and what lies before them by eras of a millisecond or more. Both are
 * rings; `next` says how many there ever were, so the newest is at (next - 1) % size. */
struct cpu_slices {
	u64 since_ns; /* of the slice that runs */
	u64 first_ns; /* since when we look; 0: not yet */
	u64 era_since_ns; /* of the era being filled */
	u32 row; /* whose the slice that runs is */
	u32 next, era_next;
	u32 pad;
	struct slice past[SLICES];
	struct era eras[ERAS]; /* the one at era_next % ERAS is being filled */
	/* While a wait is laid: what is left of it. Here, not on the stack: 6.1 forgets what a loop changes there. */
	u64 left_from, left_until;
	u32 waiter, many;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BLAME_CPUS);
	__type(key, u32);
	__type(value, struct cpu_slices);
} slices SEC(".maps");

/* Where the slice `back` places before the newest one began; 0: not known. */
static __always_inline u64 slice_begin(const struct cpu_slices *cpu, u32 back)
{
	if (back + 1 < SLICES && back + 1 < cpu->next)
		return cpu->past[(cpu->next - back - 2) & (SLICES - 1)].until_ns;
	return cpu->next <= SLICES ? cpu->first_ns : 0;
}

struct lay {
	struct cpu_slices *cpu;
};

static long lay_slice(u32 back, struct lay *lay)
{
	struct cpu_slices *cpu = lay->cpu;
	u64 begin = slice_begin(cpu, back), until = cpu->left_until;

	if (back >= cpu->next || !begin || until <= cpu->left_from)
		return 1;
	if (begin >= until)
		return 0;
	if (begin < cpu->left_from)
		begin = cpu->left_from;
	blame_add_many(cpu->waiter, cpu->past[(cpu->next - back - 1) & (SLICES - 1)].row, until - begin, cpu->many);
	cpu->left_until = begin;
	return 0;
}

/* Within an era the order is forgotten: everybody gets the same share of his part. */
static long lay_era(u32 back, struct lay *lay)
{
	struct cpu_slices *cpu = lay->cpu;
	struct era *era = &cpu->eras[(cpu->era_next - back) & (ERAS - 1)];
	u64 until = cpu->left_until, begin, length, part, given = 0;
	u32 shift;

	if (back > cpu->era_next || until <= cpu->left_from)
		return 1;
	begin = cpu->era_since_ns;
	if (back)
		begin = back < cpu->era_next ? cpu->eras[(cpu->era_next - back - 1) & (ERAS - 1)].until_ns
					     : cpu->first_ns;
	if (begin >= until)
		return 0;
	length = era->until_ns - begin;
	if (!era->until_ns || era->until_ns < begin || !length)
		return 0;
	if (begin < cpu->left_from)
		begin = cpu->left_from;
	if (era->until_ns < until)
		return 0; /* what is missing between them is nobody's */
	part = until - begin;
	shift = length >> 31 ? 16 : 0; /* the product must fit */
	for (u32 i = 0; i < ERA_ROWS; i++) {
		u64 ns = (era->ns[i] >> shift) * part / (length >> shift);

		if (!ns)
			break;
		blame_add_many(cpu->waiter, era->row[i], ns, cpu->many);
		given += ns;
	}
	cpu->left_until = begin;
	if (given < part)
		blame_add_many(cpu->waiter, BLAME_OLDER, part - given, cpu->many); /* rounding */
	return 0;
}

/* Lays [from, until], for `many` like it, over what `cpu` did. The slice that runs now counts up to `until`. */
static __always_inline void blame_lay(struct cpu_slices *cpu, u32 waiter, u64 from, u64 until, u32 many)
{
	struct lay lay = { .cpu = cpu };

	if (from >= until)
		return;
	if (cpu->first_ns && cpu->since_ns < until) {
		u64 begin = cpu->since_ns > from ? cpu->since_ns : from;

		blame_add_many(waiter, cpu->row, until - begin, many);
		until = begin;
	}
	if (until <= from)
		return;
	cpu->waiter = waiter;
	cpu->many = many;
	cpu->left_from = from;
	cpu->left_until = until;
	bpf_loop(SLICES, lay_slice, &lay, 0);
	if (cpu->left_until > from)
		bpf_loop(ERAS, lay_era, &lay, 0);
	if (cpu->left_until > from)
		blame_add_many(waiter, BLAME_OLDER, cpu->left_until - from, many);
}

static __always_inline void era_add(struct cpu_slices *cpu, u32 row, u64 ns, u64 now)
{
	struct era *era = &cpu->eras[cpu->era_next & (ERAS - 1)];
	bool kept = false;

	for (u32 i = 0; i < ERA_ROWS; i++) {
		if (era->ns[i] && era->row[i] != row)
			continue;
		era->row[i] = row;
		era->ns[i] += ns;
		kept = true;
		break;
	}
	if (kept) {
		era->until_ns = now;
		if (now - cpu->era_since_ns < ERA_NS)
			return;
	}
	cpu->era_since_ns = era->until_ns;
	cpu->era_next++;
	era = &cpu->eras[cpu->era_next & (ERAS - 1)];
	__builtin_memset(era, 0, sizeof(*era));
	if (!kept) { /* no place was left: it begins the next one */
		era->row[0] = row;
		era->ns[0] = ns;
		era->until_ns = now;
	}
}

/* The slice of whoever runs on `cpu` ends now. */
static __always_inline void blame_switch(struct cpu_slices *cpu, u32 row, u64 now)
{
	struct slice *newest = &cpu->past[(cpu->next - 1) & (SLICES - 1)];

	if (!cpu->first_ns) {
		cpu->first_ns = now;
		cpu->era_since_ns = now;
	} else if (now > cpu->since_ns) {
		era_add(cpu, cpu->row, now - cpu->since_ns, now);
		if (cpu->next && newest->row == cpu->row) {
			newest->until_ns = now; /* the same one went on */
		} else {
			newest = &cpu->past[cpu->next & (SLICES - 1)];
			newest->until_ns = now;
			newest->row = cpu->row;
			cpu->next++;
		}
	}
	cpu->since_ns = now;
	cpu->row = row;
}

static __always_inline struct cpu_slices *blame_cpu(u32 cpu)
{
	return bpf_map_lookup_elem(&slices, &cpu);
}

/* ---- accounting ---- */

static __always_inline u32 row_of(struct task_struct *task)
{
	struct table_key key;

	table_key_init(&key, task, cgroup_key_of(task), 0);
	return table_row(task, &key);
}

/* `task`, of `row`, has waited and gets the CPU. */
static __always_inline void wait_add(u32 row, const struct wait *wait)
{
	struct histogram_cells *cells;
	u32 class = wait->throttled_ns * 2 > wait->ns ? RUNQ_THROTTLED : wait->why;
	u64 rest = (wait->ns - wait->throttled_ns) * wait->many, throttled = wait->throttled_ns * wait->many;

	table_add_ns_many(row, class, wait->ns, wait->many);
	if (!throttled || row == TABLE_NO_ROW)
		return;
	/* Sums are exact, whatever the wait is counted as. */
	if (class == RUNQ_THROTTLED) {
		cells = table_cells_of(row, RUNQ_THROTTLED);
		if (cells)
			cells->sum -= rest;
		cells = table_cells_of(row, wait->why);
		if (cells)
			cells->sum += rest;
	} else {
		cells = table_cells_of(row, wait->why);
		if (cells)
			cells->sum -= throttled;
		cells = table_cells_of(row, RUNQ_THROTTLED);
		if (cells)
			cells->sum += throttled;
	}
}

/* Fills `wait` of `task`, which became runnable at `queued` on this CPU and runs now. */
static __always_inline void wait_take(struct wait *wait, u32 row, struct task_struct *task, struct cfs_rq *queue,
				      u64 queued, u64 now)
{
	struct parked *parked = parked_find(task);

	wait->here_ns = now - queued;
	wait->ns = wait->here_ns;
	wait->throttled_ns = 0;
	wait->charged_ns = 0;
	wait->why = RUNQ_WOKEN;
	if (parked) {
		wait->why = RUNQ_PREEMPTED;
		if (!two_hooks) {
			wait->ns += task->sched_info.run_delay - parked->run_delay_ns;
			wait->charged_ns = parked->charged_ns;
			wait->throttled_ns = parked_throttled(parked, task, queue, wait->ns);
		}
		unpark(task, parked);
	} else if (!two_hooks && !bpf_core_field_exists(task->throttled) && row != TABLE_NO_ROW) {
		wait->throttled_ns = woken_throttled(row, queue, queued, now);
	}
}

/* The quota comes first: what it explains nobody else is to blame for. */
static __always_inline void blame_wait(struct cpu_slices *cpu, u32 row, const struct wait *wait, u64 now)
{
	u64 before = wait->ns - wait->here_ns - wait->charged_ns; /* on other CPUs, charged to nobody yet */
	u64 throttled = wait->throttled_ns, here = wait->here_ns;

	if (throttled)
		blame_add_many(row, BLAME_QUOTA, throttled, wait->many);
	if (throttled > before) {
		throttled -= before;
		before = 0;
		here = here > throttled ? here - throttled : 0;
	} else {
		before -= throttled;
	}
	if (before)
		blame_add_many(row, BLAME_ELSEWHERE, before, wait->many);
	blame_lay(cpu, row, now - here, now, wait->many);
}

/* ---- the second rung: our own stamps at wake-ups ---- */

static __always_inline int hook_queue(struct task_struct *task)
{
	struct parked *parked = bpf_task_storage_get(&parked_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!parked)
		loss_add(LOSS_STORAGE, 1, 0);
	else if (!parked->queued_ns)
		parked->queued_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("btf_tp/sched_wakeup")
int BPF_PROG(runq_wakeup, struct task_struct *task)
{
	return PACED(1, hook_queue(task));
}

SEC("btf_tp/sched_wakeup_new")
int BPF_PROG(runq_wakeup_new, struct task_struct *task)
{
	return PACED(1, hook_queue(task));
}

/* Since when `task`, which gets the CPU, has been runnable; 0: not known. */
static __always_inline u64 hooked_queued(struct task_struct *task)
{
	struct parked *parked = bpf_task_storage_get(&parked_tasks, task, 0, 0);
	u64 queued = parked ? parked->queued_ns : 0;

	if (parked)
		parked->queued_ns = 0;
	return queued;
}

static __always_inline void switch_look(bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct cfs_rq *next_queue = NULL;
	struct cpu_slices *cpu = NULL;
	u32 row = BLAME_IDLE, one_in = budget_now(), many = two_hooks ? budget_pick() : wait_pick(one_in, next);
	struct wait wait;
	u64 now, queued;

	if (two_hooks) {
		queued = hooked_queued(next);
		now = bpf_ktime_get_ns();
	} else {
		next_queue = next->se.cfs_rq;
		queued = next->sched_info.last_queued;
		now = clock_now(queued, next_queue->rq->clock, 0);
	}
	if (prev->pid && (preempt || !prev->__state)) {
		if (two_hooks || wait_pick(one_in, prev))
			park(prev, two_hooks ? NULL : prev->se.cfs_rq);
	} else if (two_hooks)
		hooked_queued(prev); /* woken while it still ran: that was no wait */
	if (blame_on) {
		cpu = blame_cpu(bpf_get_smp_processor_id());
		if (!cpu)
			return;
	}
	if (!next->pid)
		goto end;
	if (blame_on || (queued && many))
		row = row_of(next);
	if (!queued)
		goto end;
	if (unpark_asleep(next)) {
		__sync_fetch_and_add(&asleep_unknown, 1);
		goto end;
	}
	if (now < queued)
		goto end;
	if (!queued_seen)
		queued_seen = 1;
	if (!many)
		goto end;
	wait.many = many;
	wait_take(&wait, row, next, next_queue, queued, now);
	if (!table_wants(next, row))
		goto end;
	wait_add(row, &wait);
	if (blame_on)
		blame_wait(cpu, row, &wait, now);
end:
	if (blame_on && cpu)
		blame_switch(cpu, row, now);
}

SEC("btf_tp/sched_switch")
int BPF_PROG(runq_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u64 since_ns;

	if (pace_is_closed())
		return 0;
	since_ns = pace_begin(0);
	switch_look(preempt, prev, next);
	pace_end(0, since_ns);
	return 0;
}

/* Sleepers that were moved before we looked. */
SEC("btf_iter/task")
int runq_first(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && asleep_stamped(task))
		park_asleep(task);
	return 0;
}

/* A runnable thread is moved to another CPU: what it has waited so far is charged where it waited. Only for threads that
 * lost their CPU is that known; of woken ones only the wait on the last CPU is (they are counted). */
static __always_inline int migrate_look(struct task_struct *task)
{
	struct rq *queue = task->se.cfs_rq->rq;
	struct cpu_slices *cpu;
	struct parked *parked;
	u64 waited;
	u32 row, many;

	if (task->on_rq != TASK_ON_RQ_MIGRATING)
		return 0;
	if (asleep_moves(task)) {
		park_asleep(task);
		return 0;
	}
	many = wait_pick(budget_now(), task);
	if (!many)
		return 0;
	parked = parked_find(task);
	if (!parked || parked->parked != PARKED_RUNNABLE) {
		__sync_fetch_and_add(&moved_unknown, many);
		return 0;
	}
	if (!blame_on)
		return 0;
	row = row_of(task);
	cpu = blame_cpu(queue->cpu);
	if (!cpu || !table_wants(task, row))
		return 0;
	waited = task->sched_info.run_delay - parked->run_delay_ns - parked->charged_ns;
	blame_lay(cpu, row, queue->clock - waited, queue->clock, many);
	parked->charged_ns += waited;
	return 0;
}

SEC("btf_tp/sched_migrate_task")
int BPF_PROG(runq_migrate, struct task_struct *task)
{
	return PACED(2, migrate_look(task));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
