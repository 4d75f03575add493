/* SPDX-License-Identifier: Apache-2.0 */
/* fathom diff: what changed between two captures, as a differential flame graph or as a table. */
#include <string.h>

#include "cli/command.h"
#include "import/import.h"
#include "render/render.h"

#define DIFF_APART 100 /* times; no two measurements worth comparing weight by weight are */

struct diff_command {
	char *output, *format, *title;
	gboolean inverted, normalized;
};

static struct snapshot *diff_load(const char *path, GError **error)
{
	g_autoptr(snapshot_t) snapshot = import_file(path, NULL, error);

	if (snapshot && !snapshot_find(snapshot, SHAPE_CALLTREE)) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_EMPTY, "%s holds no stacks", path);
		return NULL;
	}
	return g_steal_pointer(&snapshot);
}

static const char *diff_counts(enum unit unit)
{
	return unit == UNIT_NANOSECONDS ? "time" : unit == UNIT_BYTES ? "bytes" : "samples";
}

/* Folded files do not say what they count: samples beside microseconds are a thousand times apart. */
static void diff_warn(const struct snapshot *before, const struct snapshot *after, gboolean normalized)
{
	double x = (double)snapshot_find(before, SHAPE_CALLTREE)->ledger.seen.weight;
	double y = (double)snapshot_find(after, SHAPE_CALLTREE)->ledger.seen.weight;
	double apart = MAX(x, y) / MAX(MIN(x, y), 1);

	if (!normalized && apart >= DIFF_APART)
		command_complain("diff",
				 "the weights of the two are %.0f times apart: do both count the same, for as long? "
				 "(--normalize compares shares)",
				 apart);
}

/* One snapshot with a differential tree; what either capture rests on is what the difference rests on. */
static struct snapshot *diff_join(const struct snapshot *before, const struct snapshot *after, const char *before_name,
				  const char *after_name, GError **error)
{
	const struct shape *a = snapshot_find(before, SHAPE_CALLTREE), *b = snapshot_find(after, SHAPE_CALLTREE);
	g_autofree char *from = g_path_get_basename(before_name), *to = g_path_get_basename(after_name);
	g_autofree char *title = g_strdup_printf("%s \342\206\222 %s", from, to);
	struct snapshot *joined;
	struct shape *shape;

	if (!a || !b) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_EMPTY, "there are no stacks in %s", a ? to : from);
		return NULL;
	}
	if (a->unit != b->unit) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_FORMAT,
			    "the two captures count different things: %s %s, %s %s", from, diff_counts(a->unit), to,
			    diff_counts(b->unit));
		return NULL;
	}
	joined = snapshot_new(title);
	g_free(joined->host);
	joined->host = g_strdup(after->host);
	joined->start_realtime_ns = after->start_realtime_ns;
	joined->duration_ns = after->duration_ns;
	joined->frequency_hz = after->frequency_hz;
	shape = shape_new(SHAPE_CALLTREE, "difference", b->unit);
	calltree_free(shape->calltree);
	shape->calltree = calltree_diff(a->calltree, b->calltree);
	ledger_merge(&shape->ledger, &b->ledger);
	ledger_merge(&shape->ledger, &a->ledger);
	g_ptr_array_add(joined->shapes, shape);
	return joined;
}

static gboolean both_conclusive(const struct snapshot *before, const struct snapshot *after)
{
	return ledger_is_conclusive(&snapshot_find(before, SHAPE_CALLTREE)->ledger) &&
	       ledger_is_conclusive(&snapshot_find(after, SHAPE_CALLTREE)->ledger);
}

static int diff_run(const struct diff_command *command, const char *before_path, const char *after_path)
{
	struct render_options options = { .title = command->title,
					  .inverted = command->inverted,
					  .normalized = command->normalized };
	const char *output = command->output ? command->output : "-";
	g_autoptr(snapshot_t) before = NULL;
	g_autoptr(snapshot_t) after = NULL;
	g_autoptr(snapshot_t) joined = NULL;
	g_autoptr(GError) error = NULL;
	const struct render_format *format = render_format_choose(command->format, output, "text", &error);

	if (format && render_output_check(output, &error) && (before = diff_load(before_path, &error)) &&
	    (after = diff_load(after_path, &error)))
		joined = diff_join(before, after, before_path, after_path, &error);
	if (!joined) {
		command_complain("diff", "%s", error->message);
		return EXIT_USAGE;
	}
	diff_warn(before, after, command->normalized);
	if (!command->output)
		render_options_for_terminal(&options);
	if (!render_write_file(joined, format, &options, output, &error)) {
		command_complain("diff", "%s", error->message);
		return EXIT_FAILED;
	}
	return both_conclusive(before, after) ? EXIT_OK : EXIT_INCONCLUSIVE;
}

int cmd_diff(int argc, char **argv)
{
	struct diff_command command = { 0 };
	const GOptionEntry entries[] = {
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &command.output,
		  "Write a differential flame graph (.svg .html) or a capture of both (.json); - is stdout", "FILE" },
		{ "format", 0, 0, G_OPTION_ARG_STRING, &command.format,
		  "Format instead of the suffix's: text svg html json", "NAME" },
		{ "normalize", 'n', 0, G_OPTION_ARG_NONE, &command.normalized,
		  "Compare shares: scale BEFORE to the total of AFTER", NULL },
		{ "title", 0, 0, G_OPTION_ARG_STRING, &command.title, "Heading of the picture", "TEXT" },
		{ "inverted", 0, 0, G_OPTION_ARG_NONE, &command.inverted, "Picture with the root on top (icicle)",
		  NULL },
		{ NULL },
	};
	g_autoptr(GOptionContext) context = g_option_context_new("BEFORE AFTER");
	int status = EXIT_USAGE;

	g_option_context_set_summary(context, "What changed between two captures.");
	g_option_context_set_description(
		context,
		"BEFORE and AFTER are anything `fathom flame` reads. Without -o, a table of the functions that\n"
		"changed the most is printed.\n");
	g_option_context_add_main_entries(context, entries, NULL);
	if (command_parse(context, &argc, &argv, &status)) {
		if (argc == 3) {
			status = diff_run(&command, argv[1], argv[2]);
		} else {
			command_complain("diff", "name two captures: fathom diff BEFORE AFTER");
			status = EXIT_USAGE;
		}
	}
	g_free(command.output);
	g_free(command.format);
	g_free(command.title);
	return status;
}
