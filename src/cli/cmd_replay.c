/* SPDX-License-Identifier: Apache-2.0 */
/* fathom replay: any command on a capture instead of this machine. Needs no rights. */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/table.h"
#include "store/capture.h"

/* Commands that ask source.h where numbers come from. */
static const char *const replayable[] = { "profile", "offcpu", "walltime",    "latency",  "ps",	 "top",
					  "trace",   "map",    "connections", "diagnose", "use", "dns",
					  "memory",  "host",   "serve",	      NULL };

struct held {
	char *name;
	enum shape_kind kind;
	guint frames;
	guint64 rows, events;
};

struct contents {
	GPtrArray *held; /* of struct held * */
	GHashTable *containers; /* cgroup key → its last name: one may be learnt late */
	struct capture capture;
	char *host;
};

static void held_free(gpointer data)
{
	g_free(((struct held *)data)->name);
	g_free(data);
}

static struct held *held_of(struct contents *contents, const struct shape *shape)
{
	struct held *held;

	for (guint i = 0; i < contents->held->len; i++) {
		held = g_ptr_array_index(contents->held, i);
		if (held->kind == shape->kind && g_strcmp0(held->name, shape->probe) == 0)
			return held;
	}
	held = g_new0(struct held, 1);
	held->name = g_strdup(shape->probe);
	held->kind = shape->kind;
	g_ptr_array_add(contents->held, held);
	return held;
}

static guint64 rows_of(const struct shape *shape)
{
	switch (shape->kind) {
	case SHAPE_CALLTREE:
		return shape->calltree->node_count;
	case SHAPE_HISTOGRAM:
		return shape->histogram->rows->len;
	case SHAPE_EDGES:
		return shape->edges->rows->len;
	case SHAPE_EVENTS:
		return shape->events->rows.length;
	case SHAPE_GAUGES:
		return shape->gauges->rows->len;
	case SHAPE_NONE:
		break;
	}
	return 0;
}

/* capture_fn */
static gboolean contents_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	struct contents *contents = user;

	(void)time_ms;
	(void)error;
	if (!contents->host)
		contents->host = g_strdup(snapshot->host);
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);
		struct held *held = held_of(contents, shape);

		held->frames++;
		held->rows += rows_of(shape);
		held->events += shape->ledger.seen.events;
		for (guint32 j = 0; shape->gauges && j < shape->gauges->rows->len; j++) {
			const struct gauge_row *row = gauges_row(shape->gauges, j);

			if (row->resource == GAUGE_RESOURCE_CONTAINER)
				g_hash_table_replace(contents->containers, g_memdup2(&row->key, sizeof(row->key)),
						     g_strdup(row->name));
		}
	}
	return TRUE;
}

static void contents_text(const struct contents *contents, const char *path)
{
	static const struct table_column columns[] = {
		{ "WHAT", FALSE }, { "SHAPE", FALSE }, { "INTERVALS", TRUE }, { "ROWS", TRUE }, { "SEEN", TRUE }
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autoptr(GDateTime) start = g_date_time_new_from_unix_utc(contents->capture.first_ms / 1000);
	g_autofree char *when = start ? g_date_time_format(start, "%Y-%m-%d %H:%M:%S UTC") : g_strdup("?");
	g_autofree char *shown = text_terminal(path), *host = text_terminal(contents->host ? contents->host : "?");
	g_autofree char *late = capture_lateness(&contents->capture);
	g_autofree char *length = units_duration(
		(guint64)MAX(contents->capture.last_ms - contents->capture.first_ms + 1000, 0) * NS_PER_MS);

	table_print_wrapped(stdout, "%s: %u segments from %s, %s, of %s, %u containers\n", shown,
			    contents->capture.segments, when, length, host, g_hash_table_size(contents->containers));
	if (late)
		table_print_wrapped(stdout, "%s\n", late);
	for (guint i = 0; i < contents->held->len; i++) {
		const struct held *held = g_ptr_array_index(contents->held, i);

		table_cell(table, held->name);
		table_cell(table, shape_kind_name(held->kind));
		table_cell_number(table, held->frames, TRUE);
		table_cell_number(table, held->rows, TRUE);
		table_cell_number(table, held->events, held->events != 0);
	}
	table_print(table, stdout);
}

static void contents_json(const struct contents *contents)
{
	g_autoptr(GString) out = g_string_new(NULL);
	GHashTableIter iter;
	struct json_writer json;
	gpointer name;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_uint(&json, "segments", contents->capture.segments);
	json_int(&json, "first_ms", contents->capture.first_ms);
	json_int(&json, "last_ms", contents->capture.last_ms);
	json_uint(&json, "cut_bytes", contents->capture.cut_bytes);
	json_string(&json, "host", contents->host);
	json_uint(&json, "late", contents->capture.late);
	json_uint(&json, "longest_ns", contents->capture.longest_ns);
	json_uint(&json, "gaps", contents->capture.gaps);
	json_uint(&json, "missing_ns", contents->capture.missing_ns);
	json_begin_array(&json, "containers");
	g_hash_table_iter_init(&iter, contents->containers);
	while (g_hash_table_iter_next(&iter, NULL, &name))
		json_string(&json, NULL, name);
	json_end_array(&json);
	json_begin_array(&json, "holds");
	for (guint i = 0; i < contents->held->len; i++) {
		const struct held *held = g_ptr_array_index(contents->held, i);

		json_begin_object(&json, NULL);
		json_string(&json, "name", held->name);
		json_string(&json, "shape", shape_kind_name(held->kind));
		json_uint(&json, "intervals", held->frames);
		json_uint(&json, "rows", held->rows);
		json_uint(&json, "seen", held->events);
		json_end_object(&json);
	}
	json_end_array(&json);
	json_end_object(&json);
	puts(out->str);
}

/* Without a command: what is in it. */
static int replay_contents(const char *path, gboolean as_json)
{
	struct contents contents = {
		.held = g_ptr_array_new_with_free_func(held_free),
		.containers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free),
	};
	g_autoptr(GError) error = NULL;
	int status = EXIT_USAGE;

	if (capture_read_file(path, NULL, &contents.capture, contents_frame, &contents, &error)) {
		if (as_json)
			contents_json(&contents);
		else
			contents_text(&contents, path);
		status = EXIT_OK;
		if (contents.capture.cut_bytes)
			command_complain("replay",
					 "its last %" G_GUINT64_FORMAT " bytes are no whole segment: left out",
					 contents.capture.cut_bytes);
	} else {
		command_complain("replay", "%s", error->message);
	}
	g_ptr_array_unref(contents.held);
	g_hash_table_unref(contents.containers);
	g_free(contents.host);
	return status;
}

/* capture_fn */
static gboolean first_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	gint64 *first_ms = user;

	(void)snapshot;
	(void)error;
	if (!*first_ms)
		*first_ms = time_ms;
	return TRUE;
}

/* --from and --to are seconds since the capture's beginning. */
static gboolean replay_range(const char *path, const char *from, const char *to, GError **error)
{
	gint64 first_ms = 0;
	struct capture capture;
	guint64 from_ns = 0, to_ns = 0;

	if ((from && !units_parse_duration(from, NS_PER_S, &from_ns)) ||
	    (to && !units_parse_duration(to, NS_PER_S, &to_ns)) || (to && to_ns <= from_ns))
		return command_fail(error, "--from and --to are times since the capture's beginning: 90, 2m");
	if (!capture_read_file(path, NULL, &capture, first_frame, &first_ms, error))
		return FALSE;
	if (from) {
		g_autofree char *text =
			g_strdup_printf("%" G_GINT64_FORMAT, capture_zero_ms(first_ms) + (gint64)(from_ns / NS_PER_MS));

		g_setenv(SOURCE_FROM_MS, text, TRUE);
	}
	if (to) {
		g_autofree char *text =
			g_strdup_printf("%" G_GINT64_FORMAT, capture_zero_ms(first_ms) + (gint64)(to_ns / NS_PER_MS));

		g_setenv(SOURCE_TO_MS, text, TRUE);
	}
	return TRUE;
}

static int replay_command(const char *path, int argc, char **argv)
{
	const struct command *command = command_find(argv[0]);

	if (!command || !g_strv_contains(replayable, argv[0])) {
		g_autofree char *list = g_strjoinv(", ", (char **)replayable);

		command_complain("replay", "\"%s\" is no command for a capture: %s", argv[0], list);
		return EXIT_USAGE;
	}
	if (!capture_is(path)) {
		command_complain("replay", "cannot read %s: %s", path,
				 g_access(path, R_OK) < 0 ? g_strerror(errno) : "this is no capture of fathom record");
		return EXIT_USAGE;
	}
	g_setenv(SOURCE_CAPTURE, path, TRUE);
	return command->run(argc, argv);
}

int cmd_replay(int argc, char **argv)
{
	g_autofree char *from = NULL, *to = NULL;
	gboolean as_json = FALSE;
	const GOptionEntry entries[] = {
		{ "from", 0, 0, G_OPTION_ARG_STRING, &from, "Leave out what was before: since the beginning",
		  "SECONDS" },
		{ "to", 0, 0, G_OPTION_ARG_STRING, &to, "Leave out what came after", "SECONDS" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "What it holds as one JSON object", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("FILE [COMMAND [OPTION…] [TARGET…]]");
	g_autoptr(GError) error = NULL;
	int status;

	g_option_context_set_summary(context,
				     "Runs a command on what fathom record wrote, or the agent's flight recorder;\n"
				     "without a COMMAND: what is in it. Needs no rights.");
	g_option_context_set_strict_posix(context, TRUE); /* options after FILE are the command's */
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	if (argc < 2) {
		command_complain("replay", "which capture? fathom replay FILE [COMMAND …]");
		return EXIT_USAGE;
	}
	if (argc == 2)
		return replay_contents(argv[1], as_json);
	if ((from || to) && !replay_range(argv[1], from, to, &error)) {
		command_complain("replay", "%s", error->message);
		return EXIT_USAGE;
	}
	return replay_command(argv[1], argc - 2, argv + 2);
}
