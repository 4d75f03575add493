/* SPDX-License-Identifier: Apache-2.0 */
/* The edges of the probe "connections" for people and programs: who connects to whom. */
#pragma once
#include <stdio.h>

#include "base/json.h"
#include "model/snapshot.h"

/* What stands in a table's row or a JSON edge, worked out from an edge's counters. Units in the names. */
struct connection_numbers {
	guint64 opens, accepts, closes, live, failed, resets;
	guint64 sent_bytes, received_bytes, sent_segments, received_segments, retransmits, spurious;
	guint64 requests; /* that were answered */
	guint64 single; /* of `closes`: connections with fewer than two requests */
	guint64 window_limited_ns; /* all senders together: would have sent, but for the other end's window */
	/* Medians, as the bounds of their buckets; both 0: not measured. */
	guint64 connect_low_ns, connect_high_ns, rtt_low_ns, rtt_high_ns, session_low_ns, session_high_ns;
	guint64 request_low_ns, request_high_ns, first_byte_low_ns, first_byte_high_ns;
};

/* How it was observed tells of opens, accepts and closes only: the other numbers are not known (and not zero). */
gboolean connections_are_polled(const struct ledger *ledger);

/* Row `row` of an edges shape with the probe's counters; what it lacks is 0. */
void connection_numbers(const struct edges *edges, guint32 row, struct connection_numbers *numbers);
/* "3 refused, 1 timeout": what failed, owned by the caller; NULL when nothing did. */
char *connection_failures(const struct edges *edges, guint32 row);
/* Does the client make a new connection for (nearly) every request, at a rate that costs? `duration_ns`: of the
 * measurement; `*per_second`: connections with fewer than two requests. */
gboolean connection_churns(const struct connection_numbers *numbers, guint64 duration_ns, double *per_second);
/* What somebody should look at besides failures, in words: connections that are not reused, senders that wait for the
 * receiver. Owned by the caller; NULL: nothing. */
char *connection_remarks(const struct connection_numbers *numbers, guint64 duration_ns);
/* Rows for people to see: busiest first (opens, then bytes); array of guint32, owned by the caller. */
GArray *connection_order(const struct edges *edges);

/* One JSON object in a line: {"edges": […], "ledger": {…}}. */
void render_connections_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape);
/* The members of a row, in an open object. */
void json_connection_numbers(struct json_writer *json, const struct edges *edges, guint32 row, guint64 duration_ns);
