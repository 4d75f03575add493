/* SPDX-License-Identifier: Apache-2.0 */
/* unwind FILE...: how long it takes to make a file's unwind table, whole and lazy, how large they are, and what a search costs
 * that finds nothing remembered. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "symbol/unwind_table.h"

#define RUNS 7

static gint compare(gconstpointer a, gconstpointer b)
{
	gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

	return x < y ? -1 : x > y;
}

static guint count_unsupported(const struct unwind_table *table)
{
	guint n = 0;

	for (guint i = 0; i < unwind_table_count(table); i++)
		n += cfi_rule_kind(unwind_table_row(table, i).rule) == CFI_UNSUPPORTED;
	return n;
}

/* Everything from the open on. NULL when there is no table. */
static struct unwind_table *make(const char *path, gboolean is_whole, guint64 *base, gint64 *taken_us, GError **error)
{
	gint64 start_us = g_get_monotonic_time();
	g_autoptr(image_t) image = NULL;
	struct unwind_table *table = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	image = fd >= 0 ? image_open_fd(fd, error) : NULL;
	if (image)
		table = is_whole ? unwind_table_read_whole(image, error) : unwind_table_read(image, error);
	if (image && image->segment_count)
		*base = image->segments[0].address;
	if (fd >= 0)
		close(fd);
	*taken_us = g_get_monotonic_time() - start_us;
	return table;
}

static struct unwind_table *make_often(const char *path, gboolean is_whole, guint64 *base, double *median_ms)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(unwind_table_t) table = NULL;
	gint64 taken_us[RUNS];

	for (guint i = 0; i < RUNS; i++) {
		g_clear_pointer(&table, unwind_table_unref);
		table = make(path, is_whole, base, &taken_us[i], &error);
		if (!table) {
			fprintf(stderr, "%s: %s\n", path, error ? error->message : "cannot be opened");
			return NULL;
		}
	}
	qsort(taken_us, RUNS, sizeof(taken_us[0]), compare);
	*median_ms = (double)taken_us[RUNS / 2] / 1e3;
	return g_steal_pointer(&table);
}

static gboolean measure(const char *path)
{
	double whole_ms, lazy_ms, search_us;
	guint64 base = 0, work_bytes;
	g_autoptr(unwind_table_t) whole = make_often(path, TRUE, &base, &whole_ms);
	g_autoptr(unwind_table_t) lazy = whole ? make_often(path, FALSE, &base, &lazy_ms) : NULL;
	gint64 start_us;

	if (!lazy)
		return FALSE;
	start_us = g_get_monotonic_time();
	for (guint i = 0; i < unwind_table_count(whole); i++)
		unwind_table_find(lazy, base + unwind_table_row(whole, i).at);
	search_us = (double)(g_get_monotonic_time() - start_us);
	work_bytes = unwind_table_take_work(lazy);
	printf("%8u rows %8.2f MB %8.1f ms  %5u unsupported %3u bad; %s %8.2f MB %8.1f ms, %4.0f ns a search, "
	       "%4.0f bytes/us  %s\n",
	       unwind_table_count(whole), (double)unwind_table_bytes(whole) / 1e6, whole_ms, count_unsupported(whole),
	       unwind_table_bad(whole), unwind_table_is_lazy(lazy) ? "lazy" : "not lazy",
	       (double)unwind_table_bytes(lazy) / 1e6, lazy_ms, search_us * 1e3 / unwind_table_count(whole),
	       (double)work_bytes / search_us, path);
	return TRUE;
}

int main(int argc, char **argv)
{
	gboolean good = argc > 1;

	for (int i = 1; i < argc; i++)
		good = measure(argv[i]) && good;
	return good ? 0 : 1;
}
