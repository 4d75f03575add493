/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/x86.h"

#include <string.h>

#define PREFIX_REX_W 8
#define PREFIX_REX_R 4
#define PREFIX_REX_X 2
#define PREFIX_REX_B 1

/* What follows an opcode. */
enum shape {
	S_BAD = 0,
	S_0 = 1, /* nothing */
	S_M = 2, /* ModRM and what it asks for */
	S_1 = 3, /* one byte */
	S_Z = 4, /* four bytes, two with the prefix 66 */
	S_M1 = 5,
	S_MZ = 6,
	S_2 = 7,
	S_3 = 8,
	S_4 = 9, /* of branches: four bytes whatever the prefix */
	S_V = 10, /* as S_Z, eight with REX.W */
	S_A = 11, /* an address: eight bytes, four with the prefix 67 */
	S_G3 = 12, /* group 3: ModRM, of its first two forms an operand of one byte (f6) or S_Z (f7) */
};

#define R2(x) x, x
#define R4(x) R2(x), R2(x)
#define R8(x) R4(x), R4(x)
#define R16(x) R8(x), R8(x)
#define ARITHMETIC R4(S_M), S_1, S_Z

/* Prefixes and escapes are taken before it is asked. */
static const guint8 shapes[256] = {
	/* 00 */ ARITHMETIC,
	R2(S_BAD),
	ARITHMETIC,
	R2(S_BAD),
	/* 10 */ ARITHMETIC,
	R2(S_BAD),
	ARITHMETIC,
	R2(S_BAD),
	/* 20 */ ARITHMETIC,
	R2(S_BAD),
	ARITHMETIC,
	R2(S_BAD),
	/* 30 */ ARITHMETIC,
	R2(S_BAD),
	ARITHMETIC,
	R2(S_BAD),
	/* 40 */ R16(S_BAD),
	/* 50 */ R16(S_0),
	/* 60 */ R2(S_BAD),
	S_BAD,
	S_M,
	R4(S_BAD),
	S_Z,
	S_MZ,
	S_1,
	S_M1,
	R4(S_0),
	/* 70 */ R16(S_1),
	/* 80 */ S_M1,
	S_MZ,
	S_BAD,
	S_M1,
	R4(S_M),
	R8(S_M),
	/* 90 */ R8(S_0),
	R2(S_0),
	S_BAD,
	S_0,
	R4(S_0),
	/* a0 */ R4(S_A),
	R4(S_0),
	S_1,
	S_Z,
	R2(S_0),
	R4(S_0),
	/* b0 */ R8(S_1),
	R8(S_V),
	/* c0 */ R2(S_M1),
	S_2,
	S_0,
	R2(S_BAD),
	S_M1,
	S_MZ,
	S_3,
	S_0,
	S_2,
	S_0,
	S_0,
	S_1,
	S_BAD,
	S_0,
	/* d0 */ R4(S_M),
	R2(S_BAD),
	S_BAD,
	S_0,
	R8(S_M),
	/* e0 */ R8(S_1),
	S_4,
	S_4,
	S_BAD,
	S_1,
	R4(S_0),
	/* f0 */ S_BAD,
	S_0,
	R2(S_BAD),
	R2(S_0),
	R2(S_G3),
	R4(S_0),
	R2(S_0),
	R2(S_M),
};

/* Behind 0f. */
static const guint8 shapes_0f[256] = {
	/* 00 */ R4(S_M),  S_BAD,     S_0,     R2(S_0),	 R2(S_0), S_BAD,   S_0,	    S_BAD, S_M, S_0,  S_M1,
	/* 10 */ R16(S_M),
	/* 20 */ R4(S_M),  R4(S_BAD), R8(S_M),
	/* 30 */ R8(S_0),  R8(S_BAD),
	/* 40 */ R16(S_M),
	/* 50 */ R16(S_M),
	/* 60 */ R16(S_M),
	/* 70 */ R4(S_M1), R2(S_M),   S_M,     S_0,	 R8(S_M),
	/* 80 */ R16(S_4),
	/* 90 */ R16(S_M),
	/* a0 */ R2(S_0),  S_0,	      S_M,     S_M1,	 S_M,	  R2(S_M), R2(S_0), S_0,   S_M, S_M1, S_M,
	R2(S_M),
	/* b0 */ R8(S_M),  R2(S_M),   S_M1,    S_M,	 R4(S_M),
	/* c0 */ R2(S_M),  S_M1,      S_M,     R2(S_M1), S_M1,	  S_M,	   R8(S_0),
	/* d0 */ R16(S_M),
	/* e0 */ R16(S_M),
	/* f0 */ R16(S_M),
};

enum map {
	MAP_1 = 0,
	MAP_0F = 1,
	MAP_0F38 = 2,
	MAP_0F3A = 3,
	MAP_XOP_8 = 4, /* AMD's, of some years: with one byte */
	MAP_XOP_9 = 5, /* without */
	MAP_XOP_10 = 6, /* with four */
};

struct reader {
	const guint8 *at, *end;
	gboolean failed; /* more was wanted than there is, or nothing is known of it */
	guint rex;
	gboolean is_16bit, is_address_32bit, is_vector, is_repeated;
	enum map map;
	guint8 opcode;
	gboolean has_modrm;
	guint mod, reg, rm; /* with their bits of REX */
	guint also; /* the register that VEX names besides; X86_NO_REGISTER: none */
	guint base; /* of an operand in memory; X86_NO_REGISTER: none */
	gboolean has_index, is_of_ip;
	gint64 displacement, immediate;
};

static gint64 take(struct reader *reader, guint size)
{
	guint64 value = 0;
	guint unused = 64 - 8 * size;

	if (size == 0)
		return 0;
	if ((gsize)(reader->end - reader->at) < size) {
		reader->failed = TRUE;
		return 0;
	}
	memcpy(&value, reader->at, size);
	reader->at += size;
	return (gint64)(value << unused) >> unused;
}

static guint8 take_byte(struct reader *reader)
{
	return (guint8)take(reader, 1);
}

/* ---- length ---- */

static void read_prefixes(struct reader *reader)
{
	for (guint i = 0; i < X86_INSTRUCTION_BYTES_MAX && reader->at < reader->end; i++) {
		switch (*reader->at) {
		case 0x66:
			reader->is_16bit = TRUE;
			break;
		case 0x67:
			reader->is_address_32bit = TRUE;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf0:
			break;
		case 0xf2:
		case 0xf3:
			reader->is_repeated = TRUE;
			break;
		default:
			if ((*reader->at & 0xf0) == 0x40)
				reader->rex = *reader->at++ & 0xf;
			return;
		}
		reader->at++;
	}
}

static enum map vector_map(struct reader *reader, guint number)
{
	if (number < MAP_0F || number > 6)
		reader->failed = TRUE;
	return number == MAP_0F3A || number == MAP_0F ? (enum map)number : MAP_0F38; /* 5 and 6: without immediates */
}

/* VEX and EVEX. Their bits stand for those of REX, inverted. */
static void read_vector(struct reader *reader, guint8 escape)
{
	guint8 first = take_byte(reader), second = first;

	reader->is_vector = TRUE;
	reader->map = MAP_0F;
	if (escape != 0xc5) {
		reader->map = vector_map(reader, first & (escape == 0xc4 ? 0x1f : 7));
		second = take_byte(reader);
		reader->rex = (guint)~first >> 5 & (PREFIX_REX_R | PREFIX_REX_X | PREFIX_REX_B);
	} else {
		reader->rex = first & 0x80 ? 0 : PREFIX_REX_R;
	}
	reader->also = (guint)~second >> 3 & 0xf;
	reader->is_16bit = (second & 3) == 1; /* what the prefixes would say */
	reader->is_repeated = (second & 3) > 1;
	take(reader, escape == 0x62 ? 1 : 0);
	reader->opcode = take_byte(reader);
}

/* XOP looks as a `pop` that does not exist. */
static void read_xop(struct reader *reader)
{
	static const enum map maps[] = { MAP_XOP_8, MAP_XOP_9, MAP_XOP_10 };
	guint number = take_byte(reader) & 0x1f;

	reader->is_vector = TRUE;
	reader->failed |= number < 8 || number > 10;
	if (!reader->failed)
		reader->map = maps[number - 8];
	reader->also = (guint)~take_byte(reader) >> 3 & 0xf;
	reader->opcode = take_byte(reader);
}

static void read_opcode(struct reader *reader)
{
	reader->opcode = take_byte(reader);
	if (reader->opcode == 0xc4 || reader->opcode == 0xc5 || reader->opcode == 0x62) {
		read_vector(reader, reader->opcode);
		return;
	}
	if (reader->opcode == 0x8f && reader->at < reader->end && (*reader->at & 0x1f) >= 8) {
		read_xop(reader);
		return;
	}
	if (reader->opcode != 0x0f)
		return;
	reader->map = MAP_0F;
	reader->opcode = take_byte(reader);
	if (reader->opcode == 0x38 || reader->opcode == 0x3a) {
		reader->map = reader->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
		reader->opcode = take_byte(reader);
	}
}

static enum shape reader_shape(const struct reader *reader)
{
	switch (reader->map) {
	case MAP_0F38:
	case MAP_XOP_9:
		return S_M;
	case MAP_0F3A:
	case MAP_XOP_8:
		return S_M1;
	case MAP_XOP_10:
		return S_MZ;
	case MAP_0F:
		return (enum shape)shapes_0f[reader->opcode];
	case MAP_1:
	default:
		return (enum shape)shapes[reader->opcode];
	}
}

static void read_modrm(struct reader *reader)
{
	guint8 modrm = take_byte(reader), sib;
	guint low = modrm & 7;

	reader->has_modrm = TRUE;
	reader->mod = modrm >> 6;
	reader->reg = (modrm >> 3 & 7) + (reader->rex & PREFIX_REX_R ? 8 : 0);
	reader->rm = low + (reader->rex & PREFIX_REX_B ? 8 : 0);
	if (reader->mod == 3)
		return;
	reader->base = reader->rm;
	if (low == 4) {
		sib = take_byte(reader);
		low = sib & 7;
		reader->base = low + (reader->rex & PREFIX_REX_B ? 8 : 0);
		reader->has_index = (sib >> 3 & 7) != 4 || reader->rex & PREFIX_REX_X;
		if (reader->mod == 0 && low == 5)
			reader->base = X86_NO_REGISTER;
	} else if (reader->mod == 0 && low == 5) {
		reader->base = X86_NO_REGISTER;
		reader->is_of_ip = TRUE;
	}
	reader->displacement = take(reader, reader->mod == 1		      ? 1
					    : reader->mod == 2		      ? 4
					    : reader->base == X86_NO_REGISTER ? 4
									      : 0);
}

static guint immediate_bytes(const struct reader *reader, enum shape shape)
{
	guint word = reader->is_16bit ? 2 : 4;

	switch (shape) {
	case S_1:
	case S_M1:
		return 1;
	case S_Z:
	case S_MZ:
		return word;
	case S_2:
		return 2;
	case S_3:
		return 3;
	case S_4:
		return 4;
	case S_V:
		return reader->rex & PREFIX_REX_W ? 8 : word;
	case S_A:
		return reader->is_address_32bit ? 4 : 8;
	case S_G3:
		if ((reader->reg & 7) > 1)
			return 0;
		return reader->opcode == 0xf6 ? 1 : word;
	default:
		return 0;
	}
}

static gboolean read_all(struct reader *reader)
{
	enum shape shape;

	read_prefixes(reader);
	read_opcode(reader);
	shape = reader_shape(reader);
	if (reader->failed || shape == S_BAD)
		return FALSE;
	if (shape == S_M || shape == S_M1 || shape == S_MZ || shape == S_G3)
		read_modrm(reader);
	reader->immediate = take(reader, immediate_bytes(reader, shape));
	return !reader->failed;
}

/* ---- where it goes on ---- */

static void flow_to(struct x86 *x86, enum x86_flow flow, guint64 next, gint64 distance)
{
	x86->flow = flow;
	x86->target = next + (guint64)distance;
}

static void find_flow(const struct reader *reader, guint64 next, struct x86 *x86)
{
	guint8 op = reader->opcode;

	if (reader->is_vector || reader->map > MAP_0F)
		return;
	if (reader->map == MAP_0F) {
		if ((op & 0xf0) == 0x80)
			flow_to(x86, X86_FLOW_BRANCH, next, reader->immediate);
		else if (op == 0x0b || op == 0xff) /* ud2, ud0 */
			x86->flow = X86_FLOW_END;
		return;
	}
	if ((op & 0xf0) == 0x70 || (op >= 0xe0 && op <= 0xe3))
		flow_to(x86, X86_FLOW_BRANCH, next, reader->immediate);
	else if (op == 0xe8)
		flow_to(x86, X86_FLOW_CALL, next, reader->immediate);
	else if (op == 0xe9 || op == 0xeb)
		flow_to(x86, X86_FLOW_JUMP, next, reader->immediate);
	else if (op == 0xc3 || op == 0xc2 || op == 0xcb || op == 0xca)
		x86->flow = X86_FLOW_RETURN;
	else if (op == 0xcc || op == 0xf4)
		x86->flow = X86_FLOW_END;
	else if (op == 0xff && (reader->reg & 7) == 2)
		x86->flow = X86_FLOW_CALL_AWAY;
	else if (op == 0xff && (reader->reg & 7) == 4) {
		x86->flow = X86_FLOW_JUMP_AWAY;
		x86->is_single = reader->mod != 3 && !reader->has_index;
	}
}

/* ---- what it does to RSP and RBP ---- */

static gboolean is_of_sp(const struct reader *reader)
{
	return reader->mod != 3 && reader->base == X86_SP && !reader->has_index;
}

static gboolean is_of_bp(const struct reader *reader)
{
	return reader->mod != 3 && reader->base == X86_BP && !reader->has_index;
}

/* Whether bit manipulation (VEX, XOP), movbe and their kind leave something in RBP. */
static gboolean extension_changes_bp(const struct reader *reader)
{
	guint8 op = reader->opcode;

	switch (reader->map) {
	case MAP_0F38:
		return op >= 0xf0 && (reader->reg == X86_BP || reader->also == X86_BP);
	case MAP_0F3A:
		if (op >= 0x14 && op <= 0x17) /* pextr */
			return reader->mod == 3 && reader->rm == X86_BP;
		return op == 0xf0 && reader->reg == X86_BP;
	case MAP_XOP_9:
		return op < 3 && reader->also == X86_BP;
	case MAP_XOP_10:
		return op == 0x10 && reader->reg == X86_BP;
	default:
		return FALSE;
	}
}

/* The same of what comes from vectors' registers: conversions, masks, moves. */
static gboolean vector_changes_bp(const struct reader *reader)
{
	switch (reader->opcode) {
	case 0x2c:
	case 0x2d:
		return reader->is_repeated && reader->reg == X86_BP;
	case 0x50:
	case 0xc5:
	case 0xd7:
		return reader->reg == X86_BP;
	case 0x7e:
		return !reader->is_repeated && reader->mod == 3 && reader->rm == X86_BP;
	default:
		return FALSE;
	}
}

/* The register that an instruction with ModRM changes, of whole words; X86_NO_REGISTER: none. Of what moves bytes nothing is said:
 * compilers keep neither of the two by those. */
static guint changed_register(const struct reader *reader)
{
	guint in_rm = reader->mod == 3 ? reader->rm : X86_NO_REGISTER;
	guint8 op = reader->opcode;

	if (reader->map > MAP_0F)
		return extension_changes_bp(reader) ? X86_BP : X86_NO_REGISTER;
	if (reader->map == MAP_0F) {
		if (vector_changes_bp(reader))
			return X86_BP;
		if (reader->is_vector)
			return X86_NO_REGISTER;
		if (op == 0xc1 && reader->reg == X86_BP) /* xadd */
			return X86_BP;
		if ((op & 0xf0) == 0x40 || op == 0xaf || op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf ||
		    (op >= 0xb8 && op <= 0xbd && op != 0xb9 && op != 0xba && op != 0xbb))
			return reader->reg;
		if (op == 0xa4 || op == 0xa5 || op == 0xac || op == 0xad || op == 0xab || op == 0xb3 || op == 0xbb ||
		    op == 0xb1 || op == 0xc1 || (op == 0xba && (reader->reg & 7) > 4))
			return in_rm;
		return X86_NO_REGISTER;
	}
	if (op < 0x38)
		return (op & 7) == 3 ? reader->reg : (op & 7) == 1 ? in_rm : X86_NO_REGISTER;
	switch (op) {
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8b:
	case 0x8d:
		return reader->reg;
	case 0x81:
	case 0x83:
		return (reader->reg & 7) == 7 ? X86_NO_REGISTER : in_rm; /* cmp */
	case 0x89:
	case 0xc1:
	case 0xc7:
	case 0xd1:
	case 0xd3:
		return in_rm;
	case 0xf7:
		return (reader->reg & 7) == 2 || (reader->reg & 7) == 3 ? in_rm : X86_NO_REGISTER;
	case 0xff:
		return (reader->reg & 7) < 2 ? in_rm : X86_NO_REGISTER;
	default:
		return X86_NO_REGISTER;
	}
}

static void set(struct x86 *x86, enum x86_effect effect, gint64 amount)
{
	x86->effect = effect;
	x86->amount = amount;
}

/* Those that change RSP or RBP to something that can be said. */
static gboolean find_known(const struct reader *reader, struct x86 *x86)
{
	gboolean is_wide = (reader->rex & PREFIX_REX_W) != 0;
	guint8 op = reader->opcode;

	if (is_wide && (op == 0x81 || op == 0x83) && reader->mod == 3 && reader->rm == X86_SP &&
	    ((reader->reg & 7) == 0 || (reader->reg & 7) == 5)) { /* add, sub */
		set(x86, X86_EFFECT_SP_ADD, (reader->reg & 7) == 0 ? reader->immediate : -reader->immediate);
	} else if (is_wide && op == 0x8d && reader->reg == X86_SP && is_of_sp(reader)) {
		set(x86, X86_EFFECT_SP_ADD, reader->displacement);
	} else if (is_wide && op == 0x8d && reader->reg == X86_SP && is_of_bp(reader)) {
		set(x86, X86_EFFECT_SP_OF_BP, reader->displacement);
	} else if (is_wide && op == 0x8d && reader->reg == X86_R10 && is_of_sp(reader)) {
		set(x86, X86_EFFECT_R10_OF_SP, reader->displacement);
	} else if (is_wide && op == 0x8d && reader->reg == X86_BP && is_of_sp(reader)) {
		set(x86, X86_EFFECT_BP_OF_SP, reader->displacement);
	} else if (is_wide && ((op == 0x89 && reader->reg == X86_SP && reader->mod == 3 && reader->rm == X86_BP) ||
			       (op == 0x8b && reader->rm == X86_SP && reader->mod == 3 && reader->reg == X86_BP))) {
		set(x86, X86_EFFECT_BP_OF_SP, 0);
	} else if (is_wide && ((op == 0x89 && reader->reg == X86_BP && reader->mod == 3 && reader->rm == X86_SP) ||
			       (op == 0x8b && reader->rm == X86_BP && reader->mod == 3 && reader->reg == X86_SP))) {
		set(x86, X86_EFFECT_SP_OF_BP, 0);
	} else if (is_wide && op == 0x89 && reader->reg == X86_BP && is_of_sp(reader)) {
		set(x86, X86_EFFECT_BP_STORED, reader->displacement);
	} else if (is_wide && op == 0x8b && reader->reg == X86_BP && is_of_sp(reader)) {
		set(x86, X86_EFFECT_BP_LOADED, reader->displacement);
	} else if ((op == 0x31 || op == 0x33) && reader->mod == 3 && reader->rm == X86_BP && reader->reg == X86_BP) {
		set(x86, X86_EFFECT_BP_CLEARED, 0);
	} else {
		return FALSE;
	}
	return TRUE;
}

static void find_modrm_effect(const struct reader *reader, struct x86 *x86)
{
	guint changed, exchanged = X86_NO_REGISTER;

	if (reader->map == MAP_1 && reader->opcode == 0x8f) { /* pop */
		x86->effect = X86_EFFECT_POP;
		x86->reg = reader->mod == 3 ? reader->rm : X86_NO_REGISTER;
		return;
	}
	if (reader->map == MAP_1 && reader->opcode == 0xff && (reader->reg & 7) == 6) {
		x86->effect = X86_EFFECT_PUSH;
		return;
	}
	if (reader->map == MAP_1 && find_known(reader, x86))
		return;
	changed = changed_register(reader);
	if (reader->map == MAP_1 && reader->opcode == 0x87 && reader->mod == 3) {
		changed = reader->rm;
		exchanged = reader->reg;
	}
	if (changed == X86_SP || exchanged == X86_SP)
		x86->effect = X86_EFFECT_SP_LOST;
	else if (changed == X86_BP || exchanged == X86_BP)
		x86->effect = X86_EFFECT_BP_LOST;
}

static void find_plain_effect(const struct reader *reader, struct x86 *x86)
{
	guint8 op = reader->opcode;
	guint low = (op & 7u) + (reader->rex & PREFIX_REX_B ? 8 : 0);

	if (reader->map == MAP_0F) { /* bswap, push and pop of segment registers */
		if (op >= 0xc8 && op < 0xd0 && low == X86_BP)
			x86->effect = X86_EFFECT_BP_LOST;
		else if (op == 0xa0 || op == 0xa8)
			x86->effect = X86_EFFECT_PUSH;
		else if (op == 0xa1 || op == 0xa9)
			x86->effect = X86_EFFECT_POP;
		return;
	}
	if (op >= 0x50 && op < 0x60) {
		x86->effect = op < 0x58 ? X86_EFFECT_PUSH : X86_EFFECT_POP;
		x86->reg = low;
	} else if (op == 0x68 || op == 0x6a || op == 0x9c) { /* push a number, the flags */
		x86->effect = X86_EFFECT_PUSH;
	} else if (op == 0x9d) {
		x86->effect = X86_EFFECT_POP;
	} else if (op == 0xc9) {
		x86->effect = X86_EFFECT_LEAVE;
	} else if (op == 0xc8 || ((op >= 0xb8 || (op > 0x90 && op < 0x98)) && op < 0xc0 && low == X86_SP)) {
		x86->effect = X86_EFFECT_SP_LOST; /* enter; mov, xchg */
	} else if ((op >= 0xb8 || (op > 0x90 && op < 0x98)) && op < 0xc0 && low == X86_BP) {
		x86->effect = X86_EFFECT_BP_LOST;
	}
}

/* `lea` of a place, `mov` of a number that may be one. */
static guint64 find_pointed(const struct reader *reader, guint64 next)
{
	if (reader->map != MAP_1 || reader->is_vector)
		return 0;
	if (reader->opcode == 0x8d && reader->is_of_ip)
		return next + (guint64)reader->displacement;
	if ((reader->opcode & 0xf8) == 0xb8 && !(reader->rex & PREFIX_REX_W))
		return (guint64)reader->immediate;
	return reader->opcode == 0xc7 ? (guint64)reader->immediate : 0;
}

gboolean x86_read(const guint8 *bytes, gsize room, guint64 address, struct x86 *x86)
{
	struct reader reader = { .at = bytes,
				 .end = bytes + MIN(room, (gsize)X86_INSTRUCTION_BYTES_MAX),
				 .base = X86_NO_REGISTER,
				 .also = X86_NO_REGISTER };

	*x86 = (struct x86){ .reg = X86_NO_REGISTER };
	if (!read_all(&reader))
		return FALSE;
	x86->length = (guint)(reader.at - bytes);
	find_flow(&reader, address + x86->length, x86);
	if (reader.has_modrm)
		find_modrm_effect(&reader, x86);
	else
		find_plain_effect(&reader, x86);
	if (reader.is_16bit && (x86->effect == X86_EFFECT_PUSH || x86->effect == X86_EFFECT_POP))
		x86->effect = X86_EFFECT_SP_LOST; /* two bytes: nobody does */
	x86->is_padding = !reader.is_vector && ((reader.map == MAP_1 && reader.opcode == 0x90 && !reader.rex) ||
						(reader.map == MAP_0F && reader.opcode == 0x1f));
	x86->pointed = find_pointed(&reader, address + x86->length);
	x86->is_relative = reader.is_of_ip;
	return TRUE;
}

gboolean x86_is_behind_call(const guint8 *end, gsize room, guint64 address, guint64 *target)
{
	*target = 0;
	for (guint length = 2; length <= 8 && length <= room; length++) {
		struct x86 x86;

		if (!x86_read(end - length, length, address - length, &x86) || x86.length != length)
			continue;
		if (x86.flow == X86_FLOW_CALL)
			*target = x86.target;
		if (x86.flow == X86_FLOW_CALL || x86.flow == X86_FLOW_CALL_AWAY)
			return TRUE;
	}
	return FALSE;
}
