/* SPDX-License-Identifier: Apache-2.0 */
/* Reads damaged input and, when it is accepted, writes it in every format and reads the capture back: accepted once must
 * be accepted again, and come out the same. */
#pragma once
#include <string.h>

#include "import/import.h"
#include "render/render.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

static inline int fuzz_import(const char *format, const guint8 *bytes, gsize size)
{
	struct import_options options = { .format = format };
	struct render_options plain = { 0 };
	const struct render_format *json = render_format_find("json", NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(snapshot_t) snapshot = import_bytes(bytes, size, &options, &error);
	g_autoptr(snapshot_t) back = NULL;
	g_autofree char *once = NULL, *twice = NULL;
	gsize once_length, twice_length;

	g_assert((snapshot == NULL) == (error != NULL));
	if (!snapshot)
		return 0;
	for (const struct render_format *writer = render_formats; writer->name; writer++)
		g_free(render_write_string(snapshot, writer, &plain, NULL, NULL));
	once = render_write_string(snapshot, json, &plain, &once_length, NULL);
	back = import_bytes(once, once_length, NULL, &error);
	g_assert_no_error(error);
	twice = render_write_string(back, json, &plain, &twice_length, NULL);
	g_assert_cmpmem(once, once_length, twice, twice_length);
	return 0;
}
