/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The few fields of sockets our programs read (see kernel_types.h). */
#pragma once
#include "kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr___kernel {
	u8 bytes[16];
};

struct sock_common {
	u32 skc_daddr, skc_rcv_saddr; /* network order */
	u16 skc_dport; /* network order */
	u16 skc_num; /* local port, host order */
	u16 skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	unsigned long skc_flags;
	struct in6_addr___kernel skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock_cgroup_data {
	struct cgroup *cgroup; /* v2: never NULL */
};

struct sock {
	struct sock_common __sk_common;
	u8 sk_userlocks : 4;
	u16 sk_protocol;
	u32 sk_ack_backlog, sk_max_ack_backlog; /* of who listens: connections nobody has accepted yet */
	int sk_err;
	struct sock_cgroup_data sk_cgrp_data;
};

struct socket {
	short type; /* SOCK_STREAM … */
	struct file *file;
	struct sock *sk;
};

struct inet_sock {
	u16 inet_sport; /* local port, network order; stays when a closing socket gives its port back */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	u8 icsk_ca_state : 5;
	struct {
		u32 lrcvtime; /* ticks: when payload came last */
	} icsk_ack;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u16 tcp_header_len; /* without selective acknowledgements */
	u32 packets_out;
	u64 first_tx_mstamp; /* µs: when the first segment of those under way was sent, or the one acknowledged last */
	u32 snd_una, rcv_nxt;
	u64 bytes_acked, bytes_received, bytes_sent, bytes_retrans;
	u32 segs_out, segs_in;
	u32 data_segs_out, data_segs_in, total_retrans, retrans_stamp;
	u32 lsndtime; /* ticks: when payload was sent last */
	u32 dsack_dups;
	u32 srtt_us; /* µs, times eight */
	u64 tcp_mstamp; /* µs, CLOCK_MONOTONIC, of the last packet */
	u32 chrono_stat[3], chrono_start; /* ticks */
	u8 chrono_type : 2;
};

struct request_sock_queue {
	u8 rskq_defer_accept; /* 0: a connection counts without payload */
};

struct inet_request_sock {
	u16 acked : 1; /* the end of its handshake has come, and was dropped */
};

struct tcp_request_sock {
	struct inet_request_sock req;
	u32 rcv_isn, snt_isn;
};

struct net_device {
	possible_net_t nd_net;
};

struct dst_entry {
	struct net_device *dev;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len, end;
	u16 protocol; /* network order: an Ethernet type; 0: not a packet of a network */
	u16 network_header, transport_header; /* bytes behind `head` */
	unsigned long _skb_refdst; /* struct dst_entry *, the lowest bit set aside */
	unsigned char *head, *data;
	char cb[48]; /* TCP's own: struct tcp_skb_cb */
	int skb_iif; /* interface it came from; 0: made here */
};

struct tcp_skb_cb {
	u16 tcp_gso_segs; /* segments it is to be cut into */
};

struct skb_shared_info {
	u16 gso_segs; /* packets it is to be cut into; 0: none */
};

struct sockaddr_un___kernel {
	u16 sun_family;
};

struct unix_address {
	int len; /* family included */
	struct sockaddr_un___kernel name[0];
};

struct unix_sock {
	struct unix_address *addr; /* NULL: never bound */
	struct sock *peer;
};

struct bpf_iter__task_file {
	struct task_struct *task;
	struct file *file;
};

struct bpf_iter__bpf_map_elem {
	void *key, *value;
};

#pragma clang attribute pop

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define SOCK_STREAM 1

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_CLOSE = 7,
	TCP_LISTEN = 10,
};

#define SOCK_BINDPORT_LOCK 8 /* include/net/sock.h: bound to a port that was asked for */

/* include/uapi/linux/tcp.h */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4

#define CHRONO_WINDOW 1 /* enum tcp_chrono, less one: TCP_CHRONO_RWND_LIMITED */
#define SOCK_DONE_BIT (1UL << 1) /* include/net/sock.h: SOCK_DONE, a FIN has come */

#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTDOWN 112
#define EHOSTUNREACH 113
#define ENETUNREACH 101
#define ENETDOWN 100
#define EPIPE 32
#define EAGAIN 11
#define ENOMEM 12
#define EBUSY 16
#define EINVAL 22
