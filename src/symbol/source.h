/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of names for one ELF file, a table of operations walked in order (source.c). Adding a source
 * (unwinding tables' function bounds) is one file and one line in that table. */
#pragma once
#include <glib.h>

#include "symbol/image.h"
#include "symbol/symtab.h"

struct source_file {
	const struct image *image;
	const char *path; /* as its process names it; NULL when not known */
	const char *root; /* directory to look for debug files in besides "/", such as /proc/PID/root; may be NULL */
	int downloaded; /* a debug file got for it from a server, open; 0: none */
};

struct source {
	const char *name;
	/* TRUE: when this source has names they are all there is to have, and the walk ends. */
	gboolean is_complete;
	/* TRUE: what the sources behind it add is hardly ever asked for, and may be read when it is. */
	gboolean is_enough;
	/* Adds functions, returns how many. */
	guint (*add)(const struct source_file *file, struct symtab_builder *builder);
	/* The table of the file that `add` reads (SHT_…); 0: what it reads is no such table. */
	guint32 table;
};

#define MINIDEBUG_SECTION ".gnu_debugdata"
extern const struct source source_symtab, source_dynsym, source_debug_file, source_minidebug, source_gopclntab;

/* Walks the sources. `*is_complete` becomes FALSE when only exported functions could be had; `*rest` (0: none) says where
 * to go on with source_find or source_read_rest when the table lacks an address: very large tables are left for that. Never NULL. */
struct symtab *source_read(const struct source_file *file, gboolean *is_complete, guint *rest);
struct symtab *source_read_rest(const struct source_file *file, guint rest);
/* The one function that holds `address`, without reading all the rest into memory: for the first few addresses in a very large table.
 * Owned by the caller; NULL when that table is not so large, or does not plainly tell. */
struct symtab *source_find(const struct source_file *file, guint rest, guint64 address);
