/* SPDX-License-Identifier: Apache-2.0 */
/* History on disk: one SQLite file with a write-ahead log, so that a writer killed at any moment leaves a file that
 * opens, at most without its last transaction. Writing happens in a thread of its own, fed by a queue; when the disk is
 * full or fails it stops, says why, and tries again later, while everything else goes on.
 *
 * What waits together, as what one reading brings, is one transaction. The file never exceeds its budget: beyond it the
 * oldest ticks go first. Ticks come packed (series.h, pack.h) and compressed (pack_compress), and are handed out so; whoever
 * reads one checks it. */
#pragma once
#include <glib.h>

#include "store/history.h"

#define DATABASE_BUDGET_MIN (4u << 20)

#define DATABASE_ERROR (database_error_quark())
GQuark database_error_quark(void);
enum database_error {
	DATABASE_ERROR_OPEN = 1,
};

/* Opens or makes the file `path`. A file that is no database, or of a later version, is an error; one that is damaged
 * is moved aside (PATH.damaged) and begun anew, which `*note` says (owned by the caller, else NULL). */
struct database *database_open(const char *path, guint64 budget_bytes, char **note, GError **error);
/* Writes what waits, and closes. */
void database_close(struct database *database);

/* What ticks hold. Explicit values: they choose tables. */
enum database_lane {
	DATABASE_SERIES = 0, /* series.h */
	DATABASE_SHAPES = 1, /* pack.h */
	DATABASE_STACKS = 2, /* stacklog.h */
	DATABASE_LANES = 3,
};

/* Both take what they are given over and return at once; when the queue is full, the tick is dropped and counted. `id`: the
 * tick's number in its table, above all before it; 0: the next. */
void database_add(struct database *database, enum database_lane lane, enum history_resolution resolution, gint64 id,
		  gint64 time_ms, GBytes *tick);
void database_add_resource(struct database *database, const struct history_resource *resource);

/* Called for each, in order of arrival. */
typedef void (*database_tick_fn)(void *user, gint64 time_ms, const guint8 *bytes, gsize length);
/* Ticks with from_ms < time ≤ to_ms and a number below `before_id`, at most `limit`. */
void database_read(struct database *database, enum database_lane lane, enum history_resolution resolution,
		   gint64 before_id, gint64 from_ms, gint64 to_ms, guint limit, database_tick_fn each, void *user);
typedef void (*database_resource_fn)(void *user, const struct history_resource *resource);
/* The newest, at most `limit`. */
void database_read_resources(struct database *database, guint limit, database_resource_fn each, void *user);
/* By its number, where `wanted` has one, else by its key and birth. */
void database_find_resource(struct database *database, const struct history_resource *wanted, database_resource_fn each,
			    void *user);
/* Their names are kept, however old, until the next call. */
void database_keep_resources(struct database *database, const guint32 *ids, guint count);
/* Number of the newest tick; 0 when there is none. */
gint64 database_last_id(struct database *database, enum database_lane lane, enum history_resolution resolution);
/* Time of the oldest tick; 0 when there is none. */
gint64 database_oldest_ms(struct database *database, enum database_lane lane, enum history_resolution resolution);

/* The finest that is coarse enough for `step_ms` and the number of ticks, and whose oldest tick is not younger than it
 * need be. As long as there are seconds alone, those. */
enum history_resolution database_resolution(struct database *database, enum database_lane lane, gint64 from_ms,
					    gint64 to_ms, guint step_ms);

/* Is there more than a few seconds that it does not have: does much wait, is there trouble, was something dropped within
 * the last quarter of an hour? */
gboolean database_is_behind(struct database *database);

struct database_stats {
	guint64 bytes, budget_bytes, dropped;
	const char *trouble; /* NULL: none. Valid until the next call. */
};
void database_stats(struct database *database, struct database_stats *stats);
