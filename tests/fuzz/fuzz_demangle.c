/* SPDX-License-Identifier: Apache-2.0 */
/* Names that unfold: the demangler is somebody else's code, its input a container's. */
#include <string.h>

#include "symbol/demangle.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	g_autofree char *name = g_strndup((const char *)bytes, size);
	g_autofree char *readable = demangle(name);

	if (readable && strlen(readable) > DEMANGLE_OUTPUT_MAX + 3)
		g_error("longer than promised");
	return 0;
}
