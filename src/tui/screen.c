/* SPDX-License-Identifier: Apache-2.0 */
#include "tui/screen.h"

#include <curses.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

#define ESCAPE_DELAY_MS 25 /* how long an escape may be the beginning of a key */

/* What is put into a row is only noted: most rows are as they were, and curses, which decodes and compares each cell,
 * need not be asked about them. */
struct row {
	GString *wanted, *shown; /* cells, each a struct cell and its text */
	gboolean is_known; /* is `shown` what is there */
};

struct cell {
	guint32 column, width, bytes;
	enum screen_style style;
	gboolean right;
};

struct screen {
	GArray *rows; /* of struct row, as many as the terminal has */
	guint columns;
};

static void row_clear(gpointer data)
{
	struct row *row = data;

	g_string_free(row->wanted, TRUE);
	g_string_free(row->shown, TRUE);
}

struct screen *screen_open(GError **error)
{
	const char *no_colour = g_getenv("NO_COLOR");
	SCREEN *terminal = newterm(NULL, stdout, stdin);
	struct screen *screen;

	if (!terminal) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot use this terminal (TERM=%s): try --plain",
			    g_getenv("TERM") ? g_getenv("TERM") : "");
		return NULL;
	}
	set_escdelay(ESCAPE_DELAY_MS);
	noecho();
	cbreak();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	if (has_colors() && !(no_colour && *no_colour)) {
		start_color();
		use_default_colors();
		init_pair(SCREEN_ALERT, COLOR_RED, -1);
		init_pair(SCREEN_NOTICE, COLOR_YELLOW, -1);
	}
	screen = g_new0(struct screen, 1);
	screen->rows = g_array_new(FALSE, TRUE, sizeof(struct row));
	g_array_set_clear_func(screen->rows, row_clear);
	return screen;
}

void screen_close(struct screen *screen)
{
	if (!screen)
		return;
	endwin();
	g_array_unref(screen->rows);
	g_free(screen);
}

guint screen_rows(void)
{
	return (guint)MAX(LINES, 1);
}

guint screen_columns(void)
{
	return (guint)MAX(COLS, 1);
}

gboolean screen_is_unicode(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* A terminal of another size begins anew. */
static void screen_fit(struct screen *screen)
{
	if (screen->rows->len == screen_rows() && screen->columns == screen_columns())
		return;
	erase();
	g_array_set_size(screen->rows, 0);
	screen->columns = screen_columns();
	for (guint i = 0; i < screen_rows(); i++) {
		struct row row = { .wanted = g_string_new(NULL), .shown = g_string_new(NULL) };

		g_array_append_val(screen->rows, row);
	}
}

void screen_clear(struct screen *screen)
{
	screen_fit(screen);
	for (guint i = 0; i < screen->rows->len; i++)
		g_string_truncate(g_array_index(screen->rows, struct row, i).wanted, 0);
}

static attr_t style_attribute(enum screen_style style)
{
	switch (style) {
	case SCREEN_STRONG:
		return A_BOLD;
	case SCREEN_DIM:
		return A_DIM;
	case SCREEN_ALERT:
	case SCREEN_NOTICE: /* bold, too: colour alone does not carry a meaning */
		return A_BOLD | (attr_t)COLOR_PAIR(style);
	case SCREEN_HEADING:
		return A_REVERSE;
	case SCREEN_SELECTED:
		return A_REVERSE | A_BOLD;
	case SCREEN_PLAIN:
	case SCREEN_STYLES:
	default:
		return A_NORMAL;
	}
}

/* Where to cut so that the beginning takes at most `width` columns; `*used`: how many it takes. */
static const char *text_fit(const char *text, guint width, guint *used)
{
	*used = 0;
	while (*text) {
		gunichar letter = g_utf8_get_char(text);
		guint columns = g_unichar_iszerowidth(letter) ? 0 : g_unichar_iswide(letter) ? 2 : 1;

		if (*used + columns > width)
			break;
		*used += columns;
		text = g_utf8_next_char(text);
	}
	return text;
}

void screen_put(struct screen *screen, guint row, guint column, guint width, const char *text, gboolean right,
		enum screen_style style)
{
	struct cell cell = { .column = column, .bytes = (guint32)strlen(text), .style = style, .right = right };
	GString *wanted;

	if (row >= screen->rows->len || column >= screen->columns)
		return;
	cell.width = MIN(width, screen->columns - column);
	wanted = g_array_index(screen->rows, struct row, row).wanted;
	g_string_append_len(wanted, (const char *)&cell, sizeof(cell));
	g_string_append_len(wanted, text, (gssize)cell.bytes);
}

static void show_cell(guint row, const struct cell *cell, const char *text)
{
	g_autofree char *safe = text_terminal(text);
	const char *end;
	guint used, before;

	end = text_fit(safe, cell->width, &used);
	before = cell->right ? cell->width - used : 0;
	if (cell->style == SCREEN_PLAIN) { /* the blanks are there already */
		mvaddnstr((int)row, (int)(cell->column + before), safe, (int)(end - safe));
		return;
	}
	attrset((int)style_attribute(cell->style));
	/* The last cell of the last row cannot be written without scrolling: curses returns ERR, and all is well. */
	mvprintw((int)row, (int)cell->column, "%*s%.*s%*s", (int)before, "", (int)(end - safe), safe,
		 (int)(cell->width - used - before), "");
	attrset(A_NORMAL);
}

static void show_row(guint y, struct row *row)
{
	GString *before = row->shown;
	struct cell cell;

	if (row->is_known && g_string_equal(row->wanted, row->shown))
		return;
	move((int)y, 0);
	clrtoeol();
	for (gsize at = 0; at < row->wanted->len; at += sizeof(cell) + cell.bytes) {
		g_autofree char *text = NULL;

		memcpy(&cell, row->wanted->str + at, sizeof(cell));
		text = g_strndup(row->wanted->str + at + sizeof(cell), cell.bytes);
		show_cell(y, &cell, text);
	}
	row->shown = row->wanted;
	row->wanted = before;
	row->is_known = TRUE;
}

void screen_show(struct screen *screen)
{
	for (guint i = 0; i < screen->rows->len; i++)
		show_row(i, &g_array_index(screen->rows, struct row, i));
	refresh();
}

int screen_key(void)
{
	static const struct {
		int curses, key;
	} keys[] = {
		{ KEY_UP, SCREEN_KEY_UP },	   { KEY_DOWN, SCREEN_KEY_DOWN },
		{ KEY_PPAGE, SCREEN_KEY_PAGE_UP }, { KEY_NPAGE, SCREEN_KEY_PAGE_DOWN },
		{ KEY_HOME, SCREEN_KEY_HOME },	   { KEY_END, SCREEN_KEY_END },
		{ KEY_ENTER, SCREEN_KEY_ENTER },   { '\n', SCREEN_KEY_ENTER },
		{ '\r', SCREEN_KEY_ENTER },	   { KEY_BACKSPACE, SCREEN_KEY_BACKSPACE },
		{ 127, SCREEN_KEY_BACKSPACE },	   { 8, SCREEN_KEY_BACKSPACE },
		{ KEY_RESIZE, SCREEN_KEY_RESIZE }, { KEY_LEFT, SCREEN_KEY_LEFT },
		{ KEY_RIGHT, SCREEN_KEY_RIGHT },
	};
	int pressed = getch();

	if (pressed == ERR)
		return SCREEN_KEY_NONE;
	for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
		if (keys[i].curses == pressed)
			return keys[i].key;
	if (pressed >= KEY_F(1) && pressed <= KEY_F(10))
		return SCREEN_KEY_F1 + pressed - KEY_F(1);
	return pressed < 256 ? pressed : SCREEN_KEY_NONE;
}
