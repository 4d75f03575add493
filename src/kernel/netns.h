/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces: which there are, a socket inside one without being a process of it, and the addresses they have
 * (netlink(7), rtnetlink(7), setns(2)). A socket keeps its namespace alive: close it as soon as its answer is read. */
#pragma once
#include <glib.h>

#include "kernel/cgroupfs.h"

#define NETNS_MAX 16384
#define NETNS_ADDRESSES_MAX 256 /* of one namespace */

struct netns {
	guint32 inode;
	guint32 pid; /* the smallest of the processes in it: in a pod, mostly the one that keeps it */
};

/* Those that have a process; array of struct netns, owned by the caller. At most NETNS_MAX. */
GArray *netns_list(void);
/* The calling thread's own; 0 when it cannot be read. */
guint32 netns_own(void);
/* A socket (socket(2)) in the namespace, owned by the caller; -1 and `error` when the process is gone, or is in another
 * one by now, or we may not. The calling thread is in its own namespace again when this returns. */
int netns_socket(const struct netns *netns, int domain, int type, int protocol, GError **error);

struct netns_address {
	guint16 family; /* AF_INET or AF_INET6 */
	guint8 bytes[16]; /* IPv4 in the first four */
};
/* Addresses others can reach it by (no loopback, no link-local ones); array of struct netns_address, owned by the
 * caller. NULL and `error`: not known. */
GArray *netns_addresses(const struct netns *netns, GError **error);
