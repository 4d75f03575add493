/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges for people and programs. */
#pragma once
#include "base/json.h"
#include "model/gauges.h"

/* Members of an open object: resource, name, key, birth_ns, texts, and the values that are known. */
void render_gauge_members(struct json_writer *json, const struct gauge_row *row);
