/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/sampler.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "import/import.h"

#define SAMPLER_LATE_S 60 /* beyond its window: it is ended */
#define SAMPLER_RETRY_S 60 /* after one that failed */
#define SAMPLER_NICE 5

struct sampler {
	struct live *live;
	struct reel *stacks;
	guint window_s;
	char *path; /* of a window's capture */
	GPid pid; /* 0: none runs */
	int pidfd;
	guint watch;
	guint64 start_ns, retry_ns;
	guint64 peak_bytes, cpu_ns;
	guint failures; /* in a row */
};

/* GSpawnChildSetupFunc */
static void child_setup(gpointer data)
{
	(void)data;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (nice(SAMPLER_NICE) == -1)
		return; /* then it is as important as we are */
}

static void window_take(struct sampler *sampler)
{
	g_autoptr(GError) error = NULL;
	struct snapshot *snapshot = import_file(sampler->path, NULL, &error);
	gint64 end_ms = (gint64)(clock_realtime_ns() / NS_PER_MS);

	if (!snapshot) {
		if (!sampler->failures++)
			g_warning("profile: %s", error->message);
		return;
	}
	sampler->failures = 0;
	if (snapshot->start_realtime_ns)
		end_ms = (gint64)((snapshot->start_realtime_ns + snapshot->duration_ns) / NS_PER_MS);
	live_account(sampler->live, LIVE_PROFILE, snapshot_find(snapshot, SHAPE_CALLTREE), 0);
	reel_add(sampler->stacks, end_ms, snapshot);
}

static guint64 time_ns(const struct timeval *time)
{
	return (guint64)time->tv_sec * NS_PER_S + (guint64)time->tv_usec * NS_PER_US;
}

/* The child has ended, or is made to. */
static void child_reap(struct sampler *sampler, gboolean take)
{
	guint64 before_ns = clock_monotonic_ns(), cpu_ns;
	struct rusage used = { 0 };
	int status = -1;

	if (sampler->watch)
		g_source_remove(sampler->watch);
	sampler->watch = 0;
	if (!take)
		kill(sampler->pid, SIGKILL);
	wait4(sampler->pid, &status, 0, &used);
	close(sampler->pidfd);
	sampler->pid = 0;
	cpu_ns = time_ns(&used.ru_utime) + time_ns(&used.ru_stime);
	sampler->cpu_ns += cpu_ns;
	sampler->peak_bytes = (guint64)used.ru_maxrss << 10;
	if (take && WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3))
		window_take(sampler);
	else if (take && !sampler->failures++)
		g_warning("profile: a window ended with status %d", status);
	if (sampler->failures)
		sampler->retry_ns = before_ns + SAMPLER_RETRY_S * NS_PER_S;
	live_account(sampler->live, LIVE_PROFILE, NULL, cpu_ns + clock_monotonic_ns() - before_ns);
	g_unlink(sampler->path);
}

/* GUnixFDSourceFunc */
static gboolean child_ended(gint fd, GIOCondition condition, gpointer data)
{
	struct sampler *sampler = data;

	(void)fd;
	(void)condition;
	sampler->watch = 0;
	child_reap(sampler, TRUE);
	return G_SOURCE_REMOVE;
}

static void child_start(struct sampler *sampler)
{
	static char *environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL };
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *hz = g_strdup_printf("%d", SAMPLER_HZ), *seconds = g_strdup_printf("%u", sampler->window_s);
	char *argv[] = { self, "profile", "-q", "--times", "-F", hz, "-d", seconds, "-o", sampler->path, "all", NULL };

	sampler->start_ns = clock_monotonic_ns();
	sampler->retry_ns = sampler->start_ns + SAMPLER_RETRY_S * NS_PER_S;
	if (!self || !g_spawn_async(NULL, argv, environment,
				    G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
				    child_setup, NULL, &sampler->pid, NULL)) {
		sampler->pid = 0;
		return;
	}
	sampler->pidfd = (int)syscall(SYS_pidfd_open, sampler->pid, 0);
	if (sampler->pidfd < 0) {
		kill(sampler->pid, SIGKILL);
		waitpid(sampler->pid, NULL, 0);
		sampler->pid = 0;
		return;
	}
	sampler->watch = g_unix_fd_add(sampler->pidfd, G_IO_IN, child_ended, sampler);
}

void sampler_tick(struct sampler *sampler)
{
	gboolean wanted = live_part(sampler->live, LIVE_PROFILE)->state == LIVE_ON;
	guint64 now_ns = clock_monotonic_ns();

	if (sampler->pid && (!wanted || now_ns - sampler->start_ns > (sampler->window_s + SAMPLER_LATE_S) * NS_PER_S))
		child_reap(sampler, FALSE);
	if (!sampler->pid && wanted && (!sampler->failures || now_ns >= sampler->retry_ns))
		child_start(sampler);
}

struct sampler *sampler_new(struct live *live, struct reel *stacks, const char *directory, guint window_s)
{
	struct sampler *sampler = g_new0(struct sampler, 1);

	sampler->live = live;
	sampler->stacks = stacks;
	sampler->window_s = window_s;
	sampler->path = g_build_filename(directory, "window.json", NULL);
	return sampler;
}

void sampler_free(struct sampler *sampler)
{
	if (!sampler)
		return;
	if (sampler->pid)
		child_reap(sampler, FALSE);
	g_free(sampler->path);
	g_free(sampler);
}

guint64 sampler_peak_bytes(const struct sampler *sampler)
{
	return sampler->peak_bytes;
}

guint64 sampler_cpu_ns(const struct sampler *sampler)
{
	return sampler->cpu_ns;
}
