/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscalls.h"

static const char *const syscall_names[] = {
#include "syscall_names.inc"
};

const char *syscall_name(guint64 number)
{
	return number < G_N_ELEMENTS(syscall_names) ? syscall_names[number] : NULL;
}
