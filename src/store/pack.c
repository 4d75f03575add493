/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pack.h"

#include <string.h>
#include <zstd.h>

#include "store/varint.h"

#define PACK_VERSION 2 /* 2: moments of stacks */
#define PACK_ZSTD_LEVEL 1
#define PACK_SHAPES_MAX 64
#define PACK_NOTES_MAX 64
#define PACK_STRING_BYTES_MAX (1u << 20)
#define PACK_STRINGS_MAX (1u << 22)
#define PACK_CALLTREE_NODES_MAX (1u << 22)
#define PACK_TIME_MAX_MS (G_GUINT64_CONSTANT(1) << 52) /* far beyond any calendar */

G_DEFINE_QUARK(pack - error - quark, pack_error)

/* ---- writing ---- */

struct packer {
	GByteArray *body;
	GByteArray *texts; /* the strings, in the order of their numbers */
	GHashTable *numbers; /* string → number, from 1 */
};

static void put(struct packer *packer, guint64 value)
{
	varint_put(packer->body, value);
}

/* A string's number; 0 is none. */
static void put_text(struct packer *packer, const char *text)
{
	guint number;

	if (!text) {
		put(packer, 0);
		return;
	}
	number = GPOINTER_TO_UINT(g_hash_table_lookup(packer->numbers, text));
	if (!number) {
		gsize length = MIN(strlen(text), PACK_STRING_BYTES_MAX);

		number = g_hash_table_size(packer->numbers) + 1;
		g_hash_table_insert(packer->numbers, g_strdup(text), GUINT_TO_POINTER(number));
		varint_put(packer->texts, length);
		g_byte_array_append(packer->texts, (const guint8 *)text, (guint)length);
	}
	put(packer, number);
}

static void put_counts(struct packer *packer, const struct histogram_counts *counts)
{
	guint first = 0, count = 0;

	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!counts->buckets[i])
			continue;
		if (!count)
			first = i;
		count = i - first + 1;
	}
	put(packer, counts->sum);
	put(packer, counts->max);
	put(packer, first);
	put(packer, count);
	for (guint i = first; i < first + count; i++)
		put(packer, counts->buckets[i]);
}

static void put_histogram(struct packer *packer, const struct histogram *histogram)
{
	guint width = g_strv_length(histogram->labels);

	put(packer, width);
	for (guint i = 0; i < width; i++)
		put_text(packer, histogram->labels[i]);
	put(packer, histogram->overflow);
	put(packer, histogram->rows->len);
	for (guint row = 0; row < histogram->rows->len; row++) {
		const char *const *values = histogram_values(histogram, row);

		for (guint i = 0; i < width; i++)
			put_text(packer, values[i]);
		put_counts(packer, &((const struct histogram_row *)g_ptr_array_index(histogram->rows, row))->counts);
	}
}

static void put_columns(struct packer *packer, const struct edges_column *columns, guint count)
{
	put(packer, count);
	for (guint i = 0; i < count; i++) {
		put_text(packer, columns[i].name);
		put(packer, columns[i].unit);
	}
}

static void put_edge(struct packer *packer, const struct edges *edges, guint32 row, guint width)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	struct edge_end ends[] = { edges_source(edges, row), edges_target(edges, row) };
	const char *const *labels = width ? edges_labels(edges, row) : NULL;
	guint64 counters = 0, histograms = 0;

	for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
		put(packer, ends[i].kind);
		put_text(packer, ends[i].name);
	}
	for (guint i = 0; i < width; i++)
		put_text(packer, labels[i]);
	for (guint i = 0; i < edges->counter_count; i++)
		counters |= (guint64)(edge->counters[i] != 0) << i;
	put(packer, counters);
	for (guint i = 0; i < edges->counter_count; i++)
		if (edge->counters[i])
			put(packer, edge->counters[i]);
	for (guint i = 0; i < edges->histogram_count; i++)
		histograms |= (guint64)(edge->histograms[i] != NULL) << i;
	put(packer, histograms);
	for (guint i = 0; i < edges->histogram_count; i++)
		if (edge->histograms[i])
			put_counts(packer, edge->histograms[i]);
}

static void put_edges(struct packer *packer, const struct edges *edges)
{
	guint width = g_strv_length(edges->labels);

	put(packer, width);
	for (guint i = 0; i < width; i++)
		put_text(packer, edges->labels[i]);
	put_columns(packer, edges->counters, edges->counter_count);
	put_columns(packer, edges->histograms, edges->histogram_count);
	put(packer, edges->overflow);
	put(packer, edges->rows->len);
	for (guint32 row = 0; row < edges->rows->len; row++)
		put_edge(packer, edges, row, width);
}

/* In order: each as what has passed since the one before. */
static void put_moments(struct packer *packer, const GArray *moments)
{
	gint64 before_ms = 0;

	put(packer, moments ? moments->len : 0);
	for (guint i = 0; moments && i < moments->len; i++) {
		const struct calltree_moment *moment = &g_array_index(moments, struct calltree_moment, i);

		put(packer, (guint64)(moment->time_ms - before_ms));
		put(packer, moment->node);
		before_ms = moment->time_ms;
	}
}

static void put_calltree(struct packer *packer, const struct calltree *tree)
{
	put(packer, tree->overflow);
	put(packer, tree->frame_count);
	for (guint32 i = 0; i < tree->frame_count; i++) {
		put(packer, tree->frames[i].kind);
		put_text(packer, tree->frames[i].name);
		put_text(packer, tree->frames[i].module);
	}
	put(packer, tree->node_count);
	put(packer, tree->self[CALLTREE_ROOT]);
	for (guint32 i = 1; i < tree->node_count; i++) {
		put(packer, i - tree->parent[i]);
		put(packer, tree->frame[i]);
		put(packer, tree->self[i]);
	}
	put_moments(packer, tree->moments);
}

static void put_event(struct packer *packer, const struct event *event)
{
	guint count = 0;

	for (guint i = 0; i < event->field_count; i++)
		count += event->fields[i].unit != EVENT_LIST;
	put(packer, event->realtime_ns);
	put_text(packer, event->container);
	put_text(packer, event->process);
	put_text(packer, event->kind ? event->kind : "");
	put(packer, event->pid);
	put(packer, event->tid);
	put(packer, event->inner_pid);
	put(packer, count);
	for (guint i = 0; i < event->field_count; i++) {
		const struct event_field *field = &event->fields[i];

		if (field->unit == EVENT_LIST)
			continue;
		put_text(packer, field->name);
		put(packer, field->unit);
		if (field->unit == EVENT_TEXT)
			put_text(packer, field->text ? field->text : "");
		else
			put(packer, field->number);
	}
}

static void put_events(struct packer *packer, const struct events *events)
{
	put(packer, events->forgotten);
	put(packer, g_queue_get_length((GQueue *)&events->rows));
	for (const GList *link = events->rows.head; link; link = link->next)
		put_event(packer, link->data);
}

static void put_gauge_row(struct packer *packer, const struct gauge_row *row)
{
	put(packer, row->resource);
	put(packer, row->key);
	put(packer, row->birth_ns);
	put(packer, row->parent == GAUGE_NO_PARENT ? 0 : row->parent + 1);
	put(packer, row->dead != FALSE);
	put_text(packer, row->name);
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		put_text(packer, row->texts[i]);
	for (guint i = 0; i < GAUGE_KNOWN_WORDS; i++)
		put(packer, row->known[i]);
	for (guint i = 0; i < GAUGES_COUNT; i++)
		if (gauge_is_known(row, (enum gauge)i))
			put(packer, row->values[i]);
}

static void put_gauges(struct packer *packer, const struct gauges *gauges)
{
	put(packer, GAUGE_TEXTS);
	put(packer, GAUGES_COUNT);
	put(packer, gauges->rows->len);
	for (guint32 i = 0; i < gauges->rows->len; i++)
		put_gauge_row(packer, gauges_row(gauges, i));
}

static void put_ledger(struct packer *packer, const struct ledger *ledger)
{
	guint notes = ledger->notes ? MIN(ledger->notes->len, PACK_NOTES_MAX) : 0;

	put_text(packer, ledger->rung);
	put_text(packer, ledger->misses);
	put(packer, ledger->seen.events);
	put(packer, ledger->seen.weight);
	put(packer, ledger->expected_weight);
	put(packer, LEDGER_ITEMS);
	for (guint i = 0; i < LEDGER_ITEMS; i++) {
		put(packer, ledger->items[i].events);
		put(packer, ledger->items[i].weight);
	}
	put(packer, notes);
	for (guint i = 0; i < notes; i++)
		put_text(packer, g_ptr_array_index(ledger->notes, i));
}

static gboolean shape_has_content(const struct shape *shape)
{
	return (shape->kind != SHAPE_HISTOGRAM || shape->histogram) && (shape->kind != SHAPE_EDGES || shape->edges);
}

static void put_shape(struct packer *packer, const struct shape *shape)
{
	put(packer, shape->kind);
	put_text(packer, shape->probe);
	put(packer, shape->unit);
	put_ledger(packer, &shape->ledger);
	switch (shape->kind) {
	case SHAPE_CALLTREE:
		put_calltree(packer, shape->calltree);
		break;
	case SHAPE_HISTOGRAM:
		put_histogram(packer, shape->histogram);
		break;
	case SHAPE_EDGES:
		put_edges(packer, shape->edges);
		break;
	case SHAPE_EVENTS:
		put_events(packer, shape->events);
		break;
	case SHAPE_GAUGES:
		put_gauges(packer, shape->gauges);
		break;
	case SHAPE_NONE:
		break;
	}
}

GBytes *pack_snapshot(const struct snapshot *snapshot)
{
	struct packer packer = {
		.body = g_byte_array_new(),
		.texts = g_byte_array_new(),
		.numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
	};
	GByteArray *all = g_byte_array_new();
	guint shapes = 0;

	for (guint i = 0; i < snapshot->shapes->len; i++)
		shapes += shape_has_content(g_ptr_array_index(snapshot->shapes, i));
	put_text(&packer, snapshot->title);
	put_text(&packer, snapshot->host);
	put(&packer, snapshot->start_realtime_ns);
	put(&packer, snapshot->duration_ns);
	put(&packer, snapshot->frequency_hz);
	put(&packer, MIN(shapes, PACK_SHAPES_MAX));
	for (guint i = 0; i < snapshot->shapes->len && i < PACK_SHAPES_MAX; i++)
		if (shape_has_content(g_ptr_array_index(snapshot->shapes, i)))
			put_shape(&packer, g_ptr_array_index(snapshot->shapes, i));
	varint_put(all, PACK_VERSION);
	varint_put(all, g_hash_table_size(packer.numbers));
	g_byte_array_append(all, packer.texts->data, packer.texts->len);
	g_byte_array_append(all, packer.body->data, packer.body->len);
	g_byte_array_unref(packer.body);
	g_byte_array_unref(packer.texts);
	g_hash_table_unref(packer.numbers);
	return g_byte_array_free_to_bytes(all);
}

/* ---- reading ---- */

struct unpacker {
	struct varint_reader in;
	GPtrArray *texts; /* by number - 1 */
	GHashTable *names; /* texts that are to be others: former → present; NULL: none */
	guint32 rows_left;
	guint version;
};

static guint64 take(struct unpacker *from)
{
	return varint_take(&from->in);
}

/* At most `limit`, else all is damaged. Each of what is counted takes at least a byte. */
static guint32 take_count(struct unpacker *from, guint32 limit)
{
	guint64 count = take(from);

	if (count > limit || count > varint_left(&from->in)) {
		from->in.is_broken = TRUE;
		return 0;
	}
	return (guint32)count;
}

/* Rows of a table: a few bytes each may become a thousand, so all of them together are bounded. */
static guint32 take_rows(struct unpacker *from)
{
	guint32 rows = take_count(from, from->rows_left);

	from->rows_left -= rows;
	return rows;
}

/* Less than `limit`. */
static guint32 take_below(struct unpacker *from, guint32 limit)
{
	guint64 value = take(from);

	if (value >= limit) {
		from->in.is_broken = TRUE;
		return 0;
	}
	return (guint32)value;
}

/* As it was written. */
static const char *take_raw(struct unpacker *from)
{
	guint64 number = take(from);

	if (number > from->texts->len) {
		from->in.is_broken = TRUE;
		return NULL;
	}
	return number ? g_ptr_array_index(from->texts, number - 1) : NULL;
}

static const char *take_text(struct unpacker *from)
{
	const char *text = take_raw(from),
		   *present = text && from->names ? g_hash_table_lookup(from->names, text) : NULL;

	return present ? present : text;
}

/* One that must be there. */
static const char *take_name(struct unpacker *from)
{
	const char *text = take_text(from);

	if (text)
		return text;
	from->in.is_broken = TRUE;
	return "";
}

static void take_counts(struct unpacker *from, struct histogram_counts *counts)
{
	guint first, count;

	memset(counts, 0, sizeof(*counts));
	counts->sum = take(from);
	counts->max = take(from);
	first = take_below(from, HISTOGRAM_BUCKETS + 1);
	count = take_below(from, HISTOGRAM_BUCKETS + 1);
	if (first + count > HISTOGRAM_BUCKETS) {
		from->in.is_broken = TRUE;
		return;
	}
	for (guint i = first; i < first + count; i++) {
		counts->buckets[i] = take(from);
		if (counts->buckets[i] > G_MAXUINT64 - counts->count)
			from->in.is_broken = TRUE;
		counts->count += counts->buckets[i];
	}
}

static void take_names(struct unpacker *from, const char **names, guint count)
{
	for (guint i = 0; i < count; i++)
		names[i] = take_name(from);
}

static void take_histogram(struct unpacker *from, struct shape *shape)
{
	const char *texts[HISTOGRAM_LABELS_MAX + 1] = { NULL };
	guint width = take_below(from, HISTOGRAM_LABELS_MAX + 1), rows;
	struct histogram_counts counts;

	take_names(from, texts, width);
	if (from->in.is_broken || !width) {
		from->in.is_broken = TRUE;
		return;
	}
	shape->histogram = histogram_new(texts);
	shape->histogram->overflow = take(from);
	rows = take_rows(from);
	for (guint row = 0; row < rows && !from->in.is_broken; row++) {
		for (guint i = 0; i < width; i++)
			texts[i] = take_text(from);
		take_counts(from, &counts);
		if (!from->in.is_broken)
			histogram_add(shape->histogram, texts, 0, &counts);
	}
}

static guint take_columns(struct unpacker *from, struct edges_column *columns, guint limit)
{
	guint count = take_below(from, limit + 1);

	for (guint i = 0; i < count; i++) {
		columns[i].name = take_name(from);
		columns[i].unit = (enum unit)take_below(from, UNIT_BYTES + 1);
	}
	return count;
}

static guint64 take_mask(struct unpacker *from, guint count)
{
	guint64 mask = take(from);

	if (mask >> count) {
		from->in.is_broken = TRUE;
		return 0;
	}
	return mask;
}

static void take_edge(struct unpacker *from, struct edges *edges, guint width)
{
	const char *labels[EDGES_LABELS_MAX] = { NULL };
	struct histogram_counts counts;
	struct edge_end ends[2];
	struct edge *edge;
	guint64 mask;

	for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
		ends[i].kind = (enum edge_end_kind)take_below(from, EDGE_END_KINDS);
		ends[i].name = take_name(from);
	}
	for (guint i = 0; i < width; i++)
		labels[i] = take_text(from);
	edge = from->in.is_broken ? NULL : edges_add(edges, &ends[0], &ends[1], labels);
	mask = take_mask(from, edges->counter_count);
	for (guint i = 0; i < edges->counter_count; i++) {
		guint64 value = mask >> i & 1 ? take(from) : 0;

		if (edge && value)
			edge_count(edge, i, value);
	}
	mask = take_mask(from, edges->histogram_count);
	for (guint i = 0; i < edges->histogram_count; i++) {
		if (!(mask >> i & 1))
			continue;
		take_counts(from, &counts);
		if (edge && !from->in.is_broken)
			edge_histogram_add(edge, i, &counts);
	}
}

static void take_edges(struct unpacker *from, struct shape *shape)
{
	struct edges_column counters[EDGES_COUNTERS_MAX + 1] = { 0 }, histograms[EDGES_HISTOGRAMS_MAX + 1] = { 0 };
	const char *labels[EDGES_LABELS_MAX + 1] = { NULL };
	guint width = take_below(from, EDGES_LABELS_MAX + 1), rows;

	take_names(from, labels, width);
	take_columns(from, counters, EDGES_COUNTERS_MAX);
	take_columns(from, histograms, EDGES_HISTOGRAMS_MAX);
	if (from->in.is_broken)
		return;
	shape->edges = edges_new(labels, counters, histograms);
	shape->edges->overflow = take(from);
	rows = take_rows(from);
	for (guint row = 0; row < rows && !from->in.is_broken; row++)
		take_edge(from, shape->edges, width);
}

static void take_moments(struct unpacker *from, struct calltree *tree)
{
	guint count = take_count(from, CALLTREE_MOMENTS_MAX);
	guint64 time_ms = 0;

	for (guint i = 0; i < count && !from->in.is_broken; i++) {
		guint64 passed_ms = take(from);
		guint32 node = take_below(from, tree->node_count);

		if (passed_ms > PACK_TIME_MAX_MS || (time_ms += passed_ms) > PACK_TIME_MAX_MS)
			from->in.is_broken = TRUE;
		else
			calltree_add_moment(tree, node, (gint64)time_ms);
	}
}

static void take_calltree(struct unpacker *from, struct shape *shape)
{
	struct calltree *tree = shape->calltree;
	guint32 frames, nodes;
	guint64 total;

	tree->overflow = take(from);
	frames = take_count(from, PACK_CALLTREE_NODES_MAX);
	for (guint32 i = 0; i < frames && !from->in.is_broken; i++) {
		enum frame_kind kind = (enum frame_kind)take_below(from, FRAME_KINDS);
		/* As written: frames are told apart by their names, and two that become one would shift all others. */
		const char *name = take_raw(from), *module = take_raw(from);

		from->in.is_broken |= !name;
		if (!from->in.is_broken && calltree_frame(tree, kind, name, -1, module) != i)
			from->in.is_broken = TRUE;
	}
	nodes = take_count(from, PACK_CALLTREE_NODES_MAX);
	total = take(from);
	calltree_add(tree, CALLTREE_ROOT, total);
	for (guint32 i = 1; i < nodes && !from->in.is_broken; i++) {
		guint64 up = take(from);
		guint32 frame = take_below(from, frames);
		guint64 self = take(from);

		if (from->in.is_broken || up < 1 || up > i || self > G_MAXINT64 - MIN(total, G_MAXINT64) ||
		    calltree_child(tree, i - (guint32)up, frame) != i) {
			from->in.is_broken = TRUE;
			return;
		}
		total += self;
		calltree_add(tree, i, self);
	}
	if (total > G_MAXINT64)
		from->in.is_broken = TRUE;
	if (from->version >= 2)
		take_moments(from, tree);
}

static void take_event(struct unpacker *from, struct events *events)
{
	struct event_field fields[EVENT_FIELDS_MAX] = { 0 };
	struct event event = { .realtime_ns = take(from), .fields = fields };

	event.container = take_text(from);
	event.process = take_text(from);
	event.kind = take_name(from);
	event.pid = (guint32)take(from);
	event.tid = (guint32)take(from);
	event.inner_pid = (guint32)take(from);
	event.field_count = take_below(from, EVENT_FIELDS_MAX + 1);
	for (guint i = 0; i < event.field_count; i++) {
		fields[i].name = take_name(from);
		fields[i].unit = (enum event_unit)take_below(from, EVENT_LIST);
		if (fields[i].unit == EVENT_TEXT)
			fields[i].text = take_name(from);
		else
			fields[i].number = take(from);
	}
	if (!from->in.is_broken)
		events_append(events, &event);
}

static void take_events(struct unpacker *from, struct shape *shape)
{
	guint count;

	shape->events->forgotten = take(from);
	count = take_count(from, EVENTS_LIMIT_MAX);
	shape->events->limit = MAX(EVENTS_LIMIT, count);
	for (guint i = 0; i < count && !from->in.is_broken; i++)
		take_event(from, shape->events);
	events_sort(shape->events);
}

static void take_gauge_row(struct unpacker *from, struct gauges *gauges, guint texts, guint values)
{
	struct gauge_row row = { .resource = (enum gauge_resource)take_below(from, GAUGE_RESOURCES) };
	guint64 known[GAUGE_KNOWN_WORDS * 4] = { 0 };
	guint64 parent;

	row.key = take(from);
	row.birth_ns = take(from);
	parent = take(from);
	row.parent = parent ? (guint32)parent - 1 : GAUGE_NO_PARENT;
	row.dead = take_below(from, 2) != 0;
	row.name = take_name(from);
	if (parent > gauges->rows->len)
		from->in.is_broken = TRUE;
	for (guint i = 0; i < texts; i++) {
		const char *text = take_raw(from); /* an id stays one */

		if (i < GAUGE_TEXTS)
			row.texts[i] = text;
	}
	for (guint i = 0; i < (values + 63) / 64; i++)
		known[i] = take(from);
	for (guint i = 0; i < values; i++) {
		guint64 value = known[i / 64] >> (i % 64) & 1 ? take(from) : 0;

		if (i < GAUGES_COUNT && known[i / 64] >> (i % 64) & 1)
			gauge_set(&row, (enum gauge)i, value);
	}
	if (!from->in.is_broken && !gauges_copy(gauges, &row))
		from->in.is_broken = TRUE;
}

/* Texts and values only grow at the end: those of a later fathom are passed over. */
static void take_gauges(struct unpacker *from, struct shape *shape)
{
	guint texts = take_below(from, 65), values = take_below(from, GAUGE_KNOWN_WORDS * 4 * 64 + 1);
	guint rows = take_rows(from);

	for (guint i = 0; i < rows && !from->in.is_broken; i++)
		take_gauge_row(from, shape->gauges, texts, values);
}

static void take_ledger(struct unpacker *from, struct ledger *ledger)
{
	guint count;

	ledger->rung = g_strdup(take_text(from));
	ledger->misses = g_strdup(take_text(from));
	ledger->seen.events = take(from);
	ledger->seen.weight = take(from);
	ledger->expected_weight = take(from);
	count = take_below(from, 64);
	for (guint i = 0; i < count; i++) {
		struct ledger_line line = { .events = take(from) };

		line.weight = take(from);
		if (i < LEDGER_ITEMS)
			ledger->items[i] = line;
	}
	count = take_below(from, PACK_NOTES_MAX + 1);
	for (guint i = 0; i < count; i++)
		ledger_note(ledger, g_strdup(take_name(from)));
}

static void take_shape(struct unpacker *from, struct snapshot *snapshot)
{
	enum shape_kind kind = (enum shape_kind)take_below(from, SHAPE_GAUGES + 1);
	const char *probe = take_text(from);
	enum unit unit = (enum unit)take_below(from, UNIT_BYTES + 1);
	struct shape *shape;

	if (from->in.is_broken || kind == SHAPE_NONE) {
		from->in.is_broken = TRUE;
		return;
	}
	shape = shape_new(kind, probe, unit);
	g_ptr_array_add(snapshot->shapes, shape);
	take_ledger(from, &shape->ledger);
	if (kind == SHAPE_CALLTREE)
		take_calltree(from, shape);
	else if (kind == SHAPE_HISTOGRAM)
		take_histogram(from, shape);
	else if (kind == SHAPE_EDGES)
		take_edges(from, shape);
	else if (kind == SHAPE_EVENTS)
		take_events(from, shape);
	else
		take_gauges(from, shape);
}

static void take_texts(struct unpacker *from)
{
	guint count = take_count(from, PACK_STRINGS_MAX);

	for (guint i = 0; i < count && !from->in.is_broken; i++) {
		guint64 length = take(from);
		const guint8 *bytes = length <= PACK_STRING_BYTES_MAX ? varint_bytes(&from->in, (gsize)length) : NULL;

		if (!bytes)
			from->in.is_broken = TRUE;
		else
			g_ptr_array_add(from->texts, g_strndup((const char *)bytes, (gsize)length));
	}
}

static void take_all(struct unpacker *from, struct snapshot *snapshot)
{
	guint shapes;

	take_texts(from);
	g_free(snapshot->title);
	snapshot->title = g_strdup(take_text(from));
	g_free(snapshot->host);
	snapshot->host = g_strdup(take_text(from));
	snapshot->start_realtime_ns = take(from);
	snapshot->duration_ns = take(from);
	snapshot->frequency_hz = (guint32)take(from);
	shapes = take_below(from, PACK_SHAPES_MAX + 1);
	for (guint i = 0; i < shapes && !from->in.is_broken; i++)
		take_shape(from, snapshot);
}

static struct snapshot *pack_read_named(const guint8 *bytes, gsize length, GHashTable *names, GError **error)
{
	struct unpacker from = { .texts = g_ptr_array_new_with_free_func(g_free),
				 .names = names,
				 .rows_left = PACK_ROWS_MAX };
	g_autoptr(snapshot_t) snapshot = snapshot_new(NULL);
	guint64 version;
	gboolean is_known;

	varint_reader_init(&from.in, bytes, length);
	version = take(&from);
	is_known = !from.in.is_broken && version >= 1 && version <= PACK_VERSION;
	from.version = (guint)MIN(version, G_MAXUINT);
	if (is_known)
		take_all(&from, snapshot);
	g_ptr_array_unref(from.texts);
	if (!from.in.is_broken && version > PACK_VERSION)
		g_set_error(error, PACK_ERROR, PACK_ERROR_VERSION, "it was written by a later fathom");
	else if (from.in.is_broken || !is_known || varint_left(&from.in))
		g_set_error(error, PACK_ERROR, PACK_ERROR_DAMAGED, "its content is damaged");
	else
		return g_steal_pointer(&snapshot);
	return NULL;
}

struct snapshot *pack_read(const guint8 *bytes, gsize length, GError **error)
{
	return pack_read_named(bytes, length, NULL, error);
}

/* ---- compressed ---- */

GBytes *pack_compress(const guint8 *bytes, gsize length)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	gsize room = ZSTD_compressBound(length), packed;
	void *buffer = g_malloc(room);

	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, PACK_ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	packed = ZSTD_compress2(context, buffer, room, bytes, length);
	ZSTD_freeCCtx(context);
	g_assert(!ZSTD_isError(packed)); /* there is room: only memory can be wanting */
	return g_bytes_new_take(g_realloc(buffer, packed), packed);
}

GBytes *pack_decompress(const guint8 *bytes, gsize length, gsize limit, GError **error)
{
	unsigned long long size = length ? ZSTD_getFrameContentSize(bytes, length) : ZSTD_CONTENTSIZE_ERROR;
	void *buffer;
	gsize got;

	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) {
		g_set_error(error, PACK_ERROR, PACK_ERROR_DAMAGED, "it is no compressed snapshot");
		return NULL;
	}
	if (size > limit) {
		g_set_error(error, PACK_ERROR, PACK_ERROR_TOO_LARGE, "it would be larger than %zu bytes", limit);
		return NULL;
	}
	buffer = g_malloc(MAX(size, 1));
	got = ZSTD_decompress(buffer, size, bytes, length);
	if (!ZSTD_isError(got) && got == size)
		return g_bytes_new_take(buffer, got);
	g_free(buffer);
	g_set_error(error, PACK_ERROR, PACK_ERROR_DAMAGED, "its checksum is wrong");
	return NULL;
}

GBytes *pack_snapshot_compressed(const struct snapshot *snapshot)
{
	g_autoptr(GBytes) packed = pack_snapshot(snapshot);
	gsize length;
	const guint8 *bytes = g_bytes_get_data(packed, &length);

	return pack_compress(bytes, length);
}

struct snapshot *pack_read_compressed(const guint8 *bytes, gsize length, GHashTable *names, GError **error)
{
	g_autoptr(GBytes) packed = pack_decompress(bytes, length, PACK_BYTES_MAX, error);
	gsize size;
	const guint8 *data = packed ? g_bytes_get_data(packed, &size) : NULL;

	return packed ? pack_read_named(data, size, names, error) : NULL;
}

/* ---- merging ---- */

static struct shape *shape_like(const struct snapshot *snapshot, const struct shape *wanted)
{
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (shape->kind == wanted->kind && g_strcmp0(shape->probe, wanted->probe) == 0)
			return shape;
	}
	return NULL;
}

static void shape_merge(struct shape *into, const struct shape *from)
{
	ledger_merge(&into->ledger, &from->ledger);
	switch (into->kind) {
	case SHAPE_CALLTREE:
		calltree_merge(into->calltree, from->calltree);
		break;
	case SHAPE_HISTOGRAM:
		if (into->histogram && from->histogram)
			histogram_merge(into->histogram, from->histogram);
		break;
	case SHAPE_EDGES:
		if (into->edges && from->edges)
			edges_merge(into->edges, from->edges);
		break;
	case SHAPE_EVENTS:
		events_merge(into->events, from->events);
		break;
	case SHAPE_GAUGES:
		gauges_merge(into->gauges, from->gauges);
		break;
	case SHAPE_NONE:
		break;
	}
}

void pack_merge(struct snapshot *into, struct snapshot *from)
{
	guint64 end_ns = from->start_realtime_ns + from->duration_ns;

	for (guint i = 0; i < from->shapes->len; i++) {
		struct shape *shape = g_ptr_array_index(from->shapes, i), *same = shape_like(into, shape);

		if (same)
			shape_merge(same, shape);
		else
			g_ptr_array_add(into->shapes, g_ptr_array_steal_index(from->shapes, i--));
	}
	if (!into->start_realtime_ns || (from->start_realtime_ns && from->start_realtime_ns < into->start_realtime_ns))
		into->start_realtime_ns = from->start_realtime_ns;
	if (end_ns > into->start_realtime_ns)
		into->duration_ns = MAX(into->duration_ns, end_ns - into->start_realtime_ns);
	if (!into->frequency_hz)
		into->frequency_hz = from->frequency_hz;
}

/* A copy of the frame's gauges alone; NULL: it has none. */
static struct snapshot *gauges_copied(const struct snapshot *frame)
{
	const struct shape *gauges = snapshot_find(frame, SHAPE_GAUGES);
	struct snapshot *copy;
	struct shape *shape;

	if (!gauges)
		return NULL;
	copy = snapshot_new(NULL);
	copy->start_realtime_ns = frame->start_realtime_ns;
	copy->duration_ns = frame->duration_ns;
	shape = shape_new(SHAPE_GAUGES, gauges->probe, gauges->unit);
	for (guint32 i = 0; i < gauges->gauges->rows->len; i++)
		gauges_copy(shape->gauges, gauges_row(gauges->gauges, i));
	g_ptr_array_add(copy->shapes, shape);
	return copy;
}

struct snapshot *pack_merge_all(GPtrArray *frames, guint windows, GPtrArray **parts)
{
	struct snapshot *whole = snapshot_new(NULL);

	*parts = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	for (guint i = 0; i < frames->len; i++) {
		struct snapshot *frame = g_ptr_array_index(frames, i);
		g_autoptr(snapshot_t) copy = gauges_copied(frame);

		while ((*parts)->len <= i * windows / frames->len)
			g_ptr_array_add(*parts, snapshot_new(NULL));
		if (copy)
			pack_merge(g_ptr_array_index(*parts, (*parts)->len - 1), copy);
		pack_merge(whole, frame);
	}
	return whole;
}
