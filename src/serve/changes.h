/* SPDX-License-Identifier: Apache-2.0 */
/* What changed about containers between two readings, as events: who came, ended, came back or was replaced, and whose
 * limits are others than before. They explain what the numbers beside them do.
 *
 *   start    one that was not there before; field image
 *   restart  it was there and ended, and is back: the same id, or the same pod
 *   deploy   another of the same name takes the place of one that ended, or it is back with another image; fields image,
 *            image_before
 *   stop     it ended
 *   limit    fields limit (cpu, memory, pids, memory.high), before and after (billionths of a core, bytes or a count; absent:
 *            none), change (in words)
 *
 * A limit is told when it is read again, up to ten seconds after its change. Who is there at the first reading is no news. Pure: no file, no clock. */
#pragma once
#include <glib.h>

#include "model/events.h"
#include "model/gauges.h"

/* Of ended containers that are remembered: the latest. A return of others is told as a start. */
#define CHANGES_NAMES_MAX 1024
#define CHANGES_NAME_READINGS 4 /* an unnamed newcomer is waited for */

struct changes;

struct changes *changes_new(void);
void changes_free(struct changes *changes);

guint changes_remembered(const struct changes *changes); /* ended containers */

typedef void (*changes_fn)(void *user, const struct event *event);
/* The reading of `now_ns` (since the epoch). */
void changes_take(struct changes *changes, const struct gauges *readings, guint64 now_ns, changes_fn each, void *user);
