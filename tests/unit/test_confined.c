/* SPDX-License-Identifier: Apache-2.0 */
/* A confined child that hangs, crashes, floods, opens or maps files ends; the parent has what it said until then. And what a
 * Java virtual machine answers, damaged or not. */
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "symbol/confined.h"
#include "symbol/hotspot.h"

#define LONG_NS (20 * NS_PER_S) /* never reached when all is well */

static int say_ok(void *user G_GNUC_UNUSED, int out)
{
	return confined_write(out, "ok", 2) ? 0 : 1;
}

static int say_and_hang(void *user G_GNUC_UNUSED, int out)
{
	confined_write(out, "before", 6);
	for (volatile guint64 i = 0;; i++)
		;
	return 0;
}

/* The pipe's end is not the process's. */
static int close_and_spin(void *user G_GNUC_UNUSED, int out)
{
	close(out);
	for (volatile guint64 i = 0;; i++)
		;
	return 0;
}

/* Not among the system calls of a parser. */
static int wait_for_signal(void *user G_GNUC_UNUSED, int out G_GNUC_UNUSED)
{
	pause();
	return 0;
}

static int crash(void *user G_GNUC_UNUSED, int out)
{
	confined_write(out, "before", 6);
	raise(SIGSEGV);
	return 0;
}

static int fail(void *user G_GNUC_UNUSED, int out G_GNUC_UNUSED)
{
	return 7;
}

static int flood(void *user G_GNUC_UNUSED, int out)
{
	char chunk[4096];

	memset(chunk, 'x', sizeof(chunk));
	while (confined_write(out, chunk, sizeof(chunk)))
		;
	return 0;
}

static int eat(void *user G_GNUC_UNUSED, int out)
{
	gsize size = 0;
	char *block;

	while ((block = malloc(1 << 20)) != NULL) {
		memset(block, 1, 1 << 20);
		size += 1 << 20;
	}
	return confined_write(out, &size, sizeof(size)) ? 0 : 1;
}

static int compare_words(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(guint32));
}

/* A large array makes the C library ask the kernel things. */
static int sort(void *user G_GNUC_UNUSED, int out)
{
	gsize count = 1 << 20;
	guint32 *words = g_new(guint32, count);

	for (gsize i = 0; i < count; i++)
		words[i] = (guint32)(i * 2654435761U);
	qsort(words, count, sizeof(*words), compare_words);
	return confined_write(out, "ok", 2) ? 0 : 1;
}

static int open_file(void *user G_GNUC_UNUSED, int out)
{
	int fd = open("/etc/passwd", O_RDONLY);

	return fd < 0 && confined_write(out, "no", 2) ? 0 : 1;
}

static int read_and_map(void *user, int out)
{
	int fd = *(int *)user;
	char first = 0;
	void *mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	if (pread(fd, &first, 1, 0) != 1 || mapped != MAP_FAILED)
		return 1;
	return confined_write(out, &first, 1) ? 0 : 1;
}

static int count_fds(void *user G_GNUC_UNUSED, int out)
{
	guint open_fds = 0;

	for (int fd = 0; fd < 256; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	return confined_write(out, &open_fds, sizeof(open_fds)) ? 0 : 1;
}

struct run {
	const char *name;
	int (*work)(void *user, int out);
	guint64 time_max_ns;
	int code; /* enum confined_error; 0: it works */
	const char *answer; /* NULL: any */
};

static void test_run(gconstpointer data)
{
	const struct run *run = data;
	struct confined_job job = {
		.work = run->work,
		.parse_only = TRUE,
		.answer_max = 64 << 10,
		.time_max_ns = run->time_max_ns,
	};
	g_autoptr(GError) error = NULL;
	struct confined child;
	gboolean ok;

	g_assert_true(confined_start(&child, &job, &error));
	ok = confined_finish(&child, &error);
	if (run->code == 0)
		g_assert_no_error(error);
	else
		g_assert_error(error, CONFINED_ERROR, run->code);
	g_assert_cmpint(ok, ==, run->code == 0);
	if (run->answer)
		g_assert_cmpmem(child.answer->data, child.answer->len, run->answer, strlen(run->answer));
	g_assert_cmpuint(child.answer->len, <=, job.answer_max);
	confined_clear(&child);
}

static void test_memory(void)
{
	struct confined_job job = {
		.work = eat, .parse_only = TRUE, .memory_max = 256 << 20, .answer_max = 64, .time_max_ns = LONG_NS
	};
	struct confined child;
	gsize size;

	g_assert_true(confined_start(&child, &job, NULL));
	g_assert_true(confined_finish(&child, NULL));
	g_assert_cmpuint(child.answer->len, ==, sizeof(size));
	memcpy(&size, child.answer->data, sizeof(size));
	g_assert_cmpuint(size, <, job.memory_max);
	confined_clear(&child);
}

/* A file is read through its descriptor, and not mapped: it could be cut short. */
static void test_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct confined_job job = { .work = read_and_map,
				    .user = &fd,
				    .fds = { fd },
				    .fd_count = 1,
				    .parse_only = TRUE,
				    .answer_max = 64,
				    .time_max_ns = LONG_NS };
	g_autoptr(GError) error = NULL;
	struct confined child;

	if (geteuid() != 0) {
		g_test_skip("needs root to give up its identity");
		close(fd);
		return;
	}
	g_assert_true(confined_start(&child, &job, NULL));
	g_assert_true(confined_finish(&child, &error));
	g_assert_no_error(error);
	g_assert_cmpmem(child.answer->data, child.answer->len, "\177", 1);
	confined_clear(&child);
	close(fd);
}

static void test_descriptors(void)
{
	int secret = open("/dev/null", O_RDONLY), far_secret = fcntl(secret, F_DUPFD, 200);
	struct confined_job job = { .work = count_fds, .parse_only = TRUE, .answer_max = 64, .time_max_ns = LONG_NS };
	struct confined child;
	guint open_fds;

	g_assert_true(confined_start(&child, &job, NULL));
	g_assert_true(confined_finish(&child, NULL));
	g_assert_cmpuint(child.answer->len, ==, sizeof(open_fds));
	memcpy(&open_fds, child.answer->data, sizeof(open_fds));
	g_assert_cmpuint(open_fds, ==, 2); /* the pipe, and stderr */
	confined_clear(&child);
	close(far_secret);
	close(secret);
}

static void test_clear(void)
{
	struct confined_job job = { .work = say_and_hang, .answer_max = 64, .time_max_ns = LONG_NS };
	guint64 before_ns = clock_monotonic_ns();
	struct confined child;
	pid_t pid;

	g_assert_true(confined_start(&child, &job, NULL));
	pid = child.pid;
	confined_clear(&child);
	g_assert_cmpint(kill(pid, 0), ==, -1);
	g_assert_cmpuint(clock_monotonic_ns() - before_ns, <, LONG_NS);
}

static void test_reply(void)
{
	static const struct {
		const char *reply;
		gsize length;
		int code;
	} cases[] = {
		{ "0\n", 2, 0 },
		{ "0\nsome text", 11, 0 },
		{ "1\njava.lang.IllegalArgumentException: Unknown diagnostic command\n", 66,
		  HOTSPOT_ERROR_UNKNOWN_COMMAND },
		{ "1\nno\033[2Jway", 10, HOTSPOT_ERROR_FAILED },
		{ "00\n", 3, HOTSPOT_ERROR_FAILED },
		{ "", 0, HOTSPOT_ERROR_FAILED },
		{ "\n", 1, HOTSPOT_ERROR_FAILED },
		{ "0", 1, HOTSPOT_ERROR_FAILED },
		{ "\0\0\0", 3, HOTSPOT_ERROR_FAILED },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		char *exact = g_memdup2(cases[i].reply,
					MAX(cases[i].length, 1)); /* so that a sanitizer sees one byte too far */
		gboolean ok = hotspot_reply_parse(exact, cases[i].length, &error);

		g_assert_cmpint(ok, ==, cases[i].code == 0);
		g_assert_cmpint(error ? error->code : 0, ==, cases[i].code);
		g_free(exact);
	}
}

static void test_handles_quit(void)
{
	g_assert_true(hotspot_handles_quit("Name:\tjava\nSigCgt:\t2000000181005ccf\nNSpid:\t9\n"));
	g_assert_false(hotspot_handles_quit("Name:\tjava\nSigCgt:\t2000000181005ccb\nNSpid:\t9\n")); /* -Xrs */
	g_assert_false(hotspot_handles_quit("Name:\tjava\nSigCgt:\t\n"));
	g_assert_false(hotspot_handles_quit("Name:\tSigCgt:\tffffffffffffffff\n"));
	g_assert_false(hotspot_handles_quit(""));
}

int main(int argc, char **argv)
{
	static const struct run runs[] = {
		{ "ends", say_ok, LONG_NS, 0, "ok" },
		{ "sorts", sort, LONG_NS, 0, "ok" },
		{ "hangs", say_and_hang, 200 * NS_PER_MS, CONFINED_ERROR_TIME, "before" },
		{ "spins", close_and_spin, 200 * NS_PER_MS, CONFINED_ERROR_DIED, "" },
		{ "crashes", crash, LONG_NS, CONFINED_ERROR_DIED, "before" },
		{ "fails", fail, LONG_NS, CONFINED_ERROR_DIED, "" },
		{ "floods", flood, LONG_NS, CONFINED_ERROR_SIZE, NULL },
		{ "opens-a-file", open_file, LONG_NS, 0, "no" },
		{ "waits", wait_for_signal, LONG_NS, CONFINED_ERROR_DIED, "" },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(runs); i++) {
		g_autofree char *path = g_strdup_printf("/confined/%s", runs[i].name);

		g_test_add_data_func(path, &runs[i], test_run);
	}
	g_test_add_func("/confined/memory", test_memory);
	g_test_add_func("/confined/file", test_file);
	g_test_add_func("/confined/descriptors", test_descriptors);
	g_test_add_func("/confined/clear", test_clear);
	g_test_add_func("/hotspot/reply", test_reply);
	g_test_add_func("/hotspot/handles-quit", test_handles_quit);
	return g_test_run();
}
