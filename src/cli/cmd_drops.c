/* SPDX-License-Identifier: Apache-2.0 */
/* fathom drops: what the network loses: packets the stack drops, connections refused to full accept queues, tables of
 * tracked connections that overflow. */
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/watch.h"
#include "container/registry.h"
#include "observe/queues.h"
#include "render/drops.h"

enum label {
	LABEL_REASON = 0,
	LABEL_PROTOCOL = 1,
	LABEL_PORT = 2,
	LABEL_AT = 3,
};

struct drops {
	struct registry *registry;
	const GPtrArray *targets;
	struct gauges *first, *last; /* readings: at the start, and at the latest table */
};

/* ---- queues and tables ---- */

static gboolean is_wanted(const struct drops *drops, const struct gauge_row *row)
{
	for (guint i = 0; i < drops->targets->len; i++) {
		const struct target *target = g_ptr_array_index(drops->targets, i);

		if (target->kind == TARGET_ALL)
			return TRUE;
		if (target->container && target->container->cgroup_key == row->key)
			return TRUE;
	}
	return FALSE;
}

/* Those of the targets; a listening socket is its container's. */
static struct gauges *wanted_of(const struct drops *drops, const struct gauges *all)
{
	struct gauges *wanted = gauges_new();
	g_autofree guint32 *numbers = g_new0(guint32, all->rows->len + 1);

	for (guint32 i = 0; i < all->rows->len; i++) {
		const struct gauge_row *row = gauges_row(all, i);
		guint32 parent = row->parent;
		struct gauge_row *copy;

		numbers[i] = GAUGE_NO_PARENT;
		if (row->resource == GAUGE_RESOURCE_LISTENER
			    ? parent == GAUGE_NO_PARENT || numbers[parent] == GAUGE_NO_PARENT
			    : !is_wanted(drops, row))
			continue;
		copy = gauges_copy(wanted, row);
		if (!copy)
			break;
		numbers[i] = wanted->rows->len - 1;
		copy->parent = parent == GAUGE_NO_PARENT ? parent : numbers[parent];
	}
	return wanted;
}

static struct gauges *drops_read(struct drops *drops, struct ledger *ledger)
{
	g_autoptr(gauges_t) all = gauges_new();

	registry_refresh(drops->registry, NULL);
	queues_add(drops->registry, all, TRUE, ledger);
	return wanted_of(drops, all);
}

/* watch.begin */
static void drops_begin(void *user, struct registry *registry, const GPtrArray *targets)
{
	struct drops *drops = user;

	drops->registry = registry;
	drops->targets = targets;
	drops->first = drops_read(drops, NULL);
}

/* watch.look */
static struct shape *drops_look(void *user, gboolean since_start)
{
	struct shape *shape = shape_new(SHAPE_GAUGES, "queues", UNIT_COUNT);
	struct drops *drops = user;
	struct gauges *now = drops_read(drops, &shape->ledger);

	gauges_free(shape->gauges);
	shape->gauges = gauges_diff(since_start || !drops->last ? drops->first : drops->last, now);
	gauges_free(drops->last);
	drops->last = now;
	return shape;
}

/* ---- text ---- */

static void drops_row(struct table *table, const struct edges *edges, guint32 row)
{
	const char *const *labels = edges_labels(edges, row);
	gboolean inwards;
	struct edge_end whose = drops_whose(edges, row, &inwards);
	const char *protocol = labels[LABEL_PROTOCOL] ? labels[LABEL_PROTOCOL] : "-";
	g_autofree char *bytes = units_bytes(edges_counted(edges, row, "bytes"));
	g_autofree char *port =
		labels[LABEL_PORT] ? g_strdup_printf("%s/%s", protocol, labels[LABEL_PORT]) : g_strdup(protocol);

	table_cell_end(table, whose);
	table_cell(table, inwards ? "in" : "out");
	table_cell(table, port);
	table_cell_number(table, edges_counted(edges, row, "packets"), TRUE);
	table_cell(table, edges_counted(edges, row, "bytes") ? bytes : NULL);
	table_cell(table, labels[LABEL_REASON]);
	table_cell(table, labels[LABEL_AT]);
}

/* What the reasons above mean, each once: sentences have no place in rows. */
static void meanings_print(FILE *out, const GPtrArray *reasons)
{
	static const struct table_column columns[] = { { "REASON", FALSE }, { "MEANING", FALSE } };
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	gboolean any = FALSE;

	for (guint i = 0; i < reasons->len; i++) {
		const char *reason = g_ptr_array_index(reasons, i), *meaning = drops_meaning(reason);

		if (!meaning)
			continue;
		table_cell(table, reason);
		table_cell(table, meaning);
		any = TRUE;
	}
	if (!any)
		return;
	fputc('\n', out);
	table_print_folded(table, out);
}

/* watch.print */
static void drops_print(FILE *out, const struct edges *edges, const struct watch_view *view)
{
	static const struct table_column columns[] = {
		{ "WHOSE", FALSE }, { "WAY", FALSE },	 { "PORT", FALSE },  { "PACKETS", TRUE },
		{ "BYTES", TRUE },  { "REASON", FALSE }, { "WHERE", FALSE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autoptr(GPtrArray) reasons = g_ptr_array_new();
	g_autoptr(GArray) order = drops_order(edges);

	for (guint i = 0; i < order->len && (!view->top || i < view->top); i++) {
		guint32 row = g_array_index(order, guint32, i);
		const char *reason = edges_labels(edges, row)[LABEL_REASON];

		drops_row(table, edges, row);
		if (reason && !g_ptr_array_find_with_equal_func(reasons, reason, g_str_equal, NULL))
			g_ptr_array_add(reasons, (gpointer)reason);
	}
	table_print(table, out);
	meanings_print(out, reasons);
}

static void cell_gauge(struct table *table, const struct gauge_row *row, enum gauge gauge, gboolean is_bad)
{
	guint64 value;
	gboolean known = gauge_get(row, gauge, &value);
	g_autofree char *text = known ? g_strdup_printf("%" G_GUINT64_FORMAT, value) : NULL;

	table_cell_styled(table, text, known && value && is_bad ? TABLE_ALERT : TABLE_PLAIN);
}

static void cell_share(struct table *table, const struct gauge_row *row, enum gauge part, enum gauge whole)
{
	guint64 a, b;
	gboolean known = gauge_get(row, part, &a) && gauge_get(row, whole, &b) && b;
	g_autofree char *text = known ? units_percent((double)a, (double)b) : NULL;

	table_cell_styled(table, text, known && (double)a > 0.8 * (double)b ? TABLE_ALERT : TABLE_PLAIN);
}

static gint by_fill(gconstpointer left, gconstpointer right, gpointer user)
{
	const struct gauges *gauges = user;
	const struct gauge_row *a = gauges_row(gauges, *(const guint32 *)left);
	const struct gauge_row *b = gauges_row(gauges, *(const guint32 *)right);
	guint64 one, other;

	gauge_get(a, GAUGE_LISTEN_DROPS, &one);
	gauge_get(b, GAUGE_LISTEN_DROPS, &other);
	if (one == other) {
		gauge_get(a, GAUGE_LISTEN_QUEUE, &one);
		gauge_get(b, GAUGE_LISTEN_QUEUE, &other);
	}
	return one < other ? 1 : one > other ? -1 : 0;
}

static void listeners_print(FILE *out, const struct gauges *gauges, guint top)
{
	static const struct table_column columns[] = {
		{ "WHOSE", FALSE }, { "LISTENS AT", FALSE }, { "WAITING", TRUE },
		{ "LIMIT", TRUE },  { "FULL", TRUE },	     { "REFUSED", TRUE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint32 i = 0; i < gauges->rows->len; i++)
		if (gauges_row(gauges, i)->resource == GAUGE_RESOURCE_LISTENER)
			g_array_append_val(order, i);
	if (order->len == 0)
		return;
	g_array_sort_with_data(order, by_fill, (gpointer)gauges);
	for (guint i = 0; i < order->len && (!top || i < top); i++) {
		const struct gauge_row *row = gauges_row(gauges, g_array_index(order, guint32, i));

		table_cell_styled(table, row->parent == GAUGE_NO_PARENT ? NULL : gauges_row(gauges, row->parent)->name,
				  TABLE_STRONG);
		table_cell(table, row->name);
		cell_gauge(table, row, GAUGE_LISTEN_QUEUE, FALSE);
		cell_gauge(table, row, GAUGE_LISTEN_LIMIT, FALSE);
		cell_share(table, row, GAUGE_LISTEN_QUEUE, GAUGE_LISTEN_LIMIT);
		cell_gauge(table, row, GAUGE_LISTEN_DROPS, TRUE);
	}
	fputs("\nAccept queues of listening sockets\n", out);
	table_print(table, out);
}

static void conntrack_print(FILE *out, const struct gauges *gauges)
{
	static const struct table_column columns[] = {
		{ "WHOSE", FALSE },  { "TRACKED", TRUE }, { "LIMIT", TRUE },   { "FULL", TRUE },
		{ "DROPPED", TRUE }, { "EVICTED", TRUE }, { "CLASHED", TRUE }, { "OF THE HOST'S", TRUE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	gboolean any = FALSE;

	for (guint32 i = 0; i < gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gauges, i);

		if (!gauge_is_known(row, GAUGE_CONNTRACK) && !gauge_is_known(row, GAUGE_CONNTRACK_OWN))
			continue;
		any = TRUE;
		table_cell_styled(table, row->name, TABLE_STRONG);
		cell_gauge(table, row, GAUGE_CONNTRACK, FALSE);
		cell_gauge(table, row, GAUGE_CONNTRACK_LIMIT, FALSE);
		cell_share(table, row, GAUGE_CONNTRACK, GAUGE_CONNTRACK_LIMIT);
		cell_gauge(table, row, GAUGE_CONNTRACK_DROPS, TRUE);
		cell_gauge(table, row, GAUGE_CONNTRACK_EARLY_DROPS, TRUE);
		cell_gauge(table, row, GAUGE_CONNTRACK_INSERT_FAILED, TRUE);
		cell_gauge(table, row, GAUGE_CONNTRACK_OWN, FALSE);
	}
	if (!any)
		return;
	fputs("\nTracked connections (conntrack)\n", out);
	table_print(table, out);
}

/* watch.print_also */
static void queues_print(FILE *out, const struct shape *shape, guint top)
{
	listeners_print(out, shape->gauges, top);
	conntrack_print(out, shape->gauges);
}

/* watch.headline */
static const char *drops_headline(void *user, const struct ledger *ledger)
{
	(void)user;
	return g_strcmp0(ledger->rung, "polled") == 0
		       ? "Dropped packets (as network namespaces count them: not all are)"
		       : "Dropped packets";
}

int cmd_drops(int argc, char **argv)
{
	struct drops drops = { 0 };
	const struct watch watch = {
		.command = "drops",
		.probe = "drops",
		.summary =
			"What the network loses: packets the kernel drops, whose and why; connections refused to full\n"
			"accept queues; tables of tracked connections (conntrack) that overflow, and who fills them.",
		.headline = drops_headline,
		.without_bpf = TRUE, /* then it reads counters, and says so */
		.print = drops_print,
		.json = render_drops_json,
		.begin = drops_begin,
		.look = drops_look,
		.print_also = queues_print,
		.user = &drops,
	};
	int status = watch_main(&watch, argc, argv);

	gauges_free(drops.first);
	gauges_free(drops.last);
	return status;
}
