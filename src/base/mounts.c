/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mounts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"

/* statmount(2), Linux 6.8; constants and layouts of linux/mount.h, which Debian 12's headers do not have */
#ifndef SYS_statmount
#define SYS_statmount 457
#endif
#define MOUNT_SUPER_BLOCK 0x1u /* STATMOUNT_SB_BASIC */
#define MOUNT_FUSE_MAGIC 0x65735546u

struct mount_request {
	guint32 size, spare;
	guint64 mount, wanted;
};

struct mount_described {
	guint32 size, options;
	guint64 has;
	guint32 device_major, device_minor;
	guint64 magic;
	guint64 others[60];
};

gboolean mounts_kernel_says(guint64 id)
{
	struct mount_request request = { .size = sizeof(request), .mount = id, .wanted = MOUNT_SUPER_BLOCK };
	struct mount_described described = { 0 };

	return syscall(SYS_statmount, &request, &described, sizeof(described), 0) == 0 &&
	       described.has & MOUNT_SUPER_BLOCK && described.magic != MOUNT_FUSE_MAGIC;
}

/* TRUE: the kernel says so, without a list being read. */
static gboolean kernel_says(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, MOUNTS_ID_UNIQUE, &st) == 0 &&
	       st.stx_mask & MOUNTS_ID_UNIQUE && mounts_kernel_says(st.stx_mnt_id);
}

/* "36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw" */
void mounts_each(char *text, void (*each)(void *user, guint64 id, gboolean may_block), void *user)
{
	char *line = text, *end;

	while (line && (end = strchr(line, '\n'))) {
		const char *type;

		*end = '\0';
		type = strstr(line, " - ");
		if (type)
			each(user, g_ascii_strtoull(line, NULL, 10), g_str_has_prefix(type + 3, "fuse"));
		line = end + 1;
	}
}

enum mount_kind {
	MOUNT_ANSWERS = 1,
	MOUNT_MAY_NOT = 2,
};

struct mounts {
	const char *lists[2]; /* not read yet */
	char *first;
	GHashTable *kinds; /* number → enum mount_kind, of those read */
};

struct mounts *mounts_new(const char *list)
{
	struct mounts *mounts = g_new0(struct mounts, 1);

	mounts->first = g_strdup(list);
	mounts->lists[0] = mounts->first;
	mounts->lists[1] = strcmp(list, MOUNTS_OWN) == 0 ? NULL : MOUNTS_OWN;
	mounts->kinds = g_hash_table_new(NULL, NULL);
	return mounts;
}

void mounts_free(struct mounts *mounts)
{
	if (!mounts)
		return;
	g_hash_table_unref(mounts->kinds);
	g_free(mounts->first);
	g_free(mounts);
}

static void mount_take(void *user, guint64 id, gboolean may_block)
{
	struct mounts *mounts = user;

	g_hash_table_insert(mounts->kinds, GSIZE_TO_POINTER(id),
			    GUINT_TO_POINTER(may_block ? MOUNT_MAY_NOT : MOUNT_ANSWERS));
}

static enum mount_kind mount_kind(struct mounts *mounts, guint64 id)
{
	for (guint i = 0; i < G_N_ELEMENTS(mounts->lists); i++) {
		g_autofree char *text = NULL;

		if (g_hash_table_contains(mounts->kinds, GSIZE_TO_POINTER(id)))
			break;
		if (!mounts->lists[i])
			continue;
		text = file_read(mounts->lists[i], MOUNTS_BYTES_MAX, NULL, NULL);
		mounts_each(text, mount_take, mounts);
		mounts->lists[i] = NULL;
	}
	return GPOINTER_TO_UINT(g_hash_table_lookup(mounts->kinds, GSIZE_TO_POINTER(id)));
}

gboolean mounts_may_ask(struct mounts *mounts, int fd)
{
	struct statx st;

	if (kernel_says(fd))
		return TRUE;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0)
		return FALSE;
	return st.stx_mask & STATX_MNT_ID && mount_kind(mounts, st.stx_mnt_id) == MOUNT_ANSWERS;
}
