/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded file reads. Files under /proc, /sys and inside containers are written by others:
 * nothing is read without a limit, only regular files are opened where a container chooses the name,
 * and nothing is ever mapped into memory. */
#pragma once
#include <glib.h>

#define FILE_ERROR (file_error_quark())
GQuark file_error_quark(void);
enum file_error {
	FILE_ERROR_OPEN = 1, /* cannot be opened, or is not a regular file */
	FILE_ERROR_READ = 2,
	FILE_ERROR_TOO_LARGE = 3, /* more than the caller's limit */
};

/* Reads the whole of `path` (a host file such as one of /proc: trusted name, untrusted content), at most
 * `limit` bytes. Returns a NUL-terminated buffer owned by the caller (g_free) and its length in `*length`
 * (may be NULL); NULL and `error` when it cannot be opened or is larger than `limit`. */
char *file_read(const char *path, gsize limit, gsize *length, GError **error);

/* The same relative to the directory `dirfd`. */
char *file_read_at(int dirfd, const char *name, gsize limit, gsize *length, GError **error);

/* Opens `path` as a process inside a container would see it: `root` is a directory such as /proc/PID/root,
 * symlinks are resolved inside it (magic links are refused, or followed by their text where mounts are crossed), and only
 * regular files on file systems that cannot block for ever (no FUSE) are accepted. Returns a file descriptor opened read-only with O_CLOEXEC | O_NONBLOCK,
 * owned by the caller, or -1 and `error`. */
int file_open_in_root(const char *root, const char *path, GError **error);

/* The same for several files, one after the other: which mounts there are is asked once. Not to be kept for long, since
 * mounts come and go; one it has not heard of is refused. */
struct file_root;
struct file_root *file_root_open(const char *root, GError **error);
void file_root_close(struct file_root *root);
/* One and the same directory, by the same mount. */
gboolean file_root_equal(const struct file_root *a, const struct file_root *b);
const char *file_root_path(const struct file_root *root);
int file_root_file(struct file_root *root, const char *path, GError **error);

/* Reads up to `limit` bytes of the open descriptor `fd` from its start; same result as file_read. */
char *file_read_fd(int fd, gsize limit, gsize *length, GError **error);
