/* SPDX-License-Identifier: Apache-2.0 */
/* One run of offcpu.bpf.c: what offcpu and walltime have in common. */
#pragma once
#include <glib.h>

#include "probe/allowance.h"
#include "probe/intake.h"
#include "probe/offcpu.h"
#include "probe/probe.h"

struct offcpu_bpf; /* skeleton */

struct offcpu_run {
	gboolean no_scripts; /* this kernel does not take the walk of Python frames */
	struct offcpu_bpf *kernel;
	struct intake *intake;
	struct allowance *allowance; /* of stacks looked at; time is always measured */
	struct probe_listener listener;
	struct probe_request request; /* its arrays belong to the caller and are not touched after open */
	gboolean walltime;
	const struct rung *rung;
	char *why_not; /* better rungs that did not work; NULL: none */
	struct bpf_link *switch_link, *moved_link, *waking_link, *exec_link;
	GPtrArray *ticks; /* of struct bpf_link *, one per CPU; walltime only */
	guint64 started_ns, stopped_ns;
	/* while finishing */
	struct ledger_line told; /* handed to the listener */
	struct ledger_line unsent, truncated;
	struct ledger_line shared, without_example; /* not looked at (unlooked.h) */
};

extern const struct rung offcpu_rungs[];

struct offcpu_run *offcpu_run_open(const struct probe_request *request, const struct probe_listener *listener,
				   gboolean walltime, GError **error);
void offcpu_run_close(struct offcpu_run *run);

/* Ends the run: closes open intervals, takes the last stacks. The maps then no longer change. */
gboolean offcpu_run_stop(struct offcpu_run *run, GError **error);
/* Tells the listener all blocked time that has a stack. */
gboolean offcpu_run_tell_blocked(struct offcpu_run *run, GError **error);
/* Tells the listener one weight (and counts it); `kernel_stack` is an id of the kernel half or STACK_NONE. What has a
 * stack that never arrived is counted as lost. */
void offcpu_run_tell(struct offcpu_run *run, enum probe_state state, const struct probe_task *task,
		     guint32 kernel_stack, guint32 kernel_waker, const struct interval_sum *sum);
/* The same of a stack known by the intake's id. */
void offcpu_run_tell_stack(struct offcpu_run *run, enum probe_state state, guint32 stack,
			   const struct interval_sum *sum);
/* Losses, rung and notes. */
gboolean offcpu_run_account(struct offcpu_run *run, struct ledger *ledger, GError **error);
