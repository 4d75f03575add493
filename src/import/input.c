/* SPDX-License-Identifier: Apache-2.0 */
#include "import/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "import/import.h"

#define INPUT_BUFFER_BYTES (256u << 10)
#define INPUT_RAW_BYTES (64u << 10)

struct input {
	int fd; /* -1: memory */
	const char *data; /* what is left of the memory */
	gsize data_length;
	char *buffer; /* start … end is what is not yet consumed */
	gsize room, start, end;
	guint64 offset, line, inflated;
	gboolean ended;
	gboolean started; /* the first bytes have been looked at */
	gboolean gzip, gzip_ended;
	z_stream stream;
	guchar *raw; /* compressed bytes */
};

struct input *input_new(int fd, const void *data, gsize length)
{
	struct input *input = g_new0(struct input, 1);

	input->fd = fd;
	input->data = data;
	input->data_length = length;
	input->room = INPUT_BUFFER_BYTES;
	input->buffer = g_malloc(input->room);
	return input;
}

void input_free(struct input *input)
{
	if (!input)
		return;
	if (input->gzip)
		inflateEnd(&input->stream);
	g_free(input->raw);
	g_free(input->buffer);
	g_free(input);
}

/* Bytes as they are in the file. 0 at the end, -1 and `error`. */
static gssize input_read_raw(struct input *input, void *to, gsize room, GError **error)
{
	ssize_t n;

	if (input->fd < 0) {
		gsize copied = MIN(room, input->data_length);

		if (copied)
			memcpy(to, input->data, copied);
		input->data += copied;
		input->data_length -= copied;
		return (gssize)copied;
	}
	do
		n = read(input->fd, to, room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_OPEN, "cannot read: %s", g_strerror(errno));
	return n;
}

static gssize input_gzip_fail(const struct input *input, const char *why, GError **error)
{
	g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED, "byte %" G_GUINT64_FORMAT " inflated: %s",
		    input->inflated, why);
	return -1;
}

/* Inflates into `to`; several gzip members in a row are one stream, as gzip(1) has it. */
static gssize input_inflate(struct input *input, char *to, gsize room, GError **error)
{
	z_stream *z = &input->stream;

	z->next_out = (Bytef *)to;
	z->avail_out = (uInt)room;
	while (z->avail_out == room) {
		int result;

		if (z->avail_in == 0) {
			gssize n = input_read_raw(input, input->raw, INPUT_RAW_BYTES, error);

			if (n < 0)
				return -1;
			if (n == 0 && !input->gzip_ended)
				return input_gzip_fail(input, "the gzip data end too early", error);
			if (n == 0)
				return 0;
			z->next_in = input->raw;
			z->avail_in = (uInt)n;
		}
		if (input->gzip_ended) {
			inflateReset(z);
			input->gzip_ended = FALSE;
		}
		result = inflate(z, Z_NO_FLUSH);
		if (result == Z_STREAM_END)
			input->gzip_ended = TRUE;
		else if (result != Z_OK)
			return input_gzip_fail(input, "the gzip data are damaged", error);
	}
	input->inflated += room - z->avail_out;
	if (input->inflated > IMPORT_INFLATED_BYTES_MAX) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_TOO_LARGE, "inflates to more than %llu bytes",
			    (unsigned long long)IMPORT_INFLATED_BYTES_MAX);
		return -1;
	}
	return (gssize)(room - z->avail_out);
}

/* If what is in the buffer is the start of a gzip file, moves it over to the inflater. */
static void input_detect_gzip(struct input *input)
{
	input->started = TRUE;
	if (input->end < 2 || memcmp(input->buffer, "\037\213", 2) != 0 ||
	    inflateInit2(&input->stream, 15 + 16) != Z_OK)
		return;
	input->gzip = TRUE;
	input->raw = g_malloc(MAX(INPUT_RAW_BYTES, input->end));
	memcpy(input->raw, input->buffer, input->end);
	input->stream.next_in = input->raw;
	input->stream.avail_in = (uInt)input->end;
	input->end = 0;
}

/* Adds bytes to the buffer, making room first. FALSE on error; at the end sets `ended`. */
static gboolean input_fill(struct input *input, GError **error)
{
	gssize n;

	if (input->start) {
		memmove(input->buffer, input->buffer + input->start, input->end - input->start);
		input->end -= input->start;
		input->start = 0;
	}
	if (input->end == input->room) {
		input->room *= 2;
		input->buffer = g_realloc(input->buffer, input->room);
	}
	if (input->gzip)
		n = input_inflate(input, input->buffer + input->end, input->room - input->end, error);
	else
		n = input_read_raw(input, input->buffer + input->end, input->room - input->end, error);
	if (n < 0)
		return FALSE;
	input->end += (gsize)n;
	input->ended = n == 0;
	return TRUE;
}

/* The first bytes decide between gzip and plain; a pipe may hand them out one by one. */
static gboolean input_start(struct input *input, GError **error)
{
	while (!input->started && !input->ended && input->end < 2)
		if (!input_fill(input, error))
			return FALSE;
	if (!input->started) {
		input_detect_gzip(input);
		input->ended = input->ended && !input->gzip;
	}
	return TRUE;
}

gssize input_peek(struct input *input, const char **bytes, gsize length, GError **error)
{
	if (!input_start(input, error))
		return -1;
	while (!input->ended && input->end - input->start < length)
		if (!input_fill(input, error))
			return -1;
	*bytes = input->buffer + input->start;
	return (gssize)MIN(length, input->end - input->start);
}

void input_skip(struct input *input, gsize length)
{
	input->start += length;
	input->offset += length;
}

int input_line(struct input *input, char **line, gsize *length, GError **error)
{
	gsize looked = 0;
	char *newline = NULL;

	if (!input_start(input, error))
		return -1;
	for (;;) {
		gsize have = input->end - input->start;

		if (have > looked)
			newline = memchr(input->buffer + input->start + looked, '\n', have - looked);
		if (newline || input->ended)
			break;
		looked = have;
		if (have > IMPORT_LINE_BYTES_MAX) {
			g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_TOO_LARGE,
				    "line %" G_GUINT64_FORMAT ": longer than %u bytes", input->line + 1,
				    IMPORT_LINE_BYTES_MAX);
			return -1;
		}
		if (!input_fill(input, error))
			return -1;
	}
	if (!newline && input->start == input->end)
		return 0;
	*line = input->buffer + input->start;
	*length = newline ? (gsize)(newline - *line) : input->end - input->start;
	input_skip(input, *length + (newline ? 1 : 0));
	input->line++;
	if (*length && (*line)[*length - 1] == '\r')
		(*length)--;
	return 1;
}

guint64 input_line_number(const struct input *input)
{
	return input->line;
}

guint64 input_offset(const struct input *input)
{
	return input->offset;
}

const guchar *input_peek_all(struct input *input, gsize limit, gsize *length, GError **error)
{
	const char *bytes;
	gssize have = input_peek(input, &bytes, limit + 1, error);

	if (have < 0)
		return NULL;
	if ((gsize)have > limit) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_TOO_LARGE, "larger than %zu bytes", limit);
		return NULL;
	}
	*length = (gsize)have;
	return (const guchar *)bytes;
}
