/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's own diagnosis: every few seconds the rules of diagnose/ over what the readings of that time say. It is the
 * diagnosis from files (plus the threads' waits for CPUs): what only kernel programs tell, of locks, disks and
 * connections, is listed as not known; fathom diagnose looks at that, too. A capture is judged once, by all it holds. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "serve/live.h"

#define VERDICTS_WINDOW_S 10
#define VERDICTS_WINDOWS 3 /* kept, to tell what lasts from what has passed */

struct verdicts;

/* `live` is the caller's and outlives it. Thresholds come from the file fathom diagnose reads, too; one that cannot be
 * understood is named in `note` (owned by the caller) and the built-in ones are used. */
struct verdicts *verdicts_new(struct live *live, char **note);
void verdicts_free(struct verdicts *verdicts);
/* Of a capture in place of readings: one diagnosis of all that the reels hold of it, and no other. */
void verdicts_replay(struct verdicts *verdicts, struct reel *reel, struct reel *stacks, gint64 from_ms, gint64 to_ms);
/* After each reading. */
void verdicts_tick(struct verdicts *verdicts);
/* CPU time of this thread it took since the start, nanoseconds. */
guint64 verdicts_cost_ns(const struct verdicts *verdicts);
/* The first verdict of the container with that key: its name, "" when nothing was found, NULL when nothing is known yet.
 * `fault`, `sentence` (may be NULL) likewise. Valid until the next tick. */
const char *verdicts_first(const struct verdicts *verdicts, guint64 key, const char **fault, const char **sentence);
/* Members of an object: time_ms, findings … */
void verdicts_write(const struct verdicts *verdicts, struct json_writer *json);
