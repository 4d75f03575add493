/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"

#define GAP "  "
#define LAST_COLUMN_CUT 12 /* with less of the last column than this, rows take several lines */
#define CONTINUED_INDENT 4 /* of the lines a row goes on in */
#define FOLDED_COLUMN_MIN 8

struct cell {
	char *text; /* escaped */
	guint columns;
	enum table_style style;
};

struct table {
	const struct table_column *columns;
	guint count;
	GArray *cells; /* row by row */
};

static const char *const style_codes[TABLE_STYLES] = {
	[TABLE_PLAIN] = "",	    [TABLE_STRONG] = "\033[1m",	 [TABLE_DIM] = "\033[2m",
	[TABLE_ALERT] = "\033[31m", [TABLE_NOTICE] = "\033[33m",
};

static void cell_clear(gpointer data)
{
	g_free(((struct cell *)data)->text);
}

struct table *table_new(const struct table_column *columns, guint count)
{
	struct table *table = g_new0(struct table, 1);

	table->columns = columns;
	table->count = count;
	table->cells = g_array_new(FALSE, FALSE, sizeof(struct cell));
	g_array_set_clear_func(table->cells, cell_clear);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	g_array_unref(table->cells);
	g_free(table);
}

void table_cell_styled(struct table *table, const char *text, enum table_style style)
{
	struct cell cell = { .text = text_terminal(text && *text ? text : "-"), .style = style };

	cell.columns = text_columns(cell.text);
	g_array_append_val(table->cells, cell);
}

void table_cell(struct table *table, const char *text)
{
	table_cell_styled(table, text, TABLE_PLAIN);
}

void table_cell_end(struct table *table, struct edge_end end)
{
	g_autofree char *unknown = g_strdup_printf("[%s]", end.name);
	g_autofree char *told = g_strdup_printf("%s (by DNS)", end.name);

	if (end.kind == EDGE_END_CONTAINER)
		table_cell_styled(table, end.name, TABLE_STRONG);
	else if (end.kind == EDGE_END_UNKNOWN)
		table_cell_styled(table, unknown, TABLE_DIM);
	else if (end.kind == EDGE_END_TOLD)
		table_cell(table, told);
	else
		table_cell(table, end.name);
}

void table_cell_number(struct table *table, guint64 number, gboolean known)
{
	g_autofree char *text = known ? g_strdup_printf("%" G_GUINT64_FORMAT, number) : NULL;

	table_cell(table, text);
}

static gboolean use_colour(FILE *out)
{
	const char *no_colour = g_getenv("NO_COLOR");

	return isatty(fileno(out)) && !(no_colour && *no_colour) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

void table_print_styled(FILE *out, const char *text, enum table_style style)
{
	if (style != TABLE_PLAIN && use_colour(out))
		fprintf(out, "%s%s\033[0m", style_codes[style], text);
	else
		fputs(text, out);
}

guint table_terminal_width(FILE *out)
{
	struct winsize size;

	return isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* `last`: of its line. */
static void print_cell(const struct table *table, FILE *out, guint column, gboolean last, const struct cell *cell,
		       guint width, guint room)
{
	int padding = (int)(width > cell->columns ? width - cell->columns : 0);
	g_autofree char *cut = last && room && cell->columns > room ? text_cut(cell->text, room) : NULL;

	if (table->columns[column].right)
		fprintf(out, "%*s", padding, "");
	table_print_styled(out, cut ? cut : cell->text, cell->style);
	if (!last)
		fprintf(out, "%*s" GAP, table->columns[column].right ? 0 : padding, "");
}

/* Of each column the widest cell; owned by the caller. */
static guint *table_widths(const struct table *table)
{
	guint *widths = g_new0(guint, table->count);

	for (guint i = 0; i < table->count; i++)
		widths[i] = text_columns(table->columns[i].heading);
	for (guint i = 0; i < table->cells->len; i++) {
		guint *column = &widths[i % table->count];

		*column = MAX(*column, g_array_index(table->cells, struct cell, i).columns);
	}
	return widths;
}

/* Whether column `column` begins a line of its row, where lines hold `width` (0: any number of) columns and `used` are taken. */
static gboolean column_goes_on(const guint *widths, guint column, guint used, guint width)
{
	return width && column && used + (guint)sizeof(GAP) - 1 + widths[column] > width;
}

/* One row, on as many lines as it needs. */
static void print_row(const struct table *table, FILE *out, const struct cell *cells, const guint *widths, guint width)
{
	guint used = 0;

	for (guint i = 0; i < table->count; i++) {
		gboolean goes_on = column_goes_on(widths, i, used, width), last;

		if (goes_on)
			fprintf(out, "%*s", CONTINUED_INDENT, "");
		used = goes_on ? CONTINUED_INDENT : used + (i ? (guint)sizeof(GAP) - 1 : 0);
		last = i + 1 == table->count || column_goes_on(widths, i + 1, used + widths[i], width);
		print_cell(table, out, i, last, &cells[i], widths[i], width ? width - MIN(used, width - 1) : 0);
		used += widths[i];
		if (last)
			fputc('\n', out);
	}
}

static struct cell *table_headings(const struct table *table)
{
	struct cell *headings = g_new0(struct cell, table->count);

	for (guint i = 0; i < table->count; i++)
		headings[i] = (struct cell){ .text = (char *)table->columns[i].heading,
					     .columns = text_columns(table->columns[i].heading),
					     .style = TABLE_STRONG };
	return headings;
}

void table_print(const struct table *table, FILE *out)
{
	g_autofree guint *widths = table_widths(table);
	g_autofree struct cell *headings = table_headings(table);
	guint before = 0, width = table_terminal_width(out), *last = &widths[table->count - 1];

	for (guint i = 0; i + 1 < table->count; i++)
		before += widths[i] + (guint)sizeof(GAP) - 1;
	if (!table->columns[table->count - 1].right && width >= before + MIN(*last, LAST_COLUMN_CUT))
		*last = MIN(*last, width - before);
	print_row(table, out, headings, widths, width);
	for (guint i = 0; i < table->cells->len; i += table->count)
		print_row(table, out, &g_array_index(table->cells, struct cell, i), widths, width);
}

/* ---- folded ---- */

/* The widest gives way until all fit, or none can. TRUE: somebody did. */
static gboolean widths_fit(guint *widths, guint count, guint room)
{
	guint all = (count - 1) * ((guint)sizeof(GAP) - 1);
	gboolean gave_way = FALSE;

	for (guint i = 0; i < count; i++)
		all += widths[i];
	for (; all > room; all--) {
		guint widest = 0;

		for (guint i = 1; i < count; i++)
			if (widths[i] > widths[widest])
				widest = i;
		if (widths[widest] <= FOLDED_COLUMN_MIN)
			break;
		widths[widest]--;
		gave_way = TRUE;
	}
	return gave_way;
}

static void lines_end(GPtrArray *lines, GString *line)
{
	g_ptr_array_add(lines, g_strdup(line->str));
	g_string_truncate(line, 0);
}

/* Lines of words that fit, of char *; a word that is too long is cut in pieces. */
static GPtrArray *text_fold(const char *text, guint columns)
{
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	g_autoptr(GString) line = g_string_new(NULL);

	for (guint i = 0; words[i]; i++) {
		const char *word = words[i];

		if (line->len && text_columns(line->str) + 1 + text_columns(word) > columns)
			lines_end(lines, line);
		for (; text_columns(word) > columns; word += text_fitting(word, columns)) {
			g_string_append_len(line, word, (gssize)text_fitting(word, columns));
			lines_end(lines, line);
		}
		g_string_append_printf(line, "%s%s", line->len ? " " : "", word);
	}
	lines_end(lines, line);
	return lines;
}

static void print_row_folded(const struct table *table, FILE *out, const struct cell *cells, const guint *widths)
{
	g_autoptr(GPtrArray) folded = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
	guint height = 1;

	for (guint i = 0; i < table->count; i++) {
		GPtrArray *lines = text_fold(cells[i].text, widths[i]);

		height = MAX(height, lines->len);
		g_ptr_array_add(folded, lines);
	}
	for (guint line = 0; line < height; line++) {
		for (guint i = 0; i < table->count; i++) {
			const GPtrArray *lines = g_ptr_array_index(folded, i);
			const char *text = line < lines->len ? g_ptr_array_index(lines, line) : "";
			struct cell part = { (char *)text, text_columns(text), cells[i].style };

			print_cell(table, out, i, i + 1 == table->count, &part, widths[i], 0);
		}
		fputc('\n', out);
	}
}

void table_print_folded(const struct table *table, FILE *out)
{
	g_autofree guint *widths = table_widths(table);
	guint width = table_terminal_width(out);
	g_autofree struct cell *headings = table_headings(table);

	if (!width || !widths_fit(widths, table->count, width)) {
		table_print(table, out);
		return;
	}
	print_row_folded(table, out, headings, widths);
	for (guint i = 0; i < table->cells->len; i += table->count)
		print_row_folded(table, out, &g_array_index(table->cells, struct cell, i), widths);
}

/* ---- lines ---- */

void table_print_wrapped(FILE *out, const char *format, ...)
{
	g_autoptr(GString) text = g_string_new(NULL);
	va_list arguments;

	va_start(arguments, format);
	g_string_vprintf(text, format, arguments);
	va_end(arguments);
	text_wrap(text, 0, table_terminal_width(out));
	fputs(text->str, out);
}
