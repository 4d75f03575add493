/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/source.h"

static const struct source *const sources[] = {
	&source_symtab, &source_debug_file, &source_gopclntab, &source_minidebug, &source_dynsym,
};

static struct symtab *sources_read(const struct source_file *file, guint from, gboolean *is_complete, guint *rest)
{
	struct symtab_builder *builder = symtab_builder_new();

	*is_complete = FALSE;
	*rest = 0;
	for (guint i = from; i < G_N_ELEMENTS(sources) && !*is_complete && !*rest; i++) {
		if (!sources[i]->add(file, builder))
			continue;
		*is_complete = sources[i]->is_complete;
		if (sources[i]->is_enough && i + 1 < G_N_ELEMENTS(sources))
			*rest = i + 1;
	}
	return symtab_builder_finish(builder);
}

struct symtab *source_read(const struct source_file *file, gboolean *is_complete, guint *rest)
{
	return sources_read(file, 0, is_complete, rest);
}

struct symtab *source_read_rest(const struct source_file *file, guint rest)
{
	gboolean is_complete;

	return sources_read(file, rest, &is_complete, &rest);
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
const struct source source_symtab = { .name = ".symtab", .is_complete = TRUE, .add = symtab_add };
/* What is left in a stripped file: exported functions only. */
const struct source source_dynsym = { .name = ".dynsym", .is_complete = FALSE, .add = dynsym_add };
