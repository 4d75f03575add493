/* SPDX-License-Identifier: Apache-2.0 */
#include "store/strip.h"

#include <string.h>
#include <sys/mman.h>

#define STRIP_ALIGNED(bytes) (((bytes) + 7) & ~(gsize)7)

/* Before each string. */
struct entry {
	gint64 time_ms;
	gsize length;
};

/* Begins its own memory. */
struct piece {
	struct piece *next; /* the later one */
	gsize bytes; /* of all of it */
	gsize first, end; /* where the oldest entry that is left begins, and the last one ends */
};

struct strip {
	gsize bytes_max;
	guint count_max;
	gint64 age_max_ms; /* 0: none */
	struct piece *oldest, *newest; /* NULL: none */
	gsize bytes, memory_bytes;
	guint count;
};

#define PIECE_BEGIN STRIP_ALIGNED(sizeof(struct piece))

static struct entry *entry_at(struct piece *piece, gsize at)
{
	return (struct entry *)((char *)piece + at);
}

static gsize entry_bytes(gsize length)
{
	return STRIP_ALIGNED(sizeof(struct entry) + length);
}

/* Of one that has room for so much. */
static gsize piece_bytes(gsize room)
{
	return MAX(STRIP_PIECE_BYTES, PIECE_BEGIN + room);
}

static void piece_add(struct strip *strip, gsize room)
{
	gsize bytes = piece_bytes(room);
	struct piece *piece = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (piece == MAP_FAILED)
		g_error("no memory for %zu bytes of history", bytes);
	*piece = (struct piece){ .bytes = bytes, .first = PIECE_BEGIN, .end = PIECE_BEGIN };
	if (strip->newest)
		strip->newest->next = piece;
	else
		strip->oldest = piece;
	strip->newest = piece;
	strip->memory_bytes += bytes;
}

static void piece_drop(struct strip *strip)
{
	struct piece *piece = strip->oldest;

	strip->oldest = piece->next;
	if (!strip->oldest)
		strip->newest = NULL;
	strip->memory_bytes -= piece->bytes;
	munmap(piece, piece->bytes);
}

static void oldest_drop(struct strip *strip)
{
	struct piece *piece = strip->oldest;
	gsize length = entry_at(piece, piece->first)->length;

	piece->first += entry_bytes(length);
	strip->bytes -= length;
	strip->count--;
	if (piece->first == piece->end)
		piece_drop(strip);
}

static gboolean is_old(const struct strip *strip, gint64 now_ms)
{
	return strip->age_max_ms && strip_oldest_ms(strip) < now_ms - strip->age_max_ms;
}

void strip_add(struct strip *strip, gint64 time_ms, const guint8 *bytes, gsize length)
{
	gsize room = entry_bytes(length);
	struct entry *entry;

	while (strip->count && (strip->count >= strip->count_max || is_old(strip, time_ms)))
		oldest_drop(strip);
	if (!strip->newest || strip->newest->bytes - strip->newest->end < room) {
		while (strip->count && strip->memory_bytes + piece_bytes(room) > strip->bytes_max)
			oldest_drop(strip);
		piece_add(strip, room);
	}
	entry = entry_at(strip->newest, strip->newest->end);
	*entry = (struct entry){ .time_ms = time_ms, .length = length };
	memcpy(entry + 1, bytes, length);
	strip->newest->end += room;
	strip->bytes += length;
	strip->count++;
}

void strip_each(const struct strip *strip, gint64 from_ms, gint64 to_ms, strip_fn each, void *user)
{
	for (struct piece *piece = strip->oldest; piece; piece = piece->next) {
		const struct entry *entry;

		for (gsize at = piece->first; at < piece->end; at += entry_bytes(entry->length)) {
			entry = entry_at(piece, at);
			if (entry->time_ms > from_ms && entry->time_ms <= to_ms)
				each(user, entry->time_ms, (const guint8 *)(entry + 1), entry->length);
		}
	}
}

struct strip *strip_new(gsize bytes_max, guint count_max)
{
	struct strip *strip = g_new0(struct strip, 1);

	strip->bytes_max = bytes_max;
	strip->count_max = count_max;
	return strip;
}

void strip_set_bytes_max(struct strip *strip, gsize bytes_max)
{
	strip->bytes_max = bytes_max;
}

void strip_set_count_max(struct strip *strip, guint count_max)
{
	strip->count_max = count_max;
}

void strip_set_age_max(struct strip *strip, gint64 age_max_ms)
{
	strip->age_max_ms = age_max_ms;
}

void strip_free(struct strip *strip)
{
	if (!strip)
		return;
	while (strip->oldest)
		piece_drop(strip);
	g_free(strip);
}

gint64 strip_oldest_ms(const struct strip *strip)
{
	return strip->oldest ? entry_at(strip->oldest, strip->oldest->first)->time_ms : 0;
}

guint strip_count(const struct strip *strip)
{
	return strip->count;
}

gsize strip_bytes(const struct strip *strip)
{
	return strip->bytes;
}

gsize strip_memory_bytes(const struct strip *strip)
{
	return strip->memory_bytes;
}
