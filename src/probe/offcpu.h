/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two halves of the thread-time probes (offcpu, walltime) share: maps and their values. */
#pragma once
#include "bpf/shared.h"

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_offcpu; /* blocked time by stack */
extern const struct probe probe_walltime; /* all time of all threads, by state */
#endif

/* Stacks under construction on one CPU: the hooks', and of what they may interrupt or be interrupted by: the first pass and
 * the tick. */
#define OFFCPU_SLOTS 3

/* Blocked time by stack: index = id of the stack (stack_record.id). */
#define INTERVAL_SLOTS (131072 + 4096) /* the stack table, and ids wasted by racing inserts */

/* What decides about walks of one user stack (offcpu.bpf.c, userpath.c): another stack with these words walks the same. */
#define USER_PATHS 16384
#define USER_PLACES 512
#define USER_VARIANTS 8 /* stacks of one thread group with the same RIP and RSP */

struct user_path {
	struct stack_key print; /* hash of the registers that matter, then of the words, in order */
	__u32 count;
	__u32 registers; /* USER_PATH_… */
	__u16 at[USER_PLACES]; /* words from where copies begin, ascending */
};
#define USER_PATH_BP (1 << 0)
#define USER_PATH_R10 (1 << 1)

/* In place of a stack id. */
#define STACK_NONE 0xffffffffU /* the table was full */
#define STACK_UNSEEN 0xfffffffeU /* already blocked when the run started, and gone before we looked */
#define STACK_UNKNOWN 0xfffffffdU /* about to be unwound; never in a result */
#define STACK_UNLOOKED 0xfffffffcU /* not looked at, to stay within the budget */

struct interval_sum {
	__u64 weight_ns;
	__u64 events;
	__u64 max_ns;
	__u64 flags; /* of the stack; enum probe_stack_flags */
};

/* The comm of a waker's stack when an interrupt did it: belongs to no process (tgid 0, cgroup key 0); its kernel stack
 * ends in that of some interrupted task. */
#define OFFCPU_INTERRUPT "interrupt"

/* With request->waker: blocked time by (blocked stack, waker's stack). */
struct waker_pair {
	__u32 stack;
	__u32 waker;
};

/* Above the budget. Blocked time of stacks nobody looked at, by owner and class of length … */
struct unlooked_key {
	struct stack_task owner;
	__u32 length; /* log4 of ns */
	__u32 unused;
};

/* … and of how much of it those are an example that were: their own time and number, times how many each stands for besides. */
struct stood_key {
	__u32 stack;
	__u32 waker;
	__u32 length;
};

/* = enum probe_state */
enum thread_time {
	TIME_RUNNING = 0,
	TIME_BLOCKED = 1,
	TIME_WOKEN = 2,
	TIME_PREEMPTED = 3,
	TIME_THROTTLED = 4,
	TIME_COUNT = 5,
};

/* walltime: what the threads of one owner (process, or thread when kept apart) spent, by state. BLOCKED holds only
 * what has no stack; the rest is in the interval sums. */
struct owner_sum {
	struct interval_sum times[TIME_COUNT];
	__u64 expected_ns; /* lifetime of its threads within the run, from their births and deaths alone */
	__u64 threads;
};

/* How well stacks are recognised. Per CPU. */
struct print_stats {
	__u64 hits;
	__u64 misses; /* unwound */
	__u64 unusable; /* of these: cannot be recognised next time either (too deep) */
	__u64 audited; /* hits that were unwound as well … */
	__u64 mismatched; /* … and were another stack */
	__u64 user_misses; /* user halves for which no path was known */
};
