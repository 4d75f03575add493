/* SPDX-License-Identifier: Apache-2.0 */
/* Packets the network stack throws away (kfree_skb), counted by whose they are and why: what both halves agree on. */
#pragma once
#include "bpf/shared.h"

#define DROPS_ROWS 16384 /* different drops kept */
#define DROPS_PORTS_OWNER 64 /* ports told apart for one owner; what more there are is port 0 */
#define DROPS_ROWS_SMALLEST 64
#define DROPS_PORTS_OWNER_SMALLEST 32
#define DROPS_ADDRESSES 16384 /* of containers, known to the kernel half */
#define DROPS_ADDRESS 16

enum drops_direction {
	DROPS_IN = 0, /* it came from an interface, loopback included */
	DROPS_OUT = 1, /* it was on its way out */
};

/* An IPv4 address is in the first four bytes. */
struct drops_address {
	__u8 bytes[DROPS_ADDRESS];
};

struct drops_key {
	__u64 owner; /* cgroup key; 0: known by its network namespace only */
	__u64 location; /* the instruction behind the call that dropped it */
	__u32 netns; /* inode number; 0: not known */
	__u32 reason; /* enum skb_drop_reason of the running kernel */
	__u16 port; /* the smaller of both: mostly the service's; 0: none, or too many */
	__u8 protocol; /* IPPROTO_…; 0: neither IPv4 nor IPv6 */
	__u8 direction; /* enum drops_direction */
	__u32 pad;
};

/* Whose rows are counted together. */
#define DROPS_OWNER(key) ((key)->owner ?: (__u64)(key)->netns << 32)

struct drops_count {
	__u64 packets; /* a large one that would have been cut counts as its parts */
	__u64 bytes;
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_drops;
#endif
