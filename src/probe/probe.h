/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of a probe: one thing we can observe.
 *
 * A probe is a constant `struct probe`. Opening it for a request loads and attaches its kernel half at the best rung
 * that works and returns a run. While it runs, `fd` becomes readable when news (new stacks, mappings) wait;
 * `drain` hands them to the listener. `finish` stops the kernel half, hands out all weights and fills the ledger.
 * Probes that count in tables (histograms, edges) can also `collect`: hand out what has gathered since the last time,
 * without stopping.
 * Probes know neither containers' names nor symbols: they speak in cgroup keys, pids and addresses;
 * observe/ gives those their names. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "model/ledger.h"
#include "model/snapshot.h"

#define PROBE_ERROR (probe_error_quark())
GQuark probe_error_quark(void);
enum probe_error {
	PROBE_ERROR_UNSUPPORTED = 1, /* no rung works; the message says why for each */
	PROBE_ERROR_PERMISSION = 2, /* the message names the missing capability */
	PROBE_ERROR_FAILED = 3,
};

#define PROBE_STACK_DEPTH 127 /* frames the kernel walks, each for user and kernel */
#define PROBE_UNWOUND_DEPTH 1024 /* user frames of a stack walked from a copy */
#define PROBE_COMM 16

/* What to watch. With `filter` FALSE everything is. Otherwise a task is watched when its thread group is in `tgids`, or
 * when the nearest cgroup of `cgroups` at or above its own has `wanted` set; a cgroup born later inherits. */
struct probe_cgroup {
	guint64 key; /* see container.h: kernfs id, top bit for v1 */
	guint8 wanted;
};

/* A function in a file that processes have mapped. */
struct probe_site {
	int fd; /* of the file, readable; the caller's, open as long as the run is */
	guint64 file_offset;
	guint32 call; /* enum heap_call */
};

struct askers;

struct probe_request {
	gboolean filter;
	const struct probe_cgroup *cgroups;
	gsize cgroup_count;
	const guint32 *tgids;
	gsize tgid_count;
	/* v1 controller whose hierarchy names tasks that sit in the root of the unified one ("memory", "pids", "cpu",
	 * "cpuacct", "devices", "freezer"); NULL: only the unified hierarchy is looked at. */
	const char *v1_controller;
	guint32 frequency_hz; /* sampling probes */
	guint64 duration_ns; /* of the measurement, when that is known before; 0: until it is stopped */
	/* heap: where allocators are, and the size that is looked at for sure (0: the probe's own; 1: every allocation). */
	const struct probe_site *sites;
	gsize site_count;
	guint64 sample_bytes;
	guint32 every; /* memory: look at one page fault in so many; 0: the probe's own choice */
	gboolean cycles; /* sample by CPU cycles instead of the cpu clock, where the machine counts them */
	gboolean no_user, no_kernel; /* leave out that half of stacks */
	gboolean lines; /* of interpreted code: tell lines apart, not only functions */
	gboolean by_thread; /* keep threads apart (tid in the task), else tid is 0 */
	gboolean by_process; /* tables: keep processes apart (tgid and comm in the task), else tgid is 0 */
	gboolean peers; /* connections: also datagrams and unix sockets */
	gboolean round_trips; /* connections: a way that does not know them will not do */
	gboolean by_pidns; /* tables: keep pid namespaces apart */
	gboolean waker; /* also who woke a blocked thread */
	guint64 threshold_ns; /* blocked intervals shorter than this are left out (counted) */
	double budget_share; /* of the machine's CPU time that the kernel half may take (allowance.h); 0: the usual one */
	gboolean moments; /* profile: also when each sample was taken */
	gboolean frugal; /* watches for ever: kernel maps of a size that can stay */
	struct askers *askers; /* dns: say where its programs hang, and outlive it; NULL: on the root cgroup */
	gboolean births_told; /* whoever asks hears of cgroups' births and deaths by himself: the probe need not */
	gboolean smallest; /* for tests: rings and kernel maps as small as they can be */
	guint32 deaf; /* for tests: connections: of changes of state one in so many is not heard; 0: none */
	guint32 event_rate; /* events a second and container before a flood is cut; 0: the probe's own */
	gboolean arguments; /* events: also what programs were called with (may be secret) */
	const char *rung; /* force this rung; NULL: the best that works */
};

/* Whom a stack or weight belongs to, as it was in the kernel at event time. */
struct probe_task {
	guint64 cgroup_key;
	guint32 tgid, tid; /* host pids; tid 0 unless by_thread */
	char comm[PROBE_COMM]; /* of the process (group leader): raw bytes, NUL-terminated */
	char thread_comm[PROBE_COMM]; /* of the thread; empty unless by_thread */
};

enum probe_stack_flags {
	PROBE_STACK_USER_TRUNCATED = 1 << 0,
	PROBE_STACK_KERNEL_TRUNCATED = 1 << 1,
	PROBE_STACK_IOWAIT = 1 << 2, /* the kernel counts the sleep as waiting for I/O */
	PROBE_STACK_NO_USER = 1 << 3, /* user half could not be read (not: "is a kernel thread") */
	PROBE_STACK_KTHREAD = 1 << 4,
	PROBE_STACK_NO_COPY = 1 << 5, /* should have been walked from a copy, for which there was no room in the ring */
	PROBE_STACK_NO_SCHED = 1 << 6, /* taken of a sleeper: without the kernel's functions that put it to sleep */
};

/* One distinct stack, handed out once, soon after it was first seen. */
struct probe_stack {
	guint32 id; /* dense from 0 within a run */
	struct probe_task task;
	const guint64 *user, *kernel; /* addresses, innermost first; valid during the call */
	guint16 user_count, kernel_count;
	gint32 syscall; /* number when inside a system call, -1 when not or not known */
	guint32 flags; /* enum probe_stack_flags */
	enum stack_end user_end;
	guint64 script[2]; /* fingerprint of the interpreter's frames, told before (listener.script); 0, 0: none */
};

/* What the outcome of a walk depends on, besides RIP, RSP and the process's code: another stack with the same values in these
 * places gives the same addresses, whatever else it holds. */
#define PROBE_BASIS_MAX 512
struct probe_basis {
	guint32 at[PROBE_BASIS_MAX]; /* offsets of words in the copy; in no order, perhaps twice */
	guint count;
	gboolean has_bp, has_r10; /* these registers, too */
	gboolean overflow; /* there were more places: not to be used */
};

/* What a user stack is walked from where frame pointers do not carry: registers and the top of the stack. */
struct probe_copy {
	guint64 ip, sp, bp, r10, bx, di;
	guint64 address; /* of the first byte: somewhat below `sp` */
	guint64 holes; /* bit i: the i-th page of memory of the copy is not there; its bytes mean nothing */
	const guint8 *bytes; /* valid during the call; NULL: see `pages` */
	const guint8 *const *pages; /* where the pages of memory are, 4 KiB each, from that of `address` on */
	gsize length;
	const guint8 *tail; /* of the outer end of a stack of which only the inner is in `bytes`; NULL: none */
	gsize tail_length;
	guint64 tail_address;
	guint32 tid; /* whose */
	guint64 number; /* of this copy among all; 0: not known */
	guint64 since; /* of the copy of the same thread that this one is like, ... */
	gsize same_from; /* ... from this offset on; the length: nowhere */
	gboolean is_all; /* no more can be copied: behind it no memory is mapped or resident */
	struct probe_basis *basis; /* to be filled when not NULL */
};

/* What walking it yields. */
struct probe_unwound {
	guint count; /* addresses */
	enum stack_end end;
	gsize used_bytes; /* of the copy */
	gsize wanted_bytes; /* STACK_END_SHORT: length that would do for the next step */
	gboolean used_tail; /* and the copy's `tail` */
	gboolean frame_pointers_do; /* the chain of frame pointers gives as much, … */
	gboolean is_go; /* … with stack_record::at_sp (bpf/shared.h) */
	gboolean is_final; /* walking it again later cannot give more */
};

enum probe_state {
	PROBE_STATE_RUNNING = 0, /* on a CPU */
	PROBE_STATE_BLOCKED = 1,
	PROBE_STATE_WAIT_WOKEN = 2, /* runnable, not running: woken up and waiting for a CPU */
	PROBE_STATE_WAIT_PREEMPTED = 3, /* runnable, not running: lost the CPU to somebody else */
	PROBE_STATE_WAIT_THROTTLED = 4, /* runnable, but its cgroup's CPU quota is used up */
	/* heap: what became of an allocation */
	PROBE_STATE_ALLOCATED = 5,
	PROBE_STATE_FREED = 6,
	PROBE_STATE_ENDED = 7, /* its process ended, or became another program, and had not freed it */
	PROBE_STATES = 8,
};

#define PROBE_NO_STACK G_MAXUINT32

struct probe_weight {
	const struct probe_task *task;
	guint32 stack; /* id of a handed-out stack, or PROBE_NO_STACK */
	guint32 waker_stack; /* likewise: the stack of the thread that ended the wait */
	enum probe_state state;
	guint64 events;
	guint64 weight; /* in the probe's unit */
	guint64 max; /* largest single interval; 0 when not known */
};

/* What a label's value stands for; observe/ gives numbers their names. */
enum probe_label_kind {
	PROBE_LABEL_TEXT = 0, /* bytes, as they are: words of the probe's own, or names seen (hostile) */
	PROBE_LABEL_DEVICE = 1, /* number: a block device as the kernel has it, major << 20 | minor */
	PROBE_LABEL_SYSCALL = 2, /* number of a system call */
	/* Number: a cgroup key, who the container talks to; or `text` (number PROBE_NO_NUMBER) where that is none of here.
	 * A probe with this label counts for the whole machine: rows neither of whose two is wanted are left out. */
	PROBE_LABEL_OWNER = 3,
};

struct probe_label {
	const char *name; /* "wait", "device", "operation": as in the shape */
	enum probe_label_kind kind;
};

struct probe_value {
	const char *text; /* PROBE_LABEL_TEXT (and _OWNER); NULL: does not apply */
	guint64 number; /* the others; PROBE_NO_NUMBER: does not apply */
};

#define PROBE_NO_NUMBER G_MAXUINT64

/* Counts of one key, new since it was last handed out. */
struct probe_bucket {
	const struct probe_task *task; /* tgid and comm only with by_process */
	guint64 pidns; /* inode number of the pid namespace; 0 unless by_pidns */
	const struct probe_value *values; /* one for each of the probe's labels */
	const struct histogram_counts *counts;
};

/* One end of a pair. A cgroup that belongs to no container makes it the host. */
struct probe_end {
	enum edge_end_kind kind;
	guint64 cgroup_key; /* EDGE_END_CONTAINER */
	const char *process; /* EDGE_END_CONTAINER, by_process: name of the process, raw; NULL or empty: not known */
	const char *text; /* name of the other kinds (NULL: a usual one) */
};

/* Counters of one pair, new since it was last handed out. */
struct probe_pair {
	struct probe_end source, target;
	const struct probe_value *values; /* one for each of the probe's labels */
	const guint64 *counters; /* one for each of the probe's counters */
	const struct histogram_counts *const *histograms; /* likewise; may be NULL, and so may each be */
};

/* A cgroup key in a field: what observe/ makes of it. */
enum probe_owner {
	PROBE_OWNER_NONE = 0, /* the field is what it is */
	/* The text becomes the container's name. `text` is the cgroup's path where the key may not be known (that of a
	 * controller's v1 hierarchy), else NULL. */
	PROBE_OWNER_NAME = 1,
	/* The text becomes "container" when that cgroup is the event's container or in it, "ancestor" when it is above,
	 * "host" when the key is 0. */
	PROBE_OWNER_SCOPE = 2,
	/* The text becomes the name of the block device whose number (major << 20 | minor) is in `number`. */
	PROBE_OWNER_DEVICE = 3,
};

struct probe_field {
	struct event_field field;
	enum probe_owner owner;
	guint64 cgroup_key;
};

/* One happening, as soon as it is known. */
struct probe_event {
	guint64 time_ns; /* CLOCK_MONOTONIC */
	const struct probe_task *task; /* whose it is */
	guint32 inner_pid; /* of the process in its own pid namespace; 0: not known */
	const char *kind;
	const struct probe_field *fields; /* at most EVENT_FIELDS_MAX; valid during the call */
	guint field_count;
};

/* News about mappings (see symbol/symbolizer.h); build_id may be NULL. */
struct probe_mapping {
	guint64 start, length, file_offset;
	const guint8 *build_id;
	guint build_id_size;
	const char *path;
};

struct python_process; /* bpf/script.h, and the next two */
struct script_stack_record;
struct script_code_record;

struct probe_listener {
	void *user;
	/* Walks a copy: writes at most `capacity` addresses, innermost first, return addresses as they are on the stack.
	 * Called before `stack` is with the result. NULL: user halves that need it are missing. */
	void (*unwind)(void *user, guint32 tgid, const struct probe_copy *copy, guint64 *addresses, guint capacity,
		       struct probe_unwound *unwound);
	/* Of Go's code: how far above RSP the return address lies before the instruction at `address` runs. FALSE: not known. */
	gboolean (*go_depth)(void *user, guint32 tgid, guint64 address, guint32 *depth);
	void (*stack)(void *user, const struct probe_stack *stack);
	void (*weight)(void *user, const struct probe_weight *weight);
	/* When a stack was seen; after all weights. May be missing for some (they only have a weight). */
	void (*moment)(void *user, guint32 stack, guint64 time_ns);
	void (*bucket)(void *user, const struct probe_bucket *bucket); /* probes of shape histogram */
	void (*pair)(void *user, const struct probe_pair *pair); /* probes of shape edges */
	/* Every mapping, fork, exec and exit of the machine will be told from here on; FALSE: no longer, some were lost. */
	void (*followed)(void *user, gboolean all);
	void (*event)(void *user, const struct probe_event *event);
	/* `events` of a container were left out because it made too many. */
	void (*flood)(void *user, guint64 cgroup_key, guint64 events);
	void (*mapped)(void *user, guint32 tgid, const struct probe_mapping *mapping);
	void (*forked)(void *user, guint32 parent_tgid, guint32 child_tgid);
	void (*execed)(void *user, guint32 tgid);
	void (*exited)(void *user, guint32 tgid);
	/* A distinct chain of an interpreter's frames; a function in it, before the chains that refer to it. */
	void (*script)(void *user, const struct script_stack_record *script);
	void (*script_code)(void *user, const struct script_code_record *code);
	void (*cgroup_born)(void *user, guint64 cgroup_key, const char *path);
	void (*cgroup_died)(void *user, guint64 cgroup_key);
};

struct probe_run; /* each probe's own */

/* One way to attach. Ladders are tried in order, by attaching, never by kernel version (ladder.h). Whether one rung
 * works is found by opening the probe with request->rung and closing it again. */
struct rung {
	const char *name; /* "perf cpu-clock", "tp_btf/sched_switch" */
	const char *misses; /* what this rung cannot see; NULL when nothing */
	gboolean without_bpf; /* works where kernel programs are refused */
};

struct probe {
	const char *name; /* also the command's name */
	const char *shows;
	enum shape_kind shape;
	enum unit unit;
	const struct rung *rungs; /* ends with a NULL name */
	/* Histograms and edges: labels besides those of the task or the ends; ends with a NULL name. NULL: none. */
	const struct probe_label *labels;
	/* Edges; each ends with a NULL name. NULL: none. */
	const struct edges_column *counters, *histograms;
	struct probe_run *(*open)(const struct probe_request *request, const struct probe_listener *listener,
				  GError **error);
	int (*fd)(struct probe_run *run); /* poll for reading; owned by the run */
	gboolean (*drain)(struct probe_run *run, GError **error); /* never blocks */
	gboolean says_when; /* between collections `fd` tells of all there is to drain; else it is asked often */
	/* Nothing new is to be expected soon, so it may be asked less often. NULL: there always is. */
	gboolean (*is_calm)(const struct probe_run *run);
	/* The process runs an interpreter whose frames are to be followed; NULL: no more. NULL where a probe cannot. */
	void (*teach)(struct probe_run *run, guint32 tgid, const struct python_process *process);
	/* Hands out what has gathered since the last time and adds what `ledger` should say about it, without stopping;
	 * NULL for probes that cannot. */
	gboolean (*collect)(struct probe_run *run, struct ledger *ledger, GError **error);
	/* Stops, hands out the rest (weights, or what a last `collect` would), adds to `ledger`. After it only `close`
	 * may be called. */
	gboolean (*finish)(struct probe_run *run, struct ledger *ledger, GError **error);
	void (*close)(struct probe_run *run);
	/* It is a view of that one: where a rung of this name works there, or does not, so it is here. NULL: of none. */
	const struct probe *view_of;
};

/* The list of all probes, ends with NULL (registry.c). */
extern const struct probe *const probe_registry[];
const struct probe *probe_find(const char *name);
