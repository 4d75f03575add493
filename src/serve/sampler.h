/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks, always: of running threads 19 samples a second and CPU, window after window; of blocked ones for some of the time, so often
 * that it takes a given share of one core on average. Each window is a child that runs `fathom profile` or `fathom offcpu`: its
 * memory and the parsers of what containers run are not the agent's. */
#pragma once
#include <glib.h>

#include "serve/live.h"
#include "store/reel.h"

#define SAMPLER_ASKED_REST_S 600
#define SAMPLER_HZ 19 /* no multiple of what programs do in time with the clock */

struct sampler_options {
	enum live_part part; /* LIVE_PROFILE or LIVE_OFFCPU */
	guint window_s; /* how long it looks, at most */
	double share; /* of one core, on average; 0: one window follows the other */
};

struct sampler;

/* What each window found goes to `stacks`; `live` says (by the part) whether it is wanted, and is told what it costs.
 * Files go below `directory`. All are the caller's and outlive it; the options are copied. */
struct sampler *sampler_new(struct live *live, struct reel *stacks, const char *directory,
			    const struct sampler_options *options);
void sampler_free(struct sampler *sampler);
/* About once a second: starts, and ends what is not wanted any more. */
void sampler_tick(struct sampler *sampler);
/* For those that look for some of the time: a window now, ahead of its time, after which the next one is the later. FALSE: somebody asked
 * less than SAMPLER_ASKED_REST_S ago, or none is wanted. TRUE, too, where one is on its way. */
gboolean sampler_ask(struct sampler *sampler);
/* A window runs, or will at the next tick. */
gboolean sampler_is_looking(const struct sampler *sampler);
guint64 sampler_peak_bytes(const struct sampler *sampler); /* resident memory of the last child, at its most */
/* Of all children. What one took that looks for some of the time is counted bit by bit until the next one begins. */
guint64 sampler_cpu_ns(const struct sampler *sampler);

/* Pure, for tests. What kernel programs take, by estimate, while there are so many switches in `length_ns`. */
guint64 sampler_kernel_ns(guint64 switches, guint64 length_ns, guint cpus);
/* How long to look where threads are switched so often: so long that this is no more than a quarter of a second of each CPU's time, but
 * within bounds. */
guint64 sampler_length_ns(guint64 longest_ns, guint64 switches_per_second, guint cpus);
/* From the beginning of a window to that of the next, after one of which the child and we took `own_ns`, which is of one core, and kernel
 * programs `kernel_ns`, which is of all. */
guint64 sampler_period_ns(guint64 own_ns, guint64 kernel_ns, guint cpus, double share);
