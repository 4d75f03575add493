/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <math.h>

#include "base/units.h"
#include "model/growth.h"
#include "model/snapshot.h"

static guint32 stack_add(struct calltree *tree, const char *const *names, guint64 weight)
{
	guint32 node = CALLTREE_ROOT;

	for (; *names; names++)
		node = calltree_child(tree, node, calltree_frame(tree, FRAME_USER, *names, -1, NULL));
	calltree_add(tree, node, weight);
	return node;
}

static guint64 total(const struct calltree *tree, const guint64 *column)
{
	g_autofree guint64 *totals = calltree_totals(tree, column);

	return totals[CALLTREE_ROOT];
}

static void test_tree(void)
{
	g_autoptr(calltree_t) tree = calltree_new();
	guint32 a = stack_add(tree, (const char *[]){ "main", "a", NULL }, 3);
	guint32 b = stack_add(tree, (const char *[]){ "main", "b", NULL }, 1);
	g_autofree guint64 *totals = NULL;

	g_assert_cmpuint(stack_add(tree, (const char *[]){ "main", "a", NULL }, 2), ==, a);
	g_assert_cmpuint(tree->node_count, ==, 4);
	totals = calltree_totals(tree, tree->self);
	g_assert_cmpuint(totals[tree->parent[a]], ==, 6);
	g_assert_cmpuint(totals[b], ==, 1);
	g_assert_cmpuint(totals[CALLTREE_ROOT], ==, 6);
	/* same name, other kind or module: another frame */
	g_assert_cmpuint(calltree_frame(tree, FRAME_USER, "a", -1, NULL), !=,
			 calltree_frame(tree, FRAME_KERNEL, "a", -1, NULL));
	g_assert_cmpuint(calltree_frame(tree, FRAME_USER, "a", -1, "libc"), !=,
			 calltree_frame(tree, FRAME_USER, "a", -1, "libm"));
	g_assert_cmpuint(calltree_frame(tree, FRAME_USER, "abc", 1, NULL), ==,
			 calltree_frame(tree, FRAME_USER, "a", -1, NULL));
}

static void test_growth(void)
{
	g_autoptr(calltree_t) tree = calltree_new();
	g_autofree guint32 *ids = g_new(guint32, 50000);

	for (guint i = 0; i < 50000; i++) {
		g_autofree char *name = g_strdup_printf("function_%u", i % 5000);
		guint32 frame = calltree_frame(tree, FRAME_USER, name, -1, NULL);

		ids[i] = calltree_child(tree, i / 5000, frame);
		calltree_add(tree, ids[i], 1);
	}
	g_assert_cmpuint(tree->frame_count, ==, 5000);
	g_assert_cmpuint(tree->node_count, ==, 50001);
	for (guint i = 0; i < 50000; i++)
		g_assert_cmpuint(tree->self[ids[i]], ==, 1);
	for (guint32 i = 1; i < tree->node_count; i++)
		g_assert_cmpuint(tree->parent[i], <, i);
	g_assert_cmpuint(total(tree, tree->self), ==, 50000);
}

static void test_diff(void)
{
	g_autoptr(calltree_t) before = calltree_new();
	g_autoptr(calltree_t) after = calltree_new();
	g_autoptr(calltree_t) merged = calltree_new();
	g_autoptr(calltree_t) diff = NULL;

	stack_add(before, (const char *[]){ "main", "a", NULL }, 5);
	stack_add(before, (const char *[]){ "main", "gone", NULL }, 2);
	stack_add(after, (const char *[]){ "main", "a", NULL }, 1);
	stack_add(after, (const char *[]){ "main", "new", NULL }, 7);
	diff = calltree_diff(before, after);
	g_assert_cmpuint(total(diff, diff->self), ==, 8);
	g_assert_cmpuint(total(diff, diff->baseline), ==, 7);
	g_assert_cmpuint(diff->node_count, ==, 5);
	calltree_merge(merged, before);
	calltree_merge(merged, after);
	g_assert_cmpuint(total(merged, merged->self), ==, 15);
}

static void test_prune(void)
{
	g_autoptr(calltree_t) tree = calltree_new();
	guint32 kept, node;

	stack_add(tree, (const char *[]){ "main", "nothing", "below", NULL }, 0);
	kept = stack_add(tree, (const char *[]){ "main", "a", NULL }, 5);
	node = stack_add(tree, (const char *[]){ "main", "a", "none", NULL }, 0);
	calltree_add_moment(tree, kept, 17);
	calltree_add_moment(tree, node, 18);
	g_assert_cmpuint(tree->node_count, ==, 6);
	calltree_prune(tree);
	g_assert_cmpuint(tree->node_count, ==, 3);
	kept = stack_add(tree, (const char *[]){ "main", "a", NULL }, 1); /* found, not made */
	g_assert_cmpuint(tree->node_count, ==, 3);
	g_assert_cmpuint(tree->self[kept], ==, 6);
	g_assert_cmpuint(g_array_index(tree->moments, struct calltree_moment, 0).node, ==, kept);
	g_assert_cmpuint(g_array_index(tree->moments, struct calltree_moment, 1).node, ==, CALLTREE_ROOT);
	calltree_add_baseline(tree, stack_add(tree, (const char *[]){ "gone", NULL }, 0), 3);
	calltree_drop_index(tree);
	stack_add(tree, (const char *[]){ "other", NULL }, 0);
	calltree_prune(tree); /* what only the other capture has stays */
	g_assert_cmpuint(tree->node_count, ==, 4);
	g_assert_cmpuint(total(tree, tree->baseline), ==, 3);
	g_assert_cmpuint(total(tree, tree->self), ==, 6);
}

static void test_ledger(void)
{
	struct ledger ledger = { 0 };
	struct ledger other = { .expected_weight = 100 };
	struct ledger little = { 0 }, nothing = { 0 };

	g_assert_true(isnan(ledger_coverage(&ledger)));
	g_assert_true(ledger_is_conclusive(&ledger));
	ledger.seen = (struct ledger_line){ 100, 1000 };
	ledger_add(&ledger, LEDGER_TRUNCATED, 50, 500); /* weak, not lost */
	g_assert_cmpfloat(ledger_coverage(&ledger), ==, 1);
	ledger_add(&ledger, LEDGER_LOST_RING, 5, 50);
	g_assert_cmpfloat_with_epsilon(ledger_coverage(&ledger), 0.95, 1e-9);
	ledger_add(&ledger, LEDGER_LOST_MAP, 1, 10);
	g_assert_false(ledger_is_conclusive(&ledger));
	/* weights not known: the count of events decides */
	other.seen = (struct ledger_line){ 100, 100 };
	ledger_add(&other, LEDGER_LOST_RING, 10, 0);
	g_assert_cmpfloat_with_epsilon(ledger_coverage(&other), 0.9, 1e-9);
	/* an independent count says more must have happened */
	other.expected_weight = 200;
	g_assert_cmpfloat_with_epsilon(ledger_coverage(&other), 0.5, 1e-9);
	/* beside more that could have happened little is missing */
	g_assert_cmpfloat_with_epsilon(ledger_coverage_beside(&other, 1000, 2000), 0.95, 1e-9);
	g_assert_cmpfloat_with_epsilon(ledger_coverage_beside(&other, 0, 100), 0.5, 1e-9);
	little.seen.events = 2;
	ledger_add(&little, LEDGER_LOST_MAP, 2, 0);
	g_assert_cmpfloat(ledger_coverage(&little), ==, 0);
	g_assert_cmpfloat_with_epsilon(ledger_coverage_beside(&little, 100, 0), 0.98, 1e-9);
	g_assert_true(isnan(ledger_coverage_beside(&nothing, 100, 100)));
	ledger_note(&ledger, g_strdup("once"));
	ledger_note(&ledger, g_strdup("once"));
	g_assert_cmpuint(ledger.notes->len, ==, 1);
	ledger_merge(&ledger, &other);
	g_assert_cmpuint(ledger.seen.events, ==, 200);
	ledger_clear(&ledger);
}

static void test_gauges(void)
{
	g_autoptr(gauges_t) before = gauges_new(), after = gauges_new(), changes = NULL, next = gauges_new();
	struct gauge_row *row = gauges_add(before, GAUGE_RESOURCE_CONTAINER, 7, 100, "web");
	guint64 value;

	gauge_set(row, GAUGE_CPU, 1000);
	gauge_set(row, GAUGE_FAULTS, 50);
	gauge_set(row, GAUGE_MEMORY, 4096);
	g_assert_false(gauge_get(row, GAUGE_OOM_KILLS, &value));
	gauges_add(before, GAUGE_RESOURCE_CONTAINER, 9, 100, "gone");
	gauges_add(after, GAUGE_RESOURCE_HOST, 1, 0, "host");
	row = gauges_add(after, GAUGE_RESOURCE_CONTAINER, 7, 100, "web renamed");
	row->parent = 0;
	gauge_set(row, GAUGE_CPU, 1500);
	gauge_set(row, GAUGE_FAULTS, 40); /* backwards: nobody knows */
	gauge_set(row, GAUGE_MEMORY, 0); /* zero, and known */
	gauge_set(row, GAUGE_OOM_KILLS, 3); /* was not known before */
	row = gauges_add(after, GAUGE_RESOURCE_CONTAINER, 7, 200, "web again"); /* another life of the same key */
	gauge_set(row, GAUGE_CPU, 30);
	changes = gauges_diff(before, after);
	g_assert_cmpuint(changes->rows->len, ==, 3);
	row = gauges_find(changes, GAUGE_RESOURCE_CONTAINER, 7, 100);
	g_assert_cmpstr(row->name, ==, "web renamed");
	g_assert_cmpuint(row->parent, ==, 0);
	g_assert_true(gauge_get(row, GAUGE_CPU, &value));
	g_assert_cmpuint(value, ==, 500);
	g_assert_false(gauge_get(row, GAUGE_FAULTS, &value));
	g_assert_true(gauge_get(row, GAUGE_MEMORY, &value));
	g_assert_cmpuint(value, ==, 0);
	g_assert_false(gauge_get(row, GAUGE_OOM_KILLS, &value));
	g_assert_null(gauges_find(changes, GAUGE_RESOURCE_CONTAINER, 9, 100));
	g_assert_true(gauge_get(gauges_find(changes, GAUGE_RESOURCE_CONTAINER, 7, 200), GAUGE_CPU, &value));
	g_assert_cmpuint(value, ==, 30);

	gauges_add(next, GAUGE_RESOURCE_CONTAINER, 55, 0, "pod"); /* not there so far */
	row = gauges_add(next, GAUGE_RESOURCE_CONTAINER, 7, 100, "web");
	gauge_set(row, GAUGE_CPU, 11);
	gauge_set(row, GAUGE_FAULTS, 5);
	gauges_add(next, GAUGE_RESOURCE_PROCESS, 56, 0, "child")->parent = 0;
	gauges_merge(changes, next);
	g_assert_cmpuint(changes->rows->len, ==, 5);
	row = gauges_find(changes, GAUGE_RESOURCE_CONTAINER, 7, 100);
	g_assert_cmpuint(row->values[GAUGE_CPU], ==, 511);
	g_assert_false(gauge_is_known(row, GAUGE_FAULTS));
	row = gauges_find(changes, GAUGE_RESOURCE_PROCESS, 56, 0);
	g_assert_cmpstr(gauges_row(changes, row->parent)->name, ==, "pod");
	gauges_clear(changes);
	g_assert_null(gauges_find(changes, GAUGE_RESOURCE_CONTAINER, 7, 100));
	row = gauges_add(changes, GAUGE_RESOURCE_CONTAINER, 7, 100, "fresh");
	g_assert_false(gauge_is_known(row, GAUGE_CPU));
}

static struct growth_trend trend_of(const gint64 *mib, guint count)
{
	struct growth growth;
	struct growth_trend trend;

	growth_init(&growth);
	for (guint i = 0; i < count; i++)
		growth_add(&growth, (7 + i * 2) * NS_PER_S, (guint64)mib[i] << 20); /* every two seconds */
	trend = growth_trend_of(&growth);
	growth_clear(&growth);
	return trend;
}

static void test_growth_trend(void)
{
	static const gint64 leak[] = { 100, 103, 104, 107, 109 }, still[] = { 50, 50, 50, 50, 50 };
	static const gint64 saw[] = { 100, 130, 100, 130, 100, 131 }, step[] = { 10, 10, 10, 10, 90 };
	static const gint64 slow[] = { 1000, 1001, 1002, 1003, 1004 }, down[] = { 90, 80, 70, 60 }, one[] = { 5 };
	struct growth_trend trend = trend_of(leak, G_N_ELEMENTS(leak));

	g_assert_true(trend.is_suspicious);
	g_assert_cmpint(trend.change_bytes, ==, 9 << 20);
	g_assert_cmpfloat_with_epsilon(trend.slope_bytes_per_s, 1.1 * (1 << 20), 1);
	g_assert_cmpfloat_with_epsilon(growth_seconds_to(&trend, 100 << 20, 210 << 20), 100, 0.01);
	g_assert_cmpfloat(growth_seconds_to(&trend, 300 << 20, 210 << 20), ==, 0);
	trend = trend_of(still, G_N_ELEMENTS(still));
	g_assert_false(trend.is_suspicious);
	g_assert_true(isinf(growth_seconds_to(&trend, 50 << 20, 60 << 20)));
	g_assert_false(trend_of(saw, G_N_ELEMENTS(saw)).is_suspicious);
	g_assert_false(trend_of(step, G_N_ELEMENTS(step)).is_suspicious); /* once is no leak */
	g_assert_false(trend_of(slow, G_N_ELEMENTS(slow)).is_suspicious); /* under one per cent */
	g_assert_false(trend_of(down, G_N_ELEMENTS(down)).is_suspicious);
	g_assert_cmpfloat(trend_of(down, G_N_ELEMENTS(down)).slope_bytes_per_s, <, 0);
	g_assert_false(trend_of(leak, 3).is_suspicious);
	g_assert_cmpuint(trend_of(one, 1).readings, ==, 1);
}

/* Names are what captures go by: there, and each once. */
static void test_gauge_metrics(void)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < GAUGES_COUNT; i++) {
		g_assert_nonnull(gauge_metrics[i].name);
		g_assert_nonnull(gauge_metrics[i].exported);
		g_assert_nonnull(gauge_metrics[i].help);
		g_assert_true(g_hash_table_add(names, (gpointer)gauge_metrics[i].name));
	}
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		g_assert_true(g_hash_table_add(names, (gpointer)gauge_text_name((enum gauge_text)i)));
}

static void test_buckets(void)
{
	static const struct {
		enum unit unit;
		guint64 value;
		guint bucket;
	} cases[] = {
		{ UNIT_NANOSECONDS, 0, 0 },
		{ UNIT_NANOSECONDS, 1, 0 },
		{ UNIT_NANOSECONDS, 2, 1 },
		{ UNIT_NANOSECONDS, 511, 8 },
		{ UNIT_NANOSECONDS, 512, 9 },
		{ UNIT_NANOSECONDS, 999, 9 },
		{ UNIT_NANOSECONDS, 1000, 10 },
		{ UNIT_NANOSECONDS, 1999, 10 },
		{ UNIT_NANOSECONDS, 2 * NS_PER_MS - 1, 20 },
		{ UNIT_NANOSECONDS, 2 * NS_PER_MS, 21 },
		{ UNIT_NANOSECONDS, 4 * NS_PER_MS - 1, 21 },
		{ UNIT_NANOSECONDS, NS_PER_S, 30 },
		{ UNIT_NANOSECONDS, 1000 * NS_PER_S, 40 },
		{ UNIT_NANOSECONDS, G_MAXUINT64, HISTOGRAM_BUCKETS - 1 },
		{ UNIT_BYTES, 0, 0 },
		{ UNIT_BYTES, 4095, 11 },
		{ UNIT_BYTES, 4096, 12 },
		{ UNIT_COUNT, G_MAXUINT64, HISTOGRAM_BUCKETS - 1 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpuint(histogram_bucket(cases[i].unit, cases[i].value), ==, cases[i].bucket);
	for (guint unit = UNIT_COUNT; unit <= UNIT_BYTES; unit++) {
		for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
			guint64 low = histogram_bucket_low(unit, i), high = histogram_bucket_high(unit, i);

			g_assert_cmpuint(low, <, high);
			g_assert_cmpuint(histogram_bucket(unit, low), ==, i);
			g_assert_cmpuint(histogram_bucket(unit, high - 1), ==, i);
		}
	}
}

static void histogram_put(struct histogram *histogram, const char *container, const char *wait, guint32 slot,
			  guint64 ns)
{
	struct histogram_counts counts = { 0 };

	histogram_counts_record(&counts, UNIT_NANOSECONDS, ns, 1);
	histogram_add(histogram, (const char *[]){ container, wait }, slot, &counts);
}

static void test_histogram(void)
{
	const char *const labels[] = { "container", "wait", NULL };
	g_autoptr(histogram_t) a = histogram_new(labels);
	g_autoptr(histogram_t) b = histogram_new(labels);
	g_autoptr(histogram_t) other = histogram_new((const char *[]){ "container", NULL });
	g_autoptr(histogram_t) diff = NULL;
	struct histogram_counts sum;
	struct histogram_row *row;

	a->slot_ns = b->slot_ns = NS_PER_S;
	for (guint64 ns = 1; ns <= 100; ns++)
		histogram_put(a, "web", "woken", (guint32)(ns / 50), ns * NS_PER_MS);
	histogram_put(a, "web", NULL, 7, 5);
	histogram_put(a, "db", "woken", 0, 9);
	g_assert_cmpuint(a->rows->len, ==, 3);
	histogram_sum(a, (const char *[]){ "web", NULL }, &sum);
	g_assert_cmpuint(sum.count, ==, 101);
	g_assert_cmpuint(sum.max, ==, 100 * NS_PER_MS);
	g_assert_cmpuint(sum.sum, ==, 5050 * NS_PER_MS + 5);
	row = histogram_row(a, (const char *[]){ "web", "woken" });
	g_assert_cmpuint(row->slots->len, ==, 3);
	g_assert_cmpint(histogram_quantile(&row->counts, 0.5), ==, 25); /* 50 ms: 32–64 ms */
	g_assert_cmpint(histogram_quantile(&row->counts, 1), ==, 26);
	g_assert_cmpint(histogram_quantile(&row->counts, 0), ==, 20);
	g_assert_cmpint(histogram_label(a, "wait"), ==, 1);
	g_assert_cmpint(histogram_label(a, "device"), ==, -1);

	histogram_put(b, "web", "woken", 2, 3 * NS_PER_MS); /* a slot that is there, one before, one between */
	histogram_put(b, "cache", "woken", 3, 1);
	g_assert_false(histogram_merge(other, a));
	g_assert_null(histogram_diff(other, a));
	diff = histogram_diff(a, b);
	g_assert_cmpuint(diff->rows->len, ==, 4);
	row = histogram_row(diff, (const char *[]){ "web", "woken" });
	g_assert_cmpuint(row->counts.count, ==, 1);
	g_assert_cmpuint(row->baseline->count, ==, 100);
	g_assert_cmpuint(histogram_row(diff, (const char *[]){ "cache", "woken" })->baseline->count, ==, 0);
	g_assert_true(histogram_merge(b, a));
	row = histogram_row(b, (const char *[]){ "web", "woken" });
	g_assert_cmpuint(row->counts.count, ==, 101);
	g_assert_cmpuint(row->slots->len, ==, 3);
	for (guint i = 0; i < row->slots->len; i++)
		g_assert_cmpuint(g_array_index(row->slots, struct histogram_slot, i).slot, ==, i);
	g_assert_cmpuint(g_array_index(row->slots, struct histogram_slot, 2).buckets[21], ==, 1);
}

static void test_edges(void)
{
	static const struct edges_column counters[] = { { "wait", UNIT_NANOSECONDS },
							{ "events", UNIT_COUNT },
							{ NULL } };
	static const struct edges_column histograms[] = { { "wait", UNIT_NANOSECONDS }, { NULL } };
	const char *const labels[] = { "resource", NULL };
	const char *const cpu[] = { "cpu" };
	g_autoptr(edges_t) a = edges_new(labels, counters, histograms);
	g_autoptr(edges_t) b = edges_new(labels, counters, histograms);
	g_autoptr(edges_t) bare = edges_new(NULL, counters, NULL);
	g_autoptr(edges_t) diff = NULL;
	struct edge_end web = { EDGE_END_CONTAINER, "web" }, host = { EDGE_END_HOST, "host" };
	struct edge_end impostor = { EDGE_END_CONTAINER, "host" };
	struct histogram_counts counts = { 0 };
	struct edge *edge;

	histogram_counts_record(&counts, UNIT_NANOSECONDS, 70, 2);
	edge = edges_add(a, &web, &host, cpu);
	edge_count(edge, 0, 140);
	edge_histogram_add(edge, 0, &counts);
	edge_count(edges_add(a, &web, &impostor, cpu), 0, 1);
	g_assert_cmpuint(a->rows->len, ==, 2);
	g_assert_true(edges_add(a, &web, &host, cpu) == edge);
	g_assert_cmpint(edges_source(a, 0).kind, ==, EDGE_END_CONTAINER);
	g_assert_cmpint(edges_target(a, 0).kind, ==, EDGE_END_HOST);
	g_assert_cmpstr(edges_target(a, 1).name, ==, "host");
	g_assert_cmpstr(edges_labels(a, 0)[0], ==, "cpu");
	g_assert_cmpint(edges_counter(a, "events"), ==, 1);
	edge_count(edges_add(b, &web, &host, cpu), 0, 60);
	edge_count(edges_add(b, &host, &web, cpu), 1, 5);
	diff = edges_diff(a, b);
	g_assert_cmpuint(diff->rows->len, ==, 3);
	edge = edges_add(diff, &web, &host, cpu);
	g_assert_cmpuint(edge->counters[0], ==, 60);
	g_assert_cmpuint(edge->baseline[0], ==, 140);
	g_assert_false(edges_merge(bare, a));
	g_assert_true(edges_merge(b, a));
	edge = edges_add(b, &web, &host, cpu);
	g_assert_cmpuint(edge->counters[0], ==, 200);
	g_assert_cmpuint(edge->histograms[0]->count, ==, 2);
	edge_count(edges_add(bare, &web, &host, NULL), 0, 1);
	g_assert_cmpuint(bare->rows->len, ==, 1);
}

static void test_snapshot(void)
{
	g_autoptr(snapshot_t) snapshot = snapshot_new("profile of web");
	struct shape *shape = shape_new(SHAPE_CALLTREE, "profile", UNIT_COUNT);

	g_assert_null(snapshot_find(snapshot, SHAPE_CALLTREE));
	g_ptr_array_add(snapshot->shapes, shape);
	g_assert_true(snapshot_find(snapshot, SHAPE_CALLTREE) == shape);
}

/* ---- events ---- */

static const struct event_field latency_fields[] = {
	{ .name = "latency", .unit = EVENT_NANOSECONDS, .number = 12 },
	{ .name = "file", .unit = EVENT_TEXT, .text = "/a\nb" },
	{ .name = "arguments", .unit = EVENT_LIST, .text = "ls\0\0-l", .number = 6 },
};

static struct event event_at(guint64 realtime_ns, const char *kind)
{
	return (struct event){ .realtime_ns = realtime_ns,
			       .container = "web",
			       .process = "sh",
			       .kind = kind,
			       .pid = 7,
			       .inner_pid = 1,
			       .fields = latency_fields,
			       .field_count = G_N_ELEMENTS(latency_fields) };
}

static void assert_kinds(const struct events *events, const char *expected)
{
	g_autoptr(GString) kinds = g_string_new(NULL);

	for (const GList *at = events->rows.head; at; at = at->next)
		g_string_append(kinds, ((const struct event *)at->data)->kind);
	g_assert_cmpstr(kinds->str, ==, expected);
}

static void test_event_copy(void)
{
	struct event event = event_at(5, "a");
	struct event *copy = event_copy(&event);
	const struct event_field *list = event_find(copy, "arguments");
	const char *at = NULL;

	g_assert_cmpstr(copy->container, ==, "web");
	g_assert_true(copy->container != event.container && copy->fields != event.fields);
	g_assert_cmpuint(event_find(copy, "latency")->number, ==, 12);
	g_assert_cmpstr(event_find(copy, "file")->text, ==, "/a\nb");
	g_assert_null(event_find(copy, "nothing"));
	g_assert_cmpuint(list->number, ==, 7); /* the last string has its end now */
	at = event_list_next(list, at);
	g_assert_cmpstr(at, ==, "ls");
	at = event_list_next(list, at);
	g_assert_cmpstr(at, ==, "");
	at = event_list_next(list, at);
	g_assert_cmpstr(at, ==, "-l");
	g_assert_null(event_list_next(list, at));
	event_free(copy);
}

static void test_events_order(void)
{
	g_autoptr(events_t) events = events_new(3);
	const guint64 times[] = { 20, 10, 30, 5, 15 };
	const char *const kinds[] = { "c", "b", "d", "a", "x" };

	for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
		struct event event = event_at(times[i], kinds[i]);

		g_assert_true((events_add(events, &event) == NULL) == (times[i] == 5));
	}
	assert_kinds(events, "xcd"); /* "a" came too late, "b" was pushed out */
	g_assert_cmpuint(events->forgotten, ==, 2);
}

static void test_events_merge(void)
{
	g_autoptr(events_t) one = events_new(0), two = events_new(0), since = NULL;
	struct event a = event_at(1, "a"), b = event_at(2, "b"), c = event_at(3, "c");

	events_add(one, &a);
	events_add(one, &c);
	events_add(two, &b);
	events_flood(one, "web", 5);
	events_flood(two, "web", 2);
	events_flood(two, NULL, 1);
	events_merge(two, one);
	assert_kinds(two, "abc");
	g_assert_cmpuint(two->floods->len, ==, 2);
	g_assert_cmpuint(g_array_index(two->floods, struct event_flood, 0).events, ==, 7);
	since = events_diff(one, two);
	assert_kinds(since, "b");
	g_assert_cmpuint(g_array_index(since->floods, struct event_flood, 0).events, ==, 2);
}

/* Where there is no room for all, what happened seldom stays. */
static void test_events_kinds(void)
{
	static const struct {
		const char *from; /* a kind each, by time */
		guint limit;
		const char *kept;
	} cases[] = {
		{ "baaaaa", 3, "baa" }, { "aaabaaa", 3, "baa" }, { "ababab", 4, "abab" },
		{ "ababab", 3, "bab" }, { "abcde", 3, "cde" },	 { "aabb", 4, "aabb" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(events_t) from = events_new(0), into = events_new(cases[i].limit);

		for (guint at = 0; cases[i].from[at]; at++) {
			char kind[] = { cases[i].from[at], '\0' };
			struct event event = event_at(at + 1, kind);

			events_add(from, &event);
		}
		events_merge(into, from);
		assert_kinds(into, cases[i].kept);
		g_assert_cmpuint(into->forgotten, ==, strlen(cases[i].from) - cases[i].limit);
	}
}

static void test_coverage(void)
{
	struct ledger a = { 0 }, b = { 0 };
	struct coverage_process *web, *other;

	a.coverage = coverage_new();
	b.coverage = coverage_new();
	web = coverage_process(a.coverage, "web", "nginx");
	web->weight[STACK_END_FIRST] = 90;
	web->weight[STACK_END_NO_TABLE] = 10;
	web->weight[STACK_END_NONE] = 5; /* no user half: does not count */
	coverage_add_missing(web, "x.so has no table", 10);
	g_assert_cmpuint(coverage_weight(web), ==, 100);
	g_assert_cmpuint(coverage_complete(web), ==, 90);
	g_assert_true(coverage_process(a.coverage, "web", "nginx") == web);
	other = coverage_process(b.coverage, "web", "nginx");
	other->weight[STACK_END_SHORT] = 1;
	coverage_add_missing(other, "x.so has no table", 2);
	coverage_process(b.coverage, "web\nnginx", ""); /* names are raw bytes: not the same */
	ledger_merge(&a, &b);
	g_assert_cmpuint(coverage_count(a.coverage), ==, 2);
	g_assert_cmpuint(coverage_weight(web), ==, 101);
	g_assert_cmpuint(web->missing->len, ==, 1);
	g_assert_cmpuint(g_array_index(web->missing, struct coverage_missing, 0).weight, ==, 12);
	for (guint i = 0; i < COVERAGE_PROCESSES_MAX + 10; i++) {
		g_autofree char *name = g_strdup_printf("p%u", i);

		coverage_process(a.coverage, "", name)->weight[STACK_END_FIRST]++;
	}
	g_assert_cmpuint(coverage_count(a.coverage), <=, COVERAGE_PROCESSES_MAX + 1);
	g_assert_cmpuint(coverage_process(a.coverage, "", COVERAGE_OTHERS)->weight[STACK_END_FIRST], ==, 12);
	ledger_clear(&a);
	/* Who adds up for ever keeps no processes. */
	ledger_note(&b, g_strdup("a sentence"));
	b.seen.events = 3;
	ledger_add_up(&a, &b);
	ledger_add_up(&a, &b);
	g_assert_cmpuint(a.seen.events, ==, 6);
	g_assert_cmpuint(a.notes->len, ==, 1);
	g_assert_null(a.coverage);
	ledger_clear(&a);
	ledger_clear(&b);
}

/* A window of ten seconds from 1000 s on: two stacks, samples at its 2nd and 8th second. */
static struct snapshot *window_new(gboolean has_moments)
{
	struct snapshot *snapshot = snapshot_new("window");
	struct shape *shape = shape_new(SHAPE_CALLTREE, "profile", UNIT_COUNT);

	for (guint i = 0; i < 2; i++) {
		guint32 node =
			calltree_child(shape->calltree, CALLTREE_ROOT,
				       calltree_frame(shape->calltree, FRAME_USER, i ? "late" : "early", -1, NULL));

		calltree_add(shape->calltree, node, 1);
		if (has_moments)
			calltree_add_moment(shape->calltree, node, 1002000 + i * 6000);
	}
	snapshot->start_realtime_ns = 1000 * NS_PER_S;
	snapshot->duration_ns = 10 * NS_PER_S;
	g_ptr_array_add(snapshot->shapes, shape);
	return snapshot;
}

static void test_cut(void)
{
	static const struct {
		gint64 from_ms, to_ms;
		gboolean is_inside;
		const char *only; /* what is left; NULL: both */
		guint64 start_s, duration_s;
	} cases[] = {
		{ G_MININT64, G_MAXINT64, TRUE, NULL, 1000, 10 }, { 1000000, 1010000, TRUE, NULL, 1000, 10 },
		{ 1005000, 1020000, TRUE, "late", 1005, 5 },	  { 900000, 1008000, TRUE, "early", 1000, 8 },
		{ 1010000, 1020000, FALSE, NULL, 1000, 10 },	  { 900000, 1000000, FALSE, NULL, 1000, 10 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(snapshot_t) dated = window_new(TRUE), whole = window_new(FALSE);
		const struct calltree *tree = snapshot_find(dated, SHAPE_CALLTREE)->calltree;
		gboolean cuts = cases[i].only != NULL;

		g_assert_cmpint(snapshot_cut(dated, cases[i].from_ms, cases[i].to_ms), ==, cases[i].is_inside);
		g_assert_cmpuint(dated->start_realtime_ns, ==, cases[i].start_s * NS_PER_S);
		g_assert_cmpuint(dated->duration_ns, ==, cases[i].duration_s * NS_PER_S);
		g_assert_cmpuint(tree->node_count, ==, cuts ? 2 : 3);
		g_assert_cmpuint(tree->moments->len, ==, cuts ? 1 : 2);
		if (cuts)
			g_assert_cmpstr(tree->frames[tree->frame[1]].name, ==, cases[i].only);
		/* Nobody knows when: all of it stays, and that is said. */
		g_assert_cmpint(snapshot_cut(whole, cases[i].from_ms, cases[i].to_ms), ==, cases[i].is_inside);
		g_assert_cmpuint(snapshot_find(whole, SHAPE_CALLTREE)->calltree->node_count, ==, 3);
		g_assert_cmpuint(whole->duration_ns, ==, 10 * NS_PER_S);
		g_assert_true((snapshot_find(whole, SHAPE_CALLTREE)->ledger.notes != NULL) == cuts);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/model/calltree/stacks", test_tree);
	g_test_add_func("/model/calltree/growth", test_growth);
	g_test_add_func("/model/calltree/diff", test_diff);
	g_test_add_func("/model/calltree/prune", test_prune);
	g_test_add_func("/model/snapshot/cut", test_cut);
	g_test_add_func("/model/gauges", test_gauges);
	g_test_add_func("/model/growth", test_growth_trend);
	g_test_add_func("/model/gauge_metrics", test_gauge_metrics);
	g_test_add_func("/model/histogram/buckets", test_buckets);
	g_test_add_func("/model/histogram/rows", test_histogram);
	g_test_add_func("/model/edges", test_edges);
	g_test_add_func("/model/ledger", test_ledger);
	g_test_add_func("/model/events/copy", test_event_copy);
	g_test_add_func("/model/events/order", test_events_order);
	g_test_add_func("/model/events/merge", test_events_merge);
	g_test_add_func("/model/events/kinds", test_events_kinds);
	g_test_add_func("/model/snapshot", test_snapshot);
	g_test_add_func("/model/coverage", test_coverage);
	return g_test_run();
}
