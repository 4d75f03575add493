/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/unwind.h"

#include <string.h>

#define WORD 8
#define PAGE_SHIFT 12
#define PAGE_BYTES (1u << PAGE_SHIFT)
#define SIGNAL_IP 8 /* in the kernel's struct sigcontext, from its rsp */
#define SIGNAL_BP (-40)
#define SIGNAL_R10 (-104)
#define SIGNAL_BX (-32)

/* Where a register's value comes from. */
#define ORIGIN_REGISTER (-1) /* it is the register's own */

struct memo_frame {
	guint64 ip, sp, bp;
	guint64 address; /* as it was written out */
	gboolean is_bp_known;
};

struct unwind_memo {
	GArray *frames; /* of struct memo_frame, for each address of the walk, outermost first: those stay where they are */
	GArray *fresh; /* of the walk that is made, innermost first */
	guint64 used_end; /* address behind the last byte that was read */
};

struct walk {
	struct unwind_registers now;
	gint64 bp_origin, r10_origin; /* offset in the copy, or ORIGIN_REGISTER */
	gboolean is_bp_known;
	gboolean is_r10_known; /* no call preserves it */
	gboolean
		is_bx_followed; /* rows do not tell where RBX was saved: that is looked up only when it turns out to matter */
	gboolean is_bx_known, is_bx_wanted;
	gboolean is_exact; /* `now.ip` is an instruction about to run, not a return address */
	const struct unwind_stack *stack;
	unwind_lookup_t lookup;
	gpointer data;
	struct unwind_place place;
	gboolean has_place;
	guint left; /* of the memo's frames: those farther in have been passed */
	gboolean is_known_from_here; /* the rest of the way is those */
	struct unwind_result result;
};

struct unwind_memo *unwind_memo_new(void)
{
	struct unwind_memo *memo = g_new0(struct unwind_memo, 1);

	memo->frames = g_array_new(FALSE, FALSE, sizeof(struct memo_frame));
	memo->fresh = g_array_new(FALSE, FALSE, sizeof(struct memo_frame));
	return memo;
}

void unwind_memo_free(struct unwind_memo *memo)
{
	if (!memo)
		return;
	g_array_free(memo->frames, TRUE);
	g_array_free(memo->fresh, TRUE);
	g_free(memo);
}

void unwind_memo_forget(struct unwind_memo *memo)
{
	g_array_set_size(memo->frames, 0);
}

static void walk_rest_on_more(const struct walk *walk)
{
	if (walk->stack->basis)
		walk->stack->basis->overflow = TRUE;
}

/* A word of the copy, aligned. */
static guint64 stack_word(const struct unwind_stack *stack, guint64 address)
{
	const guint8 *at = stack->pages ? stack->pages[(address >> PAGE_SHIFT) - (stack->address >> PAGE_SHIFT)] +
						  address % PAGE_BYTES
					: stack->bytes + (address - stack->address);
	guint64 word;

	memcpy(&word, at, sizeof(word));
	return word;
}

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

static gboolean tail_holds(const struct unwind_stack *stack, guint64 address)
{
	guint64 offset = address - stack->tail_address;

	return stack->tail && address >= stack->tail_address && offset < stack->tail_length &&
	       stack->tail_length - offset >= WORD;
}

/* A longer copy would hold it. */
static gboolean stack_reaches(const struct unwind_stack *stack, guint64 address)
{
	return address >= stack->address && address - stack->address <= UNWIND_REACH_BYTES_MAX;
}

static gboolean stack_holds(const struct unwind_stack *stack, guint64 address)
{
	return stack_reaches(stack, address) && address - stack->address + WORD <= stack->length &&
	       stack_has(stack, address);
}

/* Reads a word that may turn out not to matter. */
static gboolean walk_peek(struct walk *walk, guint64 address, guint64 *value)
{
	const struct unwind_stack *stack = walk->stack;
	guint64 offset = address - stack->address;

	if (address % WORD)
		return walk_end(walk, UNWIND_END_BAD);
	if (stack_holds(stack, address)) {
		*value = stack_word(stack, address);
		walk->result.used_bytes = MAX(walk->result.used_bytes, (gsize)offset + WORD);
		return TRUE;
	}
	if (tail_holds(stack, address)) {
		memcpy(value, stack->tail + (address - stack->tail_address), WORD);
		walk->result.used_tail = TRUE;
		return TRUE;
	}
	if (stack_reaches(stack, address))
		walk->result.wanted_bytes = (gsize)offset + WORD;
	return walk_end(walk, UNWIND_END_OUTSIDE);
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
	if (frame % WORD || !(stack_reaches(stack, frame) || tail_holds(stack, frame)))
		return walk_end(walk, UNWIND_END_NO_ROW);
	if (!walk_load(walk, frame, &caller) || !walk_load(walk, frame + WORD, &ip))
		return FALSE;
	if (caller == frame)
		return walk_end(walk, UNWIND_END_BAD);
	walk->now.bp = caller;
	walk->bp_origin = (gint64)(frame - stack->address);
	walk->is_bx_known = FALSE;
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
	if (walk->is_bx_followed && !walk_peek(walk, at + (guint64)(gint64)SIGNAL_BX, &walk->now.bx))
		return FALSE;
	walk->is_bx_known = walk->is_bx_followed;
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
	guint64 from = from_bp		 ? walk->now.bp
		       : kind == CFI_R10 ? walk->now.r10
		       : kind == CFI_BX	 ? walk->now.bx
					 : walk->now.sp;

	from += (guint64)cfi_rule_offset(rule);
	if (kind == CFI_BX) {
		walk->is_bx_wanted = TRUE;
		walk_rest_on_more(walk);
	}
	if ((from_bp && !walk->is_bp_known) || (kind == CFI_R10 && !walk->is_r10_known) ||
	    (kind == CFI_BX && !walk->is_bx_known))
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

/* The caller's RBX. */
static gboolean walk_restore_bx(struct walk *walk, guint64 address, guint64 cfa)
{
	gint64 slot;

	if (!walk->is_bx_followed)
		return TRUE;
	switch (unwind_table_find_bx(walk->place.table, address - walk->place.bias, &slot)) {
	case CFI_SAVED_KEPT:
		return TRUE;
	case CFI_SAVED_AT_CFA:
		if (cfa + (guint64)slot < walk->now.sp) /* popped, as RBP */
			return TRUE;
		walk->is_bx_known = TRUE;
		return walk_peek(walk, cfa + (guint64)slot, &walk->now.bx);
	default:
		walk->is_bx_known = FALSE;
		return TRUE;
	}
}

static gboolean step_row(struct walk *walk, guint32 rule, guint64 address)
{
	guint64 cfa, ip;

	return walk_find_cfa(walk, rule, &cfa) && walk_load(walk, cfa - WORD, &ip) &&
	       walk_restore_bp(walk, rule, cfa) && walk_restore_bx(walk, address, cfa) && walk_enter(walk, ip, cfa);
}

/* Whether the return address just found may be one. */
static gboolean walk_is_behind_call(struct walk *walk)
{
	guint64 address = walk->now.ip - 1;

	if (!walk->has_place || address < walk->place.start || address >= walk->place.end)
		walk->has_place = walk->lookup(address, &walk->place, walk->data);
	return walk->has_place &&
	       (!walk->place.table || unwind_table_may_return(walk->place.table, walk->now.ip - walk->place.bias));
}

/* Code that nobody describes: as its instructions say, else by its frame pointer. Where they were wrong, or RBP leads to what no
 * call leaves behind, nothing is believed. */
static gboolean step_undescribed(struct walk *walk, guint64 address)
{
	guint32 rule = walk->place.table ? unwind_table_work_out(walk->place.table, address - walk->place.bias)
					 : cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);

	if (cfi_rule_kind(rule) == CFI_NONE)
		return step_frame_pointer(walk) && (walk_is_behind_call(walk) || walk_end(walk, UNWIND_END_NO_ROW));
	walk->result.by_frame_pointers = FALSE;
	walk->result.worked_out = address;
	if (cfi_rule_kind(rule) == CFI_STOP)
		return walk_end(walk, UNWIND_END_FIRST);
	if (cfi_rule_kind(rule) == CFI_SIGNAL)
		return step_signal(walk, cfi_rule_offset(rule));
	return step_row(walk, rule, address) && (walk_is_behind_call(walk) || walk_end(walk, UNWIND_END_NO_ROW));
}

/* Whether `frame` may be what RBP is in the frame above `address`. */
static gboolean is_frame_above(const struct unwind_stack *stack, guint64 frame, guint64 address)
{
	return frame % WORD == 0 && frame > address && (stack_reaches(stack, frame) || tail_holds(stack, frame));
}

/* A word that is looked at, and decides. */
static guint64 walk_look(struct walk *walk, guint64 address)
{
	if (!stack_holds(walk->stack, address) || address % WORD)
		return 0;
	walk_rest_on(walk, (gint64)(address - walk->stack->address));
	return stack_word(walk->stack, address);
}

/* Go's functions that make no frame, have not made it yet, or have left it: Go's table tells where the return address lies. RBP is
 * the caller's then, unless they are written in assembly and use it for something else, once they have saved it. CFI_NONE's where RBP points
 * to their frame, or it is no such code. */
static guint32 walk_rule_go(struct walk *walk, guint64 address)
{
	const guint32 none = cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
	guint64 return_at, bp = walk->now.bp;
	struct unwind_place caller;
	guint32 depth;

	walk->result.is_go = walk->place.table && unwind_table_is_go(walk->place.table);
	if (!walk->result.is_go || !unwind_table_find_go(walk->place.table, address - walk->place.bias, &depth))
		return none;
	return_at = walk->now.sp + depth;
	if (depth)
		walk_rest_on_bp(walk);
	if ((depth && bp == return_at - WORD) || !walk->lookup(walk_look(walk, return_at) - 1, &caller, walk->data))
		return none;
	if (depth && bp && !is_frame_above(walk->stack, bp, return_at) &&
	    is_frame_above(walk->stack, walk_look(walk, return_at - WORD), return_at)) {
		walk->result.by_frame_pointers = FALSE;
		return cfi_rule(CFI_SP, (gint64)depth + WORD, CFI_SAVED_AT_CFA, -2 * WORD);
	}
	walk->result.is_frameless = TRUE;
	return cfi_rule(CFI_SP, (gint64)depth + WORD, CFI_SAVED_KEPT, 0);
}

/* A function that keeps its return address in RDI calls nothing: only of the innermost do we have it. */
static gboolean step_return_register(struct walk *walk, guint32 rule)
{
	guint64 sp = walk->now.sp + (guint64)cfi_rule_offset(rule);

	walk_rest_on_more(walk);
	return walk->result.depth == 1 ? walk_enter(walk, walk->now.di, sp) : walk_end(walk, UNWIND_END_UNSUPPORTED);
}

static guint32 walk_rule(const struct walk *walk, guint64 address)
{
	return walk->place.table ? unwind_table_find(walk->place.table, address - walk->place.bias)
				 : cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
}

/* The memo's frame that is the one we are in, when all that the rest of the walk depends on is as it was: where we are, RBP, and
 * the words above. (RBP may point below: to words that may have changed.) */
static const struct memo_frame *walk_remember(struct walk *walk)
{
	const struct unwind_stack *stack = walk->stack;
	const struct unwind_registers *now = &walk->now;
	const GArray *frames = stack->memo->frames;
	const struct memo_frame *frame;

	while (walk->left && g_array_index(frames, struct memo_frame, walk->left - 1).sp < now->sp)
		walk->left--;
	if (!walk->left || now->sp < stack->address || now->sp - stack->address < stack->same_from ||
	    (now->bp >= stack->address && now->bp < now->sp))
		return NULL;
	frame = &g_array_index(frames, struct memo_frame, walk->left - 1);
	return frame->sp == now->sp && frame->ip == now->ip && frame->bp == now->bp &&
			       frame->is_bp_known == walk->is_bp_known
		       ? frame
		       : NULL;
}

/* As it is written out: a signal's victim made no call. */
static guint64 walk_address(const struct walk *walk)
{
	return walk->now.ip + (walk->is_exact && walk->result.depth ? 1 : 0);
}

/* Goes the rest of the way as the memo tells. FALSE when it does not know it. */
static gboolean walk_as_before(struct walk *walk, guint64 *addresses, guint capacity)
{
	struct unwind_memo *memo = walk->stack->memo;
	struct memo_frame here = { .ip = walk->now.ip,
				   .sp = walk->now.sp,
				   .bp = walk->now.bp,
				   .address = walk_address(walk),
				   .is_bp_known = walk->is_bp_known };
	gboolean is_plain = !walk->is_exact && !walk->is_r10_known;
	const struct memo_frame *known = is_plain ? walk_remember(walk) : NULL;

	if (!known || walk->left > capacity - walk->result.depth) {
		here.ip = is_plain ? here.ip : 0; /* not to be known again */
		g_array_append_val(memo->fresh, here);
		return FALSE;
	}
	for (guint i = 0; i < walk->left; i++)
		addresses[walk->result.depth++] = known[-(gint)i].address;
	walk->is_known_from_here = TRUE;
	walk->result.by_frame_pointers = FALSE; /* not known; whoever wants to know compares */
	if (memo->used_end > walk->stack->address)
		walk->result.used_bytes = MAX(walk->result.used_bytes, (gsize)(memo->used_end - walk->stack->address));
	walk->result.used_bytes = MIN(walk->result.used_bytes, walk->stack->length);
	walk->result.end = UNWIND_END_FIRST;
	return TRUE;
}

static void walk_keep(const struct walk *walk)
{
	struct unwind_memo *memo = walk->stack->memo;

	memo->used_end = walk->stack->address + walk->result.used_bytes;
	g_array_set_size(memo->frames, walk->is_known_from_here ? walk->left : 0);
	for (guint i = memo->fresh->len; i > 0; i--)
		g_array_append_val(memo->frames, g_array_index(memo->fresh, struct memo_frame, i - 1));
	g_array_set_size(memo->fresh, 0);
	if (walk->result.end != UNWIND_END_FIRST)
		unwind_memo_forget(memo);
}

/* Notes the frame we are in and goes on to its caller. FALSE when the walk ends here. */
static gboolean walk_step(struct walk *walk, guint64 *addresses, guint capacity)
{
	guint64 address = walk->now.ip - (walk->is_exact ? 0 : 1);
	guint32 rule;

	if (walk->result.depth == capacity)
		return walk_end(walk, UNWIND_END_DEPTH);
	if (walk->stack->memo && walk_as_before(walk, addresses, capacity))
		return FALSE;
	if (!walk->has_place || address < walk->place.start || address >= walk->place.end)
		walk->has_place = walk->lookup(address, &walk->place, walk->data);
	if (!walk->has_place && walk->result.depth)
		return walk_end(walk, UNWIND_END_BAD);
	addresses[walk->result.depth] = walk_address(walk);
	walk->result.depth++;
	if (!walk->has_place)
		return walk_end(walk, UNWIND_END_BAD);
	rule = walk_rule(walk, address);
	if (cfi_rule_kind(rule) != CFI_NONE)
		walk->result.by_frame_pointers = FALSE;
	else if (walk->result.depth == 1)
		rule = walk_rule_go(walk, address);
	switch (cfi_rule_kind(rule)) {
	case CFI_NONE:
		return step_undescribed(walk, address);
	case CFI_STOP:
		return walk_end(walk, UNWIND_END_FIRST);
	case CFI_SIGNAL:
		return step_signal(walk, cfi_rule_offset(rule));
	case CFI_UNSUPPORTED:
		return walk_end(walk, UNWIND_END_UNSUPPORTED);
	case CFI_RETURN_DI:
		return step_return_register(walk, rule);
	default:
		return step_row(walk, rule, address);
	}
}

static struct unwind_result unwind_once(const struct unwind_registers *registers, const struct unwind_stack *stack,
					unwind_lookup_t lookup, gpointer data, guint64 *addresses, guint capacity,
					gboolean is_bx_followed, gboolean *is_bx_wanted)
{
	struct walk walk = {
		.now = *registers,
		.bp_origin = ORIGIN_REGISTER,
		.r10_origin = ORIGIN_REGISTER,
		.is_bp_known = TRUE,
		.is_r10_known = TRUE,
		.is_bx_followed = is_bx_followed,
		.is_bx_known = is_bx_followed,
		.is_exact = TRUE,
		.stack = stack,
		.lookup = lookup,
		.data = data,
		.result.by_frame_pointers = TRUE,
		.left = stack->memo ? stack->memo->frames->len : 0,
	};

	if (stack->basis) {
		stack->basis->count = 0;
		stack->basis->has_bp = stack->basis->has_r10 = stack->basis->overflow = FALSE;
	}
	while (walk_step(&walk, addresses, capacity))
		;
	if (stack->memo)
		walk_keep(&walk);
	*is_bx_wanted = walk.is_bx_wanted;
	return walk.result;
}

struct unwind_result unwind(const struct unwind_registers *registers, const struct unwind_stack *stack,
			    unwind_lookup_t lookup, gpointer data, guint64 *addresses, guint capacity)
{
	struct unwind_stack plain = *stack;
	gboolean is_bx_wanted;
	struct unwind_result result =
		unwind_once(registers, stack, lookup, data, addresses, capacity, FALSE, &is_bx_wanted);

	if (!is_bx_wanted)
		return result;
	plain.memo = NULL; /* it knows nothing of RBX */
	return unwind_once(registers, &plain, lookup, data, addresses, capacity, TRUE, &is_bx_wanted);
}

gboolean unwind_equals_frame_pointers(const struct unwind_registers *registers, const struct unwind_stack *stack,
				      const struct unwind_result *result, const guint64 *addresses)
{
	guint64 frame = registers->bp;

	if (result->depth == 0 || addresses[0] != registers->ip)
		return FALSE;
	for (guint i = result->is_frameless ? 2 : 1; i < result->depth; i++) {
		guint64 offset = frame - stack->address;

		if (frame < stack->address || frame % WORD || offset > stack->length ||
		    stack->length - offset < 2 * WORD || stack_word(stack, frame + WORD) != addresses[i])
			return FALSE;
		frame = stack_word(stack, frame);
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
