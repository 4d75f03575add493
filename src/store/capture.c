/* SPDX-License-Identifier: Apache-2.0 */
#include "store/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/units.h"
#include "store/pack.h"

#define CAPTURE_VERSION 1
#define CAPTURE_INTERVAL_MS 1000 /* of readings */
#define CAPTURE_LATE_MS 250
#define CAPTURE_SEGMENT 0x47455346u /* "FSEG", lowest byte first */

G_DEFINE_QUARK(fathom - store - capture - error - quark, capture_error)

static const char magic[8] = { 'f', 'a', 't', 'h', 'o', 'm', '\r', '\n' };

/* Little-endian on disk; so are all machines we run on (checked when it is built). */
G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

struct file_head {
	char magic[8];
	guint32 version;
	guint32 checksum; /* of all before it */
};

struct segment_head {
	guint32 magic;
	guint32 length; /* of what follows */
	gint64 time_ms;
	guint32 content; /* checksum of what follows */
	guint32 checksum; /* of all before it */
};

G_STATIC_ASSERT(sizeof(struct file_head) == 16 && sizeof(struct segment_head) == 24);

static guint32 checksum(const void *bytes, gsize length)
{
	return (guint32)crc32_z(crc32_z(0, NULL, 0), bytes, length);
}

/* ---- writing ---- */

struct capture_writer {
	int fd;
	char *path;
	guint64 bytes;
};

static gboolean write_all(struct capture_writer *writer, const void *bytes, gsize length, GError **error)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t n = write(writer->fd, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_WRITE, "cannot write %s: %s", writer->path,
				    g_strerror(n < 0 ? errno : ENOSPC));
			return FALSE;
		}
		at += n;
		length -= (gsize)n;
		writer->bytes += (guint64)n;
	}
	return TRUE;
}

static void writer_free(struct capture_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	g_free(writer->path);
	g_free(writer);
}

struct capture_writer *capture_create(const char *path, GError **error)
{
	struct capture_writer *writer = g_new0(struct capture_writer, 1);
	struct file_head head = { .version = CAPTURE_VERSION };

	writer->path = g_strdup(path);
	/* What lay there is replaced, not written into: it may be a link, or somebody may be reading it. */
	if (g_unlink(path) != 0 && errno != ENOENT)
		writer->fd = -1;
	else
		writer->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (writer->fd < 0) {
		g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_OPEN, "cannot write %s: %s", path, g_strerror(errno));
		writer_free(writer);
		return NULL;
	}
	memcpy(head.magic, magic, sizeof(magic));
	head.checksum = checksum(&head, offsetof(struct file_head, checksum));
	if (write_all(writer, &head, sizeof(head), error))
		return writer;
	capture_abandon(writer);
	return NULL;
}

struct capture_writer *capture_reopen(const char *path, GError **error)
{
	struct capture_writer *writer = g_new0(struct capture_writer, 1);
	struct stat status;

	writer->path = g_strdup(path);
	writer->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (writer->fd >= 0 && fstat(writer->fd, &status) == 0 && S_ISREG(status.st_mode)) {
		writer->bytes = (guint64)status.st_size;
		return writer;
	}
	g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_OPEN, "cannot write %s: %s", path, g_strerror(errno));
	writer_free(writer);
	return NULL;
}

gboolean capture_append(struct capture_writer *writer, gint64 time_ms, const guint8 *packed, gsize length,
			GError **error)
{
	struct segment_head head = { .magic = CAPTURE_SEGMENT, .time_ms = time_ms };

	if (length > CAPTURE_SEGMENT_BYTES_MAX) {
		g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_WRITE, "an interval is too large for a capture");
		return FALSE;
	}
	head.length = (guint32)length;
	head.content = checksum(packed, length);
	head.checksum = checksum(&head, offsetof(struct segment_head, checksum));
	return write_all(writer, &head, sizeof(head), error) && write_all(writer, packed, length, error);
}

gboolean capture_append_snapshot(struct capture_writer *writer, gint64 time_ms, const struct snapshot *snapshot,
				 GError **error)
{
	g_autoptr(GBytes) packed = pack_snapshot_compressed(snapshot);
	gsize length;
	const guint8 *bytes = g_bytes_get_data(packed, &length);

	return capture_append(writer, time_ms, bytes, length, error);
}

gboolean capture_close(struct capture_writer *writer, GError **error)
{
	gboolean ok = fsync(writer->fd) == 0;

	if (!ok)
		g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_WRITE, "cannot write %s: %s", writer->path,
			    g_strerror(errno));
	writer_free(writer);
	return ok;
}

guint64 capture_written(const struct capture_writer *writer)
{
	return writer->bytes;
}

void capture_abandon(struct capture_writer *writer)
{
	g_unlink(writer->path);
	writer_free(writer);
}

/* ---- reading ---- */

/* Bytes from a file or from memory. */
struct source {
	int fd; /* -1: memory */
	const guint8 *at;
	gsize left;
	GHashTable *names; /* see capture_read_file; NULL: none */
};

/* As many as there are, up to `length`; -1 with errno. */
static gssize source_take(struct source *source, void *into, gsize length)
{
	gsize got = 0;

	if (source->fd < 0) {
		got = MIN(length, source->left);
		if (got)
			memcpy(into, source->at, got);
		source->at += got;
		source->left -= got;
		return (gssize)got;
	}
	while (got < length) {
		ssize_t n = read(source->fd, (char *)into + got, length - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (gsize)n;
	}
	return (gssize)got;
}

static gboolean fail(GError **error, enum capture_error code, const char *why)
{
	g_set_error_literal(error, CAPTURE_ERROR, (gint)code, why);
	return FALSE;
}

static gboolean head_read(struct source *source, GError **error)
{
	struct file_head head;

	if (source_take(source, &head, sizeof(head)) != (gssize)sizeof(head) ||
	    memcmp(head.magic, magic, sizeof(magic)) != 0)
		return fail(error, CAPTURE_ERROR_FORMAT, "this is no capture of fathom record");
	if (head.checksum != checksum(&head, offsetof(struct file_head, checksum)))
		return fail(error, CAPTURE_ERROR_DAMAGED, "its first bytes are damaged");
	if (head.version != CAPTURE_VERSION)
		return fail(error, CAPTURE_ERROR_VERSION, "it was written by a later fathom");
	return TRUE;
}

static gboolean segment_damaged(const struct capture *capture, const char *what, GError **error)
{
	g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_DAMAGED, "segment %u: %s", capture->segments + 1, what);
	return FALSE;
}

/* 1: one was read; 0: the end, perhaps a cut one; -1: `error`. */
static int segment_read(struct source *source, struct capture *capture, GByteArray *content, gint64 *time_ms,
			GError **error)
{
	struct segment_head head;
	gssize got = source_take(source, &head, sizeof(head));

	if (got < (gssize)sizeof(head)) {
		capture->cut_bytes = (guint64)MAX(got, 0);
		return got < 0 ? segment_damaged(capture, g_strerror(errno), error) - 1 : 0;
	}
	if (head.magic != CAPTURE_SEGMENT || head.checksum != checksum(&head, offsetof(struct segment_head, checksum)))
		return segment_damaged(capture, "its head is damaged", error) - 1;
	if (head.length > CAPTURE_SEGMENT_BYTES_MAX)
		return segment_damaged(capture, "it is too large", error) - 1;
	g_byte_array_set_size(content, head.length);
	got = source_take(source, content->data, head.length);
	if (got < (gssize)head.length) {
		capture->cut_bytes = sizeof(head) + (guint64)MAX(got, 0);
		return got < 0 ? segment_damaged(capture, g_strerror(errno), error) - 1 : 0;
	}
	if (checksum(content->data, content->len) != head.content)
		return segment_damaged(capture, "its checksum is wrong", error) - 1;
	*time_ms = head.time_ms;
	return 1;
}

/* Readings of containers; what else there is has times of its own. */
static void reading_follow(struct capture *capture, gint64 time_ms, const struct snapshot *snapshot)
{
	gint64 length_ms = (gint64)(snapshot->duration_ns / NS_PER_MS),
	       gap_ms = time_ms - length_ms - capture->read_to_ms;

	if (!snapshot_find(snapshot, SHAPE_GAUGES))
		return;
	if (length_ms > CAPTURE_INTERVAL_MS + CAPTURE_LATE_MS) {
		capture->late++;
		capture->longest_ns = MAX(capture->longest_ns, snapshot->duration_ns);
	}
	if (capture->read_to_ms && gap_ms > CAPTURE_LATE_MS) {
		capture->gaps++;
		capture->missing_ns += (guint64)gap_ms * NS_PER_MS;
	}
	capture->read_to_ms = MAX(capture->read_to_ms, time_ms);
}

char *capture_lateness(const struct capture *capture)
{
	g_autoptr(GString) text = g_string_new(NULL);

	if (capture->late)
		g_string_append_printf(
			text,
			"%u of its intervals took longer than a second, the longest %.1f s: all that happened "
			"is in them, but not when",
			capture->late, (double)capture->longest_ns / (double)NS_PER_S);
	if (capture->gaps)
		g_string_append_printf(text, "%s%u time%s nothing was read for a while, %.1f s in all",
				       text->len ? "; " : "", capture->gaps, capture->gaps == 1 ? "" : "s",
				       (double)capture->missing_ns / (double)NS_PER_S);
	return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

static gboolean read_all(struct source *source, struct capture *capture, capture_fn each, void *user, GError **error)
{
	g_autoptr(GByteArray) content = g_byte_array_new();
	gint64 time_ms;
	int more;

	*capture = (struct capture){ 0 };
	if (!head_read(source, error))
		return FALSE;
	while ((more = segment_read(source, capture, content, &time_ms, error)) > 0) {
		g_autoptr(snapshot_t) snapshot =
			pack_read_compressed(content->data, content->len, source->names, error);

		if (!snapshot) {
			g_prefix_error(error, "segment %u: ", capture->segments + 1);
			return FALSE;
		}
		if (!capture->segments++)
			capture->first_ms = time_ms;
		capture->last_ms = MAX(capture->last_ms, time_ms);
		reading_follow(capture, time_ms, snapshot);
		if (capture->segments > CAPTURE_SEGMENTS_MAX)
			return fail(error, CAPTURE_ERROR_DAMAGED, "it has too many segments");
		if (!each(user, time_ms, snapshot, error))
			return FALSE;
	}
	return more == 0;
}

gboolean capture_read_bytes(const guint8 *bytes, gsize length, struct capture *capture, capture_fn each, void *user,
			    GError **error)
{
	struct source source = { .fd = -1, .at = bytes, .left = length };

	return read_all(&source, capture, each, user, error);
}

gboolean capture_is(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char begin[sizeof(magic)];
	gboolean is = fd >= 0 && read(fd, begin, sizeof(begin)) == (ssize_t)sizeof(begin) &&
		      memcmp(begin, magic, sizeof(magic)) == 0;

	if (fd >= 0)
		close(fd);
	return is;
}

gboolean capture_read_file(const char *path, GHashTable *names, struct capture *capture, capture_fn each, void *user,
			   GError **error)
{
	struct source source = { .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), .names = names };
	gboolean ok;

	if (source.fd < 0) {
		g_set_error(error, CAPTURE_ERROR, CAPTURE_ERROR_OPEN, "cannot read %s: %s", path, g_strerror(errno));
		return FALSE;
	}
	ok = read_all(&source, capture, each, user, error);
	close(source.fd);
	if (!ok)
		g_prefix_error(error, "%s: ", path);
	return ok;
}
