// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Thread time: blocked time by stack (offcpu), and with `walltime` every nanosecond of every thread by state.
 *
 * Everything is accounted at sched_switch. `struct thread` in task storage says since when a thread is in which state;
 * leaving the state adds the interval. A wait for the CPU is what the scheduler itself counts: run_delay grown
 * since the thread left its CPU, plus rq->clock - last_queued; the rest of the time off CPU is blocked time.
 *
 * A blocked stack is recognised without unwinding it: offcpu_stack.bpf.h.
 *
 * Above the budget the stacks of only some intervals are looked at; time is always measured. The time of the others is summed
 * by owner and by how long they lasted, and user space shares it out (unlooked.h).
 *
 * The run is [started_ns, stopped_ns]: the hooks ignore what happens outside. Threads blocked all along are found by two
 * passes over all tasks: the first notes the stacks of those already blocked, the last closes open intervals. */
#define READ_BY_PROBE /* in the shared headers: what of them runs at every switch asks cgroup_key_current() */
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/histogram.h"
#include "offcpu.h"
#define STACK_SLOTS OFFCPU_SLOTS
#include "bpf/asleep.bpf.h"
#include "bpf/copy.bpf.h"
#include "bpf/filter.bpf.h"
const volatile bool waker_on = false;
#define BIRTHS_OF_WANTED (!waker_on) /* wakers may be anybody */
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#define SCRIPT_SLOTS OFFCPU_SLOTS
#include "bpf/python.bpf.h"
#include "bpf/rqclock.bpf.h"
#include "bpf/stack.bpf.h"
#include "bpf/throttle.bpf.h"
#include "offcpu_stack.bpf.h"

#define OWNERS 16384
#define PAIRS 131072
#define LOOK_GAP_NS 100000 /* times one in so many: who blocks less often than that is looked at each time */
#define UNLOOKED 65536
#define STOOD 65536
#define CLOCK_SLACK_NS 1000000 /* the scheduler's clock is read a little earlier than ours */

const volatile bool walltime = false;
const volatile __u64 threshold_ns = 0;

__u64 started_ns = 0; /* 0: not yet */
__u64 stopped_ns = 0; /* 0: not yet */
__u32 settled = 0; /* the first pass is over */
__u64 moved_asleep = 0; /* sleepers whose wait after the wake-up is not known */

enum thread_state {
	THREAD_UNKNOWN = 0, /* in the same state since the start of the run, or its own */
	THREAD_RUNNING = 1,
	THREAD_BLOCKED = 2,
	THREAD_PREEMPTED = 3,
	THREAD_ENDED = 4,
};

struct thread {
	u64 since_ns;
	u64 run_delay_ns; /* sched_info as it was at `since_ns` */
	u64 runs;
	u64 throttled_ns; /* throttled_clock() of `queue` at `since_ns` */
	u64 queue;
	u32 state;
	u32 stack; /* BLOCKED */
	u32 waker;
	u16 was_throttled;
	u16 stands_for; /* BLOCKED, with a stack: so many intervals */
	u32 moved_asleep; /* the scheduler's stamps of this sleep are wrong */
	/* Written by the first pass only: the stack of a thread that has been blocked since before the start. */
	u32 first_stack;
	u32 first_runs; /* sched_info.pcount + 1 then; 0: none */
	u64 looked_ns; /* when its stack was looked at last, above the budget */
	/* walltime, and above the budget */
	u64 begin_ns;
	u64 css_set, exec_id; /* a change means: another cgroup, another program */
	struct stack_task owner;
	struct interval_sum times[TIME_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PAIRS);
	__type(key, struct waker_pair);
	__type(value, struct interval_sum);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH); /* preallocated: the last pass fills it faster than the kernel finds memory */
	__uint(max_entries, OWNERS);
	__type(key, struct stack_task);
	__type(value, struct owner_sum);
} owners SEC(".maps");

/* Above the budget: what was not looked at … */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, UNLOOKED);
	__type(key, struct unlooked_key);
	__type(value, struct interval_sum);
} unlooked SEC(".maps");

/* … and how much of it each stack that was looked at stands for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STOOD);
	__type(key, struct stood_key);
	__type(value, struct interval_sum);
} stood SEC(".maps");

/* ---- accounting ---- */

static __always_inline void sum_add_shared(struct interval_sum *sum, u64 ns)
{
	__sync_fetch_and_add(&sum->weight_ns, ns);
	__sync_fetch_and_add(&sum->events, 1);
	if (ns > sum->max_ns)
		sum->max_ns = ns; /* racing CPUs may lose a maximum to a slightly smaller one, never a sum */
}

/* For what only one CPU at a time writes. */
static __always_inline void sum_add(struct interval_sum *sum, u64 ns)
{
	if (!ns)
		return;
	sum->weight_ns += ns;
	sum->events++;
	if (ns > sum->max_ns)
		sum->max_ns = ns;
}

/* The sum that `map` has under `key`, made if there is room; NULL: there is none. */
static __always_inline struct interval_sum *sum_of(void *map, const void *key)
{
	struct interval_sum *sum = bpf_map_lookup_elem(map, key), fresh = {};

	if (sum)
		return sum;
	bpf_map_update_elem(map, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

static __always_inline bool blocked_pair(u32 stack, u32 waker, u64 ns)
{
	struct waker_pair pair = { .stack = stack, .waker = waker };
	struct interval_sum *sum = sum_of(&pairs, &pair);

	if (!sum)
		return false; /* counted without its waker */
	sum_add_shared(sum, ns);
	return true;
}

/* Class of an interval: each is four times as long as the one before. */
static __always_inline u32 length_class(u64 ns)
{
	return histogram_log2(ns) / 2;
}

/* An interval of which nobody looked at the stack. Global, as the next one: the verifier follows it once. */
__noinline int unlooked_add(const struct thread *thread, u64 ns)
{
	struct unlooked_key key = {};
	struct interval_sum *sum;

	if (!thread)
		return false;
	key.owner = thread->owner;
	key.length = length_class(ns);
	sum = sum_of(&unlooked, &key);
	if (!sum)
		return false;
	sum_add_shared(sum, ns);
	return true;
}

/* An interval whose stack was looked at for `others` more. */
__noinline int stood_add(u32 stack, u32 waker, u64 ns, u32 others)
{
	struct stood_key key = { .stack = stack, .waker = waker, .length = length_class(ns) };
	struct interval_sum *sum = sum_of(&stood, &key);

	if (!sum)
		return 0; /* others stand for it */
	__sync_fetch_and_add(&sum->weight_ns, ns * others);
	__sync_fetch_and_add(&sum->events, others);
	return 0;
}

static __always_inline void blocked_add(struct thread *thread, u32 stack, u64 ns)
{
	struct interval_sum *sum;

	if (ns < threshold_ns) {
		loss_add(LOSS_BELOW_THRESHOLD, 1, ns);
		return;
	}
	sum = bpf_map_lookup_elem(&intervals, &stack);
	if (!sum) {
		if (stack == STACK_UNLOOKED && unlooked_add(thread, ns))
			return;
		if (walltime)
			sum_add(&thread->times[TIME_BLOCKED], ns);
		else
			loss_add(stack == STACK_UNSEEN ? LOSS_STACK : LOSS_MAP, 1, ns);
		return;
	}
	if (thread->stands_for > 1)
		stood_add(stack, thread->waker, ns, thread->stands_for - 1);
	if (waker_on && thread->waker != STACK_NONE && blocked_pair(stack, thread->waker, ns))
		return;
	sum_add_shared(sum, ns);
}

/* How much of the wait `wait_ns` of `task`, which ends now, its cgroup's quota was used up. Before 6.18 a thread that was
 * woken up into a throttled queue waits with it; how long the queue had been throttled before the wake-up is not
 * known then, so at most the whole wait is called throttled, and nothing when it woke up on another CPU. */
static __always_inline u64 wait_throttled(const struct thread *thread, struct task_struct *task, struct cfs_rq *queue,
					  u64 wait_ns)
{
	u64 ns;

	/* Since 6.18 only a thread taken off the queue on its way to user space is throttled; the others still run. */
	if (bpf_core_field_exists(task->throttled) && !thread->was_throttled)
		return 0;
	if ((u64)queue != thread->queue)
		return bpf_core_field_exists(task->throttled) ? wait_ns : 0;
	ns = throttled_clock(queue) - thread->throttled_ns;
	return ns < wait_ns ? ns : wait_ns;
}

static __always_inline void wait_add(struct thread *thread, struct task_struct *task, struct cfs_rq *queue,
				     enum thread_time why, u64 wait_ns)
{
	u64 throttled = wait_throttled(thread, task, queue, wait_ns);

	sum_add(&thread->times[TIME_THROTTLED], throttled);
	sum_add(&thread->times[why], wait_ns - throttled);
}

/* How long `task`, runnable again, has been waiting for a CPU since it left one. `late_ns`: so long ago, on whatever CPU; 0: on this
 * one, which it gets now, at `now_ns`. */
static __always_inline u64 wait_since(const struct thread *thread, struct task_struct *task, struct cfs_rq *queue,
				      u64 run_delay_ns, u64 late_ns, u64 now_ns)
{
	u64 queued = task->sched_info.last_queued, wait = task->sched_info.run_delay - run_delay_ns;

	if (thread->moved_asleep) {
		__sync_fetch_and_add(&moved_asleep, 1);
		return 0; /* told as a part of its sleep: milliseconds for what may be hours */
	}
	if (queued) {
		u64 clock = queue->rq->clock, now = late_ns ? clock : clock_now(queued, clock, now_ns);

		if (now > queued + late_ns)
			wait += now - queued - late_ns;
	}
	return wait;
}

static __always_inline u64 later(u64 a, u64 b)
{
	return a > b ? a : b;
}

static __always_inline void thread_own(struct thread *thread, struct task_struct *task, u64 cgroup_key)
{
	thread->css_set = (u64)BPF_CORE_READ(task, cgroups);
	thread->exec_id = task->self_exec_id;
	thread->owner.cgroup_key = cgroup_key;
	thread->owner.tgid = task->tgid;
	stack_comm_read(thread->owner.comm, BPF_CORE_READ(task, group_leader));
	if (stack_by_thread) {
		thread->owner.tid = task->pid;
		stack_comm_read(thread->owner.thread_comm, task);
	}
}

static __noinline struct thread *thread_new(struct task_struct *task, u64 cgroup_key)
{
	struct thread *thread = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!thread) {
		loss_add(LOSS_STORAGE, 1, 0);
		return NULL;
	}
	if (thread->begin_ns == 0) {
		thread->begin_ns = later(started_ns, task->start_time);
		thread->since_ns = thread->begin_ns;
		thread->waker = STACK_NONE;
		if (walltime)
			thread_own(thread, task, cgroup_key);
	}
	return thread;
}

/* Hands the thread's sums to its owner. */
static __noinline int thread_flush(struct thread *thread, u64 now)
{
	struct owner_sum *sum = bpf_map_lookup_elem(&owners, &thread->owner);

	if (!sum) {
		static const struct owner_sum fresh;

		bpf_map_update_elem(&owners, &thread->owner, &fresh, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&owners, &thread->owner);
	}
	if (!sum) {
		loss_add(LOSS_MAP, 1, now - thread->begin_ns);
	} else {
		__sync_fetch_and_add(&sum->expected_ns, now - thread->begin_ns);
		__sync_fetch_and_add(&sum->threads, 1);
		for (u32 i = 0; i < TIME_COUNT; i++) {
			struct interval_sum *from = &thread->times[i];

			__sync_fetch_and_add(&sum->times[i].weight_ns, from->weight_ns);
			__sync_fetch_and_add(&sum->times[i].events, from->events);
			if (from->max_ns > sum->times[i].max_ns)
				sum->times[i].max_ns = from->max_ns;
		}
	}
	__builtin_memset(thread->times, 0, sizeof(thread->times));
	thread->begin_ns = now;
	return 0;
}

static __always_inline void thread_stamp(struct thread *thread, struct task_struct *task, struct cfs_rq *queue,
					 enum thread_state state, u64 now)
{
	thread->since_ns = now;
	thread->run_delay_ns = task->sched_info.run_delay;
	thread->runs = task->sched_info.pcount;
	thread->waker = STACK_NONE;
	thread->state = state;
	thread->moved_asleep = 0;
	if (walltime) {
		thread->queue = (u64)queue;
		thread->throttled_ns = throttled_clock(queue);
		thread->was_throttled = bpf_core_field_exists(task->throttled) ? task->throttled : 0;
	}
}

/* Splits the time off CPU of a thread that blocked: what it waited for the CPU after the wake-up is not blocked time. */
static __always_inline void off_cpu_add(struct thread *thread, struct task_struct *task, struct cfs_rq *queue,
					u32 stack, u64 wait, u64 off)
{
	if (wait > off) {
		if (wait > off + CLOCK_SLACK_NS)
			loss_add(LOSS_OUT_OF_ORDER, 1, wait - off);
		wait = off;
	}
	if (walltime)
		wait_add(thread, task, queue, TIME_WOKEN, wait);
	blocked_add(thread, stack, off - wait);
}

/* A thread that has not run since the run, or its life, began. */
static __always_inline void unknown_add(struct thread *thread, struct task_struct *task, struct cfs_rq *queue, u64 now,
					u64 late_ns)
{
	u64 off = now - thread->since_ns,
	    wait = wait_since(thread, task, queue, task->sched_info.run_delay, late_ns, now);
	u32 stack = STACK_UNSEEN;

	if (task->sched_info.pcount == 0 || wait + CLOCK_SLACK_NS > off) { /* never was anywhere but in the queue */
		if (walltime)
			wait_add(thread, task, queue, TIME_WOKEN, off);
		return;
	}
	if (thread->first_runs == (u32)task->sched_info.pcount + 1)
		stack = thread->first_stack;
	off_cpu_add(thread, task, queue, stack, wait, off);
}

/* `task` gets the CPU after having had it `runs` times. */
static __always_inline void arrive(struct thread *thread, struct task_struct *task, struct cfs_rq *queue, u64 now,
				   u64 runs)
{
	u64 off = now - thread->since_ns;

	if (thread->state == THREAD_UNKNOWN) {
		unknown_add(thread, task, queue, now, 0);
	} else if (thread->state != THREAD_BLOCKED && thread->state != THREAD_PREEMPTED) {
		return;
	} else if (thread->runs != runs) {
		loss_add(LOSS_MISSED, 1, off); /* it ran in between and we were not called */
	} else if (thread->state == THREAD_BLOCKED) {
		off_cpu_add(thread, task, queue, thread->stack,
			    wait_since(thread, task, queue, thread->run_delay_ns, 0, now), off);
	} else if (walltime) {
		wait_add(thread, task, queue, TIME_PREEMPTED, off);
	}
	thread->state = THREAD_RUNNING;
	thread->since_ns = now;
}

/* `task`, now leaving the CPU, got it without our being called (it happens, and the kernel does not count it). The scheduler
 * noted when that was. */
static __noinline int arrive_late(struct thread *thread, struct task_struct *task, struct cfs_rq *queue, u64 now)
{
	u64 ran = queue->rq->clock - task->sched_info.last_arrival;

	arrive(thread, task, queue, ran < now - thread->since_ns ? now - ran : thread->since_ns,
	       task->sched_info.pcount - 1);
	return 0;
}

/* Above the budget: for how many intervals of its kind the one stands that begins now; 0: its stack is not looked at. Chance
 * decides, and only what was before it: so the sums of those looked at are estimates without bias. Threads that block rarely
 * cost little, and what they wait for long would be missed: they are always looked at. */
static __noinline u32 look_pick(struct thread *thread, struct task_struct *task, u32 one_in, u64 key, u64 now)
{
	u32 picked = 1;

	if (now - thread->looked_ns < one_in * LOOK_GAP_NS)
		picked = bpf_get_prandom_u32() & (one_in - 1) ? 0 : one_in;
	if (picked)
		thread->looked_ns = now;
	else if (!walltime &&
		 (!thread->owner.tgid || thread->owner.cgroup_key != key || thread->exec_id != task->self_exec_id))
		thread_own(thread, task, key);
	return picked;
}

/* `prev` leaves the CPU. TRUE: its stack is to be taken. */
static __always_inline bool switch_out(void *ctx, bool preempt, struct task_struct *prev, struct cfs_rq *queue,
				       u64 css_set, u64 now)
{
	u32 state = prev->__state;
	bool blocks = state && !preempt;
	struct thread *thread;
	u64 key;

	if (!walltime && settled && (!blocks || (state & TASK_DEAD)))
		return false;
	key = cgroup_key_current();
	if (!filter_wants(prev, key))
		return false;
	thread = bpf_task_storage_get(&threads, prev, 0, 0);
	if (!thread) {
		thread = thread_new(prev, key);
		if (!thread)
			return false;
	}
	if (thread->state == THREAD_BLOCKED || thread->state == THREAD_PREEMPTED)
		arrive_late(thread, prev, queue, now);
	if (walltime) {
		sum_add(&thread->times[TIME_RUNNING], now - thread->since_ns);
		if (thread->css_set != css_set || thread->exec_id != prev->self_exec_id) {
			thread_flush(thread, now);
			thread_own(thread, prev, key);
		}
		if (state & TASK_DEAD && !preempt) {
			thread_flush(thread, now);
			thread->state = THREAD_ENDED;
			return false;
		}
	}
	if (blocks) {
		u32 one_in = budget_now();

		thread->stands_for = one_in > 1 ? look_pick(thread, prev, one_in, key, now) : 1;
		thread->stack = STACK_UNLOOKED;
		if (thread->stands_for) {
			hook_set(ctx);
			thread->stack = stack_recognise(key, now);
		}
	}
	thread_stamp(thread, prev, queue, blocks ? THREAD_BLOCKED : THREAD_PREEMPTED, now);
	return blocks && thread->stack == STACK_UNKNOWN;
}

/* `next` gets the CPU. */
static __always_inline void switch_in(struct task_struct *next, struct cfs_rq *queue, u64 now)
{
	struct thread *thread = bpf_task_storage_get(&threads, next, 0, 0);

	if (!thread) {
		u64 key;

		if (!walltime && settled)
			return; /* whoever is blocked now has its record: made when it blocked, or by the first pass */
		key = cgroup_key_of(next);
		if (!filter_wants(next, key))
			return;
		thread = thread_new(next, key);
		if (!thread)
			return;
	}
	arrive(thread, next, queue, now, next->sched_info.pcount);
}

/* Closes the interval a thread was in when the run stopped. */
static __always_inline void thread_close(struct thread *thread, struct task_struct *task)
{
	struct cfs_rq *queue = task->se.cfs_rq;
	u64 late = bpf_ktime_get_ns() - stopped_ns, off;

	if (thread->since_ns >= stopped_ns)
		return;
	if (asleep_stamped(task)) /* should we not have been called when it was moved */
		thread->moved_asleep = 1;
	off = stopped_ns - thread->since_ns;
	switch (thread->state) {
	case THREAD_UNKNOWN:
		if (!task->on_cpu)
			unknown_add(thread, task, queue, stopped_ns, late);
		else if (walltime)
			sum_add(&thread->times[TIME_RUNNING], off);
		break;
	case THREAD_RUNNING:
		if (walltime)
			sum_add(&thread->times[TIME_RUNNING], off);
		break;
	case THREAD_BLOCKED:
		if (thread->runs == task->sched_info.pcount)
			off_cpu_add(thread, task, queue, thread->stack,
				    wait_since(thread, task, queue, thread->run_delay_ns, late, 0), off);
		else
			blocked_add(thread, thread->stack, off); /* it ran after the stop: how long it waited is gone */
		break;
	case THREAD_PREEMPTED:
		if (walltime)
			wait_add(thread, task, queue, TIME_PREEMPTED, off);
		break;
	}
}

/* The run is over for this thread. */
static __noinline int thread_end(struct thread *thread, struct task_struct *task)
{
	if (thread->state == THREAD_ENDED)
		return 0;
	thread_close(thread, task);
	thread->state = THREAD_ENDED;
	if (walltime)
		thread_flush(thread, stopped_ns);
	return 0;
}

/* Unwinds the stack that was not recognised. Last, because the verifier would follow it once for every way to get here. */
static __always_inline void current_take(void *ctx)
{
	struct thread *thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
	u32 stack;

	stack_take_kernel(ctx);
	stack = stack_take(HOOK_SWITCH);
	if (thread)
		thread->stack = stack;
}

static __always_inline int switch_look(void *ctx, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	/* Pointers are loaded once, before the paths part: each visit of such a load costs the verifier a search. */
	struct cfs_rq *prev_queue = prev->se.cfs_rq, *next_queue = next->se.cfs_rq;
	u64 prev_css_set = walltime ? (u64)prev->cgroups : 0;
	bool unknown = false;
	u64 now;

	if (!started_ns)
		return 0;
	if (stopped_ns) { /* who dies before the last pass gets to it ends here */
		struct thread *thread = NULL;

		if (prev->__state & TASK_DEAD && !preempt)
			thread = bpf_task_storage_get(&threads, prev, 0, 0);
		if (thread)
			thread_end(thread, prev);
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (prev->pid)
		unknown = switch_out(ctx, preempt, prev, prev_queue, prev_css_set, now);
	if (next->pid)
		switch_in(next, next_queue, now);
	else
		clock_now(0, next_queue->rq->clock, now); /* for those who get this CPU at once */
	if (unknown)
		current_take(ctx);
	return 0;
}

SEC("btf_tp/sched_switch")
int BPF_PROG(offcpu_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return PACED(0, switch_look(ctx, preempt, prev, next));
}

/* Another program begins: what ran so far was the one before. Without this a program that never gives up the CPU, as short ones do, would
 * count as the one that has started it. */
SEC("btf_tp/sched_process_exec")
int BPF_PROG(offcpu_exec, struct task_struct *task)
{
	struct thread *thread;
	u64 now;

	if (!started_ns || stopped_ns)
		return 0;
	thread = bpf_task_storage_get(&threads, task, 0, 0);
	if (!thread || thread->state != THREAD_RUNNING)
		return 0;
	now = bpf_ktime_get_ns();
	sum_add(&thread->times[TIME_RUNNING], now - thread->since_ns);
	thread->since_ns = now;
	thread_flush(thread, now);
	thread_own(thread, task, cgroup_key_current());
	return 0;
}

/* A sleeper that is moved. */
static __always_inline int moved_look(struct task_struct *task)
{
	struct thread *thread;

	if (!started_ns || stopped_ns || !asleep_moves(task))
		return 0;
	thread = bpf_task_storage_get(&threads, task, 0, 0);
	if (thread)
		thread->moved_asleep = 1;
	return 0;
}

SEC("btf_tp/sched_migrate_task")
int BPF_PROG(offcpu_moved, struct task_struct *task)
{
	return PACED(1, moved_look(task));
}

/* ---- who wakes ---- */

static __always_inline int waking_look(void *ctx, struct task_struct *task)
{
	struct thread *thread;
	u32 stack;

	if (!started_ns || stopped_ns)
		return 0;
	thread = bpf_task_storage_get(&threads, task, 0, 0);
	if (!thread || (thread->state != THREAD_BLOCKED && thread->state != THREAD_UNKNOWN))
		return 0;
	if (thread->state == THREAD_BLOCKED && thread->stack == STACK_UNLOOKED)
		return 0;
	stack = waker_recognise(ctx, bpf_get_current_task_btf(), bpf_ktime_get_ns());
	if (stack == STACK_UNKNOWN) {
		stack_take_kernel(ctx);
		stack = stack_take(HOOK_WAKING);
	}
	thread->waker = stack;
	return 0;
}

SEC("btf_tp/sched_waking")
int BPF_PROG(offcpu_waking, struct task_struct *task)
{
	return PACED(2, waking_look(ctx, task));
}

/* ---- on-CPU samples (walltime) ---- */

/* As in profile.bpf.c: a copy is sent one by one. FALSE when frame pointers are to be followed. */
static __always_inline bool tick_copy(void *ctx, struct task_struct *task, u64 key)
{
	u32 bytes = stack_copy_wanted(task);
	struct stack_copy_room *copies = bytes ? stack_copy_room_get(SLOT_TICK) : NULL;

	if (!copies)
		return false;
	stack_record_begin(&copies->record, task, key);
	stack_record_kernel(&copies->record, ctx, 0);
	script_of_current(SLOT_TICK, copies->record.script);
	if (!stack_copy_take(copies, bytes))
		return false;
	stack_copy_send(copies, STACK_NO_ID); /* else: the owner's other samples stand for its time */
	return true;
}

static __always_inline int tick_look(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct stack_record *record;
	struct stack_value *value;
	u64 key;

	if (!started_ns || stopped_ns || !task->pid)
		return 0;
	key = cgroup_key_current();
	if (!filter_wants(task, key) || tick_copy(ctx, task, key))
		return 0;
	record = stack_record_get(SLOT_TICK);
	if (!record)
		return 0;
	stack_record_begin(record, task, key);
	stack_record_frames(record, ctx, 0);
	stack_record_at_sp(record, task);
	script_of_current(SLOT_TICK, record->script);
	value = stack_record_intern(record);
	if (!value)
		return 0; /* the time it stands for is told without a stack */
	__sync_fetch_and_add(&value->events, 1);
	stack_flags_note(value->id, record->flags);
	return 0;
}

SEC("perf_event")
int offcpu_tick(void *ctx)
{
	return PACED(3, tick_look(ctx));
}

#include "offcpu_pass.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
