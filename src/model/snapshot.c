/* SPDX-License-Identifier: Apache-2.0 */
#include "model/snapshot.h"

#define SNAPSHOT_WHOLE 0.95 /* looked at for so much of the time is all of it: windows have edges */

static const struct {
	enum shape_kind kind;
	const char *name;
} shape_names[] = {
	{ SHAPE_CALLTREE, "calltree" }, { SHAPE_EVENTS, "events" }, { SHAPE_HISTOGRAM, "histogram" },
	{ SHAPE_EDGES, "edges" },	{ SHAPE_GAUGES, "gauges" },
};

const char *shape_kind_name(enum shape_kind kind)
{
	for (guint i = 0; i < G_N_ELEMENTS(shape_names); i++)
		if (shape_names[i].kind == kind)
			return shape_names[i].name;
	return NULL;
}

enum shape_kind shape_kind_find(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(shape_names); i++)
		if (g_str_equal(shape_names[i].name, name))
			return shape_names[i].kind;
	return SHAPE_NONE;
}

struct shape *shape_new(enum shape_kind kind, const char *probe, enum unit unit)
{
	struct shape *shape = g_new0(struct shape, 1);

	shape->kind = kind;
	shape->probe = g_strdup(probe);
	shape->unit = unit;
	if (kind == SHAPE_CALLTREE)
		shape->calltree = calltree_new();
	if (kind == SHAPE_EVENTS)
		shape->events = events_new(0);
	if (kind == SHAPE_GAUGES)
		shape->gauges = gauges_new();
	return shape;
}

void shape_free(struct shape *shape)
{
	if (!shape)
		return;
	g_free(shape->probe);
	ledger_clear(&shape->ledger);
	calltree_free(shape->calltree);
	events_free(shape->events);
	histogram_free(shape->histogram);
	edges_free(shape->edges);
	gauges_free(shape->gauges);
	g_free(shape);
}

static gboolean histogram_is_empty(const struct histogram *histogram)
{
	for (guint32 i = 0; histogram && i < histogram->rows->len; i++)
		if (((const struct histogram_row *)g_ptr_array_index(histogram->rows, i))->counts.count > 0)
			return FALSE;
	return TRUE;
}

gboolean shape_is_empty(const struct shape *shape)
{
	if (shape->ledger.seen.events > 0)
		return FALSE;
	switch (shape->kind) {
	case SHAPE_CALLTREE:
		return shape->calltree->node_count <= 1;
	case SHAPE_HISTOGRAM:
		return histogram_is_empty(shape->histogram);
	case SHAPE_EDGES:
		return !shape->edges || shape->edges->rows->len == 0;
	case SHAPE_EVENTS:
		return shape->events->rows.length == 0;
	case SHAPE_GAUGES:
		return shape->gauges->rows->len == 0;
	case SHAPE_NONE:
		break;
	}
	return TRUE;
}

struct snapshot *snapshot_new(const char *title)
{
	struct snapshot *snapshot = g_new0(struct snapshot, 1);

	snapshot->title = g_strdup(title);
	snapshot->host = g_strdup(g_get_host_name());
	snapshot->shapes = g_ptr_array_new_with_free_func((GDestroyNotify)shape_free);
	return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	g_free(snapshot->title);
	g_free(snapshot->host);
	g_ptr_array_unref(snapshot->shapes);
	g_free(snapshot);
}

gboolean windows_take(struct windows *windows, const struct snapshot *snapshot, const struct shape *shape)
{
	if (shape->unit != UNIT_COUNT && snapshot->start_realtime_ns < windows->taken_to_ns) {
		windows->left_out++;
		return FALSE;
	}
	windows->taken_to_ns = MAX(windows->taken_to_ns, snapshot->start_realtime_ns + snapshot->duration_ns);
	windows->looked_ns += snapshot->duration_ns;
	windows->count++;
	return TRUE;
}

void windows_say(const struct windows *windows, struct snapshot *snapshot, struct shape *shape, guint64 whole_ns)
{
	if (windows->left_out)
		ledger_note(&shape->ledger, g_strdup("stacks measured at the same time as others are left out"));
	if (!windows->count || (double)windows->looked_ns >= SNAPSHOT_WHOLE * (double)whole_ns)
		return;
	snapshot->looked_ns = windows->looked_ns;
	ledger_note(
		&shape->ledger,
		g_strdup_printf("of %u window%s in this range, %.1f s of its %.0f s: weights are of those seconds, not "
				"scaled up",
				windows->count, windows->count == 1 ? "" : "s",
				(double)windows->looked_ns / (double)NS_PER_S, (double)whole_ns / (double)NS_PER_S));
}

void snapshot_date(struct snapshot *snapshot, gint64 time_ms)
{
	guint64 end_ns = (guint64)MAX(time_ms, 0) * NS_PER_MS;

	if (!snapshot->start_realtime_ns)
		snapshot->start_realtime_ns = end_ns - MIN(snapshot->duration_ns, end_ns);
}

gboolean snapshot_cut(struct snapshot *snapshot, gint64 from_ms, gint64 to_ms)
{
	gint64 start_ms = (gint64)(snapshot->start_realtime_ns / NS_PER_MS);
	gint64 end_ms = (gint64)((snapshot->start_realtime_ns + snapshot->duration_ns + NS_PER_MS - 1) / NS_PER_MS);
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);

	if (end_ms <= from_ms || start_ms >= to_ms)
		return FALSE;
	if (!shape || (start_ms >= from_ms && end_ms <= to_ms))
		return TRUE;
	if (!calltree_cut(shape->calltree, from_ms, to_ms)) {
		ledger_note(&shape->ledger,
			    g_strdup("stacks without times are of all of their windows, which reach beyond the range"));
		return TRUE;
	}
	start_ms = MAX(start_ms, from_ms);
	snapshot->start_realtime_ns = (guint64)start_ms * NS_PER_MS;
	snapshot->duration_ns = (guint64)(MIN(end_ms, to_ms) - start_ms) * NS_PER_MS;
	return TRUE;
}

struct shape *snapshot_find(const struct snapshot *snapshot, enum shape_kind kind)
{
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (shape->kind == kind)
			return shape;
	}
	return NULL;
}
