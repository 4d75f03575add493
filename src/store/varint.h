/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as bytes, seven bits each, the lowest first; and reading them back without ever leaving the bytes there are. */
#pragma once
#include <glib.h>

static inline void varint_put(GByteArray *into, guint64 value)
{
	guint8 bytes[10];
	guint count = 0;

	do {
		bytes[count] = (guint8)(value & 0x7f);
		value >>= 7;
		if (value)
			bytes[count] |= 0x80;
		count++;
	} while (value);
	g_byte_array_append(into, bytes, count);
}

struct varint_reader {
	const guint8 *at, *end;
	gboolean is_broken; /* and everything read is 0 from then on */
};

static inline void varint_reader_init(struct varint_reader *reader, const guint8 *bytes, gsize length)
{
	*reader = (struct varint_reader){ .at = bytes, .end = bytes + length };
}

static inline gsize varint_left(const struct varint_reader *reader)
{
	return (gsize)(reader->end - reader->at);
}

static inline guint64 varint_take(struct varint_reader *reader)
{
	guint64 value = 0;

	for (guint shift = 0; shift < 64 && !reader->is_broken && reader->at < reader->end; shift += 7) {
		guint8 byte = *reader->at++;

		value |= (guint64)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	reader->is_broken = TRUE;
	return 0;
}

/* NULL (and broken) when there are fewer. */
static inline const guint8 *varint_bytes(struct varint_reader *reader, gsize length)
{
	const guint8 *bytes = reader->at;

	if (reader->is_broken || varint_left(reader) < length) {
		reader->is_broken = TRUE;
		return NULL;
	}
	reader->at += length;
	return bytes;
}
