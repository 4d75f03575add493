/* SPDX-License-Identifier: Apache-2.0 */
/* fathom connections: who connects to whom over TCP, summed up by edge. */
#include <stdio.h>

#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/watch.h"
#include "render/blocks.h"
#include "render/connections.h"

/* The command's own options: GOption writes here. */
struct connections {
	gboolean all_sockets;
	char *remotes;
};

static const struct table_column columns[] = {
	{ "FROM", FALSE },   { "TO", FALSE },  { "PORT", TRUE },    { "OPENS", TRUE },	  { "ACCEPTS", TRUE },
	{ "CLOSES", TRUE },  { "LIVE", TRUE }, { "SENT", TRUE },    { "RECEIVED", TRUE }, { "RESENT", TRUE },
	{ "CONNECT", TRUE }, { "RTT", TRUE },  { "REQUEST", TRUE }, { "FAILED", FALSE },
};

static void cell_bytes(struct table *table, guint64 bytes)
{
	g_autofree char *text = units_bytes(bytes);

	table_cell(table, bytes ? text : "0");
}

/* The median's bucket: "64–128 µs". */
static void cell_range(struct table *table, guint64 low_ns, guint64 high_ns)
{
	g_autofree char *text = high_ns ? units_bounds(UNIT_NANOSECONDS, low_ns, high_ns) : NULL;

	table_cell(table, text);
}

/* What looking from time to time tells of the columns from SENT on: none told is none known. */
static void cells_polled(struct table *table, const struct connection_numbers *numbers)
{
	gboolean known = numbers->sent_bytes || numbers->received_bytes;

	if (known) {
		cell_bytes(table, numbers->sent_bytes);
		cell_bytes(table, numbers->received_bytes);
	} else {
		table_cell(table, NULL);
		table_cell(table, NULL);
	}
	table_cell(table, NULL);
	table_cell(table, NULL);
	cell_range(table, numbers->rtt_low_ns, numbers->rtt_high_ns);
	table_cell(table, NULL);
	table_cell(table, NULL);
}

static void connections_row(struct table *table, const struct edges *edges, guint32 row, gboolean polled)
{
	g_autofree char *failed = connection_failures(edges, row);
	struct connection_numbers numbers;
	g_autofree char *retransmits = NULL;

	connection_numbers(edges, row, &numbers);
	table_cell_end(table, edges_source(edges, row));
	table_cell_end(table, edges_target(edges, row));
	table_cell(table, edges_labels(edges, row)[0]);
	table_cell_number(table, numbers.opens, TRUE);
	table_cell_number(table, numbers.accepts, TRUE);
	table_cell_number(table, numbers.closes, TRUE);
	table_cell_number(table, numbers.live, TRUE);
	if (polled) {
		cells_polled(table, &numbers);
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
static void connections_remark(FILE *out, const struct edges *edges, guint32 row, guint64 elapsed_ns)
{
	const char *port = edges_labels(edges, row)[0];
	g_autofree char *source = text_terminal(edges_source(edges, row).name);
	g_autofree char *target = text_terminal(edges_target(edges, row).name);
	g_autofree char *remarks = NULL;
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	remarks = connection_remarks(&numbers, elapsed_ns);
	if (remarks)
		table_print_wrapped(out, "! %s \342\206\222 %s%s%s: %s\n", source, target, port ? ":" : "",
				    port ? port : "", remarks);
}

/* watch.headline */
static const char *connections_headline(void *user, const struct ledger *ledger)
{
	static const char *const headlines[2][2] = {
		{ "TCP connections", "TCP connections (polled every 3 s: short connections are missed)" },
		{ "Connections, datagrams and unix sockets",
		  "Connections, datagrams and unix sockets (polled every 3 s: short connections are missed)" },
	};
	const struct connections *own = user;

	return headlines[own->all_sockets][connections_are_polled(ledger)];
}

/* watch.print */
static void connections_print(FILE *out, const struct edges *edges, const struct watch_view *view)
{
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autoptr(GArray) order = connection_order(edges);
	guint count = view->top && view->top < order->len ? view->top : order->len;
	gboolean polled = connections_are_polled(view->ledger);

	for (guint i = 0; i < count; i++)
		connections_row(table, edges, g_array_index(order, guint32, i), polled);
	table_print(table, out);
	for (guint i = 0; i < count && !polled; i++)
		connections_remark(out, edges, g_array_index(order, guint32, i), view->elapsed_ns);
}

/* watch.json */
static void connections_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape,
			     const struct shape *also)
{
	(void)also;
	render_connections_json(out, snapshot, shape);
}

/* watch.prepare */
static gboolean connections_prepare(void *user, struct observe_options *options, GError **error)
{
	const struct connections *own = user;

	options->peers = own->all_sockets;
	return !own->remotes || remotes_parse(own->remotes, &options->remotes, error);
}

int cmd_connections(int argc, char **argv)
{
	struct connections own = { 0 };
	const GOptionEntry entries[] = {
		{ "all-sockets", 0, 0, G_OPTION_ARG_NONE, &own.all_sockets,
		  "Also datagrams (UDP) and unix sockets; looks at every packet", NULL },
		{ "remotes", 0, 0, G_OPTION_ARG_STRING, &own.remotes,
		  "Those outside this machine by address (default), name, port or subnet[=BITS[,BITS6]]", "WHAT" },
		G_OPTION_ENTRY_NULL,
	};
	const struct watch watch = {
		.command = "connections",
		.probe = "connections",
		.summary = "Who connects to whom over TCP, counted by edge: opens, accepts, closes, failures,\n"
			   "bytes, retransmissions, latencies. Both ends named where both are on this machine.",
		.headline = connections_headline,
		.without_bpf = TRUE, /* then it polls, and says so */
		.print = connections_print,
		.json = connections_json,
		.entries = entries,
		.prepare = connections_prepare,
		.user = &own,
	};

	int status = watch_main(&watch, argc, argv);

	g_free(own.remotes);
	return status;
}
