/* SPDX-License-Identifier: Apache-2.0 */
#include "tui/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
	GPtrArray *commands;
	guint next;
	GPid pid; /* 0: none runs */
	int fd; /* its output; -1: none */
	GString *text;
	gboolean failed;
};

/* In the child: our own held-back signals would keep it from being stopped, and our priority is for the screen. */
static void child_setup(gpointer user)
{
	sigset_t none;

	(void)user;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpriority(PRIO_PROCESS, 0, 0);
	dup2(STDOUT_FILENO, STDERR_FILENO);
}

static gboolean job_next(struct job *job, GError **error)
{
	char **argv = g_ptr_array_index(job->commands, job->next++);

	g_string_truncate(job->text, 0);
	if (!g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, child_setup, NULL, &job->pid, NULL,
				      &job->fd, NULL, error)) {
		job->pid = 0;
		job->fd = -1;
		return FALSE;
	}
	fcntl(job->fd, F_SETFL, O_NONBLOCK);
	return TRUE;
}

struct job *job_start(GPtrArray *commands, GError **error)
{
	struct job *job = g_new0(struct job, 1);

	job->commands = commands;
	job->fd = -1;
	job->text = g_string_new(NULL);
	if (commands->len && job_next(job, error))
		return job;
	job_free(job);
	return NULL;
}

/* Waits for the program, which has closed its output or was killed. */
static gboolean job_reap(struct job *job)
{
	int status = 0;

	if (job->fd >= 0)
		close(job->fd);
	job->fd = -1;
	if (!job->pid)
		return TRUE;
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	job->pid = 0;
	return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3); /* 3: inconclusive */
}

void job_free(struct job *job)
{
	if (!job)
		return;
	if (job->pid)
		kill(job->pid, SIGKILL);
	job_reap(job);
	g_ptr_array_unref(job->commands);
	g_string_free(job->text, TRUE);
	g_free(job);
}

int job_fd(const struct job *job)
{
	return job->fd;
}

/* TRUE when the program has closed its output. */
static gboolean job_read(struct job *job)
{
	char buffer[4096];

	for (;;) {
		ssize_t n = read(job->fd, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 || errno != EAGAIN;
		if (job->text->len < JOB_TEXT_BYTES_MAX)
			g_string_append_len(job->text, buffer, MIN((gsize)n, JOB_TEXT_BYTES_MAX - job->text->len));
	}
}

gboolean job_step(struct job *job)
{
	g_autoptr(GError) error = NULL;

	if (job->fd < 0)
		return TRUE;
	if (!job_read(job))
		return FALSE;
	if (!job_reap(job)) {
		job->failed = TRUE;
		return TRUE;
	}
	if (job->next == job->commands->len)
		return TRUE;
	if (job_next(job, &error))
		return FALSE;
	g_string_assign(job->text, error->message);
	job->failed = TRUE;
	return TRUE;
}

const char *job_text(const struct job *job)
{
	return job->text->str;
}

gboolean job_failed(const struct job *job)
{
	return job->failed;
}
