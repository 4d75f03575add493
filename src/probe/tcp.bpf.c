/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP connections from their changes of state, counted where they happen. Nothing is sent to user space per
 * connection: an edge is a slot of an array that user space reads when it wants to. */
#define READ_BY_PROBE
#include "bpf/sock_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/births.bpf.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/loss.bpf.h"
#include "tcp.h"

const volatile __u32 tcp_edges_max = TCP_EDGES;
__u32 tcp_edges_used = 1; /* number 0 holds what finds no other */
__u32 tcp_pass = 0; /* of the walk over all files: enum tcp_pass */
__u64 tcp_strangers = 0; /* ends of connections that were neither seen to begin nor found at the start */

/* Of one socket, while it lives. What has been added to its edge so far is kept, so that adding again is harmless. */
struct tcp_socket {
	u64 start_ns; /* SYN sent; 0: not seen */
	u64 established_ns; /* 0: not yet, or before the start */
	u64 pair; /* key in tcp_pairs; 0: none */
	u64 sent_bytes, received_bytes, sent_segments, received_segments, spurious;
	u32 edge;
	u8 client, established;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tcp_socket);
} tcp_sockets SEC(".maps");

/* A connection one of whose ends is known, by its initial sequence numbers. The client makes it; it goes with the
 * client's socket. */
struct tcp_pair {
	u64 client, server; /* owners; 0: that end has not been seen */
	u64 connect_ns; /* 0: not known */
	u32 edge; /* with both ends; 0: not found yet */
	u32 client_edge; /* with the client alone */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TCP_SOCKETS);
	__type(key, u64);
	__type(value, struct tcp_pair);
} tcp_pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TCP_EDGES);
	__type(key, struct tcp_edge_key);
	__type(value, u32);
} tcp_edge_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TCP_EDGES);
	__type(key, u32);
	__type(value, struct tcp_edge);
} tcp_edges SEC(".maps");

/* How many edges with addresses outside each cgroup has. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TCP_OWNERS);
	__type(key, u64);
	__type(value, u32);
} tcp_owners SEC(".maps");

/* Owners of listening sockets: who accepts, where the socket's cgroup does not say (v1), and which end of a connection
 * found at the start is the server. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TCP_LISTENERS);
	__type(key, struct tcp_listener_key);
	__type(value, u64);
} tcp_listeners SEC(".maps");

#define ADD(where, amount) __sync_fetch_and_add(&(where), (amount))

/* ---- edges ---- */

static __always_inline u32 edge_number(const struct tcp_edge_key *key)
{
	u32 *known = bpf_map_lookup_elem(&tcp_edge_numbers, key);

	return known ? *known : 0;
}

static __always_inline u32 edge_new(const struct tcp_edge_key *key)
{
	u32 number = ADD(tcp_edges_used, 1);

	if (number >= tcp_edges_max) {
		ADD(tcp_edges_used, -1);
		return 0;
	}
	if (bpf_map_update_elem(&tcp_edge_numbers, key, &number, BPF_NOEXIST) == 0)
		return number;
	return edge_number(key); /* another CPU was faster; ours stays empty */
}

/* May `owner` have one more edge of its own with an address outside? */
static __always_inline bool edge_allowed(u64 owner)
{
	u32 one = 1, *count = bpf_map_lookup_elem(&tcp_owners, &owner);

	if (!count) {
		bpf_map_update_elem(&tcp_owners, &owner, &one, BPF_NOEXIST);
		return true;
	}
	if (*count >= TCP_EDGES_OWNER)
		return false;
	ADD(*count, 1);
	return true;
}

/* The number of the edge `wanted`, made if there is none. Many addresses of one owner become one "other"; what finds no
 * place at all is counted as lost and goes to number 0. */
__noinline u32 edge_find(struct tcp_edge_key *wanted)
{
	struct tcp_edge_key key; /* Linux 6.1 takes keys from a program's own stack only */
	u32 number;

	if (!wanted)
		return 0;
	key = *wanted;
	number = edge_number(&key);
	if (number)
		return number;
	if (key.client && key.server) {
		number = edge_new(&key);
	} else {
		/* The last quarter is for edges between two containers, and for "other". */
		if (tcp_edges_used < tcp_edges_max / 4 * 3 && edge_allowed(key.client | key.server))
			return edge_new(&key);
		__builtin_memset(key.address, 0, sizeof(key.address));
		key.other = 1;
		if (key.client)
			key.port = 0;
		number = edge_number(&key);
		if (!number)
			number = edge_new(&key);
	}
	if (!number)
		loss_add(LOSS_MAP, 1, 1);
	return number;
}

static __always_inline struct tcp_edge *edge_at(u32 number)
{
	return bpf_map_lookup_elem(&tcp_edges, &number);
}

static __always_inline void edge_time(struct tcp_edge *edge, enum tcp_time which, u64 ns, int sign)
{
	u32 cell = histogram_cell_ns(ns);

	if (cell >= HISTOGRAM_CELLS)
		return;
	ADD(edge->times[which].buckets[cell], sign);
	ADD(edge->times[which].sum_ns, sign * ns);
}

/* ---- sockets ---- */

static __always_inline u64 socket_owner(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

static __always_inline u32 socket_netns(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

#define MAPPED_PREFIX 0xffff0000 /* third word of ::ffff:0:0/96 as it lies in memory */

static __always_inline u16 port_swap(u16 port)
{
	return (port >> 8) | (port << 8);
}

/* The other end's address; IPv4 in IPv6's clothes is IPv4. */
static __always_inline void socket_address(struct sock *sk, struct tcp_edge_key *key)
{
	u32 word = 0;

	if (sk->__sk_common.skc_family == AF_INET6) {
		u32 words[TCP_ADDRESS / 4] = {};

		bpf_probe_read_kernel(words, sizeof(words), &sk->__sk_common.skc_v6_daddr);
		if (words[0] != 0 || words[1] != 0 || words[2] != MAPPED_PREFIX) {
			key->family = AF_INET6;
			__builtin_memcpy(key->address, words, sizeof(key->address));
			return;
		}
		word = words[3];
	} else {
		word = sk->__sk_common.skc_daddr;
	}
	key->family = AF_INET;
	__builtin_memcpy(key->address, &word, sizeof(word));
}

/* Both initial sequence numbers, the client's first. The kernel counts an acknowledged SYN as a byte, but only that
 * which a connecting socket sent. */
static __always_inline u64 socket_pair_key(struct tcp_sock *tcp, bool client)
{
	u32 own = tcp->snd_una - (u32)tcp->bytes_acked + (client ? 1 : 0);
	u32 other = tcp->rcv_nxt - (u32)tcp->bytes_received;

	return client ? (u64)own << 32 | other : (u64)other << 32 | own;
}

/* The edge of a client as long as nobody knows its server, and of a server whose client is elsewhere. */
static __always_inline u32 edge_outside(struct sock *sk, u64 owner, bool client)
{
	struct tcp_edge_key key = { .netns = socket_netns(sk) };

	if (client) {
		key.client = owner;
		key.port = port_swap(sk->__sk_common.skc_dport);
	} else {
		key.server = owner;
		key.port = sk->__sk_common.skc_num;
	}
	socket_address(sk, &key);
	return edge_find(&key);
}

static __always_inline u32 edge_between(u64 client, u64 server, u16 port)
{
	struct tcp_edge_key key = { .client = client, .server = server, .port = port };

	return edge_find(&key);
}

/* The edge a socket counts in now: a client's server may have been found since. */
static __always_inline u32 socket_edge(struct tcp_socket *socket)
{
	if (socket->client && socket->pair) {
		u64 key = socket->pair;
		struct tcp_pair *pair = bpf_map_lookup_elem(&tcp_pairs, &key);

		if (pair && pair->edge)
			socket->edge = pair->edge;
	}
	return socket->edge;
}

/* `now` replaces `*kept`; what it grew by. */
static __always_inline u64 grown(u64 *kept, u64 now)
{
	u64 before = __sync_lock_test_and_set(kept, now);

	return now > before ? now - before : 0;
}

/* Payload received. The kernel counts a FIN as a byte. */
static __always_inline u64 socket_received(struct sock *sk, struct tcp_sock *tcp)
{
	u64 received = tcp->bytes_received;
	bool fin = sk->__sk_common.skc_flags & SOCK_DONE_BIT;

	return fin && received ? received - 1 : received;
}

/* What the socket has done since it was last looked at goes to its edge. */
static __always_inline void socket_account(struct sock *sk, struct tcp_socket *socket, struct tcp_edge *edge)
{
	struct tcp_side *side = socket->client ? &edge->client : &edge->server;
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	u64 more;
	u32 srtt;

	if (!tcp)
		return;
	srtt = tcp->srtt_us;
	more = grown(&socket->sent_bytes, tcp->bytes_sent - tcp->bytes_retrans);
	if (more)
		ADD(side->sent_bytes, more);
	more = grown(&socket->received_bytes, socket_received(sk, tcp));
	if (more)
		ADD(side->received_bytes, more);
	more = grown(&socket->sent_segments, tcp->segs_out);
	if (more)
		ADD(side->sent_segments, more);
	more = grown(&socket->received_segments, tcp->segs_in);
	if (more)
		ADD(side->received_segments, more);
	more = grown(&socket->spurious, tcp->dsack_dups);
	if (more)
		ADD(side->spurious, more);
	if (srtt)
		edge_time(edge, TCP_TIME_RTT, (u64)srtt * 1000 / 8, 1);
}

/* ---- from event to count ---- */

static __always_inline void connection_starts(struct sock *sk)
{
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!socket) {
		loss_add(LOSS_STORAGE, 1, 1);
		return;
	}
	socket->client = 1;
	socket->start_ns = bpf_ktime_get_ns();
}

/* Whose socket it is when its cgroup does not say. Only for sockets in the hands of the current task. */
static __always_inline u64 owner_here(struct sock *sk)
{
	u64 owner = socket_owner(sk);

	if (owner == CGROUP_ROOT && v1_controller != V1_NONE)
		return cgroup_key_current();
	return owner;
}

static __always_inline u64 owner_listening(struct sock *sk)
{
	u64 owner = socket_owner(sk), *known;
	struct tcp_listener_key key = {};

	if (owner != CGROUP_ROOT || v1_controller == V1_NONE)
		return owner;
	key.netns = socket_netns(sk);
	key.port = sk->__sk_common.skc_num;
	known = bpf_map_lookup_elem(&tcp_listeners, &key);
	return known ? *known : owner;
}

/* A client is connected. Its server says so a moment later; until then the connection counts as one to outside. */
static __always_inline void client_established(struct sock *sk, struct tcp_sock *tcp, struct tcp_socket *socket,
					       u64 owner, bool existing)
{
	u64 now_ns = existing ? 0 : bpf_ktime_get_ns();
	struct tcp_pair pair = { .client = owner };
	struct tcp_edge *edge;
	u64 key = socket_pair_key(tcp, true);

	socket->client = 1;
	socket->established = 1;
	socket->established_ns = now_ns;
	socket->pair = key;
	socket->edge = pair.client_edge = edge_outside(sk, owner, true);
	if (!existing && socket->start_ns)
		pair.connect_ns = now_ns - socket->start_ns;
	if (bpf_map_update_elem(&tcp_pairs, &key, &pair, BPF_ANY) != 0) {
		socket->pair = 0;
		loss_add(LOSS_MAP, 1, 0);
	}
	edge = edge_at(socket->edge);
	if (!edge)
		return;
	if (existing)
		ADD(edge->existing, 1);
	else
		ADD(edge->opens, 1);
	if (pair.connect_ns)
		edge_time(edge, TCP_TIME_CONNECT, pair.connect_ns, 1);
}

/* The connection moves from the edge that names its client alone to the one that names both. */
static __always_inline void pair_move(struct tcp_pair *pair, u32 number, bool existing)
{
	struct tcp_edge *from = edge_at(pair->client_edge), *to = edge_at(number);

	if (!from || !to)
		return;
	if (existing) {
		ADD(from->existing, -1);
		ADD(to->existing, 1);
		return;
	}
	ADD(from->opens, -1);
	ADD(to->opens, 1);
	if (pair->connect_ns) {
		edge_time(from, TCP_TIME_CONNECT, pair->connect_ns, -1);
		edge_time(to, TCP_TIME_CONNECT, pair->connect_ns, 1);
	}
}

static __always_inline void server_established(struct sock *sk, struct tcp_sock *tcp, struct tcp_socket *socket,
					       u64 owner, bool existing)
{
	u64 key = socket_pair_key(tcp, false);
	struct tcp_pair *pair = bpf_map_lookup_elem(&tcp_pairs, &key);
	struct tcp_edge *edge;

	socket->client = 0;
	socket->established = 1;
	socket->established_ns = existing ? 0 : bpf_ktime_get_ns();
	if (pair && pair->client) {
		u32 number = edge_between(pair->client, owner, sk->__sk_common.skc_num);

		pair->server = owner;
		pair->edge = number;
		socket->edge = number;
		pair_move(pair, number, existing);
		edge = edge_at(number);
		if (edge && !existing)
			ADD(edge->accepts, 1);
		return;
	}
	socket->edge = edge_outside(sk, owner, false);
	edge = edge_at(socket->edge);
	if (edge && existing)
		ADD(edge->existing, 1);
	else if (edge)
		ADD(edge->accepts, 1);
}

static __always_inline enum tcp_failure failure_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return TCP_FAILURE_REFUSED;
	case ETIMEDOUT:
		return TCP_FAILURE_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return TCP_FAILURE_UNREACHABLE;
	case ECONNRESET:
		return TCP_FAILURE_RESET;
	case 0:
		return TCP_FAILURE_ABANDONED;
	}
	return TCP_FAILURE_OTHER;
}

static __always_inline void connection_fails(struct sock *sk)
{
	u32 number = edge_outside(sk, owner_here(sk), true);
	struct tcp_edge *edge = edge_at(number);
	enum tcp_failure failure = failure_of(sk->sk_err);

	if (edge && failure < TCP_FAILURES)
		ADD(edge->failures[failure], 1);
}

static __always_inline void connection_ends(struct sock *sk, struct tcp_socket *socket)
{
	struct tcp_edge *edge;

	if (!socket->established) /* closed twice, or never open */
		return;
	socket->established = 0;
	edge = edge_at(socket_edge(socket));
	if (edge) {
		int error = sk->sk_err;

		socket_account(sk, socket, edge);
		if (socket->client)
			ADD(edge->client.closes, 1);
		else
			ADD(edge->server.closes, 1);
		if (error == ECONNRESET || error == EPIPE)
			ADD(edge->resets, 1);
		if (socket->established_ns && socket->client)
			edge_time(edge, TCP_TIME_SESSION, bpf_ktime_get_ns() - socket->established_ns, 1);
	}
	if (socket->client && socket->pair) {
		u64 key = socket->pair;

		bpf_map_delete_elem(&tcp_pairs, &key);
		socket->pair = 0;
	}
}

static __always_inline void listener_starts(struct sock *sk, u64 owner)
{
	struct tcp_listener_key key = { .netns = socket_netns(sk), .port = sk->__sk_common.skc_num };

	bpf_map_update_elem(&tcp_listeners, &key, &owner, BPF_ANY);
}

SEC("btf_tp/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int before, int after)
{
	struct tcp_socket *socket;
	struct tcp_sock *tcp;

	if (after != TCP_ESTABLISHED && after != TCP_CLOSE && after != TCP_SYN_SENT && after != TCP_LISTEN)
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == TCP_SYN_SENT) {
		connection_starts(sk);
		return 0;
	}
	if (after == TCP_LISTEN) {
		listener_starts(sk, owner_here(sk));
		return 0;
	}
	if (after == TCP_CLOSE && before == TCP_SYN_SENT) {
		loss_add(LOSS_SEEN, 1, 1);
		connection_fails(sk);
		return 0;
	}
	if (before == TCP_LISTEN || before == TCP_CLOSE)
		return 0;
	if (after == TCP_ESTABLISHED) {
		tcp = bpf_skc_to_tcp_sock(sk);
		if (!tcp)
			return 0;
		loss_add(LOSS_SEEN, 1, 1);
		socket = bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (!socket) {
			loss_add(LOSS_STORAGE, 1, 1);
			return 0;
		}
		if (before == TCP_SYN_SENT)
			client_established(sk, tcp, socket, socket_owner(sk), false);
		else
			server_established(sk, tcp, socket, owner_listening(sk), false);
		return 0;
	}
	socket = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	if (socket)
		connection_ends(sk, socket);
	else if (before != TCP_SYN_RECV)
		ADD(tcp_strangers, 1);
	return 0;
}

SEC("btf_tp/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit, struct sock *sk)
{
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	enum tcp_retransmit kind = TCP_RETRANSMIT_PROBE;
	struct tcp_edge *edge;
	u32 number;
	u8 congestion;

	if (!socket)
		return 0;
	congestion = BPF_CORE_READ_BITFIELD_PROBED(tcp, inet_conn.icsk_ca_state);
	if (sk->__sk_common.skc_state == TCP_SYN_SENT)
		kind = TCP_RETRANSMIT_SYN;
	else if (congestion == TCP_CA_LOSS)
		kind = TCP_RETRANSMIT_RTO;
	else if (congestion == TCP_CA_RECOVERY)
		kind = TCP_RETRANSMIT_FAST;
	number = kind == TCP_RETRANSMIT_SYN ? edge_outside(sk, socket_owner(sk), true) : socket_edge(socket);
	edge = edge_at(number);
	if (!edge)
		return 0;
	if (socket->client)
		ADD(edge->client.retransmits[kind], 1);
	else
		ADD(edge->server.retransmits[kind], 1);
	return 0;
}

/* ---- what is open already ---- */

/* Every socket of every process, in passes: a client must be known before its server. */
SEC("btf_iter/task_file")
int tcp_existing(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct tcp_listener_key key = {};
	struct tcp_socket *known;
	struct socket *socket;
	struct tcp_sock *tcp;
	struct sock *sk;
	bool server;
	u64 owner;
	u8 state;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	key.port = sk->__sk_common.skc_family;
	if (key.port != AF_INET && key.port != AF_INET6)
		return 0;
	state = sk->__sk_common.skc_state;
	owner = socket_owner(sk);
	if (owner == CGROUP_ROOT && v1_controller != V1_NONE)
		owner = cgroup_key_of(task);
	if (tcp_pass == TCP_PASS_LISTENERS) {
		if (state == TCP_LISTEN)
			listener_starts(sk, owner);
		return 0;
	}
	if (state == TCP_LISTEN || state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return 0;
	key.netns = socket_netns(sk);
	key.port = sk->__sk_common.skc_num;
	server = bpf_map_lookup_elem(&tcp_listeners, &key) != NULL;
	if (server != (tcp_pass == TCP_PASS_SERVERS) || bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0))
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	known = bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!known) {
		loss_add(LOSS_STORAGE, 1, 1);
		return 0;
	}
	loss_add(LOSS_SEEN, 1, 1);
	known->sent_bytes = tcp->bytes_sent - tcp->bytes_retrans;
	known->received_bytes = socket_received(sk, tcp);
	known->sent_segments = tcp->segs_out;
	known->received_segments = tcp->segs_in;
	known->spurious = tcp->dsack_dups;
	if (server)
		server_established(sk, tcp, known, owner, true);
	else
		client_established(sk, tcp, known, owner, true);
	return 0;
}

/* All sockets we keep something of: what they did since the last time. */
SEC("btf_iter/bpf_sk_storage_map")
int tcp_collect(struct bpf_iter__bpf_sk_storage_map *context)
{
	struct sock *sk = context->sk;
	struct tcp_socket *socket;
	struct tcp_edge *edge;

	if (!sk)
		return 0;
	socket =
		bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0); /* = context->value, but Linux 6.1 can do more with it */
	if (!socket || !socket->established)
		return 0;
	edge = edge_at(socket_edge(socket));
	if (edge)
		socket_account(sk, socket, edge);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
