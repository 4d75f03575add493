/* SPDX-License-Identifier: Apache-2.0 */
/* fathom guest: started inside a container. What can be seen from in here: the container's own limits, use and losses; and
 * which of the usual tools show the host's values instead, so that nobody draws conclusions from them. */
#include <cap-ng.h>
#include <dirent.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "observe/look.h"
#include "cli/table.h"
#include "kernel/cgroupfs.h"
#include "kernel/cgstat.h"
#include "kernel/netdev.h"
#include "kernel/procfs.h"

#define GUEST_DURATION "1"
#define GUEST_DURATION_MAX_NS (3600 * NS_PER_S)
/* Inode of the first pid namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h. */
#define GUEST_PID_NAMESPACE 0xEFFFFFFCU
#define GUEST_MOUNTINFO_BYTES_MAX (4u << 20)

struct guest {
	guint64 duration_ns;
	struct cgroupfs *cgroupfs; /* NULL: none can be seen */
	char *path; /* of our cgroup, as we see it */
	struct cgstat before, now;
	struct cglimits limits;
	gboolean has_stat;
	struct netdev_traffic net_before, net_now;
	gboolean has_net;
	double seconds;
	guint processes;
};

gboolean guest_is_inside(void)
{
	guint64 inode = procfs_namespace("/", (guint32)getpid(), NAMESPACE_PID);

	capng_get_caps_process();
	return inode && inode != GUEST_PID_NAMESPACE && !capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) &&
	       !capng_have_capability(CAPNG_EFFECTIVE, CAP_BPF);
}

/* ---- values ---- */

enum guest_value {
	GUEST_CPUS,
	GUEST_QUOTA,
	GUEST_CPU,
	GUEST_CPU_OF_QUOTA,
	GUEST_THROTTLED,
	GUEST_CPU_PRESSURE,
	GUEST_MEMORY_LIMIT,
	GUEST_WORKING_SET,
	GUEST_MEMORY_FILL,
	GUEST_MEMORY_PRESSURE,
	GUEST_OOM_KILLS,
	GUEST_IO_PRESSURE,
	GUEST_PIDS,
	GUEST_PIDS_LIMIT,
	GUEST_PROCESSES,
	GUEST_RECEIVED,
	GUEST_SENT,
	GUEST_VALUES,
};

/* Limits of look_meta.limit: abnormal from there on. */
static const struct look_meta guest_metas[GUEST_VALUES] = {
	[GUEST_CPUS] = { "cpus", "CPUs it may run on", LOOK_UNIT_NUMBER, 0, FALSE, NULL },
	[GUEST_QUOTA] = { "cpu_quota", "CPU quota (CPUs)", LOOK_UNIT_NUMBER, 0, FALSE, NULL },
	[GUEST_CPU] = { "cpu_used", "CPU used (CPUs)", LOOK_UNIT_NUMBER, 0, FALSE, NULL },
	[GUEST_CPU_OF_QUOTA] = { "cpu_of_quota", "of what it may use", LOOK_UNIT_SHARE, 0.95, FALSE,
				 "all CPU time it may have is used up" },
	[GUEST_THROTTLED] = { "throttled_periods", "periods throttled", LOOK_UNIT_SHARE, 0.1, FALSE,
			      "it is stopped again and again because its quota is used up" },
	[GUEST_CPU_PRESSURE] = { "pressure_cpu", "time somebody waits for a CPU", LOOK_UNIT_SHARE, 0.5, FALSE,
				 "threads wait for CPUs: throttled, or others have them" },
	[GUEST_MEMORY_LIMIT] = { "memory_limit", "memory limit", LOOK_UNIT_BYTES, 0, FALSE, NULL },
	[GUEST_WORKING_SET] = { "memory_working_set", "working set", LOOK_UNIT_BYTES, 0, FALSE, NULL },
	[GUEST_MEMORY_FILL] = { "memory_of_limit", "working set, of the limit", LOOK_UNIT_SHARE, 0.9, FALSE,
				"little memory is left: the next large allocation may kill it" },
	[GUEST_MEMORY_PRESSURE] = { "pressure_memory", "time somebody waits for memory", LOOK_UNIT_SHARE, 0.05, FALSE,
				    "the memory limit is too small for what it works on" },
	[GUEST_OOM_KILLS] = { "oom_kills", "processes killed at the limit so far", LOOK_UNIT_NUMBER, 1, FALSE,
			      "processes were killed for lack of memory" },
	[GUEST_IO_PRESSURE] = { "pressure_io", "time somebody waits for I/O", LOOK_UNIT_SHARE, 0.2, FALSE,
				"threads wait for disks" },
	[GUEST_PIDS] = { "pids", "threads", LOOK_UNIT_NUMBER, 0, FALSE, NULL },
	[GUEST_PIDS_LIMIT] = { "pids_limit", "limit of threads", LOOK_UNIT_NUMBER, 0, FALSE, NULL },
	[GUEST_PROCESSES] = { "processes", "processes seen", LOOK_UNIT_NUMBER, 0, FALSE, NULL },
	[GUEST_RECEIVED] = { "received_bytes", "received", LOOK_UNIT_BYTES_PER_SECOND, 0, FALSE, NULL },
	[GUEST_SENT] = { "sent_bytes", "sent", LOOK_UNIT_BYTES_PER_SECOND, 0, FALSE, NULL },
};

static double level(guint64 value)
{
	return value == CGSTAT_UNKNOWN || value == CGSTAT_UNLIMITED ? NAN : (double)value;
}

static double grown(guint64 before, guint64 now)
{
	return before == CGSTAT_UNKNOWN || now == CGSTAT_UNKNOWN || now < before ? NAN : (double)(now - before);
}

static double pressure(const struct guest *guest, enum pressure_resource resource)
{
	return grown(guest->before.pressure[resource].some_ns, guest->now.pressure[resource].some_ns) / 1e9 /
	       guest->seconds;
}

static double effective_cpus(void)
{
	cpu_set_t *set = CPU_ALLOC(CPU_SETSIZE);
	double count = sched_getaffinity(0, CPU_ALLOC_SIZE(CPU_SETSIZE), set) == 0
			       ? CPU_COUNT_S(CPU_ALLOC_SIZE(CPU_SETSIZE), set)
			       : NAN;

	CPU_FREE(set);
	return count;
}

static void guest_values(const struct guest *guest, double *values)
{
	double periods = grown(guest->before.periods, guest->now.periods);

	for (guint i = 0; i < GUEST_VALUES; i++)
		values[i] = NAN;
	values[GUEST_CPUS] = effective_cpus();
	values[GUEST_PROCESSES] = guest->processes;
	if (guest->has_net) {
		values[GUEST_RECEIVED] =
			(double)(guest->net_now.received_bytes - guest->net_before.received_bytes) / guest->seconds;
		values[GUEST_SENT] =
			(double)(guest->net_now.sent_bytes - guest->net_before.sent_bytes) / guest->seconds;
	}
	if (!guest->has_stat)
		return;
	values[GUEST_QUOTA] = level(guest->limits.cpu_nanocores) / 1e9;
	values[GUEST_CPU] = grown(guest->before.cpu_ns, guest->now.cpu_ns) / 1e9 / guest->seconds;
	values[GUEST_CPU_OF_QUOTA] =
		values[GUEST_CPU] / (isnan(values[GUEST_QUOTA]) ? values[GUEST_CPUS] : values[GUEST_QUOTA]);
	values[GUEST_THROTTLED] =
		periods > 0 ? grown(guest->before.throttled_periods, guest->now.throttled_periods) / periods : NAN;
	values[GUEST_CPU_PRESSURE] = pressure(guest, PRESSURE_CPU);
	values[GUEST_MEMORY_PRESSURE] = pressure(guest, PRESSURE_MEMORY);
	values[GUEST_IO_PRESSURE] = pressure(guest, PRESSURE_IO);
	values[GUEST_MEMORY_LIMIT] = level(guest->limits.memory_bytes);
	values[GUEST_WORKING_SET] = level(guest->now.memory_bytes) - level(guest->now.inactive_file_bytes);
	values[GUEST_MEMORY_FILL] = values[GUEST_WORKING_SET] / values[GUEST_MEMORY_LIMIT];
	values[GUEST_OOM_KILLS] = level(guest->now.oom_kills);
	values[GUEST_PIDS] = level(guest->now.pids);
	values[GUEST_PIDS_LIMIT] = level(guest->limits.pids);
}

/* ---- what the usual tools show in here ---- */

static const struct {
	const char *tool, *file, *instead;
} tools[] = {
	{ "free, MemTotal", "/proc/meminfo", "memory limit and working set above" },
	{ "mpstat, top's CPU line", "/proc/stat", "CPU used and quota above" },
	{ "uptime, load averages", "/proc/loadavg", "pressure above" },
	{ "iostat", "/proc/diskstats", "time somebody waits for I/O above" },
};

/* Something such as lxcfs lies over the file and shows the container's values. */
static gboolean is_overlaid(const char *mountinfo, const char *file)
{
	g_autofree char *mount = g_strdup_printf(" %s ", file);

	return mountinfo && strstr(mountinfo, mount) != NULL;
}

/* ---- measuring ---- */

static guint count_processes(void)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	guint count = 0;

	while (proc && (entry = readdir(proc)))
		count += g_ascii_isdigit(entry->d_name[0]);
	if (proc)
		closedir(proc);
	return count;
}

/* Our cgroup, by the controller that knows most. */
static char *own_path(const struct cgroupfs *cgroupfs)
{
	static const char *const wanted[] = { "memory", "cpu", "" };
	g_autoptr(GArray) cgroups = procfs_cgroups_read("/", (guint32)getpid(), NULL);

	for (guint i = 0; cgroups && i < G_N_ELEMENTS(wanted); i++) {
		if (!cgroupfs_find(cgroupfs, wanted[i]))
			continue;
		for (guint j = 0; j < cgroups->len; j++) {
			const struct procfs_cgroup *cgroup = &g_array_index(cgroups, struct procfs_cgroup, j);
			g_auto(GStrv) names = g_strsplit(cgroup->controllers, ",", -1);

			if (g_strv_contains((const char *const *)names, wanted[i]) ||
			    (!*wanted[i] && !*cgroup->controllers))
				return g_strdup(cgroup->path);
		}
	}
	return NULL;
}

static void guest_measure(struct guest *guest)
{
	struct cgstat_budget budget = { .files_left = 32 };
	struct cgstat_reader *reader = NULL;
	int net = netdev_open("/", (guint32)getpid());
	guint64 began_ns;

	guest->cgroupfs = cgroupfs_open("/", NULL);
	guest->path = guest->cgroupfs ? own_path(guest->cgroupfs) : NULL;
	if (guest->path)
		reader = cgstat_open(guest->cgroupfs, guest->path, &budget);
	guest->has_stat = reader && cgstat_read(reader, FALSE, &guest->before);
	guest->has_net = net >= 0 && netdev_read(net, &guest->net_before);
	began_ns = clock_monotonic_ns();
	poll(NULL, 0, (int)(guest->duration_ns / NS_PER_MS));
	guest->seconds = (double)(clock_monotonic_ns() - began_ns) / 1e9;
	guest->has_stat = guest->has_stat && cgstat_read(reader, FALSE, &guest->now);
	guest->has_net = guest->has_net && netdev_read(net, &guest->net_now);
	if (guest->has_stat)
		cglimits_read(guest->cgroupfs, guest->path, &guest->limits);
	guest->processes = count_processes();
	cgstat_close(reader);
	if (net >= 0)
		close(net);
}

/* ---- outputs ---- */

static guint count_marks(const double *values)
{
	guint marks = 0;

	for (guint i = 0; i < GUEST_VALUES; i++)
		marks += look_is_abnormal(&guest_metas[i], values[i]);
	return marks;
}

static void guest_print(const double *values, const char *mountinfo)
{
	table_print_wrapped(stdout, "Inside a container, without the rights to look out of it. Seen from here:\n");
	for (guint i = 0; i < GUEST_VALUES; i++) {
		const struct look_meta *meta = &guest_metas[i];
		gboolean abnormal = look_is_abnormal(meta, values[i]);
		g_autofree char *text = look_format(meta->unit, values[i]);

		table_print_wrapped(stdout, "  %-37s  %s%s\n", meta->label,
				    !isnan(values[i]) ? text
				    : i == GUEST_QUOTA || i == GUEST_MEMORY_LIMIT || i == GUEST_PIDS_LIMIT
					    ? "none that can be seen"
					    : "not known",
				    abnormal ? "!" : "");
	}
	for (guint i = 0; i < GUEST_VALUES; i++)
		if (look_is_abnormal(&guest_metas[i], values[i]))
			table_print_wrapped(stdout, "! %s: %s\n", guest_metas[i].label, guest_metas[i].meaning);
	puts("\nThe usual tools in here:");
	for (guint i = 0; i < G_N_ELEMENTS(tools); i++)
		table_print_wrapped(stdout, "  %-23s  %s\n", tools[i].tool,
				    is_overlaid(mountinfo, tools[i].file)
					    ? "this container's values (something stands in for the file)"
					    : "THE HOST'S values, not this container's");
	table_print_wrapped(
		stdout,
		"\nNot to be seen from here: neighbours, who has the CPUs and disks meanwhile, the host's processes, kernel "
		"stacks.\nOn the host: sudo fathom diagnose\n");
}

static void guest_print_json(const struct guest *guest, const double *values, const char *mountinfo)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_bool(&json, "guest", TRUE);
	json_double(&json, "interval_s", guest->seconds);
	json_begin_object(&json, "values");
	for (guint i = 0; i < GUEST_VALUES; i++) {
		json_begin_object(&json, guest_metas[i].name);
		json_double(&json, "value", values[i]); /* NAN: null */
		json_bool(&json, "abnormal", look_is_abnormal(&guest_metas[i], values[i]));
		json_end_object(&json);
	}
	json_end_object(&json);
	json_begin_array(&json, "tools");
	for (guint i = 0; i < G_N_ELEMENTS(tools); i++) {
		json_begin_object(&json, NULL);
		json_string(&json, "tool", tools[i].tool);
		json_string(&json, "file", tools[i].file);
		json_bool(&json, "shows_host", !is_overlaid(mountinfo, tools[i].file));
		json_string(&json, "instead", tools[i].instead);
		json_end_object(&json);
	}
	json_end_array(&json);
	json_end_object(&json);
	puts(out->str);
}

static enum exit_status guest_status(const struct guest *guest, const double *values,
				     const struct guest_options *options)
{
	if (!options->is_diagnosis)
		return EXIT_OK;
	if (count_marks(values))
		return EXIT_FAILED;
	return guest->has_stat && options->files ? EXIT_OK : EXIT_INCONCLUSIVE;
}

int guest_show(const struct guest_options *options)
{
	g_autofree char *mountinfo = file_read("/proc/self/mountinfo", GUEST_MOUNTINFO_BYTES_MAX, NULL, NULL);
	const char *duration = options->duration ? options->duration : GUEST_DURATION;
	struct guest guest = { 0 };
	double values[GUEST_VALUES];

	if (!units_parse_duration(duration, NS_PER_S, &guest.duration_ns) ||
	    guest.duration_ns > GUEST_DURATION_MAX_NS || guest.duration_ns < NS_PER_MS) {
		command_complain(options->command, "a duration of \"%s\" makes no sense: give 1ms to 1h", duration);
		return EXIT_USAGE;
	}
	guest_measure(&guest);
	guest_values(&guest, values);
	if (options->json) {
		guest_print_json(&guest, values, mountinfo);
	} else {
		fputs(options->markdown ? "```text\n" : "", stdout);
		guest_print(values, mountinfo);
		fputs(options->markdown ? "```\n" : "", stdout);
	}
	if (guest.cgroupfs)
		cgroupfs_free(guest.cgroupfs);
	g_free(guest.path);
	return guest_status(&guest, values, options);
}

int cmd_guest(int argc, char **argv)
{
	struct guest_options options = { .command = "guest" };
	g_autofree char *duration = NULL;
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &duration,
		  "How long to look: seconds, or with a unit (default " GUEST_DURATION ")", "SECONDS" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "One JSON object", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	int status;

	g_option_context_set_summary(
		context, "Inside a container: its own limits, use and losses, and which tools show the host's\n"
			 "values instead. diagnose, host and use do this when they are started in there.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	if (argc > 1) {
		command_complain("guest",
				 "it takes no arguments, but there is \"%s\": this is about the container it runs in",
				 argv[1]);
		return EXIT_USAGE;
	}
	options.duration = duration;
	return guest_show(&options);
}
