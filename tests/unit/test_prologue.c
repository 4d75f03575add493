/* SPDX-License-Identifier: Apache-2.0 */
/* Rules worked out from machine code, against what compilers say in .eh_frame; lengths of instructions against objdump.
 * `test_prologue FILE...` compares these files instead, and prints what it found. */
#include "symbol/prologue.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbol/unwind_table.h"
#include "symbol/x86.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define LIBSTDCXX "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"

struct file { /* in memory */
	char *bytes;
	struct image_bytes memory;
	image_t *image;
	const guint8 *text; /* .text */
	guint64 address;
	gsize length;
};

static gboolean file_open(struct file *file, const char *path)
{
	const struct image_section *text;
	gsize length;

	*file = (struct file){ .memory.fd = -1 };
	if (!g_file_get_contents(path, &file->bytes, &length, NULL)) {
		g_test_skip("no such file here");
		return FALSE;
	}
	file->memory.memory = (const guint8 *)file->bytes;
	file->memory.size = length;
	file->image = image_open(&file->memory, NULL);
	g_assert_nonnull(file->image);
	text = image_find_section(file->image, ".text");
	g_assert_nonnull(text);
	file->text = (const guint8 *)file->bytes + text->offset;
	file->address = text->address;
	file->length = text->size;
	return TRUE;
}

static void file_close(struct file *file)
{
	image_free(file->image);
	g_free(file->bytes);
}

/* ---- lengths ---- */

/* objdump's text, a line at a time: that of a large file is gigabytes. NULL when there is no objdump. */
static FILE *disassemble(const char *path)
{
	const char *const argv[] = { "objdump", "-d", "--no-show-raw-insn", "-w", "-j", ".text", path, NULL };
	int output;

	if (!g_spawn_async_with_pipes(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
				      NULL, NULL, NULL, &output, NULL, NULL))
		return NULL;
	return fdopen(output, "r");
}

/* `least`: instructions compared; 0: only tells. */
static void compare_lengths(const char *path, guint least)
{
	g_autofree char *before = g_strdup("");
	char *line = NULL;
	size_t room = 0;
	guint64 last = 0;
	guint compared = 0, wrong = 0;
	struct file file;
	FILE *output;

	if (!file_open(&file, path))
		return;
	output = disassemble(path);
	while (output && getline(&line, &room, output) > 0) {
		char *end;
		guint64 at = g_ascii_strtoull(line, &end, 16);
		struct x86 x86;

		if (line[0] != ' ' || *end != ':' || strstr(line, "(bad)")) {
			last = 0;
			continue;
		}
		if (last && last >= file.address && at <= file.address + file.length) {
			const guint8 *bytes = file.text + (last - file.address);

			compared++;
			if (!x86_read(bytes, file.length - (last - file.address), last, &x86) ||
			    x86.length != at - last) {
				wrong++;
				if (wrong < 10)
					g_test_message("%s %" G_GINT64_MODIFIER "x: %u bytes, not %u: %s", path, last,
						       x86.length, (guint)(at - last), before);
			}
		}
		last = at;
		g_free(before);
		before = g_strdup(line);
	}
	free(line);
	file_close(&file);
	if (!output) {
		g_test_skip("no objdump here");
		return;
	}
	fclose(output);
	g_test_message("%s: %u instructions compared, %u wrong", path, compared, wrong);
	if (!least)
		return;
	g_assert_cmpuint(compared, >=, least);
	g_assert_cmpuint(wrong, <=, compared / 50000);
}

static void test_lengths_libc(void)
{
	compare_lengths(LIBC, 200000);
}

static void test_lengths_libstdcxx(void)
{
	compare_lengths(LIBSTDCXX, 200000);
}

/* What each does to RSP and RBP, as assemblers make it. */
static void test_effects(void)
{
	static const struct {
		const char *text;
		guint8 bytes[12];
		guint length;
		enum x86_flow flow;
		enum x86_effect effect;
		gint64 amount;
	} table[] = {
		{ "push %rbp", { 0x55 }, 1, X86_FLOW_NEXT, X86_EFFECT_PUSH, 0 },
		{ "pop (%rax)", { 0x8f, 0x00 }, 2, X86_FLOW_NEXT, X86_EFFECT_POP, 0 },
		{ "sub $0x80,%rsp", { 0x48, 0x83, 0xec, 0x80 }, 4, X86_FLOW_NEXT, X86_EFFECT_SP_ADD, 128 },
		{ "add $0x108,%rsp", { 0x48, 0x81, 0xc4, 8, 1, 0, 0 }, 7, X86_FLOW_NEXT, X86_EFFECT_SP_ADD, 264 },
		{ "and $-16,%rsp", { 0x48, 0x83, 0xe4, 0xf0 }, 4, X86_FLOW_NEXT, X86_EFFECT_SP_LOST, 0 },
		{ "mov %r12,%rsp", { 0x4c, 0x89, 0xe4 }, 3, X86_FLOW_NEXT, X86_EFFECT_SP_LOST, 0 },
		{ "lea -0x18(%rbp),%rsp", { 0x48, 0x8d, 0x65, 0xe8 }, 4, X86_FLOW_NEXT, X86_EFFECT_SP_OF_BP, -24 },
		{ "leave", { 0xc9 }, 1, X86_FLOW_NEXT, X86_EFFECT_LEAVE, 0 },
		{ "enter $16,$0", { 0xc8, 16, 0, 0 }, 4, X86_FLOW_NEXT, X86_EFFECT_SP_LOST, 0 },
		{ "bswap %ebp", { 0x0f, 0xcd }, 2, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "bswap %r13", { 0x49, 0x0f, 0xcd }, 3, X86_FLOW_NEXT, X86_EFFECT_NONE, 0 },
		{ "shlx %rax,%rbx,%rbp", { 0xc4, 0xe2, 0xf9, 0xf7, 0xeb }, 5, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "shlx %rax,%rbx,%r13", { 0xc4, 0x62, 0xf9, 0xf7, 0xeb }, 5, X86_FLOW_NEXT, X86_EFFECT_NONE, 0 },
		{ "blsr %rax,%rbp", { 0xc4, 0xe2, 0xd0, 0xf3, 0xc8 }, 5, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "rorx $1,%rax,%rbp", { 0xc4, 0xe3, 0xfb, 0xf0, 0xe8, 1 }, 6, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "pmovmskb %xmm1,%ebp", { 0x66, 0x0f, 0xd7, 0xe9 }, 4, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "vpmovmskb %ymm1,%ebp", { 0xc5, 0xfd, 0xd7, 0xe9 }, 4, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "movd %xmm0,%ebp", { 0x66, 0x0f, 0x7e, 0xc5 }, 4, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "movq %xmm5,%xmm0", { 0xf3, 0x0f, 0x7e, 0xc5 }, 4, X86_FLOW_NEXT, X86_EFFECT_NONE, 0 },
		{ "vmovq %xmm5,%xmm0", { 0xc5, 0xfa, 0x7e, 0xc5 }, 4, X86_FLOW_NEXT, X86_EFFECT_NONE, 0 },
		{ "cvttsd2si %xmm0,%rbp", { 0xf2, 0x48, 0x0f, 0x2c, 0xe8 }, 5, X86_FLOW_NEXT, X86_EFFECT_BP_LOST, 0 },
		{ "vaddps %xmm4,%xmm5,%xmm5", { 0xc5, 0xd0, 0x58, 0xec }, 4, X86_FLOW_NEXT, X86_EFFECT_NONE, 0 },
		{ "vpperm %xmm0,(%rip),%xmm6,%xmm3",
		  { 0x8f, 0xe8, 0x48, 0xa3, 0x1d, 0, 0, 0, 0, 0 },
		  10,
		  X86_FLOW_NEXT,
		  X86_EFFECT_NONE,
		  0 },
		{ "vphaddwq %xmm3,%xmm3", { 0x8f, 0xe9, 0x78, 0xc7, 0xdb }, 5, X86_FLOW_NEXT, X86_EFFECT_NONE, 0 },
		{ "bextr $0x12345678,%eax,%ebp",
		  { 0x8f, 0xea, 0x78, 0x10, 0xe8, 0x78, 0x56, 0x34, 0x12 },
		  9,
		  X86_FLOW_NEXT,
		  X86_EFFECT_BP_LOST,
		  0 },
		{ "lret", { 0xcb }, 1, X86_FLOW_RETURN, X86_EFFECT_NONE, 0 },
		{ "jmp *0x18(%rax)", { 0xff, 0x60, 0x18 }, 3, X86_FLOW_JUMP_AWAY, X86_EFFECT_NONE, 0 },
		{ "notrack jmp *%rax", { 0x3e, 0xff, 0xe0 }, 3, X86_FLOW_JUMP_AWAY, X86_EFFECT_NONE, 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
		struct x86 x86;

		g_test_message("%s", table[i].text);
		g_assert_true(x86_read(table[i].bytes, sizeof(table[i].bytes), 0, &x86));
		g_assert_cmpuint(x86.length, ==, table[i].length);
		g_assert_cmpint(x86.flow, ==, table[i].flow);
		g_assert_cmpint(x86.effect, ==, table[i].effect);
		g_assert_cmpint(x86.amount, ==, table[i].amount);
		g_assert_false(x86_read(table[i].bytes, table[i].length - 1, 0, &x86) &&
			       x86.length >= table[i].length); /* nothing behind the end is read */
	}
}

/* ---- rules ---- */

struct tally {
	guint same, other_base, unknown, wrong;
};

static void tally_add(struct tally *tally, guint32 told, guint32 found, const char *path, guint64 at)
{
	enum cfi_kind kind = cfi_rule_kind(told), ours = cfi_rule_kind(found);

	if (ours == CFI_NONE)
		tally->unknown++;
	else if (kind != ours)
		tally->other_base++;
	else if (cfi_rule_offset(told) == cfi_rule_offset(found))
		tally->same++;
	else if (tally->wrong++ % 600 == 0)
		g_test_message("%s %" G_GINT64_MODIFIER "x: CFA at %d, not %d", path, at, (int)cfi_rule_offset(found),
			       (int)cfi_rule_offset(told));
}

/* Of every instruction that the compiler describes by RSP or RBP. `percent_known`: at least; wrong ones are few, and only where a
 * function's start was not known. */
static void compare_rules(const char *path, guint least, guint percent_known)
{
	g_autoptr(prologue_t) prologue = NULL;
	g_autoptr(unwind_table_t) table = NULL;
	struct tally tally = { 0 };
	struct x86 x86;
	struct file file;
	guint all;

	if (!file_open(&file, path))
		return;
	prologue = prologue_open(file.image);
	table = unwind_table_read_whole(file.image, NULL);
	if (!least && (!prologue || !table)) {
		file_close(&file);
		g_test_skip("too large, or without tables");
		return;
	}
	g_assert_nonnull(prologue);
	g_assert_nonnull(table);
	for (gsize at = 0; at < file.length; at += x86.length) {
		guint32 told = unwind_table_find(table, file.address + at);

		if (!x86_read(file.text + at, file.length - at, file.address + at, &x86)) {
			x86.length = 1;
			continue;
		}
		if (!x86.is_padding && (cfi_rule_kind(told) == CFI_SP || cfi_rule_kind(told) == CFI_BP))
			tally_add(&tally, told, prologue_find(prologue, file.address + at), path, file.address + at);
	}
	all = tally.same + tally.other_base + tally.unknown + tally.wrong;
	g_test_message(
		"%s: %u functions begin, %u instructions: %.2f %% the same, %.2f %% by another register, %.2f %% not "
		"known, %.2f %% wrong; %.1f times the code looked at",
		path, prologue_starts(prologue), all, 100.0 * tally.same / all, 100.0 * tally.other_base / all,
		100.0 * tally.unknown / all, 100.0 * tally.wrong / all,
		(double)prologue_take_work(prologue) / (double)file.length);
	file_close(&file);
	if (!least)
		return;
	g_assert_cmpuint(all, >=, least);
	g_assert_cmpuint(tally.same + tally.other_base, >=, all / 100 * percent_known);
	g_assert_cmpuint(tally.wrong, <=, all / 100);
}

static void test_rules_libc(void)
{
	compare_rules(LIBC, 200000, 90);
}

static void test_rules_libstdcxx(void)
{
	compare_rules(LIBSTDCXX, 200000, 80);
}

static void test_file(gconstpointer path)
{
	compare_lengths(path, 0);
	compare_rules(path, 0, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (int i = 1; i < argc; i++) {
		g_autofree char *name = g_strdup_printf("/prologue/file/%d", i);

		g_test_add_data_func(name, argv[i], test_file);
	}
	if (argc > 1)
		return g_test_run();
	g_test_add_func("/prologue/effects", test_effects);
	g_test_add_func("/prologue/lengths/libc", test_lengths_libc);
	g_test_add_func("/prologue/lengths/libstdc++", test_lengths_libstdcxx);
	g_test_add_func("/prologue/rules/libc", test_rules_libc);
	g_test_add_func("/prologue/rules/libstdc++", test_rules_libstdcxx);
	return g_test_run();
}
