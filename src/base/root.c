/* SPDX-License-Identifier: Apache-2.0 */
#include "base/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mounts.h"
#include "base/walk.h"

/* The list of mounts of whom the root belongs to: next to it, below /proc. */
static char *root_mounts(const char *root)
{
	return g_str_has_suffix(root, "/root") ? g_strdup_printf("%.*smountinfo", (int)strlen(root) - 4, root)
					       : g_strdup(MOUNTS_OWN);
}

/* The very file that was looked at. */
static int seen_open(int seen)
{
	char path[32];

	g_snprintf(path, sizeof(path), "/proc/self/fd/%d", seen);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

struct file_root {
	char *path;
	int fd; /* O_PATH */
	gboolean may_ask; /* what it is on */
	struct mounts *mounts;
};

struct file_root *file_root_open(const char *root, GError **error)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	g_autofree char *list = NULL;
	struct file_root *opened;

	if (fd < 0) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s: %s", root, g_strerror(errno));
		return NULL;
	}
	list = root_mounts(root);
	opened = g_new0(struct file_root, 1);
	opened->path = g_strdup(root);
	opened->fd = fd;
	opened->mounts = mounts_new(list);
	opened->may_ask = mounts_may_ask(opened->mounts, fd);
	return opened;
}

void file_root_close(struct file_root *root)
{
	if (!root)
		return;
	close(root->fd);
	mounts_free(root->mounts);
	g_free(root->path);
	g_free(root);
}

const char *file_root_path(const struct file_root *root)
{
	return root->path;
}

gboolean file_root_equal(const struct file_root *a, const struct file_root *b)
{
	struct statx st[2];

	for (int i = 0; i < 2; i++)
		if (statx((i ? b : a)->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, &st[i]) <
			    0 ||
		    !(st[i].stx_mask & STATX_MNT_ID))
			return FALSE;
	return st[0].stx_ino == st[1].stx_ino && st[0].stx_mnt_id == st[1].stx_mnt_id;
}

static gboolean is_regular(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
	       S_ISREG(st.stx_mode);
}

static gboolean may_ask(void *user, int fd)
{
	return mounts_may_ask(user, fd);
}

/* Finds without opening, so that a FIFO, a device or a file whose server may never answer is not touched. Even to look a name up
 * asks such a server: the kernel may look on the root's own mount; across mounts each step is judged before the next. -1 and
 * errno. */
static int root_look(struct file_root *root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	int seen;

	if (!root->may_ask) {
		errno = EXDEV;
		return -1;
	}
	seen = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
	return seen >= 0 || errno != EXDEV ? seen : walk_in_root(root->fd, path, may_ask, root->mounts);
}

int file_root_file(struct file_root *root, const char *path, GError **error)
{
	int seen = root_look(root, path), fd = -1;
	gboolean is_local = seen >= 0 ? is_regular(seen) : errno != EXDEV;

	if (seen >= 0 && is_local)
		fd = seen_open(seen);
	if (fd < 0)
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s in %s: %s", path, root->path,
			    is_local ? g_strerror(errno) : "not a regular file on a local file system");
	if (seen >= 0)
		close(seen);
	return fd;
}

int file_open_in_root(const char *root, const char *path, GError **error)
{
	struct file_root *opened = file_root_open(root, error);
	int fd = opened ? file_root_file(opened, path, error) : -1;

	file_root_close(opened);
	return fd;
}
