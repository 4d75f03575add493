/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/happen.h"

#include <string.h>

#include "base/clock.h"
#include "observe/device.h"

struct happen {
	struct registry *registry;
	struct shape *shape;
	happen_fn each;
	void *user;
	GHashTable *devices; /* number → name */
	guint64 epoch_ns; /* realtime of monotonic 0 */
	struct probe_listener listener;
};

static gboolean path_is_above(const char *above, const char *path)
{
	gsize length = strlen(above);

	return strcmp(above, "/") == 0 || (strncmp(above, path, length) == 0 && path[length] == '/');
}

/* The container whose cgroup is at `path`, or the outermost above it; the dead are known, too. */
static const struct container *happen_by_path(struct happen *happen, const char *path)
{
	const struct container *found = registry_by_path(happen->registry, path);
	g_autoptr(GPtrArray) all = NULL;

	if (found)
		return found;
	all = registry_list(happen->registry);
	for (guint i = 0; i < all->len; i++) {
		const struct container *container = g_ptr_array_index(all, i);

		if (container->cgroup &&
		    (strcmp(container->cgroup, path) == 0 ||
		     (strcmp(container->cgroup, "/") != 0 && path_is_above(container->cgroup, path))))
			return container;
	}
	return NULL;
}

/* By cgroup key; what is in no container and no unit is the host's. */
static const struct container *happen_by_key(struct happen *happen, guint64 cgroup_key)
{
	const struct container *owner = registry_by_cgroup(happen->registry, cgroup_key);

	return owner && owner->runtime == RUNTIME_CGROUP ? registry_host(happen->registry) : owner;
}

static const struct container *happen_owner(struct happen *happen, const struct probe_field *field)
{
	const struct container *owner = happen_by_key(happen, field->cgroup_key);

	if ((!owner || field->cgroup_key & CGROUP_KEY_V1) && field->field.text)
		owner = happen_by_path(happen, field->field.text);
	return owner;
}

/* Where the cgroup of `field` stands to `own`. NULL when that cannot be told. */
static const char *happen_scope(struct happen *happen, const struct probe_field *field, const struct container *own)
{
	const struct container *owner;

	if (field->cgroup_key == 0)
		return "host";
	owner = happen_owner(happen, field);
	if (owner && owner == own)
		return "container";
	if (field->field.text && own && own->cgroup && path_is_above(field->field.text, own->cgroup))
		return "ancestor";
	return owner && own && owner->cgroup && own->cgroup && path_is_above(owner->cgroup, own->cgroup) ? "ancestor"
													 : "other";
}

static const char *happen_device(struct happen *happen, guint64 number)
{
	char *name = g_hash_table_lookup(happen->devices, GUINT_TO_POINTER((guint)number));

	if (!name) {
		name = device_name(number);
		g_hash_table_insert(happen->devices, GUINT_TO_POINTER((guint)number), name);
	}
	return name;
}

static void happen_field(struct happen *happen, const struct probe_field *field, const struct container *own,
			 struct event_field *named)
{
	const struct container *owner;

	*named = field->field;
	if (field->owner == PROBE_OWNER_DEVICE) {
		named->text = happen_device(happen, field->field.number);
	} else if (field->owner == PROBE_OWNER_SCOPE) {
		named->text = happen_scope(happen, field, own);
	} else if (field->owner == PROBE_OWNER_NAME) {
		owner = happen_owner(happen, field);
		/* A cgroup that is nobody's says more by its path than "host" would. */
		if (owner && (container_is_container(owner) || !field->field.text))
			named->text = owner->name;
	}
}

static void happen_event(void *user, const struct probe_event *told)
{
	struct happen *happen = user;
	const struct container *own = happen_by_key(happen, told->task->cgroup_key);
	struct event_field fields[EVENT_FIELDS_MAX];
	struct event event = {
		.realtime_ns = happen->epoch_ns + told->time_ns,
		.container = own ? own->name : NULL,
		.process = told->task->comm[0] ? told->task->comm : NULL,
		.kind = told->kind,
		.pid = told->task->tgid,
		.tid = told->task->tid,
		.inner_pid = told->inner_pid,
		.fields = fields,
	};
	const struct event *kept;

	for (guint i = 0; i < told->field_count && i < EVENT_FIELDS_MAX; i++)
		happen_field(happen, &told->fields[i], own, &fields[event.field_count++]);
	if (!own)
		ledger_add(&happen->shape->ledger, LEDGER_LOST_UNATTRIBUTED, 1, 1);
	kept = events_add(happen->shape->events, &event);
	if (happen->each)
		happen->each(happen->user, kept ? kept : &event);
}

static void happen_flood(void *user, guint64 cgroup_key, guint64 events)
{
	struct happen *happen = user;
	const struct container *owner = happen_by_key(happen, cgroup_key);

	events_flood(happen->shape->events, owner ? owner->name : NULL, events);
}

static void happen_cgroup_born(void *user, guint64 cgroup_key, const char *path)
{
	registry_note_birth(((struct happen *)user)->registry, cgroup_key, path);
}

static void happen_cgroup_died(void *user, guint64 cgroup_key)
{
	registry_note_death(((struct happen *)user)->registry, cgroup_key);
}

void happen_into(struct happen *happen, struct shape *shape)
{
	happen->shape = shape;
}

struct happen *happen_new(struct registry *registry, happen_fn each, void *user)
{
	struct happen *happen = g_new0(struct happen, 1);

	happen->registry = registry;
	happen->devices = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	happen->each = each;
	happen->user = user;
	happen->epoch_ns = clock_realtime_ns() - clock_monotonic_ns();
	happen->listener = (struct probe_listener){
		.user = happen,
		.event = happen_event,
		.flood = happen_flood,
		.cgroup_born = happen_cgroup_born,
		.cgroup_died = happen_cgroup_died,
	};
	return happen;
}

void happen_free(struct happen *happen)
{
	if (!happen)
		return;
	g_hash_table_unref(happen->devices);
	g_free(happen);
}

const struct probe_listener *happen_listener(struct happen *happen)
{
	return &happen->listener;
}
