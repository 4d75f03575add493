/* SPDX-License-Identifier: Apache-2.0 */
/* Go's table of functions and lines, as a container may have forged it. */
#include <string.h>

#include "symbol/gopclntab.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

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
	}
	return 0;
}
