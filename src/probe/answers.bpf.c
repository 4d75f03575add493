/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies answers of DNS to questions that were seen. Every packet passes. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "answers.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/dns_packet.bpf.h"
#define RATE_INTERVAL_NS 500000ULL /* questions of one cgroup: 2,000 a second, */
#define RATE_BURST_NS 1000000000ULL /* and so many at once */
#define RATE_CGROUPS 4096
#include "bpf/rate.bpf.h"

__u64 answers_left_out = 0; /* questions of containers that asked too many */
__u64 answers_lost = 0; /* answers for which the ring had no room */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ANSWERS_ASKED);
	__type(key, struct answers_question);
	__type(value, u64); /* whose: a cgroup key */
} answers_asked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ANSWERS_RING_BYTES);
} answers_ring SEC(".maps");

/* Reads the header of the message at `*at`, which moves behind the length that precedes it over TCP. */
static __always_inline bool message_read(struct __sk_buff *skb, const struct packet *packet, struct message *message,
					 u32 *at)
{
	*at = packet_payload(skb, packet);
	if (!*at)
		return false;
	if (packet->protocol == IPPROTO_TCP)
		*at += 2;
	return *at + DNS_HEADER <= skb->len && bpf_skb_load_bytes(skb, *at, message, sizeof(*message)) == 0;
}

SEC("cgroup_skb/egress")
int answers_egress(struct __sk_buff *skb)
{
	struct answers_question question = {};
	struct message message;
	struct packet packet;
	struct bpf_sock *sk;
	u64 cgroup_key;
	u32 at;

	if (!packet_read(skb, &packet))
		return PASS;
	sk = skb->sk;
	if (!sk)
		return PASS;
	if (packet.target_port != DNS_PORT && !packet.docker && sk->dst_port != bpf_htons(DNS_PORT))
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || !message_read(skb, &packet, &message, &at) || MESSAGE_IS_ANSWER(&message) ||
	    MESSAGE_QUESTIONS(&message) != 1)
		return PASS;
	cgroup_key = bpf_sk_cgroup_id(sk);
	if (cgroup_key == CGROUP_ROOT && v1_controller != V1_NONE)
		cgroup_key = cgroup_key_of((void *)bpf_get_current_task()); /* it leaves in the hands of who sends it */
	if (!rate_allowed(cgroup_key, bpf_ktime_get_ns())) {
		__sync_fetch_and_add(&answers_left_out, 1);
		return PASS;
	}
	question.cookie = bpf_get_socket_cookie(skb);
	question.id = MESSAGE_ID(&message);
	question.tcp = packet.protocol == IPPROTO_TCP;
	bpf_map_update_elem(&answers_asked, &question, &cgroup_key, BPF_ANY);
	return PASS;
}

static __always_inline void answer_send(struct __sk_buff *skb, u64 cgroup_key, u32 at)
{
	struct answers_record *record = bpf_ringbuf_reserve(&answers_ring, sizeof(*record), 0);
	u64 bytes = skb->len - at;

	if (!record) {
		__sync_fetch_and_add(&answers_lost, 1);
		return;
	}
	if (bytes > ANSWERS_MESSAGE)
		bytes = ANSWERS_MESSAGE;
	record->cgroup_key = cgroup_key;
	record->bytes = bytes;
	bytes -= 1;
	asm volatile("" : "+r"(bytes)); /* so that the verifier sees the bounds, on Linux 6.1, too */
	bytes = (bytes & (ANSWERS_MESSAGE - 1)) + 1;
	if (bpf_skb_load_bytes(skb, at, record->message, bytes) != 0)
		record->bytes = 0;
	bpf_ringbuf_submit(record, 0);
}

SEC("cgroup_skb/ingress")
int answers_ingress(struct __sk_buff *skb)
{
	struct answers_question question = {};
	struct message message;
	struct packet packet;
	u64 *asked, cgroup_key;
	u32 at;

	if (!packet_read(skb, &packet) || packet.source_port != DNS_PORT || !skb->sk)
		return PASS;
	if (!message_read(skb, &packet, &message, &at) || !MESSAGE_IS_ANSWER(&message))
		return PASS;
	question.cookie = bpf_get_socket_cookie(skb);
	question.id = MESSAGE_ID(&message);
	question.tcp = packet.protocol == IPPROTO_TCP;
	asked = bpf_map_lookup_elem(&answers_asked, &question);
	if (!asked)
		return PASS;
	cgroup_key = *asked;
	bpf_map_delete_elem(&answers_asked, &question);
	if (MESSAGE_RCODE(&message) == 0 && MESSAGE_ANSWERS(&message))
		answer_send(skb, cgroup_key, at);
	return PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
