/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* User stacks where frame pointers do not carry: registers and a bounded copy of the top of the stack, walked in user space.
 *
 * Whether and how much is copied follows what user space learned of the process (map `stack_plans`). The copy is put behind
 * the kernel's frames of a record of its own, in memory that each CPU has, and goes through `stack_ring`, which wakes its
 * reader only when it fills: readers look regularly. Copies are for 64-bit programs of x86; others have frame pointers. */
#pragma once
#include "stack.bpf.h"

#define STACK_COPY_PAGE 4096
#define STACK_COPY_REACH (8 << 20) /* how deep a stack may be: the usual limit */
#define STACK_COPY_UNPLANNED (STACK_COPY_BYTES_MAX + 1) /* wanted, when nothing is known of a process */
#define STACK_COPY_HOLE_MAX (64 << 10)
#define STACK_COPY_PAGES (STACK_COPY_BYTES_MAX / STACK_COPY_PAGE + 1)
#define STACK_COPY_MASK (2 * STACK_COPY_BYTES_MAX - 1)
#define USER64_CS 0x33
#ifndef STACK_COPY_ALIGN
#define STACK_COPY_ALIGN 1 /* of a copy's first address */
#endif
#define PF_IO_WORKER 0x00000010 /* include/linux/sched.h: never was in user space */

const volatile bool stack_copying = true;
const volatile __u32 stack_wake_bytes = 256 << 10; /* in the ring */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STACK_PLANS);
	__type(key, u32); /* thread group */
	__type(value, struct stack_plan);
} stack_plans SEC(".maps");

/* What a process nothing is known of begins with: most live too short a time to be learned about. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STACK_NAMED_PLANS);
	__type(key, struct stack_name);
	__type(value, struct stack_plan);
} stack_named_plans SEC(".maps");

struct stack_copy_room {
	struct stack_record record;
	u8 rest[sizeof(struct stack_registers) + STACK_COPY_BYTES_MAX + STACK_COPY_PAGE + STACK_COPY_TAIL];
};

/* One for each CPU and slot: user space sets max_entries. (Per-CPU memory ends at 32 KiB.) */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack_copy_room);
} stack_copies SEC(".maps");

_Static_assert(STACK_COPY_PAGES <= 64, "a bit for each page");

static __always_inline struct stack_copy_room *stack_copy_room_get(u32 slot)
{
	u32 index = bpf_get_smp_processor_id() * STACK_SLOTS + slot;

	return bpf_map_lookup_elem(&stack_copies, &index);
}

/* How much of the current task's stack is to be copied now; 0: its frame pointers do, or it cannot be copied. */
static __always_inline u32 stack_copy_wanted(struct task_struct *task)
{
	u32 tgid = READ(task, tgid);
	struct stack_plan *plan;
	struct stack_name name;

	if (!stack_copying || !stack_user || (READ(task, flags) & (PF_KTHREAD | PF_IO_WORKER)))
		return 0;
	plan = bpf_map_lookup_elem(&stack_plans, &tgid);
	if (!plan) {
		stack_comm_read(name.comm, READ(task, group_leader));
		plan = bpf_map_lookup_elem(&stack_named_plans, &name);
	}
	if (!plan)
		return STACK_COPY_UNPLANNED;
	if (plan->one_in > 1 && bpf_get_prandom_u32() % plan->one_in)
		return 0;
	return plan->bytes > STACK_COPY_BYTES_MAX ? STACK_COPY_BYTES_MAX : plan->bytes;
}

/* The same of the outer end of a stack too deep to copy; of a process nothing is known of, that is looked at, too. */
static __always_inline u32 stack_copy_tail_wanted(struct task_struct *task)
{
	u32 tgid = READ(task, tgid);
	struct stack_plan *plan = bpf_map_lookup_elem(&stack_plans, &tgid);

	return plan ? plan->tail : STACK_COPY_TAIL;
}

/* The current task's; FALSE when it is no 64-bit program. */
static __always_inline bool stack_registers_read(struct stack_registers *registers)
{
#if defined(__TARGET_ARCH_x86)
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (READ(regs, cs) != USER64_CS)
		return false;
	registers->ip = READ(regs, ip);
	registers->sp = READ(regs, sp);
	registers->bp = READ(regs, bp);
	registers->r10 = READ(regs, r10);
	registers->bx = READ(regs, bx);
	registers->di = READ(regs, di);
	registers->holes = 0;
	registers->copied_from = (registers->sp - STACK_COPY_RED_ZONE) & ~(u64)(STACK_COPY_ALIGN - 1);
	return registers->sp != 0;
#else
	return false;
#endif
}

/* Places where the return address of a function of Go is not where RSP points. Written by user space, which has Go's tables: it is
 * what it was told that is believed, only where it is right. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STACK_PLACES);
	__type(key, struct stack_place);
	__type(value, u32); /* bytes above RSP */
} stack_places SEC(".maps");

/* Frame pointers do not lead to the caller of a function without a frame of its own, of which Go has many, nor while a frame is made
 * or left: of Go's processes the word is told that would be the return address, where it can be one. After the user half by
 * frame pointers. */
static __always_inline void stack_record_at_sp(struct stack_record *record, struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	u32 tgid = record->task.tgid;
	struct stack_plan *plan = record->user_count ? bpf_map_lookup_elem(&stack_plans, &tgid) : NULL;
	struct stack_place place = { .tgid = tgid };
	struct pt_regs *regs;
	u64 word = 0, start, depth;
	u32 *known;

	if (!plan || !plan->is_go)
		return;
	record->flags |= STACK_GO;
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	place.ip = READ(regs, ip);
	known = bpf_map_lookup_elem(&stack_places, &place);
	depth = known ? *known & ~7U : 0;
	record->at_sp = depth / 8 << STACK_AT_SP_BITS;
	if (depth && READ(regs, bp) == READ(regs, sp) + depth - 8)
		return; /* it has its frame */
	bpf_probe_read_user(&word, sizeof(word), (void *)(READ(regs, sp) + depth));
	start = BPF_CORE_READ(task, mm, start_code);
	if (word - start < BPF_CORE_READ(task, mm, end_code) - start)
		record->at_sp |= word;
#endif
}

/* How much there is between the stack pointer and where the thread began, where that is known: a program's first thread begins
 * where execve put it, and libc keeps the others' descriptors (the thread pointer) at the top of their stacks. 0: not known. */
static __always_inline u64 stack_depth_bytes(struct task_struct *task, u64 copied_from)
{
#if defined(__TARGET_ARCH_x86)
	u64 first = BPF_CORE_READ(task, mm, start_stack) - copied_from;
	u64 descriptor = BPF_CORE_READ(task, thread.fsbase) - copied_from;
	u64 depth = first < descriptor ? first : descriptor;

	return depth < STACK_COPY_REACH ? depth : 0;
#else
	return 0;
#endif
}

struct stack_copy_walk {
	struct stack_record
		*record; /* ->copy_bytes: end of the last page read; kept there because Linux 6.1 loses what a
					callback changes on its caller's stack */
	struct stack_registers *registers; /* in the record */
	u8 *to;
	u64 from;
	u32 bytes;
};

/* bpf_loop: one page more. Pages a large frame never touched are left out; a long row of them is the stack's end. */
static long stack_copy_page(u64 page, struct stack_copy_walk *walk)
{
	u64 at = walk->from + page * STACK_COPY_PAGE;
	u32 part = STACK_COPY_PAGE, bytes = walk->bytes, offset;

	if (page == 0)
		part -= at & (STACK_COPY_PAGE - 1);
	else
		at &= ~(u64)(STACK_COPY_PAGE - 1);
	offset = at - walk->from;
	if (offset >= bytes || offset > STACK_COPY_BYTES_MAX || page >= STACK_COPY_PAGES ||
	    offset > walk->record->copy_bytes + STACK_COPY_HOLE_MAX)
		return 1;
	if (part > bytes - offset)
		part = bytes - offset;
	asm volatile("" : "+r"(part)); /* the bound is clear to clang, but not to Linux 6.1 */
	if (part > STACK_COPY_PAGE)
		return 1;
	if (bpf_probe_read_user(walk->to + offset, part, (void *)at))
		walk->registers->holes |= 1ULL << (page & 63);
	else
		walk->record->copy_bytes = offset + part;
	return 0;
}

/* Copies registers and at most `bytes` of the current task's user stack behind the record's kernel frames (which must be
 * there already). FALSE when there is nothing to copy: then the record is as it was. Global: verified once. */
__noinline int stack_copy_take(struct stack_copy_room *room, u32 bytes)
{
	struct stack_registers registers;
	struct stack_record *record;
	u32 kernel;
	u64 depth;
	u8 *to;

	if (!room || !stack_registers_read(&registers))
		return false;
	record = &room->record;
	kernel = record->kernel_count;
	depth = stack_depth_bytes(bpf_get_current_task_btf(), registers.copied_from);
	if (bytes == STACK_COPY_UNPLANNED)
		bytes = depth ? STACK_COPY_BYTES_MAX : STACK_COPY_BYTES_FIRST;
	if (depth && depth <= bytes) {
		bytes = depth;
		record->flags |= STACK_COPY_ENDS;
	}
	asm volatile("" : "+r"(kernel), "+r"(bytes)); /* or clang drops the masks, which the verifier needs to see */
	to = (u8 *)&record->frames[kernel & STACK_DEPTH_MASK];
	__builtin_memcpy(to, &registers, sizeof(registers));
	to += sizeof(registers);
	bytes &= STACK_COPY_MASK;
	if (bytes > STACK_COPY_BYTES_MAX)
		return false;
	record->copy_bytes = bytes;
	if (bpf_probe_read_user(to, bytes, (void *)registers.copied_from)) {
		struct stack_registers *kept = (struct stack_registers *)to - 1;
		struct stack_copy_walk walk = { record, kept, to, registers.copied_from, bytes };

		record->copy_bytes = 0;
		bpf_loop(STACK_COPY_PAGES, stack_copy_page, &walk, 0);
		if (record->copy_bytes < bytes)
			record->flags |= STACK_COPY_ENDS;
	}
	if (record->copy_bytes == 0) {
		record->flags &= ~STACK_COPY_ENDS;
		return false;
	}
	record->flags |= STACK_COPIED;
	record->user_count = 0;
	return true;
}

/* Where a stack ends that reaches from `from` far beyond the longest copy; 0: it does not, its process needs no more of it, or
 * it is not known. */
static __always_inline u64 stack_copy_far_end(struct task_struct *task, u64 from)
{
	u64 depth = stack_copy_tail_wanted(task) ? stack_depth_bytes(task, from) : 0;

	return depth > STACK_COPY_BYTES_MAX + STACK_COPY_TAIL ? (from + depth) & ~7ULL : 0;
}

/* Where in the room what travels behind a copy is put; NULL: there is no copy. */
static __always_inline u8 *stack_copy_end(struct stack_copy_room *room)
{
	u32 kernel = room->record.kernel_count, bytes = room->record.copy_bytes;

	asm volatile("" : "+r"(kernel), "+r"(bytes)); /* or clang drops the mask, which the verifier needs to see */
	if (!bytes || bytes > STACK_COPY_BYTES_MAX)
		return NULL;
	return (u8 *)&room->record.frames[kernel & STACK_DEPTH_MASK] + sizeof(struct stack_registers) + bytes;
}

static __always_inline u64 stack_copy_wakeup(void)
{
	return bpf_ringbuf_query(&stack_ring, BPF_RB_AVAIL_DATA) >= stack_wake_bytes ? BPF_RB_FORCE_WAKEUP
										     : BPF_RB_NO_WAKEUP;
}

/* Sends what stack_copy_take made; FALSE when the ring is full (nothing counted). */
static __always_inline bool stack_copy_send(struct stack_copy_room *room, u32 id)
{
	struct stack_record *record = &room->record;
	u64 bytes = __builtin_offsetof(struct stack_record, frames) +
		    (u64)(record->kernel_count & STACK_DEPTH_MASK) * 8 + sizeof(struct stack_registers) +
		    (record->copy_bytes & STACK_COPY_MASK) + (record->tail_bytes & (2 * STACK_COPY_TAIL - 1));
	u64 wake = stack_copy_wakeup(); /* before the bound is looked at: Linux 6.1 forgets those it has to put aside */

	record->time_ns = bpf_ktime_get_ns();
	record->id = id;
	return bytes <= sizeof(*room) && bpf_ringbuf_output(&stack_ring, room, bytes, wake) == 0;
}
