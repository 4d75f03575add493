/* SPDX-License-Identifier: Apache-2.0 */
/* Who refuses kernel programs to a process that has the capabilities for them. */
#pragma once
#include <glib.h>

/* Asks the kernel for things that do not exist: what it answers tells how far the call came. A new sentence, or NULL when
 * nobody refuses. */
char *refusal_why(void);
