/* SPDX-License-Identifier: Apache-2.0 */
/* Reads x86-64 machine code as far as following a stack needs (Intel SDM volume 2, appendix A): how long an instruction is,
 * where it goes on, and what it does to RSP and RBP. Instructions that do neither are only measured.
 *
 * The bytes are a container's: nothing behind the end that is given is read, and every sequence of bytes has an answer. */
#pragma once
#include <glib.h>

#define X86_INSTRUCTION_BYTES_MAX 15
#define X86_SP 4 /* numbers of registers, as instructions have them */
#define X86_BP 5
#define X86_R10 10
#define X86_BX 3
#define X86_R12 12
#define X86_R15 15
#define X86_NO_REGISTER 0xff

enum x86_flow {
	X86_FLOW_NEXT = 0,
	X86_FLOW_BRANCH = 1, /* to `target`, or on */
	X86_FLOW_JUMP = 2, /* to `target` */
	X86_FLOW_JUMP_AWAY = 3, /* to what a register or memory holds */
	X86_FLOW_CALL = 4, /* `target`, and comes back, as a rule */
	X86_FLOW_CALL_AWAY = 5,
	X86_FLOW_RETURN = 6,
	X86_FLOW_END = 7, /* nothing comes behind it: ud2, hlt, int3 */
};

enum x86_effect {
	X86_EFFECT_NONE = 0,
	X86_EFFECT_PUSH = 1, /* 8 bytes: `reg`, or X86_NO_REGISTER */
	X86_EFFECT_POP = 2,
	X86_EFFECT_SP_ADD = 3, /* RSP += amount */
	X86_EFFECT_SP_LOST = 4, /* RSP becomes something that is not said */
	X86_EFFECT_SP_OF_BP = 5, /* RSP = RBP + amount */
	X86_EFFECT_BP_OF_SP = 6, /* RBP = RSP + amount */
	X86_EFFECT_LEAVE = 7, /* RSP = RBP, then RBP is popped */
	X86_EFFECT_BP_STORED = 8, /* at RSP + amount */
	X86_EFFECT_BP_LOADED = 9, /* from RSP + amount */
	X86_EFFECT_BP_CLEARED = 10, /* RBP = 0, by `xor` */
	X86_EFFECT_BP_LOST = 11, /* RBP becomes something else */
	X86_EFFECT_R10_OF_SP = 12, /* R10 = RSP + amount: before RSP is aligned */
};

struct x86 {
	guint length;
	enum x86_flow flow;
	guint64 target; /* BRANCH, JUMP, CALL: an address */
	enum x86_effect effect;
	guint reg; /* PUSH, POP */
	gint64 amount;
	gboolean is_padding; /* nop */
	gboolean is_single; /* JUMP_AWAY: to what one place in memory holds, which is no table */
	guint64 pointed; /* an address that it makes (lea), or a number that may be one (mov); 0: none */
	gboolean is_relative; /* `pointed` is certainly an address */
};

/* The instruction of which at most `room` bytes are at `bytes`, for `address`. FALSE when there is no such. */
gboolean x86_read(const guint8 *bytes, gsize room, guint64 address, struct x86 *x86);
/* Whether a call ends at `end`, of which `room` bytes before it are known. `*target`: of a direct one, else 0. */
gboolean x86_is_behind_call(const guint8 *end, gsize room, guint64 address, guint64 *target);
