/* SPDX-License-Identifier: Apache-2.0 */
/* One reader a format, behind import.c. Each returns a snapshot owned by the caller, or NULL and `error`. */
#pragma once
#include "import/import.h"
#include "import/input.h"

struct snapshot *import_folded(struct input *input, const struct import_options *options, GError **error);
struct snapshot *import_perf_script(struct input *input, const struct import_options *options, GError **error);
struct snapshot *import_pprof(struct input *input, const struct import_options *options, GError **error);
struct snapshot *import_capture(struct input *input, const struct import_options *options, GError **error);

/* A snapshot with one empty calltree, for foreign input: `probe` is the format's name. */
struct snapshot *import_snapshot(const char *probe, enum unit unit, struct shape **shape);
/* Ends a foreign import: everything in the tree was "seen". FALSE and `error` when there is nothing. */
gboolean import_finish(struct shape *shape, guint64 events, GError **error);
/* Writes "line N: …" for the line last read. Returns FALSE. */
gboolean import_fail_line(const struct input *input, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
