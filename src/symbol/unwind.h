/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a thread's user stack without frame pointers (x86-64): from registers and a copy of the top of the stack, with the
 * tables of the files that are mapped. Nothing of the process is read: neither memory nor files.
 *
 * Addresses come out as the kernel's own walk gives them: the innermost first, as it is; every other one a return address,
 * to be looked up one byte earlier. Where a signal interrupted a function there is no call: that address is given plus one,
 * so the same holds. Code without a row is left as its instructions say where they can be read (musl), if what that leads to lies
 * behind a call, else by its frame pointer (JIT, Go; Go's table tells where a function has none yet).
 * All input is hostile: a walk takes at most as many steps as the caller has room for, and reads only the copy. */
#pragma once
#include <glib.h>

#include "symbol/unwind_table.h"

/* What lies farther above the copy is no stack of ours: the usual stack limit. */
#define UNWIND_REACH_BYTES_MAX (8u << 20)

/* These cross into results and statistics: they keep their values. */
enum unwind_end {
	UNWIND_END_FIRST = 0, /* complete: the thread's first frame was reached */
	UNWIND_END_NO_ROW = 1, /* code without a row, and RBP does not point to a frame */
	UNWIND_END_OUTSIDE =
		2, /* what was needed lies outside the copy; `wanted_bytes` says how long it should have been */
	UNWIND_END_DEPTH = 3, /* no room for more addresses */
	UNWIND_END_BAD = 4, /* contradicts itself: a stack that runs backwards, a return address that is no code */
	UNWIND_END_UNSUPPORTED = 5, /* the row needs registers we do not carry */
};
#define UNWIND_ENDS 6

struct unwind_registers {
	guint64 ip, sp, bp;
	guint64 r10; /* holds the frame for some instructions of a few functions */
	guint64 bx, di; /* the frame of the dynamic linker's entry, vfork's return address */
};

#define UNWIND_ADDRESS_MIN 0x10000ULL /* nothing is mapped below */
#define UNWIND_ADDRESS_END (1ULL << 47)
#define UNWIND_BASIS_MAX 512

/* What the outcome of a walk depends on, besides RIP, RSP and the tables: another stack with the same values in these places
 * gives the same addresses, whatever else it holds. (Where callers' values of RBP were saved is read on the way, too,
 * but only those matter that a frame was found by.) Walks that needed RBX or RDI say `overflow`. */
struct unwind_basis {
	guint32 at[UNWIND_BASIS_MAX]; /* offsets of words in the copy; in no order, perhaps twice */
	guint count;
	gboolean has_bp, has_r10; /* the registers as well */
	gboolean overflow; /* there were more: not to be used */
};

/* What a thread's last walk found, for the next one: where that comes to a frame that it knows, and all above is as it was, it has
 * nothing left to do. Only of walks that reached the thread's first frame. */
struct unwind_memo;
struct unwind_memo *unwind_memo_new(void);
void unwind_memo_free(struct unwind_memo *memo);
void unwind_memo_forget(struct unwind_memo *memo);

struct unwind_stack { /* not owned */
	const guint8 *bytes;
	gsize length;
	guint64 address; /* of its first byte: RSP, or less */
	const guint8 *const *pages; /* in place of `bytes`: each page of memory, 4 KiB, from that of `address` on */
	guint64 holes; /* bit i: the i-th page of memory, from that of `address` on, was not there: its bytes mean nothing */
	struct unwind_basis *basis; /* filled when not NULL; then there must be no memo */
	const guint8 *tail; /* another part of the same stack, farther out; NULL: none */
	gsize tail_length;
	guint64 tail_address;
	struct unwind_memo *memo; /* of the thread; NULL: none. Used, and filled. */
	gsize same_from; /* from this offset on the copy holds what it held when the memo was made; `length`: nowhere */
};

/* The mapping that holds an address. */
struct unwind_place {
	guint64 start, end; /* addresses for which the same answer holds */
	guint64 bias; /* address in the process - address in the file */
	const struct unwind_table *table; /* NULL: no rows, frame-pointer step. Must live as long as the walk. */
};

/* FALSE when no code is mapped there. When not sure: TRUE, without a table. */
typedef gboolean (*unwind_lookup_t)(guint64 address, struct unwind_place *place, gpointer data);

struct unwind_result {
	gboolean
		by_frame_pointers; /* no row was used: the kernel's own walk, which can go anywhere, does at least as well */
	guint depth; /* addresses written */
	enum unwind_end end;
	gboolean is_go; /* the innermost code is */
	gboolean
		is_frameless; /* and it has no frame: its caller was found where RSP points, the others by frame pointers */
	guint64 worked_out; /* an address in code whose caller was found by its instructions; 0: there is none */
	gboolean used_tail;
	gsize used_bytes; /* of the copy, from its first byte to the last one read */
	gsize wanted_bytes; /* how long the copy must be for the next step; 0 unless UNWIND_END_OUTSIDE and within reach */
};

/* Writes at most `capacity` addresses. The first is always registers->ip (when capacity > 0). */
struct unwind_result unwind(const struct unwind_registers *registers, const struct unwind_stack *stack,
			    unwind_lookup_t lookup, gpointer data, guint64 *addresses, guint capacity);
/* Whether following frame pointers alone, as the kernel does, gives these addresses, but for the caller of a function without a
 * frame. `result`: of the walk that gave them. */
gboolean unwind_equals_frame_pointers(const struct unwind_registers *registers, const struct unwind_stack *stack,
				      const struct unwind_result *result, const guint64 *addresses);
const char *unwind_end_name(enum unwind_end end); /* for people; static */
