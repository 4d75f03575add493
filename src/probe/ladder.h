/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder: rungs are tried in order by really attaching; the first that works is taken, and why the others did
 * not is remembered in words for people. */
#pragma once
#include <glib.h>

#include "probe/probe.h"

/* One attempt: attaches at `rung` and leaves it attached (TRUE), or leaves nothing behind and says why (FALSE). */
typedef gboolean (*ladder_try_fn)(void *user, const struct rung *rung, GError **error);

/* Tries `rungs` (or only the one named `forced`). Returns the rung that works; NULL and `error`, PROBE_ERROR_PERMISSION
 * when a capability is missing. `*why_not` (may be NULL) becomes a new string about better rungs that did not work,
 * or NULL. */
const struct rung *ladder_climb(const struct rung *rungs, const char *forced, ladder_try_fn attempt, void *user,
				char **why_not, GError **error);

/* Sets `error` for a failed libbpf or perf call: `what` ("cannot load the sampling program"), its errno (positive) and
 * what libbpf had to say since the last ladder_log_start on this thread, as one sentence. */
void ladder_set_error(GError **error, const char *what, int errno_value);
void ladder_log_start(void);

/* Capabilities that watching needs and this process lacks, as "CAP_BPF and CAP_PERFMON"; NULL when it has all. */
char *ladder_missing_capabilities(void);
