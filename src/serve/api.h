/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent answers over HTTP: one table of routes. Whoever asks over TCP shows the token (but for the page's own
 * files and /healthz); over the unix socket nobody does who runs outside of containers. Answers only read; what a POST
 * starts is a measurement. */
#pragma once
#include <glib.h>

#include "serve/budget.h"
#include "serve/http.h"
#include "serve/jobs.h"
#include "serve/live.h"
#include "serve/replay.h"
#include "serve/verdicts.h"
#include "store/history.h"
#include "store/reel.h"

struct api {
	struct live *live;
	struct history *history;
	struct reel *reel, *stacks;
	struct recorder *recorder;
	struct jobs *jobs;
	struct budget *budget;
	struct verdicts *verdicts;
	struct http *http;
	const char *token, *reader_token; /* the second may not start measurements */
	const char *const *hosts; /* names besides the loopback's; may be NULL */
	const struct replay *replay; /* NULL: it is this machine that is shown */
	const char *version;
	const char *trouble; /* why the last reading failed; NULL: it did not */
};

/* To be called between ticks: whoever watches is told of new edges. */
void api_peek(struct api *api);
/* http_answer_fn; `user` is a struct api. */
void api_answer(void *user, const struct http_request *request, struct http_reply *reply);
/* To be called after each tick: tells the streams. */
void api_tick(struct api *api);

/* /metrics. */
GBytes *metrics_text(const struct api *api, gboolean openmetrics);
