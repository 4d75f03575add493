/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/live.h"

#include <glib-unix.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "observe/observe.h"
#include "observe/usage.h"
#include "probe/askers.h"
#include "render/connections.h"
#include "render/prometheus.h"
#include "serve/changes.h"

#define LIVE_ID_LENGTH 12
#define LIVE_EXEC_RATE 200 /* events a second and container */
#define LIVE_REST_MS 50 /* between two readings of a ring: where much happens each event would wake us up */

static const struct {
	const char *name, *shows, *probe;
	enum observe_by by;
} parts[LIVE_PARTS] = {
	[LIVE_OFFCPU] = { "offcpu", "stacks of blocked threads, for some of the time", NULL, OBSERVE_BY_PROCESS },
	[LIVE_PROFILE] = { "profile", "stacks of running threads, sampled", NULL, OBSERVE_BY_PROCESS },
	[LIVE_FS] = { "fs", "file operations, by length", "fs", OBSERVE_BY_CONTAINER },
	[LIVE_DNS] = { "dns", "questions of DNS, by length and outcome", "dns", OBSERVE_BY_CONTAINER },
	[LIVE_EXEC] = { "exec", "programs started", "trace exec", OBSERVE_BY_CONTAINER },
	[LIVE_CONNECTIONS] = { "connections", "TCP connections, by edge", "connections", OBSERVE_BY_CONTAINER },
	[LIVE_BLOCK] = { "block", "disk I/O, by length", "block", OBSERVE_BY_CONTAINER },
	[LIVE_RUNQ] = { "runq", "time from runnable to running, by length", "runq", OBSERVE_BY_CGROUP },
	[LIVE_OOM] = { "oom", "processes killed for lack of memory", "trace oom", OBSERVE_BY_CONTAINER },
	[LIVE_GAUGES] = { "gauges", "what every container uses and loses", NULL, OBSERVE_BY_CONTAINER },
};

enum live_part live_part_find(const char *name)
{
	guint part = 0;

	while (part < LIVE_PARTS && strcmp(parts[part].name, name) != 0)
		part++;
	return (enum live_part)part;
}

struct running {
	struct live *live;
	struct observation *observation;
	guint watch; /* source: until there is something to read, or until the rest is over; 0: none */
	guint64 events;
};

struct live {
	struct live_options options;
	struct registry *registry;
	struct history *history;
	struct usage *usage; /* hears of births and deaths, for all parts */
	guint births_watch; /* source; 0: none */
	struct askers *askers; /* where the part "dns" hangs its programs; NULL: nobody says */
	GPtrArray *targets; /* all */
	struct running running[LIVE_PARTS];
	struct programs *programs; /* by part; NULL of a capture */
	struct live_part_status parts[LIVE_PARTS];
	struct gauges *readings, *changes; /* readings belong to the usage */
	struct gauge_interval interval;
	struct gauges *other; /* one row */
	guint overflowed, exported;
	GHashTable *resources; /* of struct live_resource, by key and birth */
	GHashTable *by_cgroup, *by_name; /* the present ones; borrowed */
	GPtrArray *rows; /* struct live_resource of each row, borrowed; NULL where none */
	GArray *points; /* of struct series_point, by row */
	struct events *events[LIVE_EVENT_RINGS];
	struct reel *reel;
	struct snapshot *frame; /* what this interval brought: for the reel */
	struct events *news; /* of this interval */
	struct changes *changed;
	live_frame_fn see_frame; /* NULL: nobody */
	void *see_user;
	struct look *look;
	guint64 look_ns;
	struct shape *peeked; /* connections of the interval that is not over; NULL: nobody looked */
	struct edges *edges; /* connections since the start; NULL: none yet */
	struct totals *other_totals; /* NULL: none yet */
	struct totals_edges *totals_edges;
	guint64 read_ns, reading_ns, ticks;
	gint64 time_ms;
};

/* ---- resources ---- */

static void resource_free(gpointer data)
{
	struct live_resource *resource = data;

	g_free(resource->cgroup);
	g_free(resource->labels);
	g_free(resource->name);
	g_free(resource->waits);
	g_free(resource->interval_waits);
	g_free(resource->totals);
	g_free(resource);
}

/* container_name alone: all else, with the id, is in _info. Where two that run bear one name (or the name of the rest), the
 * later one's is followed by the beginning of its id. */
static void resource_name(struct live *live, struct live_resource *resource, const struct gauge_row *row)
{
	const struct live_resource *namesake = g_hash_table_lookup(live->by_name, row->name);
	g_autofree char *id = g_strndup(row->texts[GAUGE_TEXT_ID] ? row->texts[GAUGE_TEXT_ID] : "", LIVE_ID_LENGTH);
	gboolean is_taken = (namesake && namesake != resource) || strcmp(row->name, LIVE_OTHER) == 0;
	g_autofree char *name = is_taken ? g_strdup_printf("%s/%s", row->name, id) : g_strdup(row->name);
	GString *labels;

	if (g_strcmp0(resource->name, name) == 0)
		return;
	labels = g_string_new(NULL);
	exposition_label(labels, "container_name", name);
	g_free(resource->labels);
	resource->labels = g_string_free(labels, FALSE);
	g_free(resource->name);
	resource->name = g_steal_pointer(&name);
}

static void resource_note_moved(struct live_resource *resource, const struct gauge_row *row)
{
	for (guint i = 0; i < GAUGES_COUNT; i++)
		if (row->values[i] && gauge_is_known(row, (enum gauge)i))
			resource->moved[i / 64] |= G_GUINT64_CONSTANT(1) << i % 64;
}

static struct live_resource *resource_of(struct live *live, const struct gauge_row *row)
{
	struct live_resource wanted = { .identity = { row->key, row->birth_ns } };
	struct live_resource *resource = g_hash_table_lookup(live->resources, &wanted);

	if (!resource) {
		resource = g_memdup2(&wanted, sizeof(wanted));
		resource->cgroup = g_strdup(row->texts[GAUGE_TEXT_CGROUP]);
		resource->is_container = row->resource == GAUGE_RESOURCE_CONTAINER;
		resource->is_exported =
			row->resource == GAUGE_RESOURCE_CONTAINER && live->exported < live->options.exported_max;
		live->exported += resource->is_exported;
		g_hash_table_add(live->resources, resource);
	}
	/* A name may have been learnt late. */
	resource->history_id = history_id(live->history, row->key, row->birth_ns, row->name, resource->cgroup);
	if (resource->is_exported && !row->dead) {
		resource_name(live, resource, row);
		resource_note_moved(resource, row);
	}
	return resource;
}

static void resources_forget(struct live *live)
{
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, live->resources);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		struct live_resource *resource = key;

		if (resource->is_present)
			continue;
		live->exported -= resource->is_exported;
		g_hash_table_iter_remove(&iter);
	}
}

/* Who is there, row by row. */
static void resources_match(struct live *live)
{
	GHashTableIter iter;
	gpointer key;

	g_hash_table_remove_all(live->by_cgroup);
	g_hash_table_remove_all(live->by_name);
	g_hash_table_iter_init(&iter, live->resources);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		((struct live_resource *)key)->is_present = FALSE;
	g_ptr_array_set_size(live->rows, 0);
	for (guint32 i = 0; i < live->readings->rows->len; i++) {
		const struct gauge_row *row = gauges_row(live->readings, i);
		struct live_resource *resource = resource_of(live, row);

		resource->is_present = TRUE;
		g_ptr_array_add(live->rows, resource);
		if (resource->cgroup)
			g_hash_table_insert(live->by_cgroup, resource->cgroup, resource);
		if (!row->dead || !g_hash_table_contains(live->by_name, row->name))
			g_hash_table_insert(live->by_name, (gpointer)row->name, resource);
	}
	resources_forget(live);
}

/* ---- observations ---- */

enum live_event_ring live_event_ring(const char *kind)
{
	static const char *const lives[] = { "start", "stop", "restart", "deploy", NULL };

	if (g_strcmp0(kind, "exec") == 0)
		return LIVE_EVENTS_EXEC;
	return kind && g_strv_contains(lives, kind) ? LIVE_EVENTS_LIFE : LIVE_EVENTS_REST;
}

static void event_keep(struct live *live, const struct event *event)
{
	events_add(live->events[live_event_ring(event->kind)], event);
	events_add(live->news, event);
}

void live_note(struct live *live, const struct event *event)
{
	event_keep(live, event);
}

/* happen_fn */
static void event_seen(void *user, const struct event *event)
{
	struct running *running = user;
	struct live_resource *resource =
		event->container ? g_hash_table_lookup(running->live->by_name, event->container) : NULL;

	running->events++;
	if (resource && running == &running->live->running[LIVE_EXEC])
		resource->execs++;
	event_keep(running->live, event);
}

static void part_fail(struct live *live, enum live_part part, const char *why)
{
	struct running *running = &live->running[part];

	if (running->watch)
		g_source_remove(running->watch);
	running->watch = 0;
	if (running->observation)
		programs_drop(live->programs, part);
	g_clear_pointer(&running->observation, observation_close);
	live->parts[part].state = LIVE_REFUSED;
	g_free(live->parts[part].why);
	live->parts[part].why = g_strdup(why);
}

/* ---- births and deaths ---- */

/* Who was born has a name from now on, for all. */
static void births_hear(struct live *live)
{
	guint64 before_ns = clock_thread_ns();

	usage_hear(live->usage);
	live->parts[LIVE_GAUGES].cost_ns += clock_thread_ns() - before_ns;
}

/* GUnixFDSourceFunc. At once: the files that name somebody may soon be gone. */
static gboolean births_ready(gint fd, GIOCondition condition, gpointer data)
{
	(void)fd;
	(void)condition;
	births_hear(data);
	return G_SOURCE_CONTINUE;
}

static void births_watch(struct live *live)
{
	if (usage_fd(live->usage) >= 0)
		live->births_watch = g_unix_fd_add(usage_fd(live->usage), G_IO_IN, births_ready, live);
}

/* ---- parts ---- */

static gboolean part_ready(gint fd, GIOCondition condition, gpointer data);

/* GSourceFunc */
static gboolean part_rested(gpointer data)
{
	struct running *running = data;

	running->watch = g_unix_fd_add(observation_fd(running->observation), G_IO_IN, part_ready, running);
	return G_SOURCE_REMOVE;
}

/* GUnixFDSourceFunc */
static gboolean part_ready(gint fd, GIOCondition condition, gpointer data)
{
	struct running *running = data;
	enum live_part part = (enum live_part)(running - running->live->running);
	guint64 before_ns;
	g_autoptr(GError) error = NULL;

	(void)fd;
	(void)condition;
	births_hear(running->live);
	before_ns = clock_thread_ns();
	running->watch = 0;
	if (!observation_drain(running->observation, &error)) {
		part_fail(running->live, part, error->message);
		return G_SOURCE_REMOVE;
	}
	running->live->parts[part].cost_ns += clock_thread_ns() - before_ns;
	running->watch = g_timeout_add(LIVE_REST_MS, part_rested, running);
	return G_SOURCE_REMOVE;
}

static void part_start(struct live *live, enum live_part part)
{
	struct running *running = &live->running[part];
	struct observe_options options = {
		.probe = parts[part].probe ? probe_find(parts[part].probe) : NULL,
		.targets = live->targets,
		.by = parts[part].by,
		.event = event_seen,
		.event_user = running,
		.event_limit = 1, /* we keep our own */
		.event_rate = LIVE_EXEC_RATE,
		.frugal = TRUE,
		.births_told = usage_is_watching(live->usage),
		.askers = live->askers,
		.remotes = { .by = live->options.names && part == LIVE_CONNECTIONS ? REMOTES_BY_NAME
										   : REMOTES_BY_ADDRESS },
		.stop_fd = -1,
	};
	g_autoptr(GError) error = NULL;

	if (!options.probe) { /* somebody else runs it */
		live->parts[part].state = LIVE_ON;
		g_clear_pointer(&live->parts[part].why, g_free);
		return;
	}
	running->live = live;
	running->observation = observation_open(live->registry, &options, &error);
	if (!running->observation) {
		part_fail(live, part, error->message);
		return;
	}
	programs_take(live->programs, part);
	if (observation_fd(running->observation) >= 0)
		part_rested(running);
	if (options.probe->shape == SHAPE_EVENTS) /* has one way to attach, and says so only at its end */
		ledger_set_rung(&live->parts[part].ledger, options.probe->rungs->name, options.probe->rungs->misses);
	live->parts[part].state = LIVE_ON;
	g_clear_pointer(&live->parts[part].why, g_free);
}

static void part_stop(struct live *live, enum live_part part)
{
	struct running *running = &live->running[part];

	if (running->watch)
		g_source_remove(running->watch);
	running->watch = 0;
	if (running->observation)
		programs_drop(live->programs, part);
	g_clear_pointer(&running->observation, observation_close);
}

/* Since the start: sentences with numbers in them are others each time, so the oldest go. */
static void part_account(struct live *live, enum live_part part, const struct ledger *ledger)
{
	struct ledger *kept = &live->parts[part].ledger;

	ledger_add_up(kept, ledger);
	if (kept->notes && kept->notes->len > LIVE_NOTES_MAX)
		g_ptr_array_remove_range(kept->notes, 0, kept->notes->len - LIVE_NOTES_MAX);
}

/* The capture holds something of that part. */
static void replay_part(struct live *live, enum live_part part, const struct shape *shape)
{
	live->parts[part].state = LIVE_ON;
	g_clear_pointer(&live->parts[part].why, g_free);
	if (shape)
		part_account(live, part, &shape->ledger);
}

void live_account(struct live *live, enum live_part part, const struct shape *shape, guint64 cost_ns)
{
	live->parts[part].cost_ns += cost_ns;
	if (shape && !live->registry)
		replay_part(live, part, NULL);
	if (shape)
		part_account(live, part, &shape->ledger);
}

void live_account_looked(struct live *live, enum live_part part, guint64 looked_ns, guint64 waited_ns)
{
	live->parts[part].looked_ns += looked_ns;
	live->parts[part].waited_ns += waited_ns;
}

void live_shed(struct live *live, enum live_part part, gboolean off, const char *why)
{
	g_return_if_fail(part < LIVE_GAUGES);
	if (off && live->parts[part].state == LIVE_ON) {
		part_stop(live, part);
		live->parts[part].state = LIVE_SHED;
		live->parts[part].why = g_strdup(why);
	} else if (!off && live->parts[part].state == LIVE_SHED) {
		part_start(live, part);
	}
}

void live_retry(struct live *live, enum live_part part)
{
	g_return_if_fail(part < LIVE_GAUGES);
	if (live->parts[part].state != LIVE_REFUSED)
		return;
	live->parts[part].retry_ms = 0;
	part_start(live, part);
}

void live_retry_at(struct live *live, enum live_part part, gint64 time_ms)
{
	live->parts[part].retry_ms = time_ms;
}

static struct histogram_counts *counts_of(struct histogram_counts **counts)
{
	if (!*counts)
		*counts = g_new0(struct histogram_counts, 1);
	return *counts;
}

/* Adds an interval's waits to whom they belong to; what belongs to nobody we list is the host's. */
static void waits_take(struct live *live, const struct shape *shape)
{
	const struct histogram *histogram = shape->histogram;
	int cgroup = histogram ? histogram_label(histogram, "cgroup") : -1;

	for (guint i = 0; cgroup >= 0 && i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *path = histogram_values(histogram, i)[cgroup];
		struct live_resource *resource = path ? g_hash_table_lookup(live->by_cgroup, path) : NULL;

		if (!resource)
			continue;
		histogram_counts_add(counts_of(&resource->waits), &row->counts);
		histogram_counts_add(counts_of(&resource->interval_waits), &row->counts);
	}
}

/* changes_fn */
static void change_seen(void *user, const struct event *event)
{
	event_keep(user, event);
}

static void waits_begin(struct live *live)
{
	for (guint i = 0; i < live->rows->len; i++) {
		struct live_resource *resource = g_ptr_array_index(live->rows, i);

		if (resource->interval_waits)
			memset(resource->interval_waits, 0, sizeof(*resource->interval_waits));
	}
}

static gint64 edge_living(const struct edges *edges, guint32 row)
{
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	return (gint64)numbers.live;
}

static void edge_add(struct edges *into, const struct edges *from, guint32 row)
{
	const struct edge *edge = g_ptr_array_index(from->rows, row);
	struct edge_end source = edges_source(from, row), target = edges_target(from, row);
	struct edge *kept = edges_add(into, &source, &target, edges_labels(from, row));

	for (guint i = 0; kept && i < from->counter_count; i++)
		edge_count(kept, i, edge->counters[i]);
}

/* Adds an interval's connections to those since the start (their times of course not: the reel has them). */
static void edges_take(struct live *live, const struct edges *news)
{
	static const struct edges_column none[] = { { 0 } };

	if (!live->edges)
		live->edges = edges_new((const char *const *)news->labels, news->counters, none);
	for (guint32 row = 0; row < news->rows->len; row++)
		edge_add(live->edges, news, row);
	if (live->edges->rows->len > LIVE_EDGES_MAX) {
		struct edges *all = live->edges;

		live->edges = edges_new((const char *const *)news->labels, news->counters, none);
		for (guint32 row = 0; row < all->rows->len; row++)
			if (edge_living(all, row) > 0)
				edge_add(live->edges, all, row);
		edges_free(all);
	}
}

/* totals_of_fn */
static struct totals *totals_of(void *user, const char *container)
{
	struct live *live = user;
	struct live_resource *resource = g_hash_table_lookup(live->by_name, container);
	struct totals **totals;

	if (!resource || !resource->is_container)
		return NULL;
	totals = resource->is_exported ? &resource->totals : &live->other_totals;
	if (!*totals)
		*totals = g_new0(struct totals, 1);
	return *totals;
}

/* What the observation gathered in the interval. */
static void part_take(struct live *live, enum live_part part)
{
	guint64 before_ns = clock_thread_ns();
	g_autoptr(snapshot_t) snapshot = NULL;
	g_autoptr(GError) error = NULL;
	const struct shape *shape;

	if (!live->running[part].observation)
		return;
	snapshot = observation_take(live->running[part].observation, &error);
	if (!snapshot) {
		part_fail(live, part, error->message);
		return;
	}
	shape = g_ptr_array_index(snapshot->shapes, 0);
	part_account(live, part, &shape->ledger);
	if (part == LIVE_RUNQ)
		waits_take(live, shape);
	if (part == LIVE_CONNECTIONS && shape->edges)
		edges_take(live, shape->edges);
	totals_take(shape, totals_of, live, live->totals_edges);
	if (part == LIVE_CONNECTIONS && live->peeked) {
		edges_merge(shape->edges, live->peeked->edges);
		g_clear_pointer(&live->peeked, shape_free);
	}
	if (shape->kind != SHAPE_EVENTS)
		g_ptr_array_add(live->frame->shapes, g_ptr_array_steal_index(snapshot->shapes, 0));
	live->parts[part].cost_ns += clock_thread_ns() - before_ns;
}

gboolean live_peek(struct live *live)
{
	guint64 before_ns = clock_thread_ns();
	struct observation *observation = live->running[LIVE_CONNECTIONS].observation;
	g_autoptr(snapshot_t) snapshot = observation && !live->peeked ? observation_take(observation, NULL)
								      : NULL; /* the tick says what is wrong */
	guint known = live->edges ? live->edges->rows->len : 0;
	const struct shape *shape;

	if (!snapshot || !snapshot_find(snapshot, SHAPE_EDGES)->edges)
		return FALSE;
	live->peeked = g_ptr_array_steal_index(snapshot->shapes, 0);
	shape = live->peeked;
	part_account(live, LIVE_CONNECTIONS, &shape->ledger);
	edges_take(live, shape->edges);
	totals_take(shape, totals_of, live, live->totals_edges);
	live->parts[LIVE_CONNECTIONS].cost_ns += clock_thread_ns() - before_ns;
	return live->edges->rows->len > known;
}

const struct edges *live_peeked(const struct live *live)
{
	return live->peeked ? live->peeked->edges : NULL;
}

/* ---- a tick ---- */

/* Counters of those without labels add up for ever, so that the sum never goes back when one of them ends. */
static void other_add(struct live *live)
{
	struct gauge_row *other = gauges_row(live->other, 0);

	live->overflowed = 0;
	for (guint i = 0; i < GAUGES_COUNT; i++)
		if (gauge_metrics[i].kind == GAUGE_LEVEL)
			gauge_forget(other, (enum gauge)i);
	for (guint32 i = 0; i < live->changes->rows->len; i++) {
		const struct gauge_row *row = gauges_row(live->changes, i);
		const struct live_resource *resource = g_ptr_array_index(live->rows, i);

		if (row->resource != GAUGE_RESOURCE_CONTAINER || resource->is_exported)
			continue;
		live->overflowed++;
		for (guint j = 0; j < GAUGES_COUNT; j++)
			if (gauge_is_known(row, (enum gauge)j) && j != GAUGE_STARTED && j != GAUGE_CPU_WEIGHT)
				gauge_set(other, (enum gauge)j, other->values[j] + row->values[j]);
	}
}

static void points_make(struct live *live)
{
	GByteArray *tick = series_tick_new();

	g_array_set_size(live->points, live->changes->rows->len);
	for (guint32 i = 0; i < live->changes->rows->len; i++) {
		const struct live_resource *resource = g_ptr_array_index(live->rows, i);
		struct series_point *point = &g_array_index(live->points, struct series_point, i);

		series_point_of(point, gauges_row(live->changes, i), live->interval.length_ns);
		point->id = resource->history_id;
		if (resource->interval_waits)
			series_point_add_waits(point, resource->interval_waits);
		if (point->id)
			series_tick_add(tick, point);
	}
	history_add(live->history, live->time_ms, tick);
}

static struct shape *frame_shape(struct live *live, enum shape_kind kind, const char *name)
{
	struct shape *shape = shape_new(kind, name, UNIT_COUNT);

	g_ptr_array_add(live->frame->shapes, shape);
	return shape;
}

/* The interval goes to the reel: what happened, and what was used. */
static void frame_end(struct live *live)
{
	struct shape *shape;

	if (live->news->rows.length) {
		shape = frame_shape(live, SHAPE_EVENTS, "events");
		events_free(shape->events);
		shape->events = g_steal_pointer(&live->news);
		live->news = events_new(LIVE_EVENTS_MAX);
	}
	shape = frame_shape(live, SHAPE_GAUGES, "usage");
	for (guint32 i = 0; i < live->changes->rows->len; i++)
		gauges_copy(shape->gauges, gauges_row(live->changes, i));
	live->frame->duration_ns = live->interval.length_ns;
	live->frame->start_realtime_ns = (guint64)live->time_ms * NS_PER_MS - live->interval.length_ns;
	if (live->see_frame)
		live->see_frame(live->see_user, live->frame);
	reel_add(live->reel, live->time_ms, g_steal_pointer(&live->frame));
}

static gboolean gauges_take(struct live *live, GError **error)
{
	guint64 now_ns = clock_monotonic_ns();
	struct gauges *now = usage_read(live->usage, error);

	if (!now)
		return FALSE;
	g_clear_pointer(&live->changes, gauges_free);
	if (live->readings)
		live->changes = gauges_diff(live->readings, now);
	live->readings = now;
	live->interval = (struct gauge_interval){ .readings = now,
						  .changes = live->changes,
						  .length_ns = live->read_ns ? now_ns - live->read_ns : 0 };
	live->read_ns = now_ns;
	live->time_ms = (gint64)(clock_realtime_ns() / NS_PER_MS);
	return TRUE;
}

gboolean live_tick(struct live *live, GError **error)
{
	guint64 before_ns = clock_thread_ns();

	if (!gauges_take(live, error))
		return FALSE;
	resources_match(live);
	changes_take(live->changed, live->readings, (guint64)live->time_ms * NS_PER_MS, change_seen, live);
	live->parts[LIVE_GAUGES].cost_ns += clock_thread_ns() - before_ns;
	waits_begin(live);
	snapshot_free(live->frame);
	live->frame = snapshot_new(NULL);
	births_hear(live);
	programs_tick(live->programs, clock_monotonic_ns());
	for (guint i = 0; i < LIVE_GAUGES; i++)
		part_take(live, (enum live_part)i);
	g_clear_pointer(&live->peeked, shape_free); /* of a part that was stopped meanwhile */
	if (clock_monotonic_ns() - live->look_ns >= LIVE_LOOK_S * NS_PER_S)
		live_look(live);
	if (live->changes) {
		frame_end(live);
		other_add(live);
		points_make(live);
		live->ticks++;
	}
	live->reading_ns = clock_thread_ns() - before_ns;
	return TRUE;
}

/* ---- making ---- */

static void watch_usage(struct live *live)
{
	g_autoptr(GError) error = NULL;

	if (live->options.no_bpf)
		live->parts[LIVE_GAUGES].why =
			g_strdup("run-queue wait of containers: kernel programs are off (--no-bpf)");
	else if (!usage_watch(live->usage, &error))
		live->parts[LIVE_GAUGES].why = g_strdup_printf("run-queue wait of containers: %s", error->message);
	usage_account(live->usage, &live->parts[LIVE_GAUGES].ledger);
}

/* What every kind has: nothing is known yet. */
static struct live *live_empty(const struct live_options *options, struct history *history, struct reel *reel)
{
	struct live *live = g_new0(struct live, 1);

	live->options = *options;
	live->history = history;
	live->reel = reel;
	live->news = events_new(LIVE_EVENTS_MAX);
	live->changed = changes_new();
	live->targets = target_array_new();
	live->other = gauges_new();
	gauges_add(live->other, GAUGE_RESOURCE_CONTAINER, 0, 0, LIVE_OTHER);
	live->resources = g_hash_table_new_full(identity_hash, identity_equal, resource_free, NULL);
	live->by_cgroup = g_hash_table_new(g_str_hash, g_str_equal);
	live->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	live->rows = g_ptr_array_new();
	live->points = g_array_new(FALSE, TRUE, sizeof(struct series_point));
	live->totals_edges = totals_edges_new();
	for (guint i = 0; i < LIVE_EVENT_RINGS; i++)
		live->events[i] = events_new(LIVE_EVENTS_MAX);
	for (guint i = 0; i < LIVE_PARTS; i++) {
		live->parts[i].name = parts[i].name;
		live->parts[i].shows = parts[i].shows;
	}
	return live;
}

static gboolean part_is_unwanted(const struct live_options *options, enum live_part part)
{
	return (part == LIVE_PROFILE && options->no_profile) || (part == LIVE_OFFCPU && options->no_offcpu) ||
	       (options->off && g_strv_contains(options->off, parts[part].name));
}

/* First of all: a child begins with what is in memory. */
static void askers_open(struct live *live)
{
	g_autoptr(GError) error = NULL;

	if (live->options.no_bpf || part_is_unwanted(&live->options, LIVE_DNS))
		return;
	live->askers = askers_new(g_getenv(LIVE_MANY_PACKETS) ? 0 : ASKERS_SHARE, &error);
	if (!live->askers)
		ledger_note(&live->parts[LIVE_DNS].ledger,
			    g_strdup_printf("all packets of the machine are looked at, however many there are: %s",
					    error->message));
}

struct live *live_new(const struct live_options *options, struct history *history, struct reel *reel, GError **error)
{
	const struct usage_options usage = { .no_bpf = options->no_bpf, .frugal = TRUE };
	struct registry *registry = registry_new("/", error);
	struct live *live;

	if (!registry)
		return NULL;
	live = live_empty(options, history, reel);
	live->programs = programs_new(LIVE_PARTS, NULL);
	askers_open(live);
	programs_take(live->programs, LIVE_DNS);
	live->registry = registry;
	live->look = look_new();
	look_again(live->look);
	live->look_ns = clock_monotonic_ns();
	live->usage = usage_new(registry, &usage);
	watch_usage(live);
	programs_take(live->programs, LIVE_GAUGES);
	births_watch(live);
	if (!target_resolve(registry, "all", live->targets, error)) {
		live_free(live);
		return NULL;
	}
	for (guint i = 0; i < LIVE_GAUGES; i++) {
		if (part_is_unwanted(options, (enum live_part)i)) {
			live->parts[i].state = LIVE_OFF;
			live->parts[i].why = g_strdup("not asked for");
			continue;
		}
		if (!options->no_bpf) {
			part_start(live, (enum live_part)i);
			continue;
		}
		live->parts[i].state = LIVE_OFF;
		live->parts[i].why = g_strdup("kernel programs are off (--no-bpf)");
	}
	return live;
}

/* ---- of a capture ---- */

struct live *live_new_replay(struct history *history, struct reel *reel)
{
	const struct live_options options = {
		.no_bpf = TRUE, .no_profile = TRUE, .no_offcpu = TRUE, .exported_max = G_MAXUINT
	};
	struct live *live = live_empty(&options, history, reel);

	for (guint i = 0; i < LIVE_GAUGES; i++) {
		live->parts[i].state = LIVE_OFF;
		live->parts[i].why = g_strdup("the capture holds none of it");
	}
	return live;
}

static void replay_events(struct live *live, const struct events *events)
{
	for (const GList *link = events->rows.head; link; link = link->next)
		events_add(live->events[live_event_ring(((struct event *)link->data)->kind)], link->data);
	replay_part(live, LIVE_EXEC, NULL);
	replay_part(live, LIVE_OOM, NULL);
}

/* Its changes stand for the readings, too: totals since a birth are not in a capture. */
static void replay_gauges(struct live *live, const struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_GAUGES);

	gauges_free(live->changes);
	live->changes = live->readings = gauges_new();
	for (guint32 i = 0; shape && i < shape->gauges->rows->len; i++)
		gauges_copy(live->changes, gauges_row(shape->gauges, i));
	live->interval = (struct gauge_interval){ .readings = live->readings,
						  .changes = live->changes,
						  .length_ns = MAX(snapshot->duration_ns, 1) };
}

void live_replay(struct live *live, gint64 time_ms, struct snapshot *snapshot)
{
	live->time_ms = time_ms;
	replay_gauges(live, snapshot);
	resources_match(live);
	waits_begin(live);
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (shape->kind == SHAPE_EVENTS)
			replay_events(live, shape->events);
		for (guint part = 0; part < LIVE_GAUGES; part++)
			if (strcmp(parts[part].name, shape->probe) == 0)
				replay_part(live, (enum live_part)part, shape);
		if (shape->kind == SHAPE_HISTOGRAM && strcmp(shape->probe, parts[LIVE_RUNQ].name) == 0)
			waits_take(live, shape);
		if (shape->kind == SHAPE_EDGES)
			edges_take(live, shape->edges);
		totals_take(shape, totals_of, live, live->totals_edges);
	}
	points_make(live);
	live->ticks++;
	reel_add(live->reel, time_ms, snapshot);
}

void live_free(struct live *live)
{
	if (!live)
		return;
	for (guint i = 0; i < LIVE_PARTS; i++) {
		if (i < LIVE_GAUGES)
			part_stop(live, (enum live_part)i);
		g_free(live->parts[i].why);
		ledger_clear(&live->parts[i].ledger);
	}
	if (live->births_watch)
		g_source_remove(live->births_watch);
	programs_free(live->programs);
	askers_free(live->askers);
	usage_free(live->usage);
	gauges_free(live->changes);
	gauges_free(live->other);
	g_hash_table_unref(live->by_cgroup);
	g_hash_table_unref(live->by_name);
	g_hash_table_unref(live->resources);
	g_ptr_array_unref(live->rows);
	g_array_unref(live->points);
	for (guint i = 0; i < LIVE_EVENT_RINGS; i++)
		events_free(live->events[i]);
	events_free(live->news);
	changes_free(live->changed);
	shape_free(live->peeked);
	edges_free(live->edges);
	totals_edges_free(live->totals_edges);
	g_free(live->other_totals);
	look_free(live->look);
	snapshot_free(live->frame);
	g_ptr_array_unref(live->targets);
	registry_free(live->registry);
	g_free(live);
}

/* ---- questions ---- */

const struct gauge_interval *live_interval(const struct live *live)
{
	return &live->interval;
}

const struct live_resource *live_resource(const struct live *live, guint32 row)
{
	return row < live->rows->len ? g_ptr_array_index(live->rows, row) : NULL;
}

const struct live_resource *live_resource_of(const struct live *live, const char *cgroup)
{
	return g_hash_table_lookup(live->by_cgroup, cgroup);
}

void live_watch_frames(struct live *live, live_frame_fn see, void *user)
{
	live->see_frame = see;
	live->see_user = user;
}

gboolean live_point(const struct live *live, guint32 row, struct series_point *point)
{
	if (!live->changes || row >= live->points->len)
		return FALSE;
	*point = g_array_index(live->points, struct series_point, row);
	return TRUE;
}

const struct gauge_row *live_other(const struct live *live)
{
	return live->overflowed ? gauges_row(live->other, 0) : NULL;
}

const struct totals *live_other_totals(const struct live *live)
{
	return live->other_totals;
}

const struct totals_edges *live_totals_edges(const struct live *live)
{
	return live->totals_edges;
}

guint live_overflowed(const struct live *live)
{
	return live->overflowed;
}

const struct live_part_status *live_part(const struct live *live, enum live_part part)
{
	return &live->parts[part];
}

const struct events *live_events(const struct live *live, guint ring)
{
	return live->events[ring];
}

const struct edges *live_edges(const struct live *live)
{
	return live->edges;
}

const struct look *live_look(struct live *live)
{
	guint64 now_ns = clock_monotonic_ns();

	if (!live->look || now_ns - live->look_ns < NS_PER_S)
		return live->look;
	look_again(live->look);
	live->look_ns = now_ns;
	return live->look;
}

const struct look *live_looked(const struct live *live)
{
	return live->look;
}

void live_holdings(const struct live *live, struct live_holdings *holdings)
{
	*holdings = (struct live_holdings){
		.resources = g_hash_table_size(live->resources),
		.ended = changes_remembered(live->changed),
		.edges = live->edges ? live->edges->rows->len : 0,
	};
	if (live->registry)
		holdings->cgroups = registry_counts(live->registry);
	for (guint i = 0; i < LIVE_EVENT_RINGS; i++)
		holdings->events += live->events[i]->rows.length;
	for (guint i = 0; i < LIVE_PARTS; i++)
		holdings->notes += live->parts[i].ledger.notes ? live->parts[i].ledger.notes->len : 0;
}

const struct programs *live_programs(const struct live *live)
{
	return live->programs;
}

gint64 live_time_ms(const struct live *live)
{
	return live->time_ms;
}

guint64 live_ticks(const struct live *live)
{
	return live->ticks;
}

guint64 live_reading_ns(const struct live *live)
{
	return live->reading_ns;
}

struct registry *live_registry(struct live *live)
{
	return live->registry;
}

guint64 live_events_total(const struct live *live, enum live_part part)
{
	return live->running[part].events;
}
