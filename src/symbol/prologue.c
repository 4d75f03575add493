/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/prologue.h"

#include <string.h>

#include "symbol/cfi.h"
#include "symbol/x86.h"

#define SEEN_BITS 10
#define STATES_MAX 128 /* different ones in a function */
#define ROUNDS_MAX 6 /* as often a function is begun anew because a call turned out not to come back */
#define START_ALIGN 16 /* of functions, unless they are to be small */
#define JUMPS_MAX (1u << 20) /* looked at for calls at the end of a function */
#define VISITS_MAX 2 /* instructions that may be looked at in a round, for each byte */
#define STACK_WORDS_MAX (1 << 16) /* a frame of 512 KiB: as far as rules reach */

/* Where RBP is. */
enum bp {
	BP_KEPT = 0, /* it is the caller's */
	BP_FRAME = 1, /* points into this frame: CFA - `frame` */
	BP_OTHER = 2,
	/* Into a frame that was aligned, `frame` bytes above RSP while it is being made. Where it began R10 knew: it was saved
	 * at RBP + `slot`, and the caller's RBP is where RBP points. */
	BP_ALIGNED = 3,
};

/* Before an instruction. Compared as bytes: no padding. */
struct state {
	gint32 sp; /* CFA - RSP; 0: not known */
	gint32 frame;
	gint32 slot; /* the caller's RBP was saved at CFA + slot; 0: not saved */
	guint8 bp; /* enum bp */
	guint8 is_first; /* the thread's first frame: it has cleared a RBP that it did not save */
	guint16 has_r10; /* R10 is the CFA */
};

G_STATIC_ASSERT(sizeof(struct state) == 16);

static const struct state entered = { .sp = 8 };

/* One function, all ways through it followed. */
struct function {
	guint32 start, length; /* in the text; length 0: none */
	guint16 *at; /* for each byte where an instruction begins: number of its state + 1; 0: not reached */
	guint8 *marks; /* enum mark */
	GArray *states; /* struct state */
	GArray *open; /* struct way: not followed yet */
	guint64 left; /* instructions that may be looked at yet */
	guint away; /* number of the state at the jumps whose targets are not known + 1; 0: there are none */
	gboolean is_away_unclear; /* they differ */
	gboolean is_begun_anew;
};

enum mark {
	MARK_BEHIND_CALL = 1 << 0, /* reached from a call just before only */
	MARK_NO_RETURN = 1 << 1, /* the call just before does not come back */
	MARK_END = 1 << 2, /* no way leads here from the instruction before */
};

struct way {
	guint32 at;
	struct state state;
	gboolean is_behind_call;
};

struct prologue {
	guint8 *text;
	gsize length;
	guint64 address;
	guint32 *starts; /* in the text, sorted */
	guint start_count;
	guint8 *jumped; /* a bit for each byte: something jumps there */
	struct cfi_row seen[1 << SEEN_BITS]; /* place in the text + 1 → rule */
	struct function function; /* looked at last */
	guint64 work_bytes;
};

static void bit_set(guint8 *bits, gsize at)
{
	bits[at / 8] |= (guint8)(1u << at % 8);
}

static gboolean bit_get(const guint8 *bits, gsize at)
{
	return bits[at / 8] >> at % 8 & 1;
}

/* ---- what an instruction does ---- */

static void lose_sp(struct state *state)
{
	state->sp = 0;
}

static void move_sp(struct state *state, gint64 bytes)
{
	gint64 sp = state->sp - bytes;

	if (!state->sp)
		return;
	state->sp = sp >= 8 && sp / 8 < STACK_WORDS_MAX && sp % 4 == 0 ? (gint32)sp
								       : 0; /* less: the return address is gone */
}

static void pop_bp(struct state *state, gint64 from)
{
	gboolean is_restored = state->slot && from == state->slot;

	state->bp = is_restored ? BP_KEPT : BP_OTHER;
	state->slot = is_restored ? 0 : state->slot;
}

static void save_bp(struct state *state, gint64 at)
{
	if (state->bp == BP_KEPT && !state->slot && state->sp && at < 0)
		state->slot = (gint32)at;
}

static void leave(struct state *state)
{
	if (state->bp != BP_FRAME) {
		lose_sp(state);
		state->slot = 0;
		state->bp = BP_OTHER;
		return;
	}
	state->sp = state->frame;
	pop_bp(state, -(gint64)state->sp);
	move_sp(state, 8);
}

static void clear_bp(struct state *state)
{
	state->is_first |= state->bp == BP_KEPT && !state->slot && state->sp == entered.sp;
	state->bp = BP_OTHER;
}

static void point_bp(struct state *state, gint64 amount)
{
	gint64 frame = state->sp - amount;

	if (!state->sp && !amount && state->has_r10 && state->bp == BP_KEPT) {
		state->bp = BP_ALIGNED;
		return;
	}
	state->bp = state->sp && frame > -(1 << 19) && frame < 1 << 19 ? BP_FRAME : BP_OTHER;
	state->frame = state->bp == BP_FRAME ? (gint32)frame : 0;
}

static void push_aligned(struct state *state, guint reg)
{
	if (state->bp != BP_ALIGNED || state->slot)
		return;
	state->frame += 8;
	if (reg == X86_R10)
		state->slot = -state->frame;
}

static void state_step(struct state *state, const struct x86 *x86)
{
	gboolean is_bp = x86->reg == X86_BP;

	switch (x86->effect) {
	case X86_EFFECT_PUSH:
		move_sp(state, -8);
		push_aligned(state, x86->reg);
		if (is_bp)
			save_bp(state, -(gint64)state->sp);
		break;
	case X86_EFFECT_POP:
		if (is_bp)
			pop_bp(state, state->sp ? -(gint64)state->sp : 1);
		move_sp(state, 8);
		if (x86->reg == X86_SP)
			lose_sp(state);
		break;
	case X86_EFFECT_SP_ADD:
		move_sp(state, x86->amount);
		break;
	case X86_EFFECT_SP_LOST:
		lose_sp(state);
		break;
	case X86_EFFECT_SP_OF_BP:
		state->sp = state->bp == BP_FRAME ? state->frame : 0;
		move_sp(state, x86->amount);
		break;
	case X86_EFFECT_BP_OF_SP:
		point_bp(state, x86->amount);
		break;
	case X86_EFFECT_LEAVE:
		leave(state);
		break;
	case X86_EFFECT_BP_STORED:
		save_bp(state, x86->amount - state->sp);
		break;
	case X86_EFFECT_BP_LOADED:
		pop_bp(state, state->sp ? x86->amount - state->sp : 1);
		break;
	case X86_EFFECT_BP_CLEARED:
		clear_bp(state);
		break;
	case X86_EFFECT_BP_LOST:
		state->bp = BP_OTHER;
		break;
	case X86_EFFECT_R10_OF_SP:
		state->has_r10 = state->sp && state->sp == x86->amount;
		break;
	case X86_EFFECT_NONE:
	default:
		break;
	}
	if (state->bp != BP_FRAME && state->bp != BP_ALIGNED)
		state->frame = 0;
}

/* What two ways have in common. */
static struct state state_join(const struct state *a, const struct state *b)
{
	struct state both = *a;

	if (a->sp != b->sp)
		both.sp = 0;
	if (a->bp != b->bp || a->frame != b->frame) {
		both.bp = BP_OTHER;
		both.frame = 0;
	}
	if (a->slot != b->slot)
		both.slot = 0;
	both.is_first = a->is_first && b->is_first;
	both.has_r10 = a->has_r10 && b->has_r10;
	return both;
}

static guint32 state_rule(const struct state *state)
{
	enum cfi_saved saved = state->slot ? CFI_SAVED_AT_CFA : state->bp == BP_KEPT ? CFI_SAVED_KEPT : CFI_SAVED_LOST;
	gint64 slot = saved == CFI_SAVED_AT_CFA ? state->slot : 0;
	guint32 rule = cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);

	if (state->is_first)
		return cfi_rule(CFI_STOP, 0, CFI_SAVED_KEPT, 0);
	if (state->bp == BP_ALIGNED && state->slot)
		rule = cfi_rule(CFI_BP_DEREF, state->slot, CFI_SAVED_AT_BP, 0);
	else if (state->bp == BP_FRAME)
		rule = cfi_rule(CFI_BP, state->frame, saved, slot);
	else if (state->sp && state->bp != BP_ALIGNED)
		rule = cfi_rule(CFI_SP, state->sp, saved, slot);
	return cfi_rule_kind(rule) == CFI_UNSUPPORTED ? cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0) : rule;
}

/* ---- all ways through a function ---- */

static void function_clear(struct function *function)
{
	g_free(function->at);
	g_free(function->marks);
	if (function->states)
		g_array_unref(function->states);
	if (function->open)
		g_array_unref(function->open);
	*function = (struct function){ 0 };
}

/* Number + 1; 0 when there are too many. */
static guint function_intern(struct function *function, const struct state *state)
{
	for (guint i = function->states->len; i > 0; i--)
		if (memcmp(&g_array_index(function->states, struct state, i - 1), state, sizeof(*state)) == 0)
			return i;
	if (function->states->len >= STATES_MAX)
		return 0;
	g_array_append_val(function->states, *state);
	return function->states->len;
}

static const struct state *function_state(const struct function *function, guint32 at)
{
	return function->at[at] ? &g_array_index(function->states, struct state, function->at[at] - 1) : NULL;
}

static void function_add_way(struct function *function, guint64 at, const struct state *state)
{
	struct way way = { .at = (guint32)at, .state = *state };

	if (at < function->length && function->open->len < function->length)
		g_array_append_val(function->open, way);
}

/* A way comes to `way->at`. FALSE when it need not be followed from there. */
static gboolean function_arrive(struct function *function, struct way *way)
{
	const struct state *known = function_state(function, way->at);
	guint8 *marks = &function->marks[way->at];

	if (way->is_behind_call && *marks & MARK_NO_RETURN)
		return FALSE;
	if (!known) {
		*marks |= way->is_behind_call ? MARK_BEHIND_CALL : 0;
	} else if (memcmp(known, &way->state, sizeof(*known)) == 0) {
		*marks &= way->is_behind_call ? 0xff : (guint8)~MARK_BEHIND_CALL;
		return FALSE;
	} else if (way->is_behind_call) { /* what others say is certain; this call may never come back */
		return FALSE;
	} else if (*marks & MARK_BEHIND_CALL) {
		*marks |= MARK_NO_RETURN;
		function->is_begun_anew = TRUE;
		return FALSE;
	} else {
		struct state both = state_join(known, &way->state);

		if (memcmp(known, &both, sizeof(both)) == 0)
			return FALSE;
		way->state = both;
	}
	function->at[way->at] = (guint16)function_intern(function, &way->state);
	return function->at[way->at] != 0;
}

static void function_note_away(struct function *function, const struct state *state)
{
	guint number = function_intern(function, state);

	function->is_away_unclear |= function->away && function->away != number;
	function->away = number;
}

/* Whether what stands behind a call, and perhaps padding, looks like another function, so that the call does not come back. */
static gboolean function_ends_before(const struct prologue *prologue, const struct way *way, const struct x86 *x86,
				     gboolean is_behind_padding)
{
	guint64 place = (guint64)prologue->function.start + way->at;
	guint reg = x86->effect == X86_EFFECT_PUSH ? x86->reg : X86_NO_REGISTER;

	if (way->is_behind_call && is_behind_padding && !x86->is_padding &&
	    (prologue->address + place) % START_ALIGN == 0 && !bit_get(prologue->jumped, place))
		return TRUE;
	return way->is_behind_call && way->state.sp != entered.sp &&
	       (reg == X86_BX || reg == X86_BP || (reg >= X86_R12 && reg <= X86_R15)); /* a caller's are saved once */
}

/* Follows a way up to where it ends. */
static void function_follow(struct prologue *prologue, struct way way)
{
	struct function *function = &prologue->function;
	const guint8 *code = prologue->text + function->start;
	guint64 start = prologue->address + function->start;
	gboolean is_behind_padding = FALSE;

	while (way.at < function->length && function->left && !function->is_begun_anew) {
		struct x86 x86;
		gboolean is_read = x86_read(code + way.at, function->length - way.at, start + way.at, &x86);
		guint32 next = way.at + (is_read ? x86.length : 1);

		if (is_read && function_ends_before(prologue, &way, &x86, is_behind_padding)) {
			function->marks[way.at] |= MARK_END;
			return;
		}
		if (!function_arrive(function, &way))
			return;
		function->left--;
		prologue->work_bytes += x86.length + function->states->len / 8;
		if (!is_read)
			return;
		if (x86.flow == X86_FLOW_JUMP_AWAY &&
		    !(x86.is_single && memcmp(&way.state, &entered, sizeof(entered)) == 0))
			function_note_away(function, &way.state); /* else it ends with another function */
		state_step(&way.state, &x86);
		if (x86.flow == X86_FLOW_BRANCH || x86.flow == X86_FLOW_JUMP)
			function_add_way(function, x86.target - start, &way.state);
		if (x86.flow == X86_FLOW_JUMP || x86.flow == X86_FLOW_JUMP_AWAY || x86.flow == X86_FLOW_RETURN ||
		    x86.flow == X86_FLOW_END) {
			if (next < function->length)
				function->marks[next] |= MARK_END;
			return;
		}
		way.is_behind_call = x86.flow == X86_FLOW_CALL || x86.flow == X86_FLOW_CALL_AWAY ||
				     (way.is_behind_call && x86.is_padding);
		is_behind_padding = x86.is_padding;
		way.at = next;
	}
}

static void function_follow_all(struct prologue *prologue)
{
	struct function *function = &prologue->function;

	while (function->open->len && !function->is_begun_anew) {
		struct way way = g_array_index(function->open, struct way, function->open->len - 1);

		g_array_set_size(function->open, function->open->len - 1);
		function_follow(prologue, way);
	}
}

/* The first instruction behind padding. */
static guint32 function_behind_padding(struct prologue *prologue, guint32 at)
{
	struct function *function = &prologue->function;
	const guint8 *code = prologue->text + function->start;
	struct x86 x86;

	while (at < function->length && function->left && x86_read(code + at, function->length - at, 0, &x86) &&
	       (x86.is_padding || code[at] == 0xcc) && !function->at[at]) {
		at += x86.length;
		function->left--;
		prologue->work_bytes += x86.length;
	}
	return at;
}

/* Whether something begins here that no way leads to as functions do: what unwinds exceptions goes to other places, too. */
static gboolean function_may_begin(const struct prologue *prologue, guint32 at)
{
	const struct function *function = &prologue->function;
	guint64 place = (guint64)function->start + at;
	struct x86 x86;

	if (bit_get(prologue->jumped, place)) /* from another function: part of that */
		return FALSE;
	return (prologue->address + place) % START_ALIGN == 0 ||
	       (x86_read(prologue->text + place, function->length - at, 0, &x86) &&
		(x86.effect == X86_EFFECT_PUSH || (x86.effect == X86_EFFECT_SP_ADD && x86.amount < 0)));
}

/* Whether what begins here makes a frame, where linkers put functions: no target of a jump table does. */
static gboolean function_begins(const struct prologue *prologue, guint32 at)
{
	guint64 place = (guint64)prologue->function.start + at;
	struct x86 x86;

	return (prologue->address + place) % START_ALIGN == 0 && !bit_get(prologue->jumped, place) &&
	       x86_read(prologue->text + place, prologue->function.length - at, 0, &x86) &&
	       (x86.effect == X86_EFFECT_PUSH || (x86.effect == X86_EFFECT_SP_ADD && x86.amount < 0));
}

/* What no way leads to: behind the ends of those that do. */
static void function_follow_rest(struct prologue *prologue)
{
	struct function *function = &prologue->function;
	const struct state *away = NULL;
	struct state known;

	if (function->away && !function->is_away_unclear) {
		known = g_array_index(function->states, struct state, function->away - 1);
		away = &known;
	}
	for (guint32 i = 0; i < function->length && !function->is_begun_anew; i++) {
		guint32 at;

		if (!(function->marks[i] & MARK_END) || function->at[i])
			continue;
		at = function_behind_padding(prologue, i);
		if (at >= function->length || function->at[at] || (!away && !function_may_begin(prologue, at)))
			continue;
		function_add_way(function, at, away && !function_begins(prologue, at) ? away : &entered);
		function_follow_all(prologue);
	}
}

static void function_forget_ways(struct function *function)
{
	memset(function->at, 0, function->length * sizeof(*function->at));
	for (guint32 i = 0; i < function->length; i++)
		function->marks[i] &= MARK_NO_RETURN;
	g_array_set_size(function->states, 0);
	g_array_set_size(function->open, 0);
	function->away = 0;
	function->is_away_unclear = function->is_begun_anew = FALSE;
}

static void function_read(struct prologue *prologue, guint32 start, guint32 length)
{
	struct function *function = &prologue->function;

	function_clear(function);
	function->start = start;
	function->length = length;
	function->at = g_new0(guint16, length);
	function->marks = g_new0(guint8, length);
	function->states = g_array_new(FALSE, FALSE, sizeof(struct state));
	function->open = g_array_new(FALSE, FALSE, sizeof(struct way));
	function->is_begun_anew = TRUE;
	for (guint round = 0; round < ROUNDS_MAX && function->is_begun_anew; round++) {
		function_forget_ways(function);
		function->left = (guint64)length * VISITS_MAX;
		function_add_way(function, 0, &entered);
		function_follow_all(prologue);
		function_follow_rest(prologue);
	}
	if (function->is_begun_anew || !function->left)
		function_forget_ways(function);
}

/* ---- where functions begin ---- */

#define START_POINTED 1u /* code only takes the address */
#define ADDRESS_NUMBER_MIN 0x200000 /* below, addresses look like sizes */

struct starts {
	GArray *found; /* guint32: place in the text << 1 | START_POINTED */
	guint64 address;
	gsize length;
	guint8 *is_begin; /* a bit for each byte: an instruction begins there */
	guint8 *is_fresh; /* … and the one before does not lead there, or need not */
	guint8 *is_apart; /* … and it certainly does not, or is padding */
	GArray *jumps; /* struct jump, of those that always do */
};

struct jump {
	guint32 from, to; /* in the text */
};

static void starts_add_as(struct starts *starts, guint64 address, guint32 how)
{
	guint32 at = (guint32)(address - starts->address) << 1 | how;

	if (address >= starts->address && address - starts->address < starts->length &&
	    starts->found->len < PROLOGUE_STARTS_MAX)
		g_array_append_val(starts->found, at);
}

static void starts_add(struct starts *starts, guint64 address)
{
	starts_add_as(starts, address, 0);
}

/* image_function_fn */
static void starts_add_symbol(void *user, const char *name, gsize length, guint64 address)
{
	static const char part[] = ".cold";

	if (!memmem(name, length, part, sizeof(part) - 1))
		starts_add(user, address);
}

static void jumped_add(struct prologue *prologue, struct starts *starts, gsize from, const struct x86 *x86)
{
	guint64 to = x86->target - prologue->address;
	struct jump jump = { (guint32)from, (guint32)to };

	if (x86->target < prologue->address || to >= prologue->length)
		return;
	bit_set(prologue->jumped, to);
	if (x86->flow == X86_FLOW_JUMP && x86->target % START_ALIGN == 0 && starts->jumps->len < JUMPS_MAX)
		g_array_append_val(starts->jumps, jump);
}

/* Targets of calls, and what else code points to. */
static void starts_sweep(struct prologue *prologue, struct starts *starts)
{
	gboolean is_fresh = TRUE, is_apart = TRUE;
	struct x86 x86;

	for (gsize at = 0; at < prologue->length; at += x86.length) {
		if (!x86_read(prologue->text + at, prologue->length - at, prologue->address + at, &x86)) {
			x86.length = 1;
			continue;
		}
		bit_set(starts->is_begin, at);
		if (is_fresh)
			bit_set(starts->is_fresh, at);
		if (is_apart)
			bit_set(starts->is_apart, at);
		if (x86.flow == X86_FLOW_CALL)
			starts_add(starts, x86.target);
		else if (x86.flow == X86_FLOW_JUMP || x86.flow == X86_FLOW_BRANCH)
			jumped_add(prologue, starts, at, &x86);
		else if (x86.pointed && (x86.is_relative || x86.pointed >= ADDRESS_NUMBER_MIN))
			starts_add_as(starts, x86.pointed, START_POINTED);
		is_fresh = x86.is_padding || (x86.flow != X86_FLOW_NEXT && x86.flow != X86_FLOW_BRANCH);
		is_apart = is_fresh && x86.flow != X86_FLOW_CALL && x86.flow != X86_FLOW_CALL_AWAY;
	}
	prologue->work_bytes += prologue->length;
}

static gint starts_compare(gconstpointer a, gconstpointer b)
{
	guint32 x = *(const guint32 *)a, y = *(const guint32 *)b;

	return x < y ? -1 : x > y;
}

/* Sorted, each once, and only where an instruction begins. */
static void starts_take(struct prologue *prologue, const struct starts *starts)
{
	g_autoptr(GArray) found = g_array_copy(starts->found);
	guint kept = 0;

	g_array_sort(found, starts_compare);
	for (guint i = 0; i < found->len; i++) {
		guint32 each = g_array_index(found, guint32, i), at = each >> 1;

		if ((kept && g_array_index(found, guint32, kept - 1) == at) || !bit_get(starts->is_begin, at) ||
		    (each & START_POINTED && !bit_get(starts->is_fresh, at)))
			continue;
		g_array_index(found, guint32, kept++) = at;
	}
	g_free(prologue->starts);
	prologue->start_count = kept;
	prologue->starts = g_memdup2(found->data, kept * sizeof(guint32));
}

/* The place of the last start at or before `at`; G_MAXUINT when there is none. */
static guint starts_bisect(const struct prologue *prologue, guint32 at)
{
	guint low = 0, high = prologue->start_count;

	while (low < high) { /* the first behind `at` */
		guint middle = low + (high - low) / 2;

		if (prologue->starts[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

/* Functions that others end with: a jump from one known function to the beginning of something in another. */
static void starts_add_ends(const struct prologue *prologue, struct starts *starts)
{
	for (guint i = 0; i < starts->jumps->len; i++) {
		const struct jump *jump = &g_array_index(starts->jumps, struct jump, i);

		if (starts_bisect(prologue, jump->from) != starts_bisect(prologue, jump->to) &&
		    bit_get(starts->is_apart, jump->to))
			starts_add(starts, prologue->address + jump->to);
	}
}

static guint64 image_entry(const struct image *image)
{
	Elf64_Ehdr elf;

	return image_read(image, 0, sizeof(elf), &elf) ? elf.e_entry : 0;
}

static void starts_find(struct prologue *prologue, const struct image *image)
{
	struct starts starts = { .found = g_array_new(FALSE, FALSE, sizeof(guint32)),
				 .address = prologue->address,
				 .length = prologue->length,
				 .is_begin = g_malloc0(prologue->length / 8 + 1),
				 .is_fresh = g_malloc0(prologue->length / 8 + 1),
				 .is_apart = g_malloc0(prologue->length / 8 + 1),
				 .jumps = g_array_new(FALSE, FALSE, sizeof(struct jump)) };

	starts_add(&starts, image_entry(image));
	image_each_function(image, SHT_SYMTAB, starts_add_symbol, &starts);
	image_each_function(image, SHT_DYNSYM, starts_add_symbol, &starts);
	starts_sweep(prologue, &starts);
	starts_take(prologue, &starts);
	starts_add_ends(prologue, &starts);
	starts_take(prologue, &starts);
	g_array_unref(starts.found);
	g_array_unref(starts.jumps);
	g_free(starts.is_apart);
	g_free(starts.is_begin);
	g_free(starts.is_fresh);
}

/* ---- the whole ---- */

/* The largest executable segment: files have one. */
static const struct image_segment *code_segment(const struct image *image)
{
	const struct image_segment *largest = NULL;

	for (guint i = 0; i < image->segment_count; i++)
		if (image->segments[i].executable && (!largest || image->segments[i].file_size > largest->file_size))
			largest = &image->segments[i];
	return largest;
}

struct prologue *prologue_open(const struct image *image)
{
	const struct image_segment *segment = code_segment(image);
	g_autoptr(prologue_t) prologue = NULL;

	if (!image->is_64bit || image->machine != EM_X86_64 || !segment || segment->file_size == 0 ||
	    segment->file_size > PROLOGUE_TEXT_BYTES_MAX || segment->address > G_MAXUINT64 - segment->file_size)
		return NULL;
	prologue = g_new0(struct prologue, 1);
	prologue->length = (gsize)segment->file_size;
	prologue->address = segment->address;
	prologue->jumped = g_malloc0(prologue->length / 8 + 1);
	prologue->text = g_malloc(prologue->length);
	if (!image_read(image, segment->offset, prologue->length, prologue->text))
		return NULL;
	starts_find(prologue, image);
	return prologue->start_count ? g_steal_pointer(&prologue) : NULL;
}

void prologue_free(struct prologue *prologue)
{
	if (!prologue)
		return;
	function_clear(&prologue->function);
	g_free(prologue->text);
	g_free(prologue->jumped);
	g_free(prologue->starts);
	g_free(prologue);
}

/* What a signal handler returns to, which the kernel has put there: `mov $15, %rax; syscall`. A walk asks for the byte before. */
static gboolean is_signal_return(const struct prologue *prologue, guint32 at)
{
	static const guint8 code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };

	for (guint i = 0; i < 2; i++)
		if (prologue->length - at >= sizeof(code) + i &&
		    memcmp(prologue->text + at + i, code, sizeof(code)) == 0)
			return TRUE;
	return FALSE;
}

#define SIGNAL_SP_AT 160 /* the interrupted RSP in the kernel's frame */

static guint32 prologue_search(struct prologue *prologue, guint32 at)
{
	guint place = starts_bisect(prologue, at);
	const struct function *function = &prologue->function;
	guint32 none = cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0), start, end;

	if (is_signal_return(prologue, at))
		return cfi_rule(CFI_SIGNAL, SIGNAL_SP_AT, CFI_SAVED_KEPT, 0);
	if (place == G_MAXUINT)
		return none;
	start = prologue->starts[place];
	end = place + 1 < prologue->start_count ? prologue->starts[place + 1] : (guint32)prologue->length;
	end = MIN(end, start + PROLOGUE_FUNCTION_BYTES_MAX);
	if (at >= end)
		return none;
	if (!function->length || function->start != start)
		function_read(prologue, start, end - start);
	for (guint32 back = 0; back < X86_INSTRUCTION_BYTES_MAX && back <= at - start; back++) {
		const struct state *state = function_state(function, at - start - back);
		struct x86 x86;

		if (!state)
			continue;
		return x86_read(prologue->text + at - back, prologue->length - (at - back), 0, &x86) &&
				       x86.length > back
			       ? state_rule(state)
			       : none;
	}
	return none;
}

guint32 prologue_find(struct prologue *prologue, guint64 address)
{
	guint64 at = address - prologue->address;
	struct cfi_row *seen;

	if (address < prologue->address || at >= prologue->length)
		return cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
	seen = &prologue->seen[((guint32)at * 2654435769u) >> (32 - SEEN_BITS)];
	if (seen->at != at + 1)
		*seen = (struct cfi_row){ .at = (guint32)at + 1, .rule = prologue_search(prologue, (guint32)at) };
	return seen->rule;
}

gboolean prologue_find_start(const struct prologue *prologue, guint64 address, guint64 *start)
{
	guint64 at = address - prologue->address;
	guint place;

	if (address < prologue->address || at >= prologue->length)
		return FALSE;
	place = starts_bisect(prologue, (guint32)at);
	if (place == G_MAXUINT)
		return FALSE;
	*start = prologue->address + prologue->starts[place];
	return TRUE;
}

gboolean prologue_is_return(const struct prologue *prologue, guint64 address)
{
	guint64 at = address - prologue->address, target;

	if (address <= prologue->address || at > prologue->length)
		return FALSE;
	return x86_is_behind_call(prologue->text + at, (gsize)at, address, &target) ||
	       is_signal_return(prologue, (guint32)at - 1);
}

guint64 prologue_take_work(struct prologue *prologue)
{
	guint64 work_bytes = prologue->work_bytes;

	prologue->work_bytes = 0;
	return work_bytes;
}

gsize prologue_bytes(const struct prologue *prologue)
{
	return sizeof(*prologue) + prologue->length + prologue->length / 8 + prologue->start_count * sizeof(guint32);
}

guint prologue_starts(const struct prologue *prologue)
{
	return prologue->start_count;
}
