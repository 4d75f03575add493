/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tracked connections of a network namespace (netfilter's conntrack): how full, what it refused, and who
 * fills it. Counters: /proc/PID/net/stat/nf_conntrack, a line a CPU in hexadecimal. Entries: ctnetlink's dump. */
#pragma once
#include <glib.h>

#include "kernel/netns.h"

#define CONNTRACK_UNKNOWN G_MAXUINT64
#define CONNTRACK_DUMP_MAX (1u << 18) /* entries looked at: some 60 ms */

struct conntrack {
	guint64 entries, limit; /* the limit is the machine's, for each namespace */
	guint64 drops; /* packets dropped because no entry could be made, or they did not fit their connection */
	guint64 early_drops; /* entries thrown out to make room */
	guint64 insert_failed; /* entries that clashed with another: their packet was dropped */
};

/* FALSE when nothing is tracked there (no module, or no table). */
gboolean conntrack_read(const char *root, guint32 pid, struct conntrack *conntrack);
/* The text of net/stat/nf_conntrack. */
gboolean conntrack_parse(const char *text, struct conntrack *conntrack);

typedef void (*conntrack_fn)(void *user, const struct netns_address *source);

/* The address each entry's first packet came from; at most CONNTRACK_DUMP_MAX of them. FALSE and `error` when the kernel
 * has no ctnetlink or we may not. */
gboolean conntrack_each(const struct netns *netns, conntrack_fn each, void *user, GError **error);
