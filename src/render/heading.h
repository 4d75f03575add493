/* SPDX-License-Identifier: Apache-2.0 */
/* What every output says about a result besides its numbers: when, where, how, and what it rests on. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"

/* "host · 2026-01-31 12:00:00 UTC · 10.0 s · 99 Hz · 1980 samples"; raw (unescaped). Owned by the caller. */
char *heading_facts(const struct snapshot *snapshot, const struct shape *shape);
/* The ledger as short phrases, raw: coverage first, then losses and weaknesses by cause, rung, what it misses; the
 * notes are not included. Array of char *, owned by the caller. */
GPtrArray *heading_ledger(const struct shape *shape);
/* "INCONCLUSIVE: …" when the ledger is not conclusive, otherwise NULL. Owned by the caller. */
char *heading_warning(const struct shape *shape);
/* A weight with its noun: "123 samples", "1.20 s". Owned by the caller. */
char *heading_weight(enum unit unit, guint64 weight);
