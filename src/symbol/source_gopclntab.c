/* SPDX-License-Identifier: Apache-2.0 */
/* Names and lines of Go functions, also in stripped programs. What cgo added (C code) is not among them. */
#include "symbol/source.h"

#include "symbol/gopclntab.h"

static gboolean more_find(void *data, guint64 address, struct symtab_hit *hit)
{
	struct gopclntab_function function;

	if (!gopclntab_find(data, address, &function, &hit->index))
		return FALSE;
	hit->name = function.name;
	hit->tag = "";
	hit->start = function.start;
	return TRUE;
}

static gboolean more_line(void *data, guint64 address, const char **file, guint32 *line)
{
	return gopclntab_line(data, address, file, line);
}

static void more_free(void *data)
{
	gopclntab_free(data);
}

static guint gopclntab_add(const struct source_file *file, struct symtab_builder *builder)
{
	struct gopclntab *table = gopclntab_open(file->image);
	struct symtab_more more = { .data = table,
				    .find = more_find,
				    .line = more_line,
				    .free = more_free,
				    .bytes = GOPCLNTAB_HELD_BYTES_MAX };

	if (!table)
		return 0;
	more.count = gopclntab_count(table);
	symtab_builder_set_more(builder, &more);
	return more.count;
}

const struct source source_gopclntab = { .name = ".gopclntab", .is_enough = TRUE, .add = gopclntab_add };
