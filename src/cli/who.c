/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/who.h"

#include "base/clock.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "kernel/procfs.h"

struct registry *who_registry(const char *command)
{
	g_autoptr(GError) error = NULL;
	struct registry *registry = source_registry(&error);

	if (!registry)
		command_complain(command, "%s", error->message);
	return registry;
}

static void add_once(GPtrArray *list, const struct container *container)
{
	if (!g_ptr_array_find(list, container, NULL))
		g_ptr_array_add(list, (gpointer)container);
}

static gboolean choose_targets(struct registry *registry, const char *command, char **texts, GPtrArray *chosen)
{
	g_autoptr(GPtrArray) targets = target_array_new();
	g_autoptr(GError) error = NULL;

	for (guint i = 0; texts[i]; i++) {
		if (!target_resolve(registry, texts[i], targets, &error)) {
			command_complain(command, "%s", error->message);
			return FALSE;
		}
	}
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind != TARGET_ALL)
			add_once(chosen, target->container);
	}
	return TRUE;
}

GPtrArray *who_choose(struct registry *registry, const char *command, char **targets, gboolean all)
{
	g_autoptr(GPtrArray) list = registry_list(registry), chosen = g_ptr_array_new();

	if (targets && targets[0] && !choose_targets(registry, command, targets, chosen))
		return NULL;
	if (chosen->len > 0)
		return g_steal_pointer(&chosen);
	for (guint i = 0; i < list->len; i++) {
		const struct container *container = g_ptr_array_index(list, i);

		if (!container->dead && (all || container_is_container(container)))
			g_ptr_array_add(chosen, (gpointer)container);
	}
	return g_steal_pointer(&chosen);
}

guint32 who_pid(struct registry *registry, const struct container *container)
{
	g_autoptr(GArray) pids = NULL;
	guint64 eldest_ticks = G_MAXUINT64;
	struct procfs_stat stat;
	guint32 eldest = 0;

	if (container->init_pid && procfs_stat_read(registry_root(registry), container->init_pid, &stat, NULL))
		return container->init_pid;
	pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	registry_pids(registry, container, pids);
	for (guint i = 0; i < pids->len; i++) {
		guint32 pid = g_array_index(pids, guint32, i);

		if (procfs_stat_read(registry_root(registry), pid, &stat, NULL) && stat.start_ticks < eldest_ticks) {
			eldest_ticks = stat.start_ticks;
			eldest = pid;
		}
	}
	return eldest;
}

char *who_age(guint64 start_realtime_ns)
{
	static const struct {
		guint64 seconds, until;
		const char *unit;
	} steps[] = {
		{ 1, 120, "s" },
		{ 60, 120 * 60, "min" },
		{ 3600, 48 * 3600, "h" },
		{ 86400, G_MAXUINT64, "d" },
	};
	guint64 now_ns = clock_realtime_ns(), seconds;
	guint step = 0;

	if (!start_realtime_ns)
		return NULL;
	seconds = now_ns > start_realtime_ns ? (now_ns - start_realtime_ns) / NS_PER_S : 0;
	while (seconds >= steps[step].until)
		step++;
	return g_strdup_printf("%" G_GUINT64_FORMAT " %s", seconds / steps[step].seconds, steps[step].unit);
}

void who_json(struct json_writer *json, const struct container *container)
{
	g_autofree char *key = g_strdup_printf("%" G_GUINT64_FORMAT, container->cgroup_key);

	json_string(json, "name", container->name);
	json_string(json, "id", container->id);
	json_string(json, "runtime", container_runtime_name(container->runtime));
	json_string(json, "image", container->image);
	json_string(json, "pod", container->pod);
	json_string(json, "pod_namespace", container->pod_namespace);
	json_string(json, "cgroup", container->cgroup);
	json_string(json, "cgroup_key", key); /* 64 bits: too wide for JSON numbers in many readers */
	if (container->start_realtime_ns)
		json_uint(json, "start_realtime_ns", container->start_realtime_ns);
	else
		json_null(json, "start_realtime_ns");
}
