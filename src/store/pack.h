/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as few bytes: what history and capture files hold of each interval. Strings stand once, numbers are as
 * long as they need to be, what is zero takes nothing. Compressed with zstd, whose frame carries a checksum.
 *
 * Reading trusts nothing: every length, count and index is checked against what is there and against named limits; what
 * makes no sense is refused as a whole. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"

#define PACK_ERROR (pack_error_quark())
GQuark pack_error_quark(void);
enum pack_error {
	PACK_ERROR_DAMAGED = 1, /* cut, changed, or never one */
	PACK_ERROR_VERSION = 2, /* of a later fathom */
	PACK_ERROR_TOO_LARGE = 3,
};

#define PACK_BYTES_MAX (64u << 20) /* of one snapshot, decompressed */
#define PACK_ROWS_MAX (1u << 17) /* of all tables of one snapshot together */

/* Owned by the caller. Ledger notes and coverage of processes are left out; baselines, too. */
GBytes *pack_snapshot(const struct snapshot *snapshot);
/* Owned by the caller; NULL and `error`. */
struct snapshot *pack_read(const guint8 *bytes, gsize length, GError **error);

/* zstd with its checksum. NULL and `error` when that is damaged, or would become larger than `limit`. */
GBytes *pack_compress(const guint8 *bytes, gsize length);
GBytes *pack_decompress(const guint8 *bytes, gsize length, gsize limit, GError **error);
/* Both at once. */
GBytes *pack_snapshot_compressed(const struct snapshot *snapshot);
/* `names`: containers' names that were learnt late, the first → the last; NULL: none. Frames of
 * stacks keep what was written. */
struct snapshot *pack_read_compressed(const guint8 *bytes, gsize length, GHashTable *names, GError **error);

/* Adds the shapes of the adjoining `from` to those of `into` with the same probe and kind; others are taken over. `from`
 * keeps nothing that is of use. Gauges add up as gauges_merge has it. */
void pack_merge(struct snapshot *into, struct snapshot *from);
/* All of `frames` (of struct snapshot *, in order; they keep nothing of use) as one, and in `parts` the gauges of `windows`
 * parts of the time, one after the other. Both owned by the caller. */
struct snapshot *pack_merge_all(GPtrArray *frames, guint windows, GPtrArray **parts);
