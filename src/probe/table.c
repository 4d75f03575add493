/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/table.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/histogram.h"
#include "probe/births.h"
#include "probe/filter.h"
#include "probe/losses.h"
#include "probe/mapview.h"
#include "probe/parttime.h"

#define TABLE_ROWS_BY_CONTAINER 2048
#define TABLE_ROWS_BY_PROCESS 8192
#define TABLE_ROWS_MIN 64
#define TABLE_ROWS_FRUGAL_MIN 256
#define TABLE_ROWS_FRUGAL_MAX 1024
#define TABLE_BYTES_FRUGAL (2u << 20)
/* When more than this share of the rows is in use, those that nothing was added to are taken back. */
#define TABLE_CROWDED(used, rows) ((used) > (rows) / 4 * 3)
#define TABLE_IDLE_COLLECTS 3
/* Who watches for ever takes them back after so many in any case: what is not touched is not resident. */
#define TABLE_IDLE_FRUGAL 60

G_STATIC_ASSERT(HISTOGRAM_CELLS == HISTOGRAM_BUCKETS);

/* What has been handed out of a row, and whether it is on its way out. */
struct table_row {
	struct histogram_counts *told; /* one for each class; NULL: nothing yet */
	guint16 idle; /* collects without news */
	guint16 retired; /* the key is deleted: at the next collect the last news are taken and the number is free */
	struct table_owner owner; /* of a retired row: the kernel's copy is wiped */
};

struct table {
	struct bpf_object *object;
	const struct table_ops *ops;
	struct probe_listener listener;
	struct births *births;
	guint32 rows;
	guint cpus;
	volatile struct table_owner *owners; /* mapped */
	struct mapview *view; /* of the cells: those of rows in use are mapped */
	struct histogram_cells *cells;
	gsize owners_bytes;
	struct table_row *state; /* by row */
	struct ledger lost; /* as it was at the last collect */
	guint64 missed;
	void (*freed)(void *user, guint32 row);
	void *freed_user;
	struct parttime *parttime; /* NULL: counted all the time */
	gboolean frugal;
};

static guint table_cpus(void)
{
	int cpus = libbpf_num_possible_cpus();

	return cpus > 0 ? (guint)cpus : 1;
}

guint32 table_rows_for(const struct probe_request *request, guint classes)
{
	gsize row_bytes = (gsize)classes * table_cpus() * sizeof(struct histogram_cells);
	guint32 rows = request->by_process || request->by_pidns ? TABLE_ROWS_BY_PROCESS : TABLE_ROWS_BY_CONTAINER;

	if (request->frugal)
		return CLAMP(TABLE_BYTES_FRUGAL / row_bytes, TABLE_ROWS_FRUGAL_MIN, TABLE_ROWS_FRUGAL_MAX);
	return CLAMP(TABLE_BYTES_MAX / row_bytes, TABLE_ROWS_MIN, rows);
}

static gboolean table_size_map(struct bpf_object *object, const char *name, guint32 entries, GError **error)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	int result = map ? bpf_map__set_max_entries(map, entries) : -ENOENT;

	if (result == 0)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot size the kernel map %s: %s", name,
		    g_strerror(-result));
	return FALSE;
}

gboolean table_size(struct bpf_object *object, const struct probe_request *request, guint classes, guint32 rows,
		    GError **error)
{
	return filter_size(object, request, error) && table_size_map(object, "table_keys", rows, error) &&
	       table_size_map(object, "table_owners", rows, error) &&
	       table_size_map(object, "table_free", rows, error) &&
	       table_size_map(object, "table_cells", rows * classes * table_cpus(), error);
}

static gboolean table_set_error(GError **error)
{
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot map the kernel's counters: %s", g_strerror(errno));
	return FALSE;
}

static gboolean table_map(struct table *table, GError **error)
{
	int owners_fd = bpf_object__find_map_fd_by_name(table->object, "table_owners");
	int cells_fd = bpf_object__find_map_fd_by_name(table->object, "table_cells");
	gsize cells_bytes = (gsize)table->rows * table->ops->classes * table->cpus * sizeof(struct histogram_cells);
	void *owners;

	table->owners_bytes = table->rows * sizeof(struct table_owner);
	owners = mmap(NULL, table->owners_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, owners_fd, 0);
	if (owners == MAP_FAILED)
		return table_set_error(error);
	table->owners = owners;
	table->view = mapview_new(cells_fd, cells_bytes, PROT_READ | PROT_WRITE);
	if (!table->view)
		return table_set_error(error);
	table->cells = mapview_base(table->view);
	return TRUE;
}

struct table *table_open(struct bpf_object *object, const struct probe_request *request,
			 const struct probe_listener *listener, const struct table_ops *ops, guint32 rows,
			 GError **error)
{
	struct table *table = g_new0(struct table, 1);

	table->object = object;
	table->ops = ops;
	table->frugal = request->frugal;
	table->listener = *listener;
	table->rows = rows;
	table->cpus = table_cpus();
	table->state = g_new0(struct table_row, rows);
	if (filter_fill(object, request, error) && table_map(table, error) &&
	    (table->births = births_open(object, listener, error)))
		return table;
	table_close(table);
	return NULL;
}

void table_close(struct table *table)
{
	if (!table)
		return;
	births_close(table->births);
	if (table->owners)
		munmap((void *)table->owners, table->owners_bytes);
	mapview_free(table->view);
	for (guint32 row = 0; row < table->rows; row++)
		g_free(table->state[row].told);
	g_free(table->state);
	ledger_clear(&table->lost);
	g_free(table);
}

int table_fd(const struct table *table)
{
	return births_fd(table->births);
}

void table_drain(struct table *table)
{
	births_drain(table->births);
}

gboolean table_owner_at(const struct table *table, guint32 row, struct table_owner *owner)
{
	if (row == TABLE_NO_ROW || row >= table->rows)
		return FALSE;
	if (table->state[row].retired)
		*owner = table->state[row].owner;
	else
		memcpy(owner, (const void *)&table->owners[row], sizeof(*owner));
	return owner->key.cgroup_key != 0;
}

void table_touch(struct table *table, guint32 row)
{
	if (row < table->rows)
		table->state[row].idle = 0;
}

void table_scale(struct table *table, struct parttime *parttime)
{
	table->parttime = parttime;
}

void table_on_free(struct table *table, void (*freed)(void *user, guint32 row), void *user)
{
	table->freed = freed;
	table->freed_user = user;
}

static struct histogram_cells *table_cells_at(const struct table *table, guint cpu, guint32 row, guint which)
{
	return &table->cells[((gsize)cpu * table->rows + row) * table->ops->classes + which];
}

/* Before anything of the row is read. */
static gboolean table_reach(struct table *table, guint32 row, GError **error)
{
	for (guint cpu = 0; cpu < table->cpus; cpu++) {
		gsize from = (gsize)((guint8 *)table_cells_at(table, cpu, row, 0) - (guint8 *)table->cells);

		if (!mapview_reach(table->view, from, table->ops->classes * sizeof(struct histogram_cells)))
			return table_set_error(error);
	}
	return TRUE;
}

/* What has been counted in a row and class in all, and the largest value since the last time. */
static void table_read(const struct table *table, guint32 row, guint which, struct histogram_counts *counts)
{
	*counts = (struct histogram_counts){ 0 };
	for (guint cpu = 0; cpu < table->cpus; cpu++) {
		struct histogram_cells *cells = table_cells_at(table, cpu, row, which);
		guint64 max;

		counts->sum += __atomic_load_n(&cells->sum, __ATOMIC_RELAXED);
		for (guint i = 0; i < HISTOGRAM_CELLS; i++)
			counts->buckets[i] += __atomic_load_n(&cells->buckets[i], __ATOMIC_RELAXED);
		max = __atomic_load_n(&cells->max, __ATOMIC_RELAXED);
		if (max)
			max = __atomic_exchange_n(&cells->max, 0, __ATOMIC_RELAXED);
		counts->max = MAX(counts->max, max);
	}
	for (guint i = 0; i < HISTOGRAM_CELLS; i++)
		counts->count += counts->buckets[i];
}

/* Makes of `now` what is new in it, and remembers. */
static void table_subtract(struct histogram_counts *now, struct histogram_counts *told)
{
	struct histogram_counts all = *now;

	now->count -= told->count;
	now->sum -= told->sum;
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		now->buckets[i] -= told->buckets[i];
	*told = all;
}

static void table_tell(struct table *table, const struct table_owner *owner, guint which,
		       const struct histogram_counts *counts, struct ledger *ledger)
{
	struct probe_value values[TABLE_VALUES_MAX] = { { 0 } };
	struct probe_task task = { .cgroup_key = owner->key.cgroup_key, .tgid = owner->key.tgid };
	struct probe_bucket bucket = { .task = &task, .pidns = owner->key.pidns, .values = values, .counts = counts };

	if (!table->ops->values_of(owner, which, values))
		return;
	if (task.tgid)
		memcpy(task.comm, owner->comm, MIN(sizeof(task.comm), sizeof(owner->comm)) - 1);
	ledger->seen.events += counts->count;
	ledger->seen.weight += counts->sum;
	if (table->listener.bucket)
		table->listener.bucket(table->listener.user, &bucket);
}

/* TRUE when there was news. */
static gboolean table_collect_row(struct table *table, guint32 row, const struct table_owner *owner,
				  struct ledger *ledger)
{
	struct table_row *state = &table->state[row];
	gboolean news = FALSE;

	if (!state->told)
		state->told = g_new0(struct histogram_counts, table->ops->classes);
	for (guint which = 0; which < table->ops->classes; which++) {
		struct histogram_counts counts;

		table_read(table, row, which, &counts);
		table_subtract(&counts, &state->told[which]);
		if (counts.count == 0 && counts.sum == 0)
			continue;
		news = TRUE;
		if (table->parttime)
			parttime_scale(table->parttime, &counts);
		table_tell(table, owner, which, &counts, ledger);
	}
	return news;
}

/* No program finds the row any more; one that has just found it may still add to it: hence two steps. */
static void table_retire(struct table *table, guint32 row, const struct table_owner *owner)
{
	struct table_row *state = &table->state[row];

	if (bpf_map_delete_elem(bpf_object__find_map_fd_by_name(table->object, "table_keys"), &owner->key) != 0)
		return;
	__atomic_store_n(&table->owners[row].key.cgroup_key, 0, __ATOMIC_SEQ_CST);
	state->owner = *owner;
	state->retired = 1;
}

static void table_free_row(struct table *table, guint32 row)
{
	struct table_row *state = &table->state[row];

	if (table->freed)
		table->freed(table->freed_user, row);
	for (guint cpu = 0; cpu < table->cpus; cpu++)
		for (guint which = 0; which < table->ops->classes; which++)
			memset(table_cells_at(table, cpu, row, which), 0, sizeof(struct histogram_cells));
	g_clear_pointer(&state->told, g_free);
	state->retired = state->idle = 0;
	bpf_map_update_elem(bpf_object__find_map_fd_by_name(table->object, "table_free"), NULL, &row, BPF_ANY);
}

/* Switches (say) that came while our program was already running on that CPU: the kernel skips it then. */
static guint64 table_missed(const struct table *table)
{
	struct bpf_program *program;
	guint64 missed = 0;

	bpf_object__for_each_program(program, table->object)
	{
		struct bpf_prog_info info = { 0 };
		guint32 bytes = sizeof(info);

		if (bpf_program__fd(program) >= 0 &&
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes) == 0)
			missed += info.recursion_misses;
	}
	return missed;
}

static gboolean table_account(struct table *table, struct ledger *ledger, GError **error)
{
	guint64 missed = table_missed(table);
	struct ledger lost = { 0 };

	if (!losses_read(bpf_object__find_map_fd_by_name(table->object, "losses"), &lost, error)) {
		ledger_clear(&lost);
		return FALSE;
	}
	for (guint item = 0; item < LEDGER_ITEMS; item++) {
		struct ledger_line *now = &lost.items[item], *before = &table->lost.items[item];

		ledger_add(ledger, (enum ledger_item)item, now->events - before->events, now->weight - before->weight);
		if (item < LEDGER_LOST_END) {
			ledger->seen.events += now->events - before->events;
			ledger->seen.weight += now->weight - before->weight;
		}
	}
	if (missed > table->missed) {
		ledger_add(ledger, LEDGER_LOST_MISSED, missed - table->missed, 0);
		ledger->seen.events += missed - table->missed;
	}
	for (guint i = 0; lost.notes && i < lost.notes->len; i++)
		ledger_note(ledger, g_strdup(g_ptr_array_index(lost.notes, i)));
	table->missed = missed;
	ledger_clear(&table->lost);
	table->lost = lost;
	return TRUE;
}

gboolean table_collect(struct table *table, struct ledger *ledger, GError **error)
{
	guint32 used = 0;

	table_drain(table); /* births first: who was born has a name then */
	for (guint32 row = 1; row < table->rows; row++) {
		struct table_row *state = &table->state[row];
		struct table_owner owner;

		memcpy(&owner, (const void *)&table->owners[row], sizeof(owner));
		if ((state->retired || owner.key.cgroup_key != 0) && !table_reach(table, row, error))
			return FALSE;
		if (state->retired) {
			table_collect_row(table, row, &state->owner, ledger);
			table_free_row(table, row);
		} else if (owner.key.cgroup_key != 0) {
			used++;
			state->idle = table_collect_row(table, row, &owner, ledger) ? 0 : MIN(state->idle + 1, 1000);
		}
	}
	for (guint32 row = 1; (table->frugal || TABLE_CROWDED(used, table->rows)) && row < table->rows; row++) {
		guint idle = TABLE_CROWDED(used, table->rows) ? TABLE_IDLE_COLLECTS : TABLE_IDLE_FRUGAL;
		struct table_owner owner;

		if (table->state[row].idle < idle)
			continue;
		memcpy(&owner, (const void *)&table->owners[row], sizeof(owner));
		if (owner.key.cgroup_key == 0)
			continue;
		table_retire(table, row, &owner);
		used -= table->state[row].retired;
	}
	return table_account(table, ledger, error);
}
