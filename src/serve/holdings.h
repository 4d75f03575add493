/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent holds in memory, by kind: whoever sees it grow sees what grows. */
#pragma once
#include "base/json.h"
#include "serve/api.h"

/* Adds the object "memory": bytes of the heap (in use; free between what is in use; in mappings of their own), of packed
 * history, and how many things of each kind there are, all of which have a bound. */
void holdings_write(struct json_writer *json, const struct api *api);
