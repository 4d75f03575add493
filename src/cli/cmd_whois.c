/* SPDX-License-Identifier: Apache-2.0 */
/* fathom whois: host pid ↔ container, and everything that names it. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/who.h"
#include "kernel/procfs.h"

#define LABEL_WIDTH 12

struct whois {
	const struct container *container;
	guint32 pid; /* 0: no process is there */
	struct procfs_stat stat;
	struct procfs_status status;
	GArray *cgroups; /* of struct procfs_cgroup; NULL when unreadable */
	char *hostname; /* NULL when not known */
	char *hostname_missing; /* why not */
};

static void whois_clear(struct whois *whois)
{
	g_clear_pointer(&whois->cgroups, g_array_unref);
	g_free(whois->hostname);
	g_free(whois->hostname_missing);
}

/* FALSE when the process ended meanwhile: what was read then may be another's. */
static gboolean whois_read(struct registry *registry, const struct target *target, struct whois *whois)
{
	const char *root = registry_root(registry);
	g_autoptr(GError) error = NULL;
	struct procfs_stat after;

	*whois = (struct whois){ .container = target->container };
	whois->pid = target->kind == TARGET_PROCESS ? target->pid : who_pid(registry, target->container);
	if (!whois->pid)
		return TRUE;
	if (!procfs_stat_read(root, whois->pid, &whois->stat, NULL) ||
	    !procfs_status_read(root, whois->pid, &whois->status, NULL))
		return FALSE;
	whois->cgroups = procfs_cgroups_read(root, whois->pid, NULL);
	whois->hostname = procfs_hostname(whois->pid, &error);
	whois->hostname_missing = error ? g_strdup(error->message) : NULL;
	return procfs_stat_read(root, whois->pid, &after, NULL) && after.start_ticks == whois->stat.start_ticks;
}

/* ---- text ---- */

static void line(const char *label, const char *value)
{
	g_autofree char *padded = g_strdup_printf("%-*s", LABEL_WIDTH, label);
	g_autofree char *shown = text_terminal(value);

	table_print_styled(stdout, padded, TABLE_DIM);
	printf("%s\n", shown);
}

static void text_container(const struct container *container)
{
	const char *runtime = container_runtime_name(container->runtime);

	line(container_is_container(container) ? "container" : runtime, container->name);
	if (container_is_container(container)) {
		line("runtime", runtime);
		line("id", container->id);
		line("image", container->image ? container->image : "not known");
	}
	if (container->pod) {
		g_autofree char *pod = g_strdup_printf(
			"%s/%s", container->pod_namespace ? container->pod_namespace : "?", container->pod);

		line("pod", pod);
	}
}

static void text_process(const struct registry *registry, const struct whois *whois)
{
	g_autofree char *age = who_age(procfs_start_realtime_ns(registry_root(registry), whois->stat.start_ticks));
	g_autofree char *process = g_strdup_printf("%u (%s), %s old", whois->pid, whois->stat.comm, age ? age : "?");
	g_autoptr(GString) inner = g_string_new(NULL);

	line("process", process);
	for (guint i = 0; i < whois->status.levels; i++)
		g_string_append_printf(inner, "%s%u", i ? " → " : "", whois->status.inner_tgid[i]);
	if (whois->status.levels > 1)
		g_string_append(inner, "  (host first, innermost last)");
	line("pids", inner->len ? inner->str : "not known");
	line("hostname", whois->hostname ? whois->hostname : whois->hostname_missing);
}

static void text_cgroups(const struct whois *whois)
{
	for (guint i = 0; whois->cgroups && i < whois->cgroups->len; i++) {
		const struct procfs_cgroup *cgroup = &g_array_index(whois->cgroups, struct procfs_cgroup, i);
		g_autofree char *value =
			g_strdup_printf("%-14s %s%s", *cgroup->controllers ? cgroup->controllers : "v2", cgroup->path,
					cgroup->deleted ? " (removed)" : "");

		line(i ? "" : "cgroups", value);
	}
}

static void whois_text(const struct registry *registry, const struct whois *whois)
{
	if (whois->pid)
		text_process(registry, whois);
	else
		line("process", "none is there");
	text_container(whois->container);
	if (whois->cgroups)
		text_cgroups(whois);
	else
		line("cgroup", whois->container->cgroup);
}

/* ---- JSON ---- */

static void json_process(struct json_writer *json, const struct whois *whois)
{
	json_uint(json, "pid", whois->pid);
	json_string(json, "comm", whois->stat.comm);
	json_uint(json, "start_ticks", whois->stat.start_ticks);
	json_begin_array(json, "pids");
	for (guint i = 0; i < whois->status.levels; i++)
		json_uint(json, NULL, whois->status.inner_tgid[i]);
	json_end_array(json);
	json_string(json, "hostname", whois->hostname);
	json_begin_object(json, "cgroups");
	for (guint i = 0; whois->cgroups && i < whois->cgroups->len; i++) {
		const struct procfs_cgroup *cgroup = &g_array_index(whois->cgroups, struct procfs_cgroup, i);

		json_string(json, cgroup->controllers, cgroup->path);
	}
	json_end_object(json);
}

static void whois_json(const struct whois *whois)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	if (whois->pid)
		json_process(&json, whois);
	else
		json_null(&json, "pid");
	json_begin_object(&json, "container");
	who_json(&json, whois->container);
	json_end_object(&json);
	json_end_object(&json);
	puts(out->str);
}

static int whois_print(struct registry *registry, const struct target *target, gboolean as_json, gboolean first)
{
	struct whois whois;
	gboolean valid = whois_read(registry, target, &whois);

	if (!valid) {
		command_complain("whois", "process %u ended while it was looked at", whois.pid);
	} else if (as_json) {
		whois_json(&whois);
	} else {
		if (!first)
			fputc('\n', stdout);
		whois_text(registry, &whois);
	}
	whois_clear(&whois);
	return valid ? EXIT_OK : EXIT_USAGE;
}

static int whois_all(struct registry *registry, char **texts, gboolean as_json)
{
	g_autoptr(GPtrArray) targets = target_array_new();
	g_autoptr(GError) error = NULL;
	int status = EXIT_OK;

	for (guint i = 0; texts[i]; i++) {
		if (strcmp(texts[i], "all") == 0) {
			command_complain("whois", "\"all\" is nobody in particular: name a process or a container");
			return EXIT_USAGE;
		}
		if (!target_resolve(registry, texts[i], targets, &error)) {
			command_complain("whois", "%s", error->message);
			return EXIT_USAGE;
		}
	}
	for (guint i = 0; i < targets->len && status == EXIT_OK; i++)
		status = whois_print(registry, g_ptr_array_index(targets, i), as_json, i == 0);
	return status;
}

int cmd_whois(int argc, char **argv)
{
	gboolean as_json = FALSE;
	const GOptionEntry entries[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "One JSON object a line", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("PID|CONTAINER[:PID]…");
	struct registry *registry;
	int status;

	g_option_context_set_summary(context,
				     "From a host pid to its container, or from a container (and a pid inside) to "
				     "the host's.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	if (argc < 2) {
		command_complain("whois", "whom? give a pid, a container, or container:pid");
		return EXIT_USAGE;
	}
	registry = who_registry("whois");
	if (!registry)
		return EXIT_FAILED;
	status = whois_all(registry, argv + 1, as_json);
	registry_free(registry);
	return status;
}
