/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is kept of each connection, where it lies and how it is found. */
#pragma once

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
	u8 crossed : 1; /* its server has opened it, too */
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
