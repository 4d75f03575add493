/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Datagrams as the sockets that send and receive them see them (a packet of another protocol is let go after a look at one
 * byte), and unix sockets as a walk over all files finds them. */
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
#include "peers.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PEERS_ROWS);
	__type(key, struct peers_key);
	__type(value, struct peers_count);
} peers_rows SEC(".maps");

/* How many rows each owner has. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PEERS_OWNERS);
	__type(key, u64);
	__type(value, u32);
} peers_owners SEC(".maps");

/* Emptied before each walk. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PEERS_UNIX);
	__type(key, struct peers_unix_key);
	__type(value, u64);
} peers_unix SEC(".maps");

/* Whose listening socket it is, by its address: sockets it accepts share that, but are made by who connects. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PEERS_LISTENERS);
	__type(key, u64);
	__type(value, u64);
} peers_listeners SEC(".maps");

/* Too large for a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct peers_unix_key);
} peers_scratch SEC(".maps");

__u32 peers_pass = 0; /* of a walk: enum peers_pass */
__u64 peers_unix_lost = 0; /* connections a walk found no room for */

/* ---- datagrams ---- */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_UDP 17
#define IP_OFFSET 0x1fff
#define UDP_HEADER 8

struct ipv4 {
	u8 version_words, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 check;
	u8 source[4], target[4];
};

struct ipv6 {
	u32 flow;
	u16 length;
	u8 next, hops;
	u8 source[PEERS_ADDRESS], target[PEERS_ADDRESS];
};

struct ports {
	u16 source, target;
};

/* May `owner` have one more row of its own? */
static __always_inline bool row_allowed(u64 owner)
{
	u32 one = 1, *count = bpf_map_lookup_elem(&peers_owners, &owner);

	if (!count) {
		bpf_map_update_elem(&peers_owners, &owner, &one, BPF_NOEXIST);
		return true;
	}
	if (*count >= PEERS_ROWS_OWNER)
		return false;
	__sync_fetch_and_add(count, 1);
	return true;
}

static __always_inline struct peers_count *count_find(struct peers_key *key)
{
	struct peers_count *count = bpf_map_lookup_elem(&peers_rows, key), none = {};

	if (count)
		return count;
	if (row_allowed(key->owner)) {
		bpf_map_update_elem(&peers_rows, key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&peers_rows, key);
		if (count)
			return count;
	}
	__builtin_memset(key->address, 0, sizeof(key->address));
	key->other = 1;
	if (!key->server)
		key->port = 0;
	bpf_map_update_elem(&peers_rows, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&peers_rows, key);
}

static __always_inline void key_ports(struct peers_key *key, u16 own, u16 other)
{
	key->server = own < other;
	key->port = key->server ? own : other;
}

static __always_inline void datagram(struct __sk_buff *skb, bool sent)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct bpf_sock *sk = skb->sk;
	struct peers_count *count;
	struct peers_key key = {};
	struct ports *ports;
	u32 transport;
	u64 bytes;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4 *ip = data;

		if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_UDP || ip->fragment & bpf_htons(IP_OFFSET))
			return;
		key.family = AF_INET;
		__builtin_memcpy(key.address, sent ? ip->target : ip->source, 4);
		transport = (ip->version_words & 15) * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6 *ip = data;

		if ((void *)(ip + 1) > end || ip->next != IPPROTO_UDP)
			return;
		key.family = AF_INET6;
		__builtin_memcpy(key.address, sent ? ip->target : ip->source, sizeof(key.address));
		transport = sizeof(*ip);
	} else {
		return;
	}
	ports = data + transport;
	if ((void *)(ports + 1) > end || !sk)
		return;
	if (sent)
		key_ports(&key, bpf_ntohs(ports->source), bpf_ntohs(ports->target));
	else
		key_ports(&key, bpf_ntohs(ports->target), bpf_ntohs(ports->source));
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return;
	key.owner = bpf_sk_cgroup_id(sk);
	loss_add(LOSS_SEEN, 1, 1);
	count = count_find(&key);
	if (!count) {
		loss_add(LOSS_MAP, 1, 1);
		return;
	}
	bytes = skb->len > transport + UDP_HEADER ? skb->len - transport - UDP_HEADER : 0;
	__sync_fetch_and_add(sent ? &count->sent_packets : &count->received_packets, 1);
	__sync_fetch_and_add(sent ? &count->sent_bytes : &count->received_bytes, bytes);
}

SEC("cgroup_skb/egress")
int peers_sent(struct __sk_buff *skb)
{
	datagram(skb, true);
	return 1;
}

SEC("cgroup_skb/ingress")
int peers_received(struct __sk_buff *skb)
{
	datagram(skb, false);
	return 1;
}

/* ---- unix sockets ---- */

#define AF_UNIX 1
#define UNIX_FAMILY_BYTES 2 /* before the path, in the address's length */

static __always_inline u64 owner_of(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

/* Of both ends of a connection the one without a name asked for it. */
SEC("btf_iter/task_file")
int peers_walk(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct unix_address *address;
	struct peers_unix_key *key;
	struct socket *socket;
	u64 one = 1, place, *count, *listener;
	struct sock *sk, *peer;
	u32 zero = 0, length;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->__sk_common.skc_family != AF_UNIX)
		return 0;
	address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	if (peers_pass == PEERS_PASS_LISTENERS) {
		u64 at = (u64)address, owner = owner_of(sk);

		if (owner == CGROUP_ROOT)
			owner = cgroup_key_of(task);
		if (address && sk->__sk_common.skc_state == TCP_LISTEN)
			bpf_map_update_elem(&peers_listeners, &at, &owner, BPF_ANY);
		return 0;
	}
	if (address)
		return 0;
	peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	address = peer ? BPF_CORE_READ((struct unix_sock *)peer, addr) : NULL;
	key = bpf_map_lookup_elem(&peers_scratch, &zero);
	if (!address || !key)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	key->client = owner_of(sk);
	if (key->client == CGROUP_ROOT)
		key->client = cgroup_key_of(task);
	place = (u64)address;
	listener = bpf_map_lookup_elem(&peers_listeners, &place);
	key->server = listener ? *listener : owner_of(peer);
	length = BPF_CORE_READ(address, len);
	length = length > UNIX_FAMILY_BYTES ? length - UNIX_FAMILY_BYTES : 0;
	if (length > PEERS_PATH)
		length = PEERS_PATH;
	bpf_probe_read_kernel(key->path, length,
			      (void *)address + bpf_core_field_offset(struct unix_address, name) + UNIX_FAMILY_BYTES);
	key->length = length;
	count = bpf_map_lookup_elem(&peers_unix, key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else if (bpf_map_update_elem(&peers_unix, key, &one, BPF_NOEXIST) != 0)
		__sync_fetch_and_add(&peers_unix_lost, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
