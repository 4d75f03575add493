/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cgstat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"

#define FILE_BYTES_MAX (64 << 10) /* memory.stat has 2 KiB; io.stat one line a device */
#define PIECE_BYTES 3500 /* a page, less one record */
#define SECTOR_BYTES 512 /* of diskstats, whatever the device has */

/* ---- lines of "key value" ---- */

struct field {
	const char *key;
	gsize offset; /* of a guint64 in what is filled */
	guint64 scale; /* 0: 1 */
};

#define FIELD(key, member)                                                                                             \
	{                                                                                                              \
		key, G_STRUCT_OFFSET(struct cgstat, member), 1                                                         \
	}
#define SCALED(key, member, scale)                                                                                     \
	{                                                                                                              \
		key, G_STRUCT_OFFSET(struct cgstat, member), scale                                                     \
	}

static void value_set(void *out, gsize offset, guint64 value)
{
	guint64 *field = (guint64 *)((char *)out + offset);

	if (*field == CGSTAT_UNKNOWN)
		*field = value;
}

static void value_add(guint64 *sum, guint64 value)
{
	*sum = *sum == CGSTAT_UNKNOWN ? value : *sum + value;
}

/* The kernel writes the same keys in the same order each time: the search goes on where the last one ended. */
static void parse_fields(const char *text, const struct field *fields, guint count, void *out)
{
	guint next = 0;

	for (const char *line = text; *line;) {
		const char *space = line + strcspn(line, " :\n");
		gsize length = (gsize)(space - line);

		for (guint tried = 0; tried < count && *space != '\n'; tried++) {
			const struct field *field = &fields[(next + tried) % count];

			if (strncmp(field->key, line, length) != 0 || field->key[length] != '\0')
				continue;
			value_set(out, field->offset, g_ascii_strtoull(space + 1, NULL, 10) * MAX(field->scale, 1));
			next = (next + tried + 1) % count;
			break;
		}
		line = strchr(space, '\n');
		if (!line)
			return;
		line++;
	}
}

#define PARSER(name, ...)                                                                                              \
	static void name(const char *text, struct cgstat *stat)                                                        \
	{                                                                                                              \
		static const struct field fields[] = { __VA_ARGS__ };                                                  \
                                                                                                                       \
		parse_fields(text, fields, G_N_ELEMENTS(fields), stat);                                                \
	}

PARSER(parse_cpu_stat_v2, SCALED("usage_usec", cpu_ns, 1000), SCALED("user_usec", cpu_user_ns, 1000),
       SCALED("system_usec", cpu_system_ns, 1000), FIELD("nr_periods", periods),
       FIELD("nr_throttled", throttled_periods), SCALED("throttled_usec", throttled_ns, 1000),
       SCALED("burst_usec", burst_ns, 1000))
PARSER(parse_cpu_stat_v1, FIELD("nr_periods", periods), FIELD("nr_throttled", throttled_periods),
       FIELD("throttled_time", throttled_ns), FIELD("burst_time", burst_ns))
/* In the kernel's order. slab_* is part of kernel. */
PARSER(parse_memory_stat_v2, FIELD("anon", anon_bytes), FIELD("file", file_bytes), FIELD("kernel", kernel_bytes),
       FIELD("file_dirty", dirty_bytes), FIELD("file_writeback", writeback_bytes),
       FIELD("inactive_file", inactive_file_bytes), FIELD("workingset_refault_anon", refaults_anon),
       FIELD("workingset_refault_file", refaults_file), FIELD("pgscan", pages_scanned), FIELD("pgfault", faults),
       FIELD("pgmajfault", major_faults))
PARSER(parse_memory_stat_v1, FIELD("total_cache", file_bytes), FIELD("total_rss", anon_bytes),
       FIELD("total_dirty", dirty_bytes), FIELD("total_writeback", writeback_bytes),
       FIELD("total_workingset_refault_anon", refaults_anon), FIELD("total_workingset_refault_file", refaults_file),
       FIELD("total_swap", swap_bytes), FIELD("total_pgfault", faults), FIELD("total_pgmajfault", major_faults),
       FIELD("total_inactive_file", inactive_file_bytes))
PARSER(parse_memory_events, FIELD("high", high_events), FIELD("max", max_events), FIELD("oom", oom_events),
       FIELD("oom_kill", oom_kills))
PARSER(parse_oom_control, FIELD("oom_kill", oom_kills))
PARSER(parse_pids_events, FIELD("max", pids_limit_hits))

/* ---- one number ---- */

#define NUMBER(name, member)                                                                                           \
	static void name(const char *text, struct cgstat *stat)                                                        \
	{                                                                                                              \
		value_set(stat, G_STRUCT_OFFSET(struct cgstat, member), g_ascii_strtoull(text, NULL, 10));             \
	}

NUMBER(parse_cpuacct_usage, cpu_ns)
NUMBER(parse_cpuacct_user, cpu_user_ns)
NUMBER(parse_cpuacct_system, cpu_system_ns)
NUMBER(parse_memory_current, memory_bytes)
NUMBER(parse_memory_failcnt, max_events)
NUMBER(parse_memory_swap, swap_bytes)
NUMBER(parse_pids_current, pids)

/* ---- pressure and devices ---- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=12": microseconds. */
static void parse_pressure(const char *text, struct pressure *pressure)
{
	const char *some = g_str_has_prefix(text, "some ") ? strstr(text, "total=") : NULL;
	const char *full = strstr(text, "full ");

	if (some)
		pressure->some_ns = g_ascii_strtoull(some + strlen("total="), NULL, 10) * NS_PER_US;
	full = full ? strstr(full, "total=") : NULL;
	if (full)
		pressure->full_ns = g_ascii_strtoull(full + strlen("total="), NULL, 10) * NS_PER_US;
}

static void parse_cpu_pressure(const char *text, struct cgstat *stat)
{
	parse_pressure(text, &stat->pressure[PRESSURE_CPU]);
}

static void parse_memory_pressure(const char *text, struct cgstat *stat)
{
	parse_pressure(text, &stat->pressure[PRESSURE_MEMORY]);
}

static void parse_io_pressure(const char *text, struct cgstat *stat)
{
	parse_pressure(text, &stat->pressure[PRESSURE_IO]);
}

static guint64 *io_counter(struct cgstat *stat, const char *key, gsize length)
{
	const struct {
		const char *key;
		guint64 *sum;
	} counters[] = { { "rbytes", &stat->read_bytes },
			 { "wbytes", &stat->write_bytes },
			 { "rios", &stat->reads },
			 { "wios", &stat->writes } };

	for (guint i = 0; i < G_N_ELEMENTS(counters); i++)
		if (strlen(counters[i].key) == length && strncmp(counters[i].key, key, length) == 0)
			return counters[i].sum;
	return NULL;
}

static void io_known(struct cgstat *stat)
{
	value_add(&stat->read_bytes, 0);
	value_add(&stat->write_bytes, 0);
	value_add(&stat->reads, 0);
	value_add(&stat->writes, 0);
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0": no line means that nothing was done. */
static void parse_io_stat(const char *text, struct cgstat *stat)
{
	io_known(stat);
	for (const char *word = text; *word; word += strspn(word, " \n")) {
		gsize length = strcspn(word, "= \n");
		guint64 *sum = word[length] == '=' ? io_counter(stat, word, length) : NULL;

		if (sum)
			*sum += g_ascii_strtoull(word + length + 1, NULL, 10);
		word += strcspn(word, " \n");
	}
}

/* "8:0 Read 4096"; the line "Total …" is the sum of all. */
static void parse_blkio(const char *text, guint64 *reads, guint64 *writes)
{
	value_add(reads, 0);
	value_add(writes, 0);
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *word = line + strcspn(line, " \n");

		if (g_str_has_prefix(word, " Read "))
			*reads += g_ascii_strtoull(word + strlen(" Read "), NULL, 10);
		else if (g_str_has_prefix(word, " Write "))
			*writes += g_ascii_strtoull(word + strlen(" Write "), NULL, 10);
	}
}

static void parse_blkio_bytes(const char *text, struct cgstat *stat)
{
	parse_blkio(text, &stat->read_bytes, &stat->write_bytes);
}

static void parse_blkio_operations(const char *text, struct cgstat *stat)
{
	parse_blkio(text, &stat->reads, &stat->writes);
}

/* ---- files ---- */

/* Who changes what a file tells. */
enum source_kind {
	SOURCE_OWN = 0, /* only the threads of the cgroup, by running */
	SOURCE_ANYBODY = 1,
	SOURCE_WITH_MEMORY = 2, /* its threads, or reclaim, which shows in its memory */
	SOURCE_WRITEBACK = 3, /* its threads, reclaim, or the kernel writing out what is dirty */
};

struct source {
	const char *controller; /* of the hierarchy; "": unified */
	const char *file;
	void (*parse)(const char *text, struct cgstat *stat);
	enum source_kind kind;
	gsize skip_if_known; /* offset of a field: with it this file is not needed; 0 = none */
};

#define KNOWN(member) G_STRUCT_OFFSET(struct cgstat, member)

/* Read in this order; what an earlier one told is not replaced. On a hybrid machine CPU time of the unified hierarchy
 * is one file instead of three. (cpu_ns is at offset 0, so what comes with it stands for it.) */
static const struct source sources[] = {
	{ "", "cpu.stat", parse_cpu_stat_v2, SOURCE_OWN, 0 },
	{ "cpuacct", "cpuacct.usage", parse_cpuacct_usage, SOURCE_OWN, KNOWN(cpu_user_ns) },
	{ "cpuacct", "cpuacct.usage_user", parse_cpuacct_user, SOURCE_OWN, KNOWN(cpu_user_ns) },
	{ "cpuacct", "cpuacct.usage_sys", parse_cpuacct_system, SOURCE_OWN, KNOWN(cpu_system_ns) },
	{ "cpu", "cpu.stat", parse_cpu_stat_v1, SOURCE_OWN, 0 },
	{ "memory", "memory.usage_in_bytes", parse_memory_current, SOURCE_ANYBODY, 0 },
	{ "memory", "memory.stat", parse_memory_stat_v1, SOURCE_WITH_MEMORY, 0 },
	{ "memory", "memory.oom_control", parse_oom_control, SOURCE_OWN, 0 },
	{ "memory", "memory.failcnt", parse_memory_failcnt, SOURCE_OWN, 0 },
	{ "pids", "pids.current", parse_pids_current, SOURCE_OWN, 0 },
	{ "pids", "pids.events", parse_pids_events, SOURCE_OWN, 0 },
	{ "blkio", "blkio.throttle.io_service_bytes_recursive", parse_blkio_bytes, SOURCE_WRITEBACK, 0 },
	{ "blkio", "blkio.throttle.io_serviced_recursive", parse_blkio_operations, SOURCE_WRITEBACK, 0 },
	{ "", "memory.current", parse_memory_current, SOURCE_ANYBODY, 0 },
	{ "", "memory.stat", parse_memory_stat_v2, SOURCE_WITH_MEMORY, 0 },
	{ "", "memory.events", parse_memory_events, SOURCE_OWN, 0 },
	{ "", "memory.swap.current", parse_memory_swap, SOURCE_WITH_MEMORY, 0 },
	{ "", "pids.current", parse_pids_current, SOURCE_OWN, 0 },
	{ "", "pids.events", parse_pids_events, SOURCE_OWN, 0 },
	{ "", "io.stat", parse_io_stat, SOURCE_WRITEBACK, 0 },
	{ "", "cpu.pressure", parse_cpu_pressure, SOURCE_OWN, 0 },
	{ "", "memory.pressure", parse_memory_pressure, SOURCE_OWN, 0 },
	{ "", "io.pressure", parse_io_pressure, SOURCE_OWN, 0 },
};

enum {
	FILE_ABSENT = -1, /* not there */
	FILE_NOT_HELD = -2, /* there, but the budget is used up */
};

struct cgstat_reader {
	struct cgstat_budget *budget;
	const struct cgroupfs *cgroupfs;
	char *path;
	int fds[G_N_ELEMENTS(sources)];
	struct cgstat last;
	gboolean has_last;
};

/* The whole file into `buffer` with a NUL; -1 and errno when it cannot be read. */
static gssize fd_read(int fd, char *buffer, gsize size)
{
	gsize used = 0;

	while (used < size - 1) {
		ssize_t n = pread(fd, buffer + used, size - 1 - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (gsize)n;
		if (used < PIECE_BYTES) /* the kernel hands out whole files this small in one piece */
			break;
	}
	buffer[used] = '\0';
	return (gssize)used;
}

static int file_open(const struct cgroupfs *cgroupfs, const char *controller, const char *path, const char *file)
{
	const struct cgroup_hierarchy *hierarchy = cgroupfs_find(cgroupfs, controller);
	g_autofree char *directory = hierarchy ? cgroup_hierarchy_directory(hierarchy, path) : NULL;
	g_autofree char *name = directory ? g_build_filename(directory, file, NULL) : NULL;

	return name ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
}

/* A cgroup of that name in the unified hierarchy in which nobody lives says nothing about the one in v1. */
static gboolean unified_counts(const struct cgroupfs *cgroupfs, const char *path)
{
	char text[256];
	gssize bytes;
	int fd;

	if (!cgroupfs->unified || !cgroupfs->legacy)
		return cgroupfs->unified != NULL;
	fd = file_open(cgroupfs, "", path, "cgroup.events");
	if (fd < 0)
		return FALSE;
	bytes = fd_read(fd, text, sizeof(text));
	close(fd);
	return bytes > 0 && strstr(text, "populated 1");
}

static int source_open(struct cgstat_reader *reader, const struct source *source)
{
	int fd = file_open(reader->cgroupfs, source->controller, reader->path, source->file);

	if (fd < 0)
		return FILE_ABSENT;
	if (reader->budget->files_left == 0) {
		close(fd);
		return FILE_NOT_HELD;
	}
	reader->budget->files_left--;
	return fd;
}

struct cgstat_reader *cgstat_open(const struct cgroupfs *cgroupfs, const char *path, struct cgstat_budget *budget)
{
	struct cgstat_reader *reader = g_new0(struct cgstat_reader, 1);
	gboolean unified = unified_counts(cgroupfs, path), any = FALSE;

	reader->cgroupfs = cgroupfs;
	reader->path = g_strdup(path);
	reader->budget = budget;
	for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
		reader->fds[i] = *sources[i].controller || unified ? source_open(reader, &sources[i]) : FILE_ABSENT;
		any |= reader->fds[i] != FILE_ABSENT;
	}
	if (any)
		return reader;
	cgstat_close(reader);
	return NULL;
}

void cgstat_close(struct cgstat_reader *reader)
{
	if (!reader)
		return;
	for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
		if (reader->fds[i] < 0)
			continue;
		close(reader->fds[i]);
		reader->budget->files_left++;
	}
	g_free(reader->path);
	g_free(reader);
}

static gssize source_read(struct cgstat_reader *reader, guint i, char *buffer, gsize size)
{
	gssize bytes;
	int fd;

	if (reader->fds[i] >= 0)
		return fd_read(reader->fds[i], buffer, size);
	fd = file_open(reader->cgroupfs, sources[i].controller, reader->path, sources[i].file);
	if (fd < 0)
		return -1;
	bytes = fd_read(fd, buffer, size);
	close(fd);
	return bytes;
}

static void all_unknown(void *values, gsize bytes)
{
	memset(values, 0xff, bytes); /* CGSTAT_UNKNOWN */
}

static gboolean is_known(const struct cgstat *stat, gsize offset)
{
	return offset && *(const guint64 *)((const char *)stat + offset) != CGSTAT_UNKNOWN;
}

/* Reads the sources of some kinds (a bit each) into `stat`. */
static gboolean read_kinds(struct cgstat_reader *reader, guint kinds, struct cgstat *stat)
{
	char buffer[FILE_BYTES_MAX];
	gboolean any = FALSE;

	for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
		if (reader->fds[i] == FILE_ABSENT || !(kinds >> sources[i].kind & 1) ||
		    is_known(stat, sources[i].skip_if_known) || source_read(reader, i, buffer, sizeof(buffer)) < 0)
			continue; /* not asked for; gone, or switched off (pressure) */
		any = TRUE;
		sources[i].parse(buffer, stat);
	}
	return any;
}

/* What `stat` does not know, from the last reading. */
static void fill_from_last(const struct cgstat *last, struct cgstat *stat)
{
	for (gsize offset = 0; offset < sizeof(*stat); offset += sizeof(guint64))
		value_set(stat, offset, *(const guint64 *)((const char *)last + offset));
}

G_STATIC_ASSERT(sizeof(struct cgstat) % sizeof(guint64) == 0);

/* Those of a quiet cgroup that can have changed. */
static gboolean read_quiet(struct cgstat_reader *reader, struct cgstat *stat)
{
	const struct cgstat *last = &reader->last;
	gboolean any = read_kinds(reader, 1 << SOURCE_ANYBODY, stat);
	guint kinds = 0;

	if (!any)
		return FALSE;
	if (stat->memory_bytes != last->memory_bytes)
		kinds = 1 << SOURCE_WITH_MEMORY | 1 << SOURCE_WRITEBACK;
	else if (last->dirty_bytes || last->writeback_bytes) /* or not known */
		kinds = 1 << SOURCE_WRITEBACK;
	if (kinds)
		read_kinds(reader, kinds, stat);
	fill_from_last(last, stat);
	return TRUE;
}

gboolean cgstat_read(struct cgstat_reader *reader, gboolean quiet, struct cgstat *stat)
{
	const guint all = 1 << SOURCE_OWN | 1 << SOURCE_ANYBODY | 1 << SOURCE_WITH_MEMORY | 1 << SOURCE_WRITEBACK;

	all_unknown(stat, sizeof(*stat));
	/* Without a file that anybody changes there is nothing to tell a quiet cgroup from one that is gone. */
	reader->has_last = quiet && reader->has_last && reader->last.memory_bytes != CGSTAT_UNKNOWN
				   ? read_quiet(reader, stat)
				   : read_kinds(reader, all, stat);
	reader->last = *stat;
	return reader->has_last;
}

/* ---- limits ---- */

struct place {
	const struct cgroupfs *cgroupfs;
	const char *path;
};

static gboolean limit_text(const struct place *place, const char *controller, const char *file, char *buffer,
			   gsize size)
{
	int fd = file_open(place->cgroupfs, controller, place->path, file);
	gssize bytes;

	if (fd < 0)
		return FALSE;
	bytes = fd_read(fd, buffer, size);
	close(fd);
	return bytes > 0;
}

static void limit_number(const struct place *place, const char *controller, const char *file, guint64 *limit)
{
	char text[128];

	if (*limit == CGSTAT_UNKNOWN && limit_text(place, controller, file, text, sizeof(text)))
		*limit = g_str_has_prefix(text, "max") ? CGSTAT_UNLIMITED : g_ascii_strtoull(text, NULL, 10);
}

static guint64 nanocores(double quota, double period)
{
	return period > 0 ? (guint64)(quota / period * 1e9 + 0.5) : CGSTAT_UNKNOWN;
}

static void limit_cpu(const struct place *place, struct cglimits *limits)
{
	char quota[128], period[128], *end;

	if (limit_text(place, "cpu", "cpu.cfs_quota_us", quota, sizeof(quota)) &&
	    limit_text(place, "cpu", "cpu.cfs_period_us", period, sizeof(period)))
		limits->cpu_nanocores = quota[0] == '-'
						? CGSTAT_UNLIMITED
						: nanocores(g_ascii_strtod(quota, NULL), g_ascii_strtod(period, NULL));
	else if (limit_text(place, "", "cpu.max", quota, sizeof(quota))) { /* "max 100000" or "50000 100000" */
		double us = g_ascii_strtod(quota, &end);

		limits->cpu_nanocores =
			g_str_has_prefix(quota, "max") ? CGSTAT_UNLIMITED : nanocores(us, g_ascii_strtod(end, NULL));
	}
}

/* v1 writes "no limit" as the largest number of whole pages. */
#define V1_MEMORY_UNLIMITED (G_GUINT64_CONSTANT(1) << 62)

void cglimits_read(const struct cgroupfs *cgroupfs, const char *path, struct cglimits *limits)
{
	const struct place here = { cgroupfs, path }, *place = &here;

	all_unknown(limits, sizeof(*limits));
	limit_cpu(place, limits);
	limit_number(place, "cpu", "cpu.shares", &limits->cpu_weight);
	limit_number(place, "", "cpu.weight", &limits->cpu_weight);
	limit_number(place, "memory", "memory.limit_in_bytes", &limits->memory_bytes);
	if (limits->memory_bytes != CGSTAT_UNKNOWN && limits->memory_bytes >= V1_MEMORY_UNLIMITED)
		limits->memory_bytes = CGSTAT_UNLIMITED;
	limit_number(place, "", "memory.max", &limits->memory_bytes);
	limit_number(place, "", "memory.high", &limits->memory_high_bytes);
	limit_number(place, "pids", "pids.max", &limits->pids);
	limit_number(place, "", "pids.max", &limits->pids);
}

/* ---- the whole machine ---- */

struct host_source {
	const char *file;
	void (*parse)(const char *text, struct hoststat *host);
};

/* "cpu  user nice system idle iowait irq softirq steal guest guest_nice", in ticks; guest is part of user. */
static void host_cpu(const char *text, struct hoststat *host)
{
	guint64 tick_ns = NS_PER_S / (guint64)sysconf(_SC_CLK_TCK), ticks[8] = { 0 };
	const char *at = g_str_has_prefix(text, "cpu ") ? text + 4 : NULL;
	char *end;

	for (guint i = 0; at && i < G_N_ELEMENTS(ticks); i++, at = end)
		ticks[i] = g_ascii_strtoull(at, &end, 10);
	if (!at)
		return;
	host->stat.cpu_user_ns = (ticks[0] + ticks[1]) * tick_ns;
	host->stat.cpu_system_ns = (ticks[2] + ticks[5] + ticks[6]) * tick_ns;
	host->stat.cpu_ns = host->stat.cpu_user_ns + host->stat.cpu_system_ns;
	host->cpu_idle_ns = (ticks[3] + ticks[4]) * tick_ns;
	host->cpu_stolen_ns = ticks[7] * tick_ns;
	host->processors = 0;
	for (at = strstr(text, "\ncpu"); at; at = strstr(at + 1, "\ncpu"))
		host->processors++;
}

struct meminfo {
	guint64 total, available, anon, cached, slab, dirty, writeback, inactive_file, swap_total, swap_free;
};

#define MEMINFO(key, member)                                                                                           \
	{                                                                                                              \
		key, G_STRUCT_OFFSET(struct meminfo, member), 1024                                                     \
	}

static void host_meminfo(const char *text, struct hoststat *host)
{
	static const struct field fields[] = {
		MEMINFO("MemTotal", total),	  MEMINFO("MemAvailable", available),
		MEMINFO("Cached", cached),	  MEMINFO("Inactive(file)", inactive_file),
		MEMINFO("SwapTotal", swap_total), MEMINFO("SwapFree", swap_free),
		MEMINFO("Dirty", dirty),	  MEMINFO("Writeback", writeback),
		MEMINFO("AnonPages", anon),	  MEMINFO("Slab", slab),
	};
	struct meminfo info;

	all_unknown(&info, sizeof(info));
	parse_fields(text, fields, G_N_ELEMENTS(fields), &info);
	host->memory_total_bytes = info.total;
	host->stat.anon_bytes = info.anon;
	host->stat.file_bytes = info.cached;
	host->stat.kernel_bytes = info.slab;
	host->stat.dirty_bytes = info.dirty;
	host->stat.writeback_bytes = info.writeback;
	host->stat.inactive_file_bytes = 0; /* what is available is taken off already */
	if (info.total != CGSTAT_UNKNOWN && info.available != CGSTAT_UNKNOWN)
		host->stat.memory_bytes = info.total - MIN(info.available, info.total);
	if (info.swap_total != CGSTAT_UNKNOWN && info.swap_free != CGSTAT_UNKNOWN)
		host->stat.swap_bytes = info.swap_total - MIN(info.swap_free, info.swap_total);
}

static void host_vmstat(const char *text, struct hoststat *host)
{
	static const struct field fields[] = {
		FIELD("workingset_refault_anon", refaults_anon),
		FIELD("workingset_refault_file", refaults_file),
		FIELD("pgfault", faults),
		FIELD("pgmajfault", major_faults),
		FIELD("oom_kill", oom_kills),
	};

	parse_fields(text, fields, G_N_ELEMENTS(fields), &host->stat);
}

static void host_cpu_pressure(const char *text, struct hoststat *host)
{
	parse_pressure(text, &host->stat.pressure[PRESSURE_CPU]);
}

static void host_memory_pressure(const char *text, struct hoststat *host)
{
	parse_pressure(text, &host->stat.pressure[PRESSURE_MEMORY]);
}

static void host_io_pressure(const char *text, struct hoststat *host)
{
	parse_pressure(text, &host->stat.pressure[PRESSURE_IO]);
}

/* "0.00 0.00 0.00 running/threads last" */
static void host_loadavg(const char *text, struct hoststat *host)
{
	const char *slash = strchr(text, '/');

	if (slash)
		host->stat.pids = g_ascii_strtoull(slash + 1, NULL, 10);
}

/* A partition's name begins with its disk's; stacked devices would count twice. */
static gboolean is_whole_disk(const char *name, const char *disk)
{
	return !(*disk && g_str_has_prefix(name, disk)) && !g_str_has_prefix(name, "loop") &&
	       !g_str_has_prefix(name, "ram") && !g_str_has_prefix(name, "dm-") && !g_str_has_prefix(name, "md");
}

/* "major minor name reads merged sectors ms writes merged sectors ms …"; partitions follow their disk. */
static void host_diskstats(const char *text, struct hoststat *host)
{
	char name[64], disk[64] = "";

	io_known(&host->stat);
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *at = line;
		guint64 numbers[7] = { 0 };
		char *end;

		g_ascii_strtoull(at, &end, 10);
		g_ascii_strtoull(end, &end, 10);
		at = end + strspn(end, " ");
		g_strlcpy(name, at, MIN(sizeof(name), strcspn(at, " \n") + 1));
		at += strcspn(at, " \n");
		for (guint i = 0; i < G_N_ELEMENTS(numbers); i++, at = end)
			numbers[i] = g_ascii_strtoull(at, &end, 10);
		if (!is_whole_disk(name, disk))
			continue;
		g_strlcpy(disk, name, sizeof(disk));
		host->stat.reads += numbers[0];
		host->stat.read_bytes += numbers[2] * SECTOR_BYTES;
		host->stat.writes += numbers[4];
		host->stat.write_bytes += numbers[6] * SECTOR_BYTES;
	}
}

static const struct host_source host_sources[] = {
	{ "proc/stat", host_cpu },
	{ "proc/meminfo", host_meminfo },
	{ "proc/vmstat", host_vmstat },
	{ "proc/loadavg", host_loadavg },
	{ "proc/diskstats", host_diskstats },
	{ "proc/pressure/cpu", host_cpu_pressure },
	{ "proc/pressure/memory", host_memory_pressure },
	{ "proc/pressure/io", host_io_pressure },
};

struct hoststat_reader {
	int fds[G_N_ELEMENTS(host_sources)];
};

struct hoststat_reader *hoststat_open(const char *root)
{
	struct hoststat_reader *reader = g_new0(struct hoststat_reader, 1);

	for (guint i = 0; i < G_N_ELEMENTS(host_sources); i++) {
		g_autofree char *path = g_build_filename(root, host_sources[i].file, NULL);

		reader->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
	}
	return reader;
}

void hoststat_close(struct hoststat_reader *reader)
{
	if (!reader)
		return;
	for (guint i = 0; i < G_N_ELEMENTS(host_sources); i++)
		if (reader->fds[i] >= 0)
			close(reader->fds[i]);
	g_free(reader);
}

void hoststat_read(struct hoststat_reader *reader, struct hoststat *host)
{
	char buffer[FILE_BYTES_MAX];

	all_unknown(host, sizeof(*host));
	host->processors = 0;
	for (guint i = 0; i < G_N_ELEMENTS(host_sources); i++)
		if (reader->fds[i] >= 0 && fd_read(reader->fds[i], buffer, sizeof(buffer)) > 0)
			host_sources[i].parse(buffer, host);
}
