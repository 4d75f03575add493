/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people: columns as wide as their widest cell; on a terminal colours (unless NO_COLOR is set) and a last
 * column cut at the edge. Cells may hold anything: they are escaped here. */
#pragma once
#include <glib.h>
#include <stdio.h>

#include "model/edges.h"

enum table_style {
	TABLE_PLAIN = 0,
	TABLE_STRONG = 1,
	TABLE_DIM = 2,
	TABLE_ALERT = 3,
	TABLE_NOTICE = 4,
	TABLE_STYLES = 5,
};

struct table_column {
	const char *heading;
	gboolean right; /* numbers */
};

struct table;
typedef struct table table_t;

/* `columns` must outlive the table. */
struct table *table_new(const struct table_column *columns, guint count);
void table_free(struct table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(table_t, table_free)

/* Adds the next cell, left to right, row by row; NULL shows as "-". */
void table_cell(struct table *table, const char *text);
void table_cell_styled(struct table *table, const char *text, enum table_style style);
/* One end of an edge; "[nobody knows whose]" where it is not known. */
void table_cell_end(struct table *table, struct edge_end end);
void table_cell_number(struct table *table, guint64 number, gboolean known);

/* A heading and the rows; the last row must be complete. On a terminal that is too narrow for all columns rows take several lines, broken between
 * columns, and so does the heading. */
void table_print(const struct table *table, FILE *out);

/* The same, and on a terminal that is too narrow cells take several lines, at spaces, the widest columns first. */
void table_print_folded(const struct table *table, FILE *out);

/* printf whose lines are broken between words where the terminal is too narrow for them. Already escaped. */
void table_print_wrapped(FILE *out, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Columns of the terminal; 0 when `out` is none. */
guint table_terminal_width(FILE *out);

/* Text in a style, on a terminal; plain otherwise. Already escaped. */
void table_print_styled(FILE *out, const char *text, enum table_style style);
