/* SPDX-License-Identifier: Apache-2.0 */
/* The edges of the probe "resolvers" for programs: who asks which resolver, and what comes of it. */
#pragma once
#include <stdio.h>

#include "model/snapshot.h"

/* One JSON object in a line: {"resolvers": […], "ledger": {…}}. */
void render_resolvers_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape);
