/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a file of which only the pages asked for are read: what is read lies where it would in the whole, the rest is
 * zero and takes no memory. The file is a container's: it is not mapped, a page that cannot be read stays zero. */
#pragma once
#include <glib.h>

struct pages;

/* `fd` stays the caller's, and must be open as long as pages are read. NULL when there is no room. */
struct pages *pages_new(int fd, guint64 offset, gsize length);
void pages_free(struct pages *pages);
typedef struct pages pages_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(pages_t, pages_free)

const guint8 *pages_bytes(const struct pages *pages); /* all of the part: valid up to pages_free */
/* Makes sure that [at, at + length) was read; what lies beyond the part is left out. FALSE: some of it cannot be. */
gboolean pages_need(struct pages *pages, gsize at, gsize length);
gsize pages_held(const struct pages *pages); /* bytes read */
