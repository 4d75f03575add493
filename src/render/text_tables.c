/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and edges in the terminal.
 *
 * A histogram's last label (why a thread waited, queue or device …) becomes columns; what the other labels keep apart
 * becomes one block each, the heaviest first. A bucket says what it holds: "2–4 ms". */
#include <string.h>

#include "base/text.h"
#include "render/text_page.h"

#define BLOCK_COLUMNS_MAX 4 /* more values of the last label: no columns */
#define DASH "\342\200\223"
#define BLOCK_EMPTY_SHOWN 3 /* so many empty buckets in a row become one line */

/* "512", " µs": the bounds of buckets are whole numbers of a unit. */
static guint64 range_split(enum unit unit, guint64 value, const char **suffix)
{
	static const char *const times[] = { " ns", " \302\265s", " ms", " s" };
	static const char *const sizes[] = { " B", " KiB", " MiB", " GiB", " TiB" };
	guint64 step = unit == UNIT_BYTES ? 1024 : 1000;
	guint i = 0, last = unit == UNIT_BYTES ? G_N_ELEMENTS(sizes) - 1 : G_N_ELEMENTS(times) - 1;

	for (; unit != UNIT_COUNT && value >= step && value % step == 0 && i < last; i++)
		value /= step;
	*suffix = unit == UNIT_COUNT ? "" : unit == UNIT_BYTES ? sizes[i] : times[i];
	return value;
}

char *units_range(enum unit unit, guint bucket)
{
	const char *low_unit, *high_unit;
	guint64 low, high;

	high = range_split(unit, histogram_bucket_high(unit, bucket), &high_unit);
	low = range_split(unit, histogram_bucket_low(unit, bucket), &low_unit);
	if (bucket + 1 == HISTOGRAM_BUCKETS)
		return g_strdup_printf("over %" G_GUINT64_FORMAT "%s", low, low_unit);
	if (low == 0 || strcmp(low_unit, high_unit) == 0)
		low_unit = "";
	return g_strdup_printf("%" G_GUINT64_FORMAT "%s" DASH "%" G_GUINT64_FORMAT "%s", low, low_unit, high,
			       high_unit);
}

/* What one block shows: all rows that agree in all labels but the last. */
struct block {
	GPtrArray *rows; /* of struct histogram_row * */
	GPtrArray *columns; /* of const char *: value of the last label, by row */
	char *name; /* safe */
	struct histogram_counts all;
};

static void block_free(gpointer data)
{
	struct block *block = data;

	g_ptr_array_unref(block->rows);
	g_ptr_array_unref(block->columns);
	g_free(block->name);
	g_free(block);
}

/* "web · sda · read", safe; the container alone when the others do not apply. */
static char *block_name(const struct histogram *histogram, guint32 row, guint labels)
{
	const char *const *values = histogram_values(histogram, row);
	g_autoptr(GString) name = g_string_new(NULL);

	for (guint i = 0; i < labels; i++) {
		if (!values[i])
			continue;
		if (name->len)
			g_string_append(name, " \302\267 ");
		if (strcmp(histogram->labels[i], "pidns") == 0)
			g_string_append(name, "pid namespace ");
		text_append_terminal(name, values[i], -1);
	}
	return g_string_free(g_steal_pointer(&name), FALSE);
}

/* How many labels name a block: all but the last, when the last has few values. */
static guint block_labels(const struct histogram *histogram)
{
	guint width = histogram->keys.width;
	g_autoptr(GHashTable) values = g_hash_table_new(g_str_hash, g_str_equal);

	if (width < 2 || histogram_label(histogram, "process") == (int)width - 1 ||
	    histogram_label(histogram, "pidns") == (int)width - 1 ||
	    histogram_label(histogram, "cgroup") == (int)width - 1)
		return width;
	for (guint i = 0; i < histogram->rows->len; i++) {
		const char *value = histogram_values(histogram, i)[width - 1];

		g_hash_table_add(values, (gpointer)(value ? value : ""));
	}
	return g_hash_table_size(values) <= BLOCK_COLUMNS_MAX ? width - 1 : width;
}

static int blocks_by_sum(gconstpointer a, gconstpointer b)
{
	const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;

	if (x->all.sum != y->all.sum)
		return x->all.sum < y->all.sum ? 1 : -1;
	return strcmp(x->name, y->name);
}

static GPtrArray *blocks_of(const struct histogram *histogram)
{
	GPtrArray *blocks = g_ptr_array_new_with_free_func(block_free);
	g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	guint labels = block_labels(histogram), width = histogram->keys.width;

	for (guint i = 0; i < histogram->rows->len; i++) {
		struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		g_autofree char *name = block_name(histogram, i, labels);
		struct block *block = g_hash_table_lookup(known, name);
		const char *column = labels < width ? histogram_values(histogram, i)[width - 1] : NULL;

		if (!block) {
			block = g_new0(struct block, 1);
			block->rows = g_ptr_array_new();
			block->columns = g_ptr_array_new();
			block->name = g_strdup(name);
			g_ptr_array_add(blocks, block);
			g_hash_table_insert(known, g_strdup(name), block);
		}
		g_ptr_array_add(block->rows, row);
		g_ptr_array_add(block->columns, (gpointer)(column ? column : ""));
		histogram_counts_add(&block->all, &row->counts);
	}
	g_ptr_array_sort(blocks, blocks_by_sum);
	return blocks;
}

static void block_quantile(const struct text_page *page, const struct block *block, const char *name, double share)
{
	int bucket = histogram_quantile(&block->all, share);
	g_autofree char *range = bucket < 0 ? NULL : units_range(page->shape->unit, bucket);

	if (range)
		fprintf(page->out, ", %s %s", name, range);
}

static void block_heading(const struct text_page *page, const struct block *block)
{
	enum unit unit = page->shape->unit;
	g_autofree char *count = units_count(block->all.count), *sum = units_weight(unit, block->all.sum);
	g_autofree char *mean = units_weight(unit, block->all.count ? block->all.sum / block->all.count : 0);
	g_autofree char *max = units_weight(unit, block->all.max);
	g_autofree char *name = text_cut(block->name, page->columns);

	fprintf(page->out, "\n%s%s%s\n  %s in all, %s together, mean %s", page_colour(page, "\033[1;35m"), name,
		page_colour(page, "\033[0m"), count, sum, mean);
	block_quantile(page, block, "p50", 0.5);
	block_quantile(page, block, "p99", 0.99);
	if (block->all.max)
		fprintf(page->out, ", longest %s", max);
	fputc('\n', page->out);
}

/* One line for each value of the last label: its share of the sum. */
static void block_parts(const struct text_page *page, const struct block *block)
{
	struct text_page own = *page;

	own.total = block->all.sum;
	for (guint i = 0; i < block->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(block->rows, i);
		g_autofree char *name = text_terminal(g_ptr_array_index(block->columns, i));
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
			name = text_terminal(g_ptr_array_index(block->columns, row));
			part_count = units_count(part->counts.buckets[i]);
			fprintf(page->out, "  %s %s", name, part_count);
		}
		fputc('\n', page->out);
	}
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
		block_buckets(page, block);
	}
	if (!blocks->len)
		fputs("\nNothing was seen: the target did nothing of this kind in that time.\n", page->out);
	if (shown < blocks->len)
		fprintf(page->out, "\n\342\200\246 and %u more (--top)\n", blocks->len - shown);
	if (histogram->overflow)
		fprintf(page->out, "\nToo many different keys: %" G_GUINT64_FORMAT " events are in none of them.\n",
			histogram->overflow);
}

/* ---- edges ---- */

/* All edges of one source. */
struct source {
	struct edge_end end;
	GArray *rows; /* of guint32: edges, the heaviest first */
	guint64 sum; /* of the first counter */
};

static void source_free(gpointer data)
{
	struct source *source = data;

	g_array_unref(source->rows);
	g_free(source);
}

static guint64 edge_weight(const struct edges *edges, guint32 row)
{
	return ((const struct edge *)g_ptr_array_index(edges->rows, row))->counters[0];
}

static int edges_by_weight(gconstpointer a, gconstpointer b, gpointer edges)
{
	guint64 x = edge_weight(edges, *(const guint32 *)a), y = edge_weight(edges, *(const guint32 *)b);

	return x < y ? 1 : x > y ? -1 : 0;
}

static int sources_by_sum(gconstpointer a, gconstpointer b)
{
	const struct source *x = *(struct source *const *)a, *y = *(struct source *const *)b;

	return x->sum < y->sum ? 1 : x->sum > y->sum ? -1 : 0;
}

static gboolean ends_equal(struct edge_end a, struct edge_end b)
{
	return a.kind == b.kind && strcmp(a.name, b.name) == 0;
}

static GPtrArray *sources_of(const struct edges *edges)
{
	GPtrArray *sources = g_ptr_array_new_with_free_func(source_free);

	for (guint32 i = 0; i < edges->rows->len; i++) {
		struct edge_end end = edges_source(edges, i);
		struct source *source = NULL;

		for (guint at = 0; at < sources->len && !source; at++)
			if (ends_equal(((struct source *)g_ptr_array_index(sources, at))->end, end))
				source = g_ptr_array_index(sources, at);
		if (!source) {
			source = g_new0(struct source, 1);
			source->end = end;
			source->rows = g_array_new(FALSE, FALSE, sizeof(guint32));
			g_ptr_array_add(sources, source);
		}
		g_array_append_val(source->rows, i);
		source->sum += edge_weight(edges, i);
	}
	for (guint i = 0; i < sources->len; i++)
		g_array_sort_with_data(((struct source *)g_ptr_array_index(sources, i))->rows, edges_by_weight,
				       (gpointer)edges);
	g_ptr_array_sort(sources, sources_by_sum);
	return sources;
}

/* "db", "itself", "host": what the target is to the source, safe. */
static char *target_name(const struct edges *edges, const struct source *source, guint32 row)
{
	struct edge_end target = edges_target(edges, row);
	const char *const *labels = edges_labels(edges, row);
	g_autoptr(GString) name = g_string_new(NULL);

	if (ends_equal(source->end, target))
		g_string_append(name, "itself");
	else
		text_append_terminal(name, target.name, -1);
	for (guint i = 1; edges->labels[0] && edges->labels[i]; i++) {
		if (!labels[i])
			continue;
		g_string_append(name, " \302\267 ");
		text_append_terminal(name, labels[i], -1);
	}
	return g_string_free(g_steal_pointer(&name), FALSE);
}

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
		g_autofree char *fitting = text_cut(target, page->columns - 36);
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
		fputs("\nNothing was seen: the target did nothing of this kind in that time.\n", page->out);
	for (guint i = 0; edges->counter_count && i < sources->len && i < page->top; i++)
		source_print(page, g_ptr_array_index(sources, i));
	if (sources->len > page->top)
		fprintf(page->out, "\n... and %u more (--top)\n", sources->len - page->top);
}
