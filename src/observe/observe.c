/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/observe.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "kernel/cgroupfs.h"
#include "observe/weave.h"
#include "symbol/symbolizer.h"

#define OBSERVE_TICK_MS 100

gboolean observe_target(struct registry *registry, const char *text, GPtrArray *targets, GError **error)
{
	g_autoptr(GPtrArray) all = NULL;
	guint before = targets->len;

	if (strcmp(text, "busiest") != 0)
		return target_resolve(registry, text, targets, error);
	all = registry_list(registry);
	for (guint i = 0; i < all->len; i++) {
		const struct container *container = g_ptr_array_index(all, i);
		struct target *target;

		if (container->dead || !container_is_container(container))
			continue;
		target = g_new0(struct target, 1);
		target->kind = TARGET_CONTAINER;
		target->container = container;
		target->text = g_strdup(container->name);
		g_ptr_array_add(targets, target);
	}
	return targets->len > before || target_resolve(registry, "all", targets, error);
}

static gboolean targets_want(const GPtrArray *targets, const struct container *owner)
{
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_CONTAINER &&
		    (target->container == owner ||
		     /* the host is everything that is in no container: units and bare cgroups, too */
		     (target->container->runtime == RUNTIME_HOST && !container_is_container(owner))))
			return TRUE;
	}
	return FALSE;
}

struct observe_scope {
	GArray *cgroups; /* of struct probe_cgroup */
	GArray *tgids; /* of guint32 */
	gboolean filter;
};

static void scope_init(struct observe_scope *scope, struct registry *registry, const GPtrArray *targets)
{
	g_autoptr(GArray) known = registry_cgroups(registry);

	scope->filter = TRUE;
	scope->cgroups = g_array_new(FALSE, FALSE, sizeof(struct probe_cgroup));
	scope->tgids = g_array_new(FALSE, FALSE, sizeof(guint32));
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_ALL)
			scope->filter = FALSE;
		else if (target->kind == TARGET_PROCESS)
			g_array_append_val(scope->tgids, target->pid);
	}
	for (guint i = 0; scope->filter && i < known->len; i++) {
		const struct registry_cgroup *cgroup = &g_array_index(known, struct registry_cgroup, i);
		struct probe_cgroup entry = { .key = cgroup->key, .wanted = targets_want(targets, cgroup->owner) };

		g_array_append_val(scope->cgroups, entry);
	}
}

static void scope_clear(struct observe_scope *scope)
{
	g_array_unref(scope->cgroups);
	g_array_unref(scope->tgids);
}

static char *observe_title(const struct observe_options *options)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (guint i = 0; i < options->targets->len; i++) {
		const struct target *target = g_ptr_array_index(options->targets, i);

		if (i == 5) {
			g_string_append_printf(names, " and %u more", options->targets->len - i);
			break;
		}
		g_string_append_printf(names, "%s%s", i ? ", " : "", target->text);
	}
	return g_strdup_printf("%s of %s", options->probe->name, names->str);
}

/* Waits out the interval. FALSE and `error` only when the probe fails. */
static gboolean observe_wait(struct probe_run *run, const struct observe_options *options, guint64 start_ns,
			     GError **error)
{
	struct pollfd fds[] = {
		{ .fd = options->probe->fd(run), .events = POLLIN },
		{ .fd = options->stop_fd, .events = POLLIN },
	};

	for (;;) {
		guint64 elapsed_ns = clock_monotonic_ns() - start_ns;
		guint64 left_ms;

		if (options->progress)
			options->progress(options->progress_user, MIN(elapsed_ns, options->duration_ns),
					  options->duration_ns);
		if (elapsed_ns >= options->duration_ns)
			return TRUE;
		left_ms = (options->duration_ns - elapsed_ns + NS_PER_MS - 1) / NS_PER_MS;
		if (poll(fds, G_N_ELEMENTS(fds), (int)MIN(left_ms, OBSERVE_TICK_MS)) > 0 && fds[1].revents)
			return TRUE;
		if (!options->probe->drain(run, error))
			return FALSE;
	}
}

static gboolean observe_measure(const struct observe_options *options, const struct probe_request *request,
				const struct probe_listener *listener, struct snapshot *snapshot, struct shape *shape,
				GError **error)
{
	struct probe_run *run = options->probe->open(request, listener, error);
	guint64 start_ns;
	gboolean ok;

	if (!run)
		return FALSE;
	start_ns = clock_monotonic_ns();
	snapshot->start_realtime_ns = clock_realtime_ns();
	ok = observe_wait(run, options, start_ns, error);
	snapshot->duration_ns = clock_monotonic_ns() - start_ns;
	ok = ok && options->probe->finish(run, &shape->ledger, error);
	options->probe->close(run);
	return ok;
}

struct snapshot *observe_run(struct registry *registry, const struct observe_options *options, GError **error)
{
	g_autofree char *title = observe_title(options);
	g_autoptr(snapshot_t) snapshot = snapshot_new(title);
	struct shape *shape = shape_new(options->probe->shape, options->probe->name, options->probe->unit);
	struct symbolizer *symbolizer = symbolizer_new();
	struct weave *weave = weave_new(registry, symbolizer, shape, options->by);
	struct observe_scope scope;
	struct probe_request request;
	gboolean ok;

	g_ptr_array_add(snapshot->shapes, shape);
	symbolizer_configure(symbolizer, &(struct symbolizer_options){ .java_map = options->java_map });
	symbolizer_prepare_kernel(symbolizer);
	scope_init(&scope, registry, options->targets);
	request = (struct probe_request){
		.filter = scope.filter,
		.cgroups = (const struct probe_cgroup *)scope.cgroups->data,
		.cgroup_count = scope.cgroups->len,
		.tgids = (const guint32 *)scope.tgids->data,
		.tgid_count = scope.tgids->len,
		.v1_controller = cgroupfs_v1_controller(registry_cgroupfs(registry)),
		.frequency_hz = options->frequency_hz,
		.cycles = options->cycles,
		.no_user = options->no_user,
		.no_kernel = options->no_kernel,
		.by_thread = options->by == OBSERVE_BY_THREAD,
		.waker = options->waker,
		.threshold_ns = options->threshold_ns,
		.rung = options->rung,
	};
	snapshot->frequency_hz = options->frequency_hz;
	ok = observe_measure(options, &request, weave_listener(weave), snapshot, shape, error);
	scope_clear(&scope);
	for (guint i = 0; i < symbolizer_notes(symbolizer)->len; i++)
		ledger_note(&shape->ledger, g_strdup(g_ptr_array_index(symbolizer_notes(symbolizer), i)));
	weave_free(weave);
	symbolizer_free(symbolizer);
	return ok ? g_steal_pointer(&snapshot) : NULL;
}
