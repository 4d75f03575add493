/* SPDX-License-Identifier: Apache-2.0 */
/* Folded stacks: `root;…;leaf weight`. The weight follows the last space and may have a fraction (rounded to the
 * nearest). Frames may carry the usual annotations: _[k] kernel, _[j] JIT, _[i] inlined.
 *
 * Nothing in such a file says what it counts. Our own of blocked time and wall-clock time name their causes near the root, so
 * unless the user says otherwise a file with such frames is one of microseconds. */
#include <string.h>

#include "import/readers.h"
#include "import/stacks.h"

#define FOLDED_CAUSE_DEPTH 4 /* container, process and thread come before the cause at most */

/* The weight at the end of the line; shortens `*length` to the stack. */
static gboolean folded_weight(const struct input *input, const char *line, gsize *length, guint64 scale,
			      guint64 *weight, GError **error)
{
	gsize end = *length, at;
	guint64 value = 0, fraction = 0;
	gboolean has_fraction = FALSE;

	while (end && g_ascii_isspace(line[end - 1]))
		end--;
	at = end;
	while (at && line[at - 1] != ' ' && line[at - 1] != '\t')
		at--;
	if (at == 0 || at == end)
		return import_fail_line(input, error, "no weight after the stack (wanted: frame;frame;frame 123)");
	*length = at - 1;
	for (; at < end; at++) {
		if (line[at] == '.' && !has_fraction && at + 1 < end) {
			has_fraction = TRUE;
			fraction = g_ascii_isdigit(line[at + 1]) && line[at + 1] >= '5';
		} else if (!g_ascii_isdigit(line[at])) {
			return import_fail_line(input, error,
						"the weight is not a number (wanted: frame;frame;frame 123)");
		} else if (!has_fraction) {
			if (value > (G_MAXINT64 / scale - 9) / 10)
				return import_fail_line(input, error, "the weight is too large");
			value = value * 10 + (guint64)(line[at] - '0');
		}
	}
	*weight = (value + fraction) * scale;
	return TRUE;
}

static enum frame_kind folded_kind(const char *name, gsize *length)
{
	if (*length < 3 || name[*length - 1] != ']')
		return FRAME_USER;
	if (*length > 4 && name[*length - 3] == '[' && name[*length - 4] == '_') {
		char annotation = name[*length - 2];

		if (annotation == 'k' || annotation == 'j' || annotation == 'i') {
			*length -= 4;
			return annotation == 'k' ? FRAME_KERNEL : annotation == 'j' ? FRAME_JIT : FRAME_INLINED;
		}
	}
	/* "[unknown]", "[libfoo.so: no symbols]": what tools write in place of a name. */
	return name[0] == '[' ? FRAME_UNRESOLVED : FRAME_USER;
}

static gboolean folded_is_cause(const char *name, gsize length)
{
	static const char *const causes[] = { "blocked: ", "waiting for CPU: " };

	for (guint i = 0; i < G_N_ELEMENTS(causes); i++)
		if (length > strlen(causes[i]) && memcmp(name, causes[i], strlen(causes[i])) == 0)
			return TRUE;
	return FALSE;
}

static void folded_frames(struct stacks *stacks, struct calltree *tree, const char *line, gsize length, guint64 *cut,
			  gboolean *has_causes)
{
	const char *end = line + length;

	for (guint depth = 0; line <= end; depth++) {
		const char *stop = memchr(line, ';', (gsize)(end - line));
		gsize n = (gsize)((stop ? stop : end) - line);
		enum frame_kind kind = folded_kind(line, &n);
		guint32 frame;

		if (depth < FOLDED_CAUSE_DEPTH && folded_is_cause(line, n)) {
			kind = FRAME_CAUSE;
			*has_causes = TRUE;
		}
		frame = n ? calltree_frame(tree, kind, line, (gssize)n, NULL)
			  : calltree_frame(tree, FRAME_UNRESOLVED, "[no name]", -1, NULL);

		if (!stacks_push(stacks, frame)) {
			(*cut)++;
			return;
		}
		if (!stop)
			return;
		line = stop + 1;
	}
}

static void folded_become_time(struct shape *shape)
{
	struct calltree *tree = shape->calltree;

	shape->unit = UNIT_NANOSECONDS;
	for (guint32 node = 0; node < tree->node_count; node++)
		tree->self[node] = MIN(tree->self[node], (guint64)G_MAXINT64 / NS_PER_US) * NS_PER_US;
}

struct snapshot *import_folded(struct input *input, const struct import_options *options, GError **error)
{
	struct shape *shape;
	g_autoptr(snapshot_t) snapshot = import_snapshot("folded", options->unit, &shape);
	g_autoptr(stacks_t) stacks = stacks_new(shape->calltree);
	guint64 count = 0, cut = 0, weight = 0;
	gboolean has_causes = FALSE;
	gsize length;
	char *line;
	int more;

	while ((more = input_line(input, &line, &length, error)) > 0) {
		if (length == 0 || line[0] == '#')
			continue;
		if (!folded_weight(input, line, &length, MAX(options->scale, 1), &weight, error))
			return NULL;
		if (!weight)
			continue;
		folded_frames(stacks, shape->calltree, line, length, &cut, &has_causes);
		stacks_end(stacks, weight);
		count++;
	}
	if (more < 0)
		return NULL;
	stacks_flush(stacks);
	if (has_causes && options->scale == 0)
		folded_become_time(shape);
	ledger_add(&shape->ledger, LEDGER_TRUNCATED, cut, 0);
	return import_finish(shape, count, error) ? g_steal_pointer(&snapshot) : NULL;
}
