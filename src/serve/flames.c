/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/flames.h"

#include <microhttpd.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "import/import.h"
#include "model/waits.h"
#include "render/render.h"
#include "serve/past.h"

/* Windows are a minute or so long: the last that overlaps a range ends after the range does. */
#define FLAMES_WINDOW_MAX_MS (2 * 60 * 1000)
#define FLAMES_CELL_MS 20
#define FLAMES_SECOND_MS 1000
#define FLAMES_COLUMNS_MAX 3600
#define FLAMES_CELL_MIN_MS 5
#define FLAMES_NOTES_MAX 24 /* sentences of the windows' ledgers; many have their window's numbers in them */
#define FLAMES_SAMPLED "profile" /* what is always sampled; of others there are measurements in the history */

/* ---- where stacks come from ---- */

typedef void (*window_fn)(void *user, struct snapshot *snapshot, struct shape *shape);

/* Which stacks a request is about. */
struct source {
	struct past_range range;
	const char *container; /* NULL: all */
	struct snapshot *measured; /* of a measurement; NULL: what the history has */
	const char *kind; /* of stacks that are wanted of the history: a probe */
};

/* A walk over its windows. */
struct source_walk {
	const struct source *source;
	window_fn each;
	void *user;
};

static gint64 snapshot_start_ms(const struct snapshot *snapshot)
{
	return (gint64)(snapshot->start_realtime_ns / NS_PER_MS);
}

static gint64 snapshot_end_ms(const struct snapshot *snapshot)
{
	return (gint64)((snapshot->start_realtime_ns + snapshot->duration_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* reel_fn */
static void source_window(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	const struct source_walk *walk = user;
	const struct past_range *range = &walk->source->range;
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);

	if (!walk->source->measured && (!shape || g_strcmp0(shape->probe, walk->source->kind) != 0))
		return;
	snapshot_date(snapshot, time_ms);
	if (shape && snapshot_start_ms(snapshot) < range->to_ms && snapshot_end_ms(snapshot) > range->from_ms)
		walk->each(walk->user, snapshot, shape);
}

static void source_each(const struct api *api, const struct source *source, window_fn each, void *user)
{
	struct source_walk walk = { source, each, user };

	if (source->measured)
		source_window(&walk, snapshot_end_ms(source->measured), source->measured);
	else /* a capture's stacks may have gathered over all of it */
		reel_each(api->stacks, source->range.from_ms,
			  api->replay ? api->replay->to_ms : source->range.to_ms + FLAMES_WINDOW_MAX_MS, 60000,
			  source_window, &walk);
}

/* The measurement `profile` of the query, read back; NULL and `*wrong`. */
static struct snapshot *measured_load(const struct api *api, gint64 id, const char **wrong)
{
	const struct job *job = id > 0 && id <= G_MAXUINT ? jobs_find(api->jobs, (guint)id) : NULL;
	g_autoptr(GBytes) capture = NULL;
	struct snapshot *snapshot;
	const char *type, *suffix;

	*wrong = "there is no such measurement, or it is not done";
	capture = job ? jobs_result(api->jobs, job, "json", &type, &suffix) : NULL;
	if (!capture)
		return NULL;
	*wrong = "that measurement has no stacks";
	snapshot = import_bytes(g_bytes_get_data(capture, NULL), g_bytes_get_size(capture),
				&(struct import_options){ .format = "json" }, NULL);
	if (snapshot && !snapshot_find(snapshot, SHAPE_CALLTREE))
		g_clear_pointer(&snapshot, snapshot_free);
	return snapshot;
}

/* From the query: profile, series or container, and the range (of a measurement: all of it unless said otherwise). NULL, or
 * what is wrong. Whatever it says, source_clear. */
static const char *source_parse(const struct api *api, const struct http_request *request, gint64 fallback_s,
				struct source *source)
{
	const char *wrong;
	gint64 profile;

	source->kind = FLAMES_SAMPLED;
	if (!http_query_number(request, "profile", 0, &profile))
		return "profile is the number of a measurement";
	if (!past_container(api, request, &source->container))
		return "there is no such series";
	if (!profile)
		return past_range(request, fallback_s, &source->range);
	source->measured = measured_load(api, profile, &wrong);
	if (!source->measured)
		return wrong;
	source->range.from_ms = snapshot_start_ms(source->measured);
	source->range.to_ms = snapshot_end_ms(source->measured);
	if (!http_query_number(request, "from_ms", source->range.from_ms, &source->range.from_ms) ||
	    !http_query_number(request, "to_ms", source->range.to_ms, &source->range.to_ms) ||
	    source->range.from_ms < 0 || source->range.to_ms <= source->range.from_ms)
		return "from_ms is before to_ms";
	return NULL;
}

static void source_clear(struct source *source)
{
	g_clear_pointer(&source->measured, snapshot_free);
}

/* Which nodes lie below the container that is asked for. */
static guint8 *nodes_wanted(const struct calltree *tree, const char *container)
{
	guint8 *wanted = g_new0(guint8, tree->node_count);

	wanted[CALLTREE_ROOT] = container == NULL;
	for (guint32 i = 1; i < tree->node_count; i++)
		wanted[i] = tree->parent[i] == CALLTREE_ROOT
				    ? !container || strcmp(tree->frames[tree->frame[i]].name, container) == 0
				    : wanted[tree->parent[i]];
	return wanted;
}

/* ---- a flame graph ---- */

struct flame_sum {
	const struct source *source;
	struct shape *shape; /* being filled */
	struct snapshot *snapshot; /* of it */
	struct windows windows; /* of measurements */
};

/* Weights of the samples within the range, by node: those whose moment lies in it, or all of a window that lies in it, or
 * that knows no moments. Owned by the caller. */
static guint64 *weights_within(const struct source *source, const struct snapshot *snapshot,
			       const struct calltree *tree)
{
	gboolean is_inside = snapshot_start_ms(snapshot) >= source->range.from_ms &&
			     snapshot_end_ms(snapshot) <= source->range.to_ms;
	guint64 *weights =
		is_inside ? NULL : calltree_weights_between(tree, source->range.from_ms, source->range.to_ms);

	return weights ? weights : g_memdup2(tree->self, sizeof(tree->self[0]) * tree->node_count);
}

/* Only stacks that weigh something become part of the sum. */
static void flame_add(struct calltree *into, const struct calltree *from, const guint64 *weights, const guint8 *wanted)
{
	g_autofree guint32 *places = g_new0(guint32, from->node_count);
	g_autofree guint64 *totals = calltree_totals(from, weights);

	for (guint32 i = 1; i < from->node_count; i++) {
		const struct calltree_frame *frame = &from->frames[from->frame[i]];

		if (!wanted[i] || !totals[i])
			continue;
		places[i] = calltree_child(into, places[from->parent[i]],
					   calltree_frame(into, frame->kind, frame->name, -1, frame->module));
		calltree_add(into, places[i], weights[i]);
	}
}

static gboolean is_sampled(const struct source *source)
{
	return source->measured || strcmp(source->kind, FLAMES_SAMPLED) == 0;
}

/* Of measurements: is something of whom is asked for in it, and was the time not taken from another already? */
static gboolean flame_wants(struct flame_sum *sum, const struct snapshot *snapshot, const struct shape *shape,
			    const guint8 *wanted)
{
	const struct calltree *tree = shape->calltree;
	gboolean has_any = FALSE;

	for (guint32 i = 1; i < tree->node_count && !has_any; i++)
		has_any = wanted[i];
	return has_any && windows_take(&sum->windows, snapshot, shape);
}

static void notes_limit(struct ledger *ledger)
{
	if (ledger->notes && ledger->notes->len > FLAMES_NOTES_MAX)
		g_ptr_array_set_size(ledger->notes, FLAMES_NOTES_MAX);
}

/* window_fn */
static void flame_window(void *user, struct snapshot *snapshot, struct shape *shape)
{
	struct flame_sum *sum = user;
	g_autofree guint8 *wanted = nodes_wanted(shape->calltree, sum->source->container);
	g_autofree guint64 *weights = NULL;
	guint64 end_ns = snapshot->start_realtime_ns + snapshot->duration_ns;

	if (!is_sampled(sum->source) && !flame_wants(sum, snapshot, shape, wanted))
		return;
	weights = weights_within(sum->source, snapshot, shape->calltree);
	flame_add(sum->shape->calltree, shape->calltree, weights, wanted);
	ledger_merge(&sum->shape->ledger, &shape->ledger);
	notes_limit(&sum->shape->ledger);
	sum->shape->unit = shape->unit;
	sum->snapshot->frequency_hz = snapshot->frequency_hz;
	if (!sum->snapshot->start_realtime_ns)
		sum->snapshot->start_realtime_ns = snapshot->start_realtime_ns;
	if (end_ns > sum->snapshot->start_realtime_ns)
		sum->snapshot->duration_ns = end_ns - sum->snapshot->start_realtime_ns;
}

/* Of a cut the range is what was looked at, not the windows it was cut from. What cannot be cut is of the range and of all that its
 * windows hold besides. */
static void flame_bound(struct flame_sum *sum)
{
	guint64 from_ns = (guint64)sum->source->range.from_ms * NS_PER_MS;
	guint64 to_ns = (guint64)sum->source->range.to_ms * NS_PER_MS;
	guint64 end_ns = sum->snapshot->start_realtime_ns + sum->snapshot->duration_ns;

	if (is_sampled(sum->source)) {
		sum->snapshot->start_realtime_ns = MAX(sum->snapshot->start_realtime_ns, from_ns);
		end_ns = MIN(end_ns, to_ns);
	} else if (sum->windows.count) {
		sum->snapshot->start_realtime_ns = MIN(sum->snapshot->start_realtime_ns, from_ns);
		end_ns = MAX(end_ns, to_ns);
	}
	sum->snapshot->duration_ns = end_ns - MIN(sum->snapshot->start_realtime_ns, end_ns);
}

static struct snapshot *flame_sum(const struct api *api, struct source *source)
{
	const char *probe = source->measured ? snapshot_find(source->measured, SHAPE_CALLTREE)->probe : source->kind;
	g_autofree char *title = g_strdup_printf("%s of %s", probe, source->container ? source->container : "all");
	struct flame_sum sum = { .source = source, .snapshot = snapshot_new(title) };

	sum.shape = shape_new(SHAPE_CALLTREE, probe, UNIT_COUNT);
	g_ptr_array_add(sum.snapshot->shapes, sum.shape);
	source_each(api, source, flame_window, &sum);
	flame_bound(&sum);
	/* Windows and measurements seldom cover the range: how much of it they are of is said. */
	windows_say(&sum.windows, sum.snapshot, sum.shape, sum.snapshot->duration_ns);
	return sum.snapshot;
}

/* ---- by what threads waited for, without stacks ---- */

struct class_sum {
	const struct source *source;
	struct snapshot *snapshot;
	struct shape *shape;
	gboolean is_walltime;
};

/* waits_wants_fn */
static gboolean class_wants(void *user, const char *name)
{
	const char *wanted = ((const struct class_sum *)user)->source->container;

	return !wanted || strcmp(wanted, name) == 0;
}

/* reel_fn */
static void class_window(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	struct class_sum *sum = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_GAUGES);
	guint64 end_ns = (guint64)time_ms * NS_PER_MS;

	if (shape)
		waits_add(sum->shape->calltree, shape->gauges, sum->is_walltime, class_wants, sum);
	if (!sum->snapshot->start_realtime_ns)
		sum->snapshot->start_realtime_ns = end_ns - MIN(snapshot->duration_ns, end_ns);
	sum->snapshot->duration_ns = end_ns - MIN(sum->snapshot->start_realtime_ns, end_ns);
}

/* What is kept of threads' time always, in place of stacks. Owned by the caller. */
static struct snapshot *flame_classes(const struct api *api, const struct source *source, const char *kind)
{
	g_autofree char *title = g_strdup_printf("%s of %s", kind, source->container ? source->container : "all");
	struct class_sum sum = { .source = source, .snapshot = snapshot_new(title) };

	sum.is_walltime = strcmp(kind, "walltime") == 0;
	sum.shape = shape_new(SHAPE_CALLTREE, kind, UNIT_NANOSECONDS);
	g_ptr_array_add(sum.snapshot->shapes, sum.shape);
	ledger_note(&sum.shape->ledger, g_strdup(WAITS_NOTE));
	reel_each(api->reel, source->range.from_ms, source->range.to_ms, (guint)source->range.step_ms, class_window,
		  &sum);
	return sum.snapshot;
}

static struct calltree *snapshot_tree(const struct snapshot *snapshot)
{
	return snapshot_find(snapshot, SHAPE_CALLTREE)->calltree;
}

/* How a range is answered that has no stacks of what it is asked for, or all of it is wanted. */
enum flame_detail {
	DETAIL_BEST = 0, /* stacks where there are any, else what threads waited for */
	DETAIL_STACKS = 1,
	DETAIL_CLASSES = 2,
};

static gboolean has_classes(const struct source *source)
{
	return !source->measured && (strcmp(source->kind, "offcpu") == 0 || strcmp(source->kind, "walltime") == 0);
}

static struct snapshot *flame_of(const struct api *api, struct source *source, enum flame_detail detail)
{
	struct snapshot *sum;

	if (has_classes(source) && detail == DETAIL_CLASSES)
		return flame_classes(api, source, source->kind);
	sum = flame_sum(api, source);
	if (!has_classes(source) || detail == DETAIL_STACKS || snapshot_tree(sum)->node_count > 1)
		return sum;
	snapshot_free(sum);
	sum = flame_classes(api, source, source->kind);
	if (strcmp(source->kind, "offcpu") == 0 && live_part(api->live, LIVE_OFFCPU)->state == LIVE_ON)
		ledger_note(
			&snapshot_find(sum, SHAPE_CALLTREE)->ledger,
			g_strdup(
				"stacks of blocked threads are looked at now and then (/api/self says for which part of the "
				"time): never in this range"));
	return sum;
}

/* Anything but who and why. */
static gboolean has_stacks(const struct snapshot *snapshot)
{
	const struct calltree *tree = snapshot_tree(snapshot);

	for (guint32 i = 0; i < tree->frame_count; i++)
		if (tree->frames[i].kind != FRAME_CONTAINER && tree->frames[i].kind != FRAME_CAUSE)
			return TRUE;
	return FALSE;
}

static void flame_join(const struct snapshot *before, struct snapshot *after)
{
	struct shape *shape = snapshot_find(after, SHAPE_CALLTREE);
	struct calltree *joined = calltree_diff(snapshot_tree(before), shape->calltree);

	calltree_free(shape->calltree);
	shape->calltree = joined;
	ledger_merge(&shape->ledger, &snapshot_find(before, SHAPE_CALLTREE)->ledger);
}

/* With before_from_ms and before_to_ms (and, of another container, before_series) the answer compares. NULL, or what is wrong. */
static const char *flame_compare(const struct api *api, const struct http_request *request, struct source *source,
				 enum flame_detail detail, struct snapshot **after)
{
	const char *container = source->container;
	struct past_range range, range_after = source->range;
	g_autoptr(snapshot_t) before = NULL;
	gint64 series;

	if (!http_query_number(request, "before_from_ms", 0, &range.from_ms) ||
	    !http_query_number(request, "before_to_ms", 0, &range.to_ms) ||
	    !http_query_number(request, "before_series", 0, &series) || series < 0 || series > G_MAXUINT32)
		return "before_from_ms, before_to_ms and before_series are numbers";
	if (!range.from_ms && !range.to_ms)
		return NULL;
	if (range.from_ms < 0 || range.to_ms <= range.from_ms)
		return "before_from_ms is before before_to_ms";
	if (series) {
		const struct history_resource *resource = history_resource(api->history, (guint32)series);

		if (!resource)
			return "there is no such before_series";
		source->container = resource->name;
	}
	range.step_ms = source->range.step_ms;
	source->range = range;
	before = flame_of(api, source, detail);
	/* Stacks are compared with stacks alone. */
	if (has_classes(source) && has_stacks(before) != has_stacks(*after)) {
		snapshot_free(before);
		before = flame_of(api, source, DETAIL_CLASSES);
		source->range = range_after;
		source->container = container;
		snapshot_free(*after);
		*after = flame_of(api, source, DETAIL_CLASSES);
	}
	flame_join(before, *after);
	return NULL;
}

static const struct flame_format {
	const char *name, *type, *attachment;
	gboolean can_compare;
} flame_formats[] = {
	{ "json", NULL, NULL, TRUE },
	{ "folded", "text/plain; charset=utf-8", "fathom.folded", FALSE },
	{ "svg", "image/svg+xml", "fathom.svg", TRUE },
	{ "pprof", "application/octet-stream", "fathom.pb.gz", FALSE },
};

static const struct flame_format *flame_format(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(flame_formats); i++)
		if (!name || strcmp(name, flame_formats[i].name) == 0)
			return &flame_formats[i];
	return NULL;
}

static const char *nothing_words(const struct api *api, const struct source *source)
{
	if (source->measured)
		return "no stack was seen in that part of the measurement";
	if (has_classes(source))
		return "no thread's time is known in that range";
	if (strcmp(source->kind, FLAMES_SAMPLED) != 0)
		return "nothing of that kind was measured in that range, and it is not recorded always";
	return live_part(api->live, LIVE_PROFILE)->state == LIVE_ON
		       ? "no stack was sampled in that range (a window of a minute must be over)"
		       : "stacks are not sampled: /api/self says why";
}

static void flame_render(const struct api *api, const struct source *source, const struct flame_format *format,
			 const struct snapshot *snapshot, struct http_reply *reply)
{
	const struct calltree *tree = snapshot_tree(snapshot);
	g_autoptr(GError) error = NULL;
	char *text;
	gsize length;

	if (tree->node_count <= 1) {
		past_error(reply, MHD_HTTP_NOT_FOUND, nothing_words(api, source));
		return;
	}
	text = render_write_string(snapshot, render_format_find(format->name, NULL),
				   &(struct render_options){ .normalized = tree->baseline != NULL }, &length, &error);
	if (!text) {
		past_error(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, error->message);
		return;
	}
	reply->type = format->type;
	reply->attachment = format->attachment;
	reply->body = g_bytes_new_take(text, length);
}

void flames_answer(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	static const char *const kinds[] = { FLAMES_SAMPLED, "offcpu", "walltime", "memory", "heap", NULL };
	static const char *const details[] = { "best", "stacks", "classes", NULL };
	const char *kind = http_query(request, "kind"), *detail = http_query(request, "detail"), *wrong = NULL;
	enum flame_detail how = DETAIL_BEST;
	const struct flame_format *format = flame_format(http_query(request, "format"));
	g_autoptr(snapshot_t) snapshot = NULL;
	struct source source = { 0 };

	if (kind && !g_strv_contains(kinds, kind))
		wrong = "kind is profile, offcpu, walltime, memory or heap";
	else if (detail && !g_strv_contains(details, detail))
		wrong = "detail is best, stacks or classes";
	else if (!format)
		wrong = "format is one of json, folded, svg, pprof";
	else
		wrong = source_parse(api, request, 300, &source);
	if (!wrong) {
		for (guint i = 0; detail && details[i]; i++)
			if (strcmp(details[i], detail) == 0)
				how = (enum flame_detail)i;
		if (kind)
			source.kind = kind;
		snapshot = flame_of(api, &source, how);
		wrong = flame_compare(api, request, &source, how, &snapshot);
	}
	if (!wrong && snapshot_tree(snapshot)->baseline && !format->can_compare)
		wrong = "a comparison is json or svg";
	if (wrong)
		past_error(reply, MHD_HTTP_BAD_REQUEST, wrong);
	else
		flame_render(api, &source, format, snapshot, reply);
	source_clear(&source);
}

/* ---- parts of seconds ---- */

struct scope {
	const struct source *source;
	gint64 cell_ms;
	guint32 columns, rows; /* seconds, and parts of one */
	guint32 *cells; /* columns × rows */
	guint64 samples, untimed; /* in the range; in windows of it, but nobody knows when */
	guint32 most, frequency_hz;
	gint64 seen_to_ms; /* windows have covered the range so far */
	struct json_writer *json; /* in the array of gaps */
};

static void scope_gap(struct scope *scope, gint64 to_ms)
{
	if (to_ms - scope->seen_to_ms < scope->cell_ms)
		return;
	json_begin_array(scope->json, NULL);
	json_int(scope->json, NULL, scope->seen_to_ms);
	json_int(scope->json, NULL, to_ms);
	json_end_array(scope->json);
}

/* window_fn */
static void scope_window(void *user, struct snapshot *snapshot, struct shape *shape)
{
	struct scope *scope = user;
	const struct past_range *range = &scope->source->range;
	const struct calltree *tree = shape->calltree;
	g_autofree guint8 *wanted = nodes_wanted(tree, scope->source->container);

	scope_gap(scope, MIN(snapshot_start_ms(snapshot), range->to_ms));
	scope->seen_to_ms = MAX(scope->seen_to_ms, snapshot_end_ms(snapshot));
	scope->frequency_hz = snapshot->frequency_hz;
	for (guint32 i = 0; i < tree->node_count; i++)
		scope->untimed += wanted[i] ? tree->self[i] : 0;
	for (guint i = 0; tree->moments && i < tree->moments->len; i++) {
		const struct calltree_moment *moment = &g_array_index(tree->moments, struct calltree_moment, i);
		gint64 at_ms = moment->time_ms - range->from_ms;
		guint32 *cell;

		if (!wanted[moment->node])
			continue;
		scope->untimed -= scope->untimed > 0;
		if (at_ms < 0 || moment->time_ms >= range->to_ms)
			continue;
		cell = &scope->cells[at_ms / FLAMES_SECOND_MS * scope->rows +
				     at_ms % FLAMES_SECOND_MS / scope->cell_ms];
		++*cell;
		scope->most = MAX(scope->most, *cell);
		scope->samples++;
	}
}

static void scope_write(struct scope *scope, struct json_writer *json)
{
	json_int(json, "cell_ms", scope->cell_ms);
	json_uint(json, "columns", scope->columns);
	json_uint(json, "rows", scope->rows);
	json_uint(json, "frequency_hz", scope->frequency_hz);
	json_uint(json, "samples", scope->samples);
	json_uint(json, "samples_without_time", scope->untimed);
	json_uint(json, "most", scope->most);
	json_begin_array(json, "cells");
	for (guint32 i = 0; i < scope->columns * scope->rows; i++) {
		if (!scope->cells[i])
			continue;
		json_begin_array(json, NULL);
		json_uint(json, NULL, i / scope->rows);
		json_uint(json, NULL, i % scope->rows);
		json_uint(json, NULL, scope->cells[i]);
		json_end_array(json);
	}
	json_end_array(json);
}

static const char *scope_parse(const struct api *api, const struct http_request *request, struct source *source,
			       struct scope *scope)
{
	const char *wrong = source_parse(api, request, 60, source);

	if (wrong)
		return wrong;
	if (!http_query_number(request, "cell_ms", FLAMES_CELL_MS, &scope->cell_ms) ||
	    scope->cell_ms < FLAMES_CELL_MIN_MS || FLAMES_SECOND_MS % scope->cell_ms != 0)
		return "cell_ms is a part of a second, at least 5: 5, 10, 20, 25, 40, 50, 100 ...";
	/* Columns are seconds of the clock, so that an answer a second later has the same ones. */
	source->range.from_ms = source->range.from_ms / FLAMES_SECOND_MS * FLAMES_SECOND_MS;
	if (source->range.to_ms - source->range.from_ms > (gint64)FLAMES_COLUMNS_MAX * FLAMES_SECOND_MS)
		return "parts of seconds are told of an hour at most";
	scope->source = source;
	scope->columns =
		(guint32)((source->range.to_ms - source->range.from_ms + FLAMES_SECOND_MS - 1) / FLAMES_SECOND_MS);
	scope->rows = (guint32)(FLAMES_SECOND_MS / scope->cell_ms);
	return NULL;
}

void flames_scope(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct source source = { 0 };
	struct scope scope = { 0 };
	const char *wrong = scope_parse(api, request, &source, &scope);
	struct json_writer json;
	GString *out;

	if (wrong) {
		past_error(reply, MHD_HTTP_BAD_REQUEST, wrong);
		source_clear(&source);
		return;
	}
	scope.cells = g_new0(guint32, (gsize)scope.columns * scope.rows);
	scope.seen_to_ms = source.range.from_ms;
	json = past_begin(&source.range, &out);
	scope.json = &json;
	json_begin_array(&json, "gaps"); /* [from, to]: nothing was sampled then, or is not known yet */
	source_each(api, &source, scope_window, &scope);
	scope_gap(&scope, MIN(source.range.to_ms, (gint64)(clock_realtime_ns() / NS_PER_MS)));
	json_end_array(&json);
	scope_write(&scope, &json);
	g_free(scope.cells);
	past_end(reply, &json);
	source_clear(&source);
}
