/* SPDX-License-Identifier: Apache-2.0 */
/* Language runtimes and their readers. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "symbol/gopclntab.h"
#include "symbol/x86.h"
#include "symbol/language.h"
#include "symbol/python.h"
#include "symbol/source.h"

struct place {
	char *dir;
};

static void place_setup(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	place->dir = g_dir_make_tmp("fathom-language-XXXXXX", NULL);
	g_assert_nonnull(place->dir);
}

static void place_teardown(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	const char *argv[] = { "rm", "-rf", place->dir, NULL };

	g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(place->dir);
}

/* Runs a shell command in the place and returns what it printed. */
static char *shell(const struct place *place, const char *command)
{
	const char *argv[] = { "/bin/sh", "-ec", command, NULL };
	g_autoptr(GError) error = NULL;
	char *out = NULL;
	int status;

	g_spawn_sync(place->dir, (char **)argv, NULL, 0, NULL, NULL, &out, NULL, &status, &error);
	g_assert_no_error(error);
	g_spawn_check_wait_status(status, &error);
	if (error)
		g_error("%s: %s", command, error->message);
	return out;
}

static void test_language_of_file(void)
{
	static const struct {
		const char *file;
		enum language_kind kind;
	} cases[] = {
		{ "python3.11", LANGUAGE_PYTHON },
		{ "libpython3.13.so.1.0", LANGUAGE_PYTHON },
		{ "ruby3.1", LANGUAGE_RUBY },
		{ "libruby-3.1.so.3.1", LANGUAGE_RUBY },
		{ "php8.2", LANGUAGE_PHP },
		{ "php-fpm8.2", LANGUAGE_PHP },
		{ "node", LANGUAGE_NODE },
		{ "libnode.so.108", LANGUAGE_NODE },
		{ "libjvm.so", LANGUAGE_JAVA },
		{ "beam.smp", LANGUAGE_ERLANG },
		{ "libcoreclr.so", LANGUAGE_DOTNET },
	};
	static const char *const none[] = { "",		  "phpize",  "libc.so.6",	"nodecheck",
					    "pythonista", "rubyfmt", "libpythonista.so" };

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct language *language = language_of_file(cases[i].file);

		g_assert_nonnull(language);
		g_assert_cmpint(language->kind, ==, cases[i].kind);
		g_assert_true(language == language_find(cases[i].kind));
	}
	for (guint i = 0; i < G_N_ELEMENTS(none); i++)
		g_assert_null(language_of_file(none[i]));
	g_assert_null(language_find(LANGUAGE_NATIVE));
}

/* ---- Go ---- */

static const char go_program[] = "package main\n"
				 "\n"
				 "import \"fmt\"\n"
				 "\n"
				 "type shop struct{ total int }\n"
				 "\n"
				 "//go:noinline\n"
				 "func (s *shop) sell(n int) int {\n"
				 "\ts.total += n\n"
				 "\treturn s.total\n" /* line 10 */
				 "}\n"
				 "\n"
				 "func main() { fmt.Println((&shop{}).sell(3)) }\n";

#define GO "GO111MODULE=off GOFLAGS= go build "

/* `whole` and `bare` are one program with and without its symbols. */
static const struct go_way {
	const char *name, *build;
} go_ways[] = {
	{ "static", GO "-o whole shop.go; " GO "-ldflags='-s -w' -o bare shop.go" },
	{ "pie", GO "-buildmode=pie -o whole shop.go; strip -o bare whole" },
	{ "pie-system-linker", GO "-buildmode=pie -ldflags=-linkmode=external -o whole shop.go; strip -o bare whole" },
	/* no names of sections either: only the magic is left */
	{ "pie-without-sections",
	  GO "-buildmode=pie -ldflags=-linkmode=external -o whole shop.go; strip -o bare whole; "
	     "printf '\\0\\0\\0\\0\\0\\0\\0\\0' | dd of=bare bs=1 seek=40 conv=notrunc status=none; "
	     "printf '\\0\\0\\0\\0' | dd of=bare bs=1 seek=60 conv=notrunc status=none" },
};

struct go_file {
	int fd;
	struct image *image;
};

static void go_build(struct place *place, const struct go_way *way, struct go_file *bare)
{
	g_autofree char *source = g_build_filename(place->dir, "shop.go", NULL);
	g_autofree char *path = g_build_filename(place->dir, "bare", NULL);
	g_autofree char *out = NULL;

	g_assert_true(g_file_set_contents(source, go_program, -1, NULL));
	out = shell(place, way->build);
	bare->fd = open(path, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(bare->fd, >=, 0);
	bare->image = image_open_fd(bare->fd, NULL);
	g_assert_nonnull(bare->image);
}

static void go_close(struct go_file *file)
{
	image_free(file->image);
	close(file->fd);
}

static gboolean go_is_missing(void)
{
	g_autofree char *compiler = g_find_program_in_path("go");

	if (!compiler)
		g_test_skip("no go");
	return !compiler;
}

/* Every function nm finds in the whole program is found in the bare one, at the same address. */
static void check_go_names(const struct place *place, const struct image *bare)
{
	g_autoptr(symtab_t) table = NULL;
	g_autofree char *nm = NULL;
	g_auto(GStrv) lines = NULL;
	gboolean complete;
	guint named = 0, rest;

	nm = shell(place, "nm whole | awk '$2 ~ /^[Tt]$/ && $3 ~ /^(main|fmt|strconv|sync)\\./ { print $1, $3 }'");
	table = source_read(&(struct source_file){ .image = bare, .path = "/bare" }, &complete, &rest);
	lines = g_strsplit(nm, "\n", -1);
	for (guint i = 0; lines[i] && lines[i][0]; i++) {
		char *name;
		guint64 address = g_ascii_strtoull(lines[i], &name, 16);
		struct symtab_hit hit;

		g_assert_true(symtab_find(table, address, &hit));
		g_assert_cmpstr(hit.name, ==, name + 1);
		g_assert_cmpuint(hit.start, ==, address);
		named++;
	}
	g_assert_cmpuint(named, >, 100);
}

static void check_go_lines(const struct image *bare)
{
	g_autoptr(gopclntab_t) table = gopclntab_open(bare);
	guint32 lowest = G_MAXUINT32, highest = 0;

	g_assert_nonnull(table);
	for (guint i = 0; i < gopclntab_count(table); i++) {
		struct gopclntab_function function;

		if (!gopclntab_function(table, i, &function) || strcmp(function.name, "main.(*shop).sell") != 0)
			continue;
		for (guint64 at = function.start; at < function.end; at++) {
			const char *file;
			guint32 line;

			if (!gopclntab_line(table, at, &file, &line))
				continue;
			g_assert_true(g_str_has_suffix(file, "/shop.go"));
			lowest = MIN(lowest, line);
			highest = MAX(highest, line);
		}
	}
	g_assert_cmpuint(lowest, ==, 9);
	g_assert_cmpuint(highest, ==, 10);
}

/* The function's code, read from its file. NULL when it is not there. */
static guint8 *function_code(const struct image *image, const struct gopclntab_function *function)
{
	guint64 length = function->end - function->start;
	g_autofree guint8 *code = g_malloc(length);

	for (guint i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];
		guint64 skip = function->start - segment->address;

		if (segment->executable && function->start >= segment->address && skip < segment->file_size &&
		    segment->file_size - skip >= length)
			return image_read(image, segment->offset + skip, length, code) ? g_steal_pointer(&code) : NULL;
	}
	return NULL;
}

/* From instruction to instruction the depth changes as the instruction says; where a function begins and returns it is 0. → instructions compared. */
static guint check_go_depths_of(const struct gopclntab *table, const struct image *bare,
				const struct gopclntab_function *function)
{
	g_autofree guint8 *code = function_code(bare, function);
	gint64 expected = 0; /* -1: not known */
	gboolean may_end =
		FALSE; /* the call before may not come back: what follows is where the stack grows, without a frame */
	guint64 work_bytes = 0;
	guint compared = 0, length = (guint)(function->end - function->start);
	struct x86 x86;

	for (guint at = 0; code && at < length; at += x86.length) {
		guint32 depth;

		if (!x86_read(code + at, length - at, function->start + at, &x86) ||
		    !gopclntab_depth(table, function->start + at, &depth, &work_bytes))
			return compared; /* goes to another stack, or is data */
		if (x86.flow == X86_FLOW_RETURN)
			g_assert_cmpuint(depth, ==, 0);
		if (expected >= 0 && !(may_end && depth == 0)) {
			compared++;
			g_assert_cmpint(depth, ==, expected);
		}
		may_end = x86.flow == X86_FLOW_CALL || x86.flow == X86_FLOW_CALL_AWAY || (may_end && x86.is_padding);
		expected = x86.effect == X86_EFFECT_PUSH      ? (gint64)depth + 8
			   : x86.effect == X86_EFFECT_POP     ? (gint64)depth - 8
			   : x86.effect == X86_EFFECT_SP_ADD  ? (gint64)depth - x86.amount
			   : x86.effect == X86_EFFECT_SP_LOST ? -1
			   : x86.flow == X86_FLOW_NEXT	      ? (gint64)depth
			   : x86.flow == X86_FLOW_BRANCH      ? (gint64)depth
			   : x86.flow == X86_FLOW_CALL	      ? (gint64)depth
							      : -1;
	}
	g_assert_cmpuint(work_bytes, <, (guint64)(compared + 1) * 65536);
	return compared;
}

static void check_go_depths(const struct image *bare)
{
	g_autoptr(gopclntab_t) table = gopclntab_open(bare);
	guint64 work_bytes = 0, end = 0;
	guint compared = 0;
	guint32 depth;

	for (guint i = 0; i < gopclntab_count(table); i++) {
		struct gopclntab_function function;
		gboolean is_own =
			gopclntab_function(table, i, &function) &&
			(g_str_has_prefix(function.name, "main.") || g_str_has_prefix(function.name, "fmt.") ||
			 g_str_has_prefix(function.name, "strconv."));

		end = MAX(end, function.end);
		if (is_own)
			compared += check_go_depths_of(table, bare, &function);
	}
	g_assert_cmpuint(compared, >, 5000);
	g_assert_false(gopclntab_depth(table, 1, &depth, &work_bytes));
	g_assert_false(gopclntab_depth(table, end, &depth, &work_bytes));
	g_assert_false(gopclntab_depth(table, G_MAXUINT64, &depth, &work_bytes));
}

static void test_go(struct place *place, gconstpointer data)
{
	struct go_file bare;

	if (go_is_missing())
		return;
	go_build(place, data, &bare);
	check_go_names(place, bare.image);
	check_go_lines(bare.image);
	check_go_depths(bare.image);
	go_close(&bare);
}

static void test_go_none(void)
{
	static const guint8 bytes[] = { 0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8 };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	g_autoptr(image_t) image = image_open_fd(fd, NULL);
	struct image cut = { .bytes = { .fd = -1, .memory = bytes, .size = sizeof(bytes) },
			     .segments = { { .file_size = sizeof(bytes) } },
			     .segment_count = 1 };

	g_assert_nonnull(image);
	g_assert_null(gopclntab_open(image));
	g_assert_null(gopclntab_open(&cut)); /* a magic and nothing behind it */
	close(fd);
}

/* ---- Python ---- */

static void check_python_file(const char *path, guint16 version)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	g_autoptr(image_t) image = image_open_fd(fd, NULL);
	struct python python;

	g_assert_nonnull(image);
	g_assert_true(python_read(image, &python));
	g_assert_cmphex(python.version, ==, version);
	g_assert_true(python_is_known(&python));
	g_assert_cmpuint(python.runtime, !=, 0);
	g_assert_cmpuint(python.layout.thread_next, ==, 8); /* since ever */
	g_assert_cmpuint(python.layout.text_length, ==, 16);
	close(fd);
}

static void test_python_files(void)
{
	static const char *const places[] = { "/usr/lib/x86_64-linux-gnu", "/usr/local/lib" };

	if (g_file_test("/usr/bin/python3.11", G_FILE_TEST_EXISTS))
		check_python_file("/usr/bin/python3.11", 0x030b);
	else
		g_test_skip("no python3.11");
	for (guint i = 0; i < G_N_ELEMENTS(places); i++)
		for (guint minor = 11; minor <= 13; minor++) {
			g_autofree char *path = g_strdup_printf("%s/libpython3.%u.so.1.0", places[i], minor);

			if (g_file_test(path, G_FILE_TEST_EXISTS))
				check_python_file(path, (guint16)(0x0300 | minor));
		}
}

static void test_python_none(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	g_autoptr(image_t) image = image_open_fd(fd, NULL);
	struct python python;

	g_assert_nonnull(image);
	g_assert_false(python_read(image, &python));
	close(fd);
}

/* An image of one segment that is all `_PyRuntime`. */
static gboolean read_described(const guint64 *words, guint count, struct python *python)
{
	static char names[] = ".PyRuntime";
	struct image_section section = { .type = SHT_PROGBITS, .address = 0x1000, .size = 8 * count };
	struct image image = { .bytes = { .fd = -1, .memory = (const guint8 *)words, .size = 8 * count },
			       .is_64bit = TRUE,
			       .segments = { { .address = 0x1000, .file_size = 8 * count } },
			       .segment_count = 1,
			       .sections = &section,
			       .section_count = 1,
			       .section_names = names,
			       .section_names_size = sizeof(names) };

	return python_read(&image, python);
}

/* 3.13 says itself where things lie. A file may say anything: offsets beyond what is read are refused. */
static void test_python_described(void)
{
	guint64 words[80];
	struct python python;
	guint refused = 0;

	memcpy(words, "xdebugpy", 8);
	for (guint i = 1; i < G_N_ELEMENTS(words); i++)
		words[i] = 8;
	words[1] = 0x030d00f0;
	g_assert_true(read_described(words, 80, &python));
	g_assert_true(python_is_known(&python));
	g_assert_cmpuint(python.layout.text_wide, ==, 8 + 16);
	for (guint i = 5; i < G_N_ELEMENTS(words); i++) {
		words[i] = G_MAXUINT64;
		g_assert_true(read_described(words, 80, &python));
		refused += !python_is_known(&python);
		words[i] = 8;
	}
	g_assert_cmpuint(refused, ==, 21); /* the words that are used */
	words[1] = 0x030e00f0; /* 3.14 has other words */
	g_assert_true(read_described(words, 80, &python));
	g_assert_false(python_is_known(&python));
	g_assert_true(read_described(words, 40, &python)); /* cut off */
	g_assert_false(python_is_known(&python));
}

static void test_python_text(void)
{
	static const struct {
		guint32 state;
		const char *bytes;
		gsize size;
		guint32 length;
		const char *text; /* NULL: refused */
	} cases[] = {
		{ 0x64, "main", 4, 4, "main" },
		{ 0x24, "caf\351", 4, 4, "caf\303\251" },
		{ 0x28, "\x14\x04\x30\x04", 4, 2, "\320\224\320\260" },
		{ 0x30, "\x00\xf6\x01\x00", 4, 1, "\360\237\230\200" },
		{ 0x64, "abc", 3, 1000, "abc" }, /* a length that cannot be */
		{ 0x28, "\x00\xd8", 2, 1, "\357\277\275" }, /* half a surrogate pair */
		{ 0x64, "a\0b", 3, 3, "a\357\277\275b" },
		{ 0x04, "main", 4, 4, NULL }, /* not compact */
		{ 0x6c, "main", 4, 4, NULL }, /* three bytes a character */
		{ 0, "main", 4, 4, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) text = g_string_new(NULL);
		gboolean ok = python_text(cases[i].state, (const guint8 *)cases[i].bytes, cases[i].size,
					  cases[i].length, text);

		g_assert_cmpint(ok, ==, cases[i].text != NULL);
		if (ok)
			g_assert_cmpstr(text->str, ==, cases[i].text);
	}
}

/* Prints first line, table and the line of every instruction of every function of some of Python's own modules. */
static const char python_lines_program[] =
	"import argparse, ast, dis, inspect, json.decoder, textwrap, types, typing\n"
	"def walk(code):\n"
	"    lines = ','.join(str(p[0] or 0) for p in code.co_positions())\n"
	"    print(code.co_firstlineno, code.co_linetable.hex(), lines)\n"
	"    for constant in code.co_consts:\n"
	"        if isinstance(constant, types.CodeType):\n"
	"            walk(constant)\n"
	"for module in argparse, ast, dis, inspect, json.decoder, textwrap, typing:\n"
	"    walk(compile(open(module.__file__).read(), 'x', 'exec'))\n";

static GByteArray *hex_take(const char *hex)
{
	GByteArray *bytes = g_byte_array_new();

	for (; hex[0] && hex[1]; hex += 2) {
		guint8 byte = (guint8)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));

		g_byte_array_append(bytes, &byte, 1);
	}
	return bytes;
}

static void test_python_lines(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *path = g_build_filename(place->dir, "lines.py", NULL);
	g_autofree char *out = NULL;
	g_auto(GStrv) functions = NULL;
	guint compared = 0;

	if (!g_file_test("/usr/bin/python3.11", G_FILE_TEST_EXISTS)) {
		g_test_skip("no python3.11");
		return;
	}
	g_assert_true(g_file_set_contents(path, python_lines_program, -1, NULL));
	out = shell(place, "/usr/bin/python3.11 lines.py");
	functions = g_strsplit(out, "\n", -1);
	for (guint i = 0; functions[i] && functions[i][0]; i++) {
		g_auto(GStrv) parts = g_strsplit(functions[i], " ", 3);
		g_auto(GStrv) lines = g_strsplit(parts[2], ",", -1);
		g_autoptr(GByteArray) table = hex_take(parts[1]);
		guint32 first = (guint32)g_ascii_strtoull(parts[0], NULL, 10);

		for (guint32 at = 0; lines[at]; at++, compared++)
			g_assert_cmpuint(python_line(table->data, table->len, first, at), ==,
					 g_ascii_strtoull(lines[at], NULL, 10));
		g_assert_cmpuint(python_line(table->data, table->len, first, 1u << 30), ==, 0);
	}
	g_assert_cmpuint(compared, >, 50000);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/language/of_file", test_language_of_file);
	for (guint i = 0; i < G_N_ELEMENTS(go_ways); i++) {
		g_autofree char *path = g_strdup_printf("/go/%s", go_ways[i].name);

		g_test_add(path, struct place, &go_ways[i], place_setup, test_go, place_teardown);
	}
	g_test_add_func("/go/none", test_go_none);
	g_test_add_func("/python/files", test_python_files);
	g_test_add_func("/python/none", test_python_none);
	g_test_add_func("/python/described", test_python_described);
	g_test_add_func("/python/text", test_python_text);
	g_test_add("/python/lines", struct place, NULL, place_setup, test_python_lines, place_teardown);
	return g_test_run();
}
