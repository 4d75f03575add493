/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/usage_tasks.h"

#include <string.h>

#include "kernel/procfs.h"
#include "observe/usage_proc.h"

/* What a thread had at the last look. */
struct thread_seen {
	struct tasks_record record;
	guint32 serial;
};

struct process_seen;

struct usage_tasks {
	struct registry *registry;
	const GPtrArray *wanted; /* of containers; NULL: all */
	GHashTable *threads; /* tid → struct thread_seen */
	GHashTable *processes; /* tgid → struct process_seen */
	guint32 serial; /* of the look; never 0 while there is one */
	gboolean first; /* nothing is known of before */
	/* while reading */
	guint64 cgroup_key; /* 0: all */
	gboolean wants_threads;
	gboolean delay_accounting;
	struct gauges *changes;
	guint threads_met, processes_met;
};

struct usage_tasks *usage_tasks_new(struct registry *registry, const GPtrArray *wanted)
{
	struct usage_tasks *list = g_new0(struct usage_tasks, 1);

	list->registry = registry;
	list->wanted = wanted;
	list->threads = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	list->processes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	list->first = TRUE;
	return list;
}

void usage_tasks_free(struct usage_tasks *list)
{
	if (!list)
		return;
	g_hash_table_unref(list->threads);
	g_hash_table_unref(list->processes);
	g_free(list);
}

void usage_tasks_forget(struct usage_tasks *list)
{
	g_hash_table_remove_all(list->threads);
	g_hash_table_remove_all(list->processes);
	list->first = TRUE;
}

/* ---- differences ---- */

#define KEPT(gauge, member)                                                                                            \
	{                                                                                                              \
		gauge, G_STRUCT_OFFSET(struct tasks_record, member),                                                   \
			G_STRUCT_OFFSET(struct tasks_record, ended_##member)                                           \
	}
#define FORGOTTEN(gauge, member)                                                                                       \
	{                                                                                                              \
		gauge, G_STRUCT_OFFSET(struct tasks_record, member), 0                                                 \
	}

static const struct {
	enum gauge gauge;
	gsize offset;
	gsize ended; /* where the kernel keeps what ended threads had; 0: nowhere */
} counters[] = {
	KEPT(GAUGE_CPU, cpu_ns),
	KEPT(GAUGE_CPU_USER, user_ns),
	KEPT(GAUGE_CPU_SYSTEM, system_ns),
	FORGOTTEN(GAUGE_RUNQUEUE_WAIT, run_delay_ns),
	FORGOTTEN(GAUGE_DISK_WAIT, disk_delay_ns),
	KEPT(GAUGE_SWITCHES_VOLUNTARY, voluntary),
	KEPT(GAUGE_SWITCHES_INVOLUNTARY, involuntary),
	KEPT(GAUGE_FAULTS, faults),
	KEPT(GAUGE_FAULTS_MAJOR, major_faults),
	KEPT(GAUGE_IO_READ_BYTES, read_bytes),
	KEPT(GAUGE_IO_WRITE_BYTES, write_bytes),
};

/* What a process had, its ended threads included; 0 where the kernel forgets what ended threads had. */
struct process_seen {
	guint64 start_ns; /* of its leader; 0: not known */
	guint64 values[G_N_ELEMENTS(counters)];
	guint32 serial;
	guint32 row; /* in the changes of look `serial` */
};

static guint64 record_value(const struct tasks_record *record, gsize offset)
{
	return *(const guint64 *)((const char *)record + offset);
}

static gboolean counter_is_known(const struct usage_tasks *list, const struct tasks_record *record, guint i)
{
	return record_value(record, counters[i].offset) != TASKS_UNKNOWN &&
	       (counters[i].gauge != GAUGE_DISK_WAIT || list->delay_accounting);
}

/* What the thread did since `before`; with `before` NULL it was born since then. From the clocks of two CPUs a wait may
 * seem to shrink by a little. */
static guint64 counter_since(const struct tasks_record *now, const struct tasks_record *before, guint i)
{
	guint64 value = record_value(now, counters[i].offset);
	guint64 then = before ? record_value(before, counters[i].offset) : 0;

	return value > then ? value - then : 0;
}

static void thread_row_fill(struct usage_tasks *list, struct gauge_row *row, const struct tasks_record *now,
			    const struct tasks_record *before)
{
	for (guint i = 0; i < G_N_ELEMENTS(counters); i++)
		if (counter_is_known(list, now, i))
			gauge_set(row, counters[i].gauge, counter_since(now, before, i));
}

/* Sums up what the process's threads have, differences only where ended threads are forgotten. */
static void process_row_add(struct usage_tasks *list, struct gauge_row *row, const struct tasks_record *now,
			    const struct tasks_record *before)
{
	for (guint i = 0; i < G_N_ELEMENTS(counters); i++) {
		enum gauge gauge = counters[i].gauge;
		guint64 value =
			counters[i].ended ? record_value(now, counters[i].offset) : counter_since(now, before, i);

		if (!counter_is_known(list, now, i))
			continue;
		if (counters[i].ended && now->tid == now->tgid)
			value += record_value(now, counters[i].ended);
		gauge_set(row, gauge, row->values[gauge] + value);
	}
	gauge_set(row, GAUGE_THREADS, row->values[GAUGE_THREADS] + 1);
	if (now->tid == now->tgid) {
		gauge_set(row, GAUGE_MEMORY, now->rss_bytes);
		row->birth_ns = now->start_ns;
	}
}

/* Sums → differences. */
static void process_row_finish(struct usage_tasks *list, struct gauge_row *row)
{
	struct process_seen *seen = g_hash_table_lookup(list->processes, GUINT_TO_POINTER((guint32)row->key));
	gboolean is_same = seen->start_ns == row->birth_ns;

	seen->start_ns = row->birth_ns;
	for (guint i = 0; i < G_N_ELEMENTS(counters); i++) {
		enum gauge gauge = counters[i].gauge;
		guint64 then = is_same ? seen->values[i] : 0;

		seen->values[i] = row->values[gauge];
		if (list->first || (counters[i].ended && then > row->values[gauge]))
			gauge_forget(row, gauge);
		else if (counters[i].ended && gauge_is_known(row, gauge))
			row->values[gauge] -= then;
	}
}

/* The kernel measures CPU time exactly and splits it by ticks: the split follows the exact sum, as /proc does. */
static void row_scale_cpu(struct gauge_row *row)
{
	guint64 user = row->values[GAUGE_CPU_USER], system = row->values[GAUGE_CPU_SYSTEM], cpu;

	if (!gauge_get(row, GAUGE_CPU, &cpu))
		return;
	if (user + system == 0) {
		gauge_set(row, GAUGE_CPU_USER, cpu);
		gauge_set(row, GAUGE_CPU_SYSTEM, 0);
		return;
	}
	user = (guint64)((double)cpu * ((double)user / (double)(user + system)));
	gauge_set(row, GAUGE_CPU_USER, user);
	gauge_set(row, GAUGE_CPU_SYSTEM, cpu - user);
}

static struct gauge_row *row_new(struct usage_tasks *list, enum gauge_resource resource,
				 const struct tasks_record *record)
{
	char state[2] = { record->state, '\0' }, inner[16];
	struct gauge_row *row =
		gauges_add(list->changes, resource, resource == GAUGE_RESOURCE_PROCESS ? record->tgid : record->tid, 0,
			   record->comm);

	if (!row)
		return NULL;
	gauges_set_text(list->changes, row, GAUGE_TEXT_STATE, state);
	if (record->inner_tid) {
		g_snprintf(inner, sizeof(inner), "%u", record->inner_tid);
		gauges_set_text(list->changes, row, GAUGE_TEXT_INNER_PID, inner);
	}
	return row;
}

/* What is kept of thread or process `number`, made of zeros when it is new. */
static gpointer seen_get(GHashTable *seen, guint32 number, gsize bytes)
{
	gpointer one = g_hash_table_lookup(seen, GUINT_TO_POINTER(number));

	if (!one) {
		one = g_malloc0(bytes);
		g_hash_table_insert(seen, GUINT_TO_POINTER(number), one);
	}
	return one;
}

/* Index of the process's row; its first thread is its leader's, unless that has ended. */
static guint32 process_row(struct usage_tasks *list, const struct tasks_record *record)
{
	struct process_seen *seen = seen_get(list->processes, record->tgid, sizeof(*seen));
	const struct container *owner;
	struct gauge_row *row;

	if (seen->serial == list->serial)
		return seen->row;
	row = row_new(list, GAUGE_RESOURCE_PROCESS, record);
	if (!row)
		return GAUGE_NO_PARENT;
	owner = list->cgroup_key ? NULL : registry_by_cgroup(list->registry, record->cgroup_key);
	if (owner && container_is_container(owner))
		gauges_set_text(list->changes, row, GAUGE_TEXT_OWNER, owner->name);
	seen->serial = list->serial;
	seen->row = list->changes->rows->len - 1;
	list->processes_met++;
	return seen->row;
}

/* Whether what `owner` has is meant by `whom`: the host's are those of no container, in units and other cgroups, too. */
static gboolean is_meant(const struct container *owner, const struct container *whom)
{
	return owner == whom || (whom->runtime == RUNTIME_HOST && !container_is_container(owner));
}

static gboolean is_wanted(struct usage_tasks *list, guint64 cgroup_key)
{
	const struct container *owner, *whom;

	if (!list->cgroup_key && !list->wanted)
		return TRUE;
	owner = registry_by_cgroup(list->registry, cgroup_key);
	if (!owner)
		return FALSE;
	if (list->cgroup_key) {
		whom = registry_by_cgroup(list->registry, list->cgroup_key);
		return whom && is_meant(owner, whom);
	}
	for (guint i = 0; i < list->wanted->len; i++)
		if (is_meant(owner, g_ptr_array_index(list->wanted, i)))
			return TRUE;
	return FALSE;
}

static void thread_row(struct usage_tasks *list, const struct tasks_record *record, const struct tasks_record *before,
		       guint32 process)
{
	struct gauge_row *row = row_new(list, GAUGE_RESOURCE_THREAD, record);

	if (!row)
		return;
	row->parent = process;
	row->birth_ns = record->start_ns;
	if (list->first)
		return;
	thread_row_fill(list, row, record, before);
	row_scale_cpu(row);
}

void usage_tasks_take(void *opaque, const struct tasks_record *record)
{
	struct usage_tasks *list = opaque;
	const struct tasks_record *before;
	struct thread_seen *seen;
	guint32 process;

	if (record->state == 'Z' || !is_wanted(list, record->cgroup_key))
		return;
	process = process_row(list, record);
	if (process == GAUGE_NO_PARENT)
		return;
	seen = seen_get(list->threads, record->tid, sizeof(*seen));
	before = seen->serial && seen->record.start_ns == record->start_ns ? &seen->record : NULL;
	if (list->wants_threads)
		thread_row(list, record, before, process);
	process_row_add(list, gauges_row(list->changes, process), record, before);
	seen->record = *record;
	seen->serial = list->serial;
	list->threads_met++;
}

static gboolean is_stale_thread(gpointer key, gpointer value, gpointer user)
{
	(void)key;
	return ((const struct thread_seen *)value)->serial != ((const struct usage_tasks *)user)->serial;
}

static gboolean is_stale_process(gpointer key, gpointer value, gpointer user)
{
	(void)key;
	return ((const struct process_seen *)value)->serial != ((const struct usage_tasks *)user)->serial;
}

void usage_tasks_begin(struct usage_tasks *list, guint64 cgroup_key, gboolean threads, struct gauges *changes)
{
	if (cgroup_key != list->cgroup_key)
		usage_tasks_forget(list);
	list->cgroup_key = cgroup_key;
	list->wants_threads = threads;
	list->delay_accounting = procfs_delay_accounting(registry_root(list->registry));
	list->changes = changes;
	list->serial = MAX(list->serial + 1, 1);
	list->threads_met = list->processes_met = 0;
	gauges_clear(changes);
}

void usage_tasks_end(struct usage_tasks *list)
{
	if (g_hash_table_size(list->threads) != list->threads_met)
		g_hash_table_foreach_remove(list->threads, is_stale_thread, list);
	for (guint32 i = 0; i < list->changes->rows->len; i++) {
		struct gauge_row *row = gauges_row(list->changes, i);

		if (row->resource != GAUGE_RESOURCE_PROCESS)
			continue;
		process_row_finish(list, row);
		row_scale_cpu(row);
	}
	if (g_hash_table_size(list->processes) != list->processes_met)
		g_hash_table_foreach_remove(list->processes, is_stale_process, list);
	list->first = FALSE;
}

gboolean usage_tasks_read(struct usage_tasks *list, struct tasks *tasks, guint64 cgroup_key, gboolean threads,
			  struct gauges *changes, GError **error)
{
	usage_tasks_begin(list, cgroup_key, threads, changes);
	if (!tasks)
		usage_proc_list(list->registry, cgroup_key, usage_tasks_take, list);
	else if (!tasks_list(tasks, usage_tasks_take, list, error))
		return FALSE;
	usage_tasks_end(list);
	return TRUE;
}
