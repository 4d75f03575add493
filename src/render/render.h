/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes → files for people and for other tools. One table of formats; a writer sees a snapshot and an open file,
 * never a probe. Names inside snapshots are hostile: every writer passes them through base/text.h. */
#pragma once
#include <glib.h>
#include <stdio.h>

#include "model/snapshot.h"

#define RENDER_ERROR (render_error_quark())
GQuark render_error_quark(void);
enum render_error {
	RENDER_ERROR_FORMAT = 1, /* no such format, or no format for this file name */
	RENDER_ERROR_OUTPUT = 2, /* the file cannot be written */
	RENDER_ERROR_EMPTY = 3, /* the snapshot has nothing this format could show */
};

struct render_options {
	const char *title; /* instead of the snapshot's own; NULL: the snapshot's */
	gboolean inverted; /* pictures: the root on top, stacks hang down (icicle) */
	gboolean reversed; /* pictures: merged from the leaf, callers above callees */
	gboolean normalized; /* differential pictures: scale the baseline to the other capture's total */
	guint columns; /* text: width of the terminal; 0: 80 */
	gboolean colour; /* text: escape sequences allowed */
	guint top; /* text: rows of each table; 0: 10 */
};

struct render_format {
	const char *name; /* "svg" */
	const char *suffixes; /* space-separated, with the dot: ".pb.gz .pprof" */
	const char *shows; /* for --help: half a line */
	/* Writes the whole output to `out` (buffered; the caller checks ferror and closes). */
	gboolean (*write)(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			  GError **error);
};

/* All formats, ended by one without a name. */
extern const struct render_format render_formats[];

/* NULL and `error` (with the known names) when there is no such format. */
const struct render_format *render_format_find(const char *name, GError **error);
/* The format of a file called `path`, by the longest matching suffix; NULL and `error` when none matches. */
const struct render_format *render_format_by_suffix(const char *path, GError **error);
/* What a command's --format and -o mean together: `format` wins, then the suffix of `path`, then `fallback`.
 * `format`, `path` may be NULL, `path` may be "-" (no suffix). */
const struct render_format *render_format_choose(const char *format, const char *path, const char *fallback,
						 GError **error);

/* TRUE when `path` can be written now ("-" always can). Leaves no trace. For use before a measurement. */
gboolean render_output_check(const char *path, GError **error);
/* Writes `snapshot` to `path` ("-": standard output). A regular file appears whole or not at all: it is written
 * under a temporary name beside the target and renamed. Existing devices and pipes are written in place. */
gboolean render_write_file(const struct snapshot *snapshot, const struct render_format *format,
			   const struct render_options *options, const char *path, GError **error);
/* The same into a string owned by the caller, its length in `*length` (may be NULL); for tests and servers. */
char *render_write_string(const struct snapshot *snapshot, const struct render_format *format,
			  const struct render_options *options, gsize *length, GError **error);

/* Options for standard output: colour only on a terminal and without NO_COLOR, columns of the terminal. */
void render_options_for_terminal(struct render_options *options);
