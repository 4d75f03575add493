/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <math.h>
#include <microhttpd.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/units.h"
#include "render/assets.h"
#include "render/gauges.h"
#include "render/palette.h"
#include "serve/assets.h"
#include "serve/flames.h"
#include "serve/guard.h"
#include "serve/holdings.h"
#include "serve/past.h"
#include "serve/threads.h"

#define API_POINTS_MAX 2000 /* of one resource in one answer */
#define API_CELLS_MAX 400000 /* numbers in one answer */
#define API_SPAN_MAX_MS (G_GINT64_CONSTANT(1000) * 3600 * 24 * 35)
#define API_EVENTS_MAX 500 /* of each ring */
#define API_EVENT_STEPS 300 /* a longer range is read from coarser sums */
#define API_STALE_MS 5000 /* without a reading: not healthy */

/* ---- answers ---- */

static void reply_text(struct http_reply *reply, guint status, const char *type, const char *text)
{
	reply->status = status;
	reply->type = type;
	reply->body = g_bytes_new(text, strlen(text));
}

static void reply_error(struct http_reply *reply, guint status, const char *why)
{
	GString *out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_string(&json, "error", why);
	json_end_object(&json);
	g_string_append_c(out, '\n');
	reply->status = status;
	reply->body = g_string_free_to_bytes(out);
}

static struct json_writer reply_begin(GString **out)
{
	struct json_writer json;

	*out = g_string_sized_new(16 << 10);
	json_init(&json, *out);
	json_begin_object(&json, NULL);
	return json;
}

static void reply_end(struct http_reply *reply, struct json_writer *json)
{
	json_end_object(json);
	g_string_append_c(json->out, '\n');
	reply->body = g_string_free_to_bytes(json->out);
}

/* ---- routes ---- */

static void get_page(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	(void)api;
	(void)request;
	reply->may_cache = TRUE;
	reply_text(reply, MHD_HTTP_OK, "text/html; charset=utf-8", asset_index_html);
}

static void get_script(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	(void)api;
	(void)request;
	reply->may_cache = TRUE;
	reply_text(reply, MHD_HTTP_OK, "text/javascript; charset=utf-8", asset_app_js);
}

static void get_style(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	(void)api;
	(void)request;
	reply->may_cache = TRUE;
	reply_text(reply, MHD_HTTP_OK, "text/css; charset=utf-8", asset_app_css);
}

static void get_flame_script(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	(void)api;
	(void)request;
	reply->may_cache = TRUE;
	reply_text(reply, MHD_HTTP_OK, "text/javascript; charset=utf-8", asset_page_js);
}

static void get_flame_style(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	(void)api;
	(void)request;
	reply->may_cache = TRUE;
	reply_text(reply, MHD_HTTP_OK, "text/css; charset=utf-8", asset_page_css);
}

static void get_palette(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	GString *out;
	struct json_writer json = reply_begin(&out);

	(void)api;
	(void)request;
	reply->may_cache = TRUE;
	palette_write(&json);
	palette_write_rules(&json);
	reply_end(reply, &json);
}

static void get_healthz(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	gint64 age_ms = (gint64)(clock_realtime_ns() / NS_PER_MS) - live_time_ms(api->live);
	gboolean ok = api->replay || (live_time_ms(api->live) && !api->trouble && ABS(age_ms) < API_STALE_MS);

	(void)request;
	reply_text(reply, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, NULL,
		   ok ? "{\"status\":\"ok\"}\n" : "{\"status\":\"no fresh reading\"}\n");
}

static void get_metrics(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	const char *accept = http_header(request, "Accept");
	gboolean openmetrics = accept && strstr(accept, "application/openmetrics-text");

	reply->type = openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				  : "text/plain; version=0.0.4; charset=utf-8";
	reply->body = metrics_text(api, openmetrics);
}

/* What is wrong with it first; "" when nothing is, null when that is not known yet. */
static void write_verdict(struct json_writer *json, const struct api *api, const struct gauge_row *row)
{
	const char *fault = NULL, *sentence = NULL;

	if (row->resource != GAUGE_RESOURCE_CONTAINER || row->dead || !api->verdicts)
		return;
	json_string(json, "verdict", verdicts_first(api->verdicts, row->key, &fault, &sentence));
	json_string(json, "verdict_fault", fault);
	json_string(json, "verdict_sentence", sentence);
}

static void get_containers(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	const struct gauge_interval *interval = live_interval(api->live);
	GString *out;
	struct json_writer json = reply_begin(&out);

	(void)request;
	json_int(&json, "time_ms", live_time_ms(api->live));
	json_uint(&json, "interval_ns", interval->length_ns);
	json_begin_array(&json, "containers");
	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(api->live, i);
		const struct gauge_row *row = gauges_row(interval->readings, i);

		json_begin_object(&json, NULL);
		json_uint(&json, "series", resource ? resource->history_id : 0);
		render_gauge_members(&json, row);
		render_gauge_rates(&json, interval, i);
		write_verdict(&json, api, row);
		if (resource && live_part(api->live, LIVE_EXEC)->state == LIVE_ON)
			json_uint(&json, "execs", resource->execs);
		json_end_object(&json);
	}
	json_end_array(&json);
	reply_end(reply, &json);
}

/* ---- series ---- */

/* One resource's values by step of time. */
struct lane {
	guint32 id;
	guint32 steps;
	float *sums; /* steps × series */
	guint16 *counts; /* likewise */
	guint32 *waits; /* steps × buckets; NULL unless asked for */
};

struct series_question {
	guint32 id; /* 0: all */
	gint64 from_ms, to_ms, step_ms;
	guint32 steps;
	const struct api *api;
	const char *name; /* all lives of who is called so go into one lane, that of `id`; NULL: each its own */
	GHashTable *same; /* id → GINT_TO_POINTER(1: called so, 2: not) */
	guint series[SERIES_COUNT], count; /* asked for */
	gboolean with_waits;
	GHashTable *lanes; /* id → struct lane */
	guint lanes_max;
};

static void lane_free(gpointer data)
{
	struct lane *lane = data;

	g_free(lane->sums);
	g_free(lane->counts);
	g_free(lane->waits);
	g_free(lane);
}

static struct lane *lane_of(struct series_question *question, guint32 id)
{
	struct lane *lane = g_hash_table_lookup(question->lanes, GUINT_TO_POINTER(id));

	if (lane || g_hash_table_size(question->lanes) >= question->lanes_max)
		return lane;
	lane = g_new0(struct lane, 1);
	lane->id = id;
	lane->sums = g_new0(float, (gsize)question->steps * question->count);
	lane->counts = g_new0(guint16, (gsize)question->steps * question->count);
	if (question->with_waits)
		lane->waits = g_new0(guint32, (gsize)question->steps * SERIES_WAIT_BUCKETS);
	g_hash_table_insert(question->lanes, GUINT_TO_POINTER(id), lane);
	return lane;
}

/* Is this one, too, called what is asked for? */
static gboolean is_same_name(struct series_question *question, guint32 id)
{
	int known = GPOINTER_TO_INT(g_hash_table_lookup(question->same, GUINT_TO_POINTER(id)));

	if (!known) {
		const struct history_resource *resource = history_resource(question->api->history, id);

		known = resource && g_strcmp0(resource->name, question->name) == 0 ? 1 : 2;
		g_hash_table_insert(question->same, GUINT_TO_POINTER(id), GINT_TO_POINTER(known));
	}
	return known == 1;
}

/* history_point_fn */
static void lane_add(void *user, gint64 time_ms, const struct series_point *point)
{
	struct series_question *question = user;
	gint64 step = (time_ms - question->from_ms) / question->step_ms;
	struct lane *lane;

	if (question->name && !is_same_name(question, point->id))
		return;
	lane = lane_of(question, question->name ? question->id : point->id);
	if (!lane || step < 0 || step >= question->steps)
		return;
	for (guint i = 0; i < question->count; i++) {
		gsize at = (gsize)step * question->count + i;

		if (!series_is_known(point, question->series[i]))
			continue;
		lane->sums[at] += point->values[question->series[i]];
		lane->counts[at]++;
	}
	for (guint i = 0; question->with_waits && i < SERIES_WAIT_BUCKETS; i++)
		lane->waits[(gsize)step * SERIES_WAIT_BUCKETS + i] += point->waits[i];
}

static void lane_write(struct json_writer *json, const struct api *api, const struct series_question *question,
		       const struct lane *lane)
{
	const struct history_resource *resource = history_resource(api->history, lane->id);

	json_begin_object(json, NULL);
	json_uint(json, "series", lane->id);
	json_string(json, "name", resource ? resource->name : NULL);
	json_begin_object(json, "values");
	for (guint i = 0; i < question->count; i++) {
		json_begin_array(json, series_metrics[question->series[i]].name);
		for (guint32 step = 0; step < question->steps; step++) {
			gsize at = (gsize)step * question->count + i;

			json_double(json, NULL,
				    lane->counts[at] ? (double)lane->sums[at] / lane->counts[at] : (double)NAN);
		}
		json_end_array(json);
	}
	json_end_object(json);
	if (lane->waits) {
		json_begin_array(json, "waits"); /* [step, bucket, count] where it is not 0 */
		for (guint32 i = 0; i < question->steps * SERIES_WAIT_BUCKETS; i++) {
			if (!lane->waits[i])
				continue;
			json_begin_array(json, NULL);
			json_uint(json, NULL, i / SERIES_WAIT_BUCKETS);
			json_uint(json, NULL, i % SERIES_WAIT_BUCKETS);
			json_uint(json, NULL, lane->waits[i]);
			json_end_array(json);
		}
		json_end_array(json);
	}
	json_end_object(json);
}

/* "cpu,memory" → numbers. */
static gboolean question_series(struct series_question *question, const char *names)
{
	g_auto(GStrv) list = names ? g_strsplit(names, ",", SERIES_COUNT + 1) : NULL;

	if (!names) {
		for (question->count = 0; question->count < SERIES_COUNT; question->count++)
			question->series[question->count] = question->count;
		return TRUE;
	}
	for (guint i = 0; list[i]; i++) {
		int series = series_find(list[i]);

		if (series < 0 || question->count == SERIES_COUNT)
			return FALSE;
		question->series[question->count++] = (guint)series;
	}
	return question->count > 0;
}

/* NULL, or what is wrong with it. */
static const char *question_parse(struct series_question *question, const struct http_request *request)
{
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS), seconds, id, waits, lives;
	const struct history_resource *resource;

	if (!http_query_number(request, "seconds", 300, &seconds) || seconds < 1)
		return "seconds is a number above 0";
	if (!http_query_number(request, "to_ms", now_ms, &question->to_ms) ||
	    !http_query_number(request, "from_ms", question->to_ms - seconds * 1000, &question->from_ms) ||
	    !http_query_number(request, "step_ms", 1000, &question->step_ms) ||
	    !http_query_number(request, "id", 0, &id) || !http_query_number(request, "waits", 0, &waits) ||
	    !http_query_number(request, "lives", 0, &lives))
		return "id, from_ms, to_ms, step_ms, waits and lives are numbers";
	if (question->to_ms <= question->from_ms || question->from_ms < 0 ||
	    question->to_ms - question->from_ms > API_SPAN_MAX_MS)
		return "from_ms is before to_ms, at most 35 days";
	if (id < 0 || id > G_MAXUINT32 || question->step_ms < 1000 || question->step_ms > API_SPAN_MAX_MS)
		return "step_ms is at least 1000";
	if ((question->to_ms - question->from_ms) / question->step_ms > API_POINTS_MAX)
		return "that are more than 2000 steps: ask for a larger step_ms";
	if (!question_series(question, http_query(request, "names")))
		return "names is a list of series with commas between, such as cpu,memory: /api/self lists them";
	question->id = (guint32)id;
	resource = lives && id ? history_resource(question->api->history, question->id) : NULL;
	question->name = resource ? resource->name : NULL;
	question->with_waits = waits != 0;
	/* Steps lie on multiples of their length, so that an answer a second later has the same ones. */
	question->from_ms = question->from_ms / question->step_ms * question->step_ms;
	question->steps = (guint32)((question->to_ms - question->from_ms + question->step_ms - 1) / question->step_ms);
	question->lanes_max =
		MAX(1, API_CELLS_MAX / (question->steps *
					(question->count + (question->with_waits ? SERIES_WAIT_BUCKETS : 0))));
	return NULL;
}

static void get_series(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct series_question question = { .api = api };
	const char *wrong = question_parse(&question, request);
	enum history_resolution resolution;
	struct json_writer json;
	GHashTableIter iter;
	gpointer lane;
	GString *out;

	if (wrong) {
		reply_error(reply, MHD_HTTP_BAD_REQUEST, wrong);
		return;
	}
	question.lanes = g_hash_table_new_full(NULL, NULL, NULL, lane_free);
	question.same = g_hash_table_new(NULL, NULL);
	resolution = history_each(api->history, question.name ? 0 : question.id, question.from_ms, question.to_ms,
				  (guint)question.step_ms, lane_add, &question);
	g_hash_table_unref(question.same);
	json = reply_begin(&out);
	json_int(&json, "from_ms", question.from_ms);
	json_int(&json, "step_ms", question.step_ms);
	json_uint(&json, "steps", question.steps);
	json_uint(&json, "resolution_ms", history_resolution_ms[resolution]);
	if (question.with_waits) {
		json_begin_array(&json, "wait_bounds_ns"); /* lower ones */
		for (guint i = 0; i < SERIES_WAIT_BUCKETS; i++)
			json_uint(&json, NULL, histogram_bucket_low(UNIT_NANOSECONDS, SERIES_WAIT_FIRST + i));
		json_end_array(&json);
	}
	json_begin_array(&json, "resources");
	g_hash_table_iter_init(&iter, question.lanes);
	while (g_hash_table_iter_next(&iter, NULL, &lane))
		lane_write(&json, api, &question, lane);
	json_end_array(&json);
	g_hash_table_unref(question.lanes);
	reply_end(reply, &json);
}

/* ---- ledger, self, events ---- */

static void write_ledger_items(struct json_writer *json, const struct ledger *ledger)
{
	json_begin_object(json, "items");
	for (guint i = 0; i < LEDGER_ITEMS; i++)
		if (ledger->items[i].events || ledger->items[i].weight)
			json_uint(json, ledger_item_name((enum ledger_item)i), ledger->items[i].events);
	json_end_object(json);
	json_begin_array(json, "notes");
	for (guint i = 0; ledger->notes && i < ledger->notes->len; i++)
		json_string(json, NULL, g_ptr_array_index(ledger->notes, i));
	json_end_array(json);
}

static void write_parts(struct json_writer *json, const struct api *api)
{
	static const char *const states[] = { "on", "off", "refused", "shed" };

	json_begin_array(json, "parts");
	for (guint i = 0; i < LIVE_PARTS; i++) {
		const struct live_part_status *part = live_part(api->live, (enum live_part)i);

		json_begin_object(json, NULL);
		json_string(json, "name", part->name);
		json_string(json, "shows", part->shows);
		json_string(json, "state", states[part->state]);
		json_string(json, "why", part->why);
		if (part->retry_ms)
			json_int(json, "retry_ms", part->retry_ms);
		json_string(json, "rung", part->ledger.rung);
		json_string(json, "misses", part->ledger.misses);
		json_uint(json, "seen", part->ledger.seen.events);
		json_double(json, "coverage", ledger_coverage(&part->ledger));
		json_double(json, "cost_seconds", api->replay ? NAN : (double)part->cost_ns / (double)NS_PER_S);
		/* For which part of the time it looked; null: for all of it, or it is not known yet. */
		json_double(json, "looked_ratio",
			    part->waited_ns ? (double)part->looked_ns / (double)part->waited_ns : NAN);
		programs_write(json, live_programs(api->live), i);
		write_ledger_items(json, &part->ledger);
		json_end_object(json);
	}
	json_end_array(json);
}

static void get_verdicts(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	GString *out;
	struct json_writer json = reply_begin(&out);

	(void)request;
	verdicts_write(api->verdicts, &json);
	reply_end(reply, &json);
}

static void get_ledger(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	GString *out;
	struct json_writer json = reply_begin(&out);

	(void)request;
	write_parts(&json, api);
	json_uint(&json, "containers_without_labels", live_overflowed(api->live));
	reply_end(reply, &json);
}

static void write_history(struct json_writer *json, const struct api *api)
{
	struct history_stats stats;

	history_stats(api->history, &stats);
	json_begin_object(json, "history");
	json_uint(json, "memory_bytes", stats.memory_bytes);
	json_uint(json, "memory_ticks", stats.ticks);
	json_int(json, "memory_oldest_ms", stats.oldest_ms);
	json_bool(json, "on_disk", stats.has_database);
	json_uint(json, "disk_bytes", stats.database_bytes);
	json_uint(json, "disk_budget_bytes", stats.budget_bytes);
	json_uint(json, "dropped", stats.dropped);
	json_string(json, "trouble", stats.trouble);
	json_end_object(json);
}

static void write_self(struct json_writer *json, const struct api *api)
{
	const struct budget_usage *usage = budget_usage(api->budget);
	const struct budget_limits *limits = budget_limits(api->budget);
	struct http_counts counts = http_counts(api->http);

	json_string(json, "version", api->version);
	json_int(json, "time_ms", live_time_ms(api->live));
	json_string(json, "trouble", api->trouble);
	replay_write(api->replay, json);
	json_double(json, "uptime_seconds", (double)usage->uptime_ns / (double)NS_PER_S);
	json_double(json, "cpu_cores", usage->cpu_cores);
	json_double(json, "answers_cores", usage->answers_cores);
	json_double(json, "cpu_seconds", (double)usage->cpu_ns / (double)NS_PER_S);
	json_uint(json, "resident_bytes", usage->resident_bytes);
	json_uint(json, "resident_peak_bytes", usage->resident_peak_bytes);
	if (usage->children_resident_bytes)
		json_uint(json, "children_resident_bytes", usage->children_resident_bytes);
	else
		json_null(json, "children_resident_bytes");
	json_uint(json, "map_bytes", usage->map_bytes);
	json_uint(json, "map_count", usage->map_count);
	json_uint(json, "descriptors", usage->descriptors);
	programs_write_statistics(json, live_programs(api->live));
	json_uint(json, "ticks", live_ticks(api->live));
	json_double(json, "tick_seconds", (double)live_reading_ns(api->live) / (double)NS_PER_S);
	json_begin_object(json, "limits");
	json_double(json, "cpu_cores", limits->cpu_cores);
	json_uint(json, "resident_bytes", limits->resident_bytes);
	json_uint(json, "map_bytes", limits->map_bytes);
	json_end_object(json);
	json_begin_object(json, "http");
	json_uint(json, "connections", counts.connections);
	json_uint(json, "streams", counts.streams);
	json_uint(json, "requests", counts.requests);
	json_uint(json, "refused", counts.refused);
	json_uint(json, "ended_slow", counts.ended_slow);
	json_uint(json, "stream_dropped", counts.stream_dropped);
	json_end_object(json);
}

static void get_self(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	const GPtrArray *notes = budget_notes(api->budget);
	GString *out;
	struct json_writer json = reply_begin(&out);

	(void)request;
	write_self(&json, api);
	holdings_write(&json, api);
	write_history(&json, api);
	write_parts(&json, api);
	json_begin_array(&json, "notes");
	for (guint i = 0; i < notes->len; i++)
		json_string(&json, NULL, g_ptr_array_index(notes, i));
	json_end_array(&json);
	json_begin_array(&json, "series");
	for (guint i = 0; i < SERIES_COUNT; i++) {
		json_begin_object(&json, NULL);
		json_string(&json, "name", series_metrics[i].name);
		json_string(&json, "unit", series_metrics[i].unit);
		json_string(&json, "help", series_metrics[i].help);
		json_end_object(&json);
	}
	json_end_array(&json);
	reply_end(reply, &json);
}

static void write_event(struct json_writer *json, const struct event *event)
{
	json_begin_object(json, NULL);
	json_int(json, "time_ms", (gint64)(event->realtime_ns / NS_PER_MS));
	json_string(json, "kind", event->kind);
	json_string(json, "container", event->container);
	json_string(json, "process", event->process);
	if (event->pid)
		json_uint(json, "pid", event->pid);
	json_begin_object(json, "fields");
	for (guint i = 0; i < event->field_count; i++) {
		const struct event_field *field = &event->fields[i];

		if (field->unit == EVENT_TEXT)
			json_string(json, field->name, field->text);
		else if (field->unit == EVENT_SIGNED)
			json_int(json, field->name, (gint64)field->number);
		else if (field->unit != EVENT_LIST)
			json_uint(json, field->name, field->number);
	}
	json_end_object(json);
	json_end_object(json);
}

/* What of a ring's events is asked for. */
struct events_walk {
	const char *kind, *container; /* NULL: all */
	gint64 from_ms, to_ms;
	const GList *link[LIVE_EVENT_RINGS]; /* of each ring, the latest not yet taken */
	guint left[LIVE_EVENT_RINGS]; /* how many more may be told: a flood in one leaves the others their room */
};

static const GList *events_match(const struct events_walk *walk, const GList *link)
{
	for (; link; link = link->prev) {
		const struct event *event = link->data;
		gint64 time_ms = (gint64)(event->realtime_ns / NS_PER_MS);

		if ((!walk->kind || g_strcmp0(walk->kind, event->kind) == 0) &&
		    (!walk->container || g_strcmp0(walk->container, event->container) == 0) &&
		    time_ms >= walk->from_ms && time_ms <= walk->to_ms)
			return link;
	}
	return NULL;
}

/* The latest of all; NULL: there is no more. */
static const struct event *events_next(struct events_walk *walk)
{
	const struct event *latest = NULL;
	guint ring = 0;

	for (guint i = 0; i < LIVE_EVENT_RINGS; i++) {
		const struct event *event;

		walk->link[i] = walk->left[i] ? events_match(walk, walk->link[i]) : NULL;
		event = walk->link[i] ? walk->link[i]->data : NULL;
		if (!event || (latest && latest->realtime_ns >= event->realtime_ns))
			continue;
		latest = event;
		ring = i;
	}
	if (latest) {
		walk->link[ring] = walk->link[ring]->prev;
		walk->left[ring]--;
	}
	return latest;
}

/* Since when all events are in the rings, in memory. */
static gint64 rings_from_ms(const struct api *api)
{
	gint64 from_ms = (gint64)((clock_realtime_ns() - budget_usage(api->budget)->uptime_ns) / NS_PER_MS);

	if (api->replay)
		return G_MAXINT64;
	for (guint i = 0; i < LIVE_EVENT_RINGS; i++) {
		const struct events *ring = live_events(api->live, i);
		const struct event *oldest = g_queue_peek_head((GQueue *)&ring->rows);

		if (ring->forgotten && oldest)
			from_ms = MAX(from_ms, (gint64)(oldest->realtime_ns / NS_PER_MS));
	}
	return from_ms;
}

struct events_reading {
	const struct events_walk *walk;
	gint64 from_ms, to_ms; /* from_ms ≤ time < to_ms */
	struct events **rings;
};

static void events_take(const struct events_reading *reading, const struct events *events)
{
	for (const GList *link = events->rows.head; link; link = link->next) {
		const struct event *event = link->data;
		gint64 time_ms = (gint64)(event->realtime_ns / NS_PER_MS);

		if (time_ms >= reading->from_ms && time_ms < reading->to_ms &&
		    (!reading->walk->container || g_strcmp0(reading->walk->container, event->container) == 0))
			events_add(reading->rings[live_event_ring(event->kind)], event);
	}
}

/* reel_fn */
static void events_frame(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	const struct events_reading *reading = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EVENTS);

	(void)time_ms;
	if (!shape)
		return;
	events_take(reading, shape->events);
	reading->rings[LIVE_EVENTS_EXEC]->forgotten += shape->events->forgotten;
}

/* What was written down before the agent's start, or is more than the rings hold; and what they hold, as later sums of the
 * former are not there yet. */
static void events_of_reel(const struct api *api, const struct events_walk *walk, gint64 in_memory_ms,
			   struct events **rings)
{
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS), to_ms = MIN(walk->to_ms, now_ms + 1000);
	gint64 step_ms = CLAMP((to_ms - walk->from_ms) / API_EVENT_STEPS, 1000, G_MAXINT);
	struct events_reading reading = {
		.walk = walk, .from_ms = walk->from_ms, .to_ms = in_memory_ms, .rings = rings
	};

	for (guint i = 0; i < LIVE_EVENT_RINGS; i++)
		rings[i] = events_new(LIVE_EVENTS_MAX);
	if (walk->from_ms < to_ms)
		reel_each(api->reel, walk->from_ms, to_ms, (guint)step_ms, events_frame, &reading);
	reading.from_ms = in_memory_ms;
	reading.to_ms = G_MAXINT64;
	for (guint i = 0; i < LIVE_EVENT_RINGS && !api->replay; i++)
		events_take(&reading, live_events(api->live, i));
}

static void get_events(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct events_walk walk = { .kind = http_query(request, "kind"),
				    .container = http_query(request, "container") };
	struct events *older[LIVE_EVENT_RINGS] = { NULL };
	gint64 in_memory_ms = rings_from_ms(api);
	const struct event *event;
	guint64 forgotten = 0;
	struct json_writer json;
	GString *out;

	if (!http_query_number(request, "from_ms", 0, &walk.from_ms) ||
	    !http_query_number(request, "to_ms", HTTP_NUMBER_MAX, &walk.to_ms)) {
		reply_error(reply, MHD_HTTP_BAD_REQUEST, "from_ms and to_ms are numbers");
		return;
	}
	if (walk.from_ms && walk.from_ms < in_memory_ms)
		events_of_reel(api, &walk, in_memory_ms, older);
	for (guint i = 0; i < LIVE_EVENT_RINGS; i++) {
		const struct events *ring = older[i] ? older[i] : live_events(api->live, i);

		walk.link[i] = ring->rows.tail;
		walk.left[i] = API_EVENTS_MAX;
		forgotten += ring->forgotten;
	}
	json = reply_begin(&out);
	json_uint(&json, "forgotten", forgotten);
	json_begin_array(&json, "events"); /* the latest first */
	while ((event = events_next(&walk)))
		write_event(&json, event);
	json_end_array(&json);
	reply_end(reply, &json);
	for (guint i = 0; i < LIVE_EVENT_RINGS; i++)
		events_free(older[i]);
}

/* ---- the stream ---- */

static void get_stream(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	(void)request;
	reply->stream = http_stream_new(api->http);
	if (!reply->stream)
		reply_error(reply, MHD_HTTP_SERVICE_UNAVAILABLE, "sixteen streams are open already");
}

static void write_point(struct json_writer *json, const struct series_point *point)
{
	json_begin_object(json, NULL);
	json_uint(json, "series", point->id);
	json_begin_object(json, "values");
	for (guint i = 0; i < SERIES_COUNT; i++)
		if (series_is_known(point, i))
			json_double(json, series_metrics[i].name, (double)point->values[i]);
	json_end_object(json);
	json_begin_array(json, "waits"); /* [bucket, count] */
	for (guint i = 0; i < SERIES_WAIT_BUCKETS; i++) {
		if (!point->waits[i])
			continue;
		json_begin_array(json, NULL);
		json_uint(json, NULL, i);
		json_uint(json, NULL, point->waits[i]);
		json_end_array(json);
	}
	json_end_array(json);
	json_end_object(json);
}

void api_tick(struct api *api)
{
	const struct gauge_interval *interval = live_interval(api->live);
	g_autoptr(GString) out = NULL;
	struct series_point point;
	struct json_writer json;

	if (!http_counts(api->http).streams || !interval->changes)
		return;
	out = g_string_sized_new(16 << 10);
	json_init(&json, out);
	json_begin_object(&json, NULL);
	write_self(&json, api);
	json_begin_array(&json, "resources");
	for (guint32 i = 0; i < interval->changes->rows->len; i++)
		if (live_point(api->live, i, &point))
			write_point(&json, &point);
	json_end_array(&json);
	json_end_object(&json);
	http_streams_send(api->http, "interval", out->str);
}

void api_peek(struct api *api)
{
	if (http_counts(api->http).streams && live_peek(api->live))
		http_streams_send(api->http, "edges", "{}");
}

/* ---- measurements ---- */

static void write_job(struct json_writer *json, const struct job *job)
{
	static const char *const states[] = { "measuring", "drawing", "done", "failed" };
	double elapsed = (double)(clock_monotonic_ns() - job->start_ns) / (double)NS_PER_S;

	json_begin_object(json, NULL);
	json_uint(json, "id", job->id);
	json_string(json, "kind", job->kind);
	json_string(json, "container", job->container);
	json_uint(json, "seconds", job->seconds);
	json_int(json, "start_ms", job->start_ms);
	json_string(json, "state", states[job->state]);
	json_double(json, "progress", job->state == JOB_MEASURING ? MIN(elapsed / job->seconds, 0.99) : 1);
	json_bool(json, "inconclusive", job->is_inconclusive);
	json_string(json, "error", job->error);
	json_end_object(json);
}

static void get_profiles(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	const GPtrArray *list = jobs_list(api->jobs);
	GString *out;
	struct json_writer json = reply_begin(&out);

	(void)request;
	json_begin_array(&json, "profiles");
	for (guint i = 0; i < list->len; i++)
		write_job(&json, g_ptr_array_index(list, i));
	json_end_array(&json);
	reply_end(reply, &json);
}

/* The living container whose points have that number; NULL when there is none. */
static const struct gauge_row *row_by_series(const struct api *api, gint64 series)
{
	const struct gauge_interval *interval = live_interval(api->live);

	for (guint32 i = 0; interval->readings && i < interval->readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(api->live, i);
		const struct gauge_row *row = gauges_row(interval->readings, i);

		if (resource && resource->history_id == series && !row->dead &&
		    row->resource == GAUGE_RESOURCE_CONTAINER && row->texts[GAUGE_TEXT_CGROUP])
			return row;
	}
	return NULL;
}

static void post_profile(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	g_autoptr(GError) error = NULL;
	const struct gauge_row *row;
	const struct job *job;
	gint64 series, seconds;
	gboolean is_busy;
	struct json_writer json;
	GString *out;

	if (!http_query_number(request, "series", -1, &series) ||
	    !http_query_number(request, "seconds", 10, &seconds) || seconds < 0 || seconds > JOBS_SECONDS_MAX) {
		reply_error(reply, MHD_HTTP_BAD_REQUEST, "series and seconds are numbers, seconds at most 60");
		return;
	}
	row = series ? row_by_series(api, series) : NULL;
	if (series && !row) {
		reply_error(reply, MHD_HTTP_NOT_FOUND, "no container that runs now has that series");
		return;
	}
	job = jobs_start(api->jobs, http_query(request, "kind"), row ? row->name : JOBS_ALL,
			 row ? row->texts[GAUGE_TEXT_CGROUP] : JOBS_ALL, (guint)seconds, &is_busy, &error);
	if (!job) {
		reply_error(reply, is_busy ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_BAD_REQUEST, error->message);
		return;
	}
	out = g_string_new(NULL);
	json_init(&json, out);
	write_job(&json, job);
	g_string_append_c(out, '\n');
	reply->status = MHD_HTTP_ACCEPTED;
	reply->body = g_string_free_to_bytes(out);
}

/* /api/profiles/ID and /api/profiles/ID/result */
static void get_profile(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	const char *rest = request->path + strlen("/api/profiles/");
	const char *format = http_query(request, "format"), *type, *suffix;
	char *end = NULL;
	guint64 id = g_ascii_isdigit(rest[0]) ? g_ascii_strtoull(rest, &end, 10) : 0;
	const struct job *job = id && id <= G_MAXUINT ? jobs_find(api->jobs, (guint)id) : NULL;

	if (job && !*end) {
		GString *out = g_string_new(NULL);
		struct json_writer json;

		json_init(&json, out);
		write_job(&json, job);
		reply->body = g_string_free_to_bytes(out);
		return;
	}
	if (!job || strcmp(end, "/result") != 0) {
		reply_error(reply, MHD_HTTP_NOT_FOUND, "there is no such measurement");
		return;
	}
	reply->body = jobs_result(api->jobs, job, format ? format : "json", &type, &suffix);
	if (!reply->body) {
		reply_error(reply, MHD_HTTP_NOT_FOUND,
			    "no such result: it is not done, or format is none of json, svg, pprof, folded");
		return;
	}
	reply->type = type;
	reply->attachment = g_intern_string(suffix[0] == 's'   ? "fathom.svg"
					    : suffix[0] == 'p' ? "fathom.pb.gz"
					    : suffix[0] == 'f' ? "fathom.folded"
							       : "fathom.json");
}

/* ---- who may ask what ---- */

enum access {
	ACCESS_ANYBODY = 0,
	ACCESS_READER = 1,
	ACCESS_OPERATOR = 2,
};

typedef void (*route_fn)(struct api *api, const struct http_request *request, struct http_reply *reply);

static const struct route {
	const char *method, *path; /* a path that ends in / stands for all below it */
	enum access access;
	route_fn answer;
	gboolean is_now; /* about this machine now: there is none of it when a capture is shown */
} routes[] = {
	{ "GET", "/", ACCESS_ANYBODY, get_page },
	{ "GET", "/app.js", ACCESS_ANYBODY, get_script },
	{ "GET", "/app.css", ACCESS_ANYBODY, get_style },
	{ "GET", "/flame.js", ACCESS_ANYBODY, get_flame_script },
	{ "GET", "/flame.css", ACCESS_ANYBODY, get_flame_style },
	{ "GET", "/api/palette", ACCESS_READER, get_palette },
	{ "GET", "/healthz", ACCESS_ANYBODY, get_healthz },
	{ "GET", "/metrics", ACCESS_READER, get_metrics, TRUE },
	{ "GET", "/api/containers", ACCESS_READER, get_containers },
	{ "GET", "/api/series", ACCESS_READER, get_series },
	{ "GET", "/api/threads", ACCESS_READER, threads_answer },
	{ "GET", "/api/edges", ACCESS_READER, past_edges },
	{ "GET", "/api/latency", ACCESS_READER, past_latency },
	{ "GET", "/api/flame", ACCESS_READER, flames_answer },
	{ "GET", "/api/flamescope", ACCESS_READER, flames_scope },
	{ "GET", "/api/captures", ACCESS_READER, past_captures, TRUE },
	{ "POST", "/api/captures", ACCESS_OPERATOR, past_freeze, TRUE },
	{ "GET", "/api/captures/", ACCESS_READER, past_capture, TRUE },
	{ "GET", "/api/host", ACCESS_READER, past_host },
	{ "GET", "/api/verdicts", ACCESS_READER, get_verdicts },
	{ "GET", "/api/ledger", ACCESS_READER, get_ledger },
	{ "GET", "/api/self", ACCESS_READER, get_self },
	{ "GET", "/api/events", ACCESS_READER, get_events },
	{ "GET", "/api/stream", ACCESS_READER, get_stream, TRUE },
	{ "GET", "/api/profiles", ACCESS_READER, get_profiles },
	{ "POST", "/api/profiles", ACCESS_OPERATOR, post_profile, TRUE },
	{ "GET", "/api/profiles/", ACCESS_READER, get_profile },
};

static gboolean route_matches(const struct route *route, const char *path)
{
	gsize length = strlen(route->path);

	if (length > 1 && route->path[length - 1] == '/')
		return strncmp(path, route->path, length) == 0;
	return strcmp(path, route->path) == 0;
}

/* NULL: none; `*allow`: the methods of that path, when there is one. */
static const struct route *route_find(const struct http_request *request, const char **allow)
{
	const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;

	*allow = NULL;
	for (guint i = 0; i < G_N_ELEMENTS(routes); i++) {
		if (!route_matches(&routes[i], request->path))
			continue;
		if (strcmp(routes[i].method, method) == 0)
			return &routes[i];
		*allow = routes[i].method;
	}
	return NULL;
}

/* Over the unix socket, whose mode lets in its owner alone: who is in a container needs the token all the same. */
static gboolean peer_is_trusted(const struct api *api, const struct http_request *request)
{
	const struct container *owner;

	if (!request->is_unix || !request->peer_pid)
		return FALSE;
	owner = registry_by_pid(live_registry(api->live), request->peer_pid, 0);
	return owner && !container_is_container(owner);
}

static enum access access_of(const struct api *api, const struct http_request *request)
{
	const char *authorization = http_header(request, "Authorization"), *given = guard_bearer(authorization);
	g_autofree char *password = guard_basic(authorization);

	if (!given)
		given = password;

	if (guard_token_equal(given, api->token) || peer_is_trusted(api, request))
		return ACCESS_OPERATOR;
	return guard_token_equal(given, api->reader_token) ? ACCESS_READER : ACCESS_ANYBODY;
}

static void refuse(struct api *api, struct http_reply *reply, guint status, const char *why)
{
	http_count_refused(api->http);
	reply_error(reply, status, why);
}

void api_answer(void *user, const struct http_request *request, struct http_reply *reply)
{
	struct api *api = user;
	const char *host = http_header(request, "Host"), *allow;
	const struct route *route;
	enum access access;

	if (!request->is_unix && !guard_host(host, api->hosts)) {
		refuse(api, reply, MHD_HTTP_MISDIRECTED_REQUEST, "this host name is not served: see --allow-host");
		return;
	}
	if (!guard_origin(http_header(request, "Origin"), host)) {
		refuse(api, reply, MHD_HTTP_FORBIDDEN, "pages of other origins are not served");
		return;
	}
	route = route_find(request, &allow);
	access = access_of(api, request);
	if (access == ACCESS_ANYBODY && (!route || route->access != ACCESS_ANYBODY)) {
		reply->challenge = TRUE; /* before anything is told about what there is */
		refuse(api, reply, MHD_HTTP_UNAUTHORIZED,
		       "the token is missing or wrong: see the link fathom serve printed");
		return;
	}
	if (!route) {
		reply->allow = allow;
		reply_error(reply, allow ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND,
			    allow ? "this method is not served here" : "there is no such thing");
		return;
	}
	if (route->access > access) {
		refuse(api, reply, MHD_HTTP_FORBIDDEN, "this token may only read");
		return;
	}
	if (api->replay && route->is_now) {
		reply_error(reply, MHD_HTTP_CONFLICT,
			    "a capture is shown, not this machine: there is none of that in it");
		return;
	}
	route->answer(api, request, reply);
}
