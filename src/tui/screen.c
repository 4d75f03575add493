/* SPDX-License-Identifier: Apache-2.0 */
#include "tui/screen.h"

#include <curses.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

#define ESCAPE_DELAY_MS 25 /* how long an escape may be the beginning of a key */

gboolean screen_open(GError **error)
{
	const char *no_colour = g_getenv("NO_COLOR");
	SCREEN *terminal = newterm(NULL, stdout, stdin);

	if (!terminal) {
		g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot use this terminal (TERM=%s): try --plain",
			    g_getenv("TERM") ? g_getenv("TERM") : "");
		return FALSE;
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
	return TRUE;
}

void screen_close(void)
{
	endwin();
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

void screen_clear(void)
{
	erase();
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

void screen_put(guint row, guint column, guint width, const char *text, gboolean right, enum screen_style style)
{
	g_autofree char *safe = text_terminal(text);
	const char *end;
	guint used, before;

	if (row >= screen_rows() || column >= screen_columns())
		return;
	width = MIN(width, screen_columns() - column);
	end = text_fit(safe, width, &used);
	before = right ? width - used : 0;
	if (style == SCREEN_PLAIN) { /* the blanks are there already */
		mvaddnstr((int)row, (int)(column + before), safe, (int)(end - safe));
		return;
	}
	attrset((int)style_attribute(style));
	/* The last cell of the last row cannot be written without scrolling: curses returns ERR, and all is well. */
	mvprintw((int)row, (int)column, "%*s%.*s%*s", (int)before, "", (int)(end - safe), safe,
		 (int)(width - used - before), "");
	attrset(A_NORMAL);
}

void screen_show(void)
{
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
