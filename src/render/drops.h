/* SPDX-License-Identifier: Apache-2.0 */
/* What the network loses, for people and programs: edges of the probe "drops", and gauges of listening sockets and tables
 * of tracked connections. */
#pragma once
#include <stdio.h>

#include "model/snapshot.h"

/* The other end of a drop is not this one: whose packet it was. `*inwards`: it had come to it. */
struct edge_end drops_whose(const struct edges *edges, guint32 row, gboolean *inwards);
/* What a reason of the kernel's means, in a few words; NULL: nothing is known of it. */
const char *drops_meaning(const char *reason);
/* Rows (guint32), most packets first, those that are no loss after all others. Owned by the caller. */
GArray *drops_order(const struct edges *edges);

/* One JSON object in a line: {"drops": […], "listeners": […], "conntrack": […], "ledger": {…}}. `queues` (of gauges) may
 * be NULL. */
void render_drops_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape,
		       const struct shape *queues);
