/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/threads: where a container's threads were over time, on average: on a CPU, waiting for one, or waiting for
 * something else, by what that was. */
#pragma once
#include "serve/api.h"

void threads_answer(struct api *api, const struct http_request *request, struct http_reply *reply);
