/* SPDX-License-Identifier: Apache-2.0 */
/* Where a command's numbers come from: this machine now, or, below `fathom replay`, a capture. Commands ask here and need
 * not know which. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "observe/observe.h"

/* The environment variables by which `fathom replay` tells the command it runs: the file, and the range of it. */
#define SOURCE_CAPTURE "FATHOM_CAPTURE"
#define SOURCE_FROM_MS "FATHOM_CAPTURE_FROM_MS"
#define SOURCE_TO_MS "FATHOM_CAPTURE_TO_MS"

/* The capture's path; NULL: this machine. */
const char *source_capture(void);
/* Of which time: from_ms < time ≤ to_ms. */
void source_range(gint64 *from_ms, gint64 *to_ms);
/* TRUE when a capture is read, or command_need_bpf. */
gboolean source_need_bpf(const char *command);
/* Who is there, or was. NULL and `error`. */
struct registry *source_registry(GError **error);
/* As observe_run. */
struct snapshot *source_observe(struct registry *registry, const struct observe_options *options, GError **error);

/* Of a capture: what each interval changed, as gauges. */
typedef gboolean (*source_gauges_fn)(void *user, guint64 realtime_ns, guint64 length_ns, struct gauges *changes);
gboolean source_each_gauges(source_gauges_fn each, void *user, GError **error);
/* Of a capture: each reading of the machine (observe/look_kept.h), which stands in `events`. */
typedef gboolean (*source_look_fn)(void *user, gint64 time_ms, const struct events *events);
gboolean source_each_look(source_look_fn each, void *user, GError **error);
/* Of a capture: the machine over all of the range, between its first and its last reading; look_free. NULL and `error`: there are not two. */
struct look *source_look(GError **error);
/* FALSE, and the `error` of one that has so many `readings`. */
gboolean source_look_lacks(guint readings, GError **error);
/* Of a capture: everything as one, and the gauges of `windows` parts of it (of struct snapshot *, owned by the caller). */
struct snapshot *source_whole(guint windows, GPtrArray **parts, GError **error);
