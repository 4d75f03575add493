/* SPDX-License-Identifier: Apache-2.0 */
/* The edges shape: from whom to whom, with counters and, where wanted, histograms per edge. Who waited for whom
 * (blame), who talks to whom (connections).
 *
 * An edge is named by its two ends and its labels ("resource", "port" …). An end has a kind besides its name, so that a
 * container called "host" is not the host. Counters and histograms have names and units; every edge has all counters,
 * and those histograms that were ever added to. Names are raw bytes as observed: escape on output. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "model/histogram.h"
#include "model/keys.h"

#define EDGES_LABELS_MAX 4
#define EDGES_COUNTERS_MAX 32
#define EDGES_HISTOGRAMS_MAX 6

/* Explicit values: they travel in captures. */
enum edge_end_kind {
	EDGE_END_CONTAINER = 0,
	EDGE_END_HOST = 1, /* tasks of the machine that are in no container */
	EDGE_END_QUOTA = 2, /* a limit of the source's own: CPU quota, memory limit */
	EDGE_END_UNKNOWN = 3, /* the name says why */
	EDGE_END_EXTERNAL = 4, /* outside this machine */
	EDGE_END_TOLD = 5, /* outside, too; its name is what DNS told the other end */
	EDGE_END_KINDS = 6,
};
extern const char *const edge_end_kind_names[EDGE_END_KINDS]; /* part of the format of captures */

struct edge_end {
	enum edge_end_kind kind;
	const char *name; /* never NULL */
};

struct edges_column {
	const char *name; /* "wait", "bytes_sent" */
	enum unit unit;
};

struct edge {
	guint64 counters[EDGES_COUNTERS_MAX];
	guint64 *baseline; /* counters of the other capture; NULL unless differential */
	struct histogram_counts *histograms[EDGES_HISTOGRAMS_MAX]; /* NULL: nothing was added */
};

struct edges {
	GStrv labels; /* names; may be empty */
	guint counter_count, histogram_count;
	struct edges_column counters[EDGES_COUNTERS_MAX]; /* names owned */
	struct edges_column histograms[EDGES_HISTOGRAMS_MAX];
	guint64 overflow; /* additions that found no edge because there were too many */
	struct keys keys;
	GPtrArray *rows; /* of struct edge *, by the ids of `keys` */
};

/* Labels end with NULL, columns with a NULL name; each may be NULL for none. What exceeds the limits is left out. */
struct edges *edges_new(const char *const *labels, const struct edges_column *counters,
			const struct edges_column *histograms);
void edges_free(struct edges *edges);
typedef struct edges edges_t; /* for g_autoptr(edges_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(edges_t, edges_free)

/* Outside this machine, whoever gave it its name. */
static inline gboolean edge_end_is_outside(enum edge_end_kind kind)
{
	return kind == EDGE_END_EXTERNAL || kind == EDGE_END_TOLD;
}

/* The edge from `source` to `target` with these label values (one each, NULL where it does not apply; the array may be
 * NULL when there are no labels), made if absent; NULL (and `overflow` counted) when there are too many. */
struct edge *edges_add(struct edges *edges, const struct edge_end *source, const struct edge_end *target,
		       const char *const *labels);
void edge_count(struct edge *edge, guint counter, guint64 value);
void edge_histogram_add(struct edge *edge, guint histogram, const struct histogram_counts *counts);

/* Ends and label values of row `row`; valid until edges_free. */
struct edge_end edges_source(const struct edges *edges, guint32 row);
struct edge_end edges_target(const struct edges *edges, guint32 row);
const char *const *edges_labels(const struct edges *edges, guint32 row);
/* Index of a counter by name; -1: there is none such. */
int edges_counter(const struct edges *edges, const char *name);
int edges_histogram(const struct edges *edges, const char *name); /* likewise */
/* The value of a row's counter by name; 0 when there is none such. */
guint64 edges_counted(const struct edges *edges, guint32 row, const char *name);
/* Rows by this counter, largest first; array of guint32, owned by the caller. */
GArray *edges_order(const struct edges *edges, const char *name);

/* Adds all of `from`; FALSE, and nothing happens, when labels or columns differ. */
gboolean edges_merge(struct edges *into, const struct edges *from);
/* Counters and histograms of `after`, baselines of `before`; NULL when labels or columns differ. */
struct edges *edges_diff(const struct edges *before, const struct edges *after);
