/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: what one observation hands out. A set of shapes with one time range, each with its ledger.
 * Rendering, diagnosis and the store see nothing else. Captures (JSON) hold exactly this. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "model/calltree.h"
#include "model/edges.h"
#include "model/events.h"
#include "model/gauges.h"
#include "model/histogram.h"
#include "model/ledger.h"

enum shape_kind {
	SHAPE_NONE = 0, /* no such kind */
	SHAPE_CALLTREE = 1,
	SHAPE_HISTOGRAM = 2,
	SHAPE_EDGES = 3,
	SHAPE_EVENTS = 4,
	SHAPE_GAUGES = 5,
};

struct shape {
	enum shape_kind kind;
	char *probe; /* "profile", "offcpu", "walltime"; "folded" … for foreign input */
	enum unit unit;
	struct ledger ledger;
	struct calltree *calltree; /* SHAPE_CALLTREE */
	struct events *events; /* SHAPE_EVENTS */
	struct histogram *histogram; /* SHAPE_HISTOGRAM; NULL until its labels are known */
	struct edges *edges; /* SHAPE_EDGES; NULL until its columns are known */
	struct gauges *gauges; /* SHAPE_GAUGES */
};

struct snapshot {
	char *title; /* what was observed, for headings: "profile of web, db" */
	char *host;
	guint64 start_realtime_ns; /* 0: not known (foreign input) */
	guint64 duration_ns; /* 0: not known */
	guint64 looked_ns; /* for so much of it somebody looked, and weights are of that alone; 0: all of it */
	guint32 frequency_hz; /* sampling rate; 0: not sampled */
	GPtrArray *shapes; /* of struct shape *, owned */
};

/* "calltree" …: the name in captures. Finding gives SHAPE_NONE when there is no such kind. */
const char *shape_kind_name(enum shape_kind kind);
enum shape_kind shape_kind_find(const char *name);

struct shape *shape_new(enum shape_kind kind, const char *probe, enum unit unit);
void shape_free(struct shape *shape);
/* Nothing was seen, and nothing that happened was missed. */
gboolean shape_is_empty(const struct shape *shape);
struct snapshot *snapshot_new(const char *title);
void snapshot_free(struct snapshot *snapshot);
typedef struct snapshot snapshot_t; /* for g_autoptr(snapshot_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(snapshot_t, snapshot_free)

/* Windows of stacks that are summed up, in order of time. */
struct windows {
	guint count, left_out;
	guint64 looked_ns; /* they are of so much time */
	guint64 taken_to_ns; /* the last ends then, since 1970 */
};
/* FALSE: it is left out. Time that a window before holds already (somebody asked for a measurement meanwhile) would count twice; samples
 * that are always taken never do. */
gboolean windows_take(struct windows *windows, const struct snapshot *snapshot, const struct shape *shape);
/* Where they are not of all of `whole_ns`, the snapshot and its shape's ledger say so; and whether any was left out. */
void windows_say(const struct windows *windows, struct snapshot *snapshot, struct shape *shape, guint64 whole_ns);

/* Where it does not say when it began: it ended at `time_ms`. */
void snapshot_date(struct snapshot *snapshot, gint64 time_ms);
/* A window of stacks, of which [from_ms, to_ms) is wanted: samples stay by their moments, and the window is so much shorter. What
 * has no moments stays whole. FALSE: it lies outside, and nothing changed. */
gboolean snapshot_cut(struct snapshot *snapshot, gint64 from_ms, gint64 to_ms);

/* The first shape of `kind`, NULL when absent; owned by the snapshot. */
struct shape *snapshot_find(const struct snapshot *snapshot, enum shape_kind kind);
