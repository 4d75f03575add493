/* SPDX-License-Identifier: Apache-2.0 */
/* What BPF programs cost over an interval, whose they are, and which containers pay. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "probe/cost.h"

struct expense_program {
	struct cost_program used; /* runs, time and misses of the interval; memory as it is at its end */
	guint holder; /* index of `holders` */
};

/* A process that holds programs; one more stands for all that no process holds. */
struct expense_holder {
	guint32 pid; /* 0: pinned, or kept by what they are attached to */
	char *comm;
	const char *container; /* NULL: not known */
	guint64 cpu_ns, rss_bytes; /* of the process itself in the interval; 0 and 0 for pid 0 */
	gboolean ended; /* meanwhile: then both are not known */
};

struct expense_payer {
	const char *container; /* "[idle]": nobody's time */
	guint32 program_id;
	guint64 run_count, run_time_ns;
};

struct expense {
	guint64 elapsed_ns;
	GArray *programs; /* of struct expense_program; the costly first */
	GArray *holders; /* of struct expense_holder */
	GArray *payers; /* of struct expense_payer; the paying most first */
	guint64 uncharged_ns; /* run, but told apart for nobody */
	char *payers_why_not; /* NULL: payers are known */
	guint left_out; /* programs beyond the limit: their payers are not known */
};

/* Measures for `duration_ns`, or until `stop_fd` is readable (-1: none). NULL and `error` when the kernel does not let us. */
struct expense *expense_measure(struct registry *registry, guint64 duration_ns, int stop_fd, GError **error);
void expense_free(struct expense *expense);
typedef struct expense expense_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(expense_t, expense_free)
