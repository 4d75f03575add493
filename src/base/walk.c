/* SPDX-License-Identifier: Apache-2.0 */
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
	int fds[WALK_DEPTH_MAX + 1]; /* O_PATH, of the directories from the root on; the root's is the caller's */
	guint depth; /* of the last of them */
	guint links;
	gboolean is_at_file; /* and no directory: nothing can follow */
	walk_may_fn may;
	void *user;
	char rest[PATH_MAX]; /* what is still to be looked up */
};

static void walk_up(struct walk *walk, guint depth)
{
	while (walk->depth > depth)
		close(walk->fds[walk->depth--]);
}

/* The link's text comes before the rest. Links of /proc that have no text of their own are followed by the text they show, which
 * cannot lead out of the root either. */
static gboolean walk_link(struct walk *walk, int fd)
{
	char text[PATH_MAX];
	ssize_t length = readlinkat(fd, "", text, sizeof(text));
	gsize rest = strlen(walk->rest) + 1;

	if (length < 0)
		return FALSE;
	if (++walk->links > WALK_LINKS_MAX) {
		errno = ELOOP;
		return FALSE;
	}
	if ((gsize)length + 1 + rest > sizeof(walk->rest)) {
		errno = ENAMETOOLONG;
		return FALSE;
	}
	memmove(walk->rest + length + 1, walk->rest, rest);
	memcpy(walk->rest, text, (gsize)length);
	walk->rest[length] = '/';
	if (length > 0 && text[0] == '/')
		walk_up(walk, 0);
	return TRUE;
}

/* Takes the next name off the rest. NULL: there is none. */
static const char *walk_name(struct walk *walk, char name[NAME_MAX + 1])
{
	gsize from = strspn(walk->rest, "/"), length = strcspn(walk->rest + from, "/");

	if (length > NAME_MAX) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	memcpy(name, walk->rest + from, length);
	name[length] = '\0';
	memmove(walk->rest, walk->rest + from + length, strlen(walk->rest + from + length) + 1);
	errno = 0;
	return length ? name : NULL;
}

static gboolean walk_kind(const struct walk *walk, int fd, mode_t *mode)
{
	struct statx st;

	if (!walk->may(walk->user, fd)) {
		errno = EXDEV;
		return FALSE;
	}
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
		return FALSE;
	*mode = st.stx_mode;
	return TRUE;
}

static gboolean walk_step(struct walk *walk, const char *name)
{
	gboolean right;
	mode_t mode;
	int fd;

	if (walk->is_at_file) {
		errno = ENOTDIR;
		return FALSE;
	}
	if (strcmp(name, ".") == 0)
		return TRUE;
	if (strcmp(name, "..") == 0) {
		walk_up(walk, MAX(walk->depth, 1) - 1);
		return TRUE;
	}
	if (walk->depth >= WALK_DEPTH_MAX) {
		errno = ENAMETOOLONG;
		return FALSE;
	}
	/* Opening a path's last component as O_PATH asks the directory it is in, not what is mounted on it. */
	fd = openat(walk->fds[walk->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return FALSE;
	right = walk_kind(walk, fd, &mode);
	if (right && !S_ISLNK(mode)) {
		walk->fds[++walk->depth] = fd;
		walk->is_at_file = !S_ISDIR(mode);
		return TRUE;
	}
	right = right && walk_link(walk, fd);
	close(fd);
	return right;
}

int walk_in_root(int root, const char *path, walk_may_fn may, void *user)
{
	struct walk walk = { .fds = { root }, .may = may, .user = user };
	char name[NAME_MAX + 1];
	const char *next;
	int found = -1, error;
	mode_t mode;

	if (g_strlcpy(walk.rest, path, sizeof(walk.rest)) >= sizeof(walk.rest)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (!walk_kind(&walk, root, &mode))
		return -1;
	while ((next = walk_name(&walk, name)) && walk_step(&walk, next))
		;
	error = errno;
	if (!next && error == 0) {
		found = walk.depth ? fcntl(walk.fds[walk.depth], F_DUPFD_CLOEXEC, 0)
				   : openat(root, ".", O_PATH | O_CLOEXEC);
		error = errno;
	}
	walk_up(&walk, 0);
	errno = error;
	return found;
}
