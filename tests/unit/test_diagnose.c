/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule, from snapshots made here: a scene in which it must be the first finding, and the same a little calmer, in
 * which it must not. Then the engine: confidence, configuration, chains, hostile names. */
#include <locale.h>
#include <string.h>

#include "diagnose/report.h"

#define SECONDS 10
#define S(x) ((guint64)((x)*1e9))
#define MIB ((guint64)1 << 20)

struct scene {
	struct snapshot *snapshot;
	struct gauges *gauges;
	struct calltree *tree;
	struct edges *cpu, *block, *memory, *connections;
	struct histogram *futex, *disk, *dns;
	GPtrArray *windows; /* of struct snapshot *; NULL: none */
	struct events *oom;
	guint32 web; /* index of its row */
};

static struct shape *scene_shape(struct scene *scene, enum shape_kind kind, const char *probe)
{
	struct shape *shape = shape_new(kind, probe, UNIT_NANOSECONDS);

	g_ptr_array_add(scene->snapshot->shapes, shape);
	return shape;
}

static struct edges *scene_blame(struct scene *scene, const char *probe)
{
	static const char *const labels[] = { "resource", NULL };
	static const struct edges_column counters[] = { { "wait", UNIT_NANOSECONDS }, { 0 } };
	struct shape *shape = scene_shape(scene, SHAPE_EDGES, probe);

	shape->edges = edges_new(labels, counters, NULL);
	return shape->edges;
}

static guint32 add_container(struct scene *scene, guint64 key, const char *name)
{
	guint32 at = scene->gauges->rows->len;
	struct gauge_row *row = gauges_add(scene->gauges, GAUGE_RESOURCE_CONTAINER, key, 0, name);

	gauge_set(row, GAUGE_CPU, S(0.5));
	gauge_set(row, GAUGE_CPU_PERIODS, 0);
	gauge_set(row, GAUGE_CPU_PERIODS_THROTTLED, 0);
	gauge_set(row, GAUGE_CPU_THROTTLED, 0);
	gauge_set(row, GAUGE_CPUSET, 2);
	gauge_set(row, GAUGE_CPUSET_IDLE, S(10));
	gauge_set(row, GAUGE_RUNQUEUE_WAIT, S(0.01));
	gauge_set(row, GAUGE_MEMORY, 50 * MIB);
	gauge_set(row, GAUGE_REFAULTS_ANON, 0);
	gauge_set(row, GAUGE_REFAULTS_FILE, 0);
	gauge_set(row, GAUGE_PRESSURE_MEMORY_SOME, 0);
	gauge_set(row, GAUGE_PRESSURE_IO_SOME, 0);
	gauge_set(row, GAUGE_MEMORY_EVENTS_HIGH, 0);
	gauge_set(row, GAUGE_PIDS_LIMIT_HITS, 0);
	gauge_set(row, GAUGE_TCP_SEGMENTS_SENT, 1000);
	gauge_set(row, GAUGE_TCP_RETRANSMITS, 100);
	gauge_set(row, GAUGE_TCP_SPURIOUS, 100); /* a slow peer on loopback: no loss */
	gauge_set(row, GAUGE_TCP_LISTEN_OVERFLOWS, 0);
	gauge_set(row, GAUGE_TCP_ZERO_WINDOWS, 0);
	gauge_set(row, GAUGE_UDP_OVERFLOWS, 0);
	return at;
}

static struct gauge_row *web(struct scene *scene)
{
	return gauges_row(scene->gauges, scene->web);
}

static void add_time(struct scene *scene, const char *container, const char *cause, double seconds)
{
	guint32 frame = calltree_frame(scene->tree, FRAME_CONTAINER, container, -1, NULL);
	guint32 node = calltree_child(scene->tree, CALLTREE_ROOT, frame);

	node = calltree_child(scene->tree, node, calltree_frame(scene->tree, FRAME_CAUSE, cause, -1, NULL));
	node = calltree_child(scene->tree, node, calltree_frame(scene->tree, FRAME_KERNEL, "work", -1, NULL));
	calltree_add(scene->tree, node, S(seconds));
}

static void add_kernel_time(struct scene *scene, const char *cause, const char *caller, const char *function,
			    double seconds)
{
	guint32 frame = calltree_frame(scene->tree, FRAME_CONTAINER, "web", -1, NULL);
	guint32 node = calltree_child(scene->tree, CALLTREE_ROOT, frame);

	node = calltree_child(scene->tree, node, calltree_frame(scene->tree, FRAME_CAUSE, cause, -1, NULL));
	node = calltree_child(scene->tree, node, calltree_frame(scene->tree, FRAME_KERNEL, caller, -1, NULL));
	node = calltree_child(scene->tree, node, calltree_frame(scene->tree, FRAME_KERNEL, function, -1, NULL));
	node = calltree_child(scene->tree, node, calltree_frame(scene->tree, FRAME_KERNEL, "schedule", -1, NULL));
	calltree_add(scene->tree, node, S(seconds));
}

static void add_wait(struct edges *edges, const char *from, enum edge_end_kind kind, const char *to, double seconds)
{
	struct edge_end source = { EDGE_END_CONTAINER, from }, target = { kind, to };
	static const char *const labels[] = { "any" };

	edge_count(edges_add(edges, &source, &target, labels), 0, S(seconds));
}

static struct edge *add_connection(struct scene *scene, const char *from, enum edge_end_kind kind, const char *to)
{
	struct edge_end source = { EDGE_END_CONTAINER, from }, target = { kind, to };
	static const char *const labels[] = { "80" };

	return edges_add(scene->connections, &source, &target, labels);
}

static void add_disk(struct scene *scene, const char *container, guint64 ns, guint requests)
{
	const char *values[] = { container, "device", "sda" };
	struct histogram_counts counts = { 0 };

	histogram_counts_record(&counts, UNIT_NANOSECONDS, ns, requests);
	histogram_add(scene->disk, values, 0, &counts);
}

/* A container "web" that does little and suffers nothing, on a machine with two CPUs and much memory. */
static void scene_init(struct scene *scene)
{
	static const char *const futex[] = { "container", "wait", "end", NULL };
	static const char *const disk[] = { "container", "time", "device", NULL };
	static const char *const dns[] = { "container", "resolver", "transport", "outcome", NULL };
	static const char *const port[] = { "port", NULL };
	static const struct edges_column counters[] = {
		{ "opens", UNIT_COUNT },
		{ "failed_refused", UNIT_COUNT },
		{ "failed_timeout", UNIT_COUNT },
		{ "retransmits_syn", UNIT_COUNT },
		{ "sent_bytes", UNIT_BYTES },
		{ "failed_local", UNIT_COUNT },
		{ 0 },
	};
	static const struct edges_column times[] = { { "request", UNIT_NANOSECONDS },
						     { "rtt", UNIT_NANOSECONDS },
						     { 0 } };
	struct gauge_row *host;
	struct shape *shape;

	*scene = (struct scene){ .snapshot = snapshot_new("scene") };
	scene->snapshot->duration_ns = SECONDS * NS_PER_S;
	scene->gauges = scene_shape(scene, SHAPE_GAUGES, "usage")->gauges;
	host = gauges_add(scene->gauges, GAUGE_RESOURCE_HOST, 0, 0, "host");
	gauge_set(host, GAUGE_CPUS, 2);
	gauge_set(host, GAUGE_CPUSET, 2);
	gauge_set(host, GAUGE_CPU_IDLE, S(10));
	gauge_set(host, GAUGE_CPU_STOLEN, 0);
	gauge_set(host, GAUGE_MEMORY, 1000 * MIB);
	gauge_set(host, GAUGE_MEMORY_LIMIT, 4000 * MIB);
	scene->web = add_container(scene, 7, "web");
	scene->tree = scene_shape(scene, SHAPE_CALLTREE, "walltime")->calltree;
	add_time(scene, "web", "running: user", 0.5);
	add_time(scene, "web", "waiting for CPU: woken", 0.01);
	add_time(scene, "web", "blocked: lock", 60); /* a pool without work */
	scene->cpu = scene_blame(scene, "blame cpu");
	scene->block = scene_blame(scene, "blame block");
	scene->memory = scene_blame(scene, "blame memory");
	shape = scene_shape(scene, SHAPE_EDGES, "connections");
	shape->edges = scene->connections = edges_new(port, counters, times);
	shape = scene_shape(scene, SHAPE_HISTOGRAM, "futex");
	shape->histogram = scene->futex = histogram_new(futex);
	shape = scene_shape(scene, SHAPE_HISTOGRAM, "block");
	shape->histogram = scene->disk = histogram_new(disk);
	shape = scene_shape(scene, SHAPE_HISTOGRAM, "dns");
	shape->histogram = scene->dns = histogram_new(dns);
	scene->oom = scene_shape(scene, SHAPE_EVENTS, "trace oom")->events;
	add_wait(scene->cpu, "web", EDGE_END_HOST, "host", 0.01);
}

/* ---- a scene for each rule: `much` of what it is about, or (FALSE) some, but not enough ---- */

static void quota(struct scene *scene, guint64 periods, double throttled)
{
	gauge_set(web(scene), GAUGE_CPU_LIMIT, NS_PER_S / 2);
	gauge_set(web(scene), GAUGE_CPU_PERIODS, 100);
	gauge_set(web(scene), GAUGE_CPU_PERIODS_THROTTLED, periods);
	gauge_set(web(scene), GAUGE_CPU_THROTTLED, S(throttled));
	add_time(scene, "web", "waiting for CPU: throttled", throttled);
}

static void scene_throttled(struct scene *scene, gboolean much)
{
	quota(scene, much ? 97 : 0, much ? 5 : 0);
}

static void scene_marginal(struct scene *scene, gboolean much)
{
	quota(scene, much ? 3 : 0, much ? 0.02 : 0);
}

static void scene_steal(struct scene *scene, gboolean much)
{
	gauge_set(gauges_row(scene->gauges, 0), GAUGE_CPU_STOLEN, much ? S(5) : S(0.1));
}

static void contended(struct scene *scene, double cpus_idle, double machine_idle, double own, double others)
{
	gauge_set(web(scene), GAUGE_CPUSET_IDLE, S(cpus_idle));
	gauge_set(gauges_row(scene->gauges, 0), GAUGE_CPU_IDLE, S(machine_idle));
	add_time(scene, "web", "running: user", 9.5);
	add_time(scene, "web", "waiting for CPU: preempted", own + others);
	if (own > 0)
		add_wait(scene->cpu, "web", EDGE_END_CONTAINER, "web", own);
	if (others > 0)
		add_wait(scene->cpu, "web", EDGE_END_CONTAINER, "bully", others);
}

static void scene_cpuset(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_CPUSET, 1);
	contended(scene, 0, 9.9, much ? 10 : 0.2, 0);
}

static void scene_demand(struct scene *scene, gboolean much)
{
	contended(scene, much ? 0 : 10, much ? 0 : 10, much ? 10 : 0.5, 0);
}

static void scene_neighbour(struct scene *scene, gboolean much)
{
	guint32 bully = add_container(scene, 8, "bully");

	gauge_set(gauges_row(scene->gauges, bully), GAUGE_CPU, S(18));
	contended(scene, 0, 0, much ? 1 : 0.1, much ? 30 : 0.5);
}

/* It stands behind "bully" more than behind the host, but it is the host that fills the CPUs. */
static void scene_host_load(struct scene *scene, gboolean much)
{
	scene_neighbour(scene, much);
	gauge_set(gauges_find(scene->gauges, GAUGE_RESOURCE_CONTAINER, 8, 0), GAUGE_CPU, S(2));
	add_wait(scene->cpu, "web", EDGE_END_HOST, "host", much ? 20 : 0.3);
}

static void scene_beside_idle(struct scene *scene, gboolean much)
{
	contended(scene, 10, 10, much ? 10 : 3, 0);
}

static void scene_behind_beside_idle(struct scene *scene, gboolean much)
{
	contended(scene, 10, 10, much ? 1 : 0, much ? 10 : 3);
}

static void scene_own_code(struct scene *scene, gboolean much)
{
	if (much)
		add_time(scene, "web", "running: user", 9);
}

static void oom(struct scene *scene, const char *scope)
{
	struct event_field fields[] = { { "scope", EVENT_TEXT, 0, scope }, { "limit", EVENT_BYTES, 64 * MIB, NULL } };
	struct event event = { .realtime_ns = 1,
			       .container = "web",
			       .process = "eater",
			       .kind = "oom",
			       .fields = fields,
			       .field_count = G_N_ELEMENTS(fields) };

	events_add(scene->oom, &event);
}

static void scene_oom_limit(struct scene *scene, gboolean much)
{
	if (much)
		oom(scene, "container");
}

static void scene_oom_host(struct scene *scene, gboolean much)
{
	if (much)
		oom(scene, "host");
}

static void filled(struct scene *scene, guint64 refaults, double pressure)
{
	gauge_set(web(scene), GAUGE_MEMORY_LIMIT, 64 * MIB);
	gauge_set(web(scene), GAUGE_MEMORY, 64 * MIB - 4096);
	gauge_set(web(scene), GAUGE_REFAULTS_FILE, refaults);
	gauge_set(web(scene), GAUGE_PRESSURE_MEMORY_SOME, S(pressure));
}

static void scene_thrash(struct scene *scene, gboolean much)
{
	filled(scene, much ? 100000 : 100, much ? 2 : 0);
	add_time(scene, "web", "blocked: memory", much ? 2 : 0.001);
	add_time(scene, "web", "blocked: disk", much ? 4 : 0.01);
}

static void scene_cache(struct scene *scene, gboolean much)
{
	filled(scene, 0, 0);
	if (!much)
		gauge_set(web(scene), GAUGE_MEMORY, 32 * MIB);
}

static void scene_high(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_MEMORY_HIGH, 32 * MIB);
	gauge_set(web(scene), GAUGE_MEMORY_EVENTS_HIGH, much ? 1000 : 0);
	gauge_set(web(scene), GAUGE_PRESSURE_MEMORY_SOME, much ? S(3) : 0);
	add_time(scene, "web", "blocked: memory", much ? 3 : 0);
}

static void scene_machine_memory(struct scene *scene, gboolean much)
{
	gauge_set(gauges_row(scene->gauges, 0), GAUGE_MEMORY, 3900 * MIB);
	add_container(scene, 8, "hog");
	add_time(scene, "web", "blocked: memory", much ? 3 : 0.01);
	add_wait(scene->memory, "web", EDGE_END_CONTAINER, "hog", much ? 3 : 0.01);
}

static void scene_swap(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_REFAULTS_ANON, much ? 5000 : 10);
	gauge_set(web(scene), GAUGE_PRESSURE_MEMORY_SOME, much ? S(1) : 0);
}

static void scene_io_limit(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_IO_WRITE_LIMIT, MIB);
	gauge_set(web(scene), GAUGE_IO_WRITE_BYTES, much ? SECONDS * MIB : MIB);
	gauge_set(web(scene), GAUGE_PRESSURE_IO_SOME, much ? S(8) : 0);
	add_time(scene, "web", "blocked: disk", much ? 8 : 0);
}

static void scene_disk_neighbour(struct scene *scene, gboolean much)
{
	add_container(scene, 8, "writer");
	add_time(scene, "web", "blocked: disk", much ? 6 : 0.01);
	add_disk(scene, "web", 2000000, 1000);
	add_wait(scene->block, "web", EDGE_END_CONTAINER, "writer", 5);
	add_wait(scene->block, "web", EDGE_END_CONTAINER, "web", 0.5);
	gauge_set(web(scene), GAUGE_PRESSURE_IO_SOME, S(4));
}

static void scene_slow_disk(struct scene *scene, gboolean much)
{
	add_time(scene, "web", "blocked: disk", much ? 8 : 0.01);
	add_disk(scene, "web", 80000000, 100);
}

static void scene_own_disk(struct scene *scene, gboolean much)
{
	add_time(scene, "web", "blocked: disk", much ? 8 : 0.01);
	add_disk(scene, "web", 100000, 20000);
	gauge_set(web(scene), GAUGE_PRESSURE_IO_SOME, S(7));
}

static void scene_lock(struct scene *scene, gboolean much)
{
	const char *values[] = { "web", much ? "likely a lock" : "likely a condition", "woken" };
	struct histogram_counts counts = { 0 };

	histogram_counts_record(&counts, UNIT_NANOSECONDS, S(0.01), 2000);
	histogram_add(scene->futex, values, 0, &counts);
}

static void scene_pids(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_PIDS_LIMIT, 4);
	gauge_set(web(scene), GAUGE_PIDS_LIMIT_HITS, much ? 12 : 0);
}

static void scene_files(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_FILES_LIMIT, 64);
	gauge_set(web(scene), GAUGE_FILES, much ? 64 : 32);
}

static void scene_listen(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_TCP_LISTEN_OVERFLOWS, much ? 36 : 0);
}

static void scene_refused(struct scene *scene, gboolean much)
{
	edge_count(add_connection(scene, "web", EDGE_END_EXTERNAL, "192.0.2.1"), 1, much ? 20 : 1);
}

static void scene_no_answer(struct scene *scene, gboolean much)
{
	edge_count(add_connection(scene, "web", EDGE_END_EXTERNAL, "192.0.2.1"), 2, much ? 9 : 1);
}

static void scene_loss(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_TCP_SPURIOUS, much ? 10 : 95);
}

static void scene_reader(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_TCP_ZERO_WINDOWS, much ? 4 : 0);
}

static void scene_udp(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_UDP_OVERFLOWS, much ? 1994 : 2);
}

static void scene_sync(struct scene *scene, gboolean much)
{
	add_kernel_time(scene, "blocked: disk", "ext4_sync_file", "jbd2_log_wait_commit", much ? 6 : 0.01);
	add_disk(scene, "web", 100000, 20000);
}

static void scene_file_lock(struct scene *scene, gboolean much)
{
	add_kernel_time(scene, "blocked: lock", "__x64_sys_flock", "locks_lock_inode_wait", much ? 6 : 0.01);
}

static void scene_kernel_lock(struct scene *scene, gboolean much)
{
	add_kernel_time(scene, "blocked: lock", "ext4_buffered_write_iter", "rwsem_down_write_slowpath.isra.0",
			much ? 6 : 0.01);
}

/* `much`: 20 MiB in 10 s towards a limit of 64; else as much and back again. */
static void scene_growth(struct scene *scene, gboolean much)
{
	static const guint64 mib[][4] = { { 20, 10, 30, 20 }, { 20, 26, 33, 40 } };

	gauge_set(web(scene), GAUGE_MEMORY_LIMIT, 64 * MIB);
	gauge_set(web(scene), GAUGE_MEMORY, 40 * MIB);
	scene->windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	for (guint i = 0; i < G_N_ELEMENTS(mib[0]); i++) {
		struct snapshot *window = snapshot_new("scene");
		struct shape *shape = shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT);

		window->duration_ns = SECONDS * NS_PER_S / 4;
		gauge_set(gauges_add(shape->gauges, GAUGE_RESOURCE_CONTAINER, 7, 0, "web"), GAUGE_MEMORY_ANON,
			  mib[much][i] * MIB);
		g_ptr_array_add(window->shapes, shape);
		g_ptr_array_add(scene->windows, window);
	}
}

static void scene_ports(struct scene *scene, gboolean much)
{
	edge_count(add_connection(scene, "web", EDGE_END_EXTERNAL, "192.0.2.1"), 5, much ? 20 : 1);
}

static void scene_drops(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_NET_DROPS, much ? 5000 : 5);
}

static void scene_shaping(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_QDISC_DROPS, 900);
	gauge_set(web(scene), GAUGE_QDISC_PACKETS, much ? 1000 : 100000);
	gauges_set_text(scene->gauges, web(scene), GAUGE_TEXT_QDISC, "tbf on eth0");
}

static void scene_conntrack(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_CONNTRACK, much ? 262000 : 1000);
	gauge_set(web(scene), GAUGE_CONNTRACK_LIMIT, 262144);
	gauge_set(web(scene), GAUGE_CONNTRACK_DROPS, much ? 100 : 0);
	gauge_set(web(scene), GAUGE_CONNTRACK_INSERT_FAILED, 0);
}

static void add_dns(struct scene *scene, const char *outcome, guint64 ns, guint count)
{
	const char *values[] = { "web", "192.0.2.53", "UDP", outcome };
	struct histogram_counts counts = { 0 };

	histogram_counts_record(&counts, UNIT_NANOSECONDS, ns, count);
	histogram_add(scene->dns, values, 0, &counts);
}

static void scene_dns_silent(struct scene *scene, gboolean much)
{
	add_dns(scene, "noerror", 1000000, 10);
	add_dns(scene, "unanswered", S(2), much ? 9 : 1);
}

static void scene_dns_fails(struct scene *scene, gboolean much)
{
	add_dns(scene, "noerror", 1000000, 10);
	add_dns(scene, "servfail", 1000000, much ? 9 : 1);
}

static void scene_dns_slow(struct scene *scene, gboolean much)
{
	add_dns(scene, "noerror", much ? S(0.4) : 1000000, 10);
}

static void scene_dns_in_vain(struct scene *scene, gboolean much)
{
	add_dns(scene, "noerror", 1000000, 10);
	add_dns(scene, "nxdomain", 1000000, much ? 50 : 5);
}

static void scene_collector(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_CPU, S(9));
	gauge_set(web(scene), GAUGE_CPU_COLLECTORS, much ? S(6) : S(1));
}

/* Three readings; in the calm scene the queue was empty once. */
static void scene_workers(struct scene *scene, gboolean much)
{
	static const guint64 waiting[] = { 3, 40, 7 };

	scene->windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	for (guint i = 0; i < G_N_ELEMENTS(waiting); i++) {
		struct snapshot *part = snapshot_new("scene");
		struct shape *shape = shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT);

		part->duration_ns = NS_PER_S;
		gauge_set(gauges_add(shape->gauges, GAUGE_RESOURCE_CONTAINER, 7, 0, "web"), GAUGE_LISTEN_QUEUE,
			  much || i != 1 ? waiting[i] : 0);
		g_ptr_array_add(part->shapes, shape);
		g_ptr_array_add(scene->windows, part);
	}
	add_time(scene, "web", "blocked: network", 20);
}

static void scene_answers(struct scene *scene, gboolean much)
{
	struct edge *edge = add_connection(scene, "web", EDGE_END_EXTERNAL, "192.0.2.9");
	struct histogram_counts requests = { 0 }, trips = { 0 };

	histogram_counts_record(&requests, UNIT_NANOSECONDS, much ? 300 * NS_PER_MS : 30 * NS_PER_MS, 30);
	histogram_counts_record(&trips, UNIT_NANOSECONDS, NS_PER_MS, 30);
	edge_histogram_add(edge, 0, &requests);
	edge_histogram_add(edge, 1, &trips);
	add_time(scene, "web", "blocked: network", 9);
}

static void set_threads(struct gauge_row *row, double thread, double process, guint turns)
{
	gauge_set(row, GAUGE_THREAD_CPU, S(thread));
	gauge_set(row, GAUGE_THREAD_READY, S(MIN(thread + 0.02, 1)));
	gauge_set(row, GAUGE_PROCESS_CPU, S(process));
	gauge_set(row, GAUGE_PROCESS_TURNS, turns);
}

static void scene_one_thread(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_CPU, S(10));
	set_threads(web(scene), 0.97, 0.99, 1);
	gauge_set(web(scene), GAUGE_UNREAD, much ? 5 : 0);
	gauges_set_text(scene->gauges, web(scene), GAUGE_TEXT_BUSIEST, "redis-server");
	gauges_set_text(scene->gauges, web(scene), GAUGE_TEXT_BUSIEST_PID, "1");
	add_time(scene, "web", "running: user", 9.5);
}

/* Waits of its threads for a condition, 5 ms each. */
static void add_turns(struct scene *scene, const char *end, guint count)
{
	const char *values[] = { "web", "likely a condition", end };
	struct histogram_counts counts = { 0 };

	histogram_counts_record(&counts, UNIT_NANOSECONDS, 5 * NS_PER_MS, count);
	histogram_add(scene->futex, values, 0, &counts);
}

/* In the calm scene they use more than one CPU. */
static void scene_interpreter(struct scene *scene, gboolean much)
{
	gauge_set(web(scene), GAUGE_CPU, much ? S(10) : S(16));
	set_threads(web(scene), 0.25, much ? 1 : 1.6, 4);
	gauge_set(web(scene), GAUGE_UNREAD, 0);
	gauges_set_text(scene->gauges, web(scene), GAUGE_TEXT_BUSIEST, "python3");
	gauges_set_text(scene->gauges, web(scene), GAUGE_TEXT_BUSIEST_PID, "7");
	gauges_set_text(scene->gauges, web(scene), GAUGE_TEXT_INTERPRETER, "Python");
	add_time(scene, "web", "running: user", 9.5);
	add_turns(scene, "timed out", 6000);
}

static const struct case_of_rule {
	const char *rule;
	void (*play)(struct scene *scene, gboolean much);
	enum fault fault;
	const char *culprit;
} cases[] = {
	{ "cap throttled", scene_throttled, FAULT_CONTAINER, NULL },
	{ "cap marginal", scene_marginal, FAULT_CONTAINER, NULL },
	{ "hypervisor steal", scene_steal, FAULT_HOST, NULL },
	{ "cpuset too small", scene_cpuset, FAULT_CONTAINER, NULL },
	{ "own CPU demand", scene_demand, FAULT_CONTAINER, NULL },
	{ "CPU taken by a neighbour", scene_neighbour, FAULT_NEIGHBOUR, "bully" },
	{ "CPU taken by a neighbour", scene_host_load, FAULT_HOST, "the host" },
	{ "waits beside idle CPUs", scene_beside_idle, FAULT_CONTAINER, NULL },
	{ "behind a neighbour, beside idle CPUs", scene_behind_beside_idle, FAULT_NEIGHBOUR, "bully" },
	{ "own code", scene_own_code, FAULT_CONTAINER, NULL },
	{ "memory limit, killed", scene_oom_limit, FAULT_CONTAINER, NULL },
	{ "machine out of memory", scene_oom_host, FAULT_HOST, NULL },
	{ "memory limit too small", scene_thrash, FAULT_CONTAINER, NULL },
	{ "memory.high reached", scene_high, FAULT_CONTAINER, NULL },
	{ "machine short of memory", scene_machine_memory, FAULT_NEIGHBOUR, "hog" },
	{ "swapping", scene_swap, FAULT_CONTAINER, NULL },
	{ "cache fills the limit", scene_cache, FAULT_CONTAINER, NULL },
	{ "I/O limit", scene_io_limit, FAULT_CONTAINER, NULL },
	{ "disk taken by a neighbour", scene_disk_neighbour, FAULT_NEIGHBOUR, "writer" },
	{ "slow disk", scene_slow_disk, FAULT_HOST, NULL },
	{ "own disk demand", scene_own_disk, FAULT_CONTAINER, NULL },
	{ "lock contention", scene_lock, FAULT_CONTAINER, NULL },
	{ "limit of pids", scene_pids, FAULT_CONTAINER, NULL },
	{ "limit of open files", scene_files, FAULT_CONTAINER, NULL },
	{ "accept queue full", scene_listen, FAULT_CONTAINER, NULL },
	{ "connections refused", scene_refused, FAULT_PEER, "192.0.2.1 port 80" },
	{ "connections without answer", scene_no_answer, FAULT_PEER, "192.0.2.1 port 80" },
	{ "packets lost", scene_loss, FAULT_PEER, NULL },
	{ "receiver does not read", scene_reader, FAULT_CONTAINER, NULL },
	{ "datagrams dropped", scene_udp, FAULT_CONTAINER, NULL },
	{ "waits for fsync", scene_sync, FAULT_CONTAINER, NULL },
	{ "file lock contention", scene_file_lock, FAULT_CONTAINER, NULL },
	{ "kernel lock contention", scene_kernel_lock, FAULT_CONTAINER, NULL },
	{ "memory grows to its limit", scene_growth, FAULT_CONTAINER, NULL },
	{ "local ports used up", scene_ports, FAULT_CONTAINER, NULL },
	{ "interface drops packets", scene_drops, FAULT_HOST, NULL },
	{ "tc drops packets", scene_shaping, FAULT_HOST, NULL },
	{ "conntrack full", scene_conntrack, FAULT_HOST, NULL },
	{ "DNS without answer", scene_dns_silent, FAULT_PEER, "192.0.2.53" },
	{ "DNS fails", scene_dns_fails, FAULT_PEER, "192.0.2.53" },
	{ "DNS slow", scene_dns_slow, FAULT_PEER, "192.0.2.53" },
	{ "DNS asks in vain", scene_dns_in_vain, FAULT_CONTAINER, NULL },
	{ "garbage collection", scene_collector, FAULT_CONTAINER, NULL },
	{ "all workers taken", scene_workers, FAULT_CONTAINER, NULL },
	{ "slow answers", scene_answers, FAULT_PEER, "192.0.2.9 port 80" },
	{ "one thread at its limit", scene_one_thread, FAULT_CONTAINER, NULL },
	{ "interpreter lock", scene_interpreter, FAULT_CONTAINER, NULL },
};

static struct diagnosis *scene_diagnose(struct scene *scene)
{
	struct diagnose_config config;
	struct diagnosis *diagnosis;

	diagnose_config_init(&config);
	diagnosis = diagnose(scene->snapshot, scene->windows, &config);
	g_clear_pointer(&scene->windows, g_ptr_array_unref);
	return diagnosis;
}

static const struct finding *first_of(const GPtrArray *findings, const char *container)
{
	for (guint i = 0; i < findings->len; i++) {
		const struct finding *finding = g_ptr_array_index(findings, i);

		if (strcmp(finding->subject->name, container) == 0)
			return finding;
	}
	return NULL;
}

static const struct rule *rule_named(const char *name)
{
	for (guint i = 0; i < rule_count; i++)
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

static void check_texts(const struct finding *finding)
{
	const char *const texts[] = { finding->sentence, finding->disproof, finding->advice, finding->more };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_assert_nonnull(texts[i]);
		g_assert_cmpuint(strlen(texts[i]), >, 0);
		if (strpbrk(texts[i], "?{}[]"))
			g_error("%s: something is missing in \"%s\"", finding->name, texts[i]);
	}
	g_assert_cmpuint(finding->evidence->len, >, 0);
}

static void test_rule(gconstpointer data)
{
	const struct case_of_rule *test = data;
	const struct rule *rule = rule_named(test->rule);
	const struct finding *finding;
	struct diagnosis *diagnosis;
	struct scene scene;

	g_assert_nonnull(rule);
	scene_init(&scene);
	test->play(&scene, TRUE);
	diagnosis = scene_diagnose(&scene);
	finding = first_of(rule->is_note ? diagnosis->notes : diagnosis->findings, "web");
	g_assert_nonnull(finding);
	g_assert_cmpstr(finding->name, ==, test->rule);
	g_assert_cmpint(finding->fault, ==, test->fault);
	if (test->culprit)
		g_assert_cmpstr(finding->culprit, ==, test->culprit);
	/* The host cannot be paused as a whole: who of it runs is to be found out. */
	if (strcmp(rule->resource, "cpu") == 0 && g_strcmp0(test->culprit, "the host") == 0) {
		g_assert_true(g_str_has_suffix(finding->more, "; fathom top -p"));
		g_assert_nonnull(strstr(finding->disproof, "the host's processes"));
	} else {
		g_assert_null(strstr(finding->more, "top -p"));
	}
	g_assert_cmpfloat(finding->score, >=, 0);
	g_assert_cmpfloat(finding->score, <=, 1);
	check_texts(finding);
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);

	scene_init(&scene);
	test->play(&scene, FALSE);
	diagnosis = scene_diagnose(&scene);
	finding = first_of(rule->is_note ? diagnosis->notes : diagnosis->findings, "web");
	g_assert_true(!finding || strcmp(finding->name, test->rule) != 0);
	if (!rule->is_note && diagnosis->findings->len && first_of(diagnosis->findings, "web"))
		g_error("calm, and still: %s", first_of(diagnosis->findings, "web")->name);
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

static void test_every_rule_has_a_scene(void)
{
	for (guint i = 0; i < rule_count; i++) {
		gboolean found = FALSE;

		for (guint j = 0; j < G_N_ELEMENTS(cases); j++)
			found |= strcmp(cases[j].rule, rules[i].name) == 0;
		if (!found)
			g_error("the rule \"%s\" has no scene", rules[i].name);
		g_assert_cmpint(rules[i].conditions[RULE_CONDITIONS - 1].op, ==, CONDITION_END);
	}
}

/* The page people learn from has a section for each rule, with an experiment, and none for a rule there is not. */
static void test_every_rule_is_explained(void)
{
	g_autoptr(GHashTable) sections = g_hash_table_new(g_str_hash, g_str_equal);
	g_autofree char *page = NULL;
	g_auto(GStrv) parts = NULL;

	g_assert_true(g_file_get_contents(VERDICTS_PAGE, &page, NULL, NULL));
	parts = g_strsplit(page, "\n### ", -1);
	for (guint i = 1; parts[i]; i++) {
		char *body = strchr(parts[i], '\n');

		g_assert_nonnull(body);
		*body = '\0';
		if (!rule_named(parts[i]) && strcmp(parts[i], "waits for a peer") != 0)
			g_error("a section explains \"%s\", and no rule has that name", parts[i]);
		if (!strstr(body + 1, "\n**Experiment:** ") || !strstr(body + 1, "\n**Wrong, if:** "))
			g_error("the section of \"%s\" has no experiment, or nothing that would refute it", parts[i]);
		g_hash_table_insert(sections, parts[i], body + 1);
	}
	for (guint i = 0; i < rule_count; i++)
		if (!g_hash_table_contains(sections, rules[i].name))
			g_error("no section explains the rule \"%s\"", rules[i].name);
	g_assert_true(g_hash_table_contains(sections, "waits for a peer"));
}

/* A probe that had next to nothing to see has missed next to nothing, even if it missed all of it. */
static void test_little_is_not_missed(void)
{
	for (guint much = 0; much <= 1; much++) {
		struct diagnosis *diagnosis;
		struct ledger *ledger;
		struct scene scene;

		scene_init(&scene);
		ledger = &scene_shape(&scene, SHAPE_EDGES, "blame memory")->ledger;
		ledger->seen = (struct ledger_line){ 2, much ? S(5) : NS_PER_MS };
		ledger_add(ledger, LEDGER_LOST_UNATTRIBUTED, 2, ledger->seen.weight);
		scene_throttled(&scene, TRUE);
		diagnosis = scene_diagnose(&scene);
		g_assert_cmpint(diagnosis_is_conclusive(diagnosis), ==, !much);
		g_assert_cmpint(first_of(diagnosis->findings, "web")->confidence, ==,
				much ? CONFIDENCE_LOW : CONFIDENCE_HIGH);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

static void test_tables_are_whole(void)
{
	for (guint i = 0; i < FACTS; i++) {
		g_assert_nonnull(fact_metas[i].name);
		g_assert_nonnull(fact_metas[i].source);
		g_assert_cmpint(fact_find(fact_metas[i].name, strlen(fact_metas[i].name)), ==, i);
	}
	for (guint i = 1; i < THRESHOLDS; i++) {
		g_assert_nonnull(threshold_metas[i].name);
		g_assert_cmpint(threshold_find(threshold_metas[i].name), ==, i);
	}
	for (guint i = 0; i < FACT_TEXTS; i++)
		g_assert_nonnull(fact_text_names[i]);
}

static void test_calm(void)
{
	struct scene scene;
	struct diagnosis *diagnosis;
	g_autoptr(GString) out = g_string_new(NULL);
	struct report_options options = { 0 };

	scene_init(&scene);
	diagnosis = scene_diagnose(&scene);
	options.snapshot = scene.snapshot;
	g_assert_cmpuint(diagnosis->findings->len, ==, 0);
	g_assert_cmpuint(diagnosis->checked->len, ==, rule_count);
	g_assert_true(diagnosis_is_conclusive(diagnosis));
	report_text(out, diagnosis, &options);
	g_assert_nonnull(strstr(out->str, "Nothing found."));
	for (guint i = 0; i < rule_count; i++)
		g_assert_nonnull(strstr(out->str, rules[i].name));
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

/* Without what kernel programs tell: the same verdicts on CPU and memory, from gauges alone. */
static void test_files_only(void)
{
	static const char *const names[] = { "cap throttled", "CPU taken by a neighbour", "own CPU demand",
					     "memory limit too small" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		struct scene scene;
		struct diagnosis *diagnosis;
		const struct finding *finding;

		scene_init(&scene);
		g_ptr_array_set_size(scene.snapshot->shapes, 1);
		switch (i) {
		case 0:
			gauge_set(web(&scene), GAUGE_CPU_LIMIT, NS_PER_S / 2);
			gauge_set(web(&scene), GAUGE_CPU, S(5));
			gauge_set(web(&scene), GAUGE_CPU_PERIODS, 100);
			gauge_set(web(&scene), GAUGE_CPU_PERIODS_THROTTLED, 97);
			gauge_set(web(&scene), GAUGE_CPU_THROTTLED, S(5));
			gauge_set(web(&scene), GAUGE_RUNQUEUE_WAIT, S(5));
			break;
		case 1:
			gauge_set(gauges_row(scene.gauges, add_container(&scene, 8, "bully")), GAUGE_CPU, S(16));
			gauge_set(web(&scene), GAUGE_CPU, S(2));
			gauge_set(web(&scene), GAUGE_RUNQUEUE_WAIT, S(8));
			gauge_set(web(&scene), GAUGE_CPUSET_IDLE, 0);
			gauge_set(gauges_row(scene.gauges, 0), GAUGE_CPU_IDLE, 0);
			break;
		case 2:
			gauge_set(web(&scene), GAUGE_CPU, S(19));
			gauge_set(web(&scene), GAUGE_RUNQUEUE_WAIT, S(19));
			gauge_set(web(&scene), GAUGE_CPUSET_IDLE, 0);
			gauge_set(gauges_row(scene.gauges, 0), GAUGE_CPU_IDLE, 0);
			break;
		default:
			filled(&scene, 100000, 2);
			break;
		}
		diagnosis = scene_diagnose(&scene);
		finding = first_of(diagnosis->findings, "web");
		g_assert_nonnull(finding);
		g_assert_cmpstr(finding->name, ==, names[i]);
		if (i == 1)
			g_assert_cmpstr(finding->culprit, ==, "bully");
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

static void test_chain(void)
{
	struct scene scene;
	struct diagnosis *diagnosis;
	const struct finding *finding;
	g_autoptr(GArray) keys = g_array_new(FALSE, FALSE, sizeof(guint64));
	guint64 key = 8;

	scene_init(&scene);
	scene_throttled(&scene, TRUE);
	add_container(&scene, 8, "front");
	add_container(&scene, 9, "middle");
	add_container(&scene, 10, "bystander");
	add_time(&scene, "front", "blocked: network", 9);
	add_time(&scene, "middle", "blocked: network", 8);
	add_time(&scene, "bystander", "blocked: network", 10);
	edge_count(add_connection(&scene, "front", EDGE_END_CONTAINER, "middle"), 4, 1000);
	edge_count(add_connection(&scene, "middle", EDGE_END_CONTAINER, "web"), 4, 1000);
	edge_count(add_connection(&scene, "middle", EDGE_END_CONTAINER, "front"), 4, 10); /* a circle */
	add_connection(&scene, "bystander", EDGE_END_CONTAINER, "web"); /* never used */
	diagnosis = scene_diagnose(&scene);
	finding = first_of(diagnosis->findings, "front");
	g_assert_nonnull(finding);
	g_assert_nonnull(finding->chain);
	g_assert_cmpuint(finding->chain->len, ==, 3);
	g_assert_cmpstr(g_ptr_array_index(finding->chain, 1), ==, "middle");
	g_assert_cmpstr(finding->culprit, ==, "web");
	g_assert_nonnull(strstr(finding->sentence, "front → middle → web"));
	g_assert_nonnull(strstr(finding->sentence, "cap throttled"));
	g_assert_null(first_of(diagnosis->findings, "bystander"));
	/* Asked for one container: its finding, and that of the culprit. */
	g_array_append_val(keys, key);
	diagnosis_only(diagnosis, keys);
	g_assert_nonnull(first_of(diagnosis->findings, "front"));
	g_assert_nonnull(first_of(diagnosis->findings, "web"));
	g_assert_null(first_of(diagnosis->findings, "middle"));
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

/* What changes a limit depends on whose container it is, and on who sets it. */
static void test_settings(void)
{
	static const struct {
		const char *runtime, *pod, *limit_of, *advice;
	} cases_of[] = {
		{ "docker", NULL, NULL, "(docker update --cpus 1.02 web)" },
		{ "podman", NULL, NULL, "(podman update --cpus 1.02 web)" },
		{ "docker", NULL, "/shop.slice", "(cpu.max of /shop.slice)" },
		{ "containerd", "shop/cart", NULL, "(resources.limits.cpu in pod shop/cart)" },
		{ "systemd", NULL, NULL, "(CPUQuota= of its unit)" },
		{ "containerd", NULL, NULL, "(cpu.max of its cgroup)" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases_of); i++) {
		struct diagnosis *diagnosis;
		const struct finding *finding;
		struct gauge_row *row;
		struct scene scene;

		scene_init(&scene);
		row = web(&scene);
		gauges_set_text(scene.gauges, row, GAUGE_TEXT_RUNTIME, cases_of[i].runtime);
		gauges_set_text(scene.gauges, row, GAUGE_TEXT_POD, cases_of[i].pod);
		gauges_set_text(scene.gauges, row, GAUGE_TEXT_CPU_LIMIT_OF, cases_of[i].limit_of);
		scene_throttled(&scene, TRUE);
		diagnosis = scene_diagnose(&scene);
		finding = first_of(diagnosis->findings, "web");
		g_assert_cmpstr(finding->rule->name, ==, "cap throttled");
		if (!strstr(finding->advice, cases_of[i].advice))
			g_error("\"%s\" is not in \"%s\"", cases_of[i].advice, finding->advice);
		g_assert_nonnull(strstr(finding->disproof, cases_of[i].advice));
		check_texts(finding);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* A container that uses up its quota does not fill the machine, however full that is and however many of its own threads
 * stand beside each other. */
static void test_quota_comes_first(void)
{
	struct scene scene;
	struct diagnosis *diagnosis;
	const struct finding *finding;

	scene_init(&scene);
	scene_demand(&scene, TRUE);
	scene_throttled(&scene, TRUE);
	diagnosis = scene_diagnose(&scene);
	finding = first_of(diagnosis->findings, "web");
	g_assert_nonnull(finding);
	g_assert_cmpstr(finding->rule->name, ==, "cap throttled");
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

/* Of two true troubles the one comes first whose end would give back more: without the neighbour, who stands still at the end of
 * each period gets no more than its quota, but who uses it up now and then only does. */
static void test_quota_beside_a_neighbour(void)
{
	static const struct {
		guint64 periods;
		const char *first;
	} cases_of[] = { { 97, "cap throttled" }, { 15, "CPU taken by a neighbour" } };

	for (guint i = 0; i < G_N_ELEMENTS(cases_of); i++) {
		struct diagnosis *diagnosis;
		struct scene scene;

		scene_init(&scene);
		scene_neighbour(&scene, TRUE);
		quota(&scene, cases_of[i].periods, 5);
		diagnosis = scene_diagnose(&scene);
		g_assert_cmpstr(first_of(diagnosis->findings, "web")->name, ==, cases_of[i].first);
		g_assert_cmpuint(diagnosis->findings->len, ==, 2);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* The same of memory: with enough of it there would be nothing to read again, neither the CPU time nor the waits for CPUs that
 * costs. What it runs besides would wait as before. */
static void test_memory_beside_a_neighbour(void)
{
	static const char *const first[] = { "CPU taken by a neighbour", "memory limit too small" };

	for (guint i = 0; i < G_N_ELEMENTS(first); i++) {
		struct diagnosis *diagnosis;
		struct scene scene;

		scene_init(&scene);
		scene_neighbour(&scene, TRUE);
		scene_thrash(&scene, TRUE);
		add_kernel_time(&scene, "running: kernel", "filemap_get_pages",
				i ? "page_cache_ra_unbounded" : "copy_folio_to_iter", 14);
		diagnosis = scene_diagnose(&scene);
		g_assert_cmpstr(first_of(diagnosis->findings, "web")->name, ==, first[i]);
		g_assert_cmpuint(diagnosis->findings->len, ==, 2);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* Who makes room is below its limit for a moment: one look at which it was full is enough. */
static void test_full_at_one_look(void)
{
	for (guint full = 0; full <= 1; full++) {
		g_autoptr(GPtrArray) windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
		struct diagnose_config config;
		struct diagnosis *diagnosis;
		struct scene scene;

		diagnose_config_init(&config);
		scene_init(&scene);
		scene_thrash(&scene, TRUE);
		gauge_set(web(&scene), GAUGE_MEMORY, 58 * MIB);
		for (guint i = 0; i < 3; i++) {
			struct scene part;

			scene_init(&part);
			g_ptr_array_set_size(part.snapshot->shapes, 1);
			filled(&part, 30000, 2);
			gauge_set(web(&part), GAUGE_MEMORY, (full && i == 1 ? 64 : 58) * MIB);
			g_ptr_array_add(windows, part.snapshot);
		}
		diagnosis = diagnose(scene.snapshot, windows, &config);
		g_assert_cmpint(first_of(diagnosis->findings, "web") != NULL &&
					strcmp(first_of(diagnosis->findings, "web")->name, "memory limit too small") ==
						0,
				==, full);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* Nor would the collector of a larger heap wait for CPUs. */
static void test_collector_beside_a_neighbour(void)
{
	static const char *const first[] = { "CPU taken by a neighbour", "garbage collection" };

	for (guint i = 0; i < G_N_ELEMENTS(first); i++) {
		struct diagnosis *diagnosis;
		struct scene scene;

		scene_init(&scene);
		scene_neighbour(&scene, TRUE);
		gauge_set(web(&scene), GAUGE_CPU, S(10));
		gauge_set(web(&scene), GAUGE_CPU_COLLECTORS, i ? S(9) : S(3));
		diagnosis = scene_diagnose(&scene);
		g_assert_cmpstr(first_of(diagnosis->findings, "web")->name, ==, first[i]);
		g_assert_cmpuint(diagnosis->findings->len, ==, 2);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* Who wants less than the CPUs there are does not fill them, though its threads stand beside each other: three in turns on one. */
static void test_little_demand_fills_nothing(void)
{
	struct diagnosis *diagnosis;
	struct scene scene;

	scene_init(&scene);
	contended(&scene, 0, 0, 5, 1);
	diagnosis = scene_diagnose(&scene);
	g_assert_null(first_of(diagnosis->findings, "web"));
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
	scene_init(&scene);
	contended(&scene, 0, 0, 9, 1);
	diagnosis = scene_diagnose(&scene);
	g_assert_cmpstr(first_of(diagnosis->findings, "web")->name, ==, "own CPU demand");
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

static const char *first_name(struct scene *scene)
{
	struct diagnosis *diagnosis = scene_diagnose(scene);
	const struct finding *finding = first_of(diagnosis->findings, "web");
	const char *name = finding ? finding->name : NULL;

	diagnosis_free(diagnosis);
	snapshot_free(scene->snapshot);
	return name;
}

/* One thread that runs all the time is no trouble while nobody waits for it, on one CPU more threads would not help, and of two
 * that are as busy neither is alone. */
static void test_one_thread_and_nothing_waits(void)
{
	for (guint i = 0; i < 5; i++) {
		struct scene scene;

		scene_init(&scene);
		scene_one_thread(&scene, TRUE);
		switch (i) {
		case 1:
			gauge_set(web(&scene), GAUGE_UNREAD, 1);
			break;
		case 2:
			gauge_set(web(&scene), GAUGE_CPUSET, 1);
			break;
		case 3:
			gauge_set(web(&scene), GAUGE_CPU, S(20));
			break;
		case 4:
			gauge_set(web(&scene), GAUGE_THREAD_READY, S(0.9));
			break;
		default:
			g_assert_cmpstr(first_name(&scene), ==, "one thread at its limit");
			continue;
		}
		g_assert_null(first_name(&scene));
	}
}

/* The least of all looks counts; where it was not looked at because it did little, that is little. */
static void test_one_thread_in_every_part(void)
{
	static const guint64 unread[][3] = { { 5, 3, 4 }, { 5, 0, 4 }, { 5, 3, 4 } };

	for (guint i = 0; i < G_N_ELEMENTS(unread); i++) {
		struct scene scene;

		scene_init(&scene);
		scene_one_thread(&scene, TRUE);
		scene.windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
		for (guint j = 0; j < 3; j++) {
			struct snapshot *part = snapshot_new("scene");
			struct shape *shape = shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT);
			struct gauge_row *row = gauges_add(shape->gauges, GAUGE_RESOURCE_CONTAINER, 7, 0, "web");

			part->duration_ns = NS_PER_S;
			gauge_set(row, GAUGE_CPU, i == 2 && j == 1 ? S(0.3) : S(1));
			if (j && !(i == 2 && j == 1)) { /* at the first nothing is known of its threads */
				set_threads(row, 0.97, 0.99, 1);
				gauge_set(row, GAUGE_UNREAD, unread[i][j]);
			}
			g_ptr_array_add(part->shapes, shape);
			g_ptr_array_add(scene.windows, part);
		}
		g_assert_cmpstr(first_name(&scene), ==, i == 0 ? "one thread at its limit" : NULL);
	}
}

/* A lock is waited for again and again, a little at a time; a pool waits until it is woken. Who uses less than nearly a CPU
 * is at the lock's limit only when others wait for it, and what has no such lock never is. */
static void test_interpreter_waits(void)
{
	static const struct {
		const char *interpreter, *end;
		double process;
		const char *verdict;
	} tests[] = {
		{ "Python", "timed out", 0.8, "interpreter lock" },
		{ "Python", "woken", 0.8, NULL },
		{ "Python", "woken", 0.95, "interpreter lock" },
		{ NULL, "timed out", 0.95, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
		struct scene scene;

		scene_init(&scene);
		gauge_set(web(&scene), GAUGE_CPU, S(10 * tests[i].process));
		set_threads(web(&scene), tests[i].process / 3, tests[i].process, 3);
		gauge_set(web(&scene), GAUGE_UNREAD, 0);
		gauges_set_text(scene.gauges, web(&scene), GAUGE_TEXT_BUSIEST, "python3");
		gauges_set_text(scene.gauges, web(&scene), GAUGE_TEXT_INTERPRETER, tests[i].interpreter);
		add_time(&scene, "web", "running: user", 8);
		add_turns(&scene, tests[i].end, 3000);
		g_assert_cmpstr(first_name(&scene), ==, tests[i].verdict);
	}
}

/* A hypervisor takes nothing of the time in which a disk is waited for. */
static void test_steal_beside_a_disk(void)
{
	static const char *const first[] = { "hypervisor steal", "slow disk" };

	for (guint i = 0; i < G_N_ELEMENTS(first); i++) {
		struct diagnosis *diagnosis;
		struct scene scene;

		scene_init(&scene);
		scene_steal(&scene, TRUE);
		scene_slow_disk(&scene, TRUE);
		add_time(&scene, "web", "running: user", i ? 0 : 60);
		diagnosis = scene_diagnose(&scene);
		g_assert_cmpstr(first_of(diagnosis->findings, "web")->name, ==, first[i]);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* How idle its CPUs were is known of a newcomer from the first reading on in which it was there. */
static void test_newcomer(void)
{
	g_autoptr(GPtrArray) windows = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_free);
	struct gauges *nobody = gauges_new();
	struct diagnose_config config;
	struct diagnosis *diagnosis;
	struct scene scene;

	diagnose_config_init(&config);
	scene_init(&scene);
	scene_neighbour(&scene, TRUE);
	gauges_forget_newcomers(scene.gauges, nobody, GAUGE_CPUSET_IDLE);
	diagnosis = diagnose(scene.snapshot, NULL, &config);
	g_assert_null(first_of(diagnosis->findings, "web"));
	diagnosis_free(diagnosis);
	for (guint i = 0; i < 3; i++) {
		struct scene part;

		scene_init(&part);
		g_ptr_array_set_size(part.snapshot->shapes, 1);
		if (i == 0)
			gauges_forget_newcomers(part.gauges, nobody, GAUGE_CPUSET_IDLE);
		else
			gauge_set(web(&part), GAUGE_CPUSET_IDLE, S(0.5));
		gauge_set(web(&part), GAUGE_RUNQUEUE_WAIT, S(8));
		gauge_set(gauges_row(part.gauges, 0), GAUGE_CPU_IDLE, S(0.5));
		g_ptr_array_add(windows, part.snapshot);
	}
	diagnosis = diagnose(scene.snapshot, windows, &config);
	g_assert_nonnull(first_of(diagnosis->findings, "web"));
	g_assert_cmpstr(first_of(diagnosis->findings, "web")->name, ==, "CPU taken by a neighbour");
	g_assert_cmpfloat_with_epsilon(first_of(diagnosis->findings, "web")->subject->values[FACT_CPUS_IDLE], 0.025,
				       1e-9);
	diagnosis_free(diagnosis);
	gauges_free(nobody);
	snapshot_free(scene.snapshot);
}

/* Who wants a CPU a fiftieth of the time and waits ten times that loses a fifth of a thread: less than to failing questions. Who
 * has ready threads all the time loses more. */
static void test_much_of_little_is_little(void)
{
	static const char *const first[] = { "DNS fails", "CPU taken by a neighbour" };

	for (guint i = 0; i < G_N_ELEMENTS(first); i++) {
		const struct finding *finding;
		struct diagnosis *diagnosis;
		struct scene scene;
		guint32 bully;

		scene_init(&scene);
		scene_dns_fails(&scene, TRUE);
		bully = add_container(&scene, 8, "bully");
		gauge_set(gauges_row(scene.gauges, bully), GAUGE_CPU, S(18));
		gauge_set(web(&scene), GAUGE_CPUSET_IDLE, 0);
		gauge_set(gauges_row(scene.gauges, 0), GAUGE_CPU_IDLE, 0);
		add_time(&scene, "web", "running: user", i ? 2 : 0.2);
		add_time(&scene, "web", "waiting for CPU: preempted", i ? 20 : 2);
		add_wait(scene.cpu, "web", EDGE_END_CONTAINER, "bully", i ? 20 : 2);
		diagnosis = scene_diagnose(&scene);
		g_assert_cmpuint(diagnosis->findings->len, >=, 2);
		finding = first_of(diagnosis->findings, "web");
		g_assert_cmpstr(finding->name, ==, first[i]);
		diagnosis_free(diagnosis);
		snapshot_free(scene.snapshot);
	}
}

/* Two containers of one name: what is only told by name is nobody's. */
static void test_equal_names(void)
{
	struct scene scene;
	struct diagnosis *diagnosis;

	scene_init(&scene);
	add_container(&scene, 8, "web");
	scene_lock(&scene, TRUE);
	oom(&scene, "container");
	diagnosis = scene_diagnose(&scene);
	g_assert_cmpuint(diagnosis->findings->len, ==, 0);
	g_assert_cmpuint(diagnosis->facts->subjects->len, ==, 2);
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

static void test_unknown_is_not_zero(void)
{
	struct scene scene;
	struct diagnosis *diagnosis;

	scene_init(&scene);
	gauges_clear(scene.gauges);
	gauges_add(scene.gauges, GAUGE_RESOURCE_CONTAINER, 7, 0, "web");
	g_ptr_array_set_size(scene.snapshot->shapes, 1);
	diagnosis = scene_diagnose(&scene);
	g_assert_cmpuint(diagnosis->findings->len, ==, 0);
	for (guint i = 0; i < diagnosis->checked->len; i++) {
		const struct checked *checked = &g_array_index(diagnosis->checked, struct checked, i);

		if (strcmp(checked->rule->name, "cap throttled") == 0) {
			g_assert_cmpuint(checked->containers, ==, 0);
			g_assert_cmpuint(checked->unknown, ==, 1);
		}
	}
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

/* What the kernel counted in every part of the time outweighs what the programs made of the whole. */
static void test_refuted(void)
{
	struct scene scene, parts[3];
	g_autoptr(GPtrArray) windows = g_ptr_array_new();
	struct diagnose_config config;
	struct diagnosis *diagnosis;

	diagnose_config_init(&config);
	scene_init(&scene);
	scene_behind_beside_idle(&scene, TRUE);
	for (guint i = 0; i < 3; i++) {
		scene_init(&parts[i]);
		g_ptr_array_set_size(parts[i].snapshot->shapes, 1);
		gauge_set(web(&parts[i]), GAUGE_CPU, S(5));
		gauge_set(web(&parts[i]), GAUGE_RUNQUEUE_WAIT, S(0.1));
		g_ptr_array_add(windows, parts[i].snapshot);
	}
	diagnosis = diagnose(scene.snapshot, windows, &config);
	g_assert_null(first_of(diagnosis->findings, "web"));
	diagnosis_free(diagnosis);
	gauge_set(web(&parts[1]), GAUGE_RUNQUEUE_WAIT, S(6));
	diagnosis = diagnose(scene.snapshot, windows, &config);
	g_assert_nonnull(first_of(diagnosis->findings, "web"));
	diagnosis_free(diagnosis);
	for (guint i = 0; i < 3; i++)
		snapshot_free(parts[i].snapshot);
	snapshot_free(scene.snapshot);
}

static void test_confidence(void)
{
	struct diagnose_config config;
	struct scene scene, parts[3];
	g_autoptr(GPtrArray) windows = g_ptr_array_new();
	struct diagnosis *diagnosis;

	diagnose_config_init(&config);
	scene_init(&scene);
	scene_throttled(&scene, TRUE);
	for (guint i = 0; i < 3; i++) {
		scene_init(&parts[i]);
		g_ptr_array_set_size(parts[i].snapshot->shapes, 1);
		gauge_set(web(&parts[i]), GAUGE_CPU_PERIODS, 30);
		gauge_set(web(&parts[i]), GAUGE_CPU_PERIODS_THROTTLED, 29);
		gauge_set(web(&parts[i]), GAUGE_CPU_THROTTLED, S(1));
		g_ptr_array_add(windows, parts[i].snapshot);
	}
	diagnosis = diagnose(scene.snapshot, windows, &config);
	g_assert_cmpint(first_of(diagnosis->findings, "web")->confidence, ==, CONFIDENCE_HIGH);
	diagnosis_free(diagnosis);
	/* Only for a moment. */
	for (guint i = 0; i < 2; i++)
		gauge_set(web(&parts[i]), GAUGE_CPU_PERIODS_THROTTLED, 0);
	diagnosis = diagnose(scene.snapshot, windows, &config);
	g_assert_cmpint(first_of(diagnosis->findings, "web")->confidence, ==, CONFIDENCE_LOW);
	diagnosis_free(diagnosis);
	/* Much was lost. */
	ledger_add(&((struct shape *)g_ptr_array_index(scene.snapshot->shapes, 1))->ledger, LEDGER_LOST_RING, 1, S(50));
	((struct shape *)g_ptr_array_index(scene.snapshot->shapes, 1))->ledger.seen.weight = S(100);
	diagnosis = diagnose(scene.snapshot, NULL, &config);
	g_assert_cmpint(first_of(diagnosis->findings, "web")->confidence, ==, CONFIDENCE_LOW);
	g_assert_false(diagnosis_is_conclusive(diagnosis));
	diagnosis_free(diagnosis);
	for (guint i = 0; i < 3; i++)
		snapshot_free(parts[i].snapshot);
	snapshot_free(scene.snapshot);
}

static void test_config(void)
{
	static const char good[] = "[thresholds]\nthrottled_periods = 99 %\nrefaults=5\n";
	static const char *const bad[] = { "[thresholds]\nnonsense = 1\n", "[thresholds]\ncontention = much\n",
					   "[thresholds]\ncontention = -1\n", "contention = 1\n",
					   "[thresholds]\nrefaults = 5 %\n" };
	struct diagnose_config config;
	struct diagnosis *diagnosis;
	struct scene scene;

	diagnose_config_init(&config);
	g_assert_true(diagnose_config_load(&config, good, strlen(good), NULL));
	g_assert_cmpfloat(config.thresholds[THRESHOLD_THROTTLED_PERIODS], ==, 0.99);
	g_assert_cmpfloat(config.thresholds[THRESHOLD_REFAULTS], ==, 5);
	scene_init(&scene);
	scene_throttled(&scene, TRUE);
	diagnosis = diagnose(scene.snapshot, NULL, &config);
	g_assert_null(first_of(diagnosis->findings, "web"));
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(diagnose_config_load(&config, bad[i], strlen(bad[i]), &error));
		g_assert_nonnull(error);
	}
}

static void test_hostile_names(void)
{
	static const char evil[] = "x'$(reboot)\033[2J\n```|<b> @you www.evil.example http://evil.example";
	struct scene scene;
	struct diagnosis *diagnosis;
	struct report_options options = { 0 };
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GString) markdown = g_string_new(NULL);
	g_autoptr(GString) json = g_string_new(NULL);
	g_autofree char *before_fence = NULL;
	struct gauge_row *row;

	scene_init(&scene);
	row = gauges_row(scene.gauges, add_container(&scene, 8, evil));
	gauge_set(row, GAUGE_CPU_PERIODS, 100);
	gauge_set(row, GAUGE_CPU_PERIODS_THROTTLED, 97);
	gauge_set(row, GAUGE_CPU_THROTTLED, S(5));
	add_time(&scene, evil, "waiting for CPU: throttled", 5);
	diagnosis = scene_diagnose(&scene);
	options.snapshot = scene.snapshot;
	g_assert_nonnull(first_of(diagnosis->findings, evil));
	g_assert_null(strstr(first_of(diagnosis->findings, evil)->more, "walltime x'$"));
	report_text(text, diagnosis, &options);
	report_markdown(markdown, diagnosis, &options);
	report_json(json, diagnosis, &options);
	g_assert_null(strchr(text->str, '\033'));
	g_assert_null(strchr(markdown->str, '\033'));
	g_assert_null(strstr(markdown->str, "<b>\n"));
	g_assert_null(strstr(markdown->str, ": x'$(reboot)\n"));
	/* Nobody is mentioned, nothing is made a link; in a fence nothing would be. */
	before_fence = g_strndup(markdown->str, (gsize)(strstr(markdown->str, "```sh") - markdown->str));
	g_assert_nonnull(strstr(before_fence, "@<!-- -->you"));
	g_assert_null(strstr(before_fence, "@you"));
	g_assert_null(strstr(before_fence, "www.evil"));
	g_assert_null(strstr(before_fence, "http://"));
	g_assert_null(strchr(json->str, '\033'));
	g_assert_null(strchr(json->str, '\n'));
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

/* Not judged, only said (`test_diagnose -m perf`): what the engine takes for 200 containers, each with a cause or two, fifty
 * stacks, and a neighbour it talks to. */
static void test_speed(void)
{
	struct scene scene;
	struct diagnosis *diagnosis;
	char name[16], other[16], function[16];
	gint64 began_us;

	scene_init(&scene);
	for (guint i = 0; i < 200; i++) {
		g_snprintf(name, sizeof(name), "container-%u", i);
		g_snprintf(other, sizeof(other), "container-%u", (i + 1) % 200);
		gauge_set(gauges_row(scene.gauges, add_container(&scene, 100 + i, name)), GAUGE_CPU_PERIODS_THROTTLED,
			  i % 3);
		for (guint j = 0; j < 50; j++) {
			guint32 node = calltree_child(scene.tree, CALLTREE_ROOT,
						      calltree_frame(scene.tree, FRAME_CONTAINER, name, -1, NULL));

			g_snprintf(function, sizeof(function), "function-%u", j);
			node = calltree_child(scene.tree, node,
					      calltree_frame(scene.tree, FRAME_CAUSE,
							     j % 2 ? "blocked: network" : "running: user", -1, NULL));
			node = calltree_child(scene.tree, node,
					      calltree_frame(scene.tree, FRAME_KERNEL, function, -1, NULL));
			calltree_add(scene.tree, node, S(0.01));
		}
		add_wait(scene.cpu, name, EDGE_END_CONTAINER, other, 0.3);
		edge_count(add_connection(&scene, name, EDGE_END_CONTAINER, other), 4, 100);
	}
	began_us = g_get_monotonic_time();
	diagnosis = scene_diagnose(&scene);
	g_test_minimized_result((double)(g_get_monotonic_time() - began_us) / 1e3, "engine, 200 containers: %.2f ms",
				(double)(g_get_monotonic_time() - began_us) / 1e3);
	diagnosis_free(diagnosis);
	snapshot_free(scene.snapshot);
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "C.UTF-8");
	setlocale(LC_NUMERIC, "C");
	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/diagnose/rule/%u %s", i, cases[i].rule);

		g_test_add_data_func(path, &cases[i], test_rule);
	}
	g_test_add_func("/diagnose/every-rule-has-a-scene", test_every_rule_has_a_scene);
	g_test_add_func("/diagnose/every-rule-is-explained", test_every_rule_is_explained);
	g_test_add_func("/diagnose/little-is-not-missed", test_little_is_not_missed);
	g_test_add_func("/diagnose/tables-are-whole", test_tables_are_whole);
	g_test_add_func("/diagnose/calm", test_calm);
	g_test_add_func("/diagnose/files-only", test_files_only);
	g_test_add_func("/diagnose/chain", test_chain);
	g_test_add_func("/diagnose/engine", test_settings);
	g_test_add_func("/diagnose/quota-comes-first", test_quota_comes_first);
	g_test_add_func("/diagnose/quota-beside-a-neighbour", test_quota_beside_a_neighbour);
	g_test_add_func("/diagnose/memory-beside-a-neighbour", test_memory_beside_a_neighbour);
	g_test_add_func("/diagnose/newcomer", test_newcomer);
	g_test_add_func("/diagnose/little-demand-fills-nothing", test_little_demand_fills_nothing);
	g_test_add_func("/diagnose/collector-beside-a-neighbour", test_collector_beside_a_neighbour);
	g_test_add_func("/diagnose/one-thread-and-nothing-waits", test_one_thread_and_nothing_waits);
	g_test_add_func("/diagnose/one-thread-in-every-part", test_one_thread_in_every_part);
	g_test_add_func("/diagnose/interpreter-waits", test_interpreter_waits);
	g_test_add_func("/diagnose/steal-beside-a-disk", test_steal_beside_a_disk);
	g_test_add_func("/diagnose/full-at-one-look", test_full_at_one_look);
	g_test_add_func("/diagnose/much-of-little-is-little", test_much_of_little_is_little);
	g_test_add_func("/diagnose/equal-names", test_equal_names);
	g_test_add_func("/diagnose/unknown-is-not-zero", test_unknown_is_not_zero);
	g_test_add_func("/diagnose/confidence", test_confidence);
	g_test_add_func("/diagnose/refuted", test_refuted);
	g_test_add_func("/diagnose/config", test_config);
	g_test_add_func("/diagnose/hostile-names", test_hostile_names);
	if (g_test_perf())
		g_test_add_func("/diagnose/speed", test_speed);
	return g_test_run();
}
