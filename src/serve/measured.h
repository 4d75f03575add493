/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements of stacks that were asked for go into the history, beside what is always sampled: a range that holds one shows
 * it, and an event "measured" on the time axis says that there is one. */
#pragma once
#include "serve/jobs.h"
#include "serve/live.h"
#include "store/reel.h"

#define MEASURED_EVENT "measured"
#define MEASURED_BYTES_MAX (8u << 20) /* of a capture; larger ones stay what can be saved */

struct measured {
	struct live *live;
	struct reel *stacks;
};

/* jobs_done_fn; `user` is a struct measured. */
void measured_keep(void *user, const struct job *job, const char *capture);
