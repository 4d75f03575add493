/* SPDX-License-Identifier: Apache-2.0 */
/* Events read back (render/json_events.c writes them). A field's unit is told by its name's ending and its JSON type. */
#include <string.h>

#include "import/capture.h"

#define CAPTURE_FLOODS_MAX 10000
#define CAPTURE_LIST_MAX 4096

/* What an event is made of while it is read. */
struct draft {
	struct event event;
	struct event_field fields[EVENT_FIELDS_MAX];
	GPtrArray *strings; /* of char *, owned */
};

static gboolean draft_signed(struct pull *pull, struct event_field *field, GError **error)
{
	guint64 magnitude;

	input_skip(pull->input, 1); /* the sign */
	field->unit = EVENT_SIGNED;
	if (!pull_uint(pull, &magnitude, error))
		return FALSE;
	if (magnitude > G_MAXINT64)
		return pull_fail(pull, error, "a number is too small");
	field->number = -magnitude;
	return TRUE;
}

static gboolean draft_list(struct pull *pull, struct draft *draft, struct event_field *field, GError **error)
{
	GString *list = g_string_new(NULL);
	g_autofree char *one = NULL;
	guint count = 0;
	int more = -1;

	field->unit = EVENT_LIST;
	if (pull_begin(pull, '[', error)) {
		while ((more = pull_element(pull, error)) > 0) {
			if (!capture_bytes(pull, &one, error) ||
			    (++count > CAPTURE_LIST_MAX && !pull_fail(pull, error, "a list is too long")))
				break;
			g_string_append_len(list, one ? one : "", one ? (gssize)strlen(one) + 1 : 1);
		}
	}
	field->number = list->len;
	field->text = g_string_free(list, FALSE);
	g_ptr_array_add(draft->strings, (gpointer)field->text);
	return more == 0;
}

/* A name as text owned by the draft. */
static gboolean draft_text(struct pull *pull, struct draft *draft, const char **text, GError **error)
{
	char *bytes = NULL;

	if (!capture_bytes(pull, &bytes, error))
		return FALSE;
	if (bytes)
		g_ptr_array_add(draft->strings, bytes);
	*text = bytes;
	return TRUE;
}

static gboolean draft_pid(struct pull *pull, guint32 *pid, GError **error)
{
	guint64 number;

	if (!pull_uint(pull, &number, error))
		return FALSE;
	*pid = (guint32)MIN(number, G_MAXUINT32);
	return TRUE;
}

static gboolean draft_field(struct pull *pull, struct draft *draft, GError **error)
{
	char *name = g_strdup(pull->text->str);
	int next = pull_next(pull, error);
	struct event_field *field;

	g_ptr_array_add(draft->strings, name);
	if (next < 0)
		return FALSE;
	if (draft->event.field_count == EVENT_FIELDS_MAX)
		return pull_fail(pull, error, "an event has too many fields");
	field = &draft->fields[draft->event.field_count++];
	*field = (struct event_field){ .name = name };
	if (next == '[')
		return draft_list(pull, draft, field, error);
	if (next == '-')
		return draft_signed(pull, field, error);
	if (!g_ascii_isdigit(next))
		return draft_text(pull, draft, &field->text, error);
	field->unit = EVENT_COUNT;
	if (g_str_has_suffix(name, "_ns"))
		field->unit = EVENT_NANOSECONDS;
	else if (g_str_has_suffix(name, "_bytes"))
		field->unit = EVENT_BYTES;
	if (field->unit != EVENT_COUNT)
		*strrchr(name, '_') = '\0';
	return pull_uint(pull, &field->number, error);
}

/* pull_each_fn */
static gboolean draft_member(struct pull *pull, void *user, GError **error)
{
	struct draft *draft = user;
	const char *key = pull->text->str;
	struct event *event = &draft->event;

	if (strcmp(key, "time") == 0)
		return pull_skip(pull, error);
	if (strcmp(key, "realtime_ns") == 0)
		return pull_uint(pull, &event->realtime_ns, error);
	if (strcmp(key, "kind") == 0)
		return draft_text(pull, draft, &event->kind, error);
	if (strcmp(key, "container") == 0)
		return draft_text(pull, draft, &event->container, error);
	if (strcmp(key, "process") == 0)
		return draft_text(pull, draft, &event->process, error);
	if (strcmp(key, "pid") == 0)
		return draft_pid(pull, &event->pid, error);
	if (strcmp(key, "tid") == 0)
		return draft_pid(pull, &event->tid, error);
	if (strcmp(key, "inner_pid") == 0)
		return draft_pid(pull, &event->inner_pid, error);
	return draft_field(pull, draft, error);
}

/* pull_each_fn */
static gboolean capture_event(struct pull *pull, void *user, GError **error)
{
	struct events *events = user;
	g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
	struct draft draft = { .strings = strings };

	if (!pull_object(pull, draft_member, &draft, error))
		return FALSE;
	if (g_queue_get_length(&events->rows) >= EVENTS_LIMIT_MAX)
		return pull_fail(pull, error, "there are too many events");
	draft.event.fields = draft.fields;
	events_append(events, &draft.event);
	return TRUE;
}

struct flood {
	char *container;
	guint64 count;
};

/* pull_each_fn */
static gboolean flood_member(struct pull *pull, void *user, GError **error)
{
	struct flood *flood = user;

	if (strcmp(pull->text->str, "container") == 0)
		return capture_bytes(pull, &flood->container, error);
	if (strcmp(pull->text->str, "events") == 0)
		return pull_uint(pull, &flood->count, error);
	return pull_skip(pull, error);
}

/* pull_each_fn */
static gboolean capture_flood(struct pull *pull, void *user, GError **error)
{
	struct events *events = user;
	struct flood flood = { 0 };
	gboolean good = pull_object(pull, flood_member, &flood, error);

	if (good && events->floods->len >= CAPTURE_FLOODS_MAX)
		good = pull_fail(pull, error, "there are too many floods");
	if (good)
		events_flood(events, flood.container, flood.count);
	g_free(flood.container);
	return good;
}

gboolean capture_events_member(struct pull *pull, struct events *events, GError **error)
{
	const char *key = pull->text->str;
	guint64 limit;

	if (strcmp(key, "forgotten") == 0)
		return pull_uint(pull, &events->forgotten, error);
	if (strcmp(key, "floods") == 0)
		return pull_array(pull, capture_flood, events, error);
	if (strcmp(key, "events") == 0)
		return pull_array(pull, capture_event, events, error);
	if (strcmp(key, "limit") != 0)
		return pull_skip(pull, error);
	if (!pull_uint(pull, &limit, error))
		return FALSE;
	events->limit = (guint)CLAMP(limit, 1, EVENTS_LIMIT_MAX);
	return TRUE;
}
