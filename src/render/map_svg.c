/* SPDX-License-Identifier: Apache-2.0 */
/* A service map as a picture, and as a page around it that zooms, searches and tells a link's numbers. A line is the
 * wider the more bytes, dashed where something fails; colour says the same again. The page's script and style are
 * allowed by their hashes alone. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "render/assets.h"
#include "render/heading.h"
#include "render/map_formats.h"

#define MAP_NOTE_MARGIN 24
#define MAP_NOTE_LETTER 6.4 /* of the widest lines there are, not of the widest letter */
#define MAP_TOP 64
#define MAP_NAME_CHARACTERS 30
#define MAP_WHY_CHARACTERS 36 /* what fits between two nodes */
#define MAP_WIDTH_MIN 720
#define MAP_CHARACTER 6.0 /* of what is said of a link: wide, about */
#define MAP_WORDS_ABOVE 18
#define MAP_WORDS_BELOW 9

static const char *const status_classes[] = { [MAP_OK] = "ok", [MAP_WARN] = "warn", [MAP_BAD] = "bad" };

static void svg_text(GString *svg, double x, double y, const char *class, const char *text)
{
	g_string_append_printf(svg, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
	text_append_xml(svg, text, -1);
	g_string_append(svg, "</text>");
}

/* The title has all of it. */
static char *words_cut(const char *words, glong characters)
{
	g_autofree char *valid = g_utf8_make_valid(words, -1), *head = NULL;

	if (g_utf8_strlen(valid, -1) <= characters)
		return g_steal_pointer(&valid);
	head = g_utf8_substring(valid, 0, characters - 1);
	return g_strconcat(head, "\342\200\246", NULL);
}

static void svg_node(GString *svg, const struct map *map, guint number)
{
	const struct map_node *node = &g_array_index(map->nodes, struct map_node, number);
	g_autofree char *name = words_cut(node->end.name, MAP_NAME_CHARACTERS);
	g_autofree char *below = node->folded ? g_strdup_printf("%u of them", node->folded)
					      : g_strdup_printf("%s \302\267 %u in, %u out",
								map_kind_words(node->end.kind), node->in, node->out);

	g_string_append_printf(svg, "<g class=\"node %s\" data-node=\"%u\" tabindex=\"0\"><title>",
			       map_kind_name(node->end.kind), number);
	text_append_xml(svg, node->end.name, -1);
	g_string_append_printf(svg, "</title><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%d\"/>",
			       node->x, node->y, node->width, node->height,
			       node->end.kind == EDGE_END_CONTAINER ? 9 : 2);
	svg_text(svg, node->x + 12, node->y + 19, "name", name);
	svg_text(svg, node->x + 12, node->y + 35, "below", below);
	g_string_append(svg, "</g>\n");
}

/* Between two points with level ends. */
static void svg_curve(GString *svg, const struct map_point *from, const struct map_point *to)
{
	double bend = (to->x - from->x) / 2;

	g_string_append_printf(svg, "C%.1f %.1f %.1f %.1f %.1f %.1f", from->x + bend, from->y, to->x - bend, to->y,
			       to->x, to->y);
}

/* A point on the curve of svg_curve. */
static struct map_point curve_point(const struct map_point *from, const struct map_point *to, double t)
{
	double u = 1 - t, x = 1.5 * u * u * t + 1.5 * u * t * t + t * t * t, y = 3 * u * t * t + t * t * t;

	return (struct map_point){ from->x + (to->x - from->x) * x, from->y + (to->y - from->y) * y };
}

/* ---- what is said of a link ---- */

/* Two lines, and where they stand: none covers another's where there is room. */
struct svg_words {
	char *first, *second; /* the second may be NULL */
	struct map_point at;
	double left, right, top, bottom;
};

static void words_free(gpointer data)
{
	struct svg_words *words = data;

	g_free(words->first);
	g_free(words->second);
	g_free(words);
}

static gboolean link_is_own(const struct map_link *link)
{
	return link->points->len < 2;
}

static struct svg_words *words_of(const struct map *map, const struct map_link *link)
{
	struct svg_words *words = g_new0(struct svg_words, 1);
	g_autofree char *ports = map_link_ports(link), *rate = map_link_rate(map, link);
	g_autofree char *where = words_cut(ports, MAP_NAME_CHARACTERS); /* paths of unix sockets are long */

	words->first = g_strdup_printf("%s%s%s", where, where[0] ? " " : "", rate);
	if (link->why) {
		g_autofree char *why = words_cut(link->why, MAP_WHY_CHARACTERS);

		words->second = g_strdup_printf("\342\232\240 %s", why);
	} else if (link->numbers.rtt_high_ns) {
		g_autofree char *rtt = units_duration(link->numbers.rtt_high_ns);

		words->second = g_strdup_printf("rtt < %s", rtt);
	}
	return words;
}

static void words_stand(struct svg_words *words, const struct map_link *link, struct map_point at)
{
	double first = MAP_CHARACTER * (double)g_utf8_strlen(words->first, -1);
	double second = words->second ? MAP_CHARACTER * (double)g_utf8_strlen(words->second, -1) : 0;
	double width = MAX(first, second);

	words->at = at;
	words->left = link_is_own(link) ? at.x : at.x - width / 2;
	words->right = words->left + width;
	words->top = at.y - MAP_WORDS_ABOVE;
	words->bottom = at.y + (words->second ? MAP_WORDS_BELOW : 0);
}

static gboolean words_are_free(const struct svg_words *words, const GPtrArray *taken)
{
	for (guint i = 0; i < taken->len; i++) {
		const struct svg_words *other = g_ptr_array_index(taken, i);

		if (words->left < other->right && other->left < words->right && words->top < other->bottom &&
		    other->top < words->bottom)
			return FALSE;
	}
	return TRUE;
}

/* A free place on that part of the way, or beside it. FALSE: there is none. */
static gboolean words_move(struct svg_words *words, const struct map_link *link, const struct map_point *from,
			   const GPtrArray *taken)
{
	static const double along[] = { 0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8 };
	static const double beside[] = { 0, -14, 14, -28, 28, -42, 42 };

	for (guint i = 0; i < G_N_ELEMENTS(beside); i++) {
		for (guint j = 0; j < G_N_ELEMENTS(along); j++) {
			struct map_point at = curve_point(from, from + 1, along[j]);

			at.y += beside[i];
			words_stand(words, link, at);
			if (words_are_free(words, taken))
				return TRUE;
		}
	}
	return FALSE;
}

/* Near the end where fewer links meet, else where there is room. */
static void words_place(struct svg_words *words, const struct map *map, const struct map_link *link,
			const GPtrArray *taken)
{
	const struct map_node *source = &g_array_index(map->nodes, struct map_node, link->source);
	guint out = source->out, in = g_array_index(map->nodes, struct map_node, link->target).in;
	const struct map_point *from = (const struct map_point *)link->points->data;
	struct map_point best;

	if (link_is_own(link)) { /* beside its loop, not across it */
		words_stand(words, link, (struct map_point){ source->x + source->width + 40, source->y + 20 });
		return;
	}
	if (in <= out)
		from += link->points->len - 2;
	best = curve_point(from, from + 1, in > out ? 0.3 : out > in ? 0.7 : 0.5);
	words_stand(words, link, best);
	if (!words_are_free(words, taken) && !words_move(words, link, from, taken))
		words_stand(words, link, best);
}

/* Of all links that are drawn, by their order: the first are worth most, and choose first. */
static GPtrArray *words_of_all(const struct map *map)
{
	GPtrArray *all = g_ptr_array_new_with_free_func(words_free);

	for (guint i = 0; i < map->links->len; i++) {
		const struct map_link *link = g_ptr_array_index(map->links, i);
		struct svg_words *words;

		if (!link->drawn)
			continue;
		words = words_of(map, link);
		words_place(words, map, link, all);
		g_ptr_array_add(all, words);
	}
	return all;
}

static void svg_way(GString *svg, const struct map *map, const struct map_link *link)
{
	const struct map_node *node = &g_array_index(map->nodes, struct map_node, link->source);
	struct map_point at;

	if (link_is_own(link)) {
		g_string_append_printf(svg, "M%.1f %.1fc46 -22 46 34 2 20", node->x + node->width, node->y + 12);
		return;
	}
	at = g_array_index(link->points, struct map_point, 0);
	g_string_append_printf(svg, "M%.1f %.1f", at.x, at.y);
	for (guint i = 1; i < link->points->len; i++)
		svg_curve(svg, &g_array_index(link->points, struct map_point, i - 1),
			  &g_array_index(link->points, struct map_point, i));
}

static void svg_link(GString *svg, const struct map *map, const struct map_link *link, const struct svg_words *words)
{
	g_autofree char *story = map_link_story(map, link);
	gboolean own = link_is_own(link);

	g_string_append_printf(svg, "<g class=\"link %s\" data-source=\"%u\" data-target=\"%u\" tabindex=\"0\"><title>",
			       status_classes[link->status], link->source, link->target);
	text_append_xml(svg, story, -1);
	g_string_append_printf(svg,
			       "</title><path class=\"line\" marker-end=\"url(#tip-%s)\" stroke-width=\"%.1f\" d=\"",
			       status_classes[link->status], map_link_width(link));
	svg_way(svg, map, link);
	g_string_append(svg, "\"/>");
	svg_text(svg, words->at.x, words->at.y - (words->second ? 7 : 1), own ? "number own" : "number", words->first);
	if (words->second)
		svg_text(svg, words->at.x, words->at.y + 6, own ? "number more own" : "number more", words->second);
	g_string_append(svg, "</g>\n");
}

static void svg_tips(GString *svg)
{
	g_string_append(svg, "<defs>");
	for (guint i = 0; i < G_N_ELEMENTS(status_classes); i++)
		g_string_append_printf(
			svg,
			"<marker id=\"tip-%s\" class=\"tip %s\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
			"markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" "
			"orient=\"auto\"><path d=\"M0 0L8 4L0 8Z\"/></marker>",
			status_classes[i], status_classes[i]);
	g_string_append(svg, "</defs>\n");
}

static void svg_graph(GString *svg, const struct map *map)
{
	g_autoptr(GPtrArray) words = words_of_all(map);
	guint left = words->len;

	svg_tips(svg);
	for (guint i = map->links->len; i-- > 0;) {
		const struct map_link *link = g_ptr_array_index(map->links, i);

		if (link->drawn)
			svg_link(svg, map, link, g_ptr_array_index(words, --left));
	}
	for (guint i = 0; i < map->nodes->len; i++)
		svg_node(svg, map, i);
	if (!map->links->len)
		svg_text(svg, 24, 32, "name", "No connection was seen.");
}

/* As lines of a picture that is so wide; array of char *. */
static GPtrArray *notes_lines(const GPtrArray *notes, double width)
{
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; i < notes->len; i++) {
		g_autofree char *safe = text_terminal(g_ptr_array_index(notes, i));
		g_autoptr(GString) text = g_string_new(safe);
		g_auto(GStrv) parts = NULL;

		text_wrap(text, 0, (guint)((width - 2 * MAP_NOTE_MARGIN) / MAP_NOTE_LETTER));
		parts = g_strsplit(text->str, "\n", -1);
		for (guint j = 0; parts[j]; j++)
			g_ptr_array_add(lines, g_strdup(parts[j]));
	}
	return lines;
}

/* What stands below the picture: what it rests on, and what is not in it. Array of char *. */
static GPtrArray *map_notes(const struct map *map, const struct shape *shape)
{
	GPtrArray *phrases = heading_ledger(shape);
	const GPtrArray *notes = shape->ledger.notes;

	if (map->hidden)
		g_ptr_array_add(phrases,
				g_strdup_printf("%u links with little traffic are not drawn: see --json", map->hidden));
	for (guint i = 0; notes && i < notes->len; i++)
		g_ptr_array_add(phrases, g_strdup(g_ptr_array_index(notes, i)));
	return phrases;
}

gboolean map_write_svg(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = map_shape(snapshot, error);
	g_autoptr(map_t) map = shape ? map_new(shape->edges, snapshot->duration_ns) : NULL;
	g_autoptr(GString) svg = g_string_new("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	g_autoptr(GPtrArray) told = NULL, notes = NULL;
	g_autofree char *facts = NULL, *warning = NULL;
	double width, height, y;

	if (!map)
		return FALSE;
	map_layout(map);
	width = MAX(map->width, MAP_WIDTH_MIN);
	told = map_notes(map, shape);
	notes = notes_lines(told, width);
	facts = heading_facts(snapshot, shape);
	warning = heading_warning(shape);
	height = MAP_TOP + MAX(map->height, 60) + 24 + notes->len * 15 + (warning ? 20 : 0);
	g_string_append_printf(svg,
			       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 "
			       "%.0f %.0f\" role=\"img\">\n<style>%s</style>\n<rect id=\"page\" width=\"100%%\" "
			       "height=\"100%%\"/>\n",
			       width, height, width, height, asset_map_css);
	svg_text(svg, 24, 28, "title", render_title(snapshot, options));
	svg_text(svg, 24, 48, "facts", facts);
	g_string_append_printf(svg, "<g transform=\"translate(0 %d)\">\n", MAP_TOP);
	svg_graph(svg, map);
	g_string_append(svg, "</g>\n");
	y = MAP_TOP + MAX(map->height, 60) + 18;
	if (warning) {
		svg_text(svg, 24, y, "alert", warning);
		y += 20;
	}
	for (guint i = 0; i < notes->len; i++)
		svg_text(svg, MAP_NOTE_MARGIN, y + 15 * i, "facts", g_ptr_array_index(notes, i));
	g_string_append(svg, "</svg>\n");
	fwrite(svg->str, 1, svg->len, out);
	return TRUE;
}

static void html_begin(GString *page, const struct snapshot *snapshot, const struct render_options *options)
{
	g_autofree char *style_text = g_strconcat(asset_map_css, asset_map_page_css, NULL);
	g_autofree char *script = render_csp_hash(asset_map_js), *style = render_csp_hash(style_text);

	g_string_append_printf(page,
			       "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
			       "'sha256-%s'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
			       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
			       script, style);
	text_append_xml(page, render_title(snapshot, options), -1);
	g_string_append_printf(page, " \302\267 fathom</title>\n<style>%s</style>\n</head>\n<body>\n<header><div><h1>",
			       style_text);
	text_append_xml(page, render_title(snapshot, options), -1);
}

gboolean map_write_html(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			GError **error)
{
	struct shape *shape = map_shape(snapshot, error);
	g_autoptr(map_t) map = shape ? map_new(shape->edges, snapshot->duration_ns) : NULL;
	g_autoptr(GString) page = g_string_new(NULL);
	g_autoptr(GPtrArray) notes = NULL;
	g_autofree char *facts = NULL, *warning = NULL;

	if (!map)
		return FALSE;
	map_layout(map);
	notes = map_notes(map, shape);
	facts = heading_facts(snapshot, shape);
	warning = heading_warning(shape);
	html_begin(page, snapshot, options);
	g_string_append(page, "</h1><div class=\"facts\">");
	text_append_xml(page, facts, -1);
	g_string_append(page,
			"</div></div><div class=\"tools\" role=\"toolbar\" aria-label=\"Map\"><span id=\"found\" "
			"aria-live=\"polite\"></span><input id=\"search\" type=\"search\" placeholder=\"Search (/)\" "
			"aria-label=\"Search by name\" spellcheck=\"false\"><button id=\"larger\">+</button>"
			"<button id=\"smaller\">\342\210\222</button><button id=\"fit\">Fit</button>"
			"<button id=\"theme\">Theme</button></div></header>\n");
	if (warning) {
		g_string_append(page, "<div id=\"warning\" role=\"alert\">");
		text_append_xml(page, warning, -1);
		g_string_append(page, "</div>\n");
	}
	g_string_append_printf(page,
			       "<main><svg id=\"map\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
			       "role=\"group\" aria-label=\"Service map\">\n",
			       MAX(map->width, 200), MAX(map->height, 60));
	svg_graph(page, map);
	g_string_append(
		page,
		"</svg></main>\n<pre id=\"story\" aria-live=\"polite\">Point at a link or a node for its numbers; "
		"drag to move, wheel to zoom, click to keep.</pre>\n<footer>");
	for (guint i = 0; i < notes->len; i++) {
		g_string_append(page, "<span>");
		text_append_xml(page, g_ptr_array_index(notes, i), -1);
		g_string_append(page, "</span>");
	}
	g_string_append_printf(page, "</footer>\n<script>%s</script>\n</body>\n</html>\n", asset_map_js);
	fwrite(page->str, 1, page->len, out);
	return TRUE;
}
