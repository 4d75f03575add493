/* SPDX-License-Identifier: Apache-2.0 */
#include "render/flame.h"

#include <math.h>
#include <string.h>

struct ranked {
	guint32 frame;
	const struct calltree_frame *what;
};

static int ranked_compare(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int order = strcmp(x->what->name, y->what->name);

	if (!order)
		order = (int)x->what->kind - (int)y->what->kind;
	return order ? order : g_strcmp0(x->what->module, y->what->module);
}

/* The place of each frame in the order of names. */
static guint32 *frame_ranks(const struct calltree *tree)
{
	g_autofree struct ranked *order = g_new(struct ranked, tree->frame_count + 1);
	guint32 *ranks = g_new(guint32, tree->frame_count + 1);

	for (guint32 i = 0; i < tree->frame_count; i++)
		order[i] = (struct ranked){ i, &tree->frames[i] };
	qsort(order, tree->frame_count, sizeof(*order), ranked_compare);
	for (guint32 i = 0; i < tree->frame_count; i++)
		ranks[order[i].frame] = i;
	return ranks;
}

/* The least weight of which at most `limit` nodes have as much: by a histogram with steps of a tenth. */
static guint64 flame_threshold(const guint64 *totals, guint32 count, guint64 least, guint limit)
{
	guint32 steps[512] = { 0 }; /* 1.1^512 > 2^64 */
	guint32 kept = 0;

	for (guint32 i = 0; i < count; i++)
		if (totals[i] >= least && totals[i] > 0)
			steps[(guint)MIN(511.0, log((double)totals[i]) / log(1.1))]++;
	for (guint step = 512; step-- > 0;) {
		kept += steps[step];
		if (kept > limit)
			return MAX(least, (guint64)ceil(pow(1.1, step + 1)));
	}
	return MAX(least, 1);
}

/* Stable counting sort of `items` by key[item] < keys. Returns a new array. */
static guint32 *sort_by(const guint32 *items, guint count, const guint32 *key, guint keys)
{
	g_autofree guint32 *at = g_new0(guint32, (gsize)keys + 1);
	guint32 *sorted = g_new(guint32, (gsize)count + 1);

	for (guint i = 0; i < count; i++)
		at[key[items[i]] + 1]++;
	for (guint i = 0; i < keys; i++)
		at[i + 1] += at[i];
	for (guint i = 0; i < count; i++)
		sorted[at[key[items[i]]]++] = items[i];
	return sorted;
}

/* The nodes to show, parents first; their number in `*count`. */
static guint32 *flame_keep(const struct calltree *tree, const guint64 *totals, guint64 least, guint *count)
{
	GArray *kept = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint32 i = 1; i < tree->node_count; i++)
		if (totals[i] >= least)
			g_array_append_val(kept, i);
	*count = kept->len;
	return (guint32 *)g_array_free(kept, FALSE);
}

static guint64 scaled(guint64 weight, double scale)
{
	return scale == 1.0 ? weight : (guint64)llround((double)weight * scale);
}

/* Orders the kept nodes: position 0 is the root, position i + 1 holds kept[i]; siblings end up in `order` by rank.
 * `first`[p] … `first`[p + 1] delimit the children of the box at position p. */
struct flame_order {
	guint32 *parent; /* by position: position of the parent */
	guint32 *rank; /* by position */
	guint32 *order; /* positions, by parent, then rank */
	guint32 *first;
};

static void flame_order_init(struct flame_order *order, const struct calltree *tree, const guint32 *kept, guint count)
{
	g_autofree guint32 *position = g_new0(guint32, tree->node_count);
	g_autofree guint32 *ranks = frame_ranks(tree);
	g_autofree guint32 *items = g_new(guint32, (gsize)count + 1);
	g_autofree guint32 *by_rank = NULL;

	order->parent = g_new0(guint32, (gsize)count + 1);
	order->rank = g_new0(guint32, (gsize)count + 1);
	for (guint i = 0; i < count; i++)
		position[kept[i]] = i + 1;
	for (guint i = 0; i < count; i++) {
		items[i] = i + 1;
		order->parent[i + 1] = position[tree->parent[kept[i]]];
		order->rank[i + 1] = ranks[tree->frame[kept[i]]];
	}
	by_rank = sort_by(items, count, order->rank, tree->frame_count + 1);
	order->order = sort_by(by_rank, count, order->parent, count + 1);
	order->first = g_new0(guint32, (gsize)count + 2);
	for (guint i = 1; i <= count; i++)
		order->first[order->parent[i] + 1]++;
	for (guint i = 0; i <= count; i++)
		order->first[i + 1] += order->first[i];
}

static void flame_order_clear(struct flame_order *order)
{
	g_free(order->parent);
	g_free(order->rank);
	g_free(order->order);
	g_free(order->first);
}

/* Walks the ordered nodes depth first and fills the boxes. No recursion: stacks may be deep. */
static void flame_place(struct flame *flame, const struct calltree *tree, const guint32 *kept,
			const struct flame_order *order, const guint64 *totals)
{
	g_autofree guint32 *next = g_memdup2(order->first, sizeof(*next) * flame->count);
	g_autofree guint32 *box_of = g_new0(guint32, flame->count); /* by position */
	g_autofree guint64 *cursor = g_new0(guint64, flame->count); /* by box: where its next child starts */
	guint32 position = 0, placed = 1;

	flame->boxes[0] = (struct flame_box){ .total = flame->total, .self = tree->self[0] };
	for (;;) {
		guint32 parent_box = box_of[position], child, node;
		struct flame_box *box = &flame->boxes[placed];

		if (next[position] == order->first[position + 1]) {
			if (position == 0)
				break;
			position = order->parent[position];
			continue;
		}
		child = order->order[next[position]++];
		node = kept[child - 1];
		*box = (struct flame_box){ .start = cursor[parent_box],
					   .total = totals[node],
					   .self = tree->self[node],
					   .node = node,
					   .frame = tree->frame[node],
					   .parent = parent_box,
					   .depth = flame->boxes[parent_box].depth + 1 };
		cursor[parent_box] += box->total;
		cursor[placed] = box->start;
		flame->depth = MAX(flame->depth, box->depth);
		box_of[child] = placed++;
		position = child;
	}
}

/* Fills in the baseline: totals, and what is not in the picture because it is gone. */
static void flame_compare(struct flame *flame, const struct calltree *tree, const guint64 *totals, gboolean normalized)
{
	g_autofree guint64 *before = calltree_totals(tree, tree->baseline);
	double scale = normalized && before[0] ? (double)flame->total / (double)before[0] : 1.0;

	flame->differential = TRUE;
	flame->total_before = scaled(before[0], scale);
	for (guint i = 0; i < flame->count; i++)
		flame->boxes[i].before = scaled(before[flame->boxes[i].node], scale);
	for (guint32 i = 1; i < tree->node_count; i++)
		if (totals[i] == 0 && totals[tree->parent[i]] != 0)
			flame->vanished += scaled(before[i], scale);
}

struct flame *flame_new(const struct calltree *tree, guint64 least, guint limit, gboolean normalized)
{
	struct flame *flame = g_new0(struct flame, 1);
	g_autofree guint64 *totals = calltree_totals(tree, tree->self);
	g_autofree guint32 *kept = NULL;
	struct flame_order order;
	guint count;

	flame->total = totals[0];
	least = flame_threshold(totals, tree->node_count, least, limit);
	kept = flame_keep(tree, totals, least, &count);
	flame->count = count + 1;
	flame->elided = tree->node_count - flame->count;
	flame->boxes = g_new(struct flame_box, flame->count);
	flame_order_init(&order, tree, kept, count);
	flame_place(flame, tree, kept, &order, totals);
	flame_order_clear(&order);
	if (tree->baseline)
		flame_compare(flame, tree, totals, normalized);
	return flame;
}

void flame_free(struct flame *flame)
{
	if (!flame)
		return;
	g_free(flame->boxes);
	g_free(flame);
}

struct calltree *flame_reverse(const struct calltree *tree)
{
	struct calltree *reversed = calltree_new();
	g_autofree guint32 *frames = g_new(guint32, tree->frame_count + 1);

	for (guint32 i = 0; i < tree->frame_count; i++)
		frames[i] = calltree_frame(reversed, tree->frames[i].kind, tree->frames[i].name, -1,
					   tree->frames[i].module);
	if (tree->baseline)
		calltree_add_baseline(reversed, CALLTREE_ROOT, 0);
	for (guint32 i = 0; i < tree->node_count; i++) {
		guint32 node = CALLTREE_ROOT;

		if (!tree->self[i] && !(tree->baseline && tree->baseline[i]))
			continue;
		for (guint32 at = i; at != CALLTREE_ROOT; at = tree->parent[at])
			node = calltree_child(reversed, node, frames[tree->frame[at]]);
		calltree_add(reversed, node, tree->self[i]);
		if (tree->baseline)
			calltree_add_baseline(reversed, node, tree->baseline[i]);
	}
	return reversed;
}

/* TRUE when no ancestor of `node` has the same frame. */
static gboolean node_is_outermost(const struct calltree *tree, guint32 node)
{
	guint32 frame = tree->frame[node];

	for (guint32 at = tree->parent[node]; at != CALLTREE_ROOT; at = tree->parent[at])
		if (tree->frame[at] == frame)
			return FALSE;
	return TRUE;
}

guint64 *flame_hidden(const struct flame *flame, const struct calltree *tree)
{
	guint64 *hidden = g_new0(guint64, tree->frame_count + 1);
	g_autofree guint64 *totals = NULL;
	g_autofree guint8 *shown = NULL;

	if (!flame->elided)
		return hidden;
	totals = calltree_totals(tree, tree->self);
	shown = g_new0(guint8, tree->node_count);
	for (guint i = 0; i < flame->count; i++)
		shown[flame->boxes[i].node] = 1;
	for (guint32 i = 1; i < tree->node_count; i++)
		if (!shown[i] && totals[i] && node_is_outermost(tree, i))
			hidden[tree->frame[i]] += totals[i];
	return hidden;
}

gboolean frame_is_code(enum frame_kind kind)
{
	return kind <= FRAME_UNRESOLVED || kind == FRAME_SCRIPT;
}

GArray *function_rows(const struct calltree *tree)
{
	g_autofree struct function_row *rows = g_new0(struct function_row, tree->frame_count + 1);
	g_autofree guint64 *totals = calltree_totals(tree, tree->self);
	g_autofree guint64 *before = tree->baseline ? calltree_totals(tree, tree->baseline) : NULL;
	GArray *found = g_array_new(FALSE, FALSE, sizeof(struct function_row));

	for (guint32 i = 1; i < tree->node_count; i++) {
		struct function_row *row = &rows[tree->frame[i]];

		row->self += tree->self[i];
		if (before)
			row->self_before += tree->baseline[i];
		if (!node_is_outermost(tree, i))
			continue;
		row->total += totals[i];
		if (before)
			row->total_before += before[i];
	}
	for (guint32 i = 0; i < tree->frame_count; i++) {
		rows[i].frame = i;
		if (rows[i].total || rows[i].total_before)
			g_array_append_val(found, rows[i]);
	}
	return found;
}
