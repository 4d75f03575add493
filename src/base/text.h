/* SPDX-License-Identifier: Apache-2.0 */
/* One escaping function per destination. Names of processes, cgroups, files and symbols are raw bytes chosen by
 * whoever is observed; they stay raw inside fathom and pass exactly one of these on their way out. */
#pragma once
#include <glib.h>

/* Appends `length` bytes (-1: up to NUL) safe for a terminal: control characters (C0, C1, DEL), bidirectional
 * overrides and invalid UTF-8 become \xNN or \u{NNNN}; everything else is copied. */
void text_append_terminal(GString *out, const char *text, gssize length);
/* The same as a new string, owned by the caller. */
char *text_terminal(const char *text);

/* Appends text safe inside XML/HTML content and quoted attributes: & < > " ' as entities, characters XML 1.0
 * forbids and invalid UTF-8 as U+FFFD. */
void text_append_xml(GString *out, const char *text, gssize length);

/* Appends the inside of a JSON string (without quotes): escapes, \u00NN for controls, U+FFFD for invalid UTF-8.
 * `<` is written \u003c so that the result may stand inside an HTML script element. */
void text_append_json(GString *out, const char *text, gssize length);

/* Appends a frame for a folded stack: `;`, newline and other controls become `_` lookalikes (`:` for `;`). */
void text_append_folded(GString *out, const char *text, gssize length);

/* Appends the inside of a quoted string of Graphviz's dot: escapes, `_` for what would end it or move the pen. */
void text_append_dot(GString *out, const char *text, gssize length);

/* A word of a command somebody may copy into a shell: quoted where it must be. A new string, owned by the caller. */
char *text_shell(const char *text);

/* Columns a terminal needs to show `text` (after text_terminal): counts code points, wide ones as 2. */
guint text_columns(const char *text);

#define TEXT_ELLIPSIS "\342\200\246"

/* Bytes of the beginning of `text` (after text_terminal) that `columns` hold. */
gsize text_fitting(const char *text, guint columns);
/* `text` (after text_terminal) cut to `columns`, the last one an ellipsis, when it is wider. Owned by the caller. */
char *text_cut(const char *text, guint columns);

/* Breaks lines of `text`, without its first `from` bytes, that are wider than `columns` between words; 0: none is. What follows stands
 * under the text of its line: behind its indent, and behind its label when two spaces end one. */
void text_wrap(GString *text, gsize from, guint columns);
