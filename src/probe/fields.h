/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of an event, one after the other; names of numbers that mean something. */
#pragma once
#include "probe/probe.h"

struct fields {
	struct probe_field each[EVENT_FIELDS_MAX];
	guint count;
};

/* The next field, to be filled. */
struct probe_field *field_add(struct fields *fields, const char *name, enum event_unit unit);
/* A text that outlives the event; NULL: not known, no field. */
void field_text(struct fields *fields, const char *name, const char *text);
void field_number(struct fields *fields, const char *name, enum event_unit unit, guint64 number);
/* A cgroup, by key, and by path where that may be known when the key is not. */
void field_owner(struct fields *fields, const char *name, enum probe_owner owner, guint64 key, const char *path);

/* "ENOENT", "SIGKILL"; the number when it has no name. Owned by the caller. */
char *name_errno(int number);
char *name_signal(int number);
