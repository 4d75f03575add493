/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of hash tables that are bytes without padding: addresses, rows of a kernel map. */
#pragma once
#include <glib.h>

/* As g_bytes_hash, of bytes that are in no GBytes. */
static inline guint bytes_hash(gconstpointer data, gsize size)
{
	const guint8 *bytes = data;
	guint hash = 5381;

	for (gsize i = 0; i < size; i++)
		hash = hash * 33 + bytes[i];
	return hash;
}
