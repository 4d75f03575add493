/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/units.h"

#define STAT_MAX 4096
#define STATUS_MAX 65536
#define CGROUP_MAX (1 << 20) /* nested paths of 4 KiB in a dozen hierarchies */
#define ARGUMENTS_MAX 65536
#define BOOT_STAT_MAX (4 << 20) /* one line a CPU, one number an interrupt */
#define LINK_MAX 4096

static char *procfs_path(const char *root, guint32 pid, const char *name)
{
	return g_strdup_printf("%s/proc/%u/%s", root, pid, name);
}

/* One of those that are made in one go. */
static char *procfs_read(const char *root, guint32 pid, const char *name, gsize limit, GError **error)
{
	g_autofree char *path = procfs_path(root, pid, name);

	return file_read_pieces(AT_FDCWD, path, 0, limit, NULL, error);
}

/* ---- stat ---- */

gboolean procfs_stat_parse(const char *line, struct procfs_stat *stat)
{
	const char *open = strchr(line, '('), *close = strrchr(line, ')');
	const char *at;

	*stat = (struct procfs_stat){ 0 };
	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return FALSE;
	stat->pid = (guint32)strtoul(line, NULL, 10);
	stat->state = close[2];
	at = close + 3;
	for (guint field = 4; field <= 22; field++, at = strchr(at, ' ')) {
		if (!at || *at != ' ' || !(*++at == '-' || g_ascii_isdigit(*at)))
			return FALSE;
		if (field == 4)
			stat->ppid = (guint32)strtoul(at, NULL, 10);
		else if (field == 20)
			stat->threads = (guint32)strtoul(at, NULL, 10);
		else if (field == 22)
			stat->start_ticks = strtoull(at, NULL, 10);
	}
	memcpy(stat->comm, open + 1, MIN((gsize)(close - open - 1), sizeof(stat->comm) - 1));
	return TRUE;
}

gboolean procfs_stat_read(const char *root, guint32 pid, struct procfs_stat *stat, GError **error)
{
	g_autofree char *line = procfs_read(root, pid, "stat", STAT_MAX, error);

	if (!line)
		return FALSE;
	if (procfs_stat_parse(line, stat))
		return TRUE;
	g_set_error(error, FILE_ERROR, FILE_ERROR_READ, "cannot understand /proc/%u/stat", pid);
	return FALSE;
}

guint64 procfs_start_ticks(int proc_fd)
{
	g_autofree char *line = file_read_pieces(proc_fd, "stat", 0, STAT_MAX, NULL, NULL);
	struct procfs_stat stat;

	return line && procfs_stat_parse(line, &stat) ? stat.start_ticks : 0;
}

gboolean procfs_usage_read(const char *root, guint32 pid, struct procfs_stat *stat, struct procfs_usage *usage)
{
	g_autofree char *line = procfs_read(root, pid, "stat", STAT_MAX, NULL);
	const char *close = line ? strrchr(line, ')') : NULL;
	unsigned long long faults, major, user, system;
	long rss;

	/* Fields 10 minor faults, 12 major faults, 14 user, 15 system, 24 resident pages. */
	if (!close || !procfs_stat_parse(line, stat) ||
	    sscanf(/* NOLINT(cert-err34-c) */
		   close + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %llu %*u %llu %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
		   &faults, &major, &user, &system, &rss) != 5)
		return FALSE;
	*usage = (struct procfs_usage){ .user_ticks = user,
					.system_ticks = system,
					.faults = faults,
					.major_faults = major,
					.rss_pages = rss > 0 ? (guint64)rss : 0 };
	return TRUE;
}

/* ---- status ---- */

static guint32 status_levels(const char *value, guint32 *levels)
{
	guint32 n = 0;

	while (n < PROCFS_NS_LEVELS_MAX) {
		char *end;
		unsigned long number = strtoul(value, &end, 10);

		if (end == value)
			break;
		levels[n++] = (guint32)number;
		value = end;
	}
	return n;
}

static void status_line(struct procfs_status *status, const char *line)
{
	const char *value = strchr(line, ':');
	gsize name = value ? (gsize)(value - line) : 0;

	if (name == 4 && strncmp(line, "Tgid", 4) == 0)
		status->tgid = (guint32)strtoul(value + 1, NULL, 10);
	else if (name == 4 && strncmp(line, "PPid", 4) == 0)
		status->ppid = (guint32)strtoul(value + 1, NULL, 10);
	else if (name == 3 && strncmp(line, "Uid", 3) == 0)
		status->uid = (guint32)strtoul(value + 1, NULL, 10);
	else if (name == 5 && strncmp(line, "NSpid", 5) == 0)
		status->levels = status_levels(value + 1, status->inner_pid);
	else if (name == 6 && strncmp(line, "NStgid", 6) == 0)
		status_levels(value + 1, status->inner_tgid);
}

gboolean procfs_status_read(const char *root, guint32 pid, struct procfs_status *status, GError **error)
{
	g_autofree char *text = procfs_read(root, pid, "status", STATUS_MAX, error);
	g_auto(GStrv) lines = NULL;

	*status = (struct procfs_status){ 0 };
	if (!text)
		return FALSE;
	/* The kernel escapes newlines and backslashes in Name:, so that every line is its own. */
	lines = g_strsplit(text, "\n", 0);
	for (guint i = 0; lines[i]; i++)
		status_line(status, lines[i]);
	return TRUE;
}

/* ---- cgroup ---- */

static void cgroup_clear(gpointer data)
{
	struct procfs_cgroup *cgroup = data;

	g_free(cgroup->controllers);
	g_free(cgroup->path);
}

GArray *procfs_cgroups_read(const char *root, guint32 pid, GError **error)
{
	g_autofree char *text = procfs_read(root, pid, "cgroup", CGROUP_MAX, error);
	g_auto(GStrv) lines = NULL;
	GArray *cgroups;

	if (!text)
		return NULL;
	cgroups = g_array_new(FALSE, FALSE, sizeof(struct procfs_cgroup));
	g_array_set_clear_func(cgroups, cgroup_clear);
	lines = g_strsplit(text, "\n", 0); /* the kernel refuses newlines in names of cgroups */
	for (guint i = 0; lines[i]; i++) {
		char *controllers = strchr(lines[i], ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		struct procfs_cgroup cgroup = { 0 };

		if (!path)
			continue;
		cgroup.controllers = g_strndup(controllers + 1, (gsize)(path - controllers - 1));
		cgroup.deleted = g_str_has_suffix(path, " (deleted)");
		cgroup.path = g_strndup(path + 1, strlen(path + 1) - (cgroup.deleted ? strlen(" (deleted)") : 0));
		g_array_append_val(cgroups, cgroup);
	}
	return cgroups;
}

gboolean procfs_delay_accounting(const char *root)
{
	g_autofree char *path = g_build_filename(root, "proc/sys/kernel/task_delayacct", NULL);
	g_autofree char *text = file_read(path, 64, NULL, NULL);

	return text && text[0] == '1';
}

/* ---- arguments, links, namespaces ---- */

char **procfs_arguments_read(const char *root, guint32 pid)
{
	g_autofree char *path = procfs_path(root, pid, "cmdline");
	g_autofree char *buffer = g_malloc(ARGUMENTS_MAX + 1);
	g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
	gsize used = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return NULL;
	while (used < ARGUMENTS_MAX) {
		ssize_t n = read(fd, buffer + used, ARGUMENTS_MAX - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (gsize)n;
	}
	close(fd);
	buffer[used] = '\0';
	for (gsize at = 0; at < used; at += strlen(buffer + at) + 1)
		g_ptr_array_add(arguments, g_strdup(buffer + at));
	if (arguments->len == 0)
		return NULL;
	g_ptr_array_add(arguments, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&arguments), FALSE);
}

char *procfs_link_read(const char *root, guint32 pid, const char *name)
{
	g_autofree char *path = procfs_path(root, pid, name);
	char text[LINK_MAX];
	ssize_t length = readlink(path, text, sizeof(text));

	return length > 0 && (gsize)length < sizeof(text) ? g_strndup(text, (gsize)length) : NULL;
}

static const char *const namespace_names[NAMESPACE_KINDS] = {
	[NAMESPACE_CGROUP] = "cgroup", [NAMESPACE_IPC] = "ipc",	  [NAMESPACE_MNT] = "mnt",   [NAMESPACE_NET] = "net",
	[NAMESPACE_PID] = "pid",       [NAMESPACE_TIME] = "time", [NAMESPACE_USER] = "user", [NAMESPACE_UTS] = "uts",
};

const char *namespace_kind_name(enum namespace_kind kind)
{
	return namespace_names[kind];
}

guint64 procfs_namespace(const char *root, guint32 pid, enum namespace_kind kind)
{
	g_autofree char *name = g_strdup_printf("ns/%s", namespace_names[kind]);
	g_autofree char *text = procfs_link_read(root, pid, name);
	const char *number = text ? strchr(text, '[') : NULL;

	return number ? g_ascii_strtoull(number + 1, NULL, 10) : 0;
}

guint64 procfs_host_namespace(const char *root, enum namespace_kind kind)
{
	guint64 inode = procfs_namespace(root, 1, kind);
	struct procfs_stat stat;

	if (!inode && procfs_stat_read(root, 2, &stat, NULL) && stat.ppid == 0 && strcmp(stat.comm, "kthreadd") == 0)
		inode = procfs_namespace(root, 2, kind);
	return inode;
}

guint64 procfs_ticks_ns(guint64 ticks)
{
	return ticks * (NS_PER_S / (guint64)sysconf(_SC_CLK_TCK));
}

guint64 procfs_start_realtime_ns(const char *root, guint64 start_ticks)
{
	g_autofree char *path = g_build_filename(root, "proc/stat", NULL);
	g_autofree char *text = file_read(path, BOOT_STAT_MAX, NULL, NULL);
	const char *boot = text ? strstr(text, "\nbtime ") : NULL;

	if (!boot)
		return 0;
	return g_ascii_strtoull(boot + strlen("\nbtime "), NULL, 10) * NS_PER_S + procfs_ticks_ns(start_ticks);
}

/* ---- host name ---- */

/* In the child: only calls that are safe after fork. */
static void hostname_child(int namespace_fd, int out)
{
	struct utsname names;
	ssize_t written;

	if (setns(namespace_fd, CLONE_NEWUTS) < 0 || uname(&names) < 0)
		_exit(1);
	written = write(out, names.nodename, strlen(names.nodename));
	_exit(written < 0 ? 1 : 0);
}

static char *hostname_in(int namespace_fd)
{
	char text[sizeof(((struct utsname *)NULL)->nodename)];
	int pipe_fds[2], status = 0;
	ssize_t length;
	pid_t child;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return NULL;
	child = fork();
	if (child == 0)
		hostname_child(namespace_fd, pipe_fds[1]);
	close(pipe_fds[1]);
	do
		length = child > 0 ? read(pipe_fds[0], text, sizeof(text)) : -1;
	while (length < 0 && child > 0 && errno == EINTR);
	close(pipe_fds[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return length >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? g_strndup(text, (gsize)length) : NULL;
}

char *procfs_hostname(guint32 pid, GError **error)
{
	g_autofree char *path = procfs_path("", pid, "ns/uts");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *name;

	/* Process 1 may be closed even to root; its namespace is ours when we are on the host. */
	if (fd < 0 && pid == 1 &&
	    procfs_host_namespace("", NAMESPACE_UTS) == procfs_namespace("", (guint32)getpid(), NAMESPACE_UTS))
		return g_strdup(g_get_host_name());
	if (fd < 0) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot open %s: %s", path, g_strerror(errno));
		return NULL;
	}
	name = hostname_in(fd);
	close(fd);
	if (!name)
		g_set_error(error, FILE_ERROR, FILE_ERROR_READ,
			    "cannot enter the UTS namespace of process %u: CAP_SYS_ADMIN is needed", pid);
	return name;
}
