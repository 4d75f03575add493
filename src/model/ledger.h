/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: what a result rests on. Every shape carries one; every sink shows it.
 *
 * `weight` is in the unit of the shape (samples, nanoseconds, bytes), `events` counts happenings.
 * Two kinds of lines: LOST ones are missing from the result and lower its coverage; the others are in the
 * result but weaker than they could be (a truncated stack is still a stack). Unknown is never zero: a weight that
 * cannot be known is recorded as events with weight 0, and coverage then counts events. */
#pragma once
#include <glib.h>

#include "model/coverage.h"

enum ledger_item {
	/* lost */
	LEDGER_LOST_RING = 0, /* ring buffer full: the stack did not reach user space */
	LEDGER_LOST_MAP = 1, /* kernel map full */
	LEDGER_LOST_STACK = 2, /* no stack could be read at all */
	LEDGER_LOST_STORAGE = 3, /* no memory for a per-thread record */
	LEDGER_LOST_MISSED = 4, /* the kernel skipped our program (recursion, throttled timer) */
	LEDGER_LOST_UNATTRIBUTED = 5, /* nobody to charge it to */
	LEDGER_LOST_END = 6, /* (end of the first lost kinds; not an item) */
	/* present, but weak */
	LEDGER_TRUNCATED = 6, /* stacks deeper than the limit, or ending before the thread's first frame */
	LEDGER_UNRESOLVED = 7, /* stacks with at least one frame without a name */
	LEDGER_EXITED = 8, /* stacks of processes that ended before their mappings could be read */
	LEDGER_BELOW_THRESHOLD = 9, /* left out because the user asked to */
	LEDGER_OUT_OF_ORDER = 10, /* intervals that made no sense (negative, clock jump) and were dropped */
	/* lost, too */
	LEDGER_LOST_FLOOD = 11, /* one container made too many: left out so that the others stay visible */
	LEDGER_ITEMS = 12,
};

struct ledger_line {
	guint64 events;
	guint64 weight;
};

struct ledger {
	char *rung; /* how it was observed, e.g. "perf cpu-clock"; NULL for foreign input */
	char *misses; /* what that rung cannot see; NULL when nothing */
	struct ledger_line seen; /* everything that happened to the target, lost or not */
	guint64 expected_weight; /* what an independent count says the total must be; 0 = no such count */
	struct ledger_line items[LEDGER_ITEMS];
	struct coverage *coverage; /* of user stacks, by process; NULL when there are none */
	GPtrArray *notes; /* of char *: one sentence each, for people; may be NULL */
};

/* Below this share of the weight accounted for, a result is inconclusive (exit status 3). */
#define LEDGER_COVERAGE_CONCLUSIVE 0.95

void ledger_clear(struct ledger *ledger);
void ledger_add(struct ledger *ledger, enum ledger_item item, guint64 events, guint64 weight);
/* Takes ownership of `note`; the same sentence is kept once. */
void ledger_note(struct ledger *ledger, char *note);
void ledger_merge(struct ledger *into, const struct ledger *from);
/* The same without what is told process by process (coverage): for who adds up for ever, while processes come and go. */
void ledger_add_up(struct ledger *into, const struct ledger *from);

/* How it was observed, and what that cannot see (may be NULL); the first to say so counts. */
void ledger_set_rung(struct ledger *ledger, const char *rung, const char *misses);

/* Share of what happened that is in the result: 0 … 1; NAN when nothing was seen and nothing was expected. */
double ledger_coverage(const struct ledger *ledger);
/* The same, with what is missing weighed against at least so much: of little that happened little is missing, whatever its
 * share. 0: against what happened alone. */
double ledger_coverage_beside(const struct ledger *ledger, guint64 least_events, guint64 least_weight);
gboolean ledger_is_conclusive(const struct ledger *ledger); /* TRUE when nothing happened, too */

/* Stable machine name ("lost_ring_full") and a short phrase for people ("lost: ring buffer full"). */
const char *ledger_item_name(enum ledger_item item);
const char *ledger_item_phrase(enum ledger_item item);
