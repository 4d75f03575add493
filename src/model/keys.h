/* SPDX-License-Identifier: Apache-2.0 */
/* Rows named by several strings: the index behind shapes that are tables (histogram, edges). A key is a tuple of
 * `width` strings, NULL where a value does not apply; rows are dense ids from 0 in the order of their making. Strings
 * are raw bytes as observed: escape on output. They are owned here and stay valid until keys_clear. */
#pragma once
#include <glib.h>

#define KEYS_WIDTH_MAX 12
#define KEYS_ROWS_MAX (1u << 18)
#define KEYS_NONE G_MAXUINT32

struct keys {
	guint width;
	GPtrArray *rows; /* of const char *const *: tuples by id */
	/* private */
	GStringChunk *strings;
	GHashTable *ids; /* tuple → id + 1 */
	GPtrArray *wide; /* blocks the tuples live in */
};

void keys_init(struct keys *keys, guint width);
void keys_clear(struct keys *keys);
/* The row of `values` (as many as `width`), made if absent; KEYS_NONE when it would be one too many. */
guint32 keys_add(struct keys *keys, const char *const *values);
/* The same, but KEYS_NONE when absent. */
guint32 keys_find(const struct keys *keys, const char *const *values);
const char *const *keys_values(const struct keys *keys, guint32 row);
