/* SPDX-License-Identifier: Apache-2.0 */
/* Everything a diagnosis looks at, in one observation: what all containers use and what they wait for, as one snapshot.
 * Whatever the kernel refuses is left out and named; with nothing but files there are still the gauges. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/snapshot.h"

#define CHECKUP_WINDOWS 3 /* parts of the time whose gauges are kept apart */

struct checkup_options {
	guint64 duration_ns;
	gboolean files; /* no kernel programs */
	int stop_fd; /* readable: end early; -1: none */
	void (*progress)(void *user, guint64 elapsed_ns, guint64 duration_ns); /* may be NULL */
	void *progress_user;
};

struct checkup {
	struct snapshot *whole; /* every shape */
	GPtrArray *windows; /* of struct snapshot *: gauges of the parts, in order */
	GPtrArray *refused; /* of char *: probes that could not be attached, and why */
	guint64 started_ns; /* how long it took until all was attached */
	guint64 ended_ns; /* on the monotonic clock: when the time was over */
	struct observe_together *rest; /* private: what is attached until this is freed */
};

/* NULL and `error` when not even files can be read, or a probe fails on the way. Owned by the caller. */
struct checkup *checkup_run(struct registry *registry, const struct checkup_options *options, GError **error);
void checkup_free(struct checkup *checkup);
typedef struct checkup checkup_t; /* for g_autoptr(checkup_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(checkup_t, checkup_free)
