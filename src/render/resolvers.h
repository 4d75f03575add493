/* SPDX-License-Identifier: Apache-2.0 */
/* The edges of the probe "resolvers" for programs: who asks which resolver, and what comes of it. */
#pragma once
#include <stdio.h>

#include "model/snapshot.h"

/* One JSON object in a line: {"resolvers": […], "ledger": {…}}. */
void render_resolvers_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape);

/* The value of a counter by name; 0 when the shape has none such. */
guint64 render_edge_counter(const struct edges *edges, guint32 row, const char *name);
/* Rows by this counter, largest first; array of guint32, owned by the caller. */
GArray *render_edge_order(const struct edges *edges, const char *name);
