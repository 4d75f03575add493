/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of one container: from its gauges, and from what gather.c added up of the other shapes. */
#include "base/units.h"
#include "diagnose/gather.h"

#define RETRANSMITS_LEAST 10 /* fewer segments sent again say nothing about a path */
#define TEXT_HOST "the host"
#define QUOTA_PERIOD_S 0.1
#define NARROW_SHARE 0.5 /* of a CPU: who uses less is not looked at closely (observe/narrow.h) */

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
		if (!gauge_number(row, GAUGE_CPU, &run_ns) || !gauge_number(row, GAUGE_RUNQUEUE_WAIT, &delay_ns))
			return FALSE;
		/* At least one thread waited then, also of those that have ended since. */
		if (gauge_number(row, GAUGE_PRESSURE_CPU_SOME, &some_ns))
			delay_ns = MAX(delay_ns, some_ns);
		gauge_number(row, GAUGE_CPU_THROTTLED, &throttled_ns);
		if (!gauge_number(row, GAUGE_DISK_WAIT, &disk_ns))
			gauge_number(row, GAUGE_PRESSURE_IO_SOME, &disk_ns); /* at least one thread */
		threads->running = run_ns / 1e9;
		threads->throttled = MIN(throttled_ns, delay_ns) / 1e9;
		threads->waiting = delay_ns / 1e9 - threads->throttled;
		threads->disk = disk_ns / 1e9;
		/* Pressure counts who makes room also while it runs, but not who waits for a disk only because it reads. */
		if (gauge_number(row, GAUGE_PRESSURE_MEMORY_SOME, &memory_ns))
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

	gauge_number(row, GAUGE_CPU_PERIODS, &periods);
	if (!gauge_number(row, GAUGE_CPUSET, &cpus) && !gauge_number(gathering->host, GAUGE_CPUSET, &cpus))
		cpus = G_MAXDOUBLE;
	period_s = MIN(QUOTA_PERIOD_S, gathering->seconds / periods);
	return MIN(limit + throttled_s / (throttled_periods * period_s), cpus);
}

static void facts_quota(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
			const struct threads *threads)
{
	double used_ns, limit, periods, throttled_periods, throttled_ns;

	if (gauge_number(row, GAUGE_CPU, &used_ns))
		fact_set(subject, FACT_CPU_USED, used_ns / 1e9 / gathering->seconds);
	if (gauge_number(row, GAUGE_CPU_LIMIT, &limit))
		fact_set(subject, FACT_CPU_LIMIT, limit / 1e9);
	if (!gauge_number(row, GAUGE_CPU_PERIODS, &periods) ||
	    !gauge_number(row, GAUGE_CPU_PERIODS_THROTTLED, &throttled_periods) ||
	    !gauge_number(row, GAUGE_CPU_THROTTLED, &throttled_ns))
		return;
	if (periods == 0) { /* without a quota, or nothing ran */
		fact_set(subject, FACT_THROTTLED_PERIODS, 0);
		fact_set(subject, FACT_THROTTLED_SHARE, 0);
	}
	fact_set_share(subject, FACT_THROTTLED_PERIODS, throttled_periods, periods);
	fact_set_share(subject, FACT_THROTTLED_SHARE, throttled_ns, throttled_ns + used_ns);
	if (throttled_periods <= 0)
		return;
	fact_set(subject, FACT_THROTTLE_STALL, throttled_ns / 1e9 / throttled_periods);
	if (subject->known[FACT_CPU_LIMIT])
		fact_set(subject, FACT_CPU_WANTED,
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

	if (!gauge_number(row, GAUGE_CPUSET, &idle->cpus) || !gauge_number(row, GAUGE_CPUSET_IDLE, &idle_ns))
		return FALSE;
	idle->wall_ns += wall_ns;
	idle->idle_ns += idle_ns;
	if (!gauge_number(host, GAUGE_CPUSET, &idle->all) || !gauge_number(host, GAUGE_CPU_IDLE, &all_idle_ns))
		return TRUE;
	idle->all_wall_ns += wall_ns;
	idle->all_idle_ns += all_idle_ns;
	idle->inside_idle_ns += idle_ns;
	return TRUE;
}

const struct gauge_row *row_in_part(const struct snapshot *part, enum gauge_resource resource, guint64 key)
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

	if (gauge_number(gathering->host, GAUGE_CPUSET, &all) &&
	    gauge_number(gathering->host, GAUGE_CPU_STOLEN, &stolen_ns)) {
		fact_set_share(subject, FACT_STEAL, stolen_ns, all * wall_ns);
		fact_set_share(subject, FACT_LOST_STEAL, stolen_ns, all * wall_ns);
	}
	if (!idle_add(&idle, row, gathering->host, wall_ns) && !idle_add_parts(&idle, gathering, subject->key))
		return;
	fact_set(subject, FACT_CPUS, idle.cpus);
	fact_set_share(subject, FACT_CPUS_IDLE, idle.idle_ns, idle.cpus * idle.wall_ns);
	if (idle.all_wall_ns <= 0)
		return;
	fact_set(subject, FACT_CPUS_IDLE_OUTSIDE, 0);
	fact_set_share(subject, FACT_CPUS_IDLE_OUTSIDE, idle.all_idle_ns - idle.inside_idle_ns,
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

	if (gauge_number(own, GAUGE_CPUSET, &cpus) && gauge_number(gathering->host, GAUGE_CPUSET, &all) && cpus >= all)
		here = NULL;
	for (guint32 i = 0; i < gathering->gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(gathering->gauges, i);

		if (row->resource != GAUGE_RESOURCE_CONTAINER || row->key == subject->key ||
		    !gauge_number(row, GAUGE_CPU, &used_ns))
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
		fact_set_text(gathering->facts, subject, TEXT_CPU_CULPRIT, TEXT_HOST);
		subject->text_is_host[TEXT_CPU_CULPRIT] = TRUE;
		fact_set(subject, FACT_CULPRIT_CPU, gathering->host_used_ns / 1e9 / gathering->seconds);
		return;
	}
	if (!busiest)
		return;
	fact_set_text(gathering->facts, subject, TEXT_CPU_CULPRIT, busiest->name);
	fact_set(subject, FACT_CULPRIT_CPU, most_ns / 1e9 / gathering->seconds);
}

static void set_culprit(struct gathering *gathering, struct subject *subject, enum fact_text text,
			const struct waits *waits)
{
	if (!waits->culprit)
		return;
	fact_set_text(gathering->facts, subject, text, waits->culprit_is_host ? TEXT_HOST : waits->culprit);
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
	return gauge_number(row, GAUGE_CPU, &used_ns) ? used_ns : 0;
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
		fact_set(subject, FACT_CULPRIT_CPU, used / 1e9 / gathering->seconds);
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

	fact_set(subject, FACT_CPU_DEMAND, (both + threads->throttled) / gathering->seconds);
	if (fact_get(subject, FACT_CPUS, &cpus) && cpus > 0)
		fact_set(subject, FACT_DEMAND_PART, subject->values[FACT_CPU_DEMAND] / cpus);
	fact_set_share(subject, FACT_CONTENTION, threads->waiting, both);
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
	fact_set_share(subject, FACT_WAIT_OTHERS, others_s, both);
	fact_set_share(subject, FACT_WAIT_OWN, threads->waiting - others_s, both);
	fact_set_share(subject, FACT_OTHERS_PART, others_s, threads->waiting);
	fact_set_share(subject, FACT_LOST_OTHERS, others_s * (1 - quota), threads->active);
	fact_set_share(subject, FACT_LOST_OWN, (threads->waiting - others_s) * (1 - quota), threads->active);
}

/* At the fullest of the looks: who makes room has a little of it just then. */
static double memory_at_most(const struct gathering *gathering, const struct subject *subject, double used)
{
	double then;

	for (guint i = 0; gathering->parts && i < gathering->parts->len; i++)
		if (gauge_number(row_in_part(g_ptr_array_index(gathering->parts, i), GAUGE_RESOURCE_CONTAINER,
					     subject->key),
				 GAUGE_MEMORY, &then))
			used = MAX(used, then);
	return used;
}

static void facts_memory(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	double used, limit, anon, file, value, wall_ns = gathering->seconds * 1e9;

	if (gauge_number(row, GAUGE_MEMORY, &used)) {
		fact_set(subject, FACT_MEMORY_USED, used);
		fact_set(subject, FACT_MEMORY_FILL, 0); /* if there is no limit */
	}
	if (gauge_number(row, GAUGE_MEMORY_LIMIT, &limit)) {
		fact_set(subject, FACT_MEMORY_LIMIT, limit);
		if (subject->known[FACT_MEMORY_USED])
			fact_set_share(subject, FACT_MEMORY_FILL, memory_at_most(gathering, subject, used), limit);
	}
	if (gauge_number(row, GAUGE_MEMORY_HIGH, &value))
		fact_set(subject, FACT_MEMORY_HIGH, value);
	if (gauge_number(row, GAUGE_PRESSURE_MEMORY_SOME, &value))
		fact_set_share(subject, FACT_MEMORY_PRESSURE, value, wall_ns);
	if (gauge_number(row, GAUGE_REFAULTS_FILE, &file))
		fact_set(subject, FACT_REFAULTS,
			 (file + (gauge_number(row, GAUGE_REFAULTS_ANON, &anon) ? anon : 0)) / gathering->seconds);
	if (gauge_number(row, GAUGE_REFAULTS_ANON, &anon)) {
		fact_set(subject, FACT_SWAPPED_IN, anon / gathering->seconds);
		fact_set(subject, FACT_SWAPPED_PART, 0);
		if (gauge_number(row, GAUGE_REFAULTS_FILE, &file))
			fact_set_share(subject, FACT_SWAPPED_PART, anon, anon + file);
	}
	if (gauge_number(row, GAUGE_MEMORY_EVENTS_HIGH, &value))
		fact_set(subject, FACT_HIGH_EVENTS, value / gathering->seconds);
	/* What the tracepoint tells, it tells exactly; the file does not say at whose limit. */
	if (gauge_number(row, GAUGE_OOM_KILLS, &value) && !gathering->has_oom)
		fact_set(subject, FACT_OOM_LIMIT, value);
	if (gauge_number(gathering->host, GAUGE_MEMORY, &used) &&
	    gauge_number(gathering->host, GAUGE_MEMORY_LIMIT, &limit))
		fact_set_share(subject, FACT_MACHINE_MEMORY_FREE, limit - used, limit);
}

static void facts_dns(struct gathering *gathering, struct subject *subject, const struct sums *sums)
{
	int bucket;

	fact_set(subject, FACT_DNS_QUESTIONS, sums ? sums->dns_questions : 0);
	fact_set(subject, FACT_DNS_UNANSWERED, sums ? sums->dns_unanswered : 0);
	fact_set(subject, FACT_DNS_FAILED, sums ? sums->dns_failed : 0);
	fact_set(subject, FACT_DNS_UNKNOWN_NAMES, 0);
	fact_set(subject, FACT_DNS_LATENCY, 0);
	if (!sums)
		return;
	fact_set_share(subject, FACT_DNS_UNKNOWN_NAMES, sums->dns_unknown, sums->dns_questions);
	fact_set_text(gathering->facts, subject, TEXT_RESOLVER, sums->resolver);
	if (sums->dns.count == 0)
		return;
	bucket = histogram_quantile(&sums->dns, 0.99);
	fact_set(subject, FACT_DNS_LATENCY, (double)histogram_bucket_low(UNIT_NANOSECONDS, (guint)bucket) / 1e9);
}

static void facts_requests(const struct gathering *gathering, struct subject *subject, const struct sums *sums)
{
	double mean_ns;

	fact_set(subject, FACT_REQUESTS, sums ? (double)sums->request.count : 0);
	fact_set(subject, FACT_REQUEST_TIME, 0);
	fact_set(subject, FACT_REQUEST_WAIT, 0);
	if (!sums || sums->request.count == 0)
		return;
	mean_ns = (double)sums->request.sum / (double)sums->request.count;
	fact_set(subject, FACT_REQUEST_TIME, mean_ns / 1e9);
	fact_set(subject, FACT_REQUEST_WAIT, (double)sums->request.sum / 1e9 / gathering->seconds);
	if (sums->rtt.count)
		fact_set_share(subject, FACT_REQUEST_PATH_PART, (double)sums->rtt.sum / (double)sums->rtt.count,
			       mean_ns);
}

static void facts_waits(struct gathering *gathering, struct subject *subject, const struct sums *sums)
{
	double wall_ns = gathering->seconds * 1e9;

	if (gathering->has_memory) {
		fact_set_share(subject, FACT_RECLAIM_OWN, sums ? sums->memory.quota : 0, wall_ns);
		fact_set_share(subject, FACT_RECLAIM_MACHINE, sums ? sums->memory.own + sums->memory.others : 0,
			       wall_ns);
		if (sums)
			set_culprit(gathering, subject, TEXT_MEMORY_CULPRIT, &sums->memory);
	}
	if (gathering->has_oom) {
		if (!subject->known[FACT_OOM_LIMIT])
			fact_set(subject, FACT_OOM_LIMIT, 0);
		if (!subject->known[FACT_OOM_HOST])
			fact_set(subject, FACT_OOM_HOST, 0);
	}
	if (gathering->has_connections) {
		fact_set(subject, FACT_REFUSED, sums ? sums->refused : 0);
		fact_set(subject, FACT_CONNECT_TIMEOUTS, sums ? sums->timed_out : 0);
		fact_set(subject, FACT_PORTS_REFUSED, sums ? sums->ports : 0);
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
		if (gauge_number(row, pairs[i][1], &limit) && gauge_number(row, pairs[i][0], &done) && limit > 0)
			most = MAX(most, done / gathering->seconds / limit);
	if (row)
		fact_set(subject, FACT_IO_LIMIT_USED, most);
}

static void facts_disk(struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
		       const struct sums *sums)
{
	double value;
	int bucket;

	if (gauge_number(row, GAUGE_PRESSURE_IO_SOME, &value))
		fact_set_share(subject, FACT_IO_PRESSURE, value, gathering->seconds * 1e9);
	facts_io_limit(gathering, subject, row);
	if (gathering->has_disk && sums && sums->disk_requests > 0) {
		bucket = histogram_quantile(&sums->disk, 0.5);
		fact_set(subject, FACT_DISK_LATENCY,
			 (double)histogram_bucket_low(UNIT_NANOSECONDS, (guint)bucket) / 1e9);
		fact_set(subject, FACT_DISK_QUEUE, sums->disk_ns / 1e9 / gathering->seconds);
	}
	if (gathering->has_block && sums && sums->block.own + sums->block.others > 0) {
		fact_set_share(subject, FACT_DISK_OTHERS_PART, sums->block.others,
			       sums->block.own + sums->block.others);
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

	if (!gauge_number(gathering->host, GAUGE_CPUSET, &all) ||
	    !gauge_number(gathering->host, GAUGE_CPU_IDLE, &idle_ns) ||
	    !gauge_number(gathering->host, GAUGE_CPU_STOLEN, &stolen_ns))
		return;
	wanted_ns = all * gathering->seconds * 1e9 - idle_ns;
	if (wanted_ns > 0)
		fact_set_share(subject, FACT_LOST_STEAL,
			       MIN(stolen_ns / wanted_ns, 1) * (threads->running + threads->waiting), threads->active);
}

static void facts_lost(struct gathering *gathering, struct subject *subject, const struct sums *sums,
		       const struct threads *threads)
{
	double others;

	fact_set(subject, FACT_ACTIVE, threads->active / gathering->seconds);
	if (gathering->has_walltime && sums && sums->has_times)
		fact_set(subject, FACT_NETWORK_WAIT, sums->times[TIME_NETWORK] / 1e9 / gathering->seconds);
	if (threads->active <= 0)
		return;
	facts_stolen(gathering, subject, threads);
	fact_set_share(subject, FACT_ON_CPU, threads->running, threads->active);
	fact_set_share(subject, FACT_LOST_THROTTLED, threads->throttled, threads->active);
	fact_set_share(subject, FACT_LOST_CONTENTION, threads->waiting * (1 - quota_part(subject)), threads->active);
	fact_set_share(subject, FACT_LOST_DISK, threads->disk, threads->active);
	fact_set_share(subject, FACT_DISK_WAIT, threads->disk, threads->active);
	if (gathering->has_walltime && sums) {
		fact_set_share(subject, FACT_FILE_LOCK_WAIT, threads->file_lock, threads->active);
		fact_set_share(subject, FACT_KERNEL_LOCK_WAIT, threads->kernel_lock, threads->active);
		fact_set_share(subject, FACT_SYNC_WAIT, sums->sync / 1e9, threads->active);
		fact_set(subject, FACT_SYNC_PART, 0);
		fact_set_share(subject, FACT_SYNC_PART, sums->sync / 1e9, threads->disk);
		fact_set_text(gathering->facts, subject, TEXT_KERNEL_LOCK_IN, sums->lock_in);
	}
	if (fact_get(subject, FACT_DISK_OTHERS_PART, &others))
		fact_set_share(subject, FACT_LOST_DISK_OTHERS, others * threads->disk, threads->active);
	fact_set_share(subject, FACT_MEMORY_WAIT, threads->memory + threads->disk, threads->active);
	fact_set_share(subject, FACT_MEMORY_CPU, threads->paging, threads->active);
	fact_set_share(subject, FACT_LOST_MEMORY, memory_price(threads), threads->active);
	if (gathering->has_futex && gathering->has_walltime) {
		fact_set_share(subject, FACT_LOCK_WAIT, threads->contended, threads->active);
		fact_set_share(subject, FACT_LOST_LOCK, threads->contended, threads->active);
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
		fact_set_text(gathering->facts, subject, TEXT_WAITS_FOR, waits[i].what);
	}
}

/* Who collects less runs less, and waits as much less for CPUs. `threads` NULL: not known. */
static void facts_collector(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row,
			    const struct threads *threads)
{
	double collector_ns, used_ns;

	if (!gauge_number(row, GAUGE_CPU_COLLECTORS, &collector_ns) || !gauge_number(row, GAUGE_CPU, &used_ns))
		return;
	fact_set(subject, FACT_COLLECTOR_CPU, collector_ns / 1e9 / gathering->seconds);
	fact_set(subject, FACT_COLLECTOR_SHARE, 0);
	fact_set_share(subject, FACT_COLLECTOR_SHARE, collector_ns, used_ns);
	if (threads)
		fact_set_share(subject, FACT_LOST_COLLECTOR,
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

		if (gauge_number(then, which, &value))
			level_add(level, value);
		else if (gauge_number(then, GAUGE_CPU, &used_ns) && used_ns < NARROW_SHARE * (double)part->duration_ns)
			level_add(level, 0);
	}
	if (!level->parts && gauge_number(row, which, &value))
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
		fact_set(subject, facts[i], 0);
}

/* Of an interpreter with a lock. */
static void facts_turns(const struct gathering *gathering, struct subject *subject, const struct sums *sums,
			const struct threads *threads, double turns)
{
	double waiting = sums ? sums->turns / 1e9 : 0;

	fact_set(subject, FACT_TURNS, turns);
	if (turns > 0)
		fact_set(subject, FACT_LOST_INTERPRETER, 1 - 1 / turns);
	if (!gathering->has_futex)
		return;
	fact_set(subject, FACT_INTERPRETER_WAIT, waiting / gathering->seconds);
	if (threads)
		fact_set_share(subject, FACT_LOST_INTERPRETER, waiting, threads->active + waiting);
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
		fact_set(subject, FACT_THREAD_READY, MIN(level.least / 1e9, 1));
	if (level_of(gathering, subject, row, GAUGE_THREAD_CPU, &level) && fact_get(subject, FACT_CPU_USED, &used))
		fact_set_share(subject, FACT_THREAD_PART, level.sum / level.parts / 1e9, used);
	if (level_of(gathering, subject, row, GAUGE_UNREAD, &level))
		fact_set(subject, FACT_UNREAD, level.least);
	if (!level_of(gathering, subject, row, GAUGE_PROCESS_CPU, &level))
		return;
	fact_set(subject, FACT_PROCESS_CPU, level.sum / level.parts / 1e9);
	fact_set(subject, FACT_TURNS, 0);
	fact_set(subject, FACT_INTERPRETER_WAIT, 0);
	if (interpreter && level_of(gathering, subject, row, GAUGE_PROCESS_TURNS, &turns)) {
		subject->known[FACT_INTERPRETER_WAIT] = FALSE;
		facts_turns(gathering, subject, sums, threads, turns.least);
	}
	fact_set_text(gathering->facts, subject, TEXT_INTERPRETER, interpreter);
	fact_set_text(gathering->facts, subject, TEXT_BUSIEST, row ? row->texts[GAUGE_TEXT_BUSIEST] : NULL);
	fact_set_text(gathering->facts, subject, TEXT_BUSIEST_PID, row ? row->texts[GAUGE_TEXT_BUSIEST_PID] : NULL);
}

static void set_counter(struct subject *subject, enum fact fact, const struct gauge_row *row, enum gauge which)
{
	double value;

	if (gauge_number(row, which, &value))
		fact_set(subject, fact, value);
}

static void facts_conntrack(struct subject *subject, const struct gauge_row *row)
{
	double entries, limit, drops, failed;

	if (gauge_number(row, GAUGE_CONNTRACK, &entries) && gauge_number(row, GAUGE_CONNTRACK_LIMIT, &limit))
		fact_set_share(subject, FACT_CONNTRACK_FILL, entries, limit);
	if (gauge_number(row, GAUGE_CONNTRACK_DROPS, &drops) &&
	    gauge_number(row, GAUGE_CONNTRACK_INSERT_FAILED, &failed))
		fact_set(subject, FACT_CONNTRACK_LOST, drops + failed);
}

static void facts_limits(const struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	double files, limit, sent, again, spurious, timeouts, drops, packets;

	set_counter(subject, FACT_PIDS_HITS, row, GAUGE_PIDS_LIMIT_HITS);
	set_counter(subject, FACT_PIDS_LIMIT, row, GAUGE_PIDS_LIMIT);
	set_counter(subject, FACT_FILES_LIMIT, row, GAUGE_FILES_LIMIT);
	if (gauge_number(row, GAUGE_FILES, &files) && gauge_number(row, GAUGE_FILES_LIMIT, &limit))
		fact_set_share(subject, FACT_FILES_FILL, files, limit);
	set_counter(subject, FACT_LISTEN_OVERFLOWS, row, GAUGE_TCP_LISTEN_OVERFLOWS);
	facts_conntrack(subject, row);
	set_counter(subject, FACT_SYN_RETRANSMITS, row, GAUGE_TCP_SYN_RETRANSMITS);
	if (gauge_number(row, GAUGE_NET_DROPS, &drops))
		fact_set(subject, FACT_NET_DROPS, drops / gathering->seconds);
	if (gauge_number(row, GAUGE_QDISC_DROPS, &drops) && gauge_number(row, GAUGE_QDISC_PACKETS, &packets)) {
		fact_set(subject, FACT_QDISC_DROPS, drops / gathering->seconds);
		fact_set(subject, FACT_QDISC_LOST, 0);
		fact_set_share(subject, FACT_QDISC_LOST, drops, packets + drops);
	}
	set_counter(subject, FACT_ZERO_WINDOWS, row, GAUGE_TCP_ZERO_WINDOWS);
	set_counter(subject, FACT_UDP_OVERFLOWS, row, GAUGE_UDP_OVERFLOWS);
	if (gauge_number(row, GAUGE_TCP_TIMEOUTS, &timeouts))
		fact_set(subject, FACT_TCP_TIMEOUTS, timeouts / gathering->seconds);
	/* What the other end had already is no loss: a peer that is slow to answer looks just so. */
	if (gauge_number(row, GAUGE_TCP_SEGMENTS_SENT, &sent) && gauge_number(row, GAUGE_TCP_RETRANSMITS, &again) &&
	    gauge_number(row, GAUGE_TCP_SPURIOUS, &spurious))
		fact_set(subject, FACT_TCP_LOSS,
			 again - spurious < RETRANSMITS_LEAST || sent <= 0 ? 0 : MIN((again - spurious) / sent, 1));
}

/* Whose command line is like docker's; others are left to those who know theirs. */
static void facts_runtime(struct gathering *gathering, struct subject *subject, const struct gauge_row *row)
{
	const char *runtime = row->texts[GAUGE_TEXT_RUNTIME];

	fact_set_text(gathering->facts, subject, TEXT_RUNTIME, runtime);
	fact_set_text(gathering->facts, subject, TEXT_POD, row->texts[GAUGE_TEXT_POD]);
	fact_set_text(gathering->facts, subject, TEXT_QDISC, row->texts[GAUGE_TEXT_QDISC]);
	if (g_strcmp0(runtime, "docker") == 0 || g_strcmp0(runtime, "podman") == 0)
		fact_set_text(gathering->facts, subject, TEXT_ENGINE, runtime);
}

void facts_of(struct gathering *gathering, struct subject *subject)
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
		fact_set_text(gathering->facts, subject, TEXT_CPU_LIMIT_OF, row->texts[GAUGE_TEXT_CPU_LIMIT_OF]);
		if (row->texts[GAUGE_TEXT_MEMORY_LIMIT_OF])
			fact_set_text(gathering->facts, subject, TEXT_MEMORY_LIMIT_OF,
				      row->texts[GAUGE_TEXT_MEMORY_LIMIT_OF]);
		fact_set_text(gathering->facts, subject, TEXT_PIDS_LIMIT_OF, row->texts[GAUGE_TEXT_PIDS_LIMIT_OF]);
		facts_runtime(gathering, subject, row);
	}
}
