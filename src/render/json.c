/* SPDX-License-Identifier: Apache-2.0 */
/* fathom's capture: a snapshot as JSON that import/ reads back without loss. Names that are not valid UTF-8 stand as
 * {"base64": "…"}; everything else is plain. Nodes are rows [parent, frame, self] or, in a differential tree,
 * [parent, frame, self, baseline]; row 0 is the root; a parent stands before its children. Version 1.
 *
 * Gauges are objects, one a resource, with what is known of it under the names of gauge_metrics; what is not known is
 * not there. Their "parent" is the number of the row they are part of. */
#include <string.h>

#include "base/text.h"
#include "render/formats.h"
#include "render/json.h"
#include "render/gauges.h"

/* 64 bits are too wide for numbers in many readers of JSON. */
static void json_key64(struct json_writer *json, const char *key, guint64 value)
{
	char text[24];

	g_snprintf(text, sizeof(text), "%" G_GUINT64_FORMAT, value);
	json_string(json, key, text);
}

static void json_line(struct json_writer *json, const char *key, const struct ledger_line *line)
{
	json_begin_object(json, key);
	json_uint(json, "events", line->events);
	json_uint(json, "weight", line->weight);
	json_end_object(json);
}

static void json_coverage_process(struct json_writer *json, const struct coverage_process *process)
{
	json_begin_object(json, NULL);
	json_bytes(json, "container", process->container);
	json_bytes(json, "name", process->name);
	json_begin_object(json, "stacks");
	for (guint end = 0; end < STACK_ENDS; end++)
		if (process->weight[end])
			json_uint(json, stack_end_name((enum stack_end)end), process->weight[end]);
	json_end_object(json);
	json_begin_array(json, "missing");
	for (guint i = 0; i < process->missing->len; i++) {
		const struct coverage_missing *missing = &g_array_index(process->missing, struct coverage_missing, i);

		json_begin_object(json, NULL);
		json_bytes(json, "text", missing->text);
		json_uint(json, "weight", missing->weight);
		json_end_object(json);
	}
	json_end_array(json);
	if (process->advice)
		json_bytes(json, "advice", process->advice);
	json_end_object(json);
}

static void json_coverage(struct json_writer *json, const struct coverage *coverage)
{
	json_begin_array(json, "processes");
	for (guint i = 0; i < coverage_count(coverage); i++)
		json_coverage_process(json, coverage_at(coverage, i));
	json_end_array(json);
}

void json_ledger(struct json_writer *json, const struct ledger *ledger)
{
	json_begin_object(json, "ledger");
	json_bytes(json, "rung", ledger->rung);
	json_bytes(json, "misses", ledger->misses);
	json_double(json, "coverage", ledger_coverage(ledger)); /* for readers other than fathom */
	json_bool(json, "conclusive", ledger_is_conclusive(ledger));
	json_line(json, "seen", &ledger->seen);
	json_uint(json, "expected_weight", ledger->expected_weight);
	json_begin_object(json, "items");
	for (guint i = 0; i < LEDGER_ITEMS; i++)
		if (ledger->items[i].events || ledger->items[i].weight)
			json_line(json, ledger_item_name((enum ledger_item)i), &ledger->items[i]);
	json_end_object(json);
	if (ledger->coverage)
		json_coverage(json, ledger->coverage);
	json_begin_array(json, "notes");
	for (guint i = 0; ledger->notes && i < ledger->notes->len; i++)
		json_bytes(json, NULL, g_ptr_array_index(ledger->notes, i));
	json_end_array(json);
	json_end_object(json);
}

static void json_frames(struct json_writer *json, const struct calltree *tree, FILE *out)
{
	json_begin_array(json, "frames");
	for (guint32 i = 0; i < tree->frame_count; i++) {
		json_begin_array(json, NULL);
		json_string(json, NULL, frame_kind_names[tree->frames[i].kind]);
		json_bytes(json, NULL, tree->frames[i].name);
		json_bytes(json, NULL, tree->frames[i].module);
		json_end_array(json);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}

static void json_nodes(struct json_writer *json, const struct calltree *tree, FILE *out)
{
	json_begin_array(json, "nodes");
	for (guint32 i = 0; i < tree->node_count; i++) {
		json_begin_array(json, NULL);
		json_uint(json, NULL, tree->parent[i]);
		json_uint(json, NULL, i ? tree->frame[i] : 0);
		json_uint(json, NULL, tree->self[i]);
		if (tree->baseline)
			json_uint(json, NULL, tree->baseline[i]);
		json_end_array(json);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}

/* [[milliseconds since moments_start_ms, node]], eldest first. */
static void json_moments(struct json_writer *json, const GArray *moments, FILE *out)
{
	const struct calltree_moment *each;

	if (!moments || !moments->len)
		return;
	each = (const struct calltree_moment *)moments->data;
	json_int(json, "moments_start_ms", each[0].time_ms);
	json_begin_array(json, "moments");
	for (guint i = 0; i < moments->len; i++) {
		json_begin_array(json, NULL);
		json_int(json, NULL, each[i].time_ms - each[0].time_ms);
		json_uint(json, NULL, each[i].node);
		json_end_array(json);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}

void render_gauge_members(struct json_writer *json, const struct gauge_row *row)
{
	json_string(json, "resource", gauge_resource_name(row->resource));
	json_bytes(json, "name", row->name);
	json_key64(json, "key", row->key);
	if (row->birth_ns)
		json_key64(json, "birth_ns", row->birth_ns);
	if (row->dead)
		json_bool(json, "dead", TRUE);
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		if (row->texts[i])
			json_bytes(json, gauge_text_name((enum gauge_text)i), row->texts[i]);
	for (guint i = 0; i < GAUGES_COUNT; i++)
		if (gauge_is_known(row, (enum gauge)i))
			json_uint(json, gauge_metrics[i].name, row->values[i]);
}

static void json_gauges(struct json_writer *json, const struct gauges *gauges, FILE *out)
{
	json_begin_array(json, "rows");
	for (guint32 i = 0; i < gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gauges, i);

		json_begin_object(json, NULL);
		render_gauge_members(json, row);
		if (row->parent != GAUGE_NO_PARENT)
			json_uint(json, "parent", row->parent);
		json_end_object(json);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}

static void json_shape(struct json_writer *json, const struct shape *shape, FILE *out)
{
	json_begin_object(json, NULL);
	json_string(json, "kind", shape_kind_name(shape->kind)); /* first: readers must know what follows */
	json_bytes(json, "probe", shape->probe);
	json_string(json, "unit", unit_names[shape->unit]);
	json_ledger(json, &shape->ledger);
	if (shape->calltree) {
		json_uint(json, "overflow", shape->calltree->overflow);
		json_frames(json, shape->calltree, out);
		json_nodes(json, shape->calltree, out);
		json_moments(json, shape->calltree->moments, out);
	}
	if (shape->events)
		json_events(json, shape->events, out);
	if (shape->histogram)
		json_histogram(json, shape, out);
	if (shape->edges)
		json_edges(json, shape, out);
	if (shape->gauges)
		json_gauges(json, shape->gauges, out);
	json_end_object(json);
}

gboolean render_json(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	if (snapshot->shapes->len == 0) {
		g_set_error(error, RENDER_ERROR, RENDER_ERROR_EMPTY, "the capture holds nothing");
		return FALSE;
	}
	json_init(&json, text);
	json_begin_object(&json, NULL);
	json_string(&json, "format", "fathom capture");
	json_uint(&json, "version", 1);
	json_bytes(&json, "title", options->title ? options->title : snapshot->title);
	json_bytes(&json, "host", snapshot->host);
	json_uint(&json, "start_realtime_ns", snapshot->start_realtime_ns);
	json_uint(&json, "duration_ns", snapshot->duration_ns);
	if (snapshot->looked_ns)
		json_uint(&json, "looked_ns", snapshot->looked_ns);
	json_uint(&json, "frequency_hz", snapshot->frequency_hz);
	json_begin_array(&json, "shapes");
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		json_shape(&json, shape, out);
	}
	json_end_array(&json);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	json_flush(&json, out, 0);
	return TRUE;
}
