/* SPDX-License-Identifier: Apache-2.0 */
/* Inlined functions and lines of the addresses an observation met, looked up together when it is over.
 *
 * A file's debug information is opened at the first address in it, since its process may be gone at the end. Each distinct
 * (file, address) is looked up once. Files are done one after the other, those with most addresses first, each with a
 * deadline of its own and all with one in common. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "symbol/lines.h"
#include "symbol/module.h"

#define INLINES_FILES_MAX 64 /* with debug information, kept open; in others nothing is looked up */
#define INLINES_PLACES_MAX (1u << 20)
#define INLINES_FILE_NS (5 * NS_PER_S)
#define INLINES_ALL_NS (20 * NS_PER_S)

struct inlines;

struct inlines *inlines_new(void);
void inlines_free(struct inlines *inlines);

/* Remembers an address of `module`, as the module counts them. Returns a number for inlines_get; 0 when the module has no
 * debug information, or a limit is reached (counted). */
guint32 inlines_add(struct inlines *inlines, struct modules *modules, struct module *module, guint64 address);
/* A debug file may have come meanwhile: looks again whether the module has debug information. */
void inlines_retry(struct inlines *inlines, struct modules *modules, struct module *module);
/* Looks up what was added since the last time. */
void inlines_settle(struct inlines *inlines);
/* NULL when it was not looked up in time, or DWARF knows nothing of it. Lives as long as `inlines`. */
const struct lines_place *inlines_get(const struct inlines *inlines, guint32 number);

/* One sentence for people about a file that was not looked up completely; NULL when there is none (any more). */
char *inlines_complaint(struct inlines *inlines, guint index);
