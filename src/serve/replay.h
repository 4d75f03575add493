/* SPDX-License-Identifier: Apache-2.0 */
/* What a capture says, shown by the agent in place of this machine: nothing is attached, read or measured. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "serve/live.h"
#include "kernel/census.h"
#include "store/reel.h"

#define REPLAY_READINGS_MAX 720 /* of longer captures every second, fourth … reading is kept */

struct replay_reading {
	gint64 time_ms;
	struct census *census;
};

struct replay {
	char *name, *host; /* the file's name without its directories; where it was made, NULL: not said */
	gint64 from_ms,
		to_ms; /* the first interval's begin and the last one's end, of those that were asked for; within their bounds */
	gint64 begin_ms, end_ms; /* the same of all the file */
	gint64 zero_ms; /* capture_zero_ms */
	gint64 first_ms; /* the first interval's end; 0: there are stacks alone */
	gint64 first_stacks_ms; /* likewise of stacks; 0: there are none */
	char *late; /* capture_lateness */
	GArray *readings; /* of struct replay_reading, of the machine, in order of time */
	GPtrArray *stacks; /* of char *, probes: of which it has stacks */
	guint64 cut_bytes; /* at the file's end, that are no whole segment */
};

/* Everything with from_ms < time ≤ to_ms goes to `live` (live_new_replay) and `stacks`, of windows of stacks what lies in that. NULL and `error` when the file is
 * no capture, is damaged, or holds nothing of that range. */
struct replay *replay_load(const char *path, gint64 from_ms, gint64 to_ms, struct live *live, struct reel *stacks,
			   GError **error);
void replay_free(struct replay *replay);
/* The reading nearest to a time; NULL: there is none. */
const struct replay_reading *replay_reading(const struct replay *replay, gint64 time_ms);
/* The member "replay" of the open object; null for NULL. */
void replay_write(const struct replay *replay, struct json_writer *json);
