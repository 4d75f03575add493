/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/recorder.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "observe/look_kept.h"
#include "store/capture.h"

#define RECORDER_FAILED_MIN 20 /* connections in a reading: a share of fewer says little */
#define RECORDER_WAITS_MIN 20 /* likewise, of a 99th percentile */
#define RECORDER_QUANTILE 0.99

/* Values of the readings. */
static const struct {
	enum trigger trigger;
	enum series series;
	gboolean of_host; /* else of any container */
} values[] = {
	{ TRIGGER_THROTTLING, SERIES_THROTTLED, FALSE },
	{ TRIGGER_MEMORY_PRESSURE, SERIES_PRESSURE_MEMORY, FALSE },
	{ TRIGGER_IO_PRESSURE, SERIES_PRESSURE_IO, TRUE },
	{ TRIGGER_CPU_PRESSURE, SERIES_PRESSURE_CPU, TRUE },
};

struct recorder {
	char *directory;
	struct live *live;
	struct reel *reel, *stacks;
	struct triggers triggers;
	GHashTable *high; /* "trigger whom" → readings in a row above the bound, the last reading included */
	GHashTable *now; /* likewise, of this reading; NULL: nothing was seen of it yet */
	guint64 ooms; /* seen so far */
	guint64 opens, failed; /* connections seen so far */
	guint64 frozen_ns; /* the last one that was not asked for; 0: none */
	struct sampler *blocked;
	struct after {
		char *name; /* of the capture that what comes after belongs to; NULL: none */
		const char *why;
		gint64 since_ms; /* since 1970: what ended later is not in it yet */
		guint64 since_ns; /* CLOCK_MONOTONIC */
		gboolean is_looked; /* stacks of blocked threads are on their way */
	} after;
};

/* ---- files ---- */

/* "20261121T154300Z-oom.fathom" */
static gboolean name_is_ours(const char *name)
{
	if (!g_str_has_suffix(name, CAPTURE_SUFFIX) || name[0] == '.')
		return FALSE;
	for (const char *at = name; *at; at++)
		if (!g_ascii_isalnum(*at) && *at != '-' && *at != '.')
			return FALSE;
	return TRUE;
}

/* When it was made, which is not when it was written last; 0: the name does not say. */
static gint64 name_time_ms(const char *name)
{
	g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
	g_autofree char *text = g_strndup(name, strcspn(name, "-"));
	g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, utc);

	return time ? g_date_time_to_unix(time) * 1000 : 0;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names, the eldest first: they begin with the time. */
static GPtrArray *files_list(const struct recorder *recorder)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GDir) directory = g_dir_open(recorder->directory, 0, NULL);
	const char *name;

	while (directory && (name = g_dir_read_name(directory)))
		if (name_is_ours(name))
			g_ptr_array_add(names, g_strdup(name));
	g_ptr_array_sort(names, by_name);
	return names;
}

static void files_trim(const struct recorder *recorder)
{
	g_autoptr(GPtrArray) names = files_list(recorder);

	for (guint i = 0; i + RECORDER_FILES_MAX < names->len; i++) {
		g_autofree char *path = g_build_filename(recorder->directory, g_ptr_array_index(names, i), NULL);

		g_unlink(path);
	}
}

struct freezing {
	struct capture_writer *writer;
	const struct after *after; /* NULL: what was before */
	GError *error;
};

/* reel_packed_fn */
static void freeze_frame(void *user, gint64 time_ms, const guint8 *bytes, gsize length)
{
	struct freezing *freezing = user;

	if (!freezing->error && capture_written(freezing->writer) + length < RECORDER_FILE_BYTES_MAX)
		capture_append(freezing->writer, time_ms, bytes, length, &freezing->error);
}

/* The machine as it was read the last two times. */
static void freeze_look(struct freezing *freezing, const struct look *look, gint64 now_ms)
{
	const struct census *readings[2] = { look ? look->before : NULL, look ? look->now : NULL };
	double age_s = look ? (double)clock_monotonic_ns() / 1e9 - look->read_s : 0;

	for (guint i = 0; i < G_N_ELEMENTS(readings); i++) {
		gint64 time_ms = now_ms - (gint64)((age_s + (i || !look ? 0 : look->seconds)) * 1000);
		g_autoptr(snapshot_t) snapshot = NULL;

		if (!readings[i] || freezing->error)
			continue;
		snapshot = look_keep_snapshot((guint64)time_ms * NS_PER_MS, readings[i]);
		capture_append_snapshot(freezing->writer, time_ms, snapshot, &freezing->error);
	}
}

/* ---- what comes after ---- */

/* Stacks say which side of it they are of. */
static void after_stacks(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	struct freezing *freezing = user;
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);
	gint64 start_ms = (gint64)(snapshot->start_realtime_ns / NS_PER_MS);

	if (shape && freezing->after->is_looked && strcmp(shape->probe, "offcpu") == 0)
		ledger_note(
			&shape->ledger,
			g_strdup_printf("some of these stacks are of after the capture was made (%s): of %.1f s, %s",
					freezing->after->why, (double)snapshot->duration_ns / (double)NS_PER_S,
					start_ms >= freezing->after->since_ms ? "looked at since then"
									      : "which had begun before"));
	if (!freezing->error && capture_written(freezing->writer) < RECORDER_FILE_BYTES_MAX)
		capture_append_snapshot(freezing->writer, time_ms, snapshot, &freezing->error);
}

static void after_clear(struct recorder *recorder)
{
	g_free(recorder->after.name);
	recorder->after = (struct after){ 0 };
}

static void after_append(struct recorder *recorder)
{
	g_autofree char *path = g_build_filename(recorder->directory, recorder->after.name, NULL);
	g_autoptr(GError) error = NULL;
	struct freezing freezing = { .writer = capture_reopen(path, &error), .after = &recorder->after };

	if (freezing.writer) {
		reel_each_packed(recorder->reel, recorder->after.since_ms, G_MAXINT64, freeze_frame, &freezing);
		reel_each(recorder->stacks, recorder->after.since_ms, G_MAXINT64, 1000, after_stacks, &freezing);
		capture_close(freezing.writer, freezing.error ? NULL : &error);
	}
	if (freezing.error || error)
		g_warning("%s: what came after is not all in it: %s", recorder->after.name,
			  freezing.error ? freezing.error->message : error->message);
	g_clear_error(&freezing.error);
}

static void after_tick(struct recorder *recorder)
{
	const struct after *after = &recorder->after;
	guint64 passed_ns = clock_monotonic_ns() - after->since_ns;

	if (!after->name || passed_ns < RECORDER_AFTER_MS * NS_PER_MS ||
	    (after->is_looked && sampler_is_looking(recorder->blocked) &&
	     passed_ns < RECORDER_AFTER_LATE_MS * NS_PER_MS))
		return;
	after_append(recorder);
	after_clear(recorder);
}

/* The capture has all up to now; an event says on everybody's axis of time where that is. */
static void after_begin(struct recorder *recorder, const char *name, const char *why, gint64 now_ms)
{
	const struct event_field fields[] = { { .name = "what", .unit = EVENT_TEXT, .text = why } };
	const struct event event = { .realtime_ns = (guint64)now_ms * NS_PER_MS,
				     .kind = RECORDER_EVENT,
				     .fields = fields,
				     .field_count = G_N_ELEMENTS(fields) };

	if (recorder->after.name && strcmp(recorder->after.name, name) != 0) /* the earlier gets what there is */
		after_append(recorder);
	after_clear(recorder);
	live_note(recorder->live, &event);
	recorder->after = (struct after){ .name = g_strdup(name),
					  .why = why,
					  .since_ms = now_ms,
					  .since_ns = clock_monotonic_ns(),
					  .is_looked = sampler_ask(recorder->blocked) };
}

char *recorder_freeze(struct recorder *recorder, const char *why, GError **error)
{
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS);
	g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc(now_ms / 1000);
	g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
	g_autofree char *name = g_strdup_printf("%s-%s" CAPTURE_SUFFIX, time, why);
	g_autofree char *path = g_build_filename(recorder->directory, name, NULL);
	struct freezing freezing = { .writer = capture_create(path, error) };

	if (!freezing.writer)
		return NULL;
	reel_each_packed(recorder->reel, now_ms - RECORDER_PRECEDING_MS, now_ms, freeze_frame, &freezing);
	reel_each_packed(recorder->stacks, now_ms - RECORDER_PRECEDING_MS, now_ms, freeze_frame, &freezing);
	freeze_look(&freezing, live_looked(recorder->live), now_ms);
	if (freezing.error) {
		g_propagate_error(error, freezing.error);
		capture_abandon(freezing.writer);
		return NULL;
	}
	if (!capture_close(freezing.writer, error)) {
		g_unlink(path);
		return NULL;
	}
	after_begin(recorder, name, why, now_ms);
	files_trim(recorder);
	return g_steal_pointer(&name);
}

/* ---- what happens ---- */

/* In this reading `whom` (NULL: the machine) is above the bound of the trigger. */
static void high_note(struct recorder *recorder, enum trigger trigger, const char *whom, const char *other)
{
	char *key = g_strdup_printf("%u %s %s", (guint)trigger, whom ? whom : "", other ? other : "");
	guint count = GPOINTER_TO_UINT(g_hash_table_lookup(recorder->high, key)) + 1;

	g_hash_table_replace(recorder->now, key, GUINT_TO_POINTER(count));
}

static GHashTable *high_new(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void high_begin(struct recorder *recorder)
{
	if (!recorder->now)
		recorder->now = high_new();
}

/* The first trigger of which something has just been above its bound for long enough; TRIGGERS: none. Once: what stays
 * high must fall before it counts again. */
static enum trigger high_end(struct recorder *recorder)
{
	enum trigger first = TRIGGERS;
	GHashTableIter iter;
	gpointer key, count;

	g_hash_table_iter_init(&iter, recorder->now);
	while (g_hash_table_iter_next(&iter, &key, &count)) {
		enum trigger trigger = (enum trigger)g_ascii_strtoull(key, NULL, 10);

		if (trigger < first && GPOINTER_TO_UINT(count) == recorder->triggers.of[trigger].readings)
			first = trigger;
	}
	g_hash_table_unref(recorder->high);
	recorder->high = g_steal_pointer(&recorder->now);
	return first;
}

static gboolean is_slow(const struct recorder *recorder, enum trigger trigger, const struct histogram_counts *counts)
{
	int bucket = counts->count >= RECORDER_WAITS_MIN ? histogram_quantile(counts, RECORDER_QUANTILE) : -1;

	return bucket >= 0 &&
	       (double)histogram_bucket_low(UNIT_NANOSECONDS, (guint)bucket) >= recorder->triggers.of[trigger].bound;
}

/* Rows of a histogram added up by the value of the label `by`, where `label` has `value` (or, unless `is_wanted`, any
 * other). */
static GHashTable *waits_by(const struct histogram *histogram, const char *by, const char *label, const char *value,
			    gboolean is_wanted)
{
	GHashTable *sums = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
	int at = histogram_label(histogram, label), key = histogram_label(histogram, by);

	for (guint32 row = 0; at >= 0 && key >= 0 && row < histogram->rows->len; row++) {
		const char *const *labels = histogram_values(histogram, row);
		struct histogram_counts *sum;

		if (!labels[key] || (g_strcmp0(labels[at], value) == 0) != is_wanted)
			continue;
		sum = g_hash_table_lookup(sums, labels[key]);
		if (!sum) {
			sum = g_new0(struct histogram_counts, 1);
			g_hash_table_insert(sums, (gpointer)labels[key], sum);
		}
		histogram_counts_add(sum,
				     &((const struct histogram_row *)g_ptr_array_index(histogram->rows, row))->counts);
	}
	return sums;
}

/* Waits for a CPU of containers. Time held back by the quota is another trigger's. */
static void runq_judge(struct recorder *recorder, const struct histogram *histogram)
{
	g_autoptr(GHashTable) sums = waits_by(histogram, "cgroup", "wait", "throttled", FALSE);
	GHashTableIter iter;
	gpointer cgroup, sum;

	g_hash_table_iter_init(&iter, sums);
	while (g_hash_table_iter_next(&iter, &cgroup, &sum)) {
		const struct live_resource *resource = live_resource_of(recorder->live, cgroup);

		if (resource && resource->is_container && is_slow(recorder, TRIGGER_RUNQ_LATENCY, sum))
			high_note(recorder, TRIGGER_RUNQ_LATENCY, cgroup, NULL);
	}
}

static void block_judge(struct recorder *recorder, const struct histogram *histogram)
{
	g_autoptr(GHashTable) sums = waits_by(histogram, "container", "time", "device", TRUE);
	GHashTableIter iter;
	gpointer container, sum;

	g_hash_table_iter_init(&iter, sums);
	while (g_hash_table_iter_next(&iter, &container, &sum))
		if (is_slow(recorder, TRIGGER_BLOCK_LATENCY, sum))
			high_note(recorder, TRIGGER_BLOCK_LATENCY, container, NULL);
}

static void times_judge(struct recorder *recorder, const struct edges *edges, enum trigger trigger, const char *times)
{
	int index = edges_histogram(edges, times);

	for (guint32 row = 0; index >= 0 && row < edges->rows->len; row++) {
		const struct edge *edge = g_ptr_array_index(edges->rows, row);

		if (edge->histograms[index] && is_slow(recorder, trigger, edge->histograms[index]))
			high_note(recorder, trigger, edges_source(edges, row).name, edges_target(edges, row).name);
	}
}

/* live_frame_fn */
static void frame_judge(void *user, const struct snapshot *frame)
{
	struct recorder *recorder = user;
	const struct trigger_setting *of = recorder->triggers.of;

	high_begin(recorder);
	for (guint i = 0; i < frame->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(frame->shapes, i);

		if (shape->histogram && of[TRIGGER_RUNQ_LATENCY].is_on && g_strcmp0(shape->probe, "runq") == 0)
			runq_judge(recorder, shape->histogram);
		if (shape->histogram && of[TRIGGER_BLOCK_LATENCY].is_on && g_strcmp0(shape->probe, "block") == 0)
			block_judge(recorder, shape->histogram);
		if (shape->edges && of[TRIGGER_CONNECT_LATENCY].is_on)
			times_judge(recorder, shape->edges, TRIGGER_CONNECT_LATENCY, "connect");
		if (shape->edges && of[TRIGGER_REQUEST_LATENCY].is_on)
			times_judge(recorder, shape->edges, TRIGGER_REQUEST_LATENCY, "request");
	}
}

static void row_judge(struct recorder *recorder, guint32 row)
{
	const struct live_resource *resource = live_resource(recorder->live, row);
	enum gauge_resource kind = gauges_row(live_interval(recorder->live)->readings, row)->resource;
	struct series_point point;

	if (!resource || !live_point(recorder->live, row, &point))
		return;
	for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
		const struct trigger_setting *setting = &recorder->triggers.of[values[i].trigger];

		if (setting->is_on && kind == (values[i].of_host ? GAUGE_RESOURCE_HOST : GAUGE_RESOURCE_CONTAINER) &&
		    series_is_known(&point, values[i].series) &&
		    (double)point.values[values[i].series] >= setting->bound)
			high_note(recorder, values[i].trigger, resource->cgroup, NULL);
	}
}

static void values_judge(struct recorder *recorder)
{
	const struct gauge_interval *interval = live_interval(recorder->live);

	for (guint32 row = 0; interval->changes && row < interval->changes->rows->len; row++)
		row_judge(recorder, row);
}

static guint64 counter_sum(const struct edges *edges, const char *prefix)
{
	guint64 sum = 0;

	for (guint i = 0; i < edges->counter_count; i++) {
		if (!g_str_has_prefix(edges->counters[i].name, prefix))
			continue;
		for (guint row = 0; row < edges->rows->len; row++)
			sum += ((const struct edge *)g_ptr_array_index(edges->rows, row))->counters[i];
	}
	return sum;
}

static void edges_judge(struct recorder *recorder)
{
	const struct trigger_setting *setting = &recorder->triggers.of[TRIGGER_CONNECTION_ERRORS];
	const struct edges *edges = live_edges(recorder->live);
	guint64 opens, failed, opens_before = recorder->opens, failed_before = recorder->failed;

	if (!edges)
		return;
	recorder->opens = opens = counter_sum(edges, "opens");
	recorder->failed = failed = counter_sum(edges, "failed_");
	if (!opens_before || failed < failed_before || opens < opens_before) /* the first, or some were forgotten */
		return;
	failed -= failed_before;
	opens -= opens_before;
	if (setting->is_on && failed >= RECORDER_FAILED_MIN &&
	    (double)failed >= setting->bound * (double)(opens + failed))
		high_note(recorder, TRIGGER_CONNECTION_ERRORS, NULL, NULL);
}

void recorder_tick(struct recorder *recorder)
{
	guint64 ooms = live_events_total(recorder->live, LIVE_OOM), ooms_before = recorder->ooms;
	guint64 now_ns = clock_monotonic_ns();
	const char *why;
	enum trigger trigger;
	g_autoptr(GError) error = NULL;
	g_autofree char *name = NULL;

	recorder->ooms = ooms;
	after_tick(recorder);
	high_begin(recorder);
	values_judge(recorder);
	edges_judge(recorder);
	trigger = high_end(recorder);
	if (ooms > ooms_before && recorder->triggers.of[TRIGGER_OOM].is_on)
		trigger = TRIGGER_OOM;
	if (trigger == TRIGGERS || (recorder->frozen_ns && now_ns - recorder->frozen_ns < RECORDER_REST_S * NS_PER_S))
		return;
	recorder->frozen_ns = now_ns;
	why = trigger_name(trigger);
	name = recorder_freeze(recorder, why, &error);
	if (name)
		g_message("%s: the minutes before are in %s/%s", why, recorder->directory, name);
	else
		g_warning("%s: the minutes before could not be kept: %s", why, error->message);
}

/* ---- questions ---- */

static void triggers_write(const struct recorder *recorder, struct json_writer *json)
{
	json_begin_array(json, "triggers");
	for (guint i = 0; i < TRIGGERS; i++) {
		const struct trigger_setting *setting = &recorder->triggers.of[i];
		enum trigger_kind kind = trigger_kind((enum trigger)i);

		json_begin_object(json, NULL);
		json_string(json, "name", trigger_name((enum trigger)i));
		json_bool(json, "on", setting->is_on);
		if (kind == TRIGGER_SHARE)
			json_double(json, "share", setting->bound);
		if (kind == TRIGGER_LATENCY)
			json_uint(json, "p99_ns", (guint64)setting->bound);
		json_uint(json, "readings", setting->readings);
		json_end_object(json);
	}
	json_end_array(json);
}

void recorder_write(const struct recorder *recorder, struct json_writer *json)
{
	g_autoptr(GPtrArray) names = files_list(recorder);

	json_begin_array(json, "captures");
	for (guint i = 0; i < names->len; i++) {
		const char *name = g_ptr_array_index(names, i), *dash = strchr(name, '-');
		g_autofree char *path = g_build_filename(recorder->directory, name, NULL);
		g_autofree char *why = dash ? g_strndup(dash + 1, strlen(dash + 1) - strlen(CAPTURE_SUFFIX)) : NULL;
		GStatBuf status;

		if (g_stat(path, &status) != 0)
			continue;
		json_begin_object(json, NULL);
		json_string(json, "name", name);
		json_string(json, "why", why);
		json_uint(json, "bytes", (guint64)status.st_size);
		json_int(json, "time_ms", name_time_ms(name));
		json_bool(json, "is_complete", g_strcmp0(name, recorder->after.name) != 0);
		json_end_object(json);
	}
	json_end_array(json);
	triggers_write(recorder, json);
}

GBytes *recorder_read(const struct recorder *recorder, const char *name)
{
	g_autofree char *path = NULL;
	char *content;
	gsize length;

	if (!name_is_ours(name))
		return NULL;
	path = g_build_filename(recorder->directory, name, NULL);
	content = file_read(path, RECORDER_FILE_BYTES_MAX + (1 << 20), &length, NULL);
	return content ? g_bytes_new_take(content, length) : NULL;
}

struct recorder *recorder_new(const char *directory, struct live *live, struct reel *reel, struct reel *stacks,
			      struct sampler *blocked, const struct triggers *triggers)
{
	struct recorder *recorder = g_new0(struct recorder, 1);

	recorder->directory = g_strdup(directory);
	recorder->live = live;
	recorder->reel = reel;
	recorder->stacks = stacks;
	recorder->blocked = blocked;
	recorder->high = high_new();
	recorder->triggers = *triggers;
	live_watch_frames(live, frame_judge, recorder);
	return recorder;
}

void recorder_set_triggers(struct recorder *recorder, const struct triggers *triggers)
{
	recorder->triggers = *triggers;
	g_hash_table_remove_all(recorder->high);
	recorder->frozen_ns = 0;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	live_watch_frames(recorder->live, NULL, NULL);
	g_hash_table_unref(recorder->high);
	g_clear_pointer(&recorder->now, g_hash_table_unref);
	after_clear(recorder);
	g_free(recorder->directory);
	g_free(recorder);
}
