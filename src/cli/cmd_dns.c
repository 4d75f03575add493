/* SPDX-License-Identifier: Apache-2.0 */
/* fathom dns: who asks which resolver, how long answers take, and what comes of it. */
#include "base/units.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/watch.h"
#include "render/blocks.h"
#include "render/resolvers.h"

#define DNS_TIMEOUT_MIN_NS (10 * NS_PER_MS)
#define DNS_TIMEOUT_MAX_NS (60 * NS_PER_S)

enum label {
	LABEL_RESOLVER = 0,
	LABEL_TRANSPORT = 1,
	LABEL_NAME = 2,
};

static const struct table_column columns[] = {
	{ "FROM", FALSE },    { "RESOLVER", FALSE }, { "BY", FALSE },	  { "QUERIES", TRUE },
	{ "ANSWERED", TRUE }, { "MEDIAN", TRUE },    { "P99", TRUE },	  { "UNANSWERED", TRUE },
	{ "NXDOMAIN", TRUE }, { "WASTE", TRUE },     { "FAILED", FALSE }, { "NAME", FALSE },
};

/* Answers that are failures, by the counters' names. */
static const char *const failures[] = { "servfail", "refused", "other" };
static const char *const answers[] = { "noerror", "nodata", "truncated", "nxdomain", "servfail", "refused", "other" };

/* "10.0.0.2", and whose it is where that is known. */
static void cell_resolver(struct table *table, const struct edges *edges, guint32 row)
{
	const char *address = edges_labels(edges, row)[LABEL_RESOLVER];
	struct edge_end end = edges_target(edges, row);
	g_autofree char *both = g_strdup_printf("%s (%s)", address, end.name);

	table_cell(table, end.kind == EDGE_END_EXTERNAL || end.kind == EDGE_END_UNKNOWN ? address : both);
}

static void cell_quantile(struct table *table, const struct histogram_counts *counts, double share)
{
	int bucket = counts ? histogram_quantile(counts, share) : -1;
	g_autofree char *text = bucket >= 0 ? units_range(UNIT_NANOSECONDS, (guint)bucket) : NULL;

	table_cell(table, text);
}

static void cell_bad(struct table *table, guint64 count)
{
	g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, count);

	table_cell_styled(table, text, count ? TABLE_ALERT : TABLE_PLAIN);
}

static void cell_failures(struct table *table, const struct edges *edges, guint32 row)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(failures); i++) {
		guint64 count = edges_counted(edges, row, failures[i]);

		if (count)
			g_string_append_printf(text, "%s%" G_GUINT64_FORMAT " %s", text->len ? ", " : "", count,
					       failures[i]);
	}
	table_cell_styled(table, text->len ? text->str : "0", text->len ? TABLE_ALERT : TABLE_PLAIN);
}

static void dns_row(struct table *table, const struct edges *edges, guint32 row, gboolean names)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	const char *const *labels = edges_labels(edges, row);
	guint64 answered = 0;

	for (guint i = 0; i < G_N_ELEMENTS(answers); i++)
		answered += edges_counted(edges, row, answers[i]);
	table_cell_end(table, edges_source(edges, row));
	cell_resolver(table, edges, row);
	table_cell(table, labels[LABEL_TRANSPORT]);
	table_cell_number(table, edges_counted(edges, row, "queries"), TRUE);
	table_cell_number(table, answered, TRUE);
	cell_quantile(table, edge->histograms[0], 0.5);
	cell_quantile(table, edge->histograms[0], 0.99);
	cell_bad(table, edges_counted(edges, row, "unanswered"));
	table_cell_number(table, edges_counted(edges, row, "nxdomain"), TRUE);
	table_cell_number(table, edges_counted(edges, row, "search_waste"), TRUE);
	cell_failures(table, edges, row);
	if (names)
		table_cell(table, labels[LABEL_NAME]);
}

static void dns_print(FILE *out, const struct edges *edges, const struct watch_view *view)
{
	gboolean names = FALSE;
	g_autoptr(GArray) order = edges_order(edges, "queries");
	guint count = view->top && view->top < order->len ? view->top : order->len;
	g_autoptr(table_t) table = NULL;

	for (guint32 i = 0; i < order->len; i++)
		names |= edges_labels(edges, i)[LABEL_NAME] != NULL;
	table = table_new(columns, G_N_ELEMENTS(columns) - !names);
	for (guint i = 0; i < count; i++)
		dns_row(table, edges, g_array_index(order, guint32, i), names);
	table_print(table, out);
}

/* watch.json */
static void dns_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape, const struct shape *also)
{
	(void)also;
	render_resolvers_json(out, snapshot, shape);
}

/* The command's own options: GOption writes here. */
struct dns_options {
	gboolean names;
	char *timeout;
};

static gboolean dns_prepare(void *user, struct observe_options *options, GError **error)
{
	const struct dns_options *own = user;

	options->arguments = own->names;
	if (!own->timeout)
		return TRUE;
	if (!units_parse_duration(own->timeout, NS_PER_S, &options->threshold_ns) ||
	    options->threshold_ns < DNS_TIMEOUT_MIN_NS || options->threshold_ns > DNS_TIMEOUT_MAX_NS)
		return command_fail(error, "a timeout of \"%s\" makes no sense: give 10ms to 60s, as 2 or 500ms",
				    own->timeout);
	return TRUE;
}

int cmd_dns(int argc, char **argv)
{
	struct dns_options own = { 0 };
	const GOptionEntry entries[] = {
		{ "names", 0, 0, G_OPTION_ARG_NONE, &own.names,
		  "Also which names are asked for (they may be private, and are chosen by whoever asks)", NULL },
		{ "timeout", 0, 0, G_OPTION_ARG_STRING, &own.timeout,
		  "A question without an answer for so long is unanswered (default 5s, as resolvers')", "TIME" },
		G_OPTION_ENTRY_NULL,
	};
	const struct watch watch = {
		.command = "dns",
		.probe = "resolvers",
		.summary =
			"Who asks which resolver: questions, how long answers take, what fails, what stays unanswered,\n"
			"and what was asked in vain because of a search list (WASTE).",
		.heading = "DNS questions",
		.why_bpf =
			"nothing else keeps count of DNS questions and answers that could be read instead: neither /proc nor "
			"sock_diag says what a datagram was",
		.print = dns_print,
		.json = dns_json,
		.entries = entries,
		.prepare = dns_prepare,
		.user = &own,
	};
	int status = watch_main(&watch, argc, argv);

	g_free(own.timeout);
	return status;
}
