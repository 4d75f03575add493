/* SPDX-License-Identifier: Apache-2.0 */
/* The flame graph as one self-contained page. The tree is a data block of flat arrays in preorder, names interned; at
 * most HTML_BOXES_MAX frames go in, the largest ones, and the page says how many are left out. Scripts and styles are
 * allowed by their hashes alone: a name that should ever escape its quoting still cannot run. */
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "render/assets.h"
#include "render/flame.h"
#include "render/formats.h"
#include "render/heading.h"
#include "render/palette.h"

#define HTML_BOXES_MAX 250000
#define HTML_FUNCTIONS_MAX 500
#define HTML_HIDDEN_MAX 50000 /* functions that are in small frames only, kept by name */
#define HTML_FLUSH_BYTES (64u << 10)

struct html_page {
	FILE *out;
	GString *text;
	struct json_writer json;
	const struct snapshot *snapshot;
	const struct shape *shape;
	const struct calltree *tree;
	const struct flame *flame;
	const struct render_options *options;
	guint64 *hidden; /* by frame of the tree: weight of its stacks that have it in no frame of the page */
	guint64 unnamed; /* of `hidden`, of functions whose names are not in the page */
	guint32 *dense; /* frame of the tree → its number in the page + 1; 0: not in it */
	GArray *frames; /* by number in the page: frame of the tree */
};

static void html_flush(struct html_page *page, gsize least)
{
	if (page->text->len < least)
		return;
	fwrite(page->text->str, 1, page->text->len, page->out);
	g_string_truncate(page->text, 0);
}

static void html_head(struct html_page *page)
{
	g_autofree char *script = render_csp_hash(asset_page_js), *style = render_csp_hash(asset_page_css);

	g_string_append_printf(page->text,
			       "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
			       "script-src 'sha256-%s'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
			       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
			       script, style);
	text_append_xml(page->text, render_title(page->snapshot, page->options), -1);
	g_string_append(page->text, " \302\267 fathom</title>\n<style>");
	g_string_append(page->text, asset_page_css);
	g_string_append(page->text, "</style>\n</head>\n");
}

static void html_item(struct html_page *page, const char *class, const char *text)
{
	g_string_append_printf(page->text, "<li%s>", class);
	text_append_xml(page->text, text, -1);
	g_string_append(page->text, "</li>\n");
}

static void html_ledger(struct html_page *page)
{
	g_autoptr(GPtrArray) phrases = heading_ledger(page->shape);
	g_autofree char *warning = heading_warning(page->shape);
	const GPtrArray *notes = page->shape->ledger.notes;

	if (warning) {
		g_string_append(page->text, "<div id=\"warning\" role=\"alert\">");
		text_append_xml(page->text, warning, -1);
		g_string_append(page->text, "</div>\n");
	}
	g_string_append(page->text, "<section id=\"ledger\" aria-label=\"What this rests on\"><ul>\n");
	for (guint i = 0; i < phrases->len; i++)
		html_item(page, "", g_ptr_array_index(phrases, i));
	if (page->flame->vanished) {
		g_autofree char *weight = heading_weight(page->shape->unit, page->flame->vanished);
		g_autofree char *gone = g_strdup_printf("%s of the first capture are in stacks the second does not "
							"have: swap the two to see them",
							weight);

		html_item(page, " class=\"note\"", gone);
	}
	for (guint i = 0; notes && i < notes->len; i++)
		html_item(page, " class=\"note\"", g_ptr_array_index(notes, i));
	g_string_append(page->text, "</ul></section>\n");
}

static void html_body(struct html_page *page)
{
	g_autofree char *facts = heading_facts(page->snapshot, page->shape);

	g_string_append(page->text, "<body>\n<header><div><h1>");
	text_append_xml(page->text, render_title(page->snapshot, page->options), -1);
	g_string_append(page->text, "</h1><div class=\"facts\">");
	text_append_xml(page->text, facts, -1);
	g_string_append(
		page->text,
		"</div></div>\n<div class=\"tools\" role=\"toolbar\" aria-label=\"Flame graph\">"
		"<span id=\"matched\" aria-live=\"polite\"></span>"
		"<input id=\"search\" type=\"search\" placeholder=\"Search (/)\" aria-label=\"Search functions, "
		"regular expression\" spellcheck=\"false\">"
		"<button id=\"reset\">Reset</button><button id=\"invert\">Invert</button>"
		"<button id=\"sandwich\" aria-pressed=\"false\" title=\"Callers above, callees below the selected function\">"
		"Sandwich</button>"
		"<button id=\"list\" aria-pressed=\"true\">Functions</button><button id=\"theme\">Theme</button>"
		"</div></header>\n");
	html_ledger(page);
	g_string_append(
		page->text,
		"<nav id=\"crumbs\" aria-label=\"Zoomed path\"></nav>\n<main><div id=\"pane\">"
		"<div id=\"room\"></div><canvas id=\"graph\" tabindex=\"0\" role=\"application\" "
		"aria-roledescription=\"flame graph\" aria-label=\"Flame graph: arrow keys walk, Enter zooms\" "
		"aria-describedby=\"details\"></canvas></div>\n<aside aria-label=\"What weighs most\"><table><thead><tr>");
	if (page->flame->differential)
		g_string_append(page->text, "<th><button data-order=\"change\">change</button></th>");
	g_string_append(
		page->text,
		"<th><button data-order=\"self\">self</button></th><th><button data-order=\"total\">total</button>"
		"</th><th>function</th></tr></thead><tbody id=\"functions\"></tbody></table></aside></main>\n"
		"<footer><div id=\"details\" aria-live=\"polite\"></div><div id=\"legend\"></div></footer>\n"
		"<noscript>This page draws with its own script; open it in a browser that runs scripts, or make an "
		".svg.</noscript>\n");
}

static void html_number(struct html_page *page, guint32 frame)
{
	if (page->dense[frame])
		return;
	g_array_append_val(page->frames, frame);
	page->dense[frame] = page->frames->len;
}

static int html_by_hidden(gconstpointer a, gconstpointer b, gpointer user)
{
	const struct html_page *page = user;
	guint64 p = page->hidden[*(const guint32 *)a], q = page->hidden[*(const guint32 *)b];

	return p != q ? (p < q ? 1 : -1) : 0;
}

/* Functions that are in no frame of the picture: the heaviest HTML_HIDDEN_MAX get a name, the others are summed up. */
static void html_collect_hidden(struct html_page *page)
{
	g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint32 i = 0; i < page->tree->frame_count; i++)
		if (page->hidden[i] && !page->dense[i])
			g_array_append_val(found, i);
	g_array_sort_with_data(found, html_by_hidden, page);
	for (guint i = 0; i < found->len; i++) {
		guint32 frame = g_array_index(found, guint32, i);

		if (i < HTML_HIDDEN_MAX)
			html_number(page, frame);
		else
			page->unnamed += page->hidden[frame];
	}
}

/* Numbers the frames that are in the picture, and those to be searched for all the same. */
static void html_collect(struct html_page *page)
{
	page->dense = g_new0(guint32, page->tree->frame_count + 1);
	page->frames = g_array_new(FALSE, FALSE, sizeof(guint32));
	page->hidden = flame_hidden(page->flame, page->tree);
	for (guint i = 1; i < page->flame->count; i++)
		html_number(page, page->flame->boxes[i].frame);
	html_collect_hidden(page);
}

static const struct calltree_frame *html_frame(const struct html_page *page, guint number)
{
	return &page->tree->frames[g_array_index(page->frames, guint32, number)];
}

static void html_modules(struct html_page *page)
{
	g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GPtrArray) modules = g_ptr_array_new();

	json_begin_array(&page->json, "module");
	for (guint i = 0; i < page->frames->len; i++) {
		const char *module = html_frame(page, i)->module;
		gsize at = module ? GPOINTER_TO_SIZE(g_hash_table_lookup(known, module)) : 0;

		if (module && !at) {
			g_ptr_array_add(modules, (gpointer)module);
			at = modules->len;
			g_hash_table_insert(known, (gpointer)module, GSIZE_TO_POINTER(at));
		}
		json_int(&page->json, NULL, (gint64)at - 1);
	}
	json_end_array(&page->json);
	json_begin_array(&page->json, "modules");
	for (guint i = 0; i < modules->len; i++)
		json_string(&page->json, NULL, g_ptr_array_index(modules, i));
	json_end_array(&page->json);
}

static void html_frames(struct html_page *page)
{
	json_begin_array(&page->json, "names");
	for (guint i = 0; i < page->frames->len; i++)
		json_string(&page->json, NULL, html_frame(page, i)->name);
	json_end_array(&page->json);
	html_modules(page);
	json_begin_array(&page->json, "group");
	for (guint i = 0; i < page->frames->len; i++)
		json_uint(&page->json, NULL, palette_group_of(html_frame(page, i)));
	json_end_array(&page->json);
	json_begin_array(&page->json, "colour");
	for (guint i = 0; i < page->frames->len; i++)
		json_uint(&page->json, NULL,
			  palette_group_of(html_frame(page, i)) * PALETTE_SHADES +
				  palette_shade_of(html_frame(page, i)));
	json_end_array(&page->json);
}

/* Pairs [number, weight]: few functions have any. */
static void html_hidden(struct html_page *page)
{
	json_begin_array(&page->json, "hidden");
	for (guint i = 0; i < page->frames->len; i++) {
		guint64 hidden = page->hidden[g_array_index(page->frames, guint32, i)];

		if (!hidden)
			continue;
		json_begin_array(&page->json, NULL);
		json_uint(&page->json, NULL, i);
		json_uint(&page->json, NULL, hidden);
		json_end_array(&page->json);
		html_flush(page, HTML_FLUSH_BYTES);
	}
	json_end_array(&page->json);
	json_uint(&page->json, "unnamed", page->unnamed);
}

static guint64 box_frame(const struct html_page *page, const struct flame_box *box)
{
	return box->depth ? page->dense[box->frame] - 1 : 0;
}

static guint64 box_depth(const struct html_page *page, const struct flame_box *box)
{
	(void)page;
	return box->depth;
}

static guint64 box_total(const struct html_page *page, const struct flame_box *box)
{
	(void)page;
	return box->total;
}

static guint64 box_self(const struct html_page *page, const struct flame_box *box)
{
	(void)page;
	return box->self;
}

static guint64 box_before(const struct html_page *page, const struct flame_box *box)
{
	(void)page;
	return box->before;
}

static void html_column(struct html_page *page, const char *key,
			guint64 (*value)(const struct html_page *page, const struct flame_box *box))
{
	json_begin_array(&page->json, key);
	for (guint i = 0; i < page->flame->count; i++) {
		json_uint(&page->json, NULL, value(page, &page->flame->boxes[i]));
		html_flush(page, HTML_FLUSH_BYTES);
	}
	json_end_array(&page->json);
}

static guint64 row_importance(const struct function_row *row)
{
	return MAX(MAX(row->self, row->self_before), MAX(row->total, row->total_before) / 64);
}

static int rows_by_importance(gconstpointer a, gconstpointer b)
{
	const struct function_row *x = a, *y = b;
	guint64 p = row_importance(x), q = row_importance(y);

	return p != q ? (p < q ? 1 : -1) : x->frame < y->frame ? -1 : 1;
}

/* What the table lists: where there are no functions (what threads waited for, without stacks), causes. */
static gboolean html_lists(const struct html_page *page, gboolean has_code, guint32 frame)
{
	enum frame_kind kind = page->tree->frames[frame].kind;

	return has_code ? frame_is_code(kind) : kind == FRAME_CAUSE;
}

static gboolean html_has_code(const struct html_page *page)
{
	for (guint32 i = 0; i < page->tree->frame_count; i++)
		if (frame_is_code(page->tree->frames[i].kind))
			return TRUE;
	return FALSE;
}

/* Rows of the table, from the whole tree: [frame, self, total, self before, total before, name, number in the page]. */
static void html_functions(struct html_page *page)
{
	g_autoptr(GArray) rows = function_rows(page->tree);
	g_autofree guint64 *before = page->tree->baseline ? calltree_totals(page->tree, page->tree->baseline) : NULL;
	/* The same scale as the picture's. */
	double scale = before && before[0] ? (double)page->flame->total_before / (double)before[0] : 1.0;
	gboolean has_code = html_has_code(page);

	json_string(&page->json, "listed", has_code ? "function" : "cause");
	g_array_sort(rows, rows_by_importance);
	json_begin_array(&page->json, "top");
	for (guint i = 0, listed = 0; i < rows->len && listed < HTML_FUNCTIONS_MAX; i++) {
		const struct function_row *row = &g_array_index(rows, struct function_row, i);

		if (!html_lists(page, has_code, row->frame))
			continue;
		listed++;
		json_begin_array(&page->json, NULL);
		json_uint(&page->json, NULL, row->frame);
		json_uint(&page->json, NULL, row->self);
		json_uint(&page->json, NULL, row->total);
		json_uint(&page->json, NULL, (guint64)((double)row->self_before * scale + 0.5));
		json_uint(&page->json, NULL, (guint64)((double)row->total_before * scale + 0.5));
		json_string(&page->json, NULL, page->tree->frames[row->frame].name);
		json_int(&page->json, NULL, (gint64)page->dense[row->frame] - 1);
		json_end_array(&page->json);
	}
	json_end_array(&page->json);
}

static void html_data(struct html_page *page)
{
	static const char *const units[] = { "count", "nanoseconds", "bytes" };

	g_string_append(page->text, "<script type=\"application/json\" id=\"data\">");
	json_init(&page->json, page->text);
	json_begin_object(&page->json, NULL);
	json_string(&page->json, "unit", units[page->shape->unit]);
	json_bool(&page->json, "inverted", page->options->inverted);
	json_uint(&page->json, "elided", page->flame->elided);
	palette_write(&page->json);
	html_frames(page);
	html_hidden(page);
	html_functions(page);
	html_column(page, "frame", box_frame);
	html_column(page, "depth", box_depth);
	html_column(page, "total", box_total);
	html_column(page, "self", box_self);
	if (page->flame->differential)
		html_column(page, "before", box_before);
	json_end_object(&page->json);
	g_string_append_printf(page->text, "</script>\n<script>%s</script>\n</body>\n</html>\n", asset_page_js);
}

gboolean render_html(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = render_shape(snapshot, error);
	g_autoptr(calltree_t) reversed = NULL;
	g_autoptr(flame_t) flame = NULL;
	struct html_page page = { .out = out, .snapshot = snapshot, .shape = shape, .options = options };

	if (!shape)
		return FALSE;
	if (!shape->calltree) {
		html_tables(snapshot, shape, options, out);
		return TRUE;
	}
	reversed = options->reversed ? flame_reverse(shape->calltree) : NULL;
	page.tree = reversed ? reversed : shape->calltree;
	flame = flame_new(page.tree, 1, HTML_BOXES_MAX, options->normalized);
	page.flame = flame;
	page.text = g_string_sized_new(HTML_FLUSH_BYTES * 2);
	html_collect(&page);
	html_head(&page);
	html_body(&page);
	html_data(&page);
	html_flush(&page, 0);
	g_string_free(page.text, TRUE);
	g_array_unref(page.frames);
	g_free(page.dense);
	g_free(page.hidden);
	return TRUE;
}
