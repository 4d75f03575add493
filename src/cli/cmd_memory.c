/* SPDX-License-Identifier: Apache-2.0 */
/* fathom memory: where memory grows (the probe), and how: each container's slope, its time to the limit, what the page
 * cache loses. Readings of the containers' files are taken beside the probe. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/measure.h"
#include "cli/source.h"
#include "cli/table.h"
#include "model/growth.h"
#include "model/snapshot.h"
#include "observe/observe.h"
#include "observe/usage.h"
#include "probe/cache.h"

#define MEMORY_READING_NS (500 * NS_PER_MS)

struct grower {
	char *name; /* raw */
	struct growth growth; /* of what it cannot give back without work: anonymous memory */
	struct gauge_row last; /* its strings are not to be used */
};

struct memory {
	struct usage *usage;
	GPtrArray *wanted; /* NULL: all containers */
	const GPtrArray *targets; /* as asked for; the measurement's, as the registry */
	struct registry *registry;
	struct gauges *first; /* a copy of the first reading */
	struct gauges *changes; /* over the whole time; NULL until the end */
	GHashTable *growers; /* cgroup key → struct grower */
	guint64 read_ns;
	struct observe_options reads_options;
	struct observation *reads; /* of files; NULL: cannot be watched here, or it is over */
	struct shape *hits; /* what came of it; NULL: not known. The snapshot's */
	char *why_not;
};

static void grower_free(gpointer data)
{
	struct grower *grower = data;

	growth_clear(&grower->growth);
	g_free(grower->name);
	g_free(grower);
}

static void memory_clear(struct memory *memory)
{
	observation_close(memory->reads);
	g_free(memory->why_not);
	usage_free(memory->usage);
	gauges_free(memory->first);
	gauges_free(memory->changes);
	if (memory->wanted)
		g_ptr_array_unref(memory->wanted);
	g_hash_table_unref(memory->growers);
}

static void take_row(struct memory *memory, const struct gauge_row *row, guint64 now_ns)
{
	struct grower *grower = g_hash_table_lookup(memory->growers, &row->key);
	guint64 anon_bytes;

	if (row->dead || row->resource == GAUGE_RESOURCE_HOST || !gauge_get(row, GAUGE_MEMORY_ANON, &anon_bytes))
		return;
	if (!grower) {
		grower = g_new0(struct grower, 1);
		grower->name = g_strdup(row->name);
		growth_init(&grower->growth);
		g_hash_table_insert(memory->growers, g_memdup2(&row->key, sizeof(row->key)), grower);
	}
	growth_add(&grower->growth, now_ns, anon_bytes);
	grower->last = *row;
}

static struct gauges *memory_read(struct memory *memory)
{
	guint64 now_ns = clock_monotonic_ns();
	g_autoptr(GError) error = NULL;
	struct gauges *now = memory->usage ? usage_read(memory->usage, &error) : NULL;

	memory->read_ns = now_ns;
	for (guint32 i = 0; now && i < now->rows->len; i++)
		take_row(memory, gauges_row(now, i), now_ns);
	return now;
}

static GPtrArray *wanted_of(const GPtrArray *targets)
{
	g_autoptr(GPtrArray) wanted = g_ptr_array_new();

	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_ALL)
			return NULL;
		if (target->container && !g_ptr_array_find(wanted, target->container, NULL))
			g_ptr_array_add(wanted, (gpointer)target->container);
	}
	return g_steal_pointer(&wanted);
}

/* Is that container asked for? */
static gboolean memory_wants(const struct memory *memory, const struct gauge_row *row)
{
	if (row->resource != GAUGE_RESOURCE_CONTAINER)
		return FALSE;
	for (guint i = 0; memory->wanted && i < memory->wanted->len; i++)
		if (strcmp(((const struct container *)g_ptr_array_index(memory->wanted, i))->name, row->name) == 0)
			return TRUE;
	return !memory->wanted;
}

/* source_gauges_fn: a capture has readings of levels, and what changed between them. */
static gboolean memory_recorded(void *user, guint64 realtime_ns, guint64 length_ns, struct gauges *changes)
{
	struct memory *memory = user;
	g_autoptr(gauges_t) wanted = gauges_new();

	(void)length_ns;
	for (guint32 i = 0; i < changes->rows->len; i++) {
		const struct gauge_row *row = gauges_row(changes, i);

		if (!memory_wants(memory, row))
			continue;
		take_row(memory, row, realtime_ns);
		gauges_copy(wanted, row);
	}
	gauges_merge(memory->changes, wanted);
	return TRUE;
}

/* What reads of files found in the page cache while it was recorded. */
static struct shape *memory_recorded_reads(struct memory *memory, GError **error)
{
	const struct observe_options options = {
		.probe = &probe_cache, .targets = memory->targets, .by = OBSERVE_BY_CONTAINER, .stop_fd = -1
	};
	g_autoptr(snapshot_t) snapshot = source_observe(memory->registry, &options, error);

	return snapshot ? g_ptr_array_steal_index(snapshot->shapes, 0) : NULL;
}

static void memory_end_recorded(struct memory *memory, struct snapshot *snapshot)
{
	struct shape *shape = shape_new(SHAPE_GAUGES, "memory", UNIT_COUNT);
	g_autoptr(GError) error = NULL;

	memory->changes = gauges_new();
	if (!source_each_gauges(memory_recorded, memory, &error))
		ledger_note(&shape->ledger, g_strdup(error->message));
	g_clear_error(&error);
	for (guint32 i = 0; i < memory->changes->rows->len; i++)
		gauges_copy(shape->gauges, gauges_row(memory->changes, i));
	g_ptr_array_add(snapshot->shapes, shape);
	memory->hits = memory_recorded_reads(memory, &error);
	if (memory->hits)
		g_ptr_array_add(snapshot->shapes, memory->hits);
	else
		ledger_note(&shape->ledger,
			    g_strdup_printf("hits of the page cache are not known: %s", error->message));
}

static void memory_begin(void *user, struct registry *registry, const GPtrArray *targets)
{
	struct memory *memory = user;
	struct usage_options options = { .no_bpf = TRUE }; /* files tell all of this */
	g_autoptr(GError) error = NULL;

	memory->wanted = wanted_of(targets);
	memory->targets = targets;
	memory->registry = registry;
	if (source_capture())
		return;
	options.wanted = memory->wanted;
	memory->usage = usage_new(registry, &options);
	memory->first = gauges_new();
	memory->reads_options = (struct observe_options){
		.probe = &probe_cache, .targets = targets, .by = OBSERVE_BY_CONTAINER, .stop_fd = -1
	};
	memory->reads = observation_open(registry, &memory->reads_options, &error);
	if (!memory->reads)
		memory->why_not = g_strdup(error->message);
}

/* What was read until now, owned by the caller; NULL: cannot be watched. */
static struct snapshot *memory_take_reads(struct memory *memory)
{
	g_autoptr(GError) error = NULL;
	struct snapshot *reads = memory->reads ? observation_take(memory->reads, &error) : NULL;

	if (memory->reads && !reads) {
		memory->why_not = g_strdup(error->message);
		g_clear_pointer(&memory->reads, observation_close);
	}
	return reads;
}

/* The first tick comes when the probe has just been attached: both look at the same time. */
static void memory_tick(void *user)
{
	struct memory *memory = user;
	gboolean is_first = memory->read_ns == 0;
	g_autoptr(GError) error = NULL;
	struct gauges *now;

	if (!is_first && clock_monotonic_ns() - memory->read_ns < MEMORY_READING_NS)
		return;
	now = memory_read(memory);
	for (guint32 i = 0; is_first && now && i < now->rows->len; i++)
		gauges_copy(memory->first, gauges_row(now, i));
	if (is_first)
		snapshot_free(memory_take_reads(memory));
	else if (memory->reads && !observation_drain(memory->reads, &error))
		memory->why_not = g_strdup(error->message);
}

/* Adds the reads of files to the snapshot. */
static void memory_end_reads(struct memory *memory, struct snapshot *snapshot, struct ledger *ledger)
{
	g_autoptr(snapshot_t) reads = memory_take_reads(memory);

	g_clear_pointer(&memory->reads, observation_close);
	if (reads) {
		memory->hits = g_ptr_array_steal_index(reads->shapes, 0);
		g_ptr_array_add(snapshot->shapes, memory->hits);
	} else {
		ledger_note(ledger, g_strdup_printf("hits of the page cache are not known: %s",
						    memory->why_not ? memory->why_not : "nothing was measured"));
	}
}

static void memory_end(void *user, struct snapshot *snapshot)
{
	struct memory *memory = user;
	struct gauges *now;
	struct shape *shape;

	if (source_capture()) {
		memory_end_recorded(memory, snapshot);
		return;
	}
	now = memory_read(memory);
	shape = shape_new(SHAPE_GAUGES, "memory", UNIT_COUNT);
	if (now) {
		memory->changes = gauges_diff(memory->first, now);
		for (guint32 i = 0; i < memory->changes->rows->len; i++)
			gauges_copy(shape->gauges, gauges_row(memory->changes, i));
	}
	usage_account(memory->usage, &shape->ledger);
	g_ptr_array_add(snapshot->shapes, shape);
	memory_end_reads(memory, snapshot, &shape->ledger);
	/* The registry goes before we do. */
	g_clear_pointer(&memory->usage, usage_free);
}

/* ---- text ---- */

static const struct table_column columns[] = {
	{ "NAME", FALSE },	{ "ANON", TRUE },     { "CHANGE", TRUE },    { "PER SECOND", TRUE },
	{ "USED/LIMIT", TRUE }, { "TO LIMIT", TRUE }, { "CACHE", TRUE },     { "READ HITS", TRUE },
	{ "REFAULTS", TRUE },	{ "FAULTS", TRUE },   { "FROM DISK", TRUE }, { "VERDICT", FALSE },
};

static char *signed_bytes(double bytes)
{
	g_autofree char *size = units_bytes((guint64)fabs(bytes));

	return g_strconcat(bytes < 0 ? "-" : bytes > 0 ? "+" : "", size, NULL);
}

static void cell_bytes(struct table *table, const struct gauge_row *row, enum gauge gauge)
{
	guint64 bytes;
	g_autofree char *text = gauge_get(row, gauge, &bytes) ? units_bytes(bytes) : NULL;

	table_cell(table, text);
}

static void cell_count(struct table *table, const struct gauge_row *changes, enum gauge gauge)
{
	guint64 count = 0;
	gboolean known = changes && gauge_get(changes, gauge, &count);
	g_autofree char *text = known ? units_count(count) : NULL;

	table_cell(table, text);
}

/* Share of page faults that had to wait for a disk: what the page cache did not have. */
static void cell_missed(struct table *table, const struct gauge_row *changes)
{
	guint64 faults = 0, major = 0;
	gboolean known =
		changes && gauge_get(changes, GAUGE_FAULTS, &faults) && gauge_get(changes, GAUGE_FAULTS_MAJOR, &major);
	g_autofree char *text = known ? units_percent((double)major, (double)faults) : NULL;

	table_cell(table, text);
}

static guint64 pages_of(const struct shape *hits, const char *container, const char *which)
{
	const char *const values[] = { container, which };
	struct histogram_counts sum = { 0 };

	histogram_sum(hits->histogram, values, &sum);
	return sum.sum;
}

/* Share of the pages that reads asked for and that need not be brought for them. Reading ahead may bring more than is asked. */
static void cell_hits(struct table *table, const struct shape *hits, const char *container)
{
	guint64 asked = hits ? pages_of(hits, container, CACHE_TEXT_ASKED) : 0;
	guint64 brought = hits ? pages_of(hits, container, CACHE_TEXT_BROUGHT) : 0;
	g_autofree char *text = asked ? units_percent((double)(asked - MIN(brought, asked)), (double)asked) : NULL;

	table_cell(table, text);
}

static void cells_limit(struct table *table, const struct gauge_row *row, const struct growth_trend *trend)
{
	guint64 used = 0, limit = 0;
	gboolean has_used = gauge_get(row, GAUGE_MEMORY_WORKING_SET, &used);
	gboolean has_limit = gauge_get(row, GAUGE_MEMORY_LIMIT, &limit);
	double seconds = has_used && has_limit ? growth_seconds_to(trend, used, limit) : INFINITY;
	g_autofree char *used_text = has_used ? units_bytes(used) : g_strdup("-");
	g_autofree char *limit_text = has_limit ? units_bytes(limit) : NULL;
	g_autofree char *both = limit_text ? g_strdup_printf("%s / %s", used_text, limit_text) : g_strdup(used_text);
	/* A line through noise reaches any limit some day. */
	g_autofree char *time =
		isfinite(seconds) && trend->is_suspicious ? units_duration((guint64)(seconds * 1e9)) : NULL;

	table_cell(table, both);
	table_cell_styled(table, time, time ? TABLE_NOTICE : TABLE_PLAIN);
}

static void memory_row(struct memory *memory, struct table *table, const struct grower *grower)
{
	struct growth_trend trend = growth_trend_of(&grower->growth);
	const struct gauge_row *changes =
		memory->changes ? gauges_find(memory->changes, grower->last.resource, grower->last.key, 0) : NULL;
	g_autofree char *change = signed_bytes((double)trend.change_bytes);
	g_autofree char *slope = signed_bytes(trend.slope_bytes_per_s);

	table_cell_styled(table, grower->name, TABLE_STRONG);
	cell_bytes(table, &grower->last, GAUGE_MEMORY_ANON);
	table_cell(table, change);
	table_cell(table, slope);
	cells_limit(table, &grower->last, &trend);
	cell_bytes(table, &grower->last, GAUGE_MEMORY_FILE);
	cell_hits(table, memory->hits, grower->name);
	cell_count(table, changes, GAUGE_REFAULTS_FILE);
	cell_count(table, changes, GAUGE_FAULTS);
	cell_missed(table, changes);
	table_cell_styled(table,
			  trend.is_suspicious			 ? "grows steadily: a leak?"
			  : trend.readings < GROWTH_READINGS_MIN ? "too short to tell"
								 : "steady",
			  trend.is_suspicious ? TABLE_ALERT : TABLE_PLAIN);
}

static int by_growth(gconstpointer left, gconstpointer right)
{
	struct growth_trend a = growth_trend_of(&(*(struct grower *const *)left)->growth);
	struct growth_trend b = growth_trend_of(&(*(struct grower *const *)right)->growth);

	return a.change_bytes == b.change_bytes ? 0 : a.change_bytes < b.change_bytes ? 1 : -1;
}

static void memory_print(void *user)
{
	struct memory *memory = user;
	g_autoptr(GPtrArray) growers = g_ptr_array_new();
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	GHashTableIter each;
	gpointer value;

	g_hash_table_iter_init(&each, memory->growers);
	while (g_hash_table_iter_next(&each, NULL, &value))
		g_ptr_array_add(growers, value);
	if (growers->len == 0)
		return;
	g_ptr_array_sort(growers, by_growth);
	for (guint i = 0; i < growers->len; i++)
		memory_row(memory, table, g_ptr_array_index(growers, i));
	printf("\nMemory of each container meanwhile\n");
	table_print(table, stdout);
}

int cmd_memory(int argc, char **argv)
{
	struct memory memory = { .growers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, grower_free) };
	const struct measure_companion companion = {
		.user = &memory, .begin = memory_begin, .tick = memory_tick, .end = memory_end, .print = memory_print
	};
	int status = measure_main_with("memory", &companion, argc, argv);

	memory_clear(&memory);
	return status;
}
