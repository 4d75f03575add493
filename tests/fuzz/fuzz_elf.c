/* SPDX-License-Identifier: Apache-2.0 */
/* The ELF reader and every source of names, on whatever bytes a container may put into a file. */
#include <string.h>

#include "symbol/demangle.h"
#include "symbol/source.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	struct image_bytes memory = { .fd = -1, .memory = bytes, .size = size };
	g_autoptr(image_t) image = image_open(&memory, NULL);
	g_autoptr(symtab_t) table = NULL;
	struct symtab_hit hit;
	gboolean complete;
	guint rest;

	if (!image)
		return 0;
	table = source_read(&(struct source_file){ .image = image, .path = "/fuzz" }, &complete, &rest);
	for (guint64 offset = 0; offset < size; offset += 1 + size / 512) {
		guint64 address = offset;

		image_address(image->segments, image->segment_count, offset, &address);
		if (symtab_find(table, address, &hit)) {
			g_autofree char *name = demangle(hit.name);

			if (strlen(hit.name) > SYMTAB_NAME_MAX || address < hit.start)
				g_error("a hit that cannot be");
		}
	}
	return 0;
}
