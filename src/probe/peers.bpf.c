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
#include "bpf/owners.bpf.h"
#include "peers.h"

const volatile __u32 peers_rows_owner = PEERS_ROWS_OWNER;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PEERS_ROWS);
	__type(key, struct peers_key);
	__type(value, struct peers_count);
} peers_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PEERS_FLOWS);
	__type(key, struct peers_flow_key);
	__type(value, struct peers_flow);
} peers_flows SEC(".maps");

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

__u64 peers_settled_ns = 0; /* CLOCK_MONOTONIC: since when who sends first is told */
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

static __always_inline struct peers_count *count_find(struct peers_key *key)
{
	struct peers_count *count = bpf_map_lookup_elem(&peers_rows, key), none = {};

	if (count)
		return count;
	if (owner_may_add(key->owner, peers_rows_owner)) {
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

/* A packet as the end sees it that has it in hand: `own` and `other` are places in a flow, 0 low and 1 high. */
struct view {
	struct peers_flow_key flow;
	u32 own, other;
	bool sent;
};

/* Fills in the flow's ends and which of them is the owner's. */
static __always_inline void view_ends(struct view *view, const u8 *source, const u8 *target, u32 size, u16 source_port,
				      u16 target_port)
{
	struct peers_flow_key *flow = &view->flow;
	u32 from = source_port > target_port;

	if (source_port == target_port) {
		u64 a[2] = {}, b[2] = {};

		__builtin_memcpy(a, source, size);
		__builtin_memcpy(b, target, size);
		from = a[0] != b[0] ? a[0] > b[0] : a[1] > b[1];
	}
	__builtin_memcpy(flow->low, from ? target : source, size);
	__builtin_memcpy(flow->high, from ? source : target, size);
	flow->low_port = from ? target_port : source_port;
	flow->high_port = from ? source_port : target_port;
	view->own = view->sent ? from : !from;
	view->other = !view->own;
}

static __always_inline u8 bound_of(struct bpf_sock *sk)
{
	struct sock *kernels = NULL;

	/* Of a socket the verifier knows no field of the kernel's may be reached: its address is read from the stack. */
	bpf_probe_read_kernel(&kernels, sizeof(kernels), &sk);
	return BPF_CORE_READ_BITFIELD_PROBED(kernels, sk_userlocks) & SOCK_BINDPORT_LOCK ? PEERS_BOUND_ASKED
											 : PEERS_BOUND_CHOSEN;
}

static __always_inline bool row_known(struct peers_key *key, u16 port, u8 server)
{
	key->port = port;
	key->server = server;
	return bpf_map_lookup_elem(&peers_rows, key);
}

/* A flow that is new, or was forgotten for others: what its owner has been to that address before it still is. */
static __always_inline u8 flow_first(const struct view *view, struct peers_key *key)
{
	u32 own = view->own + 1, other = view->other + 1;
	u16 low = view->flow.low_port, high = view->flow.high_port;

	if (row_known(key, view->own ? high : low, 1))
		return other;
	if (row_known(key, view->own ? low : high, 0))
		return own;
	if (bpf_ktime_get_ns() < peers_settled_ns)
		return 0;
	return view->sent ? own : other;
}

/* Which end is the server: 0 low, 1 high. */
static __always_inline u32 flow_server(const struct peers_flow *flow)
{
	u8 low = flow->bound[0], high = flow->bound[1];

	if (low != high && (low == PEERS_BOUND_CHOSEN || high == PEERS_BOUND_CHOSEN))
		return low == PEERS_BOUND_CHOSEN;
	return flow->first == 1;
}

/* Whose port is the service's, into the key. */
static __always_inline void key_server(struct peers_key *key, const struct view *view, struct bpf_sock *sk)
{
	struct peers_flow *flow = bpf_map_lookup_elem(&peers_flows, &view->flow), new = {};
	u32 server;

	if (!flow) {
		new.first = flow_first(view, key);
		flow = &new;
	}
	if (!flow->bound[view->own & 1])
		flow->bound[view->own & 1] = bound_of(sk);
	if (flow == &new)
		bpf_map_update_elem(&peers_flows, &view->flow, &new, BPF_NOEXIST);
	server = flow_server(flow);
	key->server = server == view->own;
	key->port = server ? view->flow.high_port : view->flow.low_port;
}

static __always_inline void datagram(struct __sk_buff *skb, bool sent)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct view view = { .sent = sent };
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
		ports = data + transport;
		if ((void *)(ports + 1) > end)
			return;
		view_ends(&view, ip->source, ip->target, sizeof(ip->source), bpf_ntohs(ports->source),
			  bpf_ntohs(ports->target));
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6 *ip = data;

		transport = sizeof(*ip);
		ports = data + transport;
		if ((void *)(ports + 1) > end || ip->next != IPPROTO_UDP)
			return;
		key.family = AF_INET6;
		__builtin_memcpy(key.address, sent ? ip->target : ip->source, sizeof(key.address));
		view_ends(&view, ip->source, ip->target, sizeof(ip->source), bpf_ntohs(ports->source),
			  bpf_ntohs(ports->target));
	} else {
		return;
	}
	view.flow.family = key.family;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk)
		return;
	key.owner = bpf_sk_cgroup_id(sk);
	key_server(&key, &view, sk);
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
