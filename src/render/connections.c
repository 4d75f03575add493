/* SPDX-License-Identifier: Apache-2.0 */
#include "render/connections.h"

#include <string.h>

#include "base/units.h"
#include "render/json.h"

#define FAILED_PREFIX "failed_"
#define CHURN_PER_SECOND 10 /* fewer connections that are not reused cost nobody anything */
#define CHURN_SHARE 0.8 /* of the connections that ended */
#define WINDOW_SHARE 0.1 /* of the time */

static guint64 counter(const struct edges *edges, guint32 row, const char *name)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	int index = edges_counter(edges, name);

	return index < 0 ? 0 : edge->counters[index];
}

/* Every counter whose name begins so. */
static guint64 counters(const struct edges *edges, guint32 row, const char *prefix)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	guint64 sum = 0;

	for (guint i = 0; i < edges->counter_count; i++)
		if (g_str_has_prefix(edges->counters[i].name, prefix))
			sum += edge->counters[i];
	return sum;
}

static const struct histogram_counts *histogram(const struct edges *edges, guint32 row, const char *name)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	int index = edges_histogram(edges, name);

	return index < 0 ? NULL : edge->histograms[index];
}

static void median(const struct edges *edges, guint32 row, const char *name, guint64 *low_ns, guint64 *high_ns)
{
	const struct histogram_counts *counts = histogram(edges, row, name);
	int bucket = counts ? histogram_quantile(counts, 0.5) : -1;

	*low_ns = *high_ns = 0;
	if (bucket < 0)
		return;
	*low_ns = histogram_bucket_low(UNIT_NANOSECONDS, bucket);
	*high_ns = histogram_bucket_high(UNIT_NANOSECONDS, bucket);
}

void connection_numbers(const struct edges *edges, guint32 row, struct connection_numbers *numbers)
{
	const struct histogram_counts *requests;
	guint64 begun;

	*numbers = (struct connection_numbers){
		.opens = counter(edges, row, "opens"),
		.accepts = counter(edges, row, "accepts"),
		.closes = counter(edges, row, "closes"),
		.failed = counters(edges, row, FAILED_PREFIX),
		.resets = counter(edges, row, "resets"),
		.sent_bytes = counter(edges, row, "sent_bytes"),
		.received_bytes = counter(edges, row, "received_bytes"),
		.sent_segments = counter(edges, row, "sent_segments"),
		.received_segments = counter(edges, row, "received_segments"),
		.retransmits = counters(edges, row, "retransmits_"),
		.spurious = counter(edges, row, "spurious"),
		.single = counter(edges, row, "single"),
		.window_limited_ns = counter(edges, row, "window_limited"),
	};
	requests = histogram(edges, row, "request");
	numbers->requests = requests ? requests->count : 0;
	/* An edge from outside has accepts only. */
	begun = MAX(numbers->opens, numbers->accepts) + counter(edges, row, "existing");
	numbers->live = begun > numbers->closes ? begun - numbers->closes : 0;
	median(edges, row, "connect", &numbers->connect_low_ns, &numbers->connect_high_ns);
	median(edges, row, "rtt", &numbers->rtt_low_ns, &numbers->rtt_high_ns);
	median(edges, row, "session", &numbers->session_low_ns, &numbers->session_high_ns);
	median(edges, row, "request", &numbers->request_low_ns, &numbers->request_high_ns);
	median(edges, row, "first_byte", &numbers->first_byte_low_ns, &numbers->first_byte_high_ns);
}

gboolean connection_churns(const struct connection_numbers *numbers, guint64 duration_ns, double *per_second)
{
	*per_second = duration_ns ? (double)numbers->single * 1e9 / (double)duration_ns : 0;
	return *per_second >= CHURN_PER_SECOND && (double)numbers->single >= CHURN_SHARE * (double)numbers->closes;
}

char *connection_remarks(const struct connection_numbers *numbers, guint64 duration_ns)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *waited = units_duration(numbers->window_limited_ns);
	double per_second;

	if (connection_churns(numbers, duration_ns, &per_second))
		g_string_append_printf(text, "%.0f connections/s with fewer than two requests: not reused", per_second);
	if ((double)numbers->window_limited_ns >= WINDOW_SHARE * (double)duration_ns && numbers->window_limited_ns)
		g_string_append_printf(text, "%ssenders waited %s for the receiver's window", text->len ? ", " : "",
				       waited);
	return text->len ? g_strdup(text->str) : NULL;
}

char *connection_failures(const struct edges *edges, guint32 row)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	GString *text = NULL;

	for (guint i = 0; i < edges->counter_count; i++) {
		if (!g_str_has_prefix(edges->counters[i].name, FAILED_PREFIX) || !edge->counters[i])
			continue;
		if (text)
			g_string_append(text, ", ");
		else
			text = g_string_new(NULL);
		g_string_append_printf(text, "%" G_GUINT64_FORMAT " %s", edge->counters[i],
				       edges->counters[i].name + strlen(FAILED_PREFIX));
	}
	return text ? g_string_free(text, FALSE) : NULL;
}

gboolean connections_are_polled(const struct ledger *ledger)
{
	return g_strcmp0(ledger->rung, "polled") == 0;
}

static gint connection_compare(gconstpointer left, gconstpointer right, gpointer user)
{
	const struct edges *edges = user;
	struct connection_numbers a, b;
	guint64 of_a, of_b;

	connection_numbers(edges, *(const guint32 *)left, &a);
	connection_numbers(edges, *(const guint32 *)right, &b);
	of_a = MAX(a.opens, a.accepts) + a.failed;
	of_b = MAX(b.opens, b.accepts) + b.failed;
	if (of_a == of_b) {
		of_a = a.sent_bytes + a.received_bytes;
		of_b = b.sent_bytes + b.received_bytes;
	}
	return of_a < of_b ? 1 : of_a > of_b ? -1 : 0;
}

GArray *connection_order(const struct edges *edges)
{
	GArray *order = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint32 i = 0; i < edges->rows->len; i++)
		g_array_append_val(order, i);
	g_array_sort_with_data(order, connection_compare, (gpointer)edges);
	return order;
}

/* ---- JSON ---- */

static void json_connection_end(struct json_writer *json, const char *key, struct edge_end end, const char *port)
{
	json_begin_object(json, key);
	json_edge_end(json, end);
	if (port && g_str_has_prefix(port, "unix:"))
		json_bytes(json, "path", port + strlen("unix:"));
	else if (port)
		json_uint(json, "port", g_ascii_strtoull(port, NULL, 10));
	if (port && g_str_has_suffix(port, "/udp"))
		json_string(json, "protocol", "udp");
	json_end_object(json);
}

/* Counters of one kind as an object, the common part of their names taken off. Unless `known`, one that is 0 is not known. */
static void json_kinds(struct json_writer *json, const char *key, const char *prefix, gboolean known,
		       const struct edges *edges, const struct edge *edge)
{
	json_begin_object(json, key);
	for (guint i = 0; i < edges->counter_count; i++)
		if (g_str_has_prefix(edges->counters[i].name, prefix) && (known || edge->counters[i]))
			json_uint(json, edges->counters[i].name + strlen(prefix), edge->counters[i]);
	json_end_object(json);
}

static void json_connection_times(struct json_writer *json, const struct edges *edges, const struct edge *edge)
{
	for (guint i = 0; i < edges->histogram_count; i++) {
		g_autofree char *key = g_strdup_printf("%s_ns", edges->histograms[i].name);

		if (edge->histograms[i])
			json_counts(json, key, edge->histograms[i]);
	}
}

/* What is known however it was observed. */
static void json_connection_lives(struct json_writer *json, const struct edges *edges, guint32 row)
{
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	json_uint(json, "opens", numbers.opens);
	json_uint(json, "accepts", numbers.accepts);
	json_uint(json, "closes", numbers.closes);
	json_uint(json, "live", numbers.live);
	json_uint(json, "existing", counter(edges, row, "existing"));
}

/* Failures, traffic and round trips, where the kernel said them: none told is none known. */
static void json_connection_polled(struct json_writer *json, const struct edges *edges, guint32 row)
{
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	json_connection_lives(json, edges, row);
	if (numbers.failed)
		json_kinds(json, "failures", FAILED_PREFIX, FALSE, edges, g_ptr_array_index(edges->rows, row));
	if (numbers.sent_bytes || numbers.received_bytes) {
		json_uint(json, "sent_bytes", numbers.sent_bytes);
		json_uint(json, "received_bytes", numbers.received_bytes);
		json_uint(json, "sent_segments", numbers.sent_segments);
		json_uint(json, "received_segments", numbers.received_segments);
	}
	json_connection_times(json, edges, g_ptr_array_index(edges->rows, row));
}

static void json_connection_churn(struct json_writer *json, const struct connection_numbers *numbers,
				  guint64 duration_ns)
{
	double per_second;
	gboolean churns = connection_churns(numbers, duration_ns, &per_second);

	json_begin_object(json, "churn");
	json_uint(json, "single_request", numbers->single);
	json_double(json, "per_second", per_second);
	json_bool(json, "not_reused", churns);
	json_end_object(json);
}

void json_connection_numbers(struct json_writer *json, const struct edges *edges, guint32 row, guint64 duration_ns)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	json_connection_lives(json, edges, row);
	json_kinds(json, "failures", FAILED_PREFIX, TRUE, edges, edge);
	json_uint(json, "resets", numbers.resets);
	json_uint(json, "sent_bytes", numbers.sent_bytes);
	json_uint(json, "received_bytes", numbers.received_bytes);
	json_uint(json, "sent_segments", numbers.sent_segments);
	json_uint(json, "received_segments", numbers.received_segments);
	json_kinds(json, "retransmits", "retransmits_", TRUE, edges, edge);
	json_uint(json, "spurious", numbers.spurious);
	json_uint(json, "window_limited_ns", numbers.window_limited_ns);
	json_uint(json, "requests", numbers.requests);
	json_connection_churn(json, &numbers, duration_ns);
	json_connection_times(json, edges, edge);
}

static void json_connection(struct json_writer *json, const struct edges *edges, guint32 row, guint64 duration_ns,
			    gboolean polled)
{
	const char *const *labels = edges_labels(edges, row);

	json_begin_object(json, NULL);
	json_connection_end(json, "source", edges_source(edges, row), NULL);
	json_connection_end(json, "target", edges_target(edges, row), labels[0]);
	if (polled)
		json_connection_polled(json, edges, row);
	else
		json_connection_numbers(json, edges, row, duration_ns);
	json_end_object(json);
}

void render_connections_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, text);
	json_begin_object(&json, NULL);
	json_uint(&json, "duration_ns", snapshot->duration_ns);
	json_begin_array(&json, "edges");
	for (guint32 i = 0; i < shape->edges->rows->len; i++) {
		json_connection(&json, shape->edges, i, snapshot->duration_ns, connections_are_polled(&shape->ledger));
		json_flush(&json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(&json);
	json_ledger(&json, &shape->ledger);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	json_flush(&json, out, 0);
	fflush(out);
}
