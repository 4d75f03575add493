/* SPDX-License-Identifier: Apache-2.0 */
/* The finest of one lane: byte strings, each with a time, in the order in which they came. They are compressed once, and the
 * same bytes go to memory and to the database. Where there is a database that keeps up, memory holds the latest
 * minutes alone; what is older is read from disk, and each string comes once, wherever it is. Where there is none, or it fails
 * or lags, memory holds as much as there is room for, until the database has had its time again. */
#pragma once
#include <glib.h>

#include "store/database.h"

/* In memory, where a database has the rest: what the page asks for again and again. */
#define RECENT_MINUTES 2
#define RECENT_BYTES (1u << 20)

struct recent;

/* `database` may be NULL, and outlives it. Takes at most `bytes_max` bytes of memory (RECENT_BYTES, where a database has the
 * rest), holds at most `count_max` strings. */
struct recent *recent_new(struct database *database, enum database_lane lane, enum history_resolution resolution,
			  gsize bytes_max, guint count_max);
void recent_set_limits(struct recent *recent, guint count_max, guint minutes); /* minutes: with a database */
void recent_hold(struct recent *recent, gsize bytes_max); /* however many, in so many bytes; without a database */
void recent_free(struct recent *recent);

void recent_add(struct recent *recent, gint64 time_ms, const guint8 *bytes, gsize length);

/* Does it reach back to `from_ms`? FALSE while nothing was added. */
gboolean recent_reaches(const struct recent *recent, gint64 from_ms);
/* Those with from_ms < time ≤ to_ms, compressed, as zstd frames: the database's, then those in memory. `bytes` until
 * `each` returns, which must not add any. */
void recent_each(const struct recent *recent, gint64 from_ms, gint64 to_ms, database_tick_fn each, void *user);

gint64 recent_oldest_ms(const struct recent *recent); /* in memory; 0: nothing yet */
guint recent_count(const struct recent *recent); /* in memory */
gsize recent_memory_bytes(const struct recent *recent);
