/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history.h"

#include <string.h>

#include "store/pack.h"
#include "store/recent.h"

const guint history_resolution_ms[HISTORY_RESOLUTIONS] = { 1000, 10000, 60000 };
const guint history_ticks_kept[HISTORY_RESOLUTIONS] = { 900, 8640, 40320 };

#define HISTORY_TICK_BYTES (16u << 20) /* of one, unpacked: more is damaged */
#define HISTORY_KEEP_EVERY 60 /* intervals: the database is told who lives */
#define HISTORY_LIVES_MS 60000 /* who was seen this long ago may still be there: readings may be late */

struct history {
	struct database *database; /* NULL: none */
	struct recent *ticks;
	guint64 damaged;
	struct series_mean *means[HISTORY_RESOLUTIONS]; /* of what the next coarser tick will be; [0] unused */
	gint64 mean_end_ms[HISTORY_RESOLUTIONS]; /* when it ends; 0: nothing in it */
	GHashTable *by_identity, *by_id; /* of struct history_resource */
	guint32 last_id;
	gint64 now_ms; /* of the last interval; 1: none yet */
	guint intervals;
	guint lived; /* when room was made last: so many are here that cannot go */
};

/* ---- names ---- */

static void resource_free(gpointer data)
{
	struct history_resource *resource = data;

	g_free(resource->name);
	g_free(resource->cgroup);
	g_free(resource);
}

static struct history_resource *resource_add(struct history *history, const struct history_resource *from)
{
	struct history_resource *resource = g_memdup2(from, sizeof(*from));

	resource->name = g_strdup(from->name);
	resource->cgroup = g_strdup(from->cgroup);
	g_hash_table_add(history->by_identity, resource);
	g_hash_table_insert(history->by_id, GUINT_TO_POINTER(resource->id), resource);
	history->last_id = MAX(history->last_id, resource->id);
	return resource;
}

/* database_resource_fn */
static void resource_known(void *user, const struct history_resource *resource)
{
	struct history *history = user;

	if (!g_hash_table_contains(history->by_id, GUINT_TO_POINTER(resource->id)) &&
	    !g_hash_table_contains(history->by_identity, resource))
		resource_add(history, resource);
}

/* It is told of in each interval as long as it lives. */
static gboolean resource_lives(const struct history *history, const struct history_resource *resource)
{
	return resource->last_ms >= history->now_ms - HISTORY_LIVES_MS;
}

static int by_last(gconstpointer left, gconstpointer right)
{
	const struct history_resource *a = *(struct history_resource *const *)left,
				      *b = *(struct history_resource *const *)right;

	if (a->last_ms != b->last_ms)
		return a->last_ms < b->last_ms ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static guint names_max(const struct history *history)
{
	return history->database ? HISTORY_NAMES_CACHED : HISTORY_NAMES_MAX;
}

/* Makes room: those go that were seen longest ago. What the database knows of them is read when it is asked for. */
static void resources_forget(struct history *history)
{
	g_autoptr(GPtrArray) gone = g_ptr_array_new();
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, history->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		if (!resource_lives(history, value))
			g_ptr_array_add(gone, value);
	g_ptr_array_sort(gone, by_last);
	for (guint i = 0; i + names_max(history) / 2 < gone->len; i++) {
		struct history_resource *resource = g_ptr_array_index(gone, i);

		g_hash_table_remove(history->by_id, GUINT_TO_POINTER(resource->id));
		g_hash_table_remove(history->by_identity, resource);
	}
	history->lived = g_hash_table_size(history->by_id) - MIN(gone->len, names_max(history) / 2);
}

/* Whoever lives keeps its name on disk. */
static void resources_keep(struct history *history)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, history->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct history_resource *resource = value;

		if (resource_lives(history, resource))
			g_array_append_val(ids, resource->id);
	}
	database_keep_resources(history->database, (const guint32 *)ids->data, ids->len);
}

guint32 history_id(struct history *history, guint64 key, guint64 birth_ns, const char *name, const char *cgroup)
{
	struct history_resource wanted = { .identity = { key, birth_ns } };
	struct history_resource *resource = g_hash_table_lookup(history->by_identity, &wanted);

	if (!resource && g_hash_table_size(history->by_id) >= names_max(history) + history->lived)
		resources_forget(history);
	if (!resource && history->database) {
		database_find_resource(history->database, &wanted, resource_known, history);
		resource = g_hash_table_lookup(history->by_identity, &wanted);
	}
	if (!resource) {
		wanted.id = history->last_id + 1;
		wanted.name = (char *)name;
		wanted.cgroup = (char *)cgroup;
		resource = resource_add(history, &wanted);
	} else if (strcmp(resource->name, name) == 0 && resource->last_ms) {
		resource->last_ms = history->now_ms;
		return resource->id;
	} else if (strcmp(resource->name, name) != 0) {
		g_free(resource->name);
		resource->name = g_strdup(name);
	}
	resource->last_ms = history->now_ms; /* told */
	if (history->database)
		database_add_resource(history->database, resource);
	return resource->id;
}

const struct history_resource *history_resource(struct history *history, guint32 id)
{
	const struct history_resource wanted = { .id = id };
	const struct history_resource *resource = g_hash_table_lookup(history->by_id, GUINT_TO_POINTER(id));

	if (resource || !history->database)
		return resource;
	database_find_resource(history->database, &wanted, resource_known, history);
	return g_hash_table_lookup(history->by_id, GUINT_TO_POINTER(id));
}

/* ---- ticks ---- */

/* The mean of resolution `which` is over: away with it. */
static void mean_flush(struct history *history, guint which)
{
	g_autoptr(GByteArray) tick = series_mean_take(history->means[which]);
	gint64 end_ms = history->mean_end_ms[which];

	history->mean_end_ms[which] = 0;
	if (tick && history->database)
		database_add(history->database, DATABASE_SERIES, (enum history_resolution)which, 0, end_ms,
			     pack_compress(tick->data, tick->len));
}

static void mean_add(struct history *history, guint which, gint64 time_ms, const GByteArray *tick)
{
	gint64 step_ms = history_resolution_ms[which];
	gint64 end_ms = (time_ms + step_ms - 1) / step_ms * step_ms;
	struct series_reader reader;
	struct series_point point;

	if (history->mean_end_ms[which] && history->mean_end_ms[which] != end_ms)
		mean_flush(history, which);
	history->mean_end_ms[which] = end_ms;
	series_reader_init(&reader, tick->data, tick->len);
	while (series_reader_next(&reader, &point))
		series_mean_add(history->means[which], &point);
}

void history_add(struct history *history, gint64 time_ms, GByteArray *packed)
{
	g_autoptr(GByteArray) tick = packed;

	history->now_ms = MAX(time_ms, 1);
	recent_add(history->ticks, time_ms, tick->data, tick->len);
	if (!history->database)
		return;
	if (history->intervals++ % HISTORY_KEEP_EVERY == 0)
		resources_keep(history);
	for (guint i = HISTORY_TEN_SECONDS; i < HISTORY_RESOLUTIONS; i++)
		mean_add(history, i, time_ms, tick);
}

/* ---- questions ---- */

struct query {
	struct history *history;
	guint32 id; /* 0: all */
	history_point_fn each;
	void *user;
};

/* database_tick_fn */
static void query_tick(void *user, gint64 time_ms, const guint8 *packed, gsize size)
{
	const struct query *query = user;
	g_autoptr(GBytes) tick = pack_decompress(packed, size, HISTORY_TICK_BYTES, NULL);
	struct series_reader reader;
	struct series_point point;
	gsize length;
	const guint8 *bytes = tick ? g_bytes_get_data(tick, &length) : NULL;

	if (!bytes) {
		query->history->damaged++;
		return;
	}
	series_reader_init(&reader, bytes, length);
	while (series_reader_next(&reader, &point)) {
		if (query->id && point.id != query->id)
			continue;
		query->each(query->user, time_ms, &point);
		if (query->id)
			return;
	}
}

enum history_resolution history_each(struct history *history, guint32 id, gint64 from_ms, gint64 to_ms, guint step_ms,
				     history_point_fn each, void *user)
{
	struct query query = { .history = history, .id = id, .each = each, .user = user };
	enum history_resolution resolution = HISTORY_SECOND;

	if (history->database && !recent_reaches(history->ticks, from_ms))
		resolution = database_resolution(history->database, DATABASE_SERIES, from_ms, to_ms, step_ms);
	if (resolution == HISTORY_SECOND)
		recent_each(history->ticks, from_ms, to_ms, query_tick, &query);
	else
		database_read(history->database, DATABASE_SERIES, resolution, G_MAXINT64, from_ms, to_ms,
			      HISTORY_TICKS_MAX, query_tick, &query);
	return resolution;
}

void history_stats(struct history *history, struct history_stats *stats)
{
	struct database_stats database = { 0 };

	if (history->database)
		database_stats(history->database, &database);
	*stats = (struct history_stats){
		.memory_bytes = recent_memory_bytes(history->ticks),
		.ticks = recent_count(history->ticks),
		.names = g_hash_table_size(history->by_id),
		.oldest_ms = recent_oldest_ms(history->ticks),
		.has_database = history->database != NULL,
		.trouble = database.trouble,
		.database_bytes = database.bytes,
		.budget_bytes = database.budget_bytes,
		.dropped = database.dropped,
		.damaged = history->damaged,
	};
}

struct history *history_new(struct database *database)
{
	struct history *history = g_new0(struct history, 1);

	history->database = database;
	history->now_ms = 1;
	history->ticks = recent_new(database, DATABASE_SERIES, HISTORY_SECOND, HISTORY_MEMORY_BYTES,
				    history_ticks_kept[HISTORY_SECOND]);
	history->by_identity = g_hash_table_new_full(identity_hash, identity_equal, resource_free, NULL);
	history->by_id = g_hash_table_new(NULL, NULL);
	for (guint i = HISTORY_TEN_SECONDS; i < HISTORY_RESOLUTIONS; i++)
		history->means[i] = series_mean_new();
	if (database)
		database_read_resources(database, HISTORY_NAMES_CACHED / 2, resource_known, history);
	return history;
}

void history_set_minutes(struct history *history, guint minutes)
{
	recent_set_limits(history->ticks, MIN(minutes, HISTORY_MINUTES) * 60, minutes);
}

void history_hold(struct history *history, gsize bytes_max)
{
	recent_hold(history->ticks, bytes_max);
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (guint i = HISTORY_TEN_SECONDS; i < HISTORY_RESOLUTIONS; i++) {
		mean_flush(history, i);
		series_mean_free(history->means[i]);
	}
	database_close(history->database);
	recent_free(history->ticks);
	g_hash_table_unref(history->by_id);
	g_hash_table_unref(history->by_identity);
	g_free(history);
}
