/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/units.h"
#include "render/prometheus.h"
#include "serve/api.h"

#define CONTAINER "fathom_container_"
#define NODE "fathom_node_"
#define AGENT "fathom_agent_"

/* The rows that are shown, labelled; the last may be "other". */
static GArray *rows_of(const struct api *api)
{
	const struct gauge_interval *interval = live_interval(api->live);
	GArray *rows = g_array_new(FALSE, FALSE, sizeof(struct exposition_row));
	const struct gauge_row *other = live_other(api->live);

	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(api->live, i);
		struct exposition_row row = { gauges_row(interval->readings, i), resource ? resource->labels : NULL,
					      resource ? resource->moved : NULL };

		if (resource && resource->is_exported && !row.row->dead)
			g_array_append_val(rows, row);
	}
	if (other) {
		struct exposition_row row = { other, "container_name=\"" LIVE_OTHER "\"", NULL };

		g_array_append_val(rows, row);
	}
	return rows;
}

static void put_text(GString *labels, const char *label, const char *text, gssize length_max)
{
	g_autofree char *cut = text && length_max ? g_strndup(text, (gsize)length_max) : NULL;

	if (text)
		exposition_label(labels, label, cut ? cut : text);
}

static void put_info(struct exposition *out, const struct exposition_row *rows, guint count)
{
	static const struct {
		const char *label;
		enum gauge_text text;
		gssize length_max; /* 0: all */
	} texts[] = { { "container_id", GAUGE_TEXT_ID, 12 },
		      { "image", GAUGE_TEXT_IMAGE, 0 },
		      { "runtime", GAUGE_TEXT_RUNTIME, 0 },
		      { "pod", GAUGE_TEXT_POD, 0 },
		      { "cgroup", GAUGE_TEXT_CGROUP, 0 } };

	exposition_family(out, CONTAINER, "info", EXPOSITION_INFO, "what it is");
	for (guint i = 0; i < count; i++) {
		g_autoptr(GString) labels = g_string_new(rows[i].labels);

		for (guint j = 0; j < G_N_ELEMENTS(texts); j++)
			put_text(labels, texts[j].label, rows[i].row->texts[texts[j].text], texts[j].length_max);
		exposition_uint(out, CONTAINER, "info", labels->str, 1);
	}
}

static void put_waits(const struct api *api, struct exposition *out)
{
	static const char name[] = "cpu_runqueue_latency_seconds";
	const struct gauge_interval *interval = live_interval(api->live);
	gboolean begun = FALSE;

	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(api->live, i);

		if (!resource || !resource->is_exported || !resource->waits)
			continue;
		if (!begun)
			exposition_family(out, CONTAINER, name, EXPOSITION_HISTOGRAM,
					  "time its threads were ready and had no CPU, since the agent's start");
		begun = TRUE;
		exposition_histogram(out, CONTAINER, name, resource->labels, resource->waits);
	}
}

static void put_execs(const struct api *api, struct exposition *out)
{
	const struct gauge_interval *interval = live_interval(api->live);

	if (live_part(api->live, LIVE_EXEC)->state != LIVE_ON)
		return; /* not known is not zero */
	exposition_family(out, CONTAINER, "exec_total", EXPOSITION_COUNTER,
			  "programs it started, since the agent's start");
	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(api->live, i);

		if (resource && resource->is_exported && resource->execs)
			exposition_uint(out, CONTAINER, "exec_total", resource->labels, resource->execs);
	}
}

static void put_node(const struct api *api, struct exposition *out)
{
	const struct gauge_interval *interval = live_interval(api->live);

	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		struct exposition_row row = { gauges_row(interval->readings, i), NULL, NULL };

		if (row.row->resource != GAUGE_RESOURCE_HOST)
			continue;
		exposition_gauges(out, NODE, &row, 1);
		return;
	}
}

static guint64 lost_events(const struct ledger *ledger)
{
	guint64 lost = ledger->items[LEDGER_LOST_FLOOD].events;

	for (guint i = 0; i < LEDGER_LOST_END; i++)
		lost += ledger->items[i].events;
	return lost;
}

static void put_parts(const struct api *api, struct exposition *out)
{
	exposition_family(out, AGENT, "events_lost_total", EXPOSITION_COUNTER,
			  "what a part could not count, by part; see /api/ledger for the causes");
	for (guint i = 0; i < LIVE_PARTS; i++) {
		const struct live_part_status *part = live_part(api->live, (enum live_part)i);
		g_autoptr(GString) labels = g_string_new(NULL);

		exposition_label(labels, "part", part->name);
		exposition_uint(out, AGENT, "events_lost_total", labels->str, lost_events(&part->ledger));
	}
	exposition_family(out, AGENT, "part_on", EXPOSITION_GAUGE,
			  "1: watched; 0: off, refused by the kernel or shed to keep the budget");
	for (guint i = 0; i < LIVE_PARTS; i++) {
		const struct live_part_status *part = live_part(api->live, (enum live_part)i);
		g_autoptr(GString) labels = g_string_new(NULL);

		exposition_label(labels, "part", part->name);
		exposition_uint(out, AGENT, "part_on", labels->str, part->state == LIVE_ON);
	}
}

static void put_agent(const struct api *api, struct exposition *out)
{
	const struct budget_usage *usage = budget_usage(api->budget);
	struct http_counts counts = http_counts(api->http);
	struct history_stats history;
	const struct {
		const char *name, *help;
		enum exposition_type type;
		guint64 value;
	} numbers[] = {
		{ "resident_bytes", "memory the agent holds", EXPOSITION_GAUGE, usage->resident_bytes },
		{ "map_memory_bytes", "memory of its kernel maps", EXPOSITION_GAUGE, usage->map_bytes },
		{ "http_requests_total", "requests answered", EXPOSITION_COUNTER, counts.requests },
		{ "http_refused_total", "requests refused: no token, wrong host or origin, too large",
		  EXPOSITION_COUNTER, counts.refused },
		{ "label_overflow", "containers counted under \"other\", for want of room", EXPOSITION_GAUGE,
		  live_overflowed(api->live) },
		{ "history_dropped_total", "ticks that could not be written to disk", EXPOSITION_COUNTER, 0 },
		{ "history_bytes", "size of the history on disk", EXPOSITION_GAUGE, 0 },
	};

	history_stats(api->history, &history);
	exposition_family(out, AGENT, "cpu_seconds_total", EXPOSITION_COUNTER, "CPU time of the agent itself");
	exposition_seconds(out, AGENT, "cpu_seconds_total", NULL, usage->cpu_ns);
	for (guint i = 0; i < G_N_ELEMENTS(numbers); i++) {
		guint64 value = strcmp(numbers[i].name, "history_bytes") == 0		? history.database_bytes
				: strcmp(numbers[i].name, "history_dropped_total") == 0 ? history.dropped
											: numbers[i].value;

		exposition_family(out, AGENT, numbers[i].name, numbers[i].type, numbers[i].help);
		exposition_uint(out, AGENT, numbers[i].name, NULL, value);
	}
}

GBytes *metrics_text(const struct api *api, gboolean openmetrics)
{
	g_autoptr(GArray) rows = rows_of(api);
	const struct exposition_row *row = (const struct exposition_row *)(gpointer)rows->data;
	GString *text = g_string_sized_new(64 << 10);
	struct exposition out = { .out = text, .openmetrics = openmetrics };

	if (rows->len) {
		put_info(&out, row, rows->len);
		exposition_gauges(&out, CONTAINER, row, rows->len);
		put_waits(api, &out);
		put_execs(api, &out);
	}
	put_node(api, &out);
	put_parts(api, &out);
	put_agent(api, &out);
	exposition_end(&out);
	return g_string_free_to_bytes(text);
}
