/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Requests and their answers, told from what is sent after something was received. Behind the pairs, edges and sockets of
 * tcp.bpf.c. */
#pragma once

#define TCP_HEADER_SEQ 4 /* offsets in a segment's header, in bytes */
#define TCP_HEADER_LENGTH 12

static __always_inline u64 socket_sent(struct tcp_sock *tcp)
{
	return tcp->bytes_sent - tcp->bytes_retrans;
}

/* Is it one with payload, and the next in order? */
static __always_inline bool segment_carries(struct tcp_sock *tcp, struct sk_buff *skb)
{
	unsigned char *data = skb->data;
	u32 header[4];

	_Static_assert(sizeof(header) > TCP_HEADER_LENGTH, "the fields read");
	if (skb->len <= tcp->tcp_header_len || bpf_probe_read_kernel(header, sizeof(header), data) != 0)
		return false;
	if (skb->len <= (header[TCP_HEADER_LENGTH / 4] >> 4 & 15) * 4)
		return false; /* acknowledges selectively */
	return __builtin_bswap32(header[TCP_HEADER_SEQ / 4]) == tcp->rcv_nxt;
}

static __always_inline void talk_answered(struct tcp_sock *tcp, u32 number, u64 now_us)
{
	struct tcp_edge *edge = edge_at(number);

	/* Of what was asked while nobody listened the answer may have begun then, too. */
	if (edge && tcp->first_tx_mstamp && now_us >= tcp->first_tx_mstamp && tcp->first_tx_mstamp >= tcp_heard_us)
		edge_time_us(edge, TCP_TIME_REQUEST, now_us - tcp->first_tx_mstamp, 1);
}

static __always_inline void pair_requests(struct tcp_pair *pair)
{
	if (pair->requests < 2)
		pair->requests++;
}

/* A server's answer has been sent, which is heard of when it, or a part, is acknowledged. */
static __always_inline void talk_served(struct tcp_sock *tcp, struct tcp_pair *pair)
{
	struct tcp_edge *edge = edge_at(pair->edge);

	pair_requests(pair);
	if (edge && tcp->first_tx_mstamp >= pair->asked_us && pair->asked_us >= tcp_heard_us)
		edge_time_us(edge, TCP_TIME_REQUEST, tcp->first_tx_mstamp - pair->asked_us, 1);
	pair->asked_us = 0;
}

/* Only of a server whose client is elsewhere. */
static __always_inline bool talk_awaits_ack(struct tcp_sock *tcp, const struct tcp_pair *pair)
{
	return !pair->client && pair->asked_us && (u32)socket_sent(tcp) != pair->talked_bytes;
}

/* The connection of a socket that tells of its requests: a client, or a server whose client is elsewhere. NULL: it does not. */
static __noinline struct tcp_pair *talk_pair(struct sock *sk, struct tcp_sock *tcp)
{
	struct tcp_pair *pair;
	bool client;
	u64 key;

	pair = socket_pair(sk, tcp, &client, &key);
	if (!pair || (!client && pair->client))
		return NULL;
	if (client && pair->edge == EDGE_NONE) {
		if (pair->existing)
			return NULL; /* the walk that has found it comes to its server in a moment */
		client_counts(sk, pair);
	}
	return pair;
}

/* The first payload a socket gets. */
static __always_inline void talk_first(struct tcp_sock *tcp, struct tcp_pair *pair)
{
	u64 now_us = bpf_ktime_get_ns() / 1000;
	struct tcp_edge *edge = edge_at(pair->edge);

	pair->talks = 1;
	pair->talked_bytes = socket_sent(tcp);
	if (!pair->client) {
		pair->asked_us = now_us;
		return;
	}
	if (edge && pair->established_us && now_us >= pair->established_us)
		edge_time_us(edge, TCP_TIME_FIRST_BYTE, now_us - pair->established_us, 1);
	if (tcp->data_segs_out) {
		pair->requests = 1;
		talk_answered(tcp, pair->edge, now_us);
	}
}

/* Its first segments came while nobody listened: what came last came after what was sent last. */
static __always_inline bool request_goes_on(struct tcp_sock *tcp)
{
	return tcp_heard_us && (s32)(tcp->inet_conn.icsk_ack.lrcvtime - tcp->lsndtime) > 0;
}

static __always_inline void talk_goes_on(struct tcp_sock *tcp, struct tcp_pair *pair)
{
	u32 sent = socket_sent(tcp);

	if (!pair->talks) {
		if (tcp->data_segs_out < 2 + tcp->total_retrans)
			return; /* still the first answer */
		pair->talks = 1;
		pair->requests = pair->client ? 1 : 0; /* its first was answered before it had a second */
	}
	if (!pair->client) {
		if (talk_awaits_ack(tcp, pair))
			talk_served(tcp, pair);
		if (!pair->asked_us && !request_goes_on(tcp)) {
			pair->asked_us = bpf_ktime_get_ns() / 1000;
			pair->talked_bytes = sent;
		}
	} else if (pair->talked_bytes != sent) {
		pair_requests(pair);
		talk_answered(tcp, pair->edge, bpf_ktime_get_ns() / 1000);
		pair->talked_bytes = sent;
	}
}

static __always_inline void segment_look(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct tcp_pair *pair;
	bool carries;

	if (!tcp)
		return;
	if (!tcp_stirred)
		tcp_stirred = 1;
	carries = segment_carries(tcp, skb);
	if (!carries && (!tcp->packets_out || !tcp->bytes_received))
		return;
	pair = talk_pair(sk, tcp);
	if (!pair)
		return;
	if (!carries && talk_awaits_ack(tcp, pair))
		talk_served(tcp, pair);
	else if (carries && tcp->bytes_received)
		talk_goes_on(tcp, pair);
	else if (carries)
		talk_first(tcp, pair);
}

/* A segment has come, and nothing of it has been taken into account yet. */
SEC("btf_tp/tcp_probe")
int BPF_PROG(tcp_segment, struct sock *sk, struct sk_buff *skb)
{
	u64 since_ns;

	if (pace_is_closed())
		return 0;
	since_ns = pace_begin(0);
	segment_look(sk, skb);
	pace_end(0, since_ns);
	return 0;
}
