/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and edges of a capture (render/json_tables.c says what is in it). */
#include <string.h>

#include "import/capture.h"

/* Everything of a histogram together must stay below this, so that no sum of rows overflows. */
#define CAPTURE_COUNT_MAX (G_MAXINT64 / KEYS_ROWS_MAX)
#define CAPTURE_SLOTS_TOTAL_MAX (1u << 18)

/* Up to `most` names of an array; frees nothing on failure: `strings` is the caller's, zeroed, with room for `most`. */
static int capture_strings(struct pull *pull, char **strings, guint most, GError **error)
{
	guint count = 0;
	int more;

	if (!pull_begin(pull, '[', error))
		return -1;
	while ((more = pull_element(pull, error)) > 0) {
		if (count == most) {
			pull_fail(pull, error, "too many names");
			return -1;
		}
		if (!capture_bytes(pull, &strings[count++], error))
			return -1;
	}
	return more < 0 ? -1 : (int)count;
}

static void capture_strings_free(char **strings, guint count)
{
	for (guint i = 0; i < count; i++)
		g_free(strings[i]);
}

/* Exactly `count` numbers, an array's rest after its bracket was opened by the caller. */
static gboolean capture_numbers(struct pull *pull, guint64 *numbers, guint count, GError **error)
{
	for (guint i = 0; i < count; i++) {
		int more = pull_element(pull, error);

		if (more < 0 || (more == 0 && !pull_fail(pull, error, "more numbers are expected")) ||
		    !pull_uint(pull, &numbers[i], error))
			return FALSE;
	}
	switch (pull_element(pull, error)) {
	case 0:
		return TRUE;
	case 1:
		return pull_fail(pull, error, "fewer numbers are expected");
	default:
		return FALSE;
	}
}

/* Pairs [bucket, events]; `*total` is their sum. */
static gboolean capture_buckets(struct pull *pull, guint64 *buckets, guint64 *total, GError **error)
{
	int more;

	*total = 0;
	if (!pull_begin(pull, '[', error))
		return FALSE;
	while ((more = pull_element(pull, error)) > 0) {
		guint64 pair[2];

		if (!pull_begin(pull, '[', error) || !capture_numbers(pull, pair, 2, error))
			return FALSE;
		if (pair[0] >= HISTOGRAM_BUCKETS)
			return pull_fail(pull, error, "there is no such bucket");
		if (buckets[pair[0]] || pair[1] > CAPTURE_COUNT_MAX - *total)
			return pull_fail(pull, error, "a bucket stands there twice, or holds too much");
		buckets[pair[0]] = pair[1];
		*total += pair[1];
	}
	return more == 0;
}

/* "count" is skipped: the buckets say it; pull_each_fn. */
static gboolean capture_counts_member(struct pull *pull, void *user, GError **error)
{
	struct histogram_counts *counts = user;
	const char *key = pull->text->str;

	if (strcmp(key, "sum") == 0)
		return pull_uint(pull, &counts->sum, error);
	if (strcmp(key, "max") == 0)
		return pull_uint(pull, &counts->max, error);
	if (strcmp(key, "buckets") == 0)
		return counts->count ? pull_fail(pull, error, "buckets must stand once")
				     : capture_buckets(pull, counts->buckets, &counts->count, error);
	return pull_skip(pull, error);
}

static gboolean capture_counts(struct pull *pull, struct histogram_counts *counts, GError **error)
{
	*counts = (struct histogram_counts){ 0 };
	if (!pull_object(pull, capture_counts_member, counts, error))
		return FALSE;
	return counts->sum <= CAPTURE_COUNT_MAX || pull_fail(pull, error, "the values add up to too much");
}

/* pull_each_fn */
static gboolean capture_slot(struct pull *pull, void *user, GError **error)
{
	struct histogram_row *row = user;
	guint64 buckets[HISTOGRAM_BUCKETS] = { 0 }, slot, total;

	if (!pull_begin(pull, '[', error) || pull_element(pull, error) != 1 || !pull_uint(pull, &slot, error) ||
	    pull_element(pull, error) != 1 || !capture_buckets(pull, buckets, &total, error) ||
	    pull_element(pull, error) != 0)
		return (error && *error) ? FALSE : pull_fail(pull, error, "[slot, buckets] is expected");
	if (slot >= HISTOGRAM_SLOTS_MAX || (row->slots && row->slots->len >= HISTOGRAM_SLOTS_MAX))
		return pull_fail(pull, error, "too many slots");
	if (row->slots && g_array_index(row->slots, struct histogram_slot, row->slots->len - 1).slot >= slot)
		return pull_fail(pull, error, "slots must ascend");
	histogram_row_add_slot(row, (guint32)slot, buckets);
	return TRUE;
}

/* The values of a row, which must be new. */
static struct histogram_row *capture_row_of(struct pull *pull, struct histogram *histogram, GError **error)
{
	char *values[HISTOGRAM_LABELS_MAX] = { NULL };
	int count = capture_strings(pull, values, histogram->keys.width, error);
	guint before = histogram->rows->len;
	struct histogram_row *row = NULL;

	if (count >= 0 && (guint)count != histogram->keys.width)
		pull_fail(pull, error, "a value for each label is expected");
	else if (count >= 0)
		row = histogram_row(histogram, (const char *const *)values);
	if (count >= 0 && row && histogram->rows->len == before) {
		pull_fail(pull, error, "a row stands there twice");
		row = NULL;
	} else if (count >= 0 && !row && !(error && *error)) {
		pull_fail(pull, error, "too many rows");
	}
	capture_strings_free(values, HISTOGRAM_LABELS_MAX);
	return row;
}

/* A histogram's rows while they are read. */
struct capture_rows {
	struct histogram *histogram;
	struct histogram_row *row; /* the one being read; NULL until its values are known */
	guint slots; /* of all rows */
};

static gboolean capture_row_slots(struct pull *pull, struct capture_rows *rows, GError **error)
{
	if (!pull_array(pull, capture_slot, rows->row, error))
		return FALSE;
	rows->slots += rows->row->slots ? rows->row->slots->len : 0;
	return rows->slots <= CAPTURE_SLOTS_TOTAL_MAX || pull_fail(pull, error, "too many slots");
}

/* pull_each_fn */
static gboolean capture_histogram_row_member(struct pull *pull, void *user, GError **error)
{
	struct capture_rows *rows = user;
	const char *key = pull->text->str;

	if (strcmp(key, "values") == 0) {
		if (rows->row)
			return pull_fail(pull, error, "values must stand once");
		rows->row = capture_row_of(pull, rows->histogram, error);
		return rows->row != NULL;
	}
	if (!rows->row)
		return pull_fail(pull, error, "values must stand first");
	if (strcmp(key, "counts") == 0)
		return capture_counts(pull, &rows->row->counts, error);
	if (strcmp(key, "slots") == 0)
		return capture_row_slots(pull, rows, error);
	if (strcmp(key, "baseline") != 0)
		return pull_skip(pull, error);
	if (!rows->row->baseline)
		rows->row->baseline = g_new0(struct histogram_counts, 1);
	return capture_counts(pull, rows->row->baseline, error);
}

/* pull_each_fn */
static gboolean capture_histogram_row(struct pull *pull, void *user, GError **error)
{
	struct capture_rows *rows = user;

	rows->row = NULL;
	return pull_object(pull, capture_histogram_row_member, rows, error);
}

static gboolean capture_histogram_rows(struct pull *pull, struct histogram *histogram, GError **error)
{
	struct capture_rows rows = { .histogram = histogram };

	return pull_array(pull, capture_histogram_row, &rows, error);
}

static gboolean capture_histogram_labels(struct pull *pull, struct shape *shape, GError **error)
{
	char *labels[HISTOGRAM_LABELS_MAX + 1] = { NULL };
	int count = capture_strings(pull, labels, HISTOGRAM_LABELS_MAX, error);
	gboolean good = count >= 0;

	for (int i = 0; i < count; i++)
		if (!labels[i])
			good = pull_fail(pull, error, "a label without a name");
	if (good && (count == 0 || shape->histogram))
		good = pull_fail(pull, error, "labels must stand once and be one at least");
	if (good)
		shape->histogram = histogram_new((const char *const *)labels);
	capture_strings_free(labels, HISTOGRAM_LABELS_MAX);
	return good;
}

gboolean capture_histogram_member(struct pull *pull, struct shape *shape, GError **error)
{
	const char *key = pull->text->str;

	if (strcmp(key, "labels") == 0)
		return capture_histogram_labels(pull, shape, error);
	if (strcmp(key, "slot_ns") == 0)
		return shape->histogram ? pull_uint(pull, &shape->histogram->slot_ns, error)
					: pull_fail(pull, error, "labels must come first");
	if (strcmp(key, "rows") == 0)
		return shape->histogram ? capture_histogram_rows(pull, shape->histogram, error)
					: pull_fail(pull, error, "labels must come first");
	return pull_skip(pull, error);
}

/* ---- edges ---- */

/* [kind, name]; the name is the caller's. */
static gboolean capture_end(struct pull *pull, struct edge_end *end, char **name, GError **error)
{
	int kind;

	if (!pull_begin(pull, '[', error) || pull_element(pull, error) != 1)
		return (error && *error) ? FALSE : pull_fail(pull, error, "[kind, name] is expected");
	kind = capture_name(pull, edge_end_kind_names, EDGE_END_KINDS, "kind of end", error);
	if (kind < 0)
		return FALSE;
	if (pull_element(pull, error) != 1 || !capture_bytes(pull, name, error) || !*name ||
	    pull_element(pull, error) != 0)
		return (error && *error) ? FALSE : pull_fail(pull, error, "[kind, name] is expected");
	*end = (struct edge_end){ .kind = (enum edge_end_kind)kind, .name = *name };
	return TRUE;
}

/* What stands before an edge's numbers. */
struct capture_edge {
	struct edges *edges; /* it goes into */
	struct edge_end source, target;
	char *source_name, *target_name;
	char *values[EDGES_LABELS_MAX];
	struct edge *edge; /* NULL until all of the above are known */
};

static void capture_edge_clear(struct capture_edge *row)
{
	g_free(row->source_name);
	g_free(row->target_name);
	capture_strings_free(row->values, EDGES_LABELS_MAX);
}

static gboolean capture_edge_values(struct pull *pull, struct edges *edges, struct capture_edge *row, GError **error)
{
	int count = capture_strings(pull, row->values, EDGES_LABELS_MAX, error);
	guint before = edges->rows->len;

	if (count < 0)
		return FALSE;
	if ((guint)count != g_strv_length(edges->labels))
		return pull_fail(pull, error, "a value for each label is expected");
	if (!row->source_name || !row->target_name || row->edge)
		return pull_fail(pull, error, "source and target must stand before the values, all once");
	row->edge = edges_add(edges, &row->source, &row->target, (const char *const *)row->values);
	if (!row->edge || edges->rows->len == before)
		return pull_fail(pull, error, "an edge stands there twice, or there are too many");
	return TRUE;
}

static gboolean capture_edge_counters(struct pull *pull, const struct edges *edges, guint64 *counters, GError **error)
{
	if (!pull_begin(pull, '[', error) || !capture_numbers(pull, counters, edges->counter_count, error))
		return FALSE;
	for (guint i = 0; i < edges->counter_count; i++)
		if (counters[i] > CAPTURE_COUNT_MAX)
			return pull_fail(pull, error, "a counter is too large");
	return TRUE;
}

/* pull_each_fn */
static gboolean capture_edge_histogram(struct pull *pull, void *user, GError **error)
{
	struct capture_edge *row = user;
	struct histogram_counts counts;
	guint at = 0;

	while (at < row->edges->histogram_count && strcmp(row->edges->histograms[at].name, pull->text->str) != 0)
		at++;
	if (!capture_counts(pull, &counts, error))
		return FALSE;
	if (at < row->edges->histogram_count && row->edge->histograms[at])
		return pull_fail(pull, error, "a histogram stands there twice");
	edge_histogram_add(row->edge, at, &counts);
	return TRUE;
}

/* pull_each_fn */
static gboolean capture_edge_member(struct pull *pull, void *user, GError **error)
{
	struct capture_edge *row = user;
	const char *key = pull->text->str;

	if (strcmp(key, "source") == 0)
		return capture_end(pull, &row->source, &row->source_name, error);
	if (strcmp(key, "target") == 0)
		return capture_end(pull, &row->target, &row->target_name, error);
	if (strcmp(key, "values") == 0)
		return capture_edge_values(pull, row->edges, row, error);
	if (!row->edge)
		return pull_fail(pull, error, "values must stand before the numbers");
	if (strcmp(key, "counters") == 0)
		return capture_edge_counters(pull, row->edges, row->edge->counters, error);
	if (strcmp(key, "histograms") == 0)
		return pull_object(pull, capture_edge_histogram, row, error);
	if (strcmp(key, "baseline") != 0)
		return pull_skip(pull, error);
	if (!row->edge->baseline)
		row->edge->baseline = g_new0(guint64, EDGES_COUNTERS_MAX);
	return capture_edge_counters(pull, row->edges, row->edge->baseline, error);
}

/* pull_each_fn */
static gboolean capture_edge(struct pull *pull, void *user, GError **error)
{
	struct capture_edge row = { .edges = user };
	gboolean good = pull_object(pull, capture_edge_member, &row, error);

	capture_edge_clear(&row);
	return good;
}

/* [[name, unit] …] into `columns`, zeroed, with room for `most` and an end; names are the caller's. */
static gboolean capture_columns(struct pull *pull, struct edges_column *columns, guint most, GError **error)
{
	guint count = 0;
	int more;

	if (!pull_begin(pull, '[', error))
		return FALSE;
	while ((more = pull_element(pull, error)) > 0) {
		char *name = NULL;
		int unit;

		if (count == most)
			return pull_fail(pull, error, "too many columns");
		if (!pull_begin(pull, '[', error) || pull_element(pull, error) != 1 ||
		    !capture_bytes(pull, &name, error) || !name) {
			g_free(name);
			return (error && *error) ? FALSE : pull_fail(pull, error, "[name, unit] is expected");
		}
		columns[count++].name = name;
		if (pull_element(pull, error) != 1 || (unit = capture_unit(pull, error)) < 0 ||
		    pull_element(pull, error) != 0)
			return (error && *error) ? FALSE : pull_fail(pull, error, "[name, unit] is expected");
		columns[count - 1].unit = (enum unit)unit;
	}
	return more == 0;
}

static void capture_columns_free(struct edges_column *columns)
{
	for (; columns->name; columns++)
		g_free((char *)columns->name);
}

/* Labels and columns come one after the other, but edges need all three: an empty table is made anew each time. */
static gboolean capture_edges_head(struct pull *pull, struct shape *shape, GError **error)
{
	struct edges_column counters[EDGES_COUNTERS_MAX + 1] = { 0 }, histograms[EDGES_HISTOGRAMS_MAX + 1] = { 0 };
	char *labels[EDGES_LABELS_MAX + 1] = { NULL };
	struct edges *have = shape->edges;
	gboolean good = TRUE;

	if (have && have->rows->len)
		return pull_fail(pull, error, "labels and columns must come before the rows");
	if (strcmp(pull->text->str, "labels") == 0) {
		int count = capture_strings(pull, labels, EDGES_LABELS_MAX, error);

		good = count >= 0;
		for (int i = 0; i < count; i++)
			if (!labels[i])
				good = pull_fail(pull, error, "a label without a name");
	} else if (strcmp(pull->text->str, "counters") == 0) {
		good = capture_columns(pull, counters, EDGES_COUNTERS_MAX, error);
	} else {
		good = capture_columns(pull, histograms, EDGES_HISTOGRAMS_MAX, error);
	}
	if (good) {
		const struct edges_column *kept_counters = counters[0].name || !have ? counters : have->counters;

		shape->edges =
			edges_new(labels[0] || !have ? (const char *const *)labels : (const char *const *)have->labels,
				  kept_counters, histograms);
		edges_free(have);
	}
	capture_strings_free(labels, EDGES_LABELS_MAX);
	capture_columns_free(counters);
	capture_columns_free(histograms);
	return good;
}

gboolean capture_edges_member(struct pull *pull, struct shape *shape, GError **error)
{
	const char *key = pull->text->str;

	if (strcmp(key, "labels") == 0 || strcmp(key, "counters") == 0 || strcmp(key, "histograms") == 0)
		return capture_edges_head(pull, shape, error);
	if (strcmp(key, "rows") == 0)
		return shape->edges ? pull_array(pull, capture_edge, shape->edges, error)
				    : pull_fail(pull, error, "labels and columns must come first");
	return pull_skip(pull, error);
}
