/* SPDX-License-Identifier: Apache-2.0 */
/* Why a thread is blocked, told from the names on its kernel stack, else from the system call it is in. Pure. */
#pragma once
#include <glib.h>

/* Explicit values: only grow at the end. */
enum cause {
	CAUSE_OTHER = 0,
	CAUSE_DISK = 1, /* files and block devices */
	CAUSE_LOCK = 2, /* futexes and the kernel's own locks */
	CAUSE_NETWORK = 3, /* sockets, local ones too */
	CAUSE_SLEEP = 4, /* asked for */
	CAUSE_PAGE_FAULT = 5,
	CAUSE_CHILD = 6, /* waiting for a child process */
	CAUSE_EVENT = 7, /* epoll, poll, select, io_uring, eventfd, signals: whatever comes first */
	CAUSE_PIPE = 8,
	CAUSE_TERMINAL = 9,
	CAUSE_STOPPED = 10, /* by a signal, a debugger or the freezer */
	CAUSE_MEMORY = 11, /* the kernel makes room, or the cgroup's limit is reached */
	CAUSE_IDLE = 12, /* a kernel thread without work */
	CAUSES = 13,
};

/* `kernel_names`: functions of the kernel stack, innermost first, compiler suffixes (".isra.0") allowed; may be empty or
 * hold NULLs for frames without a name. `syscall`: its number, -1 when none. `flags`: enum probe_stack_flags. */
enum cause cause_classify(const char *const *kernel_names, guint n, gint syscall, guint32 flags);
/* "disk", "page fault", … */
const char *cause_name(enum cause cause);

/* How many of the innermost frames are the observer's own and the scheduler's, up to and with __schedule: the same in
 * every blocked stack, and different only by how the stack was taken. 0 when there is no __schedule. */
guint cause_skip(const char *const *kernel_names, guint n);
