/* SPDX-License-Identifier: Apache-2.0 */
/* Debug files from the servers the user configured (DEBUGINFOD_URLS), by build-id, through elfutils' libdebuginfod and its cache.
 *
 * Only when the user asked for it: a server learns which programs run here. Each file is fetched by a process of its own
 * (confined.h) with limits of time and size; the library and what it drags in (TLS, HTTP) are loaded there only. What
 * arrives counts when its build-id is the one asked for, as with any other debug file. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "symbol/image.h"

#define DEBUGINFOD_FILES_MAX 64 /* asked for in one observation */
#define DEBUGINFOD_PARALLEL 4
#define DEBUGINFOD_FILE_NS (60 * NS_PER_S)
#define DEBUGINFOD_ALL_NS (60 * NS_PER_S) /* from the first debuginfod_take on */
#define DEBUGINFOD_FILE_BYTES_MAX (G_GUINT64_CONSTANT(2) << 30)

struct debuginfod;

/* TRUE when the user's environment names servers. */
gboolean debuginfod_is_configured(void);

struct debuginfod *debuginfod_new(void);
void debuginfod_free(struct debuginfod *debuginfod);
/* Asks for the file, in the background; `owner` names it in debuginfod_take. Once for each owner. */
void debuginfod_want(struct debuginfod *debuginfod, gpointer owner, const guint8 *build_id, gsize size);
/* Waits for the next one asked for. FALSE when there is none left. `*fd` is the open file, owned by the caller, or -1 and
 * `error`. */
gboolean debuginfod_take(struct debuginfod *debuginfod, gpointer *owner, int *fd, GError **error);
