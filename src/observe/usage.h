/* SPDX-License-Identifier: Apache-2.0 */
/* What every container uses, again and again, as gauges: cgroup files kept open, one walk over the kernel's threads for
 * what no file tells, and the births and deaths of cgroups as they happen, so that nobody scans the tree in between. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/gauges.h"
#include "model/ledger.h"

struct usage;

struct usage_options {
	gboolean all; /* units and other cgroups, too */
	const GPtrArray *wanted; /* of const struct container *: only these; NULL: all. Must outlive the usage. */
	gboolean no_bpf; /* leave the kernel programs out */
	gboolean inside; /* a container, without the rights to look out of it: process 1 is its own, not the host's */
	gboolean frugal; /* watches for ever: traffic of containers that are still may be told some readings late */
};

/* Ready for the first reading, without kernel programs yet. */
struct usage *usage_new(struct registry *registry, const struct usage_options *options);
void usage_free(struct usage *usage);

/* Loads the kernel programs (some tens of milliseconds). FALSE and `error` when they are refused: then readings lack
 * what only they can tell, and the tree is scanned each time. */
gboolean usage_watch(struct usage *usage, GError **error);
gboolean usage_is_watching(const struct usage *usage);
/* Where it watches, it tells the registry who came and went: at each reading, and here; others that use the registry need
 * not listen for themselves (observe_options.births_told). `usage_fd` is readable when there is something to tell; -1: never. */
int usage_fd(const struct usage *usage);
void usage_hear(struct usage *usage);
/* From the next reading on. */
void usage_set_all(struct usage *usage, gboolean all);

/* Reads all: the host first, then the containers by path, each with the row it is part of. A container that ended since
 * the last reading is there once more with its last values, marked dead. NULL and `error` when the tree cannot be read.
 * Owned by the usage; valid until the reading after the next one, which is what gauges_diff wants. */
struct gauges *usage_read(struct usage *usage, GError **error);
/* Containers that came and went since the last reading without ever having been read, by name: raw bytes, valid until
 * the next reading. */
const GPtrArray *usage_missed(const struct usage *usage);

/* Processes and (wanted) threads of the container with that key, of all that are wanted when it is 0: what they did since the
 * call before, in `changes` (cleared before); of the host those of no container. The first call knows no counters. From the kernel's iterator or, where
 * that is refused, from /proc. */
gboolean usage_processes(struct usage *usage, guint64 cgroup_key, gboolean threads, struct gauges *changes,
			 GError **error);
/* Forgets what the last call saw: the next one is a first one. */
void usage_processes_stop(struct usage *usage);

/* How it is observed and what is missing. */
void usage_account(struct usage *usage, struct ledger *ledger);
