/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and edges in a capture. Buckets are pairs [bucket, events], only those that are not 0; "bounds" gives the
 * lower bound of every bucket in the shape's unit, so that other programs need not know the rule. */
#include "render/json.h"

static void json_strings(struct json_writer *json, const char *key, const char *const *strings, guint count)
{
	json_begin_array(json, key);
	for (guint i = 0; i < count; i++)
		json_bytes(json, NULL, strings[i]);
	json_end_array(json);
}

static void json_bounds(struct json_writer *json, const char *key, enum unit unit)
{
	json_begin_array(json, key);
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		json_uint(json, NULL, histogram_bucket_low(unit, i));
	json_end_array(json);
}

static void json_buckets(struct json_writer *json, const char *key, const guint64 *buckets)
{
	json_begin_array(json, key);
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!buckets[i])
			continue;
		json_begin_array(json, NULL);
		json_uint(json, NULL, i);
		json_uint(json, NULL, buckets[i]);
		json_end_array(json);
	}
	json_end_array(json);
}

void json_counts(struct json_writer *json, const char *key, const struct histogram_counts *counts)
{
	json_begin_object(json, key);
	json_uint(json, "count", counts->count);
	json_uint(json, "sum", counts->sum);
	json_uint(json, "max", counts->max);
	json_buckets(json, "buckets", counts->buckets);
	json_end_object(json);
}

static void json_slots(struct json_writer *json, const GArray *slots)
{
	json_begin_array(json, "slots");
	for (guint i = 0; i < slots->len; i++) {
		const struct histogram_slot *slot = &g_array_index(slots, struct histogram_slot, i);

		json_begin_array(json, NULL);
		json_uint(json, NULL, slot->slot);
		json_buckets(json, NULL, slot->buckets);
		json_end_array(json);
	}
	json_end_array(json);
}

void json_histogram(struct json_writer *json, const struct shape *shape, FILE *out)
{
	const struct histogram *histogram = shape->histogram;
	guint width = histogram->keys.width;

	json_uint(json, "overflow", histogram->overflow);
	json_strings(json, "labels", (const char *const *)histogram->labels, width);
	json_uint(json, "slot_ns", histogram->slot_ns);
	json_bounds(json, "bounds", shape->unit);
	json_begin_array(json, "rows");
	for (guint i = 0; i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);

		json_begin_object(json, NULL);
		json_strings(json, "values", histogram_values(histogram, i), width);
		json_counts(json, "counts", &row->counts);
		if (row->baseline)
			json_counts(json, "baseline", row->baseline);
		if (row->slots)
			json_slots(json, row->slots);
		json_end_object(json);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}

static void json_end(struct json_writer *json, const char *key, struct edge_end end)
{
	json_begin_array(json, key);
	json_string(json, NULL, edge_end_kind_names[end.kind]);
	json_bytes(json, NULL, end.name);
	json_end_array(json);
}

static void json_columns(struct json_writer *json, const char *key, const struct edges_column *columns, guint count)
{
	json_begin_array(json, key);
	for (guint i = 0; i < count; i++) {
		json_begin_array(json, NULL);
		json_bytes(json, NULL, columns[i].name);
		json_string(json, NULL, unit_names[columns[i].unit]);
		json_end_array(json);
	}
	json_end_array(json);
}

static void json_counters(struct json_writer *json, const char *key, const guint64 *counters, guint count)
{
	json_begin_array(json, key);
	for (guint i = 0; i < count; i++)
		json_uint(json, NULL, counters[i]);
	json_end_array(json);
}

static void json_edge(struct json_writer *json, const struct edges *edges, guint32 row)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);

	json_begin_object(json, NULL);
	json_end(json, "source", edges_source(edges, row));
	json_end(json, "target", edges_target(edges, row));
	json_strings(json, "values", edges_labels(edges, row), g_strv_length(edges->labels));
	json_counters(json, "counters", edge->counters, edges->counter_count);
	if (edge->baseline)
		json_counters(json, "baseline", edge->baseline, edges->counter_count);
	json_begin_object(json, "histograms");
	for (guint i = 0; i < edges->histogram_count; i++)
		if (edge->histograms[i])
			json_counts(json, edges->histograms[i].name, edge->histograms[i]);
	json_end_object(json);
	json_end_object(json);
}

void json_edges(struct json_writer *json, const struct shape *shape, FILE *out)
{
	const struct edges *edges = shape->edges;

	json_uint(json, "overflow", edges->overflow);
	json_strings(json, "labels", (const char *const *)edges->labels, g_strv_length(edges->labels));
	json_columns(json, "counters", edges->counters, edges->counter_count);
	json_columns(json, "histograms", edges->histograms, edges->histogram_count);
	json_begin_array(json, "rows");
	for (guint i = 0; i < edges->rows->len; i++) {
		json_edge(json, edges, i);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}
