/* SPDX-License-Identifier: Apache-2.0 */
/* The perf side-band: one dummy software event per CPU tells every executable mapping, fork, exec and exit of the
 * machine, with build-ids from the kernel, so that even processes of a few milliseconds can be symbolized. */
#pragma once
#include <glib.h>

#include "probe/sideband_record.h"

struct sideband;

/* Opened and running; NULL and `error` when perf events are refused. */
struct sideband *sideband_open(GError **error);
/* From now on only what these processes do is told: on a busy machine most is others'. */
void sideband_only(struct sideband *sideband, const guint32 *tgids, gsize count);
void sideband_close(struct sideband *sideband);

guint sideband_cpus(const struct sideband *sideband);
int sideband_fd(const struct sideband *sideband, guint cpu); /* readable when a quarter of a ring is full */

/* Takes what waits in the rings. */
void sideband_collect(struct sideband *sideband);
/* Calls `each` in the order of time for collected records older than `before_ns`, and forgets them. */
void sideband_dispatch(struct sideband *sideband, guint64 before_ns,
		       void (*each)(void *user, const struct sideband_record *record), void *user);
/* Records the kernel could not write, or that were malformed. */
guint64 sideband_lost(const struct sideband *sideband);
