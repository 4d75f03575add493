/* SPDX-License-Identifier: Apache-2.0 */
/* Tallying: what a probe counts in tables (cgroup keys, device numbers) → histograms and edges with names. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/snapshot.h"
#include "observe/observe.h"
#include "probe/probe.h"

struct tally;

/* Borrows everything. */
struct tally *tally_new(struct registry *registry, const struct probe *probe, enum observe_by by,
			const struct remotes_how *remotes);
void tally_free(struct tally *tally);
/* From now on everything goes into `shape`, which gets its labels and columns; with `slot_ns`, into its slots of time. */
void tally_into(struct tally *tally, struct shape *shape, guint64 slot_ns);
/* What is told from now on happened in slot `slot`. */
void tally_slot(struct tally *tally, guint32 slot);
/* Pairs neither of whose ends `wants` are left out. */
typedef gboolean (*tally_wants_fn)(const void *user, const struct container *owner);
void tally_only(struct tally *tally, tally_wants_fn wants, const void *user);
/* How those outside are grouped; NULL: not at all. */
struct remotes *tally_remotes(struct tally *tally);
/* The listener to open a probe with; valid until tally_free. */
const struct probe_listener *tally_listener(struct tally *tally);
