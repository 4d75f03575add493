/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and edges in the terminal.
 *
 * A histogram's last label (why a thread waited, queue or device …) becomes columns; what the other labels keep apart
 * becomes one block each, the heaviest first. A bucket says what it holds: "2–4 ms". */
#include <string.h>

#include "base/text.h"
#include "render/heatmap.h"
#include "render/text_page.h"

#define BLOCK_EMPTY_SHOWN 3 /* so many empty buckets in a row become one line */

static void block_quantile(const struct text_page *page, const struct block *block, GString *line, const char *name,
			   double share)
{
	int bucket = histogram_quantile(&block->all, share);
	g_autofree char *range = bucket < 0 ? NULL : units_range(page->shape->unit, bucket);

	if (range)
		g_string_append_printf(line, ", %s %s", name, range);
}

static void block_heading(const struct text_page *page, const struct block *block)
{
	enum unit unit = page->shape->unit;
	g_autofree char *count = units_count(block->all.count), *sum = units_weight(unit, block->all.sum);
	g_autofree char *mean = units_weight(unit, block->all.count ? block->all.sum / block->all.count : 0);
	g_autofree char *max = units_weight(unit, block->all.max);
	g_autofree char *safe = text_terminal(block->name), *name = text_cut(safe, page->columns);
	g_autoptr(GString) line = g_string_new(NULL);

	fprintf(page->out, "\n%s%s%s\n", page_colour(page, "\033[1;35m"), name, page_colour(page, "\033[0m"));
	g_string_append_printf(line, "  %s in all, %s together, mean %s", count, sum, mean);
	block_quantile(page, block, line, "p50", 0.5);
	block_quantile(page, block, line, "p99", 0.99);
	if (block->all.max)
		g_string_append_printf(line, ", longest %s", max);
	page_wrapped(page, "%s\n", line->str);
}

/* What a value of the last label is called; an error that there was not is "ok". Safe; owned by the caller. */
static char *part_name(const struct block *block, guint i)
{
	const char *name = g_ptr_array_index(block->columns, i);

	return *name ? text_terminal(name) : g_strdup("ok");
}

/* One line for each value of the last label: its share of the sum. */
static void block_parts(const struct text_page *page, const struct block *block)
{
	struct text_page own = *page;

	own.total = block->all.sum;
	for (guint i = 0; i < block->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(block->rows, i);
		g_autofree char *name = part_name(block, i);
		g_autofree char *count = units_count(row->counts.count);
		g_autofree char *sum = units_weight(page->shape->unit, row->counts.sum);

		if (!row->counts.count && !row->counts.sum)
			continue;
		fputs("  ", page->out);
		page_left(page, name, 12);
		page_right(page, count, 10);
		page_right(page, sum, 11);
		page_percent(&own, row->counts.sum, 9);
		fputc('\n', page->out);
	}
}

/* How many empty buckets follow from `bucket` on. */
static guint block_empty(const struct block *block, guint bucket)
{
	guint count = 0;

	while (bucket + count < HISTOGRAM_BUCKETS && !block->all.buckets[bucket + count])
		count++;
	return count;
}

static void block_buckets(const struct text_page *page, const struct block *block)
{
	struct text_page own = *page;
	guint first = HISTOGRAM_BUCKETS, last = 0;

	own.total = 0;
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!block->all.buckets[i])
			continue;
		first = MIN(first, i);
		last = i;
		own.total = MAX(own.total, block->all.buckets[i]);
	}
	for (guint i = first; i <= last && first < HISTOGRAM_BUCKETS; i++) {
		guint empty = block_empty(block, i);
		g_autofree char *range = units_range(page->shape->unit, i);
		g_autofree char *count = units_count(block->all.buckets[i]);

		if (empty >= BLOCK_EMPTY_SHOWN) {
			fprintf(page->out, "%19s\n", "...");
			i += empty - 1;
			continue;
		}
		fputs("  ", page->out);
		page_right(page, range, 17);
		page_right(page, count, 9);
		fputc(' ', page->out);
		page_bar(&own, block->all.buckets[i]);
		for (guint row = 0; block->rows->len > 1 && row < block->rows->len; row++) {
			const struct histogram_row *part = g_ptr_array_index(block->rows, row);
			g_autofree char *name = NULL, *part_count = NULL;

			if (!part->counts.buckets[i])
				continue;
			name = part_name(block, row);
			part_count = units_count(part->counts.buckets[i]);
			fprintf(page->out, "  %s %s", name, part_count);
		}
		fputc('\n', page->out);
	}
}

/* ---- heat maps ---- */

#define MAP_AXIS 18 /* columns */
#define MAP_TICK 10 /* columns between marks, at least */
#define MAP_ASCII " .:-=+*%@"

/* A cell: a coloured block, or a denser and denser character where colours are not wanted. */
static void map_cell(const struct text_page *page, guint level)
{
	static const guint8 colours[HEATMAP_LEVELS + 1] = { 0, 223, 216, 209, 208, 203, 161, 125, 89 };

	if (!level)
		fputc(' ', page->out);
	else if (page->options->colour)
		fprintf(page->out, "\033[48;5;%um \033[0m", colours[level]);
	else
		fputc(MAP_ASCII[level], page->out);
}

/* Marks at round times, and below each what it is; a label that has no room is left out. */
static void map_axis(const struct text_page *page, const struct heatmap *map)
{
	guint64 step_ns = heatmap_tick_ns(map, MAX(map->columns / MAP_TICK, 1));
	g_autoptr(GString) line = g_string_new(NULL), labels = g_string_new(NULL);

	for (guint i = 0; i < map->columns; i++) {
		guint64 from_ns = map->column_ns * i, mark_ns = (from_ns + step_ns - 1) / step_ns * step_ns;
		g_autofree char *label = mark_ns < from_ns + map->column_ns ? heatmap_tick_text(mark_ns) : NULL;

		g_string_append(line, label ? "\342\224\264" : "\342\224\200");
		if (label && labels->len <= i)
			g_string_append_printf(labels, "%*s%s ", (int)(i - labels->len), "", label);
	}
	fprintf(page->out, "%*s \342\224\224%s\n%*s  %s\n", MAP_AXIS, "", line->str, MAP_AXIS, "",
		g_strchomp(labels->str));
}

static void block_map(const struct text_page *page, const struct block *block, guint64 slot_ns)
{
	guint wide = page->columns > MAP_AXIS + 22 ? page->columns - MAP_AXIS - 2 : 20;
	g_autofree char *most = NULL, *column = NULL;
	struct heatmap map;

	heatmap_init(&map, block, slot_ns, page->duration_ns, wide);
	for (guint row = map.rows; row-- > 0;) {
		g_autofree char *range = units_range(page->shape->unit, map.first + row);

		page_right(page, range, MAP_AXIS);
		fputs(" \342\224\202", page->out);
		for (guint i = 0; i < map.columns; i++)
			map_cell(page, heatmap_level(&map, row, i));
		fputc('\n', page->out);
	}
	if (map.rows) {
		column = units_duration(map.column_ns);
		most = units_count(map.most);
		map_axis(page, &map);
		fprintf(page->out, "%*s  a column is %s; the darkest cell holds %s\n", MAP_AXIS, "", column, most);
	}
	heatmap_clear(&map);
}

void text_histogram(struct text_page *page)
{
	const struct histogram *histogram = page->shape->histogram;
	g_autoptr(GPtrArray) blocks = blocks_of(histogram);
	guint shown = 0;

	for (; shown < blocks->len && shown < page->top; shown++) {
		const struct block *block = g_ptr_array_index(blocks, shown);

		block_heading(page, block);
		if (block->rows->len > 1 || ((const char *)g_ptr_array_index(block->columns, 0))[0])
			block_parts(page, block);
		if (histogram->slot_ns)
			block_map(page, block, histogram->slot_ns);
		else
			block_buckets(page, block);
	}
	if (!blocks->len)
		page_wrapped(page, "\nNothing was seen: the target did nothing of this kind in that time.\n");
	if (shown < blocks->len)
		fprintf(page->out, "\n\342\200\246 and %u more (--top)\n", blocks->len - shown);
	if (histogram->overflow)
		fprintf(page->out, "\nToo many different keys: %" G_GUINT64_FORMAT " events are in none of them.\n",
			histogram->overflow);
}

/* ---- edges ---- */

static void source_print(const struct text_page *page, const struct source *source)
{
	const struct edges *edges = page->shape->edges;
	g_autofree char *name = text_terminal(source->end.name);
	g_autofree char *cut = text_cut(name, page->columns - 20);
	g_autofree char *sum = units_weight(edges->counters[0].unit, source->sum);
	struct text_page own = *page;

	own.total = source->sum;
	fprintf(page->out, "\n%s%s%s  %s %s\n", page_colour(page, "\033[1;35m"), cut, page_colour(page, "\033[0m"),
		edges->counters[0].name, sum);
	for (guint i = 0; i < source->rows->len && i < page->top; i++) {
		guint32 row = g_array_index(source->rows, guint32, i);
		const struct edge *edge = g_ptr_array_index(edges->rows, row);
		g_autofree char *target = target_name(edges, source, row);
		g_autofree char *safe = text_terminal(target);
		g_autofree char *fitting = text_cut(safe, page->columns - 36);
		g_autofree char *weight = units_weight(edges->counters[0].unit, edge->counters[0]);

		page_percent(&own, edge->counters[0], 10);
		fputc(' ', page->out);
		page_bar(&own, edge->counters[0]);
		page_right(page, weight, 10);
		fprintf(page->out, "  %s\n", fitting);
	}
	if (source->rows->len > page->top)
		fprintf(page->out, "%10s and %u more (--top)\n", "...", source->rows->len - page->top);
}

void text_edges(struct text_page *page)
{
	const struct edges *edges = page->shape->edges;
	g_autoptr(GPtrArray) sources = sources_of(edges);

	if (!edges->counter_count || !sources->len)
		page_wrapped(page, "\nNobody waited: of those asked for nobody had to in that time.\n");
	for (guint i = 0; edges->counter_count && i < sources->len && i < page->top; i++)
		source_print(page, g_ptr_array_index(sources, i));
	if (sources->len > page->top)
		fprintf(page->out, "\n... and %u more (--top)\n", sources->len - page->top);
}
