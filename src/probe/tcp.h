/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections, summed up by edge: what both halves agree on.
 *
 * An edge joins a client and a server. Where both ends are on this machine they are found to belong together by the
 * connection's two initial sequence numbers: those survive address translation, proxies of addresses (IPVS, service
 * addresses, published ports) and network namespaces. Where two live connections have the same pair (tcp.bpf.c), their sockets and
 * their clients' namespaces tell them apart. The ends are named by the cgroup that owns the socket, never by who happens to run. */
#pragma once
#include "bpf/histogram.h"
#include "bpf/pace.h"
#include "bpf/shared.h"

#define TCP_EDGES 8192 /* kept at a time, for the whole machine */
#define TCP_EDGES_OWNER 1024 /* of these with addresses outside, for one cgroup; the rest goes to its "other" */
#define TCP_SOCKETS 131072 /* live connections */
#define TCP_NEAR_BITS 9 /* of the number of buckets, eight a bucket, of the table tried first: 480 KiB */
#define TCP_BUCKET_BITS 14 /* of the table tried next, which has room for all */
#define TCP_SPILLED (TCP_SOCKETS / 4) /* of those so many may find their bucket full */
#define TCP_BUCKET_BITS_FRUGAL 11
#define TCP_SPILLED_FRUGAL 4096 /* and edges, where little memory may be held */
#define TCP_EDGES_FRUGAL 2048
#define TCP_BITS_SMALLEST 5 /* of both tables, and so many more: for tests of what happens when all is full */
#define TCP_SPILLED_SMALLEST 256 /* others on the machine need some */
#define TCP_EDGES_SMALLEST 64
#define TCP_LISTENERS 16384
#define TCP_TURNED 4096 /* clients of full accept queues that are remembered */
#define TCP_ALARM_BYTES 4096
#define TCP_NAMES 8192
#define TCP_ADDRESS 16
#define TCP_COMM 16
#define TCP_PATIENCE_US 20000 /* so long a client may wait for its server before it counts as one to outside, */
#define TCP_PATIENCE_SILENT_US 400000 /* and when nobody has answered anything */
#define TCP_SWEEP_READS 3
#define TCP_CONNECT_MS_MAX (30 * 60 * 1000)

enum tcp_failure {
	TCP_FAILURE_REFUSED = 0,
	TCP_FAILURE_TIMEOUT = 1,
	TCP_FAILURE_UNREACHABLE = 2,
	TCP_FAILURE_RESET = 3, /* while connecting, or accepted and reset before it was taken */
	TCP_FAILURE_ABANDONED = 4, /* the caller closed it before there was an answer */
	TCP_FAILURE_OTHER = 5,
	TCP_FAILURE_LOCAL = 6, /* nothing was sent: no port of its own was free (EADDRNOTAVAIL), or no memory */
	TCP_FAILURE_OVERFLOW =
		7, /* its SYN, or the end of its handshake, was dropped by a full accept queue: once each */
	TCP_FAILURES = 8,
};

enum tcp_retransmit {
	TCP_RETRANSMIT_SYN = 0,
	TCP_RETRANSMIT_RTO = 1,
	TCP_RETRANSMIT_FAST = 2,
	TCP_RETRANSMIT_PROBE = 3, /* tail loss probe */
	TCP_RETRANSMIT_UNSEEN = 4, /* found later in the socket's own count: what it was sent for is not known */
	TCP_RETRANSMITS = 5,
};

/* Passes of walks over all open sockets, which find what nobody told of. */
enum tcp_pass {
	TCP_PASS_LISTENERS = 0,
	TCP_PASS_CLIENTS = 1,
	TCP_PASS_SERVERS = 2,
	TCP_PASSES = 3,
};

/* What a visit to all connections that are known is for. */
enum tcp_visit {
	TCP_VISIT_ACCOUNT = 0, /* what they have done */
	TCP_VISIT_SWEEP = 1, /* which of them are no more */
};

enum tcp_time {
	TCP_TIME_CONNECT = 0, /* SYN sent → established, retransmissions included */
	TCP_TIME_RTT = 1, /* smoothed, as the connection ends or a collection passes by */
	TCP_TIME_SESSION = 2, /* established → closed */
	TCP_TIME_FIRST_BYTE = 3, /* established → first byte from the server */
	/* As the client has it: sent → first byte of what comes back. As the server of somebody outside has it: first byte
	 * has come → answer sent. */
	TCP_TIME_REQUEST = 4,
	TCP_TIMES = 5,
};

/* In place of a server's cgroup key, with the inode number of a network namespace: there nobody listened. */
#define TCP_OWNER_NETNS (1ULL << 62)

/* One of an owner is 0 when that end is not on this machine (or not known yet): then `address` is that end's. Both 0
 * only in the edge that holds what found no other. */
struct tcp_edge_key {
	__u64 client, server; /* cgroup keys; the server's may be TCP_OWNER_NETNS */
	__u32 client_name, server_name; /* of processes (tcp_names); 0: not told apart */
	__u32 netns; /* inode number of the known end's network namespace; 0 when both are known */
	__u16 port; /* the server's */
	__u8 family; /* AF_INET (mapped ones, too), AF_INET6 */
	__u8 other; /* 1: addresses (and on the client's side ports) are no longer told apart: too many */
	__u8 address[TCP_ADDRESS]; /* IPv4 in the first four bytes */
};

/* Of two owners, each of whom may have it: one has a quarter of all such edges at most, counted apart from those with addresses. */
#define TCP_IS_BETWEEN(key) ((key)->client && (key)->server && !((key)->server & TCP_OWNER_NETNS))
#define TCP_OWNER_BETWEEN (1ULL << 61)
#define TCP_EDGE_OWNER(key)                                                                                            \
	(((key)->client ? (key)->client : (key)->server) ^ (TCP_IS_BETWEEN(key) ? TCP_OWNER_BETWEEN : 0))

/* What one end says. Payload bytes, each counted once however often it was sent. */
struct tcp_side {
	__u64 closes, sent_bytes, received_bytes, sent_segments, received_segments;
	__u64 spurious; /* retransmissions the other end had already had (DSACK) */
	__u64 window_limited; /* ticks its sender could have sent, but for the other end's window */
	__u64 retransmits[TCP_RETRANSMITS];
};

struct tcp_times {
	__u64 sum_ns;
	__u32 buckets[HISTOGRAM_CELLS];
};

/* All numbers only grow, but for `opens` and the connect times: a connection whose server is found a moment later
 * moves to the edge that names both. */
struct tcp_edge {
	/* accepts: of clients outside; in an edge with both ends what is opened is accepted but for these: a full accept queue
	 * dropped the end of their handshake, which only the client took for done. */
	__u64 opens, accepts, existing, resets; /* existing: found open at the start */
	__u64 single; /* connections that ended after fewer than two requests */
	__u64 failures[TCP_FAILURES];
	struct tcp_side client, server;
	struct tcp_times times[TCP_TIMES];
};

/* A listening socket, by network namespace and port. */
struct tcp_listener_key {
	__u32 netns;
	__u16 port;
	__u16 pad;
};

struct tcp_listener {
	__u64 owner;
	__u64 socket; /* where it lies; where several share the port, that which was met last */
	__u32 name, pad;
};

/* A connection that a full accept queue has turned away, by its client's initial sequence number: that survives address
 * translation. Its client, where it is here, finds itself when it sends again. */
struct tcp_turned {
	__u64 server; /* cgroup key */
	__u64 time_ns; /* CLOCK_MONOTONIC: when it was turned away last */
	__u64 since_ns; /* and first */
	__u32 server_name;
	__u32 netns; /* of the server */
	__u16 port; /* the server's */
	__u8 family, pad;
	__u32 told; /* 1: counted */
	__u8 address[TCP_ADDRESS]; /* the client's, as the server sees it */
};

struct tcp_name {
	char comm[TCP_COMM];
};

/* Connected clients that count in no edge yet: their servers have not been seen. The sum over all CPUs; by CPU because
 * everybody counts here. */
#define TCP_WAITING_CPUS 256 /* a power of two; more share */

struct tcp_waiting {
	__s64 clients;
	__s64 pad[7];
};

/* Segments are looked at for part of the time only, where who watches for ever would take more of the machine's CPU time. */
#define TCP_SEGMENTS_SHARE 0.001
#define TCP_DEAF (~0ULL) /* tcp_heard_us: they are not looked at now */

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_connections;

/* The columns of edges, for probes of other kinds of connections (peers.h) whose edges stand beside these. */
#define TCP_COUNTERS EDGES_COUNTERS_MAX /* room for */
extern const struct edges_column tcp_counters[], tcp_times[];
/* Into counters that are 0: bytes and packets as the client's end sees them. */
void tcp_counters_traffic(guint64 *counters, guint64 sent_bytes, guint64 received_bytes, guint64 sent_packets,
			  guint64 received_packets);
void tcp_counters_lives(guint64 *counters, guint64 existing, guint64 opens, guint64 closes);
#endif
