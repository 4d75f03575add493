/* SPDX-License-Identifier: Apache-2.0 */
/* What history keeps of each container and of the host: one const table of series, and the point that holds one
 * interval's values of all of them. Values are in base units (cores, ratio, bytes, per second); what is not known is
 * absent, never zero. A point also holds run-queue waits by their length, in buckets that double. */
#pragma once
#include <glib.h>

#include "model/gauges.h"
#include "model/histogram.h"

/* Explicit values: they are on disk. Only grow at the end, up to 32. */
enum series {
	SERIES_CPU = 0,
	SERIES_CPU_LIMIT = 1,
	SERIES_THROTTLED = 2,
	SERIES_RUNQUEUE_WAIT = 3,
	SERIES_DISK_WAIT = 4,
	SERIES_MEMORY = 5,
	SERIES_WORKING_SET = 6,
	SERIES_MEMORY_LIMIT = 7,
	SERIES_PRESSURE_CPU = 8,
	SERIES_PRESSURE_MEMORY = 9,
	SERIES_PRESSURE_IO = 10,
	SERIES_IO_READ = 11,
	SERIES_IO_WRITE = 12,
	SERIES_IO_READS = 13,
	SERIES_IO_WRITES = 14,
	SERIES_NET_RECEIVED = 15,
	SERIES_NET_SENT = 16,
	SERIES_PIDS = 17,
	SERIES_PIDS_LIMIT = 18,
	SERIES_FAULTS_MAJOR = 19,
	SERIES_REFAULTS_FILE = 20,
	SERIES_OOM_KILLS = 21,
	SERIES_THROTTLED_PERIODS = 22,
	SERIES_PERIODS = 23,
	SERIES_NET_DROPS = 24,
	SERIES_COUNT = 25,
};

struct series_metric {
	const char *name; /* in JSON: "cpu" */
	const char *unit; /* "cores", "ratio", "bytes", "bytes/s", "1/s", "1" */
	enum gauge gauge; /* counters become rates per second, of nanoseconds: seconds per second */
	const char *help;
};
extern const struct series_metric series_metrics[SERIES_COUNT];
/* -1 when there is none. */
int series_find(const char *name);

/* Waits: the bucket i of a point is bucket SERIES_WAIT_FIRST + i of a histogram of nanoseconds: from below 1 µs to
 * beyond 8 s. */
#define SERIES_WAIT_FIRST 9
#define SERIES_WAIT_BUCKETS 25

struct series_point {
	guint32 id; /* of the resource, see history.h */
	guint32 known; /* a bit for each series */
	float values[SERIES_COUNT];
	guint32 waits[SERIES_WAIT_BUCKETS];
};

static inline gboolean series_is_known(const struct series_point *point, guint series)
{
	return point->known >> series & 1;
}

/* The point of a row: `changes` is the interval's, made by gauges_diff. Its id and waits are 0. */
void series_point_of(struct series_point *point, const struct gauge_row *changes, guint64 interval_ns);
void series_point_add_waits(struct series_point *point, const struct histogram_counts *waits);

/* A tick: the points of one interval, packed as they are kept in memory and on disk (a version, then each point's id,
 * known bits, values, and the run of buckets that are not 0). */
GByteArray *series_tick_new(void);
void series_tick_add(GByteArray *tick, const struct series_point *point);

/* Reads the points of a packed tick one by one. FALSE at its end, or where it makes no sense (`*broken`, may be NULL). */
struct series_reader {
	const guint8 *at, *end;
	gboolean is_broken;
};
void series_reader_init(struct series_reader *reader, const guint8 *bytes, gsize length);
gboolean series_reader_next(struct series_reader *reader, struct series_point *point);

/* Several ticks as one: mean of the values (over the ticks that know them), sum of the waits. */
struct series_mean;
struct series_mean *series_mean_new(void);
void series_mean_free(struct series_mean *mean);
void series_mean_add(struct series_mean *mean, const struct series_point *point);
/* The packed tick of all that was added since the last time; owned by the caller. NULL when nothing was. */
GByteArray *series_mean_take(struct series_mean *mean);
