/* SPDX-License-Identifier: Apache-2.0 */
/* Is a Rust v0 name (RFC 2603) one that can be read in a bounded time? A name of 17 bytes may ask for 10^15 lifetimes. */
#pragma once
#include <glib.h>

#define RUSTNAME_STEPS_MAX 65536 /* productions, with those that are referred to */
#define RUSTNAME_DEPTH_MAX 200
#define RUSTNAME_LIFETIMES_MAX 64 /* one binder introduces */

/* `name` begins with _R. TRUE: it follows the grammar and unfolds to at most RUSTNAME_STEPS_MAX productions. */
gboolean rustname_is_bounded(const char *name);
