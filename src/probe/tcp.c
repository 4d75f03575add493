/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sockdiag.h"
#include "probe/tcp.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/histogram.h"
#include "probe/births.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/owners.h"
#include "probe/parttime.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/mapview.h"
#include "probe/netowners.h"
#include "probe/peers.h"
#include "probe/ringread.h"
#include "probe/tcp_polled.h"
#include "tcp.skel.h"

#define TCP_WALK_SHARE 100 /* of the time between walks one walk takes at most one part in so many */
#define TCP_SWEEP_NS (100 * NS_PER_MS) /* between two sweeps: what is just ending has ended */
#define TCP_QUEUES_NS (5 * NS_PER_S) /* between two looks at all accept queues nobody called for */
#define TCP_CONSUMED_NS (60 * NS_PER_S) /* what is consumed is looked at for so long after a queue was full */
#define TCP_TURNED_NS (5 * NS_PER_S) /* a client that is here has sent its SYN again by then */
#define TCP_TURNED_FORGET_NS (150 * NS_PER_S) /* and the last of them, at the kernel's usual settings */
#define TCP_TICK_LEARN_NS (50 * NS_PER_MS)
#define TCP_IDLE_NS (60 * NS_PER_S) /* an edge without connections is kept for so long when room gets scarce */
#define TCP_IDLE_SMALLEST_NS (100 * NS_PER_MS)

/* Tables of connections, each visited by a program of its own. */
enum tcp_table {
	TCP_TABLE_NEAR = 0,
	TCP_TABLE_FAR = 1,
	TCP_TABLE_SPILLED = 2,
	TCP_TABLES = 3,
};

/* How much the kernel half can hold. */
struct tcp_sizes {
	guint32 near_bits, bucket_bits; /* of numbers of buckets */
	guint32 spilled, edges;
	guint64 idle_ns;
};

static const struct tcp_sizes tcp_sizes_usual = { TCP_NEAR_BITS, TCP_BUCKET_BITS, TCP_SPILLED, TCP_EDGES, TCP_IDLE_NS };
static const struct tcp_sizes tcp_sizes_frugal = { TCP_NEAR_BITS, TCP_BUCKET_BITS_FRUGAL, TCP_SPILLED_FRUGAL,
						   TCP_EDGES_FRUGAL, TCP_IDLE_NS };
static const struct tcp_sizes tcp_sizes_smallest = { TCP_BITS_SMALLEST, TCP_BITS_SMALLEST, TCP_SPILLED_SMALLEST,
						     TCP_EDGES_SMALLEST, TCP_IDLE_SMALLEST_NS };

enum tcp_counter {
	COUNTER_OPENS = 0,
	COUNTER_ACCEPTS = 1,
	COUNTER_CLOSES = 2,
	COUNTER_EXISTING = 3,
	COUNTER_FAILED = 4, /* TCP_FAILURES of them */
	COUNTER_RESETS = COUNTER_FAILED + TCP_FAILURES,
	COUNTER_SENT_BYTES,
	COUNTER_RECEIVED_BYTES,
	COUNTER_SENT_SEGMENTS,
	COUNTER_RECEIVED_SEGMENTS,
	COUNTER_RETRANSMITS, /* TCP_RETRANSMITS of them */
	COUNTER_SPURIOUS = COUNTER_RETRANSMITS + TCP_RETRANSMITS,
	COUNTER_SINGLE,
	COUNTER_WINDOW,
	COUNTERS,
};
G_STATIC_ASSERT(COUNTERS <= EDGES_COUNTERS_MAX);

const struct edges_column tcp_counters[] = {
	[COUNTER_OPENS] = { "opens", UNIT_COUNT },
	[COUNTER_ACCEPTS] = { "accepts", UNIT_COUNT },
	[COUNTER_CLOSES] = { "closes", UNIT_COUNT },
	[COUNTER_EXISTING] = { "existing", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_REFUSED] = { "failed_refused", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_TIMEOUT] = { "failed_timeout", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_UNREACHABLE] = { "failed_unreachable", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_RESET] = { "failed_reset", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_ABANDONED] = { "failed_abandoned", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_OTHER] = { "failed_other", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_LOCAL] = { "failed_local", UNIT_COUNT },
	[COUNTER_FAILED + TCP_FAILURE_OVERFLOW] = { "failed_overflow", UNIT_COUNT },
	[COUNTER_RESETS] = { "resets", UNIT_COUNT },
	[COUNTER_SENT_BYTES] = { "sent_bytes", UNIT_BYTES },
	[COUNTER_RECEIVED_BYTES] = { "received_bytes", UNIT_BYTES },
	[COUNTER_SENT_SEGMENTS] = { "sent_segments", UNIT_COUNT },
	[COUNTER_RECEIVED_SEGMENTS] = { "received_segments", UNIT_COUNT },
	[COUNTER_RETRANSMITS + TCP_RETRANSMIT_SYN] = { "retransmits_syn", UNIT_COUNT },
	[COUNTER_RETRANSMITS + TCP_RETRANSMIT_RTO] = { "retransmits_rto", UNIT_COUNT },
	[COUNTER_RETRANSMITS + TCP_RETRANSMIT_FAST] = { "retransmits_fast", UNIT_COUNT },
	[COUNTER_RETRANSMITS + TCP_RETRANSMIT_PROBE] = { "retransmits_probe", UNIT_COUNT },
	[COUNTER_RETRANSMITS + TCP_RETRANSMIT_UNSEEN] = { "retransmits_unseen", UNIT_COUNT },
	[COUNTER_SPURIOUS] = { "spurious", UNIT_COUNT },
	[COUNTER_SINGLE] = { "single", UNIT_COUNT },
	[COUNTER_WINDOW] = { "window_limited", UNIT_NANOSECONDS },
	{ 0 },
};

const struct edges_column tcp_times[] = {
	[TCP_TIME_CONNECT] = { "connect", UNIT_NANOSECONDS },
	[TCP_TIME_RTT] = { "rtt", UNIT_NANOSECONDS },
	[TCP_TIME_SESSION] = { "session", UNIT_NANOSECONDS },
	[TCP_TIME_FIRST_BYTE] = { "first_byte", UNIT_NANOSECONDS },
	[TCP_TIME_REQUEST] = { "request", UNIT_NANOSECONDS },
	{ 0 },
};

static const struct probe_label tcp_labels[] = { { "port", PROBE_LABEL_TEXT }, { 0 } };

static const struct rung tcp_rungs[] = {
	{ .name = "tp_btf/inet_sock_set_state",
	  .misses =
		  "connections of processes' sockets passed on and held by nobody when watching began; requests answered "
		  "after the asker closed its sending side" },
	{ .name = "polled",
	  .misses =
		  "polled every 3 s: short connections are missed; so are failures but full accept queues (each packet they "
		  "drop counts), retransmissions, times but for the round trip, what is sent after the last look at a connection, and that two ends belong together where addresses "
		  "are translated on the way",
	  .without_bpf = TRUE },
	{ 0 },
};
#define TCP_RUNG_POLLED (&tcp_rungs[G_N_ELEMENTS(tcp_rungs) - 2])

struct tcp_run {
	struct probe_listener listener;
	struct probe_request request;
	const struct rung *rung;
	char *why_not;
	struct probe_run *peers; /* what is no TCP (peers.h); NULL: not asked for, */
	char *peers_why_not; /* or refused */
	struct tcp_polled *polled; /* without kernel programs: nothing below is used */
	struct tcp_bpf *kernel;
	struct bpf_link *state, *retransmit, *walk;
	struct parttime *segments;
	struct bpf_link *visits[TCP_TABLES];
	struct bpf_link *answered_again, *queues;
	struct bpf_link *refuses;
	struct bpf_link *consumed; /* NULL: it is not needed now */
	struct ringread *alarms;
	guint64 consumed_until_ns, next_queues_ns;
	guint64 turned_made; /* when it was last looked */
	gboolean turned_left; /* some are remembered */
	int epoll; /* readable when there is something to drain; -1: never */
	struct births *births;
	struct netowners *refusers;
	gboolean refusers_asked; /* for one that is not there yet */
	struct mapview *view; /* of the edges: those that have numbers are mapped */
	const struct tcp_edge *edges; /* the kernel's */
	const struct tcp_sizes *sizes;
	guint32 edges_max; /* numbers there are */
	struct tcp_edge_key *keys; /* by number; all 0: not read yet */
	struct tcp_edge *told; /* by number: what has been handed out */
	guint64 *busy_ns; /* by number: when there was something to hand out last */
	gboolean *retired; /* by number: nothing new finds it any more */
	guint32 known; /* numbers there are keys for */
	guint32 made; /* edges, when keys were read last */
	struct tcp_name *names; /* by number; NULL unless by process */
	guint64 next_walk_ns; /* CLOCK_MONOTONIC */
	guint64 unpaired; /* connections there was no room for, when it was last looked */
	guint64 missed; /* changes of state the kernel did not tell, likewise */
	guint64 strangers; /* ends of connections nobody knew, likewise */
	guint sweeps_due; /* this and the next */
	guint64 next_sweep_ns;
	guint64 first_tick, first_tick_ns;
	double tick_ns; /* 0: not known yet */
};

void tcp_counters_traffic(guint64 *counters, guint64 sent_bytes, guint64 received_bytes, guint64 sent_packets,
			  guint64 received_packets)
{
	counters[COUNTER_SENT_BYTES] = sent_bytes;
	counters[COUNTER_RECEIVED_BYTES] = received_bytes;
	counters[COUNTER_SENT_SEGMENTS] = sent_packets;
	counters[COUNTER_RECEIVED_SEGMENTS] = received_packets;
}

void tcp_counters_lives(guint64 *counters, guint64 existing, guint64 opens, guint64 closes)
{
	counters[COUNTER_EXISTING] = existing;
	counters[COUNTER_OPENS] = counters[COUNTER_ACCEPTS] = opens;
	counters[COUNTER_CLOSES] = closes;
}

/* ---- start ---- */

static gboolean tcp_load(struct tcp_run *run, GError **error)
{
	static const char what[] = "cannot load the program that watches connections";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(tcp, btf, what, error);
	if (!run->kernel)
		return FALSE;
	if (!births_size(run->kernel->obj, &run->request, error))
		return FALSE;
	filter_values_init(&values, &run->request);
	run->kernel->rodata->v1_controller = values.v1_controller;
	run->kernel->rodata->tcp_by_process = run->request.by_process;
	run->kernel->rodata->pace_closes = run->request.frugal;
	run->kernel->rodata->tcp_deaf = run->request.deaf;
	run->kernel->rodata->tcp_edges_max = run->edges_max;
	run->kernel->rodata->tcp_near_bits = run->sizes->near_bits;
	run->kernel->rodata->tcp_bucket_bits = run->sizes->bucket_bits;
	bpf_map__set_max_entries(run->kernel->maps.tcp_edges, run->edges_max);
	bpf_map__set_max_entries(run->kernel->maps.tcp_spare, run->edges_max);
	bpf_map__set_max_entries(run->kernel->maps.tcp_near, 1 << run->sizes->near_bits);
	bpf_map__set_max_entries(run->kernel->maps.tcp_buckets, 1 << run->sizes->bucket_bits);
	bpf_map__set_max_entries(run->kernel->maps.tcp_pairs, run->sizes->spilled);
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

static gboolean tcp_map_edges(struct tcp_run *run, GError **error)
{
	run->view = mapview_new(bpf_map__fd(run->kernel->maps.tcp_edges), run->edges_max * sizeof(struct tcp_edge),
				PROT_READ);
	if (run->view) {
		run->edges = mapview_base(run->view);
		return TRUE;
	}
	ladder_set_error(error, "cannot map the table of edges", errno);
	return FALSE;
}

/* An iterator over `map`. NULL: errno says why. */
static struct bpf_link *tcp_attach_over(const struct bpf_program *program, const struct bpf_map *map)
{
	union bpf_iter_link_info info = { .map.map_fd = (guint32)bpf_map__fd(map) };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));

	return bpf_program__attach_iter(program, &options);
}

static gboolean tcp_attach_visits(struct tcp_run *run)
{
	struct tcp_bpf *kernel = run->kernel;

	run->visits[TCP_TABLE_NEAR] = tcp_attach_over(kernel->progs.tcp_visit_near, kernel->maps.tcp_near);
	if (run->visits[TCP_TABLE_NEAR])
		run->visits[TCP_TABLE_FAR] = tcp_attach_over(kernel->progs.tcp_visit_far, kernel->maps.tcp_buckets);
	if (run->visits[TCP_TABLE_FAR])
		run->visits[TCP_TABLE_SPILLED] =
			tcp_attach_over(kernel->progs.tcp_visit_spilled, kernel->maps.tcp_pairs);
	return run->visits[TCP_TABLE_SPILLED] != NULL;
}

/* -1: there is nothing to wait for. */
static gboolean tcp_wait_for(const struct tcp_run *run, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return fd < 0 || epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* ringread_fn */
static int tcp_take_alarm(void *user, void *data, size_t bytes)
{
	struct tcp_run *run = user;
	guint64 netns = bytes >= sizeof(netns) ? *(const guint64 *)data : 0;

	if (netns)
		run->refusers_asked = TRUE;
	else
		run->next_queues_ns = 0;
	return 0;
}

/* Whose the network namespaces are in which nobody listened, while they are there. */
static void tcp_learn_refusers(struct tcp_run *run)
{
	if (run->refusers_asked)
		netowners_learn(run->refusers, NETOWNERS_ALL, NULL, NULL);
	run->refusers_asked = FALSE;
}

/* Births, windows of time for segments, and queues that may be full. */
static gboolean tcp_wait_for_all(struct tcp_run *run)
{
	run->alarms = ringread_open(bpf_map__fd(run->kernel->maps.tcp_alarms), tcp_take_alarm, run);
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	return run->alarms && run->epoll >= 0 && tcp_wait_for(run, births_fd(run->births)) &&
	       tcp_wait_for(run, parttime_fd(run->segments)) && tcp_wait_for(run, ringread_fd(run->alarms));
}

static gboolean tcp_attach_programs(struct tcp_run *run, GError **error)
{
	const struct parttime_setup segments = {
		.programs = { run->kernel->progs.tcp_segment },
		.object = run->kernel->obj,
		.open = &run->kernel->bss->pace_open,
		.limit = run->request.frugal ? TCP_SEGMENTS_SHARE : 0,
	};

	ladder_log_start();
	run->births = births_open(run->kernel->obj, &run->listener, error);
	if (!run->births)
		return FALSE;
	run->state = kernel_btf_attach(run->kernel->progs.tcp_state);
	if (run->state)
		run->retransmit = kernel_btf_attach(run->kernel->progs.tcp_retransmit);
	if (run->retransmit)
		run->segments = parttime_new(&segments);
	if (run->segments)
		run->answered_again = kernel_btf_attach(run->kernel->progs.tcp_answered_again);
	if (run->answered_again)
		run->refuses = kernel_btf_attach(run->kernel->progs.tcp_refuses);
	if (run->refuses)
		run->queues = tcp_attach_over(run->kernel->progs.tcp_queues, run->kernel->maps.tcp_listeners);
	if (run->queues && tcp_wait_for_all(run))
		run->walk = bpf_program__attach_iter(run->kernel->progs.tcp_walk, NULL);
	if (run->walk && tcp_attach_visits(run))
		return TRUE;
	ladder_set_error(error, "cannot attach to inet_sock_set_state", errno);
	return FALSE;
}

/* Over every file of every process, for what is open that nobody told of: at the start, and when something was missed or had no
 * room. After attaching: what opens meanwhile is seen by both, and counted once. */
static gboolean tcp_walk_files(struct tcp_run *run, GError **error)
{
	for (guint pass = 0; pass < TCP_PASSES; pass++) {
		__atomic_store_n(&run->kernel->bss->tcp_pass, pass, __ATOMIC_RELEASE);
		if (!kernel_btf_iterate(run->walk, "cannot walk over the open sockets", error))
			return FALSE;
	}
	return TRUE;
}

/* To every connection that is known. */
static gboolean tcp_visit(struct tcp_run *run, enum tcp_visit what, GError **error)
{
	struct tcp_bpf__bss *shared = run->kernel->bss;
	const guint64 held[TCP_TABLES] = {
		[TCP_TABLE_NEAR] = 1,
		[TCP_TABLE_FAR] = __atomic_load_n(&shared->tcp_far, __ATOMIC_RELAXED),
		[TCP_TABLE_SPILLED] = __atomic_load_n(&shared->tcp_spilled, __ATOMIC_RELAXED),
	};

	__atomic_store_n(&shared->tcp_visit, what, __ATOMIC_RELEASE);
	for (guint i = 0; i < TCP_TABLES; i++)
		if (held[i] && !kernel_btf_iterate(run->visits[i], "cannot walk over the open sockets", error))
			return FALSE;
	return TRUE;
}

/* How long a tick of the kernel is, from two moments. */
static void tcp_learn_tick(struct tcp_run *run)
{
	guint64 tick = run->kernel->bss->tcp_tick, at_ns = run->kernel->bss->tcp_tick_ns;

	if (!run->first_tick_ns) {
		run->first_tick = tick;
		run->first_tick_ns = at_ns;
	} else if (at_ns - run->first_tick_ns > TCP_TICK_LEARN_NS && tick > run->first_tick) {
		run->tick_ns = (double)(at_ns - run->first_tick_ns) / (double)(tick - run->first_tick);
	}
}

/* What open connections have done. A walk takes at most a hundredth of the time. */
static gboolean tcp_walk_all(struct tcp_run *run, gboolean find, GError **error)
{
	guint64 before_ns = clock_thread_ns();
	gboolean right;

	run->kernel->bss->tcp_tick_wanted = 1;
	right = (!find || tcp_walk_files(run, error)) && tcp_visit(run, TCP_VISIT_ACCOUNT, error);
	tcp_learn_tick(run);
	run->next_walk_ns = clock_monotonic_ns() + (clock_thread_ns() - before_ns) * TCP_WALK_SHARE;
	return right;
}

/* Are there clients whose server has not been seen? When it is not here, only their own socket tells where it is. */
static gboolean tcp_is_waited_for(const struct tcp_run *run)
{
	gint64 clients = 0;

	for (guint i = 0; i < TCP_WAITING_CPUS; i++)
		clients += __atomic_load_n(&run->kernel->bss->tcp_waiting[i].clients, __ATOMIC_RELAXED);
	return clients > 0;
}

/* Changes of state the kernel has left out, because the program was at work on that CPU when they came. */
static guint64 tcp_missed(const struct tcp_run *run)
{
	struct bpf_prog_info info = { 0 };
	guint32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(run->kernel->progs.tcp_state), &info, &size) != 0)
		return run->missed;
	return info.recursion_misses + __atomic_load_n(&run->kernel->bss->tcp_left_out, __ATOMIC_RELAXED);
}

/* As a walk, it takes at most a hundredth of the time. */
static gboolean tcp_sweep(struct tcp_run *run, GError **error)
{
	guint64 before_ns = clock_thread_ns();
	gboolean right = tcp_visit(run, TCP_VISIT_SWEEP, error);

	run->sweeps_due--;
	run->next_sweep_ns = clock_monotonic_ns() + MAX(TCP_SWEEP_NS, (clock_thread_ns() - before_ns) * TCP_WALK_SHARE);
	return right;
}

/* Connections whose end was not heard of, after something was missed: twice over all that are known. */
static gboolean tcp_sweep_when_due(struct tcp_run *run, gboolean last, GError **error)
{
	guint64 strangers = __atomic_load_n(&run->kernel->bss->tcp_strangers, __ATOMIC_RELAXED);

	if (strangers != run->strangers)
		run->sweeps_due = 2;
	run->strangers = strangers;
	while (run->sweeps_due) {
		guint64 now_ns = clock_monotonic_ns();

		if (now_ns < run->next_sweep_ns && !last)
			return TRUE;
		if (now_ns < run->next_sweep_ns)
			g_usleep(MIN(run->next_sweep_ns - now_ns, TCP_SWEEP_NS) / NS_PER_US);
		if (!tcp_sweep(run, error))
			return FALSE;
	}
	return TRUE;
}

/* Where nothing was sent there is nothing to look at. */
static gboolean tcp_walk_when_due(struct tcp_run *run, gboolean last, GError **error)
{
	guint64 unpaired = __atomic_load_n(&run->kernel->bss->tcp_unpaired, __ATOMIC_RELAXED);
	guint64 missed = tcp_missed(run);
	gboolean find = unpaired != run->unpaired || missed != run->missed;
	guint64 now_ns = clock_monotonic_ns();

	if (missed != run->missed)
		run->sweeps_due = 2;
	if (!tcp_sweep_when_due(run, last, error))
		return FALSE;
	if (!last && now_ns < run->next_walk_ns)
		return TRUE;
	if (!last && !find && !tcp_is_waited_for(run) && !run->kernel->bss->tcp_stirred &&
	    parttime_is_on(run->segments))
		return TRUE;
	run->kernel->bss->tcp_stirred = 0;
	run->unpaired = unpaired;
	run->missed = missed;
	return tcp_walk_all(run, find, error);
}

/* While segments are not looked at, and for what began then, nothing is said that only they tell. */
static void tcp_listen_when_due(struct tcp_run *run)
{
	struct tcp_bpf *kernel = run->kernel;

	if (!run->request.frugal || !parttime_step(run->segments))
		return;
	__atomic_store_n(&kernel->bss->tcp_heard_us, TCP_DEAF, __ATOMIC_RELEASE);
	if (parttime_turn(run->segments) && parttime_is_on(run->segments))
		__atomic_store_n(&kernel->bss->tcp_heard_us, clock_monotonic_ns() / NS_PER_US, __ATOMIC_RELEASE);
}

/* Only while a queue is full what is consumed is looked at. What is to be seen in the meantime is seen by tcp_answered_again
 * alone: of those whose SYN was dropped, whoever tries again later. */
static gboolean tcp_watch_queues(struct tcp_run *run, GError **error)
{
	struct tcp_bpf *kernel = run->kernel;
	guint64 now_ns;

	ringread_consume(run->alarms);
	tcp_learn_refusers(run);
	now_ns = clock_monotonic_ns();
	if (now_ns < run->next_queues_ns)
		return TRUE;
	run->next_queues_ns = now_ns + TCP_QUEUES_NS;
	kernel->bss->tcp_full = 0;
	if (!kernel_btf_iterate(run->queues, "cannot walk over the open sockets", error))
		return FALSE;
	if (kernel->bss->tcp_full)
		run->consumed_until_ns = now_ns + TCP_CONSUMED_NS;
	if (now_ns < run->consumed_until_ns) {
		if (!run->consumed)
			run->consumed = kernel_btf_attach(kernel->progs.tcp_consumed);
		return TRUE;
	}
	bpf_link__destroy(g_steal_pointer(&run->consumed));
	kernel->bss->tcp_alarmed = 0;
	return TRUE;
}

static void tcp_detach(struct tcp_run *run)
{
	bpf_link__destroy(g_steal_pointer(&run->answered_again));
	bpf_link__destroy(g_steal_pointer(&run->refuses));
	bpf_link__destroy(g_steal_pointer(&run->queues));
	bpf_link__destroy(g_steal_pointer(&run->consumed));
	bpf_link__destroy(g_steal_pointer(&run->state));
	bpf_link__destroy(g_steal_pointer(&run->retransmit));
	if (run->segments)
		parttime_stop(run->segments);
	bpf_link__destroy(g_steal_pointer(&run->walk));
	for (guint i = 0; i < TCP_TABLES; i++)
		bpf_link__destroy(g_steal_pointer(&run->visits[i]));
}

static void tcp_unload(struct tcp_run *run)
{
	tcp_detach(run);
	g_clear_pointer(&run->segments, parttime_free);
	ringread_close(g_steal_pointer(&run->alarms));
	if (run->epoll >= 0)
		close(run->epoll);
	run->epoll = -1;
	births_close(g_steal_pointer(&run->births));
	g_clear_pointer(&run->view, mapview_free);
	run->edges = NULL;
	tcp_bpf__destroy(g_steal_pointer(&run->kernel));
}

static gboolean tcp_attach_polled(struct tcp_run *run, GError **error)
{
	g_autoptr(GError) reason = NULL;

	if (run->request.round_trips && !sockdiag_works(IPPROTO_TCP, &reason)) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED, "the kernel does not tell round trips: %s",
			    reason->message);
		return FALSE;
	}
	run->polled = tcp_polled_open(&run->listener, error);
	return run->polled != NULL;
}

/* ladder_try_fn */
static gboolean tcp_attach(void *user, const struct rung *rung, GError **error)
{
	struct tcp_run *run = user;

	if (rung == TCP_RUNG_POLLED)
		return tcp_attach_polled(run, error);
	if (tcp_load(run, error) && tcp_map_edges(run, error) && tcp_attach_programs(run, error) &&
	    tcp_walk_all(run, TRUE, error) && tcp_watch_queues(run, error))
		return TRUE;
	tcp_unload(run);
	return FALSE;
}

static void tcp_close(struct probe_run *opaque)
{
	struct tcp_run *run = (struct tcp_run *)opaque;

	if (!run)
		return;
	tcp_unload(run);
	tcp_polled_close(run->polled);
	netowners_free(run->refusers);
	probe_peers.close(run->peers);
	g_free(run->why_not);
	g_free(run->peers_why_not);
	g_free(run->keys);
	g_free(run->told);
	g_free(run->busy_ns);
	g_free(run->retired);
	g_free(run->names);
	g_free(run);
}

/* Where connections are only looked at from time to time, what is no TCP may not be told at all: that is said. */
static gboolean tcp_open_peers(struct tcp_run *run, GError **error)
{
	struct probe_request others = run->request;
	g_autoptr(GError) reason = NULL;

	if (!run->request.peers)
		return TRUE;
	others.rung = NULL;
	run->peers = probe_peers.open(&others, &run->listener, &reason);
	if (!run->peers && run->polled)
		run->peers_why_not = g_strdup(reason->message);
	else if (!run->peers)
		g_propagate_error(error, g_steal_pointer(&reason));
	return run->peers != NULL || run->peers_why_not != NULL;
}

static struct probe_run *tcp_open(const struct probe_request *request, const struct probe_listener *listener,
				  GError **error)
{
	struct tcp_run *run = g_new0(struct tcp_run, 1);

	run->request = *request;
	run->listener = *listener;
	run->sizes = request->smallest ? &tcp_sizes_smallest : request->frugal ? &tcp_sizes_frugal : &tcp_sizes_usual;
	run->edges_max = run->sizes->edges;
	run->epoll = -1;
	run->refusers = netowners_new(&run->listener);
	run->keys = g_new0(struct tcp_edge_key, run->edges_max);
	run->told = g_new0(struct tcp_edge, run->edges_max);
	run->busy_ns = g_new0(guint64, run->edges_max);
	run->retired = g_new0(gboolean, run->edges_max);
	if (request->by_process)
		run->names = g_new0(struct tcp_name, TCP_NAMES);
	run->rung = ladder_climb(tcp_rungs, request->rung, tcp_attach, run, &run->why_not, error);
	if (run->rung && tcp_open_peers(run, error))
		return (struct probe_run *)run;
	tcp_close((struct probe_run *)run);
	return NULL;
}

/* ---- handing out ---- */

/* mapread_fn */
static void tcp_take_key(void *user, const void *key, const void *value)
{
	struct tcp_run *run = user;
	guint32 number = *(const guint32 *)value;

	if (number < run->edges_max)
		run->keys[number] = *(const struct tcp_edge_key *)key;
}

/* mapread_fn */
static void tcp_take_name(void *user, const void *key, const void *value)
{
	struct tcp_run *run = user;
	guint32 number = *(const guint32 *)value;

	if (number < TCP_NAMES)
		run->names[number] = *(const struct tcp_name *)key;
}

static gboolean tcp_read_keys(struct tcp_run *run, GError **error)
{
	guint32 made = __atomic_load_n(&run->kernel->bss->tcp_edges_made, __ATOMIC_ACQUIRE);

	run->known = __atomic_load_n(&run->kernel->data->tcp_edges_used, __ATOMIC_ACQUIRE);
	if (!mapview_reach(run->view, 0, MIN(run->known, run->edges_max) * sizeof(struct tcp_edge))) {
		ladder_set_error(error, "cannot map the table of edges", errno);
		return FALSE;
	}
	if (made == run->made)
		return TRUE;
	if (!mapread_each(bpf_map__fd(run->kernel->maps.tcp_edge_numbers), sizeof(struct tcp_edge_key), sizeof(guint32),
			  tcp_take_key, run, error))
		return FALSE;
	run->made = made;
	return !run->names || mapread_each(bpf_map__fd(run->kernel->maps.tcp_names), sizeof(struct tcp_name),
					   sizeof(guint32), tcp_take_name, run, error);
}

/* What a number that only grows has grown by since it was handed out. One that shrank for the moment (a connection that
 * moved to another edge) is made up for by what comes. */
static guint64 tcp_news(guint64 now, __u64 *told)
{
	guint64 before = *told;

	if ((gint64)(now - before) <= 0)
		return 0;
	*told = now;
	return now - before;
}

static gboolean tcp_news_times(const struct tcp_times *now, struct tcp_times *told, struct histogram_counts *counts)
{
	memset(counts, 0, sizeof(*counts));
	counts->sum = tcp_news(now->sum_ns, &told->sum_ns);
	for (guint i = 0; i < HISTOGRAM_CELLS; i++) {
		gint32 news = (gint32)(now->buckets[i] - told->buckets[i]);

		if (news <= 0)
			continue;
		told->buckets[i] = now->buckets[i];
		counts->buckets[i] = news;
		counts->count += news;
	}
	return counts->count > 0;
}

/* The side whose view of the connection counts: the client's where it is here. Bytes are as the client sees them. */
static gboolean tcp_news_edge(const struct tcp_edge_key *key, const struct tcp_edge *now, struct tcp_edge *told,
			      double tick_ns, guint64 *counters)
{
	gboolean client = key->client != 0 || key->server == 0, any = FALSE;
	const struct tcp_side *side = client ? &now->client : &now->server;
	struct tcp_side *side_told = client ? &told->client : &told->server;
	guint64 sent = tcp_news(side->sent_bytes, &side_told->sent_bytes);
	guint64 received = tcp_news(side->received_bytes, &side_told->received_bytes);
	guint64 sent_segments = tcp_news(side->sent_segments, &side_told->sent_segments);
	guint64 received_segments = tcp_news(side->received_segments, &side_told->received_segments);

	counters[COUNTER_OPENS] = tcp_news(now->opens, &told->opens);
	counters[COUNTER_ACCEPTS] =
		tcp_news(key->client && key->server ? now->opens - now->accepts : now->accepts, &told->accepts);
	counters[COUNTER_CLOSES] = tcp_news(side->closes, &side_told->closes);
	counters[COUNTER_EXISTING] = tcp_news(now->existing, &told->existing);
	for (guint i = 0; i < TCP_FAILURES; i++)
		counters[COUNTER_FAILED + i] = tcp_news(now->failures[i], &told->failures[i]);
	counters[COUNTER_RESETS] = tcp_news(now->resets, &told->resets);
	counters[COUNTER_SENT_BYTES] = client ? sent : received;
	counters[COUNTER_RECEIVED_BYTES] = client ? received : sent;
	counters[COUNTER_SENT_SEGMENTS] = client ? sent_segments : received_segments;
	counters[COUNTER_RECEIVED_SEGMENTS] = client ? received_segments : sent_segments;
	for (guint i = 0; i < TCP_RETRANSMITS; i++)
		counters[COUNTER_RETRANSMITS + i] = tcp_news(now->client.retransmits[i], &told->client.retransmits[i]) +
						    tcp_news(now->server.retransmits[i], &told->server.retransmits[i]);
	counters[COUNTER_SPURIOUS] = tcp_news(now->client.spurious, &told->client.spurious) +
				     tcp_news(now->server.spurious, &told->server.spurious);
	counters[COUNTER_SINGLE] = tcp_news(now->single, &told->single);
	counters[COUNTER_WINDOW] = 0;
	if (tick_ns > 0)
		counters[COUNTER_WINDOW] =
			(guint64)(tick_ns *
				  (double)(tcp_news(now->client.window_limited, &told->client.window_limited) +
					   tcp_news(now->server.window_limited, &told->server.window_limited)));
	for (guint i = 0; i < COUNTERS; i++)
		any |= counters[i] > 0;
	return any;
}

static void tcp_end(const struct tcp_run *run, guint64 owner, guint32 name, const char *outside, struct probe_end *end)
{
	if (owner & TCP_OWNER_NETNS) {
		netowners_end(run->refusers, (guint32)owner, end);
		return;
	}
	*end = (struct probe_end){ .kind = owner ? EDGE_END_CONTAINER : EDGE_END_EXTERNAL, .cgroup_key = owner };
	if (!owner)
		end->text = outside;
	else if (run->names && name < TCP_NAMES)
		end->process = run->names[name].comm;
}

/* FALSE: there was nothing new. */
static gboolean tcp_hand_out(struct tcp_run *run, guint32 number)
{
	const struct tcp_edge_key *key = &run->keys[number];
	const struct tcp_edge *now = &run->edges[number];
	struct tcp_edge *told = &run->told[number];
	struct histogram_counts counts[TCP_TIMES];
	const struct histogram_counts *times[TCP_TIMES] = { NULL };
	char address[INET6_ADDRSTRLEN] = "other addresses", port[8];
	struct probe_value value = { .text = port };
	guint64 counters[COUNTERS];
	struct probe_pair pair = { .values = &value, .counters = counters, .histograms = times };
	gboolean any = tcp_news_edge(key, now, told, run->tick_ns, counters);

	for (guint i = 0; i < TCP_TIMES; i++) {
		if (!tcp_news_times(&now->times[i], &told->times[i], &counts[i]))
			continue;
		if (i == TCP_TIME_FIRST_BYTE || i == TCP_TIME_REQUEST)
			parttime_scale(run->segments, &counts[i]);
		times[i] = &counts[i];
		any = TRUE;
	}
	if (!any || !run->listener.pair)
		return any;
	if (!key->other && key->family)
		inet_ntop(key->family, key->address, address, sizeof(address));
	g_snprintf(port, sizeof(port), "%u", key->port);
	if (key->port == 0)
		value.text = NULL;
	tcp_end(run, key->client, key->client_name, address, &pair.source);
	tcp_end(run, key->server, key->server_name, address, &pair.target);
	if (number == 0) {
		pair.source = (struct probe_end){ .kind = EDGE_END_UNKNOWN, .text = "too many edges to tell apart" };
		pair.target = pair.source;
	}
	run->listener.pair(run->listener.user, &pair);
	return TRUE;
}

/* ---- edges that are idle make room ---- */

/* Connections that are open. */
static guint64 tcp_edge_live(const struct tcp_edge_key *key, const struct tcp_edge *edge)
{
	guint64 began = edge->existing + (key->client ? edge->opens : edge->accepts);

	return began - (key->client ? edge->client.closes : edge->server.closes);
}

static void tcp_owner_forgets(struct tcp_run *run, const struct tcp_edge_key *key)
{
	if (!key->other)
		owners_give_back(bpf_map__fd(run->kernel->maps.owners), TCP_EDGE_OWNER(key));
}

/* A connection may have found it a moment ago: the number is free when it is still idle at the next collection. */
static void tcp_edge_retire(struct tcp_run *run, guint32 number)
{
	int fd = bpf_map__fd(run->kernel->maps.tcp_edge_numbers);

	if (bpf_map_delete_elem(fd, &run->keys[number]) != 0)
		return;
	run->retired[number] = TRUE;
	__atomic_add_fetch(&run->kernel->bss->tcp_generation, 1, __ATOMIC_RELEASE);
}

static void tcp_edge_free(struct tcp_run *run, guint32 number)
{
	static const struct tcp_edge nothing;

	if (bpf_map_update_elem(bpf_map__fd(run->kernel->maps.tcp_edges), &number, &nothing, BPF_ANY) != 0)
		return;
	tcp_owner_forgets(run, &run->keys[number]);
	memset(&run->keys[number], 0, sizeof(run->keys[number]));
	memset(&run->told[number], 0, sizeof(run->told[number]));
	run->retired[number] = FALSE;
	if (bpf_map_update_elem(bpf_map__fd(run->kernel->maps.tcp_spare), NULL, &number, BPF_ANY) == 0)
		__atomic_add_fetch(&run->kernel->bss->tcp_edges_spare, 1, __ATOMIC_RELEASE);
}

/* Those that had nothing to tell for long, when half of all numbers are in use. What comes back to one gets a new number. */
static void tcp_make_room(struct tcp_run *run)
{
	guint32 spare = __atomic_load_n(&run->kernel->bss->tcp_edges_spare, __ATOMIC_RELAXED);
	guint64 now_ns = clock_monotonic_ns();
	gboolean scarce = run->known - MIN(spare, run->known) > run->edges_max / 2;

	for (guint32 i = 1; i < MIN(run->known, run->edges_max); i++) {
		const struct tcp_edge_key *key = &run->keys[i];

		if ((!key->client && !key->server) || now_ns - run->busy_ns[i] < run->sizes->idle_ns ||
		    tcp_edge_live(key, &run->edges[i]) != 0)
			continue;
		if (run->retired[i])
			tcp_edge_free(run, i);
		else if (scarce)
			tcp_edge_retire(run, i);
	}
}

/* ---- connections turned away by a full accept queue whose clients are not here ---- */

struct tcp_turned_walk {
	struct tcp_run *run;
	guint64 now_ns;
	gboolean last;
	guint left;
};

static void tcp_turned_hand_out(const struct tcp_run *run, const struct tcp_turned *turned)
{
	char address[INET6_ADDRSTRLEN] = "other addresses", port[8];
	struct probe_value value = { .text = port };
	guint64 counters[COUNTERS] = { [COUNTER_FAILED + TCP_FAILURE_OVERFLOW] = 1 };
	const struct histogram_counts *times[TCP_TIMES] = { NULL };
	struct probe_pair pair = { .values = &value, .counters = counters, .histograms = times };

	if (!run->listener.pair)
		return;
	inet_ntop(turned->family, turned->address, address, sizeof(address));
	g_snprintf(port, sizeof(port), "%u", turned->port);
	tcp_end(run, 0, 0, address, &pair.source);
	tcp_end(run, turned->server, turned->server_name, address, &pair.target);
	run->listener.pair(run->listener.user, &pair);
}

/* mapread_fn */
static void tcp_take_turned(void *user, const void *key, const void *value)
{
	struct tcp_turned_walk *walk = user;
	struct tcp_turned turned = *(const struct tcp_turned *)value;
	int fd = bpf_map__fd(walk->run->kernel->maps.tcp_turned);

	if (walk->now_ns > turned.time_ns + TCP_TURNED_FORGET_NS) {
		bpf_map_delete_elem(fd, key);
		return;
	}
	walk->left++;
	if (turned.told || (!walk->last && walk->now_ns < turned.since_ns + TCP_TURNED_NS))
		return;
	turned.told = 1;
	if (bpf_map_update_elem(fd, key, &turned, BPF_EXIST) == 0)
		tcp_turned_hand_out(walk->run, &turned);
}

static gboolean tcp_tell_turned(struct tcp_run *run, gboolean last, GError **error)
{
	guint64 made = __atomic_load_n(&run->kernel->bss->tcp_turned_made, __ATOMIC_ACQUIRE);
	struct tcp_turned_walk walk = { run, clock_monotonic_ns(), last, 0 };

	if (made == run->turned_made && !run->turned_left)
		return TRUE;
	if (!mapread_each(bpf_map__fd(run->kernel->maps.tcp_turned), sizeof(guint32), sizeof(struct tcp_turned),
			  tcp_take_turned, &walk, error))
		return FALSE;
	run->turned_made = made;
	run->turned_left = walk.left > 0;
	return TRUE;
}

static gboolean tcp_hand_out_all(struct tcp_run *run, struct ledger *ledger, GError **error)
{
	guint64 strangers = __atomic_load_n(&run->kernel->bss->tcp_strangers, __ATOMIC_RELAXED);

	if (!tcp_read_keys(run, error))
		return FALSE;
	parttime_take(run->segments);
	parttime_account(run->segments, "requests and first bytes", ledger);
	for (guint32 i = 0; i < MIN(run->known, run->edges_max); i++) {
		gboolean is_named = i == 0 || run->keys[i].client || run->keys[i].server;

		/* What has a number and no key yet is told the next time. */
		if (is_named && tcp_hand_out(run, i))
			run->busy_ns[i] = clock_monotonic_ns();
	}
	if (!ledger->rung)
		ledger->rung = g_strdup(run->rung->name);
	if (!ledger->misses)
		ledger->misses = g_strdup(run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	/* When nothing was lost they began before the start, and had left their process, or ended before the first walk. */
	if (strangers && (run->missed || run->unpaired))
		ledger_note(ledger,
			    g_strdup_printf("ends of connections whose beginning was not seen: %" G_GUINT64_FORMAT,
					    strangers));
	return TRUE;
}

/* What the kernel has not told, or, when it says that there was no such thing, what was found all the same. */
static void tcp_account_missed(const struct tcp_run *run, struct ledger *ledger)
{
	guint64 buried = __atomic_load_n(&run->kernel->bss->tcp_buried, __ATOMIC_RELAXED);
	guint64 missed = MAX(run->missed, buried);

	ledger_add(ledger, LEDGER_LOST_MISSED, missed, 0);
	ledger->seen.events += missed;
}

/* tcp_polled_fn */
static void tcp_tell_polled(void *user, const struct tcp_polled_edge *edge)
{
	struct tcp_run *run = user;
	const struct probe_value value = { .text = edge->port };
	struct histogram_counts rtt = { 0 };
	const struct histogram_counts *times[TCP_TIMES] = { [TCP_TIME_RTT] = edge->rtt_us ? &rtt : NULL };
	guint64 counters[COUNTERS] = {
		[COUNTER_OPENS] = edge->opens,
		[COUNTER_ACCEPTS] = edge->accepts,
		[COUNTER_CLOSES] = edge->closes,
		[COUNTER_EXISTING] = edge->existing,
		[COUNTER_FAILED + TCP_FAILURE_OVERFLOW] = edge->overflows,
	};
	const struct probe_pair pair = { .source = edge->client,
					 .target = edge->server,
					 .values = &value,
					 .counters = counters,
					 .histograms = times };

	if (edge->is_client)
		tcp_counters_traffic(counters, edge->sent_bytes, edge->received_bytes, edge->sent_segments,
				     edge->received_segments);
	else
		tcp_counters_traffic(counters, edge->received_bytes, edge->sent_bytes, edge->received_segments,
				     edge->sent_segments);
	if (edge->rtt_us)
		histogram_counts_record(&rtt, UNIT_NANOSECONDS, edge->rtt_us * 1000, 1);
	if (run->listener.pair)
		run->listener.pair(run->listener.user, &pair);
}

static gboolean tcp_collect_polled(struct tcp_run *run, gboolean now, struct ledger *ledger)
{
	tcp_polled_collect(run->polled, now, tcp_tell_polled, run);
	if (run->peers_why_not)
		ledger_note(ledger,
			    g_strdup_printf("datagrams and unix sockets are not told at all: %s", run->peers_why_not));
	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	ledger_note(ledger, g_strdup(run->rung->misses));
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	return TRUE;
}

static int tcp_fd(struct probe_run *run)
{
	if (((struct tcp_run *)run)->polled)
		return -1; /* nothing to wait for */
	return ((struct tcp_run *)run)->epoll;
}

static gboolean tcp_drain(struct probe_run *run, GError **error)
{
	struct tcp_run *tcp = (struct tcp_run *)run;

	if (tcp->births) {
		births_drain(tcp->births);
		tcp_listen_when_due(tcp);
		if (!tcp_watch_queues(tcp, error))
			return FALSE;
	}
	return !tcp->peers || probe_peers.drain(tcp->peers, error);
}

static gboolean tcp_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct tcp_run *run = (struct tcp_run *)opaque;

	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->peers && !probe_peers.collect(run->peers, ledger, error))
		return FALSE;
	if (run->polled)
		return tcp_collect_polled(run, FALSE, ledger);
	tcp_listen_when_due(run);
	if (!tcp_watch_queues(run, error) || !tcp_walk_when_due(run, FALSE, error) ||
	    !tcp_hand_out_all(run, ledger, error) || !tcp_tell_turned(run, FALSE, error))
		return FALSE;
	tcp_make_room(run);
	return TRUE;
}

static gboolean tcp_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct tcp_run *run = (struct tcp_run *)opaque;

	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->peers && !probe_peers.finish(run->peers, ledger, error))
		return FALSE;
	if (run->polled)
		return tcp_collect_polled(run, TRUE, ledger);
	if (!tcp_walk_when_due(run, TRUE, error))
		return FALSE;
	tcp_detach(run);
	births_drain(run->births);
	tcp_account_missed(run, ledger);
	return tcp_hand_out_all(run, ledger, error) && tcp_tell_turned(run, TRUE, error) &&
	       losses_read(bpf_map__fd(run->kernel->maps.losses), ledger, error);
}

const struct probe probe_connections = {
	.name = "connections",
	.shows = "TCP connections by edge: who connects to whom, and how it goes",
	.shape = SHAPE_EDGES,
	.unit = UNIT_COUNT,
	.rungs = tcp_rungs,
	.labels = tcp_labels,
	.counters = tcp_counters,
	.histograms = tcp_times,
	.open = tcp_open,
	.fd = tcp_fd,
	.drain = tcp_drain,
	.says_when = TRUE,
	.collect = tcp_collect,
	.finish = tcp_finish,
	.close = tcp_close,
};
