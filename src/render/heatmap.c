/* SPDX-License-Identifier: Apache-2.0 */
#include "render/heatmap.h"

#include <math.h>

static void heatmap_range(struct heatmap *map, const struct block *block)
{
	guint last = 0;

	map->first = HISTOGRAM_BUCKETS;
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!block->all.buckets[i])
			continue;
		map->first = MIN(map->first, i);
		last = i;
	}
	map->rows = map->first == HISTOGRAM_BUCKETS ? 0 : last - map->first + 1;
}

static void heatmap_add(struct heatmap *map, const struct histogram_slot *slot, guint together)
{
	guint column = MIN(slot->slot / together, map->columns - 1);

	for (guint row = 0; row < map->rows; row++) {
		guint64 *cell = &map->cells[(gsize)row * map->columns + column];

		*cell += slot->buckets[map->first + row];
		map->most = MAX(map->most, *cell);
	}
}

void heatmap_init(struct heatmap *map, const struct block *block, guint64 slot_ns, guint64 duration_ns,
		  guint most_columns)
{
	guint slots = slot_ns ? (guint)CLAMP((duration_ns + slot_ns / 2) / slot_ns, 1, HISTOGRAM_SLOTS_MAX) : 0;
	guint together;

	*map = (struct heatmap){ 0 };
	for (guint i = 0; i < block->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(block->rows, i);

		if (row->slots && row->slots->len)
			slots = MAX(slots,
				    g_array_index(row->slots, struct histogram_slot, row->slots->len - 1).slot + 1);
	}
	heatmap_range(map, block);
	if (!slots || !map->rows) {
		map->rows = 0;
		return;
	}
	together = (slots + most_columns - 1) / most_columns;
	map->columns = (slots + together - 1) / together;
	map->column_ns = slot_ns * together;
	map->cells = g_new0(guint64, (gsize)map->rows * map->columns);
	for (guint i = 0; i < block->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(block->rows, i);

		for (guint at = 0; row->slots && at < row->slots->len; at++)
			heatmap_add(map, &g_array_index(row->slots, struct histogram_slot, at), together);
	}
}

guint64 heatmap_tick_ns(const struct heatmap *map, guint most)
{
	/* Milliseconds. */
	static const guint steps[] = { 1,      2,      5,	10,	 20,	  50,	    100,      200,     500,
				       1000,   2000,   5000,	10000,	 15000,	  30000,    60000,    120000,  300000,
				       600000, 900000, 1800000, 3600000, 7200000, 14400000, 28800000, 43200000 };
	guint64 day_ns = 24 * 3600 * NS_PER_S, whole_ns = map->column_ns * map->columns;

	for (guint i = 0; i < G_N_ELEMENTS(steps); i++)
		if (whole_ns / (steps[i] * NS_PER_MS) <= most)
			return steps[i] * NS_PER_MS;
	return day_ns * MAX((whole_ns / day_ns + most - 1) / most, 1);
}

char *heatmap_tick_text(guint64 ns)
{
	static const struct {
		guint64 ns;
		const char *name;
	} wholes[] = { { 3600 * NS_PER_S, "h" }, { 60 * NS_PER_S, "min" }, { NS_PER_S, "s" } };

	if (!ns)
		return g_strdup("0");
	for (guint i = 0; i < G_N_ELEMENTS(wholes); i++)
		if (ns % wholes[i].ns == 0)
			return g_strdup_printf("%" G_GUINT64_FORMAT " %s", ns / wholes[i].ns, wholes[i].name);
	return ns >= NS_PER_S ? g_strdup_printf("%g s", (double)ns / (double)NS_PER_S)
			      : g_strdup_printf("%g ms", (double)ns / (double)NS_PER_MS);
}

void heatmap_clear(struct heatmap *map)
{
	g_free(map->cells);
}

guint heatmap_level(const struct heatmap *map, guint row, guint column)
{
	guint64 count = map->cells[(gsize)row * map->columns + column];

	if (!count)
		return 0;
	if (map->most == 1)
		return HEATMAP_LEVELS;
	return 1 + (guint)floor(log((double)count) / log((double)map->most) * (HEATMAP_LEVELS - 1) + 1e-9);
}
