/* SPDX-License-Identifier: Apache-2.0 */
/* Inlined functions and lines: llvm-symbolizer says what is right, address by address, whichever compiler and version of
 * DWARF and wherever the information is. Damaged information and damaged answers must give an answer, any answer. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "symbol/image.h"
#include "symbol/lines.h"

#define TIME_NS (30 * NS_PER_S)

static const char program[] = "#include <stdint.h>\n"
			      "#include <stdlib.h>\n"
			      "static volatile uint64_t sink;\n"
			      "namespace shop {\n"
			      "struct Mixer {\n"
			      "	uint64_t state = 1;\n"
			      "	__attribute__((always_inline)) inline void stir(uint64_t rounds)\n"
			      "	{\n"
			      "		for (uint64_t i = 0; i < rounds; i++)\n"
			      "			state = state * 6364136223846793005ULL + i;\n"
			      "	}\n"
			      "};\n"
			      "static __attribute__((always_inline)) inline void twice(Mixer &mixer, uint64_t rounds)\n"
			      "{\n"
			      "	mixer.stir(rounds);\n"
			      "	if (mixer.state & 1) {\n"
			      "		int again = (int)mixer.state & 7;\n"
			      "		mixer.stir(rounds + again);\n"
			      "	}\n"
			      "}\n"
			      "}\n"
			      "__attribute__((noinline)) uint64_t work(uint64_t rounds)\n"
			      "{\n"
			      "	shop::Mixer mixer;\n"
			      "	shop::twice(mixer, rounds);\n"
			      "	return mixer.state;\n"
			      "}\n"
			      "int main(int argc, char **argv)\n"
			      "{\n"
			      "	sink = work(argc > 1 ? atoi(argv[1]) : 10);\n"
			      "	return 0;\n"
			      "}\n";

struct place {
	char *dir;
};

static void place_setup(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *path = NULL;

	place->dir = g_dir_make_tmp("fathom-lines-XXXXXX", NULL);
	path = g_build_filename(place->dir, "prog.cc", NULL);
	g_assert_true(g_file_set_contents(path, program, -1, NULL));
}

static void place_teardown(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	const char *argv[] = { "rm", "-rf", place->dir, NULL };

	g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(place->dir);
}

/* NULL when the command fails. */
static char *shell(const struct place *place, const char *command)
{
	const char *argv[] = { "/bin/sh", "-ec", command, NULL };
	char *out = NULL;
	int status;

	if (!g_spawn_sync(place->dir, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL, &status,
			  NULL) ||
	    status != 0)
		g_clear_pointer(&out, g_free);
	return out;
}

static gboolean open_dwarf(const struct place *place, const char *name, struct debug_fds *fds)
{
	g_autofree char *path = g_build_filename(place->dir, name, NULL);
	struct source_file file = { .path = path };
	g_autoptr(image_t) image = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	gboolean found;

	g_assert_cmpint(fd, >=, 0);
	file.image = image = image_open_fd(fd, NULL);
	g_assert_nonnull(image);
	found = debug_file_dwarf(&file, fd, fds);
	close(fd);
	return found;
}

static void fds_close(struct debug_fds *fds)
{
	close(fds->dwarf);
	if (fds->alt >= 0)
		close(fds->alt);
}

/* Every address of work(). */
static GArray *work_addresses(const struct place *place)
{
	g_autofree char *text = shell(place, "nm -S reference | grep ' _Z4workm$'");
	GArray *addresses = g_array_new(FALSE, FALSE, sizeof(guint64));
	char *end;
	guint64 start, size;

	g_assert_nonnull(text);
	start = g_ascii_strtoull(text, &end, 16);
	size = g_ascii_strtoull(end, NULL, 16);
	g_assert_cmpuint(size, >, 0);
	for (guint64 address = start; address < start + size; address++)
		g_array_append_val(addresses, address);
	return addresses;
}

/* Lines "function" and "file:line:column" for each frame, innermost first, and an empty line after each address. (binutils'
 * addr2line takes an inlined function of several pieces for the one around it.) */
static char **reference_ask(const struct place *place, const GArray *addresses)
{
	g_autoptr(GString) command = g_string_new("llvm-symbolizer --no-demangle -e reference");
	g_autofree char *text = NULL;

	for (guint i = 0; i < addresses->len; i++)
		g_string_append_printf(command, " 0x%" G_GINT64_MODIFIER "x", g_array_index(addresses, guint64, i));
	text = shell(place, command->str);
	g_assert_nonnull(text);
	return g_strsplit(text, "\n", -1);
}

static void compare(const struct lines *lines, char **reference)
{
	guint inlined = 0, at = 0;

	for (guint i = 0; i < lines->count; i++) {
		const struct lines_place *place = &lines->places[i];
		guint frame = 0;

		g_assert_true(place->looked_up);
		for (; reference[at] && reference[at][0]; at += 2, frame++) {
			g_auto(GStrv) where = g_strsplit(reference[at + 1], ":", -1);

			g_assert_cmpuint(frame, <, place->count);
			g_assert_cmpstr(place->frames[frame].name, ==, reference[at]);
			g_assert_true(g_str_has_suffix(where[0], "prog.cc"));
			g_assert_true(g_str_has_suffix(place->frames[frame].file, "prog.cc"));
			g_assert_cmpuint(place->frames[frame].line, ==, g_ascii_strtoull(where[1], NULL, 10));
		}
		at++;
		g_assert_cmpuint(frame, ==, place->count);
		inlined += frame == 3; /* work, twice, stir */
	}
	g_assert_cmpuint(inlined, >, 10);
}

/* Builds `prog`, and `reference` with all in one file. */
static void test_build(struct place *place, gconstpointer data)
{
	g_autofree char *built = shell(place, data);
	g_auto(GStrv) reference = NULL;
	g_autoptr(GArray) addresses = NULL;
	g_autoptr(lines_t) lines = NULL;
	struct debug_fds fds;

	if (!built) {
		g_test_skip("a compiler or tool for this one is not installed");
		return;
	}
	g_assert_true(open_dwarf(place, "prog", &fds));
	addresses = work_addresses(place);
	reference = reference_ask(place, addresses);
	lines = lines_look_up(&fds, (const guint64 *)addresses->data, addresses->len, TIME_NS);
	g_assert_cmpuint(lines->looked_up, ==, addresses->len);
	compare(lines, reference);
	fds_close(&fds);
}

static void test_nothing(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *built = shell(place, "g++ -O2 -g prog.cc -o prog; cp prog reference; strip -g prog");
	struct debug_fds fds = { -1, -1 };
	guint64 nowhere[] = { 0, 1, G_MAXUINT64 };
	g_autoptr(lines_t) lines = NULL;

	g_assert_nonnull(built);
	g_assert_false(open_dwarf(place, "prog", &fds));
	g_assert_true(open_dwarf(place, "reference", &fds));
	lines = lines_look_up(&fds, nowhere, G_N_ELEMENTS(nowhere), TIME_NS);
	g_assert_cmpuint(lines->looked_up, ==, G_N_ELEMENTS(nowhere));
	for (guint i = 0; i < G_N_ELEMENTS(nowhere); i++)
		g_assert_cmpuint(lines->places[i].count, ==, 0);
	fds_close(&fds);
}

/* Whatever is damaged, there is an answer, in time. */
static void test_damage(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *built = shell(place, "g++ -O2 -g prog.cc -o prog; cp prog reference");
	g_autoptr(GArray) addresses = NULL;
	g_autofree char *path = g_build_filename(place->dir, "prog", NULL), *whole = NULL;
	gsize length;

	g_assert_nonnull(built);
	addresses = work_addresses(place);
	g_assert_true(g_file_get_contents(path, &whole, &length, NULL));
	for (guint round = 0; round < 40; round++) {
		g_autofree char *damaged = g_memdup2(whole, length);
		struct debug_fds fds;

		/* the debug information is in the second half of this file; its section headers, at the end, stay */
		for (guint i = 0; i < 200; i++)
			damaged[g_test_rand_int_range((gint32)length / 2, (gint32)(length - 64 * 48))] =
				(char)g_test_rand_int();
		g_assert_true(g_file_set_contents(path, damaged, (gssize)length, NULL));
		if (open_dwarf(place, "prog", &fds)) {
			g_autoptr(lines_t) lines =
				lines_look_up(&fds, (const guint64 *)addresses->data, addresses->len, 2 * NS_PER_S);

			g_assert_cmpuint(lines->looked_up, <=, lines->count);
			fds_close(&fds);
		}
	}
}

static GBytes *answer_of(const struct debug_fds *fds, const GArray *addresses, const char *path)
{
	int out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *text;
	gsize length;

	g_assert_cmpint(lines_write(fds, (const guint64 *)addresses->data, addresses->len, out), ==, 0);
	close(out);
	g_assert_true(g_file_get_contents(path, &text, &length, NULL));
	return g_bytes_new_take(text, length);
}

/* The confined process may have been taken over by what it read: its answer is not trusted either. */
static void test_damaged_answer(struct place *place, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *built = shell(place, "g++ -O2 -g prog.cc -o prog; cp prog reference");
	g_autofree char *path = g_build_filename(place->dir, "answer", NULL);
	g_autoptr(GArray) addresses = NULL;
	g_autoptr(GBytes) whole = NULL;
	struct debug_fds fds;
	const guint8 *bytes;
	gsize length;

	g_assert_nonnull(built);
	addresses = work_addresses(place);
	g_assert_true(open_dwarf(place, "prog", &fds));
	whole = answer_of(&fds, addresses, path);
	fds_close(&fds);
	bytes = g_bytes_get_data(whole, &length);
	for (guint round = 0; round < 2000; round++) {
		gsize cut = (gsize)g_test_rand_int_range(0, (gint32)length);
		guint8 *damaged = g_memdup2(bytes, MAX(cut, 1));
		g_autoptr(GBytes) answer = NULL;
		g_autoptr(lines_t) lines = NULL;

		for (guint i = 0; i < round % 8 && cut; i++)
			damaged[g_test_rand_int_range(0, (gint32)cut)] = (guint8)g_test_rand_int();
		answer = g_bytes_new_take(damaged, cut);
		lines = lines_parse(answer, addresses->len);
		for (guint i = 0; i < lines->count; i++)
			for (guint frame = 0; frame < lines->places[i].count; frame++)
				g_assert_cmpuint(strlen(lines->places[i].frames[frame].name), <=, G_MAXUINT16);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name, *command;
	} builds[] = {
		{ "gcc", "g++ -O2 -g prog.cc -o prog; cp prog reference" },
		{ "gcc-dwarf-4", "g++ -O2 -gdwarf-4 prog.cc -o prog; cp prog reference" },
		{ "gcc-static", "g++ -O2 -g -no-pie prog.cc -o prog; cp prog reference" },
		{ "compressed", "g++ -O2 -g -gz=zlib prog.cc -o prog; cp prog reference" },
		{ "clang", "clang++ -O2 -g prog.cc -o prog; cp prog reference" }, /* no .debug_aranges */
		{ "debuglink",
		  "g++ -O2 -g prog.cc -o prog; cp prog reference; objcopy --only-keep-debug prog prog.debug;"
		  "strip -s prog; objcopy --add-gnu-debuglink=prog.debug prog" },
		{ "linker-sections",
		  "g++ -O2 -g -ffunction-sections -Wl,--gc-sections prog.cc -o prog; cp prog reference" },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(builds); i++) {
		g_autofree char *path = g_strdup_printf("/lines/%s", builds[i].name);

		g_test_add(path, struct place, builds[i].command, place_setup, test_build, place_teardown);
	}
	g_test_add("/lines/nothing", struct place, NULL, place_setup, test_nothing, place_teardown);
	g_test_add("/lines/damage", struct place, NULL, place_setup, test_damage, place_teardown);
	g_test_add("/lines/damaged-answer", struct place, NULL, place_setup, test_damaged_answer, place_teardown);
	return g_test_run();
}
