/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/mapread.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "probe/probe.h"

#define MAPREAD_BATCH 2048 /* entries per system call at first; grows when a bucket is longer */
#define MAPREAD_BATCH_MAX (1 << 20)
#define MAPREAD_TOKEN_BYTES 64 /* where the kernel continues: at most a key, and at least 4 */

gboolean mapread_each(int map_fd, gsize key_size, gsize value_size, mapread_fn each, void *user, GError **error)
{
	guint32 size = MAPREAD_BATCH;
	g_autofree char *keys = g_malloc(size * key_size);
	g_autofree char *values = g_malloc(size * value_size);
	char token[MAPREAD_TOKEN_BYTES];
	gboolean first = TRUE;

	g_return_val_if_fail(key_size <= sizeof(token), FALSE);
	for (;;) {
		guint32 count = size;
		int result = bpf_map_lookup_batch(map_fd, first ? NULL : token, token, keys, values, &count, NULL);

		if (result == -ENOSPC && size < MAPREAD_BATCH_MAX) {
			size *= 4;
			keys = g_realloc(keys, size * key_size);
			values = g_realloc(values, size * value_size);
			continue;
		}
		if (result != 0 && result != -ENOENT) {
			g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot read a kernel map: %s",
				    g_strerror(-result));
			return FALSE;
		}
		for (guint32 i = 0; i < count; i++)
			each(user, keys + i * key_size, values + i * value_size);
		if (result == -ENOENT)
			return TRUE;
		first = FALSE;
	}
}
