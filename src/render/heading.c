/* SPDX-License-Identifier: Apache-2.0 */
#include "render/heading.h"

#include <math.h>

#define DOT " \302\267 "
#define COVERAGE_GOOD 0.99 /* share of complete user stacks from which a process is not told of */
#define COVERAGE_SHOWN 6 /* processes told of */

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
		g_autofree char *whole = units_duration(snapshot->duration_ns);
		g_autofree char *looked = units_duration(snapshot->looked_ns);
		g_autofree char *text = snapshot->looked_ns ? g_strdup_printf("%s of %s", looked, whole) : NULL;

		facts_add(facts, text ? text : whole);
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

/* Of what the ledger counts: of connections and happenings a sample is none. */
static char *ledger_weight(const struct shape *shape, guint64 weight)
{
	g_autofree char *text = NULL;

	if (shape->unit != UNIT_COUNT || (shape->kind != SHAPE_EDGES && shape->kind != SHAPE_EVENTS))
		return heading_weight(shape->unit, weight);
	text = units_count(weight);
	return g_strdup_printf("%s %s", text, weight == 1 ? "event" : "events");
}

static char *ledger_phrase(const struct shape *shape, enum ledger_item item)
{
	const struct ledger_line *line = &shape->ledger.items[item];
	g_autofree char *events = units_count(line->events);
	g_autofree char *weight = ledger_weight(shape, line->weight);
	/* Where what is told is an estimate it may be more than what was counted. */
	guint64 whole = MAX(shape->ledger.seen.weight, line->weight);
	g_autofree char *share = units_percent((double)line->weight, (double)whole);

	if (!line->weight)
		return g_strdup_printf("%s: %s", ledger_item_phrase(item), events);
	if (!shape->ledger.seen.weight)
		return g_strdup_printf("%s: %s", ledger_item_phrase(item), weight);
	return g_strdup_printf("%s: %s (%s)", ledger_item_phrase(item), weight, share);
}

static guint64 coverage_lacking(const struct coverage_process *process)
{
	return coverage_weight(process) - coverage_complete(process);
}

static gint coverage_compare(gconstpointer a, gconstpointer b)
{
	guint64 x = coverage_lacking(*(const struct coverage_process *const *)a);
	guint64 y = coverage_lacking(*(const struct coverage_process *const *)b);

	return x < y ? 1 : -(x > y);
}

/* What most of its incomplete stacks lack. */
static const char *coverage_missing_text(const struct coverage_process *process)
{
	const struct coverage_missing *most = NULL;
	enum stack_end worst = STACK_END_UNCHECKED;

	for (guint i = 0; i < process->missing->len; i++) {
		const struct coverage_missing *missing = &g_array_index(process->missing, struct coverage_missing, i);

		if (!most || missing->weight > most->weight)
			most = missing;
	}
	for (guint end = STACK_END_UNCHECKED; end < STACK_ENDS; end++)
		if (process->weight[end] > process->weight[worst])
			worst = (enum stack_end)end;
	return most && most->weight * 2 >= process->weight[worst] ? most->text : stack_end_phrase(worst);
}

static char *coverage_phrase(const struct coverage_process *process)
{
	guint64 weight = coverage_weight(process);
	double share = (double)coverage_complete(process) / (double)weight;

	if (share >= COVERAGE_GOOD && process->advice)
		return g_strdup_printf("%s%s%s: %s", process->container, process->container[0] ? "/" : "",
				       process->name, process->advice);
	return g_strdup_printf("%s%s%s: %.1f %% of user stacks complete: %s%s%s", process->container,
			       process->container[0] ? "/" : "", process->name, floor(share * 1000) / 10,
			       coverage_missing_text(process), process->advice ? "; " : "",
			       process->advice ? process->advice : "");
}

/* How many user stacks are complete, and who has many that are not, the worst first. */
static void coverage_phrases(const struct coverage *coverage, GPtrArray *phrases)
{
	g_autoptr(GPtrArray) lacking = g_ptr_array_new();
	guint64 weight = 0, complete = 0;

	for (guint i = 0; i < coverage_count(coverage); i++) {
		struct coverage_process *process = coverage_at(coverage, i);
		guint64 of_it = coverage_weight(process);

		weight += of_it;
		complete += coverage_complete(process);
		if ((double)coverage_complete(process) < COVERAGE_GOOD * (double)of_it || process->advice)
			g_ptr_array_add(lacking, process);
	}
	if (weight == 0)
		return;
	g_ptr_array_add(phrases, g_strdup_printf("user stacks complete: %.1f %%",
						 floor((double)complete / (double)weight * 1000) / 10));
	g_ptr_array_sort(lacking, coverage_compare);
	for (guint i = 0; i < lacking->len && i < COVERAGE_SHOWN; i++)
		g_ptr_array_add(phrases, coverage_phrase(g_ptr_array_index(lacking, i)));
	if (lacking->len > COVERAGE_SHOWN)
		g_ptr_array_add(phrases,
				g_strdup_printf("and %u more processes with incomplete user stacks (JSON has all)",
						lacking->len - COVERAGE_SHOWN));
}

GPtrArray *heading_ledger(const struct shape *shape)
{
	GPtrArray *phrases = g_ptr_array_new_with_free_func(g_free);
	const struct ledger *ledger = &shape->ledger;
	double coverage = ledger_coverage(ledger);
	g_autofree char *seen = ledger_weight(shape, ledger->seen.weight);

	if (isnan(coverage))
		g_ptr_array_add(phrases, g_strdup(shape_is_empty(shape) ? "nothing was seen, nothing was lost"
									: "coverage unknown"));
	else if (ledger->seen.weight)
		/* Rounded down: 99.99 % is not complete. */
		g_ptr_array_add(phrases, g_strdup_printf("coverage %.1f %% of %s", floor(coverage * 1000) / 10, seen));
	else
		g_ptr_array_add(phrases, g_strdup_printf("coverage %.1f %%", floor(coverage * 1000) / 10));
	for (guint i = 0; i < LEDGER_ITEMS; i++)
		if (ledger->items[i].events || ledger->items[i].weight)
			g_ptr_array_add(phrases, ledger_phrase(shape, (enum ledger_item)i));
	coverage_phrases(ledger->coverage, phrases);
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
