/* SPDX-License-Identifier: Apache-2.0 */
/* Readings of the machine (kernel/census.h) as events of a shape, for captures, and back: each reading is a few events of one
 * moment, whose fields are the counters as they were read. So rates of any range can be told later. */
#pragma once
#include "model/events.h"
#include "model/gauges.h"
#include "model/snapshot.h"
#include "observe/look.h"

#define LOOK_KEPT_PROBE "host" /* the name of that shape */
#define LOOK_KEPT_PROCESSES 30 /* of a reading, the busiest */

/* Adds one reading. */
void look_keep(struct events *events, guint64 realtime_ns, const struct census *census);
/* And the processes that used most CPU since the reading before (gauges of usage_processes); `container` names who a pid
 * belongs to, NULL: nobody. */
typedef const char *(*look_owner_fn)(void *user, guint32 pid);
void look_keep_processes(struct events *events, guint64 realtime_ns, const struct gauges *processes,
			 look_owner_fn container, void *user);

/* One reading as a snapshot of that moment; owned by the caller. */
struct snapshot *look_keep_snapshot(guint64 realtime_ns, const struct census *census);

/* The reading that such events are of, NULL when they are none; census_free. */
struct census *look_kept(const struct events *events);

/* Adds what the processes of such events did to `sums`, and whose they are to `owners` (pid → name, owned by the table). */
void look_kept_processes(const struct events *events, struct gauges *sums, GHashTable *owners);
