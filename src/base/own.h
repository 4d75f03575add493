/* SPDX-License-Identifier: Apache-2.0 */
/* What this process itself takes. */
#pragma once
#include <glib.h>

/* How to start this very program once more: where it lies, or, when that file was replaced or removed since it was started, a path that means
 * it to this process and its children alone. Owned by the caller. */
char *own_program(void);
guint64 own_resident_bytes(void); /* memory; 0: not known */
/* Gives back what was needed once: pages of the heap that hold nothing, and pages of the program and its libraries, as they are in their files.
 * What is needed again comes back by itself, from the page cache. Takes a millisecond: for those who stay. */
void own_release(void);
