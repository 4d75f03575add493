/* SPDX-License-Identifier: Apache-2.0 */
/* Answers from the reel: connections and latencies of any range of time. And what all such answers share. */
#pragma once
#include "base/json.h"
#include "serve/api.h"

/* route_fn each. /api/edges, /api/latency, /api/captures, /api/host */
void past_edges(struct api *api, const struct http_request *request, struct http_reply *reply);
void past_latency(struct api *api, const struct http_request *request, struct http_reply *reply);
void past_captures(struct api *api, const struct http_request *request, struct http_reply *reply);
void past_capture(struct api *api, const struct http_request *request, struct http_reply *reply);
void past_freeze(struct api *api, const struct http_request *request, struct http_reply *reply);
void past_host(struct api *api, const struct http_request *request, struct http_reply *reply);

/* The range of a request: seconds, or from_ms and to_ms; `fallback_s` when it says nothing. NULL, or what is wrong. */
struct past_range {
	gint64 from_ms, to_ms;
	gint64 step_ms; /* at least 1000 */
	guint32 steps;
};
const char *past_range(const struct http_request *request, gint64 fallback_s, struct past_range *range);
/* The container a request is about: its series. FALSE when there is none such; `*name` NULL: the whole machine. */
gboolean past_container(const struct api *api, const struct http_request *request, const char **name);
void past_error(struct http_reply *reply, guint status, const char *why);
/* An object that begins with the range; `*out` is owned by the answer that past_end makes of it. */
struct json_writer past_begin(const struct past_range *range, GString **out);
void past_end(struct http_reply *reply, struct json_writer *json);
