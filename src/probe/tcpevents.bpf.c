/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP connections one by one, from their changes of state. A socket is whose cgroup owns it; its process is the one that
 * connected, or that listens. The ends of a connection find each other by its initial sequence numbers (see tcp.bpf.c). */
#define READ_BY_PROBE
#include "bpf/sock_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/births.bpf.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/event.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/refusals.bpf.h"
#include "bpf/retransmit.bpf.h"
#include "tcpevents.h"

#define TCPEVENTS_LEVELS 16
#define TCPEVENTS_EPHEMERAL 32768

/* Of one socket, while it lives. */
struct tcpevents_socket {
	struct tcpevents_who who;
	u64 start_us; /* SYN sent; 0: not seen */
	u64 established_us; /* 0: not seen */
	u64 pair, peer;
	u16 port; /* the server's; a closed socket has none of its own */
	u8 client;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tcpevents_socket);
} tcpevents_sockets SEC(".maps");

/* Owners of the ends, by initial sequence numbers. */
struct tcpevents_pair {
	u64 client, server;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TCPEVENTS_PAIRS);
	__type(key, u64);
	__type(value, struct tcpevents_pair);
} tcpevents_pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TCPEVENTS_LISTENERS);
	__type(key, struct tcpevents_listener_key);
	__type(value, struct tcpevents_who);
} tcpevents_listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tcpevents_record);
} tcpevents_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tcpevents_who);
} tcpevents_walker SEC(".maps");

static __always_inline u64 socket_owner(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn,
			     id); /* by probe: loads of kernel and map memory are not merged */
}

static __always_inline u16 port_swap(u16 port)
{
	return (port >> 8) | (port << 8);
}

static __always_inline u64 socket_pair_key(struct tcp_sock *tcp, bool client)
{
	u32 own = tcp->snd_una - (u32)tcp->bytes_acked + (client ? 1 : 0);
	u32 other = tcp->rcv_nxt - (u32)tcp->bytes_received;

	return client ? (u64)own << 32 | other : (u64)other << 32 | own;
}

/* Is the owner of a socket, or who is above it, wanted? */
static __always_inline bool socket_wanted(struct sock *sk, u64 key, u32 tgid)
{
	struct cgroup *cgroup = sk->sk_cgrp_data.cgroup;
	u8 *wanted;

	if (!filter_on)
		return true;
	if (filter_by_tgid && tgid && bpf_map_lookup_elem(&filter_tgids, &tgid))
		return true;
	wanted = bpf_map_lookup_elem(&filter_cgroups, &key);
	for (int i = 0; i < TCPEVENTS_LEVELS && !wanted && cgroup; i++) {
		u64 at = BPF_CORE_READ(cgroup, kn, id);

		wanted = bpf_map_lookup_elem(&filter_cgroups, &at);
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	return wanted && *wanted;
}

static __always_inline void who_fill(struct tcpevents_who *who, struct task_struct *task, u64 key)
{
	who->task.cgroup_key = key;
	who->task.tgid = BPF_CORE_READ(task, tgid);
	who->task.tid = BPF_CORE_READ(task, pid);
	BPF_CORE_READ_INTO(&who->task.comm, task, group_leader, comm);
	BPF_CORE_READ_INTO(&who->task.thread_comm, task, comm);
	who->inner_pid = event_inner_pid(task);
}

#define MAPPED_PREFIX 0xffff0000

static __always_inline void record_address(struct tcpevents_record *record, struct sock *sk)
{
	u32 words[TCPEVENTS_ADDRESS / 4] = {};

	record->family = AF_INET;
	if (sk->__sk_common.skc_family == AF_INET6) {
		bpf_probe_read_kernel(words, sizeof(words), &sk->__sk_common.skc_v6_daddr);
		if (words[0] == 0 && words[1] == 0 && words[2] == MAPPED_PREFIX) {
			words[0] = words[3];
			words[2] = words[3] = 0;
		} else {
			record->family = AF_INET6;
		}
	} else {
		words[0] = sk->__sk_common.skc_daddr;
	}
	__builtin_memcpy(record->address, words, sizeof(record->address));
}

/* One event of a socket; `socket` may be NULL when nothing is known of it. `refuser`: the namespace it was refused in; 0: none. */
static __always_inline void tell(struct sock *sk, struct tcp_sock *tcp, struct tcpevents_socket *socket, u32 kind,
				 u32 error, u32 refuser)
{
	u32 zero = 0;
	struct tcpevents_record *record = bpf_map_lookup_elem(&tcpevents_scratch, &zero);
	u64 owner = socket ? socket->who.task.cgroup_key : socket_owner(sk), begun;

	if (!record || !socket_wanted(sk, owner, socket ? socket->who.task.tgid : 0))
		return;
	loss_add(LOSS_SEEN, 1, 1);
	if (!event_allowed(owner))
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.time_ns = bpf_ktime_get_ns();
	record->head.kind = kind;
	record->head.task.cgroup_key = owner;
	record->error = error;
	record->sent = tcp->bytes_sent - tcp->bytes_retrans;
	record->received = tcp->bytes_received;
	if (record->received && sk->__sk_common.skc_flags & SOCK_DONE_BIT)
		record->received--; /* a FIN counts as a byte */
	record->rtt_us = tcp->srtt_us / 8;
	record_address(record, sk);
	record->client =
		port_swap(sk->__sk_common.skc_dport) < TCPEVENTS_EPHEMERAL; /* of one that was open before: a guess */
	if (socket) {
		record->known = 1;
		record->client = socket->client;
		record->head.task = socket->who.task;
		record->head.inner_pid = socket->who.inner_pid;
		record->pair = socket->pair;
		record->peer = socket->peer;
		begun = kind == TCPEVENTS_CONNECT || kind == TCPEVENTS_FAIL || !socket->established_us
				? socket->start_us
				: socket->established_us;
		if (begun && kind != TCPEVENTS_ACCEPT)
			record->duration_us = record->head.time_ns / 1000 - begun;
	}
	if (socket && !socket->client)
		record->port = socket->port;
	else
		record->port =
			port_swap(record->client ? sk->__sk_common.skc_dport : tcp->inet_conn.icsk_inet.inet_sport);
	record->refuser = refuser;
	event_send(record, sizeof(*record));
}

static __always_inline struct tcpevents_socket *socket_new(struct sock *sk)
{
	struct tcpevents_socket *socket = bpf_sk_storage_get(&tcpevents_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!socket)
		loss_add(LOSS_STORAGE, 1, 1);
	return socket;
}

/* In the hands of the task that connects. */
static __always_inline void connection_starts(struct sock *sk)
{
	struct tcpevents_socket *socket = socket_new(sk);
	u64 owner = socket_owner(sk);

	if (!socket)
		return;
	if (owner == CGROUP_ROOT && v1_controller != V1_NONE)
		owner = cgroup_key_current();
	who_fill(&socket->who, (struct task_struct *)bpf_get_current_task(), owner);
	socket->client = 1;
	socket->established_us = socket->pair = socket->peer = 0; /* a socket may be used again */
	socket->start_us = bpf_ktime_get_ns() / 1000;
}

/* Both ends have opened it at the same moment (see tcp_crossed.bpf.h): each is a client, and each the other's peer. */
static __always_inline void pairs_cross(struct tcpevents_socket *socket, struct tcpevents_pair *pair)
{
	u64 mirrored = socket->pair << 32 | socket->pair >> 32;
	struct tcpevents_pair *other = bpf_map_lookup_elem(&tcpevents_pairs, &mirrored);

	if (!other)
		return;
	other->server = pair->client;
	socket->peer = pair->server = other->client;
}

static __always_inline void client_established(struct sock *sk, struct tcp_sock *tcp, bool crossed)
{
	struct tcpevents_socket *socket = bpf_sk_storage_get(&tcpevents_sockets, sk, NULL, 0);
	struct tcpevents_pair pair = {};

	if (!socket) { /* began before we did */
		tell(sk, tcp, NULL, TCPEVENTS_CONNECT, 0, 0);
		return;
	}
	socket->established_us = bpf_ktime_get_ns() / 1000;
	socket->pair = socket_pair_key(tcp, true);
	pair.client = socket->who.task.cgroup_key;
	if (crossed)
		pairs_cross(socket, &pair);
	bpf_map_update_elem(&tcpevents_pairs, &socket->pair, &pair, BPF_ANY);
	tell(sk, tcp, socket, TCPEVENTS_CONNECT, 0, 0);
}

static __always_inline void server_established(struct sock *sk, struct tcp_sock *tcp)
{
	struct tcpevents_listener_key key = {};
	struct tcpevents_socket *socket = socket_new(sk);
	struct tcpevents_who *listener;
	struct tcpevents_pair *pair;

	if (!socket)
		return;
	key.netns = sk->__sk_common.skc_net.net->ns.inum;
	key.port = sk->__sk_common.skc_num;
	listener = bpf_map_lookup_elem(&tcpevents_listeners, &key);
	if (listener)
		socket->who = *listener;
	if (!listener || socket_owner(sk) != CGROUP_ROOT)
		socket->who.task.cgroup_key = socket_owner(sk);
	socket->established_us = bpf_ktime_get_ns() / 1000;
	socket->port = key.port;
	socket->pair = socket_pair_key(tcp, false);
	pair = bpf_map_lookup_elem(&tcpevents_pairs, &socket->pair);
	if (pair) {
		pair->server = socket->who.task.cgroup_key;
		socket->peer = pair->client;
	}
	tell(sk, tcp, socket, TCPEVENTS_ACCEPT, 0, 0);
}

static __always_inline void connection_ends(struct sock *sk, struct tcp_sock *tcp)
{
	struct tcpevents_socket *socket = bpf_sk_storage_get(&tcpevents_sockets, sk, NULL, 0);
	int error = sk->sk_err;
	bool reset = error == ECONNRESET || error == EPIPE;

	if (socket && socket->client && socket->pair) {
		struct tcpevents_pair *pair = bpf_map_lookup_elem(&tcpevents_pairs, &socket->pair);

		if (pair) {
			socket->peer = pair->server;
			bpf_map_delete_elem(&tcpevents_pairs, &socket->pair);
		}
	}
	tell(sk, tcp, socket, reset ? TCPEVENTS_RESET : TCPEVENTS_CLOSE, error, 0);
	if (socket)
		socket->established_us = 0;
}

static __always_inline void connection_fails(struct sock *sk, struct tcp_sock *tcp)
{
	struct tcpevents_socket *socket = bpf_sk_storage_get(&tcpevents_sockets, sk, NULL, 0);
	struct refusal refusal = {};
	int error = sk->sk_err;

	if (error == ECONNREFUSED)
		refusal_take(tcp, &refusal);
	tell(sk, tcp, socket, TCPEVENTS_FAIL, error, refusal.netns);
}

/* Did it connect, although it got a SYN first? */
static __always_inline bool socket_has_crossed(struct sock *sk)
{
	struct tcpevents_socket *socket = bpf_sk_storage_get(&tcpevents_sockets, sk, NULL, 0);

	return socket && socket->client;
}

SEC("btf_tp/inet_sock_set_state")
int BPF_PROG(tcpevents_state, struct sock *sk, int before, int after)
{
	struct tcp_sock *tcp;
	bool crossed;

	if (after != TCP_ESTABLISHED && after != TCP_CLOSE && after != TCP_SYN_SENT && after != TCP_LISTEN)
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == TCP_SYN_SENT) {
		connection_starts(sk);
		return 0;
	}
	if (after == TCP_LISTEN) {
		struct tcpevents_listener_key key = { .netns = sk->__sk_common.skc_net.net->ns.inum,
						      .port = sk->__sk_common.skc_num };
		struct tcpevents_who who = {};

		who_fill(&who, (struct task_struct *)bpf_get_current_task(), cgroup_key_current());
		bpf_map_update_elem(&tcpevents_listeners, &key, &who, BPF_ANY);
		return 0;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || before == TCP_LISTEN || before == TCP_CLOSE)
		return 0;
	crossed = before == TCP_SYN_RECV && socket_has_crossed(sk);
	if (after == TCP_ESTABLISHED) {
		if (before == TCP_SYN_SENT || crossed)
			client_established(sk, tcp, crossed);
		else
			server_established(sk, tcp);
		return 0;
	}
	if (before == TCP_SYN_SENT || crossed)
		connection_fails(sk, tcp);
	else if (before != TCP_SYN_RECV)
		connection_ends(sk, tcp);
	return 0;
}

SEC("btf_tp/tcp_send_reset")
int BPF_PROG(tcpevents_refuses, struct sock *sk, struct sk_buff *skb)
{
	refusal_note(skb);
	return 0;
}

SEC("btf_tp/tcp_retransmit_skb")
int BPF_PROG(tcpevents_retransmit, struct sock *sk)
{
	struct tcpevents_socket *socket = bpf_sk_storage_get(&tcpevents_sockets, sk, NULL, 0);
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	u32 kind = TCPEVENTS_PROBE;
	u8 congestion;

	if (!tcp || RETRANSMIT_FAILED(ctx))
		return 0;
	congestion = BPF_CORE_READ_BITFIELD_PROBED(tcp, inet_conn.icsk_ca_state);
	if (sk->__sk_common.skc_state == TCP_SYN_SENT)
		kind = TCPEVENTS_SYN;
	else if (congestion == TCP_CA_LOSS)
		kind = TCPEVENTS_RTO;
	else if (congestion == TCP_CA_RECOVERY)
		kind = TCPEVENTS_FAST;
	tell(sk, tcp, socket, TCPEVENTS_RETRANSMIT, kind, 0);
	return 0;
}

/* Who listens already. */
SEC("btf_iter/task_file")
int tcpevents_listening(struct bpf_iter__task_file *context)
{
	struct tcpevents_listener_key key = {};
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct tcpevents_who *who;
	struct socket *socket;
	struct sock *sk;
	u32 zero = 0;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP || sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	key.port = sk->__sk_common.skc_family;
	if (key.port != AF_INET && key.port != AF_INET6)
		return 0;
	who = bpf_map_lookup_elem(&tcpevents_walker, &zero);
	if (!who)
		return 0;
	who_fill(who, task, cgroup_key_of(task));
	key.netns = sk->__sk_common.skc_net.net->ns.inum;
	key.port = sk->__sk_common.skc_num;
	bpf_map_update_elem(&tcpevents_listeners, &key, who, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
