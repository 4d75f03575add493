/* SPDX-License-Identifier: Apache-2.0 */
/* History: what every container used, at three resolutions. The last minutes at full resolution stand in memory, within
 * a budget of bytes (with many containers the window is shorter, never the resolution worse). A database
 * (database.h), where there is one, keeps all of it across restarts and the coarser ones for longer; then memory holds
 * only what is newest (recent.h).
 *
 * Times are milliseconds since 1970, for people; order is that of arrival, so a clock that jumps back loses nothing. */
#pragma once
#include <glib.h>

#include "model/identity.h"
#include "store/series.h"

struct history;
struct database;

enum history_resolution {
	HISTORY_SECOND = 0,
	HISTORY_TEN_SECONDS = 1,
	HISTORY_MINUTE = 2,
	HISTORY_RESOLUTIONS = 3,
};
extern const guint history_resolution_ms[HISTORY_RESOLUTIONS];
/* Ticks kept on disk: 15 minutes, a day, four weeks. */
extern const guint history_ticks_kept[HISTORY_RESOLUTIONS];

#define HISTORY_MEMORY_BYTES (6u << 20) /* compressed */
#define HISTORY_TICKS_MAX 2000 /* read for one answer */
#define HISTORY_RESOURCES_MAX 20000 /* names on disk, once its budget is used up: the newest, and whoever lives */
#define HISTORY_NAMES_MAX 4096 /* names in memory, but for the living */
#define HISTORY_NAMES_CACHED 1024 /* likewise, where a database has them all: the rest is read when it is asked for */

/* Somebody with a history. */
struct history_resource {
	struct identity identity; /* first: what it is found by */
	guint32 id;
	char *name, *cgroup; /* raw bytes; cgroup may be NULL */
	gint64 last_ms; /* the interval after which it was last seen; 0: not since the start */
};

/* `database` may be NULL; owned by the history then. */
struct history *history_new(struct database *database);
void history_free(struct history *history);

/* So many minutes stand in memory (15 unless it is told; no more), as far as there is room; of a database's, RECENT_MINUTES
 * at most. */
#define HISTORY_MINUTES 15
void history_set_minutes(struct history *history, guint minutes);
/* Holds all that comes, in at most so many bytes: for what has an end. Without a database. */
void history_hold(struct history *history, gsize bytes_max);

/* The number under which the points of a resource that lives are kept: the same after a restart when there is a database. */
guint32 history_id(struct history *history, guint64 key, guint64 birth_ns, const char *name, const char *cgroup);
/* By number; NULL when unknown. Owned by the history, until the next history_id. */
const struct history_resource *history_resource(struct history *history, guint32 id);

/* The points of one interval that ends at `time_ms`; `tick` (series_tick_new) is taken over. */
void history_add(struct history *history, gint64 time_ms, GByteArray *tick);

/* Calls `each` for the points with from_ms < time ≤ to_ms of resource `id` (0: of all), oldest first; `time_ms` is the
 * end of the point's interval. The resolution is the finest that needs no more than HISTORY_TICKS_MAX ticks, is no finer
 * than `step_ms` asks for where that is coarser, and reaches back so far; it is returned. */
typedef void (*history_point_fn)(void *user, gint64 time_ms, const struct series_point *point);
enum history_resolution history_each(struct history *history, guint32 id, gint64 from_ms, gint64 to_ms, guint step_ms,
				     history_point_fn each, void *user);

struct history_stats {
	gsize memory_bytes, ticks, names;
	gint64 oldest_ms; /* in memory; 0: nothing yet */
	const char *trouble; /* why nothing is written to disk; NULL: it is, or there is no database */
	gboolean has_database;
	guint64 database_bytes, budget_bytes;
	guint64 dropped; /* ticks that were not written */
	guint64 damaged; /* that could not be read back */
};
void history_stats(struct history *history, struct history_stats *stats);
