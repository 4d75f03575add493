/* SPDX-License-Identifier: Apache-2.0 */
/* DNS questions and their answers, as the asking socket sees them: what both halves agree on. */
#pragma once
#include "bpf/event.h"
#include "bpf/histogram.h"
#include "bpf/shared.h"

#define DNS_ADDRESS 16
#define DNS_RESOLVERS 1024 /* addresses told apart on the whole machine; number 0 is for all others */
#define DNS_RESOLVERS_OWNER 64 /* of these asked first by one cgroup */
#define DNS_PENDING 32768 /* questions without an answer yet, */
#define DNS_PENDING_FRUGAL 8192 /* and of who watches for ever */
#define DNS_PENDING_PART 4 /* one part in so many is one cgroup's; what is more is counted as its flood */
#define DNS_OWNER_SLOTS 1024 /* a power of two; cgroups that share a slot share the limits */
#define DNS_TRIES 3 /* resolvers asked the same at once (musl: all three of resolv.conf) */
#define DNS_MESSAGES 4 /* looked at in one TCP segment */
#define DNS_QUESTION 256 /* bytes behind the header that are copied: the longest name; a power of two */
#define DNS_HEADER 12
#define DNS_ROWS 2048
#define DNS_AGAIN_NS 1000000ULL /* the same message on the same CPU within so long is the same packet */
#define DNS_PASSES_CPUS 64 /* a power of two; CPUs that share one count a little less */

/* How a question ended. The first ones are answers. */
enum dns_outcome {
	DNS_NOERROR = 0,
	DNS_NODATA = 1, /* no error, and no answer: the name has no such record */
	DNS_TRUNCATED = 2, /* too long for a datagram: it will be asked again over TCP */
	DNS_NXDOMAIN = 3,
	DNS_SERVFAIL = 4,
	DNS_REFUSED = 5,
	DNS_OTHER = 6,
	DNS_ANSWERS = 7,
	DNS_UNANSWERED = 7, /* none came in time, or it was asked again before */
	DNS_SURPLUS = 8, /* another resolver, asked the same at the same time, had answered */
	DNS_OUTCOMES = 9,
};

struct dns_address {
	__u8 bytes[DNS_ADDRESS]; /* IPv4 in the first four */
	__u32 family; /* AF_INET, AF_INET6 */
};

/* A row's label: who is asked, and how. */
#define DNS_LABEL(resolver, tcp) ((__u64)(tcp) << 32 | (resolver))
#define DNS_LABEL_RESOLVER(label) ((__u32)(label))
#define DNS_LABEL_TCP(label) ((__u32)((label) >> 32))

struct dns_key {
	__u64 cookie; /* of the socket */
	__u16 id;
	__u16 tcp;
	__u32 pad;
};

struct dns_try {
	__u64 start_ns; /* 0: none, or answered */
	__u32 row;
	__u32 resolver;
};

struct dns_pending {
	__u64 cgroup_key;
	__u32 tgid; /* of the asking process */
	__u32 slot; /* of dns_owners */
	__u32 many; /* questions it stands for */
	__u32 pad;
	struct dns_try tries[DNS_TRIES];
};

/* What is kept of a cgroup, so that it cannot take everybody's room. */
struct dns_owner {
	__u32 pending;
	__u32 resolvers;
};

/* Calls of its programs on one CPU: a line of memory. */
struct dns_passes {
	__u64 count, pad[7];
};

/* An answer whose question's name matters. `question`: as it stands in the message, hostile, perhaps cut. */
struct dns_record {
	struct event_head head; /* time and task: cgroup key and tgid only */
	__u64 latency_ns;
	__u32 row, outcome;
	__u64 label; /* of the row */
	__u32 question_bytes;
	__u32 many; /* answers it stands for */
	__u8 question[DNS_QUESTION];
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_dns; /* histograms */
extern const struct probe probe_resolvers; /* edges */
#endif
