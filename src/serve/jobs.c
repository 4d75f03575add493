/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/jobs.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/own.h"
#include "base/units.h"

#define JOB_GRACE_S 60 /* to attach and to name, beyond the measurement itself */
#define JOB_CPU_S 120
#define JOB_NICE 5
#define JOB_ERROR_BYTES 4096
#define JOB_WORDS_MAX 16
#define JOB_EXIT_INCONCLUSIVE 3 /* as in the man pages */

/* What can be measured: the words of the command and where its result goes. */
static const struct job_kind {
	const char *name;
	const char *words[4];
	enum {
		RESULT_STACKS,
		RESULT_CAPTURE,
		RESULT_LINE
	} result; /* the last: printed, not a file of its own */
	gboolean is_timed; /* takes -d */
	gboolean is_of_machine; /* takes no target */
} kinds[] = {
	{ "walltime", { "walltime", "-q" }, RESULT_STACKS, TRUE, FALSE },
	{ "profile", { "profile", "-q", "--times" }, RESULT_STACKS, TRUE, FALSE },
	{ "offcpu", { "offcpu", "-q" }, RESULT_STACKS, TRUE, FALSE },
	{ "memory", { "memory", "-q" }, RESULT_STACKS, TRUE, FALSE },
	{ "heap", { "memory", "-q", "--heap" }, RESULT_STACKS, TRUE, FALSE },
	{ "connections", { "connections" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "runq", { "latency", "runq", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "block", { "latency", "block", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "fs", { "latency", "fs", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "syscall", { "latency", "syscall", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "futex", { "latency", "futex", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "fault", { "latency", "fault", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "dns", { "latency", "dns", "--heatmap", "-q" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "slow-fs", { "slow", "fs", "--over=1ms" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "slow-block", { "slow", "block", "--over=1ms" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "slow-syscall", { "slow", "syscall", "--over=10ms" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "slow-futex", { "slow", "futex", "--over=10ms" }, RESULT_CAPTURE, TRUE, FALSE },
	{ "host", { "host", "--json" }, RESULT_LINE, FALSE, TRUE },
	{ "use", { "use", "--json" }, RESULT_LINE, TRUE, FALSE },
	{ "diagnose", { "diagnose", "--json", "--exit-zero", "-q" }, RESULT_LINE, TRUE, FALSE },
};

static const struct {
	const char *name, *suffix, *type;
	gboolean is_drawn; /* from the capture */
} formats[] = {
	{ "json", "json", "application/json; charset=utf-8", FALSE },
	{ "svg", "svg", "image/svg+xml", TRUE },
	{ "pprof", "pb.gz", "application/octet-stream", TRUE },
	{ "folded", "folded", "text/plain; charset=utf-8", TRUE },
};

struct jobs {
	char *directory;
	GPtrArray *list; /* of struct running_job */
	guint last_id;
	jobs_done_fn done; /* NULL: nobody */
	void *done_user;
};

struct running_job {
	struct job job; /* first: what others see */
	const struct job_kind *kind;
	struct jobs *jobs;
	GPid pid; /* 0: none */
	guint watch, deadline; /* sources */
	guint drawing; /* format that is drawn */
};

static char *job_path(const struct jobs *jobs, guint id, const char *suffix)
{
	return g_strdup_printf("%s/%u.%s", jobs->directory, id, suffix);
}

static void job_remove_files(const struct jobs *jobs, guint id)
{
	g_autofree char *errors = job_path(jobs, id, "err");

	g_unlink(errors);
	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autofree char *path = job_path(jobs, id, formats[i].suffix);

		g_unlink(path);
	}
}

static void job_free(gpointer data)
{
	struct running_job *running = data;

	if (running->watch)
		g_source_remove(running->watch);
	if (running->deadline)
		g_source_remove(running->deadline);
	if (running->pid) {
		kill(running->pid, SIGKILL);
		waitpid(running->pid, NULL, 0);
	}
	job_remove_files(running->jobs, running->job.id);
	g_free(running->job.container);
	g_free(running->job.error);
	g_free(running);
}

/* GSpawnChildSetupFunc: between fork and exec, only what is safe there. */
static void child_setup(gpointer data)
{
	const struct rlimit cpu = { JOB_CPU_S, JOB_CPU_S };

	(void)data;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CPU, &cpu);
	if (nice(JOB_NICE) == -1)
		return; /* then it is as important as we are */
}

static gboolean job_spawn(struct running_job *running, char **argv, const char *output, GError **error);

static void job_end(struct running_job *running, enum job_state state, const char *why)
{
	if (running->deadline)
		g_source_remove(running->deadline);
	running->deadline = 0;
	running->job.state = state;
	running->job.error = g_strdup(why);
}

/* The next picture, or the end. */
static void job_draw(struct running_job *running)
{
	g_autofree char *capture = job_path(running->jobs, running->job.id, "json"), *output = NULL;
	g_autoptr(GError) error = NULL;

	while (running->drawing < G_N_ELEMENTS(formats) && !formats[running->drawing].is_drawn)
		running->drawing++;
	if (running->drawing == G_N_ELEMENTS(formats) || running->kind->result != RESULT_STACKS) {
		job_end(running, JOB_DONE, NULL);
		return;
	}
	running->job.state = JOB_DRAWING;
	output = job_path(running->jobs, running->job.id, formats[running->drawing++].suffix);
	if (!job_spawn(running, (char *[]){ "fathom", "flame", capture, "-o", output, NULL }, NULL, &error))
		job_end(running, JOB_FAILED, error->message);
}

static void job_measured(struct running_job *running)
{
	g_autofree char *capture = job_path(running->jobs, running->job.id, "json");

	if (running->jobs->done && running->kind->result == RESULT_STACKS)
		running->jobs->done(running->jobs->done_user, &running->job, capture);
}

static void job_failed(struct running_job *running, int status)
{
	g_autofree char *path = job_path(running->jobs, running->job.id, "err");
	g_autofree char *said = file_read(path, JOB_ERROR_BYTES, NULL, NULL);
	g_autofree char *why = NULL;

	if (said)
		g_strstrip(said);
	if (WIFSIGNALED(status))
		why = g_strdup_printf("ended by signal %d: it took too long, or too much", WTERMSIG(status));
	job_end(running, JOB_FAILED, why ? why : said && said[0] ? said : "it ended without a word");
}

/* GChildWatchFunc */
static void job_ended(GPid pid, int status, gpointer data)
{
	struct running_job *running = data;
	gboolean ok;

	(void)pid;
	running->pid = 0;
	running->watch = 0;
	ok = WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == JOB_EXIT_INCONCLUSIVE);
	if (ok && WEXITSTATUS(status) == JOB_EXIT_INCONCLUSIVE)
		running->job.is_inconclusive = TRUE;
	if (ok && running->job.state == JOB_MEASURING)
		job_measured(running);
	if (ok)
		job_draw(running);
	else
		job_failed(running, status);
}

static gboolean job_late(gpointer data)
{
	struct running_job *running = data;

	running->deadline = 0;
	if (running->pid)
		kill(running->pid, SIGKILL);
	return G_SOURCE_REMOVE;
}

/* What it prints goes to `output`; NULL: nowhere. */
static gboolean job_spawn(struct running_job *running, char **argv, const char *output, GError **error)
{
	static char *environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL };
	g_autofree char *path = job_path(running->jobs, running->job.id, "err");
	g_autofree char *self = own_program();
	int errors = g_open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	int prints = output ? g_open(output, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600) : -1;
	gboolean ok;

	argv[0] = self;
	ok = g_spawn_async_with_pipes_and_fds(
		NULL, (const char *const *)argv, (const char *const *)environment,
		G_SPAWN_DO_NOT_REAP_CHILD | (prints < 0 ? G_SPAWN_STDOUT_TO_DEV_NULL : G_SPAWN_DEFAULT), child_setup,
		NULL, -1, prints, errors, NULL, NULL, 0, &running->pid, NULL, NULL, NULL, error);
	if (errors >= 0)
		close(errors);
	if (prints >= 0)
		close(prints);
	if (ok)
		running->watch = g_child_watch_add(running->pid, job_ended, running);
	return ok;
}

static const struct job_kind *kind_find(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (g_strcmp0(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static guint count_running(const struct jobs *jobs)
{
	guint count = 0;

	for (guint i = 0; i < jobs->list->len; i++)
		count += ((const struct job *)g_ptr_array_index(jobs->list, i))->state < JOB_DONE;
	return count;
}

/* Makes room by dropping the eldest that has ended. */
static void drop_eldest(struct jobs *jobs)
{
	for (guint i = 0; i < jobs->list->len && jobs->list->len >= JOBS_KEPT_MAX; i++)
		if (((const struct job *)g_ptr_array_index(jobs->list, i))->state >= JOB_DONE)
			g_ptr_array_remove_index(jobs->list, i--);
}

static gboolean fail(GError **error, const char *why)
{
	g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, why);
	return FALSE;
}

/* fathom WORDS [-d SECONDS] [-o CAPTURE] [--title=NAME] [-- CGROUP] */
static gboolean job_measure(struct running_job *running, const char *cgroup, GError **error)
{
	const struct job_kind *kind = running->kind;
	g_autofree char *capture = job_path(running->jobs, running->job.id, "json");
	g_autofree char *seconds = g_strdup_printf("%u", running->job.seconds);
	g_autofree char *title = g_strdup_printf("--title=%s", running->job.container);
	char *argv[JOB_WORDS_MAX] = { "fathom" };
	guint count = 1;

	for (guint i = 0; i < G_N_ELEMENTS(kind->words) && kind->words[i]; i++)
		argv[count++] = (char *)kind->words[i];
	if (kind->is_timed) {
		argv[count++] = "-d";
		argv[count++] = seconds;
	}
	if (kind->result != RESULT_LINE) {
		argv[count++] = "-o";
		argv[count++] = capture;
	}
	if (kind->result == RESULT_STACKS)
		argv[count++] = title;
	if (!kind->is_of_machine) {
		argv[count++] = "--";
		argv[count++] = (char *)cgroup;
	}
	return job_spawn(running, argv, kind->result == RESULT_LINE ? capture : NULL, error);
}

const struct job *jobs_start(struct jobs *jobs, const char *kind, const char *container, const char *cgroup,
			     guint seconds, gboolean *is_busy, GError **error)
{
	const struct job_kind *found = kind_find(kind);
	struct running_job *running;

	*is_busy = FALSE;
	if (!found) {
		fail(error, "kind is none of those that docs/api.yaml lists, such as walltime, profile, offcpu");
		return NULL;
	}
	if (seconds < 1 || seconds > JOBS_SECONDS_MAX) {
		fail(error, "seconds is a number from 1 to 60");
		return NULL;
	}
	if (count_running(jobs) >= JOBS_RUNNING_MAX) {
		*is_busy = TRUE;
		fail(error, "two measurements run already: wait for one to end");
		return NULL;
	}
	drop_eldest(jobs);
	running = g_new0(struct running_job, 1);
	running->jobs = jobs;
	running->kind = found;
	running->job = (struct job){ .id = ++jobs->last_id,
				     .kind = found->name,
				     .container = g_strdup(container),
				     .seconds = seconds,
				     .start_ms = (gint64)(clock_realtime_ns() / NS_PER_MS),
				     .start_ns = clock_monotonic_ns() };
	if (!job_measure(running, cgroup, error)) {
		job_free(running);
		return NULL;
	}
	running->deadline = g_timeout_add_seconds(seconds + JOB_GRACE_S, job_late, running);
	g_ptr_array_add(jobs->list, running);
	return &running->job;
}

const struct job *jobs_find(const struct jobs *jobs, guint id)
{
	for (guint i = 0; i < jobs->list->len; i++) {
		const struct job *job = g_ptr_array_index(jobs->list, i);

		if (job->id == id)
			return job;
	}
	return NULL;
}

const GPtrArray *jobs_list(const struct jobs *jobs)
{
	return jobs->list;
}

GBytes *jobs_result(const struct jobs *jobs, const struct job *job, const char *format, const char **type,
		    const char **suffix)
{
	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autofree char *path = NULL;
		char *content;
		gsize length;

		if (g_strcmp0(formats[i].name, format) != 0 || job->state != JOB_DONE)
			continue;
		path = job_path(jobs, job->id, formats[i].suffix);
		content = file_read(path, JOBS_RESULT_BYTES, &length, NULL);
		*type = formats[i].type;
		*suffix = formats[i].suffix;
		return content ? g_bytes_new_take(content, length) : NULL;
	}
	return NULL;
}

void jobs_watch(struct jobs *jobs, jobs_done_fn done, void *user)
{
	jobs->done = done;
	jobs->done_user = user;
}

struct jobs *jobs_new(const char *directory)
{
	struct jobs *jobs = g_new0(struct jobs, 1);
	g_autoptr(GDir) left = g_dir_open(directory, 0, NULL);
	const char *name;

	jobs->directory = g_strdup(directory);
	jobs->list = g_ptr_array_new_with_free_func(job_free);
	while (left && (name = g_dir_read_name(left))) {
		g_autofree char *path = g_build_filename(directory, name, NULL);

		g_unlink(path); /* of an agent that was killed */
	}
	return jobs;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	g_ptr_array_unref(jobs->list);
	g_free(jobs->directory);
	g_free(jobs);
}
