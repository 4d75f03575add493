/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/unwind.h"

#include <string.h>

#define WORD 8
#define PAGE_SHIFT 12
#define SIGNAL_IP 8 /* in the kernel's struct sigcontext, from its rsp */
#define SIGNAL_BP (-40)
#define SIGNAL_R10 (-104)

/* Where a register's value comes from. */
#define ORIGIN_REGISTER (-1) /* it is the register's own */

struct walk {
	struct unwind_registers now;
	gint64 bp_origin, r10_origin; /* offset in the copy, or ORIGIN_REGISTER */
	gboolean is_bp_known;
	gboolean is_r10_known; /* no call preserves it */
	gboolean is_exact; /* `now.ip` is an instruction about to run, not a return address */
	const struct unwind_stack *stack;
	unwind_lookup_t lookup;
	gpointer data;
	struct unwind_place place;
	gboolean has_place;
	struct unwind_result result;
};

static gboolean stack_has(const struct unwind_stack *stack, guint64 address)
{
	guint64 page = (address >> PAGE_SHIFT) - (stack->address >> PAGE_SHIFT);

	return page >= 64 || !(stack->holes >> page & 1);
}

/* Of code or a stack. Whoever hashes a stack to know it again (probe/) relies on this: no other word, and no word that is not
 * aligned as the stack pointer is, decides about a walk. */
static gboolean is_address(guint64 value)
{
	return value >= UNWIND_ADDRESS_MIN && value < UNWIND_ADDRESS_END;
}

static gboolean walk_end(struct walk *walk, enum unwind_end end)
{
	walk->result.end = end;
	return FALSE;
}

/* The walk depends on the word at `offset` of the copy. */
static void walk_rest_on(struct walk *walk, gint64 offset)
{
	struct unwind_basis *basis = walk->stack->basis;

	if (!basis)
		return;
	if (basis->count == UNWIND_BASIS_MAX)
		basis->overflow = TRUE;
	else
		basis->at[basis->count++] = (guint32)offset;
}

/* FALSE when RBP points nowhere. */
static gboolean walk_rest_on_bp(struct walk *walk)
{
	if (walk->bp_origin >= 0)
		walk_rest_on(walk, walk->bp_origin);
	else if (walk->stack->basis)
		walk->stack->basis->has_bp = TRUE;
	return is_address(walk->now.bp);
}

static void walk_rest_on_r10(struct walk *walk)
{
	if (walk->r10_origin >= 0)
		walk_rest_on(walk, walk->r10_origin);
	else if (walk->stack->basis)
		walk->stack->basis->has_r10 = TRUE;
}

/* Reads a word that may turn out not to matter. */
static gboolean walk_peek(struct walk *walk, guint64 address, guint64 *value)
{
	const struct unwind_stack *stack = walk->stack;
	guint64 offset = address - stack->address;

	if (offset % WORD)
		return walk_end(walk, UNWIND_END_BAD);
	if (address < stack->address || offset > UNWIND_REACH_BYTES_MAX)
		return walk_end(walk, UNWIND_END_OUTSIDE);
	if (offset + WORD > stack->length || !stack_has(stack, address)) {
		walk->result.wanted_bytes = (gsize)offset + WORD;
		return walk_end(walk, UNWIND_END_OUTSIDE);
	}
	memcpy(value, stack->bytes + offset, WORD);
	walk->result.used_bytes = MAX(walk->result.used_bytes, (gsize)offset + WORD);
	return TRUE;
}

static gboolean walk_load(struct walk *walk, guint64 address, guint64 *value)
{
	if (!walk_peek(walk, address, value))
		return FALSE;
	walk_rest_on(walk, (gint64)(address - walk->stack->address));
	return TRUE;
}

/* A caller's RBP, saved at `address`. */
static gboolean walk_load_bp(struct walk *walk, guint64 address)
{
	if (!walk_peek(walk, address, &walk->now.bp))
		return FALSE;
	walk->bp_origin = (gint64)(address - walk->stack->address);
	return TRUE;
}

/* Where a frame was left, the caller goes on. */
static gboolean walk_enter(struct walk *walk, guint64 ip, guint64 sp)
{
	if (ip == 0)
		return walk_end(walk, UNWIND_END_FIRST);
	if (!is_address(ip))
		return walk_end(walk, UNWIND_END_BAD);
	walk->now.ip = ip;
	walk->now.sp = sp;
	walk->is_exact = walk->is_r10_known = FALSE;
	return TRUE;
}

static gboolean step_frame_pointer(struct walk *walk)
{
	const struct unwind_stack *stack = walk->stack;
	guint64 frame = walk->now.bp, caller, ip;

	if (!walk->is_bp_known)
		return walk_end(walk, UNWIND_END_UNSUPPORTED);
	if (!walk_rest_on_bp(walk) && frame != 0)
		return walk_end(walk, UNWIND_END_NO_ROW);
	/* psABI: 0 marks the outermost frame. But to begin with RBP may hold anything, also 0. */
	if (frame == 0)
		return walk_end(walk, walk->result.depth > 1 ? UNWIND_END_FIRST : UNWIND_END_NO_ROW);
	if (frame % WORD || frame < stack->address || frame - stack->address > UNWIND_REACH_BYTES_MAX)
		return walk_end(walk, UNWIND_END_NO_ROW);
	if (!walk_load(walk, frame, &caller) || !walk_load(walk, frame + WORD, &ip))
		return FALSE;
	if (caller == frame)
		return walk_end(walk, UNWIND_END_BAD);
	walk->now.bp = caller;
	walk->bp_origin = (gint64)(frame - stack->address);
	return walk_enter(walk, ip, frame + 2 * WORD);
}

static gboolean step_signal(struct walk *walk, gint64 offset)
{
	guint64 at = walk->now.sp + (guint64)offset, sp, ip;

	if (!walk_load(walk, at, &sp) || !walk_load(walk, at + SIGNAL_IP, &ip) ||
	    !walk_load_bp(walk, at + (guint64)(gint64)SIGNAL_BP) ||
	    !walk_peek(walk, at + (guint64)(gint64)SIGNAL_R10, &walk->now.r10))
		return FALSE;
	walk->r10_origin = (gint64)(at + (guint64)(gint64)SIGNAL_R10 - walk->stack->address);
	walk->is_bp_known = TRUE;
	if (!walk_enter(walk, ip, sp))
		return FALSE;
	walk->is_exact = walk->is_r10_known = TRUE;
	return TRUE;
}

/* CFA, or FALSE when the walk ends here. */
static gboolean walk_find_cfa(struct walk *walk, guint32 rule, guint64 *cfa)
{
	enum cfi_kind kind = cfi_rule_kind(rule);
	gboolean from_bp = kind == CFI_BP || kind == CFI_BP_DEREF;
	guint64 from = from_bp ? walk->now.bp : kind == CFI_R10 ? walk->now.r10 : walk->now.sp;

	from += (guint64)cfi_rule_offset(rule);
	if ((from_bp && !walk->is_bp_known) || (kind == CFI_R10 && !walk->is_r10_known))
		return walk_end(walk, UNWIND_END_UNSUPPORTED);
	if (from_bp && !walk_rest_on_bp(walk))
		return walk_end(walk, UNWIND_END_BAD);
	if (kind == CFI_R10)
		walk_rest_on_r10(walk);
	*cfa = from;
	switch (kind) {
	case CFI_PLT:
		*cfa += (gint64)(walk->now.ip % 16) * 8 >= cfi_rule_slot(rule) ? 8 : 0;
		break;
	case CFI_BP_DEREF:
	case CFI_SP_DEREF:
	case CFI_SP_DEREF_8:
		if (!walk_load(walk, from, cfa))
			return FALSE;
		*cfa += kind == CFI_SP_DEREF_8 ? 8 : 0;
		break;
	default:
		break;
	}
	/* Stacks grow down: a caller's frame lies above. (Those that change stacks have no such rows.) */
	return *cfa > walk->now.sp ? TRUE : walk_end(walk, UNWIND_END_BAD);
}

/* The caller's RBP. In an epilogue compilers go on saying where it was saved when it has been popped already: then the
 * slot lies below the stack pointer, outside the copy, and the register holds the value. */
static gboolean walk_restore_bp(struct walk *walk, guint32 rule, guint64 cfa)
{
	gint64 slot = cfi_rule_slot(rule);
	guint64 at;

	switch (cfi_rule_kind(rule) == CFI_PLT ? CFI_SAVED_KEPT : cfi_rule_saved(rule)) {
	case CFI_SAVED_KEPT:
		return TRUE;
	case CFI_SAVED_AT_CFA:
		at = cfa + (guint64)slot;
		if (at < walk->now.sp && at < walk->stack->address)
			return TRUE;
		walk->is_bp_known = TRUE;
		return walk_load_bp(walk, at);
	case CFI_SAVED_AT_BP:
		if (!walk->is_bp_known)
			return walk_end(walk, UNWIND_END_UNSUPPORTED);
		if (!walk_rest_on_bp(walk))
			return TRUE; /* popped */
		at = walk->now.bp + (guint64)slot;
		/* Popped, RBP points into the caller's frame, or anywhere but into this one. */
		if (at < walk->now.sp || at >= cfa)
			return TRUE;
		return walk_load_bp(walk, at);
	case CFI_SAVED_LOST:
		break;
	}
	walk->is_bp_known = FALSE;
	return TRUE;
}

static gboolean step_row(struct walk *walk, guint32 rule)
{
	guint64 cfa, ip;

	return walk_find_cfa(walk, rule, &cfa) && walk_load(walk, cfa - WORD, &ip) &&
	       walk_restore_bp(walk, rule, cfa) && walk_enter(walk, ip, cfa);
}

static guint32 walk_rule(const struct walk *walk, guint64 address)
{
	return walk->place.table ? unwind_table_find(walk->place.table, address - walk->place.bias)
				 : cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
}

/* Notes the frame we are in and goes on to its caller. FALSE when the walk ends here. */
static gboolean walk_step(struct walk *walk, guint64 *addresses, guint capacity)
{
	guint64 address = walk->now.ip - (walk->is_exact ? 0 : 1);
	guint32 rule;

	if (walk->result.depth == capacity)
		return walk_end(walk, UNWIND_END_DEPTH);
	if (!walk->has_place || address < walk->place.start || address >= walk->place.end)
		walk->has_place = walk->lookup(address, &walk->place, walk->data);
	if (!walk->has_place && walk->result.depth)
		return walk_end(walk, UNWIND_END_BAD);
	addresses[walk->result.depth] = walk->now.ip + (walk->is_exact && walk->result.depth ? 1 : 0);
	walk->result.depth++;
	if (!walk->has_place)
		return walk_end(walk, UNWIND_END_BAD);
	rule = walk_rule(walk, address);
	if (cfi_rule_kind(rule) != CFI_NONE)
		walk->result.by_frame_pointers = FALSE;
	switch (cfi_rule_kind(rule)) {
	case CFI_NONE:
		return step_frame_pointer(walk);
	case CFI_STOP:
		return walk_end(walk, UNWIND_END_FIRST);
	case CFI_SIGNAL:
		return step_signal(walk, cfi_rule_offset(rule));
	case CFI_UNSUPPORTED:
		return walk_end(walk, UNWIND_END_UNSUPPORTED);
	default:
		return step_row(walk, rule);
	}
}

struct unwind_result unwind(const struct unwind_registers *registers, const struct unwind_stack *stack,
			    unwind_lookup_t lookup, gpointer data, guint64 *addresses, guint capacity)
{
	struct walk walk = {
		.now = *registers,
		.bp_origin = ORIGIN_REGISTER,
		.r10_origin = ORIGIN_REGISTER,
		.is_bp_known = TRUE,
		.is_r10_known = TRUE,
		.is_exact = TRUE,
		.stack = stack,
		.lookup = lookup,
		.data = data,
		.result.by_frame_pointers = TRUE,
	};

	if (stack->basis) {
		stack->basis->count = 0;
		stack->basis->has_bp = stack->basis->has_r10 = stack->basis->overflow = FALSE;
	}
	while (walk_step(&walk, addresses, capacity))
		;
	return walk.result;
}

gboolean unwind_equals_frame_pointers(const struct unwind_registers *registers, const struct unwind_stack *stack,
				      const guint64 *addresses, guint depth)
{
	guint64 frame = registers->bp;

	if (depth == 0 || addresses[0] != registers->ip)
		return FALSE;
	for (guint i = 1; i < depth; i++) {
		guint64 offset = frame - stack->address, link[2];

		if (frame < stack->address || offset > stack->length || stack->length - offset < sizeof(link))
			return FALSE;
		memcpy(link, stack->bytes + offset, sizeof(link));
		if (link[1] != addresses[i])
			return FALSE;
		frame = link[0];
	}
	return TRUE;
}

const char *unwind_end_name(enum unwind_end end)
{
	static const char *const names[UNWIND_ENDS] = {
		[UNWIND_END_FIRST] = "complete",
		[UNWIND_END_NO_ROW] = "no unwind table and no frame pointer",
		[UNWIND_END_OUTSIDE] = "stack copy too short",
		[UNWIND_END_DEPTH] = "too deep",
		[UNWIND_END_BAD] = "inconsistent stack",
		[UNWIND_END_UNSUPPORTED] = "unwind rule not supported",
	};

	return names[end];
}
