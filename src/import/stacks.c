/* SPDX-License-Identifier: Apache-2.0 */
#include "import/stacks.h"

#include <string.h>

#include "import/import.h"

#define STACKS_IDS_MAX (8u << 20) /* of a batch: 32 MiB */
#define STACKS_ROWS_MAX (1u << 19)
#define STACKS_INSERTION_SORT 12

struct row {
	const guint32 *ids; /* ended by STACKS_END */
	guint64 weight;
};

#define STACKS_END G_MAXUINT32

struct stacks {
	struct calltree *tree;
	guint32 *ids;
	gsize used; /* of ids, with the stack being built */
	gsize start; /* of the stack being built */
	struct row *rows;
	gsize count, room;
	guint32 path[IMPORT_DEPTH_MAX]; /* nodes of the stack laid down last */
};

struct stacks *stacks_new(struct calltree *tree)
{
	struct stacks *stacks = g_new(struct stacks, 1);

	stacks->tree = tree;
	stacks->ids = g_new(guint32, STACKS_IDS_MAX);
	stacks->used = stacks->start = stacks->count = 0;
	stacks->room = 1024;
	stacks->rows = g_new(struct row, stacks->room);
	return stacks;
}

void stacks_free(struct stacks *stacks)
{
	if (!stacks)
		return;
	g_free(stacks->ids);
	g_free(stacks->rows);
	g_free(stacks);
}

gboolean stacks_push(struct stacks *stacks, guint32 frame)
{
	if (stacks->used - stacks->start >= IMPORT_DEPTH_MAX)
		return FALSE;
	stacks->ids[stacks->used++] = frame;
	return TRUE;
}

void stacks_reverse(struct stacks *stacks)
{
	gsize low = stacks->start, high = stacks->used;

	while (low + 1 < high) {
		guint32 swap = stacks->ids[low];

		stacks->ids[low++] = stacks->ids[--high];
		stacks->ids[high] = swap;
	}
}

void stacks_cancel(struct stacks *stacks)
{
	stacks->used = stacks->start;
}

void stacks_end(struct stacks *stacks, guint64 weight)
{
	if (stacks->count == stacks->room) {
		stacks->room *= 2;
		stacks->rows = g_renew(struct row, stacks->rows, stacks->room);
	}
	stacks->rows[stacks->count++] = (struct row){ stacks->ids + stacks->start, weight };
	stacks->ids[stacks->used++] = STACKS_END;
	stacks->start = stacks->used;
	if (stacks->used + IMPORT_DEPTH_MAX + 1 > STACKS_IDS_MAX || stacks->count == STACKS_ROWS_MAX)
		stacks_flush(stacks);
}

static void rows_swap(struct row *a, struct row *b)
{
	struct row swap = *a;

	*a = *b;
	*b = swap;
}

/* TRUE when `a` sorts before `b`, knowing that their first `depth` ids are the same. */
static gboolean row_precedes(const struct row *a, const struct row *b, gsize depth)
{
	while (a->ids[depth] == b->ids[depth] && a->ids[depth] != STACKS_END)
		depth++;
	return a->ids[depth] < b->ids[depth];
}

static void rows_sort_few(struct row *rows, gsize count, gsize depth)
{
	for (gsize i = 1; i < count; i++)
		for (gsize j = i; j > 0 && row_precedes(&rows[j], &rows[j - 1], depth); j--)
			rows_swap(&rows[j], &rows[j - 1]);
}

static guint32 median_of(guint32 a, guint32 b, guint32 c)
{
	return a < b ? (b < c ? b : MAX(a, c)) : (a < c ? a : MAX(b, c));
}

/* Three-way radix quicksort (Bentley and Sedgewick): partitions by the id at `depth`, then goes one deeper for the
 * equal part. Work waits on a list, not on the C stack: the input chooses how deep this goes. */
static void rows_sort(struct row *rows, gsize count)
{
	struct range {
		gsize first, count, depth;
	} range = { 0, count, 0 };
	g_autoptr(GArray) work = g_array_new(FALSE, FALSE, sizeof(struct range));

	for (;;) {
		struct row *part = rows + range.first;
		gsize less = 0, at = 0, more = range.count, depth = range.depth;
		guint32 pivot;

		if (range.count <= STACKS_INSERTION_SORT) {
			rows_sort_few(part, range.count, depth);
			if (!work->len)
				return;
			range = g_array_index(work, struct range, work->len - 1);
			g_array_set_size(work, work->len - 1);
			continue;
		}
		pivot = median_of(part[0].ids[depth], part[range.count / 2].ids[depth],
				  part[range.count - 1].ids[depth]);
		while (at < more) {
			guint32 id = part[at].ids[depth];

			if (id < pivot)
				rows_swap(&part[less++], &part[at++]);
			else if (id > pivot)
				rows_swap(&part[at], &part[--more]);
			else
				at++;
		}
		if (less > 1)
			g_array_append_val(work, ((struct range){ range.first, less, depth }));
		if (range.count - more > 1)
			g_array_append_val(work, ((struct range){ range.first + more, range.count - more, depth }));
		range = (struct range){ range.first + less, pivot == STACKS_END ? 0 : more - less, depth + 1 };
	}
}

/* Lays one row down below what it shares with the row before it. */
static void stacks_lay(struct stacks *stacks, const struct row *row, const guint32 *previous, gboolean empty)
{
	guint32 node = CALLTREE_ROOT;
	gsize depth = 0;

	while (previous && row->ids[depth] != STACKS_END && row->ids[depth] == previous[depth])
		node = stacks->path[depth++];
	for (; row->ids[depth] != STACKS_END; depth++) {
		node = empty ? calltree_append(stacks->tree, node, row->ids[depth])
			     : calltree_child(stacks->tree, node, row->ids[depth]);
		stacks->path[depth] = node;
	}
	calltree_add(stacks->tree, node, row->weight);
}

void stacks_flush(struct stacks *stacks)
{
	gboolean empty = stacks->tree->node_count == 1;
	const guint32 *previous = NULL;

	rows_sort(stacks->rows, stacks->count);
	for (gsize i = 0; i < stacks->count; i++) {
		stacks_lay(stacks, &stacks->rows[i], previous, empty);
		previous = stacks->rows[i].ids;
	}
	stacks->used = stacks->start = stacks->count = 0;
}
