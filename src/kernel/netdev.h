/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic of a network namespace: /proc/PID/net/dev of any process in it, without entering it. The open file keeps the
 * namespace alive: close it as soon as its last process has gone. */
#pragma once
#include <glib.h>

struct netdev_traffic {
	guint64 received_bytes, sent_bytes, received_packets, sent_packets;
	guint64 drops; /* both ways */
	guint interfaces; /* counted in; the loopback is not */
};

/* A descriptor for netdev_read, owned by the caller; -1 when the process is gone or may not be looked into. */
int netdev_open(const char *root, guint32 pid);
/* Sums over all interfaces but the loopback. FALSE when it cannot be read. */
gboolean netdev_read(int fd, struct netdev_traffic *traffic);
