/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded file reads. Files under /proc, /sys and inside containers are written by others:
 * nothing is read without a limit, and nothing is ever mapped into memory. Where a container chooses the name: base/root.h. */
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

/* The same of a file of the kernel's whose text is made when it is read: in one go (`piece` 0), or of pieces of at most `piece` bytes.
 * Its end is known without asking for more, for which the kernel would make all of it once again. */
char *file_read_pieces(int dirfd, const char *name, gsize piece, gsize limit, gsize *length, GError **error);

/* Reads up to `limit` bytes of the open descriptor `fd` from its start; same result as file_read. */
char *file_read_fd(int fd, gsize limit, gsize *length, GError **error);
