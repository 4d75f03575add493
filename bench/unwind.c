/* SPDX-License-Identifier: Apache-2.0 */
/* unwind FILE...: how long it takes to make a file's unwind table, and how large it is. */
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

/* Everything from the open on, each time. */
static gboolean measure(const char *path)
{
	gint64 taken_us[RUNS], median_us;

	for (guint i = 0; i < RUNS; i++) {
		gint64 start_us = g_get_monotonic_time();
		g_autoptr(GError) error = NULL;
		g_autoptr(image_t) image = NULL;
		g_autoptr(unwind_table_t) table = NULL;
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		image = fd >= 0 ? image_open_fd(fd, &error) : NULL;
		table = image ? unwind_table_read(image, &error) : NULL;
		close(fd);
		taken_us[i] = g_get_monotonic_time() - start_us;
		if (!table) {
			fprintf(stderr, "%s: %s\n", path, error ? error->message : "cannot be opened");
			return FALSE;
		}
		if (i + 1 < RUNS)
			continue;
		qsort(taken_us, RUNS, sizeof(taken_us[0]), compare);
		median_us = taken_us[RUNS / 2];
		printf("%8u rows %8.2f MB %8.1f ms  %5u unsupported %3u bad  %s\n", unwind_table_count(table),
		       (double)unwind_table_bytes(table) / 1e6, (double)median_us / 1e3, count_unsupported(table),
		       unwind_table_bad(table), path);
	}
	return TRUE;
}

int main(int argc, char **argv)
{
	gboolean good = argc > 1;

	for (int i = 1; i < argc; i++)
		good = measure(argv[i]) && good;
	return good ? 0 : 1;
}
