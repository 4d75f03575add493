/* SPDX-License-Identifier: Apache-2.0 */
/* fathom ps: one row a container. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/who.h"

#define SHORT_ID 12
#define CGROUP_COLUMNS 40

struct ps_row {
	const struct container *container;
	guint processes;
	guint32 pid; /* 0: none */
};

/* The last one is for those that have no other name. */
static const struct table_column columns[] = {
	{ "NAME", FALSE }, { "ID", FALSE },   { "RUNTIME", FALSE }, { "IMAGE", FALSE },	 { "POD", FALSE },
	{ "PID", TRUE },   { "PROCS", TRUE }, { "AGE", TRUE },	    { "CGROUP", FALSE },
};

/* A path of a cgroup for eyes: of the container's id the beginning, of what is longer still the end, which tells them apart. Raw;
 * owned by the caller. */
static char *cgroup_short(const struct container *container)
{
	gsize length = container->id ? strspn(container->id, "0123456789abcdef") : 0;
	const char *id = length > SHORT_ID && !container->id[length] ? strstr(container->cgroup, container->id) : NULL;
	g_autofree char *path =
		id ? g_strdup_printf("%.*s" TEXT_ELLIPSIS "%s", (int)(id - container->cgroup) + SHORT_ID,
				     container->cgroup, id + length)
		   : g_strdup(container->cgroup);
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path || text_columns(path) <= CGROUP_COLUMNS)
		return g_steal_pointer(&path);
	return g_strdup_printf(TEXT_ELLIPSIS "%s", slash);
}

static void ps_print_text(const struct ps_row *row, struct table *table, gboolean with_cgroup)
{
	const struct container *container = row->container;
	g_autofree char *age = who_age(container->start_realtime_ns);
	gboolean has_id = container_is_container(container) && container->runtime != RUNTIME_OTHER;
	g_autofree char *id = has_id ? g_strndup(container->id, SHORT_ID) : NULL;
	g_autofree char *cgroup = cgroup_short(container);
	g_autofree char *pod = container->pod && container->pod_namespace
				       ? g_strdup_printf("%s/%s", container->pod_namespace, container->pod)
				       : g_strdup(container->pod);

	table_cell_styled(table, container->name, TABLE_STRONG);
	table_cell(table, id);
	table_cell(table, container_runtime_name(container->runtime));
	table_cell(table, container->image);
	table_cell(table, pod);
	table_cell_number(table, row->pid, row->pid != 0);
	table_cell_number(table, row->processes, TRUE);
	table_cell(table, age);
	if (with_cgroup)
		table_cell_styled(table, cgroup, TABLE_DIM);
}

static void ps_print_json(const struct ps_row *row)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	who_json(&json, row->container);
	if (row->pid)
		json_uint(&json, "pid", row->pid);
	else
		json_null(&json, "pid");
	json_uint(&json, "processes", row->processes);
	json_end_object(&json);
	puts(out->str);
}

static int ps_print(struct registry *registry, const GPtrArray *chosen, gboolean as_json, gboolean with_cgroup)
{
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns) - (with_cgroup ? 0 : 1));

	for (guint i = 0; i < chosen->len; i++) {
		g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
		struct ps_row row = { .container = g_ptr_array_index(chosen, i) };

		registry_pids(registry, row.container, pids);
		row.processes = pids->len;
		row.pid = who_pid(registry, row.container);
		if (as_json)
			ps_print_json(&row);
		else
			ps_print_text(&row, table, with_cgroup);
	}
	if (!as_json)
		table_print(table, stdout);
	if (!as_json && chosen->len == 0)
		fputs("no containers (fathom ps --all shows systemd units and other cgroups)\n", stderr);
	return EXIT_OK;
}

int cmd_ps(int argc, char **argv)
{
	gboolean all = FALSE, as_json = FALSE;
	const GOptionEntry entries[] = {
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all,
		  "The host, systemd units and other cgroups too, and the cgroups' paths", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "One JSON object a line", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");
	g_autoptr(GPtrArray) chosen = NULL;
	struct registry *registry;
	int status;

	g_option_context_set_summary(context, "One row a container: who is there.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	registry = who_registry("ps");
	if (!registry)
		return EXIT_FAILED;
	chosen = who_choose(registry, "ps", argv + 1, all);
	status = chosen ? ps_print(registry, chosen, as_json, all) : EXIT_USAGE;
	registry_free(registry);
	return status;
}
