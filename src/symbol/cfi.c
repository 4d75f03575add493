/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/cfi.h"

#include <string.h>

/* DWARF's numbers of x86-64 registers (psABI, figure 3.36) */
#define REGISTER_BX 3
#define REGISTER_DI 5
#define REGISTER_BP 6
#define REGISTER_SP 7
#define REGISTER_R10 10
#define REGISTER_RETURN 16

#define LEB_BYTES_MAX 10

/* How .eh_frame encodes a pointer (LSB, 10.5.1). */
#define POINTER_ABSOLUTE 0x00
#define POINTER_ULEB 0x01
#define POINTER_U2 0x02
#define POINTER_U4 0x03
#define POINTER_U8 0x04
#define POINTER_SLEB 0x09
#define POINTER_S2 0x0a
#define POINTER_S4 0x0b
#define POINTER_S8 0x0c
#define POINTER_FORMAT 0x0f
#define POINTER_RELATIVE 0x10 /* to the place of the pointer itself */
#define POINTER_BASE 0x70
#define POINTER_OMITTED 0xff

G_DEFINE_QUARK(fathom - cfi - error - quark, cfi_error)

static gboolean fail(GError **error, enum cfi_error code, const char *message)
{
	g_set_error_literal(error, CFI_ERROR, code, message);
	return FALSE;
}

/* ---- bytes ---- */

struct cursor {
	const guint8 *at, *end;
	gboolean failed; /* read past the end, or a number that cannot be; stays */
};

static guint64 cursor_fail(struct cursor *cursor)
{
	cursor->failed = TRUE;
	cursor->at = cursor->end;
	return 0;
}

static gsize cursor_left(const struct cursor *cursor)
{
	return (gsize)(cursor->end - cursor->at);
}

static guint64 take_fixed(struct cursor *cursor, gsize size)
{
	guint64 value = 0;

	if (size > cursor_left(cursor))
		return cursor_fail(cursor);
	for (gsize i = 0; i < size; i++)
		value |= (guint64)cursor->at[i] << (8 * i);
	cursor->at += size;
	return value;
}

static gint64 take_fixed_signed(struct cursor *cursor, gsize size)
{
	guint shift = (guint)(64 - 8 * size);

	return (gint64)(take_fixed(cursor, size) << shift) >> shift;
}

static guint64 take_leb(struct cursor *cursor, gboolean is_signed)
{
	guint64 value = 0;

	for (guint i = 0; i < LEB_BYTES_MAX && cursor->at < cursor->end; i++) {
		guint8 byte = *cursor->at++;
		guint shift = 7 * i;

		value |= (guint64)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (is_signed && byte & 0x40 && shift + 7 < 64)
			value |= ~(guint64)0 << (shift + 7);
		return value;
	}
	return cursor_fail(cursor);
}

static guint64 take_uleb(struct cursor *cursor)
{
	return take_leb(cursor, FALSE);
}

static gint64 take_sleb(struct cursor *cursor)
{
	return (gint64)take_leb(cursor, TRUE);
}

static struct cursor take_block(struct cursor *cursor, guint64 length)
{
	struct cursor block = { .at = cursor->at, .end = cursor->at };

	if (length > cursor_left(cursor)) {
		cursor_fail(cursor);
		block.failed = TRUE;
		return block;
	}
	cursor->at += length;
	block.end = cursor->at;
	return block;
}

static const char *take_string(struct cursor *cursor)
{
	const char *text = (const char *)cursor->at;
	const guint8 *nul = cursor_left(cursor) ? memchr(cursor->at, '\0', cursor_left(cursor)) : NULL;

	if (!nul) {
		cursor_fail(cursor);
		return "";
	}
	cursor->at = nul + 1;
	return text;
}

static guint64 take_pointer_raw(struct cursor *cursor, guint8 encoding)
{
	switch (encoding & POINTER_FORMAT) {
	case POINTER_ABSOLUTE:
	case POINTER_U8:
	case POINTER_S8:
		return take_fixed(cursor, 8);
	case POINTER_ULEB:
		return take_uleb(cursor);
	case POINTER_SLEB:
		return (guint64)take_sleb(cursor);
	case POINTER_U2:
		return take_fixed(cursor, 2);
	case POINTER_S2:
		return (guint64)take_fixed_signed(cursor, 2);
	case POINTER_U4:
		return take_fixed(cursor, 4);
	case POINTER_S4:
		return (guint64)take_fixed_signed(cursor, 4);
	default:
		return cursor_fail(cursor);
	}
}

static guint64 take_pointer(const struct cfi_section *section, struct cursor *cursor, guint8 encoding)
{
	guint64 place = section->address + (guint64)(cursor->at - section->bytes);
	guint64 value = take_pointer_raw(cursor, encoding);

	switch (encoding & ~POINTER_FORMAT) {
	case 0:
		return value;
	case POINTER_RELATIVE:
		return place + value;
	default: /* relative to other places, or indirect: nobody writes these for code on x86-64 */
		return cursor_fail(cursor);
	}
}

/* ---- the state that instructions change ---- */

enum where {
	WHERE_UNSAID = 0,
	WHERE_SAME = 1,
	WHERE_UNDEFINED = 2,
	WHERE_AT_CFA = 3,
	WHERE_EXPRESSION = 4, /* its result is the address where it was saved */
	WHERE_OTHER = 5,
	WHERE_REGISTER = 6, /* `offset` is its number */
};

struct saved {
	enum where where;
	gint64 offset; /* WHERE_AT_CFA, WHERE_REGISTER */
	struct cursor expression;
};

struct state {
	gboolean has_cfa;
	gboolean is_expression;
	guint64 cfa_register;
	gint64 cfa_offset;
	struct cursor cfa_expression;
	struct saved bp, bx, ret;
};

struct cie {
	gboolean is_usable;
	gboolean has_augmentation, is_signal;
	guint8 pointer_encoding;
	guint64 code_align;
	gint64 data_align;
	struct state initial;
};

/* ---- state → rule ---- */

#define LARGE_OFFSET_END (1 << 22) /* words */
#define LARGE_SLOT_END 16

/* Of a function with a large frame RBP is among the first to be saved, if at all. */
static guint32 rule_large(gint64 offset, enum cfi_saved saved, gint64 slot)
{
	if (saved == CFI_SAVED_AT_BP || slot > 0 || slot <= -LARGE_SLOT_END) {
		saved = CFI_SAVED_LOST;
		slot = 0;
	}
	return (guint32)CFI_SP_LARGE << 28 | (guint32)saved << 26 | (guint32)-slot << 22 | (guint32)offset;
}

guint32 cfi_rule(enum cfi_kind kind, gint64 offset_bytes, enum cfi_saved saved, gint64 slot_bytes)
{
	gint64 offset = offset_bytes / 8, slot = slot_bytes / 8;

	if (kind == CFI_SP && offset_bytes % 8 == 0 && slot_bytes % 8 == 0 && offset >= 1 << 16 &&
	    offset < LARGE_OFFSET_END)
		return rule_large(offset, saved, slot);
	if (offset_bytes % 8 || offset < -(1 << 16) || offset >= 1 << 16)
		return (guint32)CFI_UNSUPPORTED << 28;
	if (slot_bytes % 8 || slot < -(1 << 8) || slot >= 1 << 8) {
		saved = CFI_SAVED_LOST;
		slot = 0;
	}
	return (guint32)kind << 28 | (guint32)saved << 26 | ((guint32)slot & 0x1ff) << 17 | ((guint32)offset & 0x1ffff);
}

#define OP_DEREF 0x06
#define OP_PLUS_UCONST 0x23
#define OP_BREG_BP (0x70 + REGISTER_BP)
#define OP_BREG_SP (0x70 + REGISTER_SP)

/* register + offset, and perhaps more behind it */
static gboolean take_register_plus(struct cursor *expression, guint *reg, gint64 *offset)
{
	guint8 op = (guint8)take_fixed(expression, 1);

	if (op != OP_BREG_BP && op != OP_BREG_SP)
		return FALSE;
	*reg = op == OP_BREG_BP ? REGISTER_BP : REGISTER_SP;
	*offset = take_sleb(expression);
	return !expression->failed;
}

static gboolean saved_at_register(const struct saved *saved, guint wanted, gint64 *offset)
{
	struct cursor expression = saved->expression;
	guint reg;

	return saved->where == WHERE_EXPRESSION && take_register_plus(&expression, &reg, offset) && reg == wanted &&
	       cursor_left(&expression) == 0;
}

static enum cfi_saved bp_saved(const struct saved *bp, gint64 *slot)
{
	*slot = 0;
	switch (bp->where) {
	case WHERE_UNSAID: /* the psABI: it belongs to the caller */
	case WHERE_SAME:
		return CFI_SAVED_KEPT;
	case WHERE_AT_CFA:
		*slot = bp->offset;
		return CFI_SAVED_AT_CFA;
	case WHERE_EXPRESSION:
		return saved_at_register(bp, REGISTER_BP, slot) ? CFI_SAVED_AT_BP : CFI_SAVED_LOST;
	case WHERE_UNDEFINED:
	case WHERE_OTHER:
	case WHERE_REGISTER:
		break;
	}
	return CFI_SAVED_LOST;
}

static enum cfi_saved bx_saved(const struct saved *bx, gint64 *slot)
{
	enum cfi_saved saved = bx->where == WHERE_EXPRESSION ? CFI_SAVED_LOST : bp_saved(bx, slot);

	*slot = saved == CFI_SAVED_AT_CFA ? bx->offset : 0;
	return saved;
}

/* What linkers write for a PLT: rsp + offset + ((rip & 15) >= limit) * 8. */
static gboolean expression_is_plt(struct cursor expression, gint64 *offset, gint64 *limit)
{
	static const guint8 before[] = { 0x80, 0, 0x3f, 0x1a }, after[] = { 0x2a, 0x33, 0x24, 0x22 };
	guint reg;

	if (!take_register_plus(&expression, &reg, offset) || reg != REGISTER_SP ||
	    cursor_left(&expression) != sizeof(before) + 1 + sizeof(after) ||
	    memcmp(expression.at, before, sizeof(before)) != 0 ||
	    memcmp(expression.at + sizeof(before) + 1, after, sizeof(after)) != 0)
		return FALSE;
	*limit = (gint64)expression.at[sizeof(before)] - 0x30; /* DW_OP_lit0 */
	return *limit >= 0 && *limit <= 15;
}

static gboolean state_is_signal(const struct state *state, gint64 sp_at)
{
	gint64 ret_at, bp_at;

	return saved_at_register(&state->ret, REGISTER_SP, &ret_at) && ret_at == sp_at + 8 &&
	       saved_at_register(&state->bp, REGISTER_SP, &bp_at) && bp_at == sp_at - 40;
}

static guint32 expression_rule(const struct state *state, gboolean is_signal)
{
	struct cursor expression = state->cfa_expression;
	gint64 offset, slot, limit, more = 0;
	enum cfi_saved saved = bp_saved(&state->bp, &slot);
	enum cfi_kind kind;
	guint reg;

	if (expression_is_plt(expression, &offset, &limit) && saved == CFI_SAVED_KEPT)
		return cfi_rule(CFI_PLT, offset, CFI_SAVED_KEPT, limit * 8);
	if (!take_register_plus(&expression, &reg, &offset))
		return cfi_rule(CFI_UNSUPPORTED, 0, 0, 0);
	kind = reg == REGISTER_SP ? CFI_SP : CFI_BP;
	if (cursor_left(&expression) && take_fixed(&expression, 1) == OP_DEREF) {
		kind = reg == REGISTER_SP ? CFI_SP_DEREF : CFI_BP_DEREF;
		if (cursor_left(&expression) && take_fixed(&expression, 1) == OP_PLUS_UCONST)
			more = (gint64)take_uleb(&expression);
	}
	if (cursor_left(&expression) || expression.failed)
		return cfi_rule(CFI_UNSUPPORTED, 0, 0, 0);
	if (is_signal && kind == CFI_SP_DEREF && !more && state_is_signal(state, offset))
		return cfi_rule(CFI_SIGNAL, offset, CFI_SAVED_KEPT, 0);
	if (state->ret.where != WHERE_AT_CFA || state->ret.offset != -8 ||
	    (more && (more != 8 || kind != CFI_SP_DEREF)))
		return cfi_rule(CFI_UNSUPPORTED, 0, 0, 0);
	return cfi_rule(more ? CFI_SP_DEREF_8 : kind, offset, saved, slot);
}

static enum cfi_kind register_kind(guint64 reg)
{
	switch (reg) {
	case REGISTER_SP:
		return CFI_SP;
	case REGISTER_BP:
		return CFI_BP;
	case REGISTER_R10:
		return CFI_R10;
	case REGISTER_BX:
		return CFI_BX;
	default:
		return CFI_UNSUPPORTED;
	}
}

static guint32 state_rule(const struct state *state, gboolean is_signal)
{
	enum cfi_saved saved;
	enum cfi_kind kind;
	gint64 slot;

	if (state->ret.where == WHERE_UNDEFINED)
		return cfi_rule(CFI_STOP, 0, CFI_SAVED_KEPT, 0);
	if (!state->has_cfa)
		return cfi_rule(CFI_UNSUPPORTED, 0, 0, 0);
	if (state->is_expression)
		return expression_rule(state, is_signal);
	kind = register_kind(state->cfa_register);
	if (kind == CFI_SP && state->ret.where == WHERE_REGISTER && state->ret.offset == REGISTER_DI &&
	    bp_saved(&state->bp, &slot) == CFI_SAVED_KEPT)
		return cfi_rule(CFI_RETURN_DI, state->cfa_offset, CFI_SAVED_KEPT, 0);
	if (state->ret.where != WHERE_AT_CFA || state->ret.offset != -8 || kind == CFI_UNSUPPORTED)
		return cfi_rule(CFI_UNSUPPORTED, 0, 0, 0);
	saved = bp_saved(&state->bp, &slot);
	return cfi_rule(kind, state->cfa_offset, saved, slot);
}

/* ---- instructions ---- */

enum { /* DW_CFA_*, DWARF 4, 7.23, and GNU's */
	INS_ADVANCE = 0x40,
	INS_OFFSET = 0x80,
	INS_RESTORE = 0xc0, /* with an operand in the low six bits */
	INS_NOP = 0x00,
	INS_SET_LOC = 0x01,
	INS_ADVANCE_1 = 0x02,
	INS_ADVANCE_2 = 0x03,
	INS_ADVANCE_4 = 0x04,
	INS_OFFSET_EXTENDED = 0x05,
	INS_RESTORE_EXTENDED = 0x06,
	INS_UNDEFINED = 0x07,
	INS_SAME_VALUE = 0x08,
	INS_REGISTER = 0x09,
	INS_REMEMBER = 0x0a,
	INS_RESTORE_STATE = 0x0b,
	INS_DEF_CFA = 0x0c,
	INS_DEF_CFA_REGISTER = 0x0d,
	INS_DEF_CFA_OFFSET = 0x0e,
	INS_DEF_CFA_EXPRESSION = 0x0f,
	INS_EXPRESSION = 0x10,
	INS_OFFSET_EXTENDED_SF = 0x11,
	INS_DEF_CFA_SF = 0x12,
	INS_DEF_CFA_OFFSET_SF = 0x13,
	INS_VAL_OFFSET = 0x14,
	INS_VAL_OFFSET_SF = 0x15,
	INS_VAL_EXPRESSION = 0x16,
	INS_GNU_ARGS_SIZE = 0x2e,
	INS_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

struct machine {
	const struct cfi_section *section;
	const struct cie *cie;
	struct cursor code;
	struct state state;
	struct state remembered[CFI_REMEMBER_MAX];
	guint remembered_count;
	guint64 address, end;
	struct cfi_output *output; /* NULL while a CIE's own instructions run: they make no rows */
	struct cfi_span *span;
	struct cfi_found *found; /* one rule is wanted, instead of rows: */
	guint64 wanted; /* the one for this address */
};

/* Products of hostile numbers wrap; what comes out is checked where it is used. */
static gint64 times(gint64 a, gint64 b)
{
	return (gint64)((guint64)a * (guint64)b);
}

static void machine_emit(struct machine *machine, guint32 rule)
{
	struct cfi_row row = { .at = (guint32)(machine->address - machine->output->base), .rule = rule };
	GArray *rows = machine->output->rows;

	if (machine->found) { /* addresses only grow */
		if (machine->address <= machine->wanted) {
			machine->found->rule = rule;
			machine->found->bx = bx_saved(&machine->state.bx, &machine->found->bx_slot);
		}
		return;
	}
	if (machine->span->count) {
		struct cfi_row *last = &g_array_index(rows, struct cfi_row, rows->len - 1);

		if (last->rule == rule)
			return;
		if (last->at == row.at) {
			last->rule = rule;
			return;
		}
	}
	g_array_append_val(rows, row);
	machine->span->count++;
}

/* The state so far holds up to `address`. FALSE when the rest is not for this description. */
static gboolean machine_advance(struct machine *machine, guint64 address)
{
	if (!machine->output || address < machine->address) {
		machine->code.failed = TRUE;
		return FALSE;
	}
	if (address == machine->address)
		return TRUE;
	machine_emit(machine, state_rule(&machine->state, machine->cie->is_signal));
	machine->address = MIN(address, machine->end);
	return address < machine->end && !(machine->found && machine->address > machine->wanted);
}

static void machine_save(struct machine *machine, guint64 reg, struct saved saved)
{
	if (reg == REGISTER_BP)
		machine->state.bp = saved;
	else if (reg == REGISTER_BX)
		machine->state.bx = saved;
	else if (reg == REGISTER_RETURN)
		machine->state.ret = saved;
}

static void machine_save_at(struct machine *machine, guint64 reg, gint64 factor)
{
	machine_save(machine, reg,
		     (struct saved){ .where = WHERE_AT_CFA, .offset = times(factor, machine->cie->data_align) });
}

static void machine_save_as(struct machine *machine, guint64 reg, enum where where)
{
	machine_save(machine, reg, (struct saved){ .where = where });
}

static void machine_restore(struct machine *machine, guint64 reg)
{
	const struct state *initial = &machine->cie->initial;

	machine_save(machine, reg, reg == REGISTER_BP ? initial->bp : reg == REGISTER_BX ? initial->bx : initial->ret);
}

static void machine_define_cfa(struct machine *machine, guint64 reg, gint64 offset)
{
	machine->state.has_cfa = TRUE;
	machine->state.is_expression = FALSE;
	machine->state.cfa_register = reg;
	machine->state.cfa_offset = offset;
}

static void machine_remember(struct machine *machine)
{
	if (machine->remembered_count == CFI_REMEMBER_MAX)
		machine->code.failed = TRUE;
	else
		machine->remembered[machine->remembered_count++] = machine->state;
}

static void machine_recall(struct machine *machine)
{
	if (machine->remembered_count == 0)
		machine->code.failed = TRUE;
	else
		machine->state = machine->remembered[--machine->remembered_count];
}

/* Those that name where a register was saved. FALSE when `op` is none of them. */
static gboolean machine_step_register(struct machine *machine, guint8 op)
{
	struct cursor *code = &machine->code;
	guint64 reg = take_uleb(code);

	switch (op) {
	case INS_OFFSET_EXTENDED:
		machine_save_at(machine, reg, (gint64)take_uleb(code));
		return TRUE;
	case INS_OFFSET_EXTENDED_SF:
		machine_save_at(machine, reg, take_sleb(code));
		return TRUE;
	case INS_GNU_NEGATIVE_OFFSET_EXTENDED:
		machine_save_at(machine, reg, times(-1, (gint64)take_uleb(code)));
		return TRUE;
	case INS_RESTORE_EXTENDED:
		machine_restore(machine, reg);
		return TRUE;
	case INS_UNDEFINED:
		machine_save_as(machine, reg, WHERE_UNDEFINED);
		return TRUE;
	case INS_SAME_VALUE:
		machine_save_as(machine, reg, WHERE_SAME);
		return TRUE;
	case INS_REGISTER:
		machine_save(machine, reg,
			     (struct saved){ .where = WHERE_REGISTER, .offset = (gint64)take_uleb(code) });
		return TRUE;
	case INS_VAL_OFFSET:
	case INS_VAL_OFFSET_SF: /* whether signed or not: not looked at */
		take_uleb(code);
		machine_save_as(machine, reg, WHERE_OTHER);
		return TRUE;
	case INS_VAL_EXPRESSION:
		take_block(code, take_uleb(code));
		machine_save_as(machine, reg, WHERE_OTHER);
		return TRUE;
	case INS_EXPRESSION:
		machine_save(machine, reg,
			     (struct saved){ .where = WHERE_EXPRESSION,
					     .expression = take_block(code, take_uleb(code)) });
		return TRUE;
	default:
		return FALSE;
	}
}

/* Those that change the CFA. FALSE when `op` is none of them. */
static gboolean machine_step_cfa(struct machine *machine, guint8 op)
{
	struct cursor *code = &machine->code;
	struct state *state = &machine->state;
	guint64 reg;

	switch (op) {
	case INS_DEF_CFA:
		reg = take_uleb(code);
		machine_define_cfa(machine, reg, (gint64)take_uleb(code));
		return TRUE;
	case INS_DEF_CFA_SF:
		reg = take_uleb(code);
		machine_define_cfa(machine, reg, times(take_sleb(code), machine->cie->data_align));
		return TRUE;
	case INS_DEF_CFA_REGISTER:
		machine_define_cfa(machine, take_uleb(code), state->cfa_offset);
		return TRUE;
	case INS_DEF_CFA_OFFSET:
		machine_define_cfa(machine, state->cfa_register, (gint64)take_uleb(code));
		return TRUE;
	case INS_DEF_CFA_OFFSET_SF:
		machine_define_cfa(machine, state->cfa_register, times(take_sleb(code), machine->cie->data_align));
		return TRUE;
	case INS_DEF_CFA_EXPRESSION:
		state->has_cfa = state->is_expression = TRUE;
		state->cfa_expression = take_block(code, take_uleb(code));
		return TRUE;
	default:
		return FALSE;
	}
}

static gboolean machine_advance_by(struct machine *machine, guint64 factor)
{
	guint64 distance = factor * machine->cie->code_align;

	return machine_advance(machine,
			       distance > G_MAXUINT64 - machine->address ? G_MAXUINT64 : machine->address + distance);
}

/* FALSE when the instructions end here. */
static gboolean machine_step(struct machine *machine)
{
	struct cursor *code = &machine->code;
	guint8 op = (guint8)take_fixed(code, 1);

	switch (op & 0xc0) {
	case INS_ADVANCE:
		return machine_advance_by(machine, op & 0x3f);
	case INS_OFFSET:
		machine_save_at(machine, op & 0x3f, (gint64)take_uleb(code));
		return TRUE;
	case INS_RESTORE:
		machine_restore(machine, op & 0x3f);
		return TRUE;
	}
	switch (op) {
	case INS_NOP:
		return TRUE;
	case INS_SET_LOC:
		return machine_advance(machine, take_pointer(machine->section, code, machine->cie->pointer_encoding));
	case INS_ADVANCE_1:
		return machine_advance_by(machine, take_fixed(code, 1));
	case INS_ADVANCE_2:
		return machine_advance_by(machine, take_fixed(code, 2));
	case INS_ADVANCE_4:
		return machine_advance_by(machine, take_fixed(code, 4));
	case INS_REMEMBER:
		machine_remember(machine);
		return TRUE;
	case INS_RESTORE_STATE:
		machine_recall(machine);
		return TRUE;
	case INS_GNU_ARGS_SIZE:
		take_uleb(code);
		return TRUE;
	}
	if (machine_step_cfa(machine, op) || machine_step_register(machine, op))
		return TRUE;
	code->failed = TRUE; /* its operands are not known either */
	return FALSE;
}

/* FALSE when the instructions could not be followed to their end. */
static gboolean machine_run(struct machine *machine)
{
	while (cursor_left(&machine->code) && !machine->code.failed)
		if (!machine_step(machine))
			break;
	return !machine->code.failed;
}

/* ---- records ---- */

struct reader {
	const struct cfi_section *section;
	struct cfi_output *output;
	GHashTable *cies; /* gsize place of its record → struct cie */
};

/* What the letters behind 'z' say. FALSE when one is unknown. */
static gboolean cie_read_augmentation(struct cie *cie, const char *letters, struct cursor data)
{
	for (; *letters; letters++) {
		guint8 encoding;

		switch (*letters) {
		case 'R':
			cie->pointer_encoding = (guint8)take_fixed(&data, 1);
			break;
		case 'L':
			take_fixed(&data, 1);
			break;
		case 'P':
			encoding = (guint8)take_fixed(&data, 1);
			take_pointer_raw(&data, encoding);
			break;
		case 'S':
			cie->is_signal = TRUE;
			break;
		default:
			return FALSE;
		}
	}
	return !data.failed;
}

/* Fills `cie`; whether it can be used. */
static gboolean cie_read(const struct cfi_section *section, struct cursor record, struct cie *cie)
{
	struct machine machine = { .section = section, .cie = cie };
	guint8 version = (guint8)take_fixed(&record, 1);
	const char *augmentation = take_string(&record);

	if (version != 1 && version != 3 && version != 4)
		return FALSE;
	if (version == 4 && take_fixed(&record, 2) != 8) /* sizes of an address and of a segment selector: 8 and 0 */
		return FALSE;
	cie->code_align = take_uleb(&record);
	cie->data_align = take_sleb(&record);
	if ((version == 1 ? take_fixed(&record, 1) : take_uleb(&record)) != REGISTER_RETURN)
		return FALSE;
	cie->has_augmentation = augmentation[0] == 'z';
	if (cie->has_augmentation) {
		if (!cie_read_augmentation(cie, augmentation + 1, take_block(&record, take_uleb(&record))))
			return FALSE;
	} else if (augmentation[0] != '\0') {
		return FALSE;
	}
	if (record.failed || cie->pointer_encoding == POINTER_OMITTED)
		return FALSE;
	machine.code = record;
	if (!machine_run(&machine))
		return FALSE;
	cie->initial = machine.state;
	return TRUE;
}

static void cie_add(struct reader *reader, gsize place, struct cursor record)
{
	struct cie *cie = g_new0(struct cie, 1);

	cie->is_usable = cie_read(reader->section, record, cie);
	g_hash_table_insert(reader->cies, GSIZE_TO_POINTER(place), cie);
}

static gboolean fde_place(const struct reader *reader, const struct cie *cie, struct cursor *record,
			  struct machine *machine)
{
	guint64 start = take_pointer(reader->section, record, cie->pointer_encoding);
	guint64 size = take_pointer_raw(record, cie->pointer_encoding & POINTER_FORMAT);

	if (cie->has_augmentation)
		take_block(record, take_uleb(record));
	if (record->failed || start < reader->output->base || start - reader->output->base > G_MAXUINT32 ||
	    size > G_MAXUINT32 - (start - reader->output->base))
		return FALSE;
	machine->address = start;
	machine->end = start + size;
	return TRUE;
}

/* Whether the instructions, from the CIE's state on, could be followed to their end. */
static gboolean fde_run(struct machine *machine, struct cursor code)
{
	gboolean is_understood;

	machine->state = machine->cie->initial;
	machine->code = code;
	is_understood = machine_run(machine);
	if (machine->address < machine->end)
		machine_emit(machine, is_understood ? state_rule(&machine->state, machine->cie->is_signal)
						    : cfi_rule(CFI_UNSUPPORTED, 0, 0, 0));
	return is_understood;
}

static void fde_add(struct reader *reader, const struct cie *cie, struct cursor record)
{
	struct cfi_output *output = reader->output;
	struct cfi_span span = { .first = output->rows->len, .order = output->spans->len };
	struct machine machine = { .section = reader->section, .cie = cie, .output = output, .span = &span };

	if (!cie || !cie->is_usable || !fde_place(reader, cie, &record, &machine)) {
		output->bad_spans++;
		return;
	}
	if (machine.address == machine.end)
		return; /* code the linker threw away */
	span.start = (guint32)(machine.address - output->base);
	span.end = (guint32)(machine.end - output->base);
	if (!fde_run(&machine, record))
		output->bad_spans++;
	g_array_append_val(output->spans, span);
}

/* One CIE or FDE. `place`: where it begins in the section. `wide`: in 64-bit DWARF. */
static void record_add(struct reader *reader, gsize place, gboolean wide, struct cursor record)
{
	gboolean is_debug_frame = reader->section->is_debug_frame;
	gsize id_place = (gsize)(record.at - reader->section->bytes);
	gsize id_size = is_debug_frame && wide ? 8 : 4;
	guint64 id = take_fixed(&record, id_size);
	guint64 cie_id = !is_debug_frame ? 0 : wide ? G_MAXUINT64 : G_MAXUINT32;

	if (record.failed) {
		reader->output->bad_spans++;
		return;
	}
	if (id == cie_id) {
		cie_add(reader, place, record);
		return;
	}
	if (!is_debug_frame) /* counted backwards from the field itself */
		id = id <= id_place ? id_place - id : G_MAXUINT64;
	fde_add(reader, id > G_MAXSIZE ? NULL : g_hash_table_lookup(reader->cies, GSIZE_TO_POINTER((gsize)id)), record);
}

static gboolean reader_run(struct reader *reader, GError **error)
{
	const struct cfi_section *section = reader->section;
	struct cursor cursor = { .at = section->bytes, .end = section->bytes + section->length };

	while (cursor_left(&cursor)) {
		gsize place = (gsize)(cursor.at - section->bytes);
		guint64 length = take_fixed(&cursor, 4);
		gboolean wide = length == G_MAXUINT32;
		struct cursor record;

		if (wide)
			length = take_fixed(&cursor, 8);
		if (length == 0 && !cursor.failed) {
			if (section->is_debug_frame)
				continue;
			return TRUE; /* .eh_frame's end */
		}
		record = take_block(&cursor, length);
		if (cursor.failed)
			return fail(error, CFI_ERROR_MALFORMED, "call frame information is longer than its section");
		record_add(reader, place, wide, record);
		if (reader->output->rows->len > CFI_ROWS_MAX)
			return fail(error, CFI_ERROR_TOO_LARGE, "more than 8 Mi rows of call frame information");
	}
	return TRUE;
}

gboolean cfi_read(const struct cfi_section *section, struct cfi_output *output, GError **error)
{
	struct reader reader = { .section = section, .output = output };
	gboolean done;

	if (section->length == 0)
		return TRUE;
	if (section->length > CFI_SECTION_BYTES_MAX)
		return fail(error, CFI_ERROR_TOO_LARGE, "more than 64 MiB of call frame information");
	reader.cies = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	done = reader_run(&reader, error);
	g_hash_table_unref(reader.cies);
	return done;
}

/* ---- one description ---- */

/* The record of .eh_frame at `place`, behind its length and its id. FALSE when none of limited length is there. */
static gboolean record_open(const struct cfi_section *section, gsize place, struct cursor *record, gsize *id_place,
			    guint32 *id, gsize *work_bytes)
{
	struct cursor cursor = { .at = section->bytes, .end = section->bytes + section->length };
	guint64 length;

	if (place >= section->length)
		return FALSE;
	cursor.at += place;
	length = take_fixed(&cursor, 4);
	if (length == G_MAXUINT32)
		length = take_fixed(&cursor, 8);
	if (length > CFI_FIND_BYTES_MAX)
		return FALSE;
	*record = take_block(&cursor, length);
	*id_place = (gsize)(record->at - section->bytes);
	*id = (guint32)take_fixed(record, 4);
	*work_bytes += length;
	return !cursor.failed && !record->failed;
}

/* The CIE that the description at `place` refers to, and what stands behind its id. */
static gboolean fde_open(const struct cfi_section *section, gsize place, struct cie *cie, struct cursor *fde,
			 gsize *work_bytes)
{
	struct cursor record;
	gsize id_place, unused;
	guint32 id, cie_id;

	return record_open(section, place, fde, &id_place, &id, work_bytes) && id != 0 && id <= id_place &&
	       record_open(section, id_place - id, &record, &unused, &cie_id, work_bytes) && cie_id == 0 &&
	       cie_read(section, record, cie);
}

gboolean cfi_find(const struct cfi_section *section, guint64 base, gsize place, guint64 address,
		  struct cfi_found *found)
{
	struct cfi_output output = { .base = base };
	struct reader reader = { .section = section, .output = &output };
	struct cie cie = { 0 };
	struct machine machine = { .section = section, .cie = &cie, .output = &output, .found = found };
	struct cursor record;

	*found = (struct cfi_found){ 0 };
	if (section->is_debug_frame || !fde_open(section, place, &cie, &record, &found->work_bytes) ||
	    !fde_place(&reader, &cie, &record, &machine))
		return FALSE;
	found->start = machine.address;
	found->end = machine.end;
	if (found->start == found->end)
		return TRUE;
	machine.wanted = CLAMP(address, found->start, found->end - 1);
	fde_run(&machine, record);
	return TRUE;
}
