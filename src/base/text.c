/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

typedef void (*text_emit)(GString *out, const char *bytes, guint length, gunichar ch);

/* Walks `text` code point by code point; an invalid byte is reported with ch = (gunichar)-1 and length 1. */
static void text_walk(GString *out, const char *text, gssize length, text_emit emit)
{
	const char *end = text + (length < 0 ? (gssize)strlen(text) : length);

	while (text < end) {
		gunichar ch = g_utf8_get_char_validated(text, end - text);
		guint n = 1;

		if ((guchar)*text < 0x80)
			ch = (guchar)*text; /* the validator stops at NUL */
		else if (ch >= (gunichar)-2)
			ch = (gunichar)-1;
		else
			n = (guint)(g_utf8_next_char(text) - text);
		emit(out, text, n, ch);
		text += n;
	}
}

static gboolean text_is_bidi(gunichar ch)
{
	return ch == 0x61c || ch == 0x200e || ch == 0x200f || (ch >= 0x202a && ch <= 0x202e) ||
	       (ch >= 0x2066 && ch <= 0x2069) || ch == 0x2028 || ch == 0x2029 || ch == 0xfeff;
}

static gboolean text_is_control(gunichar ch)
{
	return ch < 0x20 || (ch >= 0x7f && ch < 0xa0);
}

static void emit_terminal(GString *out, const char *bytes, guint length, gunichar ch)
{
	if (ch == (gunichar)-1 || text_is_control(ch))
		g_string_append_printf(out, "\\x%02x", ch == (gunichar)-1 ? (guchar)*bytes : (guint)ch);
	else if (text_is_bidi(ch))
		g_string_append_printf(out, "\\u{%x}", ch);
	else
		g_string_append_len(out, bytes, length);
}

static void emit_xml(GString *out, const char *bytes, guint length, gunichar ch)
{
	switch (ch) {
	case '&':
		g_string_append(out, "&amp;");
		return;
	case '<':
		g_string_append(out, "&lt;");
		return;
	case '>':
		g_string_append(out, "&gt;");
		return;
	case '"':
		g_string_append(out, "&quot;");
		return;
	case '\'':
		g_string_append(out, "&#39;");
		return;
	default:
		break;
	}
	if (ch == (gunichar)-1 || text_is_control(ch) || text_is_bidi(ch) || ch == 0xfffe || ch == 0xffff)
		g_string_append(out, "\357\277\275");
	else
		g_string_append_len(out, bytes, length);
}

static void emit_json(GString *out, const char *bytes, guint length, gunichar ch)
{
	if (ch == (gunichar)-1)
		g_string_append(out, "\357\277\275");
	else if (ch == '"' || ch == '\\')
		g_string_append_printf(out, "\\%c", (char)ch);
	else if (ch == '\n')
		g_string_append(out, "\\n");
	else if (ch == '\t')
		g_string_append(out, "\\t");
	else if (text_is_control(ch) || text_is_bidi(ch) || ch == '<')
		g_string_append_printf(out, "\\u%04x", ch);
	else
		g_string_append_len(out, bytes, length);
}

static void emit_folded(GString *out, const char *bytes, guint length, gunichar ch)
{
	if (ch == ';')
		g_string_append_c(out, ':');
	else if (ch == (gunichar)-1 || text_is_control(ch) || text_is_bidi(ch))
		g_string_append_c(out, '_');
	else
		g_string_append_len(out, bytes, length);
}

static void emit_dot(GString *out, const char *bytes, guint length, gunichar ch)
{
	if (ch == '"' || ch == '\\')
		g_string_append_printf(out, "\\%c", (char)ch);
	else
		emit_folded(out, bytes, length, ch == ';' ? ',' : ch);
}

void text_append_terminal(GString *out, const char *text, gssize length)
{
	text_walk(out, text, length, emit_terminal);
}

char *text_terminal(const char *text)
{
	GString *out = g_string_new(NULL);

	text_append_terminal(out, text, -1);
	return g_string_free(out, FALSE);
}

void text_append_xml(GString *out, const char *text, gssize length)
{
	text_walk(out, text, length, emit_xml);
}

void text_append_json(GString *out, const char *text, gssize length)
{
	text_walk(out, text, length, emit_json);
}

void text_append_dot(GString *out, const char *text, gssize length)
{
	text_walk(out, text, length, emit_dot);
}

void text_append_folded(GString *out, const char *text, gssize length)
{
	text_walk(out, text, length, emit_folded);
}

#define ESCAPE '\033' /* begins a terminal's style, which a letter ends */

static guint columns_of(const char *text, gsize length)
{
	const char *end = text + length;
	guint columns = 0;

	while (text < end) {
		gunichar ch = g_utf8_get_char(text);

		if (ch == ESCAPE) {
			while (text < end && !g_ascii_isalpha(*text))
				text++;
			text += text < end;
			continue;
		}
		if (!g_unichar_iszerowidth(ch))
			columns += g_unichar_iswide(ch) ? 2 : 1;
		text = g_utf8_next_char(text);
	}
	return columns;
}

guint text_columns(const char *text)
{
	return columns_of(text, strlen(text));
}

gsize text_fitting(const char *text, guint columns)
{
	const char *end = text;
	guint used = 0;

	while (*end) {
		const char *next = g_utf8_next_char(end);

		used += columns_of(end, (gsize)(next - end));
		if (used > columns)
			break;
		end = next;
	}
	return (gsize)(end - text);
}

char *text_cut(const char *text, guint columns)
{
	if (text_columns(text) <= columns)
		return g_strdup(text);
	return g_strdup_printf("%.*s" TEXT_ELLIPSIS, (int)text_fitting(text, columns ? columns - 1 : 0), text);
}

#define WRAP_LABEL_END 44 /* two spaces further on end no label */
#define WRAP_LEAST 16 /* columns for the text itself, or it is left as it is */
#define WRAP_INDENT 3 /* of a line that has none */

/* Where the text of a line begins, in bytes: behind its indent and its label. */
static gsize wrap_begin(const char *line, gsize length)
{
	gsize begin = 0;

	while (begin < length && line[begin] == ' ')
		begin++;
	if (begin == 0)
		return MIN(WRAP_INDENT, length);
	for (gsize at = begin; at + 2 < length && at < WRAP_LABEL_END; at++)
		if (line[at] == ' ' && line[at + 1] == ' ' && line[at + 2] != ' ')
			return at + 2;
	return begin;
}

/* One line, without its newline. */
static void wrap_line(GString *out, const char *line, gsize length, guint columns)
{
	gsize begin = wrap_begin(line, length), done = 0, word_end = 0, at = begin;
	guint indent, used;

	g_string_append_len(out, line, (gssize)begin);
	indent = used = columns_of(line, begin);
	done = begin;
	while (at < length && indent + WRAP_LEAST <= columns) {
		const char *space;
		guint wide;

		for (at = done; at < length && line[at] == ' '; at++)
			;
		if (at == length)
			break;
		space = memchr(line + at, ' ', length - at);
		word_end = space ? (gsize)(space - line) : length;
		wide = columns_of(line + done, word_end - done);
		if (used + wide > columns && used > indent) {
			g_string_append_printf(out, "\n%*s", (int)indent, "");
			used = indent;
			done = at; /* the spaces between are gone */
			wide = columns_of(line + done, word_end - done);
		}
		g_string_append_len(out, line + done, (gssize)(word_end - done));
		used += wide;
		done = at = word_end;
	}
	g_string_append_len(out, line + done, (gssize)(length - done));
}

void text_wrap(GString *text, gsize from, guint columns)
{
	g_autoptr(GString) before = g_string_new(text->str + from);
	const char *line = before->str;

	if (columns == 0)
		return;
	g_string_truncate(text, from);
	while (*line) {
		gsize length = strcspn(line, "\n");

		if (columns_of(line, length) <= columns)
			g_string_append_len(text, line, (gssize)length);
		else
			wrap_line(text, line, length, columns);
		line += length;
		if (*line) {
			g_string_append_c(text, '\n');
			line++;
		}
	}
}

char *text_shell(const char *text)
{
	static const char plain[] = G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_-./:@+,";

	return text[strspn(text, plain)] ? g_shell_quote(text) : g_strdup(text);
}
