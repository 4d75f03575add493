/* SPDX-License-Identifier: Apache-2.0 */
/* Who talks to whom without TCP: datagrams (UDP) by what sockets send and receive, and connected unix sockets by walks
 * over all of them: what both halves agree on. */
#pragma once
#include "bpf/shared.h"

#define PEERS_ROWS 8192 /* of datagrams, for the whole machine */
#define PEERS_ROWS_OWNER 1024 /* of these for one cgroup; what more there are goes to its "other addresses" */
#define PEERS_OWNERS 4096
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

/* One socket owner's view: it, the other end's address, and the service's port, which is the smaller of both. */
struct peers_key {
	__u64 owner; /* cgroup key */
	__u8 address[PEERS_ADDRESS]; /* the other end's; IPv4 in the first four bytes */
	__u16 port;
	__u8 family;
	__u8 server; /* 1: the port is the owner's */
	__u8 other; /* 1: addresses (and ports of others) are no longer told apart */
	__u8 pad[3];
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
