/* SPDX-License-Identifier: Apache-2.0 */
/* serve/changes.c: readings in, what changed out; serve/guard.c: who may ask; serve/replay.c: which readings of a long capture are kept. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/units.h"
#include "observe/look_kept.h"
#include "serve/budget.h"
#include "serve/changes.h"
#include "serve/guard.h"
#include "serve/programs.h"
#include "serve/replay.h"
#include "serve/sampler.h"
#include "store/capture.h"

#define NOW_NS (G_GUINT64_CONSTANT(1700000000) * NS_PER_S)

struct told {
	struct changes *changes;
	GString *text; /* "kind name [change|image]; …" of the last reading */
	guint64 last_ns;
};

static void tell(void *user, const struct event *event)
{
	struct told *told = user;
	const struct event_field *field = event_find(event, "change");
	const struct event_field *before = event_find(event, "image_before");

	g_string_append_printf(told->text, "%s %s", event->kind, event->container);
	if (field)
		g_string_append_printf(told->text, " %s", field->text);
	if (before)
		g_string_append_printf(told->text, " %s>%s", before->text, event_find(event, "image")->text);
	g_string_append(told->text, "; ");
	told->last_ns = event->realtime_ns;
}

struct one {
	guint64 key, birth_ns;
	const char *name, *id, *image, *pod;
	guint64 cores, bytes; /* limits; 0: none */
};

static const char *take(struct told *told, const struct one *all, guint count)
{
	g_autoptr(gauges_t) readings = gauges_new();

	for (guint i = 0; i < count; i++) {
		const struct one *one = &all[i];
		struct gauge_row *row =
			gauges_add(readings, GAUGE_RESOURCE_CONTAINER, one->key, one->birth_ns, one->name);

		gauges_set_text(readings, row, GAUGE_TEXT_ID, one->id);
		gauges_set_text(readings, row, GAUGE_TEXT_IMAGE, one->image);
		gauges_set_text(readings, row, GAUGE_TEXT_POD, one->pod);
		gauge_set(row, GAUGE_CPU, 1);
		gauge_set(row, GAUGE_MEMORY, 1);
		gauge_set(row, GAUGE_STARTED, NOW_NS - 2 * NS_PER_S);
		if (one->cores)
			gauge_set(row, GAUGE_CPU_LIMIT, one->cores);
		if (one->bytes)
			gauge_set(row, GAUGE_MEMORY_LIMIT, one->bytes);
	}
	g_string_truncate(told->text, 0);
	changes_take(told->changes, readings, NOW_NS, tell, told);
	return told->text->str;
}

static struct told told_new(void)
{
	return (struct told){ .changes = changes_new(), .text = g_string_new(NULL) };
}

static void told_clear(struct told *told)
{
	changes_free(told->changes);
	g_string_free(told->text, TRUE);
}

static void test_limits(void)
{
	struct told told = told_new();
	struct one web = { 7, 1, "web", "aaaaaaaaaaaaaaaa", "nginx", NULL, 500000000, 0 };

	g_assert_cmpstr(take(&told, &web, 1), ==, ""); /* who is there is no news */
	g_assert_cmpstr(take(&told, &web, 1), ==, "");
	web.cores = 1500000000;
	web.bytes = 64 << 20;
	g_assert_cmpstr(take(&told, &web, 1), ==,
			"limit web CPU limit 0.5 cores → 1.5 cores; limit web memory limit none → 64.0 MiB; ");
	web.cores = 0;
	g_assert_cmpstr(take(&told, &web, 1), ==, "limit web CPU limit 1.5 cores → none; ");
	g_assert_cmpstr(take(&told, &web, 1), ==, "");
	told_clear(&told);
}

static void test_lives(void)
{
	struct told told = told_new();
	struct one web = { 7, 1, "web", "aaaaaaaaaaaaaaaa", "nginx:1", NULL, 0, 0 };

	take(&told, NULL, 0);
	g_assert_cmpstr(take(&told, &web, 1), ==, "start web; ");
	g_assert_cmpuint(told.last_ns, ==, NOW_NS - 2 * NS_PER_S); /* its birth */
	g_assert_cmpstr(take(&told, NULL, 0), ==, "stop web; ");
	web.key = 8;
	g_assert_cmpstr(take(&told, &web, 1), ==, "restart web; ");
	web.key = 9; /* between two readings */
	web.id = "bbbbbbbbbbbbbbbb";
	g_assert_cmpstr(take(&told, &web, 1), ==, "stop web; deploy web; ");
	web.key = 10;
	web.image = "nginx:2";
	g_assert_cmpstr(take(&told, &web, 1), ==, "stop web; deploy web nginx:1>nginx:2; ");
	told_clear(&told);
}

static void test_pod(void)
{
	struct told told = told_new();
	struct one app = { 7, 1, "app", "aaaaaaaaaaaaaaaa", "app:1", "shop/app-x", 0, 0 };

	take(&told, &app, 1);
	app.key = 8;
	app.id = "bbbbbbbbbbbbbbbb";
	g_assert_cmpstr(take(&told, &app, 1), ==, "stop app; restart app; ");
	app.key = 9;
	app.image = "app:2";
	g_assert_cmpstr(take(&told, &app, 1), ==, "stop app; deploy app app:1>app:2; ");
	told_clear(&told);
}

/* A name that comes late is waited for, but not for ever; limits set meanwhile are no change. */
static void test_late_name(void)
{
	struct told told = told_new();
	struct one job = { 7, 1, "aaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", NULL, NULL, 0, 0 };

	take(&told, NULL, 0);
	g_assert_cmpstr(take(&told, &job, 1), ==, "");
	job.bytes = 64 << 20;
	g_assert_cmpstr(take(&told, &job, 1), ==, "");
	job.name = "job";
	g_assert_cmpstr(take(&told, &job, 1), ==, "start job; ");
	job = (struct one){ 8, 1, "cccccccccccc", "cccccccccccccccc", NULL, NULL, 0, 0 };
	g_assert_cmpstr(take(&told, &job, 1), ==, "stop job; ");
	for (guint i = 2; i < CHANGES_NAME_READINGS; i++)
		g_assert_cmpstr(take(&told, &job, 1), ==, "");
	g_assert_cmpstr(take(&told, &job, 1), ==, "start cccccccccccc; ");
	told_clear(&told);
}

/* ---- readings of the machine in a capture ---- */

static void append(struct capture_writer *writer, gint64 time_ms, struct snapshot *snapshot)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(capture_append_snapshot(writer, time_ms, snapshot, &error));
	g_assert_no_error(error);
	snapshot_free(snapshot);
}

/* A reading a second, and one interval so that there is something to show. */
static void capture_readings(const char *path, guint count)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(census_t) census = census_read("/");
	struct capture_writer *writer = capture_create(path, &error);
	struct snapshot *interval = snapshot_new(NULL);

	g_assert_no_error(error);
	interval->duration_ns = NS_PER_S;
	g_ptr_array_add(interval->shapes, shape_new(SHAPE_GAUGES, "gauges", UNIT_COUNT));
	append(writer, NOW_NS / NS_PER_MS, interval);
	for (guint i = 0; i < count; i++)
		append(writer, (NOW_NS + i * NS_PER_S) / NS_PER_MS, look_keep_snapshot(NOW_NS + i * NS_PER_S, census));
	g_assert_true(capture_close(writer, &error));
	g_assert_no_error(error);
}

/* However many there are: no more than are allowed, equally far apart, from the first on. */
static void test_readings(void)
{
	static const struct {
		guint written, kept, apart_s;
	} cases[] = {
		{ 5, 5, 1 },
		{ REPLAY_READINGS_MAX - 1, REPLAY_READINGS_MAX - 1, 1 },
		{ REPLAY_READINGS_MAX, REPLAY_READINGS_MAX / 2, 2 },
		{ 5 * REPLAY_READINGS_MAX, 5 * REPLAY_READINGS_MAX / 8, 8 },
	};
	g_autofree char *directory = g_dir_make_tmp("fathom-replay-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "long.fathom", NULL);

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct history *history = history_new(NULL);
		struct reel *reel = reel_new(NULL, REEL_SECONDS), *stacks = reel_new(NULL, REEL_STACKS);
		struct live *live = live_new_replay(history, reel);
		g_autoptr(GError) error = NULL;
		struct replay *replay;

		capture_readings(path, cases[i].written);
		replay = replay_load(path, 0, G_MAXINT64, live, stacks, &error);
		g_assert_no_error(error);
		g_assert_cmpuint(replay->readings->len, ==, cases[i].kept);
		for (guint k = 0; k < replay->readings->len; k++)
			g_assert_cmpint(g_array_index(replay->readings, struct replay_reading, k).time_ms, ==,
					NOW_NS / NS_PER_MS + k * cases[i].apart_s * 1000);
		g_assert_cmpint(replay_reading(replay, NOW_NS / NS_PER_MS)->time_ms, ==, NOW_NS / NS_PER_MS);
		replay_free(replay);
		live_free(live);
		reel_free(stacks);
		reel_free(reel);
		history_free(history);
		g_unlink(path);
	}
	g_rmdir(directory);
}

/* However many end: the latest are remembered, and no more than there is room for. */
static void test_many_ends(void)
{
	struct told told = told_new();
	struct one one = { .image = "image" };

	take(&told, NULL, 0);
	for (guint i = 1; i <= 3 * CHANGES_NAMES_MAX; i++) {
		g_autofree char *name = g_strdup_printf("brief%u", i), *id = g_strdup_printf("%u-an-id", i);

		one.key = i;
		one.name = name;
		one.id = id;
		take(&told, &one, 1);
		take(&told, NULL, 0);
		g_assert_cmpuint(changes_remembered(told.changes), <=, CHANGES_NAMES_MAX);
		if (i <= CHANGES_NAMES_MAX / 8)
			continue;
		one.key = G_MAXUINT32 + (guint64)i; /* who ended a while before comes back */
		one.name = g_strdup_printf("brief%u", i - CHANGES_NAMES_MAX / 8);
		one.id = g_strdup_printf("%u-an-id", i - CHANGES_NAMES_MAX / 8);
		g_assert_true(g_str_has_prefix(take(&told, &one, 1), "restart "));
		take(&told, NULL, 0);
		g_free((char *)one.name);
		g_free((char *)one.id);
	}
	told_clear(&told);
}

/* ---- who may ask ---- */

static void test_token(void)
{
	g_autofree char *token = guard_token_new(NULL), *other = guard_token_new(NULL);
	g_autofree char *longer = g_strconcat(token, "x", NULL), *password = guard_basic("Basic YW55Ym9keTpzZWNyZXQ=");

	g_assert_cmpuint(strlen(token), ==, GUARD_TOKEN_CHARACTERS);
	g_assert_cmpstr(token, !=, other);
	g_assert_true(guard_token_equal(token, token));
	g_assert_false(guard_token_equal(longer, token));
	g_assert_false(guard_token_equal(other, token));
	g_assert_false(guard_token_equal("", ""));
	g_assert_false(guard_token_equal(NULL, NULL));
	g_assert_false(guard_token_equal("x", NULL));
	g_assert_cmpstr(guard_bearer("bEaReR  secret"), ==, "secret");
	g_assert_null(guard_bearer("Bearer "));
	g_assert_null(guard_bearer("Basic secret"));
	g_assert_null(guard_bearer(NULL));
	g_assert_cmpstr(password, ==, "secret");
	g_assert_null(guard_basic("Basic YW55Ym9keTo=")); /* nothing behind the colon */
	g_assert_null(guard_basic("Basic !"));
	g_assert_null(guard_basic("Bearer secret"));
}

static void test_host(void)
{
	static const char *const more[] = { "node7.example", NULL };
	static const char *const ours[] = { "127.0.0.1",   "127.0.0.1:7070", "localhost",
					    "LOCALHOST:1", "[::1]",	     "[::1]:7070" };
	static const char *const others[] = { "",
					      "evil.example",
					      "127.0.0.1.evil.example",
					      "localhost.evil:7070",
					      "127.0.0.2",
					      "0.0.0.0",
					      "[::1",
					      "[::1].evil",
					      "[::2]:7070",
					      "node7.example",
					      "::1" };

	for (guint i = 0; i < G_N_ELEMENTS(ours); i++)
		g_assert_true(guard_host(ours[i], NULL));
	for (guint i = 0; i < G_N_ELEMENTS(others); i++)
		g_assert_cmpint(guard_host(others[i], NULL) ? i : 99, ==, 99);
	g_assert_true(guard_host("node7.example:7070", more));
	g_assert_false(guard_host("node7.example.evil", more));
	g_assert_false(guard_host(NULL, more));
}

static void test_origin(void)
{
	g_assert_true(guard_origin(NULL, "127.0.0.1:7070"));
	g_assert_true(guard_origin("http://127.0.0.1:7070", "127.0.0.1:7070"));
	g_assert_false(guard_origin("http://127.0.0.1:7071", "127.0.0.1:7070"));
	g_assert_false(guard_origin("http://evil.example", "127.0.0.1:7070"));
	g_assert_false(guard_origin("null", "127.0.0.1:7070"));
	g_assert_false(guard_origin("", "127.0.0.1:7070"));
	g_assert_false(guard_origin("http://127.0.0.1:7070", NULL));
}

/* Soon at first, never less patient, an hour at most. */
static void test_retry_waits(void)
{
	guint64 before_ns = 0;

	g_assert_cmpuint(budget_retry_wait_ns(0), ==, BUDGET_RETRY_FIRST_NS);
	for (guint attempts = 0; attempts < 100; attempts++) {
		guint64 wait_ns = budget_retry_wait_ns(attempts);

		g_assert_cmpuint(wait_ns, <=, BUDGET_RETRY_LAST_NS);
		g_assert_true(wait_ns > before_ns || wait_ns == BUDGET_RETRY_LAST_NS);
		before_ns = wait_ns;
	}
	g_assert_cmpuint(budget_retry_wait_ns(G_MAXUINT), ==, BUDGET_RETRY_LAST_NS);
}

/* Windows of stacks of blocked threads: how long, and how often. */
static void test_sampler(void)
{
	const guint64 longest_ns = 10 * NS_PER_S;
	guint64 few, many, length_ns;

	/* Nobody is switched, and next to nobody: all of it. The more, the shorter, down to a bound; more CPUs bear more. */
	g_assert_cmpuint(sampler_length_ns(longest_ns, 0, 2), ==, longest_ns);
	g_assert_cmpuint(sampler_length_ns(longest_ns, 1000, 2), ==, longest_ns);
	length_ns = sampler_length_ns(longest_ns, 200000, 2);
	g_assert_cmpuint(length_ns, >, NS_PER_S);
	g_assert_cmpuint(length_ns, <, 5 * NS_PER_S);
	g_assert_cmpuint(sampler_length_ns(longest_ns, 400000, 4), ==, length_ns);
	g_assert_cmpuint(sampler_length_ns(longest_ns, 1000000000, 2), ==, 300 * NS_PER_MS);
	g_assert_cmpuint(sampler_length_ns(100 * NS_PER_MS, 1000000000, 2), ==, 100 * NS_PER_MS);
	/* What is cold is dear, and of a flood little is; the rate counts, not the number. */
	few = sampler_kernel_ns(1000, NS_PER_S, 1);
	many = sampler_kernel_ns(1000000, NS_PER_S, 1);
	g_assert_cmpuint(few, >, 1000 * 1000);
	g_assert_cmpuint(many, >, few);
	g_assert_cmpuint(many, <, 1000 * few / 5);
	g_assert_cmpuint(sampler_kernel_ns(10000, 10 * NS_PER_S, 1), ==, 10 * few);
	/* The share holds whatever a window takes: 0.2 s at a thousandth of a core is one in 200 s. */
	g_assert_cmpuint(sampler_period_ns(NS_PER_S / 5, 0, 2, 0.001), ==, 200 * NS_PER_S);
	g_assert_cmpuint(sampler_period_ns(NS_PER_S / 5, NS_PER_S / 5, 2, 0.001), ==, 300 * NS_PER_S);
	g_assert_cmpuint(sampler_period_ns(NS_PER_S, NS_PER_S, 2, 0), ==, 0);
	/* What is not known of the CPUs is no division by zero. */
	g_assert_cmpuint(sampler_period_ns(NS_PER_S, 0, 0, 1), ==, NS_PER_S);
	g_assert_cmpuint(sampler_length_ns(longest_ns, 0, 0), ==, longest_ns);
}

static void check_statistics(const struct programs *programs, const char *wanted)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, text);
	json_begin_object(&json, NULL);
	programs_write_statistics(&json, programs);
	programs_write(&json, programs, 0);
	json_end_object(&json);
	g_assert_cmpstr(text->str, ==, wanted);
}

/* Whether the kernel counts is known from its file alone, and without programs there is nothing to tell. */
static void test_programs(void)
{
	g_autofree char *root = g_dir_make_tmp("fathom-programs-XXXXXX", NULL);
	g_autofree char *directory = g_build_filename(root, "sys/kernel", NULL);
	g_autofree char *file = g_build_filename(directory, "bpf_stats_enabled", NULL);
	struct programs *programs = programs_new(1, root);

	check_statistics(NULL, "{\"bpf_statistics\":null,\"kernel\":null}");
	check_statistics(programs, "{\"bpf_statistics\":null,\"kernel\":null}");
	programs_tick(programs, 1);
	check_statistics(programs, "{\"bpf_statistics\":null,\"kernel\":null}");
	g_mkdir_with_parents(directory, 0700);
	g_assert_true(g_file_set_contents(file, "0\n", -1, NULL));
	programs_tick(programs, 2);
	check_statistics(programs, "{\"bpf_statistics\":null,\"kernel\":null}"); /* too soon */
	programs_tick(programs, 11 * NS_PER_S);
	check_statistics(programs, "{\"bpf_statistics\":\"off\",\"kernel\":null}");
	g_assert_true(g_file_set_contents(file, "1\n", -1, NULL));
	programs_tick(programs, 22 * NS_PER_S);
	check_statistics(programs, "{\"bpf_statistics\":\"on\",\"kernel\":null}");
	programs_free(programs);
	g_unlink(file);
	g_rmdir(directory);
	directory[strlen(directory) - strlen("/kernel")] = '\0';
	g_rmdir(directory);
	g_rmdir(root);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/serve/changes/limits", test_limits);
	g_test_add_func("/serve/changes/lives", test_lives);
	g_test_add_func("/serve/changes/pod", test_pod);
	g_test_add_func("/serve/programs", test_programs);
	g_test_add_func("/serve/sampler", test_sampler);
	g_test_add_func("/serve/guard/token", test_token);
	g_test_add_func("/serve/guard/host", test_host);
	g_test_add_func("/serve/guard/origin", test_origin);
	g_test_add_func("/serve/changes/many-ends", test_many_ends);
	g_test_add_func("/serve/changes/late-name", test_late_name);
	g_test_add_func("/serve/replay/readings", test_readings);
	g_test_add_func("/serve/retry-waits", test_retry_waits);
	return g_test_run();
}
