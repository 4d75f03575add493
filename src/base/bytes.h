/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of hash tables that are bytes without padding: addresses, rows of a kernel map. */
#pragma once
#include <glib.h>
#include <string.h>

/* Of bytes that are in no GBytes. */
static inline guint bytes_hash(gconstpointer data, gsize size)
{
	const guint8 *bytes = data;
	guint64 hash = size;

	for (; size >= sizeof(guint64); size -= sizeof(guint64), bytes += sizeof(guint64)) {
		guint64 word;

		memcpy(&word, bytes, sizeof(word));
		hash = (hash ^ word) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	for (gsize i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
	return (guint)(hash ^ hash >> 32);
}
