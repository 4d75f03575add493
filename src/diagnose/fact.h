/* SPDX-License-Identifier: Apache-2.0 */
/* What rules ask about: numbers of one container over one interval, each with a unit and the place it comes from. They are
 * reckoned from a snapshot's shapes alone. What cannot be reckoned is not known, never zero.
 *
 * Shares of *thread time* are of a container's active time: all its threads spent running, waiting for a CPU, for disks,
 * for memory and for contended locks. Time slept, or waited for work to come, is nobody's loss. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"

enum fact {
	FACT_NONE = 0,
	FACT_ACTIVE, /* threads' active time: what shares are of */
	/* CPU */
	FACT_CPU_USED,
	FACT_CPU_LIMIT,
	FACT_CPU_WANTED, /* its quota, and what it stood still for while that was used up */
	FACT_CPU_DEMAND, /* what it used, and all it waited */
	FACT_DEMAND_PART, /* of as many as it may use CPUs */
	FACT_THROTTLED_PERIODS,
	FACT_THROTTLED_SHARE,
	FACT_THROTTLE_STALL,
	FACT_CONTENTION,
	FACT_WAIT_OTHERS,
	FACT_WAIT_OWN,
	FACT_OTHERS_PART,
	FACT_CULPRIT_CPU,
	FACT_CPUS,
	FACT_CPUS_IDLE,
	FACT_CPUS_IDLE_OUTSIDE,
	FACT_STEAL,
	FACT_THREAD_READY,
	FACT_THREAD_PART,
	FACT_PROCESS_CPU,
	FACT_TURNS,
	FACT_INTERPRETER_WAIT,
	FACT_UNREAD,
	FACT_COLLECTOR_CPU,
	FACT_COLLECTOR_SHARE,
	/* memory */
	FACT_MEMORY_USED,
	FACT_MEMORY_LIMIT,
	FACT_MEMORY_FILL,
	FACT_MEMORY_HIGH,
	FACT_MEMORY_PRESSURE,
	FACT_REFAULTS,
	FACT_MEMORY_WAIT,
	FACT_MEMORY_CPU,
	FACT_RECLAIM_OWN,
	FACT_RECLAIM_MACHINE,
	FACT_HIGH_EVENTS,
	FACT_SWAPPED_IN,
	FACT_SWAPPED_PART,
	FACT_OOM_LIMIT,
	FACT_OOM_HOST,
	FACT_MACHINE_MEMORY_FREE,
	FACT_MEMORY_GROWTH,
	FACT_MEMORY_LASTS,
	/* disk */
	FACT_IO_PRESSURE,
	FACT_IO_LIMIT_USED,
	FACT_DISK_WAIT,
	FACT_DISK_OTHERS_PART,
	FACT_DISK_LATENCY,
	FACT_DISK_QUEUE,
	FACT_SYNC_WAIT,
	FACT_SYNC_PART,
	/* locks and limits */
	FACT_LOCK_WAIT,
	FACT_FILE_LOCK_WAIT,
	FACT_KERNEL_LOCK_WAIT,
	FACT_PIDS_HITS,
	FACT_PIDS_LIMIT,
	FACT_FILES_FILL,
	FACT_FILES_LIMIT,
	/* network */
	FACT_NETWORK_WAIT,
	FACT_LISTEN_OVERFLOWS,
	FACT_REFUSED,
	FACT_CONNECT_TIMEOUTS,
	FACT_SYN_RETRANSMITS,
	FACT_PORTS_REFUSED,
	FACT_TCP_LOSS,
	FACT_TCP_TIMEOUTS,
	FACT_ZERO_WINDOWS,
	FACT_ACCEPT_WAITING,
	FACT_REQUESTS,
	FACT_REQUEST_TIME,
	FACT_REQUEST_WAIT,
	FACT_REQUEST_PATH_PART,
	FACT_UDP_OVERFLOWS,
	FACT_NET_DROPS,
	FACT_QDISC_DROPS,
	FACT_QDISC_LOST,
	FACT_CONNTRACK_FILL,
	FACT_CONNTRACK_LOST,
	FACT_DNS_QUESTIONS,
	FACT_DNS_UNANSWERED,
	FACT_DNS_FAILED,
	FACT_DNS_UNKNOWN_NAMES,
	FACT_DNS_LATENCY,
	/* shares of thread time that would be given back, what a verdict weighs */
	FACT_LOST_THROTTLED,
	FACT_LOST_CONTENTION,
	FACT_LOST_OTHERS,
	FACT_LOST_OWN,
	FACT_LOST_MEMORY,
	FACT_LOST_DISK,
	FACT_LOST_DISK_OTHERS,
	FACT_LOST_LOCK,
	FACT_LOST_STEAL,
	FACT_LOST_COLLECTOR,
	FACT_LOST_INTERPRETER,
	FACT_ON_CPU,
	FACTS,
};

enum fact_unit {
	FACT_UNIT_SHARE = 0, /* 1 = all of it */
	FACT_UNIT_CORES = 1, /* CPUs' worth of time */
	FACT_UNIT_SECONDS = 2,
	FACT_UNIT_BYTES = 3,
	FACT_UNIT_PER_SECOND = 4,
	FACT_UNIT_COUNT = 5,
};

struct fact_meta {
	const char *name; /* "throttled_periods": in JSON and in rules' sentences */
	const char *label; /* for people */
	enum fact_unit unit;
	const char *source; /* files and probes it comes from */
};

extern const struct fact_meta fact_metas[FACTS];
/* FACTS when there is no such. */
enum fact fact_find(const char *name, gsize length);
/* "97 %", "1.4 CPUs"; owned by the caller. */
char *fact_format(enum fact_unit unit, double value);

/* What there is to say besides numbers. */
enum fact_text {
	TEXT_CPU_CULPRIT = 0,
	TEXT_MEMORY_CULPRIT,
	TEXT_DISK_CULPRIT,
	TEXT_CPU_LIMIT_OF, /* the cgroup that sets the limit; absent: its own */
	TEXT_MEMORY_LIMIT_OF,
	TEXT_PIDS_LIMIT_OF,
	TEXT_OOM_VICTIM,
	TEXT_PEER, /* of the connections that fail or lose most, with its port */
	TEXT_DEVICE,
	TEXT_KERNEL_LOCK_IN, /* the kernel function that wants the lock */
	TEXT_RESOLVER,
	TEXT_SERVER, /* whose answers it waits for longest, with its port */
	TEXT_WAITS_FOR, /* what its threads wait for most: "locks" */
	TEXT_ENGINE, /* the tool that changes its limits: "docker"; absent: another */
	TEXT_RUNTIME, /* who started it: "systemd" */
	TEXT_POD,
	TEXT_QDISC, /* the queueing discipline that dropped most */
	TEXT_BUSIEST, /* the process that uses most CPU time in it */
	TEXT_BUSIEST_PID, /* of that, as it sees itself */
	TEXT_INTERPRETER, /* whose lock it has: "Python" */
	FACT_TEXTS,
};
extern const char *const fact_text_names[FACT_TEXTS];

/* One container. Strings belong to the facts. */
struct subject {
	guint64 key; /* cgroup key; 0: known by its name alone */
	const char *name;
	const char *texts[FACT_TEXTS]; /* NULL: nothing to say */
	gboolean text_is_host[FACT_TEXTS]; /* culprits: it is the machine's, in no container */
	gboolean text_is_outside[FACT_TEXTS]; /* peers: on another machine */
	gboolean ambiguous; /* another has the same name: what is only told by name was left out */
	gboolean dead;
	double values[FACTS];
	guint8 known[FACTS];
};

struct facts {
	GPtrArray *subjects; /* of struct subject *, owned */
	guint64 duration_ns;
	double coverage; /* the least of all shapes' */
	const char *coverage_of; /* that one's probe */
	/* private */
	GHashTable *by_name; /* name → struct subject */
	GStringChunk *strings;
};

/* `parts`: the adjoining parts of that time (of struct snapshot *, the latest last), NULL: none. They alone tell how memory
 * grew where it grew steadily (three parts or more: FACT_MEMORY_GROWTH, FACT_MEMORY_LASTS), what waited at the end of each
 * (FACT_ACCEPT_WAITING), and how idle the CPUs were for who was born meanwhile. */
struct facts *facts_new(const struct snapshot *snapshot, const GPtrArray *parts);
void facts_free(struct facts *facts);
typedef struct facts facts_t; /* for g_autoptr(facts_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(facts_t, facts_free)

/* NULL when absent. */
struct subject *facts_by_name(const struct facts *facts, const char *name);
struct subject *facts_by_key(const struct facts *facts, guint64 key);

static inline gboolean fact_get(const struct subject *subject, enum fact fact, double *value)
{
	*value = subject->values[fact];
	return subject->known[fact];
}
