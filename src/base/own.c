/* SPDX-License-Identifier: Apache-2.0 */
#include "base/own.h"

#include <glib/gstdio.h>
#include <unistd.h>

#include "base/file.h"

#define OWN_PROGRAM "/proc/self/exe"
#define OWN_FILE_BYTES 4096

char *own_program(void)
{
	g_autofree char *path = g_file_read_link(OWN_PROGRAM, NULL);
	GStatBuf at_path, running;

	if (path && g_stat(path, &at_path) == 0 && g_stat(OWN_PROGRAM, &running) == 0 &&
	    at_path.st_dev == running.st_dev && at_path.st_ino == running.st_ino)
		return g_steal_pointer(&path);
	return g_strdup(OWN_PROGRAM);
}

guint64 own_resident_bytes(void)
{
	g_autofree char *text = file_read("/proc/self/statm", OWN_FILE_BYTES, NULL, NULL);
	char *end = NULL;

	if (!text)
		return 0;
	g_ascii_strtoull(text, &end, 10); /* what is mapped */
	return g_ascii_strtoull(end, NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}
