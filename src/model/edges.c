/* SPDX-License-Identifier: Apache-2.0 */
#include "model/edges.h"

#include <string.h>

const char *const edge_end_kind_names[EDGE_END_KINDS] = { "container", "host", "quota", "unknown", "external", "told" };

/* The values of a key: kinds as a letter, then the labels. */
enum edges_value {
	VALUE_SOURCE_KIND = 0,
	VALUE_SOURCE = 1,
	VALUE_TARGET_KIND = 2,
	VALUE_TARGET = 3,
	VALUE_LABELS = 4,
};

G_STATIC_ASSERT((int)VALUE_LABELS + EDGES_LABELS_MAX <= KEYS_WIDTH_MAX);

static const char *const kind_letters[EDGE_END_KINDS] = { "0", "1", "2", "3", "4", "5" };

static void edge_free(gpointer data)
{
	struct edge *edge = data;

	g_free(edge->baseline);
	for (guint i = 0; i < EDGES_HISTOGRAMS_MAX; i++)
		g_free(edge->histograms[i]);
	g_free(edge);
}

static guint edges_columns_copy(struct edges_column *to, guint most, const struct edges_column *from)
{
	guint count = 0;

	for (; from && count < most && from[count].name; count++)
		to[count] = (struct edges_column){ .name = g_strdup(from[count].name), .unit = from[count].unit };
	return count;
}

struct edges *edges_new(const char *const *labels, const struct edges_column *counters,
			const struct edges_column *histograms)
{
	struct edges *edges = g_new0(struct edges, 1);
	guint count = labels ? g_strv_length((GStrv)labels) : 0;

	count = MIN(count, EDGES_LABELS_MAX);
	edges->labels = g_new0(char *, count + 1);
	for (guint i = 0; i < count; i++)
		edges->labels[i] = g_strdup(labels[i]);
	edges->counter_count = edges_columns_copy(edges->counters, EDGES_COUNTERS_MAX, counters);
	edges->histogram_count = edges_columns_copy(edges->histograms, EDGES_HISTOGRAMS_MAX, histograms);
	keys_init(&edges->keys, VALUE_LABELS + count);
	edges->rows = g_ptr_array_new_with_free_func(edge_free);
	return edges;
}

void edges_free(struct edges *edges)
{
	if (!edges)
		return;
	g_strfreev(edges->labels);
	for (guint i = 0; i < edges->counter_count; i++)
		g_free((char *)edges->counters[i].name);
	for (guint i = 0; i < edges->histogram_count; i++)
		g_free((char *)edges->histograms[i].name);
	keys_clear(&edges->keys);
	g_ptr_array_unref(edges->rows);
	g_free(edges);
}

struct edge *edges_add(struct edges *edges, const struct edge_end *source, const struct edge_end *target,
		       const char *const *labels)
{
	const char *values[KEYS_WIDTH_MAX] = {
		[VALUE_SOURCE_KIND] = kind_letters[source->kind],
		[VALUE_SOURCE] = source->name,
		[VALUE_TARGET_KIND] = kind_letters[target->kind],
		[VALUE_TARGET] = target->name,
	};
	guint32 row;

	for (guint i = 0; VALUE_LABELS + i < edges->keys.width; i++)
		values[VALUE_LABELS + i] = labels ? labels[i] : NULL;
	row = keys_add(&edges->keys, values);
	if (row == KEYS_NONE) {
		edges->overflow++;
		return NULL;
	}
	if (row == edges->rows->len)
		g_ptr_array_add(edges->rows, g_new0(struct edge, 1));
	return g_ptr_array_index(edges->rows, row);
}

void edge_count(struct edge *edge, guint counter, guint64 value)
{
	if (edge && counter < EDGES_COUNTERS_MAX)
		edge->counters[counter] += value;
}

void edge_histogram_add(struct edge *edge, guint histogram, const struct histogram_counts *counts)
{
	if (!edge || histogram >= EDGES_HISTOGRAMS_MAX)
		return;
	if (!edge->histograms[histogram])
		edge->histograms[histogram] = g_new0(struct histogram_counts, 1);
	histogram_counts_add(edge->histograms[histogram], counts);
}

static struct edge_end edges_end(const struct edges *edges, guint32 row, enum edges_value kind)
{
	const char *const *values = keys_values(&edges->keys, row);

	return (struct edge_end){ .kind = (enum edge_end_kind)(values[kind][0] - '0'), .name = values[kind + 1] };
}

struct edge_end edges_source(const struct edges *edges, guint32 row)
{
	return edges_end(edges, row, VALUE_SOURCE_KIND);
}

struct edge_end edges_target(const struct edges *edges, guint32 row)
{
	return edges_end(edges, row, VALUE_TARGET_KIND);
}

const char *const *edges_labels(const struct edges *edges, guint32 row)
{
	return keys_values(&edges->keys, row) + VALUE_LABELS;
}

int edges_counter(const struct edges *edges, const char *name)
{
	for (guint i = 0; i < edges->counter_count; i++)
		if (strcmp(edges->counters[i].name, name) == 0)
			return (int)i;
	return -1;
}

int edges_histogram(const struct edges *edges, const char *name)
{
	for (guint i = 0; i < edges->histogram_count; i++)
		if (strcmp(edges->histograms[i].name, name) == 0)
			return (int)i;
	return -1;
}

guint64 edges_counted(const struct edges *edges, guint32 row, const char *name)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	int index = edges_counter(edges, name);

	return index < 0 ? 0 : edge->counters[index];
}

struct edge_order {
	const struct edges *edges;
	const char *counter;
};

static gint edge_compare(gconstpointer left, gconstpointer right, gpointer user)
{
	const struct edge_order *order = user;
	guint64 a = edges_counted(order->edges, *(const guint32 *)left, order->counter);
	guint64 b = edges_counted(order->edges, *(const guint32 *)right, order->counter);

	return a < b ? 1 : a > b ? -1 : 0;
}

GArray *edges_order(const struct edges *edges, const char *name)
{
	GArray *rows = g_array_new(FALSE, FALSE, sizeof(guint32));
	struct edge_order order = { edges, name };

	for (guint32 i = 0; i < edges->rows->len; i++)
		g_array_append_val(rows, i);
	g_array_sort_with_data(rows, edge_compare, &order);
	return rows;
}

static gboolean edges_columns_equal(const struct edges_column *a, guint a_count, const struct edges_column *b,
				    guint b_count)
{
	if (a_count != b_count)
		return FALSE;
	for (guint i = 0; i < a_count; i++)
		if (a[i].unit != b[i].unit || strcmp(a[i].name, b[i].name) != 0)
			return FALSE;
	return TRUE;
}

static gboolean edges_alike(const struct edges *a, const struct edges *b)
{
	return g_strv_equal((const char *const *)a->labels, (const char *const *)b->labels) &&
	       edges_columns_equal(a->counters, a->counter_count, b->counters, b->counter_count) &&
	       edges_columns_equal(a->histograms, a->histogram_count, b->histograms, b->histogram_count);
}

static struct edge *edges_twin(struct edges *into, const struct edges *from, guint32 row)
{
	struct edge_end source = edges_source(from, row), target = edges_target(from, row);

	return edges_add(into, &source, &target, edges_labels(from, row));
}

static void edge_baseline_add(struct edge *edge, const guint64 *counters)
{
	if (!edge->baseline)
		edge->baseline = g_new0(guint64, EDGES_COUNTERS_MAX);
	for (guint i = 0; i < EDGES_COUNTERS_MAX; i++)
		edge->baseline[i] += counters[i];
}

static void edge_add(struct edge *into, const struct edge *from)
{
	for (guint i = 0; i < EDGES_COUNTERS_MAX; i++)
		into->counters[i] += from->counters[i];
	for (guint i = 0; i < EDGES_HISTOGRAMS_MAX; i++)
		if (from->histograms[i])
			edge_histogram_add(into, i, from->histograms[i]);
}

gboolean edges_merge(struct edges *into, const struct edges *from)
{
	if (!edges_alike(into, from))
		return FALSE;
	for (guint i = 0; i < from->rows->len; i++) {
		const struct edge *edge = g_ptr_array_index(from->rows, i);
		struct edge *sum = edges_twin(into, from, i);

		if (!sum)
			continue;
		edge_add(sum, edge);
		if (edge->baseline)
			edge_baseline_add(sum, edge->baseline);
	}
	into->overflow += from->overflow;
	return TRUE;
}

struct edges *edges_diff(const struct edges *before, const struct edges *after)
{
	struct edges *diff;

	if (!edges_alike(before, after))
		return NULL;
	diff = edges_new((const char *const *)after->labels, NULL, NULL);
	diff->counter_count = edges_columns_copy(diff->counters, after->counter_count, after->counters);
	diff->histogram_count = edges_columns_copy(diff->histograms, after->histogram_count, after->histograms);
	for (guint i = 0; i < after->rows->len; i++) {
		struct edge *edge = edges_twin(diff, after, i);

		edge_add(edge, g_ptr_array_index(after->rows, i));
		edge->baseline = g_new0(guint64, EDGES_COUNTERS_MAX);
	}
	for (guint i = 0; i < before->rows->len; i++) {
		const struct edge *edge = g_ptr_array_index(before->rows, i);
		struct edge *to = edges_twin(diff, before, i);

		if (to)
			edge_baseline_add(to, edge->counters);
	}
	return diff;
}
