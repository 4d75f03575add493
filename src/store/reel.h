/* SPDX-License-Identifier: Apache-2.0 */
/* A reel: one snapshot an interval (connections, latencies, events, gauges), for as long as there is room. The last
 * minutes are kept packed at full resolution (recent.h); a database, where there is one, keeps them across restarts, and sums
 * of ten seconds and of a minute for longer. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"
#include "store/history.h"

#define REEL_MEMORY_BYTES (3u << 20) /* of each; a hundred containers' five minutes take half of it */
#define REEL_MINUTES 6 /* a range so short is answered at full resolution */
#define REEL_EVENTS_MAX 200 /* of one sum */

struct reel;
struct database;

enum reel_kind {
	REEL_SECONDS = 0, /* an interval a second */
	REEL_STACKS = 1, /* windows of a minute or so: on disk they stay as they are, for weeks */
};
/* `database` is the caller's (history's), may be NULL, and outlives the reel. */
struct reel *reel_new(struct database *database, enum reel_kind kind);
void reel_free(struct reel *reel);
void reel_set_minutes(struct reel *reel, guint minutes); /* as history_set_minutes */
void reel_hold(struct reel *reel, gsize bytes_max); /* as history_hold */

/* What an interval brought that ended at `time_ms` (since 1970); taken over. */
void reel_add(struct reel *reel, gint64 time_ms, struct snapshot *snapshot);

/* Calls `each` with the snapshots with from_ms < time ≤ to_ms, oldest first, at the resolution that history_each would
 * choose, which is returned. */
typedef void (*reel_fn)(void *user, gint64 time_ms, struct snapshot *snapshot);
enum history_resolution reel_each(struct reel *reel, gint64 from_ms, gint64 to_ms, guint step_ms, reel_fn each,
				  void *user);
/* All of them as one; owned by the caller; never NULL. */
struct snapshot *reel_sum(struct reel *reel, gint64 from_ms, gint64 to_ms, enum history_resolution *resolution);

/* The packed, compressed snapshots at full resolution with from_ms < time ≤ to_ms, oldest first. */
typedef void (*reel_packed_fn)(void *user, gint64 time_ms, const guint8 *bytes, gsize length);
void reel_each_packed(struct reel *reel, gint64 from_ms, gint64 to_ms, reel_packed_fn each, void *user);

gint64 reel_oldest_ms(const struct reel *reel); /* in memory; 0: nothing yet */
gsize reel_bytes(const struct reel *reel);
guint64 reel_damaged(const struct reel *reel); /* snapshots that could not be read back */
