/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/filter.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/file.h"
#include "probe/births.h"

#define FILTER_ENTRIES_MAX (1 << 20)

static const struct {
	const char *name;
	enum v1_controller value;
} filter_controllers[] = {
	{ "memory", V1_MEMORY },   { "pids", V1_PIDS },	      { "cpu", V1_CPU },
	{ "cpuacct", V1_CPUACCT }, { "devices", V1_DEVICES }, { "freezer", V1_FREEZER },
};

static guint32 filter_controller(const char *name)
{
	for (gsize i = 0; name && i < G_N_ELEMENTS(filter_controllers); i++)
		if (g_str_equal(name, filter_controllers[i].name))
			return filter_controllers[i].value;
	return V1_NONE;
}

/* How deep the kernel lets a stack be (kernel.perf_event_max_stack). */
static guint32 filter_depth(void)
{
	g_autofree char *text = file_read("/proc/sys/kernel/perf_event_max_stack", 64, NULL, NULL);
	guint64 depth = text ? g_ascii_strtoull(text, NULL, 10) : 0;

	return depth == 0 || depth > STACK_DEPTH ? STACK_DEPTH : depth;
}

void filter_values_init(struct filter_values *values, const struct probe_request *request)
{
	*values = (struct filter_values){
		.filter_on = request->filter,
		.filter_by_tgid = request->filter && request->tgid_count > 0,
		.v1_controller = filter_controller(request->v1_controller),
		.stack_user = !request->no_user,
		.stack_kernel = !request->no_kernel,
		.stack_by_thread = request->by_thread,
		.stack_depth = filter_depth(),
	};
	if (getrandom(values->stack_seed, sizeof(values->stack_seed), 0) != sizeof(values->stack_seed)) {
		values->stack_seed[0] = ((guint64)g_random_int() << 32) | g_random_int();
		values->stack_seed[1] = ((guint64)g_random_int() << 32) | g_random_int();
	}
}

static gboolean filter_size_map(struct bpf_object *object, const char *name, gsize entries, GError **error)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	int result = -ENOENT;

	if (map && entries <= FILTER_ENTRIES_MAX)
		result = bpf_map__set_max_entries(map, MAX(entries, 1));
	if (result == 0)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot make a filter of %" G_GSIZE_FORMAT " entries: %s",
		    entries, entries > FILTER_ENTRIES_MAX ? "too many" : g_strerror(-result));
	return FALSE;
}

gboolean filter_size(struct bpf_object *object, const struct probe_request *request, GError **error)
{
	return births_size(object, request, error) &&
	       filter_size_map(object, "filter_cgroups", request->filter ? request->cgroup_count : 0, error) &&
	       filter_size_map(object, "filter_tgids", request->filter ? request->tgid_count : 0, error);
}

static gboolean filter_put(struct bpf_object *object, const char *name, const void *key, guint8 wanted, GError **error)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);
	int result = bpf_map_update_elem(fd, key, &wanted, BPF_ANY);

	if (result == 0)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot fill the filter: %s", g_strerror(-result));
	return FALSE;
}

gboolean filter_fill(struct bpf_object *object, const struct probe_request *request, GError **error)
{
	if (!request->filter)
		return TRUE;
	for (gsize i = 0; i < request->cgroup_count; i++)
		if (!filter_put(object, "filter_cgroups", &request->cgroups[i].key, request->cgroups[i].wanted, error))
			return FALSE;
	for (gsize i = 0; i < request->tgid_count; i++)
		if (!filter_put(object, "filter_tgids", &request->tgids[i], 1, error))
			return FALSE;
	return TRUE;
}
