/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics for Prometheus: OpenMetrics 1.0 and the text format 0.0.4, which differ in headings only. A family is begun
 * once and followed by all its samples. Names end as Prometheus wants them: counters in `_total`, base units in full.
 * Label values are hostile and escaped here. */
#pragma once
#include <glib.h>

#include "model/gauges.h"
#include "model/histogram.h"

enum exposition_type {
	EXPOSITION_GAUGE = 0,
	EXPOSITION_COUNTER = 1, /* the name ends in _total */
	EXPOSITION_HISTOGRAM = 2,
	EXPOSITION_INFO = 3, /* the name ends in _info */
	EXPOSITION_SUMMARY = 4, /* sum and count alone */
};

struct exposition {
	GString *out; /* not owned */
	gboolean openmetrics; /* else text 0.0.4 */
};

/* `prefix` and `name` together are the family's name, given with its suffix. */
void exposition_family(struct exposition *exposition, const char *prefix, const char *name, enum exposition_type type,
		       const char *help);
/* One sample of the family called `prefix``name`; `labels`: `a="b",c="d"`, escaped already (exposition_label); NULL or
 * empty: none. */
void exposition_uint(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
		     guint64 value);
void exposition_seconds(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
			guint64 ns);
void exposition_double(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
		       double value);
/* One sample of a family of summaries: a mean over any range, in two series. */
void exposition_summary(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
			guint64 count, guint64 sum_ns);
/* Bounds 256 µs, 1, 4, 16, 64 ms and 1 s of a histogram of nanoseconds: few, as each is a series of each container. (A bucket of ours ends below its bound, Prometheus's
 * at it: values that are exactly a bound are one bucket higher.) */
void exposition_histogram(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
			  const struct histogram_counts *counts);
/* What ends the whole. */
void exposition_end(struct exposition *exposition);

/* Appends `name="value"`, after a comma when `labels` is not empty; what is not UTF-8 becomes U+FFFD. */
void exposition_label(GString *labels, const char *name, const char *value);

/* A row and how it is labelled. */
struct exposition_row {
	const struct gauge_row *row;
	const char *labels;
	/* Words of GAUGE_KNOWN_WORDS, by gauge: what has been other than zero. Others are left out while they are zero, but
	 * for those whose first increase is what one waits for (gauge_metric.is_telling). NULL: nothing is left out. */
	const guint64 *moved;
};
/* Every gauge that is known of at least one of the `count` rows (readings: counters since birth), family by family. */
void exposition_gauges(struct exposition *exposition, const char *prefix, const struct exposition_row *rows,
		       guint count);
