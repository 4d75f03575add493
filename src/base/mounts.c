/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mounts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

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

struct mount_wanted {
	guint64 id;
	gboolean found, may_block, any_blocks;
};

static void mount_look(void *user, guint64 id, gboolean may_block)
{
	struct mount_wanted *wanted = user;

	wanted->any_blocks |= may_block;
	if (id != wanted->id)
		return;
	wanted->found = TRUE;
	wanted->may_block = may_block;
}

static gboolean list_has(const char *list, struct mount_wanted *wanted)
{
	g_autofree char *text = file_read(list, MOUNTS_BYTES_MAX, NULL, NULL);

	mounts_each(text, mount_look, wanted);
	return wanted->found;
}

static enum mounts_answer mounts_find(const struct statx *st, const char *list)
{
	struct mount_wanted wanted = { .id = st->stx_mnt_id };

	if (!(st->stx_mask & STATX_MNT_ID)) /* Linux < 5.8: cannot be told */
		return MOUNTS_SAFE;
	if ((!list_has(list, &wanted) && !list_has("/proc/self/mountinfo", &wanted)) || wanted.may_block)
		return MOUNTS_MAY_BLOCK;
	return wanted.any_blocks ? MOUNTS_SAFE_HERE : MOUNTS_SAFE;
}

static gboolean look(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID, st) == 0;
}

enum mounts_answer mounts_ask(int fd, const char *list, guint64 *mount)
{
	struct statx st;

	if (!look(fd, &st))
		return MOUNTS_MAY_BLOCK;
	*mount = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
	return mounts_find(&st, list);
}

enum mounts_answer mounts_ask_file(int fd, const char *list, guint64 safe_mount)
{
	struct statx st;

	if (!look(fd, &st) || !S_ISREG(st.stx_mode))
		return MOUNTS_MAY_BLOCK;
	if (safe_mount && st.stx_mask & STATX_MNT_ID && st.stx_mnt_id == safe_mount)
		return MOUNTS_SAFE_HERE;
	return mounts_find(&st, list);
}
