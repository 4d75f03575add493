/* SPDX-License-Identifier: Apache-2.0 */
/* Call frame information, and walks with what came of it. The first byte says which section it is to be; the rest is both
 * the section and the stack. With bit 3 the rest is also taken for an .eh_frame_hdr of up to seven entries with its .eh_frame
 * behind it, searched by the index. */
#include <string.h>

#include "symbol/unwind.h"

#define CODE_BASE 0x1000
#define STACK_ADDRESS 0x7f0000000000
#define DEPTH_MAX 64
#define INDEX_BYTES_MIN 12

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

static gboolean lookup(guint64 address, struct unwind_place *place, gpointer data)
{
	(void)address;
	*place = (struct unwind_place){ .end = G_MAXUINT64, .table = data };
	return TRUE;
}

static void check_sorted(const struct unwind_table *table)
{
	for (guint i = 1; i < unwind_table_count(table); i++)
		if (unwind_table_row(table, i - 1).at >= unwind_table_row(table, i).at)
			g_error("rows out of order");
}

static void walk(struct unwind_table *table, const guint8 *bytes, gsize size, guint64 ip)
{
	struct unwind_registers registers = { .ip = ip, .sp = STACK_ADDRESS, .bp = STACK_ADDRESS + 16 };
	struct unwind_stack stack = { .bytes = bytes, .length = size, .address = STACK_ADDRESS };
	guint64 addresses[DEPTH_MAX];
	struct unwind_result result = unwind(&registers, &stack, lookup, table, addresses, DEPTH_MAX);

	if (result.depth == 0 || result.depth > DEPTH_MAX || result.used_bytes > size || addresses[0] != ip ||
	    (result.wanted_bytes && result.wanted_bytes <= size) || !unwind_end_name(result.end))
		g_error("a walk that cannot be");
}

static void search(const struct unwind_table *table, guint64 address)
{
	guint32 rule = unwind_table_find(table, address);

	if (unwind_table_find(table, address) != rule)
		g_error("found twice, and not the same");
}

/* The index is given its magic bytes: else hardly an input would be one. */
static void check_lazy(const guint8 *bytes, gsize size)
{
	static const guint8 head[] = { 1, 0x1b, 0x03, 0x3b };
	g_autofree guint8 *index = g_memdup2(bytes, size);
	gsize index_length = size >= INDEX_BYTES_MIN ? INDEX_BYTES_MIN + index[7] % 8 * 8u : size;
	g_autoptr(unwind_table_t) table = NULL;
	struct cfi_section frames;

	if (index_length >= size)
		return;
	frames = (struct cfi_section){ .bytes = bytes + index_length,
				       .length = size - index_length,
				       .address = CODE_BASE + index_length };
	memcpy(index, head, sizeof(head));
	memset(index + 9, 0, 3); /* few entries */
	table = unwind_table_index(0, &frames, index, index_length, CODE_BASE, NULL);
	if (!table)
		return;
	for (guint i = INDEX_BYTES_MIN; i + 8 <= index_length; i += 8) {
		gint32 start;

		memcpy(&start, index + i, sizeof(start));
		for (guint j = 0; j < 32; j++)
			search(table, CODE_BASE + (guint64)(gint64)start + j);
		walk(table, bytes, size, CODE_BASE + (guint64)(gint64)start);
	}
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	struct cfi_section sections[2];
	g_autoptr(unwind_table_t) table = NULL;
	guint count = 1;

	if (size < 1)
		return 0;
	if (bytes[0] & 8)
		check_lazy(bytes + 1, size - 1);
	sections[0] = (struct cfi_section){
		.bytes = bytes + 1, .length = size - 1, .address = CODE_BASE, .is_debug_frame = bytes[0] & 1
	};
	if (bytes[0] & 2) { /* the halves as two sections */
		sections[0].length = (size - 1) / 2;
		sections[count++] = (struct cfi_section){ .bytes = bytes + 1 + (size - 1) / 2,
							  .length = size - 1 - (size - 1) / 2,
							  .address = CODE_BASE,
							  .is_debug_frame = !(bytes[0] & 1) };
	}
	table = unwind_table_compile(bytes[0] & 4 ? CODE_BASE : 0, sections, count, NULL);
	if (!table)
		return 0;
	check_sorted(table);
	for (guint i = 0; i < MIN(unwind_table_count(table), 64u); i++)
		walk(table, bytes, size, (bytes[0] & 4 ? CODE_BASE : 0) + unwind_table_row(table, i).at);
	return 0;
}
