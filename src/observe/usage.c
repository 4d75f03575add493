/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/usage.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "kernel/cgstat.h"
#include "kernel/netdev.h"
#include "kernel/procfs.h"
#include "observe/usage_tasks.h"
#include "probe/tasks.h"

#define USAGE_FILES_MAX 20000 /* kept open; the rest is opened anew each time */
#define USAGE_FILES_SPARE 64 /* for everything else */
#define USAGE_TURNS 16 /* files of those who did not run are read again in every so many readings */
#define USAGE_STILL_TURNS 4 /* the traffic of those who are still, too, in every so many */
#define USAGE_LIMITS_NS (10 * NS_PER_S) /* limits are read so often: somebody changes them by hand */
#define USAGE_RESCAN_NS (30 * NS_PER_S) /* while births are told */
#define USAGE_FRESH_NS (500 * NS_PER_MS) /* the registry was made just now */
#define USAGE_MISSED_MAX 10000

G_STATIC_ASSERT(GAUGE_OFFCPU_PAGEFAULT - GAUGE_OFFCPU_OTHER == (int)TASKS_WAIT_PAGEFAULT);

/* One container under observation. */
struct entry {
	const struct container *container; /* of the registry: not to be followed once it is gone */
	guint64 cgroup_key;
	enum gauge_resource resource;
	guint32 serial; /* of the last reading that saw it */
	guint32 turn; /* when all its files are read */
	struct cgstat_reader *reader;
	int net_fd; /* -1: none */
	guint64 net_namespace; /* 0: not known */
	guint32 net_tries;
	struct netdev_traffic traffic; /* of the last reading */
	gboolean has_traffic, is_still; /* it was what it had been */
	guint64 limits_due_ns;
	struct cglimits limits;
	char *limit_of[3]; /* CPU, memory, pids: the ancestor's path; NULL: its own, or none */
	struct tasks_sum tasks; /* of the last walk, with those of cgroups buried */
	struct tasks_sum buried;
	guint64 doings; /* context switches and ended threads up to the reading before */
	guint32 threads; /* in the reading before */
	gboolean has_tasks;
	gboolean is_quiet; /* nothing of it, nor below it, has run since the reading before */
};

struct usage {
	struct registry *registry;
	struct usage_options options;
	struct cgstat_budget budget;
	struct hoststat_reader *host;
	int host_net_fd;
	guint64 host_net_namespace;
	GHashTable *entries; /* const struct container * → struct entry */
	struct gauges *readings[2]; /* the last two, in turns */
	GPtrArray *missed, *missed_since; /* of char *: up to the last reading, and after it */
	GHashTable *born; /* keys of those born and not read yet, nor dead → nothing */
	struct tasks *tasks;
	gboolean delay_accounting; /* the kernel counts waits for block devices */
	struct usage_tasks *list;
	char *why_not; /* there are no kernel programs */
	guint32 serial;
	guint64 scanned_ns;
	struct entry machine; /* sums over all cgroups */
	GHashTable *limits_above; /* path → struct cglimits, within one reading: most have the same parents */
};

/* ---- opening ---- */

static void entry_free(gpointer data)
{
	struct entry *entry = data;

	cgstat_close(entry->reader);
	if (entry->net_fd >= 0)
		close(entry->net_fd);
	for (guint i = 0; i < G_N_ELEMENTS(entry->limit_of); i++)
		g_free(entry->limit_of[i]);
	g_free(entry);
}

/* As many files as the hard limit lets us. */
static guint files_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 256;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = MIN(limit.rlim_max, USAGE_FILES_MAX + USAGE_FILES_SPARE);
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	return (guint)CLAMP(limit.rlim_cur, USAGE_FILES_SPARE, USAGE_FILES_MAX + USAGE_FILES_SPARE) - USAGE_FILES_SPARE;
}

struct usage *usage_new(struct registry *registry, const struct usage_options *options)
{
	struct usage *usage = g_new0(struct usage, 1);
	const char *root = registry_root(registry);

	usage->registry = registry;
	usage->options = *options;
	usage->budget.files_left = files_allowed();
	usage->host = hoststat_open(root);
	usage->host_net_fd = netdev_open(root, 1);
	usage->host_net_namespace = options->inside ? 0 : procfs_host_namespace(root, NAMESPACE_NET);
	usage->entries = g_hash_table_new_full(NULL, NULL, NULL, entry_free);
	for (guint i = 0; i < G_N_ELEMENTS(usage->readings); i++)
		usage->readings[i] = gauges_new();
	usage->missed = g_ptr_array_new_with_free_func(g_free);
	usage->missed_since = g_ptr_array_new_with_free_func(g_free);
	usage->born = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	usage->limits_above = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	usage->list = usage_tasks_new(registry, usage->options.wanted);
	usage->scanned_ns = clock_monotonic_ns();
	usage->why_not = g_strdup("not asked for");
	return usage;
}

void usage_free(struct usage *usage)
{
	if (!usage)
		return;
	tasks_close(usage->tasks);
	usage_tasks_free(usage->list);
	hoststat_close(usage->host);
	if (usage->host_net_fd >= 0)
		close(usage->host_net_fd);
	g_hash_table_unref(usage->entries);
	g_hash_table_unref(usage->born);
	g_hash_table_unref(usage->limits_above);
	for (guint i = 0; i < G_N_ELEMENTS(usage->readings); i++)
		gauges_free(usage->readings[i]);
	g_ptr_array_unref(usage->missed);
	g_ptr_array_unref(usage->missed_since);
	g_free(usage->why_not);
	g_free(usage);
}

static void usage_born(void *user, guint64 cgroup_key, const char *path)
{
	struct usage *usage = user;

	registry_note_birth(usage->registry, cgroup_key, path);
	g_hash_table_add(usage->born, g_memdup2(&cgroup_key, sizeof(cgroup_key)));
}

static gboolean usage_wants(const struct usage *usage, const struct container *container)
{
	if (container->runtime == RUNTIME_HOST)
		return FALSE; /* has a row of its own */
	if (usage->options.wanted)
		return g_ptr_array_find((GPtrArray *)usage->options.wanted, container, NULL);
	return usage->options.all || container_is_container(container);
}

/* A death: whoever was born and has never been read, perhaps because it went in the middle of a reading. */
static void usage_died(void *user, guint64 cgroup_key)
{
	struct usage *usage = user;
	const struct container *owner;

	if (g_hash_table_remove(usage->born, &cgroup_key) && usage->missed_since->len < USAGE_MISSED_MAX) {
		owner = registry_by_cgroup(usage->registry, cgroup_key);
		/* In two hierarchies it dies twice; the registry buries it at once. */
		if (owner && owner->cgroup_key == cgroup_key && usage_wants(usage, owner))
			g_ptr_array_add(usage->missed_since, g_strdup(owner->name));
	}
	registry_note_death(usage->registry, cgroup_key);
}

gboolean usage_watch(struct usage *usage, GError **error)
{
	struct probe_listener listener = { .user = usage, .cgroup_born = usage_born, .cgroup_died = usage_died };
	const char *controller = cgroupfs_v1_controller(registry_cgroupfs(usage->registry));
	g_autoptr(GError) refused = NULL;

	if (usage->options.no_bpf)
		return TRUE;
	usage->tasks = tasks_open(controller, &listener, &refused);
	g_clear_pointer(&usage->why_not, g_free);
	if (usage->tasks) {
		usage->delay_accounting = procfs_delay_accounting(registry_root(usage->registry));
		/* Whoever was born between the first scan and now. */
		usage->scanned_ns = clock_monotonic_ns();
		return registry_refresh(usage->registry, error);
	}
	usage->why_not = g_strdup(refused->message);
	g_propagate_error(error, g_steal_pointer(&refused));
	return FALSE;
}

gboolean usage_is_watching(const struct usage *usage)
{
	return usage->tasks != NULL;
}

int usage_fd(const struct usage *usage)
{
	return usage->tasks ? tasks_fd(usage->tasks) : -1;
}

void usage_hear(struct usage *usage)
{
	if (usage->tasks)
		tasks_drain(usage->tasks);
}

void usage_set_all(struct usage *usage, gboolean all)
{
	usage->options.all = all;
	/* Who is left out now has not ended. */
	g_hash_table_remove_all(usage->entries);
}

/* ---- limits ---- */

static void tighten(guint64 *limit, char **of, guint64 other, const char *path)
{
	if (other == CGSTAT_UNKNOWN)
		return;
	if (*limit == CGSTAT_UNKNOWN || other < *limit) {
		*limit = other;
		g_free(*of);
		*of = other == CGSTAT_UNLIMITED ? NULL : g_strdup(path);
	}
}

static const struct cglimits *limits_above(struct usage *usage, const char *path)
{
	struct cglimits *limits = g_hash_table_lookup(usage->limits_above, path);

	if (!limits) {
		limits = g_new(struct cglimits, 1);
		cglimits_read(registry_cgroupfs(usage->registry), path, limits);
		g_hash_table_insert(usage->limits_above, g_strdup(path), limits);
	}
	return limits;
}

/* Limits of the cgroup and of all above it. */
static void entry_read_limits(struct usage *usage, struct entry *entry)
{
	const struct cgroupfs *cgroupfs = registry_cgroupfs(usage->registry);
	g_autofree char *path = g_strdup(entry->container->cgroup);

	cglimits_read(cgroupfs, path, &entry->limits);
	for (guint i = 0; i < G_N_ELEMENTS(entry->limit_of); i++)
		g_clear_pointer(&entry->limit_of[i], g_free);
	for (char *slash = strrchr(path, '/'); slash && slash > path; slash = strrchr(path, '/')) {
		const struct cglimits *above;

		*slash = '\0';
		above = limits_above(usage, path);
		tighten(&entry->limits.cpu_nanocores, &entry->limit_of[0], above->cpu_nanocores, path);
		tighten(&entry->limits.memory_bytes, &entry->limit_of[1], above->memory_bytes, path);
		tighten(&entry->limits.pids, &entry->limit_of[2], above->pids, path);
	}
}

/* ---- rows ---- */

#define PLAIN(gauge, member)                                                                                           \
	{                                                                                                              \
		gauge, G_STRUCT_OFFSET(struct cgstat, member)                                                          \
	}

static const struct {
	enum gauge gauge;
	gsize offset;
} stat_gauges[] = {
	PLAIN(GAUGE_CPU, cpu_ns),
	PLAIN(GAUGE_CPU_USER, cpu_user_ns),
	PLAIN(GAUGE_CPU_SYSTEM, cpu_system_ns),
	PLAIN(GAUGE_CPU_PERIODS, periods),
	PLAIN(GAUGE_CPU_PERIODS_THROTTLED, throttled_periods),
	PLAIN(GAUGE_CPU_THROTTLED, throttled_ns),
	PLAIN(GAUGE_CPU_BURST, burst_ns),
	PLAIN(GAUGE_MEMORY, memory_bytes),
	PLAIN(GAUGE_MEMORY_ANON, anon_bytes),
	PLAIN(GAUGE_MEMORY_FILE, file_bytes),
	PLAIN(GAUGE_MEMORY_KERNEL, kernel_bytes),
	PLAIN(GAUGE_MEMORY_SWAP, swap_bytes),
	PLAIN(GAUGE_MEMORY_DIRTY, dirty_bytes),
	PLAIN(GAUGE_MEMORY_WRITEBACK, writeback_bytes),
	PLAIN(GAUGE_MEMORY_EVENTS_HIGH, high_events),
	PLAIN(GAUGE_MEMORY_EVENTS_MAX, max_events),
	PLAIN(GAUGE_MEMORY_EVENTS_OOM, oom_events),
	PLAIN(GAUGE_OOM_KILLS, oom_kills),
	PLAIN(GAUGE_REFAULTS_ANON, refaults_anon),
	PLAIN(GAUGE_REFAULTS_FILE, refaults_file),
	PLAIN(GAUGE_PAGES_SCANNED, pages_scanned),
	PLAIN(GAUGE_FAULTS, faults),
	PLAIN(GAUGE_FAULTS_MAJOR, major_faults),
	PLAIN(GAUGE_PRESSURE_CPU_SOME, pressure[PRESSURE_CPU].some_ns),
	PLAIN(GAUGE_PRESSURE_CPU_FULL, pressure[PRESSURE_CPU].full_ns),
	PLAIN(GAUGE_PRESSURE_MEMORY_SOME, pressure[PRESSURE_MEMORY].some_ns),
	PLAIN(GAUGE_PRESSURE_MEMORY_FULL, pressure[PRESSURE_MEMORY].full_ns),
	PLAIN(GAUGE_PRESSURE_IO_SOME, pressure[PRESSURE_IO].some_ns),
	PLAIN(GAUGE_PRESSURE_IO_FULL, pressure[PRESSURE_IO].full_ns),
	PLAIN(GAUGE_PIDS, pids),
	PLAIN(GAUGE_PIDS_LIMIT_HITS, pids_limit_hits),
	PLAIN(GAUGE_IO_READ_BYTES, read_bytes),
	PLAIN(GAUGE_IO_WRITE_BYTES, write_bytes),
	PLAIN(GAUGE_IO_READS, reads),
	PLAIN(GAUGE_IO_WRITES, writes),
};

static void row_set_stat(struct gauge_row *row, const struct cgstat *stat)
{
	for (guint i = 0; i < G_N_ELEMENTS(stat_gauges); i++) {
		guint64 value = *(const guint64 *)((const char *)stat + stat_gauges[i].offset);

		if (value != CGSTAT_UNKNOWN)
			gauge_set(row, stat_gauges[i].gauge, value);
	}
	/* Two files, read one after the other. */
	if (stat->memory_bytes != CGSTAT_UNKNOWN && stat->inactive_file_bytes != CGSTAT_UNKNOWN)
		gauge_set(row, GAUGE_MEMORY_WORKING_SET,
			  stat->memory_bytes - MIN(stat->memory_bytes, stat->inactive_file_bytes));
}

static void row_set_limit(struct gauge_row *row, enum gauge gauge, guint64 limit)
{
	if (limit != CGSTAT_UNKNOWN && limit != CGSTAT_UNLIMITED)
		gauge_set(row, gauge, limit);
}

static void row_set_limits(struct gauges *gauges, struct gauge_row *row, const struct entry *entry)
{
	row_set_limit(row, GAUGE_CPU_LIMIT, entry->limits.cpu_nanocores);
	row_set_limit(row, GAUGE_CPU_WEIGHT, entry->limits.cpu_weight);
	row_set_limit(row, GAUGE_MEMORY_LIMIT, entry->limits.memory_bytes);
	row_set_limit(row, GAUGE_MEMORY_HIGH, entry->limits.memory_high_bytes);
	row_set_limit(row, GAUGE_PIDS_LIMIT, entry->limits.pids);
	gauges_set_text(gauges, row, GAUGE_TEXT_CPU_LIMIT_OF, entry->limit_of[0]);
	gauges_set_text(gauges, row, GAUGE_TEXT_MEMORY_LIMIT_OF, entry->limit_of[1]);
	gauges_set_text(gauges, row, GAUGE_TEXT_PIDS_LIMIT_OF, entry->limit_of[2]);
}

static void row_set_tasks(struct gauge_row *row, const struct entry *entry, gboolean delay_accounting)
{
	gauge_set(row, GAUGE_RUNQUEUE_WAIT, entry->tasks.run_delay_ns);
	if (delay_accounting)
		gauge_set(row, GAUGE_DISK_WAIT, entry->tasks.disk_delay_ns);
	gauge_set(row, GAUGE_SWITCHES_VOLUNTARY, entry->tasks.voluntary);
	gauge_set(row, GAUGE_SWITCHES_INVOLUNTARY, entry->tasks.involuntary);
	for (guint i = 0; i < TASKS_WAITS; i++)
		gauge_set(row, (enum gauge)(GAUGE_OFFCPU_OTHER + i), entry->tasks.offcpu_ns[i]);
	gauge_set(row, GAUGE_THREADS, entry->tasks.threads);
	gauge_set(row, GAUGE_PROCESSES, entry->tasks.processes);
}

static void row_set_traffic(struct gauge_row *row, const struct netdev_traffic *traffic)
{
	gauge_set(row, GAUGE_NET_RECEIVED_BYTES, traffic->received_bytes);
	gauge_set(row, GAUGE_NET_SENT_BYTES, traffic->sent_bytes);
	gauge_set(row, GAUGE_NET_RECEIVED_PACKETS, traffic->received_packets);
	gauge_set(row, GAUGE_NET_SENT_PACKETS, traffic->sent_packets);
	gauge_set(row, GAUGE_NET_DROPS, traffic->drops);
}

static gboolean is_same_traffic(const struct netdev_traffic *a, const struct netdev_traffic *b)
{
	return a->received_packets == b->received_packets && a->sent_packets == b->sent_packets &&
	       a->drops == b->drops && a->received_bytes == b->received_bytes && a->sent_bytes == b->sent_bytes;
}

/* Packets come and go without threads that run, too; so only of who has been still for a reading each is not looked at. */
static gboolean entry_read_traffic(const struct usage *usage, struct entry *entry)
{
	struct netdev_traffic now = { 0 };

	if (entry->net_fd < 0)
		return FALSE;
	if (usage->options.frugal && entry->has_traffic && entry->is_quiet && entry->is_still &&
	    (usage->serial + entry->turn) % USAGE_STILL_TURNS)
		return TRUE;
	if (!netdev_read(entry->net_fd, &now))
		return FALSE;
	entry->is_still = entry->has_traffic && is_same_traffic(&now, &entry->traffic);
	entry->traffic = now;
	entry->has_traffic = TRUE;
	return TRUE;
}

/* ---- network namespaces ---- */

#define NET_TRIES 3

static void entry_open_net(struct usage *usage, struct entry *entry)
{
	const char *root = registry_root(usage->registry);
	g_autoptr(GArray) pids = NULL;
	guint32 pid = entry->container->init_pid;

	if (entry->net_fd >= 0 || entry->net_namespace == usage->host_net_namespace || entry->net_tries >= NET_TRIES)
		return;
	if (!pid) {
		pids = g_array_new(FALSE, FALSE, sizeof(guint32));
		registry_pids(usage->registry, entry->container, pids);
		pid = pids->len ? g_array_index(pids, guint32, 0) : 0;
		if (!pid)
			return; /* nobody home yet */
	}
	entry->net_tries++;
	entry->net_namespace = procfs_namespace(root, pid, NAMESPACE_NET);
	if (entry->net_namespace && entry->net_namespace != usage->host_net_namespace)
		entry->net_fd = netdev_open(root, pid);
}

/* The open file would keep an empty container's network alive. */
static void entry_close_net(struct entry *entry)
{
	if (entry->net_fd >= 0)
		close(entry->net_fd);
	entry->net_fd = -1;
	entry->has_traffic = FALSE;
	entry->net_namespace = 0;
	entry->net_tries = 0;
}

/* `spaces`: inode → name of the first container seen in it. */
static void row_set_net(struct usage *usage, struct gauges *gauges, struct gauge_row *row, struct entry *entry,
			GHashTable *spaces)
{
	const char *other;

	if (entry->has_tasks && entry->tasks.threads == 0)
		entry_close_net(entry);
	else
		entry_open_net(usage, entry);
	if (!entry->net_namespace)
		return;
	if (entry->net_namespace == usage->host_net_namespace) {
		gauges_set_text(gauges, row, GAUGE_TEXT_NET_SHARED, "host");
		return;
	}
	other = g_hash_table_lookup(spaces, &entry->net_namespace);
	if (other)
		gauges_set_text(gauges, row, GAUGE_TEXT_NET_SHARED, other);
	else
		g_hash_table_insert(spaces, &entry->net_namespace, (gpointer)row->name);
	if (entry_read_traffic(usage, entry))
		row_set_traffic(row, &entry->traffic);
}

/* ---- reading ---- */

static struct entry *entry_new(struct usage *usage, const struct container *container)
{
	struct entry *entry = g_new0(struct entry, 1);

	entry->container = container;
	entry->cgroup_key = container->cgroup_key;
	entry->net_fd = -1;
	entry->turn = g_hash_table_size(usage->entries) % USAGE_TURNS;
	entry_read_limits(usage, entry);
	/* Not all in the same reading. */
	entry->limits_due_ns = clock_monotonic_ns() + USAGE_LIMITS_NS / USAGE_TURNS * (1 + entry->turn);
	return entry;
}

static struct entry *entry_get(struct usage *usage, const struct container *container)
{
	struct entry *entry = g_hash_table_lookup(usage->entries, container);

	if (entry && entry->cgroup_key != container->cgroup_key) {
		/* Another one at the same place in memory; or the same, found in a second hierarchy. */
		g_hash_table_remove(usage->entries, container);
		entry = NULL;
	}
	if (!entry) {
		entry = entry_new(usage, container);
		g_hash_table_insert(usage->entries, (gpointer)container, entry);
	}
	return entry;
}

static enum gauge_resource resource_of(const struct container *container)
{
	if (container_is_container(container))
		return GAUGE_RESOURCE_CONTAINER;
	return container->runtime == RUNTIME_SYSTEMD ? GAUGE_RESOURCE_UNIT : GAUGE_RESOURCE_CGROUP;
}

static void row_set_identity(struct gauges *gauges, struct gauge_row *row, const struct container *container)
{
	g_autofree char *pod = container->pod && container->pod_namespace
				       ? g_strdup_printf("%s/%s", container->pod_namespace, container->pod)
				       : g_strdup(container->pod);

	if (container_is_container(container) && container->runtime != RUNTIME_OTHER)
		gauges_set_text(gauges, row, GAUGE_TEXT_ID, container->id);
	gauges_set_text(gauges, row, GAUGE_TEXT_RUNTIME, container_runtime_name(container->runtime));
	gauges_set_text(gauges, row, GAUGE_TEXT_IMAGE, container->image);
	gauges_set_text(gauges, row, GAUGE_TEXT_POD, pod);
	gauges_set_text(gauges, row, GAUGE_TEXT_CGROUP, container->cgroup);
	if (container->start_realtime_ns)
		gauge_set(row, GAUGE_STARTED, container->start_realtime_ns);
}

/* Has none of its threads run since the last reading? */
static gboolean entry_was_idle(struct usage *usage, struct entry *entry)
{
	guint64 doings = entry->tasks.voluntary + entry->tasks.involuntary + entry->tasks.ended;
	gboolean idle = usage->tasks && doings == entry->doings && entry->tasks.threads == entry->threads &&
			!entry->tasks.running && !entry->tasks.blocked;

	entry->doings = doings;
	entry->threads = entry->tasks.threads;
	return idle;
}

/* FALSE when the cgroup has gone meanwhile. */
static gboolean read_container(struct usage *usage, struct gauges *gauges, const struct container *container,
			       GHashTable *spaces)
{
	struct entry *entry = entry_get(usage, container);
	struct gauge_row *row;
	struct cgstat stat;

	if (!entry->reader)
		entry->reader = cgstat_open(registry_cgroupfs(usage->registry), container->cgroup, &usage->budget);
	if (!entry->reader ||
	    !cgstat_read(entry->reader, entry->is_quiet && usage->serial % USAGE_TURNS != entry->turn, &stat))
		return FALSE;
	entry->resource = resource_of(container);
	row = gauges_add(gauges, entry->resource, container->cgroup_key, 0, container->name);
	if (!row)
		return FALSE;
	entry->serial = usage->serial;
	g_hash_table_remove(usage->born, &entry->cgroup_key);
	if (clock_monotonic_ns() >= entry->limits_due_ns) {
		entry_read_limits(usage, entry);
		entry->limits_due_ns = clock_monotonic_ns() + USAGE_LIMITS_NS;
	}
	row->parent = 0;
	row_set_identity(gauges, row, container);
	row_set_stat(row, &stat);
	row_set_limits(gauges, row, entry);
	if (usage->tasks)
		row_set_tasks(row, entry, usage->delay_accounting);
	row_set_net(usage, gauges, row, entry, spaces);
	return TRUE;
}

static void read_host(struct usage *usage, struct gauges *gauges)
{
	const struct container *container = registry_host(usage->registry);
	struct gauge_row *row = gauges_add(gauges, GAUGE_RESOURCE_HOST, 0, 0, container->name);
	struct netdev_traffic traffic;
	struct hoststat host;

	hoststat_read(usage->host, &host);
	row_set_stat(row, &host.stat);
	row_set_limit(row, GAUGE_MEMORY_LIMIT, host.memory_total_bytes);
	if (host.processors) {
		gauge_set(row, GAUGE_CPUS, host.processors);
		gauge_set(row, GAUGE_CPU_LIMIT, host.processors * NS_PER_S);
	}
	if (container->start_realtime_ns)
		gauge_set(row, GAUGE_STARTED, container->start_realtime_ns);
	if (usage->tasks)
		row_set_tasks(row, &usage->machine, usage->delay_accounting);
	if (usage->host_net_fd >= 0 && netdev_read(usage->host_net_fd, &traffic))
		row_set_traffic(row, &traffic);
}

static void sum_add(struct tasks_sum *into, const struct tasks_sum *from)
{
	into->run_delay_ns += from->run_delay_ns;
	into->disk_delay_ns += from->disk_delay_ns;
	into->voluntary += from->voluntary;
	into->involuntary += from->involuntary;
	into->ended += from->ended;
	for (guint i = 0; i < TASKS_WAITS; i++)
		into->offcpu_ns[i] += from->offcpu_ns[i];
}

static void entry_add_tasks(struct entry *entry, const struct tasks_sum *sum, guint32 generation)
{
	entry->has_tasks = TRUE;
	sum_add(&entry->tasks, sum);
	if (sum->generation != generation)
		return;
	entry->tasks.threads += sum->threads;
	entry->tasks.processes += sum->processes;
	entry->tasks.running += sum->running;
	entry->tasks.blocked += sum->blocked;
}

static void take_sum(void *user, guint64 cgroup_key, const struct tasks_sum *sum)
{
	struct usage *usage = user;
	const struct container *owner = registry_by_cgroup(usage->registry, cgroup_key);
	struct entry *entry = owner ? g_hash_table_lookup(usage->entries, owner) : NULL;
	guint32 generation = tasks_generation(usage->tasks);
	gboolean gone = sum->generation != generation && (!owner || !registry_is_alive(usage->registry, cgroup_key));

	entry_add_tasks(&usage->machine, sum, generation);
	if (entry)
		entry_add_tasks(entry, sum, generation);
	if (!gone)
		return;
	/* What it had stays with whom it belonged to; the kernel need not keep it. */
	sum_add(&usage->machine.buried, sum);
	if (entry)
		sum_add(&entry->buried, sum);
	tasks_forget(usage->tasks, cgroup_key);
}

static gboolean walk_tasks(struct usage *usage, GError **error)
{
	GHashTableIter entries;
	gpointer value;

	usage->machine.tasks = usage->machine.buried;
	g_hash_table_iter_init(&entries, usage->entries);
	while (g_hash_table_iter_next(&entries, NULL, &value)) {
		struct entry *entry = value;

		entry->tasks = entry->buried;
	}
	return tasks_walk(usage->tasks, take_sum, usage, error);
}

/* Entries for all who are wanted, so that the walk finds them. */
static void make_entries(struct usage *usage, const GPtrArray *living)
{
	for (guint i = 0; i < living->len; i++)
		if (usage_wants(usage, g_ptr_array_index(living, i)))
			entry_get(usage, g_ptr_array_index(living, i));
}

/* Those not seen in this reading are over: their last values, once more. */
static void bury_entries(struct usage *usage, struct gauges *gauges, struct gauges *before)
{
	GHashTableIter entries;
	gpointer value;

	g_hash_table_iter_init(&entries, usage->entries);
	while (g_hash_table_iter_next(&entries, NULL, &value)) {
		const struct entry *entry = value;
		struct gauge_row *then, *row;

		if (entry->serial == usage->serial)
			continue;
		then = gauges_find(before, entry->resource, entry->cgroup_key, 0);
		row = then ? gauges_copy(gauges, then) : NULL;
		if (row) {
			row->parent = GAUGE_NO_PARENT;
			row->dead = TRUE;
		}
		g_hash_table_iter_remove(&entries);
	}
}

/* A cgroup stands right before those in it: "/a", "/a/b", "/a-b". */
static int by_path(gconstpointer left, gconstpointer right)
{
	const char *a = (*(const struct container *const *)left)->cgroup;
	const char *b = (*(const struct container *const *)right)->cgroup;

	while (*a && *a == *b)
		a++, b++;
	return (*a == '/' ? 1 : (guchar)*a) - (*b == '/' ? 1 : (guchar)*b);
}

static gboolean is_below(const char *path, const char *above)
{
	gsize length = strlen(above);

	return strncmp(path, above, length) == 0 && path[length] == '/';
}

/* Where only some are wanted, cgroups below a unit's or a plain one have no entries. Those in a container count as its own. */
static gboolean all_below_is_known(const struct usage *usage, const struct container *container)
{
	return container_is_container(container) || (usage->options.all && !usage->options.wanted);
}

/* Files tell of a cgroup and all below it: it is quiet when all of that is. `living` stands in the order of paths. */
static void find_quiet(struct usage *usage, const GPtrArray *living)
{
	g_autoptr(GPtrArray) open = g_ptr_array_new(); /* of entries, each below the one before */

	for (guint i = 0; i < living->len; i++) {
		struct entry *entry = g_hash_table_lookup(usage->entries, g_ptr_array_index(living, i));

		if (!entry)
			continue;
		while (open->len &&
		       !is_below(entry->container->cgroup,
				 ((struct entry *)g_ptr_array_index(open, open->len - 1))->container->cgroup))
			g_ptr_array_set_size(open, (int)open->len - 1);
		entry->is_quiet = entry_was_idle(usage, entry) && all_below_is_known(usage, entry->container);
		for (guint above = 0; above < open->len && !entry->is_quiet; above++)
			((struct entry *)g_ptr_array_index(open, above))->is_quiet = FALSE;
		g_ptr_array_add(open, entry);
	}
}

/* Rows stand in the order of their paths: whom a row is part of stands before it. */
static void set_parents(struct gauges *gauges)
{
	g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(guint32));

	for (guint32 i = 1; i < gauges->rows->len; i++) {
		struct gauge_row *row = gauges_row(gauges, i);
		const char *path = row->texts[GAUGE_TEXT_CGROUP];

		if (row->dead || !path)
			continue;
		while (open->len && !is_below(path, gauges_row(gauges, g_array_index(open, guint32, open->len - 1))
							    ->texts[GAUGE_TEXT_CGROUP]))
			g_array_set_size(open, open->len - 1);
		row->parent = open->len ? g_array_index(open, guint32, open->len - 1) : 0;
		g_array_append_val(open, i);
	}
}

/* Files speak of a cgroup and all below it, sums over tasks of it alone: what is below is added. */
static void add_to_parents(struct gauges *gauges)
{
	static const enum gauge summed[] = {
		GAUGE_RUNQUEUE_WAIT, GAUGE_DISK_WAIT,	    GAUGE_SWITCHES_VOLUNTARY, GAUGE_SWITCHES_INVOLUNTARY,
		GAUGE_THREADS,	     GAUGE_PROCESSES,	    GAUGE_OFFCPU_OTHER,	      GAUGE_OFFCPU_FUTEX,
		GAUGE_OFFCPU_IO,     GAUGE_OFFCPU_NET,	    GAUGE_OFFCPU_POLL,	      GAUGE_OFFCPU_SLEEP,
		GAUGE_OFFCPU_PIPE,   GAUGE_OFFCPU_PAGEFAULT
	};

	for (guint32 i = gauges->rows->len; i-- > 1;) {
		const struct gauge_row *row = gauges_row(gauges, i);
		struct gauge_row *parent;

		if (row->dead || row->parent == GAUGE_NO_PARENT || row->parent == 0)
			continue; /* the host's sum has everything already */
		parent = gauges_row(gauges, row->parent);
		for (guint j = 0; j < G_N_ELEMENTS(summed); j++)
			if (gauge_is_known(row, summed[j]) && gauge_is_known(parent, summed[j]))
				parent->values[summed[j]] += row->values[summed[j]];
	}
}

static gboolean learn_births(struct usage *usage, GError **error)
{
	guint64 now_ns = clock_monotonic_ns();
	GPtrArray *before = usage->missed;

	usage_hear(usage);
	usage->missed = usage->missed_since;
	usage->missed_since = before;
	g_ptr_array_set_size(before, 0);
	if (usage->tasks && now_ns - usage->scanned_ns < USAGE_RESCAN_NS)
		return TRUE;
	if (usage->serial == 1 && registry_age_ns(usage->registry) < USAGE_FRESH_NS)
		return TRUE; /* the first screen need not wait for all cgroups to be looked at again */
	usage->scanned_ns = now_ns;
	usage->delay_accounting = procfs_delay_accounting(registry_root(usage->registry));
	return registry_refresh(usage->registry, error);
}

struct gauges *usage_read(struct usage *usage, GError **error)
{
	g_autoptr(GHashTable) spaces = g_hash_table_new(g_int64_hash, g_int64_equal);
	struct gauges *gauges = usage->readings[++usage->serial % 2];
	g_autoptr(GPtrArray) living = NULL;

	gauges_clear(gauges);
	if (!learn_births(usage, error))
		return NULL;
	living = registry_list_living(usage->registry);
	g_ptr_array_sort(living, by_path);
	make_entries(usage, living);
	if (usage->tasks && !walk_tasks(usage, error))
		return NULL;
	find_quiet(usage, living);
	g_hash_table_remove_all(usage->limits_above);
	read_host(usage, gauges);
	for (guint i = 0; i < living->len; i++) {
		const struct container *container = g_ptr_array_index(living, i);

		if (usage_wants(usage, container))
			read_container(usage, gauges, container, spaces);
	}
	set_parents(gauges);
	add_to_parents(gauges);
	bury_entries(usage, gauges, usage->readings[(usage->serial + 1) % 2]);
	return gauges;
}

const GPtrArray *usage_missed(const struct usage *usage)
{
	return usage->missed;
}

gboolean usage_processes(struct usage *usage, guint64 cgroup_key, gboolean threads, struct gauges *changes,
			 GError **error)
{
	return usage_tasks_read(usage->list, usage->tasks, cgroup_key, threads, changes, error);
}

void usage_processes_stop(struct usage *usage)
{
	usage_tasks_forget(usage->list);
}

void usage_account(struct usage *usage, struct ledger *ledger)
{
	if (!usage->tasks) {
		ledger->rung = g_strdup("cgroup files, /proc");
		ledger->misses = g_strdup_printf("run-queue wait of containers (%s)", usage->why_not);
		return;
	}
	ledger->rung = g_strdup("cgroup files, iter/task");
	tasks_losses(usage->tasks, ledger, NULL);
}
