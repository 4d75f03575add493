/* SPDX-License-Identifier: Apache-2.0 */
/* Events in JSON: one flat object each, the same in a stream (one a line) and in a capture. A field's name carries its
 * unit ("latency_ns", "limit_bytes"); what is not known is left out. "time" is for people: readers take
 * "realtime_ns". */
#include "base/units.h"
#include "render/json.h"

static void json_time(struct json_writer *json, guint64 realtime_ns)
{
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc((gint64)(realtime_ns / NS_PER_S));
	g_autofree char *second = when ? g_date_time_format(when, "%Y-%m-%dT%H:%M:%S") : NULL;
	g_autofree char *text = NULL;

	if (second)
		text = g_strdup_printf("%s.%06uZ", second, (guint)(realtime_ns % NS_PER_S / NS_PER_US));
	json_string(json, "time", text);
	json_uint(json, "realtime_ns", realtime_ns);
}

static void json_list(struct json_writer *json, const struct event_field *field)
{
	json_begin_array(json, field->name);
	for (const char *at = event_list_next(field, NULL); at; at = event_list_next(field, at))
		json_bytes(json, NULL, at);
	json_end_array(json);
}

static void json_field(struct json_writer *json, const struct event_field *field)
{
	g_autofree char *key = NULL;

	switch (field->unit) {
	case EVENT_TEXT:
		json_bytes(json, field->name, field->text);
		break;
	case EVENT_COUNT:
		json_uint(json, field->name, field->number);
		break;
	case EVENT_NANOSECONDS:
	case EVENT_BYTES:
		key = g_strconcat(field->name, field->unit == EVENT_BYTES ? "_bytes" : "_ns", NULL);
		json_uint(json, key, field->number);
		break;
	case EVENT_SIGNED:
		json_int(json, field->name, (gint64)field->number);
		break;
	case EVENT_LIST:
		json_list(json, field);
		break;
	case EVENT_UNITS:
		break;
	}
}

static void json_pid(struct json_writer *json, const char *key, guint32 pid)
{
	if (pid)
		json_uint(json, key, pid);
}

void json_event(struct json_writer *json, const struct event *event)
{
	json_begin_object(json, NULL);
	json_time(json, event->realtime_ns);
	json_bytes(json, "kind", event->kind);
	if (event->container)
		json_bytes(json, "container", event->container);
	if (event->process)
		json_bytes(json, "process", event->process);
	json_pid(json, "pid", event->pid);
	json_pid(json, "tid", event->tid);
	json_pid(json, "inner_pid", event->inner_pid);
	for (guint32 i = 0; i < event->field_count; i++)
		json_field(json, &event->fields[i]);
	json_end_object(json);
}

void json_events(struct json_writer *json, const struct events *events, FILE *out)
{
	json_uint(json, "limit", events->limit);
	json_uint(json, "forgotten", events->forgotten);
	json_begin_array(json, "floods");
	for (guint i = 0; i < events->floods->len; i++) {
		const struct event_flood *flood = &g_array_index(events->floods, struct event_flood, i);

		json_begin_object(json, NULL);
		json_bytes(json, "container", flood->container);
		json_uint(json, "events", flood->events);
		json_end_object(json);
	}
	json_end_array(json);
	json_begin_array(json, "events");
	for (const GList *at = events->rows.head; at; at = at->next) {
		json_event(json, at->data);
		json_flush(json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(json);
}
