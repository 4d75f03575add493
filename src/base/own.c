/* SPDX-License-Identifier: Apache-2.0 */
#include "base/own.h"

#include <unistd.h>

#include "base/file.h"

#define OWN_FILE_BYTES 4096

guint64 own_resident_bytes(void)
{
	g_autofree char *text = file_read("/proc/self/statm", OWN_FILE_BYTES, NULL, NULL);
	char *end = NULL;

	if (!text)
		return 0;
	g_ascii_strtoull(text, &end, 10); /* what is mapped */
	return g_ascii_strtoull(end, NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}
