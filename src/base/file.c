/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

G_DEFINE_QUARK(fathom - file - error - quark, file_error)

#define FILE_READ_FIRST 4096 /* bytes asked for at first */

/* A read that leaves more than `slack` bytes of what was asked for free was the last. */
static char *file_read_until(int fd, gsize limit, gsize slack, gsize *length, GError **error)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	gsize used = 0;

	for (;;) {
		gsize want = MIN(MAX(used, (gsize)FILE_READ_FIRST), limit - used + 1);
		ssize_t n;

		g_byte_array_set_size(bytes, (guint)(used + want + 1));
		n = pread(fd, bytes->data + used, want, (off_t)used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_set_error(error, FILE_ERROR, FILE_ERROR_READ, "cannot read: %s", g_strerror(errno));
			return NULL;
		}
		used += (gsize)n;
		if (used > limit) {
			g_set_error(error, FILE_ERROR, FILE_ERROR_TOO_LARGE, "larger than %zu bytes", limit);
			return NULL;
		}
		if (n == 0 || want - (gsize)n > slack)
			break;
	}
	bytes->data[used] = '\0';
	if (length)
		*length = used;
	return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}

char *file_read_fd(int fd, gsize limit, gsize *length, GError **error)
{
	return file_read_until(fd, limit, G_MAXSIZE, length, error);
}

static char *file_read_at_until(int dirfd, const char *name, gsize limit, gsize slack, gsize *length, GError **error)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;

	if (fd < 0) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s: %s", name, g_strerror(errno));
		return NULL;
	}
	text = file_read_until(fd, limit, slack, length, error);
	if (!text)
		g_prefix_error(error, "%s: ", name);
	close(fd);
	return text;
}

char *file_read_at(int dirfd, const char *name, gsize limit, gsize *length, GError **error)
{
	return file_read_at_until(dirfd, name, limit, G_MAXSIZE, length, error);
}

char *file_read_pieces(int dirfd, const char *name, gsize piece, gsize limit, gsize *length, GError **error)
{
	return file_read_at_until(dirfd, name, limit, piece, length, error);
}

char *file_read(const char *path, gsize limit, gsize *length, GError **error)
{
	return file_read_at(AT_FDCWD, path, limit, length, error);
}
