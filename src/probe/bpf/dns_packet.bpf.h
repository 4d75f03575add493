/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* DNS in packets as sockets send and receive them (programs of type cgroup_skb): what is a question on its way to a resolver, what an
 * answer. Only lengths and the fixed header are interpreted here. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dns.h"

#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IP_OFFSET 0x1fff
#define DNS_PORT 53
#define DOCKER_RESOLVER 0x7f00000b /* 127.0.0.11 */
#define PASS 1

/* ---- packets ---- */

/* include/uapi/linux/ip.h and ipv6.h, udp.h, tcp.h: as they lie in a packet. */
struct packet_ipv4 {
	u8 version_words, tos;
	__be16 total, id, fragment;
	u8 ttl, protocol;
	__be16 sum;
	__be32 source, target;
};

struct packet_ipv6 {
	u8 version[4];
	__be16 payload;
	u8 next, hops;
	u8 source[16], target[16];
};

struct packet_ports {
	__be16 source, target;
};

struct packet {
	u32 transport; /* offset of the ports */
	u16 source_port, target_port;
	u8 protocol;
	u8 docker; /* Docker's resolver is one of its ends */
	u8 family;
};

/* FALSE: neither UDP nor TCP, or not the first fragment. */
static __always_inline bool packet_read(struct __sk_buff *skb, struct packet *packet)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct packet_ports *ports;

	packet->docker = 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct packet_ipv4 *ip = data;

		if ((void *)(ip + 1) > end || (ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_TCP) ||
		    (ip->fragment & bpf_htons(IP_OFFSET)))
			return false;
		packet->family = AF_INET;
		packet->protocol = ip->protocol;
		packet->transport = (ip->version_words & 15) * 4;
		packet->docker = ip->target == bpf_htonl(DOCKER_RESOLVER);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct packet_ipv6 *ip = data;

		if ((void *)(ip + 1) > end || (ip->next != IPPROTO_UDP && ip->next != IPPROTO_TCP))
			return false;
		packet->family = AF_INET6;
		packet->protocol = ip->next;
		packet->transport = sizeof(*ip);
	} else {
		return false;
	}
	ports = data + packet->transport;
	if ((void *)(ports + 1) > end)
		return false;
	packet->source_port = bpf_ntohs(ports->source);
	packet->target_port = bpf_ntohs(ports->target);
	return true;
}

/* The address of the packet's sender or receiver. */
static __always_inline bool packet_address(struct __sk_buff *skb, const struct packet *packet, bool source,
					   struct dns_address *address)
{
	u32 offset;

	__builtin_memset(address, 0, sizeof(*address));
	address->family = packet->family;
	if (packet->family == AF_INET) {
		offset = source ? __builtin_offsetof(struct packet_ipv4, source)
				: __builtin_offsetof(struct packet_ipv4, target);
		return bpf_skb_load_bytes(skb, offset, address->bytes, 4) == 0;
	}
	offset = source ? __builtin_offsetof(struct packet_ipv6, source)
			: __builtin_offsetof(struct packet_ipv6, target);
	return bpf_skb_load_bytes(skb, offset, address->bytes, DNS_ADDRESS) == 0;
}

#define UDP_HEADER 8
#define TCP_WORDS 12 /* offset of the header's length in TCP, in the upper half of the byte */

/* Where the payload begins; 0: there is none. */
static __always_inline u32 packet_payload(struct __sk_buff *skb, const struct packet *packet)
{
	u32 at = packet->transport + UDP_HEADER;
	u8 words;

	if (packet->protocol == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, packet->transport + TCP_WORDS, &words, 1) != 0)
			return 0;
		at = packet->transport + (words >> 4) * 4;
	}
	return at < skb->len ? at : 0;
}

/* ---- messages ---- */

struct message {
	u8 bytes[DNS_HEADER];
};

#define MESSAGE_ID(message) ((u16)((message)->bytes[0] << 8 | (message)->bytes[1]))
#define MESSAGE_IS_ANSWER(message) ((message)->bytes[2] & 0x80)
#define MESSAGE_IS_TRUNCATED(message) ((message)->bytes[2] & 0x02)
#define MESSAGE_RCODE(message) ((message)->bytes[3] & 0x0f)
#define MESSAGE_QUESTIONS(message) ((message)->bytes[4] << 8 | (message)->bytes[5])
#define MESSAGE_ANSWERS(message) ((message)->bytes[6] << 8 | (message)->bytes[7])
