/* SPDX-License-Identifier: Apache-2.0 */
/* fathom top: what every container uses and loses, again and again: a screen on a terminal, columns or JSON elsewhere. */
#include <poll.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/own.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "cli/who.h"
#include "observe/usage.h"
#include "render/gauge_table.h"
#include "render/gauges.h"
#include "tui/top.h"

#define TOP_INTERVAL_MIN_NS (50 * NS_PER_MS)
#define TOP_INTERVAL_MAX_NS (3600 * NS_PER_S)
#define TOP_COLUMNS_MAX 32
#define TOP_MEASURE_SECONDS "5"
#define TOP_NICE (-10) /* a screen is looked at most when the machine is crowded; it takes milliseconds a second */

struct top {
	char *interval_text, *sort, *filter_text;
	int count;
	gboolean json, all, processes, threads, tree, no_header, no_bpf, plain;
	guint64 interval_ns;
	struct gauge_order order;
	struct gauge_filter *filter;
	struct registry *registry;
	GPtrArray *wanted; /* NULL: all */
	struct usage *usage;
	struct gauges *before, *changes; /* of containers; `before` belongs to the usage */
	guint recorded; /* intervals of a capture, shown */
	struct gauges *process_changes;
	guint64 read_ns, processes_ns; /* when the last reading was made; 0: not yet */
	guint64 reading_ns; /* what the last one took */
	guint64 processes_key; /* of the container whose processes were read last */
	char *directory; /* for captures on their way to a picture; NULL: none yet */
};

static void top_clear_directory(struct top *top)
{
	g_autofree char *capture = top->directory ? g_build_filename(top->directory, "capture.json", NULL) : NULL;

	if (!top->directory)
		return;
	g_unlink(capture);
	g_rmdir(top->directory);
	g_free(top->directory);
}

static void top_clear(struct top *top)
{
	top_clear_directory(top);
	g_free(top->interval_text);
	g_free(top->sort);
	g_free(top->filter_text);
	gauge_filter_free(top->filter);
	usage_free(top->usage);
	gauges_free(top->changes);
	gauges_free(top->process_changes);
	if (top->wanted)
		g_ptr_array_unref(top->wanted);
	registry_free(top->registry);
}

static gboolean top_parse(struct top *top, int *argc, char ***argv, int *status)
{
	const GOptionEntry entries[] = {
		{ "interval", 'i', 0, G_OPTION_ARG_STRING, &top->interval_text,
		  "Time between two readings: seconds, or with a unit (default 1)", "SECONDS" },
		{ "count", 'n', 0, G_OPTION_ARG_INT, &top->count, "End after this many intervals (default: never)",
		  "N" },
		{ "sort", 's', 0, G_OPTION_ARG_STRING, &top->sort,
		  "Column to sort by: lost (default), cpu, mem, name, pids …; with - in front the other way round",
		  "COLUMN" },
		{ "filter", 'f', 0, G_OPTION_ARG_STRING, &top->filter_text,
		  "Only what matches: part of a name, /regex/, cpu>50%, mem>1GiB; several with spaces between",
		  "TERMS" },
		{ "tree", 't', 0, G_OPTION_ARG_NONE, &top->tree, "As a tree of cgroups", NULL },
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &top->all, "Systemd units and other cgroups too", NULL },
		{ "processes", 'p', 0, G_OPTION_ARG_NONE, &top->processes, "Processes instead of containers", NULL },
		{ "threads", 'H', 0, G_OPTION_ARG_NONE, &top->threads, "Threads instead of containers", NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &top->json, "One JSON object a line: a resource, each interval",
		  NULL },
		{ "plain", 0, 0, G_OPTION_ARG_NONE, &top->plain, "Columns, no screen, also on a terminal", NULL },
		{ "no-header", 0, 0, G_OPTION_ARG_NONE, &top->no_header, "Columns without headings", NULL },
		{ "no-bpf", 0, 0, G_OPTION_ARG_NONE, &top->no_bpf, "From files alone, without kernel programs", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");

	g_option_context_set_summary(context, "What each container uses and loses: CPU, time, memory, I/O, pids.");
	g_option_context_set_description(
		context, "A TARGET is a container's name or id prefix, a pod, a cgroup path, or all (default).\n");
	g_option_context_add_main_entries(context, entries, NULL);
	return command_parse(context, argc, argv, status);
}

static gboolean top_check(struct top *top, GError **error)
{
	const char *interval = top->interval_text ? top->interval_text : "1";
	const char *sort = top->sort ? top->sort : "lost";
	int column;

	if (!units_parse_duration(interval, NS_PER_S, &top->interval_ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (2) or a unit (500ms)", interval);
	if (top->interval_ns < TOP_INTERVAL_MIN_NS || top->interval_ns > TOP_INTERVAL_MAX_NS)
		return command_fail(error, "an interval of %s is out of range: 50ms to 1h", interval);
	if (top->count < 0)
		return command_fail(error, "a count of %d makes no sense", top->count);
	if (top->processes && top->threads)
		return command_fail(error, "--processes and --threads exclude each other");
	column = gauge_column_find(sort[0] == '-' ? sort + 1 : sort, error);
	if (column < 0)
		return FALSE;
	top->order.column = (enum gauge_column_id)column;
	top->order.ascending = (column == GAUGE_COLUMN_NAME) != (sort[0] == '-');
	top->order.tree = top->tree || top->threads;
	if (!top->filter_text)
		return TRUE;
	top->filter = gauge_filter_new(top->filter_text, error);
	top->order.filter = top->filter;
	return top->filter != NULL;
}

/* ---- readings ---- */

/* One more reading: `interval` is what happened since the one before. */
static gboolean top_read(struct top *top, struct gauge_interval *interval, GError **error)
{
	guint64 now_ns = clock_monotonic_ns();
	struct gauges *now = usage_read(top->usage, error);

	if (!now)
		return FALSE;
	g_clear_pointer(&top->changes, gauges_free);
	if (top->before)
		top->changes = gauges_diff(top->before, now);
	top->before = now;
	*interval = (struct gauge_interval){ .readings = now, .changes = top->changes };
	interval->length_ns = top->read_ns ? now_ns - top->read_ns : 0;
	top->read_ns = now_ns;
	top->reading_ns = clock_monotonic_ns() - now_ns;
	return TRUE;
}

/* The processes of a container (0: all): what they did since the last reading of the same. */
static gboolean top_read_processes(struct top *top, guint64 key, gboolean threads, struct gauge_interval *interval,
				   GError **error)
{
	guint64 now_ns = clock_monotonic_ns();

	if (!usage_processes(top->usage, key, threads, top->process_changes, error))
		return FALSE;
	*interval = (struct gauge_interval){ .readings = top->process_changes, .changes = top->process_changes };
	if (top->processes_ns && key == top->processes_key)
		interval->length_ns = now_ns - top->processes_ns;
	top->processes_key = key;
	top->processes_ns = now_ns;
	return TRUE;
}

/* ---- columns ---- */

static void top_print_table(const struct top *top, const struct gauge_interval *interval)
{
	const int *columns = top->processes || top->threads ? gauge_columns_processes : gauge_columns_containers;
	struct table_column headings[TOP_COLUMNS_MAX];
	g_autoptr(GArray) places = gauge_rows_order(interval, &top->order);
	g_autoptr(table_t) table = NULL;
	guint count = 0;

	for (; columns[count] >= 0; count++)
		headings[count] = (struct table_column){ top->no_header ? "" : gauge_columns[columns[count]].heading,
							 columns[count] != GAUGE_COLUMN_NAME };
	table = table_new(headings, count);
	for (guint i = 0; i < places->len; i++) {
		const struct gauge_place *place = &g_array_index(places, struct gauge_place, i);
		const struct gauge_row *row = gauges_row(interval->readings, place->row);

		for (guint j = 0; j < count; j++) {
			g_autofree char *text = gauge_cell_text(interval, place->row, (enum gauge_column_id)columns[j]);
			g_autofree char *name = NULL;

			if (columns[j] == GAUGE_COLUMN_NAME) {
				name = g_strdup_printf("%*s%s%s", (int)place->depth * 2, "", text,
						       row->dead ? " (ended)" : "");
				table_cell_styled(table, name, row->dead ? TABLE_DIM : TABLE_STRONG);
			} else {
				table_cell(table, text);
			}
		}
	}
	table_print(table, stdout);
}

static void top_print_json(const struct top *top, const struct gauge_interval *interval, guint64 realtime_ns)
{
	g_autoptr(GString) out = g_string_new(NULL);

	for (guint32 i = 0; i < interval->readings->rows->len; i++) {
		const struct gauge_row *row = gauges_row(interval->readings, i);
		struct json_writer json;

		if (top->filter && !gauge_filter_matches(top->filter, interval, i))
			continue;
		g_string_truncate(out, 0);
		json_init(&json, out);
		json_begin_object(&json, NULL);
		json_uint(&json, "time_ns", realtime_ns);
		json_uint(&json, "interval_ns", interval->length_ns);
		if (row->resource == GAUGE_RESOURCE_HOST)
			json_uint(&json, "reading_ns", top->reading_ns);
		render_gauge_members(&json, row);
		if (row->parent != GAUGE_NO_PARENT)
			json_string(&json, "parent", gauges_row(interval->readings, row->parent)->name);
		render_gauge_rates(&json, interval, i);
		json_end_object(&json);
		puts(out->str);
	}
}

static void top_print_missed(const struct top *top)
{
	const GPtrArray *missed = usage_missed(top->usage);

	for (guint i = 0; i < missed->len && !top->json; i++) {
		g_autofree char *name = text_terminal(g_ptr_array_index(missed, i));

		printf("%s came and went\n", name);
	}
	for (guint i = 0; i < missed->len && top->json; i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		struct json_writer json;

		json_init(&json, out);
		json_begin_object(&json, NULL);
		json_string(&json, "resource", "container");
		json_string(&json, "name", g_ptr_array_index(missed, i));
		json_bool(&json, "dead", TRUE);
		json_bool(&json, "unread", TRUE);
		json_end_object(&json);
		puts(out->str);
	}
}

static gboolean top_print(struct top *top, const struct gauge_interval *interval)
{
	if (top->json)
		top_print_json(top, interval, clock_realtime_ns());
	else
		top_print_table(top, interval);
	top_print_missed(top);
	return fflush(stdout) == 0;
}

/* FALSE when told to stop. */
static gboolean top_wait(guint64 until_ns, int stop_fd)
{
	for (guint64 now_ns = clock_monotonic_ns(); now_ns < until_ns; now_ns = clock_monotonic_ns()) {
		struct pollfd fd = { .fd = stop_fd, .events = POLLIN };
		guint64 left_ms = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;

		if (poll(&fd, 1, (int)MIN(left_ms, G_MAXINT)) > 0)
			return FALSE;
	}
	return TRUE;
}

/* What is to be printed. */
static gboolean top_read_shown(struct top *top, struct gauge_interval *interval, GError **error)
{
	return top_read(top, interval, error) &&
	       ((!top->processes && !top->threads) || top_read_processes(top, 0, top->threads, interval, error));
}

/* Ended in the middle of an interval: what there is of it, unless that is next to nothing. */
static gboolean top_print_partial(struct top *top, gboolean is_first, GError **error)
{
	g_autofree char *length = NULL, *whole = units_duration(top->interval_ns);
	struct gauge_interval interval;

	if (clock_monotonic_ns() - top->read_ns < TOP_INTERVAL_MIN_NS)
		return TRUE;
	if (!top_read_shown(top, &interval, error))
		return FALSE;
	if (!is_first && !top->json)
		putchar('\n');
	top_print(top, &interval);
	length = units_duration(interval.length_ns);
	command_complain("top", "partial: the last interval is %s of %s", length, whole);
	return TRUE;
}

/* Columns or JSON, interval by interval; what was read before an error stays. */
static gboolean top_print_all(struct top *top, int stop_fd, GError **error)
{
	struct gauge_interval interval;
	guint64 next_ns;

	if (!top_read_shown(top, &interval, error))
		return FALSE;
	next_ns = top->read_ns + top->interval_ns;
	for (int done = 0; !top->count || done < top->count; done++, next_ns += top->interval_ns) {
		if (!top_wait(next_ns, stop_fd))
			return top_print_partial(top, done == 0, error);
		if (!top_read_shown(top, &interval, error))
			return FALSE;
		if (done && !top->json)
			putchar('\n');
		if (!top_print(top, &interval))
			return TRUE; /* nobody reads any more */
	}
	return TRUE;
}

/* A sentence about what is missing, owned by the caller; NULL: nothing. */
static char *top_watch(struct top *top)
{
	g_autoptr(GError) error = NULL;

	if (top->no_bpf || usage_watch(top->usage, &error))
		return NULL;
	return g_strdup_printf("run-queue wait is left out: %s", error->message);
}

/* ---- screen ---- */

static gboolean feed_read(void *user, const struct tui_top_want *want, struct gauge_interval *containers,
			  struct gauge_interval *processes, GError **error)
{
	struct top *top = user;

	if (want->all != top->all) {
		top->all = want->all;
		usage_set_all(top->usage, top->all);
	}
	if (!top_read(top, containers, error))
		return FALSE;
	if (want->processes)
		return top_read_processes(top, want->container_key, want->threads, processes, error);
	usage_processes_stop(top->usage);
	top->processes_ns = 0;
	return TRUE;
}

static char *feed_start(void *user)
{
	return top_watch(user);
}

static const GPtrArray *feed_missed(void *user)
{
	return usage_missed(((struct top *)user)->usage);
}

static void add_command(GPtrArray *commands, const char *first, ...) G_GNUC_NULL_TERMINATED;
static void add_command(GPtrArray *commands, const char *first, ...)
{
	GPtrArray *argv = g_ptr_array_new();
	va_list args;

	g_ptr_array_add(argv, own_program());
	va_start(args, first);
	for (const char *word = first; word; word = va_arg(args, const char *)) /* NOLINT: it is started */
		g_ptr_array_add(argv, g_strdup(word));
	va_end(args);
	g_ptr_array_add(argv, NULL);
	g_ptr_array_add(commands, g_ptr_array_free(argv, FALSE));
}

/* "fathom-web-143012.svg" in the working directory: the name is the container's, so only plain letters are kept. */
static char *picture_path(const char *name)
{
	g_autofree char *plain = g_strcanon(g_strndup(name, 60),
					    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", '_');
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *time = g_date_time_format(now, "%H%M%S");
	g_autofree char *file = g_strdup_printf("fathom-%s-%s.svg", plain, time);
	g_autofree char *directory = g_get_current_dir();

	return g_build_filename(access(directory, W_OK) == 0 ? directory : g_get_tmp_dir(), file, NULL);
}

/* What names it to a command, owned by the caller; NULL: nothing that runs now. */
static char *measured_target(const struct gauge_row *row)
{
	if (row->resource == GAUGE_RESOURCE_PROCESS)
		return g_strdup_printf("%" G_GUINT64_FORMAT, row->key);
	return row->dead ? NULL : g_strdup(row->texts[GAUGE_TEXT_CGROUP]);
}

static gboolean measure_flame(struct top *top, const struct gauge_row *row, const char *target, GPtrArray *commands,
			      char **note, GError **error)
{
	g_autofree char *picture = picture_path(row->name), *capture = NULL;

	if (!top->directory)
		top->directory = g_dir_make_tmp("fathom-XXXXXX", error);
	if (!top->directory)
		return FALSE;
	capture = g_build_filename(top->directory, "capture.json", NULL);
	add_command(commands, "walltime", "-q", "-d", TOP_MEASURE_SECONDS, "-o", capture, "--title", row->name, target,
		    NULL);
	add_command(commands, "flame", "-o", picture, capture, NULL);
	add_command(commands, "flame", capture, NULL);
	*note = g_strdup_printf("The flame graph is in %s", picture);
	return TRUE;
}

static GPtrArray *feed_measure(void *user, enum tui_top_measure what, const struct gauge_row *row, char **note,
			       GError **error)
{
	g_autoptr(GPtrArray) commands = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	g_autofree char *target = measured_target(row);

	*note = NULL;
	if (!target) {
		command_fail(error, "%s is no container or process that runs now", row->name);
		return NULL;
	}
	if (what == TUI_TOP_LATENCY)
		add_command(commands, "latency", "runq", "-q", "-d", TOP_MEASURE_SECONDS, target, NULL);
	else if (!measure_flame(user, row, target, commands, note, error))
		return NULL;
	return g_steal_pointer(&commands);
}

static gboolean top_screen(struct top *top, int stop_fd, GError **error)
{
	const struct tui_top_feed feed = {
		.user = top, .read = feed_read, .start = feed_start, .missed = feed_missed, .measure = feed_measure
	};
	const struct tui_top_options options = {
		.interval_ns = top->interval_ns,
		.count = top->count,
		.stop_fd = stop_fd,
		.sort = top->order.column,
		.ascending = top->order.ascending,
		.tree = top->order.tree,
		.all = top->all,
		.processes = top->processes,
		.threads = top->threads,
		.filter = top->filter_text,
	};

	return tui_top_run(&feed, &options, error);
}

/* An empty screen helps nobody: without containers, everything else is shown. */
static void top_widen(struct top *top)
{
	g_autoptr(GPtrArray) containers = who_choose(top->registry, "top", NULL, FALSE);

	if (top->all || containers->len > 0)
		return;
	top->all = TRUE;
	command_complain("top", "no containers: the host, systemd units and other cgroups are shown (--all)");
}

static gboolean top_open(struct top *top, char **targets, GError **error)
{
	struct usage_options options = { .no_bpf = top->no_bpf, .inside = guest_is_inside() };

	top->registry = source_registry(error);
	if (!top->registry)
		return FALSE;
	if (!targets[0])
		top_widen(top);
	options.all = top->all;
	if (targets[0]) {
		top->wanted = who_choose(top->registry, "top", targets, top->all);
		if (!top->wanted)
			return FALSE;
		options.wanted = top->wanted;
	}
	top->usage = usage_new(top->registry, &options);
	top->process_changes = gauges_new();
	return TRUE;
}

/* source_gauges_fn: an interval of a capture. */
static gboolean top_recorded(void *user, guint64 realtime_ns, guint64 length_ns, struct gauges *changes)
{
	struct top *top = user;
	struct gauge_interval interval = { .readings = changes, .changes = changes, .length_ns = length_ns };

	if (top->recorded++ && !top->json)
		putchar('\n');
	if (top->json)
		top_print_json(top, &interval, realtime_ns);
	else
		top_print_table(top, &interval);
	return fflush(stdout) == 0 && (!top->count || top->recorded < (guint)top->count);
}

static gboolean top_has_screen(const struct top *top)
{
	return !top->json && !top->plain && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
	       g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

static gboolean top_columns(struct top *top, int stop_fd, GError **error)
{
	g_autofree char *missing = top_watch(top);

	if (missing)
		command_complain("top", "%s", missing);
	return top_print_all(top, stop_fd, error);
}

static int top_run(struct top *top, char **targets)
{
	g_autoptr(GError) error = NULL;
	int stop_fd, status = EXIT_OK;

	if (!top_check(top, &error)) {
		command_complain("top", "%s", error->message);
		return EXIT_USAGE;
	}
	if (!top_open(top, targets, &error)) {
		if (error)
			command_complain("top", "%s", error->message);
		return error ? EXIT_FAILED : EXIT_USAGE; /* a target was complained about already */
	}
	setpriority(PRIO_PROCESS, 0, TOP_NICE); /* refused: then not */
	stop_fd = measure_stop_fd();
	if (source_capture() && (top->processes || top->threads)) {
		command_complain("top", "a capture knows containers, not single processes");
		status = EXIT_USAGE;
	} else if (source_capture()) {
		if (!source_each_gauges(top_recorded, top, &error)) {
			command_complain("top", "%s", error->message);
			status = EXIT_FAILED;
		}
	} else if (!(top_has_screen(top) ? top_screen(top, stop_fd, &error) : top_columns(top, stop_fd, &error))) {
		command_complain("top", "%s", error->message);
		status = EXIT_FAILED;
	}
	measure_signals_restore(stop_fd);
	return status;
}

int cmd_top(int argc, char **argv)
{
	struct top top = { 0 };
	int status;

	if (top_parse(&top, &argc, &argv, &status))
		status = top_run(&top, argv + 1);
	top_clear(&top);
	return status;
}
