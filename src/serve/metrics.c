/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/units.h"
#include "render/prometheus.h"
#include "serve/api.h"

#define CONTAINER "fathom_container_"
#define EDGE "fathom_edge_"
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

/* ---- connections, questions of DNS, disks ---- */

struct totals_row {
	const struct totals *totals;
	const char *labels;
};

static GArray *totals_rows(const struct api *api)
{
	const struct gauge_interval *interval = live_interval(api->live);
	GArray *rows = g_array_new(FALSE, FALSE, sizeof(struct totals_row));
	struct totals_row other = { live_other_totals(api->live), "container_name=\"" LIVE_OTHER "\"" };

	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(api->live, i);
		struct totals_row row = { resource ? resource->totals : NULL, resource ? resource->labels : NULL };

		if (row.totals && row.labels && !gauges_row(interval->readings, i)->dead)
			g_array_append_val(rows, row);
	}
	if (other.totals)
		g_array_append_val(rows, other);
	return rows;
}

/* A family that begins with its first sample, if there is one. */
struct family {
	struct exposition *out;
	const char *prefix, *name, *help;
	enum exposition_type type;
	gboolean begun;
};

static void family_begin(struct family *family)
{
	if (!family->begun)
		exposition_family(family->out, family->prefix, family->name, family->type, family->help);
	family->begun = TRUE;
}

static void family_labelled(struct family *family, const char *labels, const char *label, const char *value,
			    guint64 number)
{
	g_autoptr(GString) all = NULL;

	if (!number)
		return;
	all = g_string_new(labels);
	if (label)
		exposition_label(all, label, value);
	family_begin(family);
	exposition_uint(family->out, family->prefix, family->name, all->str, number);
}

/* `count` counters at `offset` of each row's totals, by the values of one label (NULL: the one counter there); those that are zero are left
 * out. */
static void put_counts(struct exposition *out, const GArray *rows, const char *name, const char *label,
		       const char *const *values, guint count, gsize offset, const char *help)
{
	struct family family = { out, CONTAINER, name, help, EXPOSITION_COUNTER, FALSE };

	for (guint i = 0; i < rows->len; i++) {
		const struct totals_row *row = &g_array_index(rows, struct totals_row, i);
		const guint64 *counts = (const guint64 *)(gconstpointer)((const char *)row->totals + offset);

		for (guint j = 0; j < count; j++)
			family_labelled(&family, row->labels, label, label ? values[j] : NULL, counts[j]);
	}
}

static void put_connections_now(struct exposition *out, const GArray *rows)
{
	struct family family = {
		out, CONTAINER, "tcp_connections", "TCP connections it is an end of", EXPOSITION_GAUGE, FALSE
	};

	for (guint i = 0; i < rows->len; i++) {
		const struct totals_row *row = &g_array_index(rows, struct totals_row, i);

		if (!row->totals->has_connections)
			continue;
		family_begin(&family);
		exposition_uint(out, CONTAINER, family.name, row->labels, (guint64)MAX(row->totals->living, 0));
	}
}

static void put_mean(struct exposition *out, const GArray *rows, const char *name, gsize offset, const char *help)
{
	struct family family = { out, CONTAINER, name, help, EXPOSITION_SUMMARY, FALSE };

	for (guint i = 0; i < rows->len; i++) {
		const struct totals_row *row = &g_array_index(rows, struct totals_row, i);
		const struct totals_time *time =
			(const struct totals_time *)(gconstpointer)((const char *)row->totals + offset);

		/* Of those whose connections all stood there and stand still there is nothing to tell. */
		if (!time->count || (!row->totals->accepts && !row->totals->connects[TOTALS_CONNECT_OK]))
			continue;
		family_begin(&family);
		exposition_summary(out, CONTAINER, name, row->labels, time->count, time->sum_ns);
	}
}

/* `directions`: of that many histograms in a row at `offset`; 0: of the one there. */
static void put_lengths(struct exposition *out, const GArray *rows, const char *name, gsize offset, guint directions,
			const char *help)
{
	static const char *const names[TOTALS_DIRECTIONS] = { "read", "write" };
	struct family family = { out, CONTAINER, name, help, EXPOSITION_HISTOGRAM, FALSE };

	for (guint i = 0; i < rows->len; i++) {
		const struct totals_row *row = &g_array_index(rows, struct totals_row, i);
		const struct histogram_counts *counts =
			(const struct histogram_counts *)(gconstpointer)((const char *)row->totals + offset);

		for (guint j = 0; j < MAX(directions, 1); j++) {
			g_autoptr(GString) labels = g_string_new(row->labels);

			if (!counts[j].count)
				continue;
			if (directions)
				exposition_label(labels, "direction", names[j]);
			family_begin(&family);
			exposition_histogram(out, CONTAINER, name, labels->str, &counts[j]);
		}
	}
}

static void put_totals(const struct api *api, struct exposition *out)
{
	static const char *const connects[TOTALS_CONNECTS] = { "ok",	      "refused", "timeout",
							       "unreachable", "reset",	 "other" };
	static const char *const retransmits[TOTALS_RETRANSMITS] = { "syn", "rto", "fast", "tlp", "unseen" };
	static const char *const rcodes[TOTALS_RCODES] = { "noerror", "nxdomain", "servfail",
							   "refused", "timeout",  "other" };
	g_autoptr(GArray) rows = totals_rows(api);

	put_connections_now(out, rows);
	put_counts(out, rows, "tcp_connects_total", "result", connects, TOTALS_CONNECTS,
		   G_STRUCT_OFFSET(struct totals, connects), "TCP connections it began, by what became of them");
	put_counts(out, rows, "tcp_accepts_total", NULL, NULL, 1, G_STRUCT_OFFSET(struct totals, accepts),
		   "TCP connections others began to it");
	put_counts(out, rows, "tcp_resets_total", NULL, NULL, 1, G_STRUCT_OFFSET(struct totals, resets),
		   "TCP connections of it that ended in a reset");
	put_counts(out, rows, "tcp_retransmitted_segments_total", "kind", retransmits, TOTALS_RETRANSMITS,
		   G_STRUCT_OFFSET(struct totals, retransmits),
		   "segments sent again, either way, on connections it began");
	put_mean(out, rows, "tcp_connect_seconds", G_STRUCT_OFFSET(struct totals, connect),
		 "from the first segment to the connection, of those it began");
	put_mean(out, rows, "tcp_rtt_seconds", G_STRUCT_OFFSET(struct totals, rtt),
		 "round trips of its connections, as the kernel smoothes them");
	put_counts(out, rows, "dns_queries_total", "rcode", rcodes, TOTALS_RCODES,
		   G_STRUCT_OFFSET(struct totals, rcodes), "questions of DNS, by their answer");
	put_lengths(out, rows, "dns_query_seconds", G_STRUCT_OFFSET(struct totals, dns), 0,
		    "from a question of DNS to its answer");
	put_lengths(out, rows, "block_latency_seconds", G_STRUCT_OFFSET(struct totals, block), TOTALS_DIRECTIONS,
		    "block I/O in the device, all devices");
	put_lengths(out, rows, "block_queue_seconds", G_STRUCT_OFFSET(struct totals, queued), TOTALS_DIRECTIONS,
		    "block I/O before it went to the device");
}

/* ---- edges ---- */

static char *edge_labels(const struct totals_edge *edge)
{
	GString *labels = g_string_new(NULL);

	exposition_label(labels, "src", edge->source ? edge->source : LIVE_OTHER);
	exposition_label(labels, "dst", edge->target ? edge->target : LIVE_OTHER);
	exposition_label(labels, "port", edge->port ? edge->port : LIVE_OTHER);
	return g_string_free(labels, FALSE);
}

static void put_edges(const struct api *api, struct exposition *out)
{
	static const struct {
		const char *name, *help;
		gsize offset;
	} counters[] = {
		{ "bytes_total", "bytes sent, both ways", G_STRUCT_OFFSET(struct totals_edge, bytes) },
		{ "connects_total", "TCP connections begun", G_STRUCT_OFFSET(struct totals_edge, connects) },
		{ "failed_connects_total", "TCP connections that did not come about",
		  G_STRUCT_OFFSET(struct totals_edge, failed) },
		{ "retransmits_total", "segments sent again, both ways",
		  G_STRUCT_OFFSET(struct totals_edge, retransmits) },
	};
	const GPtrArray *rows = totals_edges_rows(live_totals_edges(api->live));
	struct family rtt = { out,  EDGE, "rtt_seconds", "round trips, as the kernel smoothes them", EXPOSITION_SUMMARY,
			      FALSE };

	for (guint i = 0; i < G_N_ELEMENTS(counters); i++) {
		struct family family = { out, EDGE, counters[i].name, counters[i].help, EXPOSITION_COUNTER, FALSE };

		for (guint j = 0; j < rows->len; j++) {
			const struct totals_edge *edge = g_ptr_array_index(rows, j);
			guint64 value = *(const guint64 *)(gconstpointer)((const char *)edge + counters[i].offset);
			g_autofree char *labels = value ? edge_labels(edge) : NULL;

			if (!value)
				continue;
			family_begin(&family);
			exposition_uint(out, EDGE, family.name, labels, value);
		}
	}
	for (guint j = 0; j < rows->len; j++) {
		const struct totals_edge *edge = g_ptr_array_index(rows, j);
		g_autofree char *labels = edge->rtt.count && (edge->bytes || edge->connects) ? edge_labels(edge) : NULL;

		if (!labels)
			continue;
		family_begin(&rtt);
		exposition_summary(out, EDGE, rtt.name, labels, edge->rtt.count, edge->rtt.sum_ns);
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

/* Of parts whose programs have been timed: what others take is not known, which is not nothing. */
static void put_programs(const struct api *api, struct exposition *out)
{
	static const struct {
		const char *name, *help;
		gboolean is_time;
	} families[] = {
		{ "bpf_seconds_total", "CPU time of the agent's kernel programs, by part, as they time themselves",
		  TRUE },
		{ "bpf_runs_total", "runs of the agent's kernel programs, by part", FALSE },
	};

	for (guint family = 0; family < G_N_ELEMENTS(families); family++) {
		exposition_family(out, AGENT, families[family].name, EXPOSITION_COUNTER, families[family].help);
		for (guint i = 0; i < LIVE_PARTS; i++) {
			g_autoptr(GString) labels = g_string_new(NULL);
			struct pace_spent spent;

			if (!programs_spent(live_programs(api->live), i, &spent))
				continue;
			exposition_label(labels, "part", live_part(api->live, (enum live_part)i)->name);
			if (families[family].is_time)
				exposition_seconds(out, AGENT, families[family].name, labels->str, spent.ns);
			else
				exposition_uint(out, AGENT, families[family].name, labels->str, spent.runs);
		}
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
		put_totals(api, &out);
		put_edges(api, &out);
	}
	put_node(api, &out);
	put_parts(api, &out);
	put_programs(api, &out);
	put_agent(api, &out);
	exposition_end(&out);
	return g_string_free_to_bytes(text);
}
