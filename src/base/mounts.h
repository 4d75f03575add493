/* SPDX-License-Identifier: Apache-2.0 */
/* Which mounts may block for ever: those whose files a process serves (FUSE), which a container may own and may never let
 * answer. Asking such a file for anything asks that process; what kind of mount a descriptor is on can be learnt without asking, by the
 * mount's number (statx STATX_MNT_ID) and the list of mounts (proc_pid_mountinfo(5)). */
#pragma once
#include <glib.h>

#define MOUNTS_BYTES_MAX (4u << 20) /* of a list of mounts */

/* Calls `each` for every line of the list `text`, which is cut up. */
void mounts_each(char *text, void (*each)(void *user, guint64 id, gboolean may_block), void *user);

/* What a list of mounts (the path of a mountinfo) says about the mount of an open descriptor (O_PATH will do). Never blocks. */
enum mounts_answer {
	MOUNTS_SAFE = 0, /* answers by itself, and so does every other of the list */
	MOUNTS_SAFE_HERE = 1, /* answers by itself, but another of the list may not */
	MOUNTS_MAY_BLOCK = 2, /* or is in no list */
};
/* `*mount` becomes its number, which stays its as long as the descriptor is open; 0 when that cannot be told. */
enum mounts_answer mounts_ask(int fd, const char *list, guint64 *mount);
/* The same for files: MOUNTS_MAY_BLOCK also when it is no regular file. `safe_mount` is known to answer (0: none is), so that the
 * list, which may be long, is not read again. */
enum mounts_answer mounts_ask_file(int fd, const char *list, guint64 safe_mount);
