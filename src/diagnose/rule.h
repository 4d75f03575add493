/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and thresholds: const tables, all that is known of verdicts. The engine (diagnose.h) walks them. */
#pragma once
#include <glib.h>

#include "diagnose/fact.h"

enum threshold {
	THRESHOLD_NONE = 0, /* stands for 0 */
	THRESHOLD_CPU_DEMAND,
	THRESHOLD_ACTIVE,
	THRESHOLD_THROTTLED_PERIODS,
	THRESHOLD_THROTTLED_SHARE,
	THRESHOLD_THROTTLED_MARGINAL,
	THRESHOLD_CONTENTION,
	THRESHOLD_CONTENTION_BESIDE_IDLE,
	THRESHOLD_DEMAND_BESIDE_IDLE,
	THRESHOLD_DEMAND_PART,
	THRESHOLD_OTHERS_PART,
	THRESHOLD_CPUS_IDLE,
	THRESHOLD_STEAL,
	THRESHOLD_MEMORY_FULL,
	THRESHOLD_MEMORY_PRESSURE,
	THRESHOLD_MEMORY_LOST,
	THRESHOLD_MEMORY_CALM,
	THRESHOLD_REFAULTS,
	THRESHOLD_RECLAIM,
	THRESHOLD_MACHINE_MEMORY,
	THRESHOLD_SWAPPED_IN,
	THRESHOLD_SWAPPED_PART,
	THRESHOLD_IO_PRESSURE,
	THRESHOLD_IO_LIMIT,
	THRESHOLD_DISK_WAIT,
	THRESHOLD_DISK_OTHERS,
	THRESHOLD_DISK_LATENCY,
	THRESHOLD_DISK_QUEUE,
	THRESHOLD_SYNC_PART,
	THRESHOLD_LOCK_WAIT,
	THRESHOLD_KERNEL_LOCK,
	THRESHOLD_MEMORY_LASTS,
	THRESHOLD_SYN_RETRANSMITS,
	THRESHOLD_NET_DROPS,
	THRESHOLD_QDISC_DROPS,
	THRESHOLD_QDISC_LOST,
	THRESHOLD_CONNTRACK_FILL,
	THRESHOLD_CONNTRACK_LOST,
	THRESHOLD_DNS_LATENCY,
	THRESHOLD_DNS_UNKNOWN_NAMES,
	THRESHOLD_DNS_QUESTIONS,
	THRESHOLD_FILES,
	THRESHOLD_FAILURES,
	THRESHOLD_LISTEN,
	THRESHOLD_TCP_LOSS,
	THRESHOLD_UDP_OVERFLOWS,
	THRESHOLD_ZERO_WINDOWS,
	THRESHOLD_NETWORK_WAIT,
	THRESHOLD_ON_CPU,
	THRESHOLD_COLLECTOR,
	THRESHOLD_THREAD_READY,
	THRESHOLD_THREAD_PART,
	THRESHOLD_THREAD_CPUS,
	THRESHOLD_UNREAD,
	THRESHOLD_TURNS,
	THRESHOLD_TURNS_CPU,
	THRESHOLD_ONE_CPU_FULL,
	THRESHOLD_ONE_CPU_MOST,
	THRESHOLD_INTERPRETER_WAIT,
	THRESHOLD_ACCEPT_WAITING,
	THRESHOLD_REQUESTS,
	THRESHOLD_REQUEST_TIME,
	THRESHOLD_REQUEST_PATH,
	THRESHOLDS,
};

struct threshold_meta {
	const char *name; /* in the configuration file */
	double value;
	enum fact_unit unit;
	const char *source; /* where the value comes from */
};
extern const struct threshold_meta threshold_metas[THRESHOLDS];
/* THRESHOLDS when there is no such. */
enum threshold threshold_find(const char *name);

enum condition_op {
	CONDITION_END = 0,
	AT_LEAST = 1,
	BELOW = 2,
	MORE_THAN = 3,
};

struct condition {
	enum condition_op op;
	enum fact fact;
	enum threshold threshold;
	guint8 any; /* of the conditions with the same number here one is enough; 0: has to hold by itself */
	gboolean soft; /* taken to hold when the fact is not known; the verdict is less certain then */
	gboolean firm; /* cannot hold twice over: does not count for certainty */
};
#define RULE_CONDITIONS 10 /* the last one ends them */
#define RULE_SHOWN 6

/* Whose fault it is. */
enum fault {
	FAULT_CONTAINER = 0,
	FAULT_NEIGHBOUR = 1, /* another container, or the host's own processes, as the culprit says */
	FAULT_HOST = 2,
	FAULT_PEER = 3,
	FAULT_KINDS = 4,
};

/* In texts {fact} is a fact's value, {text} one of the texts, {container} its name; in commands names are quoted for a
 * shell. [ … ] is left out when something in it is not known. */
struct rule {
	const char *name;
	const char *resource;
	enum fault fault;
	gboolean is_note; /* worth saying, but nothing is wrong */
	struct condition conditions[RULE_CONDITIONS];
	const char *sentence;
	const char *disproof; /* an experiment that would prove it wrong */
	const char *advice;
	const char *more; /* the command that shows more */
	enum fact score; /* share of thread time lost */
	double score_least; /* errors count as this much, however little time they take */
	const char *lost; /* what it is then; NULL: "errors" */
	enum fact_text culprit; /* FAULT_NEIGHBOUR, FAULT_PEER: who */
	const char *doubt; /* why it is never of high confidence; NULL: it may be */
	enum fact shown[RULE_SHOWN]; /* also in the evidence; ends with 0 */
};

extern const struct rule rules[];
extern const guint rule_count;
