/* SPDX-License-Identifier: Apache-2.0 */
/* How to find the caller in code that nothing describes: worked out from the machine code (x86-64). What musl's and busybox's
 * programs are, and whoever was compiled without unwind tables.
 *
 * From a function's first instruction on, where the return address is at RSP, every way through it is followed up to the address
 * in question, noting what each instruction does to RSP and RBP; a place that is reached in two ways with different stacks is
 * one where only what both have in common is known. That is exact where the function's start is right. Starts are symbols, the
 * entry point, targets of calls, and addresses that code takes; what no way leads to, behind the end of another block, is taken
 * for the target of the function's jump table if it has one, else for a function that is only called by pointer. Since that may
 * be wrong, whoever walks checks that what he found lies behind a call.
 *
 * The code is a container's: a function has PROLOGUE_FUNCTION_BYTES_MAX bytes, each of them is looked at a few times at most, and
 * what that takes is said. What was found for an address is remembered: one thread at a time. */
#pragma once
#include <glib.h>

#include "symbol/image.h"

#define PROLOGUE_TEXT_BYTES_MAX (8u << 20) /* of a file's code, all of which is read and looked through once */
#define PROLOGUE_FUNCTION_BYTES_MAX (64u << 10)
#define PROLOGUE_STARTS_MAX (1u << 20)

struct prologue;

/* NULL when there is no code for it, or too much. The file may be closed afterwards. Owned by the caller. */
struct prologue *prologue_open(const struct image *image);
void prologue_free(struct prologue *prologue);
typedef struct prologue prologue_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(prologue_t, prologue_free)

/* The rule (symbol/cfi.h) of the instruction at, or containing, `address`; CFI_NONE's when it cannot be said. */
guint32 prologue_find(struct prologue *prologue, guint64 address);
/* Where the function begins that `address` seems to be in. FALSE: not known. */
gboolean prologue_find_start(const struct prologue *prologue, guint64 address, guint64 *start);
/* Whether `address` lies behind a call, or is where the kernel lets signal handlers return to. */
gboolean prologue_is_return(const struct prologue *prologue, guint64 address);
/* Bytes of code looked at since the last call. */
guint64 prologue_take_work(struct prologue *prologue);
gsize prologue_bytes(const struct prologue *prologue); /* memory held */
guint prologue_starts(const struct prologue *prologue); /* functions known: for tests */
