/* SPDX-License-Identifier: Apache-2.0 */
/* fathom namespaces: container × namespace, and who shares which with whom. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/table.h"
#include "cli/who.h"
#include "kernel/procfs.h"

#define MARK_HOST "*" /* the host's own */
#define MARK_SHARED "+" /* another container is in it too */
#define FIXED_COLUMNS 3

struct ns_row {
	const struct container *container;
	guint32 pid;
	guint64 inode[NAMESPACE_KINDS]; /* 0: not known */
};

static void ns_read(const struct registry *registry, guint32 pid, guint64 *inode)
{
	for (int kind = 0; kind < NAMESPACE_KINDS; kind++)
		inode[kind] = pid ? procfs_namespace(registry_root(registry), pid, (enum namespace_kind)kind) : 0;
}

static gboolean is_hosts(const struct ns_row *host, const struct ns_row *row, int kind)
{
	return row->inode[kind] && row->inode[kind] == host->inode[kind];
}

static gboolean is_shared(const GArray *rows, guint index, int kind)
{
	guint64 inode = g_array_index(rows, struct ns_row, index).inode[kind];

	for (guint i = 0; inode && i < rows->len; i++)
		if (i != index && g_array_index(rows, struct ns_row, i).inode[kind] == inode)
			return TRUE;
	return FALSE;
}

/* ---- text ---- */

static void cell_inode(struct table *table, guint64 inode, gboolean hosts, gboolean shared)
{
	g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "%s", inode,
						hosts	 ? MARK_HOST
						: shared ? MARK_SHARED
							 : " ");

	table_cell_styled(table, inode ? text : "? ", hosts ? TABLE_ALERT : shared ? TABLE_NOTICE : TABLE_PLAIN);
}

static void row_text(struct table *table, const GArray *rows, guint index, const struct ns_row *host)
{
	const struct ns_row *row = &g_array_index(rows, struct ns_row, index);

	table_cell_styled(table, row->container->name, TABLE_STRONG);
	table_cell(table, container_runtime_name(row->container->runtime));
	table_cell_number(table, row->pid, row->pid != 0);
	for (int kind = 0; kind < NAMESPACE_KINDS; kind++)
		cell_inode(table, row->inode[kind], is_hosts(host, row, kind), is_shared(rows, index, kind));
}

static void print_text(const GArray *rows, const struct ns_row *host)
{
	struct table_column columns[FIXED_COLUMNS + NAMESPACE_KINDS] = { { "NAME", FALSE },
									 { "RUNTIME", FALSE },
									 { "PID", TRUE } };
	char headings[NAMESPACE_KINDS][16];
	g_autoptr(table_t) table = NULL;

	for (int kind = 0; kind < NAMESPACE_KINDS; kind++) {
		g_autofree char *upper = g_ascii_strup(namespace_kind_name((enum namespace_kind)kind), -1);

		g_snprintf(headings[kind], sizeof(headings[kind]), "%s ", upper);
		columns[FIXED_COLUMNS + kind] = (struct table_column){ headings[kind], TRUE };
	}
	table = table_new(columns, G_N_ELEMENTS(columns));
	table_cell_styled(table, "host", TABLE_STRONG);
	table_cell(table, "host");
	table_cell_number(table, host->pid, host->pid != 0);
	for (int kind = 0; kind < NAMESPACE_KINDS; kind++)
		cell_inode(table, host->inode[kind], FALSE, FALSE);
	for (guint i = 0; i < rows->len; i++)
		row_text(table, rows, i, host);
	table_print(table, stdout);
	fputc('\n', stdout);
	table_print_styled(stdout, MARK_HOST " the host's", TABLE_ALERT);
	fputs("   ", stdout);
	table_print_styled(stdout, MARK_SHARED " shared with another container", TABLE_NOTICE);
	fputc('\n', stdout);
}

/* ---- JSON ---- */

static void kind_json(struct json_writer *json, const GArray *rows, guint index, const struct ns_row *host, int kind)
{
	const struct ns_row *row = &g_array_index(rows, struct ns_row, index);

	json_begin_object(json, namespace_kind_name((enum namespace_kind)kind));
	if (row->inode[kind]) {
		json_uint(json, "inode", row->inode[kind]);
		json_bool(json, "shared_with_host", is_hosts(host, row, kind));
	} else {
		json_null(json, "inode");
		json_null(json, "shared_with_host");
	}
	json_begin_array(json, "shared_with");
	for (guint i = 0; i < rows->len; i++) {
		const struct ns_row *other = &g_array_index(rows, struct ns_row, i);

		if (i != index && row->inode[kind] && other->inode[kind] == row->inode[kind])
			json_string(json, NULL, other->container->name);
	}
	json_end_array(json);
	json_end_object(json);
}

static void print_json(const GArray *rows, const struct ns_row *host)
{
	for (guint i = 0; i < rows->len; i++) {
		const struct ns_row *row = &g_array_index(rows, struct ns_row, i);
		g_autoptr(GString) out = g_string_new(NULL);
		struct json_writer json;

		json_init(&json, out);
		json_begin_object(&json, NULL);
		who_json(&json, row->container);
		json_uint(&json, "pid", row->pid);
		json_begin_object(&json, "namespaces");
		for (int kind = 0; kind < NAMESPACE_KINDS; kind++)
			kind_json(&json, rows, i, host, kind);
		json_end_object(&json);
		json_end_object(&json);
		puts(out->str);
	}
}

static int namespaces_print(struct registry *registry, const GPtrArray *chosen, gboolean as_json)
{
	g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(struct ns_row));
	struct ns_row host = { .container = registry_host(registry), .pid = 1 };

	for (int kind = 0; kind < NAMESPACE_KINDS; kind++)
		host.inode[kind] = procfs_host_namespace(registry_root(registry), (enum namespace_kind)kind);
	for (guint i = 0; i < chosen->len; i++) {
		struct ns_row row = { .container = g_ptr_array_index(chosen, i) };

		if (row.container == host.container)
			continue;
		row.pid = who_pid(registry, row.container);
		ns_read(registry, row.pid, row.inode);
		g_array_append_val(rows, row);
	}
	if (as_json)
		print_json(rows, &host);
	else
		print_text(rows, &host);
	if (!host.inode[NAMESPACE_MNT])
		command_complain("namespaces", "cannot read other processes' namespaces: run as root (CAP_SYS_PTRACE)");
	return host.inode[NAMESPACE_MNT] ? EXIT_OK : EXIT_FAILED;
}

int cmd_namespaces(int argc, char **argv)
{
	gboolean all = FALSE, as_json = FALSE;
	const GOptionEntry entries[] = {
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all, "Systemd units and other cgroups too", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "One JSON object a line", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GPtrArray) chosen = NULL;
	struct registry *registry;
	int status;

	g_option_context_set_summary(context, "Which namespaces each container is in, which are the host's, which are "
					      "shared.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	if (argc > 1) {
		command_complain("namespaces", "takes no targets: sharing only shows between all of them");
		return EXIT_USAGE;
	}
	registry = who_registry("namespaces");
	if (!registry)
		return EXIT_FAILED;
	chosen = who_choose(registry, "namespaces", NULL, all);
	status = namespaces_print(registry, chosen, as_json);
	registry_free(registry);
	return status;
}
