/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent knows now: the cheap probes, always on, read once an interval. Gauges of every container, how long its
 * threads waited for a CPU, what was executed and killed. Probes that cannot be had, or that the budget sheds, are
 * listed with the reason; nothing is silently missing. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/events.h"
#include "model/gauges.h"
#include "model/identity.h"
#include "model/ledger.h"
#include "observe/look.h"
#include "render/gauge_table.h"
#include "store/history.h"
#include "serve/programs.h"
#include "serve/totals.h"
#include "store/reel.h"

/* In the environment: however few packets there are, they are many (probe/askers.h), for tests of what is looked at then. */
#define LIVE_MANY_PACKETS "FATHOM_MANY_PACKETS"

#define LIVE_EVENTS_MAX 1000 /* remembered of each ring */

/* Rings that events are remembered in: a flood pushes out only its own kind. */
enum live_event_ring {
	LIVE_EVENTS_EXEC = 0, /* programs started */
	LIVE_EVENTS_LIFE = 1, /* containers that came and went */
	LIVE_EVENTS_REST = 2,
	LIVE_EVENT_RINGS = 3,
};

#define LIVE_LOOK_S 10 /* the machine is looked at so often, or when somebody asks */
#define LIVE_OTHER "other" /* the name of containers without labels of their own, all together */
#define LIVE_NOTES_MAX 32 /* sentences of a part's ledger: the latest */
#define LIVE_EDGES_MAX 8192 /* beyond them those without living connections are forgotten */

/* The parts that can be shed, the dearest first. */
enum live_part {
	LIVE_OFFCPU = 0, /* sampler.h, and so the next */
	LIVE_PROFILE = 1,
	LIVE_FS = 2,
	LIVE_DNS = 3,
	LIVE_EXEC = 4,
	LIVE_CONNECTIONS = 5,
	LIVE_BLOCK = 6,
	LIVE_RUNQ = 7,
	LIVE_OOM = 8,
	LIVE_GAUGES = 9, /* never shed */
	LIVE_PARTS = 10,
};

enum live_state {
	LIVE_ON = 0,
	LIVE_OFF = 1, /* asked for in the configuration */
	LIVE_REFUSED = 2, /* by the kernel, at the start or later: `why` says it. The budget tries again (budget.h). */
	LIVE_SHED = 3, /* to keep the budget */
};

/* By name; LIVE_PARTS: there is none. */
enum live_part live_part_find(const char *name);

struct live_part_status {
	const char *name, *shows;
	enum live_state state;
	char *why; /* NULL: on */
	struct ledger ledger; /* since the start */
	guint64 cost_ns; /* of our own CPU time reading it, since the start */
	gint64 retry_ms; /* since 1970: when it is tried again; 0: it is not */
	/* Of a part that looks for some of the time: so much of the time since the start of its first window; `waited_ns` 0: all. */
	guint64 looked_ns, waited_ns;
};

/* A container, a unit or the host. */
struct live_resource {
	struct identity identity; /* first: what it is found by */
	guint32 history_id; /* 0: history has no room */
	gboolean is_exported; /* has labels of its own; else counted under "other" */
	gboolean is_present; /* was in the last reading */
	gboolean is_container;
	char *cgroup, *labels; /* labels: of metrics, escaped */
	char *name; /* that `labels` say; NULL: none yet */
	guint64 moved[GAUGE_KNOWN_WORDS]; /* gauges that have been other than zero: in metrics from then on */
	struct histogram_counts *waits; /* since the agent's start, and in the last interval; NULL: none yet */
	struct histogram_counts *interval_waits;
	guint64 execs;
	struct totals *totals; /* NULL: nothing yet */
};

struct live_options {
	gboolean no_bpf; /* files alone */
	gboolean no_profile, no_offcpu; /* nobody samples stacks */
	const char *const *off; /* names of parts; NULL: none */
	gboolean names; /* peers outside have the names DNS told the container */
	guint exported_max; /* containers with labels of their own */
};

struct live;

/* `history` and `reel` are the caller's and outlive it. */
struct live *live_new(const struct live_options *options, struct history *history, struct reel *reel, GError **error);
void live_free(struct live *live);

/* Sees what each interval brought, all shapes of all parts, before it goes to the reel. */
typedef void (*live_frame_fn)(void *user, const struct snapshot *frame);
void live_watch_frames(struct live *live, live_frame_fn see, void *user);

/* One reading. FALSE and `error` when the cgroup tree cannot be read. */
gboolean live_tick(struct live *live, GError **error);

/* One that knows what a capture says in place of this machine: nothing is attached or read, there is no live_tick of it. */
struct live *live_new_replay(struct history *history, struct reel *reel);
/* Its next interval, which ended at `time_ms`; taken over. */
void live_replay(struct live *live, gint64 time_ms, struct snapshot *snapshot);

/* All owned by the live and valid until the next tick. */
const struct gauge_interval *live_interval(const struct live *live);
/* Of row `row` of the interval's readings; NULL for rows of no interest (not yet read twice …). */
const struct live_resource *live_resource(const struct live *live, guint32 row);
/* Of a cgroup's path; NULL: none that was in the last reading. */
const struct live_resource *live_resource_of(const struct live *live, const char *cgroup);
/* The packed tick's point of that row; FALSE when there is none. */
gboolean live_point(const struct live *live, guint32 row, struct series_point *point);
/* What the containers without labels of their own used together, as one row of counters and levels; NULL when there are
 * none. */
const struct gauge_row *live_other(const struct live *live);
/* Of those without labels of their own, since the start; NULL: nothing yet. */
const struct totals *live_other_totals(const struct live *live);
const struct totals_edges *live_totals_edges(const struct live *live);
guint live_overflowed(const struct live *live); /* how many those are */
const struct live_part_status *live_part(const struct live *live, enum live_part part);
const struct events *live_events(const struct live *live, guint ring);
enum live_event_ring live_event_ring(const char *kind); /* in which an event is kept */
/* Connections of the probe "connections" since the start, by edge; NULL: none yet. */
const struct edges *live_edges(const struct live *live);
/* The machine since it was last looked at: between one second and LIVE_LOOK_S ago. NULL of a capture. */
const struct look *live_look(struct live *live);
const struct look *live_looked(const struct live *live); /* as it was taken last */
const struct programs *live_programs(const struct live *live); /* by part; NULL of a capture */
gint64 live_time_ms(const struct live *live); /* of the last reading; 0: none yet */
/* How many things of each kind stand in memory. */
struct live_holdings {
	struct registry_counts cgroups;
	guint resources; /* rows with a history of their own */
	guint ended; /* containers whose return would be told as one */
	guint edges, events;
	guint notes; /* sentences in ledgers */
};
void live_holdings(const struct live *live, struct live_holdings *holdings);
guint64 live_ticks(const struct live *live);
guint64 live_reading_ns(const struct live *live); /* what it took */
struct registry *live_registry(struct live *live); /* NULL of a capture */
guint64 live_events_total(const struct live *live, enum live_part part); /* LIVE_EXEC, LIVE_OOM: seen since the start */

/* Between two ticks: the connections so far, for whoever watches. TRUE: there is an edge that was not there before. The next tick's
 * interval has them, too. */
gboolean live_peek(struct live *live);
const struct edges *live_peeked(const struct live *live); /* NULL: nothing since the last tick */

/* Of a part that somebody else runs (LIVE_PROFILE, LIVE_OFFCPU): what it saw (may be NULL), and CPU time it took. */
void live_account(struct live *live, enum live_part part, const struct shape *shape, guint64 cost_ns);
/* Such a one looked for `looked_ns` more, and the next time after `waited_ns` from when it began to. */
void live_account_looked(struct live *live, enum live_part part, guint64 looked_ns, guint64 waited_ns);

/* Something that happened besides what the parts see: goes where events go. */
void live_note(struct live *live, const struct event *event);

/* Turns a part off to save its cost, or on again. */
void live_shed(struct live *live, enum live_part part, gboolean off, const char *why);
/* Starts a part that was refused; it is on then, or refused again. */
void live_retry(struct live *live, enum live_part part);
/* When that is going to be, for people; since 1970. */
void live_retry_at(struct live *live, enum live_part part, gint64 time_ms);
