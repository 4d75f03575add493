/* SPDX-License-Identifier: Apache-2.0 */
/* A JIT's map file that is written while it is read: the first half of the input, then all of it, then another file in
 * its place. */
#include <sys/mman.h>
#include <unistd.h>

#include "symbol/perfmap.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

static void look_around(const struct perfmap *map)
{
	guint64 offset;

	for (guint64 address = 0; address < 0x10000; address += 0x40)
		perfmap_find(map, address, &offset);
	perfmap_find(map, G_MAXUINT64, &offset);
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	g_autoptr(perfmap_t) map = fd >= 0 ? perfmap_new(fd) : NULL;

	if (!map || pwrite(fd, bytes, size / 2, 0) != (gssize)(size / 2))
		return 0;
	perfmap_update(map);
	look_around(map);
	if (pwrite(fd, bytes, size, 0) != (gssize)size)
		return 0;
	perfmap_update(map);
	look_around(map);
	if (ftruncate(fd, (off_t)size / 3) == 0)
		perfmap_update(map);
	look_around(map);
	return 0;
}
