/* SPDX-License-Identifier: Apache-2.0 */
/* History: what is packed comes back, damaged ticks do no harm, coarser points are means, a database survives. */
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "store/capture.h"
#include "store/database.h"
#include "store/history.h"
#include "store/pack.h"
#include "store/recent.h"
#include "store/reel.h"
#include "store/strip.h"

static struct series_point point_of(guint32 id, float cpu)
{
	struct series_point point = { .id = id, .known = 1u << SERIES_CPU | 1u << SERIES_PIDS };

	point.values[SERIES_CPU] = cpu;
	point.values[SERIES_PIDS] = 7;
	point.waits[3] = 5;
	point.waits[20] = 1;
	return point;
}

static GByteArray *tick_of(guint32 count, float cpu)
{
	GByteArray *tick = series_tick_new();

	for (guint32 i = 1; i <= count; i++) {
		struct series_point point = point_of(i, cpu);

		series_tick_add(tick, &point);
	}
	return tick;
}

static guint read_all(const guint8 *bytes, gsize length, struct series_point *last, gboolean *broken)
{
	struct series_reader reader;
	guint count = 0;

	series_reader_init(&reader, bytes, length);
	while (series_reader_next(&reader, last))
		count++;
	*broken = reader.is_broken;
	return count;
}

static void test_packed(void)
{
	g_autoptr(GByteArray) tick = tick_of(3, 0.5f);
	struct series_point got, wanted = point_of(3, 0.5f);
	gboolean broken;

	g_assert_cmpuint(read_all(tick->data, tick->len, &got, &broken), ==, 3);
	g_assert_false(broken);
	g_assert_cmpmem(&got, sizeof(got), &wanted, sizeof(wanted));
}

/* Cut anywhere, or with any byte changed, it is read to its end or called broken, never beyond its end. */
static void test_damaged(void)
{
	g_autoptr(GByteArray) tick = tick_of(3, 0.5f);
	struct series_point got;
	gboolean broken;

	for (guint length = 0; length < tick->len; length++) {
		g_autofree guint8 *cut = g_memdup2(tick->data, length);

		g_assert_cmpuint(read_all(cut, length, &got, &broken), <, 3);
	}
	for (guint i = 0; i < tick->len; i++) {
		for (guint value = 0; value < 256; value++) {
			g_autofree guint8 *changed = g_memdup2(tick->data, tick->len);

			changed[i] = (guint8)value;
			g_assert_cmpuint(read_all(changed, tick->len, &got, &broken), <=, tick->len);
		}
	}
}

static void test_mean(void)
{
	struct series_mean *mean = series_mean_new();
	struct series_point one = point_of(1, 1), other = point_of(1, 3), got;
	g_autoptr(GByteArray) tick = NULL;
	gboolean broken;

	other.known &= ~(1u << SERIES_PIDS); /* not known in one of them: the mean of the others */
	series_mean_add(mean, &one);
	series_mean_add(mean, &other);
	tick = series_mean_take(mean);
	g_assert_cmpuint(read_all(tick->data, tick->len, &got, &broken), ==, 1);
	g_assert_cmpfloat(got.values[SERIES_CPU], ==, 2);
	g_assert_cmpfloat(got.values[SERIES_PIDS], ==, 7);
	g_assert_cmpuint(got.waits[3], ==, 10);
	g_assert_null(series_mean_take(mean));
	series_mean_free(mean);
}

static void count_point(void *user, gint64 time_ms, const struct series_point *point)
{
	(void)time_ms;
	(void)point;
	(*(guint *)user)++;
}

static guint count_points(struct history *history, guint32 id, gint64 from_ms, gint64 to_ms, guint step_ms)
{
	guint count = 0;

	history_each(history, id, from_ms, to_ms, step_ms, count_point, &count);
	return count;
}

static void test_memory(void)
{
	struct history *history = history_new(NULL);
	struct history_stats stats;

	g_assert_cmpuint(history_id(history, 5, 1, "a", NULL), ==, 1);
	g_assert_cmpuint(history_id(history, 5, 2, "a", NULL), ==, 2); /* another life */
	g_assert_cmpuint(history_id(history, 5, 1, "a", NULL), ==, 1);
	for (gint64 second = 1; second <= 1000; second++)
		history_add(history, second * 1000, tick_of(2, 1));
	g_assert_cmpuint(count_points(history, 1, 0, 1000000, 1000), ==, history_ticks_kept[HISTORY_SECOND]);
	g_assert_cmpuint(count_points(history, 0, 990000, 1000000, 1000), ==, 20);
	/* with many resources the window is shorter */
	for (gint64 second = 1001; second <= 1100; second++)
		history_add(history, second * 1000, tick_of(10000, 1));
	history_stats(history, &stats);
	g_assert_cmpuint(stats.memory_bytes, <=, HISTORY_MEMORY_BYTES);
	history_free(history);
}

/* As long as there are seconds alone, they are the answer, whether they are on disk yet or not: what was not recorded before them
 * is a gap of seconds, not less than a minute's tick. */
static void test_first_seconds(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *directory = g_dir_make_tmp("fathom-store-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "history.db", NULL), *note = NULL;
	struct history *history = history_new(database_open(path, 8 << 20, &note, &error));
	guint32 id = history_id(history, 9, 9, "web", "/docker/x"), count = 0;
	const gint64 begin_ms = 1700000000000;

	g_assert_no_error(error);
	for (guint step_ms = 1000; step_ms <= 60000; step_ms *= 60)
		g_assert_cmpint(history_each(history, id, begin_ms - 300000, begin_ms, step_ms, count_point, &count),
				==, HISTORY_SECOND);
	for (gint64 second = 1; second <= 5; second++) {
		history_add(history, begin_ms + second * 1000, tick_of(id, 1));
		count = 0;
		g_assert_cmpint(history_each(history, id, begin_ms - 300000, begin_ms + second * 1000, 1000,
					     count_point, &count),
				==, HISTORY_SECOND);
		g_assert_cmpuint(count, ==, second);
	}
	history_free(history);
	g_unlink(path);
	g_rmdir(directory);
}

static void test_database(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *directory = g_dir_make_tmp("fathom-store-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "history.db", NULL), *note = NULL;
	g_autofree char *aside = g_strconcat(path, ".damaged", NULL);
	struct history *history = history_new(database_open(path, 8 << 20, &note, &error));
	struct history_stats stats;
	guint32 id;

	g_assert_no_error(error);
	id = history_id(history, 9, 9, "web", "/docker/x");
	for (gint64 second = 1; second <= 120; second++)
		history_add(history, second * 1000, tick_of(id, 1));
	history_free(history);

	history = history_new(database_open(path, 8 << 20, &note, &error));
	g_assert_no_error(error);
	g_assert_null(note);
	g_assert_cmpuint(history_id(history, 9, 9, "web", "/docker/x"), ==, id);
	g_assert_cmpstr(history_resource(history, id)->name, ==, "web");
	g_assert_cmpuint(count_points(history, id, 0, 120000, 1000), ==, 120);
	g_assert_cmpuint(count_points(history, id, 0, 120000, 10000), ==, 12);
	history_free(history);

	/* more names than are kept in memory, while one lives on */
	history = history_new(database_open(path, 8 << 20, &note, &error));
	g_assert_no_error(error);
	for (guint born = 1; born <= HISTORY_NAMES_MAX * 5 / 4; born++) {
		g_autofree char *name = g_strdup_printf("brief%u", born);

		g_assert_cmpuint(history_id(history, born, born + 100, name, NULL), ==, id + born);
		g_assert_cmpuint(history_id(history, 9, 9, "web", "/docker/x"), ==, id);
		if (born % 50 == 0)
			history_add(history, 200000 + 1000 * born, tick_of(id, 1));
	}
	history_stats(history, &stats);
	g_assert_cmpuint(stats.names, <=, HISTORY_NAMES_CACHED + 110); /* who was seen in the last minute lives */
	history_free(history);
	history = history_new(database_open(path, 8 << 20, &note, &error));
	g_assert_cmpstr(history_resource(history, id + 1)->name, ==, "brief1");
	g_assert_cmpuint(history_id(history, 2, 102, "brief2", NULL), ==, id + 2);
	g_assert_cmpuint(history_id(history, 9, 9, "web", "/docker/x"), ==, id);
	g_assert_cmpuint(history_id(history, 7, 7, "new", NULL), ==, id + HISTORY_NAMES_MAX * 5 / 4 + 1);
	g_assert_null(history_resource(history, 9999999));
	history_free(history);

	/* what is no database is moved aside */
	g_assert_true(g_file_set_contents(path, "this is not a database at all, whatever its name says", -1, NULL));
	history = history_new(database_open(path, 8 << 20, &note, &error));
	g_assert_no_error(error);
	g_assert_nonnull(note);
	g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
	history_free(history);
	g_unlink(aside);
	g_unlink(path);
	g_rmdir(directory);
}

/* ---- snapshots ---- */

static struct snapshot *snapshot_of(gint64 time_ms, guint64 opens)
{
	static const char *const labels[] = { "container", "operation", NULL }, *const ports[] = { "port", NULL };
	static const struct edges_column counters[] = { { "opens", UNIT_COUNT }, { "sent_bytes", UNIT_BYTES }, { 0 } };
	static const struct edges_column times[] = { { "rtt", UNIT_NANOSECONDS }, { 0 } };
	struct event_field fields[] = { { "file", EVENT_TEXT, 0, "/etc/\x01passwd" },
					{ "size", EVENT_BYTES, 7, NULL } };
	struct event event = { .realtime_ns = (guint64)time_ms * 1000000,
			       .container = "web",
			       .kind = "exec",
			       .pid = 7,
			       .field_count = 2,
			       .fields = fields };
	struct snapshot *snapshot = snapshot_new("test");
	struct histogram_counts counts = { 0 };
	struct shape *shape;
	struct gauge_row *row;

	histogram_counts_record(&counts, UNIT_NANOSECONDS, 5000, opens);
	shape = shape_new(SHAPE_HISTOGRAM, "fs", UNIT_NANOSECONDS);
	shape->histogram = histogram_new(labels);
	histogram_add(shape->histogram, (const char *[]){ "web", "read" }, 0, &counts);
	histogram_add(shape->histogram, (const char *[]){ "web", NULL }, 0, &counts);
	ledger_set_rung(&shape->ledger, "fentry", NULL);
	ledger_add(&shape->ledger, LEDGER_LOST_MAP, 3, 4);
	g_ptr_array_add(snapshot->shapes, shape);
	shape = shape_new(SHAPE_EDGES, "connections", UNIT_COUNT);
	shape->edges = edges_new(ports, counters, times);
	edge_count(edges_add(shape->edges, &(struct edge_end){ EDGE_END_CONTAINER, "web" },
			     &(struct edge_end){ EDGE_END_EXTERNAL, "10.0.0.1" }, (const char *[]){ "80" }),
		   0, opens);
	edge_histogram_add(g_ptr_array_index(shape->edges->rows, 0), 0, &counts);
	g_ptr_array_add(snapshot->shapes, shape);
	shape = shape_new(SHAPE_CALLTREE, "profile", UNIT_COUNT);
	calltree_add(shape->calltree,
		     calltree_child(shape->calltree, CALLTREE_ROOT,
				    calltree_frame(shape->calltree, FRAME_USER, "main", -1, "app")),
		     opens);
	calltree_add_moment(shape->calltree, 1, time_ms - 700);
	calltree_add_moment(shape->calltree, CALLTREE_ROOT, time_ms - 20);
	g_ptr_array_add(snapshot->shapes, shape);
	shape = shape_new(SHAPE_EVENTS, "events", UNIT_COUNT);
	events_add(shape->events, &event);
	g_ptr_array_add(snapshot->shapes, shape);
	shape = shape_new(SHAPE_GAUGES, "gauges", UNIT_COUNT);
	row = gauges_add(shape->gauges, GAUGE_RESOURCE_CONTAINER, 42, 1, "web");
	gauge_set(row, GAUGE_CPU, opens * 1000);
	gauges_set_text(shape->gauges, row, GAUGE_TEXT_CGROUP, "/web");
	g_ptr_array_add(snapshot->shapes, shape);
	snapshot->start_realtime_ns = (guint64)(time_ms - 1000) * 1000000;
	snapshot->duration_ns = 1000000000;
	return snapshot;
}

static guint64 opens_of(const struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);

	return shape && shape->edges->rows->len
		       ? ((const struct edge *)g_ptr_array_index(shape->edges->rows, 0))->counters[0]
		       : 0;
}

static void test_pack(void)
{
	g_autoptr(snapshot_t) snapshot = snapshot_of(5000, 9), back = NULL;
	g_autoptr(GBytes) packed = pack_snapshot(snapshot), again = NULL, small = pack_snapshot_compressed(snapshot);
	g_autoptr(GError) error = NULL;
	gsize length;
	const guint8 *bytes = g_bytes_get_data(packed, &length);
	const struct event *event;
	const GArray *moments;

	back = pack_read(bytes, length, &error);
	g_assert_no_error(error);
	again = pack_snapshot(back);
	g_assert_true(g_bytes_equal(packed, again));
	g_assert_cmpuint(opens_of(back), ==, 9);
	event = g_queue_peek_head(&snapshot_find(back, SHAPE_EVENTS)->events->rows);
	g_assert_cmpstr(event->fields[0].text, ==, "/etc/\x01passwd");
	g_assert_cmpuint(gauges_row(snapshot_find(back, SHAPE_GAUGES)->gauges, 0)->values[GAUGE_CPU], ==, 9000);
	pack_merge(back, snapshot);
	g_assert_cmpuint(opens_of(back), ==, 18);
	g_assert_cmpuint(snapshot_find(back, SHAPE_CALLTREE)->calltree->self[1], ==, 18);
	moments = snapshot_find(back, SHAPE_CALLTREE)->calltree->moments;
	g_assert_cmpuint(moments->len, ==, 4); /* in order, whichever they came from */
	for (guint i = 0; i < moments->len; i++) {
		const struct calltree_moment *moment = &g_array_index(moments, struct calltree_moment, i);

		g_assert_cmpint(moment->time_ms, ==, i < 2 ? 4300 : 4980);
		g_assert_cmpuint(moment->node, ==, i < 2 ? 1 : CALLTREE_ROOT);
	}

	/* Any byte changed is found by the checksum of the content, unless the content is the same (a code nobody uses). */
	bytes = g_bytes_get_data(small, &length);
	for (gsize i = 0; i < length; i++) {
		g_autofree guint8 *changed = g_memdup2(bytes, length);
		g_autoptr(snapshot_t) read = NULL;
		g_autoptr(GBytes) same = NULL;

		changed[i] ^= 0x11;
		read = pack_read_compressed(changed, length, NULL, NULL);
		same = read ? pack_snapshot(read) : NULL;
		g_assert_true(!same || g_bytes_equal(same, packed));
	}
}

/* Called otherwise while it is read: also where two become one. */
static void test_pack_renamed(void)
{
	g_autoptr(snapshot_t) snapshot = snapshot_of(5000, 9), back = NULL;
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	struct calltree *tree = snapshot_find(snapshot, SHAPE_CALLTREE)->calltree;
	g_autoptr(GBytes) small = NULL;
	g_autoptr(GError) error = NULL;
	gsize length;
	const guint8 *bytes;

	for (guint i = 0; i < 2; i++)
		calltree_child(tree, CALLTREE_ROOT,
			       calltree_frame(tree, FRAME_CONTAINER, i ? "shop" : "web", -1, NULL));
	small = pack_snapshot_compressed(snapshot);
	bytes = g_bytes_get_data(small, &length);
	g_hash_table_insert(names, (gpointer) "web", (gpointer) "shop");
	back = pack_read_compressed(bytes, length, names, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(snapshot_find(back, SHAPE_CALLTREE)->calltree->node_count, ==, tree->node_count);
	g_assert_cmpstr(histogram_values(snapshot_find(back, SHAPE_HISTOGRAM)->histogram, 0)[0], ==, "shop");
	g_assert_cmpstr(edges_source(snapshot_find(back, SHAPE_EDGES)->edges, 0).name, ==, "shop");
}

/* Cut anywhere or changed anywhere, what was never checked is refused or read, and nothing else. */
static void test_pack_damaged(void)
{
	g_autoptr(snapshot_t) snapshot = snapshot_of(5000, 9);
	g_autoptr(GBytes) packed = pack_snapshot(snapshot);
	gsize length;
	const guint8 *bytes = g_bytes_get_data(packed, &length);

	for (gsize i = 0; i < length; i++) {
		g_autofree guint8 *cut = g_memdup2(bytes, MAX(i, 1));
		g_autofree guint8 *changed = g_memdup2(bytes, length);

		g_assert_null(pack_read(cut, i, NULL));
		for (guint bit = 0; bit < 8; bit++) {
			g_autoptr(snapshot_t) read = NULL;

			changed[i] = bytes[i] ^ (guint8)(1 << bit);
			read = pack_read(changed, length, NULL);
		}
	}
}

static void remove_database(const char *directory, const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };

	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *file = g_strconcat(path, suffixes[i], NULL);

		g_unlink(file);
	}
	g_rmdir(directory);
}

/* reel_fn */
static void sum_up(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	(void)time_ms;
	pack_merge(user, snapshot);
}

static void test_reel(void)
{
	g_autofree char *directory = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "history.db", NULL), *note = NULL;
	struct database *database = database_open(path, 8 << 20, &note, NULL);
	struct history *history = history_new(database);
	struct reel *reel = reel_new(database, REEL_SECONDS);
	enum history_resolution resolution;
	g_autoptr(snapshot_t) sum = NULL, part = NULL;

	for (guint i = 1; i <= 120; i++)
		reel_add(reel, i * 1000, snapshot_of(i * 1000, 1));
	sum = reel_sum(reel, 0, 120000, &resolution);
	g_assert_cmpuint(opens_of(sum), ==, 120);
	g_assert_cmpint(resolution, ==, HISTORY_SECOND);
	part = reel_sum(reel, 10000, 20000, &resolution);
	g_assert_cmpuint(opens_of(part), ==, 10);
	reel_free(reel);
	history_free(history);

	/* After a restart the database has it, and the sums of ten seconds and a minute have all of it, too. */
	database = database_open(path, 8 << 20, &note, NULL);
	history = history_new(database);
	reel = reel_new(database, REEL_SECONDS);
	for (guint i = 0; i < HISTORY_RESOLUTIONS; i++) {
		g_autoptr(snapshot_t) whole = snapshot_new(NULL);

		g_assert_cmpint(reel_each(reel, 0, 120000, history_resolution_ms[i], sum_up, whole), ==, i);
		g_assert_cmpuint(opens_of(whole), ==, 120);
	}
	reel_free(reel);
	history_free(history);
	remove_database(directory, path);
}

/* What has an end, such as a capture, is held whole: longer than what comes without end would be. */
static void test_reel_hold(void)
{
	struct reel *kept = reel_new(NULL, REEL_SECONDS), *held = reel_new(NULL, REEL_SECONDS);
	enum history_resolution resolution;
	g_autoptr(snapshot_t) latest = NULL, all = NULL;
	guint seconds = HISTORY_MINUTES * 60 + 300;

	reel_hold(held, 64 << 20);
	for (guint i = 1; i <= seconds; i++) {
		reel_add(kept, i * 1000, snapshot_of(i * 1000, 1));
		reel_add(held, i * 1000, snapshot_of(i * 1000, 1));
	}
	latest = reel_sum(kept, 0, seconds * 1000, &resolution);
	all = reel_sum(held, 0, seconds * 1000, &resolution);
	g_assert_cmpuint(opens_of(latest), ==, HISTORY_MINUTES * 60);
	g_assert_cmpuint(opens_of(all), ==, seconds);
	reel_free(kept);
	reel_free(held);
}

/* Beyond its bound the oldest go, and who asks is told where it begins. */
static void test_reel_hold_bound(void)
{
	struct reel *held = reel_new(NULL, REEL_SECONDS);
	guint seconds = 0;

	reel_hold(held, 256 << 10);
	while (seconds < 100000 && reel_oldest_ms(held) <= 1000) {
		seconds++;
		reel_add(held, seconds * 1000, snapshot_of(seconds * 1000, seconds));
	}
	g_assert_cmpint(reel_oldest_ms(held), >, 1000);
	g_assert_cmpuint(reel_bytes(held), <=, 256 << 10);
	reel_free(held);
}

/* ---- what is newest ---- */

#define RECENT_STRING_BYTES 4000 /* that no compressor makes smaller */
#define RECENT_DEADLINE_US (120 * G_USEC_PER_SEC) /* for what hangs */

/* How often each string was handed out. */
struct told {
	guint8 times[4096];
	guint count;
};

static void recent_add_numbered(struct recent *recent, GRand *random, guint32 number, gint64 time_ms)
{
	guint32 words[RECENT_STRING_BYTES / 4];

	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		words[i] = g_rand_int(random);
	words[0] = number;
	recent_add(recent, time_ms, (const guint8 *)words, sizeof(words));
}

/* database_tick_fn */
static void told_note(void *user, gint64 time_ms, const guint8 *bytes, gsize length)
{
	struct told *told = user;
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) string = pack_decompress(bytes, length, RECENT_STRING_BYTES, &error);
	guint32 number;

	(void)time_ms;
	g_assert_no_error(error);
	g_assert_cmpuint(g_bytes_get_size(string), ==, RECENT_STRING_BYTES);
	memcpy(&number, g_bytes_get_data(string, NULL), sizeof(number));
	g_assert_cmpuint(number, <, G_N_ELEMENTS(told->times));
	told->times[number]++;
	told->count++;
}

/* All that were added, `count` of them, are told once each. */
static void assert_all_told(const struct recent *recent, guint count)
{
	struct told told = { 0 };

	recent_each(recent, 0, G_MAXINT64, told_note, &told);
	for (guint i = 0; i < count; i++)
		g_assert_cmpuint(told.times[i], ==, 1);
	g_assert_cmpuint(told.count, ==, count);
}

static void await_behind(struct database *database, gboolean is_behind)
{
	gint64 deadline_us = g_get_monotonic_time() + RECENT_DEADLINE_US;

	while (database_is_behind(database) != is_behind) {
		g_assert_cmpint(g_get_monotonic_time(), <, deadline_us);
		g_usleep(1000);
	}
}

/* Memory holds the newest alone, the database the rest; whatever the clock does, each is told once, after a restart, too. */
static void test_recent(void)
{
	g_autofree char *directory = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "history.db", NULL), *note = NULL;
	struct database *database = database_open(path, 64 << 20, &note, NULL);
	struct recent *recent = recent_new(database, DATABASE_SERIES, HISTORY_SECOND, 16 << 20, 2000);
	g_autoptr(GRand) random = g_rand_new_with_seed(1);
	guint count = 0;

	g_assert_false(recent_reaches(recent, 0));
	for (; count < 700; count++) {
		await_behind(database, FALSE);
		recent_add_numbered(recent, random, count, 10000000 + (gint64)count * 1000);
		g_assert_cmpuint(recent_memory_bytes(recent), <=, RECENT_BYTES);
	}
	g_assert_cmpuint(recent_count(recent), <=, RECENT_MINUTES * 60 + 1);
	g_assert_true(recent_reaches(recent, 10000000));
	g_assert_false(recent_reaches(recent, 9000000));
	assert_all_told(recent, count);
	for (; count < 800; count++) { /* the clock was set back an hour */
		await_behind(database, FALSE);
		recent_add_numbered(recent, random, count, 6400000 + (gint64)count * 1000);
	}
	assert_all_told(recent, count);
	recent_free(recent);
	database_close(database);

	database = database_open(path, 64 << 20, &note, NULL);
	recent = recent_new(database, DATABASE_SERIES, HISTORY_SECOND, 16 << 20, 2000);
	recent_add_numbered(recent, random, count, 20000000);
	assert_all_told(recent, count + 1);
	recent_free(recent);
	database_close(database);
	remove_database(directory, path);
}

/* While nothing can be written, and after it, memory keeps what is nowhere else. */
static void test_recent_trouble(void)
{
	g_autofree char *directory = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "history.db", NULL), *note = NULL;
	struct database *database = database_open(path, 64 << 20, &note, NULL);
	struct recent *recent = recent_new(database, DATABASE_SERIES, HISTORY_SECOND, 16 << 20, 2000);
	g_autoptr(GRand) random = g_rand_new_with_seed(1);
	sqlite3 *other = NULL;
	guint count = 0;

	for (; count < 200; count++) {
		await_behind(database, FALSE);
		recent_add_numbered(recent, random, count, 1000 + (gint64)count * 1000);
	}
	g_assert_cmpint(sqlite3_open(path, &other), ==, SQLITE_OK);
	sqlite3_busy_timeout(other, RECENT_DEADLINE_US / 1000);
	g_assert_cmpint(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), ==, SQLITE_OK);
	recent_add_numbered(recent, random, count, 1000 + (gint64)count * 1000);
	count++;
	await_behind(database, TRUE);
	for (; count < 600; count++)
		recent_add_numbered(recent, random, count, 1000 + (gint64)count * 1000);
	assert_all_told(recent, count);
	g_assert_cmpuint(recent_count(recent), >=, 400);
	g_assert_cmpint(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), ==, SQLITE_OK);
	sqlite3_close(other);
	for (; count < 800; count++)
		recent_add_numbered(recent, random, count, 1000 + (gint64)count * 1000);
	assert_all_told(recent, count);
	recent_free(recent);
	database_close(database);
	remove_database(directory, path);
}

/* ---- capture files ---- */

/* capture_fn */
static gboolean count_opens(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	guint64 *opens = user;

	(void)time_ms;
	(void)error;
	*opens += opens_of(snapshot);
	return TRUE;
}

static void reading_append(struct capture_writer *writer, gint64 time_ms, guint64 duration_ns)
{
	g_autoptr(snapshot_t) snapshot = snapshot_new(NULL);

	g_ptr_array_add(snapshot->shapes, shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT));
	snapshot->duration_ns = duration_ns;
	g_assert_true(capture_append_snapshot(writer, time_ms, snapshot, NULL));
}

/* Readings that were late, and times of which there are none, are told; a capture that was closed is appended to. */
static void test_capture_lateness(void)
{
	g_autofree char *directory = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "a.fathom", NULL),
			*link = g_build_filename(directory, "b", NULL);
	struct capture_writer *writer = capture_create(path, NULL);
	g_autoptr(snapshot_t) stacks = snapshot_new(NULL);
	g_autofree char *none = NULL, *late = NULL;
	struct capture capture;
	guint64 opens = 0;

	reading_append(writer, 10000, NS_PER_S);
	reading_append(writer, 11100, NS_PER_S + 100 * NS_PER_MS);
	g_ptr_array_add(stacks->shapes, shape_new(SHAPE_CALLTREE, "offcpu", UNIT_NANOSECONDS));
	g_assert_true(capture_append_snapshot(writer, 60000, stacks, NULL)); /* has a time of its own */
	g_assert_true(capture_close(writer, NULL));
	g_assert_true(capture_read_file(path, NULL, &capture, count_opens, &opens, NULL));
	none = capture_lateness(&capture);
	g_assert_null(none);
	g_assert_null(capture_reopen(link, NULL));
	g_assert_cmpint(symlink(path, link), ==, 0);
	g_assert_null(capture_reopen(link, NULL));
	writer = capture_reopen(path, NULL);
	reading_append(writer, 14100, 3 * NS_PER_S);
	reading_append(writer, 19600, 1500 * NS_PER_MS);
	g_assert_true(capture_close(writer, NULL));
	g_assert_true(capture_read_file(path, NULL, &capture, count_opens, &opens, NULL));
	g_assert_cmpuint(capture.segments, ==, 5);
	late = capture_lateness(&capture);
	g_assert_cmpstr(
		late, ==,
		"2 of its intervals took longer than a second, the longest 3.0 s: all that happened is in them, but not "
		"when; 1 time nothing was read for a while, 4.0 s in all");
	g_assert_cmpint(g_unlink(link) | g_unlink(path) | g_rmdir(directory), ==, 0);
}

/* Time that a window before holds already is left out, of all but samples, which are always taken. */
static void test_windows(void)
{
	g_autoptr(snapshot_t) first = snapshot_new(NULL), inside = snapshot_new(NULL), next = snapshot_new(NULL),
			      sum = snapshot_new(NULL);
	struct shape *blocked = shape_new(SHAPE_CALLTREE, "offcpu", UNIT_NANOSECONDS);
	struct shape *samples = shape_new(SHAPE_CALLTREE, "profile", UNIT_COUNT);
	struct windows windows = { 0 };

	g_ptr_array_add(sum->shapes, blocked);
	g_ptr_array_add(sum->shapes, samples);
	first->start_realtime_ns = 100 * NS_PER_S;
	inside->start_realtime_ns = 105 * NS_PER_S;
	next->start_realtime_ns = 110 * NS_PER_S;
	first->duration_ns = inside->duration_ns = next->duration_ns = 10 * NS_PER_S;
	g_assert_true(windows_take(&windows, first, blocked));
	g_assert_false(windows_take(&windows, inside, blocked));
	g_assert_true(windows_take(&windows, next, blocked));
	windows_say(&windows, sum, blocked, 60 * NS_PER_S);
	g_assert_cmpuint(windows.looked_ns, ==, 20 * NS_PER_S);
	g_assert_cmpuint(sum->looked_ns, ==, 20 * NS_PER_S);
	g_assert_cmpuint(blocked->ledger.notes->len, ==, 2);
	windows = (struct windows){ 0 };
	g_assert_true(windows_take(&windows, first, samples) && windows_take(&windows, inside, samples));
}

static void test_capture(void)
{
	g_autofree char *directory = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "a.fathom", NULL), *content = NULL;
	struct capture_writer *writer = capture_create(path, NULL);
	g_autoptr(GError) error = NULL;
	struct capture capture;
	guint64 opens = 0;
	gsize length, whole;

	for (guint i = 1; i <= 3; i++) {
		g_autoptr(snapshot_t) snapshot = snapshot_of(i * 1000, i);
		g_autoptr(GBytes) packed = pack_snapshot_compressed(snapshot);
		gsize size;
		const guint8 *bytes = g_bytes_get_data(packed, &size);

		g_assert_true(capture_append(writer, i * 1000, bytes, size, NULL));
	}
	g_assert_true(capture_close(writer, NULL));
	g_assert_true(capture_is(path));
	g_assert_true(capture_read_file(path, NULL, &capture, count_opens, &opens, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(opens, ==, 6);
	g_assert_cmpuint(capture.segments, ==, 3);
	g_assert_cmpint(capture.first_ms, ==, 1000);
	g_assert_cmpint(capture.last_ms, ==, 3000);

	/* Cut anywhere, what is whole is read; changed anywhere, it is refused. */
	g_assert_true(g_file_get_contents(path, &content, &whole, NULL));
	for (length = 16; length < whole; length++) {
		opens = 0;
		g_assert_true(capture_read_bytes((const guint8 *)content, length, &capture, count_opens, &opens, NULL));
		g_assert_cmpuint(capture.segments, <, 3);
		g_assert_cmpuint(opens, ==, capture.segments == 2 ? 3 : capture.segments);
	}
	for (gsize i = 0; i < whole; i++) {
		content[i] ^= 0x40;
		g_assert_false(capture_read_bytes((const guint8 *)content, whole, &capture, count_opens, &opens, NULL));
		content[i] ^= 0x40;
	}
	g_unlink(path);
	g_rmdir(directory);
}

/* strip_fn: each string is its own time, over and over. */
static void add_length(void *user, gint64 time_ms, const guint8 *bytes, gsize length)
{
	gint64 *sum = user;

	for (gsize i = 0; i < length; i++)
		g_assert_cmpuint(bytes[i], ==, (guint8)time_ms);
	g_assert_cmpint(time_ms, >, sum[1]); /* the oldest first */
	sum[1] = time_ms;
	sum[0] += (gint64)length;
}

static gsize strip_sum(const struct strip *strip, gint64 from_ms, gint64 to_ms)
{
	gint64 sum[2] = { 0 };

	strip_each(strip, from_ms, to_ms, add_length, sum);
	return (gsize)sum[0];
}

static void strip_add_many(struct strip *strip, gint64 first_ms, gint64 last_ms, gsize length)
{
	g_autofree guint8 *bytes = g_malloc(length + 1);

	for (gint64 at = first_ms; at <= last_ms; at++) {
		memset(bytes, (guint8)at, length);
		strip_add(strip, at, bytes, length);
	}
}

static void test_strip(void)
{
	struct strip *strip = strip_new(4 * STRIP_PIECE_BYTES, 1000);

	g_assert_cmpint(strip_oldest_ms(strip), ==, 0);
	g_assert_cmpuint(strip_sum(strip, 0, 10), ==, 0);
	strip_add_many(strip, 1, 100, 3);
	strip_add_many(strip, 101, 101, 0);
	g_assert_cmpuint(strip_count(strip), ==, 101);
	g_assert_cmpuint(strip_bytes(strip), ==, 300);
	g_assert_cmpuint(strip_sum(strip, 0, 1000), ==, 300);
	g_assert_cmpuint(strip_sum(strip, 10, 20), ==, 30);
	strip_add_many(strip, 102, 2000, 1); /* too many: the oldest go */
	g_assert_cmpuint(strip_count(strip), ==, 1000);
	g_assert_cmpint(strip_oldest_ms(strip), ==, 1001);
	g_assert_cmpuint(strip_sum(strip, 0, 10000), ==, 1000);
	strip_set_count_max(strip, 10);
	strip_add_many(strip, 2001, 2001, 1);
	g_assert_cmpuint(strip_count(strip), ==, 10);
	strip_set_count_max(strip, 1000000);
	for (gint64 at = 3000; at < 3100; at++) { /* too much: likewise, and the memory goes with them */
		strip_add_many(strip, at, at, 20000);
		g_assert_cmpuint(strip_memory_bytes(strip), <=, 4 * STRIP_PIECE_BYTES);
		g_assert_cmpuint(strip_sum(strip, 0, 10000), ==, strip_bytes(strip));
	}
	g_assert_cmpuint(strip_count(strip), >=, 3 * (STRIP_PIECE_BYTES / 20032));
	strip_add_many(strip, 4000, 4000, 40 * STRIP_PIECE_BYTES); /* one in any case */
	g_assert_cmpuint(strip_count(strip), ==, 1);
	g_assert_cmpuint(strip_sum(strip, 0, 10000), ==, 40 * STRIP_PIECE_BYTES);
	strip_add_many(strip, 4001, 4001, 8);
	g_assert_cmpuint(strip_count(strip), ==, 1);
	g_assert_cmpuint(strip_memory_bytes(strip), ==, STRIP_PIECE_BYTES);
	strip_free(strip);
}

/* However much room there is: what is older than is asked for goes. */
static void test_strip_age(void)
{
	struct strip *strip = strip_new(4 * STRIP_PIECE_BYTES, 1000);

	strip_set_age_max(strip, 100);
	strip_add_many(strip, 1, 500, 1);
	g_assert_cmpint(strip_oldest_ms(strip), ==, 400);
	g_assert_cmpuint(strip_count(strip), ==, 101);
	strip_add_many(strip, 5000, 5000, 1);
	g_assert_cmpuint(strip_count(strip), ==, 1);
	strip_add_many(strip, 10, 10, 1); /* the clock was set back: nothing is older than that */
	g_assert_cmpuint(strip_count(strip), ==, 2);
	strip_free(strip);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/store/packed", test_packed);
	g_test_add_func("/store/damaged", test_damaged);
	g_test_add_func("/store/mean", test_mean);
	g_test_add_func("/store/strip", test_strip);
	g_test_add_func("/store/strip-age", test_strip_age);
	g_test_add_func("/store/recent", test_recent);
	g_test_add_func("/store/recent-trouble", test_recent_trouble);
	g_test_add_func("/store/memory", test_memory);
	g_test_add_func("/store/first-seconds", test_first_seconds);
	g_test_add_func("/store/database", test_database);
	g_test_add_func("/store/pack", test_pack);
	g_test_add_func("/store/pack-damaged", test_pack_damaged);
	g_test_add_func("/store/pack-renamed", test_pack_renamed);
	g_test_add_func("/store/reel", test_reel);
	g_test_add_func("/store/reel-hold", test_reel_hold);
	g_test_add_func("/store/reel-hold-bound", test_reel_hold_bound);
	g_test_add_func("/store/capture", test_capture);
	g_test_add_func("/store/capture-lateness", test_capture_lateness);
	g_test_add_func("/store/windows", test_windows);
	return g_test_run();
}
