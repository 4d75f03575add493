/* SPDX-License-Identifier: Apache-2.0 */
/* Documentation/admin-guide/mm/pagemap.rst */
#include "base/own.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"

#define OWN_PROGRAM "/proc/self/exe"
#define OWN_FILE_BYTES 4096
#define OWN_PAGES 512 /* that are looked at together */
#define OWN_PRESENT (G_GUINT64_CONSTANT(1) << 63)
#define OWN_SWAPPED (G_GUINT64_CONSTANT(1) << 62)
#define OWN_OF_FILE (G_GUINT64_CONSTANT(1) << 61)

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

/* Somebody who watches us may have changed a page (a breakpoint): it is no longer the file's, and would be lost. */
static gboolean pages_are_the_files(int pagemap, gsize from, gsize count, gsize page)
{
	guint64 entries[OWN_PAGES];
	gsize bytes = count * sizeof(*entries);

	if (pread(pagemap, entries, bytes, (off_t)(from / page * sizeof(*entries))) != (ssize_t)bytes)
		return FALSE;
	for (gsize i = 0; i < count; i++)
		if (entries[i] & OWN_SWAPPED || (entries[i] & OWN_PRESENT && !(entries[i] & OWN_OF_FILE)))
			return FALSE;
	return TRUE;
}

static void segment_release(int pagemap, gsize from, gsize to)
{
	gsize page = (gsize)sysconf(_SC_PAGESIZE);

	from = from / page * page;
	for (gsize count; from < to; from += count * page) {
		count = MIN((to - from + page - 1) / page, OWN_PAGES);
		if (pages_are_the_files(pagemap, from, count, page))
			madvise((void *)from, count * page, MADV_DONTNEED);
	}
}

/* dl_iterate_phdr's. What the linker writes to before it protects it again (RELRO) is in segments that can be written. */
static int object_release(struct dl_phdr_info *object, size_t bytes, void *user)
{
	(void)bytes;
	for (guint i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		gsize from = object->dlpi_addr + segment->p_vaddr;

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
			segment_release(*(const int *)user, from, from + segment->p_memsz);
	}
	return 0;
}

void own_release(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	malloc_trim(0);
	if (pagemap < 0)
		return;
	dl_iterate_phdr(object_release, &pagemap);
	close(pagemap);
}
