/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/vitals.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "kernel/cgroupfs.h"
#include "kernel/cpus.h"
#include "kernel/netstat.h"
#include "kernel/procfs.h"
#include "observe/narrow.h"
#include "observe/queues.h"
#include "observe/shaping.h"

#define VITALS_FILE_BYTES_MAX (64u << 10)
#define VITALS_PROCESSES_MAX 64 /* of a container, looked at for their files */
#define VITALS_COLLECTED_THREADS_LEAST 8 /* a process with threads that collect garbage has no fewer */
#define VITALS_FILES_MAX (1u << 20) /* of a process, counted */
#define VITALS_THREADS_MAX (1u << 18) /* of the machine, in files alone */

#define VITALS_LIMITS_NS (60 * NS_PER_S) /* CPUs and limits of I/O are read so often: somebody changes them by hand */

/* What need not be read again of a container. */
struct steady {
	guint32 serial; /* of the last reading that saw it */
	guint64 limits_due_ns;
	char *cpuset;
	struct gauge_row *limits; /* of I/O */
	guint64 doings; /* context switches until then */
	guint64 packets; /* of its network */
	gboolean has_doings, has_packets;
	struct gauge_row *found; /* of its processes and its network */
	char *qdisc; /* that dropped most there */
};

/* Waits of a container's threads, summed up since the first reading. */
struct waits {
	guint64 sum_ns;
	guint64 pressure_ns; /* cpu.pressure, as it was read last */
	gboolean has_pressure;
};

/* A thread's run-queue wait, as it was read last. */
struct thread_wait {
	guint64 delay_ns;
	guint32 serial;
};

struct vitals {
	struct registry *registry;
	const char *root; /* "" for the live system */
	GHashTable *threads; /* tid → struct thread_wait */
	GHashTable *waits; /* cgroup key → struct waits */
	guint64 waits_read_ns;
	GHashTable *steady; /* cgroup key → struct steady */
	struct narrow *narrow;
	guint32 readings;
	guint32 serial;
};

static void steady_free(gpointer data)
{
	struct steady *steady = data;

	g_free(steady->cpuset);
	g_free(steady->limits);
	g_free(steady->found);
	g_free(steady->qdisc);
	g_free(steady);
}

struct vitals *vitals_new(struct registry *registry)
{
	struct vitals *vitals = g_new0(struct vitals, 1);

	vitals->registry = registry;
	vitals->root = strcmp(registry_root(registry), "/") == 0 ? "" : registry_root(registry);
	vitals->threads = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	vitals->waits = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	vitals->steady = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, steady_free);
	vitals->narrow = narrow_new(registry);
	return vitals;
}

void vitals_free(struct vitals *vitals)
{
	if (!vitals)
		return;
	g_hash_table_unref(vitals->threads);
	g_hash_table_unref(vitals->waits);
	g_hash_table_unref(vitals->steady);
	narrow_free(vitals->narrow);
	g_free(vitals);
}

static void set_known(struct gauge_row *row, enum gauge gauge, guint64 value)
{
	if (value != NETSTAT_UNKNOWN)
		gauge_set(row, gauge, value);
}

/* ---- CPUs ---- */

/* Text of one of a cgroup's files; NULL when there is none. */
static char *cgroup_file(const struct vitals *vitals, const char *controller, const char *path, const char *name)
{
	const struct cgroup_hierarchy *hierarchy = cgroupfs_find(registry_cgroupfs(vitals->registry), controller);
	g_autofree char *directory = hierarchy ? cgroup_hierarchy_directory(hierarchy, path) : NULL;
	g_autofree char *file = directory ? g_build_filename(directory, name, NULL) : NULL;

	return file ? file_read(file, VITALS_FILE_BYTES_MAX, NULL, NULL) : NULL;
}

/* The CPUs a cgroup may use; the nearest one above that says so, "" (all) when none does. */
static char *cpuset_of(const struct vitals *vitals, const char *cgroup)
{
	static const char *const files[][2] = {
		{ "cpuset", "cpuset.effective_cpus" },
		{ "cpuset", "cpuset.cpus" },
		{ "", "cpuset.cpus.effective" },
	};
	g_autofree char *path = g_strdup(cgroup);

	for (;;) {
		char *slash;

		for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
			char *list = cgroup_file(vitals, files[i][0], path, files[i][1]);

			if (list && *g_strstrip(list))
				return list;
			g_free(list);
		}
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			return g_strdup("");
		*slash = '\0';
	}
}

static void row_set_cpuset(struct gauges *gauges, struct gauge_row *row, const struct cpus *cpus, const char *list)
{
	guint64 idle_ns = 0, count = 0;

	for (guint i = 0; i < cpus->each->len; i++) {
		const struct cpu_time *time = &g_array_index(cpus->each, struct cpu_time, i);

		if (!cpus_list_has(list, time->number))
			continue;
		idle_ns += cpu_time_idle_ns(time);
		count++;
	}
	if (count == 0)
		return;
	gauge_set(row, GAUGE_CPUSET, count);
	gauge_set(row, GAUGE_CPUSET_IDLE, idle_ns);
	gauges_set_text(gauges, row, GAUGE_TEXT_CPUSET, list);
}

static void row_set_machine(struct gauge_row *row, const struct cpus *cpus)
{
	guint64 idle_ns = 0, stolen_ns = 0;

	for (guint i = 0; i < cpus->each->len; i++) {
		const struct cpu_time *time = &g_array_index(cpus->each, struct cpu_time, i);

		idle_ns += cpu_time_idle_ns(time);
		stolen_ns += time->steal_ns;
	}
	gauge_set(row, GAUGE_CPU_IDLE, idle_ns);
	gauge_set(row, GAUGE_CPU_STOLEN, stolen_ns);
	gauge_set(row, GAUGE_CPUSET, cpus->each->len);
	gauge_set(row, GAUGE_CPUSET_IDLE, idle_ns);
}

/* ---- limits of I/O ---- */

static void lower(guint64 *least, guint64 value)
{
	if (value > 0)
		*least = MIN(*least, value);
}

/* v1: "8:0 1048576" a device. */
static void io_limit_v1(const struct vitals *vitals, struct gauge_row *row, const char *file, enum gauge gauge)
{
	g_autofree char *text = cgroup_file(vitals, "blkio", row->texts[GAUGE_TEXT_CGROUP], file);
	guint64 least = G_MAXUINT64;

	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		gsize length = strcspn(line, " \n");

		if (line[length] == ' ')
			lower(&least, g_ascii_strtoull(line + length, NULL, 10));
	}
	if (least != G_MAXUINT64)
		gauge_set(row, gauge, least);
}

/* v2: "8:0 rbps=1048576 wbps=max riops=max wiops=max" a device. */
static void io_limits_v2(const struct vitals *vitals, struct gauge_row *row)
{
	static const struct {
		const char *name;
		enum gauge gauge;
	} names[] = {
		{ " rbps=", GAUGE_IO_READ_LIMIT },
		{ " wbps=", GAUGE_IO_WRITE_LIMIT },
		{ " riops=", GAUGE_IO_READS_LIMIT },
		{ " wiops=", GAUGE_IO_WRITES_LIMIT },
	};
	g_autofree char *text = cgroup_file(vitals, "", row->texts[GAUGE_TEXT_CGROUP], "io.max");

	for (guint i = 0; text && i < G_N_ELEMENTS(names); i++) {
		guint64 least = G_MAXUINT64;

		for (const char *at = strstr(text, names[i].name); at; at = strstr(at + 1, names[i].name))
			lower(&least, g_ascii_strtoull(at + strlen(names[i].name), NULL, 10));
		if (least != G_MAXUINT64)
			gauge_set(row, names[i].gauge, least);
	}
}

static void row_set_io_limits(const struct vitals *vitals, struct gauge_row *row)
{
	io_limit_v1(vitals, row, "blkio.throttle.read_bps_device", GAUGE_IO_READ_LIMIT);
	io_limit_v1(vitals, row, "blkio.throttle.write_bps_device", GAUGE_IO_WRITE_LIMIT);
	io_limit_v1(vitals, row, "blkio.throttle.read_iops_device", GAUGE_IO_READS_LIMIT);
	io_limit_v1(vitals, row, "blkio.throttle.write_iops_device", GAUGE_IO_WRITES_LIMIT);
	io_limits_v2(vitals, row);
}

/* ---- processes ---- */

static guint count_files(const struct vitals *vitals, guint32 pid)
{
	g_autofree char *path = g_strdup_printf("%s/proc/%u/fd", vitals->root, pid);
	DIR *directory = opendir(path);
	guint count = 0;

	while (directory && count < VITALS_FILES_MAX) {
		const struct dirent *entry = readdir(directory);

		if (!entry)
			break;
		count += entry->d_name[0] != '.';
	}
	if (directory)
		closedir(directory);
	return count;
}

/* "Max open files            1024                 4096                 files": the soft one. 0: not known. */
static guint64 files_limit(const struct vitals *vitals, guint32 pid)
{
	static const char name[] = "Max open files";
	g_autofree char *path = g_strdup_printf("%s/proc/%u/limits", vitals->root, pid);
	g_autofree char *text = file_read(path, VITALS_FILE_BYTES_MAX, NULL, NULL);
	const char *line = text ? strstr(text, name) : NULL;

	return line ? g_ascii_strtoull(line + strlen(name), NULL, 10) : 0;
}

static void row_set_files(const struct vitals *vitals, struct gauge_row *row, const GArray *pids)
{
	guint64 most = 0, most_limit = 0;

	for (guint i = 0; i < pids->len && i < VITALS_PROCESSES_MAX; i++) {
		guint32 pid = g_array_index(pids, guint32, i);
		guint64 limit = files_limit(vitals, pid), files = limit ? count_files(vitals, pid) : 0;

		if (limit && (!most_limit || (double)files / (double)limit > (double)most / (double)most_limit)) {
			most = files;
			most_limit = limit;
		}
	}
	if (!most_limit)
		return;
	gauge_set(row, GAUGE_FILES, most);
	gauge_set(row, GAUGE_FILES_LIMIT, most_limit);
}

/* Threads that do nothing but collect garbage, by how their names begin (the kernel keeps 15 letters): HotSpot's
 * collectors, .NET's, Mono's and libgc's. In others (Go, V8, Python, Ruby) the program's own threads collect. */
static const char *const collectors[] = {
	"GC Thread#",	   "G1 ",	    "VM Thread",      "ZWorker",
	"XWorker",	   "Shenandoah GC", "GC task thread", ".NET Server GC",
	".NET Background", ".NET BGC",	    "SGen worker",    "GC-marker-",
};

static gboolean is_collector(int directory, const char *tid)
{
	g_autofree char *name = g_strdup_printf("%s/comm", tid);
	g_autofree char *comm = file_read_at(directory, name, VITALS_FILE_BYTES_MAX, NULL, NULL);

	for (guint i = 0; comm && i < G_N_ELEMENTS(collectors); i++)
		if (g_str_has_prefix(comm, collectors[i]))
			return TRUE;
	return FALSE;
}

/* CPU time of a process's collectors so far. */
static guint64 collectors_cpu_ns(const struct vitals *vitals, guint32 pid)
{
	g_autofree char *path = g_strdup_printf("%s/proc/%u/task", vitals->root, pid);
	const struct dirent *entry;
	guint64 sum_ns = 0;
	struct stat stat;
	DIR *directory;

	/* Each thread is a directory with a link to this one. */
	if (lstat(path, &stat) < 0 || stat.st_nlink < 2 + VITALS_COLLECTED_THREADS_LEAST)
		return 0;
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		g_autofree char *name = NULL, *text = NULL;

		if (!g_ascii_isdigit(entry->d_name[0]) || !is_collector(dirfd(directory), entry->d_name))
			continue;
		name = g_strdup_printf("%s/schedstat", entry->d_name);
		text = file_read_at(dirfd(directory), name, VITALS_FILE_BYTES_MAX, NULL, NULL);
		if (text)
			sum_ns += g_ascii_strtoull(text, NULL, 10);
	}
	if (directory)
		closedir(directory);
	return sum_ns;
}

static void row_set_collectors(const struct vitals *vitals, struct gauge_row *row, const GArray *pids)
{
	guint64 sum_ns = 0;

	for (guint i = 0; i < pids->len && i < VITALS_PROCESSES_MAX; i++)
		sum_ns += collectors_cpu_ns(vitals, g_array_index(pids, guint32, i));
	gauge_set(row, GAUGE_CPU_COLLECTORS, sum_ns);
}

static void row_set_netstat(const struct vitals *vitals, struct gauge_row *row, guint32 pid)
{
	struct netstat netstat;

	if (!netstat_read(*vitals->root ? vitals->root : "/", pid, &netstat))
		return;
	set_known(row, GAUGE_TCP_SEGMENTS_SENT, netstat.tcp_segments_sent);
	set_known(row, GAUGE_TCP_RETRANSMITS, netstat.tcp_retransmits);
	set_known(row, GAUGE_TCP_SPURIOUS, netstat.tcp_spurious);
	set_known(row, GAUGE_TCP_TIMEOUTS, netstat.tcp_timeouts);
	set_known(row, GAUGE_TCP_LISTEN_OVERFLOWS, netstat.tcp_listen_overflows);
	set_known(row, GAUGE_TCP_SYN_RETRANSMITS, netstat.tcp_syn_retransmits);
	set_known(row, GAUGE_TCP_ZERO_WINDOWS, netstat.tcp_zero_windows);
	set_known(row, GAUGE_UDP_OVERFLOWS, netstat.udp_overflows);
}

static void row_set_shaping(const struct shaping *shaping, struct gauge_row *row, guint32 pid, char **worst)
{
	struct shaped shaped;

	g_clear_pointer(worst, g_free);
	if (!shaping || !shaping_of(shaping, pid, &shaped))
		return;
	gauge_set(row, GAUGE_QDISC_PACKETS, shaped.packets);
	gauge_set(row, GAUGE_QDISC_DROPS, shaped.drops);
	*worst = shaped.worst;
}

/* ---- what stays as it is ---- */

static struct steady *steady_of(struct vitals *vitals, const struct gauge_row *row)
{
	struct steady *steady = g_hash_table_lookup(vitals->steady, &row->key);

	if (!steady) {
		steady = g_new0(struct steady, 1);
		steady->limits = g_new0(struct gauge_row, 1);
		steady->found = g_new0(struct gauge_row, 1);
		g_hash_table_insert(vitals->steady, g_memdup2(&row->key, sizeof(row->key)), steady);
	}
	steady->serial = vitals->readings;
	return steady;
}

static gboolean steady_is_gone(gpointer key G_GNUC_UNUSED, gpointer value, gpointer readings)
{
	return ((const struct steady *)value)->serial != GPOINTER_TO_UINT(readings);
}

static void row_take(struct gauge_row *row, const struct gauge_row *from)
{
	for (guint i = 0; i < GAUGES_COUNT; i++)
		if (gauge_is_known(from, (enum gauge)i))
			gauge_set(row, (enum gauge)i, from->values[i]);
}

static void steady_read_limits(const struct vitals *vitals, struct steady *steady, const struct gauge_row *row)
{
	guint64 now_ns = clock_monotonic_ns();
	struct gauge_row limits = { .texts[GAUGE_TEXT_CGROUP] = row->texts[GAUGE_TEXT_CGROUP] };

	if (steady->cpuset && now_ns < steady->limits_due_ns)
		return;
	/* Not all in the same reading. */
	steady->limits_due_ns = now_ns + VITALS_LIMITS_NS / 2 + row->key % 8 * (VITALS_LIMITS_NS / 16);
	g_free(steady->cpuset);
	steady->cpuset = cpuset_of(vitals, row->texts[GAUGE_TEXT_CGROUP]);
	row_set_io_limits(vitals, &limits);
	*steady->limits = limits;
}

/* Has no thread of it run since the last reading, nor its network carried anything? Then its processes have the files they
 * had. Where nobody tells of its threads that is not known. */
static gboolean steady_is_quiet(struct steady *steady, const struct gauge_row *row)
{
	guint64 voluntary, involuntary, received, sent;
	gboolean has_doings = gauge_get(row, GAUGE_SWITCHES_VOLUNTARY, &voluntary) &&
			      gauge_get(row, GAUGE_SWITCHES_INVOLUNTARY, &involuntary);
	gboolean has_packets =
		gauge_get(row, GAUGE_NET_RECEIVED_PACKETS, &received) && gauge_get(row, GAUGE_NET_SENT_PACKETS, &sent);
	guint64 doings = has_doings ? voluntary + involuntary : 0, packets = has_packets ? received + sent : 0;
	gboolean is_quiet = has_doings && steady->has_doings && doings == steady->doings &&
			    has_packets == steady->has_packets && packets == steady->packets;

	steady->doings = doings;
	steady->packets = packets;
	steady->has_doings = has_doings;
	steady->has_packets = has_packets;
	return is_quiet;
}

static void steady_read(const struct vitals *vitals, struct steady *steady, const struct gauge_row *row,
			const struct container *container, const struct shaping *shaping)
{
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	struct gauge_row found = { 0 };

	registry_pids(vitals->registry, container, pids);
	row_set_files(vitals, &found, pids);
	row_set_collectors(vitals, &found, pids);
	/* In a network namespace that is somebody else's, too, nobody can be told apart. */
	if (pids->len && !row->texts[GAUGE_TEXT_NET_SHARED]) {
		row_set_netstat(vitals, &found, g_array_index(pids, guint32, 0));
		row_set_shaping(shaping, &found, g_array_index(pids, guint32, 0), &steady->qdisc);
	}
	*steady->found = found;
}

static void vitals_add_container(struct vitals *vitals, struct gauges *gauges, struct gauge_row *row,
				 const struct cpus *cpus, const struct shaping *shaping)
{
	const struct container *container = registry_by_cgroup(vitals->registry, row->key);
	struct steady *steady;

	if (!container || !row->texts[GAUGE_TEXT_CGROUP])
		return;
	steady = steady_of(vitals, row);
	steady_read_limits(vitals, steady, row);
	if (!steady_is_quiet(steady, row))
		steady_read(vitals, steady, row, container, shaping);
	if (cpus)
		row_set_cpuset(gauges, row, cpus, steady->cpuset);
	row_take(row, steady->limits);
	row_take(row, steady->found);
	gauges_set_text(gauges, row, GAUGE_TEXT_QDISC, steady->qdisc);
}

void vitals_add(struct vitals *vitals, struct gauges *gauges)
{
	g_autoptr(cpus_t) cpus = cpus_read(*vitals->root ? vitals->root : "/", NULL);
	struct shaping *shaping = *vitals->root ? NULL : shaping_new();

	vitals->readings++;
	for (guint32 i = 0; i < gauges->rows->len; i++) {
		struct gauge_row *row = gauges_row(gauges, i);

		if (row->dead)
			continue;
		if (row->resource != GAUGE_RESOURCE_HOST)
			vitals_add_container(vitals, gauges, row, cpus, shaping);
		else if (cpus)
			row_set_machine(row, cpus);
	}
	g_hash_table_foreach_remove(vitals->steady, steady_is_gone, GUINT_TO_POINTER(vitals->readings));
	g_clear_pointer(&shaping, shaping_free);
	narrow_add(vitals->narrow, gauges);
	if (!*vitals->root)
		queues_add(vitals->registry, gauges, FALSE, NULL);
}

/* ---- waits of threads ---- */

/* "on-CPU run-delay timeslices", nanoseconds. */
static gboolean read_delay(int directory, const char *tid, guint64 *delay_ns)
{
	g_autofree char *name = g_strdup_printf("%s/schedstat", tid);
	g_autofree char *text = file_read_at(directory, name, VITALS_FILE_BYTES_MAX, NULL, NULL);
	char *end;

	if (!text)
		return FALSE;
	g_ascii_strtoull(text, &end, 10);
	*delay_ns = g_ascii_strtoull(end, NULL, 10);
	return TRUE;
}

/* A thread cannot have waited longer than this since the last reading. The kernel may take a sleep for a wait (probe/bpf/asleep.bpf.h),
 * in schedstat but not in cpu.pressure: time in which somebody waited, of each CPU, weighted by how long that was not idle.
 * Who waits for W in a time T has parts of W on each of n CPUs, so the pressure is W²/n² T and more. */
static guint64 longest_wait_ns(const struct vitals *vitals, const struct gauge_row *row, struct waits *waits,
			       guint64 now_ns)
{
	double elapsed_ns = vitals->waits_read_ns ? (double)(now_ns - vitals->waits_read_ns) : 0, bound_ns = elapsed_ns;
	guint64 before_ns = waits->pressure_ns;
	gboolean known = waits->has_pressure;

	waits->has_pressure = gauge_get(row, GAUGE_PRESSURE_CPU_SOME, &waits->pressure_ns);
	if (known && waits->has_pressure && waits->pressure_ns >= before_ns)
		bound_ns = (double)sysconf(_SC_NPROCESSORS_ONLN) *
			   sqrt((double)(waits->pressure_ns - before_ns) * elapsed_ns);
	return (guint64)MIN(bound_ns, elapsed_ns);
}

/* A thread born since the last reading has waited all of that since then; in the first reading nobody has. */
static guint64 thread_growth(struct vitals *vitals, guint tid, guint64 delay_ns)
{
	struct thread_wait *wait = g_hash_table_lookup(vitals->threads, GUINT_TO_POINTER(tid));
	guint64 before_ns = wait ? wait->delay_ns : vitals->serial == 1 ? delay_ns : 0;

	if (!wait) {
		if (g_hash_table_size(vitals->threads) >= VITALS_THREADS_MAX)
			return 0;
		wait = g_new0(struct thread_wait, 1);
		g_hash_table_insert(vitals->threads, GUINT_TO_POINTER(tid), wait);
	}
	wait->serial = vitals->serial;
	wait->delay_ns = delay_ns;
	/* Smaller: another thread of the same number. */
	return delay_ns < before_ns ? delay_ns : delay_ns - before_ns;
}

static guint64 process_growth(struct vitals *vitals, guint32 pid, guint64 longest_ns)
{
	g_autofree char *path = g_strdup_printf("%s/proc/%u/task", vitals->root, pid);
	DIR *directory = opendir(path);
	const struct dirent *entry;
	guint64 sum_ns = 0, delay_ns, growth_ns;

	while (directory && (entry = readdir(directory))) {
		if (!g_ascii_isdigit(entry->d_name[0]) || !read_delay(dirfd(directory), entry->d_name, &delay_ns))
			continue;
		growth_ns = thread_growth(vitals, (guint)g_ascii_strtoull(entry->d_name, NULL, 10), delay_ns);
		sum_ns += MIN(growth_ns, longest_ns);
	}
	if (directory)
		closedir(directory);
	return sum_ns;
}

static gboolean thread_is_gone(gpointer tid G_GNUC_UNUSED, gpointer value, gpointer serial)
{
	return ((const struct thread_wait *)value)->serial != GPOINTER_TO_UINT(serial);
}

static void row_add_waits(struct vitals *vitals, struct gauge_row *row, guint64 now_ns)
{
	const struct container *container = registry_by_cgroup(vitals->registry, row->key);
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	struct waits *waits = g_hash_table_lookup(vitals->waits, &row->key);
	guint64 longest_ns;

	if (!container)
		return;
	if (!waits) {
		waits = g_new0(struct waits, 1);
		g_hash_table_insert(vitals->waits, g_memdup2(&row->key, sizeof(row->key)), waits);
	}
	longest_ns = longest_wait_ns(vitals, row, waits, now_ns);
	registry_pids(vitals->registry, container, pids);
	for (guint i = 0; i < pids->len; i++)
		waits->sum_ns += process_growth(vitals, g_array_index(pids, guint32, i), longest_ns);
	gauge_set(row, GAUGE_RUNQUEUE_WAIT, waits->sum_ns);
}

void vitals_add_waits(struct vitals *vitals, struct gauges *gauges)
{
	guint64 now_ns = clock_monotonic_ns();

	vitals->serial++;
	for (guint32 i = 0; i < gauges->rows->len; i++) {
		struct gauge_row *row = gauges_row(gauges, i);

		if (!row->dead && row->resource != GAUGE_RESOURCE_HOST && !gauge_is_known(row, GAUGE_RUNQUEUE_WAIT))
			row_add_waits(vitals, row, now_ns);
	}
	vitals->waits_read_ns = now_ns;
	g_hash_table_foreach_remove(vitals->threads, thread_is_gone, GUINT_TO_POINTER(vitals->serial));
}
