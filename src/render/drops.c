/* SPDX-License-Identifier: Apache-2.0 */
#include "render/drops.h"

#include <string.h>

#include "render/json.h"

struct edge_end drops_whose(const struct edges *edges, guint32 row, gboolean *inwards)
{
	struct edge_end source = edges_source(edges, row);

	*inwards = source.kind == EDGE_END_EXTERNAL;
	return *inwards ? edges_target(edges, row) : source;
}

#define NO_LOSS ": no loss"

/* Names are those of enum skb_drop_reason (include/net/dropreason-core.h). */
static const struct {
	const char *reason, *meaning;
} meanings[] = {
	{ "no_socket", "nobody listens there" },
	{ "socket_close", "its socket is being closed" },
	{ "socket_filter", "the socket's own filter, or a cgroup program" },
	{ "socket_rcvbuff", "receive buffer full: its program reads too slowly" },
	{ "socket_backlog", "socket's backlog full: its program holds it too long" },
	{ "proto_mem", "out of memory for sockets (tcp_mem, udp_mem)" },
	{ "netfilter_drop", "a firewall rule (nft list ruleset, iptables -vnL)" },
	{ "bpf_cgroup_egress", "a cgroup program: a network policy" },
	{ "tc_ingress", "a traffic control program: a network policy" },
	{ "tc_egress", "a traffic control program: a network policy" },
	{ "xdp", "an XDP program" },
	{ "qdisc_drop", "traffic shaping (tc -s qdisc)" },
	{ "qdisc_overlimit", "traffic shaping: its queue is full (tc -s qdisc)" },
	{ "qdisc_congested", "traffic shaping: congestion (tc -s qdisc)" },
	{ "cpu_backlog", "a CPU's queue is full (net.core.netdev_max_backlog)" },
	{ "full_ring", "the interface's queue is full" },
	{ "tcp_listen_overflow", "accept queue full: its program accepts too slowly" },
	{ "tcp_reset", "the other end reset the connection" },
	{ "tcp_close", "the connection is closed already" },
	{ "tcp_abort_on_data", "data for a socket that nobody reads any more" },
	{ "tcp_old_data", "data it had already: sent again needlessly" },
	{ "tcp_old_ack", "an old acknowledgement" NO_LOSS },
	{ "tcp_too_old_ack", "an old acknowledgement" NO_LOSS },
	{ "tcp_ofomerge", "data it had already: sent again needlessly" },
	{ "tcp_old_sequence", "data it had already: sent again needlessly" },
	{ "tcp_overwindow", "more than the receiver has room for" },
	{ "tcp_zerowindow", "the receiver has no room: its program does not read" },
	{ "tcp_ofo_queue_prune", "out of memory for data out of order" },
	{ "tcp_invalid_sequence", "outside the window: old, or forged" },
	{ "tcp_invalid_syn", "a SYN in an open connection: forged, or an address used twice" },
	{ "tcp_rfc7323_paws", "old timestamp: a packet from the past" },
	{ "ip_outnoroutes", "no route to there" },
	{ "ip_innoroutes", "no route to there" },
	{ "ip_rpfilter", "reverse path filter: came by another way than answers go (rp_filter)" },
	{ "ip_inaddrerrors", "address not reachable this way" },
	{ "ip_local_source", "it says it comes from this machine, but came from outside" },
	{ "neigh_failed", "nobody answers at that address (ARP)" },
	{ "neigh_queuefull", "too many packets wait for an answer of ARP" },
	{ "neigh_createfail", "ARP table full (gc_thresh3)" },
	{ "neigh_dead", "the neighbour is gone" },
	{ "ipv6disabled", "IPv6 is switched off" },
	{ "otherhost", "not for this machine" NO_LOSS },
	{ "unicast_in_l2_multicast", "not for this machine" NO_LOSS },
	{ "unhandled_proto", "a protocol nobody handles here" },
	{ "pkt_too_big", "larger than the way allows (MTU)" },
	{ "pkt_too_small", "cut short" },
	{ "tcp_csum", "damaged: wrong checksum" },
	{ "udp_csum", "damaged: wrong checksum" },
	{ "ip_csum", "damaged: wrong checksum" },
	{ "nomem", "out of memory" },
	{ "dev_ready", "the interface is down" },
	{ "queue_purge", "the socket or interface was closed" NO_LOSS },
	{ "not_specified", "the kernel does not say: see where" },
};

const char *drops_meaning(const char *reason)
{
	for (guint i = 0; reason && i < G_N_ELEMENTS(meanings); i++)
		if (strcmp(meanings[i].reason, reason) == 0)
			return meanings[i].meaning;
	return NULL;
}

/* Packets that somebody will miss. */
static gboolean is_loss(const struct edges *edges, guint32 row)
{
	const char *meaning = drops_meaning(edges_labels(edges, row)[0]);

	return !meaning || !g_str_has_suffix(meaning, NO_LOSS);
}

GArray *drops_order(const struct edges *edges)
{
	g_autoptr(GArray) order = edges_order(edges, "packets");
	GArray *losses_first = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint pass = 0; pass < 2; pass++)
		for (guint i = 0; i < order->len; i++) {
			guint32 row = g_array_index(order, guint32, i);

			if (is_loss(edges, row) == (pass == 0))
				g_array_append_val(losses_first, row);
		}
	return losses_first;
}

/* ---- JSON ---- */

static void json_drop(struct json_writer *json, const struct edges *edges, guint32 row)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	const char *const *labels = edges_labels(edges, row);
	gboolean inwards;
	struct edge_end whose = drops_whose(edges, row, &inwards);

	json_begin_object(json, NULL);
	json_edge_end(json, whose);
	json_string(json, "direction", inwards ? "in" : "out");
	for (guint i = 0; edges->labels[i]; i++)
		if (labels[i])
			json_bytes(json, edges->labels[i], labels[i]);
	if (drops_meaning(labels[0]))
		json_string(json, "meaning", drops_meaning(labels[0]));
	for (guint i = 0; i < edges->counter_count; i++)
		if (edge->counters[i]) /* bytes of dropped packets are not known in each way of counting */
			json_uint(json, edges->counters[i].name, edge->counters[i]);
	json_end_object(json);
}

static void json_gauge(struct json_writer *json, const struct gauge_row *row, enum gauge gauge, const char *name)
{
	guint64 value;

	if (gauge_get(row, gauge, &value))
		json_uint(json, name, value);
}

/* "host": "host", "container": NAME … */
static void json_owner(struct json_writer *json, const struct gauge_row *row)
{
	json_bytes(json, gauge_resource_name(row->resource), row->name);
}

static void json_listener(struct json_writer *json, const struct gauges *gauges, const struct gauge_row *row)
{
	json_begin_object(json, NULL);
	if (row->parent != GAUGE_NO_PARENT)
		json_owner(json, gauges_row(gauges, row->parent));
	json_bytes(json, "address", row->name);
	json_gauge(json, row, GAUGE_LISTEN_QUEUE, "queue");
	json_gauge(json, row, GAUGE_LISTEN_LIMIT, "limit");
	json_gauge(json, row, GAUGE_LISTEN_DROPS, "refused");
	json_end_object(json);
}

static void json_conntrack(struct json_writer *json, const struct gauge_row *row)
{
	json_begin_object(json, NULL);
	json_owner(json, row);
	json_gauge(json, row, GAUGE_CONNTRACK, "entries");
	json_gauge(json, row, GAUGE_CONNTRACK_LIMIT, "limit");
	json_gauge(json, row, GAUGE_CONNTRACK_DROPS, "drops");
	json_gauge(json, row, GAUGE_CONNTRACK_EARLY_DROPS, "early_drops");
	json_gauge(json, row, GAUGE_CONNTRACK_INSERT_FAILED, "insert_failed");
	json_gauge(json, row, GAUGE_CONNTRACK_OWN, "of_the_hosts");
	json_end_object(json);
}

static void json_queues(struct json_writer *json, const struct gauges *gauges)
{
	json_begin_array(json, "listeners");
	for (guint32 i = 0; i < gauges->rows->len; i++)
		if (gauges_row(gauges, i)->resource == GAUGE_RESOURCE_LISTENER)
			json_listener(json, gauges, gauges_row(gauges, i));
	json_end_array(json);
	json_begin_array(json, "conntrack");
	for (guint32 i = 0; i < gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gauges, i);

		if (gauge_is_known(row, GAUGE_CONNTRACK) || gauge_is_known(row, GAUGE_CONNTRACK_OWN))
			json_conntrack(json, row);
	}
	json_end_array(json);
}

void render_drops_json(FILE *out, const struct snapshot *snapshot, const struct shape *shape,
		       const struct shape *queues)
{
	g_autoptr(GArray) order = drops_order(shape->edges);
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, text);
	json_begin_object(&json, NULL);
	json_uint(&json, "duration_ns", snapshot->duration_ns);
	json_begin_array(&json, "drops");
	for (guint32 i = 0; i < order->len; i++) {
		json_drop(&json, shape->edges, g_array_index(order, guint32, i));
		json_flush(&json, out, JSON_FLUSH_BYTES);
	}
	json_end_array(&json);
	if (queues)
		json_queues(&json, queues->gauges);
	json_ledger(&json, &shape->ledger);
	json_end_object(&json);
	g_string_append_c(text, '\n');
	json_flush(&json, out, 0);
	fflush(out);
}
