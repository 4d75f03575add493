/* SPDX-License-Identifier: Apache-2.0 */
/* Weaving: what a probe hands out (tasks, addresses, weights) → a calltree with names and its ledger. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/snapshot.h"
#include "observe/observe.h"
#include "observe/splice.h"
#include "probe/probe.h"
#include "symbol/symbolizer.h"

struct weave;

/* Borrows everything; `shape` is filled. */
struct weave *weave_new(struct registry *registry, struct symbolizer *symbolizer, struct shape *shape,
			enum observe_by by);
void weave_free(struct weave *weave);
/* The listener to open a probe with; valid until weave_free. */
const struct probe_listener *weave_listener(struct weave *weave);
/* The probe has finished: what the shape does not need is given back. */
void weave_end(struct weave *weave);
/* Its part for interpreters, to be told how to reach the probe. */
struct splice *weave_splice(struct weave *weave);
