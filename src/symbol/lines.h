/* SPDX-License-Identifier: Apache-2.0 */
/* What DWARF says of addresses: the functions that were inlined there, and source files and lines.
 *
 * Read by elfutils' libdw, in a confined process (confined.h), because the information is a container's and huge: the
 * process is given the open files, a time and a memory limit, and answers address by address, in the order asked, so what
 * it found before a limit is kept. */
#pragma once
#include <glib.h>

#include "symbol/debugfile.h"

#define LINES_FRAMES_MAX 32 /* functions inlined into each other at one address; outer ones are kept */
#define LINES_NAME_MAX 4096
#define LINES_FILE_MAX 1024
#define LINES_ANSWER_MAX (64u << 20) /* bytes */

struct lines_frame {
	const char *name; /* a linker name, or a plain one; "" when not known; of the outermost: the function itself */
	const char *file; /* path as the compiler was told it; "" when not known */
	guint32 line; /* in that function; 0: not known */
};

struct lines_place { /* one address */
	const struct lines_frame *frames; /* innermost first; the last is the function itself; into `lines->frames` */
	guint count; /* 0: DWARF does not know the address, or it was not looked up */
	gboolean looked_up;
};

struct lines {
	struct lines_place *places; /* in the order of the addresses asked for */
	guint count;
	guint looked_up; /* the rest was not: a limit came first, or the file is damaged */
	/* private */
	struct lines_frame *frames;
	GStringChunk *strings;
};

/* Looks up `count` addresses, as the file counts them. Never NULL; waits at most `time_max_ns`. */
struct lines *lines_look_up(const struct debug_fds *fds, const guint64 *addresses, guint count, guint64 time_max_ns);
void lines_free(struct lines *lines);
typedef struct lines lines_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(lines_t, lines_free)

/* The two halves, for tests: what the confined process does in this one, and reading what it wrote (hostile, too). */
int lines_write(const struct debug_fds *fds, const guint64 *addresses, guint count, int out);
struct lines *lines_parse(GBytes *answer, guint count);
