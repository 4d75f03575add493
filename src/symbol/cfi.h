/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded reader of DWARF call frame information for x86-64: `.eh_frame` (LSB, psABI) and `.debug_frame` (DWARF 4, 6.4).
 *
 * What a compiler says about every register we reduce to what a walk needs: where the caller's frame begins (CFA) and
 * where RBP was kept. The return address lies right below the CFA, or in RDI (vfork): anything else becomes CFI_UNSUPPORTED.
 * A rule is one word, so that a row takes 8 bytes:
 *
 *     bits 28-31 enum cfi_kind     26-27 enum cfi_saved     17-25 slot, signed, in 8 bytes     0-16 offset, signed, in 8 bytes
 *
 * (An offset in bytes would need more than 16 bits: libLLVM has frames of 38 KiB.) Of CFI_SP_LARGE the slot has bits 22-25,
 * counted downwards from 0, and the offset 0-21, without a sign.
 * The bytes are a container's. Every scan has an end pointer. A section is read as a whole, records once, in order, and a
 * description refers only to a CIE read before it, so the work is linear in the section's length; or one description is read
 * for one address: the work is that of two records of limited length, and said. */
#pragma once
#include <glib.h>

#define CFI_SECTION_BYTES_MAX (64u << 20)
#define CFI_ROWS_MAX (8u << 20) /* before merging */
#define CFI_REMEMBER_MAX 16 /* nested DW_CFA_remember_state */
/* Of a record read alone; of those of GCC, LLVM, Node.js the longest has 20 KiB. */
#define CFI_FIND_BYTES_MAX (64u << 10)

#define CFI_ERROR (cfi_error_quark())
GQuark cfi_error_quark(void);
enum cfi_error {
	CFI_ERROR_ABSENT = 1, /* the file has no such information, or is not for x86-64 */
	CFI_ERROR_MALFORMED = 2,
	CFI_ERROR_TOO_LARGE = 3,
};

enum cfi_kind {
	CFI_NONE = 0, /* nobody described this code: frame-pointer step */
	CFI_SP = 1, /* CFA = RSP + offset */
	CFI_BP = 2, /* CFA = RBP + offset */
	CFI_BP_DEREF = 3, /* CFA = *(RBP + offset): a realigned frame */
	CFI_SP_DEREF = 4, /* CFA = *(RSP + offset) */
	CFI_SP_DEREF_8 = 5, /* CFA = *(RSP + offset) + 8: hand-written crypto */
	CFI_PLT = 6, /* CFA = RSP + offset, and 8 more when RIP % 16 >= slot */
	CFI_SIGNAL =
		7, /* all of RSP, RIP, RBP at RSP + offset, + 8, - 40: the kernel's frame around a signal handler */
	CFI_STOP = 8, /* a thread's first frame: it has no caller */
	CFI_UNSUPPORTED = 9, /* described by what a row cannot hold */
	CFI_R10 = 10, /* CFA = R10 + offset: while a realigned frame is made or left */
	CFI_BX = 11, /* CFA = RBX + offset: the dynamic linker, while it looks for a function called the first time */
	CFI_RETURN_DI = 12, /* CFA = RSP + offset, and the return address is in RDI: vfork */
	CFI_SP_LARGE = 13, /* CFA = RSP + offset, 512 KiB and more */
};

/* Where the caller's RBP is. */
enum cfi_saved {
	CFI_SAVED_KEPT = 0, /* still in RBP */
	CFI_SAVED_AT_CFA = 1, /* at CFA + slot */
	CFI_SAVED_AT_BP = 2, /* at RBP + slot */
	CFI_SAVED_LOST = 3, /* not to be had */
};

struct cfi_row {
	guint32 at; /* address - base; holds up to the next row */
	guint32 rule;
};

struct cfi_span { /* one description (FDE): code [start, end), counted from the base */
	guint32 start, end;
	guint32 first, count; /* of its rows, sorted; the first is at `start` */
	guint32 order; /* in which it was read */
};

struct cfi_section {
	const guint8 *bytes;
	gsize length;
	guint64 address; /* where the file wants it: pointers in .eh_frame are relative */
	gboolean is_debug_frame;
};

/* What reading yields. Owned by the caller. */
struct cfi_output {
	guint64 base; /* set by the caller */
	GArray *rows; /* struct cfi_row */
	GArray *spans; /* struct cfi_span */
	guint bad_spans; /* descriptions that could not be read, or lie outside [base, base + 4 GiB) */
};

guint32 cfi_rule(enum cfi_kind kind, gint64 offset_bytes, enum cfi_saved saved, gint64 slot_bytes);
static inline enum cfi_kind cfi_rule_kind(guint32 rule)
{
	return (enum cfi_kind)(rule >> 28);
}
static inline enum cfi_saved cfi_rule_saved(guint32 rule)
{
	return (enum cfi_saved)(rule >> 26 & 3);
}
static inline gint64 cfi_rule_slot(guint32 rule) /* bytes; of CFI_PLT: 8 times the remainder */
{
	if (cfi_rule_kind(rule) == CFI_SP_LARGE)
		return -(gint64)(rule >> 22 & 0xf) * 8;
	return (gint64)((gint32)(rule << 6) >> 23) * 8;
}
static inline gint64 cfi_rule_offset(guint32 rule) /* bytes */
{
	if (cfi_rule_kind(rule) == CFI_SP_LARGE)
		return (gint64)(rule & 0x3fffff) * 8;
	return (gint64)((gint32)(rule << 15) >> 15) * 8;
}

/* Adds a section's descriptions to `output`, in the section's order. FALSE when its records cannot even be told apart or a limit
 * is reached. A single description that cannot be understood is CFI_UNSUPPORTED from there on, and no error. */
gboolean cfi_read(const struct cfi_section *section, struct cfi_output *output, GError **error);

struct cfi_found {
	guint64 start, end; /* addresses the description is for; equal when the linker threw the code away */
	guint32 rule; /* when start < end */
	enum cfi_saved bx; /* where the caller's RBX is: CFI_SAVED_KEPT, _AT_CFA, _LOST */
	gint64 bx_slot; /* bytes */
	gsize work_bytes; /* at most so many were looked at; set in any case */
};

/* The rule that the description at byte `place` of .eh_frame has for `address`, or for the nearest address it covers: what
 * cfi_read would give. FALSE when no such description can be read there, or it lies outside [base, base + 4 GiB). */
gboolean cfi_find(const struct cfi_section *section, guint64 base, gsize place, guint64 address,
		  struct cfi_found *found);
