/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/sideband.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "probe/ladder.h"
#include "probe/percpu.h"

#define SIDEBAND_RING_PAGES 64 /* per CPU: some 2,000 mappings */
#define SIDEBAND_WAITING_MAX (64 << 20) /* bytes of records kept while the caller does not dispatch */

struct sideband_ring {
	int fd;
	struct perf_event_mmap_page *control;
	const guint8 *data;
	gsize data_bytes; /* a power of two */
};

/* A collected record: its bytes are at `offset` of `bytes`. */
struct sideband_waiting {
	guint64 time_ns;
	gsize offset;
	gsize size;
};

struct sideband {
	GArray *rings; /* of struct sideband_ring */
	gsize map_bytes;
	GByteArray *bytes;
	GArray *waiting; /* of struct sideband_waiting, sorted by time; those before `next` are dispatched */
	guint next;
	guint64 lost;
	GHashTable *only; /* set of tgids; NULL: all */
};

static struct perf_event_attr sideband_attr(gboolean build_id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.build_id = build_id,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC, /* as bpf_ktime_get_ns */
		.watermark = 1,
		.wakeup_watermark = SIDEBAND_RING_PAGES * 4096 / 4,
	};

	return attr;
}

static gboolean sideband_ring_open(struct sideband *sideband, int cpu, gboolean *build_id, GError **error)
{
	struct perf_event_attr attr = sideband_attr(*build_id);
	struct sideband_ring ring = { .fd = percpu_event_open(&attr, cpu) };

	if (ring.fd == -EINVAL && *build_id) { /* Linux < 5.12 */
		*build_id = FALSE;
		return sideband_ring_open(sideband, cpu, build_id, error);
	}
	if (ring.fd == -ENODEV) /* went offline a moment ago */
		return TRUE;
	if (ring.fd < 0) {
		ladder_set_error(error, "cannot watch mappings (perf side-band)", -ring.fd);
		return FALSE;
	}
	ring.control = mmap(NULL, sideband->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, 0);
	if (ring.control == MAP_FAILED) {
		ladder_set_error(error, "cannot map a perf side-band ring", errno);
		close(ring.fd);
		return FALSE;
	}
	ring.data_bytes = sideband->map_bytes - sysconf(_SC_PAGESIZE);
	ring.data = (const guint8 *)ring.control + sysconf(_SC_PAGESIZE);
	g_array_append_val(sideband->rings, ring);
	return TRUE;
}

struct sideband *sideband_open(GError **error)
{
	g_autoptr(GArray) cpus = percpu_online(error);
	struct sideband *sideband;
	gboolean build_id = TRUE;

	if (!cpus)
		return NULL;
	sideband = g_new0(struct sideband, 1);
	sideband->rings = g_array_new(FALSE, FALSE, sizeof(struct sideband_ring));
	sideband->map_bytes = (SIDEBAND_RING_PAGES + 1) * sysconf(_SC_PAGESIZE);
	sideband->bytes = g_byte_array_new();
	sideband->waiting = g_array_new(FALSE, FALSE, sizeof(struct sideband_waiting));
	for (guint i = 0; i < cpus->len; i++) {
		if (!sideband_ring_open(sideband, g_array_index(cpus, int, i), &build_id, error)) {
			sideband_close(sideband);
			return NULL;
		}
	}
	return sideband;
}

void sideband_close(struct sideband *sideband)
{
	if (!sideband)
		return;
	for (guint i = 0; i < sideband->rings->len; i++) {
		struct sideband_ring *ring = &g_array_index(sideband->rings, struct sideband_ring, i);

		munmap(ring->control, sideband->map_bytes);
		close(ring->fd);
	}
	g_array_free(sideband->rings, TRUE);
	g_array_free(sideband->waiting, TRUE);
	g_byte_array_free(sideband->bytes, TRUE);
	if (sideband->only)
		g_hash_table_unref(sideband->only);
	g_free(sideband);
}

void sideband_only(struct sideband *sideband, const guint32 *tgids, gsize count)
{
	if (!sideband->only)
		sideband->only = g_hash_table_new(NULL, NULL);
	for (gsize i = 0; i < count; i++)
		g_hash_table_add(sideband->only, GUINT_TO_POINTER(tgids[i]));
}

static gboolean sideband_wants(const struct sideband *sideband, const struct sideband_record *record)
{
	return record->kind != SIDEBAND_OTHER &&
	       (!sideband->only || g_hash_table_contains(sideband->only, GUINT_TO_POINTER(record->tgid)));
}

guint sideband_cpus(const struct sideband *sideband)
{
	return sideband->rings->len;
}

int sideband_fd(const struct sideband *sideband, guint cpu)
{
	return g_array_index(sideband->rings, struct sideband_ring, cpu).fd;
}

guint64 sideband_lost(const struct sideband *sideband)
{
	return sideband->lost;
}

/* Appends `size` bytes of the ring from position `from`, unwrapped. */
static void sideband_ring_copy(const struct sideband_ring *ring, guint64 from, gsize size, GByteArray *into)
{
	gsize at = from & (ring->data_bytes - 1);
	gsize whole = MIN(size, ring->data_bytes - at);

	g_byte_array_append(into, ring->data + at, whole);
	g_byte_array_append(into, ring->data, size - whole);
}

/* Cuts the copied bytes from `offset` on into records. */
static void sideband_split(struct sideband *sideband, gsize offset)
{
	while (offset < sideband->bytes->len) {
		const guint8 *bytes = sideband->bytes->data + offset;
		gsize left = sideband->bytes->len - offset;
		struct sideband_waiting waiting = { .offset = offset };
		struct sideband_record record;

		if (left < sizeof(struct perf_event_header)) {
			sideband->lost++;
			return;
		}
		waiting.size = ((const struct perf_event_header *)bytes)->size;
		if (!sideband_parse(bytes, left, &record)) {
			sideband->lost++;
			if (waiting.size < sizeof(struct perf_event_header) || waiting.size > left)
				return; /* no way to find the next one */
		} else if (record.kind == SIDEBAND_LOST) {
			sideband->lost += record.lost;
		} else if (sideband_wants(sideband, &record)) {
			waiting.time_ns = record.time_ns;
			g_array_append_val(sideband->waiting, waiting);
		}
		offset += waiting.size;
	}
}

static void sideband_ring_collect(struct sideband *sideband, const struct sideband_ring *ring)
{
	guint64 head = __atomic_load_n(&ring->control->data_head, __ATOMIC_ACQUIRE);
	guint64 tail = ring->control->data_tail;
	gsize offset = sideband->bytes->len;

	if (head == tail)
		return;
	if (head - tail > ring->data_bytes || offset > SIDEBAND_WAITING_MAX)
		sideband->lost++; /* cannot be, or nobody dispatches: drop rather than grow */
	else
		sideband_ring_copy(ring, tail, head - tail, sideband->bytes);
	__atomic_store_n(&ring->control->data_tail, head, __ATOMIC_RELEASE);
	sideband_split(sideband, offset);
}

static int sideband_waiting_compare(const void *a, const void *b)
{
	const struct sideband_waiting *left = a, *right = b;

	if (left->time_ns != right->time_ns)
		return left->time_ns < right->time_ns ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

void sideband_collect(struct sideband *sideband)
{
	guint before;

	if (sideband->next > 0)
		g_array_remove_range(sideband->waiting, 0, sideband->next);
	sideband->next = 0;
	before = sideband->waiting->len;
	for (guint i = 0; i < sideband->rings->len; i++)
		sideband_ring_collect(sideband, &g_array_index(sideband->rings, struct sideband_ring, i));
	if (sideband->waiting->len > before)
		g_array_sort(sideband->waiting, sideband_waiting_compare);
}

void sideband_dispatch(struct sideband *sideband, guint64 before_ns,
		       void (*each)(void *user, const struct sideband_record *record), void *user)
{
	for (; sideband->next < sideband->waiting->len; sideband->next++) {
		struct sideband_waiting *at =
			&g_array_index(sideband->waiting, struct sideband_waiting, sideband->next);
		struct sideband_record record;

		if (at->time_ns >= before_ns)
			return;
		if (sideband_parse(sideband->bytes->data + at->offset, at->size, &record))
			each(user, &record);
	}
	sideband->next = 0;
	g_array_set_size(sideband->waiting, 0);
	g_byte_array_set_size(sideband->bytes, 0);
}
