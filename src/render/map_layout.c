/* SPDX-License-Identifier: Apache-2.0 */
/* Layers after Sugiyama: links that close circles are turned round, a node stands one layer right of the rightmost that
 * leads to it, links over several layers get an invisible dot in each, dots and nodes are put in the order of their
 * neighbours' middles, and at last as near to these as their neighbours in the layer allow. */
#include <math.h>
#include <string.h>

#include "render/map.h"

#define NODE_HEIGHT 44.0
#define NODE_GAP 26.0
#define DOT_HEIGHT 6.0
#define LAYER_GAP 230.0
#define MARGIN 24.0
#define CHARACTER 8.2 /* of a name, at most */
#define NAME_CHARACTERS 30
#define NODE_WIDTH_MIN 146.0
#define LOOP_WIDTH 70.0 /* of a link to itself, beside its node */
#define NODE_SIDE 34.0 /* of a node's height: where links end */
#define SWEEPS 12
#define SLIDES 8

struct slot { /* a node or a dot */
	guint node; /* G_MAXUINT: a dot */
	guint layer, order;
	double place, height; /* middle */
	double wish;
	GArray *before, *after; /* of guint: slots in the layers beside */
};

struct layout {
	struct map *map;
	GArray *slots; /* of struct slot; the first are the nodes */
	GPtrArray *layers; /* of GArray of guint: slots from top to bottom */
	gboolean *turned; /* by link */
};

static struct slot *slot_at(struct layout *layout, guint number)
{
	return &g_array_index(layout->slots, struct slot, number);
}

/* ---- circles and layers ---- */

enum visit {
	VISIT_NONE = 0,
	VISIT_OPEN = 1,
	VISIT_DONE = 2
};

static const struct map_link *layout_link(struct layout *layout, guint i)
{
	return g_ptr_array_index(layout->map->links, i);
}

/* Depth first without recursion: a link to a node that is being visited closes a circle. */
static void layout_turn_from(struct layout *layout, guint start, guint8 *state, guint *next)
{
	g_autoptr(GArray) path = g_array_new(FALSE, FALSE, sizeof(guint));

	g_array_append_val(path, start);
	state[start] = VISIT_OPEN;
	while (path->len) {
		guint node = g_array_index(path, guint, path->len - 1);
		const struct map_link *link;

		if (next[node] == layout->map->links->len) {
			state[node] = VISIT_DONE;
			g_array_set_size(path, path->len - 1);
			continue;
		}
		link = layout_link(layout, next[node]++);
		if (link->source != node || link->target == node || !link->drawn)
			continue;
		if (state[link->target] == VISIT_OPEN) {
			layout->turned[next[node] - 1] = TRUE;
		} else if (state[link->target] == VISIT_NONE) {
			state[link->target] = VISIT_OPEN;
			g_array_append_val(path, link->target);
		}
	}
}

static void layout_turn(struct layout *layout)
{
	guint count = layout->map->nodes->len;
	g_autofree guint8 *state = g_new0(guint8, count);
	g_autofree guint *next = g_new0(guint, count);

	/* Those that only open connections first, then those that open more than they get. */
	for (int least = 2; least >= 0; least--) {
		for (guint i = 0; i < count; i++) {
			const struct map_node *node = &g_array_index(layout->map->nodes, struct map_node, i);
			int rank = node->in == 0 ? 2 : node->out > node->in ? 1 : 0;

			if (rank >= least && state[i] == VISIT_NONE)
				layout_turn_from(layout, i, state, next);
		}
	}
}

static void link_ends(const struct layout *layout, guint i, guint *from, guint *to)
{
	const struct map_link *link = g_ptr_array_index(layout->map->links, i);

	*from = layout->turned[i] ? link->target : link->source;
	*to = layout->turned[i] ? link->source : link->target;
}

/* The longest way from the left; there are no circles, so it ends after as many rounds as there are nodes. */
static void layout_layers(struct layout *layout)
{
	GArray *nodes = layout->map->nodes;
	gboolean moved = TRUE;

	for (guint round = 0; moved && round <= nodes->len; round++) {
		moved = FALSE;
		for (guint i = 0; i < layout->map->links->len; i++) {
			struct map_node *left, *right;
			guint from, to;

			link_ends(layout, i, &from, &to);
			if (from == to || !layout_link(layout, i)->drawn)
				continue;
			left = &g_array_index(nodes, struct map_node, from);
			right = &g_array_index(nodes, struct map_node, to);
			if (right->layer > left->layer)
				continue;
			right->layer = left->layer + 1;
			moved = TRUE;
		}
	}
}

/* Who is only a source stands beside the first it talks to. */
static void layout_pull(struct layout *layout)
{
	GArray *nodes = layout->map->nodes;

	for (guint n = 0; n < nodes->len; n++) {
		struct map_node *node = &g_array_index(nodes, struct map_node, n);
		guint nearest = G_MAXUINT;
		gboolean has_before = FALSE;

		for (guint i = 0; i < layout->map->links->len; i++) {
			guint from, to;

			link_ends(layout, i, &from, &to);
			if (from == to || !layout_link(layout, i)->drawn)
				continue;
			has_before |= to == n;
			if (from == n)
				nearest = MIN(nearest, g_array_index(nodes, struct map_node, to).layer);
		}
		if (!has_before && nearest != G_MAXUINT && nearest > node->layer + 1)
			node->layer = nearest - 1;
	}
}

/* ---- slots ---- */

static guint layout_slot(struct layout *layout, guint node, guint layer)
{
	struct slot slot = {
		.node = node,
		.layer = layer,
		.height = node == G_MAXUINT ? DOT_HEIGHT : NODE_HEIGHT,
		.before = g_array_new(FALSE, FALSE, sizeof(guint)),
		.after = g_array_new(FALSE, FALSE, sizeof(guint)),
	};
	guint number = layout->slots->len;
	GArray *order;

	while (layout->layers->len <= layer)
		g_ptr_array_add(layout->layers, g_array_new(FALSE, FALSE, sizeof(guint)));
	order = g_ptr_array_index(layout->layers, layer);
	slot.order = order->len;
	g_array_append_val(order, number);
	g_array_append_val(layout->slots, slot);
	return number;
}

static void layout_join(struct layout *layout, guint left, guint right)
{
	g_array_append_val(slot_at(layout, left)->after, right);
	g_array_append_val(slot_at(layout, right)->before, left);
}

/* The chain of slots of each link, from left to right. */
static GPtrArray *layout_chains(struct layout *layout)
{
	GPtrArray *chains = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

	for (guint i = 0; i < layout->map->nodes->len; i++)
		layout_slot(layout, i, g_array_index(layout->map->nodes, struct map_node, i).layer);
	for (guint i = 0; i < layout->map->links->len; i++) {
		GArray *chain = g_array_new(FALSE, FALSE, sizeof(guint));
		guint from, to, last;

		g_ptr_array_add(chains, chain);
		link_ends(layout, i, &from, &to);
		if (!layout_link(layout, i)->drawn || from == to)
			continue;
		g_array_append_val(chain, from);
		last = from;
		for (guint layer = slot_at(layout, from)->layer + 1; layer < slot_at(layout, to)->layer; layer++) {
			guint dot = layout_slot(layout, G_MAXUINT, layer);

			layout_join(layout, last, dot);
			g_array_append_val(chain, dot);
			last = dot;
		}
		layout_join(layout, last, to);
		g_array_append_val(chain, to);
	}
	return chains;
}

/* ---- order ---- */

static double slot_middle(struct layout *layout, const GArray *beside, double otherwise)
{
	double sum = 0;

	for (guint i = 0; i < beside->len; i++)
		sum += slot_at(layout, g_array_index(beside, guint, i))->place;
	return beside->len ? sum / beside->len : otherwise;
}

static gint slot_compare(gconstpointer left, gconstpointer right, gpointer user)
{
	struct layout *layout = user;
	const struct slot *a = slot_at(layout, *(const guint *)left), *b = slot_at(layout, *(const guint *)right);

	if (a->wish != b->wish)
		return a->wish < b->wish ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static void layer_order(struct layout *layout, GArray *layer, gboolean by_before)
{
	for (guint i = 0; i < layer->len; i++) {
		struct slot *slot = slot_at(layout, g_array_index(layer, guint, i));

		slot->wish = slot_middle(layout, by_before ? slot->before : slot->after, slot->place);
	}
	g_array_sort_with_data(layer, slot_compare, layout);
	for (guint i = 0; i < layer->len; i++) {
		struct slot *slot = slot_at(layout, g_array_index(layer, guint, i));

		slot->order = i;
		slot->place = i;
	}
}

static void layout_order(struct layout *layout)
{
	for (guint i = 0; i < layout->slots->len; i++)
		slot_at(layout, i)->place = slot_at(layout, i)->order;
	for (guint sweep = 0; sweep < SWEEPS; sweep++) {
		for (guint i = 1; i < layout->layers->len; i++)
			layer_order(layout, g_ptr_array_index(layout->layers, i), TRUE);
		for (guint i = layout->layers->len; i-- > 1;)
			layer_order(layout, g_ptr_array_index(layout->layers, i - 1), FALSE);
	}
}

/* ---- places ---- */

static double slot_distance(const struct slot *a, const struct slot *b)
{
	return (a->height + b->height) / 2 + NODE_GAP;
}

/* As near to the wishes (least squares) as order and distances allow: neighbours that would overlap form blocks, whose
 * place is the mean of their members' wishes. */
static void layer_place(struct layout *layout, const GArray *layer)
{
	g_autofree double *offset = g_new0(double, layer->len);
	g_autofree double *sum = g_new0(double, layer->len);
	g_autofree guint *first = g_new0(guint, layer->len + 1);
	guint blocks = 0;

	for (guint i = 0; i < layer->len; i++) {
		const struct slot *slot = slot_at(layout, g_array_index(layer, guint, i));

		if (i > 0)
			offset[i] = offset[i - 1] +
				    slot_distance(slot_at(layout, g_array_index(layer, guint, i - 1)), slot);
		first[blocks] = i;
		sum[blocks] = slot->wish - offset[i];
		first[++blocks] = i + 1;
		while (blocks > 1 && sum[blocks - 1] / (first[blocks] - first[blocks - 1]) <
					     sum[blocks - 2] / (first[blocks - 1] - first[blocks - 2])) {
			sum[blocks - 2] += sum[blocks - 1];
			first[blocks - 1] = first[blocks];
			blocks--;
		}
	}
	for (guint block = 0; block < blocks; block++)
		for (guint i = first[block]; i < first[block + 1]; i++)
			slot_at(layout, g_array_index(layer, guint, i))->place =
				sum[block] / (first[block + 1] - first[block]) + offset[i];
}

static void layer_wish(struct layout *layout, const GArray *layer, gboolean both, gboolean by_before)
{
	for (guint i = 0; i < layer->len; i++) {
		struct slot *slot = slot_at(layout, g_array_index(layer, guint, i));
		double before = slot_middle(layout, slot->before, slot->place);
		double after = slot_middle(layout, slot->after, slot->place);

		slot->wish = both ? ((slot->before->len ? before : after) + (slot->after->len ? after : before)) / 2
			     : by_before ? before
					 : after;
	}
	layer_place(layout, layer);
}

static void layout_places(struct layout *layout)
{
	for (guint i = 0; i < layout->slots->len; i++) {
		struct slot *slot = slot_at(layout, i);

		slot->wish = slot->place = slot->order * (NODE_HEIGHT + NODE_GAP);
	}
	for (guint i = 0; i < layout->layers->len; i++)
		layer_place(layout, g_ptr_array_index(layout->layers, i));
	for (guint slide = 0; slide < SLIDES; slide++) {
		for (guint i = 1; i < layout->layers->len; i++)
			layer_wish(layout, g_ptr_array_index(layout->layers, i), slide + 1 == SLIDES, TRUE);
		for (guint i = layout->layers->len; i-- > 1;)
			layer_wish(layout, g_ptr_array_index(layout->layers, i - 1), slide + 1 == SLIDES, FALSE);
	}
}

/* ---- result ---- */

static double node_width(const struct map_node *node)
{
	g_autofree char *valid = g_utf8_make_valid(node->end.name, -1);
	glong characters = MIN(g_utf8_strlen(valid, -1), NAME_CHARACTERS);

	return MAX(NODE_WIDTH_MIN, (double)characters * CHARACTER + 28);
}

static void layout_nodes(struct layout *layout, double *left, double *right)
{
	struct map *map = layout->map;
	double top = G_MAXDOUBLE, x = MARGIN;

	for (guint i = 0; i < layout->slots->len; i++)
		top = MIN(top, slot_at(layout, i)->place - slot_at(layout, i)->height / 2);
	for (guint i = 0; i < layout->slots->len; i++) {
		struct slot *slot = slot_at(layout, i);

		slot->place += MARGIN - top;
		map->height = MAX(map->height, slot->place + slot->height / 2 + MARGIN);
	}
	for (guint l = 0; l < layout->layers->len; l++) {
		const GArray *layer = g_ptr_array_index(layout->layers, l);
		double width = NODE_WIDTH_MIN;

		for (guint i = 0; i < layer->len; i++) {
			const struct slot *slot = slot_at(layout, g_array_index(layer, guint, i));

			if (slot->node != G_MAXUINT)
				width = MAX(width, node_width(&g_array_index(map->nodes, struct map_node, slot->node)));
		}
		left[l] = x;
		right[l] = x + width;
		x += width + LAYER_GAP;
	}
	map->width = layout->layers->len ? right[layout->layers->len - 1] + MARGIN : 2 * MARGIN;
	for (guint i = 0; i < map->links->len; i++)
		if (layout_link(layout, i)->source == layout_link(layout, i)->target)
			map->width =
				MAX(map->width,
				    right[g_array_index(map->nodes, struct map_node, layout_link(layout, i)->source)
						  .layer] +
					    LOOP_WIDTH + MARGIN);
	for (guint i = 0; i < map->nodes->len; i++) {
		struct map_node *node = &g_array_index(map->nodes, struct map_node, i);

		node->x = left[node->layer];
		node->width = right[node->layer] - left[node->layer];
		node->height = NODE_HEIGHT;
		node->y = slot_at(layout, i)->place - NODE_HEIGHT / 2;
	}
}

static void link_point(struct map_link *link, double x, double y)
{
	struct map_point point = { x, y };

	g_array_append_val(link->points, point);
}

/* The end of a chain at one side of a node; links of a side are spread over its height in the order of where they go. */
struct way_end {
	guint slot, next; /* the node's, and the one beside it on the chain */
	guint chain;
	gboolean right; /* side of the node */
	double y;
};

static gint way_end_compare(gconstpointer left, gconstpointer right, gpointer user)
{
	struct layout *layout = user;
	const struct way_end *a = left, *b = right;
	double x, y;

	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	if (a->right != b->right)
		return a->right ? 1 : -1;
	x = slot_at(layout, a->next)->place;
	y = slot_at(layout, b->next)->place;
	return x < y ? -1 : x > y ? 1 : a->chain < b->chain ? -1 : a->chain > b->chain;
}

/* Where each chain begins and ends; two numbers for each. Owned by the caller. */
static double *layout_ends(struct layout *layout, GPtrArray *chains)
{
	g_autoptr(GArray) ends = g_array_new(FALSE, FALSE, sizeof(struct way_end));
	double *places = g_new0(double, 2 * chains->len + 2);

	for (guint i = 0; i < chains->len; i++) {
		const GArray *chain = g_ptr_array_index(chains, i);
		struct way_end from = { .chain = i, .right = TRUE }, to = { .chain = i };

		if (chain->len < 2)
			continue;
		from.slot = g_array_index(chain, guint, 0);
		from.next = g_array_index(chain, guint, 1);
		to.slot = g_array_index(chain, guint, chain->len - 1);
		to.next = g_array_index(chain, guint, chain->len - 2);
		g_array_append_val(ends, from);
		g_array_append_val(ends, to);
	}
	g_array_sort_with_data(ends, way_end_compare, layout);
	for (guint i = 0, first = 0; i < ends->len; i++) {
		const struct way_end *end = &g_array_index(ends, struct way_end, i);
		const struct way_end *group = &g_array_index(ends, struct way_end, first);
		guint last = i;

		if (end->slot != group->slot || end->right != group->right)
			first = i;
		group = &g_array_index(ends, struct way_end, first);
		while (last + 1 < ends->len && g_array_index(ends, struct way_end, last + 1).slot == group->slot &&
		       g_array_index(ends, struct way_end, last + 1).right == group->right)
			last++;
		places[2 * end->chain + !end->right] =
			slot_at(layout, end->slot)->place + ((i - first + 0.5) / (last - first + 1) - 0.5) * NODE_SIDE;
	}
	return places;
}

static void layout_ways(struct layout *layout, GPtrArray *chains, const double *left, const double *right)
{
	g_autofree double *ends = layout_ends(layout, chains);

	for (guint i = 0; i < chains->len; i++) {
		struct map_link *link = g_ptr_array_index(layout->map->links, i);
		const GArray *chain = g_ptr_array_index(chains, i);
		gboolean back = layout->turned[i];

		link->points = g_array_new(FALSE, FALSE, sizeof(struct map_point));
		for (guint k = 0; k < chain->len; k++) {
			guint step = back ? chain->len - 1 - k : k;
			const struct slot *slot = slot_at(layout, g_array_index(chain, guint, step));

			if (slot->node != G_MAXUINT) {
				link_point(link, step == 0 ? right[slot->layer] : left[slot->layer],
					   ends[2 * i + (step != 0)]);
			} else {
				link_point(link, back ? right[slot->layer] : left[slot->layer], slot->place);
				link_point(link, back ? left[slot->layer] : right[slot->layer], slot->place);
			}
		}
	}
}

static void slot_clear(gpointer data)
{
	struct slot *slot = data;

	g_array_unref(slot->before);
	g_array_unref(slot->after);
}

void map_layout(struct map *map)
{
	struct layout layout = {
		.map = map,
		.slots = g_array_new(FALSE, FALSE, sizeof(struct slot)),
		.layers = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref),
		.turned = g_new0(gboolean, map->links->len + 1),
	};
	g_autoptr(GPtrArray) chains = NULL;
	g_autofree double *left = NULL, *right = NULL;

	g_array_set_clear_func(layout.slots, slot_clear);
	layout_turn(&layout);
	layout_layers(&layout);
	layout_pull(&layout);
	chains = layout_chains(&layout);
	layout_order(&layout);
	layout_places(&layout);
	left = g_new0(double, layout.layers->len + 1);
	right = g_new0(double, layout.layers->len + 1);
	layout_nodes(&layout, left, right);
	layout_ways(&layout, chains, left, right);
	g_array_unref(layout.slots);
	g_ptr_array_unref(layout.layers);
	g_free(layout.turned);
}
