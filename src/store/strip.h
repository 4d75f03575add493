/* SPDX-License-Identifier: Apache-2.0 */
/* A strip: byte strings, each with a time, in the order in which they came; the oldest go when there are too many.
 *
 * What lives for minutes and comes every second, between tables that live for milliseconds, leaves a heap in pieces that nobody
 * can use. So a strip has memory of its own: pieces that are filled one after the other, and given back whole, when all that is
 * in them has gone. */
#pragma once
#include <glib.h>

#define STRIP_PIECE_BYTES (128u << 10) /* a larger string has a piece of its own */

struct strip;

/* Takes at most `bytes_max` bytes of memory, and holds at most `count_max` strings; but one in any case. */
struct strip *strip_new(gsize bytes_max, guint count_max);
void strip_set_bytes_max(struct strip *strip, gsize bytes_max); /* from the next piece on */
void strip_set_count_max(struct strip *strip, guint count_max); /* from the next one on */
/* Those go that are older than the newest by more than `age_max_ms`; 0: however old. From the next one on. */
void strip_set_age_max(struct strip *strip, gint64 age_max_ms);
void strip_free(struct strip *strip);

/* Copies `bytes`. */
void strip_add(struct strip *strip, gint64 time_ms, const guint8 *bytes, gsize length);

/* Those with from_ms < time ≤ to_ms, oldest first. `bytes` until `each` returns, which must not add any. */
typedef void (*strip_fn)(void *user, gint64 time_ms, const guint8 *bytes, gsize length);
void strip_each(const struct strip *strip, gint64 from_ms, gint64 to_ms, strip_fn each, void *user);

gint64 strip_oldest_ms(const struct strip *strip); /* 0: it is empty */
guint strip_count(const struct strip *strip);
gsize strip_bytes(const struct strip *strip); /* of all strings */
gsize strip_memory_bytes(const struct strip *strip); /* what it takes */
