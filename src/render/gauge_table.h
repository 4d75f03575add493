/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges as a table for people: columns, order, filter. Readings and changes of one interval go in (rows of both stand
 * in the same order); cells come out as text. What is not known shows as "-" and sorts last. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "model/gauges.h"

/* One interval. */
struct gauge_interval {
	const struct gauges *readings; /* at its end */
	const struct gauges *changes; /* what gauges_diff made; NULL at the very first reading */
	guint64 length_ns; /* 0 at the very first reading */
};

enum gauge_column_id {
	GAUGE_COLUMN_NAME = 0,
	GAUGE_COLUMN_CPU = 1,
	GAUGE_COLUMN_THROTTLED = 2,
	GAUGE_COLUMN_LOST = 3,
	GAUGE_COLUMN_WAIT = 4,
	GAUGE_COLUMN_DISK = 5,
	GAUGE_COLUMN_MEMORY = 6,
	GAUGE_COLUMN_MEMORY_RATIO = 7,
	GAUGE_COLUMN_REFAULTS = 8,
	GAUGE_COLUMN_PRESSURE = 9,
	GAUGE_COLUMN_READ = 10,
	GAUGE_COLUMN_WRITE = 11,
	GAUGE_COLUMN_RECEIVED = 12,
	GAUGE_COLUMN_SENT = 13,
	GAUGE_COLUMN_PIDS = 14,
	GAUGE_COLUMN_OOM = 15,
	GAUGE_COLUMN_STATE = 16,
	GAUGE_COLUMN_PID = 17,
	GAUGE_COLUMN_INNER_PID = 18,
	GAUGE_COLUMN_FAULTS = 19,
	GAUGE_COLUMN_SWITCHES = 20,
	GAUGE_COLUMN_THREADS = 21,
	GAUGE_COLUMNS = 22,
};

struct gauge_column {
	const char *key; /* what people type: "cpu" */
	const char *heading;
	guint width; /* columns of a terminal that nearly always suffice */
	const char *help;
};
extern const struct gauge_column gauge_columns[GAUGE_COLUMNS];

/* Columns of a table of containers, of processes; ended by -1. */
extern const int gauge_columns_containers[];
extern const int gauge_columns_processes[];

/* The column called `key`; -1 and `error` (with the known ones) when there is none. */
int gauge_column_find(const char *key, GError **error);

/* NAN when not known: what the column sorts by. */
double gauge_cell_value(const struct gauge_interval *interval, guint32 row, enum gauge_column_id column);
/* Raw (a name may hold anything), owned by the caller. */
char *gauge_cell_text(const struct gauge_interval *interval, guint32 row, enum gauge_column_id column);

/* ---- which rows, in what order ---- */

struct gauge_filter;
/* Terms with spaces between, all of which must hold: a part of the name, image, pod or id; /regex/; or a comparison
 * such as cpu>50%, mem>80%, mem>1GiB, lost>10, oom>0. NULL and `error` when it cannot be understood. */
struct gauge_filter *gauge_filter_new(const char *text, GError **error);
void gauge_filter_free(struct gauge_filter *filter);
gboolean gauge_filter_matches(const struct gauge_filter *filter, const struct gauge_interval *interval, guint32 row);

struct gauge_order {
	enum gauge_column_id column;
	gboolean ascending; /* names are: as people expect */
	gboolean tree; /* whatever is part of a row stands below it, ordered among its siblings */
	const struct gauge_filter *filter; /* NULL: all; in a tree those above a match stay */
};

struct gauge_place {
	guint32 row;
	guint depth; /* in a tree */
};
/* Array of struct gauge_place, owned by the caller. The host is not among them. */
GArray *gauge_rows_order(const struct gauge_interval *interval, const struct gauge_order *order);

/* "▁▂▃…" of values from 0 to `top`; a gap where a value is not known. Owned by the caller. */
char *gauge_sparkline(const double *values, guint count, double top);

/* Members "rates" (each counter per second; of nanoseconds: seconds per second) and "throttled_ratio" of an open
 * object: what is known of it. */
void render_gauge_rates(struct json_writer *json, const struct gauge_interval *interval, guint32 row);
