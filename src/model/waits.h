/* SPDX-License-Identifier: Apache-2.0 */
/* Threads' time by what they waited for, without stacks: from the gauges of an interval to a call tree of containers and
 * causes, for whoever has no stacks of that time. */
#pragma once
#include "model/calltree.h"
#include "model/gauges.h"

/* Where a thread's time goes. */
struct waits_class {
	const char *name; /* "blocked: disk" */
	enum gauge gauge;
	gboolean is_blocked; /* a part of "offcpu", too, and not of "walltime" alone */
};
#define WAITS_CLASSES 10
extern const struct waits_class waits_classes[WAITS_CLASSES];

/* What the ledger of such a tree says. */
#define WAITS_NOTE "by what threads waited for, looked at once a second, without stacks: a measurement has them"

/* Is that container wanted? Of the host: what is no container's. */
typedef gboolean (*waits_wants_fn)(void *user, const char *name);
/* Adds the nanoseconds of `changes` below "container;cause". `all`: also time on CPUs and waiting for one; else blocked time
 * alone. */
void waits_add(struct calltree *tree, const struct gauges *changes, gboolean all, waits_wants_fn wants, void *user);
