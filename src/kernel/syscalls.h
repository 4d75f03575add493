/* SPDX-License-Identifier: Apache-2.0 */
/* Names of system calls on this machine, from the kernel headers it was built with. */
#pragma once
#include <glib.h>

/* "read"; NULL for a number that was not known then. */
const char *syscall_name(guint64 number);
