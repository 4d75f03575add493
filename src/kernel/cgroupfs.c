/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cgroupfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "kernel/procfs.h"

#define MOUNTINFO_MAX (16 << 20)
#define PROCS_MAX (32 << 20) /* four million pids */
#define PROCS_LINE 16 /* one of them: up to ten digits */
#define HANDLE_KERNFS 0xfe /* FILEID_KERNFS, include/linux/exportfs.h */

static const char *const v1_controllers[] = { "memory", "cpu", "pids" };

/* ---- discovery ---- */

static void hierarchy_free(gpointer data)
{
	struct cgroup_hierarchy *hierarchy = data;

	g_free(hierarchy->controllers);
	g_free(hierarchy->mount);
	g_free(hierarchy->base);
	g_free(hierarchy);
}

void cgroupfs_free(struct cgroupfs *cgroupfs)
{
	if (!cgroupfs)
		return;
	g_ptr_array_unref(cgroupfs->hierarchies);
	g_free(cgroupfs);
}

/* What is left of the super block options once those that are no controllers are gone. */
static char *v1_controllers_of(const char *options)
{
	static const char *const not_controllers[] = {
		"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nofavordynmods",
		NULL
	};
	g_auto(GStrv) all = g_strsplit(options, ",", 0);
	g_autoptr(GPtrArray) kept = g_ptr_array_new();

	for (guint i = 0; all[i]; i++)
		if (!g_strv_contains(not_controllers, all[i]) && !g_str_has_prefix(all[i], "release_agent="))
			g_ptr_array_add(kept, all[i]);
	g_ptr_array_add(kept, NULL);
	return g_strjoinv(",", (char **)kept->pdata);
}

/* Fields of a line: id parent major:minor root mount options optional… - type source super-options. */
static struct cgroup_hierarchy *hierarchy_parse(const char *root, const char *line)
{
	g_auto(GStrv) field = g_strsplit(line, " ", 0);
	guint n = g_strv_length(field), dash = 6;
	struct cgroup_hierarchy *hierarchy;
	g_autofree char *mount = NULL;
	gboolean v2;

	while (dash < n && strcmp(field[dash], "-") != 0)
		dash++;
	if (dash + 3 >= n)
		return NULL;
	v2 = strcmp(field[dash + 1], "cgroup2") == 0;
	if (!v2 && strcmp(field[dash + 1], "cgroup") != 0)
		return NULL;
	hierarchy = g_new0(struct cgroup_hierarchy, 1);
	hierarchy->v2 = v2;
	hierarchy->controllers = v2 ? g_strdup("") : v1_controllers_of(field[dash + 3]);
	mount = g_strcompress(field[4]); /* \040 for a space */
	hierarchy->mount = strcmp(root, "/") == 0 ? g_steal_pointer(&mount) : g_build_filename(root, mount, NULL);
	hierarchy->base = g_strcompress(field[3]);
	return hierarchy;
}

static gboolean has_controller(const struct cgroup_hierarchy *hierarchy, const char *controller)
{
	g_auto(GStrv) names = NULL;

	if (hierarchy->v2 || !*controller)
		return hierarchy->v2 && !*controller;
	names = g_strsplit(hierarchy->controllers, ",", 0);
	return g_strv_contains((const char *const *)names, controller);
}

const struct cgroup_hierarchy *cgroupfs_find(const struct cgroupfs *cgroupfs, const char *controller)
{
	const struct cgroup_hierarchy *found = NULL;

	/* A hierarchy may be mounted several times, also in parts: the mount of its root is the best one. */
	for (guint i = 0; i < cgroupfs->hierarchies->len; i++) {
		const struct cgroup_hierarchy *hierarchy = g_ptr_array_index(cgroupfs->hierarchies, i);

		if (has_controller(hierarchy, controller) && (!found || strcmp(found->base, "/") != 0))
			found = hierarchy;
	}
	return found;
}

const char *cgroupfs_v1_controller(const struct cgroupfs *cgroupfs)
{
	for (guint i = 0; i < G_N_ELEMENTS(v1_controllers); i++)
		if (cgroupfs_find(cgroupfs, v1_controllers[i]))
			return v1_controllers[i];
	return NULL;
}

const char *cgroupfs_mode(const struct cgroupfs *cgroupfs)
{
	if (!cgroupfs->unified)
		return "v1";
	for (guint i = 0; i < cgroupfs->hierarchies->len; i++)
		if (!((const struct cgroup_hierarchy *)g_ptr_array_index(cgroupfs->hierarchies, i))->v2)
			return "hybrid";
	return "v2";
}

struct cgroupfs *cgroupfs_open(const char *root, GError **error)
{
	g_autofree char *path = g_build_filename(root, "proc/self/mountinfo", NULL);
	g_autofree char *text = file_read(path, MOUNTINFO_MAX, NULL, error);
	g_auto(GStrv) lines = NULL;
	struct cgroupfs *cgroupfs;
	const char *controller;

	if (!text)
		return NULL;
	cgroupfs = g_new0(struct cgroupfs, 1);
	cgroupfs->hierarchies = g_ptr_array_new_with_free_func(hierarchy_free);
	lines = g_strsplit(text, "\n", 0);
	for (guint i = 0; lines[i]; i++) {
		struct cgroup_hierarchy *hierarchy = hierarchy_parse(root, lines[i]);

		if (hierarchy)
			g_ptr_array_add(cgroupfs->hierarchies, hierarchy);
	}
	controller = cgroupfs_v1_controller(cgroupfs);
	cgroupfs->unified = cgroupfs_find(cgroupfs, "");
	cgroupfs->legacy = controller ? cgroupfs_find(cgroupfs, controller) : NULL;
	if (!cgroupfs->unified && !cgroupfs->legacy) {
		g_set_error(
			error, FILE_ERROR, FILE_ERROR_OPEN,
			"cannot find containers: no cgroup file system is mounted (mount -t cgroup2 none /sys/fs/cgroup)");
		cgroupfs_free(cgroupfs);
		return NULL;
	}
	return cgroupfs;
}

/* ---- walking ---- */

/* Path as the whole hierarchy has it, from one relative to the mount ("" or "/…"). */
static char *path_absolute(const struct cgroup_hierarchy *hierarchy, const char *relative)
{
	if (strcmp(hierarchy->base, "/") != 0)
		return g_strconcat(hierarchy->base, relative, NULL);
	return g_strdup(*relative ? relative : "/");
}

/* The other way; NULL when `path` is not below the mount. */
static const char *path_relative(const struct cgroup_hierarchy *hierarchy, const char *path)
{
	gsize base = strcmp(hierarchy->base, "/") == 0 ? 0 : strlen(hierarchy->base);

	if (path[0] != '/' || strncmp(path, hierarchy->base, base) != 0 || (path[base] != '/' && path[base] != '\0'))
		return NULL;
	return strcmp(path + base, "/") == 0 ? "" : path + base;
}

struct walk {
	const struct cgroup_hierarchy *hierarchy;
	cgroup_visit visit;
	gpointer data;
	GString *relative;
	guint count;
};

static void walk_directory(struct walk *walk, int fd, guint32 parent_uid, guint depth);

static void walk_child(struct walk *walk, int fd, const char *name, guint32 parent_uid, guint depth)
{
	gsize length = walk->relative->len;
	int child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (child < 0)
		return;
	g_string_append_printf(walk->relative, "/%s", name);
	walk_directory(walk, child, parent_uid, depth);
	g_string_truncate(walk->relative, length);
}

/* Takes over `fd`. */
static void walk_directory(struct walk *walk, int fd, guint32 parent_uid, guint depth)
{
	g_autofree char *path = path_absolute(walk->hierarchy, walk->relative->str);
	struct cgroup_seen seen = { .path = path, .parent_uid = parent_uid };
	struct dirent *entry;
	struct stat st;
	DIR *directory;

	if (fstat(fd, &st) < 0 || ++walk->count > CGROUPFS_CGROUPS_MAX) {
		close(fd);
		return;
	}
	seen.inode = st.st_ino;
	walk->visit(&seen, walk->data);
	/* A kernfs directory has two links and one more for each directory in it: a leaf need not be read. */
	if (st.st_nlink == 2 || depth == CGROUPFS_DEPTH_MAX || !(directory = fdopendir(fd))) {
		close(fd);
		return;
	}
	while ((entry = readdir(directory)))
		if ((entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) && strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			walk_child(walk, dirfd(directory), entry->d_name, st.st_uid, depth + 1);
	closedir(directory);
}

gboolean cgroup_hierarchy_walk(const struct cgroup_hierarchy *hierarchy, cgroup_visit visit, gpointer data,
			       GError **error)
{
	g_autoptr(GString) relative = g_string_new(NULL);
	struct walk walk = { .hierarchy = hierarchy, .visit = visit, .data = data, .relative = relative };
	int fd = open(hierarchy->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot read %s: %s", hierarchy->mount,
			    g_strerror(errno));
		if (fd >= 0)
			close(fd);
		return FALSE;
	}
	walk_directory(&walk, fd, st.st_uid, 0);
	if (walk.count > CGROUPFS_CGROUPS_MAX) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_TOO_LARGE, "more than %d cgroups in %s", CGROUPFS_CGROUPS_MAX,
			    hierarchy->mount);
		return FALSE;
	}
	return TRUE;
}

char *cgroup_hierarchy_directory(const struct cgroup_hierarchy *hierarchy, const char *path)
{
	const char *relative = path_relative(hierarchy, path);

	return relative ? g_strconcat(hierarchy->mount, relative, NULL) : NULL;
}

gboolean cgroup_hierarchy_look(const struct cgroup_hierarchy *hierarchy, const char *path, struct cgroup_seen *seen)
{
	g_autofree char *directory = cgroup_hierarchy_directory(hierarchy, path);
	g_autofree char *above = directory ? g_path_get_dirname(directory) : NULL;
	struct stat st, parent;

	if (!directory || strstr(directory, "/../") || lstat(directory, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    lstat(above, &parent) < 0)
		return FALSE;
	*seen = (struct cgroup_seen){ .path = path, .inode = st.st_ino, .parent_uid = parent.st_uid };
	return TRUE;
}

char *cgroup_hierarchy_path(const struct cgroup_hierarchy *hierarchy, guint64 inode, gboolean *known)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + sizeof(inode)];
	} id = { .handle = { .handle_bytes = sizeof(inode), .handle_type = HANDLE_KERNFS } };
	int mount = open(hierarchy->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	g_autofree char *link = NULL, *directory = NULL, *path = NULL;
	struct cgroup_seen seen;
	struct statfs fs;

	*known = FALSE;
	if (mount < 0)
		return NULL;
	if (fstatfs(mount, &fs) < 0 ||
	    ((guint32)fs.f_type != CGROUP2_SUPER_MAGIC && (guint32)fs.f_type != CGROUP_SUPER_MAGIC)) {
		close(mount);
		return NULL;
	}
	memcpy(id.handle.f_handle, &inode, sizeof(inode));
	fd = open_by_handle_at(mount, &id.handle, O_PATH | O_CLOEXEC);
	*known = fd >= 0 || errno == ESTALE;
	close(mount);
	if (fd < 0)
		return NULL;
	link = g_strdup_printf("/proc/self/fd/%d", fd);
	directory = g_file_read_link(link, NULL);
	close(fd);
	if (!directory || !g_str_has_prefix(directory, hierarchy->mount))
		return NULL;
	path = path_absolute(hierarchy, directory + strlen(hierarchy->mount));
	/* A directory just removed still has a text. */
	return cgroup_hierarchy_look(hierarchy, path, &seen) && seen.inode == inode ? g_steal_pointer(&path) : NULL;
}

static gboolean pids_read(int fd, GArray *pids)
{
	g_autofree char *text = file_read_pieces(fd, "cgroup.procs", PROCS_LINE, PROCS_MAX, NULL, NULL);
	char *at = text;

	while (at && *at) {
		char *end;
		guint32 pid = (guint32)strtoul(at, &end, 10);

		if (end == at)
			break;
		if (pid)
			g_array_append_val(pids, pid);
		at = *end == '\n' ? end + 1 : end;
	}
	return text != NULL;
}

/* Takes over `fd`. */
static void pids_below(int fd, guint depth, GArray *pids)
{
	struct dirent *entry;
	struct stat st;
	DIR *directory;

	if (fstat(fd, &st) < 0 || st.st_nlink == 2 || depth == CGROUPFS_DEPTH_MAX || !(directory = fdopendir(fd))) {
		close(fd);
		return;
	}
	while ((entry = readdir(directory))) {
		int child;

		if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		child = openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0)
			continue;
		pids_read(child, pids);
		pids_below(child, depth + 1, pids);
	}
	closedir(directory);
}

gboolean cgroup_hierarchy_pids(const struct cgroup_hierarchy *hierarchy, const char *path, gboolean below, GArray *pids)
{
	g_autofree char *directory = cgroup_hierarchy_directory(hierarchy, path);
	int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	gboolean there;

	if (fd < 0)
		return FALSE;
	there = pids_read(fd, pids);
	if (below)
		pids_below(fd, 0, pids);
	else
		close(fd);
	return there;
}

/* ---- of processes ---- */

static guint64 key_at(const struct cgroup_hierarchy *hierarchy, const char *at, guint64 bit, char **path)
{
	struct cgroup_seen seen;

	if (!hierarchy || !at || !cgroup_hierarchy_look(hierarchy, at, &seen))
		return 0;
	if (path)
		*path = g_strdup(at);
	return seen.inode | bit;
}

guint64 cgroupfs_key_of(const struct cgroupfs *cgroupfs, guint32 pid, char **path)
{
	g_autoptr(GArray) cgroups = procfs_cgroups_read("/", pid, NULL);
	const char *unified = NULL, *legacy = NULL, *controller = cgroupfs_v1_controller(cgroupfs);
	guint64 key = 0;

	if (path)
		*path = NULL;
	for (guint i = 0; cgroups && i < cgroups->len; i++) {
		const struct procfs_cgroup *cgroup = &g_array_index(cgroups, struct procfs_cgroup, i);
		g_auto(GStrv) names = g_strsplit(cgroup->controllers, ",", -1);

		if (!*cgroup->controllers)
			unified = cgroup->path;
		else if (controller && g_strv_contains((const char *const *)names, controller))
			legacy = cgroup->path;
	}
	if (legacy && strcmp(legacy, "/") != 0 && (!unified || strcmp(unified, "/") == 0))
		key = key_at(cgroupfs->legacy, legacy, CGROUPFS_KEY_V1, path);
	return key ? key : key_at(cgroupfs->unified, unified, 0, path);
}

gboolean cgroupfs_pids_of(const struct cgroupfs *cgroupfs, guint64 key, GArray *pids)
{
	const struct cgroup_hierarchy *hierarchy = key & CGROUPFS_KEY_V1 ? cgroupfs->legacy : cgroupfs->unified;
	gboolean known;
	g_autofree char *path = hierarchy ? cgroup_hierarchy_path(hierarchy, key & ~CGROUPFS_KEY_V1, &known) : NULL;

	return path && cgroup_hierarchy_pids(hierarchy, path, FALSE, pids);
}
