/* SPDX-License-Identifier: Apache-2.0 */
/* The events shape: a bounded list of single happenings, ordered by time.
 *
 * An event says when, who (container, process, pid on the host and inside) and what (kind), and has a few named fields,
 * each with a unit. What is not known is left out (a missing field, NULL, pid 0), never zero. Beyond `limit` the oldest
 * events (where lists are added up: of the kinds there are most of) are forgotten and counted in `forgotten`; what a flood made the observer leave out is counted by container in
 * `floods` (and as a loss in the ledger).
 *
 * Strings are raw bytes as observed: escape on output. An event owns all it refers to in one piece of memory. */
#pragma once
#include <glib.h>

#define EVENTS_LIMIT 10000 /* when 0 is asked for */
#define EVENTS_LIMIT_MAX (1u << 20)
#define EVENT_FIELDS_MAX 32
#define EVENT_TEXT_BYTES_MAX (64u << 10) /* of one field; what is longer is cut */

/* Explicit values: only grow at the end. */
enum event_unit {
	EVENT_TEXT = 0,
	EVENT_COUNT = 1,
	EVENT_NANOSECONDS = 2,
	EVENT_BYTES = 3,
	EVENT_SIGNED = 4, /* `number` is a gint64 */
	EVENT_LIST = 5, /* `text` is `number` bytes: strings, each with its NUL */
	EVENT_UNITS = 6,
};

struct event_field {
	const char *name; /* "latency", "file": lower case, without the unit */
	enum event_unit unit;
	guint64 number;
	const char *text;
};

struct event {
	guint64 realtime_ns; /* since the epoch */
	const char *container; /* name; NULL: nobody known */
	const char *process; /* NULL: not known */
	const char *kind; /* "exec", "slow read" */
	guint32 pid, tid, inner_pid; /* process and thread as the host numbers them, process as the container does */
	guint32 field_count;
	const struct event_field *fields;
};

/* Events of a container that were left out because it made too many. */
struct event_flood {
	char *container;
	guint64 events;
};

struct events {
	GQueue rows; /* of struct event *, oldest first */
	guint limit;
	guint64 forgotten; /* older ones pushed out by newer ones */
	GArray *floods; /* of struct event_flood */
};

/* `limit` 0: EVENTS_LIMIT. */
struct events *events_new(guint limit);
void events_free(struct events *events);
typedef struct events events_t; /* for g_autoptr(events_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(events_t, events_free)

/* A copy that owns everything (fields beyond EVENT_FIELDS_MAX are left out); event_free. */
struct event *event_copy(const struct event *event);
void event_free(struct event *event);
/* NULL when there is no such field. */
const struct event_field *event_find(const struct event *event, const char *name);
/* The next string of an EVENT_LIST field after `at` (NULL: the first); NULL at the end. */
const char *event_list_next(const struct event_field *field, const char *at);

/* Adds a copy at its place in time. Returns the stored event, owned by the list, valid until it is forgotten; NULL when
 * it is older than a full list. */
const struct event *events_add(struct events *events, const struct event *event);
/* The same without looking for the place: events_sort must follow the last, which keeps to `limit`: each kind has as much of it as any
 * other, or all its events. */
void events_append(struct events *events, const struct event *event);
void events_sort(struct events *events);
void events_flood(struct events *events, const char *container, guint64 count);

/* Adds every event of `from` to `into`; `into->limit` stay, as after events_sort. */
void events_merge(struct events *into, const struct events *from);
/* What happened since: the events of `after` that are not in `before`, and the growth of its counters. Owned by the
 * caller. */
struct events *events_diff(const struct events *before, const struct events *after);
