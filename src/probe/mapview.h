/* SPDX-License-Identifier: Apache-2.0 */
/* An array of the kernel's (BPF_F_MMAPABLE) of which those pieces are mapped that somebody came to. The kernel maps what it is asked for page by
 * page, at once: of a table whose rows are for the most crowded machine all would be resident, whoever runs. Addresses stay what they are. */
#pragma once
#include <glib.h>

#define MAPVIEW_PIECES_MAX 1024 /* so many mappings at most; a piece is 16 KiB at least */

struct mapview;

/* `protection` as of mmap; `map_fd` stays the caller's, and open. NULL and errno. */
struct mapview *mapview_new(int map_fd, gsize bytes, int protection);
/* NULL is nobody's. */
void mapview_free(struct mapview *view);
/* Maps what is not yet; FALSE and errno. */
gboolean mapview_reach(struct mapview *view, gsize offset, gsize bytes);
/* The first byte: only what was reached may be touched. */
void *mapview_base(const struct mapview *view);
