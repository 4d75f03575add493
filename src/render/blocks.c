/* SPDX-License-Identifier: Apache-2.0 */
#include "render/blocks.h"

#include <string.h>

#define BLOCK_COLUMNS_MAX 4 /* more values of the last label: no columns */
#define DASH "\342\200\223"

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
	const char *low_unit;
	guint64 low = range_split(unit, histogram_bucket_low(unit, bucket), &low_unit);

	if (bucket + 1 == HISTOGRAM_BUCKETS)
		return g_strdup_printf("over %" G_GUINT64_FORMAT "%s", low, low_unit);
	return units_bounds(unit, histogram_bucket_low(unit, bucket), histogram_bucket_high(unit, bucket));
}

char *units_bounds(enum unit unit, guint64 low, guint64 high)
{
	const char *low_unit, *high_unit;

	high = range_split(unit, high, &high_unit);
	low = range_split(unit, low, &low_unit);
	if (low == 0 || strcmp(low_unit, high_unit) == 0)
		low_unit = "";
	return g_strdup_printf("%" G_GUINT64_FORMAT "%s" DASH "%" G_GUINT64_FORMAT "%s", low, low_unit, high,
			       high_unit);
}

static void block_free(gpointer data)
{
	struct block *block = data;

	g_ptr_array_unref(block->rows);
	g_ptr_array_unref(block->columns);
	g_free(block->name);
	g_free(block);
}

/* "web · sda · read"; the container alone when the others do not apply. */
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
		g_string_append(name, values[i]);
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

GPtrArray *blocks_of(const struct histogram *histogram)
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

static void source_free(gpointer data)
{
	struct source *source = data;

	g_array_unref(source->rows);
	g_free(source);
}

guint64 edge_weight(const struct edges *edges, guint32 row)
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

gboolean ends_equal(struct edge_end a, struct edge_end b)
{
	return a.kind == b.kind && strcmp(a.name, b.name) == 0;
}

GPtrArray *sources_of(const struct edges *edges)
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

/* "db", "itself", "host": what the target is to the source. */
char *target_name(const struct edges *edges, const struct source *source, guint32 row)
{
	struct edge_end target = edges_target(edges, row);
	const char *const *labels = edges_labels(edges, row);
	g_autoptr(GString) name = g_string_new(NULL);

	if (ends_equal(source->end, target))
		g_string_append(name, "itself");
	else
		g_string_append(name, target.name);
	for (guint i = 1; edges->labels[0] && edges->labels[i]; i++) {
		if (!labels[i])
			continue;
		g_string_append(name, " \302\267 ");
		g_string_append(name, labels[i]);
	}
	return g_string_free(g_steal_pointer(&name), FALSE);
}
