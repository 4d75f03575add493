/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/sideband_record.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>

#define SIDEBAND_TRAILER_BYTES 16 /* sample_id: u32 pid, tid; u64 time */

struct sideband_mmap2 { /* PERF_RECORD_MMAP2 without its header; the path follows */
	guint32 pid, tid;
	guint64 start, length, page_offset;
	guint8 build_id_size, reserved[3]; /* valid with PERF_RECORD_MISC_MMAP_BUILD_ID … */
	guint8 build_id[20]; /* … else device and inode */
	guint32 protection, flags;
};
G_STATIC_ASSERT(sizeof(struct sideband_mmap2) == 64);

struct sideband_task { /* PERF_RECORD_FORK and _EXIT */
	guint32 pid, parent_pid, tid, parent_tid;
	guint64 time;
};

struct sideband_lost {
	guint64 id, lost;
};

static gboolean sideband_parse_mmap2(const guint8 *body, gsize bytes, guint16 misc, struct sideband_record *record)
{
	const struct sideband_mmap2 *mmap2 = (const void *)body;
	const char *path = (const char *)body + sizeof(*mmap2);
	gsize path_max;

	if (bytes < sizeof(*mmap2) + 1)
		return FALSE;
	path_max = bytes - sizeof(*mmap2);
	if (!memchr(path, '\0', path_max) || mmap2->length > G_MAXUINT64 - mmap2->start)
		return FALSE;
	record->tgid = mmap2->pid;
	record->mapping = (struct probe_mapping){
		.start = mmap2->start, .length = mmap2->length, .file_offset = mmap2->page_offset, .path = path
	};
	if ((misc & PERF_RECORD_MISC_MMAP_BUILD_ID) && mmap2->build_id_size > 0) {
		if (mmap2->build_id_size > sizeof(mmap2->build_id))
			return FALSE;
		record->mapping.build_id = mmap2->build_id;
		record->mapping.build_id_size = mmap2->build_id_size;
	}
	if (!(misc & PERF_RECORD_MISC_MMAP_DATA) && (mmap2->protection & PROT_EXEC))
		record->kind = SIDEBAND_MAPPED;
	return TRUE;
}

static gboolean sideband_parse_task(const guint8 *body, gsize bytes, guint32 type, struct sideband_record *record)
{
	const struct sideband_task *task = (const void *)body;

	if (bytes < sizeof(*task))
		return FALSE;
	record->tgid = task->pid;
	if (type == PERF_RECORD_EXIT) {
		if (task->pid == task->tid)
			record->kind = SIDEBAND_EXITED;
	} else if (task->pid != task->parent_pid) {
		record->parent_tgid = task->parent_pid;
		record->kind = SIDEBAND_FORKED;
	}
	return TRUE;
}

static gboolean sideband_parse_body(const struct perf_event_header *header, const guint8 *body, gsize bytes,
				    struct sideband_record *record)
{
	switch (header->type) {
	case PERF_RECORD_MMAP2:
		return sideband_parse_mmap2(body, bytes, header->misc, record);
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		return sideband_parse_task(body, bytes, header->type, record);
	case PERF_RECORD_COMM:
		if (bytes < 2 * sizeof(guint32))
			return FALSE;
		memcpy(&record->tgid, body, sizeof(record->tgid));
		if (header->misc & PERF_RECORD_MISC_COMM_EXEC)
			record->kind = SIDEBAND_EXECED;
		return TRUE;
	case PERF_RECORD_LOST:
		if (bytes < sizeof(struct sideband_lost))
			return FALSE;
		record->lost = ((const struct sideband_lost *)body)->lost;
		record->kind = SIDEBAND_LOST;
		return TRUE;
	default:
		return TRUE;
	}
}

gboolean sideband_parse(const guint8 *bytes, gsize available, struct sideband_record *record)
{
	const struct perf_event_header *header = (const void *)bytes;
	gsize body;

	*record = (struct sideband_record){ .kind = SIDEBAND_OTHER };
	if (available < sizeof(*header) || header->size > available ||
	    header->size < sizeof(*header) + SIDEBAND_TRAILER_BYTES || header->size % 8 != 0)
		return FALSE;
	body = header->size - sizeof(*header) - SIDEBAND_TRAILER_BYTES;
	memcpy(&record->time_ns, bytes + header->size - sizeof(guint64), sizeof(guint64));
	return sideband_parse_body(header, bytes + sizeof(*header), body, record);
}
