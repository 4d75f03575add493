/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/verdicts.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "diagnose/report.h"
#include "observe/vitals.h"
#include "store/pack.h"

#define VERDICTS_CONFIG_BYTES_MAX (64u << 10)
#define VERDICTS_CRITICAL 0.5 /* of its thread time lost */

struct verdicts {
	struct live *live;
	struct diagnose_config config;
	struct vitals *vitals;
	struct gauges *before; /* a copy of the reading the window began with; NULL: none yet */
	guint64 before_ns;
	gint64 time_ms; /* of the last diagnosis; 0: none yet */
	guint every_ms; /* 0: there will be no other */
	struct snapshot *whole; /* of a capture; NULL: the windows alone */
	GPtrArray *windows; /* of struct snapshot *, the latest last */
	struct diagnosis *diagnosis;
	GHashTable *lasting; /* "key rule" → gint64 *: since when in a row */
	guint64 cost_ns;
};

static void config_read(struct diagnose_config *config, char **note)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	gsize length = 0;

	diagnose_config_init(config);
	if (access(DIAGNOSE_CONFIG_PATH, R_OK) != 0)
		return;
	text = file_read(DIAGNOSE_CONFIG_PATH, VERDICTS_CONFIG_BYTES_MAX, &length, &error);
	if (text && diagnose_config_load(config, text, length, &error))
		return;
	diagnose_config_init(config);
	*note = g_strdup_printf("verdicts: %s: %s: the built-in thresholds are used", DIAGNOSE_CONFIG_PATH,
				error->message);
}

struct verdicts *verdicts_new(struct live *live, char **note)
{
	struct verdicts *verdicts = g_new0(struct verdicts, 1);

	verdicts->live = live;
	verdicts->every_ms = VERDICTS_WINDOW_S * 1000;
	*note = NULL;
	config_read(&verdicts->config, note);
	if (live_registry(live))
		verdicts->vitals = vitals_new(live_registry(live));
	verdicts->windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	verdicts->lasting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return verdicts;
}

void verdicts_free(struct verdicts *verdicts)
{
	if (!verdicts)
		return;
	diagnosis_free(verdicts->diagnosis);
	g_ptr_array_unref(verdicts->windows);
	gauges_free(verdicts->before);
	if (verdicts->vitals)
		vitals_free(verdicts->vitals);
	snapshot_free(verdicts->whole);
	g_hash_table_unref(verdicts->lasting);
	g_free(verdicts);
}

/* The last reading, with what a diagnosis wants to know beside it. Owned by the caller. */
static struct gauges *reading_copy(struct verdicts *verdicts)
{
	const struct gauges *readings = live_interval(verdicts->live)->readings;
	struct gauges *copy = gauges_new();

	for (guint32 i = 0; i < readings->rows->len; i++)
		gauges_copy(copy, gauges_row(readings, i));
	vitals_add(verdicts->vitals, copy);
	/* Where kernel programs tell of the threads' waits, this finds nothing to do. */
	if (!gauge_is_known(gauges_row(copy, 0), GAUGE_RUNQUEUE_WAIT))
		vitals_add_waits(verdicts->vitals, copy);
	return copy;
}

static char *lasting_key(const struct finding *finding)
{
	return g_strdup_printf("%" G_GUINT64_FORMAT " %s", finding->subject->key, finding->name);
}

/* Since when each finding has been there, window after window. */
static void lasting_update(struct verdicts *verdicts, gint64 window_ms)
{
	GHashTable *now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

	for (guint i = 0; i < verdicts->diagnosis->findings->len; i++) {
		g_autofree char *key = lasting_key(g_ptr_array_index(verdicts->diagnosis->findings, i));
		const gint64 *since = g_hash_table_lookup(verdicts->lasting, key);
		gint64 begin_ms = since ? *since : verdicts->time_ms - window_ms;

		g_hash_table_replace(now, g_steal_pointer(&key), g_memdup2(&begin_ms, sizeof(begin_ms)));
	}
	g_hash_table_unref(verdicts->lasting);
	verdicts->lasting = now;
}

static void window_end(struct verdicts *verdicts, struct gauges *now, guint64 now_ns)
{
	struct snapshot *window = snapshot_new(NULL);
	struct shape *shape = shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT);

	gauges_free(shape->gauges);
	shape->gauges = gauges_diff(verdicts->before, now);
	gauges_forget_newcomers(shape->gauges, verdicts->before, GAUGE_CPUSET_IDLE);
	window->duration_ns = now_ns - verdicts->before_ns;
	g_ptr_array_add(window->shapes, shape);
	if (verdicts->windows->len == VERDICTS_WINDOWS)
		g_ptr_array_remove_index(verdicts->windows, 0);
	g_ptr_array_add(verdicts->windows, window);
	diagnosis_free(verdicts->diagnosis);
	verdicts->diagnosis = diagnose(window, verdicts->windows, &verdicts->config);
	verdicts->time_ms = live_time_ms(verdicts->live);
	lasting_update(verdicts, VERDICTS_WINDOW_S * 1000);
}

void verdicts_tick(struct verdicts *verdicts)
{
	guint64 began_ns = clock_thread_ns(), now_ns = clock_monotonic_ns();
	const struct gauge_interval *interval = live_interval(verdicts->live);
	struct gauges *now;

	if (!interval->readings || interval->readings->rows->len == 0)
		return;
	/* Half a second early is still that tick. */
	if (verdicts->before && now_ns - verdicts->before_ns < VERDICTS_WINDOW_S * NS_PER_S - NS_PER_S / 2)
		return;
	now = reading_copy(verdicts);
	if (verdicts->before)
		window_end(verdicts, now, now_ns);
	gauges_free(verdicts->before);
	verdicts->before = now;
	verdicts->before_ns = now_ns;
	verdicts->cost_ns += clock_thread_ns() - began_ns;
}

/* reel_fn */
static void replay_frame(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	struct snapshot *frame = snapshot_new(NULL);

	(void)time_ms;
	pack_merge(frame, snapshot); /* takes over what is in it */
	g_ptr_array_add(user, frame);
}

void verdicts_replay(struct verdicts *verdicts, struct reel *reel, struct reel *stacks, gint64 from_ms, gint64 to_ms)
{
	g_autoptr(GPtrArray) frames = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	g_autoptr(GPtrArray) sampled = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	guint64 began_ns = clock_thread_ns();

	reel_each(reel, from_ms, to_ms, 1000, replay_frame, frames);
	reel_each(stacks, from_ms, to_ms, 1000, replay_frame, sampled);
	g_ptr_array_unref(verdicts->windows);
	verdicts->whole = pack_merge_all(frames, VERDICTS_WINDOWS, &verdicts->windows);
	for (guint i = 0; i < sampled->len; i++) { /* beside the intervals, not after them */
		guint64 duration_ns = verdicts->whole->duration_ns;

		pack_merge(verdicts->whole, g_ptr_array_index(sampled, i));
		verdicts->whole->duration_ns = duration_ns;
	}
	verdicts->diagnosis = diagnose(verdicts->whole, verdicts->windows, &verdicts->config);
	verdicts->time_ms = to_ms;
	verdicts->every_ms = 0;
	lasting_update(verdicts, to_ms - from_ms);
	verdicts->cost_ns += clock_thread_ns() - began_ns;
}

guint64 verdicts_cost_ns(const struct verdicts *verdicts)
{
	return verdicts->cost_ns;
}

const char *verdicts_first(const struct verdicts *verdicts, guint64 key, const char **fault, const char **sentence)
{
	const struct diagnosis *diagnosis = verdicts->diagnosis;

	for (guint i = 0; diagnosis && i < diagnosis->findings->len; i++) {
		const struct finding *finding = g_ptr_array_index(diagnosis->findings, i);

		if (finding->subject->key != key)
			continue;
		*fault = report_fault_name(finding->fault);
		*sentence = finding->sentence;
		return finding->name;
	}
	*fault = *sentence = NULL;
	return diagnosis && facts_by_key(diagnosis->facts, key) ? "" : NULL;
}

/* ---- JSON ---- */

/* The number of its history; 0: none, or it has gone. */
static guint32 series_of(const struct verdicts *verdicts, guint64 key)
{
	const struct gauges *readings = live_interval(verdicts->live)->readings;

	for (guint32 i = 0; readings && i < readings->rows->len; i++) {
		const struct live_resource *resource = live_resource(verdicts->live, i);

		if (resource && resource->identity.key == key)
			return resource->history_id;
	}
	return 0;
}

static const char *severity(const struct finding *finding)
{
	if (finding->rule && finding->rule->is_note)
		return "info";
	return finding->score >= VERDICTS_CRITICAL && finding->confidence > CONFIDENCE_LOW ? "critical" : "warning";
}

static void write_finding(const struct verdicts *verdicts, struct json_writer *json, const struct finding *finding)
{
	g_autofree char *key = lasting_key(finding);
	const gint64 *since = g_hash_table_lookup(verdicts->lasting, key);

	json_begin_object(json, NULL);
	json_uint(json, "series", series_of(verdicts, finding->subject->key));
	json_string(json, "container", finding->subject->name);
	json_string(json, "rule", finding->name);
	json_string(json, "resource", finding->resource);
	json_string(json, "severity", severity(finding));
	json_string(json, "title", finding->sentence);
	json_string(json, "fault", report_fault_name(finding->fault));
	json_string(json, "culprit", finding->culprit);
	json_double(json, "score", finding->score);
	json_string(json, "confidence", confidence_name(finding->confidence));
	json_begin_array(json, "evidence");
	for (guint i = 0; i < finding->evidence->len; i++) {
		g_autofree char *words =
			report_evidence(&g_array_index(finding->evidence, struct evidence, i), &verdicts->config);

		json_string(json, NULL, words);
	}
	json_end_array(json);
	json_string(json, "disproof", finding->disproof);
	json_string(json, "advice", finding->advice);
	json_string(json, "more", finding->more);
	json_int(json, "since_ms", since ? *since : verdicts->time_ms);
	json_end_object(json);
}

static void write_findings(const struct verdicts *verdicts, struct json_writer *json, const GPtrArray *findings)
{
	for (guint i = 0; i < findings->len; i++)
		write_finding(verdicts, json, g_ptr_array_index(findings, i));
}

void verdicts_write(const struct verdicts *verdicts, struct json_writer *json)
{
	const struct diagnosis *diagnosis = verdicts->diagnosis;

	json_int(json, "time_ms", verdicts->time_ms);
	json_uint(json, "every_ms", verdicts->every_ms);
	json_uint(json, "cost_ns", verdicts->cost_ns);
	json_begin_array(json, "verdicts");
	if (diagnosis) {
		write_findings(verdicts, json, diagnosis->findings);
		write_findings(verdicts, json, diagnosis->notes);
	}
	json_end_array(json);
	if (!diagnosis) /* the first window has not ended */
		return;
	json_uint(json, "window_ns", diagnosis->facts->duration_ns);
	json_bool(json, "conclusive", diagnosis_is_conclusive(diagnosis));
	json_uint(json, "containers", diagnosis->facts->subjects->len);
	report_checked(json, diagnosis);
}
