/* SPDX-License-Identifier: Apache-2.0 */
/* The histogram shape: how many events fell into which range, per key.
 *
 * A key is a tuple of labels; the first is always "container", the others depend on the probe ("wait", "device",
 * "operation", "process", "pidns" …). Every row counts in the same buckets, which double in width and whose bounds
 * are round numbers for people:
 * - nanoseconds: 1, 2, 4 … 512 ns, 1, 2, 4 … 512 µs, 1 ms … 512 ms, 1 s … 512 s, 1000 s … (so each tenth
 *   bucket is a little narrower than a doubling, and "2–4 ms" is exactly that);
 * - bytes and counts: powers of two.
 * The first bucket also holds 0, the last everything above. A bucket holds low ≤ value < high.
 *
 * With `slot_ns`, rows also keep their buckets by slot of time (for heat maps): slot i covers
 * [i · slot_ns, (i + 1) · slot_ns) since the snapshot's start. A differential histogram has a baseline in each row.
 * Names are raw bytes as observed: escape on output. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "model/keys.h"

#define HISTOGRAM_BUCKETS 48
#define HISTOGRAM_SLOTS_MAX (1u << 16)
#define HISTOGRAM_LABELS_MAX 8

struct histogram_counts {
	guint64 count; /* = all buckets together */
	guint64 sum; /* of the values */
	guint64 max; /* largest value; 0: not known */
	guint64 buckets[HISTOGRAM_BUCKETS];
};

struct histogram_slot {
	guint32 slot;
	guint32 max_bucket; /* one past the last that is not 0 */
	guint64 buckets[HISTOGRAM_BUCKETS];
};

struct histogram_row {
	struct histogram_counts counts;
	struct histogram_counts *baseline; /* of the other capture; NULL unless differential */
	GArray *slots; /* of struct histogram_slot, ascending; NULL: none */
};

struct histogram {
	GStrv labels; /* names, "container" first */
	guint64 slot_ns; /* 0: no slots */
	guint64 overflow; /* events that found no row because there were too many keys */
	struct keys keys;
	GPtrArray *rows; /* of struct histogram_row *, by the ids of `keys` */
};

/* `labels`: names, ends with NULL, at most HISTOGRAM_LABELS_MAX. */
struct histogram *histogram_new(const char *const *labels);
void histogram_free(struct histogram *histogram);
typedef struct histogram histogram_t; /* for g_autoptr(histogram_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(histogram_t, histogram_free)

/* The row of these label values (one for each label, NULL where it does not apply), made if absent; NULL when there are
 * too many. Owned by the histogram. */
struct histogram_row *histogram_row(struct histogram *histogram, const char *const *values);
/* Adds `counts` to the row of `values`, and to its slot `slot` when the histogram has slots; what finds no row is
 * counted in `overflow`. */
void histogram_add(struct histogram *histogram, const char *const *values, guint32 slot,
		   const struct histogram_counts *counts);
void histogram_row_add_slot(struct histogram_row *row, guint32 slot, const guint64 *buckets);
/* Label values of row `row`. */
const char *const *histogram_values(const struct histogram *histogram, guint32 row);
/* Index of a label by name; -1: it has none such. */
int histogram_label(const struct histogram *histogram, const char *name);

/* Adds all of `from`, whose labels must have the same names in the same order (FALSE, and nothing happens, otherwise).
 * Slots are added when both have slots of the same length. */
gboolean histogram_merge(struct histogram *into, const struct histogram *from);
/* Counts of `after`, baselines of `before`; NULL when their labels differ. Owned by the caller. */
struct histogram *histogram_diff(const struct histogram *before, const struct histogram *after);

/* Everything together that agrees with `values` wherever those are not NULL; no slots. */
void histogram_sum(const struct histogram *histogram, const char *const *values, struct histogram_counts *sum);

void histogram_counts_add(struct histogram_counts *into, const struct histogram_counts *from);
void histogram_counts_record(struct histogram_counts *counts, enum unit unit, guint64 value, guint64 events);
/* The bucket of a value, and a bucket's bounds: low ≤ value < high (the last one's high is G_MAXUINT64). */
guint histogram_bucket(enum unit unit, guint64 value);
guint64 histogram_bucket_low(enum unit unit, guint bucket);
guint64 histogram_bucket_high(enum unit unit, guint bucket);
/* The bucket that holds the `share` quantile (0 … 1), e.g. 0.99; -1 when nothing was counted. */
int histogram_quantile(const struct histogram_counts *counts, double share);
