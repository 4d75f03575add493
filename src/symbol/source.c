/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/source.h"

static const struct source *const sources[] = {
	&source_symtab, &source_debug_file, &source_gopclntab, &source_minidebug, &source_dynsym,
};

/* From here on a walk through the table is cheaper than having it in memory, for some walks. */
#define LARGE_SYMBOLS (64u << 10)

static gboolean is_large(const struct source_file *file, const struct source *source)
{
	return source->table && image_count_symbols(file->image, source->table) >= LARGE_SYMBOLS;
}

/* `*rest` counts from 1. */
static struct symtab *sources_read(const struct source_file *file, guint from, gboolean put_off, gboolean *is_complete,
				   guint *rest)
{
	struct symtab_builder *builder = symtab_builder_new();

	*is_complete = FALSE;
	*rest = 0;
	for (guint i = from; i < G_N_ELEMENTS(sources) && !*is_complete && !*rest; i++) {
		gboolean later = put_off && is_large(file, sources[i]);

		if (!later && !sources[i]->add(file, builder))
			continue;
		*is_complete = sources[i]->is_complete;
		if (later)
			*rest = i + 1;
		else if (sources[i]->is_enough && i + 1 < G_N_ELEMENTS(sources))
			*rest = i + 2;
	}
	return symtab_builder_finish(builder);
}

struct symtab *source_read(const struct source_file *file, gboolean *is_complete, guint *rest)
{
	return sources_read(file, 0, TRUE, is_complete, rest);
}

struct symtab *source_read_rest(const struct source_file *file, guint rest)
{
	gboolean is_complete;

	return sources_read(file, rest - 1, FALSE, &is_complete, &rest);
}

struct symtab *source_find(const struct source_file *file, guint rest, guint64 address)
{
	guint from = rest - 1;

	while (from < G_N_ELEMENTS(sources) && !is_large(file, sources[from]))
		from++;
	if (from == G_N_ELEMENTS(sources) || image_find_section(file->image, MINIDEBUG_SECTION))
		return NULL;
	return image_find_function(file->image, sources[from]->table, address);
}

static guint symtab_add(const struct source_file *file, struct symtab_builder *builder)
{
	return image_add_symbols(file->image, SHT_SYMTAB, builder);
}

static guint dynsym_add(const struct source_file *file, struct symtab_builder *builder)
{
	return image_add_symbols(file->image, SHT_DYNSYM, builder);
}

/* The linker's full table. */
const struct source source_symtab = { .name = ".symtab", .is_complete = TRUE, .add = symtab_add, .table = SHT_SYMTAB };
/* What is left in a stripped file: exported functions only. */
const struct source source_dynsym = { .name = ".dynsym", .is_complete = FALSE, .add = dynsym_add, .table = SHT_DYNSYM };
