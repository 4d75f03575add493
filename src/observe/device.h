/* SPDX-License-Identifier: Apache-2.0 */
/* Names of block devices. */
#pragma once
#include <glib.h>

/* "vda" for major << 20 | minor, as the kernel's own dev_t; "8:0" when it has no name any more. Owned by the caller. */
char *device_name(guint64 number);
