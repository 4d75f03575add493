/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/source.h"

#include <string.h>

#include "base/units.h"
#include "cli/command.h"
#include "model/waits.h"
#include "observe/look_kept.h"
#include "store/capture.h"
#include "store/pack.h"

const char *source_capture(void)
{
	const char *path = g_getenv(SOURCE_CAPTURE);

	return path && path[0] ? path : NULL;
}

gboolean source_need_bpf(const char *command)
{
	return source_capture() || command_need_bpf(command);
}

static gint64 range_ms(const char *variable, gint64 fallback)
{
	const char *text = g_getenv(variable);

	return text ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

void source_range(gint64 *from_ms, gint64 *to_ms)
{
	*from_ms = range_ms(SOURCE_FROM_MS, G_MININT64);
	*to_ms = range_ms(SOURCE_TO_MS, G_MAXINT64);
}

/* The frames of the range, and of the windows of stacks what lies in it. */
struct reading {
	gint64 from_ms, to_ms;
	capture_fn each;
	void *user;
};

static gboolean reading_wants(const struct reading *reading, gint64 time_ms, struct snapshot *snapshot)
{
	if (!snapshot_find(snapshot, SHAPE_CALLTREE))
		return time_ms > reading->from_ms && time_ms <= reading->to_ms;
	snapshot_date(snapshot, time_ms);
	return snapshot_cut(snapshot, reading->from_ms, reading->to_ms);
}

/* capture_fn */
static gboolean reading_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	struct reading *reading = user;

	if (!reading_wants(reading, time_ms, snapshot))
		return TRUE;
	return reading->each(reading->user, time_ms, snapshot, error);
}

/* `names`: see capture_read_file. */
static gboolean each_frame_of(GHashTable *names, struct capture *capture, capture_fn each, void *user, GError **error)
{
	struct reading reading = { .from_ms = range_ms(SOURCE_FROM_MS, G_MININT64),
				   .to_ms = range_ms(SOURCE_TO_MS, G_MAXINT64),
				   .each = each,
				   .user = user };

	return capture_read_file(source_capture(), names, capture, reading_frame, &reading, error);
}

static gboolean each_frame(GHashTable *names, capture_fn each, void *user, GError **error)
{
	struct capture capture;

	return each_frame_of(names, &capture, each, user, error);
}

/* ---- who ---- */

static enum container_runtime runtime_find(const char *name, enum gauge_resource resource)
{
	for (guint i = 0; name && i <= RUNTIME_OTHER; i++)
		if (strcmp(container_runtime_name((enum container_runtime)i), name) == 0)
			return (enum container_runtime)i;
	return resource == GAUGE_RESOURCE_CONTAINER ? RUNTIME_DOCKER
	       : resource == GAUGE_RESOURCE_UNIT    ? RUNTIME_SYSTEMD
						    : RUNTIME_CGROUP;
}

static void record_row(struct registry *registry, const struct gauge_row *row)
{
	const char *pod = row->texts[GAUGE_TEXT_POD], *slash = pod ? strchr(pod, '/') : NULL;
	g_autofree char *space = slash ? g_strndup(pod, (gsize)(slash - pod)) : NULL;
	guint64 started_ns = 0;
	struct container container = {
		.cgroup_key = row->key,
		.runtime = runtime_find(row->texts[GAUGE_TEXT_RUNTIME], row->resource),
		.id = (char *)row->texts[GAUGE_TEXT_ID],
		.name = (char *)row->name,
		.image = (char *)row->texts[GAUGE_TEXT_IMAGE],
		.pod = slash ? (char *)slash + 1 : (char *)pod,
		.pod_namespace = space,
		.cgroup = (char *)row->texts[GAUGE_TEXT_CGROUP],
	};

	if (row->resource != GAUGE_RESOURCE_CONTAINER && row->resource != GAUGE_RESOURCE_UNIT &&
	    row->resource != GAUGE_RESOURCE_CGROUP)
		return;
	if (gauge_get(row, GAUGE_STARTED, &started_ns))
		container.start_realtime_ns = started_ns;
	registry_record(registry, &container);
}

/* capture_fn */
static gboolean record_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_GAUGES);

	(void)time_ms;
	(void)error;
	for (guint32 i = 0; shape && i < shape->gauges->rows->len; i++)
		record_row(user, gauges_row(shape->gauges, i));
	return TRUE;
}

struct registry *source_registry(GError **error)
{
	struct registry *registry;

	if (!source_capture())
		return registry_new("/", error);
	registry = registry_new_recorded();
	if (each_frame(NULL, record_frame, registry, error))
		return registry;
	registry_free(registry);
	return NULL;
}

/* ---- what ---- */

#define REPLAY_INTERVAL_NS NS_PER_S /* of a capture: finer slots of time would be empty between */

/* Of an observation that is read instead of made. */
struct replay {
	const struct observe_options *options;
	GHashTable *names; /* registry_renamed */
	struct snapshot *snapshot; /* being filled */
	struct shape *shape; /* of it */
	gint64 first_ms; /* of the snapshot; 0: nothing yet */
	guint64 due_ns; /* interval that is full then */
	struct windows windows; /* of stacks */
	gboolean found, stopped;
	gboolean has_gauges; /* so memory has its table without stacks, too */
	struct calltree *waits; /* of time by its causes, where the capture has no stacks of it; NULL: not asked for */
};

static guint64 replay_slot_ns(const struct observe_options *options)
{
	return options->slot_ns ? MAX(options->slot_ns, REPLAY_INTERVAL_NS) : 0;
}

static gboolean is_all(const struct replay *replay)
{
	for (guint i = 0; i < replay->options->targets->len; i++)
		if (((const struct target *)g_ptr_array_index(replay->options->targets, i))->kind == TARGET_ALL)
			return TRUE;
	return FALSE;
}

static gboolean wants(const struct replay *replay, const char *name)
{
	for (guint i = 0; i < replay->options->targets->len; i++) {
		const struct target *target = g_ptr_array_index(replay->options->targets, i);

		if (target->kind == TARGET_ALL ||
		    (target->container && name && strcmp(target->container->name, name) == 0))
			return TRUE;
	}
	return FALSE;
}

static void replay_begin(struct replay *replay)
{
	const struct probe *probe = replay->options->probe;
	g_autofree char *file = g_path_get_basename(source_capture());
	g_autofree char *title = g_strdup_printf("%s of %s", probe->name, file);

	replay->snapshot = snapshot_new(title);
	g_clear_pointer(&replay->snapshot->host, g_free);
	replay->shape = shape_new(probe->shape, probe->name, probe->unit);
	g_ptr_array_add(replay->snapshot->shapes, replay->shape);
	replay->first_ms = 0;
}

/* The labels of a recording but the cgroup's path, of which a container may have several. */
static void take_histogram(struct replay *replay, const struct histogram *from, guint32 slot)
{
	const char *labels[HISTOGRAM_LABELS_MAX + 1] = { NULL };
	int skipped = histogram_label(from, "cgroup");
	guint count = 0;

	for (guint i = 0; from->labels[i]; i++)
		if ((int)i != skipped)
			labels[count++] = from->labels[i];
	if (!replay->shape->histogram) {
		replay->shape->histogram = histogram_new(labels);
		replay->shape->histogram->slot_ns = replay_slot_ns(replay->options);
	}
	for (guint32 row = 0; row < from->rows->len; row++) {
		const char *const *values = histogram_values(from, row);
		const char *kept[HISTOGRAM_LABELS_MAX] = { NULL };

		count = 0;
		for (guint i = 0; from->labels[i]; i++)
			if ((int)i != skipped)
				kept[count++] = values[i];
		if (wants(replay, kept[0]))
			histogram_add(replay->shape->histogram, kept, slot,
				      &((const struct histogram_row *)g_ptr_array_index(from->rows, row))->counts);
	}
	replay->shape->histogram->overflow += from->overflow;
}

static void take_edges(struct replay *replay, const struct edges *from)
{
	struct edges_column counters[EDGES_COUNTERS_MAX + 1] = { 0 }, histograms[EDGES_HISTOGRAMS_MAX + 1] = { 0 };

	if (!replay->shape->edges) {
		memcpy(counters, from->counters, from->counter_count * sizeof(counters[0]));
		memcpy(histograms, from->histograms, from->histogram_count * sizeof(histograms[0]));
		replay->shape->edges = edges_new((const char *const *)from->labels, counters, histograms);
	}
	for (guint32 row = 0; row < from->rows->len; row++) {
		const struct edge *edge = g_ptr_array_index(from->rows, row);
		struct edge_end source = edges_source(from, row), target = edges_target(from, row);
		struct edge *kept;

		if (!wants(replay, source.name) && !wants(replay, target.name))
			continue;
		kept = edges_add(replay->shape->edges, &source, &target, edges_labels(from, row));
		for (guint i = 0; kept && i < from->counter_count; i++)
			edge_count(kept, i, edge->counters[i]);
		for (guint i = 0; kept && i < from->histogram_count; i++)
			if (edge->histograms[i])
				edge_histogram_add(kept, i, edge->histograms[i]);
	}
}

/* What hangs below the containers that are wanted; without the processes when they are not to be kept apart. */
static void take_calltree(struct replay *replay, const struct calltree *from)
{
	struct calltree *into = replay->shape->calltree;
	g_autofree guint32 *places = g_new0(guint32, from->node_count); /* + 1; 0: not wanted */
	gboolean all = is_all(replay), whole = replay->options->by != OBSERVE_BY_CONTAINER;

	places[CALLTREE_ROOT] = CALLTREE_ROOT + 1;
	if (all)
		calltree_add(into, CALLTREE_ROOT, from->self[CALLTREE_ROOT]);
	for (guint32 i = 1; i < from->node_count; i++) {
		const struct calltree_frame *frame = &from->frames[from->frame[i]];
		guint32 parent = places[from->parent[i]];
		const char *name =
			frame->kind == FRAME_CONTAINER ? g_hash_table_lookup(replay->names, frame->name) : NULL;

		if (!name)
			name = frame->name;
		if (!parent ||
		    (from->parent[i] == CALLTREE_ROOT && frame->kind == FRAME_CONTAINER && !wants(replay, name)))
			continue;
		if (whole || frame->kind != FRAME_PROCESS)
			parent = calltree_child(into, parent - 1,
						calltree_frame(into, frame->kind, name, -1, frame->module)) +
				 1;
		places[i] = parent;
		calltree_add(into, parent - 1, from->self[i]);
	}
}

/* "trace exec" shows events of the kind "exec". */
static void take_events(struct replay *replay, const struct events *from)
{
	const char *space = strrchr(replay->options->probe->name, ' ');

	for (const GList *link = from->rows.head; link; link = link->next) {
		const struct event *event = link->data;

		if (!wants(replay, event->container) || (space && !g_str_has_prefix(event->kind, space + 1)))
			continue;
		events_append(replay->shape->events, event);
		if (replay->options->event)
			replay->options->event(replay->options->event_user, event);
	}
}

/* waits_wants_fn */
static gboolean waits_wanted(void *user, const char *name)
{
	return wants(user, name);
}

/* What threads waited for is in every capture. */
static void take_waits(struct replay *replay, const struct shape *shape)
{
	const char *name = replay->options->probe->name;
	gboolean is_walltime = strcmp(name, "walltime") == 0;

	if (shape->kind != SHAPE_GAUGES || (!is_walltime && strcmp(name, "offcpu") != 0))
		return;
	if (!replay->waits)
		replay->waits = calltree_new();
	waits_add(replay->waits, shape->gauges, is_walltime, waits_wanted, replay);
}

/* FALSE: they do not help, either. */
static gboolean replay_with_waits(struct replay *replay)
{
	if (replay->has_gauges && strcmp(replay->options->probe->name, "memory") == 0) {
		ledger_note(&replay->shape->ledger,
			    g_strdup("where memory grew is not in this capture: stacks of it were left out"));
		return TRUE;
	}
	if (!replay->waits || replay->waits->node_count <= 1)
		return FALSE;
	calltree_free(replay->shape->calltree);
	replay->shape->calltree = g_steal_pointer(&replay->waits);
	ledger_note(&replay->shape->ledger, g_strdup(WAITS_NOTE));
	return TRUE;
}

static gboolean window_take(struct replay *replay, const struct snapshot *snapshot, const struct shape *shape)
{
	return shape->kind != SHAPE_CALLTREE || windows_take(&replay->windows, snapshot, shape);
}

/* TRUE when this shape is what the command wants. */
static gboolean is_wanted(const struct replay *replay, const struct shape *shape)
{
	const struct probe *probe = replay->options->probe;

	if (shape->kind != probe->shape)
		return FALSE;
	return g_strcmp0(shape->probe, probe->name) == 0 ||
	       (shape->kind == SHAPE_EVENTS && g_str_has_prefix(probe->name, "trace "));
}

static void take_shape(struct replay *replay, const struct shape *from, guint32 slot)
{
	ledger_merge(&replay->shape->ledger, &from->ledger);
	switch (from->kind) {
	case SHAPE_CALLTREE:
		take_calltree(replay, from->calltree);
		break;
	case SHAPE_HISTOGRAM:
		take_histogram(replay, from->histogram, slot);
		break;
	case SHAPE_EDGES:
		take_edges(replay, from->edges);
		break;
	case SHAPE_EVENTS:
		take_events(replay, from->events);
		break;
	case SHAPE_GAUGES:
	case SHAPE_NONE:
		break;
	}
}

/* The labels a table has when nothing happened. */
static void replay_fill(struct replay *replay)
{
	static const char *const container[] = { "container", NULL }, *const none[] = { NULL };
	const struct probe *probe = replay->options->probe;

	if (probe->shape == SHAPE_HISTOGRAM && !replay->shape->histogram)
		replay->shape->histogram = histogram_new(container);
	if (probe->shape == SHAPE_EDGES && !replay->shape->edges)
		replay->shape->edges = edges_new(none, probe->counters, probe->histograms);
}

/* capture_fn */
static gboolean replay_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	struct replay *replay = user;
	const struct observe_options *options = replay->options;
	guint32 slot = 0;

	(void)error;
	if (replay->stopped)
		return TRUE;
	if (!replay->first_ms) {
		replay->first_ms = time_ms;
		replay->snapshot->start_realtime_ns = snapshot->start_realtime_ns;
		replay->snapshot->duration_ns = 0;
	}
	if (options->slot_ns)
		slot = (guint32)(((guint64)MAX(time_ms - replay->first_ms, 0) * NS_PER_MS + REPLAY_INTERVAL_NS / 2) /
				 replay_slot_ns(options));
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		take_waits(replay, shape);
		replay->has_gauges |= shape->kind == SHAPE_GAUGES;
		if (!is_wanted(replay, shape) || !window_take(replay, snapshot, shape))
			continue;
		replay->found = TRUE;
		if (!replay->snapshot->frequency_hz)
			replay->snapshot->frequency_hz = snapshot->frequency_hz;
		take_shape(replay, shape, MIN(slot, HISTOGRAM_SLOTS_MAX - 1));
	}
	/* What gathered stacks over all of it says how long that was; it comes once, at the end. */
	replay->snapshot->duration_ns =
		MAX(replay->snapshot->duration_ns,
		    snapshot->start_realtime_ns + snapshot->duration_ns - replay->snapshot->start_realtime_ns);
	if (!options->interval_ns || replay->snapshot->duration_ns < options->interval_ns - options->interval_ns / 10)
		return TRUE;
	replay_fill(replay);
	replay->stopped = !options->interval(options->interval_user, replay->snapshot);
	snapshot_free(replay->snapshot);
	replay_begin(replay);
	return TRUE;
}

static gboolean replay_refuse(const struct observe_options *options, GError **error)
{
	const char *command = options->probe->name;
	gboolean has_stacks = options->probe->shape == SHAPE_CALLTREE;

	if (options->by > (has_stacks ? OBSERVE_BY_PROCESS : OBSERVE_BY_CONTAINER))
		return command_fail(error, "a capture keeps %s apart by container%s, no finer (--by)", command,
				    has_stacks ? " and process" : "");
	for (guint i = 0; i < options->targets->len; i++)
		if (((const struct target *)g_ptr_array_index(options->targets, i))->kind == TARGET_PROCESS)
			return command_fail(error, "a capture knows containers, not single processes");
	return TRUE;
}

struct snapshot *source_observe(struct registry *registry, const struct observe_options *options, GError **error)
{
	struct replay replay = { .options = options, .names = registry_renamed(registry) };
	struct capture capture;
	char *late;

	if (!source_capture())
		return observe_run(registry, options, error);
	if (!replay_refuse(options, error))
		return NULL;
	replay_begin(&replay);
	if (each_frame_of(replay.names, &capture, replay_frame, &replay, error)) {
		late = capture_lateness(&capture);
		if (late)
			ledger_note(&replay.shape->ledger, g_strdup_printf("of the capture: %s", late));
		g_free(late);
		/* Of events there may have been none: the interval says whether they were watched. */
		if (replay.found || options->probe->shape == SHAPE_EVENTS || replay_with_waits(&replay)) {
			calltree_free(replay.waits);
			replay_fill(&replay);
			windows_say(&replay.windows, replay.snapshot, replay.shape, replay.snapshot->duration_ns);
			return replay.snapshot;
		}
		command_fail(error, "the capture does not hold %s: fathom replay %s says what it holds",
			     options->probe->name, source_capture());
	}
	calltree_free(replay.waits);
	snapshot_free(replay.snapshot);
	return NULL;
}

/* ---- gauges ---- */

struct gauges_reading {
	source_gauges_fn each;
	void *user;
	gboolean stopped;
};

/* capture_fn */
static gboolean gauges_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	struct gauges_reading *reading = user;
	struct shape *shape = snapshot_find(snapshot, SHAPE_GAUGES);

	(void)error;
	if (shape && !reading->stopped)
		reading->stopped = !reading->each(reading->user, (guint64)time_ms * NS_PER_MS, snapshot->duration_ns,
						  shape->gauges);
	return TRUE;
}

gboolean source_each_gauges(source_gauges_fn each, void *user, GError **error)
{
	struct gauges_reading reading = { .each = each, .user = user };

	return each_frame(NULL, gauges_frame, &reading, error);
}

/* ---- the machine ---- */

struct look_reading {
	source_look_fn each;
	void *user;
	gboolean stopped;
};

/* capture_fn */
static gboolean look_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	struct look_reading *reading = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EVENTS);

	(void)error;
	if (shape && strcmp(shape->probe, LOOK_KEPT_PROBE) == 0 && !reading->stopped)
		reading->stopped = !reading->each(reading->user, time_ms, shape->events);
	return TRUE;
}

gboolean source_each_look(source_look_fn each, void *user, GError **error)
{
	struct look_reading reading = { .each = each, .user = user };

	return each_frame(NULL, look_frame, &reading, error);
}

/* The readings at both ends of the range. */
struct look_ends {
	struct census *first, *last;
	gint64 first_ms, last_ms;
};

/* source_look_fn */
static gboolean look_end(void *user, gint64 time_ms, const struct events *events)
{
	struct look_ends *ends = user;
	struct census *census = look_kept(events);

	if (!census)
		return TRUE;
	if (!ends->first) {
		ends->first = census;
		ends->first_ms = time_ms;
		return TRUE;
	}
	census_free(ends->last);
	ends->last = census;
	ends->last_ms = time_ms;
	return TRUE;
}

struct look *source_look(GError **error)
{
	struct look_ends ends = { 0 };
	gboolean found = source_each_look(look_end, &ends, error);

	if (found && ends.last)
		return look_between(ends.first, ends.last, (double)(ends.last_ms - ends.first_ms) / 1000);
	if (found)
		source_look_lacks(ends.first ? 1 : 0, error);
	census_free(ends.first);
	return NULL;
}

gboolean source_look_lacks(guint readings, GError **error)
{
	return command_fail(error,
			    "the capture has %s of the machine in that range: rates are of two (fathom record "
			    "writes them, every ten seconds)",
			    readings ? "one reading" : "no reading");
}

/* ---- everything ---- */

/* capture_fn */
static gboolean whole_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	GPtrArray *frames = user;

	(void)time_ms;
	(void)error;
	/* The frame is the reader's: what is in it is taken over. */
	g_ptr_array_add(frames, snapshot_new(NULL));
	pack_merge(g_ptr_array_index(frames, frames->len - 1), snapshot);
	return TRUE;
}

struct snapshot *source_whole(guint windows, GPtrArray **parts, GError **error)
{
	g_autoptr(GPtrArray) frames = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);

	return each_frame(NULL, whole_frame, frames, error) ? pack_merge_all(frames, windows, parts) : NULL;
}
