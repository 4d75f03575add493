/* SPDX-License-Identifier: Apache-2.0 */
/* The flight recorder: what the last minutes were, at full resolution, kept as a capture file when something happens
 * that people will ask about later. `fathom replay` reads them. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "serve/live.h"
#include "serve/sampler.h"
#include "serve/triggers.h"
#include "store/reel.h"

#define RECORDER_PRECEDING_MS (5 * 60 * 1000)
#define RECORDER_REST_S 600 /* between two that were not asked for */
#define RECORDER_AFTER_MS (10 * 1000) /* belong to it, too */
#define RECORDER_AFTER_LATE_MS (90 * 1000) /* a window of stacks that has not ended by then is left out */
#define RECORDER_EVENT "capture"
#define RECORDER_FILES_MAX 8 /* the eldest goes */
#define RECORDER_FILE_BYTES_MAX (32u << 20)

struct recorder;

/* Captures go to `directory`, which exists; the reels, `live` and `blocked` (who looks at blocked threads right after something has
 * happened) are the caller's and outlive it. */
struct recorder *recorder_new(const char *directory, struct live *live, struct reel *reel, struct reel *stacks,
			      struct sampler *blocked, const struct triggers *triggers);
void recorder_free(struct recorder *recorder);
/* Others from now on; what was kept before them does not make it rest. */
void recorder_set_triggers(struct recorder *recorder, const struct triggers *triggers);
/* After each reading: does something happen? And what came after it goes into its capture. */
void recorder_tick(struct recorder *recorder);
/* Now; `why` is one plain word. What follows is appended by recorder_tick. Name of the file, owned by the caller; NULL and `error`. */
char *recorder_freeze(struct recorder *recorder, const char *why, GError **error);
/* Arrays of the open object: "captures" (name, bytes, time_ms, why, is_complete: what came after is in it) and "triggers" (name, on, bound and readings). */
void recorder_write(const struct recorder *recorder, struct json_writer *json);
/* The bytes of one of them; NULL when there is none of that name. Owned by the caller. */
GBytes *recorder_read(const struct recorder *recorder, const char *name);
