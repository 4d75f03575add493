/* SPDX-License-Identifier: Apache-2.0 */
/* A client is connected before its server has accepted: its event waits a moment for the server's, which says who that
 * is. */
#include "probe/tcpevents.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "probe/eventring.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/netowners.h"
#include "probe/tcp_polled.h"
#include "tcpevents.skel.h"

#define TCPEVENTS_RING_BYTES (4 << 20)
#define TCPEVENTS_RING_BYTES_SMALLEST (4 << 10)
#define TCPEVENTS_WAIT_NS (50 * NS_PER_MS) /* so long a client's event waits for its server's */
#define TCPEVENTS_WAITING_MAX 10000
#define TCPEVENTS_LOOK_NS (500 * NS_PER_MS) /* between two looks at the machine's network namespaces */
#define TCPEVENTS_FIELDS 9

struct tcpevents_run {
	struct tcpevents_bpf *kernel;
	struct bpf_link *state, *retransmit, *refuses;
	struct netowners *refusers;
	guint64 looked_ns; /* for them, last */
	struct eventring *ring;
	struct tcp_polled *polled; /* without kernel programs: none of the above */
	int timer_fd; /* of that; -1: none */
	struct ledger_line polled_seen;
	GHashTable *nobodys; /* network namespace → how many events there had no known owner */
	GHashTable *wanted_netns; /* set of network namespaces of wanted containers' processes */
	const struct rung *rung;
	char *why_not;
	struct probe_request request;
	struct probe_listener listener;
	GQueue waiting; /* of struct tcpevents_record *: connects, oldest first */
	GHashTable *by_pair; /* of the same, by &record->pair */
};

static const struct rung tcpevents_rungs[] = {
	{ .name = "tp_btf/inet_sock_set_state",
	  .misses =
		  "who opened a connection that was open before; of a server its process that listens is named, not the "
		  "one that accepts" },
	{ .name = "polled",
	  .misses =
		  "polled every 3 s: short connections are missed; so are failures, resets, retransmissions, processes, "
		  "exact times, and what is sent after the last look at a connection",
	  .without_bpf = TRUE },
	{ 0 },
};
#define TCPEVENTS_RUNG_POLLED (&tcpevents_rungs[G_N_ELEMENTS(tcpevents_rungs) - 2])

/* ---- telling ---- */

static const char *failure_name(guint32 error)
{
	switch (error) {
	case ECONNREFUSED:
		return "refused";
	case ETIMEDOUT:
		return "timeout";
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return "unreachable";
	case ECONNRESET:
		return "reset";
	case EPIPE:
		return "reset after close";
	case 0:
		return "abandoned";
	}
	return "other";
}

static const char *record_why(const struct tcpevents_record *record)
{
	static const char *const again[] = { "SYN", "RTO", "fast", "loss probe" };

	switch (record->head.kind) {
	case TCPEVENTS_RETRANSMIT:
		return record->error < G_N_ELEMENTS(again) ? again[record->error] : NULL;
	case TCPEVENTS_FAIL:
	case TCPEVENTS_RESET:
		return failure_name(record->error);
	case TCPEVENTS_CLOSE:
		return record->error == ETIMEDOUT ? "timeout" : NULL;
	}
	return NULL;
}

static void tcpevents_tell(struct tcpevents_run *run, const struct tcpevents_record *record)
{
	static const char *const kinds[TCPEVENTS_KINDS] = {
		"connect", "accept", "close", "reset", "fail", "retransmit"
	};
	char address[INET6_ADDRSTRLEN] = "-";
	const char *why = record_why(record);
	struct probe_field fields[TCPEVENTS_FIELDS];
	guint count = 0;

	inet_ntop(record->family == AF_INET6 ? AF_INET6 : AF_INET, record->address, address, sizeof(address));
	fields[count++] = (struct probe_field){ .field = { "event", EVENT_TEXT, 0, kinds[record->head.kind] } };
	fields[count++] = (struct probe_field){ .field = { "peer", EVENT_TEXT, 0, record->peer ? NULL : address },
						.owner = record->peer ? PROBE_OWNER_NAME : PROBE_OWNER_NONE,
						.cgroup_key = record->peer };
	fields[count++] =
		(struct probe_field){ .field = { "side", EVENT_TEXT, 0, record->client ? "client" : "server" } };
	fields[count++] = (struct probe_field){ .field = { "port", EVENT_COUNT, record->port, NULL } };
	fields[count++] = (struct probe_field){ .field = { "sent", EVENT_BYTES, record->sent, NULL } };
	fields[count++] = (struct probe_field){ .field = { "received", EVENT_BYTES, record->received, NULL } };
	if (record->duration_us)
		fields[count++] = (struct probe_field){ .field = { "duration", EVENT_NANOSECONDS,
								   record->duration_us * 1000, NULL } };
	if (record->rtt_us)
		fields[count++] = (struct probe_field){ .field = { "rtt", EVENT_NANOSECONDS,
								   (guint64)record->rtt_us * 1000, NULL } };
	if (why)
		fields[count++] = (struct probe_field){ .field = { "why", EVENT_TEXT, 0, why } };
	eventring_tell(run->ring, &record->head, "tcp", fields, count);
}

static void tcpevents_release(struct tcpevents_run *run, GList *at)
{
	struct tcpevents_record *record = at->data;

	g_hash_table_remove(run->by_pair, &record->pair);
	g_queue_delete_link(&run->waiting, at);
	tcpevents_tell(run, record);
	g_free(record);
}

static void tcpevents_release_old(struct tcpevents_run *run, guint64 before_ns)
{
	for (GList *at = run->waiting.head; at;) {
		struct tcpevents_record *record = at->data;

		if (record->head.time_ns >= before_ns && run->waiting.length <= TCPEVENTS_WAITING_MAX)
			return;
		tcpevents_release(run, at);
		at = run->waiting.head;
	}
}

static void tcpevents_wait(struct tcpevents_run *run, const struct tcpevents_record *record)
{
	struct tcpevents_record *kept = g_memdup2(record, sizeof(*record));

	g_queue_push_tail(&run->waiting, kept);
	g_hash_table_insert(run->by_pair, &kept->pair, run->waiting.tail);
	tcpevents_release_old(run, 0);
}

/* Whose the network namespace is that refused a connection; 0: nobody's who is known. */
static guint64 tcpevents_refuser(struct tcpevents_run *run, guint32 inode)
{
	guint64 now_ns = clock_monotonic_ns();

	if (!inode)
		return 0;
	if (!netowners_knows(run->refusers, inode) && now_ns - run->looked_ns >= TCPEVENTS_LOOK_NS) {
		run->looked_ns = now_ns;
		netowners_learn(run->refusers, NETOWNERS_NEW, NULL, NULL);
	}
	return netowners_find(run->refusers, inode);
}

/* eventring_decode_fn */
static gboolean tcpevents_decode(void *user, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	struct tcpevents_run *run = user;
	struct tcpevents_record record;
	GList *waits;

	(void)ring;
	if (bytes < sizeof(record) || head->kind >= TCPEVENTS_KINDS)
		return FALSE;
	memcpy(&record, head, sizeof(record));
	if (!record.peer)
		record.peer = tcpevents_refuser(run, record.refuser);
	waits = record.pair ? g_hash_table_lookup(run->by_pair, &record.pair) : NULL;
	if (waits) { /* the server's, or the end of it */
		if (!record.client)
			((struct tcpevents_record *)waits->data)->peer = record.head.task.cgroup_key;
		tcpevents_release(run, waits);
	}
	if (record.head.kind == TCPEVENTS_CONNECT && record.pair)
		tcpevents_wait(run, &record);
	else
		tcpevents_tell(run, &record);
	return TRUE;
}

/* ---- without kernel programs ---- */

static gboolean polled_wants(const struct tcpevents_run *run, guint64 cgroup_key)
{
	for (gsize i = 0; run->request.filter && i < run->request.cgroup_count; i++)
		if (run->request.cgroups[i].key == cgroup_key)
			return run->request.cgroups[i].wanted;
	return !run->request.filter;
}

static void polled_count_nobodys(struct tcpevents_run *run, guint32 netns)
{
	gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(run->nobodys, GUINT_TO_POINTER(netns)));

	g_hash_table_insert(run->nobodys, GUINT_TO_POINTER(netns), GSIZE_TO_POINTER(count + 1));
}

/* Notes where wanted processes are: what happens elsewhere, and to nobody known, is not theirs. */
static void polled_note_process(void *user, guint64 cgroup_key, guint32 netns)
{
	struct tcpevents_run *run = user;

	if (cgroup_key == 0 || polled_wants(run, cgroup_key))
		g_hash_table_add(run->wanted_netns, GUINT_TO_POINTER(netns));
}

static void polled_note_processes(struct tcpevents_run *run)
{
	if (run->request.filter)
		tcp_polled_each_process(run->polled, polled_note_process, run);
}

/* tcp_polled_fn. Of a connection both of whose ends are here each end's is told, but its close only of the client's. */
static void polled_tell(void *user, const struct tcp_polled_edge *edge)
{
	struct tcpevents_run *run = user;
	const struct probe_end *own = edge->is_client ? &edge->client : &edge->server;
	const struct probe_end *peer = edge->is_client ? &edge->server : &edge->client;
	struct probe_task task = { .cgroup_key = own->cgroup_key };
	struct probe_field fields[TCPEVENTS_FIELDS];
	struct probe_event event = { .time_ns = clock_monotonic_ns(), .task = &task, .kind = "tcp", .fields = fields };
	const char *what = edge->opens ? "connect" : edge->accepts ? "accept" : edge->closes ? "close" : NULL;

	if (!what)
		return;
	if (own->kind == EDGE_END_CONTAINER && !polled_wants(run, own->cgroup_key))
		return;
	if (own->kind != EDGE_END_CONTAINER) {
		polled_count_nobodys(run, edge->netns);
		return;
	}
	run->polled_seen.events++;
	fields[event.field_count++] = (struct probe_field){ .field = { "event", EVENT_TEXT, 0, what } };
	fields[event.field_count++] =
		(struct probe_field){ .field = { "peer", EVENT_TEXT, 0,
						 peer->kind == EDGE_END_CONTAINER ? NULL : edge->remote },
				      .owner = peer->kind == EDGE_END_CONTAINER ? PROBE_OWNER_NAME : PROBE_OWNER_NONE,
				      .cgroup_key = peer->cgroup_key };
	fields[event.field_count++] =
		(struct probe_field){ .field = { "side", EVENT_TEXT, 0, edge->is_client ? "client" : "server" } };
	fields[event.field_count++] =
		(struct probe_field){ .field = { "port", EVENT_COUNT, g_ascii_strtoull(edge->port, NULL, 10), NULL } };
	fields[event.field_count++] =
		(struct probe_field){ .field = { "sent", EVENT_BYTES, edge->all_sent_bytes, NULL } };
	fields[event.field_count++] =
		(struct probe_field){ .field = { "received", EVENT_BYTES, edge->all_received_bytes, NULL } };
	if (edge->rtt_us)
		fields[event.field_count++] =
			(struct probe_field){ .field = { "rtt", EVENT_NANOSECONDS, edge->rtt_us * 1000, NULL } };
	if (run->listener.event)
		run->listener.event(run->listener.user, &event);
}

static gboolean polled_open(struct tcpevents_run *run, GError **error)
{
	const struct itimerspec every = { .it_interval = { .tv_sec = TCP_POLLED_NS / NS_PER_S },
					  .it_value = { .tv_sec = TCP_POLLED_NS / NS_PER_S } };

	if (run->request.tgid_count > 0) {
		g_set_error(
			error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED,
			"whose process a socket is cannot be told by looking from time to time: name its container");
		return FALSE;
	}
	run->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->timer_fd < 0 || timerfd_settime(run->timer_fd, 0, &every, NULL) != 0) {
		ladder_set_error(error, "cannot set a timer", errno);
		return FALSE;
	}
	run->polled = tcp_polled_open(&run->listener, error);
	if (!run->polled)
		return FALSE;
	polled_note_processes(run);
	return TRUE;
}

static void polled_drain(struct tcpevents_run *run, gboolean last)
{
	guint64 expired;

	if (read(run->timer_fd, &expired, sizeof(expired)) == sizeof(expired) || last)
		tcp_polled_collect(run->polled, TRUE, polled_tell, run);
}

static void polled_account(struct tcpevents_run *run, struct ledger *ledger)
{
	GHashTableIter each;
	gpointer netns, count;
	guint64 nobodys = 0;

	polled_note_processes(run); /* those that came since */
	g_hash_table_iter_init(&each, run->nobodys);
	while (g_hash_table_iter_next(&each, &netns, &count))
		if (!run->request.filter || g_hash_table_contains(run->wanted_netns, netns))
			nobodys += GPOINTER_TO_SIZE(count);
	ledger->seen.events += run->polled_seen.events + nobodys;
	ledger_note(ledger, g_strdup(run->rung->misses));
	if (nobodys)
		ledger_add(ledger, LEDGER_LOST_UNATTRIBUTED, nobodys, 0);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
}

/* ---- running ---- */

static gboolean tcpevents_load(struct tcpevents_run *run, GError **error)
{
	static const char what[] = "cannot load the program that watches connections";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(tcpevents, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, &run->request);
	FILTER_SET(run->kernel->rodata, &values);
	run->kernel->rodata->retransmit_tells = kernel_btf_arguments(btf, "tcp_retransmit_skb") > 2;
	EVENTRING_SET(run->kernel->rodata, &run->request);
	bpf_map__set_max_entries(run->kernel->maps.event_ring,
				 run->request.smallest ? TCPEVENTS_RING_BYTES_SMALLEST : TCPEVENTS_RING_BYTES);
	return filter_size(run->kernel->obj, &run->request, error) &&
	       kernel_btf_load(btf, run->kernel->skeleton, what, error) &&
	       filter_fill(run->kernel->obj, &run->request, error);
}

/* Who listens already, once. */
static gboolean tcpevents_find_listeners(struct tcpevents_run *run, GError **error)
{
	struct bpf_link *link = kernel_btf_attach(run->kernel->progs.tcpevents_listening);
	gboolean ok = kernel_btf_iterate(link, "cannot walk over the open sockets", error);

	bpf_link__destroy(link);
	return ok;
}

static void tcpevents_detach(struct tcpevents_run *run)
{
	bpf_link__destroy(g_steal_pointer(&run->state));
	bpf_link__destroy(g_steal_pointer(&run->retransmit));
	bpf_link__destroy(g_steal_pointer(&run->refuses));
}

static void tcpevents_unload(struct tcpevents_run *run)
{
	tcpevents_detach(run);
	eventring_close(g_steal_pointer(&run->ring));
	tcpevents_bpf__destroy(g_steal_pointer(&run->kernel));
}

/* ladder_try_fn */
static gboolean tcpevents_attach(void *user, const struct rung *rung, GError **error)
{
	struct tcpevents_run *run = user;

	if (rung == TCPEVENTS_RUNG_POLLED)
		return polled_open(run, error);
	if (!tcpevents_load(run, error)) {
		tcpevents_unload(run);
		return FALSE;
	}
	run->ring = eventring_open(run->kernel->obj, &run->listener, tcpevents_decode, run, error);
	if (run->ring && tcpevents_find_listeners(run, error)) {
		run->retransmit = kernel_btf_attach(run->kernel->progs.tcpevents_retransmit);
		if (run->retransmit)
			run->refuses = kernel_btf_attach(run->kernel->progs.tcpevents_refuses);
		if (run->refuses)
			run->state = kernel_btf_attach(run->kernel->progs.tcpevents_state);
		if (run->state)
			return TRUE;
		ladder_set_error(error, "cannot attach to inet_sock_set_state", errno);
	}
	tcpevents_unload(run);
	return FALSE;
}

static void tcpevents_close(struct probe_run *opaque)
{
	struct tcpevents_run *run = (struct tcpevents_run *)opaque;

	if (!run)
		return;
	tcpevents_unload(run);
	tcp_polled_close(run->polled);
	netowners_free(run->refusers);
	if (run->timer_fd >= 0)
		close(run->timer_fd);
	g_free(run->why_not);
	g_hash_table_unref(run->by_pair);
	g_hash_table_unref(run->nobodys);
	g_hash_table_unref(run->wanted_netns);
	g_queue_clear_full(&run->waiting, g_free);
	g_free(run);
}

static struct probe_run *tcpevents_open(const struct probe_request *request, const struct probe_listener *listener,
					GError **error)
{
	struct tcpevents_run *run = g_new0(struct tcpevents_run, 1);

	run->request = *request;
	run->listener = *listener;
	run->refusers = netowners_new(&run->listener);
	run->timer_fd = -1;
	g_queue_init(&run->waiting);
	run->by_pair = g_hash_table_new(g_int64_hash, g_int64_equal);
	run->nobodys = g_hash_table_new(NULL, NULL);
	run->wanted_netns = g_hash_table_new(NULL, NULL);
	run->rung = ladder_climb(tcpevents_rungs, request->rung, tcpevents_attach, run, &run->why_not, error);
	if (run->rung)
		return (struct probe_run *)run;
	tcpevents_close((struct probe_run *)run);
	return NULL;
}

static int tcpevents_fd(struct probe_run *opaque)
{
	struct tcpevents_run *run = (struct tcpevents_run *)opaque;

	return run->polled ? run->timer_fd : eventring_fd(run->ring);
}

static gboolean tcpevents_drain(struct probe_run *opaque, GError **error)
{
	struct tcpevents_run *run = (struct tcpevents_run *)opaque;
	gboolean right;

	if (run->polled) {
		polled_drain(run, FALSE);
		return TRUE;
	}
	right = eventring_drain(run->ring, error);
	tcpevents_release_old(run, clock_monotonic_ns() - TCPEVENTS_WAIT_NS);
	return right;
}

static gboolean tcpevents_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct tcpevents_run *run = (struct tcpevents_run *)opaque;

	tcpevents_detach(run);
	ledger->rung = g_strdup(run->rung->name);
	ledger->misses = g_strdup(run->rung->misses);
	if (run->polled) {
		polled_drain(run, TRUE);
		polled_account(run, ledger);
		return TRUE;
	}
	if (!eventring_drain(run->ring, error))
		return FALSE;
	tcpevents_release_old(run, G_MAXUINT64);
	return eventring_account(run->ring, ledger, error);
}

const struct probe probe_tcp = {
	.name = "tcp",
	.shows = "TCP connections one by one: opened, accepted, closed, failed, reset; segments sent again",
	.shape = SHAPE_EVENTS,
	.unit = UNIT_COUNT,
	.rungs = tcpevents_rungs,
	.open = tcpevents_open,
	.fd = tcpevents_fd,
	.drain = tcpevents_drain,
	.finish = tcpevents_finish,
	.close = tcpevents_close,
};
