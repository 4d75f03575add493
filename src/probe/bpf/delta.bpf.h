/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sends what stack_copy_take made, without the words its reader knows already (delta.h). */
#pragma once
#include "copy.bpf.h"
#include "delta.h"

#define STACK_DELTA_HEAD_WORDS (__builtin_offsetof(struct stack_record, frames) / 8)
#define STACK_DELTA_EXTRA_WORDS ((sizeof(struct stack_registers) + sizeof(struct stack_delta)) / 8)
#define STACK_DELTA_COPY_WORDS (STACK_COPY_BYTES_MAX / 8)
#define STACK_DELTA_GROUPS (STACK_COPY_BYTES_MAX / STACK_DELTA_GROUP_BYTES)
#define STACK_DELTA_MASK_WORDS (STACK_DELTA_GROUPS / 8)
#define STACK_DELTA_WORDS                                                                                              \
	(STACK_DELTA_HEAD_WORDS + STACK_DEPTH + STACK_DELTA_EXTRA_WORDS + STACK_DELTA_GROUPS / 64 +                    \
	 STACK_DELTA_COPY_WORDS + STACK_DELTA_GROUP + STACK_DELTA_MASK_WORDS)
#define STACK_DELTA_PAGE_BYTES (1 << STACK_DELTA_PAGE_BITS)
#define STACK_DELTA_NOTHING STACK_DELTA_PAGES /* the page that stays zero */

_Static_assert(__builtin_offsetof(struct stack_record, frames) % 8 == 0, "a record is sent in whole words");
_Static_assert(STACK_COPY_ALIGN == STACK_DELTA_GROUP_BYTES, "no group lies in two pages");
_Static_assert(STACK_DELTA_PAGE_BYTES == STACK_COPY_PAGE, "as many pages as a copy has");

struct stack_delta_page {
	u32 busy; /* somebody guesses from it */
	u32 pad;
	u64 words[STACK_DELTA_PAGE_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STACK_DELTA_PAGES + 1);
	__type(key, u32);
	__type(value, struct stack_delta_page);
} stack_delta_pages SEC(".maps");

struct stack_delta_room {
	u64 known;
	u32 count; /* words of the copy written */
	u32 changed; /* groups that did */
	u32 map_at, words_at; /* in `words`: where the bits of the groups and the copy's words begin */
	u64 words[STACK_DELTA_WORDS];
	u8 masks[STACK_DELTA_GROUPS]; /* of those groups, until all words are there */
};

/* One for each CPU: user space sets max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack_delta_room);
} stack_deltas SEC(".maps");

struct stack_delta_walk { /* read only for callbacks */
	struct stack_copy_room *room;
	struct stack_delta_room *out;
	u64 from; /* of the copy */
	u32 bytes;
	u32 tid;
};

/* The words of the copy; what lies behind is room for STACK_COPY_BYTES_MAX and a page. */
static __always_inline u64 *stack_delta_raw(struct stack_copy_room *room)
{
	u32 kernel = room->record.kernel_count;

	asm volatile("" : "+r"(kernel)); /* or clang drops the mask, which the verifier needs to see */
	return &room->record.frames[kernel & STACK_DEPTH_MASK] + sizeof(struct stack_registers) / 8;
}

static __always_inline struct stack_delta_page *stack_delta_page(u32 index)
{
	return bpf_map_lookup_elem(&stack_delta_pages, &index);
}

/* The copy's page `i`; NULL behind the last. */
static __always_inline struct stack_delta_page *stack_delta_page_at(const struct stack_delta_walk *walk, u64 i)
{
	u64 address = (walk->from & ~(u64)(STACK_DELTA_PAGE_BYTES - 1)) + i * STACK_DELTA_PAGE_BYTES;

	return address < walk->from + walk->bytes ? stack_delta_page(stack_delta_page_of(walk->tid, address)) : NULL;
}

/* bpf_loop: takes the copy's page `i`. One that another CPU is at is not waited for. */
static long stack_delta_take(u64 i, struct stack_delta_walk *walk)
{
	struct stack_delta_page *page = stack_delta_page_at(walk, i);

	if (!page)
		return 1;
	if (__sync_val_compare_and_swap(&page->busy, 0, 1) == 0)
		walk->out->known |= 1ULL << (i & 63);
	return 0;
}

/* bpf_loop: gives it back. */
static long stack_delta_release(u64 i, struct stack_delta_walk *walk)
{
	struct stack_delta_page *page = stack_delta_page_at(walk, i);

	if (!page)
		return 1;
	if (walk->out->known >> (i & 63) & 1)
		__sync_lock_test_and_set(&page->busy, 0);
	return 0;
}

/* A group of the copy, and what is needed of the page it lies in. */
struct stack_delta_group {
	const u64 *now;
	u64 *guess;
	u64 *map; /* with the group's bit */
	bool is_known;
};

/* FALSE behind the last. */
static __always_inline bool stack_delta_group_at(const struct stack_delta_walk *walk, u64 i,
						 struct stack_delta_group *group)
{
	u32 at = (u32)i * STACK_DELTA_GROUP_BYTES;
	u64 address = walk->from + at;
	u32 in_page = address / 8 & (STACK_DELTA_PAGE_WORDS - 1);
	u32 map_at = walk->out->map_at + (u32)i / 64;
	u64 page_of_copy = (address >> STACK_DELTA_PAGE_BITS) - (walk->from >> STACK_DELTA_PAGE_BITS);
	struct stack_delta_page *page;

	group->is_known = walk->out->known >> (page_of_copy & 63) & 1;
	page = stack_delta_page(group->is_known ? stack_delta_page_of(walk->tid, address) : STACK_DELTA_NOTHING);
	asm volatile("" : "+r"(at), "+r"(in_page), "+r"(map_at)); /* the bounds must stay */
	if (!page || at >= walk->bytes || at > STACK_COPY_BYTES_MAX || map_at >= STACK_DELTA_WORDS ||
	    in_page > STACK_DELTA_PAGE_WORDS - STACK_DELTA_GROUP)
		return false;
	group->now = stack_delta_raw(walk->room) + at / 8;
	group->guess = &page->words[in_page];
	group->map = &walk->out->words[map_at];
	return true;
}

/* bpf_loop: what changed of group `i`. */
static long stack_delta_encode(u64 i, struct stack_delta_walk *walk)
{
	struct stack_delta_room *out = walk->out;
	u32 words_at = out->words_at + out->count, mask_at = out->changed, count;
	struct stack_delta_group group;
	u8 *mask;
	u64 *to;

	if (!stack_delta_group_at(walk, i, &group))
		return 1;
	asm volatile("" : "+r"(words_at));
	if (words_at > STACK_DELTA_WORDS - STACK_DELTA_GROUP)
		return 1;
	to = &out->words[words_at];
	asm volatile(""
		     : "+r"(to)); /* the pointer is kept, not the number: 6.1 forgets the bound of a number put aside */
	asm volatile("" : "+r"(mask_at));
	if (mask_at >= STACK_DELTA_GROUPS)
		return 1;
	mask = &out->masks[mask_at];
	asm volatile("" : "+r"(mask));
	count = stack_delta_group(group.now, group.guess, to, mask);
	out->count += count;
	out->changed += count > 0;
	*group.map = (i & 63 ? *group.map : 0) | (u64)(count > 0) << (i & 63);
	return 0;
}

/* bpf_loop: what was sent of group `i` is what its reader knows from now on. */
static long stack_delta_keep(u64 i, struct stack_delta_walk *walk)
{
	struct stack_delta_group group;

	if (!stack_delta_group_at(walk, i, &group))
		return 1;
	if (group.is_known && *group.map >> (i & 63) & 1)
		__builtin_memcpy(group.guess, group.now, STACK_DELTA_GROUP_BYTES);
	return 0;
}

/* What stands before the bits of the groups: the record, its kernel frames and registers, and how to read on. */
static __always_inline bool stack_delta_begin(struct stack_copy_room *room, struct stack_delta_room *out)
{
	u32 kernel = room->record.kernel_count & STACK_DEPTH_MASK, words;

	words = STACK_DELTA_HEAD_WORDS + kernel + sizeof(struct stack_registers) / 8;
	out->known = 0;
	out->count = out->changed = 0;
	out->map_at = words + sizeof(struct stack_delta) / 8;
	out->words_at = out->map_at + stack_delta_map_words(stack_delta_groups(room->record.copy_bytes));
	asm volatile("" : "+r"(words));
	if (words > STACK_DELTA_HEAD_WORDS + STACK_DEPTH + sizeof(struct stack_registers) / 8)
		return false;
	return bpf_probe_read_kernel(out->words, words * 8, &room->record) == 0;
}

/* The masks, behind the words. */
static __always_inline bool stack_delta_end(struct stack_delta_room *out)
{
	u32 at = out->words_at + out->count, bytes = out->changed;

	asm volatile("" : "+r"(at), "+r"(bytes));
	if (at > STACK_DELTA_WORDS - STACK_DELTA_MASK_WORDS || bytes > STACK_DELTA_GROUPS)
		return false;
	return bpf_probe_read_kernel(&out->words[at], bytes, out->masks) == 0;
}

static __always_inline bool stack_delta_output(struct stack_copy_room *room, struct stack_delta_room *out, u32 tid)
{
	struct stack_delta head = { .known = out->known, .tid = tid, .words = out->count };
	u32 at = out->map_at - sizeof(head) / 8, words = out->words_at + out->count + (out->changed + 7) / 8;
	u64 wake = stack_copy_wakeup(); /* before the bounds are looked at, as in stack_copy_send */

	asm volatile("" : "+r"(at), "+r"(words));
	if (at > STACK_DELTA_HEAD_WORDS + STACK_DEPTH + sizeof(struct stack_registers) / 8 || words > STACK_DELTA_WORDS)
		return false;
	__builtin_memcpy(&out->words[at], &head, sizeof(head));
	return bpf_ringbuf_output(&stack_ring, out->words, (u64)words * 8, wake) == 0;
}

/* Sends what stack_copy_take made of the thread `tid`. FALSE when the ring is full (nothing counted). Global: verified once. */
__noinline int stack_delta_send(struct stack_copy_room *room, u32 tid)
{
	u32 cpu = bpf_get_smp_processor_id(), bytes, groups;
	struct stack_delta_room *out = bpf_map_lookup_elem(&stack_deltas, &cpu);
	struct stack_delta_walk walk = { .room = room, .out = out, .tid = tid };
	bool is_sent;
	u8 *end;

	if (!room || !out)
		return false;
	walk.bytes = bytes = room->record.copy_bytes;
	walk.from = ((const struct stack_registers *)stack_delta_raw(room))[-1].copied_from;
	if (walk.from % STACK_DELTA_GROUP_BYTES)
		return false;
	end = (u8 *)stack_delta_raw(room);
	asm volatile("" : "+r"(bytes), "+r"(end)); /* nothing between the bound and its use, or 6.1 forgets it */
	if (bytes > STACK_COPY_BYTES_MAX)
		return false;
	/* Zeros (what a read that fails leaves) behind the copy's end, where its last group may reach. */
	bpf_probe_read_kernel(end + bytes, STACK_DELTA_GROUP_BYTES, NULL);
	room->record.time_ns = bpf_ktime_get_ns();
	room->record.id = STACK_NO_ID;
	room->record.flags |= STACK_DELTA;
	if (!stack_delta_begin(room, out))
		return false;
	groups = stack_delta_groups(bytes);
	bpf_loop(STACK_COPY_PAGES, stack_delta_take, &walk, 0);
	bpf_loop(groups, stack_delta_encode, &walk, 0);
	is_sent = stack_delta_end(out) && stack_delta_output(room, out, tid);
	if (is_sent)
		bpf_loop(groups, stack_delta_keep, &walk, 0);
	bpf_loop(STACK_COPY_PAGES, stack_delta_release, &walk, 0);
	return is_sent;
}

/* A handler runs on the stack that sigaltstack gave it. */
static __always_inline bool stack_is_other(struct task_struct *task, u64 sp)
{
	u64 bytes = READ(task, sas_ss_size);

	return bytes && sp - READ(task, sas_ss_sp) < bytes;
}

/* Where the current task's stack ends, when stack_copy_take cannot reach so far from its stack pointer: because a frame is too large
 * (looked at when it `is_deep`), or because that is on another stack. 0: it can, or it is not known. */
static __always_inline u64 stack_far_end(const struct stack_registers *registers, bool is_deep)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = bpf_get_current_task_btf();
	u64 depth;

	if (stack_is_other(task, registers->sp))
		return READ(task, pid) == READ(task, tgid) ? BPF_CORE_READ(task, mm, start_stack)
							   : BPF_CORE_READ(task, thread.fsbase);
	depth = is_deep ? stack_depth_bytes(task, registers->copied_from) : 0;
	return depth > STACK_COPY_BYTES_MAX ? registers->copied_from + depth : 0;
#else
	return 0;
#endif
}

/* Reads user memory from `registers->copied_from` up to `end` behind the registers of a record without frames → bytes; 0: not
 * to be had. */
static __always_inline u32 stack_tail_read(struct stack_record *record, struct stack_registers *registers, u64 end)
{
	u32 bytes = end - registers->copied_from;

	asm volatile("" : "+r"(bytes));
	if (bytes > STACK_COPY_TAIL + STACK_COPY_ALIGN)
		return 0;
	__builtin_memcpy(record->frames, registers, sizeof(*registers));
	return bpf_probe_read_user((u8 *)record->frames + sizeof(*registers), bytes, (void *)registers->copied_from)
		       ? 0
		       : bytes;
}

/* Copies and sends the outermost STACK_COPY_TAIL bytes of the current task's user stack, or what of them was ever touched, when
 * stack_far_end knows. The record is without frames, and afterwards as it was. Global: verified once. */
__noinline int stack_delta_send_tail(struct stack_copy_room *room, u32 tid, u32 is_deep)
{
	struct stack_registers registers;
	struct stack_record *record;
	u64 end, last_page;
	u32 bytes;

	if (!room || !stack_registers_read(&registers))
		return false;
	record = &room->record;
	end = stack_far_end(&registers, is_deep);
	if (!end || record->kernel_count)
		return false;
	last_page = (end - 1) & ~(u64)(STACK_COPY_PAGE - 1);
	registers.copied_from = (end - STACK_COPY_TAIL) & ~(u64)(STACK_COPY_ALIGN - 1);
	bytes = stack_tail_read(record, &registers, end);
	if (!bytes) {
		registers.copied_from = last_page - STACK_COPY_PAGE;
		bytes = stack_tail_read(record, &registers, end);
	}
	if (!bytes) {
		registers.copied_from = last_page;
		bytes = stack_tail_read(record, &registers, end);
	}
	if (!bytes)
		return false;
	record->copy_bytes = bytes;
	record->flags |= STACK_COPIED | STACK_TAIL;
	stack_delta_send(room, tid);
	record->copy_bytes = 0;
	record->flags &= ~(STACK_COPIED | STACK_TAIL | STACK_DELTA);
	return true;
}
