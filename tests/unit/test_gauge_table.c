/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges as people see them: cells, order, filter. */
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "render/gauge_table.h"

/* host, web (busy, limits), db (idle, waits), db/worker (inside db, nothing known). Two seconds. */
struct table {
	struct gauges *readings, *changes;
	struct gauge_interval interval;
};

static void table_init(struct table *table)
{
	struct gauges *readings = gauges_new();
	struct gauge_row *row;

	row = gauges_add(readings, GAUGE_RESOURCE_HOST, 0, 0, "host");
	gauge_set(row, GAUGE_CPU, NS_PER_S);
	row = gauges_add(readings, GAUGE_RESOURCE_CONTAINER, 1, 0, "web");
	row->parent = 0;
	gauges_set_text(readings, row, GAUGE_TEXT_IMAGE, "nginx:1");
	gauge_set(row, GAUGE_CPU, NS_PER_S);
	gauge_set(row, GAUGE_CPU_LIMIT, 750 * NS_PER_MS);
	gauge_set(row, GAUGE_CPU_PERIODS, 20);
	gauge_set(row, GAUGE_CPU_PERIODS_THROTTLED, 5);
	gauge_set(row, GAUGE_MEMORY_WORKING_SET, 96 << 20);
	gauge_set(row, GAUGE_MEMORY_LIMIT, 128 << 20);
	gauge_set(row, GAUGE_RUNQUEUE_WAIT, 100 * NS_PER_MS);
	gauge_set(row, GAUGE_NET_RECEIVED_BYTES, 3000000);
	gauge_set(row, GAUGE_PRESSURE_CPU_SOME, NS_PER_S);
	row = gauges_add(readings, GAUGE_RESOURCE_CONTAINER, 2, 0, "db\033[2J");
	row->parent = 0;
	gauge_set(row, GAUGE_CPU, 0);
	gauge_set(row, GAUGE_PRESSURE_CPU_SOME, NS_PER_S); /* no run-queue wait known: pressure stands in */
	gauge_set(row, GAUGE_PRESSURE_IO_SOME, NS_PER_S);
	gauge_set(row, GAUGE_PIDS, 7);
	gauge_set(row, GAUGE_PIDS_LIMIT, 10);
	gauges_set_text(readings, row, GAUGE_TEXT_NET_SHARED, "host");
	row = gauges_add(readings, GAUGE_RESOURCE_CGROUP, 3, 0, "worker");
	row->parent = 2;
	table->readings = readings;
	table->changes = gauges_new();
	for (guint32 i = 0; i < readings->rows->len; i++)
		gauges_copy(table->changes, gauges_row(readings, i));
	table->interval = (struct gauge_interval){ readings, table->changes, 2 * NS_PER_S };
}

static void table_clear(struct table *table)
{
	gauges_free(table->readings);
	gauges_free(table->changes);
}

static void test_cells(void)
{
	static const struct {
		guint32 row;
		enum gauge_column_id column;
		const char *text;
	} cells[] = {
		{ 1, GAUGE_COLUMN_CPU, "50.0/75" },
		{ 1, GAUGE_COLUMN_THROTTLED, "25.0" },
		{ 1, GAUGE_COLUMN_LOST, "5.0" },
		{ 1, GAUGE_COLUMN_MEMORY, "96.0MiB/128MiB" },
		{ 1, GAUGE_COLUMN_MEMORY_RATIO, "75.0" },
		{ 1, GAUGE_COLUMN_RECEIVED, "1.5MB" },
		{ 1, GAUGE_COLUMN_SENT, "-" },
		{ 1, GAUGE_COLUMN_PRESSURE, "50/-/-" },
		{ 2, GAUGE_COLUMN_CPU, "0.0" },
		{ 2, GAUGE_COLUMN_THROTTLED, "-" },
		{ 2, GAUGE_COLUMN_LOST, "100.0" },
		{ 2, GAUGE_COLUMN_PIDS, "7/10" },
		{ 2, GAUGE_COLUMN_RECEIVED, "host" },
		{ 3, GAUGE_COLUMN_CPU, "-" },
		{ 3, GAUGE_COLUMN_LOST, "-" },
		{ 3, GAUGE_COLUMN_MEMORY, "-" },
		{ 3, GAUGE_COLUMN_PRESSURE, "-" },
		{ 3, GAUGE_COLUMN_OOM, "-" },
	};
	struct table table;

	table_init(&table);
	for (guint i = 0; i < G_N_ELEMENTS(cells); i++) {
		g_autofree char *text = gauge_cell_text(&table.interval, cells[i].row, cells[i].column);

		g_assert_cmpstr(text, ==, cells[i].text);
	}
	/* The very first reading has levels and nothing else. */
	table.interval.changes = NULL;
	table.interval.length_ns = 0;
	g_assert_true(isnan(gauge_cell_value(&table.interval, 1, GAUGE_COLUMN_CPU)));
	g_assert_cmpfloat(gauge_cell_value(&table.interval, 1, GAUGE_COLUMN_MEMORY_RATIO), ==, 75);
	table_clear(&table);
}

static char *matching(const struct gauge_interval *interval, const char *text)
{
	g_autoptr(GError) error = NULL;
	struct gauge_filter *filter = gauge_filter_new(text, &error);
	GString *found = g_string_new(NULL);

	g_assert_no_error(error);
	for (guint32 i = 1; i < interval->readings->rows->len; i++)
		if (gauge_filter_matches(filter, interval, i))
			g_string_append_printf(found, "%u", i);
	gauge_filter_free(filter);
	return g_string_free(found, FALSE);
}

static void test_filter(void)
{
	static const char *const cases[][2] = {
		{ "", "123" },	     { "web", "1" },	   { "WEB", "1" },    { "nginx", "1" },	  { "/^w/", "13" },
		{ "cpu>49%", "1" },  { "cpu>=50", "1" },   { "cpu>50", "" },  { "cpu<1", "2" },	  { "mem>80%", "" },
		{ "mem>=75%", "1" }, { "mem>95MiB", "1" }, { "mem>1G", "" },  { "lost>10", "2" }, { "pids=7", "2" },
		{ "w cpu>10", "1" }, { "  web  ", "1" },   { "rx>1MB", "1" }, { "rx>2000k", "" }, { "nobody", "" },
	};
	static const char *const bad[] = { "cpu>", "cpu>x", "moon>3", "/(/", "cpu>1q", "cpu<>5z" };
	struct table table;

	table_init(&table);
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *found = matching(&table.interval, cases[i][0]);

		if (strcmp(found, cases[i][1]) != 0)
			g_error("\"%s\" matches rows \"%s\", not \"%s\"", cases[i][0], found, cases[i][1]);
	}
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(gauge_filter_new(bad[i], &error));
		g_assert_nonnull(error);
	}
	table_clear(&table);
}

static char *order_of(const struct gauge_interval *interval, const struct gauge_order *order)
{
	g_autoptr(GArray) places = gauge_rows_order(interval, order);
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < places->len; i++) {
		const struct gauge_place *place = &g_array_index(places, struct gauge_place, i);

		g_string_append_printf(text, "%*s%u ", (int)place->depth, "", place->row);
	}
	return g_string_free(text, FALSE);
}

static void test_order(void)
{
	struct gauge_filter *worker = gauge_filter_new("worker", NULL);
	const struct {
		struct gauge_order order;
		const char *rows;
	} cases[] = {
		{ { .column = GAUGE_COLUMN_LOST }, "2 1 3 " }, /* unknown last */
		{ { .column = GAUGE_COLUMN_LOST, .ascending = TRUE }, "1 2 3 " }, /* either way */
		{ { .column = GAUGE_COLUMN_CPU }, "1 2 3 " },
		{ { .column = GAUGE_COLUMN_NAME, .ascending = TRUE }, "2 1 3 " },
		{ { .column = GAUGE_COLUMN_CPU, .tree = TRUE }, "1 2  3 " },
		{ { .column = GAUGE_COLUMN_CPU, .tree = TRUE, .filter = worker }, "2  3 " },
		{ { .column = GAUGE_COLUMN_CPU, .filter = worker }, "3 " },
	};
	struct table table;

	table_init(&table);
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *rows = order_of(&table.interval, &cases[i].order);

		g_assert_cmpstr(rows, ==, cases[i].rows);
	}
	gauge_filter_free(worker);
	table_clear(&table);
}

/* Many parents, rows of one parent not side by side: each stands below its own, in the order asked for. */
static void test_tree(void)
{
	enum {
		PROCESSES = 300,
		THREADS = 4
	};
	struct gauges *readings = gauges_new();
	const struct gauge_interval interval = { readings, readings, NS_PER_S };
	const struct gauge_order order = { .column = GAUGE_COLUMN_CPU, .tree = TRUE };
	g_autoptr(GArray) places = NULL;

	gauges_add(readings, GAUGE_RESOURCE_HOST, 0, 0, "host");
	for (guint i = 0; i < PROCESSES * (1 + THREADS); i++) {
		gboolean is_thread = i >= PROCESSES;
		struct gauge_row *row =
			gauges_add(readings, is_thread ? GAUGE_RESOURCE_THREAD : GAUGE_RESOURCE_PROCESS, i, 0, "x");

		row->parent = is_thread ? 1 + i % PROCESSES : 0;
		gauge_set(row, GAUGE_CPU, is_thread ? i / PROCESSES * NS_PER_MS : i * 7 % PROCESSES * NS_PER_MS);
	}
	places = gauge_rows_order(&interval, &order);
	g_assert_cmpuint(places->len, ==, PROCESSES * (1 + THREADS));
	for (guint i = 0; i < places->len; i++) {
		const struct gauge_place *place = &g_array_index(places, struct gauge_place, i);
		guint process = i / (1 + THREADS), thread = i % (1 + THREADS);
		const struct gauge_row *row = gauges_row(readings, place->row);

		g_assert_cmpuint(place->depth, ==, thread ? 1 : 0);
		if (thread == 0)
			g_assert_cmpuint(row->values[GAUGE_CPU], ==, (PROCESSES - 1 - process) * NS_PER_MS);
		else
			g_assert_cmpuint(row->values[GAUGE_CPU], ==, (THREADS + 1 - thread) * NS_PER_MS);
		if (thread)
			g_assert_cmpuint(row->parent, ==, g_array_index(places, struct gauge_place, i - thread).row);
	}
	gauges_free(readings);
}

static void test_sparkline(void)
{
	const double values[] = { 0, 50, 100, NAN, 1000 };
	g_autofree char *text = gauge_sparkline(values, G_N_ELEMENTS(values), 100);

	g_assert_cmpstr(text, ==, "▁▅█ █");
}

static void test_json(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;
	struct table table;

	table_init(&table);
	json_init(&json, out);
	json_begin_object(&json, NULL);
	render_gauge_rates(&json, &table.interval, 1);
	json_end_object(&json);
	g_assert_nonnull(strstr(out->str, "\"cpu\":0.5,"));
	g_assert_nonnull(strstr(out->str, "\"net_received_bytes\":1500000"));
	g_assert_nonnull(strstr(out->str, "\"throttled_ratio\":0.25"));
	g_assert_null(strstr(out->str, "memory_working_set"));
	g_assert_null(strstr(out->str, "oom_kills"));
	table_clear(&table);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gauge_table/cells", test_cells);
	g_test_add_func("/gauge_table/filter", test_filter);
	g_test_add_func("/gauge_table/order", test_order);
	g_test_add_func("/gauge_table/tree", test_tree);
	g_test_add_func("/gauge_table/sparkline", test_sparkline);
	g_test_add_func("/gauge_table/json", test_json);
	return g_test_run();
}
