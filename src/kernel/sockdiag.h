/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of a network namespace as the kernel lists them (sock_diag(7), NETLINK_SOCK_DIAG): with the cgroup that owns
 * each (Linux 5.9), so that nobody needs to look through the descriptors of processes. */
#pragma once
#include <glib.h>

#include "kernel/netns.h"

/* include/net/tcp_states.h */
enum sockdiag_state {
	SOCKDIAG_ESTABLISHED = 1,
	SOCKDIAG_CLOSE_WAIT = 8,
	SOCKDIAG_LISTEN = 10,
};
#define SOCKDIAG_STATE(state) (1u << (state))

struct sockdiag_end {
	guint8 bytes[16]; /* IPv4 (mapped ones, too) in the first four */
	guint16 family; /* AF_INET or AF_INET6 */
	guint16 port; /* host order */
};

struct sockdiag_socket {
	struct sockdiag_end local, remote;
	guint8 state; /* enum sockdiag_state */
	guint32 uid;
	guint64 inode;
	guint64 cgroup; /* kernfs id in the unified hierarchy; 0: the kernel does not say */
	/* Listening TCP: connections that wait to be accepted, and how many may. Else bytes in its queues. */
	guint32 receive_queue, send_queue;
	guint64 drops; /* of TCP: connections refused to a full queue; of UDP: datagrams; wraps at 2^32 */
	/* TCP that is not listening, when asked for */
	gboolean has_tcp;
	guint64 sent_bytes, received_bytes; /* acknowledged; payload */
	guint32 retransmits, rtt_us, sent_segments, received_segments;
};

typedef void (*sockdiag_fn)(void *user, const struct sockdiag_socket *socket);

/* Does the kernel list sockets of `protocol` at all (it may lack the module)? FALSE and `error`. */
gboolean sockdiag_works(guint8 protocol, GError **error);
/* Every socket of `protocol` (IPPROTO_TCP, IPPROTO_UDP) in the states (bits SOCKDIAG_STATE), IPv4 and IPv6; `tcp`: also
 * what TCP knows of each. FALSE and `error` when the kernel or our rights do not allow it. */
gboolean sockdiag_each(const struct netns *netns, guint8 protocol, guint32 states, gboolean tcp, sockdiag_fn each,
		       void *user, GError **error);
