/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/replay.h"

#include <string.h>

#include "base/units.h"
#include "observe/look_kept.h"
#include "store/capture.h"

struct loading {
	struct replay *replay;
	gint64 from_ms, to_ms;
	struct live *live;
	struct reel *stacks;
	guint readings, stride; /* met so far; of as many, one is kept */
};

/* A snapshot of its own with what the other one held. */
static struct snapshot *snapshot_steal(struct snapshot *from)
{
	struct snapshot *snapshot = snapshot_new(from->title);
	GPtrArray *none = snapshot->shapes;

	g_free(snapshot->host);
	snapshot->host = g_strdup(from->host);
	snapshot->start_realtime_ns = from->start_realtime_ns;
	snapshot->duration_ns = from->duration_ns;
	snapshot->frequency_hz = from->frequency_hz;
	snapshot->shapes = from->shapes;
	from->shapes = none;
	return snapshot;
}

static void reading_clear(gpointer data)
{
	census_free(((struct replay_reading *)data)->census);
}

/* Leaves every second reading, and takes half as many from now on: they stay equally far apart. */
static void readings_thin(struct loading *loading)
{
	GArray *readings = loading->replay->readings;

	for (guint i = readings->len; i-- > 1;)
		if (i % 2)
			g_array_remove_index(readings, i);
	loading->stride *= 2;
}

/* Readings of the machine stand between the intervals. FALSE: that is none. */
static gboolean reading_take(struct loading *loading, gint64 time_ms, const struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EVENTS);
	struct replay_reading reading = { .time_ms = time_ms };
	GArray *readings = loading->replay->readings;

	if (!shape || strcmp(shape->probe, LOOK_KEPT_PROBE) != 0)
		return FALSE;
	if (loading->readings++ % loading->stride)
		return TRUE;
	reading.census = look_kept(shape->events);
	if (!reading.census)
		return TRUE;
	g_array_append_val(readings, reading);
	if (readings->len >= REPLAY_READINGS_MAX)
		readings_thin(loading);
	return TRUE;
}

const struct replay_reading *replay_reading(const struct replay *replay, gint64 time_ms)
{
	const struct replay_reading *nearest = NULL;

	for (guint i = 0; i < replay->readings->len; i++) {
		const struct replay_reading *reading = &g_array_index(replay->readings, struct replay_reading, i);

		if (!nearest || ABS(reading->time_ms - time_ms) <= ABS(nearest->time_ms - time_ms))
			nearest = reading;
	}
	return nearest;
}

/* FALSE: it lies outside of what is wanted; else what is left of it, and when that began and ended. */
static gboolean loading_cut(const struct loading *loading, struct snapshot *snapshot, gint64 *begin_ms, gint64 *time_ms)
{
	if (!snapshot_find(snapshot, SHAPE_CALLTREE))
		return *time_ms > loading->from_ms && *time_ms <= loading->to_ms;
	if (!snapshot_cut(snapshot, loading->from_ms, loading->to_ms))
		return FALSE;
	*begin_ms = (gint64)(snapshot->start_realtime_ns / NS_PER_MS);
	*time_ms = MIN(*time_ms, loading->to_ms);
	return TRUE;
}

static void loading_stacks(struct loading *loading, gint64 time_ms, struct snapshot *snapshot)
{
	const struct shape *stacks = snapshot_find(snapshot, SHAPE_CALLTREE);
	struct replay *replay = loading->replay;
	enum live_part part = live_part_find(stacks->probe);

	if (part == LIVE_PROFILE || part == LIVE_OFFCPU)
		live_account(loading->live, part, stacks, 0);
	if (!replay->first_stacks_ms)
		replay->first_stacks_ms = time_ms;
	if (!g_ptr_array_find_with_equal_func(replay->stacks, stacks->probe, g_str_equal, NULL))
		g_ptr_array_add(replay->stacks, g_strdup(stacks->probe));
	reel_add(loading->stacks, time_ms, snapshot_steal(snapshot));
}

static void grow_range(gint64 *from_ms, gint64 *to_ms, gint64 begin_ms, gint64 end_ms)
{
	*from_ms = *from_ms ? MIN(*from_ms, begin_ms) : begin_ms;
	*to_ms = MAX(*to_ms, end_ms);
}

/* capture_fn */
static gboolean loading_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	struct loading *loading = user;
	struct replay *replay = loading->replay;
	gboolean has_stacks = snapshot_find(snapshot, SHAPE_CALLTREE) != NULL;
	gboolean is_shown = has_stacks || snapshot_find(snapshot, SHAPE_GAUGES); /* else it is for commands */
	gint64 begin_ms = time_ms - (gint64)(snapshot->duration_ns / NS_PER_MS);

	(void)error;
	if (is_shown) {
		snapshot_date(snapshot, time_ms);
		grow_range(&replay->begin_ms, &replay->end_ms, begin_ms, time_ms);
	}
	if (!loading_cut(loading, snapshot, &begin_ms, &time_ms) || reading_take(loading, time_ms, snapshot) ||
	    !is_shown)
		return TRUE;
	if (!replay->host)
		replay->host = g_strdup(snapshot->host);
	grow_range(&replay->from_ms, &replay->to_ms, MAX(begin_ms, loading->from_ms), time_ms);
	if (has_stacks) {
		loading_stacks(loading, time_ms, snapshot);
		return TRUE;
	}
	if (!replay->first_ms)
		replay->first_ms = time_ms;
	live_replay(loading->live, time_ms, snapshot_steal(snapshot));
	return TRUE;
}

struct replay *replay_load(const char *path, gint64 from_ms, gint64 to_ms, struct live *live, struct reel *stacks,
			   GError **error)
{
	struct replay *replay = g_new0(struct replay, 1);
	struct loading loading = {
		.replay = replay, .from_ms = from_ms, .to_ms = to_ms, .live = live, .stacks = stacks, .stride = 1
	};
	struct capture capture;

	replay->readings = g_array_new(FALSE, FALSE, sizeof(struct replay_reading));
	g_array_set_clear_func(replay->readings, reading_clear);
	replay->stacks = g_ptr_array_new_with_free_func(g_free);
	replay->name = g_path_get_basename(path);
	if (!capture_read_file(path, NULL, &capture, loading_frame, &loading, error)) {
		replay_free(replay);
		return NULL;
	}
	if (!replay->to_ms) {
		g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_FORMAT, "there is nothing in that range");
		replay_free(replay);
		return NULL;
	}
	replay->cut_bytes = capture.cut_bytes;
	replay->late = capture_lateness(&capture);
	replay->zero_ms = capture_zero_ms(capture.first_ms);
	return replay;
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	g_array_unref(replay->readings);
	g_ptr_array_unref(replay->stacks);
	g_free(replay->name);
	g_free(replay->late);
	g_free(replay->host);
	g_free(replay);
}

void replay_write(const struct replay *replay, struct json_writer *json)
{
	if (!replay) {
		json_null(json, "replay");
		return;
	}
	json_begin_object(json, "replay");
	json_string(json, "name", replay->name);
	json_string(json, "host", replay->host);
	json_int(json, "from_ms", replay->from_ms);
	json_int(json, "to_ms", replay->to_ms);
	json_int(json, "begin_ms", replay->begin_ms);
	json_int(json, "end_ms", replay->end_ms);
	json_int(json, "zero_ms", replay->zero_ms);
	json_uint(json, "cut_bytes", replay->cut_bytes);
	json_string(json, "late", replay->late);
	json_uint(json, "readings", replay->readings->len);
	json_begin_array(json, "stacks");
	for (guint i = 0; i < replay->stacks->len; i++)
		json_string(json, NULL, g_ptr_array_index(replay->stacks, i));
	json_end_array(json);
	json_end_object(json);
}
