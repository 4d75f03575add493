/* SPDX-License-Identifier: Apache-2.0 */
/* The gauges shape: named values per resource (a container, the host, a process). What can be named stands in one
 * const table; a value that is not known is absent, never zero.
 *
 * Counters only grow during a resource's life; levels go up and down. A shape holds either readings (counters since the
 * birth of the resource) or the changes over an interval (made by gauges_diff: counters are what was added, levels are
 * those at its end). A resource is its key and its birth: a second life is another resource.
 *
 * Values are whole numbers in the unit of the table: nanoseconds, bytes, counts, billionths of a core. Strings are raw
 * bytes as observed: escape on output. */
#pragma once
#include <glib.h>

/* Explicit values: they travel in captures (by the name in the table). */
enum gauge {
	/* CPU: cpu.stat; v1 cpuacct.usage*, cpu.stat */
	GAUGE_CPU = 0,
	GAUGE_CPU_USER = 1,
	GAUGE_CPU_SYSTEM = 2,
	GAUGE_CPU_LIMIT = 3, /* of the tightest cgroup at or above it */
	GAUGE_CPU_WEIGHT = 4,
	GAUGE_CPU_PERIODS = 5,
	GAUGE_CPU_PERIODS_THROTTLED = 6,
	GAUGE_CPU_THROTTLED = 7,
	GAUGE_CPU_BURST = 8,
	/* time lost, summed over threads: from the kernel's own accounts of each */
	GAUGE_RUNQUEUE_WAIT = 9,
	GAUGE_DISK_WAIT = 10,
	/* memory.current, .stat, .events; v1 memory.usage_in_bytes, .stat, .oom_control */
	GAUGE_MEMORY = 11,
	GAUGE_MEMORY_WORKING_SET = 12,
	GAUGE_MEMORY_LIMIT = 13,
	GAUGE_MEMORY_HIGH = 14,
	GAUGE_MEMORY_ANON = 15,
	GAUGE_MEMORY_FILE = 16,
	GAUGE_MEMORY_KERNEL = 17,
	GAUGE_MEMORY_SWAP = 18,
	GAUGE_MEMORY_DIRTY = 19,
	GAUGE_MEMORY_WRITEBACK = 20,
	GAUGE_MEMORY_EVENTS_HIGH = 21,
	GAUGE_MEMORY_EVENTS_MAX = 22,
	GAUGE_MEMORY_EVENTS_OOM = 23,
	GAUGE_OOM_KILLS = 24,
	GAUGE_REFAULTS_ANON = 25,
	GAUGE_REFAULTS_FILE = 26,
	GAUGE_PAGES_SCANNED = 27,
	GAUGE_FAULTS = 28, /* all of them, major ones included */
	GAUGE_FAULTS_MAJOR = 29,
	/* *.pressure */
	GAUGE_PRESSURE_CPU_SOME = 30,
	GAUGE_PRESSURE_CPU_FULL = 31,
	GAUGE_PRESSURE_MEMORY_SOME = 32,
	GAUGE_PRESSURE_MEMORY_FULL = 33,
	GAUGE_PRESSURE_IO_SOME = 34,
	GAUGE_PRESSURE_IO_FULL = 35,
	/* pids.*: what the controller counts are threads */
	GAUGE_PIDS = 36,
	GAUGE_PIDS_LIMIT = 37,
	GAUGE_PIDS_LIMIT_HITS = 38,
	/* io.stat, all devices; v1 blkio.throttle.* */
	GAUGE_IO_READ_BYTES = 39,
	GAUGE_IO_WRITE_BYTES = 40,
	GAUGE_IO_READS = 41,
	GAUGE_IO_WRITES = 42,
	/* interfaces of its network namespace but the loopback */
	GAUGE_NET_RECEIVED_BYTES = 43,
	GAUGE_NET_SENT_BYTES = 44,
	GAUGE_NET_RECEIVED_PACKETS = 45,
	GAUGE_NET_SENT_PACKETS = 46,
	GAUGE_NET_DROPS = 47,
	/* counted by walking the kernel's tasks */
	GAUGE_PROCESSES = 48,
	GAUGE_THREADS = 49,
	GAUGE_SWITCHES_VOLUNTARY = 50,
	GAUGE_SWITCHES_INVOLUNTARY = 51,
	GAUGE_STARTED = 52, /* realtime */
	GAUGE_CPUS = 53, /* the host's */
	/* for diagnosis (observe/vitals.h) */
	GAUGE_CPU_IDLE = 54, /* the host's, waiting for I/O included */
	GAUGE_CPU_STOLEN = 55, /* the host's */
	GAUGE_CPUSET = 56, /* CPUs it may run on */
	GAUGE_CPUSET_IDLE = 57, /* of those */
	GAUGE_TCP_SEGMENTS_SENT = 58, /* and the next ones: of its network namespace, /proc/net/snmp and netstat */
	GAUGE_TCP_RETRANSMITS = 59,
	GAUGE_TCP_SPURIOUS = 60,
	GAUGE_TCP_TIMEOUTS = 61,
	GAUGE_TCP_LISTEN_OVERFLOWS = 62,
	GAUGE_TCP_ZERO_WINDOWS = 63,
	GAUGE_UDP_OVERFLOWS = 64,
	GAUGE_FILES = 65, /* of the process nearest to its limit */
	GAUGE_FILES_LIMIT = 66,
	GAUGE_IO_READ_LIMIT = 67, /* bytes or operations a second, the tightest of all devices */
	GAUGE_IO_WRITE_LIMIT = 68,
	GAUGE_IO_READS_LIMIT = 69,
	GAUGE_IO_WRITES_LIMIT = 70,
	GAUGE_LISTEN_QUEUE = 71, /* connections that wait to be accepted: of a socket, or of the fullest one */
	GAUGE_LISTEN_LIMIT = 72, /* how many may, there */
	GAUGE_LISTEN_DROPS = 73, /* refused by it, or by all of a container's */
	GAUGE_CONNTRACK = 74, /* the next ones: of its network namespace (observe/queues.h) */
	GAUGE_CONNTRACK_LIMIT = 75,
	GAUGE_CONNTRACK_DROPS = 76,
	GAUGE_CONNTRACK_EARLY_DROPS = 77,
	GAUGE_CONNTRACK_INSERT_FAILED = 78,
	GAUGE_CONNTRACK_OWN = 79, /* of the host's table: begun by it */
	GAUGE_TCP_SYN_RETRANSMITS = 80,
	GAUGE_CPU_COLLECTORS = 81, /* of it, in threads that do nothing but collect garbage */
	/* off the CPU and not waiting for one, summed over threads, by what they wait for (probe/tasks_record.h, in that order) */
	GAUGE_OFFCPU_OTHER = 82,
	GAUGE_OFFCPU_FUTEX = 83,
	GAUGE_OFFCPU_IO = 84,
	GAUGE_OFFCPU_NET = 85,
	GAUGE_OFFCPU_POLL = 86,
	GAUGE_OFFCPU_SLEEP = 87,
	GAUGE_OFFCPU_PIPE = 88,
	GAUGE_OFFCPU_PAGEFAULT = 89,
	GAUGE_QDISC_PACKETS = 90, /* through queueing disciplines (tc) at its interfaces (observe/shaping.h) */
	GAUGE_QDISC_DROPS = 91,
	/* of the busiest process of a container that is busy (observe/narrow.h), since the reading before */
	GAUGE_THREAD_CPU = 92, /* of its busiest thread */
	GAUGE_THREAD_READY = 93, /* the same, and what that thread waited for a CPU */
	GAUGE_PROCESS_CPU = 94,
	GAUGE_PROCESS_TURNS = 95, /* threads of it that ran a tenth of the time and more */
	GAUGE_UNREAD = 96, /* connections of the container it reads from, in which more waits */
	GAUGES_COUNT = 97,
};

enum gauge_unit {
	GAUGE_UNIT_COUNT = 0,
	GAUGE_UNIT_NANOSECONDS = 1,
	GAUGE_UNIT_BYTES = 2,
	GAUGE_UNIT_NANOCORES = 3, /* 10^9 = one CPU's whole time; the rate of a counter of nanoseconds is one */
};

enum gauge_kind {
	GAUGE_COUNTER = 0,
	GAUGE_LEVEL = 1,
};

struct gauge_metric {
	const char *name; /* in JSON: "cpu_user_ns" */
	const char *exported; /* in Prometheus, without prefix: "cpu_time_seconds_total" */
	const char *label; /* its label there: "mode=\"user\""; NULL: none */
	enum gauge_unit unit;
	enum gauge_kind kind;
	const char *help;
	gboolean is_telling; /* also while it is zero: an alert waits for its first increase */
};

extern const struct gauge_metric gauge_metrics[GAUGES_COUNT];

/* What else there is to say about a resource. Explicit values, as above. */
enum gauge_text {
	GAUGE_TEXT_ID = 0,
	GAUGE_TEXT_RUNTIME = 1,
	GAUGE_TEXT_IMAGE = 2,
	GAUGE_TEXT_POD = 3,
	GAUGE_TEXT_CGROUP = 4,
	GAUGE_TEXT_CPU_LIMIT_OF = 5, /* the cgroup above it that sets the limit; absent: its own */
	GAUGE_TEXT_MEMORY_LIMIT_OF = 6,
	GAUGE_TEXT_PIDS_LIMIT_OF = 7,
	GAUGE_TEXT_NET_SHARED = 8, /* whose network namespace this is, too: "host", "web" */
	GAUGE_TEXT_STATE = 9, /* of processes and threads: R S D T Z I */
	GAUGE_TEXT_INNER_PID = 10, /* as they see it in their pid namespace */
	GAUGE_TEXT_CPUSET = 11, /* CPUs it may run on: "0-3,8" */
	GAUGE_TEXT_QDISC = 12, /* the queueing discipline that dropped most: "tbf on eth0" */
	GAUGE_TEXT_OWNER = 13, /* of processes among all of the machine's: whose they are; absent: the host's own */
	GAUGE_TEXT_BUSIEST = 14, /* the busiest process of a container: its name */
	GAUGE_TEXT_BUSIEST_PID = 15, /* as it sees itself */
	GAUGE_TEXT_INTERPRETER =
		16, /* whose lock lets one of its threads run at a time: "Python"; absent: none known */
	GAUGE_TEXTS = 17,
};
const char *gauge_text_name(enum gauge_text text);

/* Explicit values: they travel in captures by name ("host", "container", "unit", "cgroup", "process", "thread",
 * "listener"). */
enum gauge_resource {
	GAUGE_RESOURCE_HOST = 0,
	GAUGE_RESOURCE_CONTAINER = 1,
	GAUGE_RESOURCE_UNIT = 2,
	GAUGE_RESOURCE_CGROUP = 3,
	GAUGE_RESOURCE_PROCESS = 4,
	GAUGE_RESOURCE_THREAD = 5,
	GAUGE_RESOURCE_LISTENER = 6, /* a listening socket: key is its inode */
	GAUGE_RESOURCES = 7,
};
const char *gauge_resource_name(enum gauge_resource resource);

#define GAUGE_NO_PARENT G_MAXUINT32
#define GAUGE_KNOWN_WORDS ((GAUGES_COUNT + 63) / 64)

struct gauge_row {
	enum gauge_resource resource;
	guint64 key; /* of cgroups: the cgroup key; of processes and threads: the host's pid */
	guint64 birth_ns; /* tells lives apart; 0: not known */
	guint32 parent; /* index of the row it is part of: always smaller than its own; GAUGE_NO_PARENT: none */
	gboolean dead; /* ended during the interval: the last that was known */
	const char *name;
	const char *texts[GAUGE_TEXTS]; /* NULL: nothing to say */
	guint64 values[GAUGES_COUNT];
	guint64 known[GAUGE_KNOWN_WORDS]; /* a bit for each value */
};

#define GAUGES_ROWS_MAX (1u << 20)

struct gauges {
	GArray *rows; /* of struct gauge_row: a pointer to one is valid until the next gauges_add */
	/* private */
	GHashTable *index; /* NULL: to be built at the next look-up */
	GStringChunk *strings;
};

struct gauges *gauges_new(void);
void gauges_free(struct gauges *gauges);
typedef struct gauges gauges_t; /* for g_autoptr(gauges_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(gauges_t, gauges_free)

/* Forgets all rows and keeps the room. */
void gauges_clear(struct gauges *gauges);
/* A new row without values; NULL beyond GAUGES_ROWS_MAX. `name` is copied. */
struct gauge_row *gauges_add(struct gauges *gauges, enum gauge_resource resource, guint64 key, guint64 birth_ns,
			     const char *name);
/* A copy of a row of another shape, with its strings; `parent` is the same number. NULL beyond GAUGES_ROWS_MAX. */
struct gauge_row *gauges_copy(struct gauges *gauges, const struct gauge_row *from);
/* NULL: nothing to say. Copied. */
void gauges_set_text(struct gauges *gauges, struct gauge_row *row, enum gauge_text text, const char *value);
/* NULL when absent. */
struct gauge_row *gauges_find(struct gauges *gauges, enum gauge_resource resource, guint64 key, guint64 birth_ns);

static inline struct gauge_row *gauges_row(const struct gauges *gauges, guint32 index)
{
	return &g_array_index(gauges->rows, struct gauge_row, index);
}

static inline gboolean gauge_is_known(const struct gauge_row *row, enum gauge gauge)
{
	return row->known[gauge / 64] >> (gauge % 64) & 1;
}

static inline void gauge_set(struct gauge_row *row, enum gauge gauge, guint64 value)
{
	row->values[gauge] = value;
	row->known[gauge / 64] |= G_GUINT64_CONSTANT(1) << (gauge % 64);
}

static inline void gauge_forget(struct gauge_row *row, enum gauge gauge)
{
	row->values[gauge] = 0;
	row->known[gauge / 64] &= ~(G_GUINT64_CONSTANT(1) << (gauge % 64));
}

/* FALSE (and `*value` 0) when it is not known. */
static inline gboolean gauge_get(const struct gauge_row *row, enum gauge gauge, guint64 *value)
{
	*value = row->values[gauge];
	return gauge_is_known(row, gauge);
}

/* The changes between two readings. A resource that is only in `after` was born in between: its counters stand as they
 * are. One that is only in `before` is left out. A counter that went backwards is not known. Owned by the caller. */
struct gauges *gauges_diff(struct gauges *before, const struct gauges *after);

/* In changes: who was not in `before` has his own counters since his birth, but not one that counts what is not his alone
 * (idle time of the CPUs he may use): that becomes unknown. */
void gauges_forget_newcomers(struct gauges *changes, struct gauges *before, enum gauge gauge);

/* Changes of the adjoining, later interval `from` into `into`: counters add up, levels are the later ones. A counter
 * known in only one of the two is not known. */
void gauges_merge(struct gauges *into, const struct gauges *from);
