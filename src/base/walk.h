/* SPDX-License-Identifier: Apache-2.0 */
/* A path looked up step by step, so that each directory is judged before anything is asked of its file system. The kernel's
 * own walk (openat2(2)) is faster, but it either crosses every mount or none. */
#pragma once
#include <glib.h>

#define WALK_LINKS_MAX 40 /* symbolic links followed, as the kernel does */
#define WALK_DEPTH_MAX 128 /* directories below the root */

/* May this be walked through or read as a link? `fd`: O_PATH. Must not ask the file system either. */
typedef gboolean (*walk_may_fn)(void *user, int fd);

/* The file as an O_PATH descriptor, symbolic links resolved, none of which leads out of the root. -1 and errno: EXDEV when
 * something on the way may not be asked, ELOOP, ENAMETOOLONG, or what the kernel says. The last component is judged as well. */
int walk_in_root(int root, const char *path, walk_may_fn may, void *user);
