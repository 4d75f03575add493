/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/offcpu_run.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "offcpu.skel.h"
#include "probe/copyplan.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/scripts.h"
#include "probe/unlooked.h"

G_STATIC_ASSERT((int)TIME_RUNNING == PROBE_STATE_RUNNING && (int)TIME_BLOCKED == PROBE_STATE_BLOCKED);
G_STATIC_ASSERT((int)TIME_WOKEN == PROBE_STATE_WAIT_WOKEN && (int)TIME_PREEMPTED == PROBE_STATE_WAIT_PREEMPTED);
G_STATIC_ASSERT((int)TIME_THROTTLED == PROBE_STATE_WAIT_THROTTLED && (int)TIME_COUNT == PROBE_STATE_WAIT_THROTTLED + 1);

const struct rung offcpu_rungs[] = {
	{ .name = "tp_btf/sched_switch", .misses = NULL },
	{ .name = "tp_btf/sched_switch, no iter.s",
	  .misses = "user stacks of threads that were blocked before the start and did not run since" },
	{ 0 },
};
#define OFFCPU_RUNG_SLEEPABLE (&offcpu_rungs[0])

#define OFFCPU_ONE_IN_MAX 32 /* fewer looks would save a hundredth of what they all cost */
#define OFFCPU_PASS_STACKS 64 /* sent by an iterator until the ring is looked at */
#define OFFCPU_RING_BYTES (16 << 20) /* a thousand copies of processes just seen */

/* ---- opening ---- */

/* Runs an iterator program over all tasks once. It writes a byte for every stack it sends. */
static gboolean offcpu_pass(struct offcpu_run *run, struct bpf_program *program, GError **error)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	char told[OFFCPU_PASS_STACKS];
	gboolean right = TRUE;
	gssize got = -1;

	if (fd >= 0) {
		do {
			got = read(fd, told, sizeof(told));
			right = got <= 0 || intake_hoard(run->intake, error);
		} while (right && (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))));
	}
	if (right && got < 0)
		ladder_set_error(error, "cannot look at all threads", errno);
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return right && got == 0;
}

static void offcpu_configure(struct offcpu_run *run, const struct rung *rung)
{
	struct filter_values values;

	filter_values_init(&values, &run->request);
	FILTER_SET_STACK(run->kernel->rodata, &values);
	SCRIPTS_SET(run->kernel->rodata, &run->request);
	run->kernel->rodata->script_on &= !run->no_scripts;
	run->kernel->rodata->stack_copying = run->listener.unwind != NULL;
	run->kernel->rodata->stack_wake_bytes = 0; /* the sooner a stack is walked, the sooner it is known again */
	bpf_map__set_max_entries(run->kernel->maps.stack_ring, OFFCPU_RING_BYTES);
	run->kernel->rodata->walltime = run->walltime;
	run->kernel->rodata->waker_on = run->request.waker;
	run->kernel->rodata->threshold_ns = run->walltime ? 0 : run->request.threshold_ns;
	bpf_program__set_autoload(run->kernel->progs.offcpu_waking, run->request.waker);
	bpf_program__set_autoload(run->kernel->progs.offcpu_tick, run->walltime);
	bpf_program__set_autoload(run->kernel->progs.offcpu_exec, run->walltime);
	bpf_program__set_autoload(run->kernel->progs.offcpu_first, rung == OFFCPU_RUNG_SLEEPABLE);
	bpf_program__set_autoload(run->kernel->progs.offcpu_first_kernel, rung != OFFCPU_RUNG_SLEEPABLE);
}

static gboolean offcpu_load_once(struct offcpu_run *run, const struct rung *rung, GError **error)
{
	static const char what[] = "cannot load the scheduler programs";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(offcpu, btf, what, error);
	if (!run->kernel)
		return FALSE;
	offcpu_configure(run, rung);
	if (!filter_size(run->kernel->obj, &run->request, error) ||
	    !copyplan_size(run->kernel->obj, OFFCPU_SLOTS, error))
		return FALSE;
	if (!kernel_btf_load(btf, run->kernel->skeleton, what, error))
		return FALSE;
	return filter_fill(run->kernel->obj, &run->request, error);
}

/* A kernel whose verifier does not take the walk of Python frames still gets the rest. */
static gboolean offcpu_load(struct offcpu_run *run, const struct rung *rung, GError **error)
{
	g_autoptr(GError) first = NULL;

	if (offcpu_load_once(run, rung, &first))
		return TRUE;
	offcpu_bpf__destroy(g_steal_pointer(&run->kernel));
	run->no_scripts = TRUE;
	return offcpu_load_once(run, rung, error);
}

static gboolean offcpu_attach_one(struct bpf_link **link, const struct bpf_program *program, const char *why_not,
				  GError **error)
{
	*link = kernel_btf_attach(program);
	if (!*link)
		ladder_set_error(error, why_not, errno);
	return *link != NULL;
}

static gboolean offcpu_attach_programs(struct offcpu_run *run, GError **error)
{
	return offcpu_attach_one(&run->switch_link, run->kernel->progs.offcpu_switch, "cannot attach to sched_switch",
				 error) &&
	       offcpu_attach_one(&run->moved_link, run->kernel->progs.offcpu_moved,
				 "cannot attach to sched_migrate_task", error) &&
	       (!run->walltime || offcpu_attach_one(&run->exec_link, run->kernel->progs.offcpu_exec,
						    "cannot attach to sched_process_exec", error)) &&
	       (!run->request.waker || offcpu_attach_one(&run->waking_link, run->kernel->progs.offcpu_waking,
							 "cannot attach to sched_waking", error));
}

static void offcpu_detach(struct offcpu_run *run)
{
	bpf_link__destroy(run->switch_link);
	bpf_link__destroy(run->moved_link);
	bpf_link__destroy(run->waking_link);
	bpf_link__destroy(run->exec_link);
	run->switch_link = run->moved_link = run->waking_link = run->exec_link = NULL;
	g_ptr_array_set_size(run->ticks, 0);
}

static void offcpu_unload(struct offcpu_run *run)
{
	offcpu_detach(run);
	g_clear_pointer(&run->allowance, allowance_free);
	intake_close(run->intake);
	run->intake = NULL;
	offcpu_bpf__destroy(run->kernel);
	run->kernel = NULL;
}

/* Everything is attached before the clock starts: what happens from `started_ns` on is seen. */
static gboolean offcpu_start(struct offcpu_run *run, const struct rung *rung, GError **error)
{
	struct bpf_program *first = rung == OFFCPU_RUNG_SLEEPABLE ? run->kernel->progs.offcpu_first
								  : run->kernel->progs.offcpu_first_kernel;

	run->started_ns = clock_monotonic_ns();
	__atomic_store_n(&run->kernel->bss->started_ns, run->started_ns, __ATOMIC_SEQ_CST);
	if (!offcpu_pass(run, first, error))
		return FALSE;
	__atomic_store_n(&run->kernel->bss->settled, 1, __ATOMIC_SEQ_CST);
	return TRUE;
}

/* ladder_try_fn */
static gboolean offcpu_attach(void *user, const struct rung *rung, GError **error)
{
	struct offcpu_run *run = user;

	if (offcpu_load(run, rung, error))
		run->intake = intake_open(run->kernel->obj, &run->request, &run->listener, error);
	if (run->intake && run->listener.unwind)
		intake_learn_paths(run->intake, bpf_map__fd(run->kernel->maps.user_paths),
				   (const struct stack_key *)run->kernel->rodata->stack_seed);
	if (run->intake && offcpu_attach_programs(run, error) && offcpu_start(run, rung, error)) {
		run->allowance = allowance_new(run->kernel->obj, run->request.budget_share);
		allowance_delay(run->allowance);
		allowance_keep(run->allowance, OFFCPU_ONE_IN_MAX);
		return TRUE;
	}
	offcpu_unload(run);
	return FALSE;
}

static void offcpu_free_link(gpointer link)
{
	bpf_link__destroy(link);
}

struct offcpu_run *offcpu_run_open(const struct probe_request *request, const struct probe_listener *listener,
				   gboolean walltime, GError **error)
{
	struct offcpu_run *run = g_new0(struct offcpu_run, 1);

	run->listener = *listener;
	run->request = *request;
	run->walltime = walltime;
	run->ticks = g_ptr_array_new_with_free_func(offcpu_free_link);
	run->rung = ladder_climb(offcpu_rungs, request->rung, offcpu_attach, run, &run->why_not, error);
	if (run->rung)
		return run;
	offcpu_run_close(run);
	return NULL;
}

void offcpu_run_close(struct offcpu_run *run)
{
	if (!run)
		return;
	offcpu_unload(run);
	g_ptr_array_free(run->ticks, TRUE);
	g_free(run->why_not);
	g_free(run);
}

/* ---- finishing ---- */

gboolean offcpu_run_stop(struct offcpu_run *run, GError **error)
{
	run->stopped_ns = clock_monotonic_ns();
	__atomic_store_n(&run->kernel->bss->stopped_ns, run->stopped_ns, __ATOMIC_SEQ_CST);
	if (!offcpu_pass(run, run->kernel->progs.offcpu_last, error))
		return FALSE;
	offcpu_detach(run); /* only now: the dying have closed their own books until here */
	return intake_drain_rest(run->intake, error);
}

static void offcpu_tell(struct offcpu_run *run, const struct probe_weight *weight)
{
	if (!weight->task) {
		run->unsent.events += weight->events;
		run->unsent.weight += weight->weight;
		return;
	}
	run->told.events += weight->events;
	run->told.weight += weight->weight;
	if (run->listener.weight)
		run->listener.weight(run->listener.user, weight);
}

static struct probe_weight offcpu_weight(enum probe_state state, const struct interval_sum *sum)
{
	return (struct probe_weight){
		.stack = PROBE_NO_STACK,
		.waker_stack = PROBE_NO_STACK,
		.state = state,
		.events = sum->events,
		.weight = sum->weight_ns,
		.max = sum->max_ns,
	};
}

void offcpu_run_tell_stack(struct offcpu_run *run, enum probe_state state, guint32 stack,
			   const struct interval_sum *sum)
{
	struct probe_weight weight = offcpu_weight(state, sum);

	weight.stack = stack;
	weight.task = intake_task(run->intake, stack);
	offcpu_tell(run, &weight);
}

void offcpu_run_tell(struct offcpu_run *run, enum probe_state state, const struct probe_task *task,
		     guint32 kernel_stack, guint32 kernel_waker, const struct interval_sum *sum)
{
	struct probe_weight weight = offcpu_weight(state, sum);

	weight.task = task;
	if (kernel_stack != STACK_NONE) {
		weight.stack = intake_stack(run->intake, kernel_stack);
		weight.task = intake_task(run->intake, weight.stack);
	}
	if (kernel_waker != STACK_NONE)
		weight.waker_stack = intake_stack(run->intake, kernel_waker);
	offcpu_tell(run, &weight);
}

/* The sums by stack, as the kernel keeps them; unmapped by the caller. */
static const struct interval_sum *offcpu_map_intervals(struct offcpu_run *run, GError **error)
{
	gsize bytes = INTERVAL_SLOTS * sizeof(struct interval_sum);
	void *sums = mmap(NULL, bytes, PROT_READ, MAP_SHARED, bpf_map__fd(run->kernel->maps.intervals), 0);

	if (sums != MAP_FAILED)
		return sums;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot map the sums of blocked time: %s",
		    g_strerror(errno));
	return NULL;
}

struct offcpu_pairs {
	struct offcpu_run *run;
	const struct interval_sum *sums;
};

static void offcpu_count_truncated(struct offcpu_run *run, guint64 flags, const struct interval_sum *sum)
{
	if (flags & (PROBE_STACK_USER_TRUNCATED | PROBE_STACK_KERNEL_TRUNCATED)) {
		run->truncated.events += sum->events;
		run->truncated.weight += sum->weight_ns;
	}
}

/* mapread_fn */
static void offcpu_tell_pair(void *user, const void *key, const void *value)
{
	const struct offcpu_pairs *pairs = user;
	const struct waker_pair *pair = key;
	guint64 flags = pair->stack < INTERVAL_SLOTS ? pairs->sums[pair->stack].flags : 0;

	offcpu_count_truncated(pairs->run, flags, value);
	offcpu_run_tell(pairs->run, PROBE_STATE_BLOCKED, NULL, pair->stack, pair->waker, value);
}

struct offcpu_sharing {
	struct offcpu_run *run;
	struct unlooked *unlooked;
};

/* mapread_fn */
static void offcpu_take_unlooked(void *user, const void *key, const void *value)
{
	const struct offcpu_sharing *sharing = user;
	const struct unlooked_key *kind = key;
	struct probe_task task;

	memcpy(&task, &kind->owner, sizeof(task)); /* = struct stack_task; see intake.c */
	task.comm[PROBE_COMM - 1] = task.thread_comm[PROBE_COMM - 1] = '\0';
	unlooked_add(sharing->unlooked, &task, kind->length, value);
}

/* mapread_fn */
static void offcpu_take_example(void *user, const void *key, const void *value)
{
	const struct offcpu_sharing *sharing = user;
	const struct stood_key *example = key;
	guint32 stack = intake_stack(sharing->run->intake, example->stack);
	const struct probe_task *task = intake_task(sharing->run->intake, stack);

	if (task) /* else its record was lost: others stand for it */
		unlooked_add_example(sharing->unlooked, task, example->length, example->stack, example->waker, value);
}

/* unlooked_fn */
static void offcpu_tell_share(void *user, const struct probe_task *task, guint32 stack, guint32 waker,
			      const struct interval_sum *sum)
{
	struct offcpu_run *run = user;

	if (stack == STACK_NONE) {
		run->without_example.events += sum->events;
		run->without_example.weight += sum->weight_ns;
	}
	run->shared.events += sum->events;
	run->shared.weight += sum->weight_ns;
	offcpu_run_tell(run, PROBE_STATE_BLOCKED, task, stack, waker, sum);
}

/* Time of which nobody looked at the stacks. */
static gboolean offcpu_tell_unlooked(struct offcpu_run *run, GError **error)
{
	struct offcpu_sharing sharing = { .run = run };
	gboolean right;

	if (allowance_most_one_in(run->allowance) <= 1)
		return TRUE;
	sharing.unlooked = unlooked_new();
	right = mapread_each(bpf_map__fd(run->kernel->maps.unlooked), sizeof(struct unlooked_key),
			     sizeof(struct interval_sum), offcpu_take_unlooked, &sharing, error) &&
		mapread_each(bpf_map__fd(run->kernel->maps.stood), sizeof(struct stood_key),
			     sizeof(struct interval_sum), offcpu_take_example, &sharing, error);
	if (right)
		unlooked_share_out(sharing.unlooked, offcpu_tell_share, run);
	unlooked_free(sharing.unlooked);
	return right;
}

gboolean offcpu_run_tell_blocked(struct offcpu_run *run, GError **error)
{
	struct offcpu_pairs pairs = { .run = run, .sums = offcpu_map_intervals(run, error) };
	guint32 count = MIN(run->kernel->bss->stack_next_id, INTERVAL_SLOTS);
	gboolean right = TRUE;

	if (!pairs.sums)
		return FALSE;
	for (guint32 id = 0; id < count; id++) {
		if (pairs.sums[id].events == 0)
			continue;
		offcpu_count_truncated(run, pairs.sums[id].flags, &pairs.sums[id]);
		offcpu_run_tell(run, PROBE_STATE_BLOCKED, NULL, id, STACK_NONE, &pairs.sums[id]);
	}
	if (run->request.waker)
		right = mapread_each(bpf_map__fd(run->kernel->maps.pairs), sizeof(struct waker_pair),
				     sizeof(struct interval_sum), offcpu_tell_pair, &pairs, error);
	munmap((void *)pairs.sums, INTERVAL_SLOTS * sizeof(struct interval_sum));
	return right && offcpu_tell_unlooked(run, error);
}

/* Switches that came while our program was already running on that CPU: the kernel skips it then. */
static guint64 offcpu_skipped(const struct offcpu_run *run)
{
	struct bpf_prog_info info = { 0 };
	guint32 bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(run->kernel->progs.offcpu_switch), &info, &bytes) != 0)
		return 0;
	return info.recursion_misses;
}

static gboolean offcpu_note_recognition(struct offcpu_run *run, struct ledger *ledger, GError **error)
{
	int cpus = libbpf_num_possible_cpus();
	g_autofree struct print_stats *stats = g_new0(struct print_stats, MAX(cpus, 1));
	struct intake_audit audit = intake_audit(run->intake);
	struct print_stats sum = { 0 };
	guint32 zero = 0;

	if (cpus <= 0 || bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.print_stats), &zero, stats) != 0) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot read how stacks were recognised: %s",
			    g_strerror(errno));
		return FALSE;
	}
	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.hits += stats[cpu].hits;
		sum.misses += stats[cpu].misses;
		sum.unusable += stats[cpu].unusable;
		sum.audited += stats[cpu].audited;
		sum.mismatched += stats[cpu].mismatched;
		sum.user_misses += stats[cpu].user_misses;
	}
	ledger_note(ledger,
		    g_strdup_printf("stacks recognised without unwinding: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
				    "; checked by unwinding: %" G_GUINT64_FORMAT ", of these wrong: %" G_GUINT64_FORMAT,
				    (guint64)sum.hits, (guint64)(sum.hits + sum.misses), (guint64)sum.audited,
				    (guint64)sum.mismatched));
	if (run->listener.unwind)
		ledger_note(ledger,
			    g_strdup_printf("user stacks copied because no known one fitted: %" G_GUINT64_FORMAT
					    "; recognised ones copied and walked all the same: %" G_GUINT64_FORMAT
					    ", of these wrong: %" G_GUINT64_FORMAT,
					    (guint64)sum.user_misses, audit.checked, audit.wrong));
	return TRUE;
}

static void offcpu_account_unlooked(const struct offcpu_run *run, struct ledger *ledger)
{
	g_autofree char *shared = units_duration(run->shared.weight);
	g_autofree char *without = units_duration(run->without_example.weight);

	if (allowance_most_one_in(run->allowance) <= 1)
		return;
	ledger_note(
		ledger,
		g_strdup_printf("to stay within the budget (%.3g %% of the machine's CPU time) only some of the stacks "
				"were looked at, down to one in %u. All time is measured; %s of it, %" G_GUINT64_FORMAT
				" waits, are shared out among the same process's stacks that were looked at and were "
				"blocked about as long: which stack has it is an estimate",
				100 * allowance_limit(run->allowance), allowance_most_one_in(run->allowance), shared,
				run->shared.events));
	if (run->without_example.events > 0)
		ledger_note(ledger,
			    g_strdup_printf("of these, %s have no stack: none that was blocked about as long was "
					    "looked at",
					    without));
}

gboolean offcpu_run_account(struct offcpu_run *run, struct ledger *ledger, GError **error)
{
	struct ledger losses = { 0 };
	guint64 skipped = offcpu_skipped(run);

	if (!losses_read(bpf_map__fd(run->kernel->maps.losses), &losses, error) ||
	    !offcpu_note_recognition(run, ledger, error))
		return FALSE;
	if (run->unsent.events > 0)
		ledger_add(&losses, LEDGER_LOST_RING, run->unsent.events, run->unsent.weight);
	if (skipped > 0)
		ledger_add(&losses, LEDGER_LOST_MISSED, skipped, 0);
	if (run->truncated.events > 0)
		ledger_add(&losses, LEDGER_TRUNCATED, run->truncated.events, run->truncated.weight);
	losses.seen = run->told;
	for (guint item = 0; item < LEDGER_LOST_END; item++) {
		losses.seen.events += losses.items[item].events;
		losses.seen.weight += losses.items[item].weight;
	}
	ledger_merge(ledger, &losses);
	ledger_clear(&losses);
	intake_account(run->intake, ledger);
	offcpu_account_unlooked(run, ledger);
	allowance_account_cost(run->allowance, ledger);
	ledger->rung = g_strdup(run->rung->name);
	ledger->misses = g_strdup(run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	if (run->kernel->bss->moved_asleep > 0)
		ledger_note(
			ledger,
			g_strdup_printf(
				"sleepers moved to another CPU, whose wait for it is in their sleep: %" G_GUINT64_FORMAT,
				(guint64)run->kernel->bss->moved_asleep));
	if (run->no_scripts)
		ledger_note(
			ledger,
			g_strdup("Python functions are not named: this kernel does not take the walk of their frames"));
	return TRUE;
}

/* ---- the probe ---- */

static struct probe_run *offcpu_open(const struct probe_request *request, const struct probe_listener *listener,
				     GError **error)
{
	return (struct probe_run *)offcpu_run_open(request, listener, FALSE, error);
}

static int offcpu_fd(struct probe_run *run)
{
	return intake_fd(((struct offcpu_run *)run)->intake);
}

static gboolean offcpu_drain(struct probe_run *run, GError **error)
{
	allowance_step(((struct offcpu_run *)run)->allowance);
	return intake_drain(((struct offcpu_run *)run)->intake, error);
}

static void offcpu_teach(struct probe_run *run, guint32 tgid, const struct python_process *process)
{
	intake_teach(((struct offcpu_run *)run)->intake, tgid, process);
}

static gboolean offcpu_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct offcpu_run *run = (struct offcpu_run *)opaque;

	return offcpu_run_stop(run, error) && offcpu_run_tell_blocked(run, error) &&
	       offcpu_run_account(run, ledger, error);
}

static void offcpu_close(struct probe_run *run)
{
	offcpu_run_close((struct offcpu_run *)run);
}

const struct probe probe_offcpu = {
	.name = "offcpu",
	.shows = "blocked time by stack and cause; ends at the wake-up, so it does not hold the wait for a CPU",
	.shape = SHAPE_CALLTREE,
	.unit = UNIT_NANOSECONDS,
	.rungs = offcpu_rungs,
	.open = offcpu_open,
	.fd = offcpu_fd,
	.drain = offcpu_drain,
	.teach = offcpu_teach,
	.finish = offcpu_finish,
	.close = offcpu_close,
};
