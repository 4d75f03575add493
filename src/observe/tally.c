/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tally.h"

#include <string.h>

#include "kernel/cgstat.h"
#include "kernel/syscalls.h"
#include "observe/device.h"

struct tally {
	struct registry *registry;
	const struct probe *probe;
	enum observe_by by;
	struct shape *shape;
	guint32 slot;
	GHashTable *devices; /* number → name */
	GHashTable *limits; /* path of a cgroup → struct cglimits, as they were found for this shape */
	struct remotes *remotes; /* NULL: each address is itself */
	GStringChunk *names; /* made of a container's and a process's */
	tally_wants_fn wants; /* NULL: all pairs */
	const void *wants_user;
	struct probe_listener listener;
};

/* The label that keeps apart what --by asks for; NULL: containers only. */
static const char *tally_by_label(enum observe_by by)
{
	switch (by) {
	case OBSERVE_BY_PROCESS:
	case OBSERVE_BY_THREAD:
	case OBSERVE_BY_PID:
		return "process";
	case OBSERVE_BY_PIDNS:
		return "pidns";
	case OBSERVE_BY_CGROUP:
		return "cgroup";
	case OBSERVE_BY_CONTAINER:
	case OBSERVE_BY_POD:
	case OBSERVE_BY_IMAGE:
		break;
	}
	return NULL;
}

/* What somebody in no container is called: all of that is the host. */
static const struct container *tally_owner(struct tally *tally, guint64 cgroup_key)
{
	const struct container *owner = registry_by_cgroup(tally->registry, cgroup_key);

	if (owner && owner->runtime == RUNTIME_CGROUP)
		return registry_host(tally->registry);
	return owner;
}

static const char *tally_owner_name(struct tally *tally, guint64 cgroup_key)
{
	const struct container *owner = tally_owner(tally, cgroup_key);

	return owner ? owner->name : "[cgroup gone before it was named]";
}

static const char *tally_device(struct tally *tally, guint64 number)
{
	char *name = g_hash_table_lookup(tally->devices, GUINT_TO_POINTER((guint)number));

	if (!name) {
		name = device_name(number);
		g_hash_table_insert(tally->devices, GUINT_TO_POINTER((guint)number), name);
	}
	return name;
}

/* Names of the probe's own labels into `values`; what must be made is kept in `made`. */
static void tally_values(struct tally *tally, const struct probe_value *given, const char **values, GPtrArray *made)
{
	const struct probe_label *labels = tally->probe->labels;

	for (guint i = 0; labels && labels[i].name; i++) {
		switch (labels[i].kind) {
		case PROBE_LABEL_TEXT:
			values[i] = given[i].text;
			break;
		case PROBE_LABEL_DEVICE:
			values[i] = given[i].number == PROBE_NO_NUMBER ? NULL : tally_device(tally, given[i].number);
			break;
		case PROBE_LABEL_SYSCALL:
			if (given[i].number == PROBE_NO_NUMBER)
				break;
			values[i] = syscall_name(given[i].number);
			if (values[i])
				break;
			g_ptr_array_add(made, g_strdup_printf("%" G_GUINT64_FORMAT, given[i].number));
			values[i] = g_ptr_array_index(made, made->len - 1);
			break;
		case PROBE_LABEL_OWNER:
			values[i] = given[i].number == PROBE_NO_NUMBER ? given[i].text
								       : tally_owner_name(tally, given[i].number);
			break;
		}
	}
}

static char *tally_by_value(struct tally *tally, const struct probe_bucket *bucket, const struct container *owner)
{
	const char *comm = bucket->task->comm[0] ? bucket->task->comm : "[no name]";

	switch (tally->by) {
	case OBSERVE_BY_PROCESS:
		return g_strdup(comm);
	case OBSERVE_BY_THREAD:
	case OBSERVE_BY_PID:
		return g_strdup_printf("%s (%u)", comm, bucket->task->tgid);
	case OBSERVE_BY_PIDNS:
		return g_strdup_printf("%" G_GUINT64_FORMAT, bucket->pidns);
	case OBSERVE_BY_CGROUP:
		return g_strdup(owner && owner->cgroup ? owner->cgroup : "/");
	case OBSERVE_BY_CONTAINER:
	case OBSERVE_BY_POD:
	case OBSERVE_BY_IMAGE:
		break;
	}
	return NULL;
}

static gboolean tally_wants_owner(struct tally *tally, guint64 cgroup_key)
{
	const struct container *owner = tally_owner(tally, cgroup_key);

	return owner && tally->wants(tally->wants_user, owner);
}

/* Probes that know of two parties count for the whole machine: here it is chosen. */
static gboolean tally_wants_bucket(struct tally *tally, const struct probe_bucket *bucket)
{
	const struct probe_label *labels = tally->probe->labels;

	for (guint i = 0; tally->wants && labels && labels[i].name; i++)
		if (labels[i].kind == PROBE_LABEL_OWNER)
			return tally_wants_owner(tally, bucket->task->cgroup_key) ||
			       (bucket->values[i].number != PROBE_NO_NUMBER &&
				tally_wants_owner(tally, bucket->values[i].number));
	return TRUE;
}

/* probe_listener.bucket */
static void tally_bucket(void *user, const struct probe_bucket *bucket)
{
	struct tally *tally = user;
	const struct container *owner = tally_owner(tally, bucket->task->cgroup_key);
	g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
	const char *values[HISTOGRAM_LABELS_MAX] = { NULL };
	guint at = 1;

	if (!tally_wants_bucket(tally, bucket))
		return;
	values[0] = owner ? owner->name : "[cgroup gone before it was named]";
	if (!owner)
		ledger_add(&tally->shape->ledger, LEDGER_LOST_UNATTRIBUTED, bucket->counts->count, bucket->counts->sum);
	if (tally_by_label(tally->by)) {
		g_ptr_array_add(made, tally_by_value(tally, bucket, owner));
		values[at++] = g_ptr_array_index(made, 0);
	}
	tally_values(tally, bucket->values, values + at, made);
	histogram_add(tally->shape->histogram, values, tally->slot, bucket->counts);
}

/* What one end is called, by what is kept apart. */
static const char *tally_end_name(struct tally *tally, const struct container *owner, const char *process)
{
	g_autofree char *both = NULL;

	if (tally->by == OBSERVE_BY_POD && owner->pod)
		return owner->pod;
	if (tally->by == OBSERVE_BY_IMAGE && owner->image)
		return owner->image;
	if (tally->by == OBSERVE_BY_PROCESS && process && process[0]) {
		both = g_strdup_printf("%s (%s)", owner->name, process);
		return g_string_chunk_insert_const(tally->names, both);
	}
	return owner->name;
}

static struct edge_end tally_end(struct tally *tally, const struct probe_end *end)
{
	static const char *const usual[EDGE_END_KINDS] = { NULL,	"host",	   "its own limit",
							   "not known", "outside", "outside" };
	const struct container *owner;

	if (end->kind != EDGE_END_CONTAINER)
		return (struct edge_end){ .kind = end->kind, .name = end->text ? end->text : usual[end->kind] };
	owner = tally_owner(tally, end->cgroup_key);
	if (!owner)
		return (struct edge_end){ .kind = EDGE_END_UNKNOWN, .name = "cgroup gone before it was named" };
	return (struct edge_end){ .kind = owner->runtime == RUNTIME_HOST ? EDGE_END_HOST : EDGE_END_CONTAINER,
				  .name = tally_end_name(tally, owner, end->process) };
}

static gboolean tally_is_limited(struct tally *tally, const char *path, gboolean memory)
{
	struct cglimits *limits = g_hash_table_lookup(tally->limits, path);

	if (!limits) {
		limits = g_new(struct cglimits, 1);
		cglimits_read(registry_cgroupfs(tally->registry), path, limits);
		g_hash_table_insert(tally->limits, g_strdup(path), limits);
	}
	if (memory && limits->memory_high_bytes < CGSTAT_UNLIMITED)
		return TRUE;
	return (memory ? limits->memory_bytes : limits->cpu_nanocores) < CGSTAT_UNLIMITED;
}

/* A limit at which somebody waited may be one of a cgroup above his own: the kernel does not tell which, so all those are named
 * that there are. The tally's; NULL: his own, as far as is known. */
static const char *tally_limit_name(struct tally *tally, guint64 cgroup_key, gboolean memory)
{
	const struct container *owner = tally_owner(tally, cgroup_key);
	const char *what = memory ? "memory limit" : "CPU quota";
	g_autoptr(GString) name = g_string_new(NULL);
	g_autofree char *path = owner ? g_strdup(owner->cgroup) : NULL;

	if (!registry_cgroupfs(tally->registry) || !path)
		return NULL;
	if (tally_is_limited(tally, path, memory))
		g_string_printf(name, "its own %s", what);
	for (char *slash = strrchr(path, '/'); slash && slash > path; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (!tally_is_limited(tally, path, memory))
			continue;
		if (name->len)
			g_string_append_printf(name, " or that of %s", path);
		else
			g_string_printf(name, "%s of %s", what, path);
	}
	return name->len ? g_string_chunk_insert_const(tally->names, name->str) : NULL;
}

static void tally_limit(struct tally *tally, struct edge_end *end, const struct probe_pair *pair)
{
	gboolean memory = g_strcmp0(pair->values[0].text, "memory") == 0;
	const char *name;

	if (end->kind != EDGE_END_QUOTA || pair->source.kind != EDGE_END_CONTAINER)
		return;
	name = tally_limit_name(tally, pair->source.cgroup_key, memory);
	if (name)
		end->name = name;
}

/* One outside this machine, as the other end knows it. */
static void tally_group(struct tally *tally, struct edge_end *end, const struct probe_end *other)
{
	gboolean told;

	if (!tally->remotes || end->kind != EDGE_END_EXTERNAL || other->kind != EDGE_END_CONTAINER)
		return;
	end->name = remotes_name(tally->remotes, other->cgroup_key, end->name, &told);
	if (told)
		end->kind = EDGE_END_TOLD;
}

static gboolean tally_wants(struct tally *tally, const struct probe_end *end)
{
	return end->kind == EDGE_END_CONTAINER && tally_wants_owner(tally, end->cgroup_key);
}

/* probe_listener.pair */
static void tally_pair(void *user, const struct probe_pair *pair)
{
	struct tally *tally = user;
	struct edges *edges = tally->shape->edges;
	g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
	const char *values[EDGES_LABELS_MAX] = { NULL };
	struct edge_end source = tally_end(tally, &pair->source), target = tally_end(tally, &pair->target);
	struct edge *edge;

	if (tally->wants && !tally_wants(tally, &pair->source) && !tally_wants(tally, &pair->target))
		return;
	tally_group(tally, &source, &pair->target);
	tally_group(tally, &target, &pair->source);
	tally_limit(tally, &target, pair);
	tally_values(tally, pair->values, values, made);
	edge = edges_add(edges, &source, &target, values);
	for (guint i = 0; i < edges->counter_count; i++)
		edge_count(edge, i, pair->counters[i]);
	for (guint i = 0; pair->histograms && i < edges->histogram_count; i++)
		if (pair->histograms[i])
			edge_histogram_add(edge, i, pair->histograms[i]);
}

static void tally_cgroup_born(void *user, guint64 cgroup_key, const char *path)
{
	registry_note_birth(((struct tally *)user)->registry, cgroup_key, path);
}

static void tally_cgroup_died(void *user, guint64 cgroup_key)
{
	registry_note_death(((struct tally *)user)->registry, cgroup_key);
}

struct tally *tally_new(struct registry *registry, const struct probe *probe, enum observe_by by,
			const struct remotes_how *remotes)
{
	struct tally *tally = g_new0(struct tally, 1);

	tally->registry = registry;
	tally->probe = probe;
	tally->by = by;
	tally->devices = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	tally->limits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	tally->names = g_string_chunk_new(1024);
	if (remotes->by != REMOTES_BY_ADDRESS)
		tally->remotes = remotes_new(registry, remotes);
	tally->listener = (struct probe_listener){
		.user = tally,
		.bucket = tally_bucket,
		.pair = tally_pair,
		.cgroup_born = tally_cgroup_born,
		.cgroup_died = tally_cgroup_died,
	};
	return tally;
}

void tally_free(struct tally *tally)
{
	if (!tally)
		return;
	g_hash_table_unref(tally->devices);
	g_hash_table_unref(tally->limits);
	g_string_chunk_free(tally->names);
	remotes_free(tally->remotes);
	g_free(tally);
}

void tally_into(struct tally *tally, struct shape *shape, guint64 slot_ns)
{
	const char *labels[HISTOGRAM_LABELS_MAX + 1] = { NULL };
	guint count = 0;

	tally->shape = shape;
	tally->slot = 0;
	g_hash_table_remove_all(tally->limits);
	if (shape->kind == SHAPE_HISTOGRAM) {
		labels[count++] = "container";
		if (tally_by_label(tally->by))
			labels[count++] = tally_by_label(tally->by);
	}
	for (const struct probe_label *label = tally->probe->labels;
	     label && label->name && count < HISTOGRAM_LABELS_MAX; label++)
		labels[count++] = label->name;
	if (shape->kind == SHAPE_HISTOGRAM) {
		shape->histogram = histogram_new(labels);
		shape->histogram->slot_ns = slot_ns;
	} else if (shape->kind == SHAPE_EDGES) {
		shape->edges = edges_new(labels, tally->probe->counters, tally->probe->histograms);
	}
}

void tally_only(struct tally *tally, tally_wants_fn wants, const void *user)
{
	tally->wants = wants;
	tally->wants_user = user;
}

void tally_slot(struct tally *tally, guint32 slot)
{
	tally->slot = slot;
}

struct remotes *tally_remotes(struct tally *tally)
{
	return tally->remotes;
}

const struct probe_listener *tally_listener(struct tally *tally)
{
	return &tally->listener;
}
