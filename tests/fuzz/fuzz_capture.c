/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of captures, and what is made of what it accepts. */
#include "fuzz_import.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	return fuzz_import("json", bytes, size);
}
