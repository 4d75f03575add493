/* SPDX-License-Identifier: Apache-2.0 */
/* The user half of bpf/table.bpf.h, and what all probes that count in such tables have in common: births of cgroups,
 * handing out, losses. A probe only loads and attaches its programs, and says what its labels mean. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/bpf/table.h"
#include "probe/probe.h"

struct parttime;
struct table;

/* Sets the constants of an opened skeleton that includes table.bpf.h; FILTER_SET and v1 included. Then `table_size`. */
#define TABLE_SET(rodata, values, request, rows)                                                                       \
	do {                                                                                                           \
		FILTER_SET(rodata, values);                                                                            \
		(rodata)->table_rows = (rows);                                                                         \
		(rodata)->table_by_process = (request)->by_process;                                                    \
		(rodata)->table_by_pidns = (request)->by_pidns;                                                        \
	} while (0)

/* How many rows a table with `classes` histograms for each key should have: enough for the cgroups known (and
 * processes), and no more memory than TABLE_BYTES_MAX. */
guint32 table_rows_for(const struct probe_request *request, guint classes);
/* Before loading: sizes the maps (the filter's, too). */
gboolean table_size(struct bpf_object *object, const struct probe_request *request, guint classes, guint32 rows,
		    GError **error);

struct table_ops {
	guint classes; /* = TABLE_CLASSES of the kernel half */
	guint values; /* how many labels the probe has, at most TABLE_VALUES_MAX */
	/* The labels' values of one row and class (`which`); FALSE: this one is not to be handed out. */
	gboolean (*values_of)(const struct table_owner *owner, guint which, struct probe_value *values);
};

#define TABLE_VALUES_MAX 6
#define TABLE_BYTES_MAX (64u << 20)

/* After loading, before attaching the probe's own programs: fills the filter, maps the tables and watches births. `ops`
 * must stay valid. */
struct table *table_open(struct bpf_object *object, const struct probe_request *request,
			 const struct probe_listener *listener, const struct table_ops *ops, guint32 rows,
			 GError **error);
void table_close(struct table *table);
int table_fd(const struct table *table);
void table_drain(struct table *table);
/* Whose row `row` is, or was until it was retired; FALSE: nobody's. */
gboolean table_owner_at(const struct table *table, guint32 row, struct table_owner *owner);
/* The row is in use although nothing is added to it. */
void table_touch(struct table *table, guint32 row);
/* What is handed out from now on was counted in a part of the time (parttime_take); `parttime` must stay valid. */
void table_scale(struct table *table, struct parttime *parttime);
/* Calls `freed` before a row's number becomes free for another key. */
void table_on_free(struct table *table, void (*freed)(void *user, guint32 row), void *user);
/* Hands out what is new, and adds what was seen and lost since the last time to `ledger`. */
gboolean table_collect(struct table *table, struct ledger *ledger, GError **error);
