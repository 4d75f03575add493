/* SPDX-License-Identifier: Apache-2.0 */
#include "model/events.h"

#include <string.h>

struct events *events_new(guint limit)
{
	struct events *events = g_new0(struct events, 1);

	g_queue_init(&events->rows);
	events->limit = MIN(limit ? limit : EVENTS_LIMIT, EVENTS_LIMIT_MAX);
	events->floods = g_array_new(FALSE, FALSE, sizeof(struct event_flood));
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	g_queue_clear_full(&events->rows, (GDestroyNotify)event_free);
	for (guint i = 0; i < events->floods->len; i++)
		g_free(g_array_index(events->floods, struct event_flood, i).container);
	g_array_unref(events->floods);
	g_free(events);
}

static gsize text_bytes(const char *text)
{
	return text ? strnlen(text, EVENT_TEXT_BYTES_MAX) + 1 : 0;
}

static gsize field_bytes(const struct event_field *field)
{
	if (field->unit == EVENT_TEXT)
		return text_bytes(field->text);
	return field->unit == EVENT_LIST ? MIN(field->number, EVENT_TEXT_BYTES_MAX) + 1 : 0;
}

/* Copies `bytes` - 1 bytes and a NUL to `*at`, which moves on. */
static const char *text_put(char **at, const char *text, gsize bytes)
{
	char *start = *at;

	if (bytes == 0)
		return NULL;
	memcpy(start, text, bytes - 1);
	start[bytes - 1] = '\0';
	*at += bytes;
	return start;
}

static void field_put(struct event_field *into, const struct event_field *from, char **at)
{
	gsize bytes = field_bytes(from);

	*into = *from;
	into->name = text_put(at, from->name, text_bytes(from->name));
	into->text = text_put(at, from->text, bytes);
	if (from->unit == EVENT_LIST) /* the last string ends at the limit, too */
		into->number = bytes > 1 && into->text[bytes - 2] ? bytes : bytes - 1;
}

struct event *event_copy(const struct event *event)
{
	guint32 count = MIN(event->field_count, EVENT_FIELDS_MAX);
	gsize bytes = sizeof(*event) + count * sizeof(struct event_field) + text_bytes(event->container) +
		      text_bytes(event->process) + text_bytes(event->kind);
	struct event_field *fields;
	struct event *copy;
	char *at;

	for (guint32 i = 0; i < count; i++)
		bytes += text_bytes(event->fields[i].name) + field_bytes(&event->fields[i]);
	copy = g_malloc(bytes);
	*copy = *event;
	fields = (struct event_field *)(copy + 1);
	at = (char *)(fields + count);
	copy->container = text_put(&at, event->container, text_bytes(event->container));
	copy->process = text_put(&at, event->process, text_bytes(event->process));
	copy->kind = text_put(&at, event->kind, text_bytes(event->kind));
	for (guint32 i = 0; i < count; i++)
		field_put(&fields[i], &event->fields[i], &at);
	copy->fields = fields;
	copy->field_count = count;
	return copy;
}

void event_free(struct event *event)
{
	g_free(event);
}

const struct event_field *event_find(const struct event *event, const char *name)
{
	for (guint32 i = 0; i < event->field_count; i++)
		if (strcmp(event->fields[i].name, name) == 0)
			return &event->fields[i];
	return NULL;
}

const char *event_list_next(const struct event_field *field, const char *at)
{
	const char *end = field->text + field->number;

	at = at ? at + strlen(at) + 1 : field->text;
	return field->number > 0 && at < end ? at : NULL;
}

static gint event_by_time(gconstpointer left, gconstpointer right, gpointer user)
{
	const struct event *a = left, *b = right;

	(void)user;
	return (a->realtime_ns > b->realtime_ns) - (a->realtime_ns < b->realtime_ns);
}

static void events_trim(struct events *events)
{
	while (g_queue_get_length(&events->rows) > events->limit) {
		event_free(g_queue_pop_head(&events->rows));
		events->forgotten++;
	}
}

const struct event *events_add(struct events *events, const struct event *event)
{
	GList *at = events->rows.tail;
	struct event *copy;

	/* Happenings arrive nearly in order: the way back is short. */
	while (at && ((const struct event *)at->data)->realtime_ns > event->realtime_ns)
		at = at->prev;
	if (!at && g_queue_get_length(&events->rows) >= events->limit) {
		events->forgotten++;
		return NULL;
	}
	copy = event_copy(event);
	g_queue_insert_after(&events->rows, at, copy);
	events_trim(events);
	return copy;
}

void events_append(struct events *events, const struct event *event)
{
	g_queue_push_tail(&events->rows, event_copy(event));
}

static guint *kind_count(GHashTable *counts, const struct event *event)
{
	const char *kind = event->kind ? event->kind : "";
	guint *count = g_hash_table_lookup(counts, kind);

	if (!count) {
		count = g_new0(guint, 1);
		g_hash_table_insert(counts, g_strdup(kind), count);
	}
	return count;
}

/* Of so many of each kind, how many may stay so that each kind has as many, or all it has, in `room`. `spare`: what is left. */
static guint kind_share(GHashTable *counts, guint room, guint *spare)
{
	guint least = 0, most = room;

	*spare = room;
	while (least <= most) {
		guint share = least + (most - least) / 2;
		GHashTableIter each;
		guint64 taken = 0;
		gpointer count;

		g_hash_table_iter_init(&each, counts);
		while (g_hash_table_iter_next(&each, NULL, &count))
			taken += MIN(*(const guint *)count, share);
		if (taken <= room) {
			*spare = room - (guint)taken;
			least = share + 1;
		} else {
			most = share - 1;
		}
	}
	return least - 1;
}

/* The oldest of those kinds go that there are most of: what happens often pushes out what happens seldom nowhere. */
static void events_trim_by_kind(struct events *events)
{
	g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	guint share, spare;

	for (const GList *at = events->rows.head; at; at = at->next)
		++*kind_count(counts, at->data);
	share = kind_share(counts, events->limit, &spare);
	g_hash_table_remove_all(counts); /* from here on: of those that stay */
	for (GList *at = events->rows.tail, *older = NULL; at; at = older) {
		guint *stay = kind_count(counts, at->data);

		older = at->prev;
		if (*stay < share || spare > 0) {
			spare -= *stay < share ? 0 : 1;
			++*stay;
			continue;
		}
		event_free(at->data);
		g_queue_delete_link(&events->rows, at);
		events->forgotten++;
	}
}

void events_sort(struct events *events)
{
	g_queue_sort(&events->rows, event_by_time, NULL);
	if (g_queue_get_length(&events->rows) > events->limit)
		events_trim_by_kind(events);
}

static guint64 *flood_of(struct events *events, const char *container)
{
	struct event_flood flood = { 0 };

	for (guint i = 0; i < events->floods->len; i++) {
		struct event_flood *known = &g_array_index(events->floods, struct event_flood, i);

		if (g_strcmp0(known->container, container) == 0)
			return &known->events;
	}
	flood.container = g_strdup(container);
	g_array_append_val(events->floods, flood);
	return &g_array_index(events->floods, struct event_flood, events->floods->len - 1).events;
}

void events_flood(struct events *events, const char *container, guint64 count)
{
	if (count > 0)
		*flood_of(events, container) += count;
}

void events_merge(struct events *into, const struct events *from)
{
	for (const GList *at = from->rows.head; at; at = at->next)
		events_append(into, at->data);
	events_sort(into);
	into->forgotten += from->forgotten;
	for (guint i = 0; i < from->floods->len; i++) {
		const struct event_flood *flood = &g_array_index(from->floods, struct event_flood, i);

		events_flood(into, flood->container, flood->events);
	}
}

static guint event_hash(gconstpointer pointer)
{
	const struct event *event = pointer;

	return g_int64_hash(&event->realtime_ns) ^ event->pid * 31 ^ event->field_count;
}

static gboolean field_equal(const struct event_field *a, const struct event_field *b)
{
	if (a->unit != b->unit || g_strcmp0(a->name, b->name) != 0)
		return FALSE;
	if (a->unit == EVENT_TEXT)
		return g_strcmp0(a->text, b->text) == 0;
	return a->number == b->number &&
	       (a->unit != EVENT_LIST || a->number == 0 || memcmp(a->text, b->text, a->number) == 0);
}

static gboolean event_equal(gconstpointer left, gconstpointer right)
{
	const struct event *a = left, *b = right;

	if (a->realtime_ns != b->realtime_ns || a->pid != b->pid || a->tid != b->tid || a->inner_pid != b->inner_pid ||
	    a->field_count != b->field_count || g_strcmp0(a->kind, b->kind) != 0 ||
	    g_strcmp0(a->container, b->container) != 0 || g_strcmp0(a->process, b->process) != 0)
		return FALSE;
	for (guint32 i = 0; i < a->field_count; i++)
		if (!field_equal(&a->fields[i], &b->fields[i]))
			return FALSE;
	return TRUE;
}

struct events *events_diff(const struct events *before, const struct events *after)
{
	g_autoptr(GHashTable) known = g_hash_table_new(event_hash, event_equal);
	struct events *diff = events_new(after->limit);

	for (const GList *at = before->rows.head; at; at = at->next)
		g_hash_table_add(known, at->data);
	for (const GList *at = after->rows.head; at; at = at->next)
		if (!g_hash_table_contains(known, at->data))
			events_append(diff, at->data);
	diff->forgotten = after->forgotten > before->forgotten ? after->forgotten - before->forgotten : 0;
	for (guint i = 0; i < after->floods->len; i++) {
		const struct event_flood *flood = &g_array_index(after->floods, struct event_flood, i);
		guint64 earlier = 0;

		for (guint j = 0; j < before->floods->len; j++) {
			const struct event_flood *old = &g_array_index(before->floods, struct event_flood, j);

			if (g_strcmp0(old->container, flood->container) == 0)
				earlier = old->events;
		}
		events_flood(diff, flood->container, flood->events > earlier ? flood->events - earlier : 0);
	}
	return diff;
}
