/* SPDX-License-Identifier: Apache-2.0 */
#include "model/histogram.h"

#include <math.h>
#include <string.h>

#define DECIMAL_STEPS 10 /* buckets per factor of 1000 */

static void histogram_row_free(gpointer data)
{
	struct histogram_row *row = data;

	g_free(row->baseline);
	if (row->slots)
		g_array_unref(row->slots);
	g_free(row);
}

struct histogram *histogram_new(const char *const *labels)
{
	struct histogram *histogram = g_new0(struct histogram, 1);

	histogram->labels = g_strdupv((char **)labels);
	keys_init(&histogram->keys, g_strv_length(histogram->labels));
	histogram->rows = g_ptr_array_new_with_free_func(histogram_row_free);
	return histogram;
}

void histogram_free(struct histogram *histogram)
{
	if (!histogram)
		return;
	g_strfreev(histogram->labels);
	keys_clear(&histogram->keys);
	g_ptr_array_unref(histogram->rows);
	g_free(histogram);
}

struct histogram_row *histogram_row(struct histogram *histogram, const char *const *values)
{
	guint32 row = keys_add(&histogram->keys, values);

	if (row == KEYS_NONE)
		return NULL;
	if (row == histogram->rows->len)
		g_ptr_array_add(histogram->rows, g_new0(struct histogram_row, 1));
	return g_ptr_array_index(histogram->rows, row);
}

const char *const *histogram_values(const struct histogram *histogram, guint32 row)
{
	return keys_values(&histogram->keys, row);
}

int histogram_label(const struct histogram *histogram, const char *name)
{
	for (int i = 0; histogram->labels[i]; i++)
		if (strcmp(histogram->labels[i], name) == 0)
			return i;
	return -1;
}

/* The place of `slot` in the ascending array, made if absent: nearly always the last. */
static struct histogram_slot *histogram_slot(struct histogram_row *row, guint32 slot)
{
	struct histogram_slot fresh = { .slot = slot };
	guint at;

	if (!row->slots)
		row->slots = g_array_new(FALSE, FALSE, sizeof(struct histogram_slot));
	for (at = row->slots->len; at > 0; at--) {
		struct histogram_slot *earlier = &g_array_index(row->slots, struct histogram_slot, at - 1);

		if (earlier->slot == slot)
			return earlier;
		if (earlier->slot < slot)
			break;
	}
	g_array_insert_val(row->slots, at, fresh);
	return &g_array_index(row->slots, struct histogram_slot, at);
}

void histogram_row_add_slot(struct histogram_row *row, guint32 slot, const guint64 *buckets)
{
	struct histogram_slot *place = histogram_slot(row, MIN(slot, HISTOGRAM_SLOTS_MAX - 1));

	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		place->buckets[i] += buckets[i];
		if (buckets[i])
			place->max_bucket = MAX(place->max_bucket, i + 1);
	}
}

void histogram_counts_add(struct histogram_counts *into, const struct histogram_counts *from)
{
	into->count += from->count;
	into->sum += from->sum;
	into->max = MAX(into->max, from->max);
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

void histogram_counts_record(struct histogram_counts *counts, enum unit unit, guint64 value, guint64 events)
{
	counts->count += events;
	counts->sum += value * events;
	counts->max = MAX(counts->max, value);
	counts->buckets[histogram_bucket(unit, value)] += events;
}

void histogram_add(struct histogram *histogram, const char *const *values, guint32 slot,
		   const struct histogram_counts *counts)
{
	struct histogram_row *row = histogram_row(histogram, values);

	if (!row) {
		histogram->overflow += counts->count;
		return;
	}
	histogram_counts_add(&row->counts, counts);
	if (histogram->slot_ns && counts->count)
		histogram_row_add_slot(row, slot, counts->buckets);
}

static gboolean histogram_same_labels(const struct histogram *a, const struct histogram *b)
{
	return g_strv_equal((const char *const *)a->labels, (const char *const *)b->labels);
}

static void histogram_baseline_add(struct histogram_row *row, const struct histogram_counts *counts)
{
	if (!row->baseline)
		row->baseline = g_new0(struct histogram_counts, 1);
	histogram_counts_add(row->baseline, counts);
}

gboolean histogram_merge(struct histogram *into, const struct histogram *from)
{
	if (!histogram_same_labels(into, from))
		return FALSE;
	for (guint i = 0; i < from->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(from->rows, i);
		struct histogram_row *sum = histogram_row(into, histogram_values(from, i));

		if (!sum) {
			into->overflow += row->counts.count;
			continue;
		}
		histogram_counts_add(&sum->counts, &row->counts);
		if (row->baseline)
			histogram_baseline_add(sum, row->baseline);
		for (guint at = 0; row->slots && into->slot_ns == from->slot_ns && at < row->slots->len; at++) {
			const struct histogram_slot *slot = &g_array_index(row->slots, struct histogram_slot, at);

			histogram_row_add_slot(sum, slot->slot, slot->buckets);
		}
	}
	into->overflow += from->overflow;
	return TRUE;
}

struct histogram *histogram_diff(const struct histogram *before, const struct histogram *after)
{
	struct histogram *diff;

	if (!histogram_same_labels(before, after))
		return NULL;
	diff = histogram_new((const char *const *)after->labels);
	for (guint i = 0; i < after->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(after->rows, i);
		struct histogram_row *to = histogram_row(diff, histogram_values(after, i));

		histogram_counts_add(&to->counts, &row->counts);
		to->baseline = g_new0(struct histogram_counts, 1);
	}
	for (guint i = 0; i < before->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(before->rows, i);
		struct histogram_row *to = histogram_row(diff, histogram_values(before, i));

		if (to)
			histogram_baseline_add(to, &row->counts);
		else
			diff->overflow += row->counts.count;
	}
	return diff;
}

void histogram_sum(const struct histogram *histogram, const char *const *values, struct histogram_counts *sum)
{
	*sum = (struct histogram_counts){ 0 };
	for (guint i = 0; i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *const *have = histogram_values(histogram, i);
		gboolean agrees = TRUE;

		for (guint at = 0; at < histogram->keys.width; at++)
			agrees = agrees && (!values[at] || g_strcmp0(values[at], have[at]) == 0);
		if (agrees)
			histogram_counts_add(sum, &row->counts);
	}
}

guint64 histogram_bucket_low(enum unit unit, guint bucket)
{
	guint64 low = 1;

	if (bucket == 0)
		return 0;
	if (unit != UNIT_NANOSECONDS)
		return low << bucket;
	for (; bucket >= DECIMAL_STEPS && low < NS_PER_S * 1000; bucket -= DECIMAL_STEPS)
		low *= 1000;
	return low << bucket;
}

guint64 histogram_bucket_high(enum unit unit, guint bucket)
{
	return bucket + 1 < HISTOGRAM_BUCKETS ? histogram_bucket_low(unit, bucket + 1) : G_MAXUINT64;
}

guint histogram_bucket(enum unit unit, guint64 value)
{
	guint bucket = value ? g_bit_storage(value) - 1 : 0;

	/* The round bounds lie below the powers of two they stand for, by less than one bucket. */
	if (bucket + 1 < HISTOGRAM_BUCKETS && value >= histogram_bucket_low(unit, bucket + 1))
		bucket++;
	return MIN(bucket, HISTOGRAM_BUCKETS - 1);
}

int histogram_quantile(const struct histogram_counts *counts, double share)
{
	guint64 passed = 0, rank;

	if (counts->count == 0)
		return -1;
	rank = (guint64)ceil(CLAMP(share, 0, 1) * (double)counts->count);
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		passed += counts->buckets[i];
		if (passed > 0 && passed >= rank)
			return (int)i;
	}
	return HISTOGRAM_BUCKETS - 1;
}
