/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal as a grid of cells, through ncurses: the only place that knows it. Text is raw: whatever could move the
 * cursor or change the terminal is escaped here, and what does not fit is cut by columns, not bytes. */
#pragma once
#include <glib.h>

enum screen_style {
	SCREEN_PLAIN = 0,
	SCREEN_STRONG = 1,
	SCREEN_DIM = 2,
	SCREEN_ALERT = 3,
	SCREEN_NOTICE = 4,
	SCREEN_HEADING = 5, /* reverse */
	SCREEN_SELECTED = 6,
	SCREEN_STYLES = 7,
};

enum screen_key {
	/* 1 … 255: the character itself */
	SCREEN_KEY_NONE = 0,
	SCREEN_KEY_TAB = 9,
	SCREEN_KEY_ENTER = 13,
	SCREEN_KEY_ESCAPE = 27,
	SCREEN_KEY_UP = 1000,
	SCREEN_KEY_DOWN = 1001,
	SCREEN_KEY_PAGE_UP = 1002,
	SCREEN_KEY_PAGE_DOWN = 1003,
	SCREEN_KEY_HOME = 1004,
	SCREEN_KEY_END = 1005,
	SCREEN_KEY_BACKSPACE = 1006,
	SCREEN_KEY_RESIZE = 1007,
	SCREEN_KEY_LEFT = 1008,
	SCREEN_KEY_RIGHT = 1009,
	SCREEN_KEY_F1 = 1101, /* up to F10 = 1110 */
};

struct screen; /* what is to be shown, and what is; there can be one at a time */

/* Takes over the terminal; NULL and `error` when it cannot do what is needed. */
struct screen *screen_open(GError **error);
/* Gives it back as it was. NULL is fine. */
void screen_close(struct screen *screen);

guint screen_rows(void);
guint screen_columns(void);
/* Does it show more than ASCII? */
gboolean screen_is_unicode(void);

void screen_clear(struct screen *screen);
/* Puts `text` at a cell of a cleared screen, at most `width` columns, the rest of them blank in that style; `right`: flush
 * right. Each cell once. */
void screen_put(struct screen *screen, guint row, guint column, guint width, const char *text, gboolean right,
		enum screen_style style);
/* Shows what was put. A row that is as it was before costs nothing. */
void screen_show(struct screen *screen);
/* The next key pressed; SCREEN_KEY_NONE when there is none. Never blocks. */
int screen_key(const struct screen *screen);
