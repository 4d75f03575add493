/* SPDX-License-Identifier: Apache-2.0 */
/* Facts from shapes. Gauges come with the container's key; the other shapes know names only, so where two containers have one
 * name, what those shapes say is left out for both. */
#include <string.h>

#include "base/units.h"
#include "diagnose/fact.h"

#define RETRANSMITS_LEAST 10 /* fewer segments sent again say nothing about a path */
#define TEXT_HOST "the host"
/* What is missing is weighed against at least so much: the least that decides a rule, one in two hundred of the time and
 * three failures, is then a twentieth, which is where a look is called inconclusive. */
#define COVERAGE_TIME_PART 10
#define COVERAGE_EVENTS_LEAST 60
#define QUOTA_PERIOD_S 0.1
#define NARROW_SHARE 0.5 /* of a CPU: who uses less is not looked at closely (observe/narrow.h) */
#define TURN_WAIT_NS_MAX (20 * NS_PER_MS) /* who wants an interpreter's lock asks for it again after 5 ms or 10 */
#define GROWTH_POINTS_LEAST 3
#define GROWTH_FIT_LEAST 0.9 /* R² of the line through them */
#define GROWTH_BYTES_LEAST (1 << 20) /* less is no growth to speak of */

/* Thread time by state, nanoseconds; part of a gathering. */
enum thread_time {
	TIME_RUNNING,
	TIME_WAITING, /* woken, preempted */
	TIME_THROTTLED,
	TIME_DISK,
	TIME_FAULT,
	TIME_MEMORY,
	TIME_NETWORK,
	TIME_FILE_LOCK,
	TIME_KERNEL_LOCK,
	TIME_PAGING, /* running, to read pages into memory or to make room for them */
	TIME_OTHER, /* idle, asleep, locks: of those only what `contended` says counts */
	TIMES,
};

static const struct {
	const char *cause; /* how a cause frame's name begins */
	enum thread_time time;
} causes[] = {
	{ "running", TIME_RUNNING },	       { "waiting for CPU: throttled", TIME_THROTTLED },
	{ "waiting for CPU", TIME_WAITING },   { "blocked: disk", TIME_DISK },
	{ "blocked: page fault", TIME_FAULT }, { "blocked: memory", TIME_MEMORY },
	{ "blocked: network", TIME_NETWORK },  { "", TIME_OTHER },
};

/* Functions of the kernel that tell more than the cause they are found under. */
static const struct {
	const char *function; /* how its name begins */
	enum thread_time of, to; /* TIME_DISK stays that, and is for what was written to be safe */
} functions[] = {
	{ "jbd2_", TIME_DISK, TIME_DISK },
	{ "wait_transaction_locked", TIME_DISK, TIME_DISK },
	{ "do_get_write_access", TIME_DISK, TIME_DISK },
	{ "do_fsync", TIME_DISK, TIME_DISK },
	{ "vfs_fsync", TIME_DISK, TIME_DISK },
	{ "ksys_sync", TIME_DISK, TIME_DISK },
	{ "__x64_sys_fsync", TIME_DISK, TIME_DISK },
	{ "__x64_sys_fdatasync", TIME_DISK, TIME_DISK },
	{ "flock_lock_inode_wait", TIME_OTHER, TIME_FILE_LOCK },
	{ "locks_lock_inode_wait", TIME_OTHER, TIME_FILE_LOCK },
	{ "posix_lock_inode_wait", TIME_OTHER, TIME_FILE_LOCK },
	{ "fcntl_setlk", TIME_OTHER, TIME_FILE_LOCK },
	{ "do_lock_file_wait", TIME_OTHER, TIME_FILE_LOCK },
	{ "__do_sys_flock", TIME_OTHER, TIME_FILE_LOCK },
	{ "__x64_sys_flock", TIME_OTHER, TIME_FILE_LOCK },
	{ "__mutex_lock", TIME_OTHER, TIME_KERNEL_LOCK },
	{ "__ww_mutex_lock", TIME_OTHER, TIME_KERNEL_LOCK },
	{ "rwsem_down_", TIME_OTHER, TIME_KERNEL_LOCK },
	{ "percpu_rwsem_wait", TIME_OTHER, TIME_KERNEL_LOCK },
	{ "rt_mutex_slowlock", TIME_OTHER, TIME_KERNEL_LOCK },
	{ "page_cache_ra_", TIME_RUNNING, TIME_PAGING },
	{ "page_cache_sync_ra", TIME_RUNNING, TIME_PAGING },
	{ "page_cache_async_ra", TIME_RUNNING, TIME_PAGING },
	{ "ondemand_readahead", TIME_RUNNING, TIME_PAGING },
	{ "filemap_create_folio", TIME_RUNNING, TIME_PAGING },
	{ "do_swap_page", TIME_RUNNING, TIME_PAGING },
	{ "try_to_free_mem_cgroup_pages", TIME_RUNNING, TIME_PAGING },
	{ "try_to_free_pages", TIME_RUNNING, TIME_PAGING },
	{ "mem_cgroup_handle_over_high", TIME_RUNNING, TIME_PAGING },
	{ "__mem_cgroup_handle_over_high", TIME_RUNNING, TIME_PAGING },
};
/* On the way from who wants a lock to the function that waits for it. */
static const char *const lock_functions[] = { "down_",	      "__down_",      "mutex_lock",
					      "__mutex_lock", "percpu_down_", "inode_lock" };

/* One of those a container waited for. */
struct waited {
	const char *name;
	gboolean is_host;
	double wait;
};

/* Whom a container waited for at one resource. */
struct waits {
	double own, others;
	double quota; /* for a limit of its own */
	double most; /* of one other */
	const char *culprit;
	gboolean culprit_is_host;
	GArray *all; /* of struct waited; NULL: no others */
};

struct sums {
	gboolean has_times;
	double times[TIMES];
	gboolean has_contended;
	double contended, turns; /* waits for locks; short waits that timed out */
	gboolean has_cpu, has_block, has_memory; /* waits are known: of whom there is no edge waited for nobody */
	struct waits cpu, block, memory;
	double sync, lock_most; /* of the waits for disks; of kernel locks, the most in one function */
	const char *lock_in;
	gboolean has_edges;
	double refused, timed_out, ports, worst; /* failures; the most of one edge */
	struct histogram_counts request, rtt; /* of the server waited for longest */
	gboolean has_disk;
	double disk_ns, disk_requests;
	struct histogram_counts disk; /* in the device */
	double dns_questions, dns_unanswered, dns_failed, dns_unknown, dns_most;
	const char *resolver; /* that answered worst */
	struct histogram_counts dns; /* answers */
};

struct gathering {
	struct facts *facts;
	const struct snapshot *snapshot;
	const struct gauges *gauges; /* NULL: none */
	const struct gauge_row *host; /* NULL: not known */
	const GPtrArray *parts; /* of struct snapshot *; NULL: none */
	double host_used_ns; /* CPU time in no container; 0: not known */
	double seconds;
	GHashTable *sums; /* subject → struct sums */
	gboolean has_dns, has_walltime, has_futex, has_connections, has_disk, has_cpu, has_block, has_memory, has_oom;
};

static void set(struct subject *subject, enum fact fact, double value)
{
	subject->values[fact] = value;
	subject->known[fact] = TRUE;
}

static void set_share(struct subject *subject, enum fact fact, double part, double whole)
{
	if (whole > 0)
		set(subject, fact, CLAMP(part / whole, 0, 1));
}

static void set_text(struct facts *facts, struct subject *subject, enum fact_text text, const char *value)
{
	subject->texts[text] = value ? g_string_chunk_insert_const(facts->strings, value) : NULL;
}

static gboolean gauge(const struct gauge_row *row, enum gauge which, double *value)
{
	guint64 number = 0;
	gboolean known = row && gauge_get(row, which, &number);

	*value = (double)number;
	return known;
}

/* ---- who there is ---- */

static struct subject *subject_new(struct facts *facts, guint64 key, const char *name)
{
	struct subject *subject = g_new0(struct subject, 1);
	struct subject *other = g_hash_table_lookup(facts->by_name, name);

	subject->key = key;
	subject->name = g_string_chunk_insert_const(facts->strings, name);
	g_ptr_array_add(facts->subjects, subject);
	if (other)
		other->ambiguous = subject->ambiguous = TRUE;
	else
		g_hash_table_insert(facts->by_name, (gpointer)subject->name, subject);
	return subject;
}

/* Whom a name in a shape means; NULL where that cannot be told. Who was in no reading of the gauges, because it lived
 * too short, is made: `make`. */
static struct subject *subject_named(struct gathering *gathering, const char *name, gboolean make)
{
	struct subject *subject = name ? g_hash_table_lookup(gathering->facts->by_name, name) : NULL;

	if (!subject && name && make)
		subject = subject_new(gathering->facts, 0, name);
	return subject && !subject->ambiguous ? subject : NULL;
}

static void sums_free(gpointer data)
{
	struct sums *sums = data;

	g_clear_pointer(&sums->cpu.all, g_array_unref);
	g_clear_pointer(&sums->block.all, g_array_unref);
	g_clear_pointer(&sums->memory.all, g_array_unref);
	g_free(sums);
}

static struct sums *sums_of(struct gathering *gathering, struct subject *subject)
{
	struct sums *sums = g_hash_table_lookup(gathering->sums, subject);

	if (!sums) {
		sums = g_new0(struct sums, 1);
		g_hash_table_insert(gathering->sums, subject, sums);
	}
	return sums;
}

/* ---- shapes ---- */

static enum thread_time time_of(const char *cause)
{
	guint i = 0;

	while (!g_str_has_prefix(cause, causes[i].cause))
		i++;
	return causes[i].time;
}

static gboolean is_lock_function(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(lock_functions); i++)
		if (g_str_has_prefix(name, lock_functions[i]))
			return TRUE;
	return FALSE;
}

/* What a node of the tree of walltime inherits. */
struct tree_node {
	struct subject *owner;
	guint32 caller; /* frame of the last function that is not of locking itself */
	guint8 time;
	gboolean is_sync;
};

static void tree_function(struct tree_node *node, guint32 frame, const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(functions); i++) {
		if (functions[i].of != node->time || !g_str_has_prefix(name, functions[i].function))
			continue;
		node->is_sync |= functions[i].to == TIME_DISK;
		node->time = (guint8)functions[i].to;
		return;
	}
	if (node->time != TIME_KERNEL_LOCK && !is_lock_function(name))
		node->caller = frame;
}

static void tree_count(struct gathering *gathering, const struct calltree *tree, const struct tree_node *node,
		       double time)
{
	struct sums *sums = sums_of(gathering, node->owner);

	sums->times[node->time] += time;
	if (node->is_sync)
		sums->sync += time;
	if (node->time == TIME_KERNEL_LOCK && node->caller && time > sums->lock_most) {
		sums->lock_most = time;
		sums->lock_in = tree->frames[node->caller].name;
	}
}

/* The tree of walltime: container, cause, functions. A node's parent has a smaller number, so one pass is enough. */
static void gather_walltime(struct gathering *gathering, const struct calltree *tree)
{
	g_autofree struct tree_node *nodes = g_new0(struct tree_node, tree->node_count);

	for (guint32 i = 1; i < tree->node_count; i++) {
		const struct calltree_frame *frame = &tree->frames[tree->frame[i]];
		guint32 parent = tree->parent[i];
		struct tree_node *node = &nodes[i];

		*node = nodes[parent];
		if (!parent) {
			node->owner = subject_named(gathering, frame->name, FALSE);
			node->time = TIME_OTHER;
		}
		if (frame->kind == FRAME_CAUSE)
			node->time = (guint8)time_of(frame->name);
		else if (frame->kind == FRAME_KERNEL && frame->name)
			tree_function(node, tree->frame[i], frame->name);
		if (node->owner && tree->self[i])
			tree_count(gathering, tree, node, (double)tree->self[i]);
	}
}

/* At least how much of it was waited a little at a time. */
static double short_waits(const struct histogram_counts *counts)
{
	double sum = 0;

	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (histogram_bucket_low(UNIT_NANOSECONDS, i) < TURN_WAIT_NS_MAX)
			sum += (double)counts->buckets[i] * (double)histogram_bucket_low(UNIT_NANOSECONDS, i);
	return sum;
}

static void gather_futex(struct gathering *gathering, const struct histogram *histogram)
{
	int label = histogram_label(histogram, "wait"), end = histogram_label(histogram, "end");

	for (guint32 i = 0; label >= 0 && i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *const *values = histogram_values(histogram, i);
		struct subject *subject = subject_named(gathering, values[0], FALSE);

		if (subject && g_strcmp0(values[label], "likely a lock") == 0)
			sums_of(gathering, subject)->contended += (double)row->counts.sum;
		else if (subject && end >= 0 && g_strcmp0(values[end], "timed out") == 0)
			sums_of(gathering, subject)->turns += short_waits(&row->counts);
	}
}

static void gather_block(struct gathering *gathering, const struct histogram *histogram)
{
	int label = histogram_label(histogram, "time"), device = histogram_label(histogram, "device");

	for (guint32 i = 0; label >= 0 && i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *const *values = histogram_values(histogram, i);
		struct subject *subject = subject_named(gathering, values[0], FALSE);
		struct sums *sums;

		if (!subject || g_strcmp0(values[label], "device") != 0)
			continue;
		sums = sums_of(gathering, subject);
		histogram_counts_add(&sums->disk, &row->counts);
		sums->disk_ns += (double)row->counts.sum;
		sums->disk_requests += (double)row->counts.count;
		if (device >= 0 && values[device])
			set_text(gathering->facts, subject, TEXT_DEVICE, values[device]);
	}
}

static void gather_dns(struct gathering *gathering, const struct histogram *histogram)
{
	int outcome = histogram_label(histogram, "outcome"), resolver = histogram_label(histogram, "resolver");

	for (guint32 i = 0; outcome >= 0 && resolver >= 0 && i < histogram->rows->len; i++) {
		const struct histogram_row *row = g_ptr_array_index(histogram->rows, i);
		const char *const *values = histogram_values(histogram, i);
		struct subject *subject = subject_named(gathering, values[0], FALSE);
		const char *how = values[outcome] ? values[outcome] : "";
		double count = (double)row->counts.count;
		gboolean is_unanswered = strcmp(how, "unanswered") == 0;
		struct sums *sums;

		if (!subject || strcmp(how, "surplus") == 0)
			continue;
		sums = sums_of(gathering, subject);
		sums->dns_questions += count;
		if (is_unanswered)
			sums->dns_unanswered += count;
		else
			histogram_counts_add(&sums->dns, &row->counts);
		if (strcmp(how, "servfail") == 0 || strcmp(how, "refused") == 0)
			sums->dns_failed += count;
		if (strcmp(how, "nxdomain") == 0)
			sums->dns_unknown += count;
		if ((double)row->counts.sum >= sums->dns_most) {
			sums->dns_most = (double)row->counts.sum;
			sums->resolver = values[resolver];
		}
	}
}

static void waits_add(struct waits *waits, struct subject *subject, struct edge_end target, double wait)
{
	gboolean is_own = target.kind == EDGE_END_CONTAINER && strcmp(target.name, subject->name) == 0;
	struct waited waited = { target.name, target.kind == EDGE_END_HOST, wait };

	if (target.kind == EDGE_END_QUOTA) {
		waits->quota += wait;
	} else if (is_own) {
		waits->own += wait;
	} else if (target.kind == EDGE_END_CONTAINER || target.kind == EDGE_END_HOST) {
		waits->others += wait;
		if (!waits->all)
			waits->all = g_array_new(FALSE, FALSE, sizeof(struct waited));
		g_array_append_val(waits->all, waited);
		if (wait > waits->most) {
			waits->most = wait;
			waits->culprit = waited.name;
			waits->culprit_is_host = waited.is_host;
		}
	}
}

static void gather_blame(struct gathering *gathering, const struct edges *edges, gsize offset)
{
	int wait = edges_counter(edges, "wait");

	for (guint32 i = 0; wait >= 0 && i < edges->rows->len; i++) {
		const struct edge *edge = g_ptr_array_index(edges->rows, i);
		struct edge_end source = edges_source(edges, i);
		struct subject *subject =
			source.kind == EDGE_END_CONTAINER ? subject_named(gathering, source.name, FALSE) : NULL;

		if (subject)
			waits_add((struct waits *)((char *)sums_of(gathering, subject) + offset), subject,
				  edges_target(edges, i), (double)edge->counters[wait]);
	}
}

/* ---- connections ---- */

static double counted(const struct edges *edges, const struct edge *edge, const char *name)
{
	int counter = edges_counter(edges, name);

	return counter < 0 ? 0 : (double)edge->counters[counter];
}

static const struct histogram_counts *timed(const struct edges *edges, const struct edge *edge, const char *name)
{
	for (guint i = 0; i < edges->histogram_count; i++)
		if (strcmp(edges->histograms[i].name, name) == 0)
			return edge->histograms[i];
	return NULL;
}

/* Whose answers it waits for longest. */
static void gather_requests(struct gathering *gathering, const struct edges *edges, guint32 row,
			    struct subject *subject)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	const struct histogram_counts *request = timed(edges, edge, "request"), *rtt = timed(edges, edge, "rtt");
	struct edge_end target = edges_target(edges, row);
	const char *port = edges_labels(edges, row)[0];
	struct sums *sums = sums_of(gathering, subject);
	g_autofree char *server = NULL;

	if (!request || request->sum <= sums->request.sum ||
	    (target.kind == EDGE_END_CONTAINER && strcmp(target.name, subject->name) == 0))
		return; /* of itself it would say nothing */
	sums->request = *request;
	sums->rtt = rtt ? *rtt : (struct histogram_counts){ 0 };
	server = port ? g_strdup_printf("%s port %s", target.name, port) : g_strdup(target.name);
	set_text(gathering->facts, subject, TEXT_SERVER, server);
	subject->text_is_host[TEXT_SERVER] = target.kind == EDGE_END_HOST;
	subject->text_is_outside[TEXT_SERVER] = edge_end_is_outside(target.kind);
}

static void gather_edge(struct gathering *gathering, const struct edges *edges, guint32 row)
{
	const struct edge *edge = g_ptr_array_index(edges->rows, row);
	struct edge_end source = edges_source(edges, row), target = edges_target(edges, row);
	const char *port = edges_labels(edges, row)[0];
	struct subject *subject = subject_named(gathering, source.name, FALSE);
	double refused = counted(edges, edge, "failed_refused");
	double timed_out = counted(edges, edge, "failed_timeout") + counted(edges, edge, "failed_overflow");
	double ports = counted(edges, edge, "failed_local");
	double worst = refused + timed_out + ports +
		       0.01 * (counted(edges, edge, "retransmits_rto") + counted(edges, edge, "retransmits_fast") +
			       counted(edges, edge, "retransmits_syn"));
	g_autofree char *peer = NULL;
	struct sums *sums;

	if (source.kind != EDGE_END_CONTAINER || !subject)
		return;
	/* An attempt that goes on has not failed yet: its second SYN says as much. */
	if (timed_out == 0 && refused == 0 && counted(edges, edge, "opens") == 0)
		timed_out = counted(edges, edge, "retransmits_syn") / 2;
	gather_requests(gathering, edges, row, subject);
	sums = sums_of(gathering, subject);
	sums->refused += refused;
	sums->ports += ports;
	sums->timed_out += timed_out;
	if (worst <= sums->worst)
		return;
	sums->worst = worst;
	peer = port ? g_strdup_printf("%s port %s", target.name, port) : g_strdup(target.name);
	set_text(gathering->facts, subject, TEXT_PEER, peer);
	subject->text_is_host[TEXT_PEER] = target.kind == EDGE_END_HOST;
	subject->text_is_outside[TEXT_PEER] = edge_end_is_outside(target.kind);
}

static void gather_oom(struct gathering *gathering, const struct events *events)
{
	for (const GList *link = events->rows.head; link; link = link->next) {
		const struct event *event = link->data;
		const struct event_field *scope = event_find(event, "scope");
		struct subject *subject = subject_named(gathering, event->container, TRUE);
		enum fact fact = scope && g_strcmp0(scope->text, "host") == 0 ? FACT_OOM_HOST : FACT_OOM_LIMIT;
		const struct event_field *limit = event_find(event, "limit");
		const struct event_field *culprit = event_find(event, "culprit");

		if (!subject)
			continue;
		set(subject, fact, (subject->known[fact] ? subject->values[fact] : 0) + 1);
		set_text(gathering->facts, subject, TEXT_OOM_VICTIM, event->process);
		if (limit && limit->number && !subject->known[FACT_MEMORY_LIMIT])
			set(subject, FACT_MEMORY_LIMIT, (double)limit->number);
		if (scope && g_strcmp0(scope->text, "ancestor") == 0 && culprit)
			set_text(gathering->facts, subject, TEXT_MEMORY_LIMIT_OF, culprit->text);
	}
}

static void gather_edges(struct gathering *gathering, const struct shape *shape)
{
	const struct edges *edges = shape->edges;

	if (strcmp(shape->probe, "blame cpu") == 0) {
		gathering->has_cpu = TRUE;
		if (edges)
			gather_blame(gathering, edges, G_STRUCT_OFFSET(struct sums, cpu));
	} else if (strcmp(shape->probe, "blame block") == 0) {
		gathering->has_block = TRUE;
		if (edges)
			gather_blame(gathering, edges, G_STRUCT_OFFSET(struct sums, block));
	} else if (strcmp(shape->probe, "blame memory") == 0) {
		gathering->has_memory = TRUE;
		if (edges)
			gather_blame(gathering, edges, G_STRUCT_OFFSET(struct sums, memory));
	} else if (strcmp(shape->probe, "connections") == 0) {
		gathering->has_connections = TRUE;
		for (guint32 i = 0; edges && i < edges->rows->len; i++)
			gather_edge(gathering, edges, i);
	}
}

static void gather_shape(struct gathering *gathering, const struct shape *shape)
{
	switch (shape->kind) {
	case SHAPE_CALLTREE:
		if (strcmp(shape->probe, "walltime") != 0)
			return;
		gathering->has_walltime = TRUE;
		gather_walltime(gathering, shape->calltree);
		break;
	case SHAPE_HISTOGRAM:
		if (strcmp(shape->probe, "futex") == 0) {
			gathering->has_futex = TRUE;
			if (shape->histogram)
				gather_futex(gathering, shape->histogram);
		} else if (strcmp(shape->probe, "block") == 0) {
			gathering->has_disk = TRUE;
			if (shape->histogram)
				gather_block(gathering, shape->histogram);
		} else if (strcmp(shape->probe, "dns") == 0) {
			gathering->has_dns = TRUE;
			if (shape->histogram)
				gather_dns(gathering, shape->histogram);
		}
		break;
	case SHAPE_EDGES:
		gather_edges(gathering, shape);
		break;
	case SHAPE_EVENTS:
		if (strcmp(shape->probe, "trace oom") == 0) {
			gathering->has_oom = TRUE;
			gather_oom(gathering, shape->events);
		}
		break;
	case SHAPE_GAUGES:
	case SHAPE_NONE:
		break;
	}
}

/* ---- facts of one container ---- */

/* Times of its threads, seconds: from walltime, else from what files say. Not known: negative. */
struct threads {
	double running, waiting, throttled, disk, memory, contended, file_lock, kernel_lock;
	double active; /* all of these */
	double paging; /* of running: to read pages in or to make room */
};

static gboolean threads_of(const struct gathering *gathering, const struct sums *sums, const struct gauge_row *row,
			   struct threads *threads)
{
	double run_ns = 0, delay_ns = 0, some_ns = 0, throttled_ns = 0, disk_ns = 0, memory_ns = 0;

	*threads = (struct threads){ 0 };
	if (gathering->has_walltime && sums && sums->has_times) {
		threads->paging = sums->times[TIME_PAGING] / 1e9;
		threads->running = sums->times[TIME_RUNNING] / 1e9 + threads->paging;
		threads->waiting = sums->times[TIME_WAITING] / 1e9;
		threads->throttled = sums->times[TIME_THROTTLED] / 1e9;
		threads->disk = (sums->times[TIME_DISK] + sums->times[TIME_FAULT]) / 1e9;
		threads->memory = sums->times[TIME_MEMORY] / 1e9;
		threads->file_lock = sums->times[TIME_FILE_LOCK] / 1e9;
		threads->kernel_lock = sums->times[TIME_KERNEL_LOCK] / 1e9;
		threads->contended = MIN(sums->contended, sums->times[TIME_OTHER]) / 1e9;
	} else {
		if (!gauge(row, GAUGE_CPU, &run_ns) || !gauge(row, GAUGE_RUNQUEUE_WAIT, &delay_ns))
			return FALSE;
		/* At least one thread waited then, also of those that have ended since. */
		if (gauge(row, GAUGE_PRESSURE_CPU_SOME, &some_ns))
			delay_ns = MAX(delay_ns, some_ns);
		gauge(row, GAUGE_CPU_THROTTLED, &throttled_ns);
		if (!gauge(row, GAUGE_DISK_WAIT, &disk_ns))
			gauge(row, GAUGE_PRESSURE_IO_SOME, &disk_ns); /* at least one thread */
		threads->running = run_ns / 1e9;
		threads->throttled = MIN(throttled_ns, delay_ns) / 1e9;
		threads->waiting = delay_ns / 1e9 - threads->throttled;
		threads->disk = disk_ns / 1e9;
		/* Pressure counts who makes room also while it runs, but not who waits for a disk only because it reads. */
		if (gauge(row, GAUGE_PRESSURE_MEMORY_SOME, &memory_ns))
			threads->paging = CLAMP((memory_ns - disk_ns) / 1e9, 0, threads->running);
	}
	threads->active = threads->running + threads->waiting + threads->throttled + threads->disk + threads->memory +
			  threads->contended + threads->file_lock + threads->kernel_lock;
	return TRUE;
}

/* In the periods in which it was stopped it used its quota up and would have run while it stood still: that is what it
 * wants when it wants most, on the CPUs there are. A quota's period is 0.1 s unless there were more of them. */
static double cpu_wanted(const struct gathering *gathering, const struct gauge_row *row, double limit,
			 double throttled_periods, double throttled_s)
{
	double periods, cpus, period_s;

	gauge(row, GAUGE_CPU_PERIODS, &periods);
	if (!gauge(row, GAUGE_CPUSET, &cpus) && !gauge(gathering->host, GAUGE_CPUSET, &cpus))
		cpus = G_MAXDOUBLE;
	period_s = MIN(QUOTA_PERIOD_S, gathering->seconds / periods);
	return MIN(limit + throttled_s / (throttled_periods * period_s), cpus);
}

static void facts_quota(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
			const struct threads *threads)
{
	double used_ns, limit, periods, throttled_periods, throttled_ns;

	if (gauge(row, GAUGE_CPU, &used_ns))
		set(subject, FACT_CPU_USED, used_ns / 1e9 / gathering->seconds);
	if (gauge(row, GAUGE_CPU_LIMIT, &limit))
		set(subject, FACT_CPU_LIMIT, limit / 1e9);
	if (!gauge(row, GAUGE_CPU_PERIODS, &periods) || !gauge(row, GAUGE_CPU_PERIODS_THROTTLED, &throttled_periods) ||
	    !gauge(row, GAUGE_CPU_THROTTLED, &throttled_ns))
		return;
	if (periods == 0) { /* without a quota, or nothing ran */
		set(subject, FACT_THROTTLED_PERIODS, 0);
		set(subject, FACT_THROTTLED_SHARE, 0);
	}
	set_share(subject, FACT_THROTTLED_PERIODS, throttled_periods, periods);
	set_share(subject, FACT_THROTTLED_SHARE, throttled_ns, throttled_ns + used_ns);
	if (throttled_periods <= 0)
		return;
	set(subject, FACT_THROTTLE_STALL, throttled_ns / 1e9 / throttled_periods);
	if (subject->known[FACT_CPU_LIMIT])
		set(subject, FACT_CPU_WANTED,
		    cpu_wanted(gathering, row, limit / 1e9, throttled_periods,
			       threads && threads->throttled > 0 ? threads->throttled : throttled_ns / 1e9));
}

/* How idle the CPUs were that it may run on, and those it may not. */
struct idle {
	double cpus, wall_ns, idle_ns;
	double all, all_wall_ns, all_idle_ns, inside_idle_ns; /* in the time in which the machine's are known as well */
};

static gboolean idle_add(struct idle *idle, const struct gauge_row *row, const struct gauge_row *host, double wall_ns)
{
	double idle_ns, all_idle_ns;

	if (!gauge(row, GAUGE_CPUSET, &idle->cpus) || !gauge(row, GAUGE_CPUSET_IDLE, &idle_ns))
		return FALSE;
	idle->wall_ns += wall_ns;
	idle->idle_ns += idle_ns;
	if (!gauge(host, GAUGE_CPUSET, &idle->all) || !gauge(host, GAUGE_CPU_IDLE, &all_idle_ns))
		return TRUE;
	idle->all_wall_ns += wall_ns;
	idle->all_idle_ns += all_idle_ns;
	idle->inside_idle_ns += idle_ns;
	return TRUE;
}

static const struct gauge_row *row_in_part(const struct snapshot *part, enum gauge_resource resource, guint64 key)
{
	const struct shape *shape = snapshot_find(part, SHAPE_GAUGES);

	return shape ? gauges_find(shape->gauges, resource, key, 0) : NULL;
}

/* Of who was born within the time that is known only from the first reading on in which it was there. */
static gboolean idle_add_parts(struct idle *idle, const struct gathering *gathering, guint64 key)
{
	gboolean known = FALSE;

	for (guint i = 0; gathering->parts && i < gathering->parts->len; i++) {
		const struct snapshot *part = g_ptr_array_index(gathering->parts, i);

		known |= idle_add(idle, row_in_part(part, GAUGE_RESOURCE_CONTAINER, key),
				  row_in_part(part, GAUGE_RESOURCE_HOST, 0), (double)part->duration_ns);
	}
	return known;
}

static void facts_idle(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	double all, stolen_ns, wall_ns = gathering->seconds * 1e9;
	struct idle idle = { 0 };

	if (gauge(gathering->host, GAUGE_CPUSET, &all) && gauge(gathering->host, GAUGE_CPU_STOLEN, &stolen_ns)) {
		set_share(subject, FACT_STEAL, stolen_ns, all * wall_ns);
		set_share(subject, FACT_LOST_STEAL, stolen_ns, all * wall_ns);
	}
	if (!idle_add(&idle, row, gathering->host, wall_ns) && !idle_add_parts(&idle, gathering, subject->key))
		return;
	set(subject, FACT_CPUS, idle.cpus);
	set_share(subject, FACT_CPUS_IDLE, idle.idle_ns, idle.cpus * idle.wall_ns);
	if (idle.all_wall_ns <= 0)
		return;
	set(subject, FACT_CPUS_IDLE_OUTSIDE, 0);
	set_share(subject, FACT_CPUS_IDLE_OUTSIDE, idle.all_idle_ns - idle.inside_idle_ns,
		  (idle.all - idle.cpus) * idle.all_wall_ns);
}

/* CPU time that others had on the CPUs it may use. Without who had the CPU while it waited: the wait may be for others as far
 * as they had any. */
static gboolean others_by_files(const struct gathering *gathering, const struct subject *subject,
				const struct threads *threads, double *others_s)
{
	double cpus, idle;

	if (!fact_get(subject, FACT_CPUS, &cpus) || !fact_get(subject, FACT_CPUS_IDLE, &idle))
		return FALSE;
	*others_s = MAX(cpus * gathering->seconds * (1 - idle) - threads->running, 0);
	return TRUE;
}

/* Without who had the CPU: whoever used most of it is the likeliest. Where it may use some of the CPUs only, those on the
 * very same come first, if one used at least half of what others used there; of the rest nobody knows on which CPUs they
 * ran. */
static void culprit_by_files(struct gathering *gathering, struct subject *subject, const struct gauge_row *own,
			     double others_s)
{
	double most_ns = 0, most_here_ns = 0, used_ns, cpus, all;
	const struct gauge_row *busiest = NULL, *busiest_here = NULL;
	const char *here = own ? own->texts[GAUGE_TEXT_CPUSET] : NULL;

	if (gauge(own, GAUGE_CPUSET, &cpus) && gauge(gathering->host, GAUGE_CPUSET, &all) && cpus >= all)
		here = NULL;
	for (guint32 i = 0; i < gathering->gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gathering->gauges, i);

		if (row->resource != GAUGE_RESOURCE_CONTAINER || row->key == subject->key ||
		    !gauge(row, GAUGE_CPU, &used_ns))
			continue;
		if (used_ns > most_ns) {
			most_ns = used_ns;
			busiest = row;
		}
		if (here && g_strcmp0(row->texts[GAUGE_TEXT_CPUSET], here) == 0 && used_ns > most_here_ns) {
			most_here_ns = used_ns;
			busiest_here = row;
		}
	}
	if (busiest_here && most_here_ns / 1e9 >= others_s / 2) {
		busiest = busiest_here;
		most_ns = most_here_ns;
	} else if (gathering->host_used_ns > most_ns) {
		set_text(gathering->facts, subject, TEXT_CPU_CULPRIT, TEXT_HOST);
		subject->text_is_host[TEXT_CPU_CULPRIT] = TRUE;
		set(subject, FACT_CULPRIT_CPU, gathering->host_used_ns / 1e9 / gathering->seconds);
		return;
	}
	if (!busiest)
		return;
	set_text(gathering->facts, subject, TEXT_CPU_CULPRIT, busiest->name);
	set(subject, FACT_CULPRIT_CPU, most_ns / 1e9 / gathering->seconds);
}

static void set_culprit(struct gathering *gathering, struct subject *subject, enum fact_text text,
			const struct waits *waits)
{
	if (!waits->culprit)
		return;
	set_text(gathering->facts, subject, text, waits->culprit_is_host ? TEXT_HOST : waits->culprit);
	subject->text_is_host[text] = waits->culprit_is_host;
}

/* CPU time of somebody waited for; 0: not known. */
static double waited_used(const struct gathering *gathering, const struct waited *waited)
{
	const struct subject *other;
	const struct gauge_row *row;
	double used_ns = 0;

	if (!gathering->gauges)
		return 0;
	if (waited->is_host)
		return gathering->host_used_ns;
	other = g_hash_table_lookup(gathering->facts->by_name, waited->name);
	row = other && !other->ambiguous
		      ? gauges_find((struct gauges *)gathering->gauges, GAUGE_RESOURCE_CONTAINER, other->key, 0)
		      : NULL;
	return gauge(row, GAUGE_CPU, &used_ns) ? used_ns : 0;
}

/* Who, if it were not there, would spare it most of the wait: what was waited behind that one, and, the fuller the CPUs are
 * the more, of the wait behind others as much as that one has of the CPU time all of them have, since they would find room
 * where it was. So who fills the machine is named, not the one that happened to stand next in the queue. */
static void culprit_by_waits(struct gathering *gathering, struct subject *subject, const struct waits *waits)
{
	struct waits best = { .culprit = waits->culprit, .culprit_is_host = waits->culprit_is_host };
	double used_all = 0, best_used = 0, idle = 0;

	fact_get(subject, FACT_CPUS_IDLE, &idle);
	for (guint i = 0; waits->all && i < waits->all->len; i++) {
		const struct waited *waited = &g_array_index(waits->all, struct waited, i);
		double used = waited_used(gathering, waited);

		used_all += used;
		if (waited->name == waits->culprit)
			best_used = used;
	}
	/* Of whom nobody knows what it used, the wait alone tells. */
	for (guint i = 0; best_used > 0 && i < waits->all->len; i++) {
		const struct waited *waited = &g_array_index(waits->all, struct waited, i);
		double used = waited_used(gathering, waited);
		double spared = waited->wait + (waits->others - waited->wait) * (1 - idle) * used / used_all;

		if (spared <= best.most)
			continue;
		best.most = spared;
		best.culprit = waited->name;
		best.culprit_is_host = waited->is_host;
		set(subject, FACT_CULPRIT_CPU, used / 1e9 / gathering->seconds);
	}
	set_culprit(gathering, subject, TEXT_CPU_CULPRIT, &best);
}

/* The part of its waits for CPUs that is not lost to who had them: in a period in which it used up its quota it would have
 * done so earlier without them, and have stood still for longer. */
static double quota_part(const struct subject *subject)
{
	double part;

	return fact_get(subject, FACT_THROTTLED_PERIODS, &part) ? part : 0;
}

static void facts_contention(struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
			     const struct sums *sums, const struct threads *threads)
{
	double both = threads->running + threads->waiting, others_s = 0, cpus, quota = quota_part(subject);
	gboolean known = TRUE;

	set(subject, FACT_CPU_DEMAND, (both + threads->throttled) / gathering->seconds);
	if (fact_get(subject, FACT_CPUS, &cpus) && cpus > 0)
		set(subject, FACT_DEMAND_PART, subject->values[FACT_CPU_DEMAND] / cpus);
	set_share(subject, FACT_CONTENTION, threads->waiting, both);
	if (gathering->has_cpu && sums && sums->cpu.own + sums->cpu.others > 0) {
		others_s = threads->waiting * sums->cpu.others / (sums->cpu.own + sums->cpu.others);
		culprit_by_waits(gathering, subject, &sums->cpu);
	} else if (gathering->gauges && !gathering->has_cpu) {
		known = others_by_files(gathering, subject, threads, &others_s);
		culprit_by_files(gathering, subject, row, others_s);
		others_s = MIN(others_s, threads->waiting);
	} else {
		known = FALSE;
	}
	if (!known)
		return;
	set_share(subject, FACT_WAIT_OTHERS, others_s, both);
	set_share(subject, FACT_WAIT_OWN, threads->waiting - others_s, both);
	set_share(subject, FACT_OTHERS_PART, others_s, threads->waiting);
	set_share(subject, FACT_LOST_OTHERS, others_s * (1 - quota), threads->active);
	set_share(subject, FACT_LOST_OWN, (threads->waiting - others_s) * (1 - quota), threads->active);
}

/* At the fullest of the looks: who makes room has a little of it just then. */
static double memory_at_most(const struct gathering *gathering, const struct subject *subject, double used)
{
	double then;

	for (guint i = 0; gathering->parts && i < gathering->parts->len; i++)
		if (gauge(row_in_part(g_ptr_array_index(gathering->parts, i), GAUGE_RESOURCE_CONTAINER, subject->key),
			  GAUGE_MEMORY, &then))
			used = MAX(used, then);
	return used;
}

static void facts_memory(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	double used, limit, anon, file, value, wall_ns = gathering->seconds * 1e9;

	if (gauge(row, GAUGE_MEMORY, &used)) {
		set(subject, FACT_MEMORY_USED, used);
		set(subject, FACT_MEMORY_FILL, 0); /* if there is no limit */
	}
	if (gauge(row, GAUGE_MEMORY_LIMIT, &limit)) {
		set(subject, FACT_MEMORY_LIMIT, limit);
		if (subject->known[FACT_MEMORY_USED])
			set_share(subject, FACT_MEMORY_FILL, memory_at_most(gathering, subject, used), limit);
	}
	if (gauge(row, GAUGE_MEMORY_HIGH, &value))
		set(subject, FACT_MEMORY_HIGH, value);
	if (gauge(row, GAUGE_PRESSURE_MEMORY_SOME, &value))
		set_share(subject, FACT_MEMORY_PRESSURE, value, wall_ns);
	if (gauge(row, GAUGE_REFAULTS_FILE, &file))
		set(subject, FACT_REFAULTS,
		    (file + (gauge(row, GAUGE_REFAULTS_ANON, &anon) ? anon : 0)) / gathering->seconds);
	if (gauge(row, GAUGE_REFAULTS_ANON, &anon)) {
		set(subject, FACT_SWAPPED_IN, anon / gathering->seconds);
		set(subject, FACT_SWAPPED_PART, 0);
		if (gauge(row, GAUGE_REFAULTS_FILE, &file))
			set_share(subject, FACT_SWAPPED_PART, anon, anon + file);
	}
	if (gauge(row, GAUGE_MEMORY_EVENTS_HIGH, &value))
		set(subject, FACT_HIGH_EVENTS, value / gathering->seconds);
	/* What the tracepoint tells, it tells exactly; the file does not say at whose limit. */
	if (gauge(row, GAUGE_OOM_KILLS, &value) && !gathering->has_oom)
		set(subject, FACT_OOM_LIMIT, value);
	if (gauge(gathering->host, GAUGE_MEMORY, &used) && gauge(gathering->host, GAUGE_MEMORY_LIMIT, &limit))
		set_share(subject, FACT_MACHINE_MEMORY_FREE, limit - used, limit);
}

static void facts_dns(struct gathering *gathering, struct subject *subject, const struct sums *sums)
{
	int bucket;

	set(subject, FACT_DNS_QUESTIONS, sums ? sums->dns_questions : 0);
	set(subject, FACT_DNS_UNANSWERED, sums ? sums->dns_unanswered : 0);
	set(subject, FACT_DNS_FAILED, sums ? sums->dns_failed : 0);
	set(subject, FACT_DNS_UNKNOWN_NAMES, 0);
	set(subject, FACT_DNS_LATENCY, 0);
	if (!sums)
		return;
	set_share(subject, FACT_DNS_UNKNOWN_NAMES, sums->dns_unknown, sums->dns_questions);
	set_text(gathering->facts, subject, TEXT_RESOLVER, sums->resolver);
	if (sums->dns.count == 0)
		return;
	bucket = histogram_quantile(&sums->dns, 0.99);
	set(subject, FACT_DNS_LATENCY, (double)histogram_bucket_low(UNIT_NANOSECONDS, (guint)bucket) / 1e9);
}

static void facts_requests(const struct gathering *gathering, struct subject *subject, const struct sums *sums)
{
	double mean_ns;

	set(subject, FACT_REQUESTS, sums ? (double)sums->request.count : 0);
	set(subject, FACT_REQUEST_TIME, 0);
	set(subject, FACT_REQUEST_WAIT, 0);
	if (!sums || sums->request.count == 0)
		return;
	mean_ns = (double)sums->request.sum / (double)sums->request.count;
	set(subject, FACT_REQUEST_TIME, mean_ns / 1e9);
	set(subject, FACT_REQUEST_WAIT, (double)sums->request.sum / 1e9 / gathering->seconds);
	if (sums->rtt.count)
		set_share(subject, FACT_REQUEST_PATH_PART, (double)sums->rtt.sum / (double)sums->rtt.count, mean_ns);
}

static void facts_waits(struct gathering *gathering, struct subject *subject, const struct sums *sums)
{
	double wall_ns = gathering->seconds * 1e9;

	if (gathering->has_memory) {
		set_share(subject, FACT_RECLAIM_OWN, sums ? sums->memory.quota : 0, wall_ns);
		set_share(subject, FACT_RECLAIM_MACHINE, sums ? sums->memory.own + sums->memory.others : 0, wall_ns);
		if (sums)
			set_culprit(gathering, subject, TEXT_MEMORY_CULPRIT, &sums->memory);
	}
	if (gathering->has_oom) {
		if (!subject->known[FACT_OOM_LIMIT])
			set(subject, FACT_OOM_LIMIT, 0);
		if (!subject->known[FACT_OOM_HOST])
			set(subject, FACT_OOM_HOST, 0);
	}
	if (gathering->has_connections) {
		set(subject, FACT_REFUSED, sums ? sums->refused : 0);
		set(subject, FACT_CONNECT_TIMEOUTS, sums ? sums->timed_out : 0);
		set(subject, FACT_PORTS_REFUSED, sums ? sums->ports : 0);
		facts_requests(gathering, subject, sums);
	}
	if (gathering->has_dns)
		facts_dns(gathering, subject, sums);
}

/* The worst of its four limits: what it does of what it may. */
static void facts_io_limit(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	static const enum gauge pairs[][2] = {
		{ GAUGE_IO_READ_BYTES, GAUGE_IO_READ_LIMIT },
		{ GAUGE_IO_WRITE_BYTES, GAUGE_IO_WRITE_LIMIT },
		{ GAUGE_IO_READS, GAUGE_IO_READS_LIMIT },
		{ GAUGE_IO_WRITES, GAUGE_IO_WRITES_LIMIT },
	};
	double done, limit, most = 0;

	for (guint i = 0; i < G_N_ELEMENTS(pairs); i++)
		if (gauge(row, pairs[i][1], &limit) && gauge(row, pairs[i][0], &done) && limit > 0)
			most = MAX(most, done / gathering->seconds / limit);
	if (row)
		set(subject, FACT_IO_LIMIT_USED, most);
}

static void facts_disk(struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
		       const struct sums *sums)
{
	double value;
	int bucket;

	if (gauge(row, GAUGE_PRESSURE_IO_SOME, &value))
		set_share(subject, FACT_IO_PRESSURE, value, gathering->seconds * 1e9);
	facts_io_limit(gathering, subject, row);
	if (gathering->has_disk && sums && sums->disk_requests > 0) {
		bucket = histogram_quantile(&sums->disk, 0.5);
		set(subject, FACT_DISK_LATENCY, (double)histogram_bucket_low(UNIT_NANOSECONDS, (guint)bucket) / 1e9);
		set(subject, FACT_DISK_QUEUE, sums->disk_ns / 1e9 / gathering->seconds);
	}
	if (gathering->has_block && sums && sums->block.own + sums->block.others > 0) {
		set_share(subject, FACT_DISK_OTHERS_PART, sums->block.others, sums->block.own + sums->block.others);
		set_culprit(gathering, subject, TEXT_DISK_CULPRIT, &sums->block);
	}
}

/* What more memory would give back, of who reads again what it has just dropped (a rule that weighs with this has made sure
 * of that): waits for memory and disks, CPU time to make room and to read, and of the waits for CPUs what fell to that. */
static double memory_price(const struct threads *threads)
{
	double waiting = threads->running > 0 ? threads->waiting * threads->paging / threads->running : 0;

	return threads->memory + threads->disk + threads->paging + waiting;
}

/* What a hypervisor takes of the time the CPUs are wanted, it takes of the time a container's threads run and wait for them. */
static void facts_stolen(const struct gathering *gathering, struct subject *subject, const struct threads *threads)
{
	double all, idle_ns, stolen_ns, wanted_ns;

	if (!gauge(gathering->host, GAUGE_CPUSET, &all) || !gauge(gathering->host, GAUGE_CPU_IDLE, &idle_ns) ||
	    !gauge(gathering->host, GAUGE_CPU_STOLEN, &stolen_ns))
		return;
	wanted_ns = all * gathering->seconds * 1e9 - idle_ns;
	if (wanted_ns > 0)
		set_share(subject, FACT_LOST_STEAL,
			  MIN(stolen_ns / wanted_ns, 1) * (threads->running + threads->waiting), threads->active);
}

static void facts_lost(struct gathering *gathering, struct subject *subject, const struct sums *sums,
		       const struct threads *threads)
{
	double others;

	set(subject, FACT_ACTIVE, threads->active / gathering->seconds);
	if (gathering->has_walltime && sums && sums->has_times)
		set(subject, FACT_NETWORK_WAIT, sums->times[TIME_NETWORK] / 1e9 / gathering->seconds);
	if (threads->active <= 0)
		return;
	facts_stolen(gathering, subject, threads);
	set_share(subject, FACT_ON_CPU, threads->running, threads->active);
	set_share(subject, FACT_LOST_THROTTLED, threads->throttled, threads->active);
	set_share(subject, FACT_LOST_CONTENTION, threads->waiting * (1 - quota_part(subject)), threads->active);
	set_share(subject, FACT_LOST_DISK, threads->disk, threads->active);
	set_share(subject, FACT_DISK_WAIT, threads->disk, threads->active);
	if (gathering->has_walltime && sums) {
		set_share(subject, FACT_FILE_LOCK_WAIT, threads->file_lock, threads->active);
		set_share(subject, FACT_KERNEL_LOCK_WAIT, threads->kernel_lock, threads->active);
		set_share(subject, FACT_SYNC_WAIT, sums->sync / 1e9, threads->active);
		set(subject, FACT_SYNC_PART, 0);
		set_share(subject, FACT_SYNC_PART, sums->sync / 1e9, threads->disk);
		set_text(gathering->facts, subject, TEXT_KERNEL_LOCK_IN, sums->lock_in);
	}
	if (fact_get(subject, FACT_DISK_OTHERS_PART, &others))
		set_share(subject, FACT_LOST_DISK_OTHERS, others * threads->disk, threads->active);
	set_share(subject, FACT_MEMORY_WAIT, threads->memory + threads->disk, threads->active);
	set_share(subject, FACT_MEMORY_CPU, threads->paging, threads->active);
	set_share(subject, FACT_LOST_MEMORY, memory_price(threads), threads->active);
	if (gathering->has_futex && gathering->has_walltime) {
		set_share(subject, FACT_LOCK_WAIT, threads->contended, threads->active);
		set_share(subject, FACT_LOST_LOCK, threads->contended, threads->active);
	}
}

/* What its threads wait for most, where that is a tenth of a thread or more. */
static void facts_waits_for(struct gathering *gathering, struct subject *subject, const struct sums *sums,
			    const struct threads *threads)
{
	const struct {
		const char *what;
		double seconds;
	} waits[] = {
		{ "CPUs", threads->waiting + threads->throttled },
		{ "disks", threads->disk },
		{ "memory", threads->memory },
		{ "each other's locks", threads->contended },
		{ "locks of files", threads->file_lock },
		{ "locks of the kernel", threads->kernel_lock },
		{ "the network", gathering->has_walltime && sums ? sums->times[TIME_NETWORK] / 1e9 : 0 },
	};
	double most = gathering->seconds / 10;

	for (guint i = 0; i < G_N_ELEMENTS(waits); i++) {
		if (waits[i].seconds < most)
			continue;
		most = waits[i].seconds;
		set_text(gathering->facts, subject, TEXT_WAITS_FOR, waits[i].what);
	}
}

/* Who collects less runs less, and waits as much less for CPUs. `threads` NULL: not known. */
static void facts_collector(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
			    const struct threads *threads)
{
	double collector_ns, used_ns;

	if (!gauge(row, GAUGE_CPU_COLLECTORS, &collector_ns) || !gauge(row, GAUGE_CPU, &used_ns))
		return;
	set(subject, FACT_COLLECTOR_CPU, collector_ns / 1e9 / gathering->seconds);
	set(subject, FACT_COLLECTOR_SHARE, 0);
	set_share(subject, FACT_COLLECTOR_SHARE, collector_ns, used_ns);
	if (threads)
		set_share(subject, FACT_LOST_COLLECTOR,
			  subject->values[FACT_COLLECTOR_SHARE] * (threads->running + threads->waiting),
			  threads->active);
}

/* A level over the parts of the time in which it is known. */
struct level {
	double least, sum;
	guint parts;
};

static void level_add(struct level *level, double value)
{
	level->least = level->parts ? MIN(level->least, value) : value;
	level->sum += value;
	level->parts++;
}

/* Where it was not looked at because the container used little, what it used is more than that. FALSE: not known. */
static gboolean level_of(const struct gathering *gathering, const struct subject *subject, const struct gauge_row *row,
			 enum gauge which, struct level *level)
{
	double value, used_ns;

	*level = (struct level){ 0 };
	for (guint i = 0; gathering->parts && i < gathering->parts->len; i++) {
		const struct snapshot *part = g_ptr_array_index(gathering->parts, i);
		const struct gauge_row *then = row_in_part(part, GAUGE_RESOURCE_CONTAINER, subject->key);

		if (gauge(then, which, &value))
			level_add(level, value);
		else if (gauge(then, GAUGE_CPU, &used_ns) && used_ns < NARROW_SHARE * (double)part->duration_ns)
			level_add(level, 0);
	}
	if (!level->parts && gauge(row, which, &value))
		level_add(level, value);
	return level->parts > 0;
}

/* Who uses less than half a CPU was not looked at, and needs no more. */
static void facts_idle_threads(struct subject *subject)
{
	static const enum fact facts[] = { FACT_THREAD_READY, FACT_THREAD_PART, FACT_PROCESS_CPU,
					   FACT_TURNS,	      FACT_UNREAD,	FACT_INTERPRETER_WAIT };
	double used;

	if (!fact_get(subject, FACT_CPU_USED, &used) || used >= NARROW_SHARE)
		return;
	for (guint i = 0; i < G_N_ELEMENTS(facts); i++)
		set(subject, facts[i], 0);
}

/* Of an interpreter with a lock. */
static void facts_turns(const struct gathering *gathering, struct subject *subject, const struct sums *sums,
			const struct threads *threads, double turns)
{
	double waiting = sums ? sums->turns / 1e9 : 0;

	set(subject, FACT_TURNS, turns);
	if (turns > 0)
		set(subject, FACT_LOST_INTERPRETER, 1 - 1 / turns);
	if (!gathering->has_futex)
		return;
	set(subject, FACT_INTERPRETER_WAIT, waiting / gathering->seconds);
	if (threads)
		set_share(subject, FACT_LOST_INTERPRETER, waiting, threads->active + waiting);
}

/* What goes through one thread. `threads` NULL: not known. */
static void facts_narrow(struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
			 const struct sums *sums, const struct threads *threads)
{
	const char *interpreter = row ? row->texts[GAUGE_TEXT_INTERPRETER] : NULL;
	struct level level, turns;
	double used;

	facts_idle_threads(subject);
	if (level_of(gathering, subject, row, GAUGE_THREAD_READY, &level))
		set(subject, FACT_THREAD_READY, MIN(level.least / 1e9, 1));
	if (level_of(gathering, subject, row, GAUGE_THREAD_CPU, &level) && fact_get(subject, FACT_CPU_USED, &used))
		set_share(subject, FACT_THREAD_PART, level.sum / level.parts / 1e9, used);
	if (level_of(gathering, subject, row, GAUGE_UNREAD, &level))
		set(subject, FACT_UNREAD, level.least);
	if (!level_of(gathering, subject, row, GAUGE_PROCESS_CPU, &level))
		return;
	set(subject, FACT_PROCESS_CPU, level.sum / level.parts / 1e9);
	set(subject, FACT_TURNS, 0);
	set(subject, FACT_INTERPRETER_WAIT, 0);
	if (interpreter && level_of(gathering, subject, row, GAUGE_PROCESS_TURNS, &turns)) {
		subject->known[FACT_INTERPRETER_WAIT] = FALSE;
		facts_turns(gathering, subject, sums, threads, turns.least);
	}
	set_text(gathering->facts, subject, TEXT_INTERPRETER, interpreter);
	set_text(gathering->facts, subject, TEXT_BUSIEST, row ? row->texts[GAUGE_TEXT_BUSIEST] : NULL);
	set_text(gathering->facts, subject, TEXT_BUSIEST_PID, row ? row->texts[GAUGE_TEXT_BUSIEST_PID] : NULL);
}

static void set_counter(struct subject *subject, enum fact fact, const struct gauge_row *row, enum gauge which)
{
	double value;

	if (gauge(row, which, &value))
		set(subject, fact, value);
}

static void facts_conntrack(struct subject *subject, const struct gauge_row *row)
{
	double entries, limit, drops, failed;

	if (gauge(row, GAUGE_CONNTRACK, &entries) && gauge(row, GAUGE_CONNTRACK_LIMIT, &limit))
		set_share(subject, FACT_CONNTRACK_FILL, entries, limit);
	if (gauge(row, GAUGE_CONNTRACK_DROPS, &drops) && gauge(row, GAUGE_CONNTRACK_INSERT_FAILED, &failed))
		set(subject, FACT_CONNTRACK_LOST, drops + failed);
}

static void facts_limits(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	double files, limit, sent, again, spurious, timeouts, drops, packets;

	set_counter(subject, FACT_PIDS_HITS, row, GAUGE_PIDS_LIMIT_HITS);
	set_counter(subject, FACT_PIDS_LIMIT, row, GAUGE_PIDS_LIMIT);
	set_counter(subject, FACT_FILES_LIMIT, row, GAUGE_FILES_LIMIT);
	if (gauge(row, GAUGE_FILES, &files) && gauge(row, GAUGE_FILES_LIMIT, &limit))
		set_share(subject, FACT_FILES_FILL, files, limit);
	set_counter(subject, FACT_LISTEN_OVERFLOWS, row, GAUGE_TCP_LISTEN_OVERFLOWS);
	facts_conntrack(subject, row);
	set_counter(subject, FACT_SYN_RETRANSMITS, row, GAUGE_TCP_SYN_RETRANSMITS);
	if (gauge(row, GAUGE_NET_DROPS, &drops))
		set(subject, FACT_NET_DROPS, drops / gathering->seconds);
	if (gauge(row, GAUGE_QDISC_DROPS, &drops) && gauge(row, GAUGE_QDISC_PACKETS, &packets)) {
		set(subject, FACT_QDISC_DROPS, drops / gathering->seconds);
		set(subject, FACT_QDISC_LOST, 0);
		set_share(subject, FACT_QDISC_LOST, drops, packets + drops);
	}
	set_counter(subject, FACT_ZERO_WINDOWS, row, GAUGE_TCP_ZERO_WINDOWS);
	set_counter(subject, FACT_UDP_OVERFLOWS, row, GAUGE_UDP_OVERFLOWS);
	if (gauge(row, GAUGE_TCP_TIMEOUTS, &timeouts))
		set(subject, FACT_TCP_TIMEOUTS, timeouts / gathering->seconds);
	/* What the other end had already is no loss: a peer that is slow to answer looks just so. */
	if (gauge(row, GAUGE_TCP_SEGMENTS_SENT, &sent) && gauge(row, GAUGE_TCP_RETRANSMITS, &again) &&
	    gauge(row, GAUGE_TCP_SPURIOUS, &spurious))
		set(subject, FACT_TCP_LOSS,
		    again - spurious < RETRANSMITS_LEAST || sent <= 0 ? 0 : MIN((again - spurious) / sent, 1));
}

/* Whose command line is like docker's; others are left to those who know theirs. */
static void facts_runtime(struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	const char *runtime = row->texts[GAUGE_TEXT_RUNTIME];

	set_text(gathering->facts, subject, TEXT_RUNTIME, runtime);
	set_text(gathering->facts, subject, TEXT_POD, row->texts[GAUGE_TEXT_POD]);
	set_text(gathering->facts, subject, TEXT_QDISC, row->texts[GAUGE_TEXT_QDISC]);
	if (g_strcmp0(runtime, "docker") == 0 || g_strcmp0(runtime, "podman") == 0)
		set_text(gathering->facts, subject, TEXT_ENGINE, runtime);
}

static void facts_of(struct gathering *gathering, struct subject *subject)
{
	const struct sums *sums = g_hash_table_lookup(gathering->sums, subject);
	const struct gauge_row *row =
		gathering->gauges && subject->key
			? gauges_find((struct gauges *)gathering->gauges, GAUGE_RESOURCE_CONTAINER, subject->key, 0)
			: NULL;
	struct threads threads;
	gboolean has_threads = threads_of(gathering, sums, row, &threads);

	facts_quota(gathering, subject, row, has_threads ? &threads : NULL);
	facts_idle(gathering, subject, row);
	if (has_threads)
		facts_contention(gathering, subject, row, sums, &threads);
	facts_memory(gathering, subject, row);
	if (!subject->ambiguous)
		facts_waits(gathering, subject, sums);
	facts_disk(gathering, subject, row, sums);
	facts_limits(gathering, subject, row);
	if (has_threads) {
		facts_lost(gathering, subject, sums, &threads);
		facts_waits_for(gathering, subject, sums, &threads);
	}
	facts_collector(gathering, subject, row, has_threads ? &threads : NULL);
	facts_narrow(gathering, subject, row, sums, has_threads ? &threads : NULL);
	if (row) {
		set_text(gathering->facts, subject, TEXT_CPU_LIMIT_OF, row->texts[GAUGE_TEXT_CPU_LIMIT_OF]);
		if (row->texts[GAUGE_TEXT_MEMORY_LIMIT_OF])
			set_text(gathering->facts, subject, TEXT_MEMORY_LIMIT_OF,
				 row->texts[GAUGE_TEXT_MEMORY_LIMIT_OF]);
		set_text(gathering->facts, subject, TEXT_PIDS_LIMIT_OF, row->texts[GAUGE_TEXT_PIDS_LIMIT_OF]);
		facts_runtime(gathering, subject, row);
	}
}

/* ---- all ---- */

static void gather_subjects(struct gathering *gathering)
{
	for (guint32 i = 0; gathering->gauges && i < gathering->gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gathering->gauges, i);

		if (row->resource == GAUGE_RESOURCE_HOST)
			gathering->host = row;
		else if (row->resource == GAUGE_RESOURCE_CONTAINER)
			subject_new(gathering->facts, row->key, row->name)->dead = row->dead;
	}
}

/* CPU time of the machine's own processes, in no container; not known without what everybody used. */
static void gather_host_used(struct gathering *gathering)
{
	double cpus, idle_ns, one_ns;

	if (!gauge(gathering->host, GAUGE_CPUSET, &cpus) || !gauge(gathering->host, GAUGE_CPU_IDLE, &idle_ns))
		return;
	gathering->host_used_ns = cpus * gathering->seconds * 1e9 - idle_ns;
	for (guint32 i = 0; i < gathering->gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gathering->gauges, i);

		if (row->resource == GAUGE_RESOURCE_CONTAINER && gauge(row, GAUGE_CPU, &one_ns))
			gathering->host_used_ns -= one_ns;
	}
	gathering->host_used_ns = MAX(gathering->host_used_ns, 0);
}

/* Thread times are known of everybody, once they are known: who is in no tree did nothing. */
static void mark_times(struct gathering *gathering)
{
	for (guint i = 0; gathering->has_walltime && i < gathering->facts->subjects->len; i++) {
		struct subject *subject = g_ptr_array_index(gathering->facts->subjects, i);

		if (!subject->ambiguous)
			sums_of(gathering, subject)->has_times = TRUE;
	}
}

/* Of how much of a shape's probe a verdict can be sure. A probe that saw a millisecond of waiting in all and could not say
 * whose it was has missed nothing any rule would have asked for; a process killed is never too little. */
static double shape_coverage(const struct shape *shape, guint64 duration_ns)
{
	gboolean is_rare = shape->kind == SHAPE_EVENTS;

	return ledger_coverage_beside(&shape->ledger, is_rare ? 0 : COVERAGE_EVENTS_LEAST,
				      is_rare				? 0
				      : shape->unit == UNIT_NANOSECONDS ? duration_ns / COVERAGE_TIME_PART
									: COVERAGE_EVENTS_LEAST);
}

/* Least squares of memory over time. */
struct fit {
	guint count;
	double t, y, tt, ty, yy; /* sums */
};

static void fit_add(struct fit *fit, double t, double y)
{
	fit->count++;
	fit->t += t;
	fit->y += y;
	fit->tt += t * t;
	fit->ty += t * y;
	fit->yy += y * y;
}

/* The slope; FALSE when a line says little of it. */
static gboolean fit_slope(const struct fit *fit, double *slope)
{
	double n = fit->count, covariance = n * fit->ty - fit->t * fit->y;
	double variance_t = n * fit->tt - fit->t * fit->t, variance_y = n * fit->yy - fit->y * fit->y;

	if (fit->count < GROWTH_POINTS_LEAST || variance_t <= 0 || variance_y <= 0)
		return FALSE;
	*slope = covariance / variance_t;
	return covariance * covariance / (variance_t * variance_y) >= GROWTH_FIT_LEAST;
}

static void growth_of(struct subject *subject, const GPtrArray *parts)
{
	struct fit fit = { 0 };
	double t = 0, anon = 0, limit, slope, origin = 0;

	for (guint i = 0; i < parts->len; i++) {
		const struct snapshot *part = g_ptr_array_index(parts, i);
		const struct gauge_row *row = row_in_part(part, GAUGE_RESOURCE_CONTAINER, subject->key);

		t += (double)part->duration_ns / 1e9;
		if (!gauge(row, GAUGE_MEMORY_ANON, &anon))
			return;
		if (fit.count == 0)
			origin = anon; /* numbers this large lose their differences when squared */
		fit_add(&fit, t, anon - origin);
	}
	set(subject, FACT_MEMORY_GROWTH, 0);
	if (!fit_slope(&fit, &slope) || slope * t < GROWTH_BYTES_LEAST)
		return;
	set(subject, FACT_MEMORY_GROWTH, slope);
	if (fact_get(subject, FACT_MEMORY_LIMIT, &limit) && limit > anon)
		set(subject, FACT_MEMORY_LASTS, (limit - anon) / slope);
}

/* Connections that wait to be accepted, as few as there ever were: a queue that empties now and then is none. */
static void accept_waiting_of(struct subject *subject, const GPtrArray *parts)
{
	double least = G_MAXDOUBLE, waiting;

	for (guint i = 0; i < parts->len; i++) {
		const struct gauge_row *row =
			row_in_part(g_ptr_array_index(parts, i), GAUGE_RESOURCE_CONTAINER, subject->key);

		if (!row)
			return;
		if (!gauge(row, GAUGE_LISTEN_QUEUE, &waiting))
			waiting = 0; /* nobody listens */
		least = MIN(least, waiting);
	}
	if (parts->len)
		set(subject, FACT_ACCEPT_WAITING, least);
}

/* What only the adjoining parts of the time tell. */
static void facts_parts(const struct facts *facts, const GPtrArray *parts)
{
	for (guint i = 0; i < facts->subjects->len; i++) {
		struct subject *subject = g_ptr_array_index(facts->subjects, i);

		if (!subject->key || subject->dead)
			continue;
		growth_of(subject, parts);
		accept_waiting_of(subject, parts);
	}
}

struct facts *facts_new(const struct snapshot *snapshot, const GPtrArray *parts)
{
	struct facts *facts = g_new0(struct facts, 1);
	struct gathering gathering = { .facts = facts, .snapshot = snapshot, .parts = parts };
	const struct shape *gauges = snapshot_find(snapshot, SHAPE_GAUGES);

	facts->subjects = g_ptr_array_new_with_free_func(g_free);
	facts->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	facts->strings = g_string_chunk_new(4096);
	facts->duration_ns = snapshot->duration_ns;
	facts->coverage = 1;
	gathering.gauges = gauges ? gauges->gauges : NULL;
	gathering.seconds = MAX((double)snapshot->duration_ns / 1e9, 1e-9);
	gathering.sums = g_hash_table_new_full(NULL, NULL, NULL, sums_free);
	gather_subjects(&gathering);
	gather_host_used(&gathering);
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);
		double coverage = shape_coverage(shape, snapshot->duration_ns);

		gather_shape(&gathering, shape);
		if (coverage < facts->coverage) { /* not so when it is not a number */
			facts->coverage = coverage;
			facts->coverage_of = g_string_chunk_insert_const(facts->strings, shape->probe);
		}
	}
	mark_times(&gathering);
	for (guint i = 0; i < facts->subjects->len; i++)
		facts_of(&gathering, g_ptr_array_index(facts->subjects, i));
	if (parts)
		facts_parts(facts, parts);
	g_hash_table_unref(gathering.sums);
	return facts;
}

void facts_free(struct facts *facts)
{
	if (!facts)
		return;
	g_ptr_array_unref(facts->subjects);
	g_hash_table_unref(facts->by_name);
	g_string_chunk_free(facts->strings);
	g_free(facts);
}

struct subject *facts_by_name(const struct facts *facts, const char *name)
{
	struct subject *subject = g_hash_table_lookup(facts->by_name, name);

	return subject && !subject->ambiguous ? subject : NULL;
}

struct subject *facts_by_key(const struct facts *facts, guint64 key)
{
	for (guint i = 0; key && i < facts->subjects->len; i++) {
		struct subject *subject = g_ptr_array_index(facts->subjects, i);

		if (subject->key == key)
			return subject;
	}
	return NULL;
}
