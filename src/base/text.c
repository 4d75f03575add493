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

guint text_columns(const char *text)
{
	guint columns = 0;

	for (; *text; text = g_utf8_next_char(text)) {
		gunichar ch = g_utf8_get_char(text);

		if (!g_unichar_iszerowidth(ch))
			columns += g_unichar_iswide(ch) ? 2 : 1;
	}
	return columns;
}

char *text_shell(const char *text)
{
	static const char plain[] = G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_-./:@+,";

	return text[strspn(text, plain)] ? g_shell_quote(text) : g_strdup(text);
}
