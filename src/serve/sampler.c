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
#include "base/own.h"
#include "base/units.h"
#include "import/import.h"
#include "kernel/cpus.h"

#define SAMPLER_LATE_S 60 /* beyond its window: it is ended */
#define SAMPLER_RETRY_S 60 /* after one that failed */
#define SAMPLER_NICE 5
#define SAMPLER_FIRST_WINDOWS 6 /* that look for some of the time: lengths of one until the first begins */
/* What `fathom offcpu` takes of a switch (docs/overhead.md): the first ones of a second find everything cold and many stacks unknown, the
 * rest of a flood are like each other. The kernel's own count is not to be had: it takes a right that the agent has given up. */
#define SAMPLER_COLD_SWITCHES 2500 /* a second, of each CPU */
#define SAMPLER_COLD_NS 9000
#define SAMPLER_WARM_NS 600
#define SAMPLER_KERNEL_SHARE_NS (250 * NS_PER_MS) /* of each CPU's time, in one window */
#define SAMPLER_LENGTH_MIN_NS (300 * NS_PER_MS)

/* Since boot. */
struct switched {
	guint64 switches, at_ns;
	guint cpus; /* 0: not known */
};

struct sampler {
	struct live *live;
	struct reel *stacks;
	struct sampler_options options;
	char *path; /* of a window's capture */
	guint64 length_ns; /* of the window that runs, or ran last */
	struct switched before; /* when a window began or ended */
	guint64 next_ns; /* of those that look for some of the time: when the next may begin */
	guint64 owed_ns, owed_from_ns; /* what was taken and is counted from then to `next_ns` */
	gboolean is_asked; /* one is wanted now, whatever `next_ns` */
	guint64 asked_ns; /* when one was, last; 0: never */
	GPid pid; /* 0: none runs */
	int pidfd;
	guint watch;
	guint64 start_ns, retry_ns;
	guint64 peak_bytes, cpu_ns; /* without what is owed */
	guint failures; /* in a row */
};

guint64 sampler_kernel_ns(guint64 switches, guint64 length_ns, guint cpus)
{
	double cold = (double)SAMPLER_COLD_SWITCHES * MAX(cpus, 1) * (double)length_ns / (double)NS_PER_S;

	cold = MIN(cold, (double)switches);
	return (guint64)(cold * SAMPLER_COLD_NS + ((double)switches - cold) * SAMPLER_WARM_NS);
}

guint64 sampler_length_ns(guint64 longest_ns, guint64 switches_per_second, guint cpus)
{
	double share = (double)sampler_kernel_ns(switches_per_second, NS_PER_S, cpus) / (double)NS_PER_S / MAX(cpus, 1);
	double most_ns = share > 0 ? (double)SAMPLER_KERNEL_SHARE_NS / share : (double)longest_ns;

	return (guint64)CLAMP(most_ns, (double)MIN(SAMPLER_LENGTH_MIN_NS, longest_ns), (double)longest_ns);
}

guint64 sampler_period_ns(guint64 own_ns, guint64 kernel_ns, guint cpus, double share)
{
	return share > 0 ? (guint64)(((double)own_ns + (double)kernel_ns / MAX(cpus, 1)) / share) : 0;
}

static struct switched switched_now(void)
{
	g_autoptr(cpus_t) cpus = cpus_read("/", NULL);

	return cpus ? (struct switched){ cpus->switches, clock_monotonic_ns(), cpus->each->len }
		    : (struct switched){ 0 };
}

/* Between windows: how long the next one is. */
static guint64 length_choose(const struct sampler *sampler)
{
	const guint64 longest_ns = sampler->options.window_s * NS_PER_S;
	struct switched now = { 0 };

	if (sampler->options.share <= 0)
		return longest_ns;
	now = switched_now();
	if (!now.cpus || !sampler->before.cpus || now.at_ns <= sampler->before.at_ns)
		return longest_ns;
	return sampler_length_ns(
		longest_ns, (now.switches - sampler->before.switches) * NS_PER_S / (now.at_ns - sampler->before.at_ns),
		now.cpus);
}

/* Of what is owed, so much has been counted by then. */
static guint64 debt_counted(const struct sampler *sampler, guint64 now_ns)
{
	if (now_ns >= sampler->next_ns || sampler->next_ns <= sampler->owed_from_ns)
		return sampler->owed_ns;
	return (guint64)((double)sampler->owed_ns * (double)(now_ns - sampler->owed_from_ns) /
			 (double)(sampler->next_ns - sampler->owed_from_ns));
}

/* `more_ns` are owed, too, and all of it is counted from now on. */
static void debt_move(struct sampler *sampler, guint64 more_ns, guint64 now_ns)
{
	guint64 counted_ns = debt_counted(sampler, now_ns);

	sampler->cpu_ns += counted_ns;
	sampler->owed_ns += more_ns - counted_ns;
	sampler->owed_from_ns = now_ns;
}

/* A window of those that look for some of the time is over: the next one begins when this one is paid. */
static void window_pay(struct sampler *sampler, guint64 child_ns, guint64 own_ns, gboolean has_looked)
{
	struct switched now = switched_now();
	guint64 switches = now.cpus && sampler->before.cpus ? now.switches - sampler->before.switches : 0;
	guint64 kernel_ns = sampler_kernel_ns(switches, sampler->length_ns, now.cpus);
	guint64 period_ns = sampler_period_ns(child_ns + own_ns, kernel_ns, now.cpus, sampler->options.share);
	guint64 due_ns = MAX(sampler->start_ns, sampler->next_ns);
	gboolean is_first =
		!live_part(sampler->live, sampler->options.part)->waited_ns; /* else all up to then is counted */

	debt_move(sampler, child_ns, now.cpus ? now.at_ns : clock_monotonic_ns());
	/* One that began ahead of its time puts off those that follow. */
	sampler->next_ns = MAX(due_ns + period_ns, sampler->owed_from_ns);
	sampler->before = now;
	live_account_looked(sampler->live, sampler->options.part, has_looked ? sampler->length_ns : 0,
			    sampler->next_ns - (is_first ? sampler->start_ns : due_ns));
}

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
			g_warning("%s: %s", live_part(sampler->live, sampler->options.part)->name, error->message);
		return;
	}
	sampler->failures = 0;
	if (snapshot->start_realtime_ns)
		end_ms = (gint64)((snapshot->start_realtime_ns + snapshot->duration_ns) / NS_PER_MS);
	live_account(sampler->live, sampler->options.part, snapshot_find(snapshot, SHAPE_CALLTREE), 0);
	reel_add(sampler->stacks, end_ms, snapshot);
}

static guint64 time_ns(const struct timeval *time)
{
	return (guint64)time->tv_sec * NS_PER_S + (guint64)time->tv_usec * NS_PER_US;
}

/* The child has ended, or is made to. */
static void child_reap(struct sampler *sampler, gboolean take)
{
	guint64 before_ns = clock_thread_ns(), own_ns, cpu_ns;
	struct rusage used = { 0 };
	gboolean is_good;
	int status = -1;

	if (sampler->watch)
		g_source_remove(sampler->watch);
	sampler->watch = 0;
	if (!take)
		kill(sampler->pid, SIGKILL);
	wait4(sampler->pid, &status, 0, &used);
	close(sampler->pidfd);
	sampler->pid = 0;
	sampler->peak_bytes = (guint64)used.ru_maxrss << 10;
	is_good = take && WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
	if (is_good)
		window_take(sampler);
	else if (take && !sampler->failures++)
		g_warning("%s: a window ended with status %d", live_part(sampler->live, sampler->options.part)->name,
			  status);
	if (sampler->failures)
		sampler->retry_ns = clock_monotonic_ns() + SAMPLER_RETRY_S * NS_PER_S;
	g_unlink(sampler->path);
	cpu_ns = time_ns(&used.ru_utime) + time_ns(&used.ru_stime);
	own_ns = clock_thread_ns() - before_ns; /* of taking in what came of it */
	live_account(sampler->live, sampler->options.part, NULL, cpu_ns + own_ns);
	if (sampler->options.share > 0)
		window_pay(sampler, cpu_ns, own_ns, is_good);
	else
		sampler->cpu_ns += cpu_ns;
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
	g_autofree char *self = own_program();
	g_autoptr(GError) error = NULL;
	g_autofree char *hz = g_strdup_printf("%d", SAMPLER_HZ), *length = NULL;
	char *command = (char *)live_part(sampler->live, sampler->options.part)->name;
	char *sampled[] = { self, command, "-q", "-d", NULL, "-o", sampler->path, "--times", "-F", hz, "all", NULL };
	char *watched[] = { self, command, "-q", "-d", NULL, "-o", sampler->path, "all", NULL };
	char **argv = sampler->options.part == LIVE_PROFILE ? sampled : watched;

	sampler->length_ns = length_choose(sampler);
	length = g_strdup_printf("%" G_GUINT64_FORMAT "ms", (guint64)(sampler->length_ns / NS_PER_MS));
	argv[4] = length;
	if (sampler->options.share > 0)
		sampler->before = switched_now();
	sampler->start_ns = clock_monotonic_ns();
	sampler->retry_ns = sampler->start_ns + SAMPLER_RETRY_S * NS_PER_S;
	if (!g_spawn_async(NULL, argv, environment,
			   G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
			   child_setup, NULL, &sampler->pid, &error)) {
		if (!sampler->failures++)
			g_warning("%s: %s", command, error->message);
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
	gboolean wanted = live_part(sampler->live, sampler->options.part)->state == LIVE_ON;
	guint64 now_ns = clock_monotonic_ns();

	if (sampler->pid && (!wanted || now_ns - sampler->start_ns > sampler->length_ns + SAMPLER_LATE_S * NS_PER_S))
		child_reap(sampler, FALSE);
	if (!sampler->pid && wanted && (sampler->is_asked || now_ns >= sampler->next_ns) &&
	    (!sampler->failures || now_ns >= sampler->retry_ns))
		child_start(sampler);
	sampler->is_asked = FALSE;
}

gboolean sampler_ask(struct sampler *sampler)
{
	guint64 now_ns = clock_monotonic_ns();

	if (live_part(sampler->live, sampler->options.part)->state != LIVE_ON)
		return FALSE;
	if (sampler_is_looking(sampler))
		return TRUE;
	if (sampler->asked_ns && now_ns - sampler->asked_ns < SAMPLER_ASKED_REST_S * NS_PER_S)
		return FALSE;
	sampler->asked_ns = now_ns;
	sampler->is_asked = TRUE;
	return TRUE;
}

gboolean sampler_is_looking(const struct sampler *sampler)
{
	return sampler->pid || sampler->is_asked;
}

struct sampler *sampler_new(struct live *live, struct reel *stacks, const char *directory,
			    const struct sampler_options *options)
{
	g_autofree char *name = g_strdup_printf("window-%s.json", live_part(live, options->part)->name);
	struct sampler *sampler = g_new0(struct sampler, 1);

	sampler->live = live;
	sampler->stacks = stacks;
	sampler->options = *options;
	sampler->path = g_build_filename(directory, name, NULL);
	if (options->share > 0) { /* until then it is known how often threads are switched */
		sampler->before = switched_now();
		sampler->next_ns = clock_monotonic_ns() + SAMPLER_FIRST_WINDOWS * options->window_s * NS_PER_S;
	}
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
	return sampler->cpu_ns + debt_counted(sampler, clock_monotonic_ns());
}
