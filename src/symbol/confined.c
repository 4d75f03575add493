/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"

#define CONFINED_READ 65536
#define CONFINED_NOBODY 65534
#define CONFINED_REAP_US 500 /* between looks whether it has ended */
#define CONFINED_KILL_NS NS_PER_S /* a killed process gets that long to be gone */

G_DEFINE_QUARK(fathom - confined - error - quark, confined_error)

/* ---- the child ---- */

gboolean confined_write(int out, const void *bytes, gsize length)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = write(out, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FALSE;
		at += n;
		length -= (gsize)n;
	}
	return TRUE;
}

gboolean confined_become(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	/* Without the capability to change identity there is none to give up. */
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		return FALSE;
	/* A change of identity forgets whose death is ours. */
	return syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
}

static void limit(int resource, rlim_t value)
{
	struct rlimit rlimit = { value, value };

	setrlimit(resource, &rlimit);
}

static gboolean allow_parsing_only(void)
{
	static const int allowed[] = {
		SCMP_SYS(read),	      SCMP_SYS(pread64), SCMP_SYS(write),	  SCMP_SYS(lseek),
		SCMP_SYS(fstat),      SCMP_SYS(brk),	 SCMP_SYS(munmap),	  SCMP_SYS(mremap),
		SCMP_SYS(madvise),    SCMP_SYS(futex),	 SCMP_SYS(sysinfo), /* qsort of a large array asks how large memory is */
		SCMP_SYS(getpid),     SCMP_SYS(gettid),	 SCMP_SYS(close),	  SCMP_SYS(exit),
		SCMP_SYS(exit_group), SCMP_SYS(fcntl),	 SCMP_SYS(clock_gettime), SCMP_SYS(rt_sigreturn),
		SCMP_SYS(newfstatat),

	};
	/* Libraries look for more files than they were given, and take no for an answer. */
	static const int refused[] = {
		SCMP_SYS(open),	      SCMP_SYS(openat), SCMP_SYS(readlink),
		SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(stat),
	};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	gboolean ok = filter != NULL;

	for (guint i = 0; ok && i < G_N_ELEMENTS(allowed); i++)
		ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
	for (guint i = 0; ok && i < G_N_ELEMENTS(refused); i++)
		ok = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused[i], 0) == 0;
	/* memory only: a file is read, never mapped */
	ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)) == 0;
	ok = ok && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENODEV), SCMP_SYS(mmap), 1,
				    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0)) == 0;
	ok = ok && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return ok;
}

static gboolean is_kept(const struct confined_job *job, int fd, int out)
{
	for (guint i = 0; i < job->fd_count; i++)
		if (job->fds[i] == fd)
			return TRUE;
	return fd == out || fd == STDERR_FILENO;
}

/* Descriptors between those that are kept are closed in ranges: there may be hundreds. */
static void close_others(const struct confined_job *job, int out)
{
	int highest = out;

	for (guint i = 0; i < job->fd_count; i++)
		highest = MAX(highest, job->fds[i]);
	for (int fd = 0; fd <= highest; fd++)
		if (!is_kept(job, fd, out))
			close(fd);
	syscall(SYS_close_range, (unsigned int)highest + 1, ~0U, 0);
}

G_NORETURN static void child_run(const struct confined_job *job, int out, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the parent, which decides */
	signal(SIGPIPE, SIG_IGN);
	close_others(job, out);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, (rlim_t)job->file_max);
	limit(RLIMIT_CPU, (rlim_t)(job->time_max_ns / NS_PER_S + 1));
	if (job->memory_max)
		limit(RLIMIT_AS, job->memory_max);
	if (job->parse_only && (!confined_become(CONFINED_NOBODY, CONFINED_NOBODY) || !allow_parsing_only()))
		_exit(1);
	_exit(job->work(job->user, out));
}

/* ---- the parent ---- */

gboolean confined_start(struct confined *confined, const struct confined_job *job, GError **error)
{
	pid_t parent = getpid();
	int ends[2];

	*confined = (struct confined){ .fd = -1, .answer_max = job->answer_max };
	if (pipe2(ends, O_CLOEXEC) < 0) {
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_START, "cannot make a pipe: %s", g_strerror(errno));
		return FALSE;
	}
	confined->pid = fork();
	if (confined->pid == 0)
		child_run(job, ends[1], parent);
	close(ends[1]);
	if (confined->pid < 0) {
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_START, "cannot start a process: %s",
			    g_strerror(errno));
		confined->pid = 0;
		close(ends[0]);
		return FALSE;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	confined->fd = ends[0];
	confined->deadline_ns = clock_monotonic_ns() + job->time_max_ns;
	confined->answer = g_byte_array_new();
	return TRUE;
}

/* TRUE at the end of the answer. */
static gboolean read_more(struct confined *confined, gboolean *too_much)
{
	gsize used = confined->answer->len, room = MIN(CONFINED_READ, confined->answer_max - used);
	ssize_t n;

	if (room == 0) {
		*too_much = TRUE;
		return TRUE;
	}
	g_byte_array_set_size(confined->answer, (guint)(used + room));
	do
		n = read(confined->fd, confined->answer->data + used, room);
	while (n < 0 && errno == EINTR);
	g_byte_array_set_size(confined->answer, (guint)(used + (gsize)MAX(n, 0)));
	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* Waits for the process's end, but not for ever: one that waits for a server of FUSE cannot even be killed. -1 when it is
 * left behind; it ends as soon as it can. */
static int reap(struct confined *confined, guint64 until_ns)
{
	pid_t pid = confined->pid, done;
	int status = 0;

	while ((done = waitpid(pid, &status, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		if (clock_monotonic_ns() > until_ns && until_ns) {
			kill(pid, SIGKILL);
			until_ns = 0;
			confined->deadline_ns = clock_monotonic_ns() + CONFINED_KILL_NS;
		} else if (!until_ns && clock_monotonic_ns() > confined->deadline_ns) {
			break;
		}
		g_usleep(CONFINED_REAP_US);
	}
	confined->pid = 0;
	return done == pid ? status : -1;
}

gboolean confined_finish(struct confined *confined, GError **error)
{
	struct pollfd poll_fd = { .fd = confined->fd, .events = POLLIN };
	gboolean ended = FALSE, too_much = FALSE;
	guint64 now_ns;
	int status;

	g_return_val_if_fail(confined->pid > 0, FALSE);
	while (!ended && (now_ns = clock_monotonic_ns()) < confined->deadline_ns) {
		guint64 left_ms = (confined->deadline_ns - now_ns) / NS_PER_MS + 1;

		if (poll(&poll_fd, 1, (int)MIN(left_ms, G_MAXINT)) > 0)
			ended = read_more(confined, &too_much);
	}
	status = reap(confined, ended && !too_much ? confined->deadline_ns : 1);
	if (ended && !too_much && status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return TRUE;
	if (too_much)
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_SIZE, "it answered more than %zu bytes",
			    confined->answer_max);
	else if (!ended || status < 0)
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_TIME, "it did not end in time");
	else if (WIFSIGNALED(status))
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_DIED, "it was ended by signal %d", WTERMSIG(status));
	else
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_DIED, "it ended with exit status %d",
			    WEXITSTATUS(status));
	return FALSE;
}

void confined_clear(struct confined *confined)
{
	if (confined->pid > 0)
		reap(confined, 1);
	if (confined->fd >= 0 && confined->answer)
		close(confined->fd);
	g_clear_pointer(&confined->answer, g_byte_array_unref);
	confined->fd = -1;
}
