/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The system call in the registers of sys_enter and sys_exit. At the exit the arguments still stand where they were,
 * except the first one on arm64, which is kept beside. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#if defined(__TARGET_ARCH_x86)
struct pt_regs___call {
	unsigned long orig_ax, di, si, dx, r10, r8, r9;
};
#define SYSCALL_NUMBER(regs) READ(regs, orig_ax)
#define SYSCALL_0(regs) READ(regs, di)
#define SYSCALL_1(regs) READ(regs, si)
#define SYSCALL_2(regs) READ(regs, dx)
#define SYSCALL_3(regs) READ(regs, r10)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___call {
	u64 regs[31];
	u64 orig_x0;
	s32 syscallno;
};
#define SYSCALL_NUMBER(regs) READ(regs, syscallno)
#define SYSCALL_0(regs) READ(regs, orig_x0)
#define SYSCALL_1(regs) READ(regs, regs[1])
#define SYSCALL_2(regs) READ(regs, regs[2])
#define SYSCALL_3(regs) READ(regs, regs[3])
#endif
#pragma clang attribute pop

static __always_inline s64 syscall_number(struct pt_regs *regs)
{
	return SYSCALL_NUMBER((struct pt_regs___call *)regs);
}

/* `index` 0 … 3, constant. */
static __always_inline u64 syscall_argument(struct pt_regs *regs, int index)
{
	struct pt_regs___call *call = (void *)regs;

	switch (index) {
	case 0:
		return SYSCALL_0(call);
	case 1:
		return SYSCALL_1(call);
	case 2:
		return SYSCALL_2(call);
	default:
		return SYSCALL_3(call);
	}
}
