/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of the capture's reader that several files share. */
#pragma once
#include "import/pull.h"
#include "model/snapshot.h"

/* A name into `*bytes` (caller frees; NULL for null): a string, or {"base64": …} for what is not UTF-8. */
gboolean capture_bytes(struct pull *pull, char **bytes, GError **error);

/* One member of a shape's object, its key in pull->text; unknown ones are skipped. */
gboolean capture_events_member(struct pull *pull, struct events *events, GError **error);
