/* SPDX-License-Identifier: Apache-2.0 */
/* What commands share that watch edges in a live table, table after table, or for one summary: options, targets,
 * intervals, output. */
#pragma once
#include <glib.h>
#include <stdio.h>

#include "model/snapshot.h"
#include "observe/observe.h"

struct registry;

/* What a table is printed with. */
struct watch_view {
	guint top; /* rows; 0: all */
	guint64 elapsed_ns; /* in which all of it happened */
	const struct ledger *ledger; /* of the measurement so far */
};

struct watch {
	const char *command;
	const char *probe; /* of shape edges, one that can collect */
	const char *summary; /* of the help */
	/* Of the text: "DNS questions", followed by "in 10.0 s"; `headline` where it is not always the same. */
	const char *heading;
	const char *(*headline)(void *user, const struct ledger *ledger);
	gboolean without_bpf; /* the probe has a rung that needs no kernel programs */
	const char *why_bpf; /* else: why there is none, to be said where they are refused; NULL: nothing */
	void (*print)(FILE *out, const struct edges *edges, const struct watch_view *view);
	/* `also`: what `look` gave; NULL without it. */
	void (*json)(FILE *out, const struct snapshot *snapshot, const struct shape *shape, const struct shape *also);
	const GOptionEntry *entries; /* the command's own options; NULL: none */
	/* Checks the command's own options and puts them into `options`; NULL: nothing to do. */
	gboolean (*prepare)(void *user, struct observe_options *options, GError **error);
	/* What is read beside the probe; NULL: nothing. `begin` when all is about to be attached; `look` for each table: a
	 * shape for its snapshot, owned by the caller, of what has changed since the last one or since the start. */
	void (*begin)(void *user, struct registry *registry, const GPtrArray *targets);
	struct shape *(*look)(void *user, gboolean since_start);
	void (*print_also)(FILE *out, const struct shape *also, guint top);
	void *user; /* of headline, prepare, begin and look */
};

int watch_main(const struct watch *watch, int argc, char **argv);
