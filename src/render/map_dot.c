/* SPDX-License-Identifier: Apache-2.0 */
/* A service map for other programs: Graphviz's dot, and JSON. */
#include <string.h>

#include "base/text.h"
#include "render/json.h"
#include "render/map_formats.h"

const struct render_format map_formats[] = {
	{ "svg", ".svg", "a picture", map_write_svg },
	{ "html", ".html .htm", "a page: zoom, search, numbers", map_write_html },
	{ "dot", ".dot .gv", "for Graphviz", map_write_dot },
	{ "json", ".json", "nodes and links", map_write_json },
	{ "text", ".txt", "a tree", map_write_text },
	{ NULL },
};

static const char *const status_names[] = { [MAP_OK] = "ok", [MAP_WARN] = "warn", [MAP_BAD] = "bad" };

struct shape *map_shape(const struct snapshot *snapshot, GError **error)
{
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (shape->kind == SHAPE_EDGES && shape->edges && edges_counter(shape->edges, "opens") >= 0)
			return shape;
	}
	g_set_error(error, RENDER_ERROR, RENDER_ERROR_EMPTY,
		    "there are no connections in it: capture with fathom connections -o FILE.json");
	return NULL;
}

/* ---- dot ---- */

static void dot_node(FILE *out, const struct map *map, guint number)
{
	static const char *const styles[EDGE_END_KINDS] = {
		[EDGE_END_CONTAINER] = "rounded,filled", [EDGE_END_HOST] = "filled",	 [EDGE_END_QUOTA] = "dotted",
		[EDGE_END_UNKNOWN] = "dotted",		 [EDGE_END_EXTERNAL] = "dashed", [EDGE_END_TOLD] = "dashed",
	};
	const struct map_node *node = &g_array_index(map->nodes, struct map_node, number);
	g_autoptr(GString) name = g_string_new(NULL);

	text_append_dot(name, node->end.name, -1);
	if (node->folded)
		g_string_append_printf(name, " (%u)", node->folded);
	fprintf(out, "\tn%u [label=\"%s\\n%s\", style=\"%s\"];\n", number, name->str, map_kind_words(node->end.kind),
		styles[node->end.kind]);
}

static void dot_link(FILE *out, const struct map *map, const struct map_link *link)
{
	static const char *const colours[] = { [MAP_OK] = "#57606a", [MAP_WARN] = "#e69f00", [MAP_BAD] = "#d55e00" };
	g_autofree char *ports = map_link_ports(link), *rate = map_link_rate(map, link);
	g_autofree char *story = map_link_story(map, link);
	g_auto(GStrv) lines = g_strsplit(story, "\n", -1);
	g_autoptr(GString) label = g_string_new(NULL), tip = g_string_new(NULL);

	text_append_dot(label, ports, -1);
	g_string_append(label, "\\n");
	text_append_dot(label, rate, -1);
	if (link->why) {
		g_string_append(label, "\\n");
		text_append_dot(label, link->why, -1);
	}
	for (guint i = 0; lines[i]; i++) {
		text_append_dot(tip, lines[i], -1);
		g_string_append(tip, "\\n");
	}
	fprintf(out, "\tn%u -> n%u [label=\"%s\", color=\"%s\", penwidth=%.1f, tooltip=\"%s\"];\n", link->source,
		link->target, label->str, colours[link->status], map_link_width(link), tip->str);
}

gboolean map_write_dot(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = map_shape(snapshot, error);
	g_autoptr(map_t) map = shape ? map_new(shape->edges, snapshot->duration_ns) : NULL;
	g_autoptr(GString) title = g_string_new(NULL);

	if (!map)
		return FALSE;
	text_append_dot(title, render_title(snapshot, options), -1);
	fprintf(out,
		"digraph fathom {\n\tlabel=\"%s\";\n\trankdir=LR;\n\tnode [shape=box, fillcolor=\"#ddf4ff\", "
		"fontname=\"sans-serif\"];\n\tedge [fontname=\"sans-serif\", fontsize=10];\n",
		title->str);
	for (guint i = 0; i < map->nodes->len; i++)
		dot_node(out, map, i);
	for (guint i = 0; i < map->links->len; i++)
		dot_link(out, map, g_ptr_array_index(map->links, i));
	fputs("}\n", out);
	return TRUE;
}

/* ---- JSON ---- */

static void json_map_nodes(struct json_writer *json, const struct map *map)
{
	json_begin_array(json, "nodes");
	for (guint i = 0; i < map->nodes->len; i++) {
		const struct map_node *node = &g_array_index(map->nodes, struct map_node, i);

		json_begin_object(json, NULL);
		json_uint(json, "id", i);
		json_string(json, "kind", map_kind_name(node->end.kind));
		json_bytes(json, "name", node->end.name);
		if (node->end.kind == EDGE_END_TOLD)
			json_string(json, "named_by", "dns");
		if (node->folded)
			json_uint(json, "ends", node->folded);
		json_uint(json, "layer", node->layer);
		json_end_object(json);
	}
	json_end_array(json);
}

/* A number for TCP; "53/udp", "unix:/run/x.sock" as they are. */
static void json_map_port(struct json_writer *json, const char *port)
{
	guint64 number;

	if (g_ascii_string_to_unsigned(port, 10, 0, G_MAXUINT16, &number, NULL))
		json_uint(json, NULL, number);
	else
		json_bytes(json, NULL, port);
}

static void json_map_link(struct json_writer *json, const struct map *map, const struct map_link *link)
{
	json_begin_object(json, NULL);
	json_uint(json, "source", link->source);
	json_uint(json, "target", link->target);
	json_begin_array(json, "ports");
	for (guint i = 0; i < link->ports->len; i++)
		json_map_port(json, g_ptr_array_index(link->ports, i));
	json_end_array(json);
	json_connection_numbers(json, map->edges, link->row, map->duration_ns);
	json_string(json, "status", status_names[link->status]);
	if (link->why)
		json_string(json, "why", link->why);
	json_end_object(json);
}

gboolean map_write_json(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			GError **error)
{
	struct shape *shape = map_shape(snapshot, error);
	g_autoptr(map_t) map = shape ? map_new(shape->edges, snapshot->duration_ns) : NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	if (!map)
		return FALSE;
	map_layout(map);
	json_init(&json, text);
	json_begin_object(&json, NULL);
	json_bytes(&json, "title", render_title(snapshot, options));
	json_uint(&json, "duration_ns", snapshot->duration_ns);
	json_map_nodes(&json, map);
	json_begin_array(&json, "links");
	for (guint i = 0; i < map->links->len; i++) {
		json_map_link(&json, map, g_ptr_array_index(map->links, i));
		json_flush(&json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(&json);
	json_ledger(&json, &shape->ledger);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	json_flush(&json, out, 0);
	return TRUE;
}
