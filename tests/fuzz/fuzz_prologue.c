/* SPDX-License-Identifier: Apache-2.0 */
/* Machine code of a container from which callers are worked out: whatever it is, every question is answered in bounded time. */
#include <string.h>

#include "symbol/cfi.h"
#include "symbol/prologue.h"
#include "symbol/x86.h"

#define ADDRESS 0x400000

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

static void check_instructions(const guint8 *bytes, gsize size)
{
	struct x86 x86;
	guint64 target;

	for (gsize at = 0; at < size; at++) {
		if (x86_read(bytes + at, size - at, ADDRESS + at, &x86) &&
		    (x86.length == 0 || x86.length > MIN(size - at, (gsize)X86_INSTRUCTION_BYTES_MAX)))
			g_error("an instruction that cannot be");
		x86_is_behind_call(bytes + at, at, ADDRESS + at, &target);
	}
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	struct image image = { .bytes = { .fd = -1, .memory = bytes, .size = size },
			       .is_64bit = TRUE,
			       .machine = EM_X86_64,
			       .segments = { { .address = ADDRESS, .file_size = size, .executable = TRUE } },
			       .segment_count = 1 };
	g_autoptr(prologue_t) prologue = prologue_open(&image);

	check_instructions(bytes, size);
	for (gsize at = 0; prologue && at <= size; at++) {
		guint32 rule = prologue_find(prologue, ADDRESS + at);

		if (cfi_rule_kind(rule) == CFI_UNSUPPORTED || prologue_find(prologue, ADDRESS + at) != rule)
			g_error("a rule that cannot be");
		prologue_is_return(prologue, ADDRESS + at);
	}
	return 0;
}
