/* SPDX-License-Identifier: Apache-2.0 */
/* fathom flame: stacks from a file or a pipe → the same pictures and tables that a measurement makes. */
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/command.h"
#include "import/import.h"
#include "render/render.h"

struct flame_command {
	char *output, *format, *from, *unit, *title;
	gboolean inverted, reversed;
};

static const struct {
	const char *name;
	enum unit unit;
	guint64 scale;
} flame_units[] = {
	{ "samples", UNIT_COUNT, 1 },	       { "ns", UNIT_NANOSECONDS, 1 }, { "us", UNIT_NANOSECONDS, NS_PER_US },
	{ "ms", UNIT_NANOSECONDS, NS_PER_MS }, { "bytes", UNIT_BYTES, 1 },
};

static gboolean flame_unit(const char *name, struct import_options *options)
{
	for (guint i = 0; i < G_N_ELEMENTS(flame_units); i++) {
		if (strcmp(flame_units[i].name, name) != 0)
			continue;
		options->unit = flame_units[i].unit;
		options->scale = flame_units[i].scale;
		return TRUE;
	}
	return FALSE;
}

/* A picture needs a heading; a file's name is the best there is. */
static void flame_name(struct snapshot *snapshot, const char *path)
{
	if (!snapshot->title)
		snapshot->title = strcmp(path, "-") == 0 ? g_strdup("flame graph") : g_path_get_basename(path);
}

static int flame_run(const struct flame_command *command, const char *path)
{
	struct import_options from = { .format = command->from };
	struct render_options options = { .title = command->title,
					  .inverted = command->inverted,
					  .reversed = command->reversed };
	const char *output = command->output ? command->output : "-";
	const struct render_format *format;
	g_autoptr(snapshot_t) snapshot = NULL;
	g_autoptr(GError) error = NULL;

	if (command->unit && !flame_unit(command->unit, &from)) {
		command_complain("flame", "no unit is called \"%s\": choose samples, ns, us, ms or bytes",
				 command->unit);
		return EXIT_USAGE;
	}
	format = render_format_choose(command->format, output, "text", &error);
	if (!format || !render_output_check(output, &error)) {
		command_complain("flame", "%s", error->message);
		return EXIT_USAGE;
	}
	snapshot = import_file(path, &from, &error);
	if (snapshot && !snapshot_find(snapshot, SHAPE_CALLTREE))
		g_set_error(&error, IMPORT_ERROR, IMPORT_ERROR_EMPTY, "%s holds no stacks", path);
	if (error) {
		command_complain("flame", "%s", error->message);
		return EXIT_USAGE;
	}
	flame_name(snapshot, path);
	if (!command->output)
		render_options_for_terminal(&options);
	if (!render_write_file(snapshot, format, &options, output, &error)) {
		command_complain("flame", "%s", error->message);
		return EXIT_FAILED;
	}
	if (strcmp(output, "-") != 0)
		fprintf(stderr, "wrote %s\n", output);
	for (guint i = 0; i < snapshot->shapes->len; i++)
		if (!ledger_is_conclusive(&((struct shape *)g_ptr_array_index(snapshot->shapes, i))->ledger))
			return EXIT_INCONCLUSIVE;
	return EXIT_OK;
}

int cmd_flame(int argc, char **argv)
{
	struct flame_command command = { 0 };
	const GOptionEntry entries[] = {
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &command.output,
		  "Write a file, format by its suffix (.svg .html .folded .json .pb.gz .speedscope.json); - is stdout",
		  "FILE" },
		{ "format", 0, 0, G_OPTION_ARG_STRING, &command.format,
		  "Format instead of the suffix's: text svg html folded json pprof speedscope", "NAME" },
		{ "from", 0, 0, G_OPTION_ARG_STRING, &command.from,
		  "What the input is, when its content does not tell: folded perf-script pprof json", "NAME" },
		{ "unit", 0, 0, G_OPTION_ARG_STRING, &command.unit,
		  "Unit of folded weights: samples (default) ns us ms bytes", "UNIT" },
		{ "title", 0, 0, G_OPTION_ARG_STRING, &command.title, "Heading of the picture", "TEXT" },
		{ "inverted", 0, 0, G_OPTION_ARG_NONE, &command.inverted, "Picture with the root on top (icicle)",
		  NULL },
		{ "reverse", 0, 0, G_OPTION_ARG_NONE, &command.reversed,
		  "Picture merged from the leaf: callers above what they call", NULL },
		{ NULL },
	};
	g_autoptr(GOptionContext) context = g_option_context_new("FILE");
	int status = EXIT_USAGE;

	g_option_context_set_summary(context, "Flame graphs and tables of stacks measured elsewhere.");
	g_option_context_set_description(
		context, "FILE holds folded stacks, the text of perf script, a pprof profile, or a fathom capture\n"
			 "(.json), gzipped or not; - is standard input. Without -o, a summary is printed.\n");
	g_option_context_add_main_entries(context, entries, NULL);
	if (command_parse(context, &argc, &argv, &status)) {
		if (argc == 2) {
			status = flame_run(&command, argv[1]);
		} else {
			command_complain("flame", argc < 2 ? "name a file of stacks, or - for standard input"
							   : "one file at a time; to compare two: fathom diff A B");
			status = EXIT_USAGE;
		}
	}
	g_free(command.output);
	g_free(command.format);
	g_free(command.from);
	g_free(command.unit);
	g_free(command.title);
	return status;
}
