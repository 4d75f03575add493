/* SPDX-License-Identifier: Apache-2.0 */
/* What processes and threads did between two looks: threads that end, pids that are used again, who was not there before. */
#include "observe/usage_tasks.h"
#include "tree.h"

struct looks {
	char *root;
	struct registry *registry;
	struct usage_tasks *list;
	struct gauges *changes;
};

static void looks_init(struct looks *looks)
{
	g_autoptr(GError) error = NULL;

	looks->root = tree_new();
	tree_machine(looks->root, TREE_MODE_V2);
	looks->registry = registry_new(looks->root, &error);
	g_assert_no_error(error);
	looks->list = usage_tasks_new(looks->registry, NULL);
	looks->changes = gauges_new();
}

static void looks_clear(struct looks *looks)
{
	gauges_free(looks->changes);
	usage_tasks_free(looks->list);
	registry_free(looks->registry);
	tree_remove(looks->root);
	g_free(looks->root);
}

static void look(struct looks *looks, gboolean threads, const struct tasks_record *records, guint count)
{
	usage_tasks_begin(looks->list, 0, threads, looks->changes);
	for (guint i = 0; i < count; i++)
		usage_tasks_take(looks->list, &records[i]);
	usage_tasks_end(looks->list);
}

#define LOOK(looks, threads, ...)                                                                                      \
	look(looks, threads, (const struct tasks_record[]){ __VA_ARGS__ },                                             \
	     sizeof((const struct tasks_record[]){ __VA_ARGS__ }) / sizeof(struct tasks_record))
#define THREAD(process, thread, start, ...)                                                                            \
	{                                                                                                              \
		.tgid = (process), .tid = (thread), .start_ns = (start), .cgroup_key = 1, __VA_ARGS__                  \
	}

/* -1: not known, or no such row. */
static gint64 change(const struct looks *looks, enum gauge_resource resource, guint64 key, enum gauge gauge)
{
	for (guint32 i = 0; i < looks->changes->rows->len; i++) {
		const struct gauge_row *row = gauges_row(looks->changes, i);
		guint64 value;

		if (row->resource == resource && row->key == key)
			return gauge_get(row, gauge, &value) ? (gint64)value : -1;
	}
	return -1;
}

static gint64 cpu_of(const struct looks *looks, guint64 tgid)
{
	return change(looks, GAUGE_RESOURCE_PROCESS, tgid, GAUGE_CPU);
}

/* CPU time of threads that ended is kept by the kernel: none of it is missing, none counts twice. Run delay is not. */
static void test_threads_end(void)
{
	struct looks looks;

	looks_init(&looks);
	LOOK(&looks, FALSE, THREAD(7, 7, 1, .cpu_ns = 100, .run_delay_ns = 10),
	     THREAD(7, 8, 1, .cpu_ns = 1000, .run_delay_ns = 500));
	g_assert_cmpint(cpu_of(&looks, 7), ==, -1); /* nothing is known of before */
	LOOK(&looks, FALSE, THREAD(7, 7, 1, .cpu_ns = 130, .run_delay_ns = 11),
	     THREAD(7, 8, 1, .cpu_ns = 1004, .run_delay_ns = 502));
	g_assert_cmpint(cpu_of(&looks, 7), ==, 34);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_PROCESS, 7, GAUGE_RUNQUEUE_WAIT), ==, 3);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_PROCESS, 7, GAUGE_THREADS), ==, 2);
	LOOK(&looks, FALSE, THREAD(7, 7, 1, .cpu_ns = 130, .run_delay_ns = 11, .ended_cpu_ns = 1009));
	g_assert_cmpint(cpu_of(&looks, 7), ==, 5);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_PROCESS, 7, GAUGE_RUNQUEUE_WAIT), ==, 0);
	LOOK(&looks, FALSE, THREAD(7, 7, 1, .cpu_ns = 130, .run_delay_ns = 11, .ended_cpu_ns = 1009),
	     THREAD(7, 9, 1, .cpu_ns = 50, .run_delay_ns = 40)); /* born in between */
	g_assert_cmpint(cpu_of(&looks, 7), ==, 50);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_PROCESS, 7, GAUGE_RUNQUEUE_WAIT), ==, 40);
	looks_clear(&looks);
}

static void test_numbers_used_again(void)
{
	struct looks looks;

	looks_init(&looks);
	LOOK(&looks, FALSE, THREAD(7, 7, 1, .cpu_ns = 100), THREAD(20, 20, 1, .cpu_ns = 5));
	LOOK(&looks, FALSE, THREAD(7, 7, 2, .cpu_ns = 130), THREAD(20, 20, 1, .cpu_ns = 6));
	g_assert_cmpint(cpu_of(&looks, 7), ==, 130); /* another process, all of it new */
	g_assert_cmpint(cpu_of(&looks, 20), ==, 1);
	LOOK(&looks, FALSE, THREAD(20, 20, 1, .cpu_ns = 6));
	g_assert_cmpuint(looks.changes->rows->len, ==, 1);
	LOOK(&looks, FALSE, THREAD(7, 7, 2, .cpu_ns = 131), THREAD(20, 20, 1, .cpu_ns = 8, .state = 'Z'));
	g_assert_cmpint(cpu_of(&looks, 7), ==, 131); /* what was known of it was forgotten while it was not there */
	g_assert_cmpuint(looks.changes->rows->len, ==, 1); /* of one that ended nothing is told */
	usage_tasks_forget(looks.list);
	LOOK(&looks, FALSE, THREAD(7, 7, 2, .cpu_ns = 140));
	g_assert_cmpint(cpu_of(&looks, 7), ==, -1);
	looks_clear(&looks);
}

static void test_threads(void)
{
	struct looks looks;

	looks_init(&looks);
	LOOK(&looks, TRUE, THREAD(7, 7, 1, .cpu_ns = 100), THREAD(7, 8, 1, .cpu_ns = 1000),
	     THREAD(9, 9, 1, .cpu_ns = 1));
	LOOK(&looks, TRUE, THREAD(7, 7, 1, .cpu_ns = 101), THREAD(7, 8, 1, .cpu_ns = 1020),
	     THREAD(9, 9, 1, .cpu_ns = 4, .read_bytes = TASKS_UNKNOWN));
	g_assert_cmpuint(looks.changes->rows->len, ==, 5);
	g_assert_cmpint(cpu_of(&looks, 7), ==, 21);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_THREAD, 7, GAUGE_CPU), ==, 1);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_THREAD, 8, GAUGE_CPU), ==, 20);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_THREAD, 9, GAUGE_CPU), ==, 3);
	g_assert_cmpint(change(&looks, GAUGE_RESOURCE_THREAD, 9, GAUGE_IO_READ_BYTES), ==, -1);
	for (guint32 i = 0; i < looks.changes->rows->len; i++) {
		const struct gauge_row *row = gauges_row(looks.changes, i);

		if (row->resource == GAUGE_RESOURCE_THREAD)
			g_assert_cmpuint(gauges_row(looks.changes, row->parent)->key, ==, row->key == 9 ? 9 : 7);
	}
	looks_clear(&looks);
}

/* The host's own processes are those of no container, whichever cgroup they are in. */
static void test_of_the_host(void)
{
	static const char unit[] = "/system.slice/sshd.service";
	static const char held[] = "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	const struct tree_process processes[] = {
		{ .pid = 20, .ppid = 1, .comm = "sshd", .v2 = unit },
		{ .pid = 30, .ppid = 1, .comm = "web", .v2 = held, .contained = TRUE, .inner = 1 },
	};
	g_autoptr(GPtrArray) wanted = g_ptr_array_new();
	guint64 keys[G_N_ELEMENTS(processes)];
	struct looks looks;

	looks_init(&looks);
	for (guint i = 0; i < G_N_ELEMENTS(processes); i++) {
		g_autofree char *path = g_strconcat(tree_v2(TREE_MODE_V2), processes[i].v2, NULL);

		tree_process(looks.root, TREE_MODE_V2, &processes[i]);
		keys[i] = tree_inode(looks.root, path);
	}
	registry_refresh(looks.registry, NULL);
	g_assert_true(container_is_container(registry_by_cgroup(looks.registry, keys[1])));
	g_assert_cmpint(registry_by_cgroup(looks.registry, keys[0])->runtime, !=, RUNTIME_HOST);
	usage_tasks_free(looks.list);
	g_ptr_array_add(wanted, (gpointer)registry_host(looks.registry));
	looks.list = usage_tasks_new(looks.registry, wanted);
	usage_tasks_begin(looks.list, 0, FALSE, looks.changes);
	for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
		usage_tasks_take(looks.list, &(struct tasks_record){ .tgid = processes[i].pid,
								     .tid = processes[i].pid,
								     .start_ns = 1,
								     .cgroup_key = keys[i] });
	usage_tasks_end(looks.list);
	g_assert_cmpuint(looks.changes->rows->len, ==, 1);
	g_assert_cmpuint(gauges_row(looks.changes, 0)->key, ==, 20);
	looks_clear(&looks);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/usage_tasks/threads-end", test_threads_end);
	g_test_add_func("/usage_tasks/numbers-used-again", test_numbers_used_again);
	g_test_add_func("/usage_tasks/threads", test_threads);
	g_test_add_func("/usage_tasks/of-the-host", test_of_the_host);
	return g_test_run();
}
