/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/root.h"
#include "base/json.h"
#include "base/own.h"
#include "base/text.h"
#include "base/units.h"
#include "base/walk.h"

static void test_terminal(void)
{
	static const struct {
		const char *raw, *safe;
	} cases[] = {
		{ "nginx", "nginx" },
		{ "a\033[2Jb", "a\\x1b[2Jb" },
		{ "line\nnext\ttab", "line\\x0anext\\x09tab" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "h\303\244ndler", "h\303\244ndler" },
		{ "\302\233"
		  "31m",
		  "\\x9b31m" }, /* C1 control sequence introducer */
		{ "evil\342\200\256exe", "evil\\u{202e}exe" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *safe = text_terminal(cases[i].raw);

		g_assert_cmpstr(safe, ==, cases[i].safe);
	}
}

static void test_wrap(void)
{
	static const struct {
		const char *text, *wrapped;
	} cases[] = {
		{ "short\n", "short\n" },
		{ "1. one two three four five six\n", "1. one two three\n   four five six\n" },
		{ "   label   one two three four five six\nx\n",
		  "   label   one two three four five six\nx\n" }, /* too little room behind it */
		{ "  one two three four five six seven", "  one two three four\n  five six seven" },
		{ "a_word_that_is_longer_than_a_line_is", "a_word_that_is_longer_than_a_line_is" },
		{ "  \033[1mone\033[0m two three fou five", "  \033[1mone\033[0m two three fou\n  five" },
		{ "  äöü äöü äöü äöüä five", "  äöü äöü äöü äöüä\n  five" },
		{ "  one two three four    ", "  one two three four    " },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) text = g_string_new("kept as it is: ");
		gsize from = text->len;

		g_string_append(text, cases[i].text);
		text_wrap(text, from, 0);
		g_assert_cmpstr(text->str + from, ==, cases[i].text);
		text_wrap(text, from, 20);
		g_assert_true(g_str_has_prefix(text->str, "kept as it is: "));
		g_assert_cmpstr(text->str + from, ==, cases[i].wrapped);
	}
	{
		g_autoptr(GString) text = g_string_new("   what to do     one two three four five six seven\n");

		text_wrap(text, 0, 40);
		g_assert_cmpstr(text->str, ==,
				"   what to do     one two three four\n                  five six seven\n");
	}
}

static void test_cut(void)
{
	static const struct {
		const char *text, *cut;
	} cases[] = {
		{ "fits", "fits" },
		{ "fits too", "fits too" },
		{ "too long for it", "too lon\342\200\246" },
		{ "\303\244\303\266\303\274\303\244\303\266\303\274\303\244\303\266\303\274",
		  "\303\244\303\266\303\274\303\244\303\266\303\274\303\244\342\200\246" },
		{ "\346\227\245\346\227\245\346\227\245\346\227\245\346\227\245",
		  "\346\227\245\346\227\245\346\227\245\342\200\246" }, /* of two columns each: half of one is none */
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *cut = text_cut(cases[i].text, 8);

		g_assert_cmpstr(cut, ==, cases[i].cut);
	}
	g_assert_cmpuint(text_fitting("abc", 0), ==, 0);
	g_assert_cmpuint(text_fitting("abc", 9), ==, 3);
}

static void test_markup(void)
{
	g_autoptr(GString) xml = g_string_new(NULL);
	g_autoptr(GString) json = g_string_new(NULL);
	g_autoptr(GString) folded = g_string_new(NULL);
	const char hostile[] = "</script>\"'&\033\xff;\n";

	text_append_xml(xml, hostile, -1);
	g_assert_cmpstr(xml->str, ==, "&lt;/script&gt;&quot;&#39;&amp;\357\277\275\357\277\275;\357\277\275");
	text_append_json(json, hostile, -1);
	g_assert_cmpstr(json->str, ==, "\\u003c/script>\\\"'&\\u001b\357\277\275;\\n");
	text_append_folded(folded, hostile, -1);
	g_assert_cmpstr(folded->str, ==, "</script>\"'&__:_");
}

static void test_json(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_string(&json, "a", "x\"y");
	json_begin_array(&json, "b");
	json_uint(&json, NULL, 1);
	json_begin_object(&json, NULL);
	json_end_object(&json);
	json_double(&json, NULL, 0.25);
	json_end_array(&json);
	json_string(&json, "none", NULL);
	json_double(&json, "nan", 0.0 / 0.0);
	json_bool(&json, "yes", TRUE);
	json_end_object(&json);
	g_assert_cmpstr(out->str, ==, "{\"a\":\"x\\\"y\",\"b\":[1,{},0.25],\"none\":null,\"nan\":null,\"yes\":true}");
}

static void test_units(void)
{
	static const struct {
		guint64 ns;
		const char *shown;
	} durations[] = {
		{ 340, "340 ns" }, { 1200000, "1.20 ms" }, { 12345000000, "12.3 s" }, { 999000, "999 \302\265s" }
	};
	static const struct {
		const char *text;
		gboolean ok;
		guint64 ns;
	} parsed[] = {
		{ "10", TRUE, 10 * NS_PER_S },
		{ "500ms", TRUE, 500 * NS_PER_MS },
		{ "1.5s", TRUE, 1500 * NS_PER_MS },
		{ "2m", TRUE, 120 * NS_PER_S },
		{ "", FALSE, 0 },
		{ "-1", FALSE, 0 },
		{ "ten", FALSE, 0 },
		{ "10 parsecs", FALSE, 0 },
		{ "1e30", FALSE, 0 },
		{ "nan", FALSE, 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(durations); i++) {
		g_autofree char *shown = units_duration(durations[i].ns);

		g_assert_cmpstr(shown, ==, durations[i].shown);
	}
	for (guint i = 0; i < G_N_ELEMENTS(parsed); i++) {
		guint64 ns = 0;

		g_assert_cmpint(units_parse_duration(parsed[i].text, NS_PER_S, &ns), ==, parsed[i].ok);
		g_assert_cmpuint(ns, ==, parsed[i].ns);
	}
}

static void test_file(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *dir = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *outside = g_dir_make_tmp("fathom-test-XXXXXX", NULL);
	g_autofree char *secret = g_build_filename(outside, "secret", NULL);
	g_autofree char *plain = g_build_filename(dir, "plain", NULL);
	g_autofree char *link = g_build_filename(dir, "link", NULL);
	g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
	g_autofree char *text = NULL, *pieces = NULL, *long_text = g_strnfill(10000, 'x');
	gsize length;
	int fd;

	g_assert_true(g_file_set_contents(secret, "secret", -1, NULL));
	g_assert_true(g_file_set_contents(plain, "0123456789", -1, NULL));
	g_assert_cmpint(symlink(secret, link), ==, 0);
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	text = file_read(plain, 10, &length, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(length, ==, 10);
	g_assert_cmpstr(text, ==, "0123456789");
	g_assert_null(file_read(plain, 9, NULL, &error));
	g_assert_error(error, FILE_ERROR, FILE_ERROR_TOO_LARGE);
	g_clear_error(&error);
	g_assert_true(g_file_set_contents(plain, long_text, -1, NULL));
	pieces = file_read_pieces(AT_FDCWD, plain, 16, strlen(long_text), &length, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(length, ==, strlen(long_text));
	g_assert_cmpstr(pieces, ==, long_text);
	g_assert_null(file_read_pieces(AT_FDCWD, plain, 0, strlen(long_text) - 1, NULL, &error));
	g_assert_error(error, FILE_ERROR, FILE_ERROR_TOO_LARGE);
	g_clear_error(&error);
	fd = file_open_in_root(dir, "/plain", &error);
	g_assert_no_error(error);
	close(fd);
	/* An absolute link stays inside the root; a FIFO does not block; neither opens. */
	g_assert_cmpint(file_open_in_root(dir, "/link", &error), ==, -1);
	g_assert_error(error, FILE_ERROR, FILE_ERROR_OPEN);
	g_clear_error(&error);
	g_assert_cmpint(file_open_in_root(dir, "/fifo", &error), ==, -1);
	g_assert_error(error, FILE_ERROR, FILE_ERROR_OPEN);
	g_unlink(link);
	g_unlink(fifo);
	g_unlink(plain);
	g_unlink(secret);
	g_rmdir(dir);
	g_rmdir(outside);
}

/* ---- paths step by step ---- */

static gboolean walk_all(void *user, int fd)
{
	(void)user;
	return fd >= 0;
}

/* Everywhere but one directory: `user` is its inode. */
static gboolean walk_not(void *user, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino != *(const ino_t *)user;
}

static ino_t inode_and_close(int fd)
{
	struct stat st = { 0 };

	if (fd < 0)
		return 0;
	g_assert_cmpint(fstat(fd, &st), ==, 0);
	close(fd);
	return st.st_ino;
}

/* The same file, or the same error, as by the kernel's walk. */
static void walk_compare(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int theirs = (int)syscall(SYS_openat2, root, path, &how, sizeof(how)), their_errno = errno;
	int ours = walk_in_root(root, path, walk_all, NULL), our_errno = errno;

	if (theirs < 0)
		g_assert_cmpint(our_errno, ==, their_errno);
	g_assert_cmpuint(inode_and_close(ours), ==, inode_and_close(theirs));
}

static void test_walk(void)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{ "absolute", "/a/b/file" }, { "up", "../../../../a/b/file" },
		{ "self", "self" },	     { "round", "./a/../round2" },
		{ "round2", "round" },	     { "to-root", "/" },
		{ "gone", "/nothing" },	     { "chain", "absolute" },
	};
	static const char *const paths[] = {
		"/",
		"",
		".",
		"..",
		"/..",
		"a",
		"/a/b",
		"/a/b/",
		"/a//b/./file",
		"a/../a/b/file",
		"/a/b/../../../../a/b/file",
		"/nothing",
		"/a/nothing/x",
		"/a/b/file/x",
		"/a/b/file/..",
		"/absolute",
		"/up",
		"/self",
		"/round",
		"/to-root/a/b/file",
		"/gone",
		"/chain",
		"/a/in/file",
		"/a/b/link-up/b/file",
	};
	g_autofree char *dir = g_dir_make_tmp("fathom-walk-XXXXXX", NULL), *b = g_build_filename(dir, "a", "b", NULL);
	g_autofree char *file = g_build_filename(b, "file", NULL), *command = g_strdup_printf("rm -rf %s", dir);
	g_autofree char *in = g_build_filename(dir, "a", "in", NULL), *link_up = g_build_filename(b, "link-up", NULL);
	g_autofree char *deep = g_strnfill(PATH_MAX + 1, 'a'), *wide = g_strnfill(NAME_MAX + 1, 'a');
	int root = open(dir, O_PATH | O_CLOEXEC);
	struct stat st;

	g_assert_cmpint(g_mkdir_with_parents(b, 0700), ==, 0);
	g_assert_true(g_file_set_contents(file, "x", 1, NULL));
	g_assert_cmpint(symlink("b", in), ==, 0);
	g_assert_cmpint(symlink("..", link_up), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(links); i++)
		g_assert_cmpint(symlinkat(links[i].target, root, links[i].name), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
		if (*paths[i]) /* the kernel wants at least a name */
			walk_compare(root, paths[i]);
	walk_compare(root, deep);
	walk_compare(root, wide);
	/* What must not be walked through is not, by whichever way it is reached; beside it everything is there. */
	g_assert_cmpint(stat(b, &st), ==, 0);
	g_assert_cmpint(walk_in_root(root, "/a/in/file", walk_not, &st.st_ino), ==, -1);
	g_assert_cmpint(errno, ==, EXDEV);
	g_assert_cmpint(walk_in_root(root, "/chain", walk_not, &st.st_ino), ==, -1);
	g_assert_cmpuint(inode_and_close(walk_in_root(root, "/to-root/a", walk_not, &st.st_ino)), !=, 0);
	close(root);
	g_assert_cmpint(system(command), ==, 0);
}

/* ---- files whose server never answers ---- */

#define HANG_S 5

/* Mounts a FUSE file system that nobody serves on `path`; FALSE when this machine has none. */
static gboolean mount_deaf(const char *path, guint mode)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	g_autofree char *options = g_strdup_printf("fd=%d,rootmode=%o,user_id=0,group_id=0", fd, mode);

	return fd >= 0 &&
	       mount("deaf", path, "fuse", 0, options) == 0; /* the descriptor stays open: or it would fail */
}

/* In a child, in mounts of its own: what would hang is ended by the alarm. */
static void deaf_child(const char *dir)
{
	static const char *const deaf[] = { "/file", "/folder/x", "/deaf-link" };
	g_autofree char *file = g_build_filename(dir, "file", NULL), *folder = g_build_filename(dir, "folder", NULL);
	g_autofree char *plain = g_build_filename(dir, "plain", NULL),
			*mounted = g_build_filename(dir, "mounted", NULL);
	g_autofree char *x = g_build_filename(mounted, "x", NULL), *link = g_build_filename(dir, "link", NULL);
	g_autofree char *deaf_link = g_build_filename(dir, "deaf-link", NULL),
			*asked = g_build_filename(folder, "x", NULL);
	int fd;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		_exit(77);
	g_file_set_contents(file, "x", 1, NULL);
	g_file_set_contents(plain, "x", 1, NULL);
	g_mkdir(folder, 0700);
	g_mkdir(mounted, 0700);
	if (!mount_deaf(file, S_IFREG | 0644) || !mount_deaf(folder, S_IFDIR | 0755) ||
	    mount("tmpfs", mounted, "tmpfs", 0, NULL) != 0 || symlink("/mounted/x", link) != 0 ||
	    symlink("/folder/x", deaf_link) != 0)
		_exit(77);
	g_file_set_contents(x, "x", 1, NULL);
	alarm(HANG_S);
	fd = file_open_in_root(dir, "/plain", NULL);
	if (fd < 0)
		_exit(1);
	/* Mounts that answer are crossed, also by links, whatever else is mounted. */
	if (file_open_in_root(dir, "/mounted/x", NULL) < 0 || file_open_in_root("/", x, NULL) < 0)
		_exit(2);
	if (file_open_in_root(dir, "/link", NULL) < 0)
		_exit(3);
	for (guint i = 0; i < G_N_ELEMENTS(deaf); i++)
		if (file_open_in_root(dir, deaf[i], NULL) >= 0)
			_exit(4);
	_exit(file_open_in_root(folder, "/x", NULL) < 0 && file_open_in_root("/", asked, NULL) < 0 ? 0 : 5);
}

static void test_deaf(void)
{
	g_autofree char *dir = g_dir_make_tmp("fathom-deaf-XXXXXX", NULL);
	g_autofree char *command = g_strdup_printf("rm -rf %s", dir);
	pid_t pid = fork();
	int status;

	if (pid == 0)
		deaf_child(dir);
	waitpid(pid, &status, 0);
	g_assert_cmpint(system(command), ==, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		g_test_skip("needs root and FUSE");
		return;
	}
	g_assert_true(WIFEXITED(status)); /* not ended by the alarm */
	g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

#define RELEASED_BYTES (1 << 20)

static const guint8 released[RELEASED_BYTES] __attribute__((aligned(4096))) = { 1, [RELEASED_BYTES - 1] = 2 };

static guint64 released_sum(void)
{
	const volatile guint8 *bytes = released;
	guint64 sum = 0;

	for (gsize i = 0; i < RELEASED_BYTES; i++)
		sum += bytes[i];
	return sum;
}

/* What is as it is in the file is no longer resident, and comes back; what somebody changed stays. */
static void test_own_release(void)
{
	const volatile guint8 *bytes = released;
	guint8 *page = (guint8 *)released + RELEASED_BYTES / 2;
	gsize page_bytes = (gsize)sysconf(_SC_PAGESIZE);
	guint64 before;

	g_assert_cmpuint(released_sum(), ==, 3);
	before = own_resident_bytes();
	own_release();
	g_assert_cmpuint(own_resident_bytes() + RELEASED_BYTES / 2, <, before);
	g_assert_cmpuint(released_sum(), ==, 3);
	g_assert_cmpint(mprotect(page, page_bytes, PROT_READ | PROT_WRITE), ==, 0);
	page[0] = 7;
	g_assert_cmpint(mprotect(page, page_bytes, PROT_READ), ==, 0);
	own_release();
	g_assert_cmpuint(bytes[RELEASED_BYTES / 2], ==, 7);
	g_assert_cmpuint(released_sum(), ==, 10);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/base/walk", test_walk);
	g_test_add_func("/base/file/deaf", test_deaf);
	g_test_add_func("/base/text/terminal", test_terminal);
	g_test_add_func("/base/text/wrap", test_wrap);
	g_test_add_func("/base/text/cut", test_cut);
	g_test_add_func("/base/text/markup", test_markup);
	g_test_add_func("/base/json", test_json);
	g_test_add_func("/base/units", test_units);
	g_test_add_func("/base/file", test_file);
	g_test_add_func("/base/own/release", test_own_release);
	return g_test_run();
}
