/* SPDX-License-Identifier: Apache-2.0 */
/* fathom enter: a tool in a container's namespaces. What nsenter does in one line, without its traps: the process is held by
 * a descriptor, so that its number cannot mean another one meanwhile; /proc and /sys show what the namespaces entered show;
 * and a program that comes from the container's own files gets no more rights than the container has. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/who.h"
#include "kernel/cgroupfs.h"
#include "kernel/procfs.h"

#define ENTER_CANNOT 126 /* as env(1) and the shell have it */
#define ENTER_NOT_FOUND 127
#define ENTER_SIGNALLED 128
#define ENTER_STATUS_BYTES_MAX (64u << 10)
#define ENTER_CLEAN_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct enter {
	gboolean net, mount, pid, uts, ipc, confined, quiet;
	gboolean shares_net; /* with `net`: it has the host's */
	gboolean user; /* with `mount`: its user namespace is its own, too */
	char **command; /* what to run, ends with NULL */
	guint32 target; /* host pid of a process of the container */
	int pidfd;
	const struct container *container;
	GPtrArray *cgroups; /* of char *: files to write one's pid to */
	guint64 capabilities; /* with `mount`: all the command may have */
};

static _Noreturn void enter_die(int status, const char *what)
{
	command_complain("enter", "%s: %s", what, g_strerror(errno));
	_exit(status);
}

/* ---- before: while it can still be said what is wrong ---- */

/* The cgroups of the process, a file for each hierarchy. */
static void enter_find_cgroups(struct enter *enter, struct registry *registry)
{
	g_autoptr(GArray) cgroups = procfs_cgroups_read("/", enter->target, NULL);

	for (guint i = 0; cgroups && i < cgroups->len; i++) {
		const struct procfs_cgroup *cgroup = &g_array_index(cgroups, struct procfs_cgroup, i);
		g_auto(GStrv) controllers = g_strsplit(cgroup->controllers, ",", 2);
		const struct cgroup_hierarchy *hierarchy = cgroupfs_find(
			registry_cgroupfs(registry), controllers[0] && *controllers[0] ? controllers[0] : "");
		g_autofree char *directory = hierarchy ? cgroup_hierarchy_directory(hierarchy, cgroup->path) : NULL;

		if (directory)
			g_ptr_array_add(enter->cgroups, g_build_filename(directory, "cgroup.procs", NULL));
	}
}

/* "CapBnd:\t00000000a80425fb" of /proc/PID/status. */
static gboolean enter_find_capabilities(struct enter *enter, GError **error)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/status", enter->target);
	g_autofree char *text = file_read(path, ENTER_STATUS_BYTES_MAX, NULL, error);
	const char *line = text ? strstr(text, "\nCapBnd:") : NULL;

	if (!text)
		return FALSE;
	if (!line)
		return command_fail(error, "%s says nothing about capabilities", path);
	enter->capabilities = g_ascii_strtoull(line + strlen("\nCapBnd:"), NULL, 16);
	return TRUE;
}

static gboolean enter_find(struct enter *enter, struct registry *registry, const char *text, GError **error)
{
	g_autoptr(GPtrArray) targets = target_array_new();
	const struct target *target;

	if (!target_resolve(registry, text, targets, error))
		return FALSE;
	target = g_ptr_array_index(targets, 0);
	if (targets->len != 1 || target->kind == TARGET_ALL)
		return command_fail(error, "\"%s\" is more than one container: name one", text);
	enter->container = target->container;
	enter->target = target->kind == TARGET_PROCESS ? target->pid : who_pid(registry, target->container);
	if (target->kind == TARGET_CONTAINER && target->container->runtime == RUNTIME_HOST)
		return command_fail(error, "the host needs no entering");
	if (!enter->target)
		return command_fail(error, "\"%s\" has no process whose namespaces could be entered", text);
	enter->pidfd = (int)syscall(SYS_pidfd_open, enter->target, 0);
	if (enter->pidfd < 0)
		return command_fail(error, "process %u cannot be held: %s", enter->target, g_strerror(errno));
	/* Held: now its number means nobody else. Is it still who it was? */
	if (registry_by_pid(registry, enter->target, 0) != enter->container)
		return command_fail(error, "the process of \"%s\" has just ended: try again", text);
	if (enter->confined)
		enter_find_cgroups(enter, registry);
	enter->shares_net = enter->net && procfs_namespace("/", enter->target, NAMESPACE_NET) ==
						  procfs_namespace("/", (guint32)getpid(), NAMESPACE_NET);
	/* What it calls all capabilities are all of its user namespace only. */
	enter->user = enter->mount && procfs_namespace("/", enter->target, NAMESPACE_USER) !=
					      procfs_namespace("/", (guint32)getpid(), NAMESPACE_USER);
	return !enter->mount || enter_find_capabilities(enter, error);
}

/* Somebody who asks for processes wants the container's. */
static gboolean enter_asks_for_processes(const struct enter *enter)
{
	static const char *const tools[] = { "ps", "pgrep", "pidof", "pstree", "top", "htop", NULL };
	g_autofree char *tool = g_path_get_basename(enter->command[0]);

	return g_strv_contains(tools, tool);
}

static void enter_warn(const struct enter *enter)
{
	if (enter->quiet)
		return;
	if (enter->shares_net)
		command_complain("enter", "%s has no network of its own: it is the host's", enter->container->name);
	if (!enter->pid && enter_asks_for_processes(enter))
		command_complain("enter", "%s shows the host's processes: the container's are seen with --pid",
				 enter->command[0]);
	if (enter->mount)
		command_complain(
			"enter",
			"%s comes from the container's files: it gets the container's capabilities and no more; its "
			"seccomp filter%s do not apply",
			enter->command[0], enter->confined ? "" : " and limits (cgroups; see --confined)");
	else
		command_complain("enter",
				 "%s runs with all rights of the host: the container's seccomp filter%s not apply",
				 enter->command[0],
				 enter->confined ? " does" : " and limits (cgroups; see --confined) do");
}

/* ---- inside ---- */

static void enter_join_cgroups(const struct enter *enter)
{
	for (guint i = 0; i < enter->cgroups->len; i++) {
		const char *path = g_ptr_array_index(enter->cgroups, i);
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			enter_die(ENTER_CANNOT, path);
		close(fd);
	}
}

static int enter_flags(const struct enter *enter)
{
	return (enter->net ? CLONE_NEWNET : 0) | (enter->uts ? CLONE_NEWUTS : 0) | (enter->ipc ? CLONE_NEWIPC : 0) |
	       (enter->mount ? CLONE_NEWNS : 0) | (enter->user ? CLONE_NEWUSER : 0) | (enter->pid ? CLONE_NEWPID : 0);
}

/* With the host's files: /sys of the network entered, /proc of the processes entered, for nobody else to see. */
static void enter_show(const struct enter *enter)
{
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		enter_die(ENTER_CANNOT, "cannot have mounts of its own");
	/* Where that is not allowed, the host's stay: what tools read there is of the host, then. */
	if (enter->net && !enter->shares_net &&
	    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) != 0)
		command_complain("enter", "/sys shows the host's network, not the container's: %s", g_strerror(errno));
	if (enter->pid && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		command_complain("enter", "/proc shows the host's processes, not the container's: %s",
				 g_strerror(errno));
}

/* A program the container may have put there is the container's: no capability it has not, no way to more, nothing of
 * ours in its environment or among its descriptors. */
static void enter_drop(const struct enter *enter)
{
	static const char *const kept[] = { "TERM", "LANG", "LC_ALL", NULL };
	char *values[G_N_ELEMENTS(kept)] = { NULL };

	for (guint i = 0; kept[i]; i++)
		values[i] = g_strdup(g_getenv(kept[i]));
	clearenv();
	setenv("PATH", ENTER_CLEAN_PATH, 1);
	for (guint i = 0; kept[i]; i++)
		if (values[i])
			setenv(kept[i], values[i], 1);
	if (setgroups(0, NULL) != 0 || (enter->user && (setgid(0) != 0 || setuid(0) != 0)))
		enter_die(ENTER_CANNOT, "cannot become root there");
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned int capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (enter->capabilities >> capability & 1)
			capng_update(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
				     capability);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || capng_apply(CAPNG_SELECT_ALL) != 0)
		enter_die(ENTER_CANNOT, "cannot give up capabilities");
}

static _Noreturn void enter_exec(const struct enter *enter)
{
	if (!enter->mount)
		enter_show(enter);
	if (chdir("/") != 0)
		enter_die(ENTER_CANNOT, "cannot go to /");
	if (enter->mount)
		enter_drop(enter);
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	execvp(enter->command[0], enter->command);
	enter_die(errno == ENOENT ? ENTER_NOT_FOUND : ENTER_CANNOT, enter->command[0]);
}

/* ---- waiting ---- */

/* The command's own status, or 128 and its signal, as a shell has it. */
static int enter_wait(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return ENTER_CANNOT;
	return WIFSIGNALED(status) ? ENTER_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A process that enters does so for its children where pids are concerned: so there is one more. */
static _Noreturn void enter_child(const struct enter *enter)
{
	pid_t child;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter->confined)
		enter_join_cgroups(enter);
	if (setns(enter->pidfd, enter_flags(enter)) != 0)
		enter_die(ENTER_CANNOT, "cannot enter the namespaces");
	if (!enter->pid)
		enter_exec(enter);
	child = fork();
	if (child < 0)
		enter_die(ENTER_CANNOT, "cannot start a process");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter_exec(enter);
	}
	_exit(enter_wait(child));
}

static int enter_run(const struct enter *enter)
{
	pid_t child;

	/* Ctrl-C is for the command: it ends, and then so do we. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	child = fork();
	if (child < 0) {
		command_complain("enter", "cannot start a process: %s", g_strerror(errno));
		return ENTER_CANNOT;
	}
	if (child == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		enter_child(enter);
	}
	return enter_wait(child);
}

/* ---- command line ---- */

/* Cuts the command off at "--"; the words left. */
static int enter_split(struct enter *enter, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			enter->command = &argv[i + 1];
			argv[i] = NULL;
			return i;
		}
	}
	return argc;
}

static int enter_main(struct enter *enter, const char *target)
{
	struct registry *registry = who_registry("enter");
	g_autoptr(GError) error = NULL;
	int status = EXIT_USAGE;

	if (!registry)
		return EXIT_FAILED;
	if (enter_find(enter, registry, target, &error)) {
		enter_warn(enter);
		status = enter_run(enter);
	} else {
		command_complain("enter", "%s", error->message);
	}
	registry_free(registry);
	return status;
}

int cmd_enter(int argc, char **argv)
{
	struct enter enter = { .pidfd = -1, .cgroups = g_ptr_array_new_with_free_func(g_free) };
	const GOptionEntry entries[] = {
		{ "net", 'n', 0, G_OPTION_ARG_NONE, &enter.net, "Its network", NULL },
		{ "uts", 'u', 0, G_OPTION_ARG_NONE, &enter.uts, "Its host name", NULL },
		{ "pid", 'p', 0, G_OPTION_ARG_NONE, &enter.pid, "Its processes (/proc shows them)", NULL },
		{ "ipc", 'i', 0, G_OPTION_ARG_NONE, &enter.ipc, "Its System V shared memory and queues", NULL },
		{ "mount", 'm', 0, G_OPTION_ARG_NONE, &enter.mount,
		  "Its files: the command is the container's, too, and gets the container's rights", NULL },
		{ "confined", 'c', 0, G_OPTION_ARG_NONE, &enter.confined, "Within its limits: join its cgroups", NULL },
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &enter.quiet, "No word about what does not apply", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("TARGET -- COMMAND [ARGUMENT…]");
	int status;

	argc = enter_split(&enter, argc, argv);
	g_option_context_set_summary(
		context,
		"Runs a tool of the host in a container's namespaces: without options, in its network and under\n"
		"its host name (ss, ip, tcpdump …).");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status)) {
		g_ptr_array_unref(enter.cgroups);
		return status;
	}
	if (!enter.net && !enter.mount && !enter.pid && !enter.uts && !enter.ipc)
		enter.net = enter.uts = TRUE;
	/* A program of the container's sees no processes but the container's. */
	enter.pid |= enter.mount;
	status = EXIT_USAGE;
	if (argc != 2 || !enter.command || !enter.command[0])
		command_complain("enter", "say where and what: fathom enter web -- ss -tn");
	else
		status = enter_main(&enter, argv[1]);
	if (enter.pidfd >= 0)
		close(enter.pidfd);
	g_ptr_array_unref(enter.cgroups);
	return status;
}
