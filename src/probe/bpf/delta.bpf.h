/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sends what stack_copy_take made, without the words its reader knows already (delta.h). */
#pragma once
#include "copy.bpf.h"
#include "delta.h"

#define STACK_DELTA_HEAD_WORDS (__builtin_offsetof(struct stack_record, frames) / 8)
#define STACK_DELTA_EXTRA_WORDS ((sizeof(struct stack_registers) + sizeof(struct stack_delta)) / 8)
#define STACK_DELTA_COPY_WORDS (STACK_COPY_BYTES_MAX / 8)
#define STACK_DELTA_MASK_WORDS (STACK_COPY_BYTES_MAX / STACK_DELTA_GROUP_BYTES / 8 + 1)
#define STACK_DELTA_WORDS                                                                                              \
	(STACK_DELTA_HEAD_WORDS + STACK_DEPTH + STACK_DELTA_EXTRA_WORDS + STACK_DELTA_MASK_WORDS +                     \
	 STACK_DELTA_COPY_WORDS + STACK_DELTA_GROUP)
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
	u32 masks_at, words_at; /* in `words`: where the masks and the copy's words begin */
	u32 pad;
	u64 words[STACK_DELTA_WORDS];
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
	struct stack_delta_page *page;
	u64 from; /* of the copy */
	u32 bytes;
	u32 tid;
	u32 at; /* where a page's part begins, in the copy */
};

/* The words of the copy; what lies behind is room for STACK_COPY_BYTES_MAX and a page. */
static __always_inline u64 *stack_delta_raw(struct stack_copy_room *room)
{
	u32 kernel = room->record.kernel_count;

	asm volatile("" : "+r"(kernel)); /* or clang drops the mask, which the verifier needs to see */
	return &room->record.frames[kernel & STACK_DEPTH_MASK] + sizeof(struct stack_registers) / 8;
}

/* Where the part of the copy in its page `i` begins and ends, in the copy; FALSE behind the last. */
static __always_inline bool stack_delta_part(const struct stack_delta_walk *walk, u64 i, u32 *begin, u32 *end)
{
	u32 first = STACK_DELTA_PAGE_BYTES - (walk->from & (STACK_DELTA_PAGE_BYTES - 1));

	*begin = i ? first + ((u32)i - 1) * STACK_DELTA_PAGE_BYTES : 0;
	*end = first + (u32)i * STACK_DELTA_PAGE_BYTES;
	if (*end > walk->bytes)
		*end = walk->bytes;
	return *begin < walk->bytes;
}

/* bpf_loop: one group of a page's part. */
static long stack_delta_one(u64 i, struct stack_delta_walk *walk)
{
	u32 at = walk->at + (u32)i * STACK_DELTA_GROUP_BYTES;
	u32 in_page = (walk->from + at) / 8 & (STACK_DELTA_PAGE_WORDS - 1);
	u32 words_at, masks_at;
	struct stack_delta_room *out = walk->out;
	struct stack_delta_page *page = walk->page;
	u8 *masks = (u8 *)out->words;
	u64 *raw;

	if (at >= walk->bytes || !page)
		return 1;
	words_at = out->words_at + out->count;
	masks_at = out->masks_at * 8 + at / STACK_DELTA_GROUP_BYTES;
	asm volatile("" : "+r"(at), "+r"(in_page), "+r"(words_at), "+r"(masks_at)); /* the bounds must stay */
	if (words_at > STACK_DELTA_WORDS - STACK_DELTA_GROUP || masks_at >= STACK_DELTA_WORDS * 8 ||
	    in_page > STACK_DELTA_PAGE_WORDS - STACK_DELTA_GROUP || at > STACK_COPY_BYTES_MAX)
		return 1;
	raw = stack_delta_raw(walk->room) + at / 8;
	out->count += stack_delta_group(raw, &page->words[in_page], &out->words[words_at], &masks[masks_at]);
	return 0;
}

static __always_inline struct stack_delta_page *stack_delta_page(u32 index)
{
	return bpf_map_lookup_elem(&stack_delta_pages, &index);
}

/* bpf_loop: the part of the copy in its page `i`. A page that another CPU is at is not waited for. */
static long stack_delta_encode(u64 i, struct stack_delta_walk *walk)
{
	struct stack_delta_walk part = *walk;
	struct stack_delta_page *page;
	u32 end;

	if (!stack_delta_part(walk, i, &part.at, &end))
		return 1;
	part.bytes = end;
	page = stack_delta_page(stack_delta_page_of(walk->tid, walk->from + part.at));
	if (page && __sync_val_compare_and_swap(&page->busy, 0, 1) == 0)
		walk->out->known |= 1ULL << (i & 63);
	else
		page = stack_delta_page(STACK_DELTA_NOTHING);
	part.page = page;
	bpf_loop(STACK_DELTA_PAGE_BYTES / STACK_DELTA_GROUP_BYTES, stack_delta_one, &part, 0);
	return 0;
}

/* bpf_loop: one group of a page's part; only those that changed differ from what is kept. */
static long stack_delta_keep_one(u64 i, struct stack_delta_walk *walk)
{
	u32 at = walk->at + (u32)i * STACK_DELTA_GROUP_BYTES;
	u32 in_page = (walk->from + at) / 8 & (STACK_DELTA_PAGE_WORDS - 1);
	u32 masks_at = walk->out->masks_at * 8 + at / STACK_DELTA_GROUP_BYTES;
	struct stack_delta_page *page = walk->page;
	const u8 *masks = (const u8 *)walk->out->words;

	if (at >= walk->bytes || !page)
		return 1;
	asm volatile("" : "+r"(at), "+r"(in_page), "+r"(masks_at));
	if (masks_at >= STACK_DELTA_WORDS * 8 || in_page > STACK_DELTA_PAGE_WORDS - STACK_DELTA_GROUP ||
	    at > STACK_COPY_BYTES_MAX)
		return 1;
	if (masks[masks_at])
		__builtin_memcpy(&page->words[in_page], stack_delta_raw(walk->room) + at / 8, STACK_DELTA_GROUP_BYTES);
	return 0;
}

/* bpf_loop: what was sent of page `i` is what its reader knows from now on; `walk->at`: it was not sent. */
static long stack_delta_keep(u64 i, struct stack_delta_walk *walk)
{
	struct stack_delta_walk part = *walk;
	u32 end;

	if (!stack_delta_part(walk, i, &part.at, &end))
		return 1;
	if (!(walk->out->known >> (i & 63) & 1))
		return 0;
	part.bytes = end;
	part.page = stack_delta_page(stack_delta_page_of(walk->tid, walk->from + part.at));
	if (!part.page)
		return 1;
	if (!walk->at)
		bpf_loop(STACK_DELTA_PAGE_BYTES / STACK_DELTA_GROUP_BYTES, stack_delta_keep_one, &part, 0);
	__sync_lock_test_and_set(&part.page->busy, 0);
	return 0;
}

/* What stands before the masks: the record, its kernel frames and registers, and how to read on. */
static __always_inline bool stack_delta_begin(struct stack_copy_room *room, struct stack_delta_room *out)
{
	u32 kernel = room->record.kernel_count & STACK_DEPTH_MASK, words;

	words = STACK_DELTA_HEAD_WORDS + kernel + sizeof(struct stack_registers) / 8;
	out->known = 0;
	out->count = 0;
	out->masks_at = words + sizeof(struct stack_delta) / 8;
	out->words_at = out->masks_at + (stack_delta_groups(room->record.copy_bytes) + 7) / 8;
	asm volatile("" : "+r"(words));
	if (words > STACK_DELTA_HEAD_WORDS + STACK_DEPTH + sizeof(struct stack_registers) / 8)
		return false;
	return bpf_probe_read_kernel(out->words, words * 8, &room->record) == 0;
}

static __always_inline bool stack_delta_output(struct stack_copy_room *room, struct stack_delta_room *out, u32 tid)
{
	struct stack_delta head = { .known = out->known, .tid = tid, .words = out->count };
	u32 at = out->masks_at - sizeof(head) / 8, words = out->words_at + out->count;

	asm volatile("" : "+r"(at), "+r"(words));
	if (at > STACK_DELTA_HEAD_WORDS + STACK_DEPTH + sizeof(struct stack_registers) / 8 || words > STACK_DELTA_WORDS)
		return false;
	__builtin_memcpy(&out->words[at], &head, sizeof(head));
	return bpf_ringbuf_output(&stack_ring, out->words, (u64)words * 8, stack_copy_wakeup()) == 0;
}

/* Sends what stack_copy_take made of the thread `tid`. FALSE when the ring is full (nothing counted). Global: verified once. */
__noinline int stack_delta_send(struct stack_copy_room *room, u32 tid)
{
	u32 cpu = bpf_get_smp_processor_id(), bytes;
	struct stack_delta_room *out = bpf_map_lookup_elem(&stack_deltas, &cpu);
	struct stack_delta_walk walk = { .room = room, .out = out, .tid = tid };

	if (!room || !out)
		return false;
	walk.bytes = bytes = room->record.copy_bytes;
	walk.from = ((const struct stack_registers *)stack_delta_raw(room))[-1].copied_from;
	asm volatile("" : "+r"(bytes));
	if (bytes > STACK_COPY_BYTES_MAX || walk.from % STACK_DELTA_GROUP_BYTES)
		return false;
	/* Zeros (what a read that fails leaves) behind the copy's end, where its last group may reach. */
	bpf_probe_read_kernel((u8 *)stack_delta_raw(room) + bytes, STACK_DELTA_GROUP_BYTES, NULL);
	room->record.time_ns = bpf_ktime_get_ns();
	room->record.id = STACK_NO_ID;
	room->record.flags |= STACK_DELTA;
	if (!stack_delta_begin(room, out))
		return false;
	bpf_loop(STACK_COPY_PAGES, stack_delta_encode, &walk, 0);
	walk.at = !stack_delta_output(room, out, tid);
	bpf_loop(STACK_COPY_PAGES, stack_delta_keep, &walk, 0);
	return !walk.at;
}
