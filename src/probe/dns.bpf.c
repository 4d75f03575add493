/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* DNS questions and answers, seen where a socket sends and receives packets (programs of the root cgroup, which hold for
 * every socket of the machine). They look at two ports of each packet and let every packet pass.
 *
 * A question belongs to the socket that sends it, whoever runs meanwhile, and an answer comes back to the same socket:
 * the socket's cookie and the message's id join them, so address translation on the way does not matter. Where a
 * resolver's port is translated before our programs see it, the port the socket is connected to tells, and so does
 * 127.0.0.11, where Docker's resolver is. When the resolver's socket is on this machine, too, it is found by the
 * question itself arriving there.
 *
 * Only lengths and the fixed header are interpreted here. Names are copied, bounded, and parsed in user space. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "dns.h"
#define TABLE_CLASSES DNS_OUTCOMES
#include "bpf/askers.bpf.h"
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/dns_packet.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#define RATE_INTERVAL_NS 500000ULL /* names of one cgroup: 2,000 a second, */
#define RATE_BURST_NS 1000000000ULL /* and so many at once */
#define RATE_CGROUPS 4096
#include "bpf/rate.bpf.h"
#include "bpf/table.bpf.h"

#define DNS_RING_BYTES (1 << 20)
#define DNS_FINGERPRINTS 4096
#define DNS_FINGERPRINT 48 /* bytes of a message that tell it from others */
#define DNS_SIGHT_NS 1000000000ULL /* how long a question may be on its way to a resolver on this machine */
#define DNS_CHAIN_NS 5000000000ULL /* after a name that does not exist: how long the next ones are of interest */
#define DNS_CHAINS 4096

const volatile bool dns_names = false; /* send every answer's name, not only what may be a search list's waste */
const volatile __u32 dns_pending_owner = DNS_PENDING / DNS_PENDING_PART;
const volatile bool dns_chains = false; /* send those */
const volatile bool dns_moves = false; /* where its programs hang is for askers.h to say */
struct dns_passes dns_passes[DNS_PASSES_CPUS]; /* if so */
__u64 dns_names_lost = 0; /* names that were not sent: their container made too many, or the ring was full */
__u64 dns_strangers = 0; /* answers nobody waited for any more */
bool dns_left_out = false; /* not every question was looked at: to whom an answer is strange is not known any more */
__u32 dns_resolvers_used = 1;
bool dns_seeking = false; /* a question is on its way that a resolver of this machine may receive */
struct dns_owner dns_owners[DNS_OWNER_SLOTS]; /* by hash of the cgroup key */

/* Of memory that is there: to get and give it back for each question takes longer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DNS_PENDING);
	__type(key, struct dns_key);
	__type(value, struct dns_pending);
} dns_waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DNS_RESOLVERS);
	__type(key, struct dns_address);
	__type(value, u32);
} dns_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DNS_RESOLVERS);
	__type(key, u32);
	__type(value, struct dns_address);
} dns_resolvers SEC(".maps");

/* By row: the cgroup of the resolver, where it is on this machine, and when that was last looked for. */
struct dns_server {
	u64 cgroup_key, asked_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DNS_ROWS);
	__type(key, u32);
	__type(value, struct dns_server);
} dns_servers SEC(".maps");

struct dns_flying {
	u64 time_ns;
	u64 cgroup_key;
	u32 row;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DNS_FINGERPRINTS);
	__type(key, u64);
	__type(value, struct dns_flying);
} dns_fingerprints SEC(".maps");

/* Processes that were told of a name that does not exist, and when. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DNS_CHAINS);
	__type(key, u32);
	__type(value, u64);
} dns_disappointed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, DNS_RING_BYTES);
} dns_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct dns_record);
} dns_scratches SEC(".maps");

enum direction {
	SENT = 0,
	RECEIVED = 1,
};

/* ---- messages ---- */

static __always_inline enum dns_outcome message_outcome(const struct message *message)
{
	switch (MESSAGE_RCODE(message)) {
	case 0:
		if (MESSAGE_IS_TRUNCATED(message))
			return DNS_TRUNCATED;
		return MESSAGE_ANSWERS(message) ? DNS_NOERROR : DNS_NODATA;
	case 2:
		return DNS_SERVFAIL;
	case 3:
		return DNS_NXDOMAIN;
	case 5:
		return DNS_REFUSED;
	default:
		return DNS_OTHER;
	}
}

/* What tells this message from others, wherever on this machine it is seen; 0: too short. */
static __always_inline u64 message_fingerprint(struct __sk_buff *skb, u32 at)
{
	u64 words[DNS_FINGERPRINT / 8] = {}, hash = 0xcbf29ce484222325ULL;
	u32 bytes = skb->len - at;

	if (bytes > DNS_FINGERPRINT)
		bytes = DNS_FINGERPRINT;
	if (bytes < DNS_HEADER || bytes > DNS_FINGERPRINT || bpf_skb_load_bytes(skb, at, words, bytes) != 0)
		return 0;
	for (int i = 0; i < DNS_FINGERPRINT / 8; i++)
		hash = (hash ^ words[i] ^ words[i] >> 29) * 0x9fb21c651e98df25ULL;
	return hash;
}

/* The message seen last on this CPU, by direction. */
struct message_last {
	u64 which, time_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct message_last);
} dns_last SEC(".maps");

/* Where programs hang twice above a socket, which is so for moments, its packets are seen twice, one time right after the other. */
static __always_inline bool message_again(const struct dns_key *key, const struct dns_address *address, u32 direction)
{
	struct message_last *last;
	const u64 *words = (const u64 *)address->bytes;
	u64 which, now;
	bool again;

	if (!dns_moves)
		return false;
	last = bpf_map_lookup_elem(&dns_last, &direction);
	if (!last)
		return false;
	now = bpf_ktime_get_ns();
	which = (key->cookie * 0x9fb21c651e98df25ULL ^ words[0]) * 0x9e3779b97f4a7c15ULL ^
		words[1] * 0xd6e8feb86659fd93ULL ^ ((u64)key->id << 1 | key->tcp);
	again = last->which == which && now - last->time_ns < DNS_AGAIN_NS;
	last->which = which;
	last->time_ns = now;
	return again;
}

/* It is heard for as long as it goes on so, on sockets that were connected long ago, too. */
static __always_inline void asker_asks(struct bpf_sock *sk)
{
	struct asker *known, fresh = {};
	u64 key;

	if (!dns_moves)
		return;
	key = bpf_sk_cgroup_id(sk);
	known = bpf_map_lookup_elem(&askers, &key);
	fresh.asked_ns = bpf_ktime_get_ns();
	if (known)
		known->asked_ns = fresh.asked_ns;
	else
		bpf_map_update_elem(&askers, &key, &fresh, BPF_NOEXIST);
}

/* ---- bounds ---- */

static __always_inline u32 owner_slot(u64 cgroup_key)
{
	return (u32)((cgroup_key * 0x9fb21c651e98df25ULL) >> 40) & (DNS_OWNER_SLOTS - 1);
}

/* The number of a resolver's address; 0 when there are too many. */
static __always_inline u32 resolver_number(const struct dns_address *address, u32 slot)
{
	struct dns_address key = *address;
	u32 *known = bpf_map_lookup_elem(&dns_numbers, &key), number;
	struct dns_owner *owner = &dns_owners[slot & (DNS_OWNER_SLOTS - 1)];

	if (known)
		return *known;
	if (owner->resolvers >= DNS_RESOLVERS_OWNER || dns_resolvers_used >= DNS_RESOLVERS)
		return 0;
	number = __sync_fetch_and_add(&dns_resolvers_used, 1);
	if (number >= DNS_RESOLVERS)
		return 0;
	__sync_fetch_and_add(&owner->resolvers, 1);
	bpf_map_update_elem(&dns_resolvers, &number, &key, BPF_ANY);
	if (bpf_map_update_elem(&dns_numbers, &key, &number, BPF_NOEXIST) == 0)
		return number;
	known = bpf_map_lookup_elem(&dns_numbers, &key);
	return known ? *known : 0;
}

static __always_inline void pending_drop(struct dns_key *key, const struct dns_pending *pending)
{
	u32 slot = pending->slot;

	if (bpf_map_delete_elem(&dns_waiting, key) == 0)
		__sync_fetch_and_sub(&dns_owners[slot & (DNS_OWNER_SLOTS - 1)].pending, 1);
}

/* Is the row still the one the question was asked with? */
static __always_inline void row_add(u32 row, u64 cgroup_key, enum dns_outcome outcome, u64 ns, u32 many)
{
	struct table_owner *owner = table_owner(row);

	struct histogram_cells *cells;
	u32 bucket = histogram_cell_ns(ns);

	if (row == TABLE_NO_ROW || !owner || owner->key.cgroup_key != cgroup_key ||
	    !(cells = table_cells_of(row, outcome)) || bucket >= HISTOGRAM_CELLS) {
		loss_add(LOSS_MAP, many, ns * many);
		return;
	}
	__sync_fetch_and_add(&cells->sum, ns * many); /* a question may be interrupted by an answer */
	__sync_fetch_and_add(&cells->buckets[bucket], many);
	if (ns > cells->max)
		cells->max = ns;
}

/* ---- a question goes out ---- */

/* Where the resolver is on this machine, its socket will receive these bytes. Looked for once a second and row. */
static __always_inline void server_seek(struct __sk_buff *skb, u32 at, u32 row, u64 cgroup_key, u64 now)
{
	struct dns_server *server = bpf_map_lookup_elem(&dns_servers, &row);
	struct dns_flying flying = { .time_ns = now, .cgroup_key = cgroup_key, .row = row };
	u64 fingerprint;

	if (!server || (server->asked_ns && now - server->asked_ns < DNS_SIGHT_NS))
		return;
	fingerprint = message_fingerprint(skb, at);
	if (!fingerprint)
		return;
	server->asked_ns = now;
	bpf_map_update_elem(&dns_fingerprints, &fingerprint, &flying, BPF_ANY);
	dns_seeking = true;
}

static __always_inline void question_again(struct dns_try *try, const struct dns_pending *pending, u32 row,
					   u32 resolver, u64 now)
{
	if (try->start_ns)
		row_add(try->row, pending->cgroup_key, DNS_UNANSWERED, now - try->start_ns, pending->many);
	try->row = row;
	try->resolver = resolver;
	try->start_ns = now;
}

struct question {
	u64 cgroup_key, time_ns;
	u32 row, resolver, many, pad;
};

/* It has been asked before; FALSE: it has not. */
static __noinline bool question_known(struct dns_key *key, const struct question *question)
{
	struct dns_pending *known = bpf_map_lookup_elem(&dns_waiting, key);
	u32 row = question->row, resolver = question->resolver;
	u64 now = question->time_ns;

	if (!known)
		return false;
	for (int i = 0; i < DNS_TRIES; i++) {
		if (known->tries[i].start_ns && known->tries[i].resolver != resolver)
			continue;
		/* A TCP segment sent again is no second question. */
		if (!key->tcp || !known->tries[i].start_ns)
			question_again(&known->tries[i], known, row, resolver, now);
		return true;
	}
	question_again(&known->tries[0], known, row, resolver, now);
	return true;
}

static __noinline void question_keep(struct dns_key *key, const struct question *question)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 slot = owner_slot(question->cgroup_key);
	struct dns_owner *owner = &dns_owners[slot];
	struct dns_pending pending = {
		.cgroup_key = question->cgroup_key,
		.tgid = BPF_CORE_READ(task, tgid),
		.slot = slot,
		.many = question->many,
		.tries = { { .start_ns = question->time_ns, .row = question->row, .resolver = question->resolver } },
	};

	if (owner->pending >= dns_pending_owner) {
		if (!question_known(key, question))
			loss_add(LOSS_FLOOD, question->many, 0);
		return;
	}
	if (bpf_map_update_elem(&dns_waiting, key, &pending, BPF_NOEXIST) == 0)
		__sync_fetch_and_add(&owner->pending, 1);
	else if (!question_known(key, question))
		loss_add(LOSS_MAP, question->many, 0);
}

/* A question that is asked again belongs to the first: the choice has been made. */
static __always_inline u32 question_pick(struct dns_key *key)
{
	u32 many = budget_pick();

	if (many)
		return many;
	return bpf_map_lookup_elem(&dns_waiting, key) ? 1 : 0;
}

static __always_inline void question_seen(struct __sk_buff *skb, const struct packet *packet, struct bpf_sock *sk,
					  const struct message *message, u32 at)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct dns_key key = { .cookie = bpf_get_socket_cookie(skb), .id = MESSAGE_ID(message) };
	u64 cgroup_key = bpf_sk_cgroup_id(sk);
	struct dns_address address;
	struct table_key label;
	struct question question;
	u32 resolver, row, many;

	key.tcp = packet->protocol == IPPROTO_TCP;
	if (!packet_address(skb, packet, false, &address) || message_again(&key, &address, SENT))
		return;
	asker_asks(sk);
	many = question_pick(&key);
	if (!many) {
		dns_left_out = true;
		return;
	}
	if (cgroup_key == CGROUP_ROOT && v1_controller != V1_NONE)
		cgroup_key = cgroup_key_of(task); /* a datagram leaves in the hands of who sends it */
	resolver = resolver_number(&address, owner_slot(cgroup_key));
	table_key_init(&label, task, cgroup_key, DNS_LABEL(resolver, key.tcp));
	row = table_row(task, &label);
	if (row == TABLE_NO_ROW) {
		loss_add(LOSS_MAP, many, 0);
		return;
	}
	if (!table_wants(task, row))
		return;
	question = (struct question){
		.cgroup_key = cgroup_key,
		.time_ns = bpf_ktime_get_ns(),
		.row = row,
		.resolver = resolver,
		.many = many,
	};
	question_keep(&key, &question);
	server_seek(skb, at, row, cgroup_key, question.time_ns);
}

/* ---- an answer comes in ---- */

struct answer {
	u64 cgroup_key, time_ns, latency_ns, label;
	u32 tgid, row, outcome, many;
};

static __always_inline void name_send(struct __sk_buff *skb, const struct answer *answer, u32 at, u64 now)
{
	u32 zero = 0;
	struct dns_record *record = bpf_map_lookup_elem(&dns_scratches, &zero);
	u64 bytes;

	if (!record)
		return;
	if (!rate_allowed(answer->cgroup_key, now)) {
		__sync_fetch_and_add(&dns_names_lost, 1);
		return;
	}
	record->head.time_ns = now;
	record->head.task.cgroup_key = answer->cgroup_key;
	record->head.task.tgid = answer->tgid;
	record->latency_ns = answer->latency_ns;
	record->row = answer->row;
	record->label = answer->label;
	record->outcome = answer->outcome;
	record->many = answer->many;
	bytes = skb->len - at;
	if (bytes > DNS_QUESTION)
		bytes = DNS_QUESTION;
	record->question_bytes = bytes;
	bytes -= 1;
	asm volatile("" : "+r"(bytes)); /* so that the verifier sees the bounds, on Linux 6.1, too */
	bytes = (bytes & (DNS_QUESTION - 1)) + 1;
	if (bpf_skb_load_bytes(skb, at, record->question, bytes) != 0 ||
	    bpf_ringbuf_output(&dns_ring, record, sizeof(*record), 0) != 0)
		__sync_fetch_and_add(&dns_names_lost, 1);
}

/* Is the name worth a look in user space? */
static __always_inline bool name_matters(u32 tgid, enum dns_outcome outcome, u64 now)
{
	u64 *since;

	if (dns_names)
		return true;
	if (!dns_chains)
		return false;
	if (outcome == DNS_NXDOMAIN) {
		bpf_map_update_elem(&dns_disappointed, &tgid, &now, BPF_ANY);
		return true;
	}
	since = bpf_map_lookup_elem(&dns_disappointed, &tgid);
	return since && now - *since < DNS_CHAIN_NS;
}

/* Which of the resolvers that were asked has answered: the one with that address; behind translated addresses, the
 * first. */
static __always_inline int answer_try(const struct dns_pending *pending, const struct dns_address *address)
{
	int first = -1;
	u32 *number, resolver;

	if (pending->tries[0].start_ns && !pending->tries[1].start_ns && !pending->tries[2].start_ns)
		return 0;
	number = bpf_map_lookup_elem(&dns_numbers, address);
	resolver = number ? *number : 0;

	for (int i = DNS_TRIES - 1; i >= 0; i--) {
		if (!pending->tries[i].start_ns)
			continue;
		if (resolver && pending->tries[i].resolver == resolver)
			return i;
		first = i;
	}
	return first;
}

static __noinline bool answer_match(struct dns_key *key, struct dns_address *address, u32 outcome,
				    struct answer *answer)
{
	struct dns_pending *pending = bpf_map_lookup_elem(&dns_waiting, key);
	u64 now = bpf_ktime_get_ns();
	bool last = true;
	int which;

	if (!pending) {
		if (!dns_left_out)
			__sync_fetch_and_add(&dns_strangers, 1);
		return false;
	}
	which = answer_try(pending, address);
	if (which < 0 || which >= DNS_TRIES)
		return false;
	answer->cgroup_key = pending->cgroup_key;
	answer->time_ns = now;
	answer->tgid = pending->tgid;
	answer->many = pending->many;
	answer->row = pending->tries[which].row;
	answer->latency_ns = now - pending->tries[which].start_ns;
	answer->outcome = outcome;
	pending->tries[which].start_ns = 0;
	row_add(answer->row, answer->cgroup_key, outcome, answer->latency_ns, pending->many);
	for (int i = 0; i < DNS_TRIES; i++) {
		u64 start_ns = pending->tries[i].start_ns;

		if (!start_ns)
			continue;
		if (outcome == DNS_SERVFAIL || outcome == DNS_REFUSED || outcome == DNS_OTHER)
			last = false; /* whoever asked several still hopes */
		else
			row_add(pending->tries[i].row, pending->cgroup_key, DNS_SURPLUS, now - start_ns, pending->many);
	}
	if (last)
		pending_drop(key, pending);
	return true;
}

static __always_inline void answer_seen(struct __sk_buff *skb, const struct packet *packet,
					const struct message *message, u32 at)
{
	struct dns_key key = { .cookie = bpf_get_socket_cookie(skb), .id = MESSAGE_ID(message) };
	enum dns_outcome outcome = message_outcome(message);
	struct dns_address address;
	struct table_owner *owner;
	struct answer answer = {};

	key.tcp = packet->protocol == IPPROTO_TCP;
	if (!packet_address(skb, packet, true, &address) || message_again(&key, &address, RECEIVED))
		return;
	if (!answer_match(&key, &address, outcome, &answer))
		return;
	if (!name_matters(answer.tgid, outcome, answer.time_ns))
		return;
	owner = table_owner(answer.row);
	if (!owner)
		return;
	answer.label = owner->key.label;
	name_send(skb, &answer, at + DNS_HEADER, answer.time_ns);
}

/* A question arrives at a resolver of this machine. */
static __always_inline void server_seen(struct __sk_buff *skb, struct bpf_sock *sk, u32 at)
{
	u64 fingerprint = dns_seeking ? message_fingerprint(skb, at) : 0, key = bpf_sk_cgroup_id(sk);
	struct dns_flying *flying = fingerprint ? bpf_map_lookup_elem(&dns_fingerprints, &fingerprint) : NULL;
	struct table_owner *owner;
	struct dns_server *server;
	u32 row;

	if (flying)
		dns_seeking = false; /* that of others, just now, is found by a later question */
	if (!flying || bpf_ktime_get_ns() - flying->time_ns > DNS_SIGHT_NS)
		return;
	if (key == CGROUP_ROOT && v1_controller != V1_NONE)
		return; /* whoever it is, it is not who runs now */
	row = flying->row;
	owner = table_owner(row);
	server = bpf_map_lookup_elem(&dns_servers, &row);
	if (server && owner && owner->key.cgroup_key == flying->cgroup_key)
		server->cgroup_key = key;
	bpf_map_delete_elem(&dns_fingerprints, &fingerprint);
}

/* ---- programs ---- */

static __always_inline void message_seen(struct __sk_buff *skb, const struct packet *packet, struct bpf_sock *sk,
					 enum direction direction, bool to_resolver, u32 at)
{
	struct message message;

	if (at + DNS_HEADER > skb->len || bpf_skb_load_bytes(skb, at, &message, sizeof(message)) != 0)
		return;
	if (to_resolver && !MESSAGE_IS_ANSWER(&message) && MESSAGE_QUESTIONS(&message) == 1) {
		if (direction == SENT)
			question_seen(skb, packet, sk, &message, at);
		else
			server_seen(skb, sk, at);
	} else if (!to_resolver && direction == RECEIVED && MESSAGE_IS_ANSWER(&message)) {
		answer_seen(skb, packet, &message, at);
	}
}

/* One datagram is one message; over TCP each is preceded by its length. */
static __always_inline void messages_seen(struct __sk_buff *skb, const struct packet *packet, struct bpf_sock *sk,
					  enum direction direction, bool to_resolver)
{
	u32 at = packet_payload(skb, packet);
	u8 length[2];

	if (!at)
		return;
	if (packet->protocol == IPPROTO_UDP) {
		message_seen(skb, packet, sk, direction, to_resolver, at);
		return;
	}
	for (int i = 0; i < DNS_MESSAGES; i++) {
		if (at + sizeof(length) > skb->len || bpf_skb_load_bytes(skb, at, length, sizeof(length)) != 0)
			return;
		message_seen(skb, packet, sk, direction, to_resolver, at + sizeof(length));
		at += sizeof(length) + (length[0] << 8 | length[1]);
	}
}

/* By CPU: who sends may be interrupted by who receives, whose call is not counted then, once in a long while. */
static __always_inline void pass_count(void)
{
	if (dns_moves)
		dns_passes[bpf_get_smp_processor_id() & (DNS_PASSES_CPUS - 1)].count++;
}

static __always_inline int egress_look(struct __sk_buff *skb)
{
	struct packet packet;
	struct bpf_sock *sk;

	pass_count();
	if (!packet_read(skb, &packet))
		return PASS;
	sk = skb->sk;
	if (!sk)
		return PASS;
	if (packet.target_port != DNS_PORT && !packet.docker && sk->dst_port != bpf_htons(DNS_PORT))
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (sk)
		messages_seen(skb, &packet, sk, SENT, true);
	return PASS;
}

SEC("cgroup_skb/egress")
int dns_egress(struct __sk_buff *skb)
{
	return PACED(0, egress_look(skb));
}

static __always_inline int ingress_look(struct __sk_buff *skb)
{
	struct packet packet;
	struct bpf_sock *sk;

	pass_count();
	if (!packet_read(skb, &packet))
		return PASS;
	if (packet.source_port != DNS_PORT && packet.target_port != DNS_PORT && !packet.docker)
		return PASS;
	sk = skb->sk;
	if (!sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (sk)
		messages_seen(skb, &packet, sk, RECEIVED, packet.source_port != DNS_PORT);
	return PASS;
}

SEC("cgroup_skb/ingress")
int dns_ingress(struct __sk_buff *skb)
{
	return PACED(1, ingress_look(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
