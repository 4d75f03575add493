/* SPDX-License-Identifier: Apache-2.0 */
/* Capture files: what `fathom record` and the flight recorder write and `fathom replay` reads. A header with a version,
 * then segments, one an interval: a head with its own checksum, and a packed, compressed snapshot (pack.h), whose
 * compression carries another. Segments are only ever appended, so a writer that is killed leaves a file that opens, at
 * most without its last segment.
 *
 * Reading trusts nothing: no length is believed before its head's checksum is right, nothing is read beyond named limits,
 * and what is damaged is refused (or, when it is the end of the file, left out and counted). */
#pragma once
#include <glib.h>

#include "model/snapshot.h"

#define CAPTURE_ERROR (capture_error_quark())
GQuark capture_error_quark(void);
enum capture_error {
	CAPTURE_ERROR_OPEN = 1,
	CAPTURE_ERROR_FORMAT = 2, /* no capture of fathom's */
	CAPTURE_ERROR_VERSION = 3, /* of a later one */
	CAPTURE_ERROR_DAMAGED = 4,
	CAPTURE_ERROR_WRITE = 5,
};

#define CAPTURE_SEGMENT_BYTES_MAX (32u << 20) /* compressed */
#define CAPTURE_SEGMENTS_MAX (7 * 24 * 3600)
#define CAPTURE_SUFFIX ".fathom"

struct capture_writer;
/* A new file, readable by its owner alone; never through a symbolic link. */
struct capture_writer *capture_create(const char *path, GError **error);
/* `packed`: by pack_snapshot_compressed, of the interval that ended at `time_ms`. */
gboolean capture_append(struct capture_writer *writer, gint64 time_ms, const guint8 *packed, gsize length,
			GError **error);
/* The same of a snapshot. */
gboolean capture_append_snapshot(struct capture_writer *writer, gint64 time_ms, const struct snapshot *snapshot,
				 GError **error);
/* To the disk. */
gboolean capture_close(struct capture_writer *writer, GError **error);
guint64 capture_written(const struct capture_writer *writer);
/* One that was closed before, to append to; never through a symbolic link. */
struct capture_writer *capture_reopen(const char *path, GError **error);
/* Without a word, and removes the file. */
void capture_abandon(struct capture_writer *writer);

/* TRUE when the file begins as a capture does. */
gboolean capture_is(const char *path);

struct capture {
	guint segments;
	gint64 first_ms,
		last_ms; /* of the first segment, and the latest of all: stacks come after the readings of their time */
	guint64 cut_bytes; /* at the end, that are no whole segment */
	/* Of its readings, which are meant to be a second long and to follow each other. */
	guint late, gaps;
	guint64 longest_ns; /* of those that were late */
	guint64 missing_ns; /* in gaps */
	gint64 read_to_ms; /* the last one's end */
};
/* How they were late or missing, as a sentence, owned by the caller; NULL: they were not. */
char *capture_lateness(const struct capture *capture);

/* What the seconds of `fathom replay --from` and `--to` are counted from: just before the first segment's time. */
static inline gint64 capture_zero_ms(gint64 first_ms)
{
	return first_ms - 1;
}

typedef gboolean (*capture_fn)(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error);
/* Calls `each` (FALSE: stop, with `error` set) for every snapshot in the file's order. FALSE and `error` on damage.
 * `names`: what is to be called otherwise (registry_renamed); NULL: nothing. */
gboolean capture_read_file(const char *path, GHashTable *names, struct capture *capture, capture_fn each, void *user,
			   GError **error);
/* The same of bytes. */
gboolean capture_read_bytes(const guint8 *bytes, gsize length, struct capture *capture, capture_fn each, void *user,
			    GError **error);
