/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/follow.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/measure.h"
#include "container/registry.h"
#include "observe/observe.h"
#include "probe/ladder.h"
#include "probe/probe.h"
#include "render/events.h"
#include "render/render.h"

#define FOLLOW_DURATION_MAX_NS (366 * 24 * 3600 * NS_PER_S)
#define FOLLOW_RATE_MAX 1000000
#define FOLLOW_OVER_DEFAULT "10ms"

struct follow_run {
	const struct follow *follow;
	const struct probe *probe;
	char *duration, *over, *output, *rung;
	int count, rate, limit;
	gboolean json, arguments;
	guint64 duration_ns, over_ns;
	GPtrArray *targets;
	struct event_lines *lines;
	guint64 shown;
	int stop_fd;
};

static void follow_clear(struct follow_run *run)
{
	g_free(run->duration);
	g_free(run->over);
	g_free(run->output);
	g_free(run->rung);
	event_lines_free(run->lines);
	if (run->targets)
		g_ptr_array_unref(run->targets);
}

static gboolean follow_parse(struct follow_run *run, int *argc, char ***argv, int *status)
{
	const GOptionEntry common[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &run->duration,
		  "Stop after this long: seconds, or with a unit: 500ms, 2m (default: Ctrl-C ends)", "SECONDS" },
		{ "count", 'n', 0, G_OPTION_ARG_INT, &run->count, "Stop after this many events", "N" },
		{ "rate", 0, 0, G_OPTION_ARG_INT, &run->rate,
		  "Events a second that one container may show; more are counted, not shown (default 1000)", "N" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &run->json, "One JSON object a line", NULL },
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &run->output,
		  "At the end, also write a capture (.json) of the last events", "FILE" },
		{ "limit", 0, 0, G_OPTION_ARG_INT, &run->limit, "Events kept for the capture (default 10000)", "N" },
		{ "rung", 0, 0, G_OPTION_ARG_STRING, &run->rung, "Attach this way only (see: fathom doctor)", "NAME" },
		{ NULL },
	};
	const GOptionEntry threshold[] = {
		{ "over", 0, 0, G_OPTION_ARG_STRING, &run->over,
		  "Only what takes at least this long, e.g. 500us (default " FOLLOW_OVER_DEFAULT ")", "TIME" },
		{ NULL },
	};
	const GOptionEntry arguments[] = {
		{ "args", 0, 0, G_OPTION_ARG_NONE, &run->arguments,
		  "exec: also the arguments. They may hold passwords, so they are left out otherwise", NULL },
		{ NULL },
	};
	g_autofree char *kinds = g_strdelimit(g_strdup(run->follow->kinds ? run->follow->kinds : ""), " ", '|');
	g_autofree char *usage = g_strdup_printf("%s%s[TARGET…]", kinds, kinds[0] ? " " : "");
	g_autoptr(GOptionContext) context = g_option_context_new(usage);

	g_option_context_set_summary(context, run->follow->summary);
	g_option_context_set_description(
		context,
		"A TARGET is a container's name or id prefix, a pod, a pid, web:1 (pid inside), a cgroup\n"
		"path, host, all (default), or busiest (every running container). Several are taken together.\n");
	g_option_context_add_main_entries(context, common, NULL);
	if (run->follow->with_threshold)
		g_option_context_add_main_entries(context, threshold, NULL);
	if (run->follow->with_arguments)
		g_option_context_add_main_entries(context, arguments, NULL);
	return command_parse(context, argc, argv, status);
}

static gboolean follow_check_kind(struct follow_run *run, const char *kind, GError **error)
{
	g_auto(GStrv) kinds = g_strsplit(run->follow->kinds ? run->follow->kinds : "", " ", -1);
	g_autofree char *list = g_strjoinv(", ", kinds);
	g_autofree char *name = g_strdup_printf("%s %s", run->follow->command, kind ? kind : "");

	if (!run->follow->kinds) {
		run->probe = probe_find(run->follow->command);
		return run->probe || command_fail(error, "this build has no such probe");
	}
	if (!kind)
		return command_fail(error, "say what: one of %s", list);
	if (!g_strv_contains((const char *const *)kinds, kind))
		return command_fail(error, "\"%s\" is none of %s", kind, list);
	run->probe = probe_find(name);
	return run->probe || command_fail(error, "this build has no such probe");
}

static gboolean follow_check(struct follow_run *run, GError **error)
{
	run->duration_ns = FOLLOW_DURATION_MAX_NS;
	if (run->duration && !units_parse_duration(run->duration, NS_PER_S, &run->duration_ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (10) or a unit (500ms, 2m)",
				    run->duration);
	if (run->duration_ns < 10 * NS_PER_MS || run->duration_ns > FOLLOW_DURATION_MAX_NS)
		return command_fail(error, "a duration of %s is out of range: 10ms to 366 days", run->duration);
	if (!units_parse_duration(run->over ? run->over : FOLLOW_OVER_DEFAULT, NS_PER_S, &run->over_ns))
		return command_fail(error, "--over \"%s\" is not a time: give e.g. 500us or 10ms", run->over);
	if (run->count < 0 || run->rate < 0 || run->rate > FOLLOW_RATE_MAX || run->limit < 0 ||
	    (guint)run->limit > EVENTS_LIMIT_MAX)
		return command_fail(error,
				    "--count, --rate and --limit are numbers above 0 (rate up to %d, limit to %u)",
				    FOLLOW_RATE_MAX, EVENTS_LIMIT_MAX);
	if (run->arguments && strcmp(run->probe->name, "trace exec") != 0)
		return command_fail(error, "--args is for trace exec");
	if (run->output && !measure_capture_is_writable("events", run->output, error))
		return FALSE;
	return measure_rung_is_known(run->probe, run->rung, error);
}

static gboolean follow_targets(struct follow_run *run, struct registry *registry, char **targets, GError **error)
{
	run->targets = target_array_new();
	return observe_targets(registry, targets, run->targets, error);
}

static void follow_stop(const struct follow_run *run)
{
	raise(SIGTERM); /* blocked, and heard by the stop descriptor */
	(void)run;
}

static void follow_event(void *user, const struct event *event)
{
	struct follow_run *run = user;

	if (run->count && run->shown >= (guint64)run->count)
		return;
	run->shown++;
	if (run->json)
		render_event_json(stdout, event);
	else
		event_lines_put(run->lines, event);
	fflush(stdout);
	if (ferror(stdout) || (run->count && run->shown == (guint64)run->count))
		follow_stop(run);
}

static struct snapshot *follow_observe(struct follow_run *run, struct registry *registry, GError **error)
{
	struct observe_options options = {
		.probe = run->probe,
		.targets = run->targets,
		.duration_ns = run->duration_ns,
		.threshold_ns = run->over_ns,
		.event = follow_event,
		.event_user = run,
		.event_limit = (guint)run->limit,
		.event_rate = (guint32)run->rate,
		.arguments = run->arguments,
		.rung = run->rung,
		.stop_fd = measure_stop_fd(),
	};
	struct snapshot *snapshot = source_observe(registry, &options, error);

	measure_signals_restore(options.stop_fd);
	return snapshot;
}

/* What was left out belongs beside what was shown. */
static void follow_floods(const struct follow_run *run, const struct events *events)
{
	for (guint i = 0; i < events->floods->len; i++) {
		const struct event_flood *flood = &g_array_index(events->floods, struct event_flood, i);

		command_complain(run->follow->command,
				 "%s made too many events: %" G_GUINT64_FORMAT " of them were left out (--rate)",
				 flood->container ? flood->container : "somebody", flood->events);
	}
}

static int follow_end(struct follow_run *run, struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EVENTS);
	struct render_options options = { 0 };
	g_autoptr(GError) error = NULL;

	if (!run->json && !run->shown)
		command_complain(run->follow->command, "nothing to show%s",
				 run->follow->with_threshold ? ": nothing took as long as --over says" : "");
	follow_floods(run, shape->events);
	for (guint i = 0; shape->ledger.notes && i < shape->ledger.notes->len; i++)
		command_complain(run->follow->command, "%s", (const char *)g_ptr_array_index(shape->ledger.notes, i));
	if (run->output &&
	    !render_write_file(snapshot, render_format_find("json", NULL), &options, run->output, &error)) {
		command_complain(run->follow->command, "%s", error->message);
		return EXIT_FAILED;
	}
	if (ledger_is_conclusive(&shape->ledger))
		return EXIT_OK;
	command_complain(run->follow->command, "inconclusive: only %.1f %% of what happened was shown",
			 100 * ledger_coverage(&shape->ledger));
	return EXIT_INCONCLUSIVE;
}

/* Where kernel programs are refused there may be another way, which sees less: said before anything is shown. */
static gboolean follow_can_attach(const struct follow_run *run)
{
	const struct rung *rung = run->probe->rungs;
	g_autofree char *missing = ladder_missing_capabilities();

	while (rung->name && !rung->without_bpf)
		rung++;
	if (!rung->name || source_capture())
		return source_need_bpf(run->follow->command);
	if (g_strcmp0(run->rung, rung->name) == 0)
		command_complain(run->follow->command, "%s", rung->misses);
	else if (missing && !run->rung)
		command_complain(run->follow->command, "without %s: %s", missing, rung->misses);
	return TRUE;
}

static int follow_run(struct follow_run *run, int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	struct snapshot *snapshot = NULL;
	struct render_options options = { 0 };
	int status = EXIT_USAGE;

	render_options_for_terminal(&options);
	run->lines = event_lines_new(stdout, &options);
	if (follow_check_kind(run, argc > 1 ? argv[1] : NULL, &error) && follow_check(run, &error) &&
	    follow_can_attach(run) && (registry = source_registry(&error)) &&
	    follow_targets(run, registry, argv + (run->follow->kinds ? 2 : 1), &error)) {
		snapshot = follow_observe(run, registry, &error);
		status = snapshot ? follow_end(run, snapshot) : EXIT_FAILED;
	}
	if (error)
		command_complain(run->follow->command, "%s", error->message);
	snapshot_free(snapshot);
	registry_free(registry);
	return status;
}

int follow_main(const struct follow *follow, int argc, char **argv)
{
	struct follow_run run = { .follow = follow };
	int status;

	if (follow_parse(&run, &argc, &argv, &status))
		status = follow_run(&run, argc, argv);
	follow_clear(&run);
	return status;
}
