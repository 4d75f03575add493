/* SPDX-License-Identifier: Apache-2.0 */
/* Each string has a number, which is its row's in the database: so the place where memory begins is known whatever the clock did. */
#include "store/recent.h"

#include "store/pack.h"
#include "store/strip.h"

struct recent {
	struct database *database; /* NULL: none */
	enum database_lane lane;
	enum history_resolution resolution;
	struct strip *strip;
	gsize bytes_max;
	guint minutes;
	gint64 last_id;
};

/* What is not on disk yet, or never will be, stays as long as there is room. */
static void bounds_set(struct recent *recent)
{
	gboolean keeps_up = recent->database && !database_is_behind(recent->database);

	strip_set_age_max(recent->strip, keeps_up ? (gint64)recent->minutes * 60 * 1000 : 0);
	strip_set_bytes_max(recent->strip, keeps_up ? MIN(RECENT_BYTES, recent->bytes_max) : recent->bytes_max);
}

void recent_add(struct recent *recent, gint64 time_ms, const guint8 *bytes, gsize length)
{
	g_autoptr(GBytes) packed = pack_compress(bytes, length);
	gsize size;
	const guint8 *data = g_bytes_get_data(packed, &size);

	bounds_set(recent);
	strip_add(recent->strip, time_ms, data, size);
	recent->last_id++;
	if (recent->database)
		database_add(recent->database, recent->lane, recent->resolution, recent->last_id, time_ms,
			     g_steal_pointer(&packed));
}

gboolean recent_reaches(const struct recent *recent, gint64 from_ms)
{
	gint64 step_ms = history_resolution_ms[HISTORY_SECOND], oldest_ms = recent_oldest_ms(recent);

	if (!oldest_ms || oldest_ms <= from_ms + step_ms)
		return oldest_ms != 0;
	oldest_ms = recent->database ? database_oldest_ms(recent->database, recent->lane, recent->resolution) : 0;
	return oldest_ms && oldest_ms <= from_ms + step_ms;
}

void recent_each(const struct recent *recent, gint64 from_ms, gint64 to_ms, database_tick_fn each, void *user)
{
	gint64 first_id = recent->last_id + 1 - strip_count(recent->strip); /* in memory */

	if (recent->database)
		database_read(recent->database, recent->lane, recent->resolution, first_id, from_ms, to_ms,
			      HISTORY_TICKS_MAX, each, user);
	strip_each(recent->strip, from_ms, to_ms, each, user);
}

gint64 recent_oldest_ms(const struct recent *recent)
{
	return strip_oldest_ms(recent->strip);
}

guint recent_count(const struct recent *recent)
{
	return strip_count(recent->strip);
}

gsize recent_memory_bytes(const struct recent *recent)
{
	return strip_memory_bytes(recent->strip);
}

struct recent *recent_new(struct database *database, enum database_lane lane, enum history_resolution resolution,
			  gsize bytes_max, guint count_max)
{
	struct recent *recent = g_new0(struct recent, 1);

	recent->database = database;
	recent->lane = lane;
	recent->resolution = resolution;
	recent->bytes_max = bytes_max;
	recent->strip = strip_new(bytes_max, count_max);
	recent->minutes = RECENT_MINUTES;
	recent->last_id = database ? database_last_id(database, lane, resolution) : 0;
	return recent;
}

void recent_set_limits(struct recent *recent, guint count_max, guint minutes)
{
	strip_set_count_max(recent->strip, count_max);
	recent->minutes = MIN(minutes, RECENT_MINUTES);
}

void recent_hold(struct recent *recent, gsize bytes_max)
{
	recent->bytes_max = bytes_max;
	strip_set_count_max(recent->strip, G_MAXUINT);
}

void recent_free(struct recent *recent)
{
	if (!recent)
		return;
	strip_free(recent->strip);
	g_free(recent);
}
