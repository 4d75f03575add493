/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/hotspot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "kernel/procfs.h"
#include "symbol/confined.h"

#define TIME_MAX_NS (8 * NS_PER_S) /* for one machine to answer */
#define SOCKET_POLL_NS (20 * NS_PER_MS) /* between looks for the socket */
#define STATUS_MAX 16384
#define CMDLINE_MAX (128u << 10)
#define THREADS_MAX 512 /* looked at for the signal dispatcher, which is among the first */

/* What the child says first. */
#define SAID_REPLY 'R' /* the machine's reply follows */
#define SAID_ERROR 'E' /* one sentence follows */

G_DEFINE_QUARK(fathom - hotspot - error - quark, hotspot_error)

struct target {
	guint32 tgid, inner_pid;
	uid_t uid;
	gid_t gid;
	const char *deaf; /* why SIGQUIT must not be sent; NULL: it may */
	int root_fd, pid_fd;
	guint64 deadline_ns;
};

struct hotspot_request {
	struct confined child;
};

/* ---- the child: it is the target's user by now, and in nobody's way but the target's ---- */

G_GNUC_PRINTF(2, 3)
static int say(int out, const char *format, ...)
{
	char text[256] = { SAID_ERROR };
	va_list arguments;

	va_start(arguments, format);
	g_vsnprintf(text + 1, sizeof(text) - 1, format, arguments);
	va_end(arguments);
	confined_write(out, text, strlen(text));
	return 0;
}

static int open_below(int directory, const char *name, guint64 flags, guint64 mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = mode,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

/* A connection to the target's socket; -1 and errno. Whatever the name leads to lies inside the target's root, and who answers
 * must be the target. */
static int connect_target(const struct target *target, int tmp)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer = { 0 };
	socklen_t length = sizeof(peer);
	struct stat st;
	int fd, kept;

	g_snprintf(address.sun_path, sizeof(address.sun_path), ".java_pid%u", target->inner_pid);
	if (fstatat(tmp, address.sun_path, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -1;
	errno = EPERM;
	if (!S_ISSOCK(st.st_mode) || (st.st_uid != target->uid && st.st_uid != 0))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && fchdir(tmp) == 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (guint32)peer.pid == target->tgid)
			return fd;
		errno = EPERM;
	}
	kept = errno;
	if (fd >= 0)
		close(fd);
	errno = kept;
	return -1;
}

/* Makes the machine open its socket, and waits for that. -1 and errno, which is 0 when it said itself what is wrong. */
static int trigger(const struct target *target, int tmp, int out)
{
	struct timespec pause = { .tv_nsec = (long)SOCKET_POLL_NS };
	char name[64];
	int file, fd = -1;

	g_snprintf(name, sizeof(name), ".attach_pid%u", target->inner_pid);
	file = open_below(tmp, name, O_CREAT | O_RDWR | O_NONBLOCK, 0600);
	if (file < 0) {
		say(out, "no file can be made in its /tmp: %s", strerrordesc_np(errno));
		errno = 0;
		return -1;
	}
	close(file);
	if (syscall(SYS_pidfd_send_signal, target->pid_fd, SIGQUIT, NULL, 0) < 0) {
		int kept = errno;

		unlinkat(tmp, name, 0);
		errno = kept;
		return -1;
	}
	do {
		nanosleep(&pause, NULL);
		fd = connect_target(target, tmp);
	} while (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED) && clock_monotonic_ns() < target->deadline_ns);
	unlinkat(tmp, name, 0);
	return fd;
}

/* The protocol: version, command, three arguments, each ended by a NUL; the reply goes on until the socket closes. */
static int converse(int fd, int out)
{
	static const char question[] = "1\0jcmd\0Compiler.perfmap\0\0";
	static const char said = SAID_REPLY;
	char chunk[4096];
	gsize total = 0;
	ssize_t n;

	if (!confined_write(fd, question, sizeof(question)) || !confined_write(out, &said, 1))
		return say(out, "cannot write to its socket");
	while (total < HOTSPOT_REPLY_MAX && ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0) {
			total += (gsize)n;
			confined_write(out, chunk, (gsize)n);
		}
	return 0;
}

static int attach(void *user, int out)
{
	const struct target *target = user;
	int tmp, fd;

	if (fchdir(target->root_fd) < 0 || chroot(".") < 0)
		return say(out, "its root cannot be entered: %s", strerrordesc_np(errno));
	if (!confined_become(target->uid, target->gid))
		return say(out, "cannot take its user's identity");
	tmp = open_below(target->root_fd, "tmp", O_PATH | O_DIRECTORY, 0);
	if (tmp < 0)
		return say(out, "its /tmp cannot be entered: %s", strerrordesc_np(errno));
	fd = connect_target(target, tmp);
	if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED)) {
		if (target->deaf)
			return say(out, "it takes no questions: %s", target->deaf);
		fd = trigger(target, tmp, out);
	}
	if (fd < 0 && errno == 0)
		return 0;
	if (fd < 0 && errno == ENOENT)
		return say(out, "it did not open its socket (is -XX:+DisableAttachMechanism set?)");
	if (fd < 0)
		return say(out, "its socket cannot be used: %s", strerrordesc_np(errno));
	return converse(fd, out);
}

/* ---- before: is it safe to ask? ---- */

static gboolean status_word(const char *status, const char *name, guint index, int base, guint64 *value)
{
	const char *at = strstr(status, name), *end = at ? strchr(at + 1, '\n') : NULL;
	char *next;

	for (at = at ? at + strlen(name) : NULL; at && end && at < end; at = next) {
		*value = g_ascii_strtoull(at, &next, (guint)base);
		if (next == at || next > end)
			return FALSE;
		if (index-- == 0)
			return TRUE;
	}
	return FALSE;
}

gboolean hotspot_handles_quit(const char *status)
{
	guint64 caught;

	return status_word(status, "\nSigCgt:", 0, 16, &caught) && caught & (G_GUINT64_CONSTANT(1) << (SIGQUIT - 1));
}

static guint32 inner_pid(const char *status)
{
	guint64 pid = 0;

	for (guint level = 0; status_word(status, "\nNSpid:", level, 10, &pid) && level < 64; level++)
		;
	return (guint32)pid;
}

/* HotSpot's thread that waits for signals; there is none with -Xrs. Its name as the kernel cuts it. */
static gboolean has_dispatcher(int proc_fd)
{
	int fd = openat(proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tasks = fd >= 0 ? fdopendir(fd) : NULL;
	gboolean found = FALSE;
	struct dirent *entry;
	guint looked = 0;

	while (tasks && !found && looked < THREADS_MAX && (entry = readdir(tasks))) {
		g_autofree char *name = NULL, *comm = NULL;

		if (!g_ascii_isdigit(entry->d_name[0]))
			continue;
		looked++;
		name = g_strdup_printf("task/%s/comm", entry->d_name);
		comm = file_read_at(proc_fd, name, 64, NULL, NULL);
		found = comm && strcmp(comm, "Signal Dispatch\n") == 0;
	}
	if (tasks)
		closedir(tasks);
	else if (fd >= 0)
		close(fd);
	return found;
}

static gboolean refuse(GError **error, const char *why)
{
	g_set_error_literal(error, HOTSPOT_ERROR, HOTSPOT_ERROR_REFUSED, why);
	return FALSE;
}

static gboolean has_flag(const char *cmdline, gsize length, const char *flag)
{
	return memmem(cmdline, length, flag, strlen(flag)) != NULL;
}

static gboolean target_check(struct target *target, int proc_fd, GError **error)
{
	g_autofree char *status = file_read_at(proc_fd, "status", STATUS_MAX, NULL, NULL);
	g_autofree char *cmdline = NULL;
	guint64 uid, gid;
	gsize length;

	if (!status || !status_word(status, "\nUid:", 1, 10, &uid) || !status_word(status, "\nGid:", 1, 10, &gid))
		return refuse(error, "it is gone");
	target->uid = (uid_t)uid;
	target->gid = (gid_t)gid;
	target->inner_pid = inner_pid(status);
	cmdline = file_read_at(proc_fd, "cmdline", CMDLINE_MAX, &length, NULL);
	if (!hotspot_handles_quit(status) || !has_dispatcher(proc_fd))
		target->deaf =
			"it does not handle SIGQUIT as HotSpot does"; /* with -Xrs its socket is open from the start */
	else if (!cmdline || has_flag(cmdline, length, "+DisableAttachMechanism"))
		target->deaf = "start it without -XX:+DisableAttachMechanism";
	return TRUE;
}

struct hotspot_request *hotspot_ask_map(guint32 tgid, int proc_fd, GError **error)
{
	g_autofree struct hotspot_request *request = g_new0(struct hotspot_request, 1);
	struct target target = { .tgid = tgid };
	struct confined_job job = {
		.work = attach,
		.user = &target, /* the child has its own copy */
		.fd_count = 2,
		.answer_max = HOTSPOT_REPLY_MAX + 512,
		.time_max_ns = TIME_MAX_NS,
	};
	guint64 start = procfs_start_ticks(proc_fd);
	gboolean ok;

	target.pid_fd = (int)syscall(SYS_pidfd_open, tgid, 0);
	target.root_fd = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	target.deadline_ns = clock_monotonic_ns() + TIME_MAX_NS - 100 * NS_PER_MS;
	job.fds[0] = target.pid_fd;
	job.fds[1] = target.root_fd;
	/* proc_fd still has this start time after pidfd_open: so both are the same process */
	ok = target.pid_fd >= 0 && target.root_fd >= 0 && start && procfs_start_ticks(proc_fd) == start;
	if (!ok)
		refuse(error, "it is gone");
	ok = ok && target_check(&target, proc_fd, error) && confined_start(&request->child, &job, error);
	if (target.pid_fd >= 0)
		close(target.pid_fd);
	if (target.root_fd >= 0)
		close(target.root_fd);
	return ok ? g_steal_pointer(&request) : NULL;
}

/* ---- after ---- */

gboolean hotspot_reply_parse(const char *reply, gsize length, GError **error)
{
	const char *end = memchr(reply, '\n', length);
	g_autofree char *text = NULL;

	if (end && end - reply == 1 && reply[0] == '0')
		return TRUE;
	text = g_strndup(end ? end + 1 : reply, MIN(length - (gsize)(end ? end + 1 - reply : 0), 512));
	if (strstr(text, "Unknown diagnostic command")) {
		g_set_error(error, HOTSPOT_ERROR, HOTSPOT_ERROR_UNKNOWN_COMMAND,
			    "it is older than JDK 17 and cannot write a map");
		return FALSE;
	}
	text[strcspn(text, "\n")] = '\0';
	g_set_error(error, HOTSPOT_ERROR, HOTSPOT_ERROR_FAILED, "it answered: %.200s", text[0] ? text : "nothing");
	return FALSE;
}

void hotspot_cancel(struct hotspot_request *request)
{
	if (!request)
		return;
	confined_clear(&request->child);
	g_free(request);
}

gboolean hotspot_finish(struct hotspot_request *request, GError **error)
{
	gboolean ok = confined_finish(&request->child, error);
	const GByteArray *answer = request->child.answer;
	const char *said = (const char *)answer->data;

	if (ok && (answer->len == 0 || said[0] != SAID_REPLY)) {
		g_set_error(error, HOTSPOT_ERROR, HOTSPOT_ERROR_FAILED, "%.*s", MAX((int)answer->len - 1, 0),
			    answer->len ? said + 1 : "");
		ok = FALSE;
	} else if (ok) {
		ok = hotspot_reply_parse(said + 1, answer->len - 1, error);
	}
	hotspot_cancel(request);
	return ok;
}
