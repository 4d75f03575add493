/* SPDX-License-Identifier: Apache-2.0 */
/* Language runtimes and their readers. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "symbol/gopclntab.h"
#include "symbol/language.h"
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
	guint named = 0;

	nm = shell(place, "nm whole | awk '$2 ~ /^[Tt]$/ && $3 ~ /^(main|fmt|strconv|sync)\\./ { print $1, $3 }'");
	table = source_read(&(struct source_file){ .image = bare, .path = "/bare" }, &complete);
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

static void test_go(struct place *place, gconstpointer data)
{
	struct go_file bare;

	if (go_is_missing())
		return;
	go_build(place, data, &bare);
	check_go_names(place, bare.image);
	check_go_lines(bare.image);
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/language/of_file", test_language_of_file);
	for (guint i = 0; i < G_N_ELEMENTS(go_ways); i++) {
		g_autofree char *path = g_strdup_printf("/go/%s", go_ways[i].name);

		g_test_add(path, struct place, &go_ways[i], place_setup, test_go, place_teardown);
	}
	g_test_add_func("/go/none", test_go_none);
	return g_test_run();
}
