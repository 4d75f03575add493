/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/perfmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (64u << 10) /* also the longest line */
#define REWRITES_MAX 64 /* a file that keeps being rewritten is not read for ever */

struct entry {
	guint64 start, end;
	guint32 name;
};

struct perfmap {
	int fd;
	guint64 parsed; /* bytes of the file */
	struct timespec modified;
	guint rewrites, dropped;
	GArray *entries; /* struct entry, in the order of the file */
	GByteArray *names;
	/* Every address where the owner changes, and the entry that owns from there on (+ 1; 0: nobody). */
	guint point_count;
	guint64 *points;
	guint32 *owners;
};

struct perfmap *perfmap_new(int fd)
{
	struct perfmap *map = g_new0(struct perfmap, 1);

	map->fd = fd;
	map->entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
	map->names = g_byte_array_new();
	return map;
}

void perfmap_free(struct perfmap *map)
{
	if (!map)
		return;
	close(map->fd);
	g_array_unref(map->entries);
	g_byte_array_unref(map->names);
	g_free(map->points);
	g_free(map->owners);
	g_free(map);
}

static const char *take_hex(const char *at, const char *end, guint64 *value)
{
	const char *first;

	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
		at += 2;
	*value = 0;
	for (first = at; at < end && g_ascii_isxdigit(*at); at++)
		*value = *value << 4 | (guint64)g_ascii_xdigit_value(*at);
	return at > first && at - first <= 16 && at < end && *at == ' ' ? at + 1 : NULL;
}

static void line_add(struct perfmap *map, const char *line, const char *end)
{
	struct entry entry = { .name = map->names->len };
	const char *at = take_hex(line, end, &entry.start);
	guint64 size = 0;

	at = at ? take_hex(at, end, &size) : NULL;
	if (!at || at == end || size == 0 || size > G_MAXUINT64 - entry.start ||
	    map->entries->len >= PERFMAP_ENTRIES_MAX) {
		map->dropped++;
		return;
	}
	entry.end = entry.start + size;
	g_byte_array_append(map->names, (const guint8 *)at, (guint)MIN(end - at, PERFMAP_NAME_MAX));
	g_byte_array_append(map->names, (const guint8 *)"", 1);
	g_array_append_val(map->entries, entry);
}

static gssize read_at(int fd, char *out, gsize length, guint64 offset)
{
	gssize n;

	do
		n = pread(fd, out, length, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Takes whole lines only: the last one may still be in the making. */
static void lines_read(struct perfmap *map)
{
	g_autofree char *chunk = g_malloc(CHUNK);
	gssize n;

	while (map->parsed < PERFMAP_FILE_MAX && (n = read_at(map->fd, chunk, CHUNK, map->parsed)) > 0) {
		const char *line = chunk, *end;

		while ((end = memchr(line, '\n', (gsize)(n - (line - chunk))))) {
			line_add(map, line, end);
			line = end + 1;
		}
		if (line == chunk && n < (gssize)CHUNK)
			return;
		if (line == chunk) { /* no line is that long: skip it */
			map->dropped++;
			line = chunk + n;
		}
		map->parsed += (guint64)(line - chunk);
	}
}

static int compare_points(const void *a, const void *b)
{
	guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;

	return (x > y) - (x < y);
}

static guint point_find(const struct perfmap *map, guint64 address)
{
	guint low = 0, high = map->point_count;

	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (map->points[middle] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low; /* of points at or before `address` */
}

static guint32 next_free(guint32 *next, guint32 at)
{
	guint32 free_at = at;

	while (next[free_at] != free_at)
		free_at = next[free_at];
	while (next[at] != free_at) { /* shorten the path for the next one who comes along */
		guint32 step = next[at];

		next[at] = free_at;
		at = step;
	}
	return free_at;
}

/* Paints the address line from the last entry to the first: what is painted stays. Near-linear after one sort: a
 * union-find over the pieces leads past everything painted. */
static void paint(struct perfmap *map)
{
	guint n = map->entries->len, points = 0;
	g_autofree guint32 *next = NULL;

	map->point_count = 0;
	if (n == 0)
		return;
	map->points = g_renew(guint64, map->points, 2 * n);
	for (guint i = 0; i < n; i++) {
		map->points[2 * i] = g_array_index(map->entries, struct entry, i).start;
		map->points[2 * i + 1] = g_array_index(map->entries, struct entry, i).end;
	}
	qsort(map->points, 2 * n, sizeof(*map->points), compare_points);
	for (guint i = 0; i < 2 * n; i++)
		if (points == 0 || map->points[points - 1] != map->points[i])
			map->points[points++] = map->points[i];
	map->point_count = points;
	g_free(map->owners);
	map->owners = g_new0(guint32, points);
	next = g_new(guint32, points + 1);
	for (guint i = 0; i <= points; i++)
		next[i] = i;
	for (guint i = n; i-- > 0;) {
		const struct entry *entry = &g_array_index(map->entries, struct entry, i);
		guint32 end = point_find(map, entry->end) - 1;

		for (guint32 at = next_free(next, point_find(map, entry->start) - 1); at < end;
		     at = next_free(next, at)) {
			map->owners[at] = i + 1;
			next[at] = at + 1;
		}
	}
}

gboolean perfmap_update(struct perfmap *map)
{
	guint before = map->entries->len;
	struct stat st;

	if (fstat(map->fd, &st) < 0)
		return FALSE;
	if (st.st_mtim.tv_sec == map->modified.tv_sec && st.st_mtim.tv_nsec == map->modified.tv_nsec &&
	    (guint64)st.st_size == map->parsed)
		return FALSE;
	if ((guint64)st.st_size < map->parsed || ((guint64)st.st_size == map->parsed && map->parsed)) {
		if (map->rewrites++ >= REWRITES_MAX)
			return FALSE;
		map->parsed = 0;
		before = G_MAXUINT;
		g_array_set_size(map->entries, 0);
		g_byte_array_set_size(map->names, 0);
	}
	map->modified = st.st_mtim;
	lines_read(map);
	if (map->entries->len == before)
		return FALSE;
	paint(map);
	return TRUE;
}

const char *perfmap_find(const struct perfmap *map, guint64 address, guint64 *offset)
{
	guint point = point_find(map, address);
	const struct entry *entry;

	if (point == 0 || map->owners[point - 1] == 0)
		return NULL;
	entry = &g_array_index(map->entries, struct entry, map->owners[point - 1] - 1);
	*offset = address - entry->start;
	return (const char *)map->names->data + entry->name;
}

guint perfmap_count(const struct perfmap *map)
{
	return map->entries->len;
}

guint perfmap_dropped(const struct perfmap *map)
{
	return map->dropped;
}
