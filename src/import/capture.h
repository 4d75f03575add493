/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of the capture's reader that several files share. */
#pragma once
#include "import/pull.h"
#include "model/snapshot.h"

/* Index of the string that stands next in `names`, or -1 and `error` ("not a known WHAT"). */
int capture_name(struct pull *pull, const char *const *names, guint count, const char *what, GError **error);
/* A unit by its name; -1 and `error`. */
int capture_unit(struct pull *pull, GError **error);
/* A name into `*bytes` (caller frees; NULL for null): a string, or {"base64": …} for what is not UTF-8. */
gboolean capture_bytes(struct pull *pull, char **bytes, GError **error);

/* One member of a shape's object, its key in pull->text; unknown ones are skipped. */
gboolean capture_events_member(struct pull *pull, struct events *events, GError **error);
/* These two need the members in the order in which they are written (labels before rows). */
gboolean capture_histogram_member(struct pull *pull, struct shape *shape, GError **error);
gboolean capture_edges_member(struct pull *pull, struct shape *shape, GError **error);
