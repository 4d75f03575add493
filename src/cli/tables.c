/* SPDX-License-Identifier: Apache-2.0 */
/* Options are checked first, then it is measured; intervals are written as they end. */
#include "cli/tables.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/measure.h"
#include "container/registry.h"
#include "observe/observe.h"
#include "probe/allowance.h"
#include "probe/probe.h"
#include "render/render.h"

#define TABLES_DURATION_DEFAULT_NS (10 * NS_PER_S)
#define TABLES_DURATION_MAX_NS (24 * 3600 * NS_PER_S)
#define TABLES_SLOT_MIN_NS (10 * NS_PER_MS)
#define TABLES_SLOTS 100 /* columns of a heat map when nobody asks for others */
#define TABLES_TOP_MAX 10000
#define TABLES_BUDGET_MIN 0.001 /* per cent */

struct tables {
	const char *command;
	enum shape_kind shape;
	const struct probe *probe;
	char *duration, *interval, *by, *slot, *output, *format, *title, *rung;
	int count, top;
	double budget_percent;
	gboolean pidns, heatmap, json, quiet;
	guint64 duration_ns, interval_ns, slot_ns;
	enum observe_by by_what;
	const struct render_format *writer;
	GPtrArray *targets;
	guint done; /* intervals */
	gboolean inconclusive, failed;
};

static void tables_clear(struct tables *tables)
{
	g_free(tables->duration);
	g_free(tables->interval);
	g_free(tables->by);
	g_free(tables->slot);
	g_free(tables->output);
	g_free(tables->format);
	g_free(tables->title);
	g_free(tables->rung);
	if (tables->targets)
		g_ptr_array_unref(tables->targets);
}

/* ---- what is there ---- */

#define BLAME_PREFIX "blame "

/* The probe's name as the command takes it: "blame cpu" is called "cpu" there. */
static const char *tables_short(const struct probe *probe)
{
	return g_str_has_prefix(probe->name, BLAME_PREFIX) ? probe->name + strlen(BLAME_PREFIX) : probe->name;
}

/* Edges are of more kinds than who made whom wait: connections have commands of their own. And not every histogram is one of
 * times. */
static gboolean tables_offers(const struct probe *probe, enum shape_kind shape)
{
	return probe->shape == shape && probe->unit == UNIT_NANOSECONDS &&
	       (shape != SHAPE_EDGES || g_str_has_prefix(probe->name, BLAME_PREFIX));
}

static char *tables_names(enum shape_kind shape)
{
	GString *names = g_string_new(NULL);

	for (const struct probe *const *probe = probe_registry; *probe; probe++)
		if (tables_offers(*probe, shape))
			g_string_append_printf(names, "%s%s", names->len ? ", " : "", tables_short(*probe));
	return g_string_free(names, FALSE);
}

static char *tables_describe(enum shape_kind shape)
{
	GString *text = g_string_new("Probes:\n");

	for (const struct probe *const *probe = probe_registry; *probe; probe++)
		if (tables_offers(*probe, shape))
			g_string_append_printf(text, "  %-10s %s\n", tables_short(*probe), (*probe)->shows);
	g_string_append(text,
			"\nA TARGET is a container's name or id prefix, a pod, a pid, web:1 (pid inside), a cgroup\n"
			"path, host, all (default), or busiest (every running container).\n");
	return g_string_free(text, FALSE);
}

/* Finds the probe called `name`; for blame it may be left out. How many arguments were used up, or -1 and `error`. */
static int tables_find(struct tables *tables, const char *name, GError **error)
{
	g_autofree char *names = tables_names(tables->shape);

	for (const struct probe *const *probe = probe_registry; name && *probe; probe++) {
		if (tables_offers(*probe, tables->shape) && strcmp(tables_short(*probe), name) == 0) {
			tables->probe = *probe;
			return 1;
		}
	}
	if (tables->shape == SHAPE_EDGES && (tables->probe = probe_find("blame cpu")))
		return 0;
	if (!name)
		command_fail(error, "say what to measure: %s", names);
	else
		command_fail(error, "there is no probe \"%s\" here: choose one of %s", name, names);
	return -1;
}

/* ---- options ---- */

static gboolean tables_parse(struct tables *tables, int *argc, char ***argv, int *status)
{
	const GOptionEntry common[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &tables->duration,
		  "How long to measure: seconds, or with a unit: 500ms, 2m (default 10; with -i: until Ctrl-C)",
		  "SECONDS" },
		{ "interval", 'i', 0, G_OPTION_ARG_STRING, &tables->interval, "A result every so many seconds",
		  "SECONDS" },
		{ "count", 'n', 0, G_OPTION_ARG_INT, &tables->count, "Stop after so many intervals", "N" },
		{ "top", 0, 0, G_OPTION_ARG_INT, &tables->top, "Text: show so many (default 10)", "N" },
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &tables->output,
		  "Write a file, format by its suffix (.svg .html .json .txt); - is stdout", "FILE" },
		{ "format", 0, 0, G_OPTION_ARG_STRING, &tables->format,
		  "Format instead of the suffix's: text svg html json", "NAME" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &tables->json, "The same as --format json: one line a result",
		  NULL },
		{ "title", 0, 0, G_OPTION_ARG_STRING, &tables->title, "Heading", "TEXT" },
		{ "budget", 0, 0, G_OPTION_ARG_DOUBLE, &tables->budget_percent,
		  "Share of the machine's CPU time the probe may take before it looks at fewer events (default 5)",
		  "PERCENT" },
		{ "rung", 0, 0, G_OPTION_ARG_STRING, &tables->rung, "Attach this way only (see: fathom doctor)",
		  "NAME" },
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &tables->quiet, "No word about what is going on", NULL },
		{ NULL },
	};
	const GOptionEntry histograms[] = {
		{ "by", 0, 0, G_OPTION_ARG_STRING, &tables->by,
		  "Keep apart: container (default), process (by name), pid, pidns or cgroup", "WHAT" },
		{ "pidns", 0, 0, G_OPTION_ARG_NONE, &tables->pidns, "The same as --by pidns", NULL },
		{ "heatmap", 0, 0, G_OPTION_ARG_NONE, &tables->heatmap,
		  "Show time from left to right, tables upwards, colour for how many (text, svg, html)", NULL },
		{ "slot", 0, 0, G_OPTION_ARG_STRING, &tables->slot,
		  "Heat map: seconds a column (default: a hundredth of the duration, at least 10ms)", "SECONDS" },
		{ NULL },
	};
	gboolean histogram = tables->shape == SHAPE_HISTOGRAM;
	g_autoptr(GOptionContext) context = g_option_context_new(histogram ? "PROBE [TARGET…]" : "[PROBE] [TARGET…]");
	g_autofree char *description = tables_describe(tables->shape);

	g_option_context_set_summary(
		context, histogram ? "How long things take: one histogram for each container, all in one run"
				   : "Who made whom wait: for every container, who had the resource meanwhile");
	g_option_context_set_description(context, description);
	g_option_context_add_main_entries(context, common, NULL);
	if (histogram)
		g_option_context_add_main_entries(context, histograms, NULL);
	return command_parse(context, argc, argv, status);
}

static gboolean tables_check_time(const char *text, const char *what, guint64 least_ns, guint64 *ns, GError **error)
{
	if (!text)
		return TRUE;
	if (!units_parse_duration(text, NS_PER_S, ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (10) or a unit (500ms, 2m)", text);
	if (*ns < least_ns || *ns > TABLES_DURATION_MAX_NS)
		return command_fail(error, "%s of %s is out of range: %s to 24h", what, text,
				    least_ns == TABLES_SLOT_MIN_NS ? "10ms" : "100ms");
	return TRUE;
}

static gboolean tables_check_by(struct tables *tables, GError **error)
{
	static const struct {
		const char *name;
		enum observe_by by;
	} whats[] = {
		{ "container", OBSERVE_BY_CONTAINER }, { "process", OBSERVE_BY_PROCESS }, { "pid", OBSERVE_BY_PID },
		{ "pidns", OBSERVE_BY_PIDNS },	       { "cgroup", OBSERVE_BY_CGROUP },
	};

	if (tables->pidns && tables->by)
		return command_fail(error, "--pidns and --by exclude each other");
	tables->by_what = tables->pidns ? OBSERVE_BY_PIDNS : OBSERVE_BY_CONTAINER;
	if (!tables->by)
		return TRUE;
	for (guint i = 0; i < G_N_ELEMENTS(whats); i++) {
		if (strcmp(tables->by, whats[i].name) == 0) {
			tables->by_what = whats[i].by;
			return TRUE;
		}
	}
	return command_fail(error, "--by %s is not known: container, process, pid, pidns or cgroup", tables->by);
}

/* Pictures of histograms need slots of time. */
static gboolean tables_check_picture(struct tables *tables, GError **error)
{
	gboolean picture = strcmp(tables->writer->name, "svg") == 0 || strcmp(tables->writer->name, "html") == 0;

	if (strcmp(tables->writer->name, "text") != 0 && strcmp(tables->writer->name, "json") != 0 && !picture)
		return command_fail(error, "%s is a format for stacks: choose text, svg, html or json",
				    tables->writer->name);
	if (tables->shape != SHAPE_HISTOGRAM || (!tables->heatmap && !tables->slot && !picture))
		return TRUE;
	if (!tables->slot) {
		guint64 whole_ns = tables->interval_ns ? tables->interval_ns : tables->duration_ns;

		tables->slot_ns = MAX(whole_ns / TABLES_SLOTS, TABLES_SLOT_MIN_NS);
	}
	return TRUE;
}

static gboolean tables_check(struct tables *tables, GError **error)
{
	if (!tables_check_time(tables->duration, "a duration", 100 * NS_PER_MS, &tables->duration_ns, error) ||
	    !tables_check_time(tables->interval, "an interval", 100 * NS_PER_MS, &tables->interval_ns, error) ||
	    !tables_check_time(tables->slot, "a slot", TABLES_SLOT_MIN_NS, &tables->slot_ns, error) ||
	    !tables_check_by(tables, error) || !measure_rung_is_known(tables->probe, tables->rung, error))
		return FALSE;
	if (tables->count < 0 || (tables->count > 0 && !tables->interval))
		return command_fail(error, "--count counts intervals: give it with --interval and above 0");
	if (tables->top < 0 || tables->top > TABLES_TOP_MAX)
		return command_fail(error, "--top %d is out of range: 1 to %d", tables->top, TABLES_TOP_MAX);
	if (tables->budget_percent < TABLES_BUDGET_MIN || tables->budget_percent > 100)
		return command_fail(error, "a budget of %g %% is out of range: %g to 100", tables->budget_percent,
				    TABLES_BUDGET_MIN);
	if (tables->json && tables->format)
		return command_fail(error, "--json and --format exclude each other");
	if (tables->interval && tables->output && strcmp(tables->output, "-") != 0)
		return command_fail(error, "--interval writes to standard output only: leave -o out");
	if (!tables->duration && !tables->interval)
		tables->duration_ns = TABLES_DURATION_DEFAULT_NS;
	tables->writer = render_format_choose(tables->json ? "json" : tables->format, tables->output, "text", error);
	return tables->writer && tables_check_picture(tables, error) &&
	       (!tables->output || render_output_check(tables->output, error));
}

static gboolean tables_targets(struct tables *tables, struct registry *registry, char **names, GError **error)
{
	tables->targets = target_array_new();
	return observe_targets(registry, names, tables->targets, error);
}

/* ---- measuring ---- */

static gboolean tables_write(struct tables *tables, const struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, tables->shape);
	struct render_options options = { .title = tables->title, .top = (guint)tables->top };
	const char *output = tables->output ? tables->output : "-";
	g_autoptr(GError) error = NULL;

	if (!tables->output)
		render_options_for_terminal(&options);
	if (tables->done > 0 && strcmp(tables->writer->name, "text") == 0)
		putchar('\n');
	if (!render_write_file(snapshot, tables->writer, &options, output, &error)) {
		command_complain(tables->command, "%s", error->message);
		tables->failed = TRUE;
		return FALSE;
	}
	if (strcmp(output, "-") != 0 && !tables->quiet)
		fprintf(stderr, "wrote %s\n", output);
	if (!ledger_is_conclusive(&shape->ledger)) {
		command_complain(tables->command,
				 "inconclusive: only %.1f %% of what happened is in this result (see its ledger)",
				 100 * ledger_coverage(&shape->ledger));
		tables->inconclusive = TRUE;
	}
	tables->done++;
	return TRUE;
}

/* observe_options.interval */
static gboolean tables_interval(void *user, const struct snapshot *snapshot)
{
	struct tables *tables = user;

	return tables_write(tables, snapshot) && (tables->count == 0 || tables->done < (guint)tables->count);
}

static gboolean tables_is_told(const struct tables *tables, const struct snapshot *last)
{
	if (tables->failed || (tables->count && tables->done >= (guint)tables->count))
		return FALSE;
	return tables->done == 0 || measure_last_is_told(last, snapshot_find(last, tables->shape), tables->interval_ns);
}

static gboolean tables_observe(struct tables *tables, struct registry *registry, GError **error)
{
	struct observe_options options = {
		.probe = tables->probe,
		.targets = tables->targets,
		.duration_ns = tables->duration_ns,
		.by = tables->by_what,
		.rung = tables->rung,
		.slot_ns = tables->slot_ns,
		.interval_ns = tables->interval_ns,
		.budget_share = tables->budget_percent / 100,
		.interval = tables_interval,
		.interval_user = tables,
		.interval_count = (guint)tables->count,
		.stop_fd = measure_stop_fd(),
	};
	g_autoptr(snapshot_t) rest = NULL;

	if (!tables->quiet && isatty(STDERR_FILENO) && !tables->interval)
		fprintf(stderr, "measuring for %.1f s; Ctrl-C ends early\n", (double)tables->duration_ns / 1e9);
	rest = source_observe(registry, &options, error);
	measure_signals_restore(options.stop_fd);
	if (!rest)
		return FALSE;
	if (tables_is_told(tables, rest))
		tables_write(tables, rest);
	return TRUE;
}

/* Why there is no other way, where somebody may look for one. */
static const struct {
	const char *probe, *why;
} tables_why_bpf[] = {
	{ "connect",
	  "sock_diag tells of a socket what it is, not when it began to connect: fathom latency rtt works without" },
	{ "first-byte",
	  "sock_diag tells of a socket what it is, not when its first byte came: fathom latency rtt works without" },
	{ "request", "nothing else knows when a request was sent and answered: fathom latency rtt works without" },
	{ "dns", "neither /proc nor sock_diag says what a datagram was" },
};

static void tables_tell_why(const struct tables *tables)
{
	for (gsize i = 0; i < G_N_ELEMENTS(tables_why_bpf); i++)
		if (strcmp(tables_why_bpf[i].probe, tables->probe->name) == 0)
			command_complain(tables->command, "%s", tables_why_bpf[i].why);
}

/* Where kernel programs are refused there may be another way, which sees less: its ledger says so. */
static gboolean tables_can_attach(const struct tables *tables)
{
	for (const struct rung *rung = tables->probe->rungs; rung->name; rung++)
		if (rung->without_bpf)
			return TRUE;
	if (source_need_bpf(tables->command))
		return TRUE;
	tables_tell_why(tables);
	return FALSE;
}

static int tables_run(struct tables *tables, char **names)
{
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	int status = EXIT_USAGE;

	if (tables_check(tables, &error) && tables_can_attach(tables) && (registry = source_registry(&error)) &&
	    tables_targets(tables, registry, names, &error)) {
		status = tables_observe(tables, registry, &error) && !tables->failed ? EXIT_OK : EXIT_FAILED;
		if (status == EXIT_OK && tables->inconclusive)
			status = EXIT_INCONCLUSIVE;
	}
	if (error)
		command_complain(tables->command, "%s", error->message);
	registry_free(registry);
	return status;
}

int tables_main(const char *command, int argc, char **argv)
{
	struct tables tables = {
		.command = command,
		.budget_percent = 100 * ALLOWANCE_SHARE,
		.shape = strcmp(command, "latency") == 0 ? SHAPE_HISTOGRAM : SHAPE_EDGES,
	};
	g_autoptr(GError) error = NULL;
	int status;

	if (tables_parse(&tables, &argc, &argv, &status)) {
		int used = tables_find(&tables, argc > 1 ? argv[1] : NULL, &error);

		if (used >= 0) {
			status = tables_run(&tables, argv + 1 + used);
		} else {
			command_complain(command, "%s", error->message);
			status = EXIT_USAGE;
		}
	}
	tables_clear(&tables);
	return status;
}
