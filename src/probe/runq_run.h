/* SPDX-License-Identifier: Apache-2.0 */
/* One run of runq.bpf.c: what runq and blame have in common. */
#pragma once
#include <glib.h>

#include "probe/allowance.h"
#include "probe/probe.h"
#include "probe/runq.h"

struct runq_bpf; /* skeleton */
struct parttime;
struct table;

struct runq_run {
	struct runq_bpf *kernel;
	struct table *table;
	struct allowance *allowance;
	struct probe_listener listener, table_listener;
	struct probe_request request; /* its arrays belong to the caller and are not touched after open */
	gboolean blame;
	const struct rung *rung;
	char *why_not; /* better rungs that did not work; NULL: none */
	struct bpf_link *links[3];
	struct parttime *switches; /* NULL: watched all the time */
	int fd; /* -1: nothing to wait for */
	guint32 rows;
};

extern const struct rung runq_rungs[];

struct runq_run *runq_run_open(const struct probe_request *request, const struct probe_listener *listener,
			       gboolean blame, GError **error);
void runq_run_close(struct runq_run *run);
void runq_run_stop(struct runq_run *run);
/* To be called some ten times a second. */
void runq_run_drain(struct runq_run *run);
/* Rung and notes. */
void runq_run_account(struct runq_run *run, struct ledger *ledger);
