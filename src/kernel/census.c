/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/census.h"

#include <string.h>

#include "base/file.h"
#include "base/units.h"

#define CENSUS_FILE_BYTES_MAX (4u << 20)
#define SECTOR_BYTES 512

static char *census_file(const char *root, const char *name)
{
	g_autofree char *path = g_build_filename(root, name, NULL);

	return file_read(path, CENSUS_FILE_BYTES_MAX, NULL, NULL);
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

/* Up to `count` numbers from `text`; how many there were. */
static guint numbers_of(const char *text, guint64 *numbers, guint count)
{
	guint found = 0;
	char *end;

	for (; found < count; text = end) {
		numbers[found] = g_ascii_strtoull(text, &end, 10);
		if (end == text)
			break;
		found++;
	}
	return found;
}

/* ---- files of names and values ---- */

#define FIELD(file, name, member, scale)                                                                               \
	{                                                                                                              \
		file, name, G_STRUCT_OFFSET(struct census, member), scale                                              \
	}

static const struct {
	const char *file, *name; /* the name with all that stands before the value */
	gsize offset;
	guint64 scale;
} fields[] = {
	FIELD("proc/meminfo", "MemTotal:", memory_total, 1024),
	FIELD("proc/meminfo", "MemFree:", memory_free, 1024),
	FIELD("proc/meminfo", "MemAvailable:", memory_available, 1024),
	FIELD("proc/meminfo", "Buffers:", buffers, 1024),
	FIELD("proc/meminfo", "Cached:", cached, 1024),
	FIELD("proc/meminfo", "SReclaimable:", reclaimable, 1024),
	FIELD("proc/meminfo", "Shmem:", shared, 1024),
	FIELD("proc/meminfo", "SwapTotal:", swap_total, 1024),
	FIELD("proc/meminfo", "SwapFree:", swap_free, 1024),
	FIELD("proc/meminfo", "Dirty:", dirty, 1024),
	FIELD("proc/meminfo", "Writeback:", writeback, 1024),
	FIELD("proc/vmstat", "pgpgin ", paged_in, 1),
	FIELD("proc/vmstat", "pgpgout ", paged_out, 1),
	FIELD("proc/vmstat", "pswpin ", swapped_in, 1),
	FIELD("proc/vmstat", "pswpout ", swapped_out, 1),
	FIELD("proc/vmstat", "pgscan_direct ", scanned_direct, 1),
	FIELD("proc/vmstat", "oom_kill ", oom_kills, 1),
	FIELD("proc/sys/net/netfilter/nf_conntrack_count", "", conntrack, 1),
	FIELD("proc/sys/net/netfilter/nf_conntrack_max", "", conntrack_max, 1),
	FIELD("proc/sys/kernel/threads-max", "", threads_max, 1),
};

static guint64 *field_at(struct census *census, gsize offset)
{
	return (guint64 *)((char *)census + offset);
}

static void read_fields(const char *root, struct census *census)
{
	g_autofree char *text = NULL;
	const char *file = "";

	for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
		gsize length = strlen(fields[i].name);

		if (strcmp(file, fields[i].file) != 0) {
			g_free(text);
			file = fields[i].file;
			text = census_file(root, file);
		}
		for (const char *line = text; line && *line; line = next_line(line)) {
			guint64 number;

			if (strncmp(line, fields[i].name, length) != 0 || !numbers_of(line + length, &number, 1))
				continue;
			*field_at(census, fields[i].offset) = number * fields[i].scale;
			break;
		}
	}
}

/* ---- others ---- */

/* "0.52 0.58 0.59 3/1234 5678" and "12345.67 …" */
static void read_load(const char *root, struct census *census)
{
	g_autofree char *load = census_file(root, "proc/loadavg");
	g_autofree char *uptime = census_file(root, "proc/uptime");
	const char *slash = load ? strchr(load, '/') : NULL;
	char *at = load;

	for (guint i = 0; load && i < G_N_ELEMENTS(census->load_milli); i++)
		census->load_milli[i] = (guint64)(g_ascii_strtod(at, &at) * 1000 + 0.5);
	if (slash)
		census->threads = g_ascii_strtoull(slash + 1, NULL, 10);
	if (uptime)
		census->uptime_ns = (guint64)(g_ascii_strtod(uptime, NULL) * 1e9);
}

/* "allocated 0 most" */
static void read_files(const char *root, struct census *census)
{
	g_autofree char *text = census_file(root, "proc/sys/fs/file-nr");
	guint64 numbers[3];

	if (!text || numbers_of(text, numbers, 3) < 3)
		return;
	census->files = numbers[0];
	census->files_max = numbers[2];
}

/* "some avg10=… total=12345", microseconds */
static void read_pressure(const char *root, const char *name, guint64 *some_ns)
{
	g_autofree char *text = census_file(root, name);
	const char *total = text ? strstr(text, "total=") : NULL;

	if (total)
		*some_ns = g_ascii_strtoull(total + strlen("total="), NULL, 10) * NS_PER_US;
}

/* Threads that had to make room themselves, of every zone. */
static void read_stalls(const char *root, struct census *census)
{
	g_autofree char *text = census_file(root, "proc/vmstat");

	for (const char *line = text; line && *line; line = next_line(line)) {
		gsize length = strcspn(line, " ");

		if (!g_str_has_prefix(line, "allocstall_"))
			continue;
		if (census->stalled == CENSUS_UNKNOWN)
			census->stalled = 0;
		census->stalled += g_ascii_strtoull(line + length, NULL, 10);
	}
}

/* A line a CPU, hexadecimal: packets, drops, squeezes … */
static void read_softnet(const char *root, struct census *census)
{
	g_autofree char *text = census_file(root, "proc/net/softnet_stat");

	if (text)
		census->softnet_drops = census->softnet_squeezes = 0;
	for (const char *line = text; line && *line; line = next_line(line)) {
		char *at;

		g_ascii_strtoull(line, &at, 16);
		census->softnet_drops += g_ascii_strtoull(at, &at, 16);
		census->softnet_squeezes += g_ascii_strtoull(at, &at, 16);
	}
}

/* Partitions follow their disk; loop devices and RAM disks only count when they were used. */
static void read_disks(const char *root, struct census *census)
{
	g_autofree char *text = census_file(root, "proc/diskstats");
	char disk[CENSUS_NAME] = "";

	for (const char *line = text; line && *line; line = next_line(line)) {
		struct census_disk row = { 0 };
		guint64 n[11];
		const char *name;
		gsize length;
		char *at;

		g_ascii_strtoull(line, &at, 10);
		g_ascii_strtoull(at, &at, 10);
		name = at + strspn(at, " ");
		length = strcspn(name, " \n");
		g_strlcpy(row.name, name, MIN(sizeof(row.name), length + 1));
		if (numbers_of(name + length, n, G_N_ELEMENTS(n)) < G_N_ELEMENTS(n) || n[0] + n[4] == 0 ||
		    (*disk && g_str_has_prefix(row.name, disk)) || census->disks->len >= CENSUS_ROWS_MAX)
			continue;
		g_strlcpy(disk, row.name, sizeof(disk));
		row.reads = n[0];
		row.read_bytes = n[2] * SECTOR_BYTES;
		row.read_ns = n[3] * NS_PER_MS;
		row.writes = n[4];
		row.write_bytes = n[6] * SECTOR_BYTES;
		row.write_ns = n[7] * NS_PER_MS;
		row.in_flight = n[8];
		row.busy_ns = n[9] * NS_PER_MS;
		row.queued_ns = n[10] * NS_PER_MS;
		g_array_append_val(census->disks, row);
	}
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop …" */
static void read_nets(const char *root, struct census *census)
{
	g_autofree char *text = census_file(root, "proc/net/dev");

	for (const char *line = text; line && *line; line = next_line(line)) {
		const char *name = line + strspn(line, " "), *colon = strchr(name, ':');
		struct census_net row = { 0 };
		guint64 n[12];

		if (!colon || colon > strchrnul(name, '\n') || census->nets->len >= CENSUS_ROWS_MAX ||
		    numbers_of(colon + 1, n, G_N_ELEMENTS(n)) < G_N_ELEMENTS(n))
			continue;
		g_strlcpy(row.name, name, MIN(sizeof(row.name), (gsize)(colon - name) + 1));
		row.received_bytes = n[0];
		row.received_packets = n[1];
		row.received_errors = n[2];
		row.received_drops = n[3];
		row.sent_bytes = n[8];
		row.sent_packets = n[9];
		row.sent_errors = n[10];
		row.sent_drops = n[11];
		g_array_append_val(census->nets, row);
	}
}

struct census *census_read(const char *root)
{
	struct census *census = g_new(struct census, 1);

	memset(census, 0xff, sizeof(*census)); /* CENSUS_UNKNOWN */
	census->disks = g_array_new(FALSE, FALSE, sizeof(struct census_disk));
	census->nets = g_array_new(FALSE, FALSE, sizeof(struct census_net));
	census->cpus = cpus_read(root, NULL);
	read_fields(root, census);
	read_load(root, census);
	read_files(root, census);
	read_stalls(root, census);
	read_softnet(root, census);
	read_pressure(root, "proc/pressure/cpu", &census->pressure_cpu_ns);
	read_pressure(root, "proc/pressure/memory", &census->pressure_memory_ns);
	read_pressure(root, "proc/pressure/io", &census->pressure_io_ns);
	netstat_read(root, 1, &census->netstat);
	read_disks(root, census);
	read_nets(root, census);
	return census;
}

struct census *census_copy(const struct census *census)
{
	struct census *copy = g_memdup2(census, sizeof(*census));

	copy->disks = g_array_copy(census->disks);
	copy->nets = g_array_copy(census->nets);
	if (census->cpus) {
		copy->cpus = g_memdup2(census->cpus, sizeof(*census->cpus));
		copy->cpus->each = g_array_copy(census->cpus->each);
	}
	return copy;
}

void census_free(struct census *census)
{
	if (!census)
		return;
	cpus_free(census->cpus);
	g_array_unref(census->disks);
	g_array_unref(census->nets);
	g_free(census);
}

const struct census_disk *census_disk(const struct census *census, const char *name)
{
	for (guint i = 0; i < census->disks->len; i++)
		if (strcmp(g_array_index(census->disks, struct census_disk, i).name, name) == 0)
			return &g_array_index(census->disks, struct census_disk, i);
	return NULL;
}

const struct census_net *census_net(const struct census *census, const char *name)
{
	for (guint i = 0; i < census->nets->len; i++)
		if (strcmp(g_array_index(census->nets, struct census_net, i).name, name) == 0)
			return &g_array_index(census->nets, struct census_net, i);
	return NULL;
}
