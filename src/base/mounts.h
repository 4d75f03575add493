/* SPDX-License-Identifier: Apache-2.0 */
/* Which mounts may block for ever: those whose files a process serves (FUSE), which a container may own and may never let
 * answer. Asking such a file for anything asks that process; what kind of mount a descriptor is on can be learnt without asking, by the
 * mount's number (statx STATX_MNT_ID) and the list of mounts (proc_pid_mountinfo(5)). */
#pragma once
#include <glib.h>

#define MOUNTS_BYTES_MAX (4u << 20) /* of a list of mounts */

/* Calls `each` for every line of the list `text`, which is cut up. */
void mounts_each(char *text, void (*each)(void *user, guint64 id, gboolean may_block), void *user);

#define MOUNTS_OWN "/proc/self/mountinfo"

/* TRUE: the kernel says of the mount of an open descriptor (O_PATH will do) that it answers by itself, without a list being read: Linux
 * 6.8, for mounts that are among ours. It stays so as long as the descriptor is open. */
gboolean mounts_is_safe(int fd);

/* The mounts of a list (the path of a mountinfo) and, for those it does not know, of our own; each is read once, when it is needed. */
struct mounts;
struct mounts *mounts_new(const char *list);
void mounts_free(struct mounts *mounts);

/* What the lists say about the mount of an open descriptor (O_PATH will do). Never blocks. */
enum mounts_answer {
	MOUNTS_SAFE = 0, /* answers by itself, and so does every other that was read */
	MOUNTS_SAFE_HERE = 1, /* answers by itself, but another may not */
	MOUNTS_MAY_BLOCK = 2, /* or is in no list */
};
enum mounts_answer mounts_ask(struct mounts *mounts, int fd);
/* The same for files: MOUNTS_MAY_BLOCK also when it is no regular file. */
enum mounts_answer mounts_ask_file(struct mounts *mounts, int fd);
