/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/runq.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/parttime.h"
#include "probe/runq_run.h"
#include "probe/table.h"
#include "runq.skel.h"

#define RUNQ_SELF_TEST_NAPS 20
/* Who watches for ever takes no more than this share of the machine's CPU time for switches of a thread; what one costs
 * (docs/overhead.md). */
#define RUNQ_SWITCHES_SHARE 0.001

const struct rung runq_rungs[] = {
	{ .name = "tp_btf/sched_switch",
	  .misses =
		  "what a woken thread waited before it was moved to another CPU; woken threads that take the CPU at once "
		  "are measured to about a microsecond" },
	{ .name = "tp_btf/sched_wakeup + sched_switch",
	  .misses = "whether a wait was throttled, and waits that had begun before" },
	{ 0 },
};
#define RUNQ_RUNG_TWO_HOOKS (&runq_rungs[1])

static gboolean runq_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	static const char *const waits[RUNQ_WAITS] = { "woken", "preempted", "throttled" };

	(void)owner;
	values[0].text = waits[which];
	return TRUE;
}

static const struct table_ops runq_table_ops = { .classes = RUNQ_WAITS, .values = 1, .values_of = runq_values };

static gboolean runq_load(struct runq_run *run, gboolean two_hooks, GError **error)
{
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	static const char what[] = "cannot load the run-queue program";
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(runq, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, &run->request);
	run->rows = table_rows_for(&run->request, RUNQ_WAITS);
	run->rows = MIN(run->rows, BLAME_ROWS_MAX);
	TABLE_SET(run->kernel->rodata, &values, &run->request, run->rows);
	run->kernel->rodata->blame_on = run->blame;
	run->kernel->rodata->two_hooks = two_hooks;
	run->kernel->rodata->pace_closes = run->request.frugal && !two_hooks;
	bpf_program__set_autoload(run->kernel->progs.runq_wakeup, two_hooks);
	bpf_program__set_autoload(run->kernel->progs.runq_wakeup_new, two_hooks);
	bpf_program__set_autoload(run->kernel->progs.runq_migrate, !two_hooks);
	bpf_program__set_autoload(run->kernel->progs.runq_first, !two_hooks);
	if (!table_size(run->kernel->obj, &run->request, RUNQ_WAITS, run->rows, error))
		return FALSE;
	bpf_map__set_max_entries(run->kernel->maps.seen_queues, run->rows);
	bpf_map__set_max_entries(run->kernel->maps.slices, run->blame ? libbpf_num_possible_cpus() : 1);
	if (!run->blame)
		bpf_map__set_max_entries(run->kernel->maps.blame_pairs, 1);
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* Does the kernel keep its stamps? We sleep and are woken up, so it must have seen one. */
static gboolean runq_check(const struct runq_run *run, GError **error)
{
	const struct timespec nap = { .tv_nsec = 50000 };

	for (guint i = 0; i < RUNQ_SELF_TEST_NAPS; i++) {
		nanosleep(&nap, NULL);
		if (__atomic_load_n(&run->kernel->bss->queued_seen, __ATOMIC_RELAXED))
			return TRUE;
	}
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED,
		    "the scheduler does not note when a thread becomes runnable (CONFIG_SCHED_INFO)");
	return FALSE;
}

static gboolean runq_attach_programs(struct runq_run *run, gboolean two_hooks, GError **error)
{
	struct bpf_program *const one[] = { run->kernel->progs.runq_switch, run->kernel->progs.runq_migrate, NULL };
	struct bpf_program *const two[] = { run->kernel->progs.runq_wakeup, run->kernel->progs.runq_wakeup_new,
					    run->kernel->progs.runq_switch, NULL };
	struct bpf_program *const *programs = two_hooks ? two : one;
	const struct parttime_setup setup = {
		.programs = { run->kernel->progs.runq_switch },
		.object = run->kernel->obj,
		.open = &run->kernel->bss->pace_open,
		.limit = RUNQ_SWITCHES_SHARE,
	};

	ladder_log_start();
	if (run->request.frugal && !two_hooks) {
		run->switches = parttime_new(&setup);
		run->fd = run->switches ? parttime_fd_with(run->switches, run->fd) : -1;
		if (run->fd < 0) {
			ladder_set_error(error, "cannot attach to the scheduler's tracepoints", errno);
			return FALSE;
		}
		table_scale(run->table, run->switches);
		programs++;
	}
	for (guint i = 0; programs[i]; i++) {
		run->links[i] = kernel_btf_attach(programs[i]);
		if (!run->links[i]) {
			ladder_set_error(error, "cannot attach to the scheduler's tracepoints", errno);
			return FALSE;
		}
	}
	return TRUE;
}

/* Has the kernel walk over all threads once. */
static gboolean runq_look_at_sleepers(struct runq_run *run, GError **error)
{
	struct bpf_link *link = kernel_btf_attach(run->kernel->progs.runq_first);
	gboolean ok = kernel_btf_iterate(link, "cannot look at all threads", error);

	bpf_link__destroy(link);
	return ok;
}

static void runq_detach(struct runq_run *run)
{
	for (guint i = 0; i < G_N_ELEMENTS(run->links); i++)
		bpf_link__destroy(g_steal_pointer(&run->links[i]));
	if (run->switches)
		parttime_stop(run->switches);
}

static void runq_unload(struct runq_run *run)
{
	runq_detach(run);
	g_clear_pointer(&run->allowance, allowance_free);
	table_close(g_steal_pointer(&run->table));
	g_clear_pointer(&run->switches, parttime_free);
	runq_bpf__destroy(g_steal_pointer(&run->kernel));
}

/* ladder_try_fn */
static gboolean runq_attach(void *user, const struct rung *rung, GError **error)
{
	struct runq_run *run = user;

	gboolean two_hooks = rung == RUNQ_RUNG_TWO_HOOKS;

	run->fd = -1;
	if (runq_load(run, two_hooks, error) &&
	    (run->table = table_open(run->kernel->obj, &run->request, &run->table_listener, &runq_table_ops, run->rows,
				     error)) &&
	    (run->fd = table_fd(run->table), runq_attach_programs(run, two_hooks, error)) &&
	    (two_hooks || runq_look_at_sleepers(run, error)) && runq_check(run, error)) {
		if (!run->switches) /* else it is on for part of the time */
			run->allowance = allowance_new(run->kernel->obj, run->request.budget_share);
		return TRUE;
	}
	runq_unload(run);
	return FALSE;
}

struct runq_run *runq_run_open(const struct probe_request *request, const struct probe_listener *listener,
			       gboolean blame, GError **error)
{
	struct runq_run *run = g_new0(struct runq_run, 1);

	run->request = *request;
	run->listener = *listener;
	run->table_listener = *listener;
	if (blame)
		run->table_listener.bucket = NULL;
	run->blame = blame;
	run->rung = ladder_climb(runq_rungs, request->rung, runq_attach, run, &run->why_not, error);
	if (run->rung)
		return run;
	runq_run_close(run);
	return NULL;
}

void runq_run_close(struct runq_run *run)
{
	if (!run)
		return;
	runq_unload(run);
	g_free(run->why_not);
	g_free(run);
}

static void runq_look_when_due(struct runq_run *run)
{
	if (run->switches && parttime_step(run->switches))
		parttime_turn(run->switches);
}

void runq_run_drain(struct runq_run *run)
{
	allowance_step(run->allowance);
	runq_look_when_due(run);
	table_drain(run->table);
}

void runq_run_stop(struct runq_run *run)
{
	runq_detach(run);
}

void runq_run_account(struct runq_run *run, struct ledger *ledger)
{
	guint64 moved = __atomic_load_n(&run->kernel->bss->moved_unknown, __ATOMIC_RELAXED);
	guint64 asleep = __atomic_load_n(&run->kernel->bss->asleep_unknown, __ATOMIC_RELAXED);

	if (!ledger->rung)
		ledger->rung = g_strdup(run->rung->name);
	if (!ledger->misses)
		ledger->misses = g_strdup(run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	allowance_account(run->allowance, ledger);
	if (!run->links[0])
		allowance_account_cost(run->allowance, ledger);
	if (asleep && !run->links[0])
		ledger_note(ledger,
			    g_strdup_printf("waits not known, of sleepers moved to another CPU: %" G_GUINT64_FORMAT,
					    asleep));
	if (moved && !run->links[0])
		ledger_note(ledger,
			    g_strdup_printf("woken threads moved to another CPU while they waited: %" G_GUINT64_FORMAT,
					    moved));
}

/* ---- the probe ---- */

static struct probe_run *runq_open(const struct probe_request *request, const struct probe_listener *listener,
				   GError **error)
{
	return (struct probe_run *)runq_run_open(request, listener, FALSE, error);
}

static int runq_fd(struct probe_run *run)
{
	return ((struct runq_run *)run)->fd;
}

static gboolean runq_drain(struct probe_run *run, GError **error)
{
	(void)error;
	runq_run_drain((struct runq_run *)run);
	return TRUE;
}

static gboolean runq_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct runq_run *run = (struct runq_run *)opaque;

	runq_look_when_due(run);
	if (run->switches) {
		parttime_take(run->switches);
		parttime_account(run->switches, "waits for a CPU", ledger);
	}
	runq_run_account(run, ledger);
	return table_collect(run->table, ledger, error);
}

static gboolean runq_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	runq_run_stop((struct runq_run *)opaque);
	if (!runq_collect(opaque, ledger, error))
		return FALSE;
	return runq_collect(opaque, ledger, error); /* rows that were being taken back, too */
}

static void runq_close(struct probe_run *run)
{
	runq_run_close((struct runq_run *)run);
}

static const struct probe_label runq_labels[] = { { "wait", PROBE_LABEL_TEXT }, { 0 } };

const struct probe probe_runq = {
	.name = "runq",
	.shows = "run-queue latency: how long runnable threads waited for a CPU, and why",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = runq_rungs,
	.labels = runq_labels,
	.open = runq_open,
	.fd = runq_fd,
	.drain = runq_drain,
	.collect = runq_collect,
	.finish = runq_finish,
	.close = runq_close,
};
