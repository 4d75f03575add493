/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/device.h"

#include <string.h>

#include "base/file.h"

#define DEVICE_UEVENT_BYTES 4096
#define DEVICE_MINOR_BITS 20

char *device_name(guint64 number)
{
	guint major = (guint)(number >> DEVICE_MINOR_BITS), minor = number & ((1u << DEVICE_MINOR_BITS) - 1);
	g_autofree char *path = g_strdup_printf("/sys/dev/block/%u:%u/uevent", major, minor);
	g_autofree char *text = file_read(path, DEVICE_UEVENT_BYTES, NULL, NULL);
	const char *found = text ? strstr(text, "DEVNAME=") : NULL;

	if (!found)
		return g_strdup_printf("%u:%u", major, minor);
	found += strlen("DEVNAME=");
	return g_strndup(found, strcspn(found, "\n"));
}
