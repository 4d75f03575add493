/* SPDX-License-Identifier: Apache-2.0 */
/* A calltree laid out as a flame graph: the frames large enough to be shown, in drawing order. */
#pragma once
#include <glib.h>

#include "model/calltree.h"

/* One frame of the picture. Weights are in the tree's unit; `start` is the offset from the left edge. */
struct flame_box {
	guint64 start;
	guint64 total;
	guint64 self;
	guint64 before; /* total in the baseline, already scaled; 0 unless differential */
	guint32 node;
	guint32 frame; /* undefined for the root */
	guint32 parent; /* index of the parent's box; 0 for the root */
	guint32 depth; /* root: 0 */
};

/* Boxes stand in preorder (a box before its children, siblings by name); box 0 is the root and spans everything. */
struct flame {
	struct flame_box *boxes;
	guint count;
	guint depth; /* of the deepest box */
	guint elided; /* nodes too small to be shown */
	guint64 total;
	guint64 total_before; /* scaled like the boxes */
	guint64 vanished; /* baseline weight in stacks that weigh nothing now: not in the picture */
	gboolean differential;
};

/* Lays out the nodes of at least `least` weight; when these are more than `limit`, `least` is raised until they fit
 * (within a factor of 1.1). With `normalized`, the baseline is scaled to the other column's total. Siblings are
 * placed by name, so that two pictures of the same program can be compared. Owned by the caller. */
struct flame *flame_new(const struct calltree *tree, guint64 least, guint limit, gboolean normalized);
void flame_free(struct flame *flame);
typedef struct flame flame_t;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(flame_t, flame_free)

/* For each frame of the tree the weight of the stacks that have it, but in no box: the frames that are are too small. Owned
 * by the caller. */
guint64 *flame_hidden(const struct flame *flame, const struct calltree *tree);

/* The same stacks merged from the leaf. Owned by the caller. */
struct calltree *flame_reverse(const struct calltree *tree);

/* Weights by function. A function that calls itself counts once a stack. */
struct function_row {
	guint32 frame;
	guint64 self, total;
	guint64 self_before, total_before; /* 0 unless differential */
};
/* Owners and causes stand in a path, too, but are no functions. */
gboolean frame_is_code(enum frame_kind kind);
/* One row a frame with weight of its own or below it, unsorted; array of struct function_row. */
GArray *function_rows(const struct calltree *tree);
