/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of /proc (Documentation/filesystems/proc.rst, proc_pid_stat(5)). Each takes a `root` directory, "/" on a
 * live system and a made-up tree in tests. What they return is raw: a process chooses its own name and arguments. */
#pragma once
#include <glib.h>

#define PROCFS_COMM_MAX 64 /* 15 for user processes, kernel workers show longer ones */
#define PROCFS_NS_LEVELS_MAX 33 /* the kernel's MAX_PID_NS_LEVEL 32, and the host */

struct procfs_stat {
	guint32 pid, ppid;
	char comm[PROCFS_COMM_MAX];
	char state;
	guint32 threads;
	guint64 start_ticks; /* after boot, in clock ticks: field 22; with the pid it names a process for good */
};

/* The line of `pid`; FALSE and `error` when there is no such process or the line is not understood. */
gboolean procfs_stat_read(const char *root, guint32 pid, struct procfs_stat *stat, GError **error);
/* Understands one line of /proc/PID/stat. The name may hold anything, also ") R 1": it ends at the last ')'. */
gboolean procfs_stat_parse(const char *line, struct procfs_stat *stat);
/* Of that line the start time alone, below the open directory /proc/PID; 0 when the process is gone. */
guint64 procfs_start_ticks(int proc_fd);

/* The same line's figures of the whole process. */
struct procfs_usage {
	guint64 user_ticks, system_ticks; /* CPU time, ended threads included */
	guint64 faults, major_faults; /* minor, major */
	guint64 rss_pages;
};
/* FALSE when there is no such process. */
gboolean procfs_usage_read(const char *root, guint32 pid, struct procfs_stat *stat, struct procfs_usage *usage);

struct procfs_status {
	guint32 tgid, ppid, uid;
	guint32 levels; /* entries below; 1 for a process in the reader's pid namespace, 0 on kernels before 4.1 */
	guint32 inner_pid[PROCFS_NS_LEVELS_MAX]; /* NSpid: outermost (the reader's) first */
	guint32 inner_tgid[PROCFS_NS_LEVELS_MAX]; /* NStgid */
};
gboolean procfs_status_read(const char *root, guint32 pid, struct procfs_status *status, GError **error);

/* One line of /proc/PID/cgroup; `controllers` is "" for the v2 hierarchy, "name=systemd" for a named one. */
struct procfs_cgroup {
	char *controllers;
	char *path; /* as the reader's cgroup namespace sees it; " (deleted)" cut off */
	gboolean deleted;
};
/* Array of struct procfs_cgroup, owned by the caller. */
GArray *procfs_cgroups_read(const char *root, guint32 pid, GError **error);

/* Does the kernel count the time threads wait for block devices (sysctl kernel.task_delayacct)? */
gboolean procfs_delay_accounting(const char *root);

/* Arguments, NULL-terminated, at most 64 KiB; longer ones are cut. NULL when the process is gone or has none. */
char **procfs_arguments_read(const char *root, guint32 pid);
/* Text of the link /proc/PID/`name` ("cwd", "exe", "ns/pid" …), owned by the caller; NULL when it cannot be read. */
char *procfs_link_read(const char *root, guint32 pid, const char *name);

enum namespace_kind {
	NAMESPACE_CGROUP = 0,
	NAMESPACE_IPC = 1,
	NAMESPACE_MNT = 2,
	NAMESPACE_NET = 3,
	NAMESPACE_PID = 4,
	NAMESPACE_TIME = 5,
	NAMESPACE_USER = 6,
	NAMESPACE_UTS = 7,
	NAMESPACE_KINDS = 8,
};
const char *namespace_kind_name(enum namespace_kind kind);
/* Inode of a namespace `pid` is in; 0 when it cannot be read (no rights, process gone, kernel without it). */
guint64 procfs_namespace(const char *root, guint32 pid, enum namespace_kind kind);

/* Inode of the host's namespace: that of process 1, or of kthreadd (process 2) where process 1 cannot be looked into. In
 * a container without the host's pid namespace that is the container's own. 0 when it cannot be read. */
guint64 procfs_host_namespace(const char *root, enum namespace_kind kind);

/* Ticks of /proc's clock in nanoseconds. */
guint64 procfs_ticks_ns(guint64 ticks);
/* Start of the process in nanoseconds since the epoch; 0 when the boot time cannot be read. */
guint64 procfs_start_realtime_ns(const char *root, guint64 start_ticks);

/* The host name inside `pid`'s UTS namespace, owned by the caller. On the live system only (`pid` in our own /proc).
 * Entered by a child of ours that does nothing else; nothing the process could have written is read or run. */
char *procfs_hostname(guint32 pid, GError **error);
