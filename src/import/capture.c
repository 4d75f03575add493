/* SPDX-License-Identifier: Apache-2.0 */
/* fathom's own capture (render/json.c says what is in it), read as a stream. Unknown members are skipped, so that older
 * programs read newer captures of the same version. */
#include <string.h>

#include "import/capture.h"
#include "import/readers.h"

#define CAPTURE_NOTES_MAX 1000
#define CAPTURE_TIME_MAX_MS (G_GUINT64_CONSTANT(1) << 52) /* far beyond any calendar */

/* pull_each_fn */
static gboolean capture_line_member(struct pull *pull, void *user, GError **error)
{
	struct ledger_line *line = user;

	if (strcmp(pull->text->str, "events") == 0)
		return pull_uint(pull, &line->events, error);
	if (strcmp(pull->text->str, "weight") == 0)
		return pull_uint(pull, &line->weight, error);
	return pull_skip(pull, error);
}

/* pull_each_fn */
static gboolean capture_item(struct pull *pull, void *user, GError **error)
{
	struct ledger *ledger = user;

	for (guint i = 0; i < LEDGER_ITEMS; i++)
		if (strcmp(ledger_item_name((enum ledger_item)i), pull->text->str) == 0)
			return pull_object(pull, capture_line_member, &ledger->items[i], error);
	return pull_skip(pull, error);
}

static gboolean capture_notes(struct pull *pull, struct ledger *ledger, GError **error)
{
	g_autofree char *note = NULL;
	guint count = 0;
	int more;

	if (!pull_begin(pull, '[', error))
		return FALSE;
	while ((more = pull_element(pull, error)) > 0) {
		if (!capture_bytes(pull, &note, error))
			return FALSE;
		if (++count > CAPTURE_NOTES_MAX)
			return pull_fail(pull, error, "too many notes");
		if (note)
			ledger_note(ledger, g_steal_pointer(&note));
	}
	return more == 0;
}

/* pull_each_fn */
static gboolean capture_end_weight(struct pull *pull, void *user, GError **error)
{
	struct coverage_process *process = user;

	for (guint end = 0; end < STACK_ENDS; end++)
		if (strcmp(stack_end_name((enum stack_end)end), pull->text->str) == 0)
			return pull_uint(pull, &process->weight[end], error);
	return pull_skip(pull, error);
}

struct capture_piece {
	char *text;
	guint64 weight;
};

/* pull_each_fn */
static gboolean capture_piece_member(struct pull *pull, void *user, GError **error)
{
	struct capture_piece *piece = user;

	if (strcmp(pull->text->str, "text") == 0)
		return capture_bytes(pull, &piece->text, error);
	if (strcmp(pull->text->str, "weight") == 0)
		return pull_uint(pull, &piece->weight, error);
	return pull_skip(pull, error);
}

/* pull_each_fn */
static gboolean capture_missing(struct pull *pull, void *user, GError **error)
{
	struct capture_piece piece = { 0 };
	gboolean good = pull_object(pull, capture_piece_member, &piece, error);

	if (good && piece.text)
		coverage_add_missing(user, piece.text, piece.weight);
	g_free(piece.text);
	return good;
}

/* What must be known before the process can be made. */
struct capture_process {
	struct coverage *coverage;
	char *container, *name, *advice;
	struct coverage_process *process;
};

/* Container and name come first, as they are written; pull_each_fn. */
static gboolean capture_process_member(struct pull *pull, void *user, GError **error)
{
	struct capture_process *read = user;
	const char *key = pull->text->str;

	if (!read->process && read->container && read->name)
		read->process = coverage_process(read->coverage, read->container, read->name);
	if (strcmp(key, "container") == 0 && !read->process)
		return capture_bytes(pull, &read->container, error);
	if (strcmp(key, "name") == 0 && !read->process)
		return capture_bytes(pull, &read->name, error);
	if (strcmp(key, "stacks") == 0 && read->process)
		return pull_object(pull, capture_end_weight, read->process, error);
	if (strcmp(key, "missing") == 0 && read->process)
		return pull_array(pull, capture_missing, read->process, error);
	if (strcmp(key, "advice") == 0 && read->process && !read->advice)
		return capture_bytes(pull, &read->advice, error);
	return pull_skip(pull, error);
}

/* pull_each_fn */
static gboolean capture_process(struct pull *pull, void *user, GError **error)
{
	struct capture_process read = { .coverage = user };
	gboolean good = pull_object(pull, capture_process_member, &read, error);

	if (read.process && read.advice)
		coverage_advise(read.process, read.advice);
	g_free(read.container);
	g_free(read.name);
	g_free(read.advice);
	return good;
}

/* pull_each_fn */
static gboolean capture_ledger_member(struct pull *pull, void *user, GError **error)
{
	struct ledger *ledger = user;
	const char *key = pull->text->str;

	if (strcmp(key, "rung") == 0)
		return capture_bytes(pull, &ledger->rung, error);
	if (strcmp(key, "misses") == 0)
		return capture_bytes(pull, &ledger->misses, error);
	if (strcmp(key, "seen") == 0)
		return pull_object(pull, capture_line_member, &ledger->seen, error);
	if (strcmp(key, "expected_weight") == 0)
		return pull_uint(pull, &ledger->expected_weight, error);
	if (strcmp(key, "items") == 0)
		return pull_object(pull, capture_item, ledger, error);
	if (strcmp(key, "processes") == 0) {
		if (!ledger->coverage)
			ledger->coverage = coverage_new();
		return pull_array(pull, capture_process, ledger->coverage, error);
	}
	if (strcmp(key, "notes") == 0)
		return capture_notes(pull, ledger, error);
	return pull_skip(pull, error);
}

/* pull_each_fn */
static gboolean capture_frame(struct pull *pull, void *user, GError **error)
{
	struct calltree *tree = user;
	g_autofree char *name = NULL, *module = NULL;
	guint32 expected = tree->frame_count;
	int kind;

	if (!pull_begin(pull, '[', error) || pull_element(pull, error) != 1)
		return (error && *error) ? FALSE : pull_fail(pull, error, "[kind, name, module] is expected");
	kind = capture_name(pull, frame_kind_names, FRAME_KINDS, "kind of frame", error);
	if (kind < 0)
		return FALSE;
	if (pull_element(pull, error) != 1 || !capture_bytes(pull, &name, error) || !name ||
	    pull_element(pull, error) != 1 || !capture_bytes(pull, &module, error) || pull_element(pull, error) != 0)
		return (error && *error) ? FALSE : pull_fail(pull, error, "[kind, name, module] is expected");
	if (calltree_frame(tree, (enum frame_kind)kind, name, -1, module) != expected)
		return pull_fail(pull, error, "a frame stands there twice");
	return TRUE;
}

static gboolean capture_frames(struct pull *pull, struct calltree *tree, GError **error)
{
	if (tree->frame_count || tree->node_count > 1)
		return pull_fail(pull, error, "frames must stand once, before the nodes");
	return pull_array(pull, capture_frame, tree, error);
}

/* Row `row`: [parent, frame, self] or [parent, frame, self, baseline]. */
static gboolean capture_node(struct pull *pull, struct calltree *tree, guint32 row, GError **error)
{
	guint64 values[4] = { 0 };
	guint count = 0;
	int more;

	if (!pull_begin(pull, '[', error))
		return FALSE;
	while ((more = pull_element(pull, error)) > 0) {
		if (count == G_N_ELEMENTS(values))
			return pull_fail(pull, error, "[parent, frame, self, baseline] is expected");
		if (!pull_uint(pull, &values[count++], error))
			return FALSE;
	}
	if (more < 0)
		return FALSE;
	if (count < 3)
		return pull_fail(pull, error, "[parent, frame, self] is expected");
	if (row) {
		if (values[0] >= row)
			return pull_fail(pull, error, "a node's parent must stand before it");
		if (values[1] >= tree->frame_count)
			return pull_fail(pull, error, "a node names a frame that does not exist");
		if (calltree_child(tree, (guint32)values[0], (guint32)values[1]) != row)
			return pull_fail(pull, error, "a node stands there twice, or there are too many");
	}
	calltree_add(tree, row, values[2]);
	if (count == 4)
		calltree_add_baseline(tree, row, values[3]);
	return TRUE;
}

static gboolean capture_nodes(struct pull *pull, struct calltree *tree, GError **error)
{
	guint32 row = 0;
	int more;

	if (tree->node_count > 1 || tree->self[0])
		return pull_fail(pull, error, "nodes must stand once");
	if (!pull_begin(pull, '[', error))
		return FALSE;
	while ((more = pull_element(pull, error)) > 0)
		if (!capture_node(pull, tree, row++, error))
			return FALSE;
	return more == 0;
}

struct capture_moments {
	struct calltree *tree;
	guint64 start_ms;
};

/* pull_each_fn */
static gboolean capture_moment(struct pull *pull, void *user, GError **error)
{
	struct capture_moments *moments = user;
	guint64 passed_ms, node;

	if (!pull_begin(pull, '[', error))
		return FALSE;
	if (pull_element(pull, error) != 1 || !pull_uint(pull, &passed_ms, error) || pull_element(pull, error) != 1 ||
	    !pull_uint(pull, &node, error) || pull_element(pull, error) != 0)
		return (error && *error) ? FALSE : pull_fail(pull, error, "[milliseconds, node] is expected");
	if (node >= moments->tree->node_count)
		return pull_fail(pull, error, "a moment names a node that does not exist");
	if (passed_ms > CAPTURE_TIME_MAX_MS)
		return pull_fail(pull, error, "a moment is out of all time");
	if (moments->tree->moments && moments->tree->moments->len >= CALLTREE_MOMENTS_MAX)
		return pull_fail(pull, error, "too many moments");
	calltree_add_moment(moments->tree, (guint32)node, (gint64)(moments->start_ms + passed_ms));
	return TRUE;
}

static gboolean capture_moments(struct pull *pull, struct calltree *tree, guint64 start_ms, GError **error)
{
	struct capture_moments moments = { .tree = tree, .start_ms = start_ms };

	if (tree->moments)
		return pull_fail(pull, error, "moments must stand once");
	if (!pull_array(pull, capture_moment, &moments, error))
		return FALSE;
	calltree_sort_moments(tree);
	return TRUE;
}

/* ---- gauges ---- */

static gboolean capture_key64(struct pull *pull, guint64 *value, GError **error)
{
	gboolean is_null;

	if (!pull_string(pull, &is_null, error))
		return FALSE;
	return g_ascii_string_to_unsigned(pull->text->str, 10, 0, G_MAXUINT64, value, NULL) ||
	       pull_fail(pull, error, "a number in quotes is expected");
}

/* What must be known before the row can be made. */
struct capture_row {
	struct gauge_row row;
	char *name;
	char *texts[GAUGE_TEXTS];
	guint32 before; /* rows that stand before it */
};

static void capture_row_clear(struct capture_row *row)
{
	g_free(row->name);
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		g_free(row->texts[i]);
}

static gboolean capture_gauge_resource(struct pull *pull, struct gauge_row *row, GError **error)
{
	const char *names[GAUGE_RESOURCES];
	int resource;

	for (guint i = 0; i < GAUGE_RESOURCES; i++)
		names[i] = gauge_resource_name((enum gauge_resource)i);
	resource = capture_name(pull, names, GAUGE_RESOURCES, "resource", error);
	row->resource = resource < 0 ? GAUGE_RESOURCE_HOST : (enum gauge_resource)resource;
	return resource >= 0;
}

/* pull_each_fn */
static gboolean capture_gauge_member(struct pull *pull, void *user, GError **error)
{
	struct capture_row *row = user;
	const char *key = pull->text->str;
	guint64 value;

	if (strcmp(key, "resource") == 0)
		return capture_gauge_resource(pull, &row->row, error);
	if (strcmp(key, "name") == 0)
		return capture_bytes(pull, &row->name, error);
	if (strcmp(key, "key") == 0)
		return capture_key64(pull, &row->row.key, error);
	if (strcmp(key, "birth_ns") == 0)
		return capture_key64(pull, &row->row.birth_ns, error);
	if (strcmp(key, "dead") == 0) {
		row->row.dead = TRUE; /* written only when it is so */
		return pull_skip(pull, error);
	}
	if (strcmp(key, "parent") == 0) {
		if (!pull_uint(pull, &value, error))
			return FALSE;
		row->row.parent = (guint32)MIN(value, GAUGE_NO_PARENT);
		return value < row->before || pull_fail(pull, error, "a row's parent must stand before it");
	}
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		if (strcmp(key, gauge_text_name((enum gauge_text)i)) == 0)
			return capture_bytes(pull, &row->texts[i], error);
	for (guint i = 0; i < GAUGES_COUNT; i++) {
		if (strcmp(key, gauge_metrics[i].name) != 0)
			continue;
		if (!pull_uint(pull, &value, error))
			return FALSE;
		gauge_set(&row->row, (enum gauge)i, value);
		return TRUE;
	}
	return pull_skip(pull, error);
}

static gboolean capture_gauge_keep(struct pull *pull, struct gauges *gauges, const struct capture_row *read,
				   GError **error)
{
	struct gauge_row *row;

	if (!read->name)
		return pull_fail(pull, error, "a row without a name");
	row = gauges_add(gauges, read->row.resource, read->row.key, read->row.birth_ns, read->name);
	if (!row)
		return pull_fail(pull, error, "too many rows");
	row->parent = read->row.parent;
	row->dead = read->row.dead;
	memcpy(row->values, read->row.values, sizeof(row->values));
	memcpy(row->known, read->row.known, sizeof(row->known));
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		gauges_set_text(gauges, row, (enum gauge_text)i, read->texts[i]);
	return TRUE;
}

/* pull_each_fn */
static gboolean capture_gauge_row(struct pull *pull, void *user, GError **error)
{
	struct gauges *gauges = user;
	struct capture_row row = { .row.parent = GAUGE_NO_PARENT, .before = gauges->rows->len };
	gboolean good =
		pull_object(pull, capture_gauge_member, &row, error) && capture_gauge_keep(pull, gauges, &row, error);

	capture_row_clear(&row);
	return good;
}

static gboolean capture_gauges(struct pull *pull, struct gauges *gauges, GError **error)
{
	if (gauges->rows->len)
		return pull_fail(pull, error, "rows must stand once");
	return pull_array(pull, capture_gauge_row, gauges, error);
}

/* ---- shapes ---- */

static gboolean capture_shape_member(struct pull *pull, struct shape *shape, guint64 *moments_start_ms, GError **error)
{
	const char *key = pull->text->str;
	int unit;

	if (strcmp(key, "probe") == 0)
		return capture_bytes(pull, &shape->probe, error);
	if (strcmp(key, "ledger") == 0)
		return pull_object(pull, capture_ledger_member, &shape->ledger, error);
	if (shape->calltree && strcmp(key, "overflow") == 0)
		return pull_uint(pull, &shape->calltree->overflow, error);
	if (shape->calltree && strcmp(key, "frames") == 0)
		return capture_frames(pull, shape->calltree, error);
	if (shape->calltree && strcmp(key, "nodes") == 0)
		return capture_nodes(pull, shape->calltree, error);
	if (shape->calltree && strcmp(key, "moments_start_ms") == 0)
		return pull_uint(pull, moments_start_ms, error) &&
		       (*moments_start_ms <= CAPTURE_TIME_MAX_MS || pull_fail(pull, error, "out of all time"));
	if (shape->calltree && strcmp(key, "moments") == 0)
		return capture_moments(pull, shape->calltree, *moments_start_ms, error);
	if (shape->gauges && strcmp(key, "rows") == 0)
		return capture_gauges(pull, shape->gauges, error);
	if (strcmp(key, "unit") == 0) {
		unit = capture_unit(pull, error);
		shape->unit = unit < 0 ? UNIT_COUNT : (enum unit)unit;
		return unit >= 0;
	}
	if (shape->events)
		return capture_events_member(pull, shape->events, error);
	if (shape->kind == SHAPE_HISTOGRAM)
		return capture_histogram_member(pull, shape, error);
	if (shape->kind == SHAPE_EDGES)
		return capture_edges_member(pull, shape, error);
	return pull_skip(pull, error);
}

/* The weights of both columns must add up to something that fits. */
static gboolean capture_sums_fit(const struct calltree *tree)
{
	guint64 self = 0, baseline = 0;

	for (guint32 i = 0; i < tree->node_count; i++) {
		guint64 before = tree->baseline ? tree->baseline[i] : 0;

		if (tree->self[i] > G_MAXINT64 - self || before > G_MAXINT64 - baseline)
			return FALSE;
		self += tree->self[i];
		baseline += before;
	}
	return TRUE;
}

/* The kind stands first: it says what may follow. */
static struct shape *capture_shape_begin(struct pull *pull, GError **error)
{
	enum shape_kind kind;
	gboolean is_null;
	int member;

	if (!pull_begin(pull, '{', error) || (member = pull_member(pull, error)) < 0)
		return NULL;
	if (member == 0 || strcmp(pull->text->str, "kind") != 0) {
		pull_fail(pull, error, "a shape's \"kind\" must come first");
		return NULL;
	}
	if (!pull_string(pull, &is_null, error))
		return NULL;
	kind = shape_kind_find(pull->text->str);
	if (kind == SHAPE_NONE) {
		pull_fail(pull, error, "not a known shape: use a newer fathom");
		return NULL;
	}
	return shape_new(kind, NULL, UNIT_COUNT);
}

static gboolean capture_shape_rest(struct pull *pull, struct shape *shape, GError **error)
{
	guint64 moments_start_ms = 0;
	int member;

	while ((member = pull_member(pull, error)) > 0)
		if (!capture_shape_member(pull, shape, &moments_start_ms, error))
			return FALSE;
	if (member < 0)
		return FALSE;
	if (shape->events)
		events_sort(shape->events);
	if ((shape->kind == SHAPE_HISTOGRAM && !shape->histogram) || (shape->kind == SHAPE_EDGES && !shape->edges))
		return pull_fail(pull, error, "labels are missing");
	return !shape->calltree || capture_sums_fit(shape->calltree) ||
	       pull_fail(pull, error, "the weights add up to more than 2^63");
}

/* pull_each_fn */
static gboolean capture_shape(struct pull *pull, void *user, GError **error)
{
	struct snapshot *snapshot = user;
	struct shape *shape = capture_shape_begin(pull, error);

	if (!shape)
		return FALSE;
	g_ptr_array_add(snapshot->shapes, shape);
	return capture_shape_rest(pull, shape, error);
}

/* `*version` is set once format and version have been seen. */
static gboolean capture_member(struct pull *pull, struct snapshot *snapshot, guint64 *version, GError **error)
{
	const char *key = pull->text->str;
	const char *const format = "fathom capture";
	guint64 frequency;

	if (strcmp(key, "format") == 0)
		return capture_name(pull, &format, 1, "format (\"fathom capture\" is)", error) == 0;
	if (strcmp(key, "version") == 0)
		return pull_uint(pull, version, error) &&
		       (*version == 1 ||
			pull_fail(pull, error, "this capture's version is not known: use a newer fathom"));
	if (strcmp(key, "title") == 0)
		return capture_bytes(pull, &snapshot->title, error);
	if (strcmp(key, "host") == 0)
		return capture_bytes(pull, &snapshot->host, error);
	if (strcmp(key, "start_realtime_ns") == 0)
		return pull_uint(pull, &snapshot->start_realtime_ns, error);
	if (strcmp(key, "duration_ns") == 0)
		return pull_uint(pull, &snapshot->duration_ns, error);
	if (strcmp(key, "shapes") == 0)
		return *version ? pull_array(pull, capture_shape, snapshot, error)
				: pull_fail(pull, error, "not a fathom capture: \"version\" must come first");
	if (strcmp(key, "looked_ns") == 0)
		return pull_uint(pull, &snapshot->looked_ns, error);
	if (strcmp(key, "frequency_hz") != 0)
		return pull_skip(pull, error);
	if (!pull_uint(pull, &frequency, error))
		return FALSE;
	snapshot->frequency_hz = (guint32)MIN(frequency, G_MAXUINT32);
	return TRUE;
}

static gboolean capture_read(struct pull *pull, struct snapshot *snapshot, GError **error)
{
	guint64 version = 0;
	int more, next;

	if (!pull_begin(pull, '{', error))
		return FALSE;
	while ((more = pull_member(pull, error)) > 0)
		if (!capture_member(pull, snapshot, &version, error))
			return FALSE;
	if (more < 0)
		return FALSE;
	next = pull_next(pull, error);
	if (next < 0)
		return FALSE;
	if (next)
		return pull_fail(pull, error, "something follows the end of the capture");
	if (!version)
		return pull_fail(pull, error, "not a fathom capture");
	return TRUE;
}

struct snapshot *import_capture(struct input *input, const struct import_options *options, GError **error)
{
	g_autoptr(snapshot_t) snapshot = snapshot_new(NULL);
	struct pull pull;
	gboolean read;

	(void)options;
	g_clear_pointer(&snapshot->host, g_free);
	pull_init(&pull, input);
	read = capture_read(&pull, snapshot, error);
	pull_clear(&pull);
	if (read && snapshot->shapes->len == 0) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_EMPTY, "there is nothing in it");
		read = FALSE;
	}
	return read ? g_steal_pointer(&snapshot) : NULL;
}
