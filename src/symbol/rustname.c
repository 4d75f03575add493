/* SPDX-License-Identifier: Apache-2.0 */
/* One function a production of the grammar; each leaves the place behind what it read. Nothing is kept but the place. */
#include "symbol/rustname.h"

#include <string.h>

#define NUMBER_MAX (G_MAXUINT64 - 64) /* stands for all above */

struct reader {
	const char *text; /* behind _R: back references count from here */
	gsize at;
	guint steps, depth;
};

static gboolean read_path(struct reader *reader);
static gboolean read_type(struct reader *reader);

static gboolean take(struct reader *reader, char wanted)
{
	if (reader->text[reader->at] != wanted)
		return FALSE;
	reader->at++;
	return TRUE;
}

static gboolean enter(struct reader *reader)
{
	return ++reader->steps <= RUSTNAME_STEPS_MAX && ++reader->depth <= RUSTNAME_DEPTH_MAX;
}

static gboolean leave(struct reader *reader, gboolean right)
{
	reader->depth--;
	return right;
}

/* Up to and with the underscore; "_" is 0, "0_" is 1. */
static gboolean read_base62(struct reader *reader, guint64 *number)
{
	guint64 value = 0;

	if (take(reader, '_')) {
		*number = 0;
		return TRUE;
	}
	for (;; reader->at++) {
		char c = reader->text[reader->at];
		guint digit;

		if (c == '_')
			break;
		if (g_ascii_isdigit(c))
			digit = (guint)(c - '0');
		else if (g_ascii_islower(c))
			digit = (guint)(c - 'a') + 10;
		else if (g_ascii_isupper(c))
			digit = (guint)(c - 'A') + 36;
		else
			return FALSE;
		value = value > NUMBER_MAX / 62 ? NUMBER_MAX : value * 62 + digit;
	}
	reader->at++;
	*number = value + 1;
	return TRUE;
}

/* A number behind a letter, when that is there. */
static gboolean read_tagged(struct reader *reader, char tag, guint64 max)
{
	guint64 number;

	return !take(reader, tag) || (read_base62(reader, &number) && number < max);
}

static gboolean read_name(struct reader *reader)
{
	gsize length = 0;

	take(reader, 'u');
	if (!g_ascii_isdigit(reader->text[reader->at]))
		return FALSE;
	if (!take(reader, '0'))
		while (g_ascii_isdigit(reader->text[reader->at]) && length < G_MAXUINT16)
			length = length * 10 + (gsize)(reader->text[reader->at++] - '0');
	take(reader, '_');
	if (length > strlen(reader->text + reader->at))
		return FALSE;
	reader->at += length;
	return TRUE;
}

static gboolean read_identifier(struct reader *reader)
{
	return read_tagged(reader, 's', G_MAXUINT64) && read_name(reader);
}

static gboolean read_referred(struct reader *reader, gboolean (*read)(struct reader *reader))
{
	gsize tag = reader->at - 1, behind;
	guint64 place;
	gboolean right;

	if (!read_base62(reader, &place) || place >= tag)
		return FALSE;
	behind = reader->at;
	reader->at = (gsize)place;
	right = read(reader);
	reader->at = behind;
	return right;
}

static gboolean read_const(struct reader *reader)
{
	if (take(reader, 'B'))
		return enter(reader) && leave(reader, read_referred(reader, read_const));
	if (take(reader, 'p'))
		return TRUE;
	if (!read_type(reader))
		return FALSE;
	take(reader, 'n');
	while (g_ascii_isxdigit(reader->text[reader->at]))
		reader->at++;
	return take(reader, '_');
}

static gboolean read_generics(struct reader *reader)
{
	while (!take(reader, 'E')) {
		if (reader->text[reader->at] == 'L') {
			if (!read_tagged(reader, 'L', G_MAXUINT64))
				return FALSE;
		} else if (!(take(reader, 'K') ? read_const(reader) : read_type(reader))) {
			return FALSE;
		}
	}
	return TRUE;
}

static gboolean read_impl(struct reader *reader)
{
	return read_tagged(reader, 's', G_MAXUINT64) && read_path(reader);
}

/* What begins with a letter that says what it is. */
static gboolean read_by_tag(struct reader *reader, gboolean (*of)(struct reader *reader, char tag))
{
	char tag = reader->text[reader->at];

	if (!tag || !enter(reader))
		return FALSE;
	reader->at++;
	return leave(reader, of(reader, tag));
}

static gboolean read_path_of(struct reader *reader, char tag)
{
	switch (tag) {
	case 'C':
		return read_identifier(reader);
	case 'M':
		return read_impl(reader) && read_type(reader);
	case 'X':
		return read_impl(reader) && read_type(reader) && read_path(reader);
	case 'Y':
		return read_type(reader) && read_path(reader);
	case 'N':
		if (!g_ascii_isalpha(reader->text[reader->at]))
			return FALSE;
		reader->at++;
		return read_path(reader) && read_identifier(reader);
	case 'I':
		return read_path(reader) && read_generics(reader);
	case 'B':
		return read_referred(reader, read_path);
	default:
		return FALSE;
	}
}

static gboolean read_path(struct reader *reader)
{
	return read_by_tag(reader, read_path_of);
}

static gboolean read_types(struct reader *reader)
{
	while (!take(reader, 'E'))
		if (!read_type(reader))
			return FALSE;
	return TRUE;
}

static gboolean read_function(struct reader *reader)
{
	if (!read_tagged(reader, 'G', RUSTNAME_LIFETIMES_MAX))
		return FALSE;
	take(reader, 'U');
	if (take(reader, 'K') && !take(reader, 'C') && !read_name(reader))
		return FALSE;
	return read_types(reader) && read_type(reader);
}

static gboolean read_traits(struct reader *reader)
{
	if (!read_tagged(reader, 'G', RUSTNAME_LIFETIMES_MAX))
		return FALSE;
	while (!take(reader, 'E')) {
		if (!read_path(reader))
			return FALSE;
		while (take(reader, 'p'))
			if (!read_name(reader) || !read_type(reader))
				return FALSE;
	}
	return reader->text[reader->at] == 'L' && read_tagged(reader, 'L', G_MAXUINT64);
}

static gboolean read_type_of(struct reader *reader, char tag)
{
	if (g_ascii_islower(tag))
		return TRUE;
	switch (tag) {
	case 'A':
		return read_type(reader) && read_const(reader);
	case 'R':
	case 'Q':
		return read_tagged(reader, 'L', G_MAXUINT64) && read_type(reader);
	case 'S':
	case 'P':
	case 'O':
		return read_type(reader);
	case 'T':
		return read_types(reader);
	case 'F':
		return read_function(reader);
	case 'D':
		return read_traits(reader);
	case 'B':
		return read_referred(reader, read_type);
	default:
		return read_path_of(reader, tag);
	}
}

static gboolean read_type(struct reader *reader)
{
	return read_by_tag(reader, read_type_of);
}

gboolean rustname_is_bounded(const char *name)
{
	struct reader reader = { .text = name + strlen("_R") };

	while (g_ascii_isdigit(reader.text[reader.at])) /* version of the encoding */
		reader.at++;
	if (!read_path(&reader))
		return FALSE;
	/* The crate that made an instance of it; then whatever a compiler appends: ".llvm.123". */
	return !g_ascii_isupper(reader.text[reader.at]) || read_path(&reader);
}
