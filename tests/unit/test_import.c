/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of foreign captures: what they understand, and where they say the fault is. */
#include <string.h>

#include "import/import.h"
#include "render/render.h"

static struct snapshot *read_text(const char *text, const char *format, GError **error)
{
	struct import_options options = { .format = format };

	return import_bytes(text, strlen(text), &options, error);
}

static char *written(const struct snapshot *snapshot, const char *format, gsize *length)
{
	struct render_options options = { 0 };

	return render_write_string(snapshot, render_format_find(format, NULL), &options, length, NULL);
}

static char *as_folded(const struct snapshot *snapshot)
{
	return written(snapshot, "folded", NULL);
}

static void test_folded(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(snapshot_t) snapshot =
		read_text("# comment\na;b c;d_[k] 10\r\n\na;b c 2.5\na;b c;d_[k] 5\nx 1\n;[libfoo.so: no symbols] 3",
			  NULL, &error);
	g_autofree char *text = NULL;
	const struct shape *shape;

	g_assert_no_error(error);
	shape = snapshot_find(snapshot, SHAPE_CALLTREE);
	text = as_folded(snapshot);
	g_assert_nonnull(strstr(text, "a;b c;d_[k] 15\n"));
	g_assert_nonnull(strstr(text, "a;b c 3\n"));
	g_assert_nonnull(strstr(text, "x 1\n"));
	g_assert_nonnull(strstr(text, "[no name];[libfoo.so: no symbols] 3\n"));
	g_assert_cmpuint(shape->ledger.seen.weight, ==, 22);
	g_assert_cmpuint(shape->ledger.seen.events, ==, 5);
}

static void test_folded_units(void)
{
	struct import_options options = { .unit = UNIT_NANOSECONDS, .scale = 1000 };
	g_autoptr(snapshot_t) snapshot = import_bytes("a;b 7\n", 6, &options, NULL);
	const struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);

	g_assert_cmpint(shape->unit, ==, UNIT_NANOSECONDS);
	g_assert_cmpuint(shape->ledger.seen.weight, ==, 7000);
}

/* Our own files of blocked time are known by their causes, unless the user knows better. */
static void test_folded_causes(void)
{
	static const char text[] = "web;bash;blocked: child;main;wait4 7\nweb;running;main 2\n";
	struct import_options samples = { .unit = UNIT_COUNT, .scale = 1 };
	g_autoptr(snapshot_t) time = import_bytes(text, strlen(text), NULL, NULL);
	g_autoptr(snapshot_t) count = import_bytes(text, strlen(text), &samples, NULL);
	g_autoptr(snapshot_t) other = import_bytes("a;b;c;d;blocked: disk 7\n", 24, NULL, NULL);
	g_autofree char *again = as_folded(time);

	g_assert_cmpint(snapshot_find(time, SHAPE_CALLTREE)->unit, ==, UNIT_NANOSECONDS);
	g_assert_cmpuint(snapshot_find(time, SHAPE_CALLTREE)->ledger.seen.weight, ==, 9000);
	g_assert_nonnull(strstr(again, "web;bash;blocked: child;main;wait4 7\n"));
	g_assert_cmpint(snapshot_find(count, SHAPE_CALLTREE)->unit, ==, UNIT_COUNT);
	g_assert_cmpuint(snapshot_find(count, SHAPE_CALLTREE)->ledger.seen.weight, ==, 9);
	g_assert_cmpint(snapshot_find(other, SHAPE_CALLTREE)->unit, ==, UNIT_COUNT);
}

/* The sorted bulk load must make the same tree as one insertion after the other, over several batches. */
static void test_bulk(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(calltree_t) expected = calltree_new();
	g_autoptr(snapshot_t) snapshot = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree guint64 *before = NULL;
	const struct calltree *tree;
	GRand *random = g_rand_new_with_seed(7);

	for (guint line = 0; line < 600000; line++) { /* more than one batch of rows */
		guint depth = (guint)g_rand_int_range(random, 1, 6);
		guint32 node = CALLTREE_ROOT;

		for (guint i = 0; i < depth; i++) {
			char name[16];

			g_snprintf(name, sizeof(name), "f%d", g_rand_int_range(random, 0, 8));
			g_string_append_printf(text, "%s%s", i ? ";" : "", name);
			node = calltree_child(expected, node, calltree_frame(expected, FRAME_USER, name, -1, NULL));
		}
		g_string_append_printf(text, " %u\n", line % 5 + 1);
		calltree_add(expected, node, line % 5 + 1);
	}
	g_rand_free(random);
	snapshot = import_bytes(text->str, text->len, NULL, &error);
	g_assert_no_error(error);
	tree = snapshot_find(snapshot, SHAPE_CALLTREE)->calltree;
	g_assert_cmpuint(tree->node_count, ==, expected->node_count);
	before = g_memdup2(expected->self, sizeof(*before) * expected->node_count);
	calltree_merge(expected, tree); /* doubles every weight and adds no node, when they are the same */
	g_assert_cmpuint(tree->node_count, ==, expected->node_count);
	for (guint32 i = 0; i < expected->node_count; i++)
		g_assert_cmpuint(expected->self[i], ==, 2 * before[i]);
}

static const char perf_text[] = "# ========\n"
				"node 12/13 [001] 5023.123456:    1000 cpu-clock:uhpppH: \n"
				"\tffffffff8110a2b4 schedule+0x14 ([kernel.kallsyms])\n"
				"\t    7f3c2a1b read+0x4c (/usr/lib/libc.so.6 (deleted))\n"
				"\t    7f3c2a1c [unknown] (/opt/lib foo.so)\n"
				"\t    7f3c2a1d LazyCompile:~x /a.js:3 (/tmp/perf-12.map)\n"
				"\n"
				"  my cmd 77 5023.2: 1 cpu-clock:uhpppH: \n"
				"\t    55aa operator()(int)+0x1 (/bin/app)\n"
				"\n"
				"other 5 1.0: 1 sched:sched_switch: \n"
				"\t    55aa skipped (/bin/app)\n"
				"\n";

static void test_perf_script(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(snapshot_t) snapshot = read_text(perf_text, NULL, &error);
	const struct ledger *ledger;
	g_autofree char *text = NULL;

	g_assert_no_error(error);
	ledger = &snapshot_find(snapshot, SHAPE_CALLTREE)->ledger;
	text = as_folded(snapshot);
	g_assert_nonnull(strstr(text, "node;LazyCompile:~x /a.js:3_[j];[lib foo.so: no symbol];read;schedule_[k] 1\n"));
	g_assert_nonnull(strstr(text, "my cmd;operator()(int) 1\n"));
	g_assert_null(strstr(text, "skipped"));
	g_assert_cmpuint(ledger->seen.events, ==, 2);
	g_assert_cmpuint(ledger->items[LEDGER_UNRESOLVED].events, ==, 1);
	g_assert_nonnull(strstr(g_ptr_array_index(ledger->notes, 0), "1 samples of other events"));
}

static void test_pprof_round_trip(void)
{
	g_autoptr(snapshot_t) snapshot = read_text("main;work_[k] 30\nmain;rest 12\n", NULL, NULL);
	gsize length;
	g_autofree char *bytes = written(snapshot, "pprof", &length);
	g_autoptr(GError) error = NULL;
	g_autoptr(snapshot_t) back = import_bytes(bytes, length, NULL, &error);
	g_autofree char *text = NULL;

	g_assert_no_error(error);
	text = as_folded(back);
	g_assert_nonnull(strstr(text, "main;work_[k] 30\n"));
	g_assert_nonnull(strstr(text, "main;rest 12\n"));
}

/* A profile cut anywhere is refused or read, never a crash; a flipped byte likewise. */
static void test_pprof_damaged(void)
{
	g_autoptr(snapshot_t) snapshot = read_text("main;work_[k] 30\nmain;rest 12\n", NULL, NULL);
	struct import_options options = { .format = "pprof" };
	gsize length;
	g_autofree char *bytes = written(snapshot, "pprof", &length);

	for (gsize i = 0; i < length; i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(snapshot_t) cut = import_bytes(bytes, i, &options, &error);

		g_assert_null(cut);
		g_assert_nonnull(error);
	}
	for (gsize i = 0; i < length; i++) {
		g_autoptr(snapshot_t) flipped = NULL;

		bytes[i] ^= 0x55;
		flipped = import_bytes(bytes, length, &options, NULL);
		bytes[i] ^= 0x55;
	}
}

static void test_malformed(void)
{
	static const struct {
		const char *format, *text, *position;
	} cases[] = {
		{ "folded", "a;b 1\na;b\n", "line 2: " },
		{ "folded", "a;b 1\n\na;b x1\n", "line 3: " },
		{ "folded", "a;b -4\n", "line 1: " },
		{ "folded", "a;b 99999999999999999999\n", "line 1: " },
		{ "folded", " 5\n5\n", "line 2: " },
		{ "perf-script", "c 1 2.0: e:\n\t12 f (m)\n\tzz\n", "line 3: " },
		{ "perf-script", "nothing here\n", "line 1: " },
		{ "pprof", "\x0a\x04\x08\x01\x10\x02\x12\xff", "byte 8 " },
		{ "pprof", "\x0a\x04\x08\x01\x10\x02\x12\x02\x0a\x7f", "byte 10 " },
		{ "pprof", "\x12\x03\x0a\x01\x05", "byte 5 " },
		{ "json", "{\"format\":\"x\"}", "byte 13: " },
		{ "json", "{\"format\":\"fathom capture\",\"version\":2}", "byte 38: " },
		{ "json",
		  "{\"format\":\"fathom capture\",\"version\":1,\"shapes\":[{\"kind\":\"calltree\",\"nodes\":[[0,0,0],[1,0,1]]}]}",
		  "byte " },
		{ "json",
		  "{\"format\":\"fathom capture\",\"version\":1,\"shapes\":[{\"kind\":\"calltree\",\"nodes\":[[0,0,0],[0,7,1]]}]}",
		  "byte " },
		{ "json",
		  "{\"format\":\"fathom capture\",\"version\":1,\"shapes\":[{\"kind\":\"calltree\",\"moments\":[[0,7]]}]}",
		  "byte 84: " },
		{ "json", "{\"format\":\"fathom capture\",\"version\":1,\"shapes\":[", "byte " },
		{ "json", "{\"a\":\"\\ud800x\"}", "byte " },
		{ "json", "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "byte " },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(snapshot_t) snapshot = read_text(cases[i].text, cases[i].format, &error);

		g_assert_null(snapshot);
		g_assert_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED);
		if (!g_str_has_prefix(error->message, cases[i].position))
			g_error("case %u: \"%s\" does not begin with \"%s\"", i, error->message, cases[i].position);
	}
}

static void test_empty(void)
{
	static const char *const texts[] = { "", "\n\n", "# nothing\n", "a;b 0\n" };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(read_text(texts[i], NULL, &error));
		g_assert_error(error, IMPORT_ERROR, IMPORT_ERROR_EMPTY);
	}
}

static void test_deep(void)
{
	g_autoptr(GString) text = g_string_new("f");
	g_autoptr(snapshot_t) snapshot = NULL;
	const struct shape *shape;

	for (guint i = 1; i < 2 * IMPORT_DEPTH_MAX; i++)
		g_string_append(text, ";f");
	g_string_append(text, " 1\n");
	snapshot = read_text(text->str, NULL, NULL);
	shape = snapshot_find(snapshot, SHAPE_CALLTREE);
	g_assert_cmpuint(shape->calltree->node_count, ==, IMPORT_DEPTH_MAX + 1);
	g_assert_cmpuint(shape->ledger.items[LEDGER_TRUNCATED].events, ==, 1);
}

static void test_long_line(void)
{
	g_autofree char *line = g_strnfill(IMPORT_LINE_BYTES_MAX + (1u << 20), 'a');
	g_autoptr(GError) error = NULL;

	g_assert_null(read_text(line, "folded", &error));
	g_assert_error(error, IMPORT_ERROR, IMPORT_ERROR_TOO_LARGE);
}

static void test_gauges_round_trip(void)
{
	g_autoptr(snapshot_t) snapshot = snapshot_new("top");
	struct shape *shape = shape_new(SHAPE_GAUGES, "top", UNIT_COUNT);
	gsize length, again_length;
	g_autofree char *text = NULL, *again = NULL;
	g_autoptr(snapshot_t) back = NULL;
	g_autoptr(GError) error = NULL;
	struct gauge_row *row;

	g_ptr_array_add(snapshot->shapes, shape);
	gauges_add(shape->gauges, GAUGE_RESOURCE_HOST, 1, 0, "host");
	row = gauges_add(shape->gauges, GAUGE_RESOURCE_CONTAINER, G_GUINT64_CONSTANT(1) << 63 | 5, 12345678901234567,
			 "w\x1b[2J\"\xff");
	row->parent = 0;
	row->dead = TRUE;
	for (guint i = 0; i < GAUGES_COUNT; i += 2)
		gauge_set(row, (enum gauge)i, i ? G_MAXUINT64 - i : 0);
	gauges_set_text(shape->gauges, row, GAUGE_TEXT_CGROUP, "/docker/\n\xfe");
	text = written(snapshot, "json", &length);
	back = import_bytes(text, length, NULL, &error);
	g_assert_no_error(error);
	row = gauges_row(snapshot_find(back, SHAPE_GAUGES)->gauges, 1);
	g_assert_cmpstr(row->name, ==, "w\x1b[2J\"\xff");
	g_assert_cmpuint(row->values[GAUGE_CPU_SYSTEM], ==, G_MAXUINT64 - GAUGE_CPU_SYSTEM);
	g_assert_true(gauge_is_known(row, GAUGE_CPU));
	g_assert_false(gauge_is_known(row, GAUGE_CPU_USER));
	again = written(back, "json", &again_length);
	g_assert_cmpmem(text, length, again, again_length);
	/* and no stacks in it: said, not drawn */
	g_assert_null(written(back, "svg", NULL));
}

static void test_gauges_malformed(void)
{
	static const char *const rows[] = { "{\"resource\":\"moon\"}", "{\"name\":\"x\",\"parent\":0}", "{}",
					    "{\"name\":\"x\",\"key\":\"7x\"}", "{\"name\":\"x\",\"cpu_ns\":-1}" };

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = g_strdup_printf("{\"format\":\"fathom capture\",\"version\":1,\"shapes\":["
							"{\"kind\":\"gauges\",\"rows\":[%s]}]}",
							rows[i]);
		g_autoptr(GError) error = NULL;

		g_assert_null(read_text(text, NULL, &error));
		g_assert_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED);
	}
}

static void test_tables_round_trip(void)
{
	static const struct edges_column counters[] = { { "wait", UNIT_NANOSECONDS },
							{ "bytes", UNIT_BYTES },
							{ NULL } };
	static const struct edges_column histograms[] = { { "wait", UNIT_NANOSECONDS }, { NULL } };
	g_autoptr(snapshot_t) snapshot = snapshot_new("latency");
	struct shape *table = shape_new(SHAPE_HISTOGRAM, "runq", UNIT_NANOSECONDS);
	struct shape *pairs = shape_new(SHAPE_EDGES, "blame", UNIT_NANOSECONDS);
	struct edge_end web = { EDGE_END_CONTAINER, "w\x1b[2J\"\xff" }, quota = { EDGE_END_QUOTA, "own quota" };
	struct histogram_counts counts = { 0 };
	g_autofree char *text = NULL, *again = NULL;
	g_autoptr(snapshot_t) back = NULL;
	g_autoptr(GError) error = NULL;
	gsize length, again_length;
	struct edge *edge;

	g_ptr_array_add(snapshot->shapes, table);
	g_ptr_array_add(snapshot->shapes, pairs);
	table->histogram = histogram_new((const char *[]){ "container", "wait", NULL });
	table->histogram->slot_ns = NS_PER_S;
	for (guint i = 0; i < 40; i++) {
		histogram_counts_record(&counts, UNIT_NANOSECONDS, NS_PER_US << (i % 20), i);
		histogram_add(table->histogram, (const char *[]){ web.name, i % 2 ? "woken" : NULL }, i, &counts);
	}
	histogram_row(table->histogram, (const char *[]){ "new", NULL })->baseline = g_memdup2(&counts, sizeof(counts));
	pairs->edges = edges_new((const char *[]){ "resource", NULL }, counters, histograms);
	edge = edges_add(pairs->edges, &web, &quota, (const char *[]){ NULL });
	edge_count(edge, 1, 77);
	edge_histogram_add(edge, 0, &counts);
	edge = edges_add(pairs->edges, &quota, &web, (const char *[]){ "cpu" });
	edge->baseline = g_new0(guint64, EDGES_COUNTERS_MAX);
	edge->baseline[0] = 5;
	text = written(snapshot, "json", &length);
	back = import_bytes(text, length, NULL, &error);
	g_assert_no_error(error);
	table = snapshot_find(back, SHAPE_HISTOGRAM);
	g_assert_cmpint(table->unit, ==, UNIT_NANOSECONDS);
	g_assert_cmpuint(table->histogram->rows->len, ==, 3);
	g_assert_cmpstr(histogram_values(table->histogram, 0)[0], ==, web.name);
	g_assert_cmpstr(edges_source(snapshot_find(back, SHAPE_EDGES)->edges, 0).name, ==, web.name);
	again = written(back, "json", &again_length);
	g_assert_cmpmem(text, length, again, again_length);
}

static void test_tables_malformed(void)
{
	static const char *const shapes[] = {
		"\"histogram\"",
		"\"edges\"",
		"\"histogram\",\"labels\":[]",
		"\"histogram\",\"labels\":[\"a\",null]",
		"\"histogram\",\"labels\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
		"\"histogram\",\"rows\":[]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[]}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"counts\":{}}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[\"a\"]},{\"values\":[\"a\"]}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[\"a\"],\"counts\":{\"buckets\":[[48,1]]}}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[\"a\"],\"counts\":{\"buckets\":[[1]]}}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[\"a\"],\"counts\":{\"sum\":9223372036854775807}}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[\"a\"],\"slots\":[[2,[]],[1,[]]]}]",
		"\"histogram\",\"labels\":[\"c\"],\"rows\":[{\"values\":[\"a\"],\"slots\":[[99999999,[]]]}]",
		"\"edges\",\"rows\":[]",
		"\"edges\",\"labels\":[\"a\"],\"rows\":[{\"source\":[\"moon\",\"x\"]}]",
		"\"edges\",\"labels\":[\"a\"],\"rows\":[{\"source\":[\"host\",null]}]",
		"\"edges\",\"labels\":[\"a\"],\"rows\":[{\"values\":[null]}]",
		"\"edges\",\"labels\":[\"a\"],\"rows\":[{\"counters\":[]}]",
		"\"edges\",\"labels\":[],\"counters\":[[\"a\",\"moons\"]]",
		"\"edges\",\"labels\":[],\"counters\":[[\"a\",\"count\"]],\"rows\":[{\"source\":[\"host\",\"h\"],"
		"\"target\":[\"host\",\"h\"],\"values\":[],\"counters\":[]}]",
	};

	for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_autofree char *text = g_strdup_printf("{\"format\":\"fathom capture\",\"version\":1,\"shapes\":["
							"{\"kind\":%s}]}",
							shapes[i]);
		g_autoptr(GError) error = NULL;

		g_assert_null(read_text(text, NULL, &error));
		g_assert_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED);
	}
}

static void test_differential_round_trip(void)
{
	g_autoptr(snapshot_t) snapshot = read_text("a;b 5\na;c 7\n", NULL, NULL);
	gsize length, again_length;
	g_autofree char *text = NULL, *again = NULL;
	g_autoptr(snapshot_t) back = NULL;

	calltree_add_baseline(snapshot_find(snapshot, SHAPE_CALLTREE)->calltree, 2, 9);
	text = written(snapshot, "json", &length);
	back = import_bytes(text, length, NULL, NULL);
	again = written(back, "json", &again_length);
	g_assert_cmpmem(text, length, again, again_length);
}

/* Whatever a container may call itself comes back byte for byte. */
static void test_events_round_trip(void)
{
	const struct event_field fields[] = {
		{ .name = "latency", .unit = EVENT_NANOSECONDS, .number = G_MAXUINT64 },
		{ .name = "limit", .unit = EVENT_BYTES, .number = 1 << 20 },
		{ .name = "error", .unit = EVENT_SIGNED, .number = -2 },
		{ .name = "count", .unit = EVENT_COUNT, .number = 3 },
		{ .name = "file", .unit = EVENT_TEXT, .text = "/\033[2J\n\"'\\\377" },
		{ .name = "arguments", .unit = EVENT_LIST, .text = "a\0\377\0\0", .number = 5 },
		{ .name = "none", .unit = EVENT_LIST, .text = "", .number = 0 },
	};
	const struct event event = { .realtime_ns = 1700000000123456789,
				     .container = "w\"eb\033",
				     .process = "}\n",
				     .kind = "slow read",
				     .pid = 77,
				     .tid = 78,
				     .inner_pid = 1,
				     .fields = fields,
				     .field_count = G_N_ELEMENTS(fields) };
	g_autoptr(snapshot_t) snapshot = snapshot_new("events"), back = NULL;
	struct shape *shape = shape_new(SHAPE_EVENTS, "slow fs", UNIT_COUNT);
	g_autoptr(GError) error = NULL;
	g_autoptr(events_t) difference = NULL;
	g_autofree char *json = NULL;
	gsize length;

	g_ptr_array_add(snapshot->shapes, shape);
	events_add(shape->events, &event);
	events_flood(shape->events, "w\377", 9);
	shape->events->forgotten = 4;
	json = written(snapshot, "json", &length);
	g_assert_nonnull(strstr(json, "\"time\":\"2023-11-14T22:13:20.123456Z\""));
	back = import_bytes(json, length, NULL, &error);
	g_assert_no_error(error);
	shape = snapshot_find(back, SHAPE_EVENTS);
	g_assert_nonnull(shape);
	g_assert_cmpuint(g_queue_get_length(&shape->events->rows), ==, 1);
	g_assert_cmpuint(shape->events->forgotten, ==, 4);
	difference = events_diff(snapshot_find(snapshot, SHAPE_EVENTS)->events, shape->events);
	g_assert_cmpuint(g_queue_get_length(&difference->rows), ==, 0);
	g_assert_cmpstr(g_array_index(shape->events->floods, struct event_flood, 0).container, ==, "w\377");
	g_assert_cmpuint(difference->floods->len, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/import/folded", test_folded);
	g_test_add_func("/import/folded-units", test_folded_units);
	g_test_add_func("/import/bulk", test_bulk);
	g_test_add_func("/import/perf-script", test_perf_script);
	g_test_add_func("/import/pprof-round-trip", test_pprof_round_trip);
	g_test_add_func("/import/pprof-damaged", test_pprof_damaged);
	g_test_add_func("/import/malformed", test_malformed);
	g_test_add_func("/import/empty", test_empty);
	g_test_add_func("/import/deep", test_deep);
	g_test_add_func("/import/long-line", test_long_line);
	g_test_add_func("/import/folded-causes", test_folded_causes);
	g_test_add_func("/import/differential-round-trip", test_differential_round_trip);
	g_test_add_func("/import/tables", test_tables_round_trip);
	g_test_add_func("/import/tables-malformed", test_tables_malformed);
	g_test_add_func("/import/gauges", test_gauges_round_trip);
	g_test_add_func("/import/gauges_malformed", test_gauges_malformed);
	g_test_add_func("/import/events-round-trip", test_events_round_trip);
	return g_test_run();
}
