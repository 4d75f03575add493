/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections one by one: what both halves agree on. */
#pragma once
#include "bpf/event.h"

#define TCPEVENTS_PAIRS 65536 /* connections whose two ends know of each other */
#define TCPEVENTS_LISTENERS 16384
#define TCPEVENTS_ADDRESS 16

enum tcpevents_kind {
	TCPEVENTS_CONNECT = 0,
	TCPEVENTS_ACCEPT = 1,
	TCPEVENTS_CLOSE = 2,
	TCPEVENTS_RESET = 3, /* ends by a reset */
	TCPEVENTS_FAIL = 4,
	TCPEVENTS_RETRANSMIT = 5,
	TCPEVENTS_KINDS = 6,
};

enum tcpevents_again {
	TCPEVENTS_SYN = 0,
	TCPEVENTS_RTO = 1,
	TCPEVENTS_FAST = 2,
	TCPEVENTS_PROBE = 3,
};

/* Bytes are those of payload; times 0: not known. */
struct tcpevents_record {
	struct event_head head; /* of who owns the socket: who connected, or who listens */
	__u64 pair; /* both initial sequence numbers; 0: not known */
	__u64 peer; /* cgroup key of the other end; 0: not here, or not known yet */
	__u64 sent, received, duration_us;
	__u32 rtt_us;
	__u32 error; /* errno; of a retransmission: enum tcpevents_again */
	__u16 port; /* the server's */
	__u8 family, client;
	__u8 known; /* the beginning was seen */
	__u8 pad[3];
	__u32 refuser; /* inode number of the network namespace that refused it; 0: not here, or not refused */
	__u32 pad_end;
	__u8 address[TCPEVENTS_ADDRESS]; /* of the other end */
};

/* Who opened a socket. */
struct tcpevents_who {
	struct stack_task task;
	__u32 inner_pid, pad;
};

struct tcpevents_listener_key {
	__u32 netns;
	__u16 port, pad;
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_tcp;
#endif
