/* SPDX-License-Identifier: Apache-2.0 */
/* Rules worked out from machine code, against what compilers say in .eh_frame; lengths of instructions against objdump. */
#include "symbol/prologue.h"

#include <fcntl.h>
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

static void compare_lengths(const char *path, guint least)
{
	const char *const argv[] = { "objdump", "-d", "--no-show-raw-insn", "-w", "-j", ".text", path, NULL };
	g_autofree char *output = NULL;
	g_auto(GStrv) lines = NULL;
	guint64 last = 0;
	guint compared = 0, wrong = 0;
	struct file file;

	if (!file_open(&file, path))
		return;
	if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
			  &output, NULL, NULL, NULL)) {
		g_test_skip("no objdump here");
		file_close(&file);
		return;
	}
	lines = g_strsplit(output, "\n", -1);
	for (guint i = 0; lines[i]; i++) {
		char *end;
		guint64 at = g_ascii_strtoull(lines[i], &end, 16);
		struct x86 x86;

		if (lines[i][0] != ' ' || *end != ':' || strstr(lines[i], "(bad)")) {
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
						       x86.length, (guint)(at - last), lines[i - 1]);
			}
		}
		last = at;
	}
	g_test_message("%s: %u instructions compared, %u wrong", path, compared, wrong);
	g_assert_cmpuint(compared, >=, least);
	g_assert_cmpuint(wrong, <=, compared / 50000);
	file_close(&file);
}

static void test_lengths_libc(void)
{
	compare_lengths(LIBC, 200000);
}

static void test_lengths_libstdcxx(void)
{
	compare_lengths(LIBSTDCXX, 200000);
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
	g_assert_cmpuint(all, >=, least);
	g_assert_cmpuint(tally.same + tally.other_base, >=, all / 100 * percent_known);
	g_assert_cmpuint(tally.wrong, <=, all / 100);
	file_close(&file);
}

static void test_rules_libc(void)
{
	compare_rules(LIBC, 200000, 90);
}

static void test_rules_libstdcxx(void)
{
	compare_rules(LIBSTDCXX, 200000, 80);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/prologue/lengths/libc", test_lengths_libc);
	g_test_add_func("/prologue/lengths/libstdc++", test_lengths_libstdcxx);
	g_test_add_func("/prologue/rules/libc", test_rules_libc);
	g_test_add_func("/prologue/rules/libstdc++", test_rules_libstdcxx);
	return g_test_run();
}
