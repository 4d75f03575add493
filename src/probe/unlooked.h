/* SPDX-License-Identifier: Apache-2.0 */
/* Time whose stacks nobody looked at, to stay within a budget, shared out among the stacks that were looked at. The time is
 * measured; who has it is an estimate: of each owner (process or thread in one cgroup) and class of length, the stacks looked
 * at get what they stand for. Apart by length, because otherwise one long wait that was not looked at would count as the
 * thousands of short ones that were. Time of which there is no example stays without a stack. Sums are kept to the
 * nanosecond. Pure: no map is read here. */
#pragma once
#include <glib.h>

#include "probe/offcpu.h"
#include "probe/probe.h"

struct unlooked;

struct unlooked *unlooked_new(void);
void unlooked_free(struct unlooked *unlooked);

/* So much of `task` was not looked at. */
void unlooked_add(struct unlooked *unlooked, const struct probe_task *task, guint32 length,
		  const struct interval_sum *sum);
/* A stack of `task` that was looked at stands for so much of it. `stack`, `waker`: ids of the kernel half. */
void unlooked_add_example(struct unlooked *unlooked, const struct probe_task *task, guint32 length, guint32 stack,
			  guint32 waker, const struct interval_sum *stands_for);

/* `stack` STACK_NONE: there was no example. */
typedef void (*unlooked_fn)(void *user, const struct probe_task *task, guint32 stack, guint32 waker,
			    const struct interval_sum *sum);
void unlooked_share_out(const struct unlooked *unlooked, unlooked_fn each, void *user);
