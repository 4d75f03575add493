/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Go functions, also in stripped programs. What cgo added (C code) is not among them. */
#include "symbol/source.h"

#include <string.h>

#include "symbol/gopclntab.h"

static guint gopclntab_add(const struct source_file *file, struct symtab_builder *builder)
{
	g_autoptr(gopclntab_t) table = gopclntab_open(file->image);
	guint added = 0;

	for (guint i = 0; table && i < gopclntab_count(table); i++) {
		struct gopclntab_function function;

		if (gopclntab_function(table, i, &function) &&
		    symtab_builder_add(builder, function.start, function.end - function.start, 0, function.name,
				       strnlen(function.name, SYMTAB_NAME_MAX), NULL, SYMTAB_RANK_LOCAL))
			added++;
	}
	return added;
}

const struct source source_gopclntab = { .name = ".gopclntab", .is_complete = FALSE, .add = gopclntab_add };
