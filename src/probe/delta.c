/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/delta.h"

#include <string.h>

#include "probe/bpf/delta.h"

#define PAGE_BYTES (1u << STACK_DELTA_PAGE_BITS)
#define WORD 8
#define GROUP_BITS 64 /* of the map, in a word */
#define COPY_PAGES (STACK_COPY_BYTES_MAX / PAGE_BYTES + 1)

struct delta_page {
	guint64 words[STACK_DELTA_PAGE_WORDS];
	guint64 number; /* of the record that was the last to change it */
	guint32 tid; /* whose that was */
};

struct delta {
	struct delta_page *pages; /* STACK_DELTA_PAGES, and behind them COPY_PAGES for what is not kept */
	guint8 *head; /* of the record last read */
	const guint8 *copy[COPY_PAGES]; /* its pages */
	guint64 number; /* its */
};

/* What of a record is left to be read. */
struct delta_rest {
	const guint64 *map; /* a bit for each group */
	guint32 group; /* the next */
	const guint8 *masks, *masks_end;
	const guint64 *words;
	guint32 count; /* of `words` */
};

struct delta *delta_new(void)
{
	struct delta *delta = g_new0(struct delta, 1);

	delta->pages = g_new0(struct delta_page, STACK_DELTA_PAGES + COPY_PAGES);
	delta->head = g_malloc(sizeof(struct stack_record) + sizeof(struct stack_registers));
	return delta;
}

void delta_free(struct delta *delta)
{
	if (!delta)
		return;
	g_free(delta->pages);
	g_free(delta->head);
	g_free(delta);
}

/* The words that changed, into the guess. FALSE when fewer came than are said to have changed. */
static gboolean delta_correct(guint64 *guess, struct delta_rest *rest)
{
	guint8 mask;

	if (rest->masks == rest->masks_end || rest->count == 0)
		return FALSE;
	mask = *rest->masks++;
	for (guint i = 0; !mask && i < STACK_DELTA_GROUP; i++)
		guess[i] = *rest->words;
	for (guint bits = mask ? mask : 1; bits; bits &= bits - 1) {
		if (rest->count == 0)
			return FALSE;
		guess[__builtin_ctz(bits)] = *rest->words++;
		rest->count--;
	}
	return TRUE;
}

/* The bits of at most GROUP_BITS groups from `group` on. */
static guint64 delta_bits(const guint64 *map, guint32 group, guint32 count)
{
	guint32 word = group / GROUP_BITS, shift = group % GROUP_BITS;
	guint64 bits = map[word] >> shift;

	if (shift && shift + count > GROUP_BITS)
		bits |= map[word + 1] << (GROUP_BITS - shift);
	return count < GROUP_BITS ? bits & ((G_GUINT64_CONSTANT(1) << count) - 1) : bits;
}

/* Part of a copy that lies within one page. `*changed`: bytes up to the last group with a word that did. */
static gboolean delta_read_part(struct delta_page *page, guint64 address, guint32 bytes, struct delta_rest *rest,
				guint32 *changed)
{
	guint64 *guess = page->words + address % PAGE_BYTES / WORD;
	guint32 groups = stack_delta_groups(bytes);

	for (guint64 bits = delta_bits(rest->map, rest->group, groups); bits; bits &= bits - 1) {
		guint32 i = (guint32)__builtin_ctzll(bits);

		if (!delta_correct(guess + (gsize)i * STACK_DELTA_GROUP, rest))
			return FALSE;
		*changed = MIN(bytes, (i + 1) * STACK_DELTA_GROUP_BYTES);
	}
	rest->group += groups;
	return TRUE;
}

/* The record that the thread's last copy came in, as the page says that holds the outermost frames. */
static guint64 delta_since(const struct delta *delta, guint32 tid, guint64 last_byte)
{
	const struct delta_page *page = &delta->pages[stack_delta_page_of(tid, last_byte)];

	return page->tid == tid ? page->number : 0;
}

static gboolean delta_read_copy(struct delta *delta, const struct stack_delta *head, guint64 from, guint32 bytes,
				struct delta_rest *rest, struct delta_same *same)
{
	guint32 part;

	*same = (struct delta_same){ .tid = head->tid, .number = ++delta->number };
	same->since = delta_since(delta, head->tid, from + bytes - 1);

	for (guint32 at = 0, i = 0; at < bytes; at += part, i++) {
		gboolean is_known = i < 64 && head->known >> i & 1;
		guint32 index = is_known ? stack_delta_page_of(head->tid, from + at) : STACK_DELTA_PAGES + i,
			changed = 0;
		struct delta_page *page;

		part = MIN(bytes - at, PAGE_BYTES - (guint32)((from + at) % PAGE_BYTES));
		page = &delta->pages[index];
		delta->copy[i] = (const guint8 *)page->words;
		if (!is_known)
			memset(page->words, 0, sizeof(page->words));
		if (!delta_read_part(page, from + at, part, rest, &changed))
			return FALSE;
		if (page->number != same->since || page->tid != head->tid) /* the guess was somebody else's words */
			changed = part;
		same->from = changed ? at + changed : same->from;
		page->number = delta->number;
		page->tid = head->tid;
	}
	return rest->count == 0;
}

const struct stack_record *delta_read(struct delta *delta, const struct stack_record *record, gsize bytes,
				      struct delta_same *same)
{
	gsize head_bytes = G_STRUCT_OFFSET(struct stack_record, frames) + (gsize)record->kernel_count * WORD +
			   sizeof(struct stack_registers);
	const guint8 *behind = (const guint8 *)record + head_bytes;
	gsize map_bytes = (gsize)stack_delta_map_words(stack_delta_groups(record->copy_bytes)) * WORD;
	struct stack_record *whole = (struct stack_record *)delta->head;
	struct stack_registers registers;
	struct stack_delta head;
	struct delta_rest rest;

	if (bytes < head_bytes + sizeof(head) + map_bytes || record->copy_bytes > STACK_COPY_BYTES_MAX)
		return NULL;
	memcpy(&registers, behind - sizeof(registers), sizeof(registers));
	memcpy(&head, behind, sizeof(head));
	if ((bytes - head_bytes - sizeof(head) - map_bytes) / WORD < head.words ||
	    registers.copied_from % STACK_DELTA_GROUP_BYTES)
		return NULL;
	rest = (struct delta_rest){
		.map = (const guint64 *)(const void *)(behind + sizeof(head)),
		.words = (const guint64 *)(const void *)(behind + sizeof(head) + map_bytes),
		.count = head.words,
		.masks_end = (const guint8 *)record + bytes,
	};
	rest.masks = (const guint8 *)(rest.words + rest.count);
	memcpy(whole, record, head_bytes);
	whole->flags &= ~(guint32)STACK_DELTA;
	return delta_read_copy(delta, &head, registers.copied_from, record->copy_bytes, &rest, same) ? whole : NULL;
}

const guint8 *const *delta_pages(const struct delta *delta)
{
	return delta->copy;
}

void delta_copy_out(const struct delta *delta, const struct stack_record *record, guint8 *to)
{
	struct stack_registers registers;
	guint32 skip, part;

	memcpy(&registers, record->frames + record->kernel_count, sizeof(registers));
	skip = (guint32)(registers.copied_from % PAGE_BYTES);
	for (guint32 at = 0, i = 0; at < record->copy_bytes; at += part, i++, skip = 0) {
		part = MIN(record->copy_bytes - at, PAGE_BYTES - skip);
		memcpy(to + at, delta->copy[i] + skip, part);
	}
}
