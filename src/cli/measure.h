/* SPDX-License-Identifier: Apache-2.0 */
/* What profile, offcpu and walltime share: options, targets, progress, Ctrl-C, output, exit status. */
#pragma once
#include <glib.h>

/* A descriptor that becomes readable at SIGINT and SIGTERM, which are held back from now on; -1 when there is none. */
int measure_stop_fd(void);
/* Closes it and lets the signals through again. */
void measure_signals_restore(int stop_fd);

struct snapshot;
struct shape;
struct registry;
struct probe;

/* What several commands ask of options. FALSE and `error`: the probe has no such rung (NULL: none is asked for), or a capture of `what` ("edges")
 * cannot be written there. */
gboolean measure_rung_is_known(const struct probe *probe, const char *rung, GError **error);
gboolean measure_capture_is_writable(const char *what, const char *path, GError **error);

/* Is the last of several intervals worth telling? Not when it was cut off right after the one before and nothing happened in
 * it. `shape`: what is told of it. */
gboolean measure_last_is_told(const struct snapshot *last, const struct shape *shape, guint64 interval_ns);

/* What a command observes beside its probe. */
struct measure_companion {
	void *user;
	/* Before the probe starts; `targets`: of struct target. */
	void (*begin)(void *user, struct registry *registry, const GPtrArray *targets);
	void (*tick)(void *user); /* about ten times a second */
	void (*end)(void *user, struct snapshot *snapshot); /* may add shapes */
	void (*print)(void *user); /* after the text, when that is what is written to standard output */
};

/* Runs the probe called `probe` with the command line; returns an exit status. */
int measure_main(const char *probe, int argc, char **argv);
/* The same with a companion. */
int measure_main_with(const char *probe, const struct measure_companion *companion, int argc, char **argv);
