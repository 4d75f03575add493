/* SPDX-License-Identifier: Apache-2.0 */
/* Every format on one small snapshot against golden files (UPDATE_GOLDEN=1 rewrites them), and on hostile names. */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "import/import.h"
#include "base/text.h"
#include "render/flame.h"
#include "render/heading.h"
#include "render/heatmap.h"
#include "render/map.h"
#include "render/events.h"
#include "render/render.h"
#include "render/names.h"
#include "render/text_page.h"

static guint32 stack(struct calltree *tree, const char *const *names, const enum frame_kind *kinds, guint count)
{
	guint32 node = CALLTREE_ROOT;

	for (guint i = 0; i < count; i++)
		node = calltree_child(tree, node,
				      calltree_frame(tree, kinds[i], names[i], -1,
						     kinds[i] == FRAME_USER ? "/usr/lib/libdemo.so" : NULL));
	return node;
}

static struct snapshot *sample(void)
{
	static const char *const read[] = { "web", "nginx", "main", "handle", "vfs_read" };
	static const char *const jit[] = { "web", "java", "run", "Cart::total" };
	static const enum frame_kind read_kinds[] = { FRAME_CONTAINER, FRAME_PROCESS, FRAME_USER, FRAME_USER,
						      FRAME_KERNEL };
	static const enum frame_kind jit_kinds[] = { FRAME_CONTAINER, FRAME_PROCESS, FRAME_USER, FRAME_JIT };
	struct snapshot *snapshot = snapshot_new("profile of web");
	struct shape *shape = shape_new(SHAPE_CALLTREE, "profile", UNIT_COUNT);

	g_free(snapshot->host);
	snapshot->host = g_strdup("node1");
	snapshot->start_realtime_ns = 1700000000 * NS_PER_S;
	snapshot->duration_ns = 10 * NS_PER_S;
	snapshot->frequency_hz = 100;
	g_ptr_array_add(snapshot->shapes, shape);
	calltree_add(shape->calltree, stack(shape->calltree, read, read_kinds, 5), 600);
	calltree_add(shape->calltree, stack(shape->calltree, read, read_kinds, 4), 150);
	calltree_add(shape->calltree, stack(shape->calltree, jit, jit_kinds, 4), 200);
	shape->ledger.rung = g_strdup("perf cpu-clock");
	shape->ledger.misses = g_strdup("interrupts");
	shape->ledger.seen = (struct ledger_line){ 960, 960 };
	ledger_add(&shape->ledger, LEDGER_LOST_MAP, 10, 10);
	ledger_note(&shape->ledger, g_strdup("a note"));
	return snapshot;
}

static char *render(const struct snapshot *snapshot, const char *name, gsize *length)
{
	struct render_options options = { 0 };
	g_autoptr(GError) error = NULL;
	char *text = render_write_string(snapshot, render_format_find(name, NULL), &options, length, &error);

	g_assert_no_error(error);
	return text;
}

static void golden_check(const char *name, const char *text, gsize length)
{
	g_autofree char *path = g_build_filename(GOLDEN_DIR, name, NULL);
	g_autofree char *wanted = NULL;
	g_autoptr(GError) error = NULL;
	gsize wanted_length;

	if (g_getenv("UPDATE_GOLDEN")) {
		g_file_set_contents(path, text, (gssize)length, &error);
		g_assert_no_error(error);
		return;
	}
	g_file_get_contents(path, &wanted, &wanted_length, &error);
	g_assert_no_error(error);
	g_assert_cmpmem(text, length, wanted, wanted_length);
}

static void test_golden(void)
{
	static const char *const formats[] = { "svg", "folded", "json", "speedscope", "text" };
	g_autoptr(snapshot_t) snapshot = sample();

	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autofree char *name = g_strdup_printf("profile.%s", formats[i]);
		gsize length;
		g_autofree char *text = render(snapshot, formats[i], &length);

		golden_check(name, text, length);
	}
}

static void test_golden_diff(void)
{
	g_autoptr(snapshot_t) snapshot = sample();
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);
	gsize length;
	g_autofree char *text = NULL, *svg = NULL;

	calltree_add_baseline(shape->calltree, 5, 300);
	calltree_add_baseline(shape->calltree, 4, 400);
	text = render(snapshot, "text", &length);
	golden_check("diff.text", text, length);
	svg = render(snapshot, "svg", &length);
	golden_check("diff.svg", svg, length);
}

static void test_brief(void)
{
	static const struct {
		const char *name, *brief;
	} cases[] = {
		{ "short<int>()", "short<int>()" }, /* it fits */
		{ "bool std::__detail::_Executor<__gnu_cxx::__normal_iterator<char const*, std::string>, true>::_M_dfs(int, long)",
		  "bool std::__detail::_Executor<\342\200\246>::_M_dfs(\342\200\246)" },
		{ "operator<< <std::char_traits<char> >(std::ostream&, char)",
		  "operator<< <std::char_traits<\342\200\246> >(\342\200\246)" },
		{ "shop::Handler::operator()(std::vector<int> const&) const",
		  "shop::Handler::operator()(\342\200\246) const" },
		{ "std::vector<std::string, std::allocator<int> >::operator->()",
		  "std::vector<\342\200\246>::operator->()" },
		{ "std::function<decltype(a->b)(int, long)>::call(void)",
		  "std::function<\342\200\246>::call(\342\200\246)" },
		{ "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend",
		  "<alloc::vec::Vec<\342\200\246> as core::iter::Extend<\342\200\246>>::extend" },
		{ "[libfoo.so: stripped, not an exported function (really)]",
		  "[libfoo.so: stripped, not an exported function (really)]" },
		{ "damaged<of::a::name, that::nobody::closes(", "damaged<of::a::name, that::nobody::closes(" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *brief = name_brief(cases[i].name, 20);

		g_assert_cmpstr(brief, ==, cases[i].brief);
	}
}

/* Of paths that are too long those frames are shown that tell them apart: not only how the kernel puts every sleeper to sleep. */
static void test_long_paths(void)
{
	static const char *const names[] = {
		"db",	      "blocked: event",	  "postgres",	   "PostmasterMain", "WalWriterMain", "WaitLatch",
		"epoll_wait", "entry_SYSCALL_64", "do_syscall_64", "do_epoll_wait",  "schedule_x"
	};
	static const enum frame_kind kinds[] = { FRAME_CONTAINER, FRAME_CAUSE,	FRAME_PROCESS, FRAME_USER,
						 FRAME_USER,	  FRAME_USER,	FRAME_USER,    FRAME_KERNEL,
						 FRAME_KERNEL,	  FRAME_KERNEL, FRAME_KERNEL };
	const char *other[G_N_ELEMENTS(names)];
	enum frame_kind other_kinds[G_N_ELEMENTS(names)];
	g_autoptr(snapshot_t) snapshot = sample();
	struct calltree *tree = snapshot_find(snapshot, SHAPE_CALLTREE)->calltree;
	g_autofree char *text = NULL;

	memcpy(other, names, sizeof(names));
	other[4] = "CheckpointerMain";
	other[6] = "[postgres: stripped]";
	memcpy(other_kinds, kinds, sizeof(kinds));
	other_kinds[6] = FRAME_UNRESOLVED;
	calltree_add(tree, stack(tree, names, kinds, G_N_ELEMENTS(names)), 5000);
	calltree_add(tree, stack(tree, other, other_kinds, G_N_ELEMENTS(names)), 4000);
	text = render(snapshot, "text", NULL);
	g_assert_nonnull(strstr(text, "db \342\206\222 blocked: event \342\206\222 postgres \342\206\222 \342\200\246 "
				      "\342\206\222 epoll_wait \342\206\222 \342\200\246 \342\206\222 "
				      "schedule_x\n"));
	g_assert_nonnull(strstr(text, "\342\206\222 WaitLatch \342\206\222 \342\200\246 \342\206\222 "
				      "schedule_x\n")); /* the innermost that has a name */
}

static guint widest_line(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	guint widest = 0;

	for (guint i = 0; lines[i]; i++)
		widest = MAX(widest, text_columns(lines[i]));
	return widest;
}

/* A long name at the end does not take its caller's place, nor more than the terminal's width. */
static void test_narrow(void)
{
	static const char *const names[] = { "db", "postgres", "main", "the_caller_whose_name_is_long_but_says_why",
					     "a_leaf_with_a_name_that_would_take_all_of_a_line_of_a_narrow_terminal" };
	static const enum frame_kind kinds[] = { FRAME_CONTAINER, FRAME_PROCESS, FRAME_USER, FRAME_USER, FRAME_USER };
	g_autoptr(snapshot_t) snapshot = sample();
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);

	calltree_add(shape->calltree, stack(shape->calltree, names, kinds, G_N_ELEMENTS(names)), 5000);
	ledger_note(&shape->ledger,
		    g_strdup("a note that is longer than a line of a narrow terminal, and is told on several"));
	for (guint columns = 60; columns <= 160; columns++) {
		struct render_options options = { .columns = columns };
		g_autofree char *text =
			render_write_string(snapshot, render_format_find("text", NULL), &options, NULL, NULL);

		g_assert_cmpuint(widest_line(text), <=, columns);
		g_assert_nonnull(strstr(text, "the_"));
		g_assert_nonnull(strstr(text, "a_leaf_"));
	}
}

static void test_inconclusive(void)
{
	static const char *const formats[] = { "svg", "html", "text" };
	g_autoptr(snapshot_t) snapshot = sample();

	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autofree char *good = render(snapshot, formats[i], NULL);

		g_assert_null(strstr(good, "INCONCLUSIVE"));
	}
	ledger_add(&snapshot_find(snapshot, SHAPE_CALLTREE)->ledger, LEDGER_LOST_RING, 90, 90);
	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autofree char *bad = render(snapshot, formats[i], NULL);

		g_assert_nonnull(strstr(bad, "INCONCLUSIVE"));
	}
}

/* Names a container could choose: terminal escapes, markup, quotes, line ends, separators, broken UTF-8, bidi. */
static const char *const hostile[] = {
	"\033]0;owned\007\033[2J",
	"</script><script>alert(1)</script>",
	"\"><img src=x onerror=alert(1)>",
	"a;b;c 12\nd 7",
	"\377\376broken\300",
	"\342\200\256gnp.exe",
	"]]><!--",
	"${x}`\\u003c",
	"",
	" ",
	"\x01\x7f\302\233"
	"31m",
	"&amp;&#60;",
};

static struct snapshot *hostile_snapshot(void)
{
	struct snapshot *snapshot = snapshot_new(hostile[1]);
	struct shape *shape = shape_new(SHAPE_CALLTREE, hostile[0], UNIT_NANOSECONDS);

	g_ptr_array_add(snapshot->shapes, shape);
	g_free(snapshot->host);
	snapshot->host = g_strdup(hostile[2]);
	snapshot->start_realtime_ns = 1;
	for (guint i = 0; i < G_N_ELEMENTS(hostile); i++) {
		guint32 frame = calltree_frame(shape->calltree, FRAME_USER, hostile[i], -1, hostile[(i + 1) % 9]);

		calltree_add(shape->calltree, calltree_child(shape->calltree, CALLTREE_ROOT, frame), 1000000 + i);
		shape->ledger.seen.weight += 1000000 + i;
	}
	ledger_note(&shape->ledger, g_strdup(hostile[0]));
	ledger_note(&shape->ledger, g_strdup(hostile[1]));
	shape->ledger.rung = g_strdup(hostile[4]);
	return snapshot;
}

static void assert_harmless(const char *text, gsize length)
{
	g_assert_true(g_utf8_validate(text, (gssize)length, NULL));
	for (gsize i = 0; i < length; i++)
		g_assert_true((guchar)text[i] >= 0x20 || text[i] == '\n' || text[i] == '\t');
	g_assert_null(strstr(text, "\342\200\256")); /* right-to-left override */
	g_assert_null(strstr(text, "\302\233")); /* C1 control sequence introducer */
}

static guint count_of(const char *text, const char *what)
{
	guint count = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		count++;
	return count;
}

static void test_hostile(void)
{
	static const char *const formats[] = { "svg", "html", "folded", "json", "speedscope", "text" };
	g_autoptr(snapshot_t) snapshot = hostile_snapshot();
	g_autofree char *svg = NULL, *html = NULL, *folded = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		gsize length;
		g_autofree char *text = render(snapshot, formats[i], &length);

		assert_harmless(text, length);
	}
	svg = render(snapshot, "svg", NULL);
	g_assert_cmpuint(count_of(svg, "<script"), ==, 1);
	g_assert_null(strstr(svg, "<img"));
	html = render(snapshot, "html", NULL);
	g_assert_cmpuint(count_of(html, "<script"), ==, 2);
	g_assert_cmpuint(count_of(html, "</script"), ==, 2);
	g_assert_null(strstr(html, "<img"));
	folded = render(snapshot, "folded", NULL);
	g_assert_cmpuint(count_of(folded, "\n"), ==, G_N_ELEMENTS(hostile));
	g_assert_null(strchr(folded, ';'));
}

static void test_hostile_round_trip(void)
{
	g_autoptr(snapshot_t) snapshot = hostile_snapshot();
	gsize length, again_length;
	g_autofree char *text = render(snapshot, "json", &length);
	g_autoptr(GError) error = NULL;
	g_autoptr(snapshot_t) back = import_bytes(text, length, NULL, &error);
	g_autofree char *again = NULL;
	const struct calltree *tree;

	g_assert_no_error(error);
	tree = snapshot_find(back, SHAPE_CALLTREE)->calltree;
	for (guint i = 0; i < G_N_ELEMENTS(hostile); i++)
		g_assert_cmpstr(tree->frames[i].name, ==, hostile[i]);
	again = render(back, "json", &again_length);
	g_assert_cmpmem(text, length, again, again_length);
}

/* Windows that are some of the time: sentence, heading and capture say of how much, and what is all of it says nothing. */
static void test_looked(void)
{
	g_autoptr(snapshot_t) snapshot = sample(), back = NULL;
	struct shape *shape = snapshot_find(snapshot, SHAPE_CALLTREE);
	g_autofree char *json = NULL, *heading = NULL;
	g_autoptr(GError) error = NULL;
	gsize length;

	snapshot->duration_ns = 300 * NS_PER_S;
	windows_say(&(struct windows){ .count = 5, .looked_ns = 299 * NS_PER_S }, snapshot, shape, 300 * NS_PER_S);
	windows_say(&(struct windows){ 0 }, snapshot, shape, 300 * NS_PER_S);
	g_assert_cmpuint(snapshot->looked_ns, ==, 0);
	g_assert_cmpuint(shape->ledger.notes->len, ==, 1);
	windows_say(&(struct windows){ .count = 2, .looked_ns = 20 * NS_PER_S }, snapshot, shape, 300 * NS_PER_S);
	g_assert_cmpstr(g_ptr_array_index(shape->ledger.notes, 1), ==,
			"of 2 windows in this range, 20.0 s of its 300 s: weights are of those seconds, not scaled up");
	heading = heading_facts(snapshot, shape);
	g_assert_nonnull(strstr(heading, "20.0 s of 300 s"));
	json = render(snapshot, "json", &length);
	back = import_bytes(json, length, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(back->looked_ns, ==, 20 * NS_PER_S);
	g_assert_cmpuint(back->duration_ns, ==, 300 * NS_PER_S);
}

/* 0.6 µs each: none may vanish, and the total must be right to the microsecond. */
static void test_folded_rounding(void)
{
	g_autoptr(snapshot_t) snapshot = snapshot_new(NULL);
	struct shape *shape = shape_new(SHAPE_CALLTREE, "offcpu", UNIT_NANOSECONDS);
	g_autofree char *text = NULL;
	guint64 total = 0;
	char name[16];

	g_ptr_array_add(snapshot->shapes, shape);
	for (guint i = 0; i < 1000; i++) {
		g_snprintf(name, sizeof(name), "f%u", i);
		calltree_add(shape->calltree,
			     calltree_child(shape->calltree, 0,
					    calltree_frame(shape->calltree, FRAME_USER, name, -1, NULL)),
			     600);
	}
	text = render(snapshot, "folded", NULL);
	for (const char *at = text; (at = strchr(at, ' ')); at++)
		total += g_ascii_strtoull(at, NULL, 10);
	g_assert_cmpuint(total, ==, 600);
}

static void test_flame_layout(void)
{
	g_autoptr(snapshot_t) snapshot = sample();
	const struct calltree *tree = snapshot_find(snapshot, SHAPE_CALLTREE)->calltree;
	g_autoptr(flame_t) flame = flame_new(tree, 1, 1000, FALSE);
	g_autoptr(flame_t) few = flame_new(tree, 1, 4, FALSE);
	g_autoptr(calltree_t) reversed = flame_reverse(tree);
	g_autofree guint64 *totals = calltree_totals(reversed, reversed->self);

	g_assert_cmpuint(flame->total, ==, 950);
	g_assert_cmpuint(flame->count, ==, tree->node_count);
	for (guint i = 1; i < flame->count; i++) {
		const struct flame_box *box = &flame->boxes[i], *parent = &flame->boxes[box->parent];

		g_assert_cmpuint(box->parent, <, i);
		g_assert_cmpuint(box->start, >=, parent->start);
		g_assert_cmpuint(box->start + box->total, <=, parent->start + parent->total);
	}
	g_assert_cmpuint(few->count, <=, 5);
	g_assert_cmpuint(few->elided, ==, tree->node_count - few->count);
	g_assert_cmpuint(totals[0], ==, 950);
}

/* A function that calls itself counts once a stack. */
static void test_recursion(void)
{
	g_autoptr(calltree_t) tree = calltree_new();
	guint32 f = calltree_frame(tree, FRAME_USER, "f", -1, NULL), node = CALLTREE_ROOT;
	g_autoptr(GArray) rows = NULL;

	for (guint i = 0; i < 5; i++) {
		node = calltree_child(tree, node, f);
		calltree_add(tree, node, 1);
	}
	rows = function_rows(tree);
	g_assert_cmpuint(rows->len, ==, 1);
	g_assert_cmpuint(g_array_index(rows, struct function_row, 0).self, ==, 5);
	g_assert_cmpuint(g_array_index(rows, struct function_row, 0).total, ==, 5);
}

static void test_formats(void)
{
	static const char *const names[][2] = {
		{ "a.svg", "svg" },	  { "a.html", "html" },
		{ "a.json", "json" },	  { "a.speedscope.json", "speedscope" },
		{ "a.pb.gz", "pprof" },	  { "x/a.pprof", "pprof" },
		{ "a.folded", "folded" }, { "a.txt", "text" },
	};
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		g_assert_cmpstr(render_format_by_suffix(names[i][0], NULL)->name, ==, names[i][1]);
	g_assert_null(render_format_by_suffix("a.png", &error));
	g_assert_nonnull(strstr(error->message, "svg"));
	g_assert_cmpstr(render_format_choose("svg", "a.html", "text", NULL)->name, ==, "svg");
	g_assert_cmpstr(render_format_choose(NULL, "-", "text", NULL)->name, ==, "text");
}

static gboolean write_to(const char *path, GError **error)
{
	g_autoptr(snapshot_t) snapshot = sample();
	struct render_options options = { 0 };

	return render_write_file(snapshot, render_format_find("folded", NULL), &options, path, error);
}

static void test_output(void)
{
	g_autofree char *directory = g_dir_make_tmp("fathom-render-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "out.folded", NULL);
	g_autofree char *missing = g_build_filename(directory, "no", "out.folded", NULL);
	g_autofree char *precious = g_build_filename(directory, "precious", NULL);
	g_autofree char *text = NULL, *kept = NULL;
	g_autoptr(GError) error = NULL, error_directory = NULL;

	g_assert_true(render_output_check(path, NULL));
	g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS)); /* a check leaves no trace */
	g_assert_false(render_output_check(missing, &error));
	g_assert_error(error, RENDER_ERROR, RENDER_ERROR_OUTPUT);
	g_assert_false(render_output_check(directory, &error_directory));
	g_assert_true(render_output_check("-", NULL));
	g_assert_true(render_output_check("/dev/null", NULL));
	g_assert_true(write_to("/dev/null", NULL));

	/* A planted link is replaced, not followed. */
	g_assert_true(g_file_set_contents(precious, "precious", -1, NULL));
	g_assert_cmpint(symlink(precious, path), ==, 0);
	g_assert_true(write_to(path, NULL));
	g_assert_true(g_file_get_contents(precious, &kept, NULL, NULL));
	g_assert_cmpstr(kept, ==, "precious");
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_nonnull(strstr(text, "web;nginx;main;handle;vfs_read_[k] 600\n"));
	g_unlink(path);
	g_unlink(precious);
	g_assert_cmpint(g_rmdir(directory), ==, 0); /* no temporary file is left */
}

static void test_output_full(void)
{
	g_autoptr(GError) error = NULL;

	if (g_access("/dev/full", W_OK) != 0) {
		g_test_skip("no /dev/full");
		return;
	}
	g_assert_false(write_to("/dev/full", &error));
	g_assert_error(error, RENDER_ERROR, RENDER_ERROR_OUTPUT);
}

/* What other programs make of the profile; `tool` with the file's path as last argument. */
static char *pprof_through(const char *tool)
{
	g_autoptr(snapshot_t) snapshot = sample();
	g_autofree char *directory = g_dir_make_tmp("fathom-pprof-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "out.pb.gz", NULL);
	g_autofree char *command = g_strdup_printf("export HOME=%s GOTOOLCHAIN=local; %s", directory, tool);
	const char *argv[] = { "sh", "-c", command, "sh", path, NULL };
	struct render_options options = { 0 };
	g_autofree char *remove = g_strdup_printf("rm -rf '%s'", directory);
	char *out = NULL;
	int status;

	g_assert_true(render_write_file(snapshot, render_format_find("pprof", NULL), &options, path, NULL));
	g_assert_true(
		g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status, NULL));
	g_assert_true(g_spawn_check_wait_status(status, NULL));
	g_assert_true(g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL));
	return out;
}

static void test_pprof_wire(void)
{
	g_autofree char *protoc = g_find_program_in_path("protoc");
	g_autofree char *text = NULL;

	if (!protoc) {
		g_test_skip("no protoc");
		return;
	}
	text = pprof_through("gzip -dc \"$1\" | protoc --decode_raw");
	g_assert_nonnull(strstr(text, "6: \"vfs_read\""));
	g_assert_nonnull(strstr(text, "6: \"[kernel.kallsyms]\""));
}

static void test_pprof_go(void)
{
	g_autofree char *go = g_find_program_in_path("go");
	g_autofree char *text = NULL;

	if (!go) {
		g_test_skip("no go");
		return;
	}
	text = pprof_through("go tool pprof -top -sample_index=samples \"$1\" 2>/dev/null");
	g_assert_nonnull(strstr(text, "vfs_read"));
	g_assert_nonnull(strstr(text, "63.16%")); /* 600 of 950 */
}

/* ---- tables ---- */

#define HOSTILE "w\x1b[2J\"<script>&\n\xff"

static struct snapshot *tables_histogram(guint64 slot_ns)
{
	struct snapshot *snapshot = snapshot_new("runq of " HOSTILE);
	struct shape *shape = shape_new(SHAPE_HISTOGRAM, "runq", UNIT_NANOSECONDS);

	g_ptr_array_add(snapshot->shapes, shape);
	snapshot->duration_ns = 10 * NS_PER_S;
	shape->histogram = histogram_new((const char *[]){ "container", "wait", NULL });
	shape->histogram->slot_ns = slot_ns;
	for (guint i = 0; i < 40; i++) {
		struct histogram_counts counts = { 0 };

		histogram_counts_record(&counts, UNIT_NANOSECONDS, (1 + i % 4) * NS_PER_MS, 1 + i);
		histogram_add(shape->histogram, (const char *[]){ HOSTILE, i % 2 ? "woken" : HOSTILE }, i / 4, &counts);
		shape->ledger.seen.events += 1 + i;
	}
	return snapshot;
}

static struct snapshot *tables_edges(void)
{
	static const struct edges_column counters[] = { { "wait", UNIT_NANOSECONDS },
							{ "waits", UNIT_COUNT },
							{ NULL } };
	struct snapshot *snapshot = snapshot_new(NULL);
	struct shape *shape = shape_new(SHAPE_EDGES, "blame cpu", UNIT_NANOSECONDS);
	struct edge_end victim = { EDGE_END_CONTAINER, HOSTILE }, culprit = { EDGE_END_CONTAINER, "db" };
	struct edge_end quota = { EDGE_END_QUOTA, "its own CPU quota" };

	g_ptr_array_add(snapshot->shapes, shape);
	shape->edges = edges_new((const char *[]){ "resource", NULL }, counters, NULL);
	edge_count(edges_add(shape->edges, &victim, &victim, (const char *[]){ "cpu" }), 0, NS_PER_S);
	edge_count(edges_add(shape->edges, &victim, &culprit, (const char *[]){ "cpu" }), 0, 3 * NS_PER_S);
	edge_count(edges_add(shape->edges, &victim, &quota, (const char *[]){ "cpu" }), 0, 2 * NS_PER_S);
	return snapshot;
}

static char *tables_written(const struct snapshot *snapshot, const char *format)
{
	struct render_options options = { .columns = 100 };
	g_autoptr(GError) error = NULL;
	char *text = render_write_string(snapshot, render_format_find(format, NULL), &options, NULL, &error);

	g_assert_no_error(error);
	/* Whatever a container is called, nothing of it is markup or a control. */
	g_assert_true(strcmp(format, "text") == 0 || !strstr(text, "<script>&"));
	g_assert_null(strchr(text, '\x1b'));
	g_assert_true(g_utf8_validate(text, -1, NULL));
	return text;
}

/* Marks stand at round times, however long it was. */
static void test_heatmap_ticks(void)
{
	static const struct {
		guint64 column_ns;
		guint columns, most;
		guint64 step_ns;
		const char *second; /* what the second mark says */
	} tests[] = {
		{ 100 * NS_PER_MS, 100, 12, NS_PER_S, "2 s" },
		{ 101 * NS_PER_MS, 100, 10, NS_PER_S, "2 s" },
		{ 10 * NS_PER_MS, 37, 5, 100 * NS_PER_MS, "200 ms" },
		{ NS_PER_S, 600, 6, 120 * NS_PER_S, "4 min" },
		{ 60 * NS_PER_S, 1440, 8, 4 * 3600 * NS_PER_S, "8 h" },
		{ 3600 * NS_PER_S, 24 * 100, 10, 10 * 24 * 3600 * NS_PER_S, "480 h" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
		struct heatmap map = { .columns = tests[i].columns, .column_ns = tests[i].column_ns };
		guint64 step_ns = heatmap_tick_ns(&map, tests[i].most);
		g_autofree char *second = heatmap_tick_text(2 * step_ns);

		g_assert_cmpuint(step_ns, ==, tests[i].step_ns);
		g_assert_cmpstr(second, ==, tests[i].second);
	}
}

static void test_tables_text(void)
{
	g_autoptr(snapshot_t) plain = tables_histogram(0), map = tables_histogram(NS_PER_S), edges = tables_edges();
	g_autofree char *bars = tables_written(plain, "text"), *heat = tables_written(map, "text");
	g_autofree char *blame = tables_written(edges, "text");

	g_assert_nonnull(strstr(bars, "1\342\200\2232 ms"));
	g_assert_nonnull(strstr(bars, "820 in all"));
	g_assert_null(strstr(bars, "a column is"));
	g_assert_nonnull(strstr(heat, "a column is 1.00 s"));
	g_assert_nonnull(strstr(heat, "\n                    0\n"));
	g_assert_nonnull(strstr(blame, "50.0 %"));
	g_assert_true(strstr(blame, "db") < strstr(blame, "its own CPU quota"));
	g_assert_true(strstr(blame, "its own CPU quota") < strstr(blame, "itself"));
}

static void test_tables_pictures(void)
{
	static const char *const formats[] = { "svg", "html" };

	for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autoptr(snapshot_t) plain = tables_histogram(0), map = tables_histogram(NS_PER_S),
				      edges = tables_edges();
		g_autofree char *bars = tables_written(plain, formats[i]), *heat = tables_written(map, formats[i]);
		g_autofree char *blame = tables_written(edges, formats[i]);

		g_assert_nonnull(strstr(bars, "class=\"bar\""));
		g_assert_nonnull(strstr(heat, "2.00 s to 3.00 s, 4\342\200\2238 ms"));
		g_assert_nonnull(strstr(blame, ", db: 3.00 s (50.0 %)"));
	}
}

/* ---- events as lines ---- */

static char *lines_within(guint columns, const struct event *events, guint count)
{
	const struct render_options options = { .columns = columns };
	char *text = NULL;
	gsize length = 0;
	FILE *out = open_memstream(&text, &length);
	struct event_lines *lines = event_lines_new(out, &options);

	for (guint i = 0; i < count; i++)
		event_lines_put(lines, &events[i]);
	event_lines_free(lines);
	fclose(out);
	return text;
}

static char *lines_of(const struct event *events, guint count)
{
	return lines_within(0, events, count);
}

/* On a narrow terminal lines go on below, heading and rows in the same places; a cgroup that is a container's is not told. */
static void test_event_lines_narrow(void)
{
	struct event_field fields[] = {
		{ .name = "duration", .unit = EVENT_NANOSECONDS, .number = 97800000 },
		{ .name = "limit_of", .unit = EVENT_TEXT, .text = "a-container-with-a-long-name" },
		{ .name = "scope", .unit = EVENT_TEXT, .text = "container" },
		{ .name = "cgroup", .unit = EVENT_TEXT, .text = "/docker/aadd1eeaaad7332f5fd5100a227a5ee6" },
	};
	struct event event = {
		.kind = "throttle", .container = "web", .process = "sh", .fields = fields, .field_count = 4
	};

	for (guint columns = 60; columns <= 160; columns += 20) {
		char *text = lines_within(columns, &event, 1);
		g_auto(GStrv) rows = g_strsplit(text, "\n", -1);
		guint half = g_strv_length(rows) / 2;

		g_assert_cmpuint(widest_line(text), <=, columns);
		g_assert_true(g_str_has_prefix(rows[0], "TIME") && strstr(rows[half], "web"));
		g_assert_nonnull(strstr(text, "a-container-with-a-long-name"));
		g_assert_null(strstr(text, "/docker/"));
		free(text);
	}
	fields[2].text = "parent";
	char *text = lines_of(&event, 1);

	g_assert_nonnull(strstr(text, "cgroup=/docker/"));
	free(text);
}

static void test_event_lines(void)
{
	const struct event_field fields[] = {
		{ .name = "latency", .unit = EVENT_NANOSECONDS, .number = 12000000 },
		{ .name = "file", .unit = EVENT_TEXT, .text = "/a\033[2J\nb" },
	};
	const struct event_field other[] = {
		{ .name = "latency", .unit = EVENT_NANOSECONDS, .number = 999 },
		{ .name = "arguments", .unit = EVENT_LIST, .text = "ls\0a b\0", .number = 7 },
	};
	const struct event events[] = {
		{ .kind = "slow",
		  .container = "w\033eb",
		  .process = "x\ny",
		  .pid = 7,
		  .inner_pid = 1,
		  .fields = fields,
		  .field_count = 2 },
		{ .kind = "slow", .pid = 8, .fields = other, .field_count = 2 },
	};
	char *text = lines_of(events, 2);
	g_auto(GStrv) rows = g_strsplit(text, "\n", -1);

	g_assert_cmpuint(g_strv_length(rows), ==, 4); /* heading, two rows, nothing */
	g_assert_null(strchr(text, '\033'));
	g_assert_true(g_str_has_prefix(rows[0], "TIME") && g_str_has_suffix(rows[0], "LATENCY  FILE"));
	g_assert_nonnull(strstr(rows[1], "w\\x1beb"));
	g_assert_nonnull(strstr(rows[1], "12.0 ms  /a\\x1b[2J\\x0ab"));
	g_assert_nonnull(strstr(rows[2], "999 ns  -"));
	g_assert_true(g_str_has_suffix(rows[2], "arguments=ls 'a b'"));
	free(text);
}

/* What an event does not have stands where its column's texts do: a number's on the right. */
static void test_event_without_a_number(void)
{
	const struct event_field fields[] = {
		{ .name = "status", .unit = EVENT_COUNT, .number = 3 },
		{ .name = "lifetime", .unit = EVENT_NANOSECONDS, .number = 999 },
	};
	const struct event events[] = {
		{ .kind = "exit", .fields = fields, .field_count = 2 },
		{ .kind = "exit", .fields = fields + 1, .field_count = 1 },
	};
	char *text = lines_of(events, 2);
	g_auto(GStrv) rows = g_strsplit(text, "\n", -1);

	g_assert_true(g_str_has_suffix(rows[1], "  3    999 ns"));
	g_assert_true(g_str_has_suffix(rows[2], "  -    999 ns"));
	g_assert_cmpuint(strlen(rows[1]), ==, strlen(rows[2]));
	free(text);
}

/* After a long name columns stand under one another; what is longer than any column should be moves its own line only. */
static void test_event_columns(void)
{
	const char *const names[] = { "web", "a-container-with-a-long-name", "db",
				      "longer-than-forty-columns-longer-than-forty-columns" };
	struct event events[5];
	char *text;
	g_auto(GStrv) rows = NULL;
	gssize at[6];

	for (guint i = 0; i < G_N_ELEMENTS(events); i++)
		events[i] = (struct event){ .kind = "slow", .container = names[i % 4], .process = "proc", .pid = 7 };
	text = lines_of(events, G_N_ELEMENTS(events));
	rows = g_strsplit(text, "\n", -1);
	for (guint i = 1; i < G_N_ELEMENTS(at); i++)
		at[i] = strstr(rows[i], "proc") - rows[i];
	g_assert_cmpint(at[2], >, at[1]);
	g_assert_cmpint(at[3], ==, at[2]);
	g_assert_cmpint(at[4], >, at[2]);
	g_assert_cmpint(at[5], ==, at[2]);
	free(text);
}

/* What does not fit on a line stands below it. */
static void test_event_block(void)
{
	struct event_field fields[12];
	const struct event event = { .kind = "oom", .pid = 7, .fields = fields, .field_count = G_N_ELEMENTS(fields) };
	char *text;

	for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
		fields[i] = (struct event_field){ .name = "score_adjust", .unit = EVENT_SIGNED, .number = (guint64)-5 };
	text = lines_of(&event, 1);
	g_assert_nonnull(strstr(text, "\n  score adjust         -5\n"));
	g_assert_null(strstr(text, "TIME"));
	free(text);
}

/* ---- service maps ---- */

static const struct edges_column map_counters[] = {
	{ "opens", UNIT_COUNT },
	{ "failed_refused", UNIT_COUNT },
	{ "sent_bytes", UNIT_BYTES },
	{ "sent_segments", UNIT_COUNT },
	{ "retransmits_rto", UNIT_COUNT },
	{ "spurious", UNIT_COUNT },
	{ 0 },
};

static void map_row(struct edges *edges, const char *from, const char *to, enum edge_end_kind kind, const char *port,
		    const guint64 *counters)
{
	const struct edge_end source = { .kind = EDGE_END_CONTAINER, .name = from };
	const struct edge_end target = { .kind = kind, .name = to };
	struct edge *edge = edges_add(edges, &source, &target, &port);

	for (guint i = 0; i < 6; i++)
		edge_count(edge, i, counters[i]);
}

static const struct map_link *map_find(const struct map *map, const char *from, const char *to)
{
	for (guint i = 0; i < map->links->len; i++) {
		const struct map_link *link = g_ptr_array_index(map->links, i);

		if (strcmp(g_array_index(map->nodes, struct map_node, link->source).end.name, from) == 0 &&
		    strcmp(g_array_index(map->nodes, struct map_node, link->target).end.name, to) == 0)
			return link;
	}
	return NULL;
}

static void check_places(const struct map *map)
{
	for (guint i = 0; i < map->nodes->len; i++) {
		const struct map_node *a = &g_array_index(map->nodes, struct map_node, i);

		g_assert_cmpfloat(a->x, >=, 0);
		g_assert_cmpfloat(a->y, >=, 0);
		g_assert_cmpfloat(a->x + a->width, <=, map->width);
		g_assert_cmpfloat(a->y + a->height, <=, map->height);
		for (guint k = 0; k < i; k++) {
			const struct map_node *b = &g_array_index(map->nodes, struct map_node, k);

			g_assert_true(a->x + a->width <= b->x || b->x + b->width <= a->x || a->y + a->height <= b->y ||
				      b->y + b->height <= a->y);
		}
	}
}

static void test_map(void)
{
	static const char *const labels[] = { "port", NULL };
	g_autoptr(edges_t) edges = edges_new(labels, map_counters, NULL);
	g_autoptr(map_t) map = NULL;

	map_row(edges, "web", "shop", EDGE_END_CONTAINER, "80", (guint64[]){ 100, 0, 1000, 1000, 0, 0 });
	map_row(edges, "web", "shop", EDGE_END_CONTAINER, "443", (guint64[]){ 10, 0, 1000, 100, 0, 0 });
	map_row(edges, "shop", "db", EDGE_END_CONTAINER, "5432", (guint64[]){ 90, 10, 1000, 1000, 0, 0 });
	map_row(edges, "db", "shop", EDGE_END_CONTAINER, "80", (guint64[]){ 1, 0, 1000, 10, 0, 0 }); /* a circle */
	map_row(edges, "db", "db", EDGE_END_CONTAINER, "1", (guint64[]){ 1, 0, 1000, 10, 0, 0 });
	map_row(edges, "web", "db", EDGE_END_CONTAINER, "5432", (guint64[]){ 1, 0, 1000, 1000, 40, 40 });
	map_row(edges, "web", "10.0.0.1", EDGE_END_EXTERNAL, "25", (guint64[]){ 9, 0, 1000, 1000, 40, 1 });
	map = map_new(edges, NS_PER_S);
	g_assert_cmpuint(map->nodes->len, ==, 4);
	g_assert_cmpuint(map->links->len, ==, 6);
	g_assert_cmpuint(map_find(map, "web", "shop")->numbers.opens, ==, 110);
	g_assert_cmpuint(map_find(map, "web", "shop")->ports->len, ==, 2);
	g_assert_cmpint(map_find(map, "web", "shop")->status, ==, MAP_OK);
	g_assert_cmpint(map_find(map, "shop", "db")->status, ==, MAP_BAD);
	g_assert_cmpstr(map_find(map, "shop", "db")->why, ==, "10 refused");
	g_assert_cmpint(map_find(map, "web", "db")->status, ==, MAP_OK); /* only spurious ones */
	g_assert_cmpint(map_find(map, "web", "10.0.0.1")->status, ==, MAP_BAD);
	map_layout(map);
	check_places(map);
	g_assert_cmpuint(g_array_index(map->nodes, struct map_node, map_find(map, "web", "shop")->source).layer, ==, 0);
	g_assert_cmpuint(g_array_index(map->nodes, struct map_node, map_find(map, "web", "db")->target).layer, ==, 2);
	g_assert_cmpuint(map_find(map, "web", "db")->points->len, ==, 4); /* by a dot in the layer between */
}

/* Who is worth a word besides failures, and who is not. */
static void test_connection_remarks(void)
{
	static const struct {
		guint64 closes, single, window_limited_ns;
		const char *remarks;
	} cases[] = {
		{ 1000, 1000, 0, "500 connections/s with fewer than two requests: not reused" },
		{ 1000, 700, 0, NULL }, /* many have more */
		{ 10, 10, 0, NULL }, /* few */
		{ 0, 0, NS_PER_S, "senders waited 1.00 s for the receiver's window" },
		{ 0, 0, 100 * NS_PER_MS, NULL },
		{ 0, 0, 0, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct connection_numbers numbers = { .closes = cases[i].closes,
							    .single = cases[i].single,
							    .window_limited_ns = cases[i].window_limited_ns };
		g_autofree char *remarks = connection_remarks(&numbers, 2 * NS_PER_S);

		g_assert_cmpstr(remarks, ==, cases[i].remarks);
	}
}

/* However many there are: a bounded picture, no count lost, containers before addresses. */
static void test_map_many(void)
{
	static const char *const labels[] = { "port", NULL };
	g_autoptr(edges_t) edges = edges_new(labels, map_counters, NULL);
	g_autoptr(map_t) map = NULL;
	guint64 opens = 0;
	guint folded = 0;

	for (guint i = 0; i < 3000; i++) {
		g_autofree char *from = g_strdup_printf("c%u", i % 50),
				*to = g_strdup_printf("10.0.%u.%u", i / 250, i % 250);
		g_autofree char *other = g_strdup_printf("c%u", (i * 7 + i / 50) % 50);

		map_row(edges, from, to, EDGE_END_EXTERNAL, "80", (guint64[]){ 1000, 0, 0, 0, 0, 0 });
		map_row(edges, from, other, EDGE_END_CONTAINER, "80", (guint64[]){ 1, 0, 0, 0, 0, 0 });
	}
	map = map_new(edges, NS_PER_S);
	g_assert_cmpuint(map->nodes->len, <=, MAP_NODES_MAX + 1);
	for (guint i = 0; i < map->links->len; i++)
		opens += ((struct map_link *)g_ptr_array_index(map->links, i))->numbers.opens;
	g_assert_cmpuint(opens, ==, 3000 * 1001);
	for (guint i = 0; i < map->nodes->len; i++)
		folded += g_array_index(map->nodes, struct map_node, i).folded;
	g_assert_cmpuint(map->nodes->len - 1 + folded, ==, 3050);
	map_layout(map);
	check_places(map);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/render/golden", test_golden);
	g_test_add_func("/render/golden-diff", test_golden_diff);
	g_test_add_func("/render/brief", test_brief);
	g_test_add_func("/render/long-paths", test_long_paths);
	g_test_add_func("/render/inconclusive", test_inconclusive);
	g_test_add_func("/render/hostile", test_hostile);
	g_test_add_func("/render/hostile-round-trip", test_hostile_round_trip);
	g_test_add_func("/render/looked", test_looked);
	g_test_add_func("/render/folded-rounding", test_folded_rounding);
	g_test_add_func("/render/flame-layout", test_flame_layout);
	g_test_add_func("/render/recursion", test_recursion);
	g_test_add_func("/render/formats", test_formats);
	g_test_add_func("/render/output", test_output);
	g_test_add_func("/render/output-full", test_output_full);
	g_test_add_func("/render/pprof-wire", test_pprof_wire);
	g_test_add_func("/render/pprof-go", test_pprof_go);
	g_test_add_func("/render/heatmap/ticks", test_heatmap_ticks);
	g_test_add_func("/render/tables-text", test_tables_text);
	g_test_add_func("/render/tables-pictures", test_tables_pictures);
	g_test_add_func("/render/map", test_map);
	g_test_add_func("/render/map-many", test_map_many);
	g_test_add_func("/render/connection-remarks", test_connection_remarks);
	g_test_add_func("/render/events/lines", test_event_lines);
	g_test_add_func("/render/events/narrow", test_event_lines_narrow);
	g_test_add_func("/render/text/narrow", test_narrow);
	g_test_add_func("/render/events/without-a-number", test_event_without_a_number);
	g_test_add_func("/render/events/columns", test_event_columns);
	g_test_add_func("/render/events/block", test_event_block);
	return g_test_run();
}
