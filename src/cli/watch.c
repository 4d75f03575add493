/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/watch.h"

#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "container/registry.h"
#include "probe/probe.h"
#include "render/render.h"

#define WATCH_INTERVAL "1s"
#define WATCH_INTERVAL_MIN_NS (100 * NS_PER_MS)
#define WATCH_DURATION_MAX_NS (366 * 24 * 3600 * NS_PER_S)
#define WATCH_TOP_MAX 10000
#define WATCH_CLEAR "\033[H\033[2J"

struct watch_run {
	const struct watch *watch;
	char *duration, *interval, *output, *rung;
	int count, top;
	gboolean json;
	guint64 duration_ns, interval_ns;
	GPtrArray *targets;
	struct edges *total; /* since the start; NULL: nothing yet */
	guint64 elapsed_ns;
	int shown;
	gboolean live; /* redraw one screen */
};

static void watch_clear(struct watch_run *run)
{
	g_free(run->duration);
	g_free(run->interval);
	g_free(run->output);
	g_free(run->rung);
	edges_free(run->total);
	if (run->targets)
		g_ptr_array_unref(run->targets);
}

static void watch_print(const struct watch_run *run, const struct edges *edges, const struct shape *also,
			const struct ledger *ledger, guint64 elapsed_ns)
{
	const struct watch_view view = { .top = (guint)run->top, .elapsed_ns = elapsed_ns, .ledger = ledger };
	const struct watch *watch = run->watch;
	g_autofree char *elapsed = units_duration(elapsed_ns);

	if (run->live)
		fputs(WATCH_CLEAR, stdout);
	else if (run->shown)
		putchar('\n');
	table_print_wrapped(stdout, "%s in %s\n",
			    watch->headline ? watch->headline(watch->user, ledger) : watch->heading, elapsed);
	if (edges->rows->len)
		watch->print(stdout, edges, &view);
	else
		puts("none");
	if (also)
		watch->print_also(stdout, also, view.top);
	fflush(stdout);
}

static gboolean watch_keep(struct watch_run *run, const struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);

	run->elapsed_ns += snapshot->duration_ns;
	if (!run->total)
		run->total = edges_new((const char *const *)shape->edges->labels, shape->edges->counters,
				       shape->edges->histograms);
	return edges_merge(run->total, shape->edges);
}

/* observe_options.interval */
static gboolean watch_interval(void *user, const struct snapshot *snapshot)
{
	struct watch_run *run = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);

	struct shape *also = run->watch->look ? run->watch->look(run->watch->user, run->live) : NULL;

	watch_keep(run, snapshot);
	if (run->json)
		run->watch->json(stdout, snapshot, shape, also);
	else
		watch_print(run, run->live ? run->total : shape->edges, also, &shape->ledger,
			    run->live ? run->elapsed_ns : snapshot->duration_ns);
	run->shown++;
	if (also)
		shape_free(also);
	return !ferror(stdout) && (!run->count || run->shown < run->count);
}

static gboolean watch_check(struct watch_run *run, GError **error)
{
	if (run->duration && (!units_parse_duration(run->duration, NS_PER_S, &run->duration_ns) ||
			      run->duration_ns < 10 * NS_PER_MS || run->duration_ns > WATCH_DURATION_MAX_NS))
		return command_fail(error, "a duration of \"%s\" makes no sense: give 10ms to 366 days, as 10 or 2m",
				    run->duration);
	if (!units_parse_duration(run->interval ? run->interval : WATCH_INTERVAL, NS_PER_S, &run->interval_ns) ||
	    run->interval_ns < WATCH_INTERVAL_MIN_NS)
		return command_fail(error, "an interval of \"%s\" makes no sense: give at least 100ms", run->interval);
	if (run->count < 0)
		return command_fail(error, "--count is a number above 0");
	if (run->top < 0 || run->top > WATCH_TOP_MAX)
		return command_fail(error, "--top %d is out of range: 1 to %d", run->top, WATCH_TOP_MAX);
	if (run->duration && !run->interval && !run->count)
		run->interval_ns = 0; /* one summary */
	if (!measure_rung_is_known(probe_find(run->watch->probe), run->rung, error))
		return FALSE;
	return !run->output || measure_capture_is_writable("edges", run->output, error);
}

static int watch_end(struct watch_run *run, struct snapshot *snapshot)
{
	const struct watch *watch = run->watch;
	struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);
	struct render_options options = { 0 };
	g_autoptr(GError) error = NULL;
	gboolean kept = run->interval_ns && (!run->shown || measure_last_is_told(snapshot, shape, run->interval_ns));
	struct shape *also;

	if (kept)
		watch_interval(run, snapshot);
	also = watch->look ? watch->look(watch->user, TRUE) : NULL;
	if (also)
		g_ptr_array_add(snapshot->shapes, also);
	if (!run->interval_ns && run->json)
		watch->json(stdout, snapshot, shape, also);
	else if (!run->interval_ns)
		watch_print(run, shape->edges, also, &shape->ledger, snapshot->duration_ns);
	for (guint i = 0; shape->ledger.notes && i < shape->ledger.notes->len; i++) {
		const char *note = g_ptr_array_index(shape->ledger.notes, i);

		/* Where one screen is drawn again and again, nobody asked for intervals. */
		if (!run->live || !g_str_has_prefix(note, OBSERVE_PARTIAL))
			command_complain(watch->command, "%s", note);
	}
	if (run->total && (kept || watch_keep(run, snapshot))) {
		edges_free(shape->edges);
		shape->edges = g_steal_pointer(&run->total);
	}
	if (run->output &&
	    !render_write_file(snapshot, render_format_find("json", NULL), &options, run->output, &error)) {
		command_complain(watch->command, "%s", error->message);
		return EXIT_FAILED;
	}
	if (ledger_is_conclusive(&shape->ledger))
		return EXIT_OK;
	command_complain(watch->command, "inconclusive: only %.1f %% of what happened is in the result",
			 100 * ledger_coverage(&shape->ledger));
	return EXIT_INCONCLUSIVE;
}

static gboolean watch_targets(struct watch_run *run, struct registry *registry, char **targets, GError **error)
{
	run->targets = target_array_new();
	if (!observe_targets(registry, targets, run->targets, error))
		return FALSE;
	for (guint i = 0; i < run->targets->len; i++) {
		const struct target *target = g_ptr_array_index(run->targets, i);

		/* A socket is its cgroup's; several processes may hold it. */
		if (target->kind == TARGET_PROCESS)
			return command_fail(
				error,
				"\"%s\" is a process, and a socket belongs to a container, not to one of its "
				"processes: name %s instead",
				target->text, target->container ? target->container->name : "its container");
	}
	return TRUE;
}

static int watch_measure(struct watch_run *run, struct registry *registry, struct observe_options *options,
			 GError **error)
{
	struct snapshot *snapshot;
	int status = EXIT_FAILED;

	options->targets = run->targets;
	if (run->watch->begin)
		run->watch->begin(run->watch->user, registry, run->targets);
	options->stop_fd = measure_stop_fd();
	snapshot = source_observe(registry, options, error);
	measure_signals_restore(options->stop_fd);
	if (snapshot)
		status = watch_end(run, snapshot);
	snapshot_free(snapshot);
	return status;
}

static gboolean watch_can_attach(const struct watch *watch)
{
	if (watch->without_bpf || source_need_bpf(watch->command))
		return TRUE;
	if (watch->why_bpf)
		command_complain(watch->command, "%s", watch->why_bpf);
	return FALSE;
}

static int watch_run(struct watch_run *run, char **targets)
{
	const struct watch *watch = run->watch;
	struct observe_options options = {
		.probe = probe_find(watch->probe),
		.interval = watch_interval,
		.interval_user = run,
	};
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	int status = EXIT_USAGE;

	if (watch_check(run, &error) && (!watch->prepare || watch->prepare(watch->user, &options, &error)) &&
	    watch_can_attach(watch) && (registry = source_registry(&error)) &&
	    watch_targets(run, registry, targets, &error)) {
		options.duration_ns = run->duration_ns;
		options.interval_ns = run->interval_ns;
		options.interval_count = (guint)run->count;
		options.rung = run->rung;
		status = watch_measure(run, registry, &options, &error);
	}
	if (error)
		command_complain(watch->command, "%s", error->message);
	registry_free(registry);
	return status;
}

int watch_main(const struct watch *watch, int argc, char **argv)
{
	struct watch_run run = { .watch = watch };
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &run.duration,
		  "One summary after this long: seconds, or with a unit: 500ms, 2m (default: a live table)",
		  "SECONDS" },
		{ "interval", 'i', 0, G_OPTION_ARG_STRING, &run.interval,
		  "A table for each interval (default " WATCH_INTERVAL ")", "SECONDS" },
		{ "count", 'n', 0, G_OPTION_ARG_INT, &run.count, "Stop after this many intervals", "N" },
		{ "top", 0, 0, G_OPTION_ARG_INT, &run.top, "Text: show so many rows (default: all)", "N" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &run.json, "One JSON object a line for each table", NULL },
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &run.output, "At the end, also write a capture (.json)",
		  "FILE" },
		{ "rung", 0, 0, G_OPTION_ARG_STRING, &run.rung, "Attach this way only (see: fathom doctor)", "NAME" },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");
	int status;

	g_option_context_set_summary(context, watch->summary);
	g_option_context_add_main_entries(context, entries, NULL);
	if (watch->entries)
		g_option_context_add_main_entries(context, watch->entries, NULL);
	if (command_parse(context, &argc, &argv, &status)) {
		run.live = !run.json && !run.duration && !run.interval && !run.count && isatty(STDOUT_FILENO);
		status = watch_run(&run, argv + 1);
	}
	watch_clear(&run);
	return status;
}
