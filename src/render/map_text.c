/* SPDX-License-Identifier: Apache-2.0 */
/* A service map as a tree: who opens connections, and below whom he opens them to. Who stands there already with his
 * own is referred to, not told twice. */
#include <string.h>

#include "base/text.h"
#include "render/blocks.h"
#include "render/map_formats.h"
#include "render/text_page.h"

#define TREE_DEPTH_MAX 24
#define TREE_NAME_COLUMNS 40

struct tree {
	struct text_page page;
	const struct map *map;
	gboolean *told; /* by node: its links have been shown */
	GString *line; /* that is being made */
	const char *hang; /* before what does not fit on it */
};

static const struct map_node *tree_node(const struct tree *tree, guint node)
{
	return &g_array_index(tree->map->nodes, struct map_node, node);
}

static void tree_end(struct tree *tree)
{
	text_wrap(tree->line, 0, tree->page.options->columns);
	fprintf(tree->page.out, "%s\n", tree->line->str);
	g_string_truncate(tree->line, 0);
}

/* What does not fit on the line of a terminal goes on below it. `text` is safe and may have colours. */
static void tree_put(struct tree *tree, const char *text)
{
	guint room = tree->page.options->columns, gap = 2;

	if (room && text_columns(tree->line->str) + gap + text_columns(text) > room) {
		tree_end(tree);
		g_string_append(tree->line, tree->hang);
	}
	g_string_append_printf(tree->line, "  %s", text);
}

static void tree_name(const struct tree *tree, const struct map_node *node)
{
	g_autofree char *safe = text_terminal(node->end.name), *cut = text_cut(safe, TREE_NAME_COLUMNS);
	gboolean strong = node->end.kind == EDGE_END_CONTAINER;

	g_string_append_printf(tree->line, "%s%s%s", strong ? page_colour(&tree->page, "\033[1;35m") : "", cut,
			       strong ? page_colour(&tree->page, "\033[0m") : "");
	if (node->folded)
		g_string_append_printf(tree->line, " (%u)", node->folded);
	if (node->end.kind == EDGE_END_TOLD)
		g_string_append_printf(tree->line, " %s(by DNS)%s", page_colour(&tree->page, "\033[2m"),
				       page_colour(&tree->page, "\033[0m"));
}

static void tree_range(struct tree *tree, const char *what, guint64 low_ns, guint64 high_ns)
{
	g_autofree char *range = high_ns ? units_bounds(UNIT_NANOSECONDS, low_ns, high_ns) : NULL;
	g_autofree char *text = g_strdup_printf("%s %s", what, range);

	if (range)
		tree_put(tree, text);
}

static void tree_why(struct tree *tree, const struct map_link *link)
{
	g_autofree char *text =
		g_strdup_printf("%s%s %s%s",
				page_colour(&tree->page, link->status == MAP_BAD ? "\033[1;31m" : "\033[33m"),
				link->status == MAP_BAD ? "!!" : "!", link->why, page_colour(&tree->page, "\033[0m"));

	tree_put(tree, text);
}

static void tree_numbers(struct tree *tree, const struct map_link *link)
{
	g_autofree char *rate = map_link_rate(tree->map, link);
	guint64 bytes = link->numbers.sent_bytes + link->numbers.received_bytes;
	g_autofree char *size = units_bytes(bytes);

	tree_put(tree, rate);
	if (bytes)
		tree_put(tree, size);
	tree_range(tree, "connect", link->numbers.connect_low_ns, link->numbers.connect_high_ns);
	tree_range(tree, "rtt", link->numbers.rtt_low_ns, link->numbers.rtt_high_ns);
	tree_range(tree, "request", link->numbers.request_low_ns, link->numbers.request_high_ns);
	if (link->why)
		tree_why(tree, link);
}

static void tree_links(struct tree *tree, guint node, const char *indent, guint depth);

static void tree_link(struct tree *tree, const struct map_link *link, const char *indent, gboolean last, guint depth)
{
	const struct map_node *target = tree_node(tree, link->target);
	g_autofree char *ports = map_link_ports(link);
	g_autofree char *safe = text_terminal(ports);
	g_autofree char *deeper = g_strconcat(indent, last ? "   " : "\342\224\202  ", NULL);

	tree->hang = deeper;
	g_string_append_printf(tree->line, "%s%s ", indent,
			       last ? "\342\224\224\342\224\200" : "\342\224\234\342\224\200");
	tree_name(tree, target);
	g_string_append_printf(tree->line, "%s%s", safe[0] ? " " : "", safe);
	tree_numbers(tree, link);
	if (link->target == link->source)
		tree_put(tree, "(itself)");
	else if (target->out && tree->told[link->target])
		tree_put(tree, "(see above)");
	tree_end(tree);
	if (!tree->told[link->target] && depth < TREE_DEPTH_MAX)
		tree_links(tree, link->target, deeper, depth + 1);
}

static void tree_links(struct tree *tree, guint node, const char *indent, guint depth)
{
	guint left = tree_node(tree, node)->out;

	tree->told[node] = TRUE;
	for (guint i = 0; i < tree->map->links->len && left; i++) {
		const struct map_link *link = g_ptr_array_index(tree->map->links, i);

		if (link->source == node)
			tree_link(tree, link, indent, --left == 0, depth);
	}
}

/* A root is who opens connections and to whom nobody does; then, in circles, who is left. */
static void tree_roots(struct tree *tree, gboolean only_sources)
{
	for (guint i = 0; i < tree->map->nodes->len; i++) {
		const struct map_node *node = tree_node(tree, i);

		if (tree->told[i] || !node->out || (only_sources && node->in))
			continue;
		fputc('\n', tree->page.out);
		tree_name(tree, node);
		g_string_append_printf(tree->line, "  %s%s%s", page_colour(&tree->page, "\033[2m"),
				       map_kind_name(node->end.kind), page_colour(&tree->page, "\033[0m"));
		tree_end(tree);
		tree_links(tree, i, "", 0);
	}
}

gboolean map_write_text(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			GError **error)
{
	struct shape *shape = map_shape(snapshot, error);
	g_autoptr(map_t) map = shape ? map_new(shape->edges, snapshot->duration_ns) : NULL;
	struct tree tree = {
		.page = { .out = out,
			  .options = options,
			  .shape = shape,
			  .columns = options->columns ? options->columns : 80,
			  .top = 10 },
		.map = map,
	};

	if (!map)
		return FALSE;
	tree.told = g_new0(gboolean, map->nodes->len + 1);
	tree.line = g_string_new(NULL);
	page_heading(&tree.page, render_title(snapshot, options));
	if (!map->links->len)
		fputs("\nNo connection was seen.\n", out);
	tree_roots(&tree, TRUE);
	tree_roots(&tree, FALSE);
	page_ledger(&tree.page);
	g_string_free(tree.line, TRUE);
	g_free(tree.told);
	return TRUE;
}
