/* SPDX-License-Identifier: Apache-2.0 */
/* A heat map: time from left to right, buckets upwards, how many events as a shade. Pure arithmetic; the terminal and
 * the pictures draw it. */
#pragma once
#include <glib.h>

#include "render/blocks.h"

#define HEATMAP_LEVELS 8

struct heatmap {
	guint columns; /* slots put together */
	guint64 column_ns;
	guint first, rows; /* buckets first … first + rows - 1 */
	guint64 *cells; /* [row * columns + column]; row 0 is bucket `first` */
	guint64 most; /* of all cells */
};

/* The heat map of a block, at most `most_columns` wide; `slot_ns` as in the histogram, `duration_ns` of the snapshot.
 * Its rows are 0 when nothing was counted. */
void heatmap_init(struct heatmap *map, const struct block *block, guint64 slot_ns, guint64 duration_ns,
		  guint most_columns);
void heatmap_clear(struct heatmap *map);
/* Between two marks on its axis of time: a round number, so that there are no more than `most` of them behind the first. */
guint64 heatmap_tick_ns(const struct heatmap *map, guint most);
/* "1.5 s", "10 min": a multiple of such a step, without digits that say nothing. Owned by the caller. */
char *heatmap_tick_text(guint64 ns);
/* 0 for nothing, else 1 … HEATMAP_LEVELS, by the logarithm of the count. */
guint heatmap_level(const struct heatmap *map, guint row, guint column);
