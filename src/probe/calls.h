/* SPDX-License-Identifier: Apache-2.0 */
/* System calls, and through them files: what both halves agree on. */
#pragma once
#include "bpf/event.h"
#include "bpf/pace.h"
#include "bpf/table.h"

#define CALLS_NUMBERS 512 /* a power of two; above the highest number of a system call */

/* What a run is for. */
enum calls_mode {
	CALLS_SYSCALL = 0, /* histograms by system call and error */
	CALLS_FS = 1, /* histograms by file system and operation */
	CALLS_SLOW_SYSCALL = 2,
	CALLS_SLOW_FS = 3,
	CALLS_SLOW_FUTEX = 4,
	CALLS_FUTEX_WAITS = 5, /* histograms of waits, by what they are likely for and how they ended */
};

/* What a system call is, by its number. */
enum calls_class {
	CALLS_OTHER = 0,
	/* with a file in argument 0 */
	CALLS_READ = 1,
	CALLS_WRITE = 2,
	CALLS_PREAD = 3, /* the offset is argument 3 */
	CALLS_PWRITE = 4,
	CALLS_SYNC = 5,
	CALLS_FILE = 6, /* something else with a descriptor first */
	/* others */
	CALLS_OPEN = 7, /* the file is in the result */
	CALLS_FUTEX = 8,
	CALLS_WAIT = 9, /* sleeps because it was asked to: not slow */
};

enum calls_operation {
	CALLS_OPERATION_READ = 0,
	CALLS_OPERATION_WRITE = 1,
	CALLS_OPERATION_OPEN = 2,
	CALLS_OPERATION_SYNC = 3,
	CALLS_OPERATIONS = 4,
};

/* Labels of keys. */
#define CALLS_LABEL_SYSCALL(number, error) ((__u64)(number) << 32 | (__u32)(error))
#define CALLS_LABEL_FUTEX(lock, error) ((__u64)(lock) << 32 | (__u32)(error))
#define FUTEX_CMD_MASK 0x7f
#define FUTEX_CONTENDED 2 /* what a mutex of glibc holds while somebody waits for it */
#define CALLS_LABEL_FS(device, type, operation) ((__u64)(device) << 32 | (__u64)(type) << 8 | (operation))

struct calls_record {
	struct event_head head;
	__u64 latency_ns;
	__s64 result;
	__u64 arguments[4];
	__s64 offset; /* where it began; -1: not known */
	__u32 number; /* of the system call */
	__u32 class; /* enum calls_class */
	__u32 type; /* fs_types.h; 0: not known */
	__u32 mode; /* of the file: S_IFMT; 0: none */
	struct path_text path; /* of the file; sent as far as it goes */
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_syscall, probe_fs, probe_futex, probe_slow_syscall, probe_slow_fs, probe_slow_futex;
#endif
