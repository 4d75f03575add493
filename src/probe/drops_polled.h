/* SPDX-License-Identifier: Apache-2.0 */
/* Dropped packets without any program in the kernel: what the network namespaces' own counters have grown by
 * (/proc/PID/net/snmp and netstat), by reason. */
#pragma once
#include <glib.h>

struct drops_polled;

/* `protocol` is IPPROTO_…, 0 when the counter holds all; a name of enum skb_drop_reason where there is one for it. */
typedef void (*drops_polled_fn)(void *user, guint32 netns, const char *reason, guint8 protocol, gboolean inwards,
				guint64 packets);

/* Reads all counters: what they hold now was before the start. Never NULL. */
struct drops_polled *drops_polled_new(void);
void drops_polled_free(struct drops_polled *polled);
/* What they have grown by since the last time. A namespace that is gone takes what it counted last with it. */
void drops_polled_read(struct drops_polled *polled, drops_polled_fn tell, void *user);
