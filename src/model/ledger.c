/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ledger.h"

#include <math.h>
#include <string.h>

static const struct {
	const char *name;
	const char *phrase;
} ledger_items[LEDGER_ITEMS] = {
	[LEDGER_LOST_RING] = { "lost_ring_full", "lost: ring buffer full" },
	[LEDGER_LOST_MAP] = { "lost_map_full", "lost: kernel map full" },
	[LEDGER_LOST_STACK] = { "lost_no_stack", "lost: no stack readable" },
	[LEDGER_LOST_STORAGE] = { "lost_no_storage", "lost: no per-thread record" },
	[LEDGER_LOST_MISSED] = { "lost_missed", "lost: probe did not run" },
	[LEDGER_LOST_UNATTRIBUTED] = { "lost_unattributed", "lost: belongs to nobody known" },
	[LEDGER_TRUNCATED] = { "truncated", "stacks cut short" },
	[LEDGER_UNRESOLVED] = { "unresolved", "stacks with unnamed frames" },
	[LEDGER_EXITED] = { "exited", "process gone before its mappings were read" },
	[LEDGER_BELOW_THRESHOLD] = { "below_threshold", "left out: below the threshold" },
	[LEDGER_OUT_OF_ORDER] = { "out_of_order", "dropped: impossible interval" },
	[LEDGER_LOST_FLOOD] = { "lost_flood", "left out: a container made too many" },
};

void ledger_clear(struct ledger *ledger)
{
	g_free(ledger->rung);
	g_free(ledger->misses);
	if (ledger->notes)
		g_ptr_array_unref(ledger->notes);
	coverage_free(ledger->coverage);
	memset(ledger, 0, sizeof(*ledger));
}

void ledger_add(struct ledger *ledger, enum ledger_item item, guint64 events, guint64 weight)
{
	ledger->items[item].events += events;
	ledger->items[item].weight += weight;
}

void ledger_note(struct ledger *ledger, char *note)
{
	if (!ledger->notes)
		ledger->notes = g_ptr_array_new_with_free_func(g_free);
	if (g_ptr_array_find_with_equal_func(ledger->notes, note, g_str_equal, NULL))
		g_free(note);
	else
		g_ptr_array_add(ledger->notes, note);
}

void ledger_set_rung(struct ledger *ledger, const char *rung, const char *misses)
{
	if (!ledger->rung)
		ledger->rung = g_strdup(rung);
	if (!ledger->misses)
		ledger->misses = g_strdup(misses);
}

void ledger_add_up(struct ledger *into, const struct ledger *from)
{
	if (!into->rung)
		into->rung = g_strdup(from->rung);
	if (!into->misses)
		into->misses = g_strdup(from->misses);
	into->seen.events += from->seen.events;
	into->seen.weight += from->seen.weight;
	into->expected_weight += from->expected_weight;
	for (guint i = 0; i < LEDGER_ITEMS; i++)
		ledger_add(into, (enum ledger_item)i, from->items[i].events, from->items[i].weight);
	for (guint i = 0; from->notes && i < from->notes->len; i++)
		ledger_note(into, g_strdup(g_ptr_array_index(from->notes, i)));
}

void ledger_merge(struct ledger *into, const struct ledger *from)
{
	ledger_add_up(into, from);
	if (from->coverage && !into->coverage)
		into->coverage = coverage_new();
	coverage_merge(into->coverage, from->coverage);
}

/* Of nothing at all no share is known, however much it is weighed against. */
static double ledger_share(guint64 happened, guint64 least, guint64 lost)
{
	guint64 whole = happened || lost ? MAX(happened, least) : 0;

	return whole == 0 ? NAN : lost >= whole ? 0 : (double)(whole - lost) / (double)whole;
}

static gboolean ledger_item_is_lost(guint item)
{
	return item < LEDGER_LOST_END || item == LEDGER_LOST_FLOOD;
}

double ledger_coverage(const struct ledger *ledger)
{
	return ledger_coverage_beside(ledger, 0, 0);
}

double ledger_coverage_beside(const struct ledger *ledger, guint64 least_events, guint64 least_weight)
{
	guint64 lost_weight = 0, lost_events = 0;
	double by_weight, by_events, coverage;

	for (guint i = 0; i < LEDGER_ITEMS; i++) {
		if (!ledger_item_is_lost(i))
			continue;
		lost_weight += ledger->items[i].weight;
		lost_events += ledger->items[i].events;
	}
	by_weight = ledger_share(ledger->seen.weight, least_weight, lost_weight);
	by_events = ledger_share(ledger->seen.events, least_events, lost_events);
	/* Events whose weight is unknown (weight 0) only show up in the count of events. */
	coverage = lost_events && !lost_weight ? by_events : by_weight;
	if (isnan(coverage))
		coverage = by_events;
	if (ledger->expected_weight) {
		guint64 kept = ledger->seen.weight > lost_weight ? ledger->seen.weight - lost_weight : 0;
		guint64 missing = ledger->expected_weight > kept ? ledger->expected_weight - kept : 0;

		coverage = fmin(coverage, ledger_share(ledger->expected_weight, least_weight, missing));
	}
	return coverage;
}

gboolean ledger_is_conclusive(const struct ledger *ledger)
{
	double coverage = ledger_coverage(ledger);

	return isnan(coverage) || coverage >= LEDGER_COVERAGE_CONCLUSIVE;
}

const char *ledger_item_name(enum ledger_item item)
{
	return ledger_items[item].name;
}

const char *ledger_item_phrase(enum ledger_item item)
{
	return ledger_items[item].phrase;
}
