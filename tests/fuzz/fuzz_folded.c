/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of folded stacks, and what is made of what it accepts. */
#include "fuzz_import.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	return fuzz_import("folded", bytes, size);
}
