/* SPDX-License-Identifier: Apache-2.0 */
/* Files whose names a container chooses: looked up inside its root, and only regular ones on file systems that answer by themselves
 * are opened. What is read of them is bounded (base/file.h). */
#pragma once
#include <glib.h>

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
