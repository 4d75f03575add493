/* SPDX-License-Identifier: Apache-2.0 */
/* The gauges are read when the probes have just been attached and before their results are made, so that both speak of
 * the same time. */
#include "observe/checkup.h"

#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "observe/observe.h"
#include "observe/usage.h"
#include "observe/vitals.h"

#define CHECKUP_DNS_PATIENCE_NS (2 * NS_PER_S) /* questions without an answer for longer are lost: the look is short */
#define CHECKUP_SAMPLE_HZ 19 /* where running time was spent is not asked: as few samples as there may be */

/* Who had the CPU and for whom a thread waited is told by walltime and the blame of each resource; walltime last, because
 * it cannot start afresh when all others are attached. */
static const char *const checkup_probes[] = {
	"trace oom", "connections", "block", "blame block", "blame memory", "blame cpu", "futex", "dns", "walltime",
};

struct run {
	const struct checkup_options *options;
	struct checkup *checkup;
	struct usage *usage;
	struct vitals *vitals;
	struct gauges *first, *last; /* copies of readings */
	guint64 begun_ns, part_ns, called_ns;
	GError *error;
};

static struct gauges *copy_of(const struct gauges *gauges)
{
	struct gauges *copy = gauges_new();

	for (guint32 i = 0; i < gauges->rows->len; i++)
		gauges_copy(copy, gauges_row(gauges, i));
	return copy;
}

/* A reading of all there is; NULL and the run's error. Owned by the caller. */
static struct gauges *run_read(struct run *run)
{
	struct gauges *now = run->error ? NULL : usage_read(run->usage, &run->error);

	if (!now)
		return NULL;
	vitals_add(run->vitals, now);
	if (!usage_is_watching(run->usage))
		vitals_add_waits(run->vitals, now);
	return copy_of(now);
}

static struct shape *run_shape(struct run *run, struct gauges *before, const struct gauges *after)
{
	struct shape *shape = shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT);

	gauges_free(shape->gauges);
	shape->gauges = gauges_diff(before, after);
	gauges_forget_newcomers(shape->gauges, before, GAUGE_CPUSET_IDLE);
	usage_account(run->usage, &shape->ledger);
	return shape;
}

/* observe_run_together.ready */
static void run_ready(void *user)
{
	struct run *run = user;

	run->begun_ns = run->part_ns = clock_monotonic_ns();
	run->checkup->started_ns = run->begun_ns - run->called_ns;
	run->first = run_read(run);
	run->last = run->first ? copy_of(run->first) : NULL;
}

/* A part of the time is over. */
static void run_part(struct run *run, guint64 now_ns)
{
	struct gauges *now = run_read(run);
	struct snapshot *part;

	if (!now || !run->last) {
		gauges_free(now);
		return;
	}
	part = snapshot_new(NULL);
	part->duration_ns = now_ns - run->part_ns;
	g_ptr_array_add(part->shapes, run_shape(run, run->last, now));
	g_ptr_array_add(run->checkup->windows, part);
	gauges_free(run->last);
	run->last = now;
	run->part_ns = now_ns;
}

static void run_progress(void *user, guint64 elapsed_ns, guint64 duration_ns)
{
	struct run *run = user;
	guint done = run->checkup->windows->len;

	if (done + 1 < CHECKUP_WINDOWS && elapsed_ns >= duration_ns / CHECKUP_WINDOWS * (done + 1))
		run_part(run, clock_monotonic_ns());
	if (run->options->progress)
		run->options->progress(run->options->progress_user, elapsed_ns, duration_ns);
}

static void run_ended(void *user)
{
	struct run *run = user;

	run->checkup->ended_ns = clock_monotonic_ns();
	run_part(run, run->checkup->ended_ns);
}

static struct snapshot *run_observe(struct run *run, struct registry *registry, GError **error)
{
	g_autoptr(GPtrArray) targets = target_array_new();
	struct observe_options each[G_N_ELEMENTS(checkup_probes)];
	struct observe_options common = {
		.duration_ns = run->options->duration_ns,
		.stop_fd = run->options->stop_fd,
		.progress = run_progress,
		.progress_user = run,
		.ended = run_ended,
	};
	guint count = 0;

	if (!target_resolve(registry, "all", targets, error))
		return NULL;
	for (guint i = 0; !run->options->files && i < G_N_ELEMENTS(checkup_probes); i++) {
		each[count] = (struct observe_options){
			.probe = probe_find(checkup_probes[i]),
			.targets = targets,
			.by = OBSERVE_BY_CONTAINER,
			.stop_fd = -1,
			.no_user = TRUE,
		};
		if (each[count].probe && each[count].probe->shape == SHAPE_CALLTREE)
			each[count].frequency_hz = CHECKUP_SAMPLE_HZ;
		if (strcmp(checkup_probes[i], "dns") == 0)
			each[count].threshold_ns = CHECKUP_DNS_PATIENCE_NS;
		if (each[count].probe)
			count++;
	}
	return observe_run_together(registry, &common, each, count, run_ready, run->checkup->refused,
				    &run->checkup->rest, error);
}

struct checkup *checkup_run(struct registry *registry, const struct checkup_options *options, GError **error)
{
	struct usage_options usage_options = { .no_bpf = options->files };
	struct run run = { .options = options, .called_ns = clock_monotonic_ns() };
	g_autoptr(GError) refused = NULL;

	run.checkup = g_new0(struct checkup, 1);
	run.checkup->windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	run.checkup->refused = g_ptr_array_new_with_free_func(g_free);
	run.usage = usage_new(registry, &usage_options);
	run.vitals = vitals_new(registry);
	if (!options->files && !usage_watch(run.usage, &refused))
		g_ptr_array_add(run.checkup->refused, g_strdup_printf("threads: %s", refused->message));
	run.checkup->whole = run_observe(&run, registry, error);
	if (run.checkup->whole && run.first && run.last)
		g_ptr_array_insert(run.checkup->whole->shapes, 0, run_shape(&run, run.first, run.last));
	if (run.checkup->whole && run.error) {
		g_propagate_error(error, g_steal_pointer(&run.error));
		g_clear_pointer(&run.checkup->whole, snapshot_free);
	}
	g_clear_error(&run.error);
	gauges_free(run.first);
	gauges_free(run.last);
	vitals_free(run.vitals);
	usage_free(run.usage);
	if (!run.checkup->whole)
		g_clear_pointer(&run.checkup, checkup_free);
	return run.checkup;
}

void checkup_free(struct checkup *checkup)
{
	if (!checkup)
		return;
	observe_together_free(checkup->rest);
	snapshot_free(checkup->whole);
	g_ptr_array_unref(checkup->windows);
	g_ptr_array_unref(checkup->refused);
	g_free(checkup);
}
