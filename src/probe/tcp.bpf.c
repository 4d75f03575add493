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
#include "bpf/refusals.bpf.h"
#include "tcp.h"

const volatile __u32 tcp_edges_max = TCP_EDGES;
const volatile __u32 tcp_near_bits = TCP_NEAR_BITS; /* of the number of buckets of pairs: those tried first, */
const volatile __u32 tcp_bucket_bits = TCP_BUCKET_BITS; /* and the others */
const volatile bool tcp_by_process = false; /* edges by the ends' process names, too */
const volatile bool tcp_counts_segments = false; /* those that are looked at */
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

enum pair_end {
	PAIR_CLIENT = 0,
	PAIR_SERVER = 1,
	PAIR_ENDS = 2,
};

/* A connection one of whose ends is here, by its initial sequence numbers: found from either socket at any time, so
 * sockets need nothing of their own (the kernel takes 320 bytes for the least that is kept with one). A client's waits for its
 * server, who says so a moment later; it counts in the edge that names both, or, when a walk or the end of the connection comes
 * first, in that to an address outside. What has been told of it so far is kept, so that telling again is harmless: of the end that
 * speaks, which is the client where it is here; of the other only what an end alone knows. */
struct tcp_pair {
	u64 client, server; /* owners; 0: that end has not been seen */
	u64 established_us; /* clock of TCP; 0: before the start */
	u64 sockets[PAIR_ENDS]; /* where those of its ends lie; 0: not here, or it has ended */
	u32 connect_us; /* 0: not known */
	u32 edge; /* EDGE_NONE: does not count yet */
	u32 ends; /* open ones that are here */
	u16 client_name; /* 0 unless tcp_by_process */
	u8 syn_retransmits; /* 255: or more */
	u8 existing : 1; /* found open */
	u8 turned : 1; /* a full accept queue has dropped the end of its handshake */
	u8 doubts : 2; /* ends whose sockets were no longer there at the last sweep, by bit */
	/* up to here in the first line of memory, which is all that short connections change once they are there */
	u64 sent_bytes, received_bytes;
	union {
		u64 asked_us; /* of a server that speaks: when the request came; 0: it was answered */
		u64 early; /* of a client: what it sent again while its server was not known (EARLY_BITS a kind) */
	};
	u32 sent_segments, received_segments;
	u32 spurious[PAIR_ENDS], window_limited[PAIR_ENDS], again[PAIR_ENDS];
	u32 talked_bytes; /* sent when a request was answered (client) or came (server) last: the lower half */
	u8 requests; /* that were answered; 2: or more */
	u8 talks; /* 1: what it received first was seen */
	u8 met; /* 1: a visit has told of it */
};
_Static_assert(sizeof(struct tcp_pair) == 120, "16 MiB of them");

/* Where they lie: the kernel's hash tables are too slow for five looks at each connection. A bucket's keys are one line of
 * memory; what finds its bucket full goes on to the next table: from a small one, which stays in the CPU's caches while
 * few connections are open at a time, to a large one, to one of the kernel's. Sequence numbers are random already. */
#define PAIRS_BUCKET 8
#define PAIRS_TAKEN 1 /* in place of a key: being filled in */

struct tcp_bucket {
	u64 keys[PAIRS_BUCKET]; /* 0: free */
	struct tcp_pair pairs[PAIRS_BUCKET];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << TCP_NEAR_BITS);
	__type(key, u32);
	__type(value, struct tcp_bucket);
} tcp_near SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << TCP_BUCKET_BITS);
	__type(key, u32);
	__type(value, struct tcp_bucket);
} tcp_buckets SEC(".maps");
_Static_assert(PAIRS_BUCKET << TCP_BUCKET_BITS == TCP_SOCKETS, "room for all");
__u64 tcp_far = 0; /* are there */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TCP_SPILLED);
	__type(key, u64);
	__type(value, struct tcp_pair);
} tcp_pairs SEC(".maps");
__u64 tcp_spilled = 0; /* are there */

/* Of the few sockets that need something of their own: those that connect, when their SYN was sent again or processes are told
 * apart, and those there was no room for. */
struct tcp_socket {
	u64 start_us; /* first SYN sent; 0: not known */
	u32 name; /* of the process */
	u8 is_lost : 1; /* there was no room for its connection: counted once, however often a walk tries again */
	u8 turned : 1; /* it counts as turned away by a full accept queue */
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

#define ADD(where, amount) __sync_fetch_and_add(&(where), (amount))

/* ---- pairs ---- */

static __always_inline u32 bucket_number(u64 key, u32 bits)
{
	return (key ^ key >> 32) * 0x9e3779b97f4a7c15ULL >> (64 - bits);
}

static __always_inline struct tcp_bucket *bucket_near(u64 key)
{
	u32 number = bucket_number(key, tcp_near_bits);

	return bpf_map_lookup_elem(&tcp_near, &number);
}

static __always_inline struct tcp_bucket *bucket_far(u64 key)
{
	u32 number = bucket_number(key, tcp_bucket_bits);

	return bpf_map_lookup_elem(&tcp_buckets, &number);
}

/* Always 0, which the verifier cannot know: a slot is any of them to it then, and what follows is checked once, not once
 * a slot. */
volatile __u32 tcp_any_slot = 0;

static __always_inline struct tcp_pair *bucket_pair(struct tcp_bucket *bucket, u32 slot)
{
	return &bucket->pairs[(slot + tcp_any_slot) & (PAIRS_BUCKET - 1)];
}

/* Initial sequence numbers come from addresses, ports and a clock that ticks every 64 ns, and the next free port from a
 * counter all network namespaces share: two namespaces with the same addresses (127.0.0.1) do have connections with the same
 * numbers at the same time, some in a million. So a key may be there twice, and it is the socket that tells which is its own. */
static __always_inline bool pair_is_of(const struct tcp_pair *pair, enum pair_end end, u64 socket)
{
	return (end == PAIR_CLIENT ? pair->sockets[PAIR_CLIENT] : pair->sockets[PAIR_SERVER]) == socket;
}

static __always_inline struct tcp_pair *bucket_find(struct tcp_bucket *bucket, u64 key, enum pair_end end, u64 socket)
{
	for (int i = 0; bucket && i < PAIRS_BUCKET; i++)
		if (bucket->keys[i] == key && pair_is_of(&bucket->pairs[i], end, socket))
			return bucket_pair(bucket, i);
	return NULL;
}

static __always_inline bool pair_awaits_server(const struct tcp_pair *pair)
{
	return pair->client && !pair->server;
}

static __always_inline bool pair_client_is_in(const struct tcp_pair *pair, u32 netns)
{
	struct sock *client = (struct sock *)pair->sockets[PAIR_CLIENT];

	return client && BPF_CORE_READ(client, __sk_common.skc_net.net, ns.inum) == netns;
}

/* Of two that wait for their server that whose client is in the server's network namespace. */
static __always_inline struct tcp_pair *bucket_find_awaiting(struct tcp_bucket *bucket, u64 key, u32 netns)
{
	struct tcp_pair *found = NULL;

	for (int i = 0; bucket && i < PAIRS_BUCKET; i++) {
		if (bucket->keys[i] != key || !pair_awaits_server(&bucket->pairs[i]))
			continue;
		if (!found || !pair_client_is_in(found, netns))
			found = bucket_pair(bucket, i);
	}
	return found;
}

static __always_inline struct tcp_pair *bucket_add(struct tcp_bucket *bucket, u64 key, const struct tcp_pair *pair)
{
	for (int i = 0; bucket && i < PAIRS_BUCKET; i++) {
		struct tcp_pair *made;

		if (bucket->keys[i] != 0 || __sync_val_compare_and_swap(&bucket->keys[i], 0, PAIRS_TAKEN) != 0)
			continue;
		made = bucket_pair(bucket, i);
		*made = *pair;
		__sync_lock_test_and_set(&bucket->keys[i], key);
		return made;
	}
	return NULL;
}

/* Takes away one that has no ends any more. */
static __always_inline bool bucket_delete(struct tcp_bucket *bucket, u64 key)
{
	for (int i = 0; bucket && i < PAIRS_BUCKET; i++)
		if (bucket->keys[i] == key && !bucket->pairs[i].sockets[PAIR_CLIENT] &&
		    !bucket->pairs[i].sockets[PAIR_SERVER] &&
		    __sync_val_compare_and_swap(&bucket->keys[i], key, 0) == key)
			return true;
	return false;
}

/* That with this key whose `end` is the socket. NULL: nobody has told of it. */
static __noinline struct tcp_pair *pair_find(u64 key, enum pair_end end, u64 socket)
{
	struct tcp_pair *pair = bucket_find(bucket_near(key), key, end, socket);

	if (pair)
		return pair;
	if (tcp_far)
		pair = bucket_find(bucket_far(key), key, end, socket);
	if (pair || !tcp_spilled)
		return pair;
	pair = bpf_map_lookup_elem(&tcp_pairs, &key);
	return pair && pair_is_of(pair, end, socket) ? pair : NULL;
}

/* Where a server's client waits for it. NULL: nobody has told of it. */
static __noinline struct tcp_pair *pair_find_awaiting(u64 key, u32 netns)
{
	struct tcp_pair *pair = bucket_find_awaiting(bucket_near(key), key, netns);

	if (pair)
		return pair;
	if (tcp_far)
		pair = bucket_find_awaiting(bucket_far(key), key, netns);
	if (pair || !tcp_spilled)
		return pair;
	pair = bpf_map_lookup_elem(&tcp_pairs, &key);
	return pair && pair_awaits_server(pair) ? pair : NULL;
}

/* NULL: there is no room. */
static __noinline struct tcp_pair *pair_add(u64 key, const struct tcp_pair *pair)
{
	struct tcp_pair *made = bucket_add(bucket_near(key), key, pair);

	if (made)
		return made;
	made = bucket_add(bucket_far(key), key, pair);
	if (made) {
		ADD(tcp_far, 1);
		return made;
	}
	if (bpf_map_update_elem(&tcp_pairs, &key, pair, BPF_NOEXIST) != 0)
		return NULL;
	ADD(tcp_spilled, 1);
	return bpf_map_lookup_elem(&tcp_pairs, &key);
}

/* One of its ends is no more, and no longer among its sockets. */
static __noinline void pair_leave(u64 key, struct tcp_pair *pair)
{
	if (!pair || ADD(pair->ends, -1) > 1)
		return;
	if (bucket_delete(bucket_near(key), key))
		return;
	if (tcp_far && bucket_delete(bucket_far(key), key))
		ADD(tcp_far, -1);
	else if (tcp_spilled && bpf_map_delete_elem(&tcp_pairs, &key) == 0)
		ADD(tcp_spilled, -1);
}

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

static __always_inline void client_established(struct sock *sk, struct tcp_sock *tcp)
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
	if (pair_add(key, &pair))
		waiting_add(1);
	else
		connection_lost(sk);
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

	if (!pair->client || pair->server)
		return false;
	if (ADD(pair->ends, 1) == 0)
		return false; /* its client has just ended, and it with it */
	if (__sync_val_compare_and_swap(&pair->server, 0, owner) != 0) {
		ADD(pair->ends, -1);
		return false;
	}
	number = soon ? edge_find_soon(&key) : edge_find(&key);
	if (pair_moves(pair, number) && pair->turned)
		turned_is_accepted(pair, number);
	pair->again[PAIR_SERVER] = tcp->total_retrans; /* of its SYN */
	pair->sockets[PAIR_SERVER] = (u64)sk; /* last: who finds it by this socket finds its edge, too */
	return true;
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
	return pair_find(*key, guess ? PAIR_SERVER : PAIR_CLIENT, (u64)sk);
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

/* ---- requests and answers ---- */

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

/* A segment has come, and nothing of it has been taken into account yet. */
SEC("btf_tp/tcp_probe")
int BPF_PROG(tcp_segment, struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct tcp_pair *pair;
	bool carries;

	if (!tcp)
		return 0;
	if (!tcp_stirred)
		tcp_stirred = 1;
	if (tcp_counts_segments)
		tcp_waiting[bpf_get_smp_processor_id() & (TCP_WAITING_CPUS - 1)].segments++;
	carries = segment_carries(tcp, skb);
	if (!carries && (!tcp->packets_out || !tcp->bytes_received))
		return 0;
	pair = talk_pair(sk, tcp);
	if (!pair)
		return 0;
	if (!carries && talk_awaits_ack(tcp, pair))
		talk_served(tcp, pair);
	else if (carries && tcp->bytes_received)
		talk_goes_on(tcp, pair);
	else if (carries)
		talk_first(tcp, pair);
	return 0;
}

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

SEC("btf_tp/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int before, int after)
{
	struct tcp_sock *tcp;

	/* Of the ten changes of a connection's two ends four say something. */
	if (!((1U << (after & 31)) & (1U << TCP_ESTABLISHED | 1U << TCP_CLOSE | 1U << TCP_LISTEN | 1U << TCP_SYN_SENT)))
		return 0;
	if (after == TCP_SYN_SENT && !tcp_by_process)
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
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
	if (after == TCP_CLOSE && before == TCP_SYN_SENT) {
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
	if (before == TCP_SYN_SENT)
		client_established(sk, tcp);
	else
		server_established(sk, tcp);
	return 0;
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
SEC("btf_tp/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit, struct sock *sk, struct sk_buff *skb)
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
SEC("btf_tp/tcp_retransmit_synack")
int BPF_PROG(tcp_answered_again, struct sock *sk, struct tcp_request_sock *request)
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
SEC("btf_tp/tcp_send_reset")
int BPF_PROG(tcp_refuses, struct sock *sk, struct sk_buff *skb)
{
	refusal_note(skb);
	return 0;
}

/* A packet is done with. Of all that are, a SYN that has come to a socket has lost its device before (tcp_v4_rcv). */
SEC("btf_tp/consume_skb")
int BPF_PROG(tcp_consumed, struct sk_buff *skb)
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
	if (server)
		pair_count(&pair, pair.edge, 1);
	else
		waiting_add(1);
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
 * is another connection's, or none's. */
static __always_inline bool socket_lives(u64 address, u64 key, bool client)
{
	struct tcp_sock *tcp = (struct tcp_sock *)address;
	struct sock *sk = (struct sock *)address;

	/* It may be at work meanwhile: numbers that do not go together are read again. */
	for (int i = 0; i < TCP_SWEEP_READS; i++) {
		u32 own = BPF_CORE_READ(tcp, snd_una) - (u32)BPF_CORE_READ(tcp, bytes_acked) + (client ? 1 : 0);
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
	if (!socket_lives((u64)sk, key, true))
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
	    socket_lives(address, key, false))
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
	if (!edge || !socket_lives(address, key, client))
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

	if (pair->sockets[PAIR_CLIENT] && !socket_lives(pair->sockets[PAIR_CLIENT], key, true))
		doubts |= 1 << PAIR_CLIENT;
	if (pair->sockets[PAIR_SERVER] && !socket_lives(pair->sockets[PAIR_SERVER], key, false))
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
