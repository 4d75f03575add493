/* SPDX-License-Identifier: Apache-2.0 */
/* Separate debug files, found as gdb's manual says ("Debugging Information in Separate Files"): by build-id below
 * /usr/lib/debug/.build-id, else by the name in .gnu_debuglink. Looked for in the container first, whose files these are,
 * then on the host. A file counts only when its build-id is the same; without build-ids, when its CRC is the one in
 * .gnu_debuglink. */
#pragma once
#include <glib.h>

#include "symbol/source.h"

/* Calls `take` with each debug file that belongs to `file`, the likeliest first, until it returns TRUE. The descriptor is
 * closed afterwards. FALSE when nobody took one. */
typedef gboolean (*debug_file_take_fn)(void *user, int fd, const struct image *debug);
gboolean debug_file_each(const struct source_file *file, debug_file_take_fn take, void *user);

/* The file that has the DWARF information of `file`, which is open as `fd`: itself or a separate one. And the file that one
 * shares parts of its information with (.gnu_debugaltlink, made by dwz), or -1. New descriptors, owned by the caller. FALSE when
 * there is no such information. */
struct debug_fds {
	int dwarf, alt;
};
gboolean debug_file_dwarf(const struct source_file *file, int fd, struct debug_fds *fds);
