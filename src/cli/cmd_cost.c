/* SPDX-License-Identifier: Apache-2.0 */
/* fathom cost: what BPF programs take, whose they are, and which containers pay. */
#include <stdio.h>

#include "base/units.h"
#include "cli/command.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "cli/who.h"
#include "observe/expense.h"

#define COST_DURATION "3"
#define COST_DURATION_MIN_NS (100 * NS_PER_MS)
#define COST_DURATION_MAX_NS (3600 * NS_PER_S)
#define COST_COVERAGE_MIN 0.95
#define COST_OWN_COMM "fathom" /* of processes that hold programs of ours */

static const struct table_column program_columns[] = {
	{ "PROGRAM", FALSE }, { "ID", TRUE },	    { "TYPE", FALSE },	{ "HELD BY", FALSE },
	{ "RUNS/S", TRUE },   { "TIME/RUN", TRUE }, { "CPU %", TRUE },	{ "EVENTS", TRUE },
	{ "CODE", TRUE },     { "MAPS", TRUE },	    { "MISSED", TRUE },
};
static const struct table_column holder_columns[] = {
	{ "HELD BY", FALSE }, { "CONTAINER", FALSE }, { "PROGRAMS", TRUE },   { "THEIR CPU %", TRUE },
	{ "MAPS", TRUE },     { "OWN CPU %", TRUE },  { "OWN MEMORY", TRUE },
};
static const struct table_column payer_columns[] = {
	{ "PAID BY", FALSE },
	{ "CPU %", TRUE },
	{ "RUNS/S", TRUE },
	{ "MOSTLY FOR", FALSE },
};

/* Percent of one CPU. */
static char *cost_percent(const struct expense *expense, guint64 ns)
{
	return g_strdup_printf("%.3f", expense->elapsed_ns ? 100.0 * (double)ns / (double)expense->elapsed_ns : 0);
}

static char *cost_rate(const struct expense *expense, guint64 count)
{
	double rate = expense->elapsed_ns ? (double)count * NS_PER_S / (double)expense->elapsed_ns : 0;

	return rate > 0 && rate < 10 ? g_strdup_printf("%.1f", rate) : units_count((guint64)(rate + 0.5));
}

static char *holder_name(const struct expense_holder *holder)
{
	if (!holder->pid)
		return g_strdup("(pinned or attached)");
	return g_strdup_printf("%s (%u)", holder->comm ? holder->comm : "?", holder->pid);
}

static const struct expense_program *expense_find(const struct expense *expense, guint32 id)
{
	for (guint i = 0; i < expense->programs->len; i++) {
		const struct expense_program *program = &g_array_index(expense->programs, struct expense_program, i);

		if (program->used.id == id)
			return program;
	}
	return NULL;
}

/* ---- text ---- */

/* How many of the events the program looks at, owned by the caller; NULL: not known of programs that are not ours. */
static char *cost_events(const struct cost_program *used, const struct expense_holder *holder)
{
	if (used->one_in > 1)
		return g_strdup_printf("1 in %u", used->one_in);
	if (used->one_in == 1)
		return g_strdup("all");
	return g_strcmp0(holder->comm, COST_OWN_COMM) == 0 ? g_strdup("always all") : NULL;
}

static void cost_program_row(const struct expense *expense, const struct expense_program *program, struct table *table)
{
	const struct cost_program *used = &program->used;
	const struct expense_holder *held_by = &g_array_index(expense->holders, struct expense_holder, program->holder);
	g_autofree char *holder = holder_name(held_by);
	g_autofree char *rate = cost_rate(expense, used->run_count);
	g_autofree char *each = used->run_count ? units_duration(used->run_time_ns / used->run_count) : NULL;
	g_autofree char *percent = cost_percent(expense, used->run_time_ns);
	g_autofree char *events = cost_events(used, held_by);
	g_autofree char *code = used->memory_bytes ? units_bytes(used->memory_bytes) : NULL;
	g_autofree char *maps = used->map_bytes ? units_bytes(used->map_bytes) : NULL;

	table_cell_styled(table, used->name[0] ? used->name : NULL, TABLE_STRONG);
	table_cell_number(table, used->id, TRUE);
	table_cell(table, used->type);
	table_cell(table, holder);
	table_cell(table, rate);
	table_cell(table, each);
	table_cell(table, percent);
	table_cell_styled(table, events, used->one_in > 1 ? TABLE_NOTICE : TABLE_PLAIN);
	table_cell(table, code);
	table_cell(table, maps);
	table_cell_number(table, used->missed_count, TRUE);
}

static void cost_print_programs(const struct expense *expense, gboolean all)
{
	g_autoptr(table_t) table = table_new(program_columns, G_N_ELEMENTS(program_columns));
	guint64 sum_ns = 0, sum_bytes = 0;
	g_autofree char *percent = NULL, *memory = NULL, *left_out = NULL;
	guint idle = 0;

	for (guint i = 0; i < expense->programs->len; i++) {
		const struct expense_program *program = &g_array_index(expense->programs, struct expense_program, i);

		sum_ns += program->used.run_time_ns;
		sum_bytes += program->used.map_bytes + program->used.memory_bytes;
		if (program->used.run_count || all)
			cost_program_row(expense, program, table);
		else
			idle++;
	}
	table_print(table, stdout);
	percent = cost_percent(expense, sum_ns);
	memory = units_bytes(sum_bytes);
	left_out = idle ? g_strdup_printf("; %u more did not run (--all lists them)", idle) : g_strdup("");
	table_print_wrapped(stdout, "all: %s %% of one CPU, %s of kernel memory%s\n", percent, memory, left_out);
}

static void cost_print_holders(const struct expense *expense)
{
	g_autoptr(table_t) table = table_new(holder_columns, G_N_ELEMENTS(holder_columns));

	for (guint h = 0; h < expense->holders->len; h++) {
		const struct expense_holder *holder = &g_array_index(expense->holders, struct expense_holder, h);
		g_autofree char *name = holder_name(holder), *own = NULL, *rss = NULL, *theirs = NULL, *maps = NULL;
		guint64 ns = 0, bytes = 0;
		guint count = 0;

		for (guint i = 0; i < expense->programs->len; i++) {
			const struct expense_program *program =
				&g_array_index(expense->programs, struct expense_program, i);

			if (program->holder != h)
				continue;
			count++;
			ns += program->used.run_time_ns;
			bytes += program->used.map_bytes;
		}
		theirs = cost_percent(expense, ns);
		maps = units_bytes(bytes);
		if (holder->pid && !holder->ended) {
			own = cost_percent(expense, holder->cpu_ns);
			rss = units_bytes(holder->rss_bytes);
		}
		table_cell_styled(table, name, TABLE_STRONG);
		table_cell(table, holder->container);
		table_cell_number(table, count, TRUE);
		table_cell(table, theirs);
		table_cell(table, maps);
		table_cell(table, own);
		table_cell(table, rss);
	}
	table_print(table, stdout);
}

/* One row a container; payers are sorted, so the first program met is the one it pays most for. */
static void cost_print_payers(const struct expense *expense)
{
	g_autoptr(table_t) table = table_new(payer_columns, G_N_ELEMENTS(payer_columns));
	g_autoptr(GHashTable) shown = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < expense->payers->len; i++) {
		const struct expense_payer *first = &g_array_index(expense->payers, struct expense_payer, i);
		const struct expense_program *program = expense_find(expense, first->program_id);
		g_autofree char *percent = NULL, *rate = NULL;
		guint64 ns = 0, runs = 0;

		if (!g_hash_table_add(shown, (gpointer)first->container))
			continue;
		for (guint j = i; j < expense->payers->len; j++) {
			const struct expense_payer *other = &g_array_index(expense->payers, struct expense_payer, j);

			if (g_str_equal(other->container, first->container)) {
				ns += other->run_time_ns;
				runs += other->run_count;
			}
		}
		percent = cost_percent(expense, ns);
		rate = cost_rate(expense, runs);
		table_cell_styled(table, first->container, TABLE_STRONG);
		table_cell(table, percent);
		table_cell(table, rate);
		table_cell(table, program ? program->used.name : NULL);
	}
	table_print(table, stdout);
}

static guint64 cost_charged_ns(const struct expense *expense)
{
	guint64 ns = 0;

	for (guint i = 0; i < expense->payers->len; i++)
		ns += g_array_index(expense->payers, struct expense_payer, i).run_time_ns;
	return ns;
}

/* Part of the run time whose payer is known; 1 when nothing ran. */
static double cost_coverage(const struct expense *expense)
{
	double charged = (double)cost_charged_ns(expense), all = charged + (double)expense->uncharged_ns;

	return all > 0 ? charged / all : 1;
}

static void cost_print_text(const struct expense *expense, gboolean all)
{
	g_autofree char *elapsed = units_duration(expense->elapsed_ns);

	table_print_wrapped(
		stdout,
		"BPF programs over %s, with the kernel's statistics on (some 40 ns a run more than without)\n\n",
		elapsed);
	if (expense->programs->len == 0) {
		puts("No BPF program is loaded.");
		return;
	}
	cost_print_programs(expense, all);
	puts("");
	cost_print_holders(expense);
	puts("");
	if (expense->payers_why_not) {
		table_print_wrapped(stdout, "Who pays is not known: %s\n", expense->payers_why_not);
		return;
	}
	cost_print_payers(expense);
	printf("told apart: %.1f %% of the run time\n", 100 * cost_coverage(expense));
	if (expense->left_out)
		table_print_wrapped(
			stdout, "%u more programs are beyond the limit of those watched: their payers are not known\n",
			expense->left_out);
}

/* ---- JSON ---- */

static void cost_json_programs(const struct expense *expense, struct json_writer *json)
{
	json_begin_array(json, "programs");
	for (guint i = 0; i < expense->programs->len; i++) {
		const struct expense_program *program = &g_array_index(expense->programs, struct expense_program, i);
		const struct cost_program *used = &program->used;
		guint32 pid = g_array_index(expense->holders, struct expense_holder, program->holder).pid;

		json_begin_object(json, NULL);
		json_uint(json, "id", used->id);
		json_string(json, "name", used->name);
		json_string(json, "type", used->type);
		if (pid)
			json_uint(json, "holder_pid", pid);
		else
			json_null(json, "holder_pid");
		json_uint(json, "run_count", used->run_count);
		json_uint(json, "run_time_ns", used->run_time_ns);
		json_uint(json, "missed_count", used->missed_count);
		if (used->one_in)
			json_uint(json, "one_in", used->one_in);
		json_uint(json, "code_bytes", used->memory_bytes);
		json_uint(json, "map_bytes", used->map_bytes);
		json_end_object(json);
	}
	json_end_array(json);
}

static void cost_json_holders(const struct expense *expense, struct json_writer *json)
{
	json_begin_array(json, "holders");
	for (guint i = 0; i < expense->holders->len; i++) {
		const struct expense_holder *holder = &g_array_index(expense->holders, struct expense_holder, i);

		if (!holder->pid)
			continue;
		json_begin_object(json, NULL);
		json_uint(json, "pid", holder->pid);
		json_string(json, "comm", holder->comm);
		json_string(json, "container", holder->container);
		if (holder->ended) {
			json_null(json, "cpu_ns");
			json_null(json, "rss_bytes");
		} else {
			json_uint(json, "cpu_ns", holder->cpu_ns);
			json_uint(json, "rss_bytes", holder->rss_bytes);
		}
		json_end_object(json);
	}
	json_end_array(json);
}

static void cost_json_payers(const struct expense *expense, struct json_writer *json)
{
	if (expense->payers_why_not) {
		json_null(json, "payers");
		json_string(json, "payers_why_not", expense->payers_why_not);
		return;
	}
	json_begin_array(json, "payers");
	for (guint i = 0; i < expense->payers->len; i++) {
		const struct expense_payer *payer = &g_array_index(expense->payers, struct expense_payer, i);

		json_begin_object(json, NULL);
		json_string(json, "container", payer->container);
		json_uint(json, "program_id", payer->program_id);
		json_uint(json, "run_count", payer->run_count);
		json_uint(json, "run_time_ns", payer->run_time_ns);
		json_end_object(json);
	}
	json_end_array(json);
	json_uint(json, "uncharged_ns", expense->uncharged_ns);
	json_uint(json, "programs_left_out", expense->left_out);
}

static void cost_print_json(const struct expense *expense)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_uint(&json, "elapsed_ns", expense->elapsed_ns);
	cost_json_programs(expense, &json);
	cost_json_holders(expense, &json);
	cost_json_payers(expense, &json);
	json_end_object(&json);
	puts(out->str);
}

/* ---- the command ---- */

static int cost_run(guint64 duration_ns, gboolean all, gboolean as_json)
{
	struct registry *registry = who_registry("cost");
	g_autoptr(GError) error = NULL;
	g_autoptr(expense_t) expense = NULL;
	int status = EXIT_FAILED, stop_fd;

	if (!registry)
		return EXIT_FAILED;
	stop_fd = measure_stop_fd();
	expense = expense_measure(registry, duration_ns, stop_fd, &error);
	measure_signals_restore(stop_fd);
	if (!expense) {
		command_complain("cost", "%s", error->message);
	} else {
		if (as_json)
			cost_print_json(expense);
		else
			cost_print_text(expense, all);
		status = !expense->payers_why_not && cost_coverage(expense) >= COST_COVERAGE_MIN ? EXIT_OK
												 : EXIT_INCONCLUSIVE;
	}
	registry_free(registry);
	return status;
}

int cmd_cost(int argc, char **argv)
{
	g_autofree char *duration = NULL;
	gboolean all = FALSE, as_json = FALSE;
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &duration,
		  "How long to look: seconds, or with a unit (default " COST_DURATION ")", "SECONDS" },
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &all, "Programs that did not run, too", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "One JSON object", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	guint64 duration_ns;
	int status;

	g_option_context_set_summary(context,
				     "What BPF programs take, fathom's and everybody's: runs, time, memory; whose "
				     "they are, and which containers pay.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	if (argc > 1) {
		command_complain("cost", "takes no target (it shows every program and every container that pays)");
		return EXIT_USAGE;
	}
	if (!units_parse_duration(duration ? duration : COST_DURATION, NS_PER_S, &duration_ns) ||
	    duration_ns < COST_DURATION_MIN_NS || duration_ns > COST_DURATION_MAX_NS) {
		command_complain("cost", "--duration %s is not a time between 100ms and 1h", duration);
		return EXIT_USAGE;
	}
	if (!command_need_bpf("cost"))
		return EXIT_USAGE;
	return cost_run(duration_ns, all, as_json);
}
