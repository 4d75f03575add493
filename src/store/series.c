/* SPDX-License-Identifier: Apache-2.0 */
#include "store/series.h"

#include <string.h>

#include "base/units.h"

#define SERIES_TICK_VERSION 1

G_STATIC_ASSERT(SERIES_COUNT <= 32);

const struct series_metric series_metrics[SERIES_COUNT] = {
	[SERIES_CPU] = { "cpu", "cores", GAUGE_CPU, "CPU time used per second" },
	[SERIES_CPU_LIMIT] = { "cpu_limit", "cores", GAUGE_CPU_LIMIT, "the tightest quota that applies" },
	[SERIES_THROTTLED] = { "throttled", "ratio", GAUGE_CPU_THROTTLED, "time held back by the quota, per second" },
	[SERIES_RUNQUEUE_WAIT] = { "runqueue_wait", "ratio", GAUGE_RUNQUEUE_WAIT,
				   "time ready and without a CPU, all threads, per second" },
	[SERIES_DISK_WAIT] = { "disk_wait", "ratio", GAUGE_DISK_WAIT, "time waited for block devices, all threads" },
	[SERIES_MEMORY] = { "memory", "bytes", GAUGE_MEMORY, "memory charged, page cache included" },
	[SERIES_WORKING_SET] = { "working_set", "bytes", GAUGE_MEMORY_WORKING_SET, "memory without idle file pages" },
	[SERIES_MEMORY_LIMIT] = { "memory_limit", "bytes", GAUGE_MEMORY_LIMIT, "the tightest limit that applies" },
	[SERIES_PRESSURE_CPU] = { "pressure_cpu", "ratio", GAUGE_PRESSURE_CPU_SOME,
				  "time some thread waited for a CPU" },
	[SERIES_PRESSURE_MEMORY] = { "pressure_memory", "ratio", GAUGE_PRESSURE_MEMORY_SOME,
				     "time some thread waited for memory" },
	[SERIES_PRESSURE_IO] = { "pressure_io", "ratio", GAUGE_PRESSURE_IO_SOME, "time some thread waited for I/O" },
	[SERIES_IO_READ] = { "io_read", "bytes/s", GAUGE_IO_READ_BYTES, "read from block devices" },
	[SERIES_IO_WRITE] = { "io_write", "bytes/s", GAUGE_IO_WRITE_BYTES, "written to block devices" },
	[SERIES_IO_READS] = { "io_reads", "1/s", GAUGE_IO_READS, "block reads" },
	[SERIES_IO_WRITES] = { "io_writes", "1/s", GAUGE_IO_WRITES, "block writes" },
	[SERIES_NET_RECEIVED] = { "net_received", "bytes/s", GAUGE_NET_RECEIVED_BYTES, "received by its interfaces" },
	[SERIES_NET_SENT] = { "net_sent", "bytes/s", GAUGE_NET_SENT_BYTES, "sent by its interfaces" },
	[SERIES_PIDS] = { "pids", "1", GAUGE_PIDS, "threads" },
	[SERIES_PIDS_LIMIT] = { "pids_limit", "1", GAUGE_PIDS_LIMIT, "the tightest limit of pids" },
	[SERIES_FAULTS_MAJOR] = { "faults_major", "1/s", GAUGE_FAULTS_MAJOR, "page faults that waited for I/O" },
	[SERIES_REFAULTS_FILE] = { "refaults", "1/s", GAUGE_REFAULTS_FILE, "file pages read back soon after" },
	[SERIES_OOM_KILLS] = { "oom_kills", "1/s", GAUGE_OOM_KILLS, "processes killed for lack of memory" },
	[SERIES_THROTTLED_PERIODS] = { "throttled_periods", "1/s", GAUGE_CPU_PERIODS_THROTTLED,
				       "quota periods that ended throttled" },
	[SERIES_PERIODS] = { "periods", "1/s", GAUGE_CPU_PERIODS, "quota periods in which it ran" },
	[SERIES_NET_DROPS] = { "net_drops", "1/s", GAUGE_NET_DROPS, "packets its interfaces dropped" },
};

int series_find(const char *name)
{
	for (guint i = 0; i < SERIES_COUNT; i++)
		if (strcmp(series_metrics[i].name, name) == 0)
			return (int)i;
	return -1;
}

static gboolean series_value(const struct gauge_row *changes, guint series, double seconds, float *value)
{
	const struct gauge_metric *metric = &gauge_metrics[series_metrics[series].gauge];
	gboolean is_counter = metric->kind == GAUGE_COUNTER;
	double scale =
		metric->unit == GAUGE_UNIT_NANOSECONDS || metric->unit == GAUGE_UNIT_NANOCORES ? (double)NS_PER_S : 1;
	guint64 raw;

	if (!gauge_get(changes, series_metrics[series].gauge, &raw) || (is_counter && seconds <= 0))
		return FALSE;
	*value = (float)((double)raw / scale / (is_counter ? seconds : 1));
	return TRUE;
}

void series_point_of(struct series_point *point, const struct gauge_row *changes, guint64 interval_ns)
{
	double seconds = (double)interval_ns / (double)NS_PER_S;

	memset(point, 0, sizeof(*point));
	for (guint i = 0; i < SERIES_COUNT; i++)
		if (series_value(changes, i, seconds, &point->values[i]))
			point->known |= 1u << i;
}

static guint32 add_saturated(guint32 count, guint64 more)
{
	return (guint32)MIN(count + more, (guint64)G_MAXUINT32);
}

void series_point_add_waits(struct series_point *point, const struct histogram_counts *waits)
{
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		guint at = CLAMP(i, SERIES_WAIT_FIRST, SERIES_WAIT_FIRST + SERIES_WAIT_BUCKETS - 1) - SERIES_WAIT_FIRST;

		point->waits[at] = add_saturated(point->waits[at], waits->buckets[i]);
	}
}

/* ---- packed ---- */

GByteArray *series_tick_new(void)
{
	static const guint8 version = SERIES_TICK_VERSION;

	return g_byte_array_append(g_byte_array_new(), &version, 1);
}

void series_tick_add(GByteArray *tick, const struct series_point *point)
{
	guint8 first = 0, count = 0;

	for (guint8 i = 0; i < SERIES_WAIT_BUCKETS; i++) {
		if (!point->waits[i])
			continue;
		if (!count)
			first = i;
		count = (guint8)(i - first + 1);
	}
	g_byte_array_append(tick, (const guint8 *)&point->id, sizeof(point->id));
	g_byte_array_append(tick, (const guint8 *)&point->known, sizeof(point->known));
	for (guint i = 0; i < SERIES_COUNT; i++)
		if (series_is_known(point, i))
			g_byte_array_append(tick, (const guint8 *)&point->values[i], sizeof(float));
	g_byte_array_append(tick, &first, 1);
	g_byte_array_append(tick, &count, 1);
	g_byte_array_append(tick, (const guint8 *)(point->waits + first), count * (guint)sizeof(guint32));
}

void series_reader_init(struct series_reader *reader, const guint8 *bytes, gsize length)
{
	*reader = (struct series_reader){ .at = bytes, .end = bytes + length };
	if (!length || bytes[0] != SERIES_TICK_VERSION)
		reader->is_broken = TRUE;
	else
		reader->at++;
}

static gboolean reader_take(struct series_reader *reader, void *into, gsize length)
{
	if ((gsize)(reader->end - reader->at) < length) {
		reader->is_broken = TRUE;
		return FALSE;
	}
	memcpy(into, reader->at, length);
	reader->at += length;
	return TRUE;
}

gboolean series_reader_next(struct series_reader *reader, struct series_point *point)
{
	guint8 run[2];

	if (reader->is_broken || reader->at == reader->end)
		return FALSE;
	memset(point, 0, sizeof(*point));
	if (!reader_take(reader, &point->id, sizeof(point->id)) ||
	    !reader_take(reader, &point->known, sizeof(point->known)))
		return FALSE;
	if (point->known >> SERIES_COUNT) {
		reader->is_broken = TRUE; /* of a later version, or damaged */
		return FALSE;
	}
	for (guint i = 0; i < SERIES_COUNT; i++)
		if (series_is_known(point, i) && !reader_take(reader, &point->values[i], sizeof(float)))
			return FALSE;
	if (!reader_take(reader, run, sizeof(run)))
		return FALSE;
	if (run[0] + run[1] > SERIES_WAIT_BUCKETS) {
		reader->is_broken = TRUE;
		return FALSE;
	}
	return reader_take(reader, point->waits + run[0], run[1] * sizeof(guint32));
}

/* ---- means ---- */

struct summed {
	struct series_point point; /* its waits are sums; id and known as in a point */
	double sums[SERIES_COUNT];
	guint32 counts[SERIES_COUNT];
};

struct series_mean {
	GHashTable *by_id; /* id → struct summed */
};

struct series_mean *series_mean_new(void)
{
	struct series_mean *mean = g_new0(struct series_mean, 1);

	mean->by_id = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return mean;
}

void series_mean_free(struct series_mean *mean)
{
	if (!mean)
		return;
	g_hash_table_unref(mean->by_id);
	g_free(mean);
}

void series_mean_add(struct series_mean *mean, const struct series_point *point)
{
	struct summed *summed = g_hash_table_lookup(mean->by_id, GUINT_TO_POINTER(point->id));

	if (!summed) {
		summed = g_new0(struct summed, 1);
		summed->point.id = point->id;
		g_hash_table_insert(mean->by_id, GUINT_TO_POINTER(point->id), summed);
	}
	for (guint i = 0; i < SERIES_COUNT; i++) {
		if (!series_is_known(point, i))
			continue;
		summed->sums[i] += (double)point->values[i];
		summed->counts[i]++;
	}
	for (guint i = 0; i < SERIES_WAIT_BUCKETS; i++)
		summed->point.waits[i] = add_saturated(summed->point.waits[i], point->waits[i]);
}

GByteArray *series_mean_take(struct series_mean *mean)
{
	GByteArray *tick;
	GHashTableIter iter;
	gpointer value;

	if (!g_hash_table_size(mean->by_id))
		return NULL;
	tick = series_tick_new();
	g_hash_table_iter_init(&iter, mean->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct summed *summed = value;

		for (guint i = 0; i < SERIES_COUNT; i++) {
			if (!summed->counts[i])
				continue;
			summed->point.known |= 1u << i;
			summed->point.values[i] = (float)(summed->sums[i] / summed->counts[i]);
		}
		series_tick_add(tick, &summed->point);
	}
	g_hash_table_remove_all(mean->by_id);
	return tick;
}
