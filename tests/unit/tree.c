/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *tree_new(void)
{
	g_autoptr(GError) error = NULL;
	char *root = g_dir_make_tmp("fathom-tree-XXXXXX", &error);

	g_assert_no_error(error);
	return root;
}

void tree_remove(const char *root)
{
	GDir *directory = g_dir_open(root, 0, NULL);
	const char *name;

	while (directory && (name = g_dir_read_name(directory))) {
		g_autofree char *path = g_build_filename(root, name, NULL);

		if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
			tree_remove(path);
		else
			g_unlink(path);
	}
	if (directory)
		g_dir_close(directory);
	g_assert_cmpint(g_rmdir(root), ==, 0);
}

void tree_directory(const char *root, const char *path)
{
	g_autofree char *whole = g_build_filename(root, path, NULL);

	g_assert_cmpint(g_mkdir_with_parents(whole, 0755), ==, 0);
}

static char *place(const char *root, const char *path)
{
	g_autofree char *above = g_path_get_dirname(path);

	tree_directory(root, above);
	return g_build_filename(root, path, NULL);
}

void tree_file(const char *root, const char *path, const char *text)
{
	g_autofree char *whole = place(root, path);

	g_assert_true(g_file_set_contents(whole, text, -1, NULL));
}

void tree_link(const char *root, const char *path, const char *text)
{
	g_autofree char *whole = place(root, path);

	g_unlink(whole);
	g_assert_cmpint(symlink(text, whole), ==, 0);
}

void tree_remove_cgroup(const char *root, const char *path)
{
	g_autofree char *whole = g_build_filename(root, path, NULL);
	g_autofree char *procs = g_build_filename(whole, "cgroup.procs", NULL);

	g_unlink(procs);
	g_assert_cmpint(g_rmdir(whole), ==, 0);
}

guint64 tree_inode(const char *root, const char *path)
{
	g_autofree char *whole = g_build_filename(root, path, NULL);
	struct stat st;

	g_assert_cmpint(stat(whole, &st), ==, 0);
	return st.st_ino;
}

const char *tree_v2(enum tree_mode mode)
{
	return mode == TREE_MODE_HYBRID ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
}

void tree_machine(const char *root, enum tree_mode mode)
{
	static const char *const mounts[] = {
		[TREE_MODE_V2] = "22 1 0:21 / /proc rw - proc proc rw\n"
				 "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
		[TREE_MODE_V1] = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
				 "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
				 "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
		[TREE_MODE_HYBRID] = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
				     "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
				     "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
				     "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
	};
	static const struct tree_process init = { .pid = 1, .comm = "systemd", .start_ticks = 1 };

	tree_file(root, "/proc/self/mountinfo", mounts[mode]);
	tree_link(root, "/proc/self/ns/mnt", "mnt:[100]");
	tree_file(root, "/proc/stat", "cpu  1 2 3\nbtime 1700000000\nprocesses 9\n");
	if (mode != TREE_MODE_V1)
		tree_directory(root, tree_v2(mode));
	if (mode != TREE_MODE_V2)
		tree_directory(root, "/sys/fs/cgroup/memory");
	tree_process(root, mode, &init);
}

static void join(const char *root, const char *tree, const char *path, guint32 pid)
{
	g_autofree char *file = g_build_filename(root, tree, path, "cgroup.procs", NULL);
	g_autofree char *relative = g_build_filename(tree, path, "cgroup.procs", NULL);
	g_autofree char *before = NULL, *after = NULL;

	g_file_get_contents(file, &before, NULL, NULL);
	after = g_strdup_printf("%s%u\n", before ? before : "", pid);
	tree_file(root, relative, after);
}

static void process_file(const char *root, guint32 pid, const char *name, const char *text)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/%s", pid, name);

	tree_file(root, path, text);
}

static void process_link(const char *root, guint32 pid, const char *name, const char *text)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/%s", pid, name);

	tree_link(root, path, text);
}

static void write_arguments(const char *root, const struct tree_process *process)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *path = g_strdup_printf("%s/proc/%u/cmdline", root, process->pid);

	for (guint i = 0; process->arguments && process->arguments[i]; i++)
		g_string_append_len(text, process->arguments[i], (gssize)strlen(process->arguments[i]) + 1);
	g_assert_true(g_file_set_contents(path, text->str, (gssize)text->len, NULL));
}

void tree_process(const char *root, enum tree_mode mode, const struct tree_process *process)
{
	const char *v2 = process->v2 ? process->v2 : "/", *v1 = process->v1 ? process->v1 : "/";
	g_autofree char *inner = process->inner ? g_strdup_printf("\t%u", process->inner) : g_strdup("");
	g_autofree char *stat =
		g_strdup_printf("%u (%s) S %u 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 %" G_GUINT64_FORMAT " 0 0\n",
				process->pid, process->comm, process->ppid, process->start_ticks);
	g_autofree char *status = g_strdup_printf(
		"Name:\tx\nTgid:\t%u\nPid:\t%u\nPPid:\t%u\nUid:\t%u\t0\t0\t0\nNStgid:\t%u%s\nNSpid:\t%u%s\n",
		process->pid, process->pid, process->ppid, process->uid, process->pid, inner, process->pid, inner);
	g_autofree char *cgroup = mode == TREE_MODE_V2 ? g_strdup_printf("0::%s\n", v2)
				  : mode == TREE_MODE_V1
					  ? g_strdup_printf("2:cpu,cpuacct:/\n1:memory:%s\n", v1)
					  : g_strdup_printf("2:memory:%s\n1:name=systemd:/\n0::%s\n", v1, v2);

	process_file(root, process->pid, "stat", stat);
	process_file(root, process->pid, "status", status);
	process_file(root, process->pid, "cgroup", cgroup);
	process_link(root, process->pid, "ns/pid", process->contained ? "pid:[201]" : "pid:[101]");
	process_link(root, process->pid, "ns/mnt", process->contained ? "mnt:[200]" : "mnt:[100]");
	write_arguments(root, process);
	if (process->cwd)
		process_link(root, process->pid, "cwd", process->cwd);
	if (mode != TREE_MODE_V1)
		join(root, tree_v2(mode), v2, process->pid);
	if (mode != TREE_MODE_V2)
		join(root, "/sys/fs/cgroup/memory", v1, process->pid);
}
