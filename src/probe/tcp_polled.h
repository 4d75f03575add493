/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections without any program in the kernel: the list of every network namespace (sock_diag, or where we may not
 * enter it /proc/PID/net/tcp), with the owners' cgroups, or /proc/PID/fd where those do not say, read again and again. What begins and ends between two looks is not seen. */
#pragma once
#include <glib.h>

#include "probe/probe.h"

#define TCP_POLLED_NS (3 * NS_PER_S)

struct tcp_polled;

/* What can be known this way, in a connection's life. */
struct tcp_polled_edge {
	struct probe_end client, server;
	const char *port; /* the server's */
	guint64 existing, opens, accepts, closes; /* new ones */
	guint64 overflows; /* packets a full accept queue has dropped: SYNs and ends of handshakes; with it all else is 0 */
	gboolean is_client; /* the end that was looked at */
	const char *remote; /* its peer's address */
	guint32 netns; /* inode of the network namespace that end is in */
	/* Since it was told last, as that end sees it; of one that was open at the start, since then. 0: not known. */
	guint64 sent_bytes, received_bytes, sent_segments, received_segments;
	guint64 rtt_us; /* smoothed, at this look; 0: not known */
	guint64 all_sent_bytes, all_received_bytes; /* in its life, up to the last look */
};
typedef void (*tcp_polled_fn)(void *user, const struct tcp_polled_edge *edge);

/* Looks for the first time: what is open exists. NULL and `error` when /proc cannot be read. */
struct tcp_polled *tcp_polled_open(const struct probe_listener *listener, GError **error);
void tcp_polled_close(struct tcp_polled *polled);
/* The cgroup key (0: not known) and the network namespace of every process there is now, but for those that may not be asked. */
void tcp_polled_each_process(struct tcp_polled *polled, void (*each)(void *user, guint64 cgroup_key, guint32 netns),
			     void *user);
/* Looks again when it is time (or `now`), and tells what is new. */
void tcp_polled_collect(struct tcp_polled *polled, gboolean now, tcp_polled_fn tell, void *user);
