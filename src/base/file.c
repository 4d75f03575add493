/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FUSE_MAGIC 0x65735546 /* include/uapi/linux/fuse.h has no constant for it */

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

int file_open_in_root(const char *root, const char *path, GError **error)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	struct open_how look = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	struct statfs fs;
	struct stat st;
	int rootfd, seen, fd;

	rootfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rootfd < 0) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s: %s", root, g_strerror(errno));
		return -1;
	}
	/* A look that opens nothing comes first, so that a FIFO, a device or a FUSE file is never opened. */
	seen = (int)syscall(SYS_openat2, rootfd, path, &look, sizeof(look));
	if (seen < 0 || fstat(seen, &st) < 0 || !S_ISREG(st.st_mode) || fstatfs(seen, &fs) < 0 ||
	    (guint32)fs.f_type == FUSE_MAGIC) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s in %s: %s", path, root,
			    seen < 0 ? g_strerror(errno) : "not a regular file on a local file system");
		if (seen >= 0)
			close(seen);
		close(rootfd);
		return -1;
	}
	close(seen);
	fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
	close(rootfd);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s in %s: %s", path, root,
			    fd < 0 ? g_strerror(errno) : "not a regular file");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}
