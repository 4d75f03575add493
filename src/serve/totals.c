/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/totals.h"

#include <string.h>

struct totals_edges {
	GHashTable *by_name; /* "source\ntarget\nport" → struct totals_edge */
	GPtrArray *rows; /* of struct totals_edge, as they came; owned */
	struct totals_edge rest;
	gboolean has_rest;
	GPtrArray *shown; /* rows, and the rest where there is one */
};

static void edge_free(gpointer data)
{
	struct totals_edge *edge = data;

	g_free(edge->source);
	g_free(edge->target);
	g_free(edge->port);
	g_free(edge);
}

struct totals_edges *totals_edges_new(void)
{
	struct totals_edges *edges = g_new0(struct totals_edges, 1);

	edges->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	edges->rows = g_ptr_array_new_with_free_func(edge_free);
	edges->shown = g_ptr_array_new();
	return edges;
}

void totals_edges_free(struct totals_edges *edges)
{
	if (!edges)
		return;
	g_hash_table_unref(edges->by_name);
	g_ptr_array_unref(edges->rows);
	g_ptr_array_unref(edges->shown);
	g_free(edges);
}

const GPtrArray *totals_edges_rows(const struct totals_edges *edges)
{
	return edges->shown;
}

/* ---- connections ---- */

/* The counters of the probe's edges that are added, and where to. */
struct columns {
	int opens, accepts, closes, existing, resets, sent, received, rtt, connect;
	int failed[TOTALS_CONNECTS], retransmits[TOTALS_RETRANSMITS];
};

static void columns_find(struct columns *columns, const struct edges *edges)
{
	static const char *const failed[TOTALS_CONNECTS] = {
		NULL, "failed_refused", "failed_timeout", "failed_unreachable", "failed_reset", NULL
	};
	static const char *const retransmits[TOTALS_RETRANSMITS] = { "retransmits_syn", "retransmits_rto",
								     "retransmits_fast", "retransmits_probe",
								     "retransmits_unseen" };

	*columns = (struct columns){
		.opens = edges_counter(edges, "opens"),
		.accepts = edges_counter(edges, "accepts"),
		.closes = edges_counter(edges, "closes"),
		.existing = edges_counter(edges, "existing"),
		.resets = edges_counter(edges, "resets"),
		.sent = edges_counter(edges, "sent_bytes"),
		.received = edges_counter(edges, "received_bytes"),
		.rtt = edges_histogram(edges, "rtt"),
		.connect = edges_histogram(edges, "connect"),
	};
	for (guint i = 0; i < TOTALS_CONNECTS; i++)
		columns->failed[i] = failed[i] ? edges_counter(edges, failed[i]) : -1;
	for (guint i = 0; i < TOTALS_RETRANSMITS; i++)
		columns->retransmits[i] = edges_counter(edges, retransmits[i]);
}

static guint64 counter(const struct edge *edge, int column)
{
	return column < 0 ? 0 : edge->counters[column];
}

static guint64 failures(const struct edges *edges, const struct edge *edge)
{
	guint64 sum = 0;

	for (guint i = 0; i < edges->counter_count; i++)
		if (g_str_has_prefix(edges->counters[i].name, "failed_"))
			sum += edge->counters[i];
	return sum;
}

static void time_add(struct totals_time *time, const struct edge *edge, int column)
{
	const struct histogram_counts *counts = column < 0 ? NULL : edge->histograms[column];

	if (!counts)
		return;
	time->count += counts->count;
	time->sum_ns += counts->sum;
}

static void client_add(struct totals *totals, const struct columns *columns, const struct edges *edges,
		       const struct edge *edge)
{
	guint64 failed = failures(edges, edge);

	totals->has_connections = TRUE;
	totals->connects[TOTALS_CONNECT_OK] += counter(edge, columns->opens);
	for (guint i = 0; i < TOTALS_CONNECTS; i++) {
		totals->connects[i] += counter(edge, columns->failed[i]);
		failed -= counter(edge, columns->failed[i]);
	}
	totals->connects[TOTALS_CONNECT_OTHER] += failed;
	totals->living += (gint64)(counter(edge, columns->existing) + counter(edge, columns->opens)) -
			  (gint64)counter(edge, columns->closes);
	totals->resets += counter(edge, columns->resets);
	for (guint i = 0; i < TOTALS_RETRANSMITS; i++)
		totals->retransmits[i] += counter(edge, columns->retransmits[i]);
	time_add(&totals->rtt, edge, columns->rtt);
	time_add(&totals->connect, edge, columns->connect);
}

/* One that is both ends has each connection once. */
static void server_add(struct totals *totals, const struct columns *columns, const struct edge *edge,
		       gboolean is_client)
{
	totals->has_connections = TRUE;
	totals->accepts += counter(edge, columns->accepts);
	if (is_client)
		return;
	totals->living += (gint64)(counter(edge, columns->existing) + counter(edge, columns->accepts)) -
			  (gint64)counter(edge, columns->closes);
	totals->resets += counter(edge, columns->resets);
	time_add(&totals->rtt, edge, columns->rtt);
}

static const char *end_name(const struct edge_end *end)
{
	/* Addresses outside are as many as somebody wants them to be. */
	return end->kind == EDGE_END_CONTAINER || end->kind == EDGE_END_HOST ? end->name : TOTALS_EXTERNAL;
}

static struct totals_edge *edge_of(struct totals_edges *edges, const char *source, const char *target, const char *port)
{
	g_autofree char *key = g_strdup_printf("%s\n%s\n%s", source, target, port);
	struct totals_edge *edge = g_hash_table_lookup(edges->by_name, key);

	if (edge)
		return edge;
	if (edges->rows->len >= TOTALS_EDGES_MAX) {
		if (!edges->has_rest)
			g_ptr_array_add(edges->shown, &edges->rest);
		edges->has_rest = TRUE;
		return &edges->rest;
	}
	edge = g_new0(struct totals_edge, 1);
	edge->source = g_strdup(source);
	edge->target = g_strdup(target);
	edge->port = g_strdup(port);
	g_ptr_array_add(edges->rows, edge);
	g_ptr_array_add(edges->shown, edge);
	g_hash_table_insert(edges->by_name, g_steal_pointer(&key), edge);
	return edge;
}

/* Where the table is full, edges whose containers have gone make room. */
static void edges_prune(struct totals_edges *edges, totals_of_fn of, void *user)
{
	if (edges->rows->len < TOTALS_EDGES_MAX)
		return;
	for (guint i = edges->rows->len; i-- > 0;) {
		struct totals_edge *edge = g_ptr_array_index(edges->rows, i);
		g_autofree char *key = NULL;

		if (of(user, edge->source) || of(user, edge->target))
			continue;
		key = g_strdup_printf("%s\n%s\n%s", edge->source, edge->target, edge->port);
		g_hash_table_remove(edges->by_name, key);
		g_ptr_array_remove(edges->shown, edge);
		g_ptr_array_remove_index(edges->rows, i);
	}
}

/* Did anything happen? Edges whose connections all stood there and stand still hold no place of those with labels. */
static gboolean is_news(const struct columns *columns, const struct edges *edges, const struct edge *edge)
{
	guint64 retransmits = 0;

	for (guint i = 0; i < TOTALS_RETRANSMITS; i++)
		retransmits += counter(edge, columns->retransmits[i]);
	return counter(edge, columns->opens) || counter(edge, columns->accepts) || counter(edge, columns->sent) ||
	       counter(edge, columns->received) || retransmits || failures(edges, edge);
}

static void edge_add(struct totals_edge *into, const struct columns *columns, const struct edges *edges,
		     const struct edge *edge)
{
	/* One from outside has accepts only. */
	into->connects += MAX(counter(edge, columns->opens), counter(edge, columns->accepts));
	into->failed += failures(edges, edge);
	into->bytes += counter(edge, columns->sent) + counter(edge, columns->received);
	for (guint i = 0; i < TOTALS_RETRANSMITS; i++)
		into->retransmits += counter(edge, columns->retransmits[i]);
	time_add(&into->rtt, edge, columns->rtt);
}

static void connections_take(const struct edges *news, totals_of_fn of, void *user, struct totals_edges *edges)
{
	struct columns columns;

	columns_find(&columns, news);
	edges_prune(edges, of, user);
	for (guint32 row = 0; row < news->rows->len; row++) {
		const struct edge *edge = g_ptr_array_index(news->rows, row);
		struct edge_end source = edges_source(news, row), target = edges_target(news, row);
		struct totals *client = source.kind == EDGE_END_CONTAINER ? of(user, source.name) : NULL;
		struct totals *server = target.kind == EDGE_END_CONTAINER ? of(user, target.name) : NULL;
		const char *port = news->labels[0] ? edges_labels(news, row)[0] : NULL;

		if (client)
			client_add(client, &columns, news, edge);
		if (server)
			server_add(server, &columns, edge, server == client);
		if (!is_news(&columns, news, edge))
			continue;
		edge_add(edge_of(edges, end_name(&source), end_name(&target), port ? port : ""), &columns, news, edge);
	}
}

/* ---- histograms ---- */

static enum totals_rcode rcode_of(const char *outcome)
{
	static const struct {
		const char *outcome;
		enum totals_rcode rcode;
	} rcodes[] = { { "noerror", TOTALS_RCODE_NOERROR },   { "nodata", TOTALS_RCODE_NOERROR },
		       { "nxdomain", TOTALS_RCODE_NXDOMAIN }, { "servfail", TOTALS_RCODE_SERVFAIL },
		       { "refused", TOTALS_RCODE_REFUSED },   { "unanswered", TOTALS_RCODE_TIMEOUT } };

	for (guint i = 0; i < G_N_ELEMENTS(rcodes); i++)
		if (g_strcmp0(outcome, rcodes[i].outcome) == 0)
			return rcodes[i].rcode;
	return TOTALS_RCODE_OTHER;
}

static void dns_take(const struct histogram *histogram, totals_of_fn of, void *user)
{
	int outcome = histogram_label(histogram, "outcome");

	for (guint i = 0; outcome >= 0 && i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *const *values = histogram_values(histogram, i);
		struct totals *totals = values[0] ? of(user, values[0]) : NULL;

		if (!totals)
			continue;
		totals->rcodes[rcode_of(values[outcome])] += row->counts.count;
		histogram_counts_add(&totals->dns, &row->counts);
	}
}

static void block_take(const struct histogram *histogram, totals_of_fn of, void *user)
{
	int time = histogram_label(histogram, "time"), operation = histogram_label(histogram, "operation");

	for (guint i = 0; time >= 0 && operation >= 0 && i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *const *values = histogram_values(histogram, i);
		struct totals *totals = values[0] ? of(user, values[0]) : NULL;
		gboolean is_read = g_strcmp0(values[operation], "read") == 0;

		if (!totals || (!is_read && g_strcmp0(values[operation], "write") != 0))
			continue;
		histogram_counts_add(g_strcmp0(values[time], "device") == 0 ? &totals->block[!is_read]
									    : &totals->queued[!is_read],
				     &row->counts);
	}
}

void totals_take(const struct shape *shape, totals_of_fn of, void *user, struct totals_edges *edges)
{
	if (shape->kind == SHAPE_EDGES && shape->edges && strcmp(shape->probe, "connections") == 0)
		connections_take(shape->edges, of, user, edges);
	else if (shape->kind == SHAPE_HISTOGRAM && shape->histogram && strcmp(shape->probe, "dns") == 0)
		dns_take(shape->histogram, of, user);
	else if (shape->kind == SHAPE_HISTOGRAM && shape->histogram && strcmp(shape->probe, "block") == 0)
		block_take(shape->histogram, of, user);
}
