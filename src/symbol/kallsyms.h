/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel functions by address, from the text of /proc/kallsyms: the kernel, its modules and BPF programs. */
#pragma once
#include <glib.h>

#include "symbol/symtab.h"

/* Reads `path` (/proc/kallsyms; another file in tests). The tag of each symbol is its module. Never NULL: an empty
 * table when it cannot be read; `hidden` becomes TRUE when the kernel shows all addresses as zero (kptr_restrict). */
struct symtab *kallsyms_load(const char *path, gboolean *hidden);
