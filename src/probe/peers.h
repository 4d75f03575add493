/* SPDX-License-Identifier: Apache-2.0 */
/* Who talks to whom without TCP: datagrams (UDP) by what sockets send and receive, and connected unix sockets by walks
 * over all of them: what both halves agree on. */
#pragma once
#include "bpf/shared.h"

#define PEERS_ROWS 8192 /* of datagrams, for the whole machine */
#define PEERS_ROWS_OWNER 1024 /* of these for one cgroup; what more there are goes to its "other addresses" */
#define PEERS_ROWS_SMALLEST 64
#define PEERS_ROWS_OWNER_SMALLEST 32
#define PEERS_FLOWS 8192 /* pairs of sockets, the latest */
#define PEERS_SETTLE_NS 1000000000ULL /* who is seen to send first so soon after the start may be answering */
#define PEERS_UNIX 4096
#define PEERS_LISTENERS 16384
#define PEERS_ADDRESS 16
#define PEERS_PATH 108

/* A server must be known before its clients. */
enum peers_pass {
	PEERS_PASS_LISTENERS = 0,
	PEERS_PASS_CLIENTS = 1,
	PEERS_PASSES = 2,
};

/* One socket owner's view: it, the other end's address, and the service's port (see struct peers_flow). */
struct peers_key {
	__u64 owner; /* cgroup key */
	__u8 address[PEERS_ADDRESS]; /* the other end's; IPv4 in the first four bytes */
	__u16 port;
	__u8 family;
	__u8 server; /* 1: the port is the owner's */
	__u8 other; /* 1: addresses (and ports of others) are no longer told apart */
	__u8 pad[3];
};

/* Two ends that exchange datagrams; both see the same packets, and make the same key. */
struct peers_flow_key {
	__u8 low[PEERS_ADDRESS], high[PEERS_ADDRESS]; /* who has the lower port, or of equal ports the lower address */
	__u16 low_port, high_port;
	__u32 family;
};

/* What tells its server: one end alone is bound to a port it has asked for; else the other end sent first; else its port
 * is the lower one. */
struct peers_flow {
	__u8 bound[2]; /* enum peers_bound of the ends: low, high */
	__u8 first; /* who sent first: 1 low, 2 high, 0 not known */
	__u8 pad;
};

enum peers_bound {
	PEERS_BOUND_UNKNOWN = 0, /* the socket is elsewhere, or has not been seen yet */
	PEERS_BOUND_CHOSEN, /* its port is one the kernel chose */
	PEERS_BOUND_ASKED,
};

struct peers_count {
	__u64 sent_packets, sent_bytes, received_packets, received_bytes; /* bytes: payload */
};

/* A unix socket without a name that is connected to one with. */
struct peers_unix_key {
	__u64 client, server; /* cgroup keys */
	__u8 path[PEERS_PATH]; /* as bound; begins with NUL: abstract. Raw, filled up with NUL */
	__u16 length; /* of the path */
	__u16 pad;
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_peers;
#endif
