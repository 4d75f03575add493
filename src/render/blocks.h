/* SPDX-License-Identifier: Apache-2.0 */
/* How tables are laid out for people, in the terminal and in pictures: a histogram's rows in blocks, edges by their
 * source. Names are raw: escape on output. */
#pragma once
#include <glib.h>

#include "model/edges.h"
#include "model/histogram.h"

/* What a bucket holds: "2–4 ms", "512 µs–1 ms", "over 128000 s". Owned by the caller. */
char *units_range(enum unit unit, guint bucket);
/* The same of a bucket whose bounds are known. */
char *units_bounds(enum unit unit, guint64 low, guint64 high);

/* What one block shows: all rows that agree in all labels but the last. */
struct block {
	GPtrArray *rows; /* of struct histogram_row * */
	GPtrArray *columns; /* of const char *: value of the last label, by row */
	char *name;
	struct histogram_counts all;
};

/* The blocks of a histogram, the heaviest first; owned by the caller, with all in them. */
GPtrArray *blocks_of(const struct histogram *histogram);

/* All edges of one source. */
struct source {
	struct edge_end end;
	GArray *rows; /* of guint32: edges, the heaviest first */
	guint64 sum; /* of the first counter */
};

gboolean ends_equal(struct edge_end a, struct edge_end b);
/* The first counter of an edge. */
guint64 edge_weight(const struct edges *edges, guint32 row);
/* Edges by their source, the heaviest first; owned by the caller. */
GPtrArray *sources_of(const struct edges *edges);
/* "db", "itself", "host · 5432": what the target of edge `row` is to its source. Owned by the caller. */
char *target_name(const struct edges *edges, const struct source *source, guint32 row);
