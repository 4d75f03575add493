/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/past.h"

#include <microhttpd.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/units.h"
#include "observe/look.h"
#include "serve/recorder.h"
#include "render/connections.h"
#include "render/render.h"

#define PAST_STEPS_MAX 2000
#define PAST_SPAN_MAX_MS (G_GINT64_CONSTANT(1000) * 3600 * 24 * 35)
#define PAST_PORTS_MAX 8 /* of an edge that are named */
#define PAST_EDGES_MAX 20000 /* in one answer */
#define PAST_LABELS_MAX 64 /* different values of a label that are listed */
#define PAST_GAP_STEPS 3 /* intervals of the resolution without anything: a gap */

/* ---- what is asked for ---- */

const char *past_range(const struct http_request *request, gint64 fallback_s, struct past_range *range)
{
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS), seconds;

	if (!http_query_number(request, "seconds", fallback_s, &seconds) || seconds < 1 ||
	    seconds > PAST_SPAN_MAX_MS / 1000)
		return "seconds is a number above 0, at most 35 days";
	if (!http_query_number(request, "to_ms", now_ms, &range->to_ms) ||
	    !http_query_number(request, "from_ms", range->to_ms - seconds * 1000, &range->from_ms))
		return "from_ms and to_ms are numbers";
	if (range->to_ms <= range->from_ms || range->from_ms < 0 || range->to_ms - range->from_ms > PAST_SPAN_MAX_MS)
		return "from_ms is before to_ms, at most 35 days";
	if (!http_query_number(request, "step_ms", MAX(1000, (range->to_ms - range->from_ms) / 300 / 1000 * 1000),
			       &range->step_ms) ||
	    range->step_ms < 1000 || range->step_ms > PAST_SPAN_MAX_MS)
		return "step_ms is a number, at least 1000";
	if ((range->to_ms - range->from_ms) / range->step_ms > PAST_STEPS_MAX)
		return "that are more than 2000 steps: ask for a larger step_ms";
	range->steps = (guint32)((range->to_ms - range->from_ms + range->step_ms - 1) / range->step_ms);
	return NULL;
}

gboolean past_container(const struct api *api, const struct http_request *request, const char **name)
{
	const struct history_resource *resource;
	gint64 series;

	*name = http_query(request, "container");
	if (!http_query_number(request, "series", 0, &series) || series < 0 || series > G_MAXUINT32)
		return FALSE;
	if (!series)
		return TRUE;
	resource = history_resource(api->history, (guint32)series);
	*name = resource ? resource->name : NULL;
	return resource != NULL;
}

void past_error(struct http_reply *reply, guint status, const char *why)
{
	GString *out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_string(&json, "error", why);
	json_end_object(&json);
	reply->status = status;
	reply->body = g_string_free_to_bytes(out);
}

struct json_writer past_begin(const struct past_range *range, GString **out)
{
	struct json_writer json;

	*out = g_string_sized_new(16 << 10);
	json_init(&json, *out);
	json_begin_object(&json, NULL);
	json_int(&json, "from_ms", range->from_ms);
	json_int(&json, "to_ms", range->to_ms);
	return json;
}

void past_end(struct http_reply *reply, struct json_writer *json)
{
	json_end_object(json);
	g_string_append_c(json->out, '\n');
	reply->body = g_string_free_to_bytes(json->out);
}

/* ---- gaps ---- */

/* Times at which there was something; what lies between two that are too far apart is a gap. */
struct past_times {
	const struct past_range *range;
	GArray *times_ms; /* of gint64 */
};

static void times_init(struct past_times *times, const struct past_range *range)
{
	times->range = range;
	times->times_ms = g_array_new(FALSE, FALSE, sizeof(gint64));
}

static void gap_write(struct json_writer *json, gint64 from_ms, gint64 to_ms, gint64 longest_ms)
{
	if (to_ms - from_ms <= longest_ms)
		return;
	json_begin_array(json, NULL);
	json_int(json, NULL, from_ms);
	json_int(json, NULL, to_ms);
	json_end_array(json);
}

/* [[from, to], …] where nothing was recorded; frees the times. */
static void gaps_write(struct json_writer *json, struct past_times *times, enum history_resolution resolution)
{
	gint64 longest_ms = (gint64)history_resolution_ms[resolution] * PAST_GAP_STEPS;
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS), before_ms = times->range->from_ms;

	json_uint(json, "resolution_ms", history_resolution_ms[resolution]);
	json_begin_array(json, "gaps");
	for (guint i = 0; i < times->times_ms->len; i++) {
		gint64 time_ms = g_array_index(times->times_ms, gint64, i);

		gap_write(json, before_ms, time_ms, longest_ms);
		before_ms = time_ms;
	}
	gap_write(json, before_ms, MIN(times->range->to_ms, now_ms), longest_ms);
	json_end_array(json);
	g_array_unref(times->times_ms);
}

/* ---- edges ---- */

/* What stands beside an edge's numbers. */
struct edge_note {
	GPtrArray *ports; /* of char * */
	guint64 live;
};

struct edges_question {
	struct past_times times;
	const char *container; /* NULL: all */
	struct edges *sum; /* without labels; NULL: nothing yet */
	GHashTable *notes; /* struct edge * of the sum → struct edge_note * */
};

static void note_free(gpointer data)
{
	struct edge_note *note = data;

	g_ptr_array_unref(note->ports);
	g_free(note);
}

static gboolean edge_concerns(const struct edges *edges, guint32 row, const char *container)
{
	return !container || strcmp(edges_source(edges, row).name, container) == 0 ||
	       strcmp(edges_target(edges, row).name, container) == 0;
}

static struct edge_note *note_of(struct edges_question *question, struct edge *edge, const char *port)
{
	struct edge_note *note = g_hash_table_lookup(question->notes, edge);

	if (!note) {
		note = g_new0(struct edge_note, 1);
		note->ports = g_ptr_array_new_with_free_func(g_free);
		g_hash_table_insert(question->notes, edge, note);
	}
	if (port && note->ports->len < PAST_PORTS_MAX &&
	    !g_ptr_array_find_with_equal_func(note->ports, port, g_str_equal, NULL))
		g_ptr_array_add(note->ports, g_strdup(port));
	return note;
}

/* The edge of the sum that row `row` belongs to, whatever its port; NULL when it is of no interest, or there are too many. */
static struct edge *sum_edge(struct edges_question *question, const struct edges *edges, guint32 row)
{
	static const char *const no_labels[] = { NULL };
	struct edge_end source = edges_source(edges, row), target = edges_target(edges, row);

	if (!question->sum) {
		struct edges_column histograms[EDGES_HISTOGRAMS_MAX + 1] = { 0 };
		struct edges_column counters[EDGES_COUNTERS_MAX + 1] = { 0 };

		memcpy(counters, edges->counters, edges->counter_count * sizeof(counters[0]));
		memcpy(histograms, edges->histograms, edges->histogram_count * sizeof(histograms[0]));
		question->sum = edges_new(no_labels, counters, histograms);
	}
	if (!edge_concerns(edges, row, question->container) || question->sum->rows->len >= PAST_EDGES_MAX)
		return NULL;
	return edges_add(question->sum, &source, &target, NULL);
}

static void edges_add_up(struct edges_question *question, const struct edges *edges)
{
	for (guint32 row = 0; edges && row < edges->rows->len; row++) {
		const struct edge *from = g_ptr_array_index(edges->rows, row);
		struct edge *edge = sum_edge(question, edges, row);

		if (!edge)
			continue;
		note_of(question, edge, edges_labels(edges, row)[0]);
		for (guint i = 0; i < MIN(edges->counter_count, question->sum->counter_count); i++)
			edge_count(edge, i, from->counters[i]);
		for (guint i = 0; i < MIN(edges->histogram_count, question->sum->histogram_count); i++)
			if (from->histograms[i])
				edge_histogram_add(edge, i, from->histograms[i]);
	}
}

/* reel_fn */
static void edges_frame(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	struct edges_question *question = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);

	if (!shape) /* nobody watched */
		return;
	g_array_append_val(question->times.times_ms, time_ms);
	edges_add_up(question, shape->edges);
}

/* Connections that live now: also of edges on which nothing happened in the range. */
static void edges_live(struct edges_question *question, const struct edges *all)
{
	struct connection_numbers numbers;

	for (guint32 row = 0; all && row < all->rows->len; row++) {
		struct edge *edge;

		connection_numbers(all, row, &numbers);
		edge = numbers.live ? sum_edge(question, all, row) : NULL;
		if (edge)
			note_of(question, edge, edges_labels(all, row)[0])->live += numbers.live;
	}
}

/* The number of an end in `ends`, made if absent. */
static guint end_number(GHashTable *numbers, GPtrArray *ends, struct edge_end end)
{
	char *key = g_strdup_printf("%u %s", (guint)end.kind, end.name);
	guint number = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, key));

	if (number) {
		g_free(key);
		return number - 1;
	}
	g_ptr_array_add(ends, key);
	g_hash_table_insert(numbers, key, GUINT_TO_POINTER(ends->len));
	return ends->len - 1;
}

static guint32 series_by_name(const struct api *api, const char *name)
{
	const struct gauge_interval *interval = live_interval(api->live);

	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct gauge_row *row = gauges_row(interval->readings, i);
		const struct live_resource *resource = live_resource(api->live, i);

		if (resource && row->resource == GAUGE_RESOURCE_CONTAINER && strcmp(row->name, name) == 0)
			return resource->history_id;
	}
	return 0;
}

static void ends_write(struct json_writer *json, const struct api *api, const GPtrArray *ends)
{
	json_begin_array(json, "ends");
	for (guint i = 0; i < ends->len; i++) {
		const char *key = g_ptr_array_index(ends, i), *name = strchr(key, ' ') + 1;
		guint kind = (guint)(key[0] - '0');
		guint32 series = kind == EDGE_END_CONTAINER ? series_by_name(api, name) : 0;

		json_begin_object(json, NULL);
		json_string(json, "kind", edge_end_kind_names[kind]);
		json_string(json, "name", name);
		if (series)
			json_uint(json, "series", series);
		json_end_object(json);
	}
	json_end_array(json);
}

static void quantile_write(struct json_writer *json, const char *key, const struct histogram_counts *counts,
			   double share)
{
	int bucket = counts ? histogram_quantile(counts, share) : -1;

	if (bucket >= 0)
		json_uint(json, key, histogram_bucket_low(UNIT_NANOSECONDS, (guint)bucket));
	else
		json_null(json, key);
}

static void edge_write(struct json_writer *json, struct edges_question *question, guint32 row, guint source,
		       guint target)
{
	static const char *const times[EDGES_HISTOGRAMS_MAX][2] = { { "connect_p50_ns", "connect_p99_ns" },
								    { "rtt_p50_ns", "rtt_p99_ns" },
								    { "session_p50_ns", "session_p99_ns" } };
	const struct edge *edge = g_ptr_array_index(question->sum->rows, row);
	const struct edge_note *note = g_hash_table_lookup(question->notes, edge);
	struct connection_numbers numbers;
	g_autofree char *failures = connection_failures(question->sum, row);

	connection_numbers(question->sum, row, &numbers);
	json_begin_object(json, NULL);
	json_uint(json, "source", source);
	json_uint(json, "target", target);
	json_begin_array(json, "ports");
	for (guint i = 0; note && i < note->ports->len; i++)
		json_string(json, NULL, g_ptr_array_index(note->ports, i));
	json_end_array(json);
	json_uint(json, "live", note ? note->live : 0);
	json_uint(json, "opens", MAX(numbers.opens, numbers.accepts));
	json_uint(json, "closes", numbers.closes);
	json_uint(json, "failed", numbers.failed);
	json_string(json, "failures", failures);
	json_uint(json, "resets", numbers.resets);
	json_uint(json, "bytes_sent", numbers.sent_bytes);
	json_uint(json, "bytes_received", numbers.received_bytes);
	json_uint(json, "segments", numbers.sent_segments);
	json_uint(json, "lost", numbers.retransmits);
	json_uint(json, "spurious", numbers.spurious);
	for (guint i = 0; i < question->sum->histogram_count && times[i][0]; i++) {
		quantile_write(json, times[i][0], edge->histograms[i], 0.5);
		quantile_write(json, times[i][1], edge->histograms[i], 0.99);
	}
	quantile_write(json, "rtt_ns", edge->histograms[1], 0.5);
	json_end_object(json);
}

static void edges_write(struct json_writer *json, const struct api *api, struct edges_question *question)
{
	g_autoptr(GHashTable) numbers = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GPtrArray) ends = g_ptr_array_new_with_free_func(g_free);
	guint rows = question->sum ? question->sum->rows->len : 0;

	json_begin_array(json, "edges");
	for (guint32 row = 0; row < rows; row++) {
		guint source = end_number(numbers, ends, edges_source(question->sum, row));
		guint target = end_number(numbers, ends, edges_target(question->sum, row));

		edge_write(json, question, row, source, target);
	}
	json_end_array(json);
	ends_write(json, api, ends);
	json_bool(json, "is_cut", rows >= PAST_EDGES_MAX);
}

static void part_write(struct json_writer *json, const struct api *api, enum live_part part)
{
	static const char *const states[] = { "on", "off", "refused", "shed" };
	const struct live_part_status *status = live_part(api->live, part);

	json_string(json, "state", states[status->state]);
	json_string(json, "why", status->why);
	json_string(json, "rung", status->ledger.rung);
	json_string(json, "misses", status->ledger.misses);
}

void past_edges(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct past_range range;
	const char *wrong = past_range(request, 60, &range);
	struct edges_question question = { 0 };
	enum history_resolution resolution;
	struct json_writer json;
	GString *out;

	if (wrong || !past_container(api, request, &question.container)) {
		past_error(reply, MHD_HTTP_BAD_REQUEST, wrong ? wrong : "there is no such series");
		return;
	}
	times_init(&question.times, &range);
	question.notes = g_hash_table_new_full(NULL, NULL, NULL, note_free);
	resolution = reel_each(api->reel, range.from_ms, range.to_ms, (guint)MAX(range.step_ms, 1000), edges_frame,
			       &question);
	if (range.to_ms > live_time_ms(api->live))
		edges_add_up(&question, live_peeked(api->live));
	edges_live(&question, live_edges(api->live));
	json = past_begin(&range, &out);
	gaps_write(&json, &question.times, resolution);
	part_write(&json, api, LIVE_CONNECTIONS);
	edges_write(&json, api, &question);
	g_hash_table_unref(question.notes);
	edges_free(question.sum);
	past_end(reply, &json);
}

/* ---- latencies ---- */

/* What can be asked for: a shape of the reel, and where its times are. */
static const struct latency_source {
	const char *what, *probe;
	enum live_part part;
	const char *times; /* column of edges; NULL: a histogram */
	const char *label; /* that tells kinds apart; NULL: none */
	const char *time; /* value of the label "time", which of a request's times; NULL: it has no such label */
} latency_sources[] = {
	{ "runq", "runq", LIVE_RUNQ, NULL, "wait", NULL },
	{ "block", "block", LIVE_BLOCK, NULL, "operation", "device" },
	{ "queue", "block", LIVE_BLOCK, NULL, "operation", "queue" },
	{ "fs", "fs", LIVE_FS, NULL, "operation", NULL },
	{ "dns", "dns", LIVE_DNS, NULL, "outcome", NULL },
	{ "tcp", "connections", LIVE_CONNECTIONS, "rtt", NULL, NULL },
	{ "connect", "connections", LIVE_CONNECTIONS, "connect", NULL, NULL },
	{ "session", "connections", LIVE_CONNECTIONS, "session", NULL, NULL },
	{ "request", "connections", LIVE_CONNECTIONS, "request", NULL, NULL },
};

struct latency_question {
	struct past_times times;
	const struct latency_source *source;
	const char *container, *kind; /* NULL: all */
	guint64 *cells; /* steps × HISTOGRAM_BUCKETS */
	struct histogram_counts sum;
	GHashTable *kinds; /* label value → guint64 * events */
	guint32 step; /* of the frame that is looked at */
};

static void latency_add(struct latency_question *question, const struct histogram_counts *counts)
{
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		question->cells[(gsize)question->step * HISTOGRAM_BUCKETS + i] += counts->buckets[i];
	histogram_counts_add(&question->sum, counts);
}

static void kind_note(struct latency_question *question, const char *kind, guint64 events)
{
	guint64 *count = g_hash_table_lookup(question->kinds, kind);

	if (!count && g_hash_table_size(question->kinds) < PAST_LABELS_MAX) {
		count = g_new0(guint64, 1);
		g_hash_table_insert(question->kinds, g_strdup(kind), count);
	}
	if (count)
		*count += events;
}

static void latency_histogram(struct latency_question *question, const struct histogram *histogram)
{
	int label = question->source->label ? histogram_label(histogram, question->source->label) : -1;
	int time = question->source->time ? histogram_label(histogram, "time") : -1;

	for (guint32 row = 0; row < histogram->rows->len; row++) {
		const char *const *values = histogram_values(histogram, row);
		const struct histogram_row *counted = g_ptr_array_index(histogram->rows, row);
		const char *kind = label >= 0 && values[label] ? values[label] : "";

		if ((question->container && g_strcmp0(values[0], question->container) != 0) ||
		    (time >= 0 && g_strcmp0(values[time], question->source->time) != 0))
			continue;
		kind_note(question, kind, counted->counts.count);
		if (!question->kind || strcmp(question->kind, kind) == 0)
			latency_add(question, &counted->counts);
	}
}

static void latency_edges(struct latency_question *question, const struct edges *edges)
{
	int index = edges_histogram(edges, question->source->times);

	for (guint32 row = 0; index >= 0 && row < edges->rows->len; row++) {
		const struct edge *edge = g_ptr_array_index(edges->rows, row);
		const char *target = edges_target(edges, row).name;

		if (!edge->histograms[index] || !edge_concerns(edges, row, question->container))
			continue;
		kind_note(question, target, edge->histograms[index]->count);
		if (!question->kind || strcmp(question->kind, target) == 0)
			latency_add(question, edge->histograms[index]);
	}
}

/* reel_fn */
static void latency_frame(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	struct latency_question *question = user;
	const struct past_range *range = question->times.range;
	gint64 step = (time_ms - range->from_ms) / range->step_ms;
	gboolean is_watched = FALSE; /* one that saw nothing left an empty shape, one that was off none */

	question->step = (guint32)CLAMP(step, 0, (gint64)range->steps - 1);
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (g_strcmp0(shape->probe, question->source->probe) != 0)
			continue;
		is_watched = TRUE;
		if (shape->histogram && !question->source->times)
			latency_histogram(question, shape->histogram);
		else if (shape->edges && question->source->times)
			latency_edges(question, shape->edges);
	}
	if (is_watched)
		g_array_append_val(question->times.times_ms, time_ms);
}

static void latency_write(struct json_writer *json, const struct latency_question *question)
{
	const struct past_range *range = question->times.range;
	GHashTableIter iter;
	gpointer kind, count;

	json_begin_array(json, "bounds_ns"); /* lower ones */
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		json_uint(json, NULL, histogram_bucket_low(UNIT_NANOSECONDS, i));
	json_end_array(json);
	json_begin_array(json, "cells"); /* [step, bucket, count] where it is not 0 */
	for (gsize i = 0; i < (gsize)range->steps * HISTOGRAM_BUCKETS; i++) {
		if (!question->cells[i])
			continue;
		json_begin_array(json, NULL);
		json_uint(json, NULL, i / HISTOGRAM_BUCKETS);
		json_uint(json, NULL, i % HISTOGRAM_BUCKETS);
		json_uint(json, NULL, question->cells[i]);
		json_end_array(json);
	}
	json_end_array(json);
	json_uint(json, "count", question->sum.count);
	json_uint(json, "sum_ns", question->sum.sum);
	quantile_write(json, "p50_ns", &question->sum, 0.5);
	quantile_write(json, "p90_ns", &question->sum, 0.9);
	quantile_write(json, "p99_ns", &question->sum, 0.99);
	json_begin_array(json, "kinds");
	g_hash_table_iter_init(&iter, question->kinds);
	while (g_hash_table_iter_next(&iter, &kind, &count)) {
		json_begin_object(json, NULL);
		json_string(json, "name", kind);
		json_uint(json, "count", *(guint64 *)count);
		json_end_object(json);
	}
	json_end_array(json);
}

static const struct latency_source *latency_source(const char *what)
{
	for (guint i = 0; i < G_N_ELEMENTS(latency_sources); i++)
		if (g_strcmp0(what, latency_sources[i].what) == 0)
			return &latency_sources[i];
	return NULL;
}

void past_latency(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct past_range range;
	const char *wrong = past_range(request, 300, &range);
	struct latency_question question = { .source = latency_source(http_query(request, "what")),
					     .kind = http_query(request, "kind") };
	enum history_resolution resolution;
	struct json_writer json;
	GString *out;

	if (!wrong && !question.source)
		wrong = "what is one of runq, block, queue, fs, dns, tcp, connect, session, request";
	if (!wrong && !past_container(api, request, &question.container))
		wrong = "there is no such series";
	if (wrong) {
		past_error(reply, MHD_HTTP_BAD_REQUEST, wrong);
		return;
	}
	/* Steps lie on multiples of their length, so that an answer a second later has the same ones. */
	range.from_ms = range.from_ms / range.step_ms * range.step_ms;
	range.steps = (guint32)((range.to_ms - range.from_ms + range.step_ms - 1) / range.step_ms);
	times_init(&question.times, &range);
	question.kinds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	question.cells = g_new0(guint64, (gsize)range.steps * HISTOGRAM_BUCKETS);
	resolution = reel_each(api->reel, range.from_ms, range.to_ms, (guint)range.step_ms, latency_frame, &question);
	json = past_begin(&range, &out);
	json_int(&json, "step_ms", range.step_ms);
	json_uint(&json, "steps", range.steps);
	gaps_write(&json, &question.times, resolution);
	part_write(&json, api, question.source->part);
	latency_write(&json, &question);
	g_hash_table_unref(question.kinds);
	g_free(question.cells);
	past_end(reply, &json);
}

/* ---- the flight recorder ---- */

void past_captures(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	GString *out = g_string_new(NULL);
	struct json_writer json;

	(void)request;
	json_init(&json, out);
	json_begin_object(&json, NULL);
	recorder_write(api->recorder, &json);
	past_end(reply, &json);
}

void past_freeze(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *name = recorder_freeze(api->recorder, "asked", &error);
	struct json_writer json;
	GString *out;

	(void)request;
	if (!name) {
		past_error(reply, MHD_HTTP_SERVICE_UNAVAILABLE, error->message);
		return;
	}
	out = g_string_new(NULL);
	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_string(&json, "name", name);
	past_end(reply, &json);
	reply->status = MHD_HTTP_CREATED;
}

void past_capture(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	const char *name = request->path + strlen("/api/captures/");

	reply->body = recorder_read(api->recorder, name);
	if (!reply->body) {
		past_error(reply, MHD_HTTP_NOT_FOUND, "there is no such capture");
		return;
	}
	reply->type = "application/octet-stream";
	reply->attachment = "capture.fathom";
}

/* ---- the machine ---- */

/* Of a capture: between the readings nearest to the bounds that are asked for. NULL, or why there is none. */
static const char *look_recorded(const struct replay *replay, const struct http_request *request, struct look **look,
				 gint64 *time_ms)
{
	const struct replay_reading *before, *now;
	gint64 from_ms, to_ms;

	if (!http_query_number(request, "from_ms", replay->from_ms, &from_ms) ||
	    !http_query_number(request, "to_ms", replay->to_ms, &to_ms))
		return "from_ms and to_ms are numbers";
	before = replay_reading(replay, from_ms);
	now = replay_reading(replay, to_ms);
	if (before == now && now && now > (struct replay_reading *)replay->readings->data)
		before = now - 1;
	else if (before == now && now && replay->readings->len > 1)
		now = before + 1;
	if (!before || before->time_ms >= now->time_ms)
		return "the capture has no two readings of the machine in that range";
	*look = look_between(census_copy(before->census), census_copy(now->census),
			     (double)(now->time_ms - before->time_ms) / 1000);
	*time_ms = now->time_ms;
	return NULL;
}

void past_host(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct look *recorded = NULL;
	gint64 time_ms = live_time_ms(api->live);
	const char *wrong = api->replay ? look_recorded(api->replay, request, &recorded, &time_ms) : NULL;
	GString *out;
	struct json_writer json;

	if (wrong) {
		past_error(reply, MHD_HTTP_NOT_FOUND, wrong);
		return;
	}
	out = g_string_sized_new(16 << 10);
	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_int(&json, "time_ms", time_ms);
	look_write(recorded ? recorded : live_look(api->live), &json);
	look_free(recorded);
	json_begin_array(&json, "meanings"); /* of what may be abnormal */
	for (guint i = 0; i < LOOK_VALUES; i++) {
		json_begin_object(&json, NULL);
		json_string(&json, "name", look_metas[i].name);
		json_string(&json, "label", look_metas[i].label);
		json_uint(&json, "unit", look_metas[i].unit);
		json_double(&json, "limit", look_metas[i].limit);
		json_string(&json, "meaning", look_metas[i].meaning);
		json_end_object(&json);
	}
	json_end_array(&json);
	past_end(reply, &json);
}
