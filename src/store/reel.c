/* SPDX-License-Identifier: Apache-2.0 */
#include "store/reel.h"

#include "store/pack.h"
#include "store/recent.h"

struct reel {
	struct database *database; /* NULL: none */
	enum reel_kind kind;
	struct recent *frames;
	struct snapshot *sums[HISTORY_RESOLUTIONS]; /* what the next coarser one will be; [0] unused */
	gint64 sum_end_ms[HISTORY_RESOLUTIONS];
	guint64 damaged;
};

static void sum_add(struct reel *reel, guint which, gint64 time_ms, struct snapshot *snapshot);

/* A sum is complete: it goes to the database, and into the next coarser one. */
static void sum_flush(struct reel *reel, guint which)
{
	g_autoptr(snapshot_t) sum = g_steal_pointer(&reel->sums[which]);

	if (!sum)
		return;
	database_add(reel->database, DATABASE_SHAPES, (enum history_resolution)which, 0, reel->sum_end_ms[which],
		     pack_snapshot_compressed(sum));
	if (which + 1 < HISTORY_RESOLUTIONS)
		sum_add(reel, which + 1, reel->sum_end_ms[which], g_steal_pointer(&sum));
}

/* Takes the snapshot over. */
static void sum_add(struct reel *reel, guint which, gint64 time_ms, struct snapshot *snapshot)
{
	gint64 step_ms = history_resolution_ms[which];
	gint64 end_ms = (time_ms + step_ms - 1) / step_ms * step_ms;

	if (reel->sums[which] && reel->sum_end_ms[which] != end_ms)
		sum_flush(reel, which);
	reel->sum_end_ms[which] = end_ms;
	if (!reel->sums[which]) {
		struct shape *events = snapshot_find(snapshot, SHAPE_EVENTS);

		if (events)
			events->events->limit = REEL_EVENTS_MAX;
		reel->sums[which] = snapshot;
		return;
	}
	pack_merge(reel->sums[which], snapshot);
	snapshot_free(snapshot);
}

void reel_add(struct reel *reel, gint64 time_ms, struct snapshot *snapshot)
{
	g_autoptr(GBytes) raw = pack_snapshot(snapshot);
	gsize length;
	const guint8 *bytes = g_bytes_get_data(raw, &length);

	recent_add(reel->frames, time_ms, bytes, length);
	if (reel->database && reel->kind == REEL_SECONDS)
		sum_add(reel, HISTORY_TEN_SECONDS, time_ms, snapshot);
	else
		snapshot_free(snapshot);
}

/* ---- questions ---- */

struct query {
	struct reel *reel;
	reel_fn each;
	void *user;
};

/* reel_packed_fn, database_tick_fn */
static void query_packed(void *user, gint64 time_ms, const guint8 *bytes, gsize length)
{
	const struct query *query = user;
	g_autoptr(snapshot_t) snapshot = pack_read_compressed(bytes, length, NULL, NULL);

	if (snapshot)
		query->each(query->user, time_ms, snapshot);
	else
		query->reel->damaged++;
}

void reel_each_packed(struct reel *reel, gint64 from_ms, gint64 to_ms, reel_packed_fn each, void *user)
{
	recent_each(reel->frames, from_ms, to_ms, each, user);
}

/* Of a range that reaches back beyond what is in memory. */
static enum history_resolution resolution_for(struct reel *reel, gint64 from_ms, gint64 to_ms, guint step_ms)
{
	if (reel->kind == REEL_STACKS)
		return HISTORY_MINUTE;
	if (to_ms - from_ms <= (gint64)REEL_MINUTES * 60 * 1000 && recent_reaches(reel->frames, from_ms))
		return HISTORY_SECOND;
	return database_resolution(reel->database, DATABASE_SHAPES, from_ms, to_ms, step_ms);
}

enum history_resolution reel_each(struct reel *reel, gint64 from_ms, gint64 to_ms, guint step_ms, reel_fn each,
				  void *user)
{
	struct query query = { .reel = reel, .each = each, .user = user };
	gint64 oldest_ms = reel_oldest_ms(reel);
	enum history_resolution resolution = HISTORY_SECOND;

	if (reel->database && !(oldest_ms && oldest_ms <= from_ms + history_resolution_ms[HISTORY_SECOND]))
		resolution = resolution_for(reel, from_ms, to_ms, step_ms);
	if (resolution == HISTORY_SECOND || reel->kind == REEL_STACKS)
		recent_each(reel->frames, from_ms, to_ms, query_packed, &query);
	else
		database_read(reel->database, DATABASE_SHAPES, resolution, G_MAXINT64, from_ms, to_ms,
			      HISTORY_TICKS_MAX, query_packed, &query);
	return resolution;
}

/* reel_fn */
static void sum_all(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	(void)time_ms;
	pack_merge(user, snapshot);
}

struct snapshot *reel_sum(struct reel *reel, gint64 from_ms, gint64 to_ms, enum history_resolution *resolution)
{
	struct snapshot *sum = snapshot_new(NULL);
	gint64 length_ms = MAX(to_ms - from_ms, 0);

	/* Coarse ones suffice for the inside of a long range. */
	*resolution = reel_each(reel, from_ms, to_ms, (guint)MIN(length_ms / 100, G_MAXINT32), sum_all, sum);
	return sum;
}

gint64 reel_oldest_ms(const struct reel *reel)
{
	return recent_oldest_ms(reel->frames);
}

gsize reel_bytes(const struct reel *reel)
{
	return recent_memory_bytes(reel->frames);
}

guint64 reel_damaged(const struct reel *reel)
{
	return reel->damaged;
}

struct reel *reel_new(struct database *database, enum reel_kind kind)
{
	struct reel *reel = g_new0(struct reel, 1);

	reel->database = database;
	reel->kind = kind;
	reel->frames = kind == REEL_STACKS ? recent_new(database, DATABASE_STACKS, HISTORY_MINUTE, REEL_MEMORY_BYTES,
							history_ticks_kept[HISTORY_SECOND])
					   : recent_new(database, DATABASE_SHAPES, HISTORY_SECOND, REEL_MEMORY_BYTES,
							history_ticks_kept[HISTORY_SECOND]);
	reel_set_minutes(reel, HISTORY_MINUTES);
	return reel;
}

void reel_set_minutes(struct reel *reel, guint minutes)
{
	guint count =
		reel->kind == REEL_SECONDS ? MIN(minutes, HISTORY_MINUTES) * 60 : history_ticks_kept[HISTORY_SECOND];

	recent_set_limits(reel->frames, count, minutes);
}

void reel_hold(struct reel *reel, gsize bytes_max)
{
	recent_hold(reel->frames, bytes_max);
}

void reel_free(struct reel *reel)
{
	if (!reel)
		return;
	for (guint i = HISTORY_TEN_SECONDS; i < HISTORY_RESOLUTIONS; i++)
		sum_flush(reel, i);
	recent_free(reel->frames);
	g_free(reel);
}
