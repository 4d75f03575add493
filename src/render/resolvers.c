/* SPDX-License-Identifier: Apache-2.0 */
#include "render/resolvers.h"

#include "render/json.h"

static void json_resolver_end(struct json_writer *json, const char *key, struct edge_end end)
{
	json_begin_object(json, key);
	json_edge_end(json, end);
	json_end_object(json);
}

static void json_resolver(struct json_writer *json, const struct edges *edges, guint32 row)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	const char *const *labels = edges_labels(edges, row);

	json_begin_object(json, NULL);
	json_resolver_end(json, "source", edges_source(edges, row));
	json_resolver_end(json, "target", edges_target(edges, row));
	for (guint i = 0; edges->labels[i]; i++)
		if (labels[i])
			json_bytes(json, edges->labels[i], labels[i]);
	for (guint i = 0; i < edges->counter_count; i++)
		json_uint(json, edges->counters[i].name, edge->counters[i]);
	for (guint i = 0; i < edges->histogram_count; i++) {
		g_autofree char *key = g_strdup_printf("%s_ns", edges->histograms[i].name);

		if (edge->histograms[i])
			json_counts(json, key, edge->histograms[i]);
	}
	json_end_object(json);
}

void render_resolvers_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape)
{
	g_autoptr(GArray) order = edges_order(shape->edges, "queries");
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, text);
	json_begin_object(&json, NULL);
	json_uint(&json, "duration_ns", snapshot->duration_ns);
	json_begin_array(&json, "resolvers");
	for (guint32 i = 0; i < order->len; i++) {
		json_resolver(&json, shape->edges, g_array_index(order, guint32, i));
		json_flush(&json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(&json);
	json_ledger(&json, &shape->ledger);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	json_flush(&json, out, 0);
	fflush(out);
}
