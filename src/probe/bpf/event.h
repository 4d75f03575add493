/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Single happenings on their way through a ring: what every record begins with. */
#pragma once
#include "shared.h"

struct event_head {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct stack_task task;
	__u32 inner_pid; /* of the process in its own pid namespace; 0: not known */
	__u32 kind; /* the probe's */
};

/* What a container's flood made us leave out (bpf/event.bpf.h). */
struct event_bucket {
	__u64 next_ns;
	__u64 left_out;
};

/* A file's path, as the task that uses it sees it: the names from the last to the first, each NUL-terminated. */
#define PATH_BYTES 1024
#define PATH_NAME 256 /* NUL included */

enum path_flags {
	PATH_COMPLETE = 1 << 0, /* up to the task's root directory */
	PATH_OUTSIDE = 1 << 1, /* met no mount above, but not the task's root: as its file system names it */
	PATH_CUT = 1 << 2, /* the first names are missing: too long */
};

struct path_text {
	__u64 dentry, mount, root_dentry, root_mount; /* where the walk is */
	__u32 flags; /* enum path_flags; 0: on no directory tree (pipe, socket) */
	__u32 bytes;
	char text[PATH_BYTES + PATH_NAME];
};
