/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements on demand: a few at a time, each with a time limit, each a child that runs one of our own commands on one
 * container and ends with the agent. What is run is chosen from a table; a request brings a number, a kind and a
 * duration, never a word of the command line. */
#pragma once
#include <glib.h>

#define JOBS_RUNNING_MAX 2
#define JOBS_KEPT_MAX 16
#define JOBS_SECONDS_MAX 60
#define JOBS_ALL "all" /* container: the whole machine */
#define JOBS_RESULT_BYTES (32u << 20)

enum job_state {
	JOB_MEASURING = 0,
	JOB_DRAWING = 1, /* the pictures are made */
	JOB_DONE = 2,
	JOB_FAILED = 3, /* `error` says why */
};

struct job {
	guint id;
	const char *kind; /* "walltime", "profile", "offcpu" … */
	char *container; /* name, raw; "all": the whole machine */
	guint seconds;
	enum job_state state;
	gint64 start_ms; /* since 1970 */
	guint64 start_ns; /* CLOCK_MONOTONIC */
	char *error; /* raw */
	gboolean is_inconclusive; /* covers less than 95 % */
};

struct jobs;

/* Results go below `directory`, which must exist; what is left there from before is removed. */
struct jobs *jobs_new(const char *directory);
void jobs_free(struct jobs *jobs); /* ends what runs */
/* Is told of every measurement of stacks that has ended well, before it is drawn; `capture` is a file that may be read then. */
typedef void (*jobs_done_fn)(void *user, const struct job *job, const char *capture);
void jobs_watch(struct jobs *jobs, jobs_done_fn done, void *user);

/* Starts to measure the container whose cgroup's path is `cgroup` ("all": the whole machine). NULL and `error` (for people) when there is no such
 * kind, the duration is out of range, or JOBS_RUNNING_MAX run. */
const struct job *jobs_start(struct jobs *jobs, const char *kind, const char *container, const char *cgroup,
			     guint seconds, gboolean *is_busy, GError **error);
const struct job *jobs_find(const struct jobs *jobs, guint id);
/* The latest last; of struct job *. Owned by the jobs. */
const GPtrArray *jobs_list(const struct jobs *jobs);
/* A result in one of its formats ("json", and where it holds stacks "svg", "pprof", "folded"); `*type` and `*suffix` are set. NULL when there is
 * none (yet). Owned by the caller. */
GBytes *jobs_result(const struct jobs *jobs, const struct job *job, const char *format, const char **type,
		    const char **suffix);
