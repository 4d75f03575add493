/* SPDX-License-Identifier: Apache-2.0 */
#include "render/render.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "render/formats.h"

G_DEFINE_QUARK(fathom - render - error - quark, render_error)

const struct render_format render_formats[] = {
	{ "svg", ".svg", "flame graph, a picture", render_svg },
	{ "html", ".html .htm", "flame graph, an interactive page", render_html },
	{ "folded", ".folded .collapsed", "one line a stack, root first", render_folded },
	{ "json", ".json", "capture: everything, can be read back", render_json },
	{ "pprof", ".pb.gz .pprof .pb", "for `go tool pprof`", render_pprof },
	{ "speedscope", ".speedscope.json .speedscope", "for speedscope", render_speedscope },
	{ "text", ".txt", "hottest paths and functions", render_text },
	{ NULL },
};

static char *render_format_names(void)
{
	GString *names = g_string_new(NULL);

	for (const struct render_format *format = render_formats; format->name; format++)
		g_string_append_printf(names, "%s%s", names->len ? ", " : "", format->name);
	return g_string_free(names, FALSE);
}

const struct render_format *render_format_find(const char *name, GError **error)
{
	g_autofree char *names = NULL;

	for (const struct render_format *format = render_formats; format->name; format++)
		if (strcmp(format->name, name) == 0)
			return format;
	names = render_format_names();
	g_set_error(error, RENDER_ERROR, RENDER_ERROR_FORMAT, "no format is called \"%s\": choose one of %s", name,
		    names);
	return NULL;
}

const struct render_format *render_format_by_suffix(const char *path, GError **error)
{
	const struct render_format *best = NULL;
	g_autofree char *names = NULL;
	gsize best_length = 0;

	for (const struct render_format *format = render_formats; format->name; format++) {
		g_auto(GStrv) suffixes = g_strsplit(format->suffixes, " ", -1);

		for (guint i = 0; suffixes[i]; i++) {
			if (strlen(suffixes[i]) > best_length && g_str_has_suffix(path, suffixes[i])) {
				best = format;
				best_length = strlen(suffixes[i]);
			}
		}
	}
	if (best)
		return best;
	names = render_format_names();
	g_set_error(error, RENDER_ERROR, RENDER_ERROR_FORMAT,
		    "cannot tell the format from the name \"%s\": use --format with one of %s", path, names);
	return NULL;
}

const struct render_format *render_format_choose(const char *format, const char *path, const char *fallback,
						 GError **error)
{
	if (format)
		return render_format_find(format, error);
	if (path && strcmp(path, "-") != 0)
		return render_format_by_suffix(path, error);
	return render_format_find(fallback, error);
}

struct shape *render_calltree(const struct snapshot *snapshot, GError **error)
{
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);

	if (!shape)
		g_set_error(error, RENDER_ERROR, RENDER_ERROR_EMPTY, "the capture holds no stacks");
	return shape;
}

struct shape *render_shape(const struct snapshot *snapshot, GError **error)
{
	static const enum shape_kind kinds[] = { SHAPE_CALLTREE, SHAPE_HISTOGRAM, SHAPE_EDGES };

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		struct shape *shape = snapshot_find(snapshot, kinds[i]);

		if (shape)
			return shape;
	}
	g_set_error(error, RENDER_ERROR, RENDER_ERROR_EMPTY, "the capture holds nothing that could be shown this way");
	return NULL;
}

const char *render_title(const struct snapshot *snapshot, const struct render_options *options)
{
	if (options->title && options->title[0])
		return options->title;
	return snapshot->title && snapshot->title[0] ? snapshot->title : "flame graph";
}

void render_options_for_terminal(struct render_options *options)
{
	const char *no_color = g_getenv("NO_COLOR");
	const char *term = g_getenv("TERM");
	struct winsize size = { 0 };

	if (!isatty(STDOUT_FILENO))
		return;
	options->colour = !(no_color && no_color[0]) && !(term && strcmp(term, "dumb") == 0);
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		options->columns = size.ws_col;
}
