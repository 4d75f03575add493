/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/usage_proc.h"

#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "kernel/procfs.h"

static gboolean record_read(const char *root, guint32 pid, struct tasks_record *record)
{
	guint64 tick_ns = NS_PER_S / (guint64)sysconf(_SC_CLK_TCK);
	struct procfs_usage usage;
	struct procfs_stat stat;

	if (!procfs_usage_read(root, pid, &stat, &usage))
		return FALSE;
	*record = (struct tasks_record){
		.start_ns = stat.start_ticks * tick_ns,
		.cpu_ns = (usage.user_ticks + usage.system_ticks) * tick_ns,
		.user_ns = usage.user_ticks * tick_ns,
		.system_ns = usage.system_ticks * tick_ns,
		.run_delay_ns = TASKS_UNKNOWN,
		.disk_delay_ns = TASKS_UNKNOWN,
		.voluntary = TASKS_UNKNOWN,
		.involuntary = TASKS_UNKNOWN,
		.faults = usage.faults + usage.major_faults,
		.major_faults = usage.major_faults,
		.read_bytes = TASKS_UNKNOWN,
		.write_bytes = TASKS_UNKNOWN,
		.rss_bytes = usage.rss_pages * (guint64)sysconf(_SC_PAGESIZE),
		.tgid = pid,
		.tid = pid,
		.state = stat.state,
	};
	g_strlcpy(record->comm, stat.comm, sizeof(record->comm));
	return TRUE;
}

void usage_proc_list(struct registry *registry, guint64 cgroup_key, tasks_record_fn each, void *user)
{
	g_autoptr(GPtrArray) living = registry_list_living(registry);
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	gboolean of_host = cgroup_key == registry_host(registry)->cgroup_key;

	for (guint i = 0; i < living->len; i++) {
		const struct container *container = g_ptr_array_index(living, i);

		if (cgroup_key && container->cgroup_key != cgroup_key &&
		    (!of_host || container_is_container(container)))
			continue;
		g_array_set_size(pids, 0);
		registry_pids(registry, container, pids);
		for (guint j = 0; j < pids->len; j++) {
			struct tasks_record record;

			if (!record_read(registry_root(registry), g_array_index(pids, guint32, j), &record))
				continue;
			record.cgroup_key = container->cgroup_key;
			each(user, &record);
		}
	}
}
