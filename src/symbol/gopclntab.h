/* SPDX-License-Identifier: Apache-2.0 */
/* Go's own table of functions, files and lines, which the runtime needs for its tracebacks and which therefore is in every
 * Go program, stripped or not (go/src/debug/gosym, go/src/runtime/symtab.go; layouts of Go 1.16, 1.18 and 1.20).
 *
 * Sections may have lost their names and a position-independent program keeps the table among its relocated data, so it
 * is looked for by name first and then by its magic number in every segment; each candidate is validated. Addresses in
 * it that the loader would relocate are relocated from the file's own RELA entries. Everything is hostile: offsets are
 * checked at each use.
 *
 * Tables are many megabytes, of which a profile needs a few hundred functions: pages are read when they are asked for, and
 * GOPCLNTAB_HELD_BYTES_MAX of them kept. A file that changes meanwhile gives wrong names, never a fault. */
#pragma once
#include <glib.h>

#include "symbol/image.h"

#define GOPCLNTAB_BYTES_MAX (128u << 20)
#define GOPCLNTAB_FUNCTIONS_MAX (2u << 20)
#define GOPCLNTAB_HELD_BYTES_MAX (2u << 20)
#define GOPCLNTAB_DEPTH_MAX (256u << 10) /* bytes of a frame that is believed */

struct gopclntab;

struct gopclntab_function {
	guint64 start, end; /* addresses as the file counts them */
	const char *name; /* "main.(*Server).handle"; valid until the table is asked for the next text */
};

/* NULL when the file holds no such table, or none that makes sense. Owned by the caller. It has a descriptor of its own; memory must
 * stay as long as the table. */
struct gopclntab *gopclntab_open(const struct image *image);
void gopclntab_free(struct gopclntab *table);
typedef struct gopclntab gopclntab_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(gopclntab_t, gopclntab_free)

guint gopclntab_count(const struct gopclntab *table);
/* FALSE for an entry that makes no sense. */
gboolean gopclntab_function(const struct gopclntab *table, guint index, struct gopclntab_function *function);
/* The function that holds `address`. */
gboolean gopclntab_find(const struct gopclntab *table, guint64 address, struct gopclntab_function *function,
			guint *index);
/* Where the instruction at `address` comes from. `*file` is valid as a name is. FALSE when not known. */
gboolean gopclntab_line(const struct gopclntab *table, guint64 address, const char **file, guint32 *line);
/* How far above RSP the return address lies before the instruction at `address` runs, in bytes (Go's pcsp table). FALSE when it is not
 * known, or the function changes stacks. `*work_bytes` is added to: bytes of the table looked at. */
gboolean gopclntab_depth(const struct gopclntab *table, guint64 address, guint32 *depth, guint64 *work_bytes);
gsize gopclntab_held(const struct gopclntab *table); /* bytes of memory */
