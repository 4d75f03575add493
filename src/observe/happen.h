/* SPDX-License-Identifier: Apache-2.0 */
/* Happenings: what a probe of events hands out (cgroup keys, kernel time) → events with names, in the shape and, the
 * moment they come, to whoever listens. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/snapshot.h"
#include "probe/probe.h"

struct happen;

typedef void (*happen_fn)(void *user, const struct event *event);

/* Borrows everything. `each` (may be NULL) sees every event as it comes. */
struct happen *happen_new(struct registry *registry, happen_fn each, void *user);
/* From now on `shape` is filled. */
void happen_into(struct happen *happen, struct shape *shape);
void happen_free(struct happen *happen);
/* The listener to open a probe with; valid until happen_free. */
const struct probe_listener *happen_listener(struct happen *happen);
