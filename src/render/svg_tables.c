/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms (as heat maps when they have slots of time, else as bars) and edges (as a matrix) as a picture, and as a
 * page around the picture. No scripts: what a cell holds is its tooltip. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "render/assets.h"
#include "render/formats.h"
#include "render/heading.h"
#include "render/heatmap.h"

#define PICTURE_WIDTH 1200
#define PICTURE_MARGIN 16
#define AXIS_WIDTH 96
#define MAP_WIDTH (PICTURE_WIDTH - 2 * PICTURE_MARGIN - AXIS_WIDTH)
#define MAP_COLUMNS 400 /* at most */
#define MAP_ROW 14
#define BLOCK_TOP 44
#define BLOCK_BOTTOM 34
#define TICKS 12 /* at most */
#define BLOCKS_MAX 10
#define MATRIX_MAX 24 /* rows, and columns */
#define MATRIX_NAME 220
#define MATRIX_HEAD 150
#define MATRIX_ROW 26
#define MATRIX_SUM 90
#define NAME_CHARACTERS 34
#define LINE 16

struct picture {
	GString *svg;
	const struct snapshot *snapshot;
	const struct shape *shape;
	const struct render_options *options;
	double y;
};

static void picture_add(struct picture *picture, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void picture_add(struct picture *picture, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_string_append_vprintf(picture->svg, format, args);
	va_end(args);
}

/* A text element; `text` is raw. `anchor`: "start", "middle" or "end". */
static void picture_text(struct picture *picture, double x, double y, const char *class, const char *anchor,
			 const char *text)
{
	picture_add(picture, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
	text_append_xml(picture->svg, text, -1);
	picture_add(picture, "</text>\n");
}

/* `name` cut to so many characters, valid UTF-8. Owned by the caller. */
static char *name_cut(const char *name, glong characters)
{
	g_autofree char *valid = g_utf8_make_valid(name, -1), *head = NULL;

	if (g_utf8_strlen(valid, -1) <= characters)
		return g_steal_pointer(&valid);
	head = g_utf8_substring(valid, 0, characters - 1);
	return g_strconcat(head, "\342\200\246", NULL);
}

/* ---- heat maps ---- */

static void map_cell(struct picture *picture, const struct heatmap *map, guint row, guint column)
{
	guint64 count = map->cells[(gsize)row * map->columns + column];
	double width = (double)MAP_WIDTH / map->columns;
	g_autofree char *range = NULL, *from = NULL, *to = NULL;

	if (!count)
		return;
	range = units_range(picture->shape->unit, map->first + row);
	from = units_duration(map->column_ns * column);
	to = units_duration(map->column_ns * (column + 1));
	picture_add(picture, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" class=\"l%u\"><title>",
		    PICTURE_MARGIN + AXIS_WIDTH + width * column, picture->y + (map->rows - 1 - row) * MAP_ROW,
		    width + 0.05, MAP_ROW, heatmap_level(map, row, column));
	picture_add(picture, "%s to %s, %s: %" G_GUINT64_FORMAT "</title></rect>\n", from, to, range, count);
}

static void map_ticks(struct picture *picture, const struct heatmap *map)
{
	double bottom = picture->y + map->rows * MAP_ROW;

	guint64 whole_ns = map->column_ns * map->columns, step_ns = heatmap_tick_ns(map, TICKS);

	for (guint64 at_ns = 0; at_ns <= whole_ns; at_ns += step_ns) {
		double share = (double)at_ns / (double)whole_ns, x = PICTURE_MARGIN + AXIS_WIDTH + MAP_WIDTH * share;
		g_autofree char *when = heatmap_tick_text(at_ns);

		picture_add(picture, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"line\"/>\n", x,
			    bottom, x, bottom + 4);
		picture_text(picture, x, bottom + 15, "axis",
			     share <= 0	    ? "start"
			     : share > 0.97 ? "end"
					    : "middle",
			     when);
	}
}

static void picture_ranges(struct picture *picture, guint first, guint rows)
{
	for (guint row = 0; row < rows; row++) {
		g_autofree char *range = units_range(picture->shape->unit, first + row);

		picture_text(picture, PICTURE_MARGIN + AXIS_WIDTH - 6,
			     picture->y + (rows - 1 - row) * MAP_ROW + MAP_ROW - 3, "axis", "end", range);
	}
}

static void picture_ground(struct picture *picture, guint rows)
{
	picture_add(picture, "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%u\" class=\"ground\"/>\n",
		    PICTURE_MARGIN + AXIS_WIDTH, picture->y, MAP_WIDTH, rows * MAP_ROW);
}

static void picture_map(struct picture *picture, const struct heatmap *map)
{
	picture_ground(picture, map->rows);
	picture_ranges(picture, map->first, map->rows);
	for (guint row = 0; row < map->rows; row++)
		for (guint column = 0; column < map->columns; column++)
			map_cell(picture, map, row, column);
	map_ticks(picture, map);
	picture->y += map->rows * MAP_ROW + BLOCK_BOTTOM;
}

/* Without slots of time: bars. */
static void picture_bars(struct picture *picture, const struct block *block)
{
	guint first = HISTOGRAM_BUCKETS, last = 0;
	guint64 most = 1;

	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!block->all.buckets[i])
			continue;
		first = MIN(first, i);
		last = i;
		most = MAX(most, block->all.buckets[i]);
	}
	if (first == HISTOGRAM_BUCKETS)
		return;
	picture_ground(picture, last - first + 1);
	picture_ranges(picture, first, last - first + 1);
	for (guint i = first; i <= last; i++)
		picture_add(
			picture,
			"<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"bar\"><title>%" G_GUINT64_FORMAT
			"</title></rect>\n",
			PICTURE_MARGIN + AXIS_WIDTH, picture->y + (last - i) * MAP_ROW + 1,
			MAP_WIDTH * ((double)block->all.buckets[i] / (double)most), MAP_ROW - 2, block->all.buckets[i]);
	picture->y += (last - first + 1) * MAP_ROW + BLOCK_BOTTOM;
}

static void picture_block(struct picture *picture, const struct block *block)
{
	enum unit unit = picture->shape->unit;
	g_autofree char *name = name_cut(block->name, 120), *count = units_count(block->all.count);
	g_autofree char *sum = units_weight(unit, block->all.sum), *max = units_weight(unit, block->all.max);
	int p50 = histogram_quantile(&block->all, 0.5), p99 = histogram_quantile(&block->all, 0.99);
	g_autofree char *half = p50 < 0 ? NULL : units_range(unit, p50),
			*most = p99 < 0 ? NULL : units_range(unit, p99);
	g_autofree char *facts = g_strdup_printf("%s in all, %s together, p50 %s, p99 %s, longest %s", count, sum,
						 half ? half : "-", most ? most : "-", max);
	struct heatmap map;

	picture_text(picture, PICTURE_MARGIN, picture->y + 16, "name", "start", name);
	picture_text(picture, PICTURE_MARGIN, picture->y + 34, "facts", "start", facts);
	picture->y += BLOCK_TOP;
	heatmap_init(&map, block, picture->shape->histogram->slot_ns, picture->snapshot->duration_ns, MAP_COLUMNS);
	if (map.rows)
		picture_map(picture, &map);
	else
		picture_bars(picture, block);
	heatmap_clear(&map);
}

static guint picture_most(const struct picture *picture, guint usual)
{
	return picture->options->top ? picture->options->top : usual;
}

static void picture_histogram(struct picture *picture)
{
	g_autoptr(GPtrArray) blocks = blocks_of(picture->shape->histogram);
	guint most = picture_most(picture, BLOCKS_MAX);

	for (guint i = 0; i < blocks->len && i < most; i++)
		picture_block(picture, g_ptr_array_index(blocks, i));
	if (blocks->len > most) {
		g_autofree char *more = g_strdup_printf("and %u more (--top)", blocks->len - most);

		picture_text(picture, PICTURE_MARGIN, picture->y + 12, "note", "start", more);
		picture->y += LINE;
	}
}

/* ---- matrix ---- */

/* The targets of all edges, the heaviest first. */
static GArray *matrix_targets(const struct edges *edges)
{
	g_autofree guint64 *sums = g_new0(guint64, edges->rows->len + 1);
	GArray *targets = g_array_new(FALSE, FALSE, sizeof(guint32)); /* of edges: their targets */

	for (guint32 row = 0; row < edges->rows->len; row++) {
		guint at = 0;

		while (at < targets->len &&
		       !ends_equal(edges_target(edges, g_array_index(targets, guint32, at)), edges_target(edges, row)))
			at++;
		if (at == targets->len)
			g_array_append_val(targets, row);
		sums[at] += edge_weight(edges, row);
	}
	for (guint i = 1; i < targets->len; i++) { /* few: by insertion */
		guint32 row = g_array_index(targets, guint32, i);
		guint64 sum = sums[i];
		guint at = i;

		for (; at > 0 && sums[at - 1] < sum; at--) {
			g_array_index(targets, guint32, at) = g_array_index(targets, guint32, at - 1);
			sums[at] = sums[at - 1];
		}
		g_array_index(targets, guint32, at) = row;
		sums[at] = sum;
	}
	return targets;
}

static guint64 matrix_cell(const struct edges *edges, const struct source *source, struct edge_end target)
{
	guint64 sum = 0;

	for (guint i = 0; i < source->rows->len; i++) {
		guint32 row = g_array_index(source->rows, guint32, i);

		if (ends_equal(edges_target(edges, row), target))
			sum += edge_weight(edges, row);
	}
	return sum;
}

static void matrix_draw_cell(struct picture *picture, const struct source *source, struct edge_end target, double x,
			     double width)
{
	const struct edges *edges = picture->shape->edges;
	guint64 weight = matrix_cell(edges, source, target);
	double share = source->sum ? (double)weight / (double)source->sum : 0;
	guint level = weight ? 1 + (guint)MIN(share * HEATMAP_LEVELS, HEATMAP_LEVELS - 1) : 0;
	g_autofree char *amount = units_weight(edges->counters[0].unit, weight);
	g_autofree char *percent = g_strdup_printf("%.0f %%", share * 100);

	if (level) {
		picture_add(picture, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"l%u\"><title>",
			    x, picture->y, width - 2, MATRIX_ROW - 2, level);
		text_append_xml(picture->svg, source->end.name, -1);
		picture_add(picture, ", ");
		text_append_xml(picture->svg, target.name, -1);
		picture_add(picture, ": %s (%.1f %%)</title></rect>\n", amount, share * 100);
	} else {
		picture_add(picture, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"ground\"/>\n", x,
			    picture->y, width - 2, MATRIX_ROW - 2);
	}
	if (share >= 0.005) {
		g_autofree char *class = g_strdup_printf("t%u", level);

		picture_add(picture, "<g pointer-events=\"none\">");
		picture_text(picture, x + width / 2 - 1, picture->y + 16, class, "middle", percent);
		picture_add(picture, "</g>\n");
	}
	if (ends_equal(source->end, target))
		picture_add(picture, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"own\"/>\n", x,
			    picture->y, width - 2, MATRIX_ROW - 2);
}

static void matrix_heads(struct picture *picture, const GArray *targets, guint columns, double left, double width)
{
	const struct edges *edges = picture->shape->edges;

	picture->y += MATRIX_HEAD;
	for (guint i = 0; i < columns; i++) {
		double x = left + width * (i + 0.5);
		g_autofree char *name =
			name_cut(edges_target(edges, g_array_index(targets, guint32, i)).name, NAME_CHARACTERS - 10);

		picture_add(picture, "<g transform=\"translate(%.1f %.1f) rotate(-40)\">", x, picture->y - 6);
		picture_text(picture, 0, 0, "axis", "start", name);
		picture_add(picture, "</g>\n");
	}
}

static void picture_matrix(struct picture *picture)
{
	const struct edges *edges = picture->shape->edges;
	g_autoptr(GPtrArray) sources = sources_of(edges);
	g_autoptr(GArray) targets = matrix_targets(edges);
	guint columns = MIN(targets->len, MATRIX_MAX), rows = MIN(sources->len, picture_most(picture, MATRIX_MAX));
	double left = PICTURE_MARGIN + MATRIX_NAME,
	       whole = PICTURE_WIDTH - 2 * PICTURE_MARGIN - MATRIX_NAME - MATRIX_SUM;
	double width = columns ? MIN(whole / columns, 120) : whole;

	if (!edges->counter_count)
		return;
	matrix_heads(picture, targets, columns, left, width);
	for (guint row = 0; row < rows; row++) {
		const struct source *source = g_ptr_array_index(sources, row);
		g_autofree char *name = name_cut(source->end.name, NAME_CHARACTERS);
		g_autofree char *sum = units_weight(edges->counters[0].unit, source->sum);

		picture_text(picture, left - 8, picture->y + 16, "name", "end", name);
		for (guint i = 0; i < columns; i++)
			matrix_draw_cell(picture, source, edges_target(edges, g_array_index(targets, guint32, i)),
					 left + width * i, width);
		picture_text(picture, left + width * columns + 8, picture->y + 16, "facts", "start", sum);
		picture->y += MATRIX_ROW;
	}
	if (rows < sources->len || columns < targets->len) {
		g_autofree char *more =
			g_strdup_printf("not shown: %u rows, %u columns", sources->len - rows, targets->len - columns);

		picture_text(picture, PICTURE_MARGIN, picture->y + 14, "note", "start", more);
		picture->y += LINE;
	}
	picture->y += 10;
	picture_text(picture, PICTURE_MARGIN, picture->y + 12, "note", "start",
		     "A row waited; a column had the resource meanwhile. Shares of the row; dashed: itself.");
	picture->y += 2 * LINE;
}

/* ---- around it ---- */

static void picture_ledger(struct picture *picture)
{
	g_autoptr(GPtrArray) phrases = heading_ledger(picture->shape);
	const GPtrArray *notes = picture->shape->ledger.notes;

	for (guint i = 0; i < phrases->len + (notes ? notes->len : 0); i++) {
		const char *text =
			i < phrases->len ? g_ptr_array_index(phrases, i) : g_ptr_array_index(notes, i - phrases->len);
		g_autofree char *cut = name_cut(text, 200);

		picture_text(picture, PICTURE_MARGIN, picture->y + 12, "note", "start", cut);
		picture->y += LINE;
	}
}

static void picture_heading(struct picture *picture)
{
	g_autofree char *facts = heading_facts(picture->snapshot, picture->shape);
	g_autofree char *warning = heading_warning(picture->shape);
	g_autofree char *title = name_cut(render_title(picture->snapshot, picture->options), 110);

	picture_add(picture, "<g id=\"heading\">");
	picture_add(picture, "<text id=\"title\" x=\"%d\" y=\"28\">", PICTURE_MARGIN);
	text_append_xml(picture->svg, title, -1);
	picture_add(picture, "</text></g>\n");
	picture_text(picture, PICTURE_MARGIN, 46, "facts", "start", facts);
	picture->y = 58;
	if (warning) {
		picture_add(picture,
			    "<g id=\"warning\"><rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"24\" rx=\"6\"/>",
			    PICTURE_MARGIN, picture->y, PICTURE_WIDTH - 2 * PICTURE_MARGIN);
		picture_text(picture, PICTURE_MARGIN + 8, picture->y + 16, "", "start", warning);
		picture_add(picture, "</g>\n");
		picture->y += 32;
	}
}

/* The whole picture as an svg element. */
static char *picture_make(const struct snapshot *snapshot, const struct shape *shape,
			  const struct render_options *options, const char *style)
{
	struct picture picture = {
		.svg = g_string_new(NULL), .snapshot = snapshot, .shape = shape, .options = options
	};
	g_autoptr(GString) body = picture.svg;
	GString *whole = g_string_new(NULL);

	picture_heading(&picture);
	if (shape->histogram)
		picture_histogram(&picture);
	else
		picture_matrix(&picture);
	if (picture.y < 80)
		picture_text(&picture, PICTURE_MARGIN, 76, "name", "start", "Nothing was seen in that time.");
	picture.y = MAX(picture.y, 90);
	picture_ledger(&picture);
	g_string_append_printf(
		whole,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d "
		"%.0f\" role=\"img\" aria-labelledby=\"title\">\n",
		PICTURE_WIDTH, picture.y + PICTURE_MARGIN, PICTURE_WIDTH, picture.y + PICTURE_MARGIN);
	if (style)
		g_string_append_printf(whole, "<style>%s</style>\n", style);
	g_string_append(whole, "<rect id=\"page\" width=\"100%\" height=\"100%\"/>\n");
	g_string_append(whole, body->str);
	g_string_append(whole, "</svg>\n");
	return g_string_free(whole, FALSE);
}

void svg_tables(const struct snapshot *snapshot, const struct shape *shape, const struct render_options *options,
		FILE *out)
{
	g_autofree char *svg = picture_make(snapshot, shape, options, asset_tables_css);

	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", out);
	fputs(svg, out);
}

void html_tables(const struct snapshot *snapshot, const struct shape *shape, const struct render_options *options,
		 FILE *out)
{
	g_autofree char *svg = picture_make(snapshot, shape, options, NULL);
	g_autofree char *style = g_strconcat(
		asset_tables_css,
		"html { color-scheme: light dark; } body { margin: 0; background: #ffffff; } svg { display: block; "
		"margin: 0 auto; max-width: 100%; height: auto; }\n"
		"@media (prefers-color-scheme: dark) { body { background: #0d1117; } }\n",
		NULL);
	g_autofree char *hash = render_csp_hash(style);
	g_autoptr(GString) title = g_string_new(NULL);

	text_append_xml(title, render_title(snapshot, options), -1);
	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-%s'; base-uri "
		"'none'; form-action 'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n%s</body>\n</html>\n",
		hash, title->str, style, svg);
}
