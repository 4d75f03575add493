/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/expense.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "kernel/cgroupfs.h"
#include "kernel/procfs.h"
#include "probe/payers.h"

#define EXPENSE_SETTLE_MS 100 /* first look at who runs at all, to choose whom to watch */

/* ---- whose ---- */

static void holder_clear(gpointer data)
{
	g_free(((struct expense_holder *)data)->comm);
}

static guint64 ticks_ns(guint64 ticks)
{
	return ticks * (NS_PER_S / (guint64)sysconf(_SC_CLK_TCK));
}

/* CPU time used so far. FALSE when the process is gone. */
static gboolean holder_usage(const struct registry *registry, guint32 pid, struct procfs_stat *stat, guint64 *cpu_ns,
			     guint64 *rss_bytes)
{
	struct procfs_usage usage;

	if (!procfs_usage_read(registry_root(registry), pid, stat, &usage))
		return FALSE;
	*cpu_ns = ticks_ns(usage.user_ticks + usage.system_ticks);
	*rss_bytes = usage.rss_pages * (guint64)sysconf(_SC_PAGESIZE);
	return TRUE;
}

/* The index of the holder with this pid, made when it is not there. */
static guint holder_index(struct expense *expense, struct registry *registry, guint32 pid)
{
	struct expense_holder holder = { .pid = pid };
	const struct container *container;
	struct procfs_stat stat;

	for (guint i = 0; i < expense->holders->len; i++)
		if (g_array_index(expense->holders, struct expense_holder, i).pid == pid)
			return i;
	if (pid && holder_usage(registry, pid, &stat, &holder.cpu_ns, &holder.rss_bytes)) {
		holder.comm = g_strdup(stat.comm);
		container = registry_by_pid(registry, pid, stat.start_ticks);
		holder.container = container ? container->name : NULL;
	} else {
		holder.ended = pid != 0;
	}
	g_array_append_val(expense->holders, holder);
	return expense->holders->len - 1;
}

static void holders_restart(struct expense *expense, const struct registry *registry)
{
	for (guint i = 0; i < expense->holders->len; i++) {
		struct expense_holder *holder = &g_array_index(expense->holders, struct expense_holder, i);
		struct procfs_stat stat;

		if (holder->pid && !holder->ended)
			holder_usage(registry, holder->pid, &stat, &holder->cpu_ns, &holder->rss_bytes);
	}
}

static void holders_finish(struct expense *expense, const struct registry *registry)
{
	for (guint i = 0; i < expense->holders->len; i++) {
		struct expense_holder *holder = &g_array_index(expense->holders, struct expense_holder, i);
		guint64 cpu_ns;
		struct procfs_stat stat;

		if (!holder->pid || holder->ended)
			continue;
		if (holder_usage(registry, holder->pid, &stat, &cpu_ns, &holder->rss_bytes))
			holder->cpu_ns = cpu_ns - MIN(cpu_ns, holder->cpu_ns);
		else
			holder->ended = TRUE;
	}
}

/* ---- programs ---- */

static void used_since(struct cost_program *program)
{
	struct cost_program now;

	if (!cost_read(program->id, &now)) {
		program->run_count = program->run_time_ns = program->missed_count = 0;
		return;
	}
	program->run_count = now.run_count - program->run_count;
	program->run_time_ns = now.run_time_ns - program->run_time_ns;
	program->missed_count = now.missed_count - program->missed_count;
}

static gint by_time(gconstpointer a, gconstpointer b)
{
	const struct expense_program *left = a, *right = b;

	if (left->used.run_time_ns != right->used.run_time_ns)
		return left->used.run_time_ns > right->used.run_time_ns ? -1 : 1;
	return left->used.id < right->used.id ? -1 : left->used.id > right->used.id;
}

static gboolean wait_ns(guint64 duration_ns, int stop_fd)
{
	guint64 end_ns = clock_monotonic_ns() + duration_ns;
	struct pollfd stop = { .fd = stop_fd, .events = POLLIN };

	for (guint64 now_ns; (now_ns = clock_monotonic_ns()) < end_ns;) {
		guint64 left_ms = (end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;

		if (poll(&stop, 1, (int)MIN(left_ms, (guint64)G_MAXINT)) > 0)
			return FALSE;
	}
	return TRUE;
}

/* Those that ran while we settled come first: they are worth watching. `programs` hold counts since their birth. */
static void choose_watched(GArray *programs, int stop_fd)
{
	wait_ns(EXPENSE_SETTLE_MS * NS_PER_MS, stop_fd);
	for (guint i = 0; i < programs->len; i++)
		used_since(&g_array_index(programs, struct expense_program, i).used);
	g_array_sort(programs, by_time);
}

static void programs_restart(GArray *programs)
{
	for (guint i = 0; i < programs->len; i++) {
		struct cost_program *used = &g_array_index(programs, struct expense_program, i).used, now;

		if (!cost_read(used->id, &now))
			continue;
		used->run_count = now.run_count;
		used->run_time_ns = now.run_time_ns;
		used->missed_count = now.missed_count;
	}
}

/* ---- who pays ---- */

static gint payers_by_time(gconstpointer a, gconstpointer b)
{
	const struct expense_payer *left = a, *right = b;

	if (left->run_time_ns != right->run_time_ns)
		return left->run_time_ns > right->run_time_ns ? -1 : 1;
	return left->program_id < right->program_id ? -1 : left->program_id > right->program_id;
}

/* Cgroups of one container are one payer. */
static void payer_add(GArray *payers, const char *container, const struct payer *more)
{
	struct expense_payer payer = { container, more->program_id, more->run_count, more->run_time_ns };

	for (guint i = 0; i < payers->len; i++) {
		struct expense_payer *known = &g_array_index(payers, struct expense_payer, i);

		if (known->program_id == more->program_id && g_strcmp0(known->container, container) == 0) {
			known->run_count += more->run_count;
			known->run_time_ns += more->run_time_ns;
			return;
		}
	}
	g_array_append_val(payers, payer);
}

static void payers_take(struct expense *expense, struct registry *registry, struct payers *payers)
{
	g_autoptr(GError) error = NULL;
	guint64 lost_ns = 0;
	g_autoptr(GArray) charged = payers_finish(payers, &lost_ns, &error);

	if (!charged) {
		expense->payers_why_not = g_strdup(error->message);
		return;
	}
	expense->uncharged_ns += lost_ns;
	for (guint i = 0; i < charged->len; i++) {
		const struct payer *payer = &g_array_index(charged, struct payer, i);
		const struct container *owner =
			payer->cgroup_key ? registry_by_cgroup(registry, payer->cgroup_key) : NULL;

		payer_add(expense->payers,
			  owner		       ? owner->name
			  : !payer->cgroup_key ? "[idle]"
					       : "[cgroup gone before it was named]",
			  payer);
	}
	g_array_sort(expense->payers, payers_by_time);
}

static struct payers *payers_begin(struct expense *expense, struct registry *registry)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
	g_autoptr(GError) error = NULL;
	struct payers *payers;

	for (guint i = 0; i < expense->programs->len; i++)
		g_array_append_val(ids, g_array_index(expense->programs, struct expense_program, i).used.id);
	if (ids->len > PAYERS_PROGRAMS)
		expense->left_out = ids->len - PAYERS_PROGRAMS;
	payers = payers_open((const guint32 *)ids->data, ids->len, cgroupfs_v1_controller(registry_cgroupfs(registry)),
			     &error);
	if (!payers)
		expense->payers_why_not = g_strdup(error->message);
	return payers;
}

/* ---- all of it ---- */

void expense_free(struct expense *expense)
{
	if (!expense)
		return;
	g_array_unref(expense->programs);
	g_array_unref(expense->holders);
	g_array_unref(expense->payers);
	g_free(expense->payers_why_not);
	g_free(expense);
}

static struct expense *expense_new(void)
{
	struct expense *expense = g_new0(struct expense, 1);

	expense->programs = g_array_new(FALSE, FALSE, sizeof(struct expense_program));
	expense->holders = g_array_new(FALSE, FALSE, sizeof(struct expense_holder));
	expense->payers = g_array_new(FALSE, FALSE, sizeof(struct expense_payer));
	g_array_set_clear_func(expense->holders, holder_clear);
	return expense;
}

static gboolean expense_list(struct expense *expense, struct registry *registry, GError **error)
{
	g_autoptr(GArray) all = cost_all_programs(error);
	g_autoptr(GHashTable) holders = NULL;

	if (!all)
		return FALSE;
	cost_add_maps(all);
	holders = cost_holders();
	for (guint i = 0; i < all->len; i++) {
		struct expense_program program = { .used = g_array_index(all, struct cost_program, i) };
		guint32 pid = GPOINTER_TO_UINT(g_hash_table_lookup(holders, GUINT_TO_POINTER(program.used.id)));

		program.holder = holder_index(expense, registry, pid);
		g_array_append_val(expense->programs, program);
	}
	return TRUE;
}

/* Programs stay loaded as long as somebody watches their counters. */
static GArray *programs_hold(const GArray *programs)
{
	GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));

	for (guint i = 0; i < MIN(programs->len, (guint)PAYERS_PROGRAMS); i++) {
		int fd = cost_hold(g_array_index(programs, struct expense_program, i).used.id);

		if (fd >= 0)
			g_array_append_val(fds, fd);
	}
	return fds;
}

static void programs_release(GArray *fds)
{
	for (guint i = 0; i < fds->len; i++)
		close(g_array_index(fds, int, i));
	g_array_unref(fds);
}

static void expense_run(struct expense *expense, struct registry *registry, guint64 duration_ns, int stop_fd)
{
	GArray *held = programs_hold(expense->programs);
	struct payers *payers = payers_begin(expense, registry);
	guint64 start_ns = clock_monotonic_ns(), charged_ns = 0, run_ns = 0;

	programs_restart(expense->programs);
	holders_restart(expense, registry);
	wait_ns(duration_ns, stop_fd);
	for (guint i = 0; i < expense->programs->len; i++) {
		struct cost_program *used = &g_array_index(expense->programs, struct expense_program, i).used;

		used_since(used);
		if (used->run_count)
			used->one_in = cost_one_in(used->id);
		if (i < PAYERS_PROGRAMS)
			run_ns += used->run_time_ns;
	}
	expense->elapsed_ns = clock_monotonic_ns() - start_ns;
	if (payers)
		payers_take(expense, registry, payers);
	payers_close(payers);
	programs_release(held);
	for (guint i = 0; i < expense->payers->len; i++)
		charged_ns += g_array_index(expense->payers, struct expense_payer, i).run_time_ns;
	expense->uncharged_ns = run_ns > charged_ns ? run_ns - charged_ns : 0;
	holders_finish(expense, registry);
	g_array_sort(expense->programs, by_time);
}

struct expense *expense_measure(struct registry *registry, guint64 duration_ns, int stop_fd, GError **error)
{
	g_autoptr(expense_t) expense = expense_new();
	int statistics = cost_enable(error);

	if (statistics < 0)
		return NULL;
	if (!expense_list(expense, registry, error)) {
		close(statistics);
		return NULL;
	}
	choose_watched(expense->programs, stop_fd);
	expense_run(expense, registry, duration_ns, stop_fd);
	close(statistics);
	return g_steal_pointer(&expense);
}
