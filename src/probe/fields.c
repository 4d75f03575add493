/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/fields.h"

#include <signal.h>
#include <string.h>

struct probe_field *field_add(struct fields *fields, const char *name, enum event_unit unit)
{
	struct probe_field *field = &fields->each[MIN(fields->count, EVENT_FIELDS_MAX - 1)];

	fields->count = MIN(fields->count + 1, EVENT_FIELDS_MAX);
	*field = (struct probe_field){ .field = { .name = name, .unit = unit } };
	return field;
}

void field_text(struct fields *fields, const char *name, const char *text)
{
	if (text)
		field_add(fields, name, EVENT_TEXT)->field.text = text;
}

void field_number(struct fields *fields, const char *name, enum event_unit unit, guint64 number)
{
	field_add(fields, name, unit)->field.number = number;
}

void field_owner(struct fields *fields, const char *name, enum probe_owner owner, guint64 key, const char *path)
{
	struct probe_field *field = field_add(fields, name, EVENT_TEXT);

	field->owner = owner;
	field->cgroup_key = key;
	field->field.text = path;
}

char *name_errno(int number)
{
	const char *name = strerrorname_np(number);

	return name ? g_strdup(name) : g_strdup_printf("%d", number);
}

char *name_signal(int number)
{
	const char *name = sigabbrev_np(number);

	if (name)
		return g_strdup_printf("SIG%s", name);
	if (number >= SIGRTMIN && number <= SIGRTMAX)
		return g_strdup_printf("SIGRTMIN+%d", number - SIGRTMIN);
	return g_strdup_printf("%d", number);
}
