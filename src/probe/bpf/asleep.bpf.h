/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sleepers that look as if they waited for a CPU.
 *
 * Since 6.12 a thread that blocks when it has had more than its share stays on its run queue until that has evened out. One
 * that is moved to another CPU's queue meanwhile (to spread the load, or because its CPUs were changed) is stamped
 * there as if it had been woken up: sched_info.last_queued. Nobody takes that back when it is dequeued, nor does its wake-up
 * renew it: for the scheduler it waits for as long as it sleeps, and when it gets a CPU again all of that is in its
 * run_delay. When it was really woken up is known to nobody. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define ASLEEP_WAKING 0x200 /* include/linux/sched.h: TASK_WAKING, on its way to a queue */

/* At sched_migrate_task: is it a sleeper that is moved? */
static __always_inline bool asleep_moves(struct task_struct *task)
{
	return bpf_core_field_exists(task->se.sched_delayed) && task->se.sched_delayed;
}

/* Of a thread looked at from elsewhere: does it sleep, stamped as if it waited? */
static __always_inline bool asleep_stamped(struct task_struct *task)
{
	if (!task->sched_info.last_queued || !task->__state || task->__state & ASLEEP_WAKING || task->on_cpu)
		return false;
	return !task->on_rq || asleep_moves(task); /* else it lost its CPU on its way to sleep */
}
