/* SPDX-License-Identifier: Apache-2.0 */
/* fathom map: who talks to whom as a picture, measured now or from a capture. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "cli/measure.h"
#include "container/registry.h"
#include "import/import.h"
#include "observe/observe.h"
#include "probe/probe.h"
#include "render/map.h"
#include "render/render.h"

#define MAP_PROBE "connections"
#define MAP_DURATION_DEFAULT_NS (10 * NS_PER_S)
#define MAP_DURATION_MIN_NS (100 * NS_PER_MS)
#define MAP_DURATION_MAX_NS (24 * 3600 * NS_PER_S)

struct map_command {
	char *duration, *by, *output, *format, *title, *rung, *remotes;
	struct remotes_how remotes_how;
	gboolean json, quiet, all_sockets;
	guint64 duration_ns;
	enum observe_by by_what;
	const struct render_format *writer;
	GPtrArray *targets;
};

static void map_clear(struct map_command *command)
{
	g_free(command->duration);
	g_free(command->by);
	g_free(command->output);
	g_free(command->format);
	g_free(command->title);
	g_free(command->rung);
	g_free(command->remotes);
	if (command->targets)
		g_ptr_array_unref(command->targets);
}

/* ---- options ---- */

static const struct render_format *map_format(const char *name, const char *path, GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (const struct render_format *format = map_formats; format->name; format++) {
		g_auto(GStrv) suffixes = g_strsplit(format->suffixes, " ", -1);

		if (name && strcmp(name, format->name) == 0)
			return format;
		for (guint i = 0; !name && path && suffixes[i]; i++)
			if (g_str_has_suffix(path, suffixes[i]))
				return format;
		g_string_append_printf(names, "%s%s", names->len ? ", " : "", format->name);
	}
	if (name)
		command_fail(error, "no format is called \"%s\": choose one of %s", name, names->str);
	else
		command_fail(error, "cannot tell the format from the name \"%s\": use --format with one of %s", path,
			     names->str);
	return NULL;
}

static gboolean map_check_by(struct map_command *command, GError **error)
{
	static const struct {
		const char *name;
		enum observe_by by;
	} whats[] = {
		{ "container", OBSERVE_BY_CONTAINER },
		{ "pod", OBSERVE_BY_POD },
		{ "image", OBSERVE_BY_IMAGE },
		{ "process", OBSERVE_BY_PROCESS },
	};

	for (guint i = 0; command->by && i < G_N_ELEMENTS(whats); i++) {
		if (strcmp(command->by, whats[i].name) == 0) {
			command->by_what = whats[i].by;
			return TRUE;
		}
	}
	return !command->by ||
	       command_fail(error, "--by %s is not known: container, pod, image or process", command->by);
}

static gboolean map_check(struct map_command *command, GError **error)
{
	const char *path = command->output && strcmp(command->output, "-") != 0 ? command->output : NULL;
	const char *name = command->json ? "json" : command->format;

	command->duration_ns = MAP_DURATION_DEFAULT_NS;
	if (command->duration && !units_parse_duration(command->duration, NS_PER_S, &command->duration_ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (10) or a unit (500ms, 2m)",
				    command->duration);
	if (command->duration_ns < MAP_DURATION_MIN_NS || command->duration_ns > MAP_DURATION_MAX_NS)
		return command_fail(error, "a duration of %s is out of range: 100ms to 24h", command->duration);
	if (command->json && command->format)
		return command_fail(error, "--json and --format exclude each other");
	command->writer = map_format(name ? name : path ? NULL : "text", path, error);
	return command->writer && measure_rung_is_known(probe_find(MAP_PROBE), command->rung, error) &&
	       map_check_by(command, error) &&
	       (!command->remotes || remotes_parse(command->remotes, &command->remotes_how, error)) &&
	       (!command->output || render_output_check(command->output, error));
}

/* ---- the map ---- */

static int map_write(const struct map_command *command, struct snapshot *snapshot)
{
	struct render_options options = { .title = command->title };
	const char *output = command->output ? command->output : "-";
	g_autoptr(GError) error = NULL;

	if (!command->output)
		render_options_for_terminal(&options);
	if (!render_write_file(snapshot, command->writer, &options, output, &error)) {
		command_complain("map", "%s", error->message);
		return g_error_matches(error, RENDER_ERROR, RENDER_ERROR_EMPTY) ? EXIT_USAGE : EXIT_FAILED;
	}
	if (strcmp(output, "-") != 0 && !command->quiet)
		fprintf(stderr, "wrote %s\n", output);
	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (ledger_is_conclusive(&shape->ledger))
			continue;
		command_complain("map", "inconclusive: only %.1f %% of what happened is in the map",
				 100 * ledger_coverage(&shape->ledger));
		return EXIT_INCONCLUSIVE;
	}
	return EXIT_OK;
}

static gboolean map_is_capture(const char *name)
{
	return strcmp(name, "-") == 0 || g_str_has_suffix(name, ".json") || g_str_has_suffix(name, ".json.gz");
}

static struct snapshot *map_import(const struct map_command *command, int argc, char **argv, GError **error)
{
	struct import_options options = { .format = "json" };
	struct snapshot *snapshot;

	if (argc > 2) {
		command_fail(error, "one capture at a time");
		return NULL;
	}
	if (command->by || command->duration || command->rung || command->remotes) {
		command_fail(error, "a capture is as it was taken: leave out --by, --remotes, --duration and --rung");
		return NULL;
	}
	snapshot = import_file(argv[1], &options, error);
	if (snapshot && !snapshot->title)
		snapshot->title = strcmp(argv[1], "-") == 0 ? g_strdup("service map") : g_path_get_basename(argv[1]);
	return snapshot;
}

static gboolean map_targets(struct map_command *command, struct registry *registry, char **names, GError **error)
{
	command->targets = target_array_new();
	return observe_targets(registry, names, command->targets, error);
}

static struct snapshot *map_observe(const struct map_command *command, struct registry *registry, GError **error)
{
	struct observe_options options = {
		.probe = probe_find(MAP_PROBE),
		.targets = command->targets,
		.duration_ns = command->duration_ns,
		.by = command->by_what,
		.rung = command->rung,
		.peers = command->all_sockets,
		.remotes = command->remotes_how,
		.stop_fd = measure_stop_fd(),
	};
	struct snapshot *snapshot;

	if (!command->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "watching for %.1f s; Ctrl-C ends early\n", (double)command->duration_ns / 1e9);
	snapshot = source_observe(registry, &options, error);
	measure_signals_restore(options.stop_fd);
	return snapshot;
}

static int map_run(struct map_command *command, int argc, char **argv)
{
	g_autoptr(snapshot_t) snapshot = NULL;
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	int status = EXIT_USAGE;

	if (!map_check(command, &error)) {
		/* said below */
	} else if (argc > 1 && map_is_capture(argv[1])) {
		snapshot = map_import(command, argc, argv, &error);
	} else if ((registry = source_registry(&error)) && /* refused kernel programs: it polls, and says so */
		   map_targets(command, registry, argv + 1, &error)) {
		status = EXIT_FAILED;
		snapshot = map_observe(command, registry, &error);
	}
	if (snapshot)
		status = map_write(command, snapshot);
	if (error)
		command_complain("map", "%s", error->message);
	registry_free(registry);
	return status;
}

int cmd_map(int argc, char **argv)
{
	struct map_command command = { 0 };
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &command.duration,
		  "How long to watch: seconds, or with a unit: 500ms, 2m (default 10)", "SECONDS" },
		{ "by", 0, 0, G_OPTION_ARG_STRING, &command.by,
		  "What is one box: container (default), pod, image or process (by name)", "WHAT" },
		{ "remotes", 0, 0, G_OPTION_ARG_STRING, &command.remotes,
		  "Those outside this machine by address (default), name, port or subnet[=BITS[,BITS6]]", "WHAT" },
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &command.output,
		  "Write a file, format by its suffix (.svg .html .dot .json .txt); - is stdout", "FILE" },
		{ "format", 0, 0, G_OPTION_ARG_STRING, &command.format,
		  "Format instead of the suffix's: text svg html dot json", "NAME" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &command.json, "The same as --format json", NULL },
		{ "title", 0, 0, G_OPTION_ARG_STRING, &command.title, "Heading", "TEXT" },
		{ "all-sockets", 0, 0, G_OPTION_ARG_NONE, &command.all_sockets,
		  "Also datagrams (UDP) and unix sockets; looks at every packet", NULL },
		{ "rung", 0, 0, G_OPTION_ARG_STRING, &command.rung, "Attach this way only (see: fathom doctor)",
		  "NAME" },
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &command.quiet, "No word about what is going on", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…] | CAPTURE.json");
	int status;

	g_option_context_set_summary(context, "Service map: who opens connections to whom, with numbers on the edges.");
	g_option_context_set_description(
		context, "A TARGET is a container's name or id prefix, a pod, a cgroup path, host, or all (default):\n"
			 "edges with one of them at either end are drawn. CAPTURE.json is what fathom connections -o\n"
			 "wrote; - is standard input.\n");
	g_option_context_add_main_entries(context, entries, NULL);
	if (command_parse(context, &argc, &argv, &status))
		status = map_run(&command, argc, argv);
	map_clear(&command);
	return status;
}
