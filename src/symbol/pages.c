/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES 4096u

struct pages {
	int fd;
	guint64 offset;
	guint8 *bytes; /* private memory, which the kernel gives out as it is written to */
	gsize length, held;
	guint64 *have; /* a bit for each page */
};

struct pages *pages_new(int fd, guint64 offset, gsize length)
{
	struct pages *pages;
	void *bytes;

	if (length == 0)
		return NULL;
	/* cppcheck-suppress invalidFunctionArg ; -1 is no file */
	bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED)
		return NULL;
	pages = g_new0(struct pages, 1);
	*pages = (struct pages){ .fd = fd, .offset = offset, .bytes = bytes, .length = length };
	pages->have = g_new0(guint64, length / PAGE_BYTES / 64 + 1);
	return pages;
}

void pages_free(struct pages *pages)
{
	if (!pages)
		return;
	munmap(pages->bytes, pages->length);
	g_free(pages->have);
	g_free(pages);
}

const guint8 *pages_bytes(const struct pages *pages)
{
	return pages->bytes;
}

static gboolean page_read(struct pages *pages, gsize page)
{
	gsize at = page * PAGE_BYTES, end = MIN(at + PAGE_BYTES, pages->length);

	pages->held += end - at;
	while (at < end) {
		ssize_t n = pread(pages->fd, pages->bytes + at, end - at, (off_t)(pages->offset + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FALSE;
		at += (gsize)n;
	}
	return TRUE;
}

gboolean pages_need(struct pages *pages, gsize at, gsize length)
{
	gboolean good = TRUE;

	if (at >= pages->length || length == 0)
		return FALSE;
	length = MIN(length, pages->length - at);
	for (gsize page = at / PAGE_BYTES; page <= (at + length - 1) / PAGE_BYTES; page++) {
		guint64 bit = G_GUINT64_CONSTANT(1) << (page % 64);

		if (pages->have[page / 64] & bit)
			continue;
		pages->have[page / 64] |= bit; /* once: what cannot be read now is not asked for again and again */
		good &= page_read(pages, page);
	}
	return good;
}

gsize pages_held(const struct pages *pages)
{
	return pages->held;
}
