/* SPDX-License-Identifier: Apache-2.0 */
#include "import/pull.h"

#include <string.h>

#include "import/import.h"

void pull_init(struct pull *pull, struct input *input)
{
	*pull = (struct pull){ .input = input, .text = g_string_new(NULL) };
}

void pull_clear(struct pull *pull)
{
	g_string_free(pull->text, TRUE);
}

gboolean pull_fail(const struct pull *pull, GError **error, const char *what)
{
	g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED, "byte %" G_GUINT64_FORMAT ": %s",
		    input_offset(pull->input), what);
	return FALSE;
}

int pull_next(struct pull *pull, GError **error)
{
	const char *bytes;
	gssize n;

	while ((n = input_peek(pull->input, &bytes, 1, error)) > 0) {
		if (*bytes != ' ' && *bytes != '\n' && *bytes != '\t' && *bytes != '\r')
			return (guchar)*bytes;
		input_skip(pull->input, 1);
	}
	return n < 0 ? -1 : 0;
}

gboolean pull_begin(struct pull *pull, char bracket, GError **error)
{
	int next = pull_next(pull, error);

	if (next < 0)
		return FALSE;
	if (next != bracket)
		return pull_fail(pull, error, bracket == '{' ? "an object is expected" : "an array is expected");
	input_skip(pull->input, 1);
	pull->first = TRUE;
	return TRUE;
}

int pull_element(struct pull *pull, GError **error)
{
	int next = pull_next(pull, error);

	if (next < 0)
		return -1;
	if (next == ']' || next == '}') {
		input_skip(pull->input, 1);
		pull->first = FALSE;
		return 0;
	}
	if (!pull->first) {
		if (next != ',') {
			pull_fail(pull, error,
				  next ? "a comma or the closing bracket is expected" : "it ends too early");
			return -1;
		}
		input_skip(pull->input, 1);
	}
	pull->first = FALSE;
	return 1;
}

int pull_member(struct pull *pull, GError **error)
{
	int more = pull_element(pull, error);
	gboolean is_null;
	int next;

	if (more <= 0)
		return more;
	if (!pull_string(pull, &is_null, error))
		return -1;
	next = pull_next(pull, error);
	if (next < 0)
		return -1;
	if (is_null || next != ':') {
		pull_fail(pull, error, "a name and a colon are expected");
		return -1;
	}
	input_skip(pull->input, 1);
	return 1;
}

gboolean pull_array(struct pull *pull, pull_each_fn each, void *user, GError **error)
{
	int more;

	if (!pull_begin(pull, '[', error))
		return FALSE;
	while ((more = pull_element(pull, error)) > 0)
		if (!each(pull, user, error))
			return FALSE;
	return more == 0;
}

gboolean pull_object(struct pull *pull, pull_each_fn each, void *user, GError **error)
{
	int more;

	if (!pull_begin(pull, '{', error))
		return FALSE;
	while ((more = pull_member(pull, error)) > 0)
		if (!each(pull, user, error))
			return FALSE;
	return more == 0;
}

gboolean pull_uint(struct pull *pull, guint64 *value, GError **error)
{
	int next = pull_next(pull, error);
	const char *bytes;
	gssize n, i;

	if (next < 0)
		return FALSE;
	n = input_peek(pull->input, &bytes, 24, error);
	if (n < 0)
		return FALSE;
	*value = 0;
	for (i = 0; i < n && g_ascii_isdigit(bytes[i]); i++) {
		guint digit = (guint)(bytes[i] - '0');

		if (*value > (G_MAXUINT64 - digit) / 10)
			return pull_fail(pull, error, "the number is too large");
		*value = *value * 10 + digit;
	}
	if (i == 0 || (i < n && (bytes[i] == '.' || bytes[i] == 'e' || bytes[i] == 'E')))
		return pull_fail(pull, error, "a whole number, not negative, is expected");
	input_skip(pull->input, (gsize)i);
	return TRUE;
}

static gboolean pull_hex4(struct pull *pull, gunichar *ch, GError **error)
{
	const char *bytes;
	gssize n = input_peek(pull->input, &bytes, 4, error);

	if (n < 0)
		return FALSE;
	*ch = 0;
	for (gssize i = 0; i < 4; i++) {
		if (i >= n || !g_ascii_isxdigit(bytes[i]))
			return pull_fail(pull, error, "four hexadecimal digits are expected after \\u");
		*ch = *ch * 16 + (guint)g_ascii_xdigit_value(bytes[i]);
	}
	input_skip(pull->input, 4);
	return TRUE;
}

/* \uXXXX, or a pair of them for a character beyond 0xffff. */
static gboolean pull_unicode(struct pull *pull, GError **error)
{
	gunichar ch, low;
	const char *bytes;
	gssize n;

	if (!pull_hex4(pull, &ch, error))
		return FALSE;
	if (ch >= 0xd800 && ch < 0xdc00) {
		n = input_peek(pull->input, &bytes, 2, error);
		if (n < 0)
			return FALSE;
		if (n < 2 || bytes[0] != '\\' || bytes[1] != 'u')
			return pull_fail(pull, error, "half a character");
		input_skip(pull->input, 2);
		if (!pull_hex4(pull, &low, error))
			return FALSE;
		if (low < 0xdc00 || low > 0xdfff)
			return pull_fail(pull, error, "half a character");
		ch = 0x10000 + ((ch - 0xd800) << 10) + (low - 0xdc00);
	}
	if (ch == 0 || (ch >= 0xdc00 && ch < 0xe000))
		return pull_fail(pull, error, "not a character");
	g_string_append_unichar(pull->text, ch);
	return TRUE;
}

static gboolean pull_escape(struct pull *pull, GError **error)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *bytes, *at;
	gssize n = input_peek(pull->input, &bytes, 1, error);
	char letter;

	if (n < 0)
		return FALSE;
	letter = n ? *bytes : '\0';
	if (letter == 'u') {
		input_skip(pull->input, 1);
		return pull_unicode(pull, error);
	}
	at = letter ? strchr(from, letter) : NULL;
	if (!at)
		return pull_fail(pull, error, "no such escape");
	input_skip(pull->input, 1);
	g_string_append_c(pull->text, to[at - from]);
	return TRUE;
}

static gboolean pull_literal(struct pull *pull, const char *word, GError **error)
{
	const char *bytes;
	gssize n = input_peek(pull->input, &bytes, strlen(word), error);

	if (n < 0)
		return FALSE;
	if ((gsize)n < strlen(word) || memcmp(bytes, word, (gsize)n) != 0)
		return pull_fail(pull, error, "not a JSON value");
	input_skip(pull->input, (gsize)n);
	return TRUE;
}

gboolean pull_string(struct pull *pull, gboolean *is_null, GError **error)
{
	int next = pull_next(pull, error);
	const char *bytes;
	gssize n;

	if (next < 0)
		return FALSE;
	g_string_truncate(pull->text, 0);
	*is_null = next == 'n';
	if (*is_null)
		return pull_literal(pull, "null", error);
	if (next != '"')
		return pull_fail(pull, error, "a string is expected");
	input_skip(pull->input, 1);
	while ((n = input_peek(pull->input, &bytes, 256, error)) > 0) {
		gssize plain = 0;

		while (plain < n && bytes[plain] != '"' && bytes[plain] != '\\' && (guchar)bytes[plain] >= 0x20)
			plain++;
		g_string_append_len(pull->text, bytes, plain);
		input_skip(pull->input, (gsize)plain);
		if (pull->text->len > PULL_STRING_BYTES_MAX)
			return pull_fail(pull, error, "the string is too long");
		if (plain == n)
			continue;
		if ((guchar)bytes[plain] < 0x20)
			return pull_fail(pull, error, "a control character in a string");
		input_skip(pull->input, 1);
		if (bytes[plain] == '"')
			return TRUE;
		if (!pull_escape(pull, error))
			return FALSE;
	}
	return n < 0 ? FALSE : pull_fail(pull, error, "a string does not end");
}

static gboolean pull_skip_number(struct pull *pull, GError **error)
{
	const char *bytes;
	gssize n = input_peek(pull->input, &bytes, 64, error), i = 0;

	if (n < 0)
		return FALSE;
	while (i < n && (g_ascii_isalnum(bytes[i]) || strchr("+-.", bytes[i])) && bytes[i])
		i++;
	if (i == 0 || i == 64 || !(g_ascii_isdigit(bytes[0]) || bytes[0] == '-'))
		return pull_fail(pull, error, "not a JSON value");
	input_skip(pull->input, (gsize)i);
	return TRUE;
}

static gboolean pull_skip_level(struct pull *pull, guint depth, GError **error)
{
	int next = pull_next(pull, error), more;
	gboolean is_null;

	switch (next) {
	case -1:
		return FALSE;
	case '{':
	case '[':
		if (depth >= PULL_DEPTH_MAX)
			return pull_fail(pull, error, "nested too deep");
		if (!pull_begin(pull, (char)next, error))
			return FALSE;
		while ((more = next == '{' ? pull_member(pull, error) : pull_element(pull, error)) > 0)
			if (!pull_skip_level(pull, depth + 1, error))
				return FALSE;
		return more == 0;
	case '"':
	case 'n':
		return pull_string(pull, &is_null, error);
	case 't':
		return pull_literal(pull, "true", error);
	case 'f':
		return pull_literal(pull, "false", error);
	default:
		return pull_skip_number(pull, error);
	}
}

gboolean pull_skip(struct pull *pull, GError **error)
{
	return pull_skip_level(pull, 0, error);
}
