/* SPDX-License-Identifier: Apache-2.0 */
/* Names of code a JIT made: /tmp/perf-PID.map, lines "START SIZE name" in hexadecimal
 * (linux/tools/perf/Documentation/jit-interface.txt). Written by the observed process while we read.
 *
 * Runtimes reuse addresses and append: a later line wins over what it overlaps of earlier ones. */
#pragma once
#include <glib.h>

#define PERFMAP_FILE_MAX (64u << 20) /* bytes; the rest of a larger file is left out and counted */
#define PERFMAP_ENTRIES_MAX (2u << 20)
#define PERFMAP_NAME_MAX 1024 /* longer names are cut */

struct perfmap;

/* Takes over `fd`, an open regular file; reads nothing yet. */
struct perfmap *perfmap_new(int fd);
void perfmap_free(struct perfmap *map);
typedef struct perfmap perfmap_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(perfmap_t, perfmap_free)

/* Reads what was appended since the last time; everything again when the file shrank or was rewritten in place.
 * TRUE when anything changed. */
gboolean perfmap_update(struct perfmap *map);
/* NULL when no line covers `address`. The name lives until perfmap_update or perfmap_free. */
const char *perfmap_find(const struct perfmap *map, guint64 address, guint64 *offset);
guint perfmap_count(const struct perfmap *map); /* lines taken */
guint perfmap_dropped(const struct perfmap *map); /* malformed, or beyond a limit */
