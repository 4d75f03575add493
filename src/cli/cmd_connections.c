/* SPDX-License-Identifier: Apache-2.0 */
/* fathom connections: who connects to whom over TCP, summed up by edge. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "container/registry.h"
#include "observe/observe.h"
#include "probe/probe.h"
#include "render/connections.h"
#include "render/render.h"

#define CONNECTIONS_INTERVAL "1s"
#define CONNECTIONS_INTERVAL_MIN_NS (100 * NS_PER_MS)
#define CONNECTIONS_DURATION_MAX_NS (366 * 24 * 3600 * NS_PER_S)
#define CONNECTIONS_CLEAR "\033[H\033[2J"

struct connections_run {
	char *duration, *interval, *output, *rung;
	int count;
	gboolean json, all_sockets;
	guint64 duration_ns, interval_ns;
	GPtrArray *targets;
	struct edges *total; /* since the start; NULL: nothing yet */
	guint64 elapsed_ns;
	int shown;
	gboolean live; /* redraw one screen */
	gboolean polled; /* see connections_are_polled */
};

static void connections_clear(struct connections_run *run)
{
	g_free(run->duration);
	g_free(run->interval);
	g_free(run->output);
	g_free(run->rung);
	edges_free(run->total);
	if (run->targets)
		g_ptr_array_unref(run->targets);
}

/* ---- text ---- */

static const struct table_column columns[] = {
	{ "FROM", FALSE },   { "TO", FALSE },  { "PORT", TRUE },    { "OPENS", TRUE },	  { "ACCEPTS", TRUE },
	{ "CLOSES", TRUE },  { "LIVE", TRUE }, { "SENT", TRUE },    { "RECEIVED", TRUE }, { "RETRANSMITS", TRUE },
	{ "CONNECT", TRUE }, { "RTT", TRUE },  { "REQUEST", TRUE }, { "FAILED", FALSE },
};

#define COLUMNS_UNKNOWN_POLLED 7 /* SENT and what follows */

static void cell_end(struct table *table, struct edge_end end)
{
	g_autofree char *unknown = g_strdup_printf("[%s]", end.name);

	if (end.kind == EDGE_END_CONTAINER)
		table_cell_styled(table, end.name, TABLE_STRONG);
	else if (end.kind == EDGE_END_UNKNOWN)
		table_cell_styled(table, unknown, TABLE_DIM);
	else
		table_cell(table, end.name);
}

static void cell_bytes(struct table *table, guint64 bytes)
{
	g_autofree char *text = units_bytes(bytes);

	table_cell(table, bytes ? text : "0");
}

/* The median's bucket: "64–128 µs". */
static void cell_range(struct table *table, guint64 low_ns, guint64 high_ns)
{
	g_autofree char *low = units_duration(low_ns), *high = units_duration(high_ns);
	g_autofree char *text = g_strdup_printf("%s–%s", low, high);

	table_cell(table, high_ns ? text : NULL);
}

static void connections_row(struct table *table, const struct edges *edges, guint32 row, gboolean polled)
{
	g_autofree char *failed = connection_failures(edges, row);
	struct connection_numbers numbers;
	g_autofree char *retransmits = NULL;

	connection_numbers(edges, row, &numbers);
	cell_end(table, edges_source(edges, row));
	cell_end(table, edges_target(edges, row));
	table_cell(table, edges_labels(edges, row)[0]);
	table_cell_number(table, numbers.opens, TRUE);
	table_cell_number(table, numbers.accepts, TRUE);
	table_cell_number(table, numbers.closes, TRUE);
	table_cell_number(table, numbers.live, TRUE);
	if (polled) { /* the rest is not known */
		for (guint i = 0; i < COLUMNS_UNKNOWN_POLLED; i++)
			table_cell(table, NULL);
		return;
	}
	cell_bytes(table, numbers.sent_bytes);
	cell_bytes(table, numbers.received_bytes);
	if (numbers.spurious) {
		retransmits = g_strdup_printf("%" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT " spurious)",
					      numbers.retransmits, numbers.spurious);
		table_cell(table, retransmits);
	} else {
		table_cell_number(table, numbers.retransmits, TRUE);
	}
	cell_range(table, numbers.connect_low_ns, numbers.connect_high_ns);
	cell_range(table, numbers.rtt_low_ns, numbers.rtt_high_ns);
	cell_range(table, numbers.request_low_ns, numbers.request_high_ns);
	if (failed)
		table_cell_styled(table, failed, TABLE_ALERT);
	else
		table_cell(table, "0");
}

/* What numbers in columns do not tell. */
static void connections_remark(const struct edges *edges, guint32 row, guint64 elapsed_ns)
{
	const char *port = edges_labels(edges, row)[0];
	g_autofree char *source = text_terminal(edges_source(edges, row).name);
	g_autofree char *target = text_terminal(edges_target(edges, row).name);
	g_autofree char *remarks = NULL;
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	remarks = connection_remarks(&numbers, elapsed_ns);
	if (remarks)
		printf("! %s \342\206\222 %s%s%s: %s\n", source, target, port ? ":" : "", port ? port : "", remarks);
}

static void connections_print(const struct connections_run *run, const struct edges *edges, guint64 elapsed_ns)
{
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autoptr(GArray) order = connection_order(edges);
	g_autofree char *elapsed = units_duration(elapsed_ns);

	for (guint i = 0; i < order->len; i++)
		connections_row(table, edges, g_array_index(order, guint32, i), run->polled);
	if (run->live)
		fputs(CONNECTIONS_CLEAR, stdout);
	printf("%s in %s%s\n", run->all_sockets ? "Connections, datagrams and unix sockets" : "TCP connections",
	       elapsed, run->polled ? " (polled every 3 s: short connections are missed)" : "");
	if (order->len)
		table_print(table, stdout);
	else
		puts("none");
	for (guint i = 0; i < order->len && !run->polled; i++)
		connections_remark(edges, g_array_index(order, guint32, i), elapsed_ns);
	fflush(stdout);
}

/* ---- measuring ---- */

static gboolean connections_keep(struct connections_run *run, const struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);

	run->elapsed_ns += snapshot->duration_ns;
	if (!run->total)
		run->total = edges_new((const char *const *)shape->edges->labels, shape->edges->counters,
				       shape->edges->histograms);
	return edges_merge(run->total, shape->edges);
}

static gboolean connections_interval(void *user, const struct snapshot *snapshot)
{
	struct connections_run *run = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);

	connections_keep(run, snapshot);
	run->polled = connections_are_polled(&shape->ledger);
	if (run->json)
		render_connections_json(stdout, snapshot, shape);
	else
		connections_print(run, run->live ? run->total : shape->edges,
				  run->live ? run->elapsed_ns : snapshot->duration_ns);
	run->shown++;
	return !ferror(stdout) && (!run->count || run->shown < run->count);
}

static gboolean connections_check(struct connections_run *run, GError **error)
{
	const struct render_format *format;

	run->duration_ns = 0;
	if (run->duration && (!units_parse_duration(run->duration, NS_PER_S, &run->duration_ns) ||
			      run->duration_ns < 10 * NS_PER_MS || run->duration_ns > CONNECTIONS_DURATION_MAX_NS))
		return command_fail(error, "a duration of \"%s\" makes no sense: give 10ms to 366 days, as 10 or 2m",
				    run->duration);
	if (!units_parse_duration(run->interval ? run->interval : CONNECTIONS_INTERVAL, NS_PER_S, &run->interval_ns) ||
	    run->interval_ns < CONNECTIONS_INTERVAL_MIN_NS)
		return command_fail(error, "an interval of \"%s\" makes no sense: give at least 100ms", run->interval);
	if (run->count < 0)
		return command_fail(error, "--count is a number above 0");
	if (run->duration && !run->interval && !run->count)
		run->interval_ns = 0; /* one summary */
	if (!run->output)
		return TRUE;
	format = render_format_by_suffix(run->output, error);
	if (format && strcmp(format->name, "json") != 0)
		return command_fail(error, "edges are captured as .json: give -o another name than \"%s\"",
				    run->output);
	return format && render_output_check(run->output, error);
}

static int connections_end(struct connections_run *run, struct snapshot *snapshot)
{
	struct shape *shape = snapshot_find(snapshot, SHAPE_EDGES);
	struct render_options options = { 0 };
	g_autoptr(GError) error = NULL;

	run->polled = connections_are_polled(&shape->ledger);
	if (!run->interval_ns && run->json)
		render_connections_json(stdout, snapshot, shape);
	else if (!run->interval_ns)
		connections_print(run, shape->edges, snapshot->duration_ns);
	for (guint i = 0; shape->ledger.notes && i < shape->ledger.notes->len; i++)
		command_complain("connections", "%s", (const char *)g_ptr_array_index(shape->ledger.notes, i));
	if (run->total && connections_keep(run, snapshot)) {
		edges_free(shape->edges);
		shape->edges = g_steal_pointer(&run->total);
	}
	if (run->output &&
	    !render_write_file(snapshot, render_format_find("json", NULL), &options, run->output, &error)) {
		command_complain("connections", "%s", error->message);
		return EXIT_FAILED;
	}
	if (ledger_is_conclusive(&shape->ledger))
		return EXIT_OK;
	command_complain("connections", "inconclusive: only %.1f %% of what happened is in the result",
			 100 * ledger_coverage(&shape->ledger));
	return EXIT_INCONCLUSIVE;
}

static gboolean connections_targets(struct connections_run *run, struct registry *registry, char **targets,
				    GError **error)
{
	run->targets = target_array_new();
	if (!targets[0])
		return observe_target(registry, "all", run->targets, error);
	for (; *targets; targets++)
		if (!observe_target(registry, *targets, run->targets, error))
			return FALSE;
	return TRUE;
}

static int connections_measure(struct connections_run *run, struct registry *registry, GError **error)
{
	struct observe_options options = {
		.probe = probe_find("connections"),
		.targets = run->targets,
		.duration_ns = run->duration_ns,
		.interval_ns = run->interval_ns,
		.interval = connections_interval,
		.interval_user = run,
		.rung = run->rung,
		.peers = run->all_sockets,
		.stop_fd = measure_stop_fd(),
	};
	struct snapshot *snapshot = source_observe(registry, &options, error);
	int status = EXIT_FAILED;

	measure_signals_restore(options.stop_fd);
	if (snapshot)
		status = connections_end(run, snapshot);
	snapshot_free(snapshot);
	return status;
}

int cmd_connections(int argc, char **argv)
{
	struct connections_run run = { 0 };
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &run.duration,
		  "One summary after this long: seconds, or with a unit: 500ms, 2m (default: a live table)",
		  "SECONDS" },
		{ "interval", 'i', 0, G_OPTION_ARG_STRING, &run.interval,
		  "A table for each interval (default " CONNECTIONS_INTERVAL ")", "SECONDS" },
		{ "count", 'n', 0, G_OPTION_ARG_INT, &run.count, "Stop after this many intervals", "N" },
		{ "all-sockets", 0, 0, G_OPTION_ARG_NONE, &run.all_sockets,
		  "Also datagrams (UDP) and unix sockets; looks at every packet", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &run.json, "One JSON object a line for each table", NULL },
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &run.output, "At the end, also write a capture (.json)",
		  "FILE" },
		{ "rung", 0, 0, G_OPTION_ARG_STRING, &run.rung, "Attach this way only (see: fathom doctor)", "NAME" },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	int status;

	g_option_context_set_summary(
		context, "Who connects to whom over TCP, counted by edge: opens, accepts, closes, failures,\n"
			 "bytes, retransmissions, latencies. Both ends named where both are on this machine.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (command_parse(context, &argc, &argv, &status)) {
		status = EXIT_USAGE;
		run.live = !run.json && !run.duration && !run.interval && !run.count && isatty(STDOUT_FILENO);
		/* Where kernel programs are refused the probe polls, and says so. */
		if (connections_check(&run, &error) && (registry = source_registry(&error)) &&
		    connections_targets(&run, registry, argv + 1, &error))
			status = connections_measure(&run, registry, &error);
		if (error)
			command_complain("connections", "%s", error->message);
	}
	registry_free(registry);
	connections_clear(&run);
	return status;
}
