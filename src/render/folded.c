/* SPDX-License-Identifier: Apache-2.0 */
/* Folded stacks: `root;…;leaf weight`, the lingua franca of flame graphs. Kernel, JIT and inlined frames carry the
 * usual annotations _[k], _[j], _[i], so that a reader can tell them apart again.
 *
 * Nanoseconds are written as whole microseconds. Each stack's remainder is carried into the next one instead of being
 * rounded away, so that the file's total is that of the tree to within a microsecond. */
#include "render/formats.h"

#include "base/text.h"

static const char *const folded_annotations[FRAME_KINDS] = {
	[FRAME_KERNEL] = "_[k]",
	[FRAME_JIT] = "_[j]",
	[FRAME_INLINED] = "_[i]",
};

static void folded_append_stack(GString *line, const struct calltree *tree, guint32 node, GArray *path)
{
	g_array_set_size(path, 0);
	for (; node != CALLTREE_ROOT; node = tree->parent[node])
		g_array_append_val(path, tree->frame[node]);
	for (guint i = path->len; i-- > 0;) {
		const struct calltree_frame *frame = &tree->frames[g_array_index(path, guint32, i)];

		text_append_folded(line, frame->name, -1);
		if (folded_annotations[frame->kind])
			g_string_append(line, folded_annotations[frame->kind]);
		if (i)
			g_string_append_c(line, ';');
	}
	if (!path->len)
		g_string_append(line, "[no stack]");
}

gboolean render_folded(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = render_calltree(snapshot, error);
	g_autoptr(GString) line = g_string_new(NULL);
	g_autoptr(GArray) path = g_array_new(FALSE, FALSE, sizeof(guint32));
	guint64 scale, carried = 0;

	(void)options;
	if (!shape)
		return FALSE;
	scale = shape->unit == UNIT_NANOSECONDS ? NS_PER_US : 1;
	carried = scale / 2; /* the total is rounded to the nearest, not down */
	for (guint32 node = 0; node < shape->calltree->node_count; node++) {
		guint64 weight = shape->calltree->self[node];

		if (!weight)
			continue;
		carried += weight;
		if (carried < scale)
			continue;
		g_string_truncate(line, 0);
		folded_append_stack(line, shape->calltree, node, path);
		g_string_append_printf(line, " %" G_GUINT64_FORMAT "\n", carried / scale);
		carried %= scale;
		fwrite(line->str, 1, line->len, out);
	}
	return TRUE;
}
