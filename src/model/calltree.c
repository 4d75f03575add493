/* SPDX-License-Identifier: Apache-2.0 */
#include "model/calltree.h"

#include <string.h>

const char *const frame_kind_names[FRAME_KINDS] = { "user",    "kernel", "jit",	  "inlined", "unresolved", "container",
						    "process", "thread", "cause", "waker",   "script" };

#define NODE_SLOTS_MIN 512
#define NODE_SLOTS_FULL(nodes, slots) ((guint64)(nodes)*3 >= (guint64)(slots)*2)

static guint32 hash_mix(guint32 a, guint32 b)
{
	guint64 x = ((guint64)a << 32 | b) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

	x ^= x >> 29;
	x *= G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
	return (guint32)(x >> 32);
}

static guint32 hash_bytes(guint32 seed, const char *bytes, gsize length)
{
	guint64 h = seed ^ (length * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));

	for (; length >= 8; bytes += 8, length -= 8) {
		guint64 word;

		memcpy(&word, bytes, 8);
		h = (h ^ word) * G_GUINT64_CONSTANT(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	if (length) {
		guint64 word = 0;

		memcpy(&word, bytes, length);
		h = (h ^ word) * G_GUINT64_CONSTANT(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	return (guint32)h;
}

struct calltree *calltree_new(void)
{
	struct calltree *tree = g_new0(struct calltree, 1);

	tree->node_room = 256;
	tree->parent = g_new(guint32, tree->node_room);
	tree->frame = g_new(guint32, tree->node_room);
	tree->self = g_new(guint64, tree->node_room);
	tree->frame_room = 64;
	tree->frames = g_new(struct calltree_frame, tree->frame_room);
	tree->frame_mask = 127;
	tree->frame_slots = g_new0(guint32, tree->frame_mask + 1);
	tree->strings = g_string_chunk_new(4096);
	tree->node_count = 1;
	tree->parent[0] = 0;
	tree->frame[0] = 0;
	tree->self[0] = 0;
	return tree;
}

void calltree_free(struct calltree *tree)
{
	if (!tree)
		return;
	g_free(tree->parent);
	g_free(tree->frame);
	g_free(tree->self);
	g_free(tree->baseline);
	if (tree->moments)
		g_array_unref(tree->moments);
	g_free(tree->frames);
	g_free(tree->node_slots);
	g_free(tree->frame_slots);
	g_string_chunk_free(tree->strings);
	g_free(tree);
}

static void frames_grow(struct calltree *tree)
{
	tree->frame_room *= 2;
	tree->frames = g_renew(struct calltree_frame, tree->frames, tree->frame_room);
	g_free(tree->frame_slots);
	tree->frame_mask = tree->frame_room * 2 - 1;
	tree->frame_slots = g_new0(guint32, (gsize)tree->frame_mask + 1);
	for (guint32 i = 0; i < tree->frame_count; i++) {
		guint32 at = tree->frames[i].hash & tree->frame_mask;

		while (tree->frame_slots[at])
			at = (at + 1) & tree->frame_mask;
		tree->frame_slots[at] = i + 1;
	}
}

static gboolean frame_equals(const struct calltree_frame *frame, enum frame_kind kind, const char *name, gsize length,
			     const char *module)
{
	return frame->kind == kind && strncmp(frame->name, name, length) == 0 && frame->name[length] == '\0' &&
	       g_strcmp0(frame->module, module) == 0;
}

guint32 calltree_frame(struct calltree *tree, enum frame_kind kind, const char *name, gssize length, const char *module)
{
	gsize n = length < 0 ? strlen(name) : strnlen(name, (gsize)length);
	guint32 hash = hash_bytes((guint32)kind + 1, name, n);
	guint32 at;

	if (module)
		hash = hash_bytes(hash, module, strlen(module));
	for (at = hash & tree->frame_mask; tree->frame_slots[at]; at = (at + 1) & tree->frame_mask) {
		const struct calltree_frame *frame = &tree->frames[tree->frame_slots[at] - 1];

		if (frame->hash == hash && frame_equals(frame, kind, name, n, module))
			return tree->frame_slots[at] - 1;
	}
	tree->frames[tree->frame_count] = (struct calltree_frame){
		.name = g_string_chunk_insert_len(tree->strings, name, (gssize)n),
		.module = module ? g_string_chunk_insert_const(tree->strings, module) : NULL,
		.hash = hash,
		.kind = kind,
	};
	tree->frame_slots[at] = ++tree->frame_count;
	if (tree->frame_count == tree->frame_room)
		frames_grow(tree);
	return tree->frame_count - 1;
}

static void nodes_grow(struct calltree *tree)
{
	guint32 room = tree->node_room * 2;

	tree->parent = g_renew(guint32, tree->parent, room);
	tree->frame = g_renew(guint32, tree->frame, room);
	tree->self = g_renew(guint64, tree->self, room);
	if (tree->baseline)
		tree->baseline = g_renew(guint64, tree->baseline, room);
	tree->node_room = room;
}

static void nodes_index(struct calltree *tree)
{
	guint32 slots = NODE_SLOTS_MIN;

	while (NODE_SLOTS_FULL(tree->node_count, slots))
		slots *= 2;
	tree->node_mask = slots - 1;
	tree->node_slots = g_new0(guint32, (gsize)tree->node_mask + 1);
	for (guint32 i = 1; i < tree->node_count; i++) {
		guint32 at = hash_mix(tree->parent[i], tree->frame[i]) & tree->node_mask;

		while (tree->node_slots[at])
			at = (at + 1) & tree->node_mask;
		tree->node_slots[at] = i + 1;
	}
}

static guint32 node_new(struct calltree *tree, guint32 parent, guint32 frame)
{
	guint32 node = tree->node_count;

	if (node == tree->node_room)
		nodes_grow(tree);
	tree->node_count++;
	tree->parent[node] = parent;
	tree->frame[node] = frame;
	tree->self[node] = 0;
	if (tree->baseline)
		tree->baseline[node] = 0;
	return node;
}

guint32 calltree_child(struct calltree *tree, guint32 parent, guint32 frame)
{
	guint32 at, node;

	if (!tree->node_slots)
		nodes_index(tree);
	for (at = hash_mix(parent, frame) & tree->node_mask; tree->node_slots[at]; at = (at + 1) & tree->node_mask) {
		node = tree->node_slots[at] - 1;
		if (tree->parent[node] == parent && tree->frame[node] == frame)
			return node;
	}
	if (tree->node_count >= CALLTREE_NODES_MAX) {
		tree->overflow++;
		return parent;
	}
	tree->node_slots[at] = tree->node_count + 1;
	node = node_new(tree, parent, frame);
	if (NODE_SLOTS_FULL(tree->node_count, tree->node_mask + 1))
		calltree_drop_index(tree); /* a larger one at the next look-up: never both at once */
	return node;
}

void calltree_drop_index(struct calltree *tree)
{
	g_clear_pointer(&tree->node_slots, g_free);
}

guint32 calltree_append(struct calltree *tree, guint32 parent, guint32 frame)
{
	if (tree->node_count >= CALLTREE_NODES_MAX) {
		tree->overflow++;
		return parent;
	}
	calltree_drop_index(tree);
	return node_new(tree, parent, frame);
}

void calltree_add(struct calltree *tree, guint32 node, guint64 weight)
{
	tree->self[node] += weight;
}

void calltree_add_baseline(struct calltree *tree, guint32 node, guint64 weight)
{
	if (!tree->baseline)
		tree->baseline = g_new0(guint64, tree->node_room);
	tree->baseline[node] += weight;
}

void calltree_add_moment(struct calltree *tree, guint32 node, gint64 time_ms)
{
	const struct calltree_moment moment = { .time_ms = time_ms, .node = node };

	if (!tree->moments)
		tree->moments = g_array_new(FALSE, FALSE, sizeof(moment));
	if (tree->moments->len < CALLTREE_MOMENTS_MAX)
		g_array_append_val(tree->moments, moment);
}

/* GCompareFunc */
static gint moment_compare(gconstpointer a, gconstpointer b)
{
	const struct calltree_moment *left = a, *right = b;

	return left->time_ms != right->time_ms ? (left->time_ms < right->time_ms ? -1 : 1)
					       : (left->node > right->node) - (left->node < right->node);
}

void calltree_sort_moments(struct calltree *tree)
{
	if (tree->moments)
		g_array_sort(tree->moments, moment_compare);
}

static gboolean moment_is_between(const struct calltree_moment *moment, gint64 from_ms, gint64 to_ms)
{
	return moment->time_ms >= from_ms && moment->time_ms < to_ms;
}

guint64 *calltree_weights_between(const struct calltree *tree, gint64 from_ms, gint64 to_ms)
{
	guint64 *weights;

	if (!tree->moments || !tree->moments->len)
		return NULL;
	weights = g_new0(guint64, tree->node_count);
	for (guint i = 0; i < tree->moments->len; i++) {
		const struct calltree_moment *moment = &g_array_index(tree->moments, struct calltree_moment, i);

		weights[moment->node] += moment_is_between(moment, from_ms, to_ms);
	}
	return weights;
}

gboolean calltree_cut(struct calltree *tree, gint64 from_ms, gint64 to_ms)
{
	g_autofree guint64 *weights = calltree_weights_between(tree, from_ms, to_ms);
	guint kept = 0;

	if (!weights)
		return FALSE;
	memcpy(tree->self, weights, sizeof(weights[0]) * tree->node_count);
	for (guint i = 0; i < tree->moments->len; i++) {
		const struct calltree_moment moment = g_array_index(tree->moments, struct calltree_moment, i);

		if (moment_is_between(&moment, from_ms, to_ms))
			g_array_index(tree->moments, struct calltree_moment, kept++) = moment;
	}
	g_array_set_size(tree->moments, kept);
	calltree_prune(tree);
	return TRUE;
}

/* Ids of `from`'s nodes in `into`; parents come before children, so one forward pass suffices. */
static guint32 *calltree_map(struct calltree *into, const struct calltree *from)
{
	guint32 *frames = g_new(guint32, from->frame_count + 1);
	guint32 *nodes = g_new(guint32, from->node_count);

	for (guint32 i = 0; i < from->frame_count; i++)
		frames[i] =
			calltree_frame(into, from->frames[i].kind, from->frames[i].name, -1, from->frames[i].module);
	nodes[0] = CALLTREE_ROOT;
	for (guint32 i = 1; i < from->node_count; i++)
		nodes[i] = calltree_child(into, nodes[from->parent[i]], frames[from->frame[i]]);
	g_free(frames);
	return nodes;
}

void calltree_merge(struct calltree *into, const struct calltree *from)
{
	g_autofree guint32 *nodes = calltree_map(into, from);

	for (guint32 i = 0; i < from->node_count; i++) {
		calltree_add(into, nodes[i], from->self[i]);
		if (from->baseline)
			calltree_add_baseline(into, nodes[i], from->baseline[i]);
	}
	for (guint i = 0; from->moments && i < from->moments->len; i++) {
		const struct calltree_moment *moment = &g_array_index(from->moments, struct calltree_moment, i);

		calltree_add_moment(into, nodes[moment->node], moment->time_ms);
	}
	if (from->moments)
		calltree_sort_moments(into);
	into->overflow += from->overflow;
}

struct calltree *calltree_diff(const struct calltree *before, const struct calltree *after)
{
	struct calltree *tree = calltree_new();
	g_autofree guint32 *nodes = NULL;

	calltree_merge(tree, after);
	nodes = calltree_map(tree, before);
	calltree_add_baseline(tree, CALLTREE_ROOT, 0); /* differential even when `before` is empty */
	for (guint32 i = 0; i < before->node_count; i++)
		calltree_add_baseline(tree, nodes[i], before->self[i]);
	return tree;
}

/* Ids that those nodes get which carry weight, or have any below them that do; NULL when all do. Caller frees. */
static guint32 *calltree_kept(const struct calltree *tree, guint32 *count)
{
	g_autofree guint32 *ids = g_new0(guint32, tree->node_count);

	ids[CALLTREE_ROOT] = 1;
	for (guint32 i = tree->node_count - 1; i > 0; i--) {
		ids[i] |= tree->self[i] || (tree->baseline && tree->baseline[i]);
		ids[tree->parent[i]] |= ids[i];
	}
	*count = 0;
	for (guint32 i = 0; i < tree->node_count; i++)
		ids[i] = ids[i] ? (*count)++ : 0;
	return *count < tree->node_count ? g_steal_pointer(&ids) : NULL;
}

void calltree_prune(struct calltree *tree)
{
	guint32 count;
	g_autofree guint32 *ids = calltree_kept(tree, &count);

	if (!ids)
		return;
	calltree_drop_index(tree);
	for (guint32 i = 1; i < tree->node_count; i++) {
		if (!ids[i])
			continue;
		tree->parent[ids[i]] = ids[tree->parent[i]];
		tree->frame[ids[i]] = tree->frame[i];
		tree->self[ids[i]] = tree->self[i];
		if (tree->baseline)
			tree->baseline[ids[i]] = tree->baseline[i];
	}
	for (guint i = 0; tree->moments && i < tree->moments->len; i++) {
		struct calltree_moment *moment = &g_array_index(tree->moments, struct calltree_moment, i);

		moment->node = ids[moment->node];
	}
	tree->node_count = count;
}

guint64 *calltree_totals(const struct calltree *tree, const guint64 *column)
{
	guint64 *totals = g_memdup2(column, sizeof(*column) * tree->node_count);

	for (guint32 i = tree->node_count - 1; i > 0; i--)
		totals[tree->parent[i]] += totals[i];
	return totals;
}
