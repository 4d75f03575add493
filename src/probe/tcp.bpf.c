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
#include "bpf/owners.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/refusals.bpf.h"
#include "tcp.h"

const volatile __u32 tcp_edges_max = TCP_EDGES;
const volatile __u32 tcp_near_bits = TCP_NEAR_BITS; /* of the number of buckets of pairs: those tried first, */
const volatile __u32 tcp_bucket_bits = TCP_BUCKET_BITS; /* and the others */
const volatile bool tcp_by_process = false; /* edges by the ends' process names, too */
const volatile __u32 tcp_deaf = 0; /* of beginnings and ends one in so many is left out; 0: none */
__u64 tcp_changes = 0, tcp_left_out = 0; /* if so */
__u32 tcp_edges_used = 1; /* number 0 holds what finds no other */
__u32 tcp_edges_spare = 0; /* of these are free again (tcp_spare) */
__u32 tcp_edges_made = 0;
__u32 tcp_generation = 0; /* changes when user space has taken edges away */
__u32 tcp_names_used = 1;
__u32 tcp_pass = 0; /* of the walk over all files: enum tcp_pass */
__u64 tcp_strangers = 0; /* ends of connections that were neither seen to begin nor found at the start */
__u64 tcp_buried = 0; /* connections' ends nobody told of: found by a sweep */
__u64 tcp_unpaired = 0; /* connections there was no room for */
__u32 tcp_visit = 0; /* what is done with each connection's entry: enum tcp_visit */
__u32 tcp_stirred = 0; /* segments came since user space set it to 0 */
__u64 tcp_heard_us = 0; /* all segments since then were looked at (clock of TCP); TCP_DEAF: now they are not */
struct tcp_waiting tcp_waiting[TCP_WAITING_CPUS];
__u64 tcp_turned_made = 0; /* entries of tcp_turned */
__u32 tcp_alarmed = 0; /* user space has been told that a queue may be full */
__u32 tcp_full = 0; /* listeners whose accept queue was full at the last look at all */
__u32 tcp_tick_wanted = 0; /* by user space, before a walk: the next two are of one moment */
__u64 tcp_tick = 0, tcp_tick_ns = 0;

#define EDGE_NONE 0xffffffffU
#define TCP_EPHEMERAL 32768 /* ports from here on are those of clients */

#define ADD(where, amount) __sync_fetch_and_add(&(where), (amount))

#include "tcp_pairs.bpf.h"

/* Of the few sockets that need something of their own: those that connect, when their SYN was sent again or processes are told
 * apart, and those there was no room for. */
struct tcp_socket {
	u64 start_us; /* first SYN sent; 0: not known */
	u32 name; /* of the process */
	u8 is_lost : 1; /* there was no room for its connection: counted once, however often a walk tries again */
	u8 turned : 1; /* it counts as turned away by a full accept queue */
	u8 crosses : 1; /* it got a SYN while it connected */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tcp_socket);
} tcp_sockets SEC(".maps");

/* Names of processes, numbered. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TCP_NAMES);
	__type(key, struct tcp_name);
	__type(value, u32);
} tcp_names SEC(".maps");

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

/* Numbers user space has taken from edges that were idle. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, TCP_EDGES);
	__type(value, u32);
} tcp_spare SEC(".maps");

/* Owners of listening sockets: who accepts, where the socket's cgroup does not say (v1), and which end of a connection
 * found at the start is the server. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TCP_LISTENERS);
	__type(key, struct tcp_listener_key);
	__type(value, struct tcp_listener);
} tcp_listeners SEC(".maps");

/* By a client's initial sequence number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TCP_TURNED);
	__type(key, u32);
	__type(value, struct tcp_turned);
} tcp_turned SEC(".maps");

/* Network namespaces user space has been asked to find the owner of. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, REFUSALS);
	__type(key, u32);
	__type(value, u8);
} tcp_refusers SEC(".maps");

/* Wakes user space up: with 0 for a queue that may be full, else with the inode number of a network namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TCP_ALARM_BYTES);
} tcp_alarms SEC(".maps");

/* ---- edges ---- */

static __always_inline u32 edge_number(const struct tcp_edge_key *key)
{
	u32 *known = bpf_map_lookup_elem(&tcp_edge_numbers, key);

	return known ? *known : 0;
}

static __always_inline u32 edges_in_use(void)
{
	return tcp_edges_used - tcp_edges_spare;
}

/* 0: there is none left. */
static __always_inline u32 edge_number_take(void)
{
	u32 number;

	if (tcp_edges_spare && bpf_map_pop_elem(&tcp_spare, &number) == 0) {
		ADD(tcp_edges_spare, -1);
		return number;
	}
	number = ADD(tcp_edges_used, 1);
	if (number < tcp_edges_max)
		return number;
	ADD(tcp_edges_used, -1);
	return 0;
}

static __always_inline u32 edge_new(const struct tcp_edge_key *key)
{
	u32 number = edge_number_take();

	if (!number)
		return 0;
	if (bpf_map_update_elem(&tcp_edge_numbers, key, &number, BPF_NOEXIST) == 0) {
		ADD(tcp_edges_made, 1);
		return number;
	}
	if (bpf_map_push_elem(&tcp_spare, &number, 0) == 0) /* another CPU was faster */
		ADD(tcp_edges_spare, 1);
	return edge_number(key);
}

/* The number of the edge `wanted`, made if there is none. Many addresses of one owner become one "other"; what finds no
 * place at all is counted as lost and goes to number 0. */
__noinline u32 edge_find(struct tcp_edge_key *wanted)
{
	struct tcp_edge_key key; /* Linux 6.1 takes keys from a program's own stack only */
	bool between;
	u32 number;

	if (!wanted)
		return 0;
	key = *wanted;
	number = edge_number(&key);
	if (number)
		return number;
	between = TCP_IS_BETWEEN(&key);
	/* The last quarter is for edges between two containers, and for "other". */
	if (edges_in_use() < (between ? tcp_edges_max : tcp_edges_max / 4 * 3) &&
	    owner_may_add(TCP_EDGE_OWNER(&key), between ? tcp_edges_max / 4 : TCP_EDGES_OWNER))
		number = edge_new(&key);
	if (!number) {
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

/* Connections come in rows: the edge looked for last. Only for programs on tracepoints, which the kernel does not let run
 * twice on a CPU. */
struct edge_last {
	struct tcp_edge_key key;
	u32 number, generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct edge_last);
} tcp_edge_last SEC(".maps");

static __always_inline bool edge_equal(const struct tcp_edge_key *a, const struct tcp_edge_key *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;
	u64 differ = 0;

	_Static_assert(sizeof(*a) == 48, "words");
	for (int i = 0; i < 6; i++)
		differ |= x[i] ^ y[i];
	return differ == 0;
}

static __always_inline u32 edge_find_soon(struct tcp_edge_key *key)
{
	u32 zero = 0, number, generation = tcp_generation;
	struct edge_last *last = bpf_map_lookup_elem(&tcp_edge_last, &zero);

	if (last && last->number && last->generation == generation && edge_equal(&last->key, key))
		return last->number;
	number = edge_find(key);
	if (last && number) {
		last->key = *key;
		last->number = number;
		last->generation = generation;
	}
	return number;
}

static __always_inline struct tcp_edge *edge_at(u32 number)
{
	return bpf_map_lookup_elem(&tcp_edges, &number);
}

static __always_inline void edge_time_us(struct tcp_edge *edge, enum tcp_time which, u64 us, int sign)
{
	u64 ns = us * 1000;
	u32 cell = histogram_cell_ns(ns);

	if (cell >= HISTOGRAM_CELLS)
		return;
	ADD(edge->times[which].buckets[cell], sign);
	ADD(edge->times[which].sum_ns, sign * ns);
}

/* ---- sockets ---- */

/* A field of what a tracepoint hands out, which may be read as it is, or of what lies at an address that was kept (`kept`, a
 * constant), which may be no more. */
#define FIELD(kept, from, field) ((kept) ? BPF_CORE_READ(from, field) : (from)->field)

static __always_inline u64 socket_owner(struct sock *sk)
{
	return sk->sk_cgrp_data.cgroup->kn->id;
}

static __always_inline u32 socket_netns(struct sock *sk)
{
	return sk->__sk_common.skc_net.net->ns.inum;
}

#define MAPPED_PREFIX 0xffff0000 /* third word of ::ffff:0:0/96 as it lies in memory */

static __always_inline u16 port_swap(u16 port)
{
	return (port >> 8) | (port << 8);
}

/* The other end's address; IPv4 in IPv6's clothes is IPv4. */
static __always_inline void socket_address(struct sock *sk, bool kept, struct tcp_edge_key *key)
{
	u32 word = 0;

	if (FIELD(kept, sk, __sk_common.skc_family) == AF_INET6) {
		u32 words[TCP_ADDRESS / 4] = {};

		bpf_probe_read_kernel(words, sizeof(words), &sk->__sk_common.skc_v6_daddr);
		if (words[0] != 0 || words[1] != 0 || words[2] != MAPPED_PREFIX) {
			key->family = AF_INET6;
			__builtin_memcpy(key->address, words, sizeof(key->address));
			return;
		}
		word = words[3];
	} else {
		word = FIELD(kept, sk, __sk_common.skc_daddr);
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

/* The edge of a client as long as nobody knows its server, ... */
static __always_inline void edge_key_client(struct sock *sk, bool kept, u64 owner, u32 name, struct tcp_edge_key *key)
{
	key->netns = kept ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : socket_netns(sk);
	key->client = owner;
	key->client_name = name;
	key->port = port_swap(FIELD(kept, sk, __sk_common.skc_dport));
	socket_address(sk, kept, key);
}

static __always_inline u32 edge_outside(struct sock *sk, u64 owner, u32 name)
{
	struct tcp_edge_key key = {};

	edge_key_client(sk, false, owner, name, &key);
	return edge_find(&key);
}

/* ... and of a server whose client is elsewhere. */
static __always_inline u32 edge_inside(struct sock *sk, u64 owner, u32 name)
{
	struct tcp_edge_key key = {
		.netns = socket_netns(sk),
		.server = owner,
		.server_name = name,
		.port = sk->__sk_common.skc_num,
	};

	socket_address(sk, false, &key);
	return edge_find(&key);
}

/* ---- names of processes ---- */

static __always_inline u32 name_number(struct tcp_name *name)
{
	u32 number, *known = bpf_map_lookup_elem(&tcp_names, name);

	if (known)
		return *known;
	number = ADD(tcp_names_used, 1);
	if (number < TCP_NAMES && bpf_map_update_elem(&tcp_names, name, &number, BPF_NOEXIST) == 0)
		return number;
	known = bpf_map_lookup_elem(&tcp_names, name);
	return known ? *known : 0;
}

/* Of the current task's process, or of `task`'s. */
static __noinline u32 name_of(struct task_struct *task)
{
	struct tcp_name name = {};

	if (!tcp_by_process)
		return 0;
	if (!task)
		task = (struct task_struct *)bpf_get_current_task();
	BPF_CORE_READ_STR_INTO(&name.comm, task, group_leader, comm);
	return name_number(&name);
}

/* ---- what a socket has done ---- */

/* `now` replaces `*kept`; what it grew by. */
static __always_inline u64 grown(u64 *kept, u64 now)
{
	u64 before = __sync_lock_test_and_set(kept, now);

	return now > before ? now - before : 0;
}

static __always_inline u32 grown_small(u32 *kept, u32 now)
{
	u32 more;

	if (*kept == now)
		return 0; /* an exchange takes longer than a look */
	more = now - __sync_lock_test_and_set(kept, now);
	return (s32)more > 0 ? more : 0;
}

/* What a socket has done since it was made. */
struct tcp_done {
	u64 sent_bytes, received_bytes; /* payload */
	u32 sent_segments, received_segments;
	u32 spurious, again;
	u32 window_limited; /* ticks it could have sent in, but for the other end's window */
	u32 srtt_us; /* times eight; 0: not known */
};

static __always_inline void socket_complaints(struct tcp_sock *tcp, bool kept, struct tcp_done *done)
{
	done->spurious = FIELD(kept, tcp, dsack_dups);
	done->again = FIELD(kept, tcp, total_retrans);
	done->window_limited = FIELD(kept, tcp, chrono_stat[CHRONO_WINDOW]);
	if (BPF_CORE_READ_BITFIELD_PROBED(tcp, chrono_type) == CHRONO_WINDOW + 1)
		done->window_limited += (u32)bpf_jiffies64() - FIELD(kept, tcp, chrono_start);
}

static __always_inline void socket_done(struct sock *sk, struct tcp_sock *tcp, bool kept, struct tcp_done *done)
{
	bool fin = FIELD(kept, sk, __sk_common.skc_flags) & SOCK_DONE_BIT;

	done->sent_bytes = FIELD(kept, tcp, bytes_sent) - FIELD(kept, tcp, bytes_retrans);
	done->received_bytes = FIELD(kept, tcp, bytes_received);
	if (fin && done->received_bytes) /* the kernel counts a FIN as a byte */
		done->received_bytes--;
	done->sent_segments = FIELD(kept, tcp, segs_out);
	done->received_segments = FIELD(kept, tcp, segs_in);
	done->srtt_us = FIELD(kept, tcp, srtt_us);
	socket_complaints(tcp, kept, done);
}

static __always_inline struct tcp_side *edge_side(struct tcp_edge *edge, bool client)
{
	return client ? &edge->client : &edge->server;
}

/* Of what an end alone knows, what has not been told yet. */
static __always_inline void account_complaints(const struct tcp_done *done, struct tcp_pair *pair,
					       struct tcp_edge *edge, bool client)
{
	struct tcp_side *side = edge_side(edge, client);
	u32 spurious =
		grown_small(client ? &pair->spurious[PAIR_CLIENT] : &pair->spurious[PAIR_SERVER], done->spurious);
	u32 limited = grown_small(client ? &pair->window_limited[PAIR_CLIENT] : &pair->window_limited[PAIR_SERVER],
				  done->window_limited);
	u32 again = grown_small(client ? &pair->again[PAIR_CLIENT] : &pair->again[PAIR_SERVER], done->again);

	if (spurious)
		ADD(side->spurious, spurious);
	if (limited)
		ADD(side->window_limited, limited);
	if (again)
		ADD(side->retransmits[TCP_RETRANSMIT_UNSEEN], again);
}

/* And of what the end tells that speaks: bytes and times. */
static __always_inline void account_traffic(const struct tcp_done *done, struct tcp_pair *pair, struct tcp_edge *edge,
					    bool client)
{
	struct tcp_side *side = edge_side(edge, client);
	u64 sent = grown(&pair->sent_bytes, done->sent_bytes),
	    received = grown(&pair->received_bytes, done->received_bytes);
	u32 sent_segments = grown_small(&pair->sent_segments, done->sent_segments);
	u32 received_segments = grown_small(&pair->received_segments, done->received_segments);

	if (sent)
		ADD(side->sent_bytes, sent);
	if (received)
		ADD(side->received_bytes, received);
	if (sent_segments)
		ADD(side->sent_segments, sent_segments);
	if (received_segments)
		ADD(side->received_segments, received_segments);
	if (done->srtt_us)
		edge_time_us(edge, TCP_TIME_RTT, done->srtt_us / 8, 1);
}

/* ---- from event to count ---- */

/* Whose socket it is, also where its cgroup does not say. Only for sockets in the hands of the current task. */
static __always_inline u64 owner_here(struct sock *sk)
{
	u64 owner = socket_owner(sk);

	if (owner == CGROUP_ROOT && v1_controller != V1_NONE)
		return cgroup_key_current();
	return owner;
}

/* Who accepts on the socket's port; `*name`: and that process's name. */
static __always_inline u64 owner_listening(struct sock *sk, u32 *name)
{
	u64 owner = socket_owner(sk);
	struct tcp_listener *known;
	struct tcp_listener_key key = {};

	*name = 0;
	if (!tcp_by_process && (owner != CGROUP_ROOT || v1_controller == V1_NONE))
		return owner;
	key.netns = socket_netns(sk);
	key.port = sk->__sk_common.skc_num;
	known = bpf_map_lookup_elem(&tcp_listeners, &key);
	if (!known)
		return owner;
	*name = known->name;
	return owner == CGROUP_ROOT && v1_controller != V1_NONE ? known->owner : owner;
}

static __always_inline struct tcp_socket *socket_more(struct sock *sk)
{
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!socket)
		loss_add(LOSS_STORAGE, 1, 0);
	return socket;
}

/* There is no room for its connection now; a walk will try again. */
static __always_inline void connection_lost(struct sock *sk)
{
	struct tcp_socket *more = socket_more(sk);

	ADD(tcp_unpaired, 1);
	if (more && more->is_lost)
		return;
	if (more)
		more->is_lost = 1;
	loss_add(LOSS_MAP, 1, 1);
}

#define EARLY_BITS 16

static __always_inline void edge_early(struct tcp_edge *edge, u64 early, int sign)
{
	for (int i = 0; i < TCP_RETRANSMIT_UNSEEN; i++) {
		u64 again = early >> i * EARLY_BITS & ((1 << EARLY_BITS) - 1);

		if (again)
			ADD(edge->client.retransmits[i], sign * again);
	}
}

/* The connection counts in the edge `number` from now on. Where both ends are here what is opened is accepted: one count. */
static __always_inline void pair_count(struct tcp_pair *pair, u32 number, int sign)
{
	struct tcp_edge *edge = edge_at(number);

	if (!edge)
		return;
	if (pair->client && pair->early)
		edge_early(edge, pair->early, sign);
	if (pair->existing) {
		ADD(edge->existing, sign);
		return;
	}
	if (!pair->client) {
		ADD(edge->accepts, 1);
		return;
	}
	ADD(edge->opens, sign);
	if (pair->syn_retransmits)
		ADD(edge->client.retransmits[TCP_RETRANSMIT_SYN], sign * pair->syn_retransmits);
	if (pair->connect_us)
		edge_time_us(edge, TCP_TIME_CONNECT, pair->connect_us, sign);
}

/* Clients whose edge is not known yet, by CPU. */
static __always_inline void waiting_add(s64 more)
{
	ADD(tcp_waiting[bpf_get_smp_processor_id() & (TCP_WAITING_CPUS - 1)].clients, more);
}

/* Nobody here has accepted it: a client of somebody outside. */
static __always_inline void client_counts(struct sock *sk, struct tcp_pair *pair)
{
	u32 number = edge_outside(sk, pair->client, pair->client_name);

	if (__sync_val_compare_and_swap(&pair->edge, EDGE_NONE, number) != EDGE_NONE)
		return;
	waiting_add(-1);
	pair_count(pair, number, 1);
}

/* Its queue had room again before the server forgot it. */
static __always_inline void turned_is_accepted(struct tcp_pair *pair, u32 number)
{
	struct tcp_edge *edge = edge_at(number);

	pair->turned = 0;
	if (edge)
		ADD(edge->accepts, -1);
}

/* Its server is known, or who turned it away: it counts in the edge `number`, wherever it did so far. FALSE: it has ended as
 * one to outside. */
static __always_inline bool pair_moves(struct tcp_pair *pair, u32 number)
{
	u32 before;

	if (__sync_val_compare_and_swap(&pair->edge, EDGE_NONE, number) == EDGE_NONE) {
		waiting_add(-1);
	} else {
		if (!pair->sockets[PAIR_CLIENT])
			return false;
		before = __sync_lock_test_and_set(&pair->edge, number);
		pair_count(pair, before, -1);
	}
	pair_count(pair, number, 1);
	return true;
}

/* Of two that would be a connection's server one is: TRUE. */
static __always_inline bool pair_takes_server(struct tcp_pair *pair, u64 owner)
{
	if (!pair->client || pair->server)
		return false;
	if (ADD(pair->ends, 1) == 0)
		return false; /* its client has just ended, and it with it */
	if (__sync_val_compare_and_swap(&pair->server, 0, owner) == 0)
		return true;
	ADD(pair->ends, -1);
	return false;
}

static __always_inline bool server_pairs(struct sock *sk, struct tcp_sock *tcp, struct tcp_pair *pair, u64 owner,
					 u32 name, bool soon)
{
	struct tcp_edge_key key = {
		.client = pair->client,
		.server = owner,
		.client_name = pair->client_name,
		.server_name = name,
		.port = sk->__sk_common.skc_num,
	};
	u32 number;

	if (!pair_takes_server(pair, owner))
		return false;
	number = soon ? edge_find_soon(&key) : edge_find(&key);
	if (pair_moves(pair, number) && pair->turned)
		turned_is_accepted(pair, number);
	pair->again[PAIR_SERVER] = tcp->total_retrans; /* of its SYN */
	pair->sockets[PAIR_SERVER] = (u64)sk; /* last: who finds it by this socket finds its edge, too */
	return true;
}

#include "tcp_crossed.bpf.h"

/* `crossed`: its other end connected to it at the same moment. */
static __always_inline void client_established(struct sock *sk, struct tcp_sock *tcp, bool crossed)
{
	struct tcp_pair pair = {
		.client = socket_owner(sk), .edge = EDGE_NONE, .ends = 1, .sockets[PAIR_CLIENT] = (u64)sk
	};
	u64 key = socket_pair_key(tcp, true);

	pair.established_us = tcp->tcp_mstamp;
	pair.again[PAIR_CLIENT] = tcp->total_retrans;
	pair.syn_retransmits = tcp->total_retrans < 255 ? tcp->total_retrans : 255;
	if (tcp->total_retrans || tcp_by_process) {
		struct tcp_socket *more = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);

		if (more) {
			pair.client_name = more->name;
			if (more->start_us)
				pair.connect_us = pair.established_us - more->start_us;
			bpf_sk_storage_delete(&tcp_sockets, sk);
		}
	}
	if (!tcp->total_retrans) /* the first round trip is that of the handshake */
		pair.connect_us = tcp->srtt_us / 8;
	if (!pair_add(key, &pair)) {
		connection_lost(sk);
		return;
	}
	waiting_add(1);
	if (crossed)
		pairs_cross(sk, key);
}

static __always_inline void server_established(struct sock *sk, struct tcp_sock *tcp)
{
	u64 key = socket_pair_key(tcp, false), owner;
	struct tcp_pair *pair = pair_find_awaiting(key, socket_netns(sk)), fresh = { .ends = 1 };
	u32 name;

	owner = owner_listening(sk, &name);
	if (pair && server_pairs(sk, tcp, pair, owner, name, true))
		return;
	fresh.server = owner;
	fresh.sockets[PAIR_SERVER] = (u64)sk;
	fresh.established_us = tcp->tcp_mstamp;
	fresh.again[PAIR_SERVER] = tcp->total_retrans;
	fresh.edge = edge_inside(sk, owner, name);
	if (!pair_add(key, &fresh)) {
		connection_lost(sk);
		return;
	}
	pair_count(&fresh, fresh.edge, 1);
}

/* The connection of a socket; `*client`: is it that end's? */
static __always_inline struct tcp_pair *socket_pair(struct sock *sk, struct tcp_sock *tcp, bool *client, u64 *key)
{
	/* Who connects has the larger port, mostly; a closed socket has none of its own any more. */
	u16 own = sk->__sk_common.skc_num, other = port_swap(sk->__sk_common.skc_dport);
	bool guess = own ? own > other : other < TCP_EPHEMERAL;
	struct tcp_pair *pair;

	*client = guess;
	*key = socket_pair_key(tcp, guess);
	pair = pair_find(*key, guess ? PAIR_CLIENT : PAIR_SERVER, (u64)sk);
	if (pair)
		return pair;
	*client = !guess;
	*key = socket_pair_key(tcp, !guess);
	pair = pair_find(*key, guess ? PAIR_SERVER : PAIR_CLIENT, (u64)sk);
	if (pair || !tcp_crossings)
		return pair;
	*client = false;
	return pair_of_crossed(sk, tcp, key);
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

/* ---- accept queues that are full ---- */

/* What the kernel asks before it drops a connection (sk_acceptq_is_full). */
static __always_inline bool listener_is_full(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_ack_backlog) > BPF_CORE_READ(sk, sk_max_ack_backlog);
}

/* No hook tells of a SYN that was dropped so, but that each packet consumed passes one, which is not paid for all the time: user
 * space attaches tcp_consumed when this is said and a queue is full. */
static __always_inline void queue_alarm(void)
{
	u64 nothing = 0;

	if (tcp_alarmed || __sync_val_compare_and_swap(&tcp_alarmed, 0, 1) != 0)
		return;
	if (bpf_ringbuf_output(&tcp_alarms, &nothing, sizeof(nothing), 0) != 0)
		tcp_alarmed = 0;
}

/* The edge to the server that turned it away. */
static __always_inline u32 turned_edge(const struct tcp_turned *turned, u64 client, u32 client_name)
{
	struct tcp_edge_key key = { .client = client,
				    .client_name = client_name,
				    .server = turned->server,
				    .server_name = turned->server_name,
				    .port = turned->port };

	return edge_find(&key);
}

/* A client that tries once more, or gives up. 0: no full queue has turned it away, as far as is known; else the edge. */
static __noinline u32 client_turned(struct tcp_sock *tcp, struct tcp_socket *more, u64 client, u32 name)
{
	struct tcp_turned *turned;
	struct tcp_edge *edge;
	u32 isn, number;

	if (!tcp || !tcp_turned_made)
		return 0;
	isn = tcp->snd_una;
	turned = bpf_map_lookup_elem(&tcp_turned, &isn);
	if (!turned)
		return 0;
	number = turned_edge(turned, client, name);
	edge = edge_at(number);
	if (edge && !__sync_lock_test_and_set(&turned->told, 1))
		ADD(edge->failures[TCP_FAILURE_OVERFLOW], 1);
	if (more)
		more->turned = 1;
	return number;
}

static __always_inline void turned_add(u32 isn, const struct tcp_turned *turned)
{
	struct tcp_turned *known = bpf_map_lookup_elem(&tcp_turned, &isn);

	if (known) {
		known->time_ns = turned->time_ns;
		return;
	}
	if (bpf_map_update_elem(&tcp_turned, &isn, turned, BPF_NOEXIST) == 0)
		ADD(tcp_turned_made, 1);
	else
		loss_add(LOSS_MAP, 1, 1);
}

/* The owner of a network namespace is found while it is still there. */
static __always_inline void refuser_ask(u32 netns)
{
	u64 asked = netns;
	u8 one = 1;

	if (bpf_map_update_elem(&tcp_refusers, &netns, &one, BPF_NOEXIST) == 0)
		bpf_ringbuf_output(&tcp_alarms, &asked, sizeof(asked), 0);
}

/* The edge of a client that was refused where nobody listens. 0: it was elsewhere, or a rule refused it. */
static __noinline u32 client_refused(struct tcp_sock *tcp, u64 client, u32 name)
{
	struct tcp_edge_key key = { .client = client, .client_name = name };
	struct refusal refusal;

	if (!tcp || !refusal_take(tcp, &refusal))
		return 0;
	key.server = TCP_OWNER_NETNS | refusal.netns;
	key.port = refusal.port;
	refuser_ask(refusal.netns);
	return edge_find(&key);
}

static __always_inline void connection_fails(struct sock *sk)
{
	enum tcp_failure failure = failure_of(sk->sk_err);
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct tcp_socket *more = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	/* It was told so by a packet or a timer, in anybody's time, or gave up itself. */
	u64 owner = failure == TCP_FAILURE_ABANDONED ? owner_here(sk) : socket_owner(sk);
	u32 name = more ? more->name : 0, number = client_turned(tcp, more, owner, name);
	bool turned = number != 0;
	struct tcp_edge *edge;

	if (!number && failure == TCP_FAILURE_REFUSED)
		number = client_refused(tcp, owner, name);
	if (!number)
		number = edge_outside(sk, owner, name);
	edge = edge_at(number);
	if (failure == TCP_FAILURE_ABANDONED && tcp && tcp->segs_out == 0)
		failure = TCP_FAILURE_LOCAL;
	if (edge && failure < TCP_FAILURES && !turned)
		ADD(edge->failures[failure], 1);
	if (edge && tcp && tcp->total_retrans)
		ADD(edge->client.retransmits[TCP_RETRANSMIT_SYN], tcp->total_retrans);
	if (more)
		bpf_sk_storage_delete(&tcp_sockets, sk); /* a socket may connect again */
}

#include "tcp_requests.bpf.h"

/* ---- hooks ---- */

/* Fewer than two requests. Those that came while nobody listened are not known: of what has sent and received more than one
 * segment it is not said. */
static __always_inline bool connection_is_single(struct tcp_sock *tcp, const struct tcp_pair *pair)
{
	if (pair->existing || pair->requests >= 2)
		return false;
	return pair->established_us >= tcp_heard_us || tcp->data_segs_in < 2 ||
	       tcp->data_segs_out < 2 + tcp->total_retrans;
}

static __always_inline void connection_ends(struct sock *sk, struct tcp_sock *tcp)
{
	struct tcp_done done;
	struct tcp_pair *pair;
	struct tcp_edge *edge;
	bool client, speaks;
	int error = sk->sk_err;
	u64 key;

	pair = socket_pair(sk, tcp, &client, &key);
	if (!pair) {
		ADD(tcp_strangers, 1);
		return;
	}
	pair->sockets[client ? PAIR_CLIENT : PAIR_SERVER] = 0;
	if (pair->edge == EDGE_NONE)
		client_counts(sk, pair);
	speaks = client || !pair->client;
	edge = edge_at(pair->edge);
	if (edge) {
		socket_done(sk, tcp, false, &done);
		account_complaints(&done, pair, edge, client);
		if (error == ECONNRESET || error == EPIPE)
			ADD(edge->resets, 1);
		if (speaks) {
			u64 now_us = tcp->tcp_mstamp;

			account_traffic(&done, pair, edge, client);
			ADD(edge_side(edge, client)->closes, 1);
			if (talk_awaits_ack(tcp, pair))
				talk_served(tcp, pair);
			if (connection_is_single(tcp, pair))
				ADD(edge->single, 1);
			if (pair->established_us && now_us >= pair->established_us)
				edge_time_us(edge, TCP_TIME_SESSION, now_us - pair->established_us, 1);
		}
	}
	pair_leave(key, pair);
}

static __always_inline void listener_starts(struct sock *sk, u64 owner, u32 name)
{
	struct tcp_listener_key key = { .netns = socket_netns(sk), .port = sk->__sk_common.skc_num };
	struct tcp_listener listener = { .owner = owner, .socket = (u64)sk, .name = name };

	bpf_map_update_elem(&tcp_listeners, &key, &listener, BPF_ANY);
}

static __always_inline int state_look(struct sock *sk, int before, int after)
{
	struct tcp_sock *tcp;
	bool crossed;

	/* Of the ten changes of a connection's two ends four say something, and one when it is rare. */
	if (!((1U << (after & 31)) &
	      (1U << TCP_ESTABLISHED | 1U << TCP_CLOSE | 1U << TCP_LISTEN | 1U << TCP_SYN_SENT | 1U << TCP_SYN_RECV)))
		return 0;
	if ((after == TCP_SYN_SENT && !tcp_by_process) || (after == TCP_SYN_RECV && before != TCP_SYN_SENT))
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == TCP_SYN_RECV) {
		socket_crosses(sk);
		return 0;
	}
	if (after == TCP_SYN_SENT) {
		struct tcp_socket *more = socket_more(sk);

		if (more)
			more->name = name_of(NULL);
		return 0;
	}
	if (after == TCP_LISTEN) {
		listener_starts(sk, owner_here(sk), name_of(NULL));
		return 0;
	}
	crossed = before == TCP_SYN_RECV && socket_has_crossed(sk);
	if (after == TCP_CLOSE && (before == TCP_SYN_SENT || crossed)) {
		loss_add(LOSS_SEEN, 1, 1);
		connection_fails(sk);
		return 0;
	}
	if (before == TCP_LISTEN || before == TCP_CLOSE)
		return 0;
	if (after == TCP_CLOSE && before == TCP_SYN_RECV)
		return 0;
	if (tcp_deaf && ADD(tcp_changes, 1) % tcp_deaf == 0) {
		ADD(tcp_left_out, 1);
		return 0;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	if (after == TCP_CLOSE) {
		connection_ends(sk, tcp);
		return 0;
	}
	loss_add(LOSS_SEEN, 1, 1);
	if (before == TCP_SYN_SENT || crossed)
		client_established(sk, tcp, crossed);
	else
		server_established(sk, tcp);
	return 0;
}

SEC("btf_tp/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int before, int after)
{
	return PACED(1, state_look(sk, before, after));
}

/* The clock of TCP in milliseconds at its first SYN; the kernel keeps it while no answer has come. */
static __always_inline void syn_again(struct sock *sk, struct tcp_sock *tcp)
{
	struct tcp_socket *more = socket_more(sk);
	u64 now_us = tcp->tcp_mstamp;
	u32 ago_ms;

	if (!more)
		return;
	ago_ms = (u32)(now_us / 1000) - tcp->retrans_stamp;
	if (!more->start_us && ago_ms < TCP_CONNECT_MS_MAX)
		more->start_us = now_us - (u64)ago_ms * 1000;
	queue_alarm();
	if (!more->turned)
		client_turned(tcp, more, socket_owner(sk), tcp_by_process ? more->name : 0);
}

static __always_inline enum tcp_retransmit retransmit_kind(struct tcp_sock *tcp)
{
	u8 congestion = BPF_CORE_READ_BITFIELD_PROBED(tcp, inet_conn.icsk_ca_state);

	return congestion == TCP_CA_LOSS       ? TCP_RETRANSMIT_RTO
	       : congestion == TCP_CA_RECOVERY ? TCP_RETRANSMIT_FAST
					       : TCP_RETRANSMIT_PROBE;
}

/* A client that sends again before its server has said that it is here: wherever the connection counts then, this counts, too. */
static __always_inline bool pair_is_early(struct tcp_pair *pair, enum tcp_retransmit kind, u32 segments)
{
	if (!pair->client || pair->server)
		return false;
	ADD(pair->early, (u64)segments << kind * EARLY_BITS);
	return pair->edge == EDGE_NONE;
}

/* What a socket counts itself is told, as what it was sent for: whenever this is not called, or there was nothing sent (of that Linux
 * tells, too, since 6.17), the sum stays right. */
static __always_inline int retransmit_look(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	enum tcp_retransmit kind;
	struct tcp_pair *pair;
	struct tcp_edge *edge;
	bool client;
	u32 segments;
	u64 key;

	if (!tcp)
		return 0;
	if (sk->__sk_common.skc_state == TCP_SYN_SENT) {
		syn_again(sk, tcp);
		return 0;
	}
	pair = socket_pair(sk, tcp, &client, &key);
	if (!pair)
		return 0;
	segments = grown_small(client ? &pair->again[PAIR_CLIENT] : &pair->again[PAIR_SERVER], tcp->total_retrans);
	kind = retransmit_kind(tcp);
	if (!segments || (client && pair_is_early(pair, kind, segments)))
		return 0;
	edge = edge_at(pair->edge);
	if (edge)
		ADD(edge_side(edge, client)->retransmits[kind], segments);
	return 0;
}

SEC("btf_tp/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit, struct sock *sk, struct sk_buff *skb)
{
	return PACED(2, retransmit_look(sk, skb));
}

/* Who turned `isn` away. */
static __always_inline void turned_describe(struct tcp_turned *turned, struct sock *listener, u32 netns, u16 port)
{
	struct tcp_listener_key key = { .netns = netns, .port = port };
	struct tcp_listener *known = bpf_map_lookup_elem(&tcp_listeners, &key);

	turned->server = BPF_CORE_READ(listener, sk_cgrp_data.cgroup, kn, id);
	if (known && turned->server == CGROUP_ROOT && v1_controller != V1_NONE)
		turned->server = known->owner;
	if (known)
		turned->server_name = known->name;
	turned->netns = netns;
	turned->port = port;
	turned->time_ns = turned->since_ns = bpf_ktime_get_ns();
}

/* A client that took its connection for open, of which its server has heard no end of the handshake. */
static __always_inline bool pair_turned(u64 key, u32 isn, const struct tcp_turned *turned)
{
	struct tcp_pair *pair = pair_find_awaiting(key, turned->netns);
	struct tcp_turned *known;
	struct tcp_edge *edge;
	u32 number;

	if (!pair)
		return false;
	if (pair->turned)
		return true;
	number = turned_edge(turned, pair->client, pair->client_name);
	edge = edge_at(number);
	if (!edge)
		return true;
	if (!pair_moves(pair, number))
		return true;
	pair->turned = 1;
	ADD(edge->accepts, 1);
	known = bpf_map_lookup_elem(&tcp_turned, &isn);
	if (!known || !__sync_lock_test_and_set(&known->told, 1))
		ADD(edge->failures[TCP_FAILURE_OVERFLOW], 1);
	return true;
}

/* A server sends its SYN again to somebody who has answered it: the answer found the queue full. */
static __always_inline int answered_again_look(struct sock *sk, struct tcp_request_sock *request)
{
	struct tcp_turned turned = {};
	struct tcp_edge_key key = {};
	u32 isn, own;

	if (!BPF_CORE_READ_BITFIELD_PROBED(request, req.acked) || !listener_is_full(sk))
		return 0;
	queue_alarm();
	isn = BPF_CORE_READ(request, rcv_isn);
	own = BPF_CORE_READ(request, snt_isn);
	turned_describe(&turned, sk, socket_netns(sk), sk->__sk_common.skc_num);
	if (pair_turned((u64)(isn + 1) << 32 | (own + 1), isn, &turned))
		return 0;
	socket_address((struct sock *)request, false, &key);
	turned.family = key.family;
	__builtin_memcpy(turned.address, key.address, sizeof(turned.address));
	turned_add(isn, &turned);
	return 0;
}

SEC("btf_tp/tcp_retransmit_synack")
int BPF_PROG(tcp_answered_again, struct sock *sk, struct tcp_request_sock *request)
{
	return PACED(3, answered_again_look(sk, request));
}

/* Where the socket that listens on the port lies, if it still does. */
static __always_inline struct sock *listener_find(u32 netns, u16 port)
{
	struct tcp_listener_key key = { .netns = netns, .port = port };
	struct tcp_listener *known = bpf_map_lookup_elem(&tcp_listeners, &key);
	struct sock *sk = known ? (struct sock *)known->socket : NULL;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN ||
	    BPF_CORE_READ(sk, __sk_common.skc_num) != port)
		return NULL;
	return sk;
}

/* A packet came to nobody, and its sender is told so. */
static __always_inline int refuses_look(struct sock *sk, struct sk_buff *skb)
{
	refusal_note(skb);
	return 0;
}

SEC("btf_tp/tcp_send_reset")
int BPF_PROG(tcp_refuses, struct sock *sk, struct sk_buff *skb)
{
	return PACED(3, refuses_look(sk, skb));
}

/* A packet is done with. Of all that are, a SYN that has come to a socket has lost its device before (tcp_v4_rcv). */
static __always_inline int consumed_look(struct sk_buff *skb)
{
	struct tcp_turned turned = {};
	struct syn syn = {};
	struct sock *listener;
	u32 netns;

	if (skb->dev || !skb->skb_iif || !syn_read(skb, &syn))
		return 0;
	netns = packet_netns(skb);
	listener = netns ? listener_find(netns, syn.port) : NULL;
	if (!listener || !listener_is_full(listener))
		return 0;
	turned.family = syn.family;
	_Static_assert(SYN_ADDRESS == TCP_ADDRESS, "copied");
	__builtin_memcpy(turned.address, syn.address, sizeof(turned.address));
	turned_describe(&turned, listener, netns, syn.port);
	turned_add(syn.isn, &turned);
	return 0;
}

SEC("btf_tp/consume_skb")
int BPF_PROG(tcp_consumed, struct sk_buff *skb)
{
	return PACED(3, consumed_look(skb));
}

/* Every socket that listens, of those known. */
SEC("btf_iter/bpf_map_elem")
int tcp_queues(struct bpf_iter__bpf_map_elem *context)
{
	const struct tcp_listener_key *key = context->key;
	struct sock *listener;

	if (!key)
		return 0;
	listener = listener_find(key->netns, key->port);
	if (listener && listener_is_full(listener))
		ADD(tcp_full, 1);
	return 0;
}

#include "tcp_walk.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
