/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walks over what was there before the start and over all that is open, and visits to each connection's entry. Behind the
 * pairs, edges and sockets of tcp.bpf.c. */
#pragma once

/* ---- walks ---- */

/* What it did before the start is not ours to tell. */
static __always_inline void pair_baseline(struct tcp_pair *pair, struct sock *sk, struct tcp_sock *tcp,
					  enum pair_end end)
{
	struct tcp_done done;

	socket_done(sk, tcp, false, &done);
	pair->sent_bytes = done.sent_bytes;
	pair->received_bytes = done.received_bytes;
	pair->sent_segments = done.sent_segments;
	pair->received_segments = done.received_segments;
	pair->spurious[end] = done.spurious;
	pair->window_limited[end] = done.window_limited;
	pair->again[end] = done.again;
	pair->talked_bytes = done.sent_bytes;
	pair->talks = 1;
}

static __always_inline void pair_baseline_silent(struct tcp_pair *pair, struct tcp_sock *tcp)
{
	struct tcp_done done;

	socket_complaints(tcp, false, &done);
	pair->spurious[PAIR_SERVER] = done.spurious;
	pair->window_limited[PAIR_SERVER] = done.window_limited;
}

/* An open socket nobody told of: open before the start, or it began while there was no room. */
static __always_inline void existing_add(struct sock *sk, struct tcp_sock *tcp, u64 owner, u32 name, bool server)
{
	struct tcp_pair pair = { .ends = 1, .existing = 1 }, *known;
	struct tcp_socket *more;
	u64 key = socket_pair_key(tcp, !server);

	if (server) {
		known = pair_find_awaiting(key, socket_netns(sk));
		if (known && server_pairs(sk, tcp, known, owner, name, false)) {
			pair_baseline_silent(known, tcp);
			return;
		}
		pair.server = owner;
		pair.sockets[PAIR_SERVER] = (u64)sk;
		pair.edge = edge_inside(sk, owner, name);
		pair_baseline(&pair, sk, tcp, PAIR_SERVER);
	} else {
		pair_baseline(&pair, sk, tcp, PAIR_CLIENT);
		pair.client = owner;
		pair.sockets[PAIR_CLIENT] = (u64)sk;
		pair.client_name = name;
		pair.edge = EDGE_NONE;
	}
	if (pair_find(key, server ? PAIR_SERVER : PAIR_CLIENT, (u64)sk))
		return; /* told of meanwhile */
	more = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	if (!more || !more->is_lost)
		loss_add(LOSS_SEEN, 1, 1);
	if (!pair_add(key, &pair)) {
		connection_lost(sk);
		return;
	}
	if (server) {
		pair_count(&pair, pair.edge, 1);
		return;
	}
	waiting_add(1);
	pairs_cross(sk, key);
}

/* Every socket of every process, to find what nobody told of. In passes: a client must be known before its server. */
SEC("btf_iter/task_file")
int tcp_walk(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct tcp_listener_key key = {};
	struct socket *socket;
	struct tcp_sock *tcp;
	struct sock *sk;
	u64 owner, pair_key;
	bool server, client;
	u8 state;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	/* Of raw sockets, too, a program may say that their protocol is TCP's. */
	if (!sk || socket->type != SOCK_STREAM || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	key.port = sk->__sk_common.skc_family;
	if (key.port != AF_INET && key.port != AF_INET6)
		return 0;
	state = sk->__sk_common.skc_state;
	if (state == TCP_LISTEN ? tcp_pass != TCP_PASS_LISTENERS : tcp_pass == TCP_PASS_LISTENERS)
		return 0;
	if (state == TCP_CLOSE || state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return 0;
	owner = socket_owner(sk);
	if (owner == CGROUP_ROOT && v1_controller != V1_NONE)
		owner = cgroup_key_of(task);
	if (state == TCP_LISTEN) {
		listener_starts(sk, owner, name_of(task));
		return 0;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	key.netns = socket_netns(sk);
	key.port = sk->__sk_common.skc_num;
	server = bpf_map_lookup_elem(&tcp_listeners, &key) != NULL;
	if (server != (tcp_pass == TCP_PASS_SERVERS))
		return 0;
	if (!socket_pair(sk, tcp, &client, &pair_key))
		existing_add(sk, tcp, owner, name_of(task), server);
	return 0;
}

/* ---- visits to all connections ---- */

/* Is what lies there still the socket of the connection `key`? Sockets' memory stays memory of sockets; one that was freed
 * is another connection's, or none's. `opened`: it has connected, as clients have and the server of one that crossed. */
static __always_inline bool socket_lives(u64 address, u64 key, bool client, bool opened)
{
	struct tcp_sock *tcp = (struct tcp_sock *)address;
	struct sock *sk = (struct sock *)address;

	/* It may be at work meanwhile: numbers that do not go together are read again. */
	for (int i = 0; i < TCP_SWEEP_READS; i++) {
		u32 own = BPF_CORE_READ(tcp, snd_una) - (u32)BPF_CORE_READ(tcp, bytes_acked) + (opened ? 1 : 0);
		u32 other = BPF_CORE_READ(tcp, rcv_nxt) - (u32)BPF_CORE_READ(tcp, bytes_received);

		if (key == (client ? (u64)own << 32 | other : (u64)other << 32 | own))
			return BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE;
	}
	return false;
}

/* A client nobody here has accepted in time. FALSE: it has just ended. */
static __always_inline bool client_counts_kept(u64 key, struct tcp_pair *pair, struct sock *sk)
{
	struct tcp_edge_key to = {};
	u32 number;

	edge_key_client(sk, true, pair->client, pair->client_name, &to);
	if (!socket_lives((u64)sk, key, true, true))
		return false;
	number = edge_find(&to);
	if (__sync_val_compare_and_swap(&pair->edge, EDGE_NONE, number) == EDGE_NONE) {
		waiting_add(-1);
		pair_count(pair, number, 1);
	}
	return true;
}

/* What a server's end alone knows, when its client speaks. */
static __always_inline void pair_account_silent(u64 key, struct tcp_pair *pair, struct tcp_edge *edge)
{
	u64 address = pair->sockets[PAIR_SERVER];
	struct tcp_done done;

	if (!address)
		return;
	socket_complaints((struct tcp_sock *)address, true, &done);
	if ((done.spurious || done.window_limited || done.again != pair->again[PAIR_SERVER]) &&
	    socket_lives(address, key, false, pair->crossed))
		account_complaints(&done, pair, edge, false);
}

/* May its server still say that it is here? On this machine it does so before it acknowledges anything or answers, mostly at once;
 * but the end of the handshake may be dropped, or the server's CPU be somebody else's for a while. */
static __always_inline bool pair_may_be_met(const struct tcp_pair *pair, struct tcp_sock *tcp)
{
	u64 age_us = bpf_ktime_get_ns() / 1000 - pair->established_us;

	if (!pair->established_us || age_us >= TCP_PATIENCE_SILENT_US)
		return false;
	return age_us < TCP_PATIENCE_US ||
	       (BPF_CORE_READ(tcp, bytes_acked) <= 1 && BPF_CORE_READ(tcp, bytes_received) == 0);
}

/* What a connection has done since the last visit. Its socket may end at any moment: what was read counts when it is still that
 * connection's afterwards. Ends are counted by the same rule, that a number is exchanged for what it grew to, so whoever comes
 * second finds nothing new. */
static __always_inline void pair_account(u64 key, struct tcp_pair *pair)
{
	bool client = pair->client != 0;
	u64 address = client ? pair->sockets[PAIR_CLIENT] : pair->sockets[PAIR_SERVER];
	struct tcp_sock *tcp = (struct tcp_sock *)address;
	struct tcp_edge *edge;
	struct tcp_done done;

	if (!address)
		return;
	if (pair->edge == EDGE_NONE) {
		if (pair_may_be_met(pair, tcp))
			return;
		if (!client_counts_kept(key, pair, (struct sock *)address))
			return;
	}
	if (pair->met && BPF_CORE_READ(tcp, segs_in) == pair->received_segments &&
	    BPF_CORE_READ(tcp, segs_out) == pair->sent_segments)
		return; /* idle */
	socket_done((struct sock *)address, tcp, true, &done);
	edge = edge_at(pair->edge);
	if (!edge || !socket_lives(address, key, client, client))
		return;
	pair->met = 1;
	account_complaints(&done, pair, edge, client);
	account_traffic(&done, pair, edge, client);
	if (client)
		pair_account_silent(key, pair, edge);
}

/* Its client has gone without a word and counts nowhere yet: where it was connected to is not known any more. */
static __always_inline void client_counts_blindly(struct tcp_pair *pair)
{
	struct tcp_edge_key key = { .client = pair->client, .client_name = pair->client_name, .other = 1 };
	u32 number = edge_find(&key);

	if (__sync_val_compare_and_swap(&pair->edge, EDGE_NONE, number) != EDGE_NONE)
		return;
	waiting_add(-1);
	pair_count(pair, number, 1);
}

/* Its end was not heard of. */
static __always_inline void pair_bury(u64 key, struct tcp_pair *pair, bool client)
{
	struct tcp_edge *edge;

	if (!__sync_lock_test_and_set(&pair->sockets[client ? PAIR_CLIENT : PAIR_SERVER], 0))
		return;
	ADD(tcp_buried, 1);
	if (pair->edge == EDGE_NONE)
		client_counts_blindly(pair);
	edge = edge_at(pair->edge);
	if (edge && client)
		ADD(edge->client.closes, 1);
	else if (edge && !pair->client)
		ADD(edge->server.closes, 1);
	pair_leave(key, pair);
}

/* The kernel leaves a program out that is already at work on that CPU, so an end can go unheard. A socket that is gone at
 * two sweeps has ended: at one, its end may just be happening. */
static __always_inline void pair_sweep(u64 key, struct tcp_pair *pair)
{
	u8 doubts = 0, sure;

	if (pair->sockets[PAIR_CLIENT] && !socket_lives(pair->sockets[PAIR_CLIENT], key, true, true))
		doubts |= 1 << PAIR_CLIENT;
	if (pair->sockets[PAIR_SERVER] && !socket_lives(pair->sockets[PAIR_SERVER], key, false, pair->crossed))
		doubts |= 1 << PAIR_SERVER;
	sure = doubts & pair->doubts;
	pair->doubts = doubts;
	if (sure & 1 << PAIR_SERVER)
		pair_bury(key, pair, false);
	if (sure & 1 << PAIR_CLIENT)
		pair_bury(key, pair, true);
}

/* Not static: checked by the verifier once, not once a slot. */
__noinline int pair_visit(u64 key, struct tcp_pair *pair)
{
	if (!pair || key <= PAIRS_TAKEN)
		return 0;
	if (tcp_visit == TCP_VISIT_SWEEP)
		pair_sweep(key, pair);
	else
		pair_account(key, pair);
	return 0;
}

static __always_inline void bucket_visit(struct tcp_bucket *bucket)
{
	for (int i = 0; bucket && i < PAIRS_BUCKET; i++)
		if (bucket->keys[i] > PAIRS_TAKEN)
			pair_visit(bucket->keys[i], &bucket->pairs[i]);
}

SEC("btf_iter/bpf_map_elem")
int tcp_visit_near(struct bpf_iter__bpf_map_elem *context)
{
	const u32 *number = context->key;
	u32 own; /* Linux 6.1 takes keys from a program's own stack only */

	if (!number)
		return 0;
	if (tcp_tick_wanted) {
		tcp_tick_wanted = 0;
		tcp_tick = bpf_jiffies64();
		tcp_tick_ns = bpf_ktime_get_ns();
	}
	own = *number;
	bucket_visit(bpf_map_lookup_elem(&tcp_near, &own));
	return 0;
}

SEC("btf_iter/bpf_map_elem")
int tcp_visit_far(struct bpf_iter__bpf_map_elem *context)
{
	const u32 *number = context->key;
	u32 own;

	if (!number)
		return 0;
	own = *number;
	bucket_visit(bpf_map_lookup_elem(&tcp_buckets, &own));
	return 0;
}

SEC("btf_iter/bpf_map_elem")
int tcp_visit_spilled(struct bpf_iter__bpf_map_elem *context)
{
	const u64 *key = context->key;
	struct tcp_pair *pair;
	u64 own;

	if (!key)
		return 0;
	own = *key;
	pair = bpf_map_lookup_elem(&tcp_pairs, &own);
	if (pair)
		pair_visit(own, pair);
	return 0;
}
