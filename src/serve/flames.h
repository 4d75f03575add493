/* SPDX-License-Identifier: Apache-2.0 */
/* Answers about stacks: those that are always sampled, and those of a measurement on demand. Where the moment of each sample
 * is known, ranges of any length are cut out exactly, and parts of seconds can be told apart (the FlameScope view). */
#pragma once
#include "serve/api.h"

/* route_fn each. /api/flame, /api/flamescope */
void flames_answer(struct api *api, const struct http_request *request, struct http_reply *reply);
void flames_scope(struct api *api, const struct http_request *request, struct http_reply *reply);
