/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics say beside the gauges: each interval's connections, questions of DNS and disk I/O, added up since the
 * agent's start. Of containers for as long as they live; of edges, a bounded number by name and all others together. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"

#define TOTALS_EDGES_MAX 50 /* with labels of their own */
#define TOTALS_EXTERNAL "external" /* the name of what is on no container's end: any machine outside of this one */

/* Explicit values: indexes of const tables in metrics.c. */
enum totals_connect {
	TOTALS_CONNECT_OK = 0,
	TOTALS_CONNECT_REFUSED = 1,
	TOTALS_CONNECT_TIMEOUT = 2,
	TOTALS_CONNECT_UNREACHABLE = 3,
	TOTALS_CONNECT_RESET = 4,
	TOTALS_CONNECT_OTHER = 5,
	TOTALS_CONNECTS = 6,
};
enum totals_retransmit {
	TOTALS_RETRANSMIT_SYN = 0,
	TOTALS_RETRANSMIT_RTO = 1,
	TOTALS_RETRANSMIT_FAST = 2,
	TOTALS_RETRANSMIT_PROBE = 3,
	TOTALS_RETRANSMIT_UNSEEN = 4,
	TOTALS_RETRANSMITS = 5,
};
enum totals_rcode {
	TOTALS_RCODE_NOERROR = 0,
	TOTALS_RCODE_NXDOMAIN = 1,
	TOTALS_RCODE_SERVFAIL = 2,
	TOTALS_RCODE_REFUSED = 3,
	TOTALS_RCODE_TIMEOUT = 4,
	TOTALS_RCODE_OTHER = 5,
	TOTALS_RCODES = 6,
};
#define TOTALS_DIRECTIONS 2 /* of block I/O: read, write */

struct totals_time {
	guint64 count, sum_ns;
};

/* Of one container. */
struct totals {
	gboolean has_connections; /* it was ever an end of an edge */
	gint64 living; /* connections now; may be below 0 for a moment, when one end's news come first */
	guint64 connects[TOTALS_CONNECTS], accepts, resets;
	guint64 retransmits[TOTALS_RETRANSMITS]; /* of its edges as a client, both ways */
	struct totals_time rtt, connect;
	guint64 rcodes[TOTALS_RCODES];
	struct histogram_counts dns; /* whose count is that of questions answered in time or not */
	struct histogram_counts block[TOTALS_DIRECTIONS]; /* in the device; */
	struct histogram_counts queued[TOTALS_DIRECTIONS]; /* before it */
};

struct totals_edge {
	char *source, *target, *port; /* all NULL: the rest */
	guint64 bytes, connects, failed, retransmits;
	struct totals_time rtt;
};

struct totals_edges;
struct totals_edges *totals_edges_new(void);
void totals_edges_free(struct totals_edges *edges);
/* Of struct totals_edge, borrowed; the rest comes last, and only when there is one. */
const GPtrArray *totals_edges_rows(const struct totals_edges *edges);

/* Whose totals those of a container are; NULL: nobody's. */
typedef struct totals *(*totals_of_fn)(void *user, const char *container);
/* Adds what an interval of one probe ("connections", "dns", "block") brought; of others nothing. */
void totals_take(const struct shape *shape, totals_of_fn of, void *user, struct totals_edges *edges);
