/* SPDX-License-Identifier: Apache-2.0 */
/* How to find the caller, for every instruction of an ELF file, from `.eh_frame` (and, where that says nothing,
 * `.debug_frame`). What a rule means: symbol/cfi.h. There are two kinds of table:
 *
 * - Lazy: the file's own sorted index (`.eh_frame_hdr`) leads from an address to the one description to read; what was
 *   found for an address is remembered, in a cache of fixed size. The index is a claim: it is checked when the table
 *   is made (sorted, inside the section), and against the description at every search. Memory: the two sections, and the cache.
 *   Of large files (.eh_frame from 256 KiB on) the pages are read that searches come to, and the file stays open; there the
 *   index is checked at searches alone.
 * - Whole: everything is compiled, 8 bytes a row, searched by bisection. For files without such an index, or with a .debug_frame.
 *
 * Where a file describes hardly any of its code (musl's, busybox's), rules for the rest are worked out from the code itself
 * (symbol/prologue.h), and asked for separately: such a rule may be wrong.
 *
 * Of a Go program, whose code keeps frame pointers, Go's own table is kept (symbol/gopclntab.h): it tells of functions that make no
 * frame, and of those that have not made it yet.
 *
 * Both give the same rules where descriptions do not overlap: they hold for everything from the first described instruction on.
 * In a whole table rows cover everything from the first described instruction on: neighbours with equal rules are one row, gaps of at most
 * UNWIND_TABLE_PADDING bytes belong to what stands before them, greater ones are CFI_NONE (frame-pointer step). Where two
 * descriptions overlap, .eh_frame wins over .debug_frame, then the lower start.
 * Addresses are the file's own, as symbols count them: address in the process minus the mapping's bias.
 * A lazy table remembers: one thread at a time may search it. */
#pragma once
#include <glib.h>

#include "symbol/cfi.h"
#include "symbol/image.h"

#define UNWIND_TABLE_PADDING 15 /* bytes */

struct unwind_table;

/* Reads the file's sections (found by name, or by PT_GNU_EH_FRAME when there are no section headers) and compiles them. The file may be
 * closed afterwards. Go programs' .debug_frame is left alone: their frame pointers follow a goroutine across stacks. NULL with
 * CFI_ERROR_ABSENT when nothing describes the code, nor can it be worked out: the file is walked by frame pointers. */
struct unwind_table *unwind_table_read(const struct image *image, GError **error);
/* The same, never lazy. */
struct unwind_table *unwind_table_read_whole(const struct image *image, GError **error);
/* Lazy, from sections already in memory: .eh_frame, and .eh_frame_hdr at `index_address`. Takes over neither: they must live
 * as long as the table. NULL with CFI_ERROR_ABSENT when the index cannot be used. */
struct unwind_table *unwind_table_index(guint64 base, const struct cfi_section *frames, const guint8 *index,
					gsize index_length, guint64 index_address, GError **error);
/* From sections already in memory; `base` is the lowest address of code. Earlier sections win. */
struct unwind_table *unwind_table_compile(guint64 base, const struct cfi_section *sections, guint count,
					  GError **error);
struct unwind_table *unwind_table_ref(struct unwind_table *table);
void unwind_table_unref(struct unwind_table *table);
typedef struct unwind_table unwind_table_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(unwind_table_t, unwind_table_unref)

/* The rule of the instruction at, or containing, `address`. CFI_NONE's when nothing is known. */
guint32 unwind_table_find(const struct unwind_table *table, guint64 address);
/* For code of which unwind_table_find knows nothing: worked out. What it leads to must lie behind a call
 * (unwind_table_may_return). CFI_NONE's when it cannot be said, or the file describes most of its code. */
guint32 unwind_table_work_out(const struct unwind_table *table, guint64 address);
/* Where the function begins that holds `address`, as far as descriptions, or else the code itself, tell (compilers describe what they
 * put aside of a function on its own). FALSE: not known. */
gboolean unwind_table_find_start(const struct unwind_table *table, guint64 address, guint64 *start);
/* FALSE: `address` does not lie behind a call. TRUE: it does, or nobody knows. */
gboolean unwind_table_may_return(const struct unwind_table *table, guint64 address);
/* Of Go's code: how far above RSP the return address lies before the instruction at `address` runs, in bytes. FALSE when it is not
 * Go's, or not known. */
gboolean unwind_table_find_go(const struct unwind_table *table, guint64 address, guint32 *depth);
gboolean unwind_table_is_go(const struct unwind_table *table);
/* Where the caller's RBX is, of which rows know nothing; `slot`: bytes from the CFA. Only of a table that is lazy: else CFI_SAVED_LOST. */
enum cfi_saved unwind_table_find_bx(const struct unwind_table *table, guint64 address, gint64 *slot);
gboolean unwind_table_is_paged(const struct unwind_table *table); /* holds its file open, and grows */
gboolean unwind_table_is_lazy(const struct unwind_table *table);
/* Bytes of descriptions read by searches since the last call; 0 for a whole table. For those who limit the time it takes. */
guint64 unwind_table_take_work(const struct unwind_table *table);
guint unwind_table_count(const struct unwind_table *table); /* rows; 0 when lazy */
gsize unwind_table_bytes(const struct unwind_table *table); /* memory held */
guint unwind_table_bad(
	const struct unwind_table *table); /* descriptions not understood; lazy: searches that met such */
/* Row i, its address counted from the table's base: for tests. */
struct cfi_row unwind_table_row(const struct unwind_table *table, guint i);
