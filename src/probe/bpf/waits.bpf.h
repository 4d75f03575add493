/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a thread that is off its CPU waits for, told without its stack: by the system call it is in and the kind of file
 * that call is about. User space fills the table of calls: their numbers are the machine's. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "syscall.bpf.h"
#include "tasks_record.h"

#define WAITS_FILES (1 << 20) /* a descriptor above it is not looked up */

#define WAITS_STOPPED (0x4 | 0x8) /* include/linux/sched.h: __TASK_STOPPED, __TASK_TRACED */
#define WAITS_TYPE 0170000 /* include/uapi/linux/stat.h: S_IFMT */
#define WAITS_SOCKET 0140000
#define WAITS_REGULAR 0100000
#define WAITS_BLOCK 0060000
#define WAITS_DIRECTORY 0040000
#define WAITS_FIFO 0010000

const volatile __u8 waits_of_call[TASKS_CALLS] = {}; /* enum tasks_wait, or TASKS_WAIT_BY_FILE */

#if defined(__TARGET_ARCH_x86)
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs___waits {
	unsigned long cs;
};
#pragma clang attribute pop
#define WAITS_CS_32 0x23
#endif

/* Calls of 32-bit programs have other numbers. */
static __always_inline bool waits_is_32bit(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return READ((struct pt_regs___waits *)regs, cs) == WAITS_CS_32;
#else
	return false;
#endif
}

static __always_inline u32 waits_of_file(struct task_struct *task, u64 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if (!table || fd >= WAITS_FILES || fd >= BPF_CORE_READ(table, max_fds))
		return TASKS_WAIT_OTHER;
	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	switch (BPF_CORE_READ(file, f_inode, i_mode) & WAITS_TYPE) {
	case WAITS_SOCKET:
		return TASKS_WAIT_NET;
	case WAITS_FIFO:
		return TASKS_WAIT_PIPE;
	case WAITS_REGULAR:
	case WAITS_BLOCK:
	case WAITS_DIRECTORY:
		return TASKS_WAIT_IO;
	default:
		return TASKS_WAIT_OTHER;
	}
}

/* Of a thread that sleeps. */
static __always_inline u32 waits_for(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	bool for_disk = BPF_CORE_READ_BITFIELD(task, in_iowait);
	s64 call = (s32)syscall_number(regs);
	u32 wait;

	if (task->__state & WAITS_STOPPED)
		return TASKS_WAIT_OTHER;
	if (call < 0) /* no call: it was interrupted where it touched memory */
		return TASKS_WAIT_PAGEFAULT;
	if (for_disk)
		return TASKS_WAIT_IO;
	if (call >= TASKS_CALLS || waits_is_32bit(regs))
		return TASKS_WAIT_OTHER;
	wait = waits_of_call[call & (TASKS_CALLS - 1)];
	return wait == TASKS_WAIT_BY_FILE ? waits_of_file(task, syscall_argument(regs, 0)) : wait;
}
