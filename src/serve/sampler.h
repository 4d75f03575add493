/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of running threads, always: 19 samples a second and CPU, in windows of a minute or so. Each window is a child that runs
 * `fathom profile`: its memory and the parsers of what containers run are not the agent's. */
#pragma once
#include <glib.h>

#include "serve/live.h"
#include "store/reel.h"

#define SAMPLER_HZ 19 /* no multiple of what programs do in time with the clock */

struct sampler;

/* What each window of `window_s` seconds found goes to `stacks`; `live` says (LIVE_PROFILE) whether it is wanted, and is told what it costs.
 * Files go below `directory`. All are the caller's and outlive it. */
struct sampler *sampler_new(struct live *live, struct reel *stacks, const char *directory, guint window_s);
void sampler_free(struct sampler *sampler);
/* About once a second: starts, and ends what is not wanted any more. */
void sampler_tick(struct sampler *sampler);
guint64 sampler_peak_bytes(const struct sampler *sampler); /* resident memory of the last child, at its most */
guint64 sampler_cpu_ns(const struct sampler *sampler); /* of all children */
