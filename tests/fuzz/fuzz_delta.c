/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of stacks that came as what changed of them. The kernel half writes these records, from what is on a container's stacks:
 * a row of them, each behind its length in two bytes, that build on one another. */
#include <string.h>

#include "probe/bpf/delta.h"
#include "probe/delta.h"

#define RECORD_BYTES_MAX 8192

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

/* What delta_read asks of its caller; few inputs would be so by themselves. FALSE: not to be had. */
static gboolean make_sound(struct stack_record *record, gsize size)
{
	gsize head = G_STRUCT_OFFSET(struct stack_record, frames) + sizeof(struct stack_registers);

	if (size < head)
		return FALSE;
	record->kernel_count %= MIN((size - head) / sizeof(record->frames[0]), STACK_DEPTH) + 1;
	record->flags |= STACK_COPIED | STACK_DELTA;
	return record->copy_bytes > 0;
}

static void check(const struct delta *delta, const struct stack_record *sent, const struct stack_record *whole,
		  const struct delta_same *same)
{
	static guint8 copy[STACK_COPY_BYTES_MAX];

	if (whole->copy_bytes != sent->copy_bytes || whole->flags & STACK_DELTA || same->from > whole->copy_bytes ||
	    same->since >= same->number)
		g_error("a copy that cannot be");
	delta_copy_out(delta, whole, copy); /* all of it can be read */
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	static guint64 room[RECORD_BYTES_MAX / sizeof(guint64)];
	struct stack_record *record = (struct stack_record *)room;
	struct delta *delta = delta_new();

	while (size >= sizeof(guint16)) {
		const struct stack_record *whole;
		struct delta_same same;
		guint16 length;

		memcpy(&length, bytes, sizeof(length));
		length = (guint16)MIN(MIN(length, size - sizeof(length)), sizeof(room));
		memset(room, 0, sizeof(room));
		memcpy(room, bytes + sizeof(length), length);
		bytes += sizeof(length) + length;
		size -= sizeof(length) + length;
		if (!make_sound(record, length))
			continue;
		whole = delta_read(delta, record, length, &same);
		if (whole)
			check(delta, record, whole, &same);
	}
	delta_free(delta);
	return 0;
}
