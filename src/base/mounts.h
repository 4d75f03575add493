/* SPDX-License-Identifier: Apache-2.0 */
/* Which mounts may block for ever: those whose files a process serves (FUSE), which a container may own and may never let
 * answer. Asking such a file for anything asks that process; what kind of mount a descriptor is on can be learnt without asking, by the
 * mount's number (statx STATX_MNT_ID) and the list of mounts (proc_pid_mountinfo(5)). */
#pragma once
#include <glib.h>

#define MOUNTS_BYTES_MAX (4u << 20) /* of a list of mounts */

/* Calls `each` for every line of the list `text`, which is cut up. */
void mounts_each(char *text, void (*each)(void *user, guint64 id, gboolean may_block), void *user);

/* TRUE: the kernel says of this mount, one of ours, that it is no FUSE. FALSE: it does not say. Costs one system call (Linux 6.8). `id`: of
 * MOUNTS_ID_UNIQUE, which is not used again. */
gboolean mounts_kernel_says(guint64 id);
#define MOUNTS_ID_UNIQUE 0x4000u /* STATX_MNT_ID_UNIQUE, which Debian 12's headers do not have */

#define MOUNTS_OWN "/proc/self/mountinfo"

/* The mounts of a list (the path of a mountinfo) and, for those it does not know, of our own; each is read once, when it is
 * needed, which from Linux 6.8 on is seldom: there the kernel says it of one mount, for those that are among ours (statmount). */
struct mounts;
struct mounts *mounts_new(const char *list);
void mounts_free(struct mounts *mounts);

/* Does what is behind an open descriptor (O_PATH will do) answer by itself? FALSE also when nobody knows. Never blocks, and stays so
 * as long as the descriptor is open. */
gboolean mounts_may_ask(struct mounts *mounts, int fd);
