/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/cpus.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/units.h"

#define CPUS_STAT_BYTES_MAX (16u << 20) /* the line of interrupts is long */

/* "cpu3 user nice system idle iowait irq softirq steal guest guest_nice", in ticks. */
static void cpus_line(const char *at, struct cpus *cpus)
{
	guint64 tick_ns = NS_PER_S / (guint64)sysconf(_SC_CLK_TCK);
	guint64 ticks[8] = { 0 };
	struct cpu_time time;
	char *end;

	time.number = (guint32)g_ascii_strtoull(at, &end, 10);
	for (guint i = 0; i < G_N_ELEMENTS(ticks); i++)
		ticks[i] = g_ascii_strtoull(end, &end, 10) * tick_ns;
	time.user_ns = ticks[0];
	time.nice_ns = ticks[1];
	time.system_ns = ticks[2];
	time.idle_ns = ticks[3];
	time.iowait_ns = ticks[4];
	time.irq_ns = ticks[5];
	time.softirq_ns = ticks[6];
	time.steal_ns = ticks[7];
	if (cpus->each->len < CPUS_MAX)
		g_array_append_val(cpus->each, time);
}

struct cpus *cpus_read(const char *root, GError **error)
{
	g_autofree char *path = g_build_filename(root, "proc/stat", NULL);
	g_autofree char *text = file_read(path, CPUS_STAT_BYTES_MAX, NULL, error);
	struct cpus *cpus;

	if (!text)
		return NULL;
	cpus = g_new0(struct cpus, 1);
	cpus->each = g_array_new(FALSE, FALSE, sizeof(struct cpu_time));
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		if (g_str_has_prefix(line, "cpu") && g_ascii_isdigit(line[3]))
			cpus_line(line + 3, cpus);
		else if (g_str_has_prefix(line, "procs_running "))
			cpus->running = g_ascii_strtoull(line + strlen("procs_running "), NULL, 10);
		else if (g_str_has_prefix(line, "procs_blocked "))
			cpus->blocked = g_ascii_strtoull(line + strlen("procs_blocked "), NULL, 10);
		else if (g_str_has_prefix(line, "ctxt "))
			cpus->switches = g_ascii_strtoull(line + strlen("ctxt "), NULL, 10);
		else if (g_str_has_prefix(line, "intr "))
			cpus->interrupts = g_ascii_strtoull(line + strlen("intr "), NULL, 10);
		else if (g_str_has_prefix(line, "processes "))
			cpus->forks = g_ascii_strtoull(line + strlen("processes "), NULL, 10);
	}
	return cpus;
}

void cpus_free(struct cpus *cpus)
{
	if (!cpus)
		return;
	g_array_unref(cpus->each);
	g_free(cpus);
}

gboolean cpus_list_has(const char *list, guint32 cpu)
{
	const char *at = list + strspn(list, " \n");

	if (!*at)
		return TRUE;
	while (g_ascii_isdigit(*at)) {
		char *end;
		guint64 low = g_ascii_strtoull(at, &end, 10), high = low;

		if (*end == '-')
			high = g_ascii_strtoull(end + 1, &end, 10);
		if (cpu >= low && cpu <= high)
			return TRUE;
		at = *end == ',' ? end + 1 : end;
	}
	return FALSE;
}
