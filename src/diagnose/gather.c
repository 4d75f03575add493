/* SPDX-License-Identifier: Apache-2.0 */
/* Facts from shapes. Gauges come with the container's key; the other shapes know names only, so where two containers have one
 * name, what those shapes say is left out for both. */
#include <string.h>

#include "base/units.h"
#include "diagnose/gather.h"

/* What is missing is weighed against at least so much: the least that decides a rule, one in two hundred of the time and
 * three failures, is then a twentieth, which is where a look is called inconclusive. */
#define COVERAGE_TIME_PART 10
#define COVERAGE_EVENTS_LEAST 60
#define TURN_WAIT_NS_MAX (20 * NS_PER_MS) /* who wants an interpreter's lock asks for it again after 5 ms or 10 */
#define GROWTH_POINTS_LEAST 3
#define GROWTH_FIT_LEAST 0.9 /* R² of the line through them */
#define GROWTH_BYTES_LEAST (1 << 20) /* less is no growth to speak of */

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

void fact_set(struct subject *subject, enum fact fact, double value)
{
	subject->values[fact] = value;
	subject->known[fact] = TRUE;
}

void fact_set_share(struct subject *subject, enum fact fact, double part, double whole)
{
	if (whole > 0)
		fact_set(subject, fact, CLAMP(part / whole, 0, 1));
}

void fact_set_text(struct facts *facts, struct subject *subject, enum fact_text text, const char *value)
{
	subject->texts[text] = value ? g_string_chunk_insert_const(facts->strings, value) : NULL;
}

gboolean gauge_number(const struct gauge_row *row, enum gauge which, double *value)
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
			fact_set_text(gathering->facts, subject, TEXT_DEVICE, values[device]);
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
	fact_set_text(gathering->facts, subject, TEXT_SERVER, server);
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
	fact_set_text(gathering->facts, subject, TEXT_PEER, peer);
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
		fact_set(subject, fact, (subject->known[fact] ? subject->values[fact] : 0) + 1);
		fact_set_text(gathering->facts, subject, TEXT_OOM_VICTIM, event->process);
		if (limit && limit->number && !subject->known[FACT_MEMORY_LIMIT])
			fact_set(subject, FACT_MEMORY_LIMIT, (double)limit->number);
		if (scope && g_strcmp0(scope->text, "ancestor") == 0 && culprit)
			fact_set_text(gathering->facts, subject, TEXT_MEMORY_LIMIT_OF, culprit->text);
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

	if (!gauge_number(gathering->host, GAUGE_CPUSET, &cpus) ||
	    !gauge_number(gathering->host, GAUGE_CPU_IDLE, &idle_ns))
		return;
	gathering->host_used_ns = cpus * gathering->seconds * 1e9 - idle_ns;
	for (guint32 i = 0; i < gathering->gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gathering->gauges, i);

		if (row->resource == GAUGE_RESOURCE_CONTAINER && gauge_number(row, GAUGE_CPU, &one_ns))
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
		if (!gauge_number(row, GAUGE_MEMORY_ANON, &anon))
			return;
		if (fit.count == 0)
			origin = anon; /* numbers this large lose their differences when squared */
		fit_add(&fit, t, anon - origin);
	}
	fact_set(subject, FACT_MEMORY_GROWTH, 0);
	if (!fit_slope(&fit, &slope) || slope * t < GROWTH_BYTES_LEAST)
		return;
	fact_set(subject, FACT_MEMORY_GROWTH, slope);
	if (fact_get(subject, FACT_MEMORY_LIMIT, &limit) && limit > anon)
		fact_set(subject, FACT_MEMORY_LASTS, (limit - anon) / slope);
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
		if (!gauge_number(row, GAUGE_LISTEN_QUEUE, &waiting))
			waiting = 0; /* nobody listens */
		least = MIN(least, waiting);
	}
	if (parts->len)
		fact_set(subject, FACT_ACCEPT_WAITING, least);
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
