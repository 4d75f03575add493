/* SPDX-License-Identifier: Apache-2.0 */
/* symbol/: real programs, compiled here, running, deleted, replaced and gone; nm says what is right. Damaged ELF files and
 * perf maps must give an answer, any answer, and no fault. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <link.h>
#include <signal.h>
#include <malloc.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "symbol/demangle.h"
#include "symbol/image.h"
#include "symbol/kallsyms.h"
#include "symbol/maps.h"
#include "symbol/module.h"
#include "symbol/perfmap.h"
#include "symbol/source.h"
#include "symbol/symbolizer.h"
#include "symbol/symtab.h"

#define DEADLINE_US (10 * G_USEC_PER_SEC)

/* ---- building and running ---- */

struct place {
	char *dir;
};

static void place_setup(struct place *place, gconstpointer data)
{
	(void)data;
	place->dir = g_dir_make_tmp("fathom-symbol-XXXXXX", NULL);
	g_assert_nonnull(place->dir);
}

static void place_teardown(struct place *place, gconstpointer data)
{
	const char *argv[] = { "rm", "-rf", place->dir, NULL };

	(void)data;
	g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(place->dir);
}

/* Runs a shell command in the place; %s are quoted by the caller's care. Returns stdout. */
G_GNUC_PRINTF(2, 3)
static char *shell(const struct place *place, const char *format, ...)
{
	g_autofree char *command = NULL;
	g_autoptr(GError) error = NULL;
	char *out = NULL;
	int status;
	va_list arguments;

	va_start(arguments, format);
	command = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	const char *argv[] = { "/bin/sh", "-ec", command, NULL };

	g_spawn_sync(place->dir, (char **)argv, NULL, 0, NULL, NULL, &out, NULL, &status, &error);
	g_assert_no_error(error);
	g_spawn_check_wait_status(status, &error);
	if (error)
		g_error("%s: %s", command, error->message);
	return out;
}

static void write_file(const struct place *place, const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(place->dir, name, NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* Prints "name address" of its functions and "ready"; with each line on stdin it loads ./plugin.so and prints that. */
static const char program_source[] =
	"#include <dlfcn.h>\n"
	"#include <stdio.h>\n"
	"#include <sys/mman.h>\n"
	"#include <unistd.h>\n"
	"static volatile int sink;\n"
	"static __attribute__((noinline)) int hidden_work(int x) { for (int i = 0; i < x; i++) sink += i; return sink; }\n"
	"__attribute__((noinline)) int visible_work(int x) { return hidden_work(x) + hidden_work(x + 1); }\n"
	"int main(void)\n"
	"{\n"
	"	void *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);\n"
	"	printf(\"hidden_work %p\\nvisible_work %p\\nmain %p\\njit %p\\n\", (void *)hidden_work,\n"
	"	       (void *)visible_work, (void *)main, code);\n"
	"	printf(\"sink %p\\nready 0\\n\", (void *)&sink);\n"
	"	fflush(stdout);\n"
	"	while (getchar() != EOF) {\n"
	"		void *plugin = dlopen(\"./plugin.so\", RTLD_NOW);\n"
	"		printf(\"plugin_work %p\\nready 0\\n\", plugin ? dlsym(plugin, \"plugin_work\") : 0);\n"
	"		fflush(stdout);\n"
	"	}\n"
	"	return 0;\n"
	"}\n";

struct program {
	GPid pid;
	int in;
	FILE *out;
	GHashTable *addresses; /* name → guint64 * */
};

static void program_read(struct program *program)
{
	char line[256], name[128];
	guint64 address;

	while (fgets(line, sizeof(line), program->out)) {
		guint64 *copy;

		g_assert_cmpint(sscanf(line, "%127s %" G_GINT64_MODIFIER "x", name, &address), ==, 2);
		if (strcmp(name, "ready") == 0)
			return;
		copy = g_new(guint64, 1);
		*copy = address;
		g_hash_table_insert(program->addresses, g_strdup(name), copy);
	}
	g_error("the program ended early");
}

static void program_start(struct program *program, const struct place *place, const char *name)
{
	g_autofree char *path = g_build_filename(place->dir, name, NULL);
	char *argv[] = { path, NULL };
	g_autoptr(GError) error = NULL;
	int out;

	g_spawn_async_with_pipes(place->dir, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &program->pid,
				 &program->in, &out, NULL, &error);
	g_assert_no_error(error);
	program->out = fdopen(out, "r");
	program->addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	program_read(program);
}

static guint64 program_address(const struct program *program, const char *name)
{
	guint64 *address = g_hash_table_lookup(program->addresses, name);

	g_assert_nonnull(address);
	return *address;
}

static void program_end(struct program *program)
{
	int status;

	if (program->pid) {
		kill(program->pid, SIGKILL);
		g_assert_cmpint(waitpid(program->pid, &status, 0), ==, program->pid);
		program->pid = 0;
	}
}

static void program_clear(struct program *program)
{
	program_end(program);
	close(program->in);
	fclose(program->out);
	g_hash_table_unref(program->addresses);
}

static void build(const struct place *place, const char *name, const char *flags)
{
	g_autofree char *out = NULL;

	write_file(place, "program.c", program_source);
	out = shell(place, "gcc -O1 -fno-inline %s -o %s program.c -ldl", flags, name);
}

static void assert_name(struct symbolizer *symbolizer, guint32 tgid, guint64 address, enum frame_kind kind,
			const char *name)
{
	struct symbol symbol;

	symbolizer_user(symbolizer, tgid, address, FALSE, &symbol);
	g_assert_cmpstr(symbol.name, ==, name);
	g_assert_cmpint(symbol.kind, ==, kind);
}

static const char *const own_names[] = { "hidden_work", "visible_work", "main" };

static void assert_own_names(struct symbolizer *symbolizer, guint32 tgid, const struct program *program)
{
	for (guint i = 0; i < G_N_ELEMENTS(own_names); i++) {
		guint64 address = program_address(program, own_names[i]);
		struct symbol symbol;

		symbolizer_user(symbolizer, tgid, address + 1, FALSE, &symbol);
		g_assert_cmpstr(symbol.name, ==, own_names[i]);
		g_assert_cmpstr(symbol.module, ==, "prog");
		g_assert_cmpint(symbol.kind, ==, FRAME_USER);
		g_assert_cmpuint(symbol.offset, ==, 1);
		symbolizer_user(symbolizer, tgid, address + 4, TRUE, &symbol);
		g_assert_cmpstr(symbol.name, ==, own_names[i]);
		g_assert_cmpuint(symbol.offset, ==, 4);
		symbolizer_user(symbolizer, tgid, address, TRUE, &symbol); /* a call right before the function */
		g_assert_cmpstr(symbol.name, !=, own_names[i]);
	}
}

/* ---- programs ---- */

static void test_program(struct place *place, gconstpointer flags)
{
	struct symbolizer *symbolizer = symbolizer_new();
	struct program program;

	build(place, "prog", flags);
	program_start(&program, place, "prog");
	g_assert_true(symbolizer_see(symbolizer, (guint32)program.pid));
	assert_own_names(symbolizer, (guint32)program.pid, &program);
	assert_name(symbolizer, (guint32)program.pid, 16, FRAME_UNRESOLVED, "[unmapped: no code at this address]");
	program_clear(&program);
	symbolizer_free(symbolizer);
}

/* It has no name, and is called by where it begins: the same all over it. → as the file counts, from 0. */
static guint64 assert_start(struct symbolizer *symbolizer, const struct program *program, const char *file,
			    const char *function)
{
	g_autofree char *prefix = g_strdup_printf("[%s+0x", file);
	guint64 address = program_address(program, function);
	struct symbol first, later;
	char *end;
	guint64 start;

	symbolizer_user(symbolizer, (guint32)program->pid, address, FALSE, &first);
	g_assert_cmpint(first.kind, ==, FRAME_UNRESOLVED);
	g_assert_true(g_str_has_prefix(first.name, prefix));
	start = g_ascii_strtoull(first.name + strlen(prefix), &end, 16);
	g_assert_cmpstr(end, ==, "]");
	g_assert_cmphex(start % 4096, ==, address % 4096); /* it is mapped somewhere, page by page */
	symbolizer_user(symbolizer, (guint32)program->pid, address + 4, FALSE, &later);
	g_assert_true(first.name == later.name);
	return start;
}

/* Names outlive the one that asked first, and what was read for it is there for the other. */
static void test_beside(struct place *place, gconstpointer data)
{
	struct symbolizer *first = symbolizer_new(), *second = symbolizer_new_beside(first);
	struct symbol before, after;
	struct program program;
	guint64 address, start;
	guint32 tgid;

	(void)data;
	build(place, "prog", "-s -rdynamic");
	program_start(&program, place, "prog");
	tgid = (guint32)program.pid;
	address = program_address(&program, "visible_work");
	g_assert_true(symbolizer_see(first, tgid));
	g_assert_true(symbolizer_see(second, tgid));
	symbolizer_user(first, tgid, address, FALSE, &before);
	start = assert_start(first, &program, "prog", "hidden_work");
	g_assert_cmphex(assert_start(second, &program, "prog", "hidden_work"), ==, start);
	symbolizer_free(first);
	program_clear(&program);
	symbolizer_user(second, tgid, address, FALSE, &after);
	g_assert_true(before.name == after.name); /* the same place */
	g_assert_cmpstr(after.name, ==, "visible_work");
	symbolizer_free(second);
}

static void test_stripped(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	struct program program;
	g_autofree char *said = symbolizer_stripped(symbolizer);

	(void)data;
	g_assert_null(said);
	build(place, "prog", "-s");
	program_start(&program, place, "prog");
	g_assert_cmphex(assert_start(symbolizer, &program, "prog", "hidden_work"), !=,
			assert_start(symbolizer, &program, "prog", "visible_work"));
	program_clear(&program);
	build(place, "exports", "-s -rdynamic");
	program_start(&program, place, "exports");
	assert_name(symbolizer, (guint32)program.pid, program_address(&program, "visible_work"), FRAME_USER,
		    "visible_work");
	assert_start(symbolizer, &program, "exports", "hidden_work");
	program_clear(&program);
	said = symbolizer_stripped(symbolizer);
	g_assert_true(g_str_has_prefix(said, "functions without names, because their files are stripped: of "));
	g_assert_nonnull(strstr(said, "prog"));
	g_assert_nonnull(strstr(said, "exports"));
	symbolizer_free(symbolizer);
}

static void test_deleted(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	g_autofree char *path = g_build_filename(place->dir, "prog", NULL);
	struct program program;

	(void)data;
	build(place, "prog", "");
	program_start(&program, place, "prog");
	g_assert_cmpint(g_unlink(path), ==, 0);
	assert_own_names(symbolizer, (guint32)program.pid, &program);
	program_clear(&program);
	symbolizer_free(symbolizer);
}

static void test_replaced(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	g_autofree char *out = NULL;
	struct program program;

	(void)data;
	build(place, "prog", "");
	program_start(&program, place, "prog");
	out = shell(place, "cp /bin/true other && mv other prog");
	assert_own_names(symbolizer, (guint32)program.pid, &program);
	program_clear(&program);
	symbolizer_free(symbolizer);
}

#define GONE_FIRST_TGID 5000000u /* no machine has such */
#define GONE_PROCESSES 6000
#define GONE_BYTES_MAX (2u << 20)

/* Children that a stack was seen of, and that have ended. Bytes in use afterwards. */
static gsize see_gone(struct symbolizer *symbolizer, guint32 first)
{
	struct symbol symbol;

	for (guint32 tgid = first; tgid < first + GONE_PROCESSES; tgid++) {
		symbolizer_forked(symbolizer, (guint32)getpid(), tgid);
		symbolizer_user(symbolizer, tgid, (guint64)(guintptr)see_gone, FALSE, &symbol);
		g_assert_cmpint(symbol.kind, ==, FRAME_USER);
		symbolizer_exited(symbolizer, tgid);
	}
	return mallinfo2().uordblks;
}

/* Who watches for long beside builds sees thousands end a minute. */
static void test_many_exited(void)
{
	struct symbolizer *symbolizer = symbolizer_new();
	gsize few, many;

	symbolizer_follow(symbolizer, TRUE);
	g_assert_true(symbolizer_see(symbolizer, (guint32)getpid()));
	few = see_gone(symbolizer, GONE_FIRST_TGID);
	many = see_gone(symbolizer, GONE_FIRST_TGID + GONE_PROCESSES);
	g_test_message("%zu bytes, then %zu", few, many);
	g_assert_cmpuint(many, <, few + GONE_BYTES_MAX);
	symbolizer_free(symbolizer);
}

static void test_exited(struct place *place, gconstpointer data)
{
	siginfo_t zombie;
	struct symbolizer *symbolizer = symbolizer_new();
	struct program program;
	guint32 tgid;

	(void)data;
	build(place, "prog", "");
	program_start(&program, place, "prog");
	tgid = (guint32)program.pid;
	g_assert_true(symbolizer_see(symbolizer, tgid));
	kill(program.pid, SIGKILL);
	g_assert_cmpint(waitid(P_PID, (id_t)program.pid, &zombie, WEXITED | WNOWAIT), ==, 0);
	symbolizer_exited(symbolizer, tgid); /* a zombie still has its directory in /proc */
	g_assert_true(symbolizer_see(symbolizer, tgid));
	assert_own_names(symbolizer, tgid, &program);
	program_end(&program);
	assert_own_names(symbolizer, tgid, &program);
	program_clear(&program);

	program_start(&program, place, "prog");
	tgid = (guint32)program.pid;
	program_end(&program);
	g_assert_false(symbolizer_see(symbolizer, tgid));
	assert_name(symbolizer, tgid, program_address(&program, "main"), FRAME_UNRESOLVED,
		    "[exited before its mappings were read]");
	program_clear(&program);
	symbolizer_free(symbolizer);
}

static void test_plugin(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	g_autofree char *out = NULL;
	struct program program;
	struct symbol symbol = { 0 };

	(void)data;
	write_file(place, "plugin.c", "int plugin_work(int x) { return x * 3 + 1; }\n");
	build(place, "prog", "");
	out = shell(place, "gcc -shared -fPIC -o plugin.so plugin.c");
	program_start(&program, place, "prog");
	assert_own_names(symbolizer, (guint32)program.pid, &program); /* first sight, before the library is there */
	g_assert_cmpint(write(program.in, "\n", 1), ==, 1);
	program_read(&program);
	for (gint64 end = g_get_monotonic_time() + DEADLINE_US; g_get_monotonic_time() < end; g_usleep(10000)) {
		symbolizer_user(symbolizer, (guint32)program.pid, program_address(&program, "plugin_work"), FALSE,
				&symbol);
		if (symbol.kind == FRAME_USER)
			break;
	}
	g_assert_cmpstr(symbol.name, ==, "plugin_work");
	g_assert_cmpstr(symbol.module, ==, "plugin.so");
	program_clear(&program);
	symbolizer_free(symbolizer);
}

/* The same pid again is another process. */
static void test_pid_reuse(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	gboolean reused = FALSE;
	struct program program;
	guint32 tgid;

	(void)data;
	build(place, "prog", "-no-pie");
	build(place, "other", "-s -no-pie");
	program_start(&program, place, "prog");
	tgid = (guint32)program.pid;
	assert_own_names(symbolizer, tgid, &program);
	program_end(&program);
	program_clear(&program);
	g_usleep(2 * G_USEC_PER_SEC / (gulong)sysconf(_SC_CLK_TCK)); /* start times are told in these ticks */
	for (guint i = 0; i < 50 && !reused; i++) {
		g_autofree char *last = g_strdup_printf("%u", tgid - 1);
		int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);

		if (fd < 0 || write(fd, last, strlen(last)) < 0)
			i = 50;
		if (fd >= 0)
			close(fd);
		program_start(&program, place, "other");
		reused = (guint32)program.pid == tgid;
		if (!reused)
			program_clear(&program);
	}
	if (reused) {
		symbolizer_exited(symbolizer, tgid);
		assert_name(symbolizer, tgid, program_address(&program, "main"), FRAME_USER, "main"); /* of the first */
		g_assert_true(symbolizer_see(symbolizer, tgid));
		assert_start(symbolizer, &program, "other", "main");
		program_clear(&program);
	} else {
		g_test_skip("cannot make the kernel use a pid again (/proc/sys/kernel/ns_last_pid)");
	}
	symbolizer_free(symbolizer);
}

/* ---- side-band news ---- */

static void load_image(const struct place *place, const char *name, struct image **image)
{
	g_autofree char *path = g_build_filename(place->dir, name, NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(fd, >=, 0);
	*image = image_open_fd(fd, &error); /* the descriptor stays open with the image, till the program ends */
	g_assert_no_error(error);
}

static guint32 dead_pid(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(0);
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	return (guint32)pid;
}

/* A process that lived too briefly to be looked at: its parent's view of the files, and the build-id the kernel
 * reported, are enough. A file with another build-id is not. */
static void test_sideband(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	g_autofree char *path = g_build_filename(place->dir, "prog", NULL);
	guint32 tgid = dead_pid();
	struct image *image;
	guint64 address = 0, value;
	g_autofree char *text = NULL;

	(void)data;
	build(place, "prog", "");
	load_image(place, "prog", &image);
	g_assert_cmpuint(image->build_id_size, ==, 20);
	text = shell(place, "nm prog | awk '$3 == \"hidden_work\" { print $1 }'");
	value = g_ascii_strtoull(text, NULL, 16);
	for (guint i = 0; i < image->segment_count; i++)
		if (image->segments[i].executable) {
			struct symbolizer_mapping mapping = {
				.start = 0x550000000000,
				.length = 0x10000,
				.file_offset = image->segments[i].offset & ~(guint64)4095,
				.build_id = image->build_id,
				.build_id_size = image->build_id_size,
				.path = path,
			};

			address = mapping.start + value - image->segments[i].address + image->segments[i].offset -
				  mapping.file_offset;
			symbolizer_forked(symbolizer, (guint32)getpid(), tgid);
			symbolizer_execed(symbolizer, tgid);
			symbolizer_mapped(symbolizer, tgid, &mapping);
			mapping.start += 0x100000;
			mapping.build_id = (const guint8 *)"another build id....";
			symbolizer_mapped(symbolizer, tgid, &mapping);
		}
	symbolizer_exited(symbolizer, tgid);
	assert_name(symbolizer, tgid, address, FRAME_USER, "hidden_work");
	assert_name(symbolizer, tgid, address + 0x100000, FRAME_UNRESOLVED, "[prog: file is gone]");
	image_free(image);
	symbolizer_free(symbolizer);
}

static void test_fork(struct place *place, gconstpointer data)
{
	struct symbolizer *symbolizer = symbolizer_new();
	guint32 child = dead_pid();

	(void)place;
	(void)data;
	symbolizer_forked(symbolizer, (guint32)getpid(), child); /* its parent is read for it */
	symbolizer_exited(symbolizer, child);
	assert_name(symbolizer, child, (guint64)(guintptr)test_fork, FRAME_USER, "test_fork");
	symbolizer_execed(symbolizer, child);
	assert_name(symbolizer, child, (guint64)(guintptr)test_fork, FRAME_UNRESOLVED,
		    "[exited before its mappings were read]");
	symbolizer_free(symbolizer);
}

/* ---- tables against nm ---- */

static struct symtab *read_table(const struct place *place, const char *name, const char *root, gboolean *complete)
{
	g_autofree char *path = g_build_filename(place->dir, name, NULL);
	struct source_file file = { .path = path, .root = root };
	struct image *image;
	struct symtab *table;
	guint rest;

	load_image(place, name, &image);
	file.image = image;
	table = source_read(&file, complete, &rest);
	close(image->bytes.fd);
	image_free(image);
	return table;
}

/* What one walk through the file finds is what its table says, for each function with a size. */
static void assert_found_singly(const struct image *image, const struct symtab *table, guint64 start)
{
	struct symtab_hit one, hit;
	g_autoptr(symtab_t) found = image_find_function(image, SHT_SYMTAB, start);

	g_assert_true(symtab_find(table, start, &hit));
	if (hit.start != start)
		return;
	g_assert_nonnull(found);
	g_assert_true(symtab_find(found, start, &one));
	g_assert_cmpstr(one.name, ==, hit.name);
	g_assert_cmpuint(one.start, ==, hit.start);
}

static void test_one_by_one(struct place *place, gconstpointer data)
{
	gboolean complete;
	g_autofree char *text = NULL, *linked = NULL;
	g_auto(GStrv) lines = NULL;
	g_autoptr(symtab_t) table = NULL;
	g_autoptr(image_t) image = NULL;
	guint checked = 0;

	(void)data;
	linked = shell(place, "ln -s /proc/%d/exe self", (int)getpid());
	table = read_table(place, "self", NULL, &complete);
	load_image(place, "self", &image);
	text = shell(place, "nm --defined-only self");
	lines = g_strsplit(text, "\n", -1);
	for (guint i = 0; lines[i]; i++) {
		guint64 start;
		char kind;

		if (sscanf(lines[i], "%" G_GINT64_MODIFIER "x %c ", &start, &kind) == 2 &&
		    (kind == 't' || kind == 'T') && !strchr(lines[i], '.') && strstr(lines[i], "test_")) {
			assert_found_singly(image, table, start);
			checked++;
		}
	}
	g_assert_cmpuint(checked, >, 20);
	g_assert_null(image_find_function(image, SHT_SYMTAB, 1));
	g_assert_null(image_find_function(image, SHT_SYMTAB, G_MAXUINT64));
	close(image->bytes.fd);
}

/* Every function nm lists with a size is found from its first to its last byte, under one of the names nm gives that
 * address. Returns how many. */
static guint assert_like_nm(const struct place *place, const char *nm, const struct symtab *table)
{
	g_autofree char *text = shell(place, "%s", nm);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autoptr(GHashTable) pairs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	guint checked = 0;

	for (guint pass = 0; pass < 2; pass++)
		for (guint i = 0; lines[i]; i++) {
			guint64 start, size;
			char kind, name[4096];
			struct symtab_hit hit;

			if (sscanf(lines[i], "%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x %c %4095s", &start, &size,
				   &kind, name) != 4 ||
			    !strchr("tTwWi", kind))
				continue;
			*strchrnul(name + 1, '@') = '\0';
			if (pass == 0) {
				g_hash_table_add(pairs, g_strdup_printf("%" G_GINT64_MODIFIER "x %s", start, name));
				continue;
			}
			g_assert_true(symtab_find(table, start, &hit));
			g_assert_cmpuint(hit.start, ==, start);
			g_autofree char *found = g_strdup_printf("%" G_GINT64_MODIFIER "x %s", hit.start, hit.name);
			g_assert_true(g_hash_table_contains(pairs, found));
			g_assert_true(symtab_find(table, start + size - 1, &hit));
			checked++;
		}
	return checked;
}

static void test_like_nm(struct place *place, gconstpointer data)
{
	g_autoptr(symtab_t) table = NULL;
	g_autofree char *out = NULL;
	gboolean complete;

	(void)data;
	out = shell(place,
		    "cp /proc/%d/exe self; cp -L /lib/*/libc.so.6 libc; cp -L $(gcc -print-file-name=libstdc++.so) cc",
		    getpid());
	table = read_table(place, "self", NULL, &complete);
	g_assert_true(complete);
	g_assert_cmpuint(assert_like_nm(place, "nm -S --defined-only self", table), >, 50);
	symtab_free(table);
	table = read_table(place, "cc", NULL, &complete);
	g_assert_cmpuint(assert_like_nm(place, "nm -DS --defined-only cc", table), >, 1000);
	symtab_free(table);
	table = read_table(place, "libc", NULL, &complete);
	g_assert_cmpuint(assert_like_nm(place, "nm -DS --defined-only libc", table), >, 1000);
}

static void test_debuglink(struct place *place, gconstpointer data)
{
	g_autofree char *out = NULL;
	gboolean complete;

	(void)data;
	build(place, "prog", "-Wl,--build-id=none");
	out = shell(place, "cp prog whole; objcopy --only-keep-debug prog prog.debug; strip -s prog; mkdir .debug;"
			   "objcopy --add-gnu-debuglink=prog.debug prog; mv prog.debug .debug/");
	g_autoptr(symtab_t) table = read_table(place, "prog", NULL, &complete);
	g_assert_true(complete);
	g_assert_cmpuint(assert_like_nm(place, "nm -S --defined-only whole", table), >, 3);
	g_free(out);
	out = shell(place, "printf x >> .debug/prog.debug"); /* its CRC is another now */
	g_autoptr(symtab_t) none = read_table(place, "prog", NULL, &complete);
	g_assert_false(complete);
	g_assert_cmpuint(symtab_count(none), ==, 0);
}

static void test_build_id_file(struct place *place, gconstpointer data)
{
	g_autofree char *out = NULL;
	gboolean complete;

	(void)data;
	build(place, "prog", "");
	out = shell(place, "id=$(readelf -n prog | awk '/Build ID/ { print $3 }'); cp prog whole; "
			   "dir=root/usr/lib/debug/.build-id/$(echo $id | cut -c1-2); mkdir -p $dir; "
			   "objcopy --only-keep-debug prog $dir/$(echo $id | cut -c3-).debug; strip -s prog");
	g_autofree char *root = g_build_filename(place->dir, "root", NULL);
	g_autoptr(symtab_t) table = read_table(place, "prog", root, &complete);
	g_assert_true(complete);
	g_assert_cmpuint(assert_like_nm(place, "nm -S --defined-only whole", table), >, 3);
	g_autoptr(symtab_t) without = read_table(place, "prog", NULL, &complete);
	g_assert_cmpuint(symtab_count(without), ==, 0);
}

static void test_minidebug(struct place *place, gconstpointer data)
{
	g_autofree char *out = NULL;
	gboolean complete;

	(void)data;
	build(place, "prog", "");
	out = shell(place, "cp prog whole; objcopy --only-keep-debug prog mini; xz -k mini; strip -s prog;"
			   "objcopy --add-section .gnu_debugdata=mini.xz prog");
	g_autoptr(symtab_t) table = read_table(place, "prog", NULL, &complete);
	g_assert_cmpuint(assert_like_nm(place, "nm -S --defined-only whole", table), >, 3);
}

static void test_symtab(void)
{
	struct symtab_builder *builder = symtab_builder_new();
	struct symtab_hit hit;

	symtab_builder_add(builder, 0x2000, 0x100, 0, "outer", 5, NULL, SYMTAB_RANK_LOCAL);
	symtab_builder_add(builder, 0x2040, 0x10, 0, "inner", 5, NULL, SYMTAB_RANK_LOCAL);
	symtab_builder_add(builder, 0x2044, 0, 0x3000, "label", 5, NULL, SYMTAB_RANK_LABEL);
	symtab_builder_add(builder, 0x1000, 0x20, 0, "__read", 6, NULL, SYMTAB_RANK_GLOBAL);
	symtab_builder_add(builder, 0x1000, 0x20, 0, "read", 4, NULL, SYMTAB_RANK_GLOBAL);
	symtab_builder_add(builder, 0x1000, 0x20, 0, "a", 1, NULL, SYMTAB_RANK_LOCAL);
	symtab_builder_add(builder, 0x1100, 0, 0x1180, "sizeless", 8, "module", SYMTAB_RANK_GLOBAL);
	g_autoptr(symtab_t) table = symtab_builder_finish(builder);

	g_assert_cmpuint(symtab_count(table), ==, 4);
	g_assert_true(symtab_find(table, 0x101f, &hit));
	g_assert_cmpstr(hit.name, ==, "read");
	g_assert_false(symtab_find(table, 0x1020, &hit));
	g_assert_false(symtab_find(table, 0xfff, &hit));
	g_assert_true(symtab_find(table, 0x117f, &hit));
	g_assert_cmpstr(hit.name, ==, "sizeless");
	g_assert_cmpstr(hit.tag, ==, "module");
	g_assert_false(symtab_find(table, 0x1180, &hit));
	g_assert_true(symtab_find(table, 0x2045, &hit));
	g_assert_cmpstr(hit.name, ==, "inner");
	g_assert_true(symtab_find(table, 0x2050, &hit));
	g_assert_cmpstr(hit.name, ==, "outer");
	g_assert_false(symtab_find(table, 0x2100, &hit));
}

/* Names where the file has them: versions cut off, strings that have no end, too. */
static void test_symtab_adopted(void)
{
	static const char strings[] = "\0memcpy@@GLIBC_2.14\0@odd@V1\0__read\0";
	struct symtab_builder *builder = symtab_builder_new(), *full = symtab_builder_new();
	gsize size = sizeof(strings) - 1 + 3 * SYMTAB_NAME_MAX;
	char *names = g_malloc(size + 1);
	struct symtab_hit hit;

	memset(names, 'x', size);
	memcpy(names, strings, sizeof(strings) - 1);
	names[size] = '\0';
	symtab_builder_add(full, 0x1000, 1, 0, "a", 1, NULL, SYMTAB_RANK_GLOBAL);
	g_assert_false(symtab_builder_adopt(full, names, size));
	symtab_builder_free(full);
	g_assert_true(symtab_builder_adopt(builder, names, size));
	symtab_builder_add_at(builder, 0x1000, 0x10, 0, 1, SYMTAB_RANK_GLOBAL);
	symtab_builder_add_at(builder, 0x2000, 0x10, 0, 20, SYMTAB_RANK_GLOBAL);
	symtab_builder_add_at(builder, 0x3000, 0x10, 0, 28, SYMTAB_RANK_GLOBAL);
	symtab_builder_add_at(builder, 0x3000, 0x10, 0, 30, SYMTAB_RANK_GLOBAL); /* "read", the end of "__read" */
	symtab_builder_add_at(builder, 0x4000, 0x10, 0, sizeof(strings) - 1, SYMTAB_RANK_GLOBAL);
	symtab_builder_add(builder, 0x5000, 0x10, 0, "added", 5, NULL, SYMTAB_RANK_LOCAL);
	g_autoptr(symtab_t) table = symtab_builder_finish(builder);

	g_assert_true(symtab_find(table, 0x1001, &hit));
	g_assert_cmpstr(hit.name, ==, "memcpy");
	g_assert_cmpstr(hit.tag, ==, "");
	g_assert_true(symtab_find(table, 0x2001, &hit));
	g_assert_cmpstr(hit.name, ==, "@odd");
	g_assert_true(symtab_find(table, 0x3001, &hit));
	g_assert_cmpstr(hit.name, ==, "read");
	g_assert_true(symtab_find(table, 0x4001, &hit));
	g_assert_cmpuint(strlen(hit.name), ==, SYMTAB_NAME_MAX);
	g_assert_true(symtab_find(table, 0x5001, &hit));
	g_assert_cmpstr(hit.name, ==, "added");
	g_assert_cmpstr(hit.tag, ==, "");
}

/* ---- other languages ---- */

static void test_cpp(struct place *place, gconstpointer data)
{
	struct symtab_hit hit;
	g_autofree char *text = NULL, *name = NULL;
	gboolean complete;

	(void)data;
	write_file(place, "demo.cc",
		   "namespace shop { template <class T> struct Cart { __attribute__((noinline)) T total(T x) const\n"
		   "{ volatile T y = x; return y + x; } }; }\n"
		   "int main(int c, char **) { return shop::Cart<int>().total(c); }\n");
	text = shell(place, "g++ -O1 -o demo demo.cc && nm demo | awk '/total/ { print $1; exit }'");
	g_autoptr(symtab_t) table = read_table(place, "demo", NULL, &complete);
	g_assert_true(symtab_find(table, g_ascii_strtoull(text, NULL, 16), &hit));
	name = demangle(hit.name);
	g_assert_cmpstr(name, ==, "shop::Cart<int>::total");
}

static void test_rust(struct place *place, gconstpointer flags)
{
	g_autofree char *compiler = g_find_program_in_path("rustc");
	g_autofree char *text = NULL, *name = NULL;
	struct symtab_hit hit;
	gboolean complete;

	if (!compiler) {
		g_test_skip("no rustc");
		return;
	}
	write_file(
		place, "demo.rs",
		"mod shop { #[inline(never)] pub fn total(x: u64) -> u64 { 2 * unsafe { std::ptr::read_volatile(&x) } } }\n"
		"fn main() { std::process::exit(shop::total(std::env::args().count() as u64) as i32) }\n");
	text = shell(place, "rustc -O %s -o demo demo.rs && nm demo | awk '/shop.*total/ { print $1; exit }'",
		     (const char *)flags);
	g_autoptr(symtab_t) table = read_table(place, "demo", NULL, &complete);
	g_assert_true(symtab_find(table, g_ascii_strtoull(text, NULL, 16), &hit));
	name = demangle(hit.name);
	g_assert_cmpstr(name, ==, "demo::shop::total");
}

static void test_demangle(void)
{
	static const struct {
		const char *mangled, *name;
	} cases[] = {
		{ "main", NULL },
		{ "_start", NULL },
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back" },
		{ "_ZSt4sortIPiEvT_S1_", "std::sort<int*>" },
		{ "_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()" },
		{ "_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar" },
		{ "_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write" },
		{ "_ZN", NULL },
		{ "_R", NULL },
		{ "_RNvMNtNtCsgEmfK2I1SDS_4core3ptr9const_ptrPu13is_aligned_toCs6xxl1lAjzDf_1a",
		  "<*const ()>::is_aligned_to" },
		{ "_RINvNtCs1_4core3ptr13drop_in_placeINtNtB4_6result6ResultNtB4_3VecDNtNtB4_3any3AnyNtNtB4_6marker4SendEL_EE",
		  "core::ptr::drop_in_place::<core::result::Result<core::Vec, dyn core::any::Any + core::marker::Send>>" },
		/* A function in the path of an impl that is bound to 10^15 lifetimes, none of which is ever shown. */
		{ "_RXYFFGFBYFFGFB__", NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *name = demangle(cases[i].mangled);

		g_assert_cmpstr(name, ==, cases[i].name);
	}
}

/* Each template level doubles what the one before unfolds to. */
static void test_demangle_bomb(void)
{
	g_autoptr(GString) name = g_string_new("_Z1fI1aE1bIS_S_E");
	g_autofree char *long_name = g_strnfill(DEMANGLE_INPUT_MAX + 1, 'a');

	for (guint i = 0; i < 60; i++) {
		g_autofree char *out = NULL;
		g_autoptr(GString) bomb = g_string_new("_Z1fI1aE");

		for (guint level = 0; level < i; level++)
			g_string_append_printf(bomb, "1bIS%.1d_S%.1d_E", (int)(level % 10), (int)(level % 10));
		out = demangle(bomb->str);
		g_assert_true(!out || strlen(out) <= DEMANGLE_OUTPUT_MAX + 3);
	}
	memcpy(long_name, "_Z", 2);
	g_assert_null(demangle(long_name));
}

/* ---- vDSO, kernel ---- */

static void test_vdso(void)
{
	struct symbolizer *symbolizer = symbolizer_new();
	void *vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
	void *function = vdso ? dlsym(vdso, "__vdso_clock_gettime") : NULL;
	struct symbol symbol;

	if (function) {
		symbolizer_user(symbolizer, (guint32)getpid(), (guint64)(guintptr)function, FALSE, &symbol);
		g_assert_cmpstr(symbol.name, ==, "clock_gettime");
		g_assert_cmpstr(symbol.module, ==, "[vdso]");
		g_assert_cmpint(symbol.kind, ==, FRAME_USER);
	} else {
		g_test_skip("no vDSO with clock_gettime");
	}
	symbolizer_free(symbolizer);
}

static void test_kallsyms(struct place *place, gconstpointer data)
{
	g_autofree char *path = g_build_filename(place->dir, "kallsyms", NULL);
	struct symtab_hit hit;
	gboolean hidden;

	(void)data;
	write_file(place, "kallsyms",
		   "0000000000000000 A fixed_percpu_data\n"
		   "ffffffff81000100 t local_one\nffffffff81000100 T global_one\nffffffff810001f0 t __pfx_two\n"
		   "ffffffff81000200 T two\nffffffff81000300 D data\nffffffffc0000000 t module_fn\t[ext4]\n"
		   "ffffffffc0100000 t bpf_prog_1234_mine\t[bpf]\n\nnonsense\nffff\n");
	g_autoptr(symtab_t) table = kallsyms_load(path, &hidden);
	g_assert_false(hidden);
	g_assert_true(symtab_find(table, 0xffffffff810001ef, &hit));
	g_assert_cmpstr(hit.name, ==, "global_one");
	g_assert_cmpstr(hit.tag, ==, "");
	g_assert_false(symtab_find(table, 0xffffffff810001f5, &hit));
	g_assert_true(symtab_find(table, 0xffffffff810002ff, &hit));
	g_assert_cmpstr(hit.name, ==, "two");
	g_assert_false(symtab_find(table, 0xffffffff81000300, &hit));
	g_assert_true(symtab_find(table, 0xffffffffc0000010, &hit));
	g_assert_cmpstr(hit.tag, ==, "ext4");
	g_assert_true(symtab_find(table, 0xffffffffc0100010, &hit));
	g_assert_cmpstr(hit.name, ==, "bpf_prog_1234_mine");
	g_assert_cmpstr(hit.tag, ==, "bpf");
	g_assert_false(symtab_find(table, G_MAXUINT64, &hit));

	write_file(place, "kallsyms", "0000000000000000 T one\n0000000000000000 T two\n");
	g_autoptr(symtab_t) empty = kallsyms_load(path, &hidden);
	g_assert_true(hidden);
	g_assert_cmpuint(symtab_count(empty), ==, 0);
}

static void test_kernel(void)
{
	struct symbolizer *symbolizer = symbolizer_new();
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[512], name[256] = "", kind;
	guint64 address = 0;
	struct symbol symbol;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" G_GINT64_MODIFIER "x %c %255s", &address, &kind, name) == 3 &&
		    strcmp(name, "vfs_read") == 0)
			break;
	if (file)
		fclose(file);
	if (strcmp(name, "vfs_read") == 0 && address) {
		symbolizer_kernel(symbolizer, address + 5, TRUE, &symbol);
		g_assert_cmpstr(symbol.name, ==, "vfs_read");
		g_assert_cmpstr(symbol.module, ==, "vmlinux");
		g_assert_cmpint(symbol.kind, ==, FRAME_KERNEL);
		g_assert_cmpuint(symbol.offset, ==, 5);
		symbolizer_kernel(symbolizer, 42, FALSE, &symbol);
		g_assert_cmpint(symbol.kind, ==, FRAME_UNRESOLVED);
		g_assert_cmpstr(symbol.name, ==, "[kernel: in no function]");
	} else {
		g_test_skip("kernel addresses are hidden");
	}
	symbolizer_free(symbolizer);
}

static enum symbolizer_namer_answer namer_of_odd(void *user, guint64 address, struct symbolizer_kernel_name *name)
{
	guint *asked = user;

	(*asked)++;
	if (address == 41)
		return SYMBOLIZER_NAMER_CANNOT;
	*name = (struct symbolizer_kernel_name){ .name = "odd", .module = address == 3 ? "ext4" : "", .offset = 6 };
	return address % 2 ? SYMBOLIZER_NAMER_FOUND : SYMBOLIZER_NAMER_NONE;
}

static void test_kernel_namer(void)
{
	struct symbolizer *symbolizer = symbolizer_new();
	struct symbol symbol;
	guint asked = 0;

	symbolizer_set_namer(symbolizer, namer_of_odd, &asked);
	symbolizer_kernel(symbolizer, 3, FALSE, &symbol);
	g_assert_cmpint(symbol.kind, ==, FRAME_KERNEL);
	g_assert_cmpstr(symbol.name, ==, "odd");
	g_assert_cmpstr(symbol.module, ==, "ext4");
	g_assert_cmpuint(symbol.offset, ==, 6);
	symbolizer_kernel(symbolizer, 2, TRUE, &symbol); /* a return address: looked up one byte earlier */
	g_assert_cmpstr(symbol.module, ==, "vmlinux");
	g_assert_cmpuint(symbol.offset, ==, 7);
	symbolizer_kernel(symbolizer, 2, FALSE, &symbol);
	g_assert_cmpint(symbol.kind, ==, FRAME_UNRESOLVED);
	symbolizer_kernel(symbolizer, 41, FALSE, &symbol); /* who cannot is not asked again */
	symbolizer_kernel(symbolizer, 43, FALSE, &symbol);
	g_assert_cmpint(symbol.kind, ==, FRAME_UNRESOLVED);
	g_assert_cmpuint(asked, ==, 4);
	symbolizer_free(symbolizer);
}

/* ---- what is mapped ---- */

static void test_maps_line(void)
{
	char code[] = "7f0000001000-7f0000003000 r-xp 00002000 fd:01 1234                       /usr/lib/a b.so";
	char heap[] = "7f0000001000-7f0000003000 rw-p 00000000 00:00 0 ";
	char none[] = "7f0000001000 rw-p", backward[] = "3000-1000 rw-p 00000000 00:00 0 ";
	struct maps_entry entry;

	g_assert_true(maps_line_parse(code, &entry));
	g_assert_true(entry.executable);
	g_assert_cmpuint(entry.start, ==, 0x7f0000001000);
	g_assert_cmpuint(entry.end, ==, 0x7f0000003000);
	g_assert_cmpuint(entry.offset, ==, 0x2000);
	g_assert_cmpuint(entry.inode, ==, 1234);
	g_assert_cmpstr(entry.path, ==, "/usr/lib/a b.so");
	g_assert_true(maps_line_parse(heap, &entry));
	g_assert_false(entry.executable);
	g_assert_cmpstr(entry.path, ==, "");
	g_assert_false(maps_line_parse(none, &entry));
	g_assert_false(maps_line_parse(backward, &entry));
}

static gboolean maps_collect(void *user, const struct maps_entry *entry)
{
	if (entry->executable)
		g_string_append_printf(user,
				       "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER
				       "x %" G_GINT64_MODIFIER "u %s\n",
				       entry->start, entry->end, entry->offset, entry->inode, entry->path);
	return TRUE;
}

/* Questions and text agree. */
static void test_maps_both(void)
{
	int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_autoptr(GString) asked = g_string_new(NULL), read = g_string_new(NULL), one = g_string_new(NULL);
	g_autofree char *text = NULL;

	g_assert_cmpint(maps_read(proc_fd, maps_collect, asked), ==, MAPS_FOUND);
	text = file_read("/proc/self/maps", MAPS_BYTES_MAX, NULL, NULL);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		struct maps_entry entry;

		*end = '\0';
		/* outside of what a process may map: no question finds it */
		if (maps_line_parse(line, &entry) && strcmp(entry.path, "[vsyscall]") != 0)
			maps_collect(read, &entry);
	}
	g_assert_cmpstr(asked->str, ==, read->str);
	if (maps_find(proc_fd, (guintptr)test_maps_both, maps_collect, one) == MAPS_CANNOT)
		g_test_message("this kernel takes no questions about mappings");
	else
		g_assert_true(one->len > 0 && strstr(read->str, one->str));
	g_assert_cmpint(maps_find(proc_fd, 0, maps_collect, one), !=, MAPS_FOUND);
	close(proc_fd);
}

/* ---- perf maps ---- */

static void assert_perfmap(const struct perfmap *map, guint64 address, const char *name)
{
	guint64 offset;

	g_assert_cmpstr(perfmap_find(map, address, &offset), ==, name);
}

static void append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
	close(fd);
}

static void test_perfmap(struct place *place, gconstpointer data)
{
	g_autofree char *path = g_build_filename(place->dir, "map", NULL);
	g_autofree char *long_line = g_strnfill(200000, 'x');

	(void)data;
	append(path, "1000 100 first with spaces\n0x2000 0x10 hex\n1040 20 later\nbad line\n3000 0 empty\nfff");
	g_autoptr(perfmap_t) map = perfmap_new(open(path, O_RDONLY | O_CLOEXEC));
	g_assert_true(perfmap_update(map));
	g_assert_false(perfmap_update(map) && perfmap_count(map) != 3);
	g_assert_cmpuint(perfmap_count(map), ==, 3);
	g_assert_cmpuint(perfmap_dropped(map), ==, 2);
	assert_perfmap(map, 0xfff, NULL);
	assert_perfmap(map, 0x1000, "first with spaces");
	assert_perfmap(map, 0x1040, "later");
	assert_perfmap(map, 0x105f, "later");
	assert_perfmap(map, 0x1060, "first with spaces");
	assert_perfmap(map, 0x1100, NULL);
	assert_perfmap(map, 0x200f, "hex");
	append(path, "0 10 completed\n1000 80 newest\n"); /* "fff0 10 completed" */
	append(path, long_line);
	append(path, "\n5000 10 behind the long line\n");
	g_assert_true(perfmap_update(map));
	assert_perfmap(map, 0xfff5, "completed");
	assert_perfmap(map, 0x1050, "newest");
	assert_perfmap(map, 0x1090, "first with spaces");
	assert_perfmap(map, 0x5005, "behind the long line");
	g_assert_cmpint(truncate(path, 0), ==, 0);
	append(path, "7000 10 rewritten\n");
	g_assert_true(perfmap_update(map));
	assert_perfmap(map, 0x7000, "rewritten");
	assert_perfmap(map, 0x1000, NULL);
}

static void test_jit(struct place *place, gconstpointer data)
{
	struct program program;
	g_autofree char *path = NULL, *text = NULL;
	guint64 code;
	struct {
		const char *make; /* %s: the map's path */
		enum frame_kind kind;
		const char *name;
	} cases[] = {
		{ "true", FRAME_UNRESOLVED, "[jit: no perf map]" },
		{ "cp good %s", FRAME_JIT, "compiled function" },
		{ "cp short %s", FRAME_UNRESOLVED, "[jit: not in the perf map]" },
		{ "ln -s /etc/shadow %s", FRAME_UNRESOLVED, "[jit: no perf map]" },
		{ "mkfifo %s", FRAME_UNRESOLVED, "[jit: no perf map]" },
		{ "mkdir %s", FRAME_UNRESOLVED, "[jit: no perf map]" },
		{ "cp good %s; chown 65534 %s", FRAME_UNRESOLVED, "[jit: no perf map]" },
	};

	(void)data;
	if (getuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	build(place, "prog", "");
	program_start(&program, place, "prog");
	code = program_address(&program, "jit");
	path = g_strdup_printf("/tmp/perf-%d.map", (int)program.pid);
	text = g_strdup_printf("%" G_GINT64_MODIFIER "x 100 compiled function\n", code);
	write_file(place, "good", text);
	write_file(place, "short", "10 10 elsewhere\n");
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct symbolizer *symbolizer = symbolizer_new();
		g_auto(GStrv) parts = g_strsplit(cases[i].make, "%s", -1);
		g_autofree char *command = g_strjoinv(path, parts);
		g_autofree char *out = shell(place, "rm -rf %s; %s", path, command);

		assert_name(symbolizer, (guint32)program.pid, code + 16, cases[i].kind, cases[i].name);
		symbolizer_free(symbolizer);
	}
	g_free(shell(place, "rm -rf %s", path));
	program_clear(&program);
}

/* ---- hostile input ---- */

static guint8 *mutate(GRand *random, const char *good, gsize length, gsize *mutated_length)
{
	guint8 *bytes = g_memdup2(good, length);
	guint changes = (guint)g_rand_int_range(random, 1, 24);

	*mutated_length = g_rand_int_range(random, 0, 4) ? length : (gsize)g_rand_int_range(random, 0, (int)length);
	for (guint i = 0; i < changes; i++) {
		/* half of them in the first bytes, where headers are */
		gsize room = g_rand_boolean(random) ? MIN(length, (gsize)1024) : length;
		gsize at = (gsize)g_rand_int_range(random, 0, (int)room);

		bytes[at] = g_rand_boolean(random) ? (guint8)g_rand_int(random)
						   : (guint8)(g_rand_boolean(random) ? 0xff : 0);
	}
	return bytes;
}

static void test_damaged_elf(struct place *place, gconstpointer data)
{
	GRand *random = g_rand_new_with_seed(20240229);
	g_autofree char *good = NULL, *out = NULL, *path = g_build_filename(place->dir, "prog", NULL);
	gsize length;
	guint opened = 0, found = 0;

	(void)data;
	build(place, "prog", "");
	out = shell(place, "objcopy --only-keep-debug prog mini; xz mini; objcopy --add-section .gnu_debugdata=mini.xz "
			   "prog; objcopy --add-gnu-debuglink=mini.xz prog");
	g_assert_true(g_file_get_contents(path, &good, &length, NULL));
	for (guint i = 0; i < 4000; i++) {
		struct image_bytes bytes = { .fd = -1 };
		gsize size;
		g_autofree guint8 *bad = mutate(random, good, length, &size);
		/* an exact copy, so that a sanitizer sees a read behind its end */
		g_autofree guint8 *exact = g_memdup2(bad, MAX(size, (gsize)1));
		struct symtab_hit hit;
		gboolean complete;
		guint rest;

		bytes.memory = exact;
		bytes.size = size;
		g_autoptr(image_t) image = image_open(&bytes, NULL);
		if (!image)
			continue;
		opened++;
		g_autoptr(symtab_t) table =
			source_read(&(struct source_file){ .image = image, .path = path }, &complete, &rest);
		for (guint64 offset = 0; offset < length; offset += 64) {
			guint64 address;

			if (image_address(image->segments, image->segment_count, offset, &address))
				found += symtab_find(table, address, &hit) && strlen(hit.name) <= SYMTAB_NAME_MAX;
		}
	}
	g_test_message("%u of 4000 opened, %u addresses found", opened, found);
	g_assert_cmpuint(opened, >, 1000);
	g_assert_cmpuint(found, >, 1000);
	g_rand_free(random);
}

static void test_damaged_perfmap(struct place *place, gconstpointer data)
{
	static const char good[] = "1000 100 one\n2000 80 two two\n0x1080 200 three\nffffffffffffff00 ff last\n";
	GRand *random = g_rand_new_with_seed(20240301);
	g_autofree char *path = g_build_filename(place->dir, "map", NULL);
	guint taken = 0;

	(void)data;
	for (guint i = 0; i < 1500; i++) {
		gsize size;
		g_autofree guint8 *bad = mutate(random, good, sizeof(good) - 1, &size);
		guint64 offset;

		g_assert_true(g_file_set_contents(path, (const char *)bad, (gssize)size, NULL));
		g_autoptr(perfmap_t) map = perfmap_new(open(path, O_RDONLY | O_CLOEXEC));
		perfmap_update(map);
		taken += perfmap_count(map);
		for (guint64 address = 0xf80; address < 0x2100; address += 16)
			perfmap_find(map, address, &offset);
		perfmap_find(map, G_MAXUINT64, &offset);
	}
	g_assert_cmpuint(taken, >, 500);
	g_rand_free(random);
}

#define IN_PLACE(path, data, function) g_test_add(path, struct place, data, place_setup, function, place_teardown)

/* maps_each_fn: the first mapping of libc's code. */
static gboolean libc_found(void *user, const struct maps_entry *entry)
{
	struct module_locator *locator = user;

	if (!strstr(entry->path, "/libc.so") || !entry->executable)
		return TRUE;
	locator->start = entry->start;
	locator->end = entry->end;
	locator->path = "/libc.so.6";
	return FALSE;
}

/* A file that was read for its names and is opened once more, for its unwind table, stays among those that have names and count: else
 * the next one that is too much for the budget takes away what is not there. */
static void test_module_opened_again(void)
{
	struct module_locator locator = { .tgid = (guint32)getpid(),
					  .proc_fd = open("/proc/self", O_PATH | O_CLOEXEC) };
	struct modules *modules = modules_new();
	struct modules_usage usage;
	struct module *module;

	maps_read(locator.proc_fd, libc_found, &locator);
	g_assert_nonnull(locator.path);
	module = modules_get(modules, &locator);
	g_assert_nonnull(module);
	g_assert_cmpint(modules_load(modules, module), ==, MODULE_READY);
	g_assert_nonnull(module->place);
	g_assert_cmpint(modules_load_unwind(modules, module), ==, MODULE_UNWIND_READY);
	modules_usage(modules, &usage);
	g_assert_cmpuint(usage.loaded, ==, 1);
	g_assert_cmpuint(usage.bytes, ==, symtab_bytes(module->table));
	g_assert_nonnull(module->place);
	g_assert_true(module->place->data == module);
	modules_unref(modules, module);
	modules_free(modules);
	close(locator.proc_fd);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/symbol/symtab", test_symtab);
	g_test_add_func("/symbol/symtab/adopted", test_symtab_adopted);
	IN_PLACE("/symbol/program/pie", "-fPIE -pie", test_program);
	IN_PLACE("/symbol/program/no-pie", "-fno-pie -no-pie", test_program);
	IN_PLACE("/symbol/program/static", "-static -Wl,--no-warnings", test_program);
	IN_PLACE("/symbol/program/one-segment", "-Wl,-z,noseparate-code", test_program);
	IN_PLACE("/symbol/stripped", NULL, test_stripped);
	IN_PLACE("/symbol/deleted", NULL, test_deleted);
	IN_PLACE("/symbol/replaced", NULL, test_replaced);
	IN_PLACE("/symbol/exited", NULL, test_exited);
	g_test_add_func("/symbol/many-exited", test_many_exited);
	IN_PLACE("/symbol/plugin", NULL, test_plugin);
	IN_PLACE("/symbol/pid-reuse", NULL, test_pid_reuse);
	IN_PLACE("/symbol/sideband", NULL, test_sideband);
	IN_PLACE("/symbol/fork", NULL, test_fork);
	IN_PLACE("/symbol/like-nm", NULL, test_like_nm);
	IN_PLACE("/symbol/one-by-one", NULL, test_one_by_one);
	IN_PLACE("/symbol/debuglink", NULL, test_debuglink);
	IN_PLACE("/symbol/beside", NULL, test_beside);
	IN_PLACE("/symbol/build-id-file", NULL, test_build_id_file);
	IN_PLACE("/symbol/minidebug", NULL, test_minidebug);
	IN_PLACE("/symbol/cpp", NULL, test_cpp);
	IN_PLACE("/symbol/rust/default", "", test_rust);
	IN_PLACE("/symbol/rust/v0", "-C symbol-mangling-version=v0", test_rust);
	g_test_add_func("/symbol/demangle", test_demangle);
	g_test_add_func("/symbol/demangle-bomb", test_demangle_bomb);
	g_test_add_func("/symbol/vdso", test_vdso);
	IN_PLACE("/symbol/kallsyms", NULL, test_kallsyms);
	g_test_add_func("/symbol/kernel/namer", test_kernel_namer);
	g_test_add_func("/symbol/module/opened-again", test_module_opened_again);
	g_test_add_func("/symbol/maps/line", test_maps_line);
	g_test_add_func("/symbol/maps/both", test_maps_both);
	g_test_add_func("/symbol/kernel", test_kernel);
	IN_PLACE("/symbol/perfmap", NULL, test_perfmap);
	IN_PLACE("/symbol/jit", NULL, test_jit);
	IN_PLACE("/symbol/damaged-elf", NULL, test_damaged_elf);
	IN_PLACE("/symbol/damaged-perfmap", NULL, test_damaged_perfmap);
	return g_test_run();
}
