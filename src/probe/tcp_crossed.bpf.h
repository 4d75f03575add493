/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that both ends opened at the same moment (RFC 9293, 3.5: simultaneous connection synchronization). Each has sent
 * a SYN, none has a listener, so each is first kept as a client, its own number in front: two entries with mirrored keys. Who
 * comes second finds both, and makes one connection of them: the end with the smaller number is the server. When both come at
 * once both find both, and one of them does it. What connects to itself has one socket, and is one client. */
#pragma once

__u32 tcp_crossings =
	0; /* sockets that got a SYN while they connected; while there are none nothing here costs anything */

static __always_inline u64 key_mirrored(u64 key)
{
	return key << 32 | key >> 32;
}

/* Between the two states nothing but this tells it from a connection that was accepted. */
static __always_inline void socket_crosses(struct sock *sk)
{
	struct tcp_socket *more = socket_more(sk);

	if (!more)
		return;
	more->crosses = 1;
	ADD(tcp_crossings, 1);
}

/* Did it connect, too? Asked once. */
static __always_inline bool socket_has_crossed(struct sock *sk)
{
	struct tcp_socket *more = tcp_crossings ? bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0) : NULL;
	bool crosses = more && more->crosses;

	if (crosses)
		more->crosses = 0;
	return crosses;
}

/* The end that becomes the server counts nowhere by itself any more, and its entry goes. */
static __always_inline void pair_gives_way(u64 key, struct tcp_pair *pair, u32 number)
{
	u32 before = __sync_lock_test_and_set(&pair->edge, number);

	if (before == EDGE_NONE)
		waiting_add(-1);
	else
		pair_count(pair, before, -1);
	pair->sockets[PAIR_CLIENT] = 0;
	pair_leave(key, pair);
}

/* A client has been added under `key`. */
static __noinline void pairs_cross(struct sock *sk, u64 key)
{
	u64 mirrored = key_mirrored(key), client_key = key > mirrored ? key : mirrored,
	    server_key = key_mirrored(client_key);
	struct tcp_edge_key edge = {};
	struct tcp_pair *client, *server;
	u32 netns, number;

	if (!sk || key == mirrored)
		return;
	netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	client = pair_find_awaiting(client_key, netns);
	server = pair_find_awaiting(server_key, netns);
	if (!client || !server || __sync_val_compare_and_swap(&server->server, 0, server->client) != 0)
		return;
	edge.client = client->client;
	edge.client_name = client->client_name;
	edge.server = server->client;
	edge.server_name = server->client_name;
	edge.port = key == server_key ? BPF_CORE_READ(sk, __sk_common.skc_num)
				      : port_swap(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (!pair_takes_server(client, server->client)) {
		server->server = 0;
		return;
	}
	ADD(tcp_crossings, 1); /* found by a walk, nobody has heard of it */
	number = edge_find(&edge);
	client->crossed = 1;
	client->again[PAIR_SERVER] = server->again[PAIR_CLIENT];
	pair_moves(client, number);
	client->sockets[PAIR_SERVER] = server->sockets[PAIR_CLIENT];
	pair_gives_way(server_key, server, number);
}

/* A connection that crossed, by its server's socket, which has opened it as well. */
static __always_inline struct tcp_pair *pair_of_crossed(struct sock *sk, struct tcp_sock *tcp, u64 *key)
{
	*key = key_mirrored(socket_pair_key(tcp, true));
	return pair_find(*key, PAIR_SERVER, (u64)sk);
}
