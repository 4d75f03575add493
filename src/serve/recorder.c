/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/recorder.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "store/capture.h"

#define RECORDER_FAILED_MIN 20 /* connections in an interval, and a fifth of all */

/* A value of a container or the host that stays above its bound for so many readings in a row. */
static const struct {
	const char *why;
	enum series series;
	double bound;
	guint readings;
	gboolean of_host; /* else of any container */
} triggers[] = {
	{ "throttling", SERIES_THROTTLED, 0.5, 10, FALSE },
	{ "memory-pressure", SERIES_PRESSURE_MEMORY, 0.2, 5, FALSE },
	{ "io-pressure", SERIES_PRESSURE_IO, 0.5, 10, TRUE },
	{ "cpu-pressure", SERIES_PRESSURE_CPU, 0.8, 10, TRUE },
};

struct recorder {
	char *directory;
	struct live *live;
	struct reel *reel, *stacks;
	GHashTable *high; /* series id × triggers → readings in a row above the bound */
	guint64 ooms; /* seen so far */
	guint64 opens, failed; /* connections seen so far */
	guint64 frozen_ns; /* the last one that was not asked for; 0: none */
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
	GError *error;
};

/* reel_packed_fn */
static void freeze_frame(void *user, gint64 time_ms, const guint8 *bytes, gsize length)
{
	struct freezing *freezing = user;

	if (!freezing->error && capture_written(freezing->writer) + length < RECORDER_FILE_BYTES_MAX)
		capture_append(freezing->writer, time_ms, bytes, length, &freezing->error);
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
	reel_each_packed(recorder->reel, now_ms - RECORDER_PRECEDING_MS, G_MAXINT64, freeze_frame, &freezing);
	reel_each_packed(recorder->stacks, now_ms - RECORDER_PRECEDING_MS, G_MAXINT64, freeze_frame, &freezing);
	if (freezing.error) {
		g_propagate_error(error, freezing.error);
		capture_abandon(freezing.writer);
		return NULL;
	}
	if (!capture_close(freezing.writer, error)) {
		g_unlink(path);
		return NULL;
	}
	files_trim(recorder);
	return g_steal_pointer(&name);
}

/* ---- what happens ---- */

static gboolean is_above(const struct recorder *recorder, guint trigger, guint32 row)
{
	const struct live_resource *resource = live_resource(recorder->live, row);
	const struct gauge_row *reading = gauges_row(live_interval(recorder->live)->readings, row);
	struct series_point point;

	return resource && live_point(recorder->live, row, &point) &&
	       (reading->resource == GAUGE_RESOURCE_HOST) == triggers[trigger].of_host &&
	       (reading->resource == GAUGE_RESOURCE_CONTAINER || triggers[trigger].of_host) &&
	       series_is_known(&point, triggers[trigger].series) &&
	       (double)point.values[triggers[trigger].series] >= triggers[trigger].bound;
}

/* Why, when a value was above its bound for long enough; NULL: none was. */
static const char *values_judge(struct recorder *recorder)
{
	g_autoptr(GHashTable) before = recorder->high;
	const struct gauge_interval *interval = live_interval(recorder->live);
	const char *why = NULL;

	recorder->high = g_hash_table_new(NULL, NULL);
	for (guint32 row = 0; interval->changes && row < interval->changes->rows->len; row++) {
		for (guint i = 0; i < G_N_ELEMENTS(triggers); i++) {
			const struct live_resource *resource = live_resource(recorder->live, row);
			gpointer key;
			guint count;

			if (!is_above(recorder, i, row))
				continue;
			key = GUINT_TO_POINTER(resource->history_id * G_N_ELEMENTS(triggers) + i);
			count = GPOINTER_TO_UINT(g_hash_table_lookup(before, key)) + 1;
			g_hash_table_insert(recorder->high, key, GUINT_TO_POINTER(count));
			/* Once: what stays high must fall before it counts again. */
			if (count == triggers[i].readings && !why)
				why = triggers[i].why;
		}
	}
	return why;
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

static const char *edges_judge(struct recorder *recorder)
{
	const struct edges *edges = live_edges(recorder->live);
	guint64 opens, failed, opens_before = recorder->opens, failed_before = recorder->failed;

	if (!edges)
		return NULL;
	recorder->opens = opens = counter_sum(edges, "opens");
	recorder->failed = failed = counter_sum(edges, "failed_");
	if (!opens_before || failed < failed_before || opens < opens_before) /* the first, or some were forgotten */
		return NULL;
	failed -= failed_before;
	opens -= opens_before;
	return failed >= RECORDER_FAILED_MIN && failed * 4 >= opens ? "connection-errors" : NULL;
}

void recorder_tick(struct recorder *recorder)
{
	guint64 ooms = live_events_total(recorder->live, LIVE_OOM), ooms_before = recorder->ooms;
	const char *values = values_judge(recorder), *edges = edges_judge(recorder);
	const char *why = ooms > ooms_before ? "oom" : edges ? edges : values;
	g_autoptr(GError) error = NULL;
	g_autofree char *name = NULL;
	guint64 now_ns = clock_monotonic_ns();

	recorder->ooms = ooms;
	if (!why || (recorder->frozen_ns && now_ns - recorder->frozen_ns < RECORDER_REST_S * NS_PER_S))
		return;
	recorder->frozen_ns = now_ns;
	name = recorder_freeze(recorder, why, &error);
	if (name)
		g_message("%s: the minutes before are in %s/%s", why, recorder->directory, name);
	else
		g_warning("%s: the minutes before could not be kept: %s", why, error->message);
}

/* ---- questions ---- */

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
		json_int(json, "time_ms", (gint64)status.st_mtime * 1000);
		json_end_object(json);
	}
	json_end_array(json);
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

struct recorder *recorder_new(const char *directory, struct live *live, struct reel *reel, struct reel *stacks)
{
	struct recorder *recorder = g_new0(struct recorder, 1);

	recorder->directory = g_strdup(directory);
	recorder->live = live;
	recorder->reel = reel;
	recorder->stacks = stacks;
	recorder->high = g_hash_table_new(NULL, NULL);
	return recorder;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	g_hash_table_unref(recorder->high);
	g_free(recorder->directory);
	g_free(recorder);
}
