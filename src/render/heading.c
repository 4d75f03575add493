/* SPDX-License-Identifier: Apache-2.0 */
#include "render/heading.h"

#include <math.h>

#define DOT " \302\267 "

char *heading_weight(enum unit unit, guint64 weight)
{
	g_autofree char *text = units_weight(unit, weight);

	if (unit != UNIT_COUNT)
		return g_steal_pointer(&text);
	return g_strdup_printf("%s %s", text, weight == 1 ? "sample" : "samples");
}

static void facts_add(GString *facts, const char *text)
{
	g_string_append_printf(facts, "%s%s", facts->len ? DOT : "", text);
}

static char *heading_total(const struct shape *shape)
{
	g_autofree guint64 *totals = calltree_totals(shape->calltree, shape->calltree->self);

	return heading_weight(shape->unit, totals[0]);
}

char *heading_facts(const struct snapshot *snapshot, const struct shape *shape)
{
	g_autofree char *total = shape->calltree ? heading_total(shape) : NULL;
	GString *facts = g_string_new(NULL);

	if (snapshot->host && snapshot->start_realtime_ns)
		facts_add(facts, snapshot->host);
	if (snapshot->start_realtime_ns) {
		g_autoptr(GDateTime) when =
			g_date_time_new_from_unix_utc((gint64)(snapshot->start_realtime_ns / NS_PER_S));
		g_autofree char *text = when ? g_date_time_format(when, "%Y-%m-%d %H:%M:%S UTC") : NULL;

		if (text)
			facts_add(facts, text);
	}
	if (snapshot->duration_ns) {
		g_autofree char *text = units_duration(snapshot->duration_ns);

		facts_add(facts, text);
	}
	if (snapshot->frequency_hz) {
		g_autofree char *text = g_strdup_printf("%u Hz", snapshot->frequency_hz);

		facts_add(facts, text);
	}
	if (shape->probe)
		facts_add(facts, shape->probe);
	if (total)
		facts_add(facts, total);
	return g_string_free(facts, FALSE);
}

static char *ledger_phrase(const struct shape *shape, enum ledger_item item)
{
	const struct ledger_line *line = &shape->ledger.items[item];
	g_autofree char *events = units_count(line->events);
	g_autofree char *weight = heading_weight(shape->unit, line->weight);
	g_autofree char *share = units_percent((double)line->weight, (double)shape->ledger.seen.weight);

	if (!line->weight)
		return g_strdup_printf("%s: %s", ledger_item_phrase(item), events);
	if (!shape->ledger.seen.weight)
		return g_strdup_printf("%s: %s", ledger_item_phrase(item), weight);
	return g_strdup_printf("%s: %s (%s)", ledger_item_phrase(item), weight, share);
}

GPtrArray *heading_ledger(const struct shape *shape)
{
	GPtrArray *phrases = g_ptr_array_new_with_free_func(g_free);
	const struct ledger *ledger = &shape->ledger;
	double coverage = ledger_coverage(ledger);
	g_autofree char *seen = heading_weight(shape->unit, ledger->seen.weight);

	if (isnan(coverage))
		g_ptr_array_add(phrases, g_strdup("coverage unknown"));
	else if (ledger->seen.weight)
		/* Rounded down: 99.99 % is not complete. */
		g_ptr_array_add(phrases, g_strdup_printf("coverage %.1f %% of %s", floor(coverage * 1000) / 10, seen));
	else
		g_ptr_array_add(phrases, g_strdup_printf("coverage %.1f %%", floor(coverage * 1000) / 10));
	for (guint i = 0; i < LEDGER_ITEMS; i++)
		if (ledger->items[i].events || ledger->items[i].weight)
			g_ptr_array_add(phrases, ledger_phrase(shape, (enum ledger_item)i));
	if (shape->calltree && shape->calltree->overflow)
		g_ptr_array_add(phrases, g_strdup_printf("stacks cut short at the size limit: %" G_GUINT64_FORMAT,
							 shape->calltree->overflow));
	if (ledger->rung)
		g_ptr_array_add(phrases, g_strdup_printf("observed by %s", ledger->rung));
	if (ledger->misses)
		g_ptr_array_add(phrases, g_strdup_printf("cannot see %s", ledger->misses));
	return phrases;
}

char *heading_warning(const struct shape *shape)
{
	double coverage = ledger_coverage(&shape->ledger);

	if (ledger_is_conclusive(&shape->ledger))
		return NULL;
	return g_strdup_printf("INCONCLUSIVE: only %.1f %% of what happened is in this picture",
			       floor(coverage * 1000) / 10);
}
