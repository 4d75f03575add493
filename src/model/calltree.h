/* SPDX-License-Identifier: Apache-2.0 */
/* The calltree shape: weighted stacks, merged from the root.
 *
 * A frame is an interned (kind, name, module); a node is an interned (parent node, frame). Both are dense 32-bit
 * ids, node 0 is the root and has no frame; a node's id is always larger than its parent's, so one backward
 * pass over the arrays sums the tree. Weights are "self": what was seen with exactly this stack. A differential
 * tree carries a second column, the baseline.
 *
 * Strings are raw bytes as observed: escape on output. The tree owns everything it hands out; pointers to names
 * stay valid until calltree_free. Sizes are limited to CALLTREE_NODES_MAX nodes; beyond that, stacks end in their
 * deepest existing node and `overflow` counts them. */
#pragma once
#include <glib.h>

#include "base/units.h"

/* Explicit values: they travel in captures and JSON. */
enum frame_kind {
	FRAME_USER = 0, /* native code of the application or a library */
	FRAME_KERNEL = 1,
	FRAME_JIT = 2, /* named by a perf map */
	FRAME_INLINED = 3,
	FRAME_UNRESOLVED = 4, /* the name says why: "[libfoo.so: no symbols]" */
	FRAME_CONTAINER = 5,
	FRAME_PROCESS = 6,
	FRAME_THREAD = 7,
	FRAME_CAUSE = 8, /* "running", "blocked: disk", "waiting for CPU: throttled" … */
	FRAME_WAKER = 9, /* separates a blocked stack from its waker's stack: "woken by web" */
	FRAME_SCRIPT = 10, /* interpreted code (Python): "handle (server.py:12)"; the module is the file */
	FRAME_KINDS = 11,
};
extern const char *const frame_kind_names[FRAME_KINDS]; /* part of the format of captures */

struct calltree_frame {
	const char *name;
	const char *module; /* library, kernel module or file the code is in; NULL when not known */
	guint32 hash;
	enum frame_kind kind;
};

/* When something was seen whose stack ends in `node`: one sample. */
struct calltree_moment {
	gint64 time_ms; /* since 1970 */
	guint32 node;
};

#define CALLTREE_ROOT 0
#define CALLTREE_NODES_MAX (64u << 20)
#define CALLTREE_MOMENTS_MAX (1u << 20)

struct calltree {
	guint32 node_count;
	guint32 frame_count;
	guint32 *parent; /* by node */
	guint32 *frame; /* by node; undefined for the root */
	guint64 *self; /* by node */
	guint64 *baseline; /* by node: self weight of the other capture; NULL unless differential */
	struct calltree_frame *frames;
	guint64 overflow;
	GArray *moments; /* of struct calltree_moment, eldest first; NULL: not kept. Samples without one have only a weight */
	/* private */
	guint32 node_room, frame_room;
	/* Open addressing, ids + 1, 0 = free, at most two thirds full; NULL: to be built at the next look-up. */
	guint32 *node_slots;
	guint32 *frame_slots; /* the same for frames, always there */
	guint32 node_mask, frame_mask;
	GStringChunk *strings;
};

struct calltree *calltree_new(void);
void calltree_free(struct calltree *tree);
typedef struct calltree calltree_t; /* for g_autoptr(calltree_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(calltree_t, calltree_free)

/* Interns a frame; `length` -1 means NUL-terminated; `module` may be NULL. */
guint32 calltree_frame(struct calltree *tree, enum frame_kind kind, const char *name, gssize length,
		       const char *module);
/* The child of node `parent` for `frame`, made if absent. */
guint32 calltree_child(struct calltree *tree, guint32 parent, guint32 frame);
/* A new child of `parent` for `frame`, which must not be there yet: for callers that add in order and know it. Keeps
 * no index, which the next calltree_child builds anew. */
guint32 calltree_append(struct calltree *tree, guint32 parent, guint32 frame);
/* Gives back the index's memory, a third of the tree's; the next calltree_child builds it anew. */
void calltree_drop_index(struct calltree *tree);
void calltree_add(struct calltree *tree, guint32 node, guint64 weight);
void calltree_add_baseline(struct calltree *tree, guint32 node, guint64 weight);

/* Adds no weight. More than CALLTREE_MOMENTS_MAX are not kept. When all are there they are put in order. */
void calltree_add_moment(struct calltree *tree, guint32 node, gint64 time_ms);
void calltree_sort_moments(struct calltree *tree);

/* Weights of the samples whose moment is in [from_ms, to_ms), by node; owned by the caller. NULL where no moments are kept. */
guint64 *calltree_weights_between(const struct calltree *tree, gint64 from_ms, gint64 to_ms);
/* Leaves those samples alone, and the nodes above them. FALSE, and nothing changed, where no moments are kept. */
gboolean calltree_cut(struct calltree *tree, gint64 from_ms, gint64 to_ms);

/* Adds every stack of `from` to `into` (moments, too; weights to weights, baseline to baseline). */
void calltree_merge(struct calltree *into, const struct calltree *from);
/* A differential tree: weights of `after`, baselines of `before`. Owned by the caller. */
struct calltree *calltree_diff(const struct calltree *before, const struct calltree *after);

/* Takes out the nodes that carry no weight and have none below that do. Ids change; moments of nodes that go are the root's. */
void calltree_prune(struct calltree *tree);

/* Self plus all descendants, by node; caller frees. `column` is tree->self or tree->baseline. */
guint64 *calltree_totals(const struct calltree *tree, const guint64 *column);
