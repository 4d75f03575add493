/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of bytes from a descriptor or from memory, gunzipped when it is gzip, read in lines or whole.
 * Holds one buffer: memory does not grow with the input. */
#pragma once
#include <glib.h>

struct input;

/* Reads from `fd` (borrowed) or, when `fd` is -1, from `data`. */
struct input *input_new(int fd, const void *data, gsize length);
void input_free(struct input *input);
typedef struct input input_t;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(input_t, input_free)

/* Up to `length` bytes from the current position without consuming them; fewer only at the end. -1 and `error`. */
gssize input_peek(struct input *input, const char **bytes, gsize length, GError **error);
/* Consumes `length` bytes that were peeked. */
void input_skip(struct input *input, gsize length);

/* The next line without its newline (and carriage return), valid until the next call. 1: a line; 0: the end;
 * -1: `error`. The last line needs no newline. */
int input_line(struct input *input, char **line, gsize *length, GError **error);
/* Number of the line last returned, from 1. */
guint64 input_line_number(const struct input *input);
/* Bytes (inflated) consumed so far. */
guint64 input_offset(const struct input *input);

/* Everything that is left, at most `limit` bytes; belongs to `input`, valid until the next call. NULL and `error`. */
const guchar *input_peek_all(struct input *input, gsize limit, gsize *length, GError **error);
