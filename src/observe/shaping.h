/* SPDX-License-Identifier: Apache-2.0 */
/* What queueing disciplines (tc) drop of a container's traffic: at its own interfaces, and at their other ends on the host,
 * where network plugins limit what is sent to it. */
#pragma once
#include <glib.h>

struct shaping;

struct shaped {
	guint64 packets, drops; /* of all of them, since they were made */
	char *worst; /* "tbf on eth0": the one that dropped most; NULL: none did */
};

/* The host's side, read once for all containers; owned by the caller. What cannot be read is taken for nothing there. */
struct shaping *shaping_new(void);
void shaping_free(struct shaping *shaping);
/* Of the network namespace of a process; FALSE when that is the host's own, or cannot be read. `worst` belongs to the
 * caller. */
gboolean shaping_of(const struct shaping *shaping, guint32 pid, struct shaped *shaped);
