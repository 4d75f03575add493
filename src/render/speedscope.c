/* SPDX-License-Identifier: Apache-2.0 */
/* The file format of speedscope (https://www.speedscope.app/file-format-schema.json): one "sampled" profile, every
 * distinct stack a sample with its weight. Frames are an interned list; the module goes into "file". */
#include "render/formats.h"

#include "base/json.h"

#define SPEEDSCOPE_FLUSH 65536 /* bytes kept before they are written */

static const char *speedscope_unit(enum unit unit)
{
	switch (unit) {
	case UNIT_NANOSECONDS:
		return "nanoseconds";
	case UNIT_BYTES:
		return "bytes";
	case UNIT_COUNT:
	default:
		return "none";
	}
}

static void speedscope_flush(GString *text, gsize least, FILE *out)
{
	if (text->len < least)
		return;
	fwrite(text->str, 1, text->len, out);
	g_string_truncate(text, 0);
}

static void speedscope_frames(struct json_writer *json, const struct calltree *tree, FILE *out)
{
	json_begin_object(json, "shared");
	json_begin_array(json, "frames");
	for (guint32 i = 0; i < tree->frame_count; i++) {
		json_begin_object(json, NULL);
		json_string(json, "name", tree->frames[i].name);
		if (tree->frames[i].module)
			json_string(json, "file", tree->frames[i].module);
		json_end_object(json);
		speedscope_flush(json->out, SPEEDSCOPE_FLUSH, out);
	}
	json_end_array(json);
	json_end_object(json);
}

static void speedscope_stacks(struct json_writer *json, const struct calltree *tree, FILE *out)
{
	g_autoptr(GArray) path = g_array_new(FALSE, FALSE, sizeof(guint32));

	json_begin_array(json, "samples");
	for (guint32 i = 0; i < tree->node_count; i++) {
		if (!tree->self[i])
			continue;
		g_array_set_size(path, 0);
		for (guint32 node = i; node != CALLTREE_ROOT; node = tree->parent[node])
			g_array_append_val(path, tree->frame[node]);
		json_begin_array(json, NULL);
		for (guint at = path->len; at-- > 0;)
			json_uint(json, NULL, g_array_index(path, guint32, at));
		json_end_array(json);
		speedscope_flush(json->out, SPEEDSCOPE_FLUSH, out);
	}
	json_end_array(json);
	json_begin_array(json, "weights");
	for (guint32 i = 0; i < tree->node_count; i++) {
		if (!tree->self[i])
			continue;
		json_uint(json, NULL, tree->self[i]);
		speedscope_flush(json->out, SPEEDSCOPE_FLUSH, out);
	}
	json_end_array(json);
}

gboolean render_speedscope(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			   GError **error)
{
	struct shape *shape = render_calltree(snapshot, error);
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree guint64 *totals = NULL;
	struct json_writer json;

	if (!shape)
		return FALSE;
	totals = calltree_totals(shape->calltree, shape->calltree->self);
	json_init(&json, text);
	json_begin_object(&json, NULL);
	json_string(&json, "$schema", "https://www.speedscope.app/file-format-schema.json");
	json_string(&json, "exporter", "fathom");
	json_string(&json, "name", render_title(snapshot, options));
	speedscope_frames(&json, shape->calltree, out);
	json_begin_array(&json, "profiles");
	json_begin_object(&json, NULL);
	json_string(&json, "type", "sampled");
	json_string(&json, "name", shape->probe);
	json_string(&json, "unit", speedscope_unit(shape->unit));
	json_uint(&json, "startValue", 0);
	json_uint(&json, "endValue", totals[CALLTREE_ROOT]);
	speedscope_stacks(&json, shape->calltree, out);
	json_end_object(&json);
	json_end_array(&json);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	speedscope_flush(text, 1, out);
	return TRUE;
}
