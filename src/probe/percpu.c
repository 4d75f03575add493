/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/percpu.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "probe/probe.h"

#define PERCPU_MAX 8192 /* as CONFIG_NR_CPUS at its largest */

/* Adds the CPUs of one range of the list, "0-3" or "5". */
static gboolean percpu_add_range(GArray *cpus, const char *range)
{
	char *end;
	gint64 first = g_ascii_strtoll(range, &end, 10);
	gint64 last = *end == '-' ? g_ascii_strtoll(end + 1, &end, 10) : first;

	if (*end != '\0' || first < 0 || last < first || last >= PERCPU_MAX)
		return FALSE;
	for (int cpu = first; cpu <= last; cpu++)
		g_array_append_val(cpus, cpu);
	return TRUE;
}

GArray *percpu_online(GError **error)
{
	g_autofree char *text = file_read("/sys/devices/system/cpu/online", 4096, NULL, error);
	g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(int));
	g_auto(GStrv) ranges = NULL;

	if (!text)
		return NULL;
	ranges = g_strsplit(g_strstrip(text), ",", -1);
	for (char **range = ranges; *range; range++) {
		if (!percpu_add_range(cpus, *range)) {
			g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "the list of online CPUs makes no sense");
			return NULL;
		}
	}
	return g_steal_pointer(&cpus);
}

int percpu_event_open(struct perf_event_attr *attr, int cpu)
{
	int fd = syscall(SYS_perf_event_open, attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}
