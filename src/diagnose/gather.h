/* SPDX-License-Identifier: Apache-2.0 */
/* From shapes to facts: what gather.c adds up of a container, and container_facts.c turns into facts. */
#pragma once
#include "diagnose/fact.h"

/* Thread time by state, nanoseconds; part of a gathering. */
enum thread_time {
	TIME_RUNNING,
	TIME_WAITING, /* woken, preempted */
	TIME_THROTTLED,
	TIME_DISK,
	TIME_FAULT,
	TIME_MEMORY,
	TIME_NETWORK,
	TIME_FILE_LOCK,
	TIME_KERNEL_LOCK,
	TIME_PAGING, /* running, to read pages into memory or to make room for them */
	TIME_OTHER, /* idle, asleep, locks: of those only what `contended` says counts */
	TIMES,
};

/* One of those a container waited for. */
struct waited {
	const char *name;
	gboolean is_host;
	double wait;
};

/* Whom a container waited for at one resource. */
struct waits {
	double own, others;
	double quota; /* for a limit of its own */
	double most; /* of one other */
	const char *culprit;
	gboolean culprit_is_host;
	GArray *all; /* of struct waited; NULL: no others */
};

struct sums {
	gboolean has_times;
	double times[TIMES];
	gboolean has_contended;
	double contended, turns; /* waits for locks; short waits that timed out */
	gboolean has_cpu, has_block, has_memory; /* waits are known: of whom there is no edge waited for nobody */
	struct waits cpu, block, memory;
	double sync, lock_most; /* of the waits for disks; of kernel locks, the most in one function */
	const char *lock_in;
	gboolean has_edges;
	double refused, timed_out, ports, worst; /* failures; the most of one edge */
	struct histogram_counts request, rtt; /* of the server waited for longest */
	gboolean has_disk;
	double disk_ns, disk_requests;
	struct histogram_counts disk; /* in the device */
	double dns_questions, dns_unanswered, dns_failed, dns_unknown, dns_most;
	const char *resolver; /* that answered worst */
	struct histogram_counts dns; /* answers */
};

struct gathering {
	struct facts *facts;
	const struct snapshot *snapshot;
	const struct gauges *gauges; /* NULL: none */
	const struct gauge_row *host; /* NULL: not known */
	const GPtrArray *parts; /* of struct snapshot *; NULL: none */
	double host_used_ns; /* CPU time in no container; 0: not known */
	double seconds;
	GHashTable *sums; /* subject → struct sums */
	gboolean has_dns, has_walltime, has_futex, has_connections, has_disk, has_cpu, has_block, has_memory, has_oom;
};

/* `fact` of `subject` is known, and `value`. */
void fact_set(struct subject *subject, enum fact fact, double value);

/* The same: how much of `whole` is `part`, 0 … 1; stays unknown where there is no whole. */
void fact_set_share(struct subject *subject, enum fact fact, double part, double whole);

/* A copy of `value` that lives as long as `facts`; NULL: none. */
void fact_set_text(struct facts *facts, struct subject *subject, enum fact_text text, const char *value);

/* FALSE when `row` (or NULL) does not have it: `value` is 0 then. */
gboolean gauge_number(const struct gauge_row *row, enum gauge which, double *value);

/* The row of `key` in one part of a long observation; NULL: not in it. */
const struct gauge_row *row_in_part(const struct snapshot *part, enum gauge_resource resource, guint64 key);

/* All facts of `subject` that stand in the gauges and in what was gathered of it. */
void facts_of(struct gathering *gathering, struct subject *subject);
