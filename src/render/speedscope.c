/* SPDX-License-Identifier: Apache-2.0 */
/* speedscope's file format (its lib/file-format-spec.ts): one "sampled" profile, each stack with its weight. */
#include "base/json.h"
#include "render/formats.h"

#define SPEEDSCOPE_FLUSH_BYTES (64u << 10)

static void speedscope_flush(GString *text, FILE *out, gsize least)
{
	if (text->len < least)
		return;
	fwrite(text->str, 1, text->len, out);
	g_string_truncate(text, 0);
}

static void speedscope_frames(struct json_writer *json, const struct calltree *tree)
{
	json_begin_object(json, "shared");
	json_begin_array(json, "frames");
	for (guint32 i = 0; i < tree->frame_count; i++) {
		json_begin_object(json, NULL);
		json_string(json, "name", tree->frames[i].name);
		if (tree->frames[i].module)
			json_string(json, "file", tree->frames[i].module);
		json_end_object(json);
	}
	json_end_array(json);
	json_end_object(json);
}

static void speedscope_samples(struct json_writer *json, const struct calltree *tree, FILE *out)
{
	g_autoptr(GArray) path = g_array_new(FALSE, FALSE, sizeof(guint32));

	json_begin_array(json, "samples");
	for (guint32 node = 0; node < tree->node_count; node++) {
		if (!tree->self[node])
			continue;
		g_array_set_size(path, 0);
		for (guint32 at = node; at != CALLTREE_ROOT; at = tree->parent[at])
			g_array_append_val(path, tree->frame[at]);
		json_begin_array(json, NULL);
		for (guint i = path->len; i-- > 0;)
			json_uint(json, NULL, g_array_index(path, guint32, i));
		json_end_array(json);
		speedscope_flush(json->out, out, SPEEDSCOPE_FLUSH_BYTES);
	}
	json_end_array(json);
	json_begin_array(json, "weights");
	for (guint32 node = 0; node < tree->node_count; node++)
		if (tree->self[node])
			json_uint(json, NULL, tree->self[node]);
	json_end_array(json);
}

gboolean render_speedscope(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			   GError **error)
{
	static const char *const units[] = { "none", "nanoseconds", "bytes" };
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
	json_uint(&json, "activeProfileIndex", 0);
	speedscope_frames(&json, shape->calltree);
	json_begin_array(&json, "profiles");
	json_begin_object(&json, NULL);
	json_string(&json, "type", "sampled");
	json_string(&json, "name", render_title(snapshot, options));
	json_string(&json, "unit", units[shape->unit]);
	json_uint(&json, "startValue", 0);
	json_uint(&json, "endValue", totals[0]);
	speedscope_samples(&json, shape->calltree, out);
	json_end_object(&json);
	json_end_array(&json);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	speedscope_flush(text, out, 0);
	return TRUE;
}
