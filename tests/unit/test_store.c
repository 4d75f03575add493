/* SPDX-License-Identifier: Apache-2.0 */
/* History: what is packed comes back, damaged ticks do no harm, coarser points are means, a database survives. */
#include <glib/gstdio.h>
#include <string.h>

#include "store/database.h"
#include "store/history.h"

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

static void test_database(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *directory = g_dir_make_tmp("fathom-store-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "history.db", NULL), *note = NULL;
	g_autofree char *aside = g_strconcat(path, ".damaged", NULL);
	struct history *history = history_new(database_open(path, 8 << 20, &note, &error));
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/store/packed", test_packed);
	g_test_add_func("/store/damaged", test_damaged);
	g_test_add_func("/store/mean", test_mean);
	g_test_add_func("/store/memory", test_memory);
	g_test_add_func("/store/database", test_database);
	return g_test_run();
}
