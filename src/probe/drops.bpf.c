/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Dropped packets. Whose a packet is: the socket's cgroup where one is known (handed to the tracepoint since 6.11, or the
 * sending one), else the network namespace its device is in; one on its way through the host's, between containers, by the
 * addresses in it. Never who happens to run. */
#define READ_BY_PROBE
#include "bpf/sock_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/births.bpf.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/owners.bpf.h"
#include "drops.h"

const volatile __u32 drops_host_netns = 0;
const volatile __u32 drops_ports_owner = DROPS_PORTS_OWNER;
__u64 drops_ports_left_out = 0; /* drops whose port is not told */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DROPS_ROWS);
	__type(key, struct drops_key);
	__type(value, struct drops_count);
} drops_rows SEC(".maps");

/* Whose address it is: a cgroup key. Those of containers that are gone make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DROPS_ADDRESSES);
	__type(key, struct drops_address);
	__type(value, u64);
} drops_addresses SEC(".maps");

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_UDP 17
#define TCP_TIME_WAIT 6
#define TCP_NEW_SYN_RECV 12
#define UNSET 0xffff /* of an offset in a packet */

struct packet {
	struct drops_address source, target;
	u16 source_port, target_port;
	u8 protocol;
};

struct headers4 {
	u8 version_length, tos;
	u16 length, id, offset;
	u8 ttl, protocol;
	u16 check;
	u32 source, target;
};

struct headers6 {
	u32 flow;
	u16 length;
	u8 next, hops;
	u8 source[DROPS_ADDRESS], target[DROPS_ADDRESS];
};

static __always_inline void packet_ports(struct packet *packet, const unsigned char *at)
{
	u16 ports[2];

	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return;
	if (bpf_probe_read_kernel(ports, sizeof(ports), at) != 0)
		return;
	packet->source_port = bpf_ntohs(ports[0]);
	packet->target_port = bpf_ntohs(ports[1]);
}

static __always_inline void packet_read(struct sk_buff *skb, u16 ethernet, struct packet *packet)
{
	u16 offset = BPF_CORE_READ(skb, network_header);
	const unsigned char *at = BPF_CORE_READ(skb, head) + offset;

	if (offset == UNSET)
		return;
	if (ethernet == bpf_htons(ETH_P_IP)) {
		struct headers4 ip;

		if (bpf_probe_read_kernel(&ip, sizeof(ip), at) != 0 || ip.version_length >> 4 != 4)
			return;
		packet->protocol = ip.protocol;
		__builtin_memcpy(packet->source.bytes, &ip.source, sizeof(ip.source));
		__builtin_memcpy(packet->target.bytes, &ip.target, sizeof(ip.target));
		if (!(ip.offset & bpf_htons(0x1fff))) /* the first fragment, or all of it */
			packet_ports(packet, at + (ip.version_length & 0xf) * 4);
	} else if (ethernet == bpf_htons(ETH_P_IPV6)) {
		struct headers6 ip;

		if (bpf_probe_read_kernel(&ip, sizeof(ip), at) != 0 || *(u8 *)&ip.flow >> 4 != 6)
			return;
		packet->protocol = ip.next;
		__builtin_memcpy(&packet->source, ip.source, sizeof(ip.source));
		__builtin_memcpy(&packet->target, ip.target, sizeof(ip.target));
		packet_ports(packet, at + sizeof(ip));
	}
}

/* The owner of a socket; 0: it has none but the machine. */
static __always_inline u64 socket_owner(struct sock *sk)
{
	u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	u64 owner;

	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV) /* no whole socket */
		return 0;
	owner = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	return owner == CGROUP_ROOT ? 0 : owner;
}

static __always_inline void key_fill(struct drops_key *key, struct sk_buff *skb, struct sock *to,
				     const struct packet *packet)
{
	struct sock *sk = to ?: BPF_CORE_READ(skb, sk);
	u64 *known;

	key->protocol = packet->protocol;
	key->port = packet->source_port < packet->target_port ? packet->source_port : packet->target_port;
	key->direction = BPF_CORE_READ(skb, skb_iif) || to ? DROPS_IN : DROPS_OUT;
	if (sk) {
		key->owner = socket_owner(sk);
		if (key->owner)
			return;
		key->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	} else {
		key->netns = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
	}
	if (key->netns != drops_host_netns)
		return;
	known = bpf_map_lookup_elem(&drops_addresses, &packet->target);
	if (known) {
		key->direction = DROPS_IN;
	} else {
		known = bpf_map_lookup_elem(&drops_addresses, &packet->source);
		if (known)
			key->direction = DROPS_OUT;
	}
	if (known) {
		key->owner = *known;
		key->netns = 0;
	}
}

static __always_inline struct drops_count *count_find(struct drops_key *key)
{
	struct drops_count *count = bpf_map_lookup_elem(&drops_rows, key), none = {};

	if (count)
		return count;
	if (key->port && !owner_may_add(DROPS_OWNER(key), drops_ports_owner)) {
		__sync_fetch_and_add(&drops_ports_left_out, 1);
		key->port = 0;
		count = bpf_map_lookup_elem(&drops_rows, key);
		if (count)
			return count;
	}
	bpf_map_update_elem(&drops_rows, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&drops_rows, key);
}

static __always_inline int drop(struct sk_buff *skb, u64 location, u32 reason, struct sock *to)
{
	struct drops_key key = { .location = location, .reason = reason };
	u16 ethernet = BPF_CORE_READ(skb, protocol), parts = 0;
	struct packet packet = {};
	struct drops_count *count;
	unsigned char *shared;

	if (!ethernet) /* messages of netlink and unix sockets are freed this way, too */
		return 0;
	packet_read(skb, ethernet, &packet);
	key_fill(&key, skb, to, &packet);
	loss_add(LOSS_SEEN, 1, 1);
	count = count_find(&key);
	if (!count) {
		loss_add(LOSS_MAP, 1, 1);
		return 0;
	}
	shared = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);
	parts = BPF_CORE_READ((struct skb_shared_info *)shared, gso_segs);
	__sync_fetch_and_add(&count->packets, parts ?: 1);
	__sync_fetch_and_add(&count->bytes, BPF_CORE_READ(skb, len));
	return 0;
}

SEC("btf_tp/kfree_skb")
int BPF_PROG(drops_with_socket, struct sk_buff *skb, void *location, u32 reason, struct sock *to)
{
	return drop(skb, (u64)location, reason, to);
}

/* Before 6.11 the tracepoint does not say whom a packet was for. */
SEC("btf_tp/kfree_skb")
int BPF_PROG(drops_without_socket, struct sk_buff *skb, void *location, u32 reason)
{
	return drop(skb, (u64)location, reason, NULL);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
