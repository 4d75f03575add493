/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/mapview.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAPVIEW_PIECE_MIN (16 << 10)

struct mapview {
	int fd, protection;
	guint8 *base; /* addresses that are nobody else's; what is not mapped cannot be touched */
	gsize bytes, piece;
	gboolean *is_mapped; /* by piece */
};

struct mapview *mapview_new(int map_fd, gsize bytes, int protection)
{
	gsize page = (gsize)sysconf(_SC_PAGESIZE), piece = MAX(page, MAPVIEW_PIECE_MIN);
	struct mapview *view;
	void *base;

	bytes = (bytes + page - 1) / page * page;
	while (bytes / piece >= MAPVIEW_PIECES_MAX)
		piece *= 2;
	base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	view = g_new0(struct mapview, 1);
	view->fd = map_fd;
	view->protection = protection;
	view->base = base;
	view->bytes = bytes;
	view->piece = piece;
	view->is_mapped = g_new0(gboolean, bytes / piece + 1);
	return view;
}

void mapview_free(struct mapview *view)
{
	if (!view)
		return;
	munmap(view->base, view->bytes);
	g_free(view->is_mapped);
	g_free(view);
}

static gboolean piece_map(struct mapview *view, gsize number)
{
	gsize from = number * view->piece, length = MIN(view->piece, view->bytes - from);

	if (mmap(view->base + from, length, view->protection, MAP_SHARED | MAP_FIXED, view->fd, (off_t)from) ==
	    MAP_FAILED)
		return FALSE;
	view->is_mapped[number] = TRUE;
	return TRUE;
}

gboolean mapview_reach(struct mapview *view, gsize offset, gsize bytes)
{
	if (bytes > view->bytes || offset > view->bytes - bytes) {
		errno = EINVAL;
		return FALSE;
	}
	for (gsize i = offset / view->piece; i * view->piece < offset + bytes; i++)
		if (!view->is_mapped[i] && !piece_map(view, i))
			return FALSE;
	return TRUE;
}

void *mapview_base(const struct mapview *view)
{
	return view->base;
}
