/* SPDX-License-Identifier: Apache-2.0 */
/* The probe "connections" does all the work; of what it hands out one histogram is kept. */
#include "probe/tcptimes.h"

#include "probe/tcp.h"

#define TCPTIMES_RUNG "tp_btf/inet_sock_set_state" /* of "connections" */
#define TCPTIMES_RUNG_POLLED "polled" /* likewise: knows no times but round trips */
#define MISSES                                                                                                         \
	"connections of processes' sockets passed on and held by nobody when watching began; requests answered after " \
	"the asker closed its sending side"

enum tcptimes_label {
	LABEL_PEER = 0,
	LABEL_PORT = 1,
	LABEL_SIDE = 2,
	LABELS = 3,
};

static const struct probe_label tcptimes_labels[] = {
	[LABEL_PEER] = { "peer", PROBE_LABEL_OWNER },
	[LABEL_PORT] = { "port", PROBE_LABEL_TEXT },
	[LABEL_SIDE] = { "side", PROBE_LABEL_TEXT },
	{ 0 },
};

static const struct rung tcptimes_rungs[] = {
	{ .name = TCPTIMES_RUNG, .misses = MISSES },
	{ 0 },
};

static const struct rung tcptimes_rungs_rtt[] = {
	{ .name = TCPTIMES_RUNG, .misses = MISSES },
	{ .name = TCPTIMES_RUNG_POLLED,
	  .misses =
		  "polled every 3 s: short connections are missed, and of the others what their round trip was between two "
		  "looks",
	  .without_bpf = TRUE },
	{ 0 },
};

struct tcptimes_run {
	enum tcp_time which;
	struct probe_run *inner; /* of "connections" */
	struct probe_listener listener;
	guint64 told_events, told_ns;
};

/* The client's view where it is here. */
static void tcptimes_pair(void *user, const struct probe_pair *pair)
{
	struct tcptimes_run *run = user;
	const struct histogram_counts *counts = pair->histograms ? pair->histograms[run->which] : NULL;
	gboolean client = pair->source.kind == EDGE_END_CONTAINER;
	const struct probe_end *own = client ? &pair->source : &pair->target;
	const struct probe_end *peer = client ? &pair->target : &pair->source;
	gboolean peer_here = peer->kind == EDGE_END_CONTAINER;
	const struct probe_value values[LABELS] = {
		[LABEL_PEER] = { .text = peer_here ? NULL : peer->text,
				 .number = peer_here ? peer->cgroup_key : PROBE_NO_NUMBER },
		[LABEL_PORT] = pair->values[0],
		[LABEL_SIDE] = { .text = client ? "client" : "server" },
	};
	struct probe_task task = { .cgroup_key = own->cgroup_key };
	const struct probe_bucket bucket = { .task = &task, .values = values, .counts = counts };

	if (!counts || !run->listener.bucket)
		return;
	if (own->process)
		g_strlcpy(task.comm, own->process, sizeof(task.comm));
	run->told_events += counts->count;
	run->told_ns += counts->sum;
	run->listener.bucket(run->listener.user, &bucket);
}

static void tcptimes_born(void *user, guint64 cgroup_key, const char *path)
{
	const struct tcptimes_run *run = user;

	if (run->listener.cgroup_born)
		run->listener.cgroup_born(run->listener.user, cgroup_key, path);
}

static void tcptimes_died(void *user, guint64 cgroup_key)
{
	const struct tcptimes_run *run = user;

	if (run->listener.cgroup_died)
		run->listener.cgroup_died(run->listener.user, cgroup_key);
}

static struct probe_run *tcptimes_open(enum tcp_time which, const struct probe_request *request,
				       const struct probe_listener *listener, GError **error)
{
	struct tcptimes_run *run = g_new0(struct tcptimes_run, 1);
	struct probe_request asked = *request;
	const struct probe_listener inner = {
		.user = run,
		.pair = tcptimes_pair,
		.cgroup_born = tcptimes_born,
		.cgroup_died = tcptimes_died,
	};

	asked.rung = which == TCP_TIME_RTT ? request->rung : TCPTIMES_RUNG;
	asked.round_trips = which == TCP_TIME_RTT;
	run->which = which;
	run->listener = *listener;
	run->inner = probe_connections.open(&asked, &inner, error);
	if (run->inner)
		return (struct probe_run *)run;
	g_free(run);
	return NULL;
}

static int tcptimes_fd(struct probe_run *run)
{
	return probe_connections.fd(((struct tcptimes_run *)run)->inner);
}

static gboolean tcptimes_drain(struct probe_run *run, GError **error)
{
	return probe_connections.drain(((struct tcptimes_run *)run)->inner, error);
}

static gboolean tcptimes_collect(struct probe_run *run, struct ledger *ledger, GError **error)
{
	return probe_connections.collect(((struct tcptimes_run *)run)->inner, ledger, error);
}

/* The ledger counts connections; here it is time that weighs: as much for each as one took on average. */
static void tcptimes_weigh(const struct tcptimes_run *run, struct ledger *ledger)
{
	double mean_ns = run->told_events ? (double)run->told_ns / (double)run->told_events : 1;

	ledger->seen.weight = (guint64)((double)ledger->seen.weight * mean_ns);
	for (guint i = 0; i < LEDGER_ITEMS; i++)
		ledger->items[i].weight = (guint64)((double)ledger->items[i].weight * mean_ns);
}

static gboolean tcptimes_finish(struct probe_run *run, struct ledger *ledger, GError **error)
{
	struct tcptimes_run *times = (struct tcptimes_run *)run;

	if (!probe_connections.finish(times->inner, ledger, error))
		return FALSE;
	tcptimes_weigh(times, ledger);
	return TRUE;
}

static void tcptimes_close(struct probe_run *run)
{
	if (run)
		probe_connections.close(((struct tcptimes_run *)run)->inner);
	g_free(run);
}

#define TCPTIMES_PROBE(symbol, title, what, time, ways)                                                                \
	static struct probe_run *tcptimes_open_##symbol(const struct probe_request *request,                           \
							const struct probe_listener *listener, GError **error)         \
	{                                                                                                              \
		return tcptimes_open(time, request, listener, error);                                                  \
	}                                                                                                              \
	const struct probe probe_##symbol = {                                                                          \
		.name = title,                                                                                         \
		.shows = what,                                                                                         \
		.shape = SHAPE_HISTOGRAM,                                                                              \
		.unit = UNIT_NANOSECONDS,                                                                              \
		.rungs = ways,                                                                                         \
		.labels = tcptimes_labels,                                                                             \
		.open = tcptimes_open_##symbol,                                                                        \
		.fd = tcptimes_fd,                                                                                     \
		.drain = tcptimes_drain,                                                                               \
		.collect = tcptimes_collect,                                                                           \
		.finish = tcptimes_finish,                                                                             \
		.close = tcptimes_close,                                                                               \
		.view_of = &probe_connections,                                                                         \
	}

TCPTIMES_PROBE(connect, "connect", "TCP: how long connecting takes, by who to whom", TCP_TIME_CONNECT, tcptimes_rungs);
TCPTIMES_PROBE(rtt, "rtt", "TCP: smoothed round trips, as connections end and once a second or so while they live",
	       TCP_TIME_RTT, tcptimes_rungs_rtt);
TCPTIMES_PROBE(first_byte, "first-byte", "TCP: from connected to the server's first byte", TCP_TIME_FIRST_BYTE,
	       tcptimes_rungs);
TCPTIMES_PROBE(request, "request", "TCP: from a request to its answer's first byte", TCP_TIME_REQUEST, tcptimes_rungs);
