/* SPDX-License-Identifier: Apache-2.0 */
/* Unwind tables against readelf, walks against what a traced program really called, and damaged input. */
#include "symbol/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH_MAX 1024

/* ---- rows against readelf ---- */

/* Rows a word cannot hold: CFA in R11, a return address in a register, a far slot. Counted, and few. */
#define EXCEPTIONS_MAX 30

static struct unwind_table *table_of_file(const char *path)
{
	g_autoptr(image_t) image = NULL;
	struct unwind_table *table = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	image = fd >= 0 ? image_open_fd(fd, NULL) : NULL;
	if (image)
		table = unwind_table_read(image, NULL);
	if (fd >= 0)
		close(fd);
	return table;
}

struct comparison {
	const char *path;
	const struct unwind_table *table;
	GHashTable *cies; /* offset as text → struct columns* */
	guint rows, wrong, exceptions, expressions;
};

struct columns { /* of one row, as readelf prints them */
	char *cfa, *bp, *ret; /* `bp` NULL: not mentioned */
};

static void columns_clear(struct columns *columns)
{
	g_clear_pointer(&columns->cfa, g_free);
	g_clear_pointer(&columns->bp, g_free);
	g_clear_pointer(&columns->ret, g_free);
}

static void columns_free(gpointer data)
{
	columns_clear(data);
	g_free(data);
}

/* TRUE when the rule says the same as readelf; sets what it could not hold. */
static gboolean columns_match(const struct columns *columns, guint32 rule, gboolean *is_exception,
			      gboolean *is_expression)
{
	enum cfi_kind kind = cfi_rule_kind(rule) == CFI_SP_LARGE ? CFI_SP : cfi_rule_kind(rule);
	enum cfi_saved saved = cfi_rule_saved(rule);
	gint64 offset = strlen(columns->cfa) > 3 ? strtol(columns->cfa + 3, NULL, 10) : 0;
	enum cfi_kind wanted = g_str_has_prefix(columns->cfa, "rsp")   ? CFI_SP
			       : g_str_has_prefix(columns->cfa, "rbp") ? CFI_BP
			       : g_str_has_prefix(columns->cfa, "r10") ? CFI_R10
			       : g_str_has_prefix(columns->cfa, "rbx") ? CFI_BX
								       : CFI_UNSUPPORTED;

	*is_expression = g_str_equal(columns->cfa, "exp");
	*is_exception = FALSE;
	if (g_str_equal(columns->ret, "u"))
		return kind == CFI_STOP;
	if (kind == CFI_UNSUPPORTED) { /* only for what we say we cannot hold */
		*is_exception = TRUE;
		return *is_expression || wanted == CFI_UNSUPPORTED || !g_str_equal(columns->ret, "c-8") || offset % 8;
	}
	if (kind == CFI_SIGNAL)
		return *is_expression && g_str_equal(columns->ret, "exp") && g_strcmp0(columns->bp, "exp") == 0;
	if (kind == CFI_RETURN_DI)
		return wanted == CFI_SP && cfi_rule_offset(rule) == offset && g_str_has_prefix(columns->ret, "r5");
	if (!g_str_equal(columns->ret, "c-8"))
		return FALSE;
	if (*is_expression) {
		if (kind != CFI_PLT && kind != CFI_BP_DEREF && kind != CFI_SP_DEREF && kind != CFI_SP_DEREF_8)
			return FALSE;
		if (kind == CFI_PLT)
			return !columns->bp || columns->bp[0] == 'u';
	} else if (kind != wanted || cfi_rule_offset(rule) != offset) {
		return FALSE;
	}
	if (!columns->bp || g_str_equal(columns->bp, "u") || g_str_equal(columns->bp, "s"))
		return saved == CFI_SAVED_KEPT;
	if (columns->bp[0] == 'c') {
		gint64 slot = strtol(columns->bp + 1, NULL, 10);

		*is_exception = saved == CFI_SAVED_LOST;
		return saved == CFI_SAVED_LOST ? slot < -2048 || slot >= 2048 || slot % 8 != 0
					       : saved == CFI_SAVED_AT_CFA && cfi_rule_slot(rule) == slot;
	}
	*is_exception = saved == CFI_SAVED_LOST;
	return saved == CFI_SAVED_LOST || (saved == CFI_SAVED_AT_BP && g_str_equal(columns->bp, "exp"));
}

static void compare_range(struct comparison *comparison, const struct columns *columns, guint64 start, guint64 end)
{
	gboolean is_exception = FALSE, is_expression = FALSE;

	if (start >= end || !columns->cfa || !columns->ret)
		return;
	comparison->rows++;
	for (guint i = 0; i < 2; i++) {
		guint64 at = i ? end - 1 : start;
		guint32 rule = unwind_table_find(comparison->table, at);

		if (columns_match(columns, rule, &is_exception, &is_expression))
			continue;
		comparison->wrong++;
		if (comparison->wrong < 10)
			g_test_message("%s %" G_GINT64_MODIFIER "x: CFA %s, RBP %s, return %s, but we: %08x",
				       comparison->path, at, columns->cfa, columns->bp ? columns->bp : "-",
				       columns->ret, rule);
	}
	comparison->exceptions += is_exception;
	comparison->expressions += is_expression;
}

struct block { /* a CIE or an FDE being read */
	char *place, *cie;
	gboolean is_fde, has_rows;
	guint64 start, end, row_start;
	gint bp_column, ret_column;
	struct columns row;
};

static void block_finish(struct comparison *comparison, struct block *block)
{
	if (block->is_fde && !block->has_rows) { /* nothing but what its CIE says */
		const struct columns *cie = g_hash_table_lookup(comparison->cies, block->cie);

		if (cie)
			compare_range(comparison, cie, block->start, block->end);
	} else if (block->is_fde) {
		compare_range(comparison, &block->row, block->row_start, block->end);
	} else if (block->place && block->row.cfa) {
		struct columns *cie = g_new(struct columns, 1);

		*cie = block->row;
		block->row = (struct columns){ 0 };
		g_hash_table_replace(comparison->cies, g_strdup(block->place), cie);
	}
	columns_clear(&block->row);
	g_free(block->place);
	g_free(block->cie);
	*block = (struct block){ 0 };
}

static void block_begin(struct comparison *comparison, struct block *block, const char *line, char **words)
{
	const char *cie = strstr(line, "cie="), *pc = strstr(line, "pc=");

	block_finish(comparison, block);
	block->place = g_strdup(words[0]);
	if (!cie || !pc)
		return;
	block->is_fde = TRUE;
	block->cie = g_strndup(cie + 4, strcspn(cie + 4, " "));
	block->start = g_ascii_strtoull(pc + 3, NULL, 16);
	block->end = g_ascii_strtoull(strstr(pc, "..") + 2, NULL, 16);
}

static void block_row(struct comparison *comparison, struct block *block, char **words)
{
	guint count = g_strv_length(words);
	guint64 at = g_ascii_strtoull(words[0], NULL, 16);

	if (block->is_fde && block->has_rows)
		compare_range(comparison, &block->row, block->row_start, at);
	columns_clear(&block->row);
	block->has_rows = TRUE;
	block->row_start = at;
	block->row.cfa = g_strdup(words[1]);
	if (block->bp_column > 0 && (guint)block->bp_column < count)
		block->row.bp = g_strdup(words[block->bp_column]);
	if (block->ret_column > 0 && (guint)block->ret_column < count)
		block->row.ret = g_strdup(words[block->ret_column]);
}

static char **line_words(const char *line)
{
	g_auto(GStrv) parts = g_strsplit_set(line, " \t", -1);
	GPtrArray *words = g_ptr_array_new();

	for (guint i = 0; parts[i]; i++)
		if (parts[i][0] && parts[i][0] != '(') /* "r10 (r10)" is one column */
			g_ptr_array_add(words, g_strdup(parts[i]));
	g_ptr_array_add(words, NULL);
	return (char **)g_ptr_array_free(words, FALSE);
}

static void compare_line(struct comparison *comparison, struct block *block, const char *line)
{
	g_auto(GStrv) words = line_words(line);
	guint count = g_strv_length(words);

	if (strstr(line, " FDE ") || strstr(line, " CIE ")) {
		block_begin(comparison, block, line, words);
	} else if (count > 2 && g_str_equal(words[0], "LOC")) {
		block->bp_column = block->ret_column = 0;
		for (guint i = 0; i < count; i++) {
			block->bp_column = g_str_equal(words[i], "rbp") ? (gint)i : block->bp_column;
			block->ret_column = g_str_equal(words[i], "ra") ? (gint)i : block->ret_column;
		}
	} else if (count > 2 && strlen(words[0]) == 16 && strspn(words[0], "0123456789abcdef") == 16) {
		block_row(comparison, block, words);
	}
}

static void compare_file(const char *path, guint rows_min)
{
	g_autofree char *readelf = g_find_program_in_path("readelf");
	g_autoptr(unwind_table_t) table = table_of_file(path);
	const char *const argv[] = { "readelf", "-W", "--debug-dump=frames-interp", path, NULL };
	struct comparison comparison = { .path = path, .table = table };
	struct block block = { 0 };
	g_autofree char *output = NULL;
	g_auto(GStrv) lines = NULL;

	if (!readelf || !g_file_test(path, G_FILE_TEST_EXISTS)) {
		g_test_skip(readelf ? "no such file here" : "no readelf here");
		return;
	}
	g_assert_nonnull(table);
	g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
				   NULL, &output, NULL, NULL, NULL));
	comparison.cies = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, columns_free);
	lines = g_strsplit(output, "\n", -1);
	for (guint i = 0; lines[i]; i++)
		compare_line(&comparison, &block, lines[i]);
	block_finish(&comparison, &block);
	g_hash_table_unref(comparison.cies);
	g_test_message("%s: %u rows compared, %u by expression, %u exceptions, %u wrong", path, comparison.rows,
		       comparison.expressions, comparison.exceptions, comparison.wrong);
	g_assert_cmpuint(comparison.wrong, ==, 0);
	g_assert_cmpuint(comparison.rows, >=, rows_min);
	g_assert_cmpuint(comparison.exceptions, <=, EXCEPTIONS_MAX);
	g_assert_cmpuint(unwind_table_bad(table), ==, 0);
}

static void test_libc(void)
{
	compare_file("/lib/x86_64-linux-gnu/libc.so.6", 10000);
}

static void test_libstdcxx(void)
{
	compare_file("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 10000);
}

static void test_python(void)
{
	compare_file(g_file_test("/usr/bin/python3.11", G_FILE_TEST_EXISTS) ? "/usr/bin/python3.11"
									    : "/usr/bin/python3",
		     10000);
}

/* ---- one description at a time against all of them ---- */

struct text { /* of a file, in memory */
	struct image_bytes bytes;
	char *owned;
	struct image *image;
};

static gboolean text_open(struct text *text, const char *path)
{
	gsize length;

	*text = (struct text){ .bytes.fd = -1 };
	if (!g_file_get_contents(path, &text->owned, &length, NULL))
		return FALSE;
	text->bytes.memory = (const guint8 *)text->owned;
	text->bytes.size = length;
	text->image = image_open(&text->bytes, NULL);
	g_assert_nonnull(text->image);
	return TRUE;
}

static void text_close(struct text *text)
{
	image_free(text->image);
	g_free(text->owned);
}

/* At both ends of every row and in between, the second time from memory. */
static void compare_tables(const struct unwind_table *lazy, const struct unwind_table *whole, guint64 base)
{
	for (guint i = 0; i < unwind_table_count(whole); i++) {
		struct cfi_row row = unwind_table_row(whole, i);
		guint32 end = i + 1 < unwind_table_count(whole) ? unwind_table_row(whole, i + 1).at : row.at + 1;
		guint32 at[] = { row.at, row.at, row.at + (end - row.at) / 2, end - 1 };

		for (guint j = 0; j < G_N_ELEMENTS(at); j++)
			g_assert_cmphex(unwind_table_find(lazy, base + at[j]), ==, row.rule);
	}
}

static void compare_lazy(const char *path, guint rows_min)
{
	g_autoptr(unwind_table_t) lazy = NULL;
	g_autoptr(unwind_table_t) whole = NULL;
	struct text text;

	if (!text_open(&text, path)) {
		g_test_skip("no such file here");
		return;
	}
	lazy = unwind_table_read(text.image, NULL);
	whole = unwind_table_read_whole(text.image, NULL);
	g_assert_true(unwind_table_is_lazy(lazy));
	g_assert_false(unwind_table_is_lazy(whole));
	g_assert_cmpuint(unwind_table_count(whole), >=, rows_min);
	compare_tables(lazy, whole, text.image->segments[0].address);
	g_assert_cmpuint(unwind_table_bad(lazy), ==, 0);
	g_assert_cmpuint(unwind_table_take_work(lazy), >, 0);
	g_assert_cmpuint(unwind_table_take_work(lazy), ==, 0);
	g_assert_cmpuint(unwind_table_bytes(lazy), <, 2 * text.bytes.size);
	text_close(&text);
}

/* A large file: few of its pages are read, and those that are gone by then are taken for no rows. */
static void test_paged(void)
{
	const char *path =
		g_file_test("/usr/bin/python3.11", G_FILE_TEST_EXISTS) ? "/usr/bin/python3.11" : "/usr/bin/python3";
	g_autofree char *copy = NULL, *content = NULL;
	g_autoptr(unwind_table_t) paged = NULL;
	g_autoptr(unwind_table_t) all = NULL;
	g_autoptr(unwind_table_t) whole = NULL;
	g_autoptr(image_t) image = NULL;
	const struct image_section *frames;
	gsize length, before;
	int fd = g_file_open_tmp("fathom-paged-XXXXXX", &copy, NULL);
	guint found = 0;

	g_assert_cmpint(fd, >=, 0);
	if (!g_file_get_contents(path, &content, &length, NULL) || !g_file_set_contents(copy, content, length, NULL)) {
		g_test_skip("no such file here");
		return;
	}
	close(fd);
	fd = open(copy, O_RDWR | O_CLOEXEC);
	image = image_open_fd(fd, NULL);
	g_assert_nonnull(image);
	frames = image_find_section(image, ".eh_frame");
	paged = unwind_table_read(image, NULL);
	whole = unwind_table_read_whole(image, NULL);
	g_assert_true(unwind_table_is_paged(paged));
	g_assert_false(unwind_table_is_paged(whole));
	all = unwind_table_read(image, NULL);
	compare_tables(all, whole, image->segments[0].address);
	close(fd); /* the table has its own */
	before = unwind_table_bytes(paged);
	for (guint i = 0; i < unwind_table_count(whole); i += unwind_table_count(whole) / 8) {
		struct cfi_row row = unwind_table_row(whole, i);

		g_assert_cmphex(unwind_table_find(paged, image->segments[0].address + row.at), ==, row.rule);
	}
	g_assert_cmpuint(unwind_table_bytes(paged), >, before);
	g_assert_cmpuint(unwind_table_bytes(paged), <, frames->size);
	g_assert_cmpuint(unwind_table_bad(paged), ==, 0);
	g_assert_cmpint(truncate(copy, 4096), ==, 0);
	for (guint i = 1; i < unwind_table_count(whole); i += unwind_table_count(whole) / 1000)
		found += cfi_rule_kind(unwind_table_find(paged, image->segments[0].address +
									unwind_table_row(whole, i).at)) != CFI_NONE;
	g_assert_cmpuint(found, <, 500); /* those whose pages were read before */
	g_assert_cmpuint(unwind_table_bad(paged), >, 0);
	g_assert_cmpint(unlink(copy), ==, 0);
}

static void test_lazy_libc(void)
{
	compare_lazy("/lib/x86_64-linux-gnu/libc.so.6", 10000);
}

static void test_lazy_libstdcxx(void)
{
	compare_lazy("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 10000);
}

static void test_lazy_python(void)
{
	compare_lazy(g_file_test("/usr/bin/python3.11", G_FILE_TEST_EXISTS) ? "/usr/bin/python3.11"
									    : "/usr/bin/python3",
		     10000);
}

/* ---- a traced program ---- */

struct mapped {
	guint64 start, end, bias;
	char *path;
	struct unwind_table *table;
	struct symtab *symbols; /* of the program itself */
};

struct tracee {
	pid_t pid;
	GArray *maps; /* struct mapped */
	guint64 stack_end;
	const char *program;
	gboolean without_tables;
	guint lookups; /* by walks */
};

static void mapped_clear(gpointer data)
{
	struct mapped *mapped = data;

	g_free(mapped->path);
	unwind_table_unref(mapped->table);
	symtab_free(mapped->symbols);
}

static void mapped_load(struct mapped *mapped, guint64 file_offset, gboolean with_symbols)
{
	int fd = open(mapped->path, O_RDONLY | O_CLOEXEC);
	g_autoptr(image_t) image = fd >= 0 ? image_open_fd(fd, NULL) : NULL;
	guint64 address;

	if (image && image_address(image->segments, image->segment_count, file_offset, &address)) {
		mapped->bias = mapped->start - address;
		mapped->table = unwind_table_read(image, NULL);
		if (with_symbols) {
			struct symtab_builder *builder = symtab_builder_new();

			image_add_symbols(image, SHT_SYMTAB, builder);
			mapped->symbols = symtab_builder_finish(builder);
		}
	}
	if (fd >= 0)
		close(fd);
}

static void tracee_read_maps(struct tracee *tracee)
{
	g_autofree char *maps_path = g_strdup_printf("/proc/%d/maps", tracee->pid), *text = NULL;
	g_auto(GStrv) lines = NULL;

	g_assert_true(g_file_get_contents(maps_path, &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (guint i = 0; lines[i]; i++) {
		guint64 start, end, offset;
		char flags[5];
		int at = 0;

		if (sscanf(lines[i],
			   "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %4s %" G_GINT64_MODIFIER "x %*s %*s %n",
			   &start, &end, flags, &offset, &at) < 4)
			continue;
		if (strstr(lines[i], "[stack]"))
			tracee->stack_end = end;
		if (flags[2] == 'x' && at) {
			struct mapped mapped = { .start = start, .end = end, .path = g_strdup(lines[i] + at) };

			mapped_load(&mapped, offset, strstr(mapped.path, tracee->program) != NULL);
			g_array_append_val(tracee->maps, mapped);
		}
	}
}

static struct mapped *tracee_find(struct tracee *tracee, guint64 address)
{
	for (guint i = 0; i < tracee->maps->len; i++) {
		struct mapped *mapped = &g_array_index(tracee->maps, struct mapped, i);

		if (address >= mapped->start && address < mapped->end)
			return mapped;
	}
	return NULL;
}

static gboolean tracee_lookup(guint64 address, struct unwind_place *place, gpointer data)
{
	struct tracee *tracee = data;
	const struct mapped *mapped = tracee_find(tracee, address);

	tracee->lookups++;
	if (!mapped)
		return FALSE;
	*place = (struct unwind_place){ .start = mapped->start,
					.end = mapped->end,
					.bias = mapped->bias,
					.table = tracee->without_tables ? NULL : mapped->table };
	return TRUE;
}

static void tracee_start(struct tracee *tracee, const char *program)
{
	g_autofree char *path = g_build_filename(PROGRAMS_DIR, program, NULL);
	int status;

	*tracee = (struct tracee){ .program = program };
	tracee->maps = g_array_new(FALSE, FALSE, sizeof(struct mapped));
	g_array_set_clear_func(tracee->maps, mapped_clear);
	tracee->pid = fork();
	g_assert_cmpint(tracee->pid, >=, 0);
	if (tracee->pid == 0) {
		alarm(120); /* whatever becomes of the test */
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(100);
		execl(path, program, NULL);
		_exit(101);
	}
	g_assert_cmpint(waitpid(tracee->pid, &status, 0), ==, tracee->pid);
	g_assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, tracee->pid, NULL, PTRACE_O_EXITKILL);
}

static void tracee_end(struct tracee *tracee)
{
	kill(tracee->pid, SIGKILL);
	waitpid(tracee->pid, NULL, 0);
	g_array_unref(tracee->maps);
}

/* Lets it go on; the signal it stopped with, 0 when it ended. */
static int tracee_resume(struct tracee *tracee, int how, int deliver)
{
	int status;

	g_assert_cmpint(ptrace(how, tracee->pid, NULL, deliver), ==, 0);
	g_assert_cmpint(waitpid(tracee->pid, &status, 0), ==, tracee->pid);
	if (!WIFSTOPPED(status)) {
		g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		return 0;
	}
	return WSTOPSIG(status);
}

static gboolean tracee_is_at_mark(struct tracee *tracee)
{
	siginfo_t info;

	return ptrace(PTRACE_GETSIGINFO, tracee->pid, NULL, &info) == 0 && info.si_signo == SIGTRAP &&
	       info.si_code == SI_KERNEL;
}

static void tracee_run_to_mark(struct tracee *tracee)
{
	int deliver = 0;

	do {
		deliver = tracee_resume(tracee, PTRACE_CONT, deliver);
		g_assert_cmpint(deliver, !=, 0);
	} while (deliver != SIGTRAP);
	g_assert_true(tracee_is_at_mark(tracee));
}

struct snapshot {
	struct unwind_registers registers;
	guint8 *bytes;
	gsize length;
};

static void snapshot_take(struct tracee *tracee, struct snapshot *snapshot)
{
	struct user_regs_struct raw;
	struct iovec here, there;

	g_assert_cmpint(ptrace(PTRACE_GETREGS, tracee->pid, NULL, &raw), ==, 0);
	snapshot->registers = (struct unwind_registers){
		.ip = raw.rip, .sp = raw.rsp, .bp = raw.rbp, .r10 = raw.r10, .bx = raw.rbx, .di = raw.rdi
	};
	snapshot->length = tracee->stack_end - raw.rsp;
	snapshot->bytes = g_realloc(snapshot->bytes, snapshot->length);
	here = (struct iovec){ .iov_base = snapshot->bytes, .iov_len = snapshot->length };
	there = (struct iovec){ .iov_base = (void *)raw.rsp, .iov_len = snapshot->length };
	g_assert_cmpint(process_vm_readv(tracee->pid, &here, 1, &there, 1, 0), ==, (gssize)snapshot->length);
}

static guint64 snapshot_word(const struct snapshot *snapshot, guint64 address)
{
	guint64 value;

	g_assert_true(address >= snapshot->registers.sp && address - snapshot->registers.sp + 8 <= snapshot->length);
	memcpy(&value, snapshot->bytes + (address - snapshot->registers.sp), sizeof(value));
	return value;
}

static struct unwind_result snapshot_walk(const struct snapshot *snapshot, struct tracee *tracee, gsize length,
					  guint64 *addresses)
{
	struct unwind_stack stack = { .bytes = snapshot->bytes,
				      .length = MIN(length, snapshot->length),
				      .address = snapshot->registers.sp };

	return unwind(&snapshot->registers, &stack, tracee_lookup, tracee, addresses, DEPTH_MAX);
}

/* The same from single pages, none of which is where its neighbours are. */
static struct unwind_result snapshot_walk_pages(const struct snapshot *snapshot, struct tracee *tracee,
						guint64 *addresses)
{
	guint64 from = snapshot->registers.sp, skip = from % 4096;
	gsize count = (skip + snapshot->length + 4095) / 4096;
	g_autofree guint8 **pages = g_new(guint8 *, count);
	struct unwind_stack stack = { .pages = (const guint8 *const *)pages,
				      .length = snapshot->length,
				      .address = from };
	struct unwind_result result;

	for (gsize i = 0; i < count; i++) {
		gsize begin = i ? i * 4096 - skip : 0, first = i ? 0 : skip;

		pages[i] = g_malloc0(4096);
		memcpy(pages[i] + first, snapshot->bytes + begin, MIN(4096 - first, snapshot->length - begin));
	}
	result = unwind(&snapshot->registers, &stack, tracee_lookup, tracee, addresses, DEPTH_MAX);
	for (gsize i = 0; i < count; i++)
		g_free(pages[i]);
	return result;
}

/* The functions of a stack: names of the program's own, files' names otherwise. */
static char *stack_names(struct tracee *tracee, const guint64 *addresses, guint depth)
{
	GString *names = g_string_new(NULL);

	for (guint i = 0; i < depth; i++) {
		guint64 address = addresses[i] - (i ? 1 : 0);
		struct mapped *mapped = tracee_find(tracee, address);
		struct symtab_hit hit;

		g_assert_nonnull(mapped);
		if (mapped->symbols && symtab_find(mapped->symbols, address - mapped->bias, &hit))
			g_string_append(names, hit.name);
		else
			g_string_append(names,
					strrchr(mapped->path, '/') ? strrchr(mapped->path, '/') + 1 : mapped->path);
		g_string_append_c(names, ' ');
	}
	return g_string_free(names, FALSE);
}

/* ---- what the processor really did ---- */

struct call {
	guint64 slot; /* over when the stack pointer is above it */
	guint64 address; /* as the walk must give it */
};

static void shadow_push(GArray *shadow, guint64 slot, guint64 address)
{
	struct call call = { slot, address };

	g_array_append_val(shadow, call);
}

static void shadow_pop_above(GArray *shadow, guint64 sp)
{
	while (shadow->len && g_array_index(shadow, struct call, shadow->len - 1).slot < sp)
		g_array_set_size(shadow, shadow->len - 1);
}

/* From a stack known to be right: where each return address lies is found by looking for it. */
static void shadow_begin(GArray *shadow, const struct snapshot *snapshot, const guint64 *addresses, guint depth)
{
	guint64 slots[DEPTH_MAX], at = snapshot->registers.sp;

	for (guint i = 1; i < depth; i++, at += 8) {
		while (snapshot_word(snapshot, at) != addresses[i])
			at += 8;
		slots[i] = at;
	}
	for (guint i = depth; i-- > 1;)
		shadow_push(shadow, slots[i], addresses[i]);
}

/* A call pushes the address of the next instruction, which is at most 15 bytes away, and goes elsewhere. */
static gboolean step_was_call(const struct unwind_registers *before, const struct snapshot *now)
{
	guint64 pushed;

	if (now->registers.sp != before->sp - 8)
		return FALSE;
	pushed = snapshot_word(now, now->registers.sp);
	return pushed > before->ip && pushed - before->ip <= 15 && pushed != now->registers.ip;
}

/* The walk's callers are the last calls, from the innermost on. */
static gboolean shadow_agrees(const GArray *shadow, const guint64 *addresses, guint depth)
{
	if (depth > shadow->len + 1)
		return FALSE;
	for (guint i = 1; i < depth; i++)
		if (addresses[i] != g_array_index(shadow, struct call, shadow->len - i).address)
			return FALSE;
	return TRUE;
}

struct tally {
	guint steps, wrong, resolver, signals;
};

static gboolean is_resolver(struct tracee *tracee, guint64 address)
{
	const struct mapped *mapped = tracee_find(tracee, address);

	return mapped && strstr(mapped->path, "/ld-linux") != NULL;
}

static void step_check(struct tracee *tracee, const struct snapshot *snapshot, const GArray *shadow,
		       struct tally *tally)
{
	guint64 addresses[DEPTH_MAX];
	struct unwind_result result = snapshot_walk(snapshot, tracee, G_MAXSIZE, addresses);

	gboolean agrees = shadow_agrees(shadow, addresses, result.depth);

	tally->steps++;
	for (guint i = 0; i < result.depth; i++) /* lazy binding: _dl_runtime_resolve keeps its CFA in RBX */
		if (is_resolver(tracee, addresses[i])) {
			tally->resolver++;
			break;
		}
	if (agrees && result.end == UNWIND_END_FIRST && result.depth == shadow->len + 1)
		return;
	if (tally->wrong++ < 10) {
		g_autofree char *names = stack_names(tracee, addresses, result.depth);
		const struct mapped *mapped = tracee_find(tracee, addresses[result.depth - 1]);

		g_test_message("wrong at %s+%" G_GINT64_MODIFIER "x: %s, %u of %u: %s", mapped ? mapped->path : "?",
			       addresses[result.depth - 1] - (mapped ? mapped->bias : 0), unwind_end_name(result.end),
			       result.depth, shadow->len + 1, names);
	}
}

/* The walk must not depend on anything but its basis: all else is replaced by something that looks like a stack and code. */
static void step_check_basis(struct tracee *tracee, const struct snapshot *snapshot)
{
	struct snapshot other = { .registers = snapshot->registers, .length = snapshot->length };
	static struct unwind_basis basis;
	struct unwind_stack stack = {
		.bytes = snapshot->bytes, .length = snapshot->length, .address = snapshot->registers.sp, .basis = &basis
	};
	guint64 addresses[DEPTH_MAX], again[DEPTH_MAX];
	struct unwind_result result = unwind(&snapshot->registers, &stack, tracee_lookup, tracee, addresses, DEPTH_MAX);
	struct unwind_result second;

	if (basis.overflow)
		return;
	other.bytes = g_malloc(snapshot->length);
	for (gsize at = 0; at + 8 <= snapshot->length; at += 8) {
		guint64 word = at % 16 ? snapshot->registers.ip : snapshot->registers.sp + at + 48;

		memcpy(other.bytes + at, &word, sizeof(word));
	}
	for (guint i = 0; i < basis.count; i++)
		memcpy(other.bytes + basis.at[i], snapshot->bytes + basis.at[i], 8);
	if (!basis.has_bp)
		other.registers.bp = snapshot->registers.sp + 64;
	if (!basis.has_r10)
		other.registers.r10 = snapshot->registers.sp + 64;
	second = snapshot_walk(&other, tracee, G_MAXSIZE, again);
	g_assert_cmpint(second.end, ==, result.end);
	g_assert_cmpmem(again, second.depth * sizeof(guint64), addresses, result.depth * sizeof(guint64));
	g_free(other.bytes);
}

/* The thread's last walk, remembered. */
struct remembered {
	struct unwind_memo *memo;
	guint8 *bytes; /* of the stack then */
	gsize length;
	guint shorter; /* walks that had less to read than without */
};

/* From this offset on the stack holds what it held then: both end at the same address. */
static gsize remembered_same_from(const struct remembered *remembered, const struct snapshot *snapshot)
{
	gsize same = 0, most = MIN(remembered->length, snapshot->length);

	while (same + 8 <= most && memcmp(snapshot->bytes + snapshot->length - same - 8,
					  remembered->bytes + remembered->length - same - 8, 8) == 0)
		same += 8;
	return snapshot->length - same;
}

/* Whoever remembers the last walk comes to the same addresses. */
static void step_check_memo(struct tracee *tracee, const struct snapshot *snapshot, struct remembered *remembered)
{
	struct unwind_stack stack = { .bytes = snapshot->bytes,
				      .length = snapshot->length,
				      .address = snapshot->registers.sp,
				      .memo = remembered->memo,
				      .same_from = remembered_same_from(remembered, snapshot) };
	guint64 addresses[DEPTH_MAX], again[DEPTH_MAX];
	guint before = tracee->lookups, without;
	struct unwind_result result = snapshot_walk(snapshot, tracee, G_MAXSIZE, addresses), second;

	without = tracee->lookups - before;
	second = unwind(&snapshot->registers, &stack, tracee_lookup, tracee, again, DEPTH_MAX);
	remembered->shorter += tracee->lookups - before - without < without;
	g_assert_cmpint(second.end, ==, result.end);
	g_assert_cmpuint(second.used_bytes, <=, snapshot->length);
	g_assert_cmpmem(again, second.depth * sizeof(guint64), addresses, result.depth * sizeof(guint64));
	remembered->length = snapshot->length;
	remembered->bytes = g_realloc(remembered->bytes, remembered->length);
	memcpy(remembered->bytes, snapshot->bytes, snapshot->length);
}

/* One instruction; the signal that arrived, or 0. Keeps the shadow. */
static void step_follow(struct tracee *tracee, struct snapshot *snapshot, GArray *shadow, struct tally *tally)
{
	struct unwind_registers before = snapshot->registers;
	int signal_number = tracee_resume(tracee, PTRACE_SINGLESTEP, 0);

	if (signal_number == SIGUSR1) {
		snapshot_take(tracee, snapshot);
		before = snapshot->registers;
		g_assert_cmpint(tracee_resume(tracee, PTRACE_SINGLESTEP, SIGUSR1), ==, SIGTRAP);
		snapshot_take(tracee, snapshot);
		shadow_pop_above(shadow, before.sp);
		shadow_push(shadow, before.sp - 1, before.ip + 1);
		shadow_push(shadow, snapshot->registers.sp, snapshot_word(snapshot, snapshot->registers.sp));
		tally->signals++;
		return;
	}
	g_assert_cmpint(signal_number, ==, SIGTRAP);
	snapshot_take(tracee, snapshot);
	shadow_pop_above(shadow, snapshot->registers.sp);
	if (step_was_call(&before, snapshot))
		shadow_push(shadow, snapshot->registers.sp, snapshot_word(snapshot, snapshot->registers.sp));
}

#define MARKS_STEPPED 5 /* tests/programs/frames.c: main, leaf_alloca, main, compare, on_signal, main */

/* → instructions below the lazy resolver. */
static guint check_every_instruction(const char *program)
{
	g_autoptr(GArray) shadow = g_array_new(FALSE, FALSE, sizeof(struct call));
	struct snapshot snapshot = { 0 };
	struct tally tally = { 0 };
	struct remembered remembered = { .memo = unwind_memo_new() };
	guint64 addresses[DEPTH_MAX];
	struct unwind_result result;
	struct tracee tracee;

	tracee_start(&tracee, program);
	tracee_run_to_mark(&tracee);
	tracee_read_maps(&tracee);
	snapshot_take(&tracee, &snapshot);
	result = snapshot_walk(&snapshot, &tracee, G_MAXSIZE, addresses);
	g_assert_cmpint(result.end, ==, UNWIND_END_FIRST);
	shadow_begin(shadow, &snapshot, addresses, result.depth);
	for (guint marks = 0; marks < MARKS_STEPPED;) {
		step_follow(&tracee, &snapshot, shadow, &tally);
		step_check(&tracee, &snapshot, shadow, &tally);
		step_check_basis(&tracee, &snapshot);
		step_check_memo(&tracee, &snapshot, &remembered);
		marks += tracee_is_at_mark(&tracee);
	}
	g_test_message("%s: %u instructions, %u walked wrongly, %u of them below the lazy resolver, %u signals",
		       program, tally.steps, tally.wrong, tally.resolver, tally.signals);
	g_assert_cmpuint(tally.wrong, ==, 0);
	g_assert_cmpuint(tally.signals, ==, 1);
	g_assert_cmpuint(tally.steps - tally.resolver, >, 2000);
	g_assert_cmpuint(remembered.shorter, >, (tally.steps - tally.resolver) / 2);
	unwind_memo_free(remembered.memo);
	g_free(remembered.bytes);
	tracee_end(&tracee);
	g_free(snapshot.bytes);
	return tally.resolver;
}

static void test_every_instruction(gconstpointer program)
{
	g_assert_cmpuint(check_every_instruction(program), >, 0);
}

/* With PLT calls bound before. */
static void test_every_instruction_bound(void)
{
	g_setenv("LD_BIND_NOW", "1", TRUE);
	g_assert_cmpuint(check_every_instruction("frames_omit"), ==, 0);
	g_unsetenv("LD_BIND_NOW");
}

#define MARKS 7

/* The functions at every mark. */
static char *names_at_marks(const char *program)
{
	GString *all = g_string_new(NULL);
	struct snapshot snapshot = { 0 };
	struct tracee tracee;

	tracee_start(&tracee, program);
	for (guint i = 0; i < MARKS; i++) {
		guint64 addresses[DEPTH_MAX];
		g_autofree char *names = NULL;
		struct unwind_result result;

		tracee_run_to_mark(&tracee);
		if (i == 0)
			tracee_read_maps(&tracee);
		snapshot_take(&tracee, &snapshot);
		result = snapshot_walk(&snapshot, &tracee, G_MAXSIZE, addresses);
		g_assert_cmpint(result.end, ==, UNWIND_END_FIRST);
		names = stack_names(&tracee, addresses, result.depth);
		g_string_append_printf(all, "%s\n", names);
	}
	g_assert_cmpint(tracee_resume(&tracee, PTRACE_CONT, 0), ==, 0);
	g_array_unref(tracee.maps);
	g_free(snapshot.bytes);
	return g_string_free(all, FALSE);
}

static guint count_text(const char *text, const char *part)
{
	guint n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

/* Each way of building the program gives the same functions, and those are the ones its source says. */
static void test_same_functions(void)
{
	static const char *const others[] = { "frames_keep", "frames_debug", "frames_compressed" };
	g_autofree char *omit = names_at_marks("frames_omit");
	g_auto(GStrv) lines = g_strsplit(omit, "\n", -1);

	g_test_message("%.400s", omit);
	g_assert_true(g_str_has_prefix(lines[0], "mark main libc.so.6 "));
	g_assert_true(g_str_has_prefix(lines[1], "mark leaf_alloca leaf_realigned large_frame main libc.so.6 "));
	g_assert_true(g_str_has_prefix(lines[3], "mark compare libc.so.6 "));
	g_assert_nonnull(strstr(lines[3], " sorted main libc.so.6 "));
	g_assert_true(g_str_has_prefix(lines[4], "mark on_signal libc.so.6 "));
	g_assert_nonnull(strstr(lines[4], " signalled main libc.so.6 "));
	g_assert_cmpuint(count_text(lines[6], "recurse "), ==, 501);
	for (guint i = 0; i < MARKS; i++)
		g_assert_true(g_str_has_suffix(lines[i], " _start "));
	for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
		g_autofree char *names = names_at_marks(others[i]);

		g_assert_cmpstr(names, ==, omit);
	}
}

/* Without any table, a program with frame pointers is walked by them, up to where libc has none. */
static void test_frame_pointers(void)
{
	struct snapshot snapshot = { 0 };
	guint64 by_row[DEPTH_MAX], by_pointer[DEPTH_MAX];
	struct unwind_result result;
	struct tracee tracee;

	tracee_start(&tracee, "frames_keep");
	tracee_run_to_mark(&tracee);
	tracee_read_maps(&tracee);
	tracee_run_to_mark(&tracee);
	snapshot_take(&tracee, &snapshot);
	result = snapshot_walk(&snapshot, &tracee, G_MAXSIZE, by_row);
	g_assert_cmpint(result.end, ==, UNWIND_END_FIRST);
	tracee.without_tables = TRUE;
	result = snapshot_walk(&snapshot, &tracee, G_MAXSIZE, by_pointer);
	/* mark() has no frame of its own, so its caller is lost; then all up to main's caller. */
	g_assert_cmpuint(result.depth, ==, 5);
	g_assert_cmpint(result.end, ==, UNWIND_END_NO_ROW);
	g_assert_cmpuint(by_pointer[0], ==, by_row[0]);
	g_assert_cmpmem(by_pointer + 1, 4 * sizeof(guint64), by_row + 2, 4 * sizeof(guint64));
	tracee_end(&tracee);
	g_free(snapshot.bytes);
}

/* A copy that is too short says how long it should have been, and what it gave is right. */
static void test_short_copies(void)
{
	struct snapshot snapshot = { 0 };
	guint64 whole[DEPTH_MAX], part[DEPTH_MAX];
	struct unwind_result full, result;
	struct tracee tracee;
	gsize length = 0;
	guint rounds = 0;

	tracee_start(&tracee, "frames_omit");
	tracee_run_to_mark(&tracee);
	tracee_read_maps(&tracee);
	tracee_run_to_mark(&tracee);
	snapshot_take(&tracee, &snapshot);
	full = snapshot_walk(&snapshot, &tracee, G_MAXSIZE, whole);
	g_assert_cmpuint(full.used_bytes, >, 100000);
	result = snapshot_walk_pages(&snapshot, &tracee, part);
	g_assert_cmpint(result.end, ==, full.end);
	g_assert_cmpuint(result.used_bytes, ==, full.used_bytes);
	g_assert_cmpmem(part, result.depth * sizeof(guint64), whole, full.depth * sizeof(guint64));
	for (;; rounds++) {
		result = snapshot_walk(&snapshot, &tracee, length, part);
		g_assert_cmpuint(result.used_bytes, <=, length);
		g_assert_cmpmem(part, result.depth * sizeof(guint64), whole, result.depth * sizeof(guint64));
		if (result.end == UNWIND_END_FIRST)
			break;
		g_assert_cmpint(result.end, ==, UNWIND_END_OUTSIDE);
		g_assert_cmpuint(result.wanted_bytes, >, length);
		length = result.wanted_bytes;
	}
	g_assert_cmpuint(rounds, >, 3);
	g_assert_cmpuint(length, ==, full.used_bytes);
	g_assert_cmpuint(result.depth, ==, full.depth);
	result = unwind(&snapshot.registers,
			&(struct unwind_stack){ snapshot.bytes, snapshot.length, snapshot.registers.sp }, tracee_lookup,
			&tracee, part, 3);
	g_assert_cmpint(result.end, ==, UNWIND_END_DEPTH);
	g_assert_cmpuint(result.depth, ==, 3);
	tracee_end(&tracee);
	g_free(snapshot.bytes);
}

/* ---- made-up descriptions ---- */

#define SECTION_ADDRESS 0x100000
#define CODE 0x1000

static void append_u32(GByteArray *bytes, guint32 value)
{
	g_byte_array_append(bytes, (const guint8 *)&value, sizeof(value));
}

static void append_record(GByteArray *bytes, guint32 id, const guint8 *body, guint length)
{
	append_u32(bytes, 4 + length);
	append_u32(bytes, id);
	g_byte_array_append(bytes, body, length);
}

/* version 1, "zR": code × 1, data × -8, return in 16, pointers relative in 4 bytes; CFA = rsp + 8, return at CFA - 8 */
static const guint8 plain_cie[] = { 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1 };

static void append_fde(GByteArray *bytes, guint32 code, guint32 size, const guint8 *instructions, guint length)
{
	g_autoptr(GByteArray) body = g_byte_array_new();
	guint32 place = bytes->len + 4;

	append_u32(body, code - (SECTION_ADDRESS + place + 4));
	append_u32(body, size);
	g_byte_array_append(body, (const guint8 *)"", 1); /* no augmentation data */
	g_byte_array_append(body, instructions, length);
	append_record(bytes, place, body->data, body->len); /* its CIE is at 0 */
}

static struct unwind_table *compile(const GByteArray *bytes, GError **error)
{
	struct cfi_section section = { .bytes = bytes->data, .length = bytes->len, .address = SECTION_ADDRESS };

	return unwind_table_compile(0, &section, 1, error);
}

static enum cfi_kind kind_at(const struct unwind_table *table, guint64 address)
{
	return cfi_rule_kind(unwind_table_find(table, address));
}

static void test_rules(void)
{
	guint32 rule = cfi_rule(CFI_SP, 38624, CFI_SAVED_AT_CFA, -16);

	g_assert_cmpint(cfi_rule_kind(rule), ==, CFI_SP);
	g_assert_cmpint(cfi_rule_offset(rule), ==, 38624);
	g_assert_cmpint(cfi_rule_saved(rule), ==, CFI_SAVED_AT_CFA);
	g_assert_cmpint(cfi_rule_slot(rule), ==, -16);
	rule = cfi_rule(CFI_BP_DEREF, -524288, CFI_SAVED_AT_BP, 2040);
	g_assert_cmpint(cfi_rule_offset(rule), ==, -524288);
	g_assert_cmpint(cfi_rule_slot(rule), ==, 2040);
	g_assert_cmpint(cfi_rule_kind(cfi_rule(CFI_BP, 524288, CFI_SAVED_KEPT, 0)), ==, CFI_UNSUPPORTED);
	rule = cfi_rule(CFI_SP, 7340096, CFI_SAVED_AT_CFA, -112); /* a frame of 7 MiB */
	g_assert_cmpint(cfi_rule_kind(rule), ==, CFI_SP_LARGE);
	g_assert_cmpint(cfi_rule_offset(rule), ==, 7340096);
	g_assert_cmpint(cfi_rule_saved(rule), ==, CFI_SAVED_AT_CFA);
	g_assert_cmpint(cfi_rule_slot(rule), ==, -112);
	g_assert_cmpint(cfi_rule_saved(cfi_rule(CFI_SP, 524288, CFI_SAVED_AT_CFA, -128)), ==, CFI_SAVED_LOST);
	g_assert_cmpint(cfi_rule_kind(cfi_rule(CFI_SP, 32 << 20, CFI_SAVED_KEPT, 0)), ==, CFI_UNSUPPORTED);
	g_assert_cmpint(cfi_rule_kind(cfi_rule(CFI_SP, 12, CFI_SAVED_KEPT, 0)), ==, CFI_UNSUPPORTED);
	g_assert_cmpint(cfi_rule_saved(cfi_rule(CFI_SP, 8, CFI_SAVED_AT_CFA, -4096)), ==, CFI_SAVED_LOST);
}

static void test_cover(void)
{
	static const guint8 push[] = { 0x41, 0x0e, 16, 0x86, 2 }; /* 1 byte on: CFA = rsp + 16, RBP at CFA - 16 */
	static const guint8 other[] = { 0x0c, 11, 0 }; /* CFA in R11 */
	static const guint8 unknown[] = { 0x44, 0x3f, 0x41 };
	static const guint8 outermost[] = { 0x07, 16 };
	static const guint8 recall[] = { 0x0b };
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	g_autoptr(unwind_table_t) table = NULL;

	append_record(bytes, 0, plain_cie, sizeof(plain_cie));
	append_fde(bytes, CODE + 0x40, 0x11, push, sizeof(push)); /* not in order */
	append_fde(bytes, CODE, 0x31, push, sizeof(push)); /* 15 bytes before the next */
	append_fde(bytes, CODE + 0x61, 0x10, other, sizeof(other)); /* 16 bytes behind */
	append_fde(bytes, CODE + 0x71, 0x10, unknown, sizeof(unknown));
	append_fde(bytes, CODE + 0x81, 0x10, outermost, sizeof(outermost));
	append_fde(bytes, CODE + 0x91, 0x10, recall, sizeof(recall));
	append_fde(bytes, CODE + 0x95, 0x20, push, sizeof(push)); /* overlaps */
	append_u32(bytes, 0);
	table = compile(bytes, NULL);
	g_assert_nonnull(table);
	g_assert_cmpuint(unwind_table_find(table, CODE), ==, cfi_rule(CFI_SP, 8, CFI_SAVED_KEPT, 0));
	g_assert_cmpuint(unwind_table_find(table, CODE + 1), ==, cfi_rule(CFI_SP, 16, CFI_SAVED_AT_CFA, -16));
	g_assert_cmpint(kind_at(table, CODE + 0x3f), ==, CFI_SP); /* padding */
	g_assert_cmpuint(unwind_table_find(table, CODE + 0x40), ==, cfi_rule(CFI_SP, 8, CFI_SAVED_KEPT, 0));
	g_assert_cmpint(kind_at(table, CODE + 0x50), ==, CFI_SP);
	g_assert_cmpint(kind_at(table, CODE + 0x51), ==, CFI_NONE); /* a gap */
	g_assert_cmpint(kind_at(table, CODE + 0x60), ==, CFI_NONE);
	g_assert_cmpint(kind_at(table, CODE + 0x61), ==, CFI_UNSUPPORTED);
	g_assert_cmpint(kind_at(table, CODE + 0x74), ==, CFI_SP);
	g_assert_cmpint(kind_at(table, CODE + 0x75), ==, CFI_UNSUPPORTED);
	g_assert_cmpint(kind_at(table, CODE + 0x81), ==, CFI_STOP);
	g_assert_cmpint(kind_at(table, CODE + 0x91), ==, CFI_UNSUPPORTED);
	g_assert_cmpint(kind_at(table, CODE + 0xa0), ==, CFI_UNSUPPORTED); /* the lower start wins */
	g_assert_cmpuint(unwind_table_find(table, CODE + 0xa1), ==, cfi_rule(CFI_SP, 16, CFI_SAVED_AT_CFA, -16));
	g_assert_cmpint(kind_at(table, CODE + 0xb5), ==, CFI_NONE);
	g_assert_cmpint(kind_at(table, CODE - 1), ==, CFI_NONE);
	g_assert_cmpint(kind_at(table, 0), ==, CFI_NONE);
	g_assert_cmpint(kind_at(table, G_MAXUINT64), ==, CFI_NONE);
	g_assert_cmpuint(unwind_table_bad(table), ==, 2);
}

static void test_hostile(void)
{
	static const guint8 unterminated[] = { 1, 'z', 'R', 'R', 'R' };
	static const guint8 endless[] = { 1, 'z', 'R', 0, 1, 0x78, 16, 0xff, 0xff, 0xff, 0xff, 0x0f };
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	g_autoptr(GByteArray) late = g_byte_array_new();
	g_autoptr(GByteArray) overlong = g_byte_array_new();
	g_autoptr(GError) error = NULL;

	append_record(bytes, 0, unterminated, sizeof(unterminated));
	append_fde(bytes, CODE, 16, NULL, 0);
	g_assert_null(compile(bytes, &error));
	g_assert_error(error, CFI_ERROR, CFI_ERROR_ABSENT);
	g_clear_error(&error);
	append_record(late, 0, endless, sizeof(endless));
	append_fde(late, CODE, 16, NULL, 0);
	append_record(late, 0x1000000, plain_cie, sizeof(plain_cie)); /* an FDE whose CIE lies before the section */
	g_assert_null(compile(late, &error));
	g_assert_error(error, CFI_ERROR, CFI_ERROR_ABSENT);
	g_clear_error(&error);
	append_record(overlong, 0, plain_cie, sizeof(plain_cie));
	append_u32(overlong, 0xfffffff0);
	append_u32(overlong, 0);
	g_assert_null(compile(overlong, &error));
	g_assert_error(error, CFI_ERROR, CFI_ERROR_MALFORMED);
}

/* ---- damage to a real file ---- */

#define MUTATIONS 6000
#define MUTATION_SEED 3

struct victim {
	guint8 *bytes; /* the whole file */
	gsize length;
	gsize frames_at, frames_length;
	guint64 frames_address;
};

static gboolean lookup_everywhere(guint64 address, struct unwind_place *place, gpointer data)
{
	(void)address;
	*place = (struct unwind_place){ .end = G_MAXUINT64, .table = data };
	return TRUE;
}

static struct unwind_table *read_memory(const guint8 *bytes, gsize length)
{
	struct image_bytes memory = { .fd = -1, .memory = bytes, .size = length };
	g_autoptr(image_t) image = image_open(&memory, NULL);

	return image ? unwind_table_read_whole(image, NULL) : NULL;
}

static void victim_load(struct victim *victim, const char *program)
{
	g_autofree char *path = g_build_filename(PROGRAMS_DIR, program, NULL);
	struct image_bytes memory = { .fd = -1 };
	g_autoptr(image_t) image = NULL;
	const struct image_section *section;

	g_assert_true(g_file_get_contents(path, (char **)&victim->bytes, &victim->length, NULL));
	memory.memory = victim->bytes;
	memory.size = victim->length;
	image = image_open(&memory, NULL);
	section = image_find_section(image, ".eh_frame");
	g_assert_nonnull(section);
	victim->frames_at = section->offset;
	victim->frames_length = section->size;
	victim->frames_address = section->address;
}

/* Whatever it says, it says it in order, and walks end. */
static void check_sane(struct unwind_table *table, const struct victim *victim)
{
	struct unwind_stack stack = { .bytes = victim->bytes, .length = 4096, .address = 0x7f0000000000 };
	guint64 addresses[64];

	for (guint i = 1; i < unwind_table_count(table); i++)
		g_assert_cmpuint(unwind_table_row(table, i - 1).at, <, unwind_table_row(table, i).at);
	for (guint i = 0; i < unwind_table_count(table); i++) {
		struct unwind_registers registers = { unwind_table_row(table, i).at, stack.address, stack.address + 8 };
		struct unwind_result result =
			unwind(&registers, &stack, lookup_everywhere, table, addresses, G_N_ELEMENTS(addresses));

		g_assert_cmpuint(result.depth, >=, 1);
		g_assert_cmpuint(result.used_bytes, <=, stack.length);
	}
}

static void mutate(guint8 *bytes, gsize length, GRand *rand)
{
	static const guint8 extremes[] = { 0x00, 0x7f, 0x80, 0xff, 0x0f, 0x0a, 0x0b, 0x16 };
	gint count = g_rand_int_range(rand, 1, 6);

	for (gint i = 0; i < count; i++) {
		guint8 *at = bytes + g_rand_int_range(rand, 0, (gint32)length);

		switch (g_rand_int_range(rand, 0, 3)) {
		case 0:
			*at ^= (guint8)(1u << g_rand_int_range(rand, 0, 8));
			break;
		case 1:
			*at = extremes[g_rand_int_range(rand, 0, G_N_ELEMENTS(extremes))];
			break;
		default:
			*at = (guint8)g_rand_int(rand);
		}
	}
}

static void test_mutations(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(MUTATION_SEED);
	g_autofree guint8 *original = NULL;
	struct victim victim;
	guint made = 0;

	victim_load(&victim, "frames_omit");
	original = g_memdup2(victim.bytes, victim.length);
	for (guint i = 0; i < MUTATIONS; i++) {
		g_autoptr(unwind_table_t) table = NULL;

		memcpy(victim.bytes, original, victim.length);
		mutate(victim.bytes + victim.frames_at, victim.frames_length, rand);
		table = read_memory(victim.bytes, victim.length);
		made += table != NULL;
		if (table)
			check_sane(table, &victim);
	}
	g_test_message("%u of %u damaged sections still gave a table", made, MUTATIONS);
	g_assert_cmpuint(made, >, MUTATIONS / 10);
	g_assert_cmpuint(made, <, MUTATIONS);
	g_free(victim.bytes);
}

/* Cut off anywhere, in memory that ends there. */
static void test_truncations(void)
{
	struct victim victim;

	victim_load(&victim, "frames_omit");
	for (gsize length = 0; length < victim.frames_length; length++) {
		g_autofree guint8 *bytes = g_memdup2(victim.bytes + victim.frames_at, length);
		struct cfi_section section = { .bytes = bytes, .length = length, .address = victim.frames_address };
		g_autoptr(unwind_table_t) table = unwind_table_compile(0, &section, 1, NULL);

		if (table)
			check_sane(table, &victim);
	}
	g_free(victim.bytes);
}

/* Without section headers the program headers lead to the same table. */
static void test_no_sections(void)
{
	g_autoptr(unwind_table_t) with = NULL;
	g_autoptr(unwind_table_t) without = NULL;
	struct victim victim;

	victim_load(&victim, "frames_omit");
	with = read_memory(victim.bytes, victim.length);
	((Elf64_Ehdr *)victim.bytes)->e_shoff = 0;
	((Elf64_Ehdr *)victim.bytes)->e_shnum = 0;
	without = read_memory(victim.bytes, victim.length);
	g_assert_nonnull(without);
	g_assert_cmpuint(unwind_table_count(with), ==, unwind_table_count(without));
	for (guint i = 0; i < unwind_table_count(with); i++) {
		struct cfi_row a = unwind_table_row(with, i), b = unwind_table_row(without, i);

		g_assert_cmpmem(&a, sizeof(a), &b, sizeof(b));
	}
	g_free(victim.bytes);
}

/* ---- damage to an index ---- */

struct indexed {
	GByteArray *frames, *index;
};

#define INDEXED_INDEX 0x80000
#define INDEXED_FRAMES SECTION_ADDRESS

static struct unwind_table *indexed_open(const struct indexed *indexed)
{
	struct cfi_section section = { .bytes = indexed->frames->data,
				       .length = indexed->frames->len,
				       .address = INDEXED_FRAMES };

	return unwind_table_index(0, &section, indexed->index->data, indexed->index->len, INDEXED_INDEX, NULL);
}

static void indexed_begin(struct indexed *indexed)
{
	static const guint8 head[] = { 1, 0x1b, 0x03, 0x3b };

	indexed->frames = g_byte_array_new();
	indexed->index = g_byte_array_new();
	g_byte_array_append(indexed->index, head, sizeof(head));
	append_u32(indexed->index, INDEXED_FRAMES - INDEXED_INDEX - 4);
	append_u32(indexed->index, 0);
	append_record(indexed->frames, 0, plain_cie, sizeof(plain_cie));
}

static void indexed_entry(struct indexed *indexed, guint64 start, guint64 place)
{
	guint32 count = (guint32)(indexed->index->len - 12) / 8 + 1;

	append_u32(indexed->index, (guint32)(start - INDEXED_INDEX));
	append_u32(indexed->index, (guint32)(INDEXED_FRAMES + place - INDEXED_INDEX));
	memcpy(indexed->index->data + 8, &count, sizeof(count));
}

static void indexed_add(struct indexed *indexed, guint64 start, guint32 size, const guint8 *code, gsize length)
{
	indexed_entry(indexed, start, indexed->frames->len);
	append_fde(indexed->frames, start, size, code, length);
}

static void indexed_end(struct indexed *indexed)
{
	g_byte_array_unref(indexed->frames);
	g_byte_array_unref(indexed->index);
}

static void test_lazy_hostile(void)
{
	g_autofree guint8 *nops = g_malloc0(CFI_FIND_BYTES_MAX);
	g_autoptr(unwind_table_t) table = NULL;
	g_autoptr(unwind_table_t) unsorted = NULL;
	g_autoptr(unwind_table_t) outside = NULL;
	g_autoptr(unwind_table_t) too_many = NULL;
	guint32 plain = cfi_rule(CFI_SP, 8, CFI_SAVED_KEPT, 0), none = cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
	guint32 many = 0x20000000;
	struct indexed indexed;

	indexed_begin(&indexed);
	g_assert_null(indexed_open(&indexed)); /* no entries */
	indexed_add(&indexed, CODE, 0x20, NULL, 0);
	indexed_add(&indexed, CODE + 0x28, 0x10, NULL, 0); /* 8 bytes of padding before it */
	indexed_add(&indexed, CODE + 0x60, 0x10, nops, CFI_FIND_BYTES_MAX); /* too long to be read for one address */
	indexed_entry(&indexed, CODE + 0x80, 0); /* a CIE */
	indexed_entry(&indexed, CODE + 0x90, 3); /* no record */
	indexed_entry(&indexed, CODE + 0xa0, indexed.frames->len - 1); /* no room for one */
	indexed_entry(&indexed, CODE + 0xb0, sizeof(plain_cie) + 8); /* maybe a record, but not of this address */
	table = indexed_open(&indexed);
	g_assert_nonnull(table);
	g_assert_cmphex(unwind_table_find(table, 0), ==, none);
	g_assert_cmphex(unwind_table_find(table, CODE - 1), ==, none);
	g_assert_cmphex(unwind_table_find(table, CODE), ==, plain);
	g_assert_cmphex(unwind_table_find(table, CODE + 0x1f), ==, plain);
	g_assert_cmphex(unwind_table_find(table, CODE + 0x24), ==, plain);
	g_assert_cmphex(unwind_table_find(table, CODE + 0x28), ==, plain);
	g_assert_cmphex(unwind_table_find(table, CODE + 0x38), ==, none);
	g_assert_cmpuint(unwind_table_bad(table), ==, 0);
	for (guint i = 0x60; i < 0xc0; i += 0x10)
		g_assert_cmphex(unwind_table_find(table, CODE + i), ==, none);
	g_assert_cmpuint(unwind_table_bad(table), >=, 5);
	g_assert_cmphex(unwind_table_find(table, G_MAXUINT64), ==, none);
	indexed_entry(&indexed, CODE + 0x10, sizeof(plain_cie) + 8);
	unsorted = indexed_open(&indexed);
	g_assert_null(unsorted);
	indexed_end(&indexed);

	indexed_begin(&indexed);
	indexed_entry(&indexed, CODE, indexed.frames->len);
	outside = indexed_open(&indexed);
	g_assert_null(outside);
	memcpy(indexed.index->data + 8, &many, sizeof(many));
	too_many = indexed_open(&indexed);
	g_assert_null(too_many);
	indexed_end(&indexed);
}

static void find_everywhere(const struct unwind_table *table, const struct image *image)
{
	for (guint i = 0; i < image->segment_count; i++)
		for (guint64 at = 0; at < image->segments[i].file_size; at += 7)
			unwind_table_find(table, image->segments[i].address + at);
}

/* Descriptions and index damaged: whatever comes out, nothing outside is read and every search ends. */
static void test_lazy_mutations(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(MUTATION_SEED);
	g_autofree guint8 *original = NULL;
	const struct image_section *section;
	struct victim victim;
	guint lazy = 0;

	victim_load(&victim, "frames_omit");
	original = g_memdup2(victim.bytes, victim.length);
	for (guint i = 0; i < MUTATIONS / 10; i++) {
		struct image_bytes memory = { .fd = -1, .memory = victim.bytes, .size = victim.length };
		g_autoptr(unwind_table_t) table = NULL;
		g_autoptr(image_t) image = NULL;

		memcpy(victim.bytes, original, victim.length);
		image = image_open(&memory, NULL);
		section = image_find_section(image, ".eh_frame_hdr");
		g_assert_nonnull(section);
		if (i % 2)
			mutate(victim.bytes + section->offset, section->size, rand);
		else
			mutate(victim.bytes + victim.frames_at, victim.frames_length, rand);
		table = unwind_table_read(image, NULL);
		lazy += table && unwind_table_is_lazy(table);
		if (table)
			find_everywhere(table, image);
	}
	g_test_message("%u of %u damaged files still had an index", lazy, MUTATIONS / 10);
	g_assert_cmpuint(lazy, >, MUTATIONS / 40);
	g_assert_cmpuint(lazy, <, MUTATIONS / 10);
	g_free(victim.bytes);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/unwind/rules", test_rules);
	g_test_add_func("/unwind/cover", test_cover);
	g_test_add_func("/unwind/hostile", test_hostile);
	g_test_add_func("/unwind/mutations", test_mutations);
	g_test_add_func("/unwind/truncations", test_truncations);
	g_test_add_func("/unwind/no-sections", test_no_sections);
	g_test_add_func("/unwind/lazy/libc", test_lazy_libc);
	g_test_add_func("/unwind/lazy/pages", test_paged);
	g_test_add_func("/unwind/lazy/libstdc++", test_lazy_libstdcxx);
	g_test_add_func("/unwind/lazy/python", test_lazy_python);
	g_test_add_func("/unwind/lazy/hostile", test_lazy_hostile);
	g_test_add_func("/unwind/lazy/mutations", test_lazy_mutations);
	g_test_add_func("/unwind/readelf/libc", test_libc);
	g_test_add_func("/unwind/readelf/libstdc++", test_libstdcxx);
	g_test_add_func("/unwind/readelf/python", test_python);
	g_test_add_data_func("/unwind/every-instruction/omit", "frames_omit", test_every_instruction);
	g_test_add_data_func("/unwind/every-instruction/keep", "frames_keep", test_every_instruction);
	g_test_add_data_func("/unwind/every-instruction/debug", "frames_debug", test_every_instruction);
	g_test_add_func("/unwind/every-instruction/bound", test_every_instruction_bound);
	g_test_add_func("/unwind/same-functions", test_same_functions);
	g_test_add_func("/unwind/frame-pointers", test_frame_pointers);
	g_test_add_func("/unwind/short-copies", test_short_copies);
	return g_test_run();
}
