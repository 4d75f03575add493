/* SPDX-License-Identifier: Apache-2.0 */
#include "tui/screen.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define ESCAPE_DELAY_MS 25 /* how long an escape may be the beginning of a key */
#define COLORS_MIN 8 /* red and yellow are among them */

/* curses takes the terminal over and gives it back, reads keys, and follows its size. What is shown it does not draw: it
 * writes to the terminal at each move of the cursor, some hundred times a screen. Rows that changed are put together
 * here, from what terminfo says of the terminal, and written at once; for curses the screen stays blank.
 *
 * What is put into a row is only noted: most rows are as they were. */
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
	const char *to_cell, *clear_row; /* of terminfo: a cursor that moves, the rest of a row made blank */
	char *styles[SCREEN_STYLES]; /* what begins each; that of SCREEN_PLAIN ends the others */
	GString *out;
	WINDOW *keys; /* a pad: reading keys from it draws nothing */
	int continued_fd; /* readable after the program was stopped and goes on */
};

static void row_clear(gpointer data)
{
	struct row *row = data;

	g_string_free(row->wanted, TRUE);
	g_string_free(row->shown, TRUE);
}

/* A capability of the terminal, owned by curses; NULL: it has none. */
static const char *capability(const char *name)
{
	const char *text = tigetstr(name);

	return text && text != (const char *)-1 && *text ? text : NULL;
}

/* Without its delays ("$<5>"), which only terminals of paper and glass needed. */
static void append_capability(GString *out, const char *text)
{
	while (text && *text) {
		const char *end = text[0] == '$' && text[1] == '<' ? strchr(text, '>') : NULL;

		if (end)
			text = end;
		else
			g_string_append_c(out, *text);
		text++;
	}
}

static char *style_text(enum screen_style style, gboolean has_colours)
{
	static const struct {
		const char *first, *second; /* capabilities */
		int colour; /* COLOR_BLACK: none */
	} styles[SCREEN_STYLES] = {
		[SCREEN_STRONG] = { "bold", NULL, COLOR_BLACK },    [SCREEN_DIM] = { "dim", NULL, COLOR_BLACK },
		[SCREEN_ALERT] = { "bold", NULL, COLOR_RED }, /* bold, too: colour alone does not carry a meaning */
		[SCREEN_NOTICE] = { "bold", NULL, COLOR_YELLOW },   [SCREEN_HEADING] = { "rev", NULL, COLOR_BLACK },
		[SCREEN_SELECTED] = { "rev", "bold", COLOR_BLACK },
	};
	GString *out = g_string_new(NULL);

	if (style == SCREEN_PLAIN) {
		append_capability(out, capability("sgr0"));
		return g_string_free(out, FALSE);
	}
	append_capability(out, capability(styles[style].first));
	if (styles[style].second)
		append_capability(out, capability(styles[style].second));
	if (has_colours && styles[style].colour != COLOR_BLACK)
		append_capability(out, tiparm(capability("setaf"), styles[style].colour));
	return g_string_free(out, FALSE);
}

/* Somebody who looks at a shell meanwhile sees a screen that is not ours. */
static int continued_open(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCONT);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -1;
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static gboolean was_continued(const struct screen *screen)
{
	struct signalfd_siginfo taken;
	gboolean found = FALSE;

	while (screen->continued_fd >= 0 && read(screen->continued_fd, &taken, sizeof(taken)) == sizeof(taken))
		found = TRUE;
	return found;
}

static struct screen *refuse_terminal(GError **error)
{
	g_set_error(error, FILE_ERROR, FILE_ERROR_OPEN, "cannot use this terminal (TERM=%s): try --plain",
		    g_getenv("TERM") ? g_getenv("TERM") : "");
	return NULL;
}

struct screen *screen_open(GError **error)
{
	const char *no_colour = g_getenv("NO_COLOR");
	SCREEN *terminal = newterm(NULL, stdout, stdin);
	struct screen *screen;
	gboolean has_colours;

	if (!terminal)
		return refuse_terminal(error);
	if (!capability("cup") || !capability("el")) {
		endwin();
		return refuse_terminal(error);
	}
	set_escdelay(ESCAPE_DELAY_MS);
	noecho();
	cbreak();
	nonl();
	curs_set(0);
	screen = g_new0(struct screen, 1);
	screen->keys = newpad(1, 1);
	keypad(screen->keys, TRUE);
	nodelay(screen->keys, TRUE);
	screen->to_cell = capability("cup");
	screen->clear_row = capability("el");
	has_colours = tigetnum("colors") >= COLORS_MIN && capability("setaf") && !(no_colour && *no_colour);
	for (guint i = 0; i < SCREEN_STYLES; i++)
		screen->styles[i] = style_text((enum screen_style)i, has_colours);
	screen->out = g_string_new(NULL);
	screen->continued_fd = continued_open();
	screen->rows = g_array_new(FALSE, TRUE, sizeof(struct row));
	g_array_set_clear_func(screen->rows, row_clear);
	return screen;
}

static void continued_close(int fd)
{
	sigset_t signals;

	if (fd >= 0)
		close(fd);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCONT);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

void screen_close(struct screen *screen)
{
	if (!screen)
		return;
	endwin();
	delwin(screen->keys);
	continued_close(screen->continued_fd);
	for (guint i = 0; i < SCREEN_STYLES; i++)
		g_free(screen->styles[i]);
	g_string_free(screen->out, TRUE);
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

/* A blank terminal, of which all is to be drawn. */
static void screen_begin(struct screen *screen)
{
	clear();
	refresh();
	g_array_set_size(screen->rows, 0);
	screen->columns = screen_columns();
	for (guint i = 0; i < screen_rows(); i++) {
		struct row row = { .wanted = g_string_new(NULL), .shown = g_string_new(NULL) };

		g_array_append_val(screen->rows, row);
	}
}

static void screen_fit(struct screen *screen)
{
	if (screen->rows->len != screen_rows() || screen->columns != screen_columns() || was_continued(screen))
		screen_begin(screen);
}

void screen_clear(struct screen *screen)
{
	screen_fit(screen);
	for (guint i = 0; i < screen->rows->len; i++)
		g_string_truncate(g_array_index(screen->rows, struct row, i).wanted, 0);
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

/* To a terminal that takes ASCII only. */
static void append_ascii(GString *out, const char *text, const char *end)
{
	for (; text < end; text = g_utf8_next_char(text))
		g_string_append_c(out, (guchar)*text < 0x80 ? *text : '?');
}

static void append_blanks(GString *out, guint count)
{
	for (guint i = 0; i < count; i++)
		g_string_append_c(out, ' ');
}

static void append_cell(struct screen *screen, const struct cell *cell, guint width, const char *text)
{
	g_autofree char *safe = text_terminal(text);
	guint used, before;
	const char *end = text_fit(safe, width, &used);

	before = cell->right ? width - used : 0;
	g_string_append(screen->out, cell->style == SCREEN_PLAIN ? "" : screen->styles[cell->style]);
	append_blanks(screen->out, before);
	if (screen_is_unicode())
		g_string_append_len(screen->out, safe, end - safe);
	else
		append_ascii(screen->out, safe, end);
	append_blanks(screen->out, width - used - before);
	g_string_append(screen->out, cell->style == SCREEN_PLAIN ? "" : screen->styles[SCREEN_PLAIN]);
}

/* The last cell of the last row stays blank: some terminals scroll when it is written. */
static guint cell_room(const struct screen *screen, guint y, const struct cell *cell)
{
	guint columns = screen->columns - (y + 1 == screen->rows->len);

	return cell->column < columns ? MIN(cell->width, columns - cell->column) : 0;
}

/* The cell at `*at`, and its text, which is not terminated; FALSE: there is none. */
static gboolean next_cell(const GString *row, gsize *at, struct cell *cell, const char **text)
{
	if (*at >= row->len)
		return FALSE;
	memcpy(cell, row->str + *at, sizeof(*cell));
	*text = row->str + *at + sizeof(*cell);
	*at += sizeof(*cell) + cell->bytes;
	return TRUE;
}

/* Are the cells where they were, whatever is in them? */
static gboolean is_laid_out_alike(const struct row *row)
{
	struct cell one = { 0 }, other = { 0 };
	gsize at = 0, other_at = 0;
	const char *text;

	while (next_cell(row->wanted, &at, &one, &text))
		if (!next_cell(row->shown, &other_at, &other, &text) || one.column != other.column ||
		    one.width != other.width)
			return FALSE;
	return other_at == row->shown->len;
}

static gboolean is_shown(const struct cell *cell, const char *text, const struct cell *shown, const char *shown_text)
{
	return cell->style == shown->style && cell->right == shown->right && cell->bytes == shown->bytes &&
	       memcmp(text, shown_text, cell->bytes) == 0;
}

/* The cells that are not as they were, and those put over them. Each is gone to: how wide a terminal draws a letter is
 * not known for certain. */
static void append_cells(struct screen *screen, guint y, const struct row *row, gboolean is_alike)
{
	struct cell cell, shown;
	gsize at = 0, shown_at = 0;
	guint drawn_to = 0; /* column */
	const char *text, *shown_text;

	while (next_cell(row->wanted, &at, &cell, &text)) {
		g_autofree char *copy = NULL;

		if (is_alike && next_cell(row->shown, &shown_at, &shown, &shown_text) && cell.column >= drawn_to &&
		    is_shown(&cell, text, &shown, shown_text))
			continue;
		copy = g_strndup(text, cell.bytes);
		append_capability(screen->out, tiparm(screen->to_cell, (int)y, (int)cell.column));
		append_cell(screen, &cell, cell_room(screen, y, &cell), copy);
		drawn_to = MAX(drawn_to, cell.column + cell.width);
	}
}

static void append_row(struct screen *screen, guint y, struct row *row)
{
	GString *before = row->shown;
	gboolean is_alike = row->is_known && is_laid_out_alike(row);

	if (row->is_known && g_string_equal(row->wanted, row->shown))
		return;
	if (!is_alike) {
		append_capability(screen->out, tiparm(screen->to_cell, (int)y, 0));
		append_capability(screen->out, screen->clear_row);
	}
	append_cells(screen, y, row, is_alike);
	row->shown = row->wanted;
	row->wanted = before;
	row->is_known = TRUE;
}

/* A terminal that is gone shows in the wait for the next key. */
static void write_all(int fd, const char *bytes, gsize count)
{
	while (count) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };
		gssize written = write(fd, bytes, count);

		if (written < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (written < 0 && errno != EINTR)
			return;
		bytes += MAX(written, 0);
		count -= (gsize)MAX(written, 0);
	}
}

void screen_show(struct screen *screen)
{
	g_string_assign(screen->out, screen->styles[SCREEN_PLAIN]);
	for (guint i = 0; i < screen->rows->len; i++)
		append_row(screen, i, &g_array_index(screen->rows, struct row, i));
	if (screen->out->len > strlen(screen->styles[SCREEN_PLAIN]))
		write_all(STDOUT_FILENO, screen->out->str, screen->out->len);
}

int screen_key(const struct screen *screen)
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
	int pressed = wgetch(screen->keys);

	if (pressed == ERR)
		return SCREEN_KEY_NONE;
	for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
		if (keys[i].curses == pressed)
			return keys[i].key;
	if (pressed >= KEY_F(1) && pressed <= KEY_F(10))
		return SCREEN_KEY_F1 + pressed - KEY_F(1);
	return pressed < 256 ? pressed : SCREEN_KEY_NONE;
}
