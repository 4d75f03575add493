/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYNs as they lie in a packet, and those that came to closed ports: their clients fail at once, and ask here where that was. A SYN is
 * known by its client's initial sequence number, which survives address translation. */
#pragma once
#include "sock_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define REFUSALS 1024 /* that are remembered */

#define SYN_ADDRESS 16
#define SYN_PORT_OFFSET 2 /* in a segment's header, in bytes */
#define SYN_SEQ_OFFSET 4
#define SYN_FLAGS_OFFSET 13
#define SYN_BYTES 14
#define SYN_FLAGS 0x17 /* FIN, SYN, RST, ACK */
#define SYN_ALONE 0x02
#define IP_BYTES 40
#define IP_ADDRESS_OFFSET 12
#define IP_PROTOCOL_OFFSET 9
#define IPV6_ADDRESS_OFFSET 8
#define IPV6_PROTOCOL_OFFSET 6

struct syn {
	u32 isn;
	u16 port; /* where it wants to go to */
	u8 family;
	u8 pad;
	u8 address[SYN_ADDRESS]; /* who sent it; IPv4 in the first four bytes */
};

/* FALSE: it is none. */
static __always_inline bool syn_read(struct sk_buff *skb, struct syn *syn)
{
	unsigned char *head = skb->head, segment[16], packet[IP_BYTES];

	if (bpf_probe_read_kernel(segment, SYN_BYTES, head + skb->transport_header) != 0 ||
	    (segment[SYN_FLAGS_OFFSET] & SYN_FLAGS) != SYN_ALONE ||
	    bpf_probe_read_kernel(packet, sizeof(packet), head + skb->network_header) != 0)
		return false;
	if (packet[0] >> 4 == 4 && packet[IP_PROTOCOL_OFFSET] == IPPROTO_TCP) {
		syn->family = AF_INET;
		__builtin_memcpy(syn->address, packet + IP_ADDRESS_OFFSET, 4);
	} else if (packet[0] >> 4 == 6 && packet[IPV6_PROTOCOL_OFFSET] == IPPROTO_TCP) {
		syn->family = AF_INET6;
		__builtin_memcpy(syn->address, packet + IPV6_ADDRESS_OFFSET, 16);
	} else {
		return false;
	}
	syn->port = (u16)segment[SYN_PORT_OFFSET] << 8 | segment[SYN_PORT_OFFSET + 1];
	syn->isn = (u32)segment[SYN_SEQ_OFFSET] << 24 | (u32)segment[SYN_SEQ_OFFSET + 1] << 16 |
		   (u32)segment[SYN_SEQ_OFFSET + 2] << 8 | segment[SYN_SEQ_OFFSET + 3];
	return true;
}

/* The network namespace a packet has come to; 0: not known. */
static __always_inline u32 packet_netns(struct sk_buff *skb)
{
	struct dst_entry *route = (struct dst_entry *)(skb->_skb_refdst & ~1UL);

	return route ? BPF_CORE_READ(route, dev, nd_net.net, ns.inum) : 0;
}

struct refusal {
	u32 netns; /* inode number */
	u16 port, pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, REFUSALS);
	__type(key, u32);
	__type(value, struct refusal);
} refusals SEC(".maps");

/* A reset answers the packet. Kernels before 6.10 do not tell of those that came to a closed port. */
static __always_inline void refusal_note(struct sk_buff *skb)
{
	struct refusal refusal = {};
	struct syn syn = {};

	if (!skb || !syn_read(skb, &syn))
		return;
	refusal.port = syn.port;
	refusal.netns = packet_netns(skb);
	if (refusal.netns)
		bpf_map_update_elem(&refusals, &syn.isn, &refusal, BPF_ANY);
}

/* Where a client was refused. FALSE: elsewhere, or by a rule. */
static __always_inline bool refusal_take(struct tcp_sock *tcp, struct refusal *refusal)
{
	u32 isn = tcp->snd_una;
	struct refusal *known = bpf_map_lookup_elem(&refusals, &isn);

	if (!known)
		return false;
	*refusal = *known;
	bpf_map_delete_elem(&refusals, &isn);
	return true;
}
