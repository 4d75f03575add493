/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of `fathom top`: a table of containers that is renewed every interval; from a row to its processes, to all
 * that is known of it, to a flame graph or a latency histogram. It sees gauges only; where they come from is the feed's
 * business. */
#pragma once
#include <glib.h>

#include "render/gauge_table.h"

/* What the screen wants to know. */
struct tui_top_want {
	gboolean all; /* units and other cgroups, too */
	gboolean processes; /* as well as the containers themselves */
	guint64 container_key; /* whose; 0: all */
	gboolean threads;
};

enum tui_top_measure {
	TUI_TOP_FLAME = 0,
	TUI_TOP_LATENCY = 1,
};

struct tui_top_feed {
	void *user;
	/* A reading of the containers and, when wanted, of processes. What comes out is valid until the next call. `processes`
	 * is set only when wanted. */
	gboolean (*read)(void *user, const struct tui_top_want *want, struct gauge_interval *containers,
			 struct gauge_interval *processes, GError **error);
	/* What can wait until something is on the screen; a sentence to show when something is missing, or NULL. */
	char *(*start)(void *user);
	/* Names of those that came and went unseen since the last reading. */
	const GPtrArray *(*missed)(void *user);
	/* Programs to run for a measurement of the container or process (array of char **, owned by the caller) and a sentence about
	 * where the result will be (owned by the caller, may become NULL). NULL and `error` when it cannot be done. */
	GPtrArray *(*measure)(void *user, enum tui_top_measure what, const struct gauge_row *row, char **note,
			      GError **error);
};

struct tui_top_options {
	guint64 interval_ns;
	int count; /* end after so many intervals; 0: never */
	int stop_fd; /* readable: end */
	enum gauge_column_id sort;
	gboolean ascending, tree, all;
	gboolean processes, threads; /* begin with those of the whole machine, in that order */
	const char *filter; /* NULL: none; must be valid */
};

gboolean tui_top_run(const struct tui_top_feed *feed, const struct tui_top_options *options, GError **error);
