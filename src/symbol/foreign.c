/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/foreign.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/root.h"
#include "base/mounts.h"
#include "base/units.h"

#define MOUNTS_FRESH_NS (2 * NS_PER_S) /* mount ids are used again after an unmount */

#define LOCAL_MOUNTS_MAX 65536

enum mount_kind {
	MOUNT_UNKNOWN = 0,
	MOUNT_LOCAL = 1,
	MOUNT_REFUSED = 2
};

struct foreign {
	GHashTable *mounts; /* mount id → enum mount_kind */
	GHashTable *local; /* set of mount ids that are never used again: no question about them a second time */
	guint64 since_ns;
	guint64 memory_mount; /* the kernel's own mount of memfd files: in no mountinfo */
	gboolean memory_mount_known;
};

struct foreign *foreign_new(void)
{
	struct foreign *foreign = g_new0(struct foreign, 1);
	int fd = memfd_create("fathom", MFD_CLOEXEC);
	struct statx st;

	foreign->mounts = g_hash_table_new(NULL, NULL);
	foreign->local = g_hash_table_new(NULL, NULL);
	if (fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 && st.stx_mask & STATX_MNT_ID) {
		foreign->memory_mount = st.stx_mnt_id;
		foreign->memory_mount_known = TRUE;
	}
	if (fd >= 0)
		close(fd);
	return foreign;
}

void foreign_free(struct foreign *foreign)
{
	if (!foreign)
		return;
	g_hash_table_unref(foreign->mounts);
	g_hash_table_unref(foreign->local);
	g_free(foreign);
}

int foreign_open_process(guint32 tgid)
{
	char path[32];

	g_snprintf(path, sizeof(path), "/proc/%u", tgid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void mount_take(void *user, guint64 id, gboolean may_block)
{
	const struct foreign *foreign = user;

	g_hash_table_insert(foreign->mounts, GUINT_TO_POINTER((guint)id),
			    GUINT_TO_POINTER(may_block ? MOUNT_REFUSED : MOUNT_LOCAL));
}

static void mounts_read(struct foreign *foreign, int proc_fd)
{
	g_autofree char *text = file_read_at(proc_fd, "mountinfo", MOUNTS_BYTES_MAX, NULL, NULL);

	mounts_each(text, mount_take, foreign);
}

static gboolean mount_is_safe(struct foreign *foreign, int proc_fd, guint64 id)
{
	guint64 now_ns = clock_monotonic_ns();
	gpointer key = GUINT_TO_POINTER((guint)id);
	enum mount_kind kind;

	if (foreign->memory_mount_known && id == foreign->memory_mount)
		return TRUE;
	if (now_ns - foreign->since_ns > MOUNTS_FRESH_NS) {
		g_hash_table_remove_all(foreign->mounts);
		foreign->since_ns = now_ns;
	}
	kind = GPOINTER_TO_UINT(g_hash_table_lookup(foreign->mounts, key));
	if (kind == MOUNT_UNKNOWN) {
		mounts_read(foreign, proc_fd);
		kind = GPOINTER_TO_UINT(g_hash_table_lookup(foreign->mounts, key));
		if (kind == MOUNT_UNKNOWN)
			g_hash_table_insert(foreign->mounts, key, GUINT_TO_POINTER(MOUNT_REFUSED));
	}
	return kind == MOUNT_LOCAL;
}

guint module_key_hash(gconstpointer data)
{
	const struct module_key *key = data;
	guint64 mixed = (key->inode * 31 + key->device) * 31 + key->size + (guint64)key->changed_ns;

	return (guint)(mixed ^ mixed >> 32);
}

gboolean module_key_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct module_key)) == 0;
}

static struct module_key key_from(const struct statx *st)
{
	return (struct module_key){
		.device = (guint64)st->stx_dev_major << 32 | st->stx_dev_minor,
		.inode = st->stx_ino,
		.size = st->stx_size,
		.changed_ns = st->stx_mtime.tv_sec * (gint64)NS_PER_S + st->stx_mtime.tv_nsec,
	};
}

/* By the number that is not used again, where the kernel has one; by the list of mounts where it does not know the mount by it (one
 * that is not among ours) or knows no good of it. */
static gboolean file_mount_is_safe(struct foreign *foreign, int proc_fd, const char *name, const struct statx *st)
{
	gpointer unique = GSIZE_TO_POINTER((gsize)st->stx_mnt_id);
	struct statx again;

	if (st->stx_mask & STATX_MNT_ID)
		return mount_is_safe(foreign, proc_fd, st->stx_mnt_id);
	if (!(st->stx_mask & MOUNTS_ID_UNIQUE))
		return TRUE;
	if (g_hash_table_contains(foreign->local, unique))
		return TRUE;
	if (!mounts_kernel_says(st->stx_mnt_id) &&
	    (statx(proc_fd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID, &again) < 0 ||
	     !mount_is_safe(foreign, proc_fd, again.stx_mnt_id)))
		return FALSE;
	if (g_hash_table_size(foreign->local) < LOCAL_MOUNTS_MAX)
		g_hash_table_add(foreign->local, unique);
	return TRUE;
}

gboolean foreign_stat(struct foreign *foreign, int proc_fd, const char *name, struct module_key *key)
{
	struct statx st;

	if (statx(proc_fd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_MNT_ID | MOUNTS_ID_UNIQUE, &st) < 0 ||
	    !S_ISREG(st.stx_mode) || !file_mount_is_safe(foreign, proc_fd, name, &st))
		return FALSE;
	*key = key_from(&st);
	return TRUE;
}

static gboolean key_of_fd(int fd, struct module_key *key)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) < 0 || !S_ISREG(st.stx_mode))
		return FALSE;
	*key = key_from(&st);
	return TRUE;
}

gboolean foreign_open(struct foreign *foreign, int proc_fd, const char *name, struct foreign_file *file)
{
	struct module_key looked_at;

	if (!foreign_stat(foreign, proc_fd, name, &looked_at))
		return FALSE;
	file->fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0)
		return FALSE;
	if (key_of_fd(file->fd, &file->key) && file->key.inode == looked_at.inode &&
	    file->key.device == looked_at.device)
		return TRUE;
	close(file->fd);
	return FALSE;
}

gboolean foreign_open_in_root(const char *root, const char *path, struct foreign_file *file)
{
	file->fd = file_open_in_root(root, path, NULL);
	if (file->fd < 0)
		return FALSE;
	if (key_of_fd(file->fd, &file->key))
		return TRUE;
	close(file->fd);
	return FALSE;
}

/* The inode a path leads to when its last component is not followed; 0 when there is none. */
static guint64 entry_inode(const char *root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
	struct module_key key = { 0 };

	if (root_fd < 0)
		return 0;
	fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	close(root_fd);
	if (fd < 0)
		return 0;
	if (!key_of_fd(fd, &key))
		key.inode = 0;
	close(fd);
	return key.inode;
}

gboolean foreign_open_entry_in_root(const char *root, const char *path, struct foreign_file *file)
{
	guint64 inode = entry_inode(root, path);

	if (!inode || !foreign_open_in_root(root, path, file))
		return FALSE;
	if (file->key.inode == inode)
		return TRUE;
	close(file->fd);
	return FALSE;
}
