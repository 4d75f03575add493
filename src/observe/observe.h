/* SPDX-License-Identifier: Apache-2.0 */
/* An observation: one probe, some targets, an interval → a snapshot.
 *
 * This is where the three rooms below meet: the probe's cgroup keys get containers' names (container/), its addresses
 * get functions' names (symbol/), and its weights become a calltree (weave.h), its counts tables (tally.h). Every
 * stack is named when it is first seen, not at the end: its process may be gone by then, and the result is ready the
 * moment the interval ends. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/snapshot.h"
#include "observe/remotes.h"
#include "probe/probe.h"

/* In the environment: probes get the smallest rings and kernel maps they can work with, for tests of what happens when
 * they are full. */
#define OBSERVE_SMALLEST "FATHOM_SMALLEST"
/* Of beginnings and ends of connections one in so many is not heard, for tests of what happens when the kernel leaves a program out. */
#define OBSERVE_DEAF "FATHOM_DEAF"

/* What stands between the container and the first function of a stack. */
enum observe_by {
	OBSERVE_BY_CONTAINER = 0, /* nothing */
	OBSERVE_BY_PROCESS = 1, /* the process's name; workers of one name are one */
	OBSERVE_BY_THREAD = 2, /* process and pid, thread and tid */
	/* tables only */
	OBSERVE_BY_PID = 3, /* process and pid */
	OBSERVE_BY_PIDNS = 4, /* pid namespace, by its inode number */
	OBSERVE_BY_CGROUP = 5, /* path of the container's or unit's cgroup */
	/* edges only: who is one end */
	OBSERVE_BY_POD = 6, /* a container in none is itself */
	OBSERVE_BY_IMAGE = 7,
};

/* What several observations at the same time have in common: what was read of files (symbols, unwind tables) and of the kernel's
 * names. One thread's. */
struct observe_lore;

struct observe_lore *observe_lore_new(void);
/* After the observations. */
void observe_lore_free(struct observe_lore *lore);

struct observe_options {
	const struct probe *probe;
	const GPtrArray *targets; /* of struct target */
	guint64 duration_ns; /* 0: until `stop_fd` or `interval` ends it */
	enum observe_by by;
	guint32 frequency_hz;
	guint32 every; /* as in probe_request */
	double budget_share; /* likewise */
	guint64 sample_bytes; /* likewise */
	gboolean frugal; /* likewise */
	struct askers *askers; /* likewise */
	gboolean births_told; /* likewise: the registry is told by somebody else (usage_watch) */
	gboolean moments; /* likewise */
	gboolean cycles;
	gboolean no_user, no_kernel;
	gboolean waker;
	gboolean peers; /* as in probe_request */
	struct remotes_how remotes; /* edges: how those outside are grouped */
	guint64 threshold_ns;
	gboolean debuginfod; /* missing debug files may be fetched from the servers in DEBUGINFOD_URLS */
	gboolean java_map; /* Java virtual machines may be asked to write a map of their code */
	/* Probes of events: */
	void (*event)(void *user, const struct event *event); /* each as it comes; may be NULL */
	void *event_user;
	guint event_limit; /* kept in the snapshot; 0: EVENTS_LIMIT */
	guint32 event_rate; /* a second and container; 0: the probe's own */
	gboolean arguments; /* also what programs were called with */
	gboolean inlined,
		lines; /* what debug information tells: inlined functions, source files and lines (Python's, too) */
	const char *rung; /* NULL: the best that works */
	struct observe_lore *lore; /* borrowed; NULL: its own */
	guint64 slot_ns; /* histograms: keep slots of time of this length, for heat maps; 0: none */
	/* With `interval_ns`: gets every that many nanoseconds what gathered in them, and says whether to go on. Only for
	 * probes that can `collect`. */
	guint64 interval_ns;
	gboolean (*interval)(void *user, const struct snapshot *snapshot);
	void *interval_user;
	guint interval_count; /* the run ends with so many intervals, the last of which it returns; 0: no end */
	int stop_fd; /* readable: end early with what there is; -1: none */
	/* Called about ten times a second while measuring; may be NULL. */
	void (*progress)(void *user, guint64 elapsed_ns, guint64 duration_ns);
	void *progress_user;
	/* Called when all is attached and the interval begins; and when it is over and its result is about to be made; may
	 * be NULL. */
	void (*started)(void *user);
	void (*ended)(void *user);
};

/* So begins the ledger's note of an interval that was cut short. */
#define OBSERVE_PARTIAL "partial: "

/* Adds what `text` means to `targets` (see target_resolve); besides those, "busiest" means every container that runs
 * now, or all of the machine when there is none. */
gboolean observe_target(struct registry *registry, const char *text, GPtrArray *targets, GError **error);
/* The same of each of `names`, which end with NULL; of "all" when there are none. */
gboolean observe_targets(struct registry *registry, char *const *names, GPtrArray *targets, GError **error);

/* Measures. The snapshot is owned by the caller; NULL and `error` when no rung works or the probe fails. With
 * `interval_ns` it holds the last interval: of one that was cut short the ledger says so (it may be next to nothing). */
struct snapshot *observe_run(struct registry *registry, const struct observe_options *options, GError **error);

struct observe_together;

/* Several probes over the same interval: one snapshot with a shape for each that works, in the order of `each`. Why one
 * does not is a sentence in `refused` (of char *). How long, until when and what is told about progress are those of
 * `common`, whose probe is not looked at; `slot_ns` and `interval_ns` must be 0 everywhere. `ready` is called when all
 * are attached and the interval begins. NULL and `error` when a probe fails on the way; `count` may be 0. To detach takes
 * the kernel a while, longer than all else when the interval is over: `rest`, which is always set, is left to the caller,
 * who can tell the result before he frees it. */
struct snapshot *observe_run_together(struct registry *registry, const struct observe_options *common,
				      const struct observe_options *each, guint count, void (*ready)(void *user),
				      GPtrArray *refused, struct observe_together **rest, GError **error);
void observe_together_free(struct observe_together *together);

/* ---- for ever: an observation that somebody else's loop drives ---- */

struct observation;

/* Starts to observe; for probes that can `collect`, for probes of events, and, with an `observation_finish` at the end,
 * for those of stacks. The `probe`, `targets`, `by`, `threshold_ns`,
 * `event…`, `frugal`, `askers`, `births_told`, `rung` of the options count; what they point to must outlive it. NULL and `error` when no rung works. */
struct observation *observation_open(struct registry *registry, const struct observe_options *options, GError **error);
/* Readable: `observation_drain` has something to do. Owned by the observation; may be -1. */
int observation_fd(const struct observation *observation);
/* How often, in ms, it is to be drained even if that is not readable; 0: that tells of everything. */
guint observation_tick_ms(const struct observation *observation);
/* Takes in what the kernel has to say; never blocks. */
gboolean observation_drain(struct observation *observation, GError **error);
/* What came since the last time (or the start), owned by the caller; NULL and `error` when the probe fails. */
struct snapshot *observation_take(struct observation *observation, GError **error);
/* Stops watching and hands out what came since the last take, or of stacks everything; after it only `observation_close`
 * may be called. */
struct snapshot *observation_finish(struct observation *observation, GError **error);
void observation_close(struct observation *observation);
