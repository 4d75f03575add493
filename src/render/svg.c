/* SPDX-License-Identifier: Apache-2.0 */
/* The flame graph as one SVG file. As a picture (an <img>) it is complete: colours follow the reader's light or dark
 * page by media query. Opened as a document it also zooms and searches (assets/svg.js). Frames narrower than
 * SVG_LEAST_WIDTH are left out and counted. Each frame is a <rect> with a <title> (first line: the name) and, when
 * wide enough, a <text>; the script relies on that. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "render/assets.h"
#include "render/flame.h"
#include "render/formats.h"
#include "render/heading.h"
#include "render/names.h"
#include "render/palette.h"

#define SVG_WIDTH 1200
#define SVG_LEFT 12
#define SVG_INNER (SVG_WIDTH - 2 * SVG_LEFT)
#define SVG_ROW 18
#define SVG_CHAR 6.62 /* advance of an 11 px monospace letter */
#define SVG_NOTE_LETTERS 190 /* of 11 px proportional text in a line */
#define SVG_LEAST_WIDTH 0.3
#define SVG_BOXES_MAX 60000
#define SVG_FLUSH_BYTES (64u << 10)
#define DOT " \302\267 "

struct svg_page {
	FILE *out;
	GString *text; /* what is not yet in `out` */
	const struct snapshot *snapshot;
	const struct shape *shape;
	const struct calltree *tree;
	const struct flame *flame;
	const struct render_options *options;
	GPtrArray *notes; /* lines under the heading, raw */
	char *warning; /* or NULL */
	double scale; /* pixels per unit of weight */
	guint64 largest_change;
	guint top; /* y of the graph */
	guint height;
	guint legend_y, details_y;
	gboolean used[32][PALETTE_SHADES]; /* colours in the picture */
};

static void svg_flush(struct svg_page *page)
{
	fwrite(page->text->str, 1, page->text->len, page->out);
	g_string_truncate(page->text, 0);
}

/* Appends a coordinate with at most three decimals and no trailing zeros: most of the file is coordinates. */
static void append_pixels(GString *out, double value)
{
	guint64 thousandths = (guint64)llround(MAX(value, 0) * 1000);
	guint fraction = (guint)(thousandths % 1000);
	char digits[32];
	char *at = digits + sizeof(digits);
	guint64 whole = thousandths / 1000;

	*--at = '\0';
	if (fraction) {
		for (guint i = 0, started = 0; i < 3; i++, fraction /= 10) {
			started |= fraction % 10;
			if (started)
				*--at = (char)('0' + fraction % 10);
		}
		*--at = '.';
	}
	do {
		*--at = (char)('0' + whole % 10);
		whole /= 10;
	} while (whole);
	g_string_append(out, at);
}

/* Joins phrases with dots into lines of at most SVG_NOTE_LETTERS. */
static void notes_wrap(GPtrArray *notes, const GPtrArray *phrases)
{
	GString *line = g_string_new(NULL);

	for (guint i = 0; i < phrases->len; i++) {
		const char *phrase = g_ptr_array_index(phrases, i);

		if (line->len && line->len + strlen(phrase) > SVG_NOTE_LETTERS) {
			g_ptr_array_add(notes, g_string_free(line, FALSE));
			line = g_string_new(NULL);
		}
		g_string_append_printf(line, "%s%s", line->len ? DOT : "", phrase);
	}
	g_ptr_array_add(notes, g_string_free(line, FALSE));
}

static char *svg_elided_note(const struct svg_page *page)
{
	g_autofree char *count = units_count(page->flame->elided);

	if (!page->flame->elided)
		return NULL;
	return g_strdup_printf("%s frames narrower than %.1f pixels are not drawn", count, SVG_LEAST_WIDTH);
}

static char *svg_vanished_note(const struct svg_page *page)
{
	g_autofree char *weight = heading_weight(page->shape->unit, page->flame->vanished);

	if (!page->flame->vanished)
		return NULL;
	return g_strdup_printf(
		"%s of the first capture are in stacks the second does not have: swap the two to see them", weight);
}

static void page_collect_notes(struct svg_page *page)
{
	g_autoptr(GPtrArray) phrases = heading_ledger(page->shape);
	const GPtrArray *notes = page->shape->ledger.notes;
	char *elided = svg_elided_note(page), *vanished = svg_vanished_note(page);

	if (elided)
		g_ptr_array_add(phrases, elided);
	page->notes = g_ptr_array_new_with_free_func(g_free);
	notes_wrap(page->notes, phrases);
	if (vanished)
		g_ptr_array_add(page->notes, vanished);
	for (guint i = 0; notes && i < notes->len; i++)
		g_ptr_array_add(page->notes, g_strdup(g_ptr_array_index(notes, i)));
	page->warning = heading_warning(page->shape);
}

/* `text` escaped and cut to `letters` code points. */
static void append_cut(GString *out, const char *text, guint letters)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	if ((guint)g_utf8_strlen(valid, -1) <= letters) {
		text_append_xml(out, valid, -1);
		return;
	}
	text_append_xml(out, valid, g_utf8_offset_to_pointer(valid, letters - 1) - valid);
	g_string_append(out, TEXT_ELLIPSIS);
}

static void svg_rule(struct svg_page *page, const char *selector, guint group, guint shade, gboolean dark)
{
	g_string_append_printf(page->text, "%s%u{fill:", selector, shade);
	palette_append_colour(page->text, group, shade, dark);
	g_string_append(page->text, "}\n");
}

static void svg_rules(struct svg_page *page, gboolean dark)
{
	for (guint group = 0; palette_groups[group].name; group++) {
		g_autofree char *selector = g_strdup_printf(".%s", palette_groups[group].name);

		for (guint shade = 0; shade < PALETTE_SHADES; shade++)
			if (page->used[group][shade])
				svg_rule(page, selector, group, shade, dark);
	}
	for (int step = -PALETTE_STEPS; page->flame->differential && step <= PALETTE_STEPS; step++) {
		g_string_append_printf(page->text, ".%s%d{fill:", step < 0 ? "less" : "more", ABS(step));
		palette_append_change(page->text, step, dark);
		g_string_append(page->text, "}\n");
	}
}

static void svg_style(struct svg_page *page)
{
	const char *dark = strstr(asset_svg_css, "@media (prefers-color-scheme: dark) {");

	g_string_append(page->text, "<style id=\"style\">\n");
	g_string_append_len(page->text, asset_svg_css, dark - asset_svg_css);
	svg_rules(page, FALSE);
	g_string_append(page->text, dark); /* leaves the block open */
	svg_rules(page, TRUE);
	g_string_append(page->text, "}\n</style>\n");
}

static void svg_heading(struct svg_page *page)
{
	g_autofree char *facts = heading_facts(page->snapshot, page->shape);
	guint y = 66;

	g_string_append_printf(page->text, "<text id=\"title\" x=\"%d\" y=\"28\">", SVG_LEFT);
	append_cut(page->text, render_title(page->snapshot, page->options), 100);
	g_string_append_printf(page->text, "</text>\n<text class=\"facts\" x=\"%d\" y=\"48\">", SVG_LEFT);
	append_cut(page->text, facts, 170);
	g_string_append(page->text, "</text>\n");
	for (guint i = 0; i < page->notes->len; i++, y += 15) {
		g_string_append_printf(page->text, "<text class=\"note\" x=\"%d\" y=\"%u\">", SVG_LEFT, y);
		append_cut(page->text, g_ptr_array_index(page->notes, i), SVG_NOTE_LETTERS + 10);
		g_string_append(page->text, "</text>\n");
	}
	if (page->warning) {
		g_string_append_printf(
			page->text,
			"<g id=\"warning\"><rect x=\"%d.5\" y=\"%u.5\" width=\"%d\" height=\"24\" rx=\"5\"/>"
			"<text x=\"%d\" y=\"%u\">",
			SVG_LEFT, y - 8, SVG_INNER - 1, SVG_LEFT + 10, y + 9);
		append_cut(page->text, page->warning, 140);
		g_string_append(page->text, "</text></g>\n");
	}
	g_string_append_printf(
		page->text,
		"<text id=\"matched\" x=\"%d\" y=\"48\" text-anchor=\"end\" aria-live=\"polite\"></text>\n"
		"<g id=\"reset\" style=\"display:none\" role=\"button\"><text x=\"%d\" y=\"28\" "
		"text-anchor=\"end\">reset zoom (Esc)</text></g>\n",
		SVG_WIDTH - SVG_LEFT, SVG_WIDTH - SVG_LEFT - 204);
}

/* "12 samples, 1.2 % · self 3 samples" and, for differences, what it was before. */
static void append_weights(struct svg_page *page, const struct flame_box *box)
{
	enum unit unit = page->shape->unit;
	g_autofree char *total = heading_weight(unit, box->total);
	g_autofree char *share = units_percent((double)box->total, (double)page->flame->total);

	g_string_append_printf(page->text, "%s, %s", total, share);
	if (box->self && box->self != box->total) {
		g_autofree char *self = units_weight(unit, box->self);

		g_string_append_printf(page->text, DOT "self %s", self);
	}
	if (page->flame->differential) {
		gboolean more = box->total >= box->before;
		g_autofree char *before = heading_weight(unit, box->before);
		g_autofree char *change =
			units_weight(unit, more ? box->total - box->before : box->before - box->total);

		g_string_append_printf(page->text, DOT "before %s, %s%s", before, more ? "+" : "\342\210\222", change);
	}
}

static const char *box_name(const struct svg_page *page, const struct flame_box *box)
{
	return box->depth ? page->tree->frames[box->frame].name : "all";
}

static void append_class(struct svg_page *page, const struct flame_box *box)
{
	if (page->flame->differential) {
		int step = palette_step_of(box->before, box->total, page->largest_change);

		g_string_append_printf(page->text, "%s%d", step < 0 ? "less" : "more", ABS(step));
	} else if (!box->depth) {
		g_string_append(page->text, "root");
	} else {
		const struct calltree_frame *frame = &page->tree->frames[box->frame];

		g_string_append(page->text, palette_groups[palette_group_of(frame)].name);
		g_string_append_c(page->text, (char)('0' + palette_shade_of(frame)));
	}
}

static void append_label(struct svg_page *page, const struct flame_box *box, double x, double y, double width)
{
	gboolean bold = box->depth && page->tree->frames[box->frame].kind >= FRAME_CONTAINER;
	guint letters = width > 6 ? (guint)((width - 6) / SVG_CHAR) : 0;
	g_autofree char *brief = NULL;

	if (letters < 2)
		return;
	brief = name_brief(box_name(page, box), letters);
	g_string_append(page->text, "<text x=\"");
	append_pixels(page->text, x + 3);
	g_string_append(page->text, "\" y=\"");
	append_pixels(page->text, y + 12.5);
	g_string_append(page->text, bold ? "\" class=\"b\">" : "\">");
	append_cut(page->text, brief, letters);
	g_string_append(page->text, "</text>");
}

static void svg_box(struct svg_page *page, const struct flame_box *box)
{
	double x = SVG_LEFT + (double)box->start * page->scale, width = (double)box->total * page->scale;
	guint row = page->options->inverted ? box->depth : page->flame->depth - box->depth;
	double y = page->top + (double)row * SVG_ROW;

	g_string_append(page->text, "<rect class=\"");
	append_class(page, box);
	g_string_append(page->text, "\" x=\"");
	append_pixels(page->text, x);
	g_string_append(page->text, "\" y=\"");
	append_pixels(page->text, y);
	g_string_append(page->text, "\" width=\"");
	append_pixels(page->text, width > 2 ? width - 0.5 : width);
	if (width > 2) {
		g_string_append(page->text, "\" data-w=\"");
		append_pixels(page->text, width);
	}
	g_string_append_printf(page->text, "\" height=\"%d\"%s><title>", SVG_ROW - 1, width > 5 ? " rx=\"2\"" : "");
	text_append_xml(page->text, box_name(page, box), -1);
	if (box->depth && page->tree->frames[box->frame].module) {
		g_string_append(page->text, "\n");
		text_append_xml(page->text, page->tree->frames[box->frame].module, -1);
	}
	g_string_append(page->text, "\n");
	append_weights(page, box);
	g_string_append(page->text, "</title></rect>");
	append_label(page, box, x, y, width);
	g_string_append_c(page->text, '\n');
	if (page->text->len > SVG_FLUSH_BYTES)
		svg_flush(page);
}

static void svg_frames(struct svg_page *page)
{
	g_string_append_printf(page->text,
			       "<g id=\"frames\" data-width=\"%d\" data-left=\"%d\" data-row=\"%d\" data-top=\"%u\" "
			       "data-rows=\"%u\" data-char=\"%.2f\" data-inverted=\"%d\">\n",
			       SVG_INNER, SVG_LEFT, SVG_ROW, page->top, page->flame->depth + 1, SVG_CHAR,
			       page->options->inverted ? 1 : 0);
	for (guint i = 0; i < page->flame->count; i++)
		svg_box(page, &page->flame->boxes[i]);
	g_string_append(page->text, "</g>\n");
}

/* Where the next entry of the legend goes; entries are only counted while `page->text` is not there. */
struct legend {
	double x;
	guint line;
};

static void legend_entry(struct svg_page *page, struct legend *legend, const char *class, const char *phrase)
{
	double width = 17 + (double)strlen(phrase) * 6.6;

	if (legend->x + width > SVG_WIDTH - SVG_LEFT) {
		legend->x = SVG_LEFT;
		legend->line++;
	}
	if (page->text) {
		guint y = page->legend_y + legend->line * SVG_ROW;

		g_string_append(page->text, "<rect x=\"");
		append_pixels(page->text, legend->x);
		g_string_append_printf(page->text,
				       "\" y=\"%u\" width=\"12\" height=\"12\" rx=\"3\" class=\"%s\"/><text x=\"",
				       y - 10, class);
		append_pixels(page->text, legend->x + 17);
		g_string_append_printf(page->text, "\" y=\"%u\">%s</text>\n", y, phrase);
	}
	legend->x += width + 18;
}

static void legend_group(struct svg_page *page, struct legend *legend, guint group)
{
	for (guint shade = 0; shade < PALETTE_SHADES; shade++) {
		g_autofree char *class = g_strdup_printf("%s%u", palette_groups[group].name, shade);

		if (!page->used[group][shade])
			continue;
		legend_entry(page, legend, class, palette_groups[group].phrase);
		return;
	}
}

/* Returns the number of lines. */
static guint legend_entries(struct svg_page *page)
{
	struct legend legend = { .x = SVG_LEFT };

	if (page->flame->differential) {
		legend_entry(page, &legend, "more" G_STRINGIFY(PALETTE_STEPS), "more than before");
		legend_entry(page, &legend, "more0", "unchanged");
		legend_entry(page, &legend, "less" G_STRINGIFY(PALETTE_STEPS), "less than before");
	} else {
		for (guint group = 0; palette_groups[group].name; group++)
			legend_group(page, &legend, group);
	}
	return legend.line + 1;
}

static void svg_legend(struct svg_page *page)
{
	g_string_append(page->text, "<g class=\"legend\">\n");
	legend_entries(page);
	g_string_append(page->text, "</g>\n");
}

static void page_collect_colours(struct svg_page *page)
{
	for (guint i = 0; i < page->flame->count; i++) {
		const struct flame_box *box = &page->flame->boxes[i];
		guint64 change = box->total > box->before ? box->total - box->before : box->before - box->total;

		page->largest_change = MAX(page->largest_change, change);
		if (box->depth && !page->flame->differential) {
			const struct calltree_frame *frame = &page->tree->frames[box->frame];

			page->used[palette_group_of(frame)][palette_shade_of(frame)] = TRUE;
		}
	}
}

static void page_measure(struct svg_page *page)
{
	page->top = 66 + 15 * page->notes->len + (page->warning ? 34 : 0) + 2;
	page->legend_y = page->top + (page->flame->depth + 1) * SVG_ROW + 22;
	page->details_y = page->legend_y + legend_entries(page) * SVG_ROW + 4;
	page->height = page->details_y + 10;
}

static void svg_write(struct svg_page *page)
{
	g_string_append_printf(page->text,
			       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			       "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%d\" height=\"%u\" "
			       "viewBox=\"0 0 %d %u\" role=\"img\" aria-labelledby=\"title\">\n",
			       SVG_WIDTH, page->height, SVG_WIDTH, page->height);
	svg_style(page);
	g_string_append(page->text, "<rect id=\"page\" width=\"100%\" height=\"100%\"/>\n");
	svg_heading(page);
	svg_frames(page);
	svg_legend(page);
	g_string_append_printf(page->text, "<text id=\"details\" x=\"%d\" y=\"%u\" aria-live=\"polite\">", SVG_LEFT,
			       page->details_y);
	g_string_append_printf(page->text, "made by fathom</text>\n<script>//<![CDATA[\n%s//]]></script>\n</svg>\n",
			       asset_svg_js);
	svg_flush(page);
}

gboolean render_svg(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = render_shape(snapshot, error);
	g_autoptr(calltree_t) reversed = NULL;
	g_autoptr(flame_t) flame = NULL;
	struct svg_page page = { .out = out, .snapshot = snapshot, .shape = shape, .options = options };
	guint64 *totals;

	if (!shape)
		return FALSE;
	if (!shape->calltree) {
		svg_tables(snapshot, shape, options, out);
		return TRUE;
	}
	reversed = options->reversed ? flame_reverse(shape->calltree) : NULL;
	page.tree = reversed ? reversed : shape->calltree;
	totals = calltree_totals(page.tree, page.tree->self);
	flame = flame_new(page.tree, (guint64)((double)totals[0] * SVG_LEAST_WIDTH / SVG_INNER), SVG_BOXES_MAX,
			  options->normalized);
	g_free(totals);
	page.flame = flame;
	page.scale = flame->total ? SVG_INNER / (double)flame->total : 0;
	page_collect_notes(&page);
	page_collect_colours(&page);
	page_measure(&page);
	page.text = g_string_sized_new(SVG_FLUSH_BYTES * 2);
	svg_write(&page);
	g_string_free(page.text, TRUE);
	g_ptr_array_unref(page.notes);
	g_free(page.warning);
	return TRUE;
}
