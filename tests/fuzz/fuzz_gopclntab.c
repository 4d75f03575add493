/* SPDX-License-Identifier: Apache-2.0 */
/* Go's table of functions and lines, as a container may have forged it. */
#include <string.h>

#include "symbol/gopclntab.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

/* Whatever the table says, it is believable, and was found in bounded time. */
static void check_depth(const struct gopclntab *table, guint64 address)
{
	guint64 work_bytes = 0;
	guint32 depth;

	if (gopclntab_depth(table, address, &depth, &work_bytes) && (depth > GOPCLNTAB_DEPTH_MAX || depth % 8))
		g_error("a depth that cannot be");
	if (work_bytes > 65536)
		g_error("too much work");
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	struct image image = { .bytes = { .fd = -1, .memory = bytes, .size = size },
			       .is_64bit = TRUE,
			       .machine = EM_X86_64,
			       .segments = { { .address = 0x1000, .file_size = size } },
			       .segment_count = 1 };
	g_autoptr(gopclntab_t) table = gopclntab_open(&image);
	guint count = table ? MIN(gopclntab_count(table), 4096u) : 0;

	for (guint i = 0; i < count; i++) {
		struct gopclntab_function function;
		const char *file;
		guint32 line;

		if (!gopclntab_function(table, i, &function))
			continue;
		if (function.end <= function.start || strlen(function.name) > size)
			g_error("a function that cannot be");
		if (gopclntab_line(table, function.start, &file, &line) && strlen(file) > size)
			g_error("a file that cannot be");
		gopclntab_line(table, function.end - 1, &file, &line);
		check_depth(table, function.start);
		check_depth(table, function.end - 1);
	}
	return 0;
}
