/* SPDX-License-Identifier: Apache-2.0 */
/* How to find the caller, for every instruction of an ELF file: a table made once per file from `.eh_frame` (and, where that says
 * nothing, `.debug_frame`), 8 bytes a row, searched by bisection. What a rule means: symbol/cfi.h.
 *
 * Rows cover everything from the first described instruction on: neighbours with equal rules are one row, gaps of at most
 * UNWIND_TABLE_PADDING bytes belong to what stands before them, greater ones are CFI_NONE (frame-pointer step). Where two
 * descriptions overlap, .eh_frame wins over .debug_frame, then the lower start.
 * Addresses are the file's own, as symbols count them: address in the process minus the mapping's bias.
 * A table does not change after it was made: any thread may search it. */
#pragma once
#include <glib.h>

#include "symbol/cfi.h"
#include "symbol/image.h"

#define UNWIND_TABLE_PADDING 15 /* bytes */

struct unwind_table;

/* Reads the file's sections (found by name, or by PT_GNU_EH_FRAME when there are no section headers) and compiles them. The file may be
 * closed afterwards. Go programs' .debug_frame is left alone: their frame pointers are complete, and follow a goroutine
 * across stacks. NULL with CFI_ERROR_ABSENT when nothing describes the code: the file is walked by frame pointers. */
struct unwind_table *unwind_table_read(const struct image *image, GError **error);
/* From sections already in memory; `base` is the lowest address of code. Earlier sections win. */
struct unwind_table *unwind_table_compile(guint64 base, const struct cfi_section *sections, guint count,
					  GError **error);
struct unwind_table *unwind_table_ref(struct unwind_table *table);
void unwind_table_unref(struct unwind_table *table);
typedef struct unwind_table unwind_table_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(unwind_table_t, unwind_table_unref)

/* The rule of the instruction at, or containing, `address`. CFI_NONE's when nothing is known. */
guint32 unwind_table_find(const struct unwind_table *table, guint64 address);
guint unwind_table_count(const struct unwind_table *table); /* rows */
gsize unwind_table_bytes(const struct unwind_table *table); /* memory held */
guint unwind_table_bad(const struct unwind_table *table); /* descriptions not understood */
/* Row i, its address counted from the table's base: for tests. */
struct cfi_row unwind_table_row(const struct unwind_table *table, guint i);
