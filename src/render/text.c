/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal summary: hottest paths and hottest functions, then what the numbers rest on. Data for eyes, so it fits
 * the width of the terminal; names pass text_terminal. */
#include <string.h>

#include "base/text.h"
#include "render/flame.h"
#include "render/formats.h"
#include "render/heading.h"
#include "render/names.h"
#include "render/text_page.h"

#define TEXT_COLUMNS 100 /* when the output is not a terminal */
#define TEXT_COLUMNS_MIN 40
#define TEXT_TOP 10
#define NAME_COLUMNS_MIN 12
#define TEXT_CALLER_ROOM 24 /* with less a long name stands alone */
#define FUNCTION_COLUMNS 43 /* before the name of a function */
#define CHANGE_COLUMNS 57
#define ARROW " \342\206\222 "
#define TEXT_ARROW_COLUMNS 3
#define TEXT_BRIEF 3 /* names that take more than this part of a line leave out what stands in their brackets */

static const char *const text_colours[FRAME_KINDS] = {
	[FRAME_USER] = "\033[33m",    [FRAME_KERNEL] = "\033[36m",     [FRAME_JIT] = "\033[32m",
	[FRAME_INLINED] = "\033[93m", [FRAME_UNRESOLVED] = "\033[90m", [FRAME_CONTAINER] = "\033[35m",
	[FRAME_PROCESS] = "\033[35m", [FRAME_THREAD] = "\033[35m",     [FRAME_CAUSE] = "\033[31m",
	[FRAME_WAKER] = "\033[34m",   [FRAME_SCRIPT] = "\033[92m",
};

static void page_weight(const struct text_page *page, guint64 weight, guint width)
{
	g_autofree char *text = units_weight(page->shape->unit, weight);

	page_right(page, text, width);
}

/* A path on its way onto a line that may be too short for it. */
struct path {
	const struct calltree *tree;
	GArray *frames; /* of guint32, root first */
	GPtrArray *names; /* as safe text */
	gboolean *is_shown;
	guint room; /* columns */
};

static void path_init(struct path *path, const struct calltree *tree, guint32 node, guint columns)
{
	path->tree = tree;
	path->frames = g_array_new(FALSE, FALSE, sizeof(guint32));
	path->names = g_ptr_array_new_with_free_func(g_free);
	path->room = columns;
	for (; node != CALLTREE_ROOT; node = tree->parent[node])
		g_array_prepend_val(path->frames, tree->frame[node]);
	for (guint i = 0; i < path->frames->len; i++) {
		g_autofree char *name = text_terminal(tree->frames[g_array_index(path->frames, guint32, i)].name);

		g_ptr_array_add(path->names, name_brief(name, columns / TEXT_BRIEF));
	}
	path->is_shown = g_new0(gboolean, path->frames->len + 1);
}

static void path_clear(struct path *path)
{
	g_array_unref(path->frames);
	g_ptr_array_unref(path->names);
	g_free(path->is_shown);
}

static enum frame_kind path_kind(const struct path *path, guint i)
{
	return path->tree->frames[g_array_index(path->frames, guint32, i)].kind;
}

/* Columns of what is shown, with the gaps that leaves; the last is always shown. */
static guint path_columns(const struct path *path)
{
	guint columns = 0;

	for (guint i = 0; i < path->names->len; i++) {
		if (path->is_shown[i])
			columns += text_columns(g_ptr_array_index(path->names, i)) + TEXT_ARROW_COLUMNS;
		else if (i == 0 || path->is_shown[i - 1])
			columns += 1 + TEXT_ARROW_COLUMNS;
	}
	return columns - TEXT_ARROW_COLUMNS;
}

/* FALSE when there is no room for it any more. */
static gboolean path_show(struct path *path, guint i)
{
	if (path->is_shown[i])
		return TRUE;
	path->is_shown[i] = TRUE;
	if (path_columns(path) > path->room)
		path->is_shown[i] = FALSE;
	return path->is_shown[i];
}

static void path_cut(struct path *path, guint i, guint columns)
{
	char **name = (char **)&g_ptr_array_index(path->names, i);
	char *cut = text_cut(*name, columns);

	g_free(*name);
	*name = cut;
}

/* A long name leaves room for its caller's, which may be cut, too. */
static void path_cut_ends(struct path *path, guint caller)
{
	guint last = path->names->len - 1, gap = 1 + TEXT_ARROW_COLUMNS;
	guint gaps = path->room < TEXT_CALLER_ROOM ? gap : 2 * gap + TEXT_ARROW_COLUMNS;
	guint room = path->room > gaps ? path->room - gaps : 1;
	guint of_caller = caller < last && path->room >= TEXT_CALLER_ROOM
				  ? text_columns(g_ptr_array_index(path->names, caller))
				  : 0;
	guint of_last = text_columns(g_ptr_array_index(path->names, last));

	if (of_last + of_caller <= room)
		return;
	path_cut(path, last, MAX(room - MIN(of_caller, room * 2 / 5), 1));
	if (!of_caller)
		return;
	path_cut(path, caller, MAX(room - MIN(text_columns(g_ptr_array_index(path->names, last)), room - 1), 1));
}

/* The innermost frame that is the program's own, with a name where any has one; of a path that ends in it, or has none, its end. */
static guint path_own_end(const struct path *path, guint owners)
{
	guint any = path->frames->len - 1;

	if (path_kind(path, any) != FRAME_KERNEL)
		return any;
	for (guint i = path->frames->len; i-- > owners;) {
		if (path_kind(path, i) == FRAME_KERNEL)
			continue;
		if (path_kind(path, i) != FRAME_UNRESOLVED)
			return i;
		any = any == path->frames->len - 1 ? i : any;
	}
	return any;
}

/* Which frames to show of a path that is too long: the innermost tells most, then whose it is, where the program left for the
 * kernel (whose ways to sleep are few, and look all the same), why it waits, and callers. */
static void path_fit(struct path *path)
{
	guint count = path->frames->len, owners = 0, own, caller;

	memset(path->is_shown, TRUE, count * sizeof(*path->is_shown));
	if (path_columns(path) <= path->room)
		return;
	memset(path->is_shown, FALSE, (count - 1) * sizeof(*path->is_shown));
	while (owners < count && !frame_is_code(path_kind(path, owners)))
		owners++;
	own = path_own_end(path, owners);
	caller = own + 1 < count ? own : count - 1 > owners ? count - 2 : count - 1;
	path_cut_ends(path, caller);
	path_show(path, own);
	path_show(path, caller);
	path_show(path, 0);
	for (guint i = 1; i < owners; i++)
		path_show(path, i);
	for (guint i = own + 1; i-- > owners;)
		if (!path_show(path, i))
			return;
	for (guint i = count; i-- > own;)
		if (!path_show(path, i))
			return;
}

static void page_path(const struct text_page *page, guint32 node, guint columns)
{
	struct path path;
	gboolean is_gap = FALSE;

	path_init(&path, page->shape->calltree, node, columns);
	if (!path.names->len)
		fputs("[no stack]", page->out);
	else
		path_fit(&path);
	for (guint i = 0; i < path.names->len; i++) {
		if (!path.is_shown[i]) {
			fputs(is_gap ? "" : TEXT_ELLIPSIS ARROW, page->out);
			is_gap = TRUE;
			continue;
		}
		is_gap = FALSE;
		fprintf(page->out, "%s%s%s%s", page_colour(page, text_colours[path_kind(&path, i)]),
			(const char *)g_ptr_array_index(path.names, i), page_colour(page, "\033[0m"),
			i + 1 < path.names->len ? ARROW : "");
	}
	fputc('\n', page->out);
	path_clear(&path);
}

/* The `top` heaviest of `count` weights, heaviest first (selection by insertion: `top` is small). */
static guint32 *heaviest(const guint64 *weights, guint32 count, guint top, guint *found)
{
	guint32 *best = g_new(guint32, (gsize)top + 1);

	*found = 0;
	for (guint32 i = 0; i < count; i++) {
		guint at = *found;

		if (!weights[i] || (at == top && weights[best[at - 1]] >= weights[i]))
			continue;
		for (; at > 0 && weights[best[at - 1]] < weights[i]; at--)
			if (at < top)
				best[at] = best[at - 1];
		best[at] = i;
		*found = MIN(*found + 1, top);
	}
	return best;
}

static void page_paths(const struct text_page *page)
{
	const struct calltree *tree = page->shape->calltree;
	guint fixed = 9 + TEXT_PAGE_BAR + 2 + 10 + 2;
	guint found;
	g_autofree guint32 *best = heaviest(tree->self, tree->node_count, page->top, &found);

	page_heading(page, "Hottest paths");
	for (guint i = 0; i < found; i++) {
		page_percent(page, tree->self[best[i]], 8);
		fputc(' ', page->out);
		page_bar(page, tree->self[best[i]]);
		page_weight(page, tree->self[best[i]], 10);
		fputs("  ", page->out);
		page_path(page, best[i], page->columns - MIN(fixed, page->columns - NAME_COLUMNS_MIN));
	}
}

static int rows_by_self(gconstpointer a, gconstpointer b)
{
	const struct function_row *x = a, *y = b;

	if (x->self != y->self)
		return x->self < y->self ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	return x->frame < y->frame ? -1 : 1;
}

/* The safe name of a frame for so many columns, with its module when there is one. */
static char *frame_label(const struct calltree_frame *frame, guint columns)
{
	g_autofree char *whole = text_terminal(frame->name), *name = name_brief(whole, columns);
	g_autofree char *base = frame->module ? g_path_get_basename(frame->module) : NULL;
	g_autofree char *module = base ? text_terminal(base) : NULL;

	return module ? g_strdup_printf("%s  (%s)", name, module) : g_steal_pointer(&name);
}

static void page_function(const struct text_page *page, const struct function_row *row)
{
	const struct calltree_frame *frame = &page->shape->calltree->frames[row->frame];
	guint columns = page->columns - MIN(FUNCTION_COLUMNS, page->columns - NAME_COLUMNS_MIN);
	g_autofree char *label = frame_label(frame, columns);
	g_autofree char *cut = text_cut(label, columns);

	page_percent(page, row->self, 8);
	page_weight(page, row->self, 11);
	page_percent(page, row->total, 11);
	page_weight(page, row->total, 11);
	fprintf(page->out, "  %s%s%s\n", page_colour(page, text_colours[frame->kind]), cut,
		page_colour(page, "\033[0m"));
}

static void page_functions(const struct text_page *page)
{
	g_autoptr(GArray) rows = function_rows(page->shape->calltree);
	guint shown = 0;

	g_array_sort(rows, rows_by_self);
	page_heading(page, "Hottest functions");
	fprintf(page->out, "%s    self                  total%s\n", page_colour(page, "\033[2m"),
		page_colour(page, "\033[0m"));
	for (guint i = 0; i < rows->len && shown < page->top; i++) {
		const struct function_row *row = &g_array_index(rows, struct function_row, i);

		if (!row->self)
			break;
		if (!frame_is_code(page->shape->calltree->frames[row->frame].kind))
			continue;
		page_function(page, row);
		shown++;
	}
}

/* ---- causes: container × cause, for shapes that have them ---- */

struct cause_row {
	guint32 owner, cause; /* frames */
	guint64 weight;
};

static int causes_by_weight(gconstpointer a, gconstpointer b)
{
	const struct cause_row *x = a, *y = b;

	return x->weight < y->weight ? 1 : x->weight > y->weight ? -1 : 0;
}

/* Sums self weights by the container at the root of a path and the first cause on it. */
static GArray *cause_rows(const struct calltree *tree)
{
	GArray *rows = g_array_new(FALSE, FALSE, sizeof(struct cause_row));
	g_autoptr(GHashTable) known = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	g_autofree guint32 *row_of = g_new0(guint32, tree->node_count); /* row + 1, inherited from the parent */
	g_autofree guint32 *owner_of = g_new0(guint32, tree->node_count);

	for (guint32 node = 1; node < tree->node_count; node++) {
		guint32 parent = tree->parent[node], frame = tree->frame[node];

		owner_of[node] = parent == CALLTREE_ROOT ? frame : owner_of[parent];
		row_of[node] = row_of[parent];
		if (!row_of[node] && tree->frames[frame].kind == FRAME_CAUSE) {
			gint64 key = (gint64)((guint64)owner_of[node] << 32 | frame);
			gpointer row = g_hash_table_lookup(known, &key);

			if (!row) {
				struct cause_row fresh = { .owner = owner_of[node], .cause = frame };

				g_array_append_val(rows, fresh);
				row = GUINT_TO_POINTER(rows->len);
				g_hash_table_insert(known, g_memdup2(&key, sizeof(key)), row);
			}
			row_of[node] = GPOINTER_TO_UINT(row);
		}
		if (row_of[node])
			g_array_index(rows, struct cause_row, row_of[node] - 1).weight += tree->self[node];
	}
	return rows;
}

static GArray *cause_owners(const GArray *rows)
{
	GArray *owners = g_array_new(FALSE, FALSE, sizeof(struct cause_row));

	for (guint i = 0; i < rows->len; i++) {
		const struct cause_row *row = &g_array_index(rows, struct cause_row, i);
		guint at = 0;

		while (at < owners->len && g_array_index(owners, struct cause_row, at).owner != row->owner)
			at++;
		if (at == owners->len)
			g_array_append_val(owners, *row);
		else
			g_array_index(owners, struct cause_row, at).weight += row->weight;
	}
	g_array_sort(owners, causes_by_weight);
	return owners;
}

static void page_owner_causes(const struct text_page *page, const GArray *rows, const struct cause_row *owner)
{
	const struct calltree *tree = page->shape->calltree;
	g_autofree char *name = text_terminal(tree->frames[owner->owner].name);
	g_autofree char *sum = units_weight(page->shape->unit, owner->weight);
	struct text_page own = *page;

	own.total = owner->weight;
	fprintf(page->out, "  %s%s%s  %s\n", page_colour(page, text_colours[FRAME_CONTAINER]), name,
		page_colour(page, "\033[0m"), sum);
	for (guint i = 0; i < rows->len; i++) {
		const struct cause_row *row = &g_array_index(rows, struct cause_row, i);
		g_autofree char *cause = NULL;

		if (row->owner != owner->owner || !row->weight)
			continue;
		cause = text_terminal(tree->frames[row->cause].name);
		page_percent(&own, row->weight, 10);
		fputc(' ', page->out);
		page_bar(&own, row->weight);
		page_weight(&own, row->weight, 10);
		fprintf(page->out, "  %s\n", cause);
	}
}

static void page_causes(const struct text_page *page)
{
	g_autoptr(GArray) rows = cause_rows(page->shape->calltree);
	g_autoptr(GArray) owners = cause_owners(rows);

	if (!rows->len)
		return;
	g_array_sort(rows, causes_by_weight);
	page_heading(page, "Where the time goes");
	for (guint i = 0; i < owners->len && i < page->top; i++)
		page_owner_causes(page, rows, &g_array_index(owners, struct cause_row, i));
	if (owners->len > page->top)
		fprintf(page->out, "  " TEXT_ELLIPSIS " and %u more\n", owners->len - page->top);
}

/* ---- differences: the functions that changed the most ---- */

struct change_row {
	guint32 frame;
	guint64 before, after, total_before, total_after; /* before: scaled when asked */
};

static guint64 change_size(const struct change_row *row)
{
	return row->after > row->before ? row->after - row->before : row->before - row->after;
}

static int changes_by_size(gconstpointer a, gconstpointer b)
{
	const struct change_row *x = a, *y = b;
	guint64 p = change_size(x), q = change_size(y);

	return p != q ? (p < q ? 1 : -1) : x->frame < y->frame ? -1 : 1;
}

static guint64 change_scaled(guint64 weight, double scale)
{
	return scale == 1.0 ? weight : (guint64)((double)weight * scale + 0.5);
}

/* "+1.20 s" or "−3": the sign as a word of its own would be easy to miss. */
static void page_change(const struct text_page *page, guint64 before, guint64 after, guint width)
{
	g_autofree char *size = units_weight(page->shape->unit, after > before ? after - before : before - after);
	g_autofree char *text = g_strdup_printf("%s%s",
						after > before	 ? "+"
						: after < before ? "\342\210\222"
								 : "",
						size);

	fputs(page_colour(page, after > before ? "\033[31m" : "\033[34m"), page->out);
	page_right(page, text, width);
	fputs(page_colour(page, "\033[0m"), page->out);
}

static GArray *change_rows(const struct calltree *tree, double scale)
{
	g_autoptr(GArray) rows = function_rows(tree);
	GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct change_row));

	for (guint i = 0; i < rows->len; i++) {
		const struct function_row *row = &g_array_index(rows, struct function_row, i);
		struct change_row change = { row->frame, change_scaled(row->self_before, scale), row->self,
					     change_scaled(row->total_before, scale), row->total };

		if (change.before != change.after && frame_is_code(tree->frames[row->frame].kind))
			g_array_append_val(changes, change);
	}
	g_array_sort(changes, changes_by_size);
	return changes;
}

static void page_changes(const struct text_page *page)
{
	const struct calltree *tree = page->shape->calltree;
	g_autofree guint64 *totals = calltree_totals(tree, tree->baseline);
	double scale = page->options->normalized && totals[0] ? (double)page->total / (double)totals[0] : 1.0;
	g_autoptr(GArray) changes = change_rows(tree, scale);

	page_heading(page, page->options->normalized ? "What changed most (before scaled to the same total)"
						     : "What changed most");
	fprintf(page->out, "%s     self:  change     before      after     total:  change%s\n",
		page_colour(page, "\033[2m"), page_colour(page, "\033[0m"));
	for (guint i = 0; i < MIN(changes->len, page->top * 2); i++) {
		const struct change_row *row = &g_array_index(changes, struct change_row, i);
		guint columns = page->columns - MIN(CHANGE_COLUMNS, page->columns - NAME_COLUMNS_MIN);
		g_autofree char *label = frame_label(&tree->frames[row->frame], columns);
		g_autofree char *cut = text_cut(label, columns);

		page_change(page, row->before, row->after, 19);
		page_weight(page, row->before, 11);
		page_weight(page, row->after, 11);
		page_change(page, row->total_before, row->total_after, 13);
		fprintf(page->out, "  %s\n", cut);
	}
	page_change(page, change_scaled(totals[0], scale), page->total, 19);
	page_weight(page, change_scaled(totals[0], scale), 11);
	page_weight(page, page->total, 11);
	fprintf(page->out, "%13s  all\n", "");
}

static void text_calltree(struct text_page *page)
{
	const struct calltree *tree = page->shape->calltree;
	g_autofree guint64 *totals = calltree_totals(tree, tree->self);

	page->total = totals[0];
	if (tree->baseline) {
		page_changes(page);
	} else if (page->total) {
		page_causes(page);
		page_paths(page);
		page_functions(page);
	} else {
		page_wrapped(page, "\nNothing was seen: the target did nothing of this kind in that time.\n");
	}
}

gboolean render_text(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = render_shape(snapshot, error);
	g_autofree char *facts = NULL, *safe_facts = NULL, *title = NULL;
	struct text_page page = {
		.out = out, .options = options, .shape = shape, .duration_ns = snapshot->duration_ns
	};

	if (!shape)
		return FALSE;
	page.columns = MAX(options->columns ? options->columns : TEXT_COLUMNS, TEXT_COLUMNS_MIN);
	page.top = options->top ? options->top : TEXT_TOP;
	facts = heading_facts(snapshot, shape);
	safe_facts = text_terminal(facts);
	title = text_terminal(render_title(snapshot, options));
	page_wrapped(&page, "%s%s%s\n%s\n", page_colour(&page, "\033[1m"), title, page_colour(&page, "\033[0m"),
		     safe_facts);
	if (shape->calltree)
		text_calltree(&page);
	else if (shape->histogram)
		text_histogram(&page);
	else if (shape->edges)
		text_edges(&page);
	page_ledger(&page);
	return TRUE;
}
