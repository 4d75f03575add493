/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

G_DEFINE_QUARK(fathom - file - error - quark, file_error)

char *file_read_fd(int fd, gsize limit, gsize *length, GError **error)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	gsize used = 0;

	for (;;) {
		gsize want = MIN(MAX(used, (gsize)4096), limit - used + 1);
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
		if (n == 0)
			break;
	}
	bytes->data[used] = '\0';
	if (length)
		*length = used;
	return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}

char *file_read_at(int dirfd, const char *name, gsize limit, gsize *length, GError **error)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;

	if (fd < 0) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s: %s", name, g_strerror(errno));
		return NULL;
	}
	text = file_read_fd(fd, limit, length, error);
	if (!text)
		g_prefix_error(error, "%s: ", name);
	close(fd);
	return text;
}

char *file_read(const char *path, gsize limit, gsize *length, GError **error)
{
	return file_read_at(AT_FDCWD, path, limit, length, error);
}
