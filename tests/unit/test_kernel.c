/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "kernel/cgroupfs.h"
#include "kernel/cgstat.h"
#include "kernel/netdev.h"
#include "kernel/procfs.h"
#include "tree.h"

static void test_stat(void)
{
	static const struct {
		const char *line, *comm;
		gboolean valid;
	} cases[] = {
		{ "42 (nginx) S 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0 0", "nginx", TRUE },
		{ "42 (a) R 1) S 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0 0", "a) R 1", TRUE },
		{ "42 (x\n1 (y) S 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0", "x\n1 (y", TRUE },
		{ "42 (\033[2J\"') S 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0", "\033[2J\"'", TRUE },
		{ "42 () S 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0", "", TRUE },
		{ "42 (nginx) S 7 1 1", "", FALSE },
		{ "42 nginx S 7", "", FALSE },
		{ ")(", "", FALSE },
		{ "", "", FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct procfs_stat stat;

		g_assert_cmpint(procfs_stat_parse(cases[i].line, &stat), ==, cases[i].valid);
		if (!cases[i].valid)
			continue;
		g_assert_cmpstr(stat.comm, ==, cases[i].comm);
		g_assert_cmpuint(stat.pid, ==, 42);
		g_assert_cmpuint(stat.ppid, ==, 7);
		g_assert_cmpint(stat.state, ==, 'S');
		g_assert_cmpuint(stat.threads, ==, 3);
		g_assert_cmpuint(stat.start_ticks, ==, 12345);
	}
}

static void test_stat_long_name(void)
{
	g_autofree char *name = g_strnfill(5000, ')');
	g_autofree char *line = g_strdup_printf("1 (%s) S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 5 0", name);
	struct procfs_stat stat;

	g_assert_true(procfs_stat_parse(line, &stat));
	g_assert_cmpuint(strlen(stat.comm), ==, PROCFS_COMM_MAX - 1);
}

static void test_process(void)
{
	g_autofree char *root = tree_new();
	const char *const arguments[] = { "prog", "--root", "/x y", "", NULL };
	const struct tree_process process = { .pid = 70,
					      .ppid = 1,
					      .inner = 5,
					      .comm = "prog",
					      .v2 = "/a/b",
					      .arguments = arguments,
					      .start_ticks = 300,
					      .uid = 1000,
					      .contained = TRUE };
	struct procfs_status status;
	g_autoptr(GArray) cgroups = NULL;
	g_auto(GStrv) read_back = NULL;

	tree_machine(root, TREE_MODE_HYBRID);
	tree_process(root, TREE_MODE_HYBRID, &process);
	g_assert_true(procfs_status_read(root, 70, &status, NULL));
	g_assert_cmpuint(status.uid, ==, 1000);
	g_assert_cmpuint(status.tgid, ==, 70);
	g_assert_cmpuint(status.levels, ==, 2);
	g_assert_cmpuint(status.inner_pid[0], ==, 70);
	g_assert_cmpuint(status.inner_tgid[1], ==, 5);
	cgroups = procfs_cgroups_read(root, 70, NULL);
	g_assert_cmpuint(cgroups->len, ==, 3);
	g_assert_cmpstr(g_array_index(cgroups, struct procfs_cgroup, 1).controllers, ==, "name=systemd");
	g_assert_cmpstr(g_array_index(cgroups, struct procfs_cgroup, 2).controllers, ==, "");
	g_assert_cmpstr(g_array_index(cgroups, struct procfs_cgroup, 2).path, ==, "/a/b");
	read_back = procfs_arguments_read(root, 70);
	g_assert_true(g_strv_equal((const char *const *)read_back, arguments));
	g_assert_cmpuint(procfs_namespace(root, 70, NAMESPACE_PID), ==, 201);
	g_assert_cmpuint(procfs_namespace(root, 70, NAMESPACE_NET), ==, 0);
	g_assert_cmpuint(procfs_host_namespace(root, NAMESPACE_PID), ==, 101);
	g_assert_cmpuint(procfs_start_realtime_ns(root, 300) / 1000000000, ==,
			 1700000000 + 300 / (guint64)sysconf(_SC_CLK_TCK));
	g_assert_false(procfs_status_read(root, 71, &status, NULL));
	tree_remove(root);
}

static void test_deleted_cgroup(void)
{
	g_autofree char *root = tree_new();
	g_autoptr(GArray) cgroups = NULL;

	tree_file(root, "/proc/9/cgroup", "0::/a:b/c (deleted)\nnonsense\n");
	cgroups = procfs_cgroups_read(root, 9, NULL);
	g_assert_cmpuint(cgroups->len, ==, 1);
	g_assert_true(g_array_index(cgroups, struct procfs_cgroup, 0).deleted);
	g_assert_cmpstr(g_array_index(cgroups, struct procfs_cgroup, 0).path, ==, "/a:b/c");
	tree_remove(root);
}

static void test_modes(void)
{
	static const struct {
		enum tree_mode mode;
		const char *name, *controller;
		gboolean unified;
	} cases[] = {
		{ TREE_MODE_V2, "v2", NULL, TRUE },
		{ TREE_MODE_V1, "v1", "memory", FALSE },
		{ TREE_MODE_HYBRID, "hybrid", "memory", TRUE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *root = tree_new();
		struct cgroupfs *cgroupfs;

		tree_machine(root, cases[i].mode);
		cgroupfs = cgroupfs_open(root, NULL);
		g_assert_nonnull(cgroupfs);
		g_assert_cmpstr(cgroupfs_mode(cgroupfs), ==, cases[i].name);
		g_assert_cmpstr(cgroupfs_v1_controller(cgroupfs), ==, cases[i].controller);
		g_assert_cmpint(cgroupfs->unified != NULL, ==, cases[i].unified);
		if (cases[i].mode == TREE_MODE_V1)
			g_assert_cmpstr(cgroupfs_find(cgroupfs, "cpuacct")->controllers, ==, "cpu,cpuacct");
		if (cases[i].mode == TREE_MODE_HYBRID)
			g_assert_cmpstr(cgroupfs_find(cgroupfs, "name=systemd")->controllers, ==, "name=systemd");
		cgroupfs_free(cgroupfs);
		tree_remove(root);
	}
}

static void test_no_cgroups(void)
{
	g_autofree char *root = tree_new();
	g_autoptr(GError) error = NULL;

	tree_file(root, "/proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\nbroken line\n- - -\n");
	g_assert_null(cgroupfs_open(root, &error));
	g_assert_nonnull(strstr(error->message, "no cgroup file system"));
	tree_remove(root);
}

static void count_visit(const struct cgroup_seen *seen, gpointer data)
{
	g_hash_table_insert(data, g_strdup(seen->path), GUINT_TO_POINTER((guint)seen->inode));
}

static void test_walk(void)
{
	g_autofree char *root = tree_new();
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	struct cgroup_seen one;
	struct cgroupfs *cgroupfs;

	/* A mount of a part, and a space in its place: what a container may see. */
	tree_file(root, "/proc/self/mountinfo", "31 23 0:28 /docker/x /sys/fs/c\\040g rw - cgroup2 cgroup2 rw\n");
	tree_file(root, "/sys/fs/c g/cgroup.procs", "0\n12\n");
	tree_file(root, "/sys/fs/c g/a/b/cgroup.procs", "13\n14\n");
	tree_link(root, "/sys/fs/c g/loop", ".");
	cgroupfs = cgroupfs_open(root, NULL);
	g_assert_true(cgroup_hierarchy_walk(cgroupfs->unified, count_visit, seen, NULL));
	g_assert_cmpuint(g_hash_table_size(seen), ==, 3);
	g_assert_true(g_hash_table_contains(seen, "/docker/x"));
	g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(seen, "/docker/x/a/b")), ==,
			 (guint)tree_inode(root, "/sys/fs/c g/a/b"));
	g_assert_true(cgroup_hierarchy_look(cgroupfs->unified, "/docker/x/a", &one));
	g_assert_false(cgroup_hierarchy_look(cgroupfs->unified, "/docker/y", &one));
	g_assert_false(cgroup_hierarchy_look(cgroupfs->unified, "/docker/x/../x/a", &one));
	g_assert_true(cgroup_hierarchy_pids(cgroupfs->unified, "/docker/x", FALSE, pids));
	g_assert_cmpuint(pids->len, ==, 1); /* 0 is a process we cannot see */
	g_assert_true(cgroup_hierarchy_pids(cgroupfs->unified, "/docker/x", TRUE, pids));
	g_assert_cmpuint(pids->len, ==, 4);
	cgroupfs_free(cgroupfs);
	tree_remove(root);
}

/* On the machine at hand: the inode of a cgroup leads back to its path, the key of ours to ourselves. */
static void test_handle(void)
{
	struct cgroupfs *cgroupfs = cgroupfs_open("/", NULL);
	g_autofree char *path = NULL;
	struct cgroup_seen seen;
	gboolean known;

	if (!cgroupfs || !cgroupfs->unified || !cgroup_hierarchy_look(cgroupfs->unified, "/", &seen)) {
		g_test_skip("no cgroup v2 here");
		cgroupfs_free(cgroupfs);
		return;
	}
	path = cgroup_hierarchy_path(cgroupfs->unified, seen.inode, &known);
	if (!known)
		g_test_skip("not allowed to open by handle (CAP_DAC_READ_SEARCH)");
	else
		g_assert_cmpstr(path, ==, "/");
	if (known) {
		g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
		gboolean found = FALSE;

		g_assert_true(cgroupfs_pids_of(cgroupfs, cgroupfs_key_of(cgroupfs, (guint32)getpid(), NULL), pids));
		for (guint i = 0; i < pids->len; i++)
			found |= g_array_index(pids, guint32, i) == (guint32)getpid();
		g_assert_true(found);
		g_assert_false(cgroupfs_pids_of(cgroupfs, G_GUINT64_CONSTANT(0xfffffffffff), pids));
	}
	g_clear_pointer(&path, g_free);
	path = cgroup_hierarchy_path(cgroupfs->unified, G_GUINT64_CONSTANT(0xfffffffffff), &known);
	g_assert_null(path);
	cgroupfs_free(cgroupfs);
}

static void test_hostname(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *name = procfs_hostname((guint32)getpid(), &error);

	if (!name && geteuid() != 0) {
		g_test_skip("not allowed to enter namespaces (CAP_SYS_ADMIN)");
		return;
	}
	g_assert_no_error(error);
	g_assert_cmpstr(name, ==, g_get_host_name());
}

static void put(const char *root, const char *directory, const char *file, const char *text)
{
	g_autofree char *path = g_build_filename(directory, file, NULL);

	tree_file(root, path, text);
}

/* Opened with and without files to spare: the same numbers. */
static struct cgstat stat_of(const char *root, const char *path, struct cglimits *limits)
{
	struct cgroupfs *cgroupfs = cgroupfs_open(root, NULL);
	struct cgstat_budget none = { 0 }, plenty = { 100 };
	struct cgstat_reader *kept = cgstat_open(cgroupfs, path, &plenty), *opened = cgstat_open(cgroupfs, path, &none);
	struct cgstat stat, other;

	g_assert_true(cgstat_read(kept, FALSE, &stat));
	g_assert_true(cgstat_read(opened, FALSE, &other));
	g_assert_cmpmem(&stat, sizeof(stat), &other, sizeof(other));
	g_assert_true(cgstat_read(kept, FALSE, &other)); /* again, from the start */
	g_assert_cmpmem(&stat, sizeof(stat), &other, sizeof(other));
	g_assert_cmpuint(plenty.files_left, <, 100);
	cglimits_read(cgroupfs, path, limits);
	cgstat_close(kept);
	cgstat_close(opened);
	g_assert_cmpuint(plenty.files_left, ==, 100);
	g_assert_null(cgstat_open(cgroupfs, "/nobody", &plenty));
	cgroupfs_free(cgroupfs);
	return stat;
}

static void test_cgstat_v2(void)
{
	g_autofree char *root = tree_new();
	static const char at[] = "sys/fs/cgroup/web";
	struct cglimits limits;
	struct cgstat stat;

	tree_machine(root, TREE_MODE_V2);
	put(root, at, "cpu.stat",
	    "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 9\nnr_throttled 3\nthrottled_usec 70\n");
	put(root, at, "cpu.max", "25000 100000\n");
	put(root, at, "memory.current", "8192\n");
	put(root, at, "memory.stat",
	    "anon 4096\nfile 2048\nfile_mapped 99\ninactive_file 1024\nworkingset_refault_anon 0\n"
	    "workingset_refault_file 6\npgfault 77\npgmajfault 2\n");
	put(root, at, "memory.max", "max\n");
	put(root, at, "memory.events", "low 0\nhigh 4\nmax 5\noom 1\noom_kill 2\noom_group_kill 0\n");
	put(root, at, "pids.current", "12\n");
	put(root, at, "pids.max", "50\n");
	put(root, at, "io.stat",
	    "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=9 dios=9\n8:16 rbytes=11 wbytes=0 rios=1 wios=0\n");
	put(root, at, "cpu.pressure",
	    "some avg10=0.00 avg60=0.00 avg300=0.00 total=10\n"
	    "full avg10=0.00 avg60=0.00 avg300=0.00 total=4\n");
	stat = stat_of(root, "/web", &limits);
	g_assert_cmpuint(stat.cpu_ns, ==, 1500000);
	g_assert_cmpuint(stat.cpu_user_ns, ==, 1000000);
	g_assert_cmpuint(stat.throttled_periods, ==, 3);
	g_assert_cmpuint(stat.throttled_ns, ==, 70000);
	g_assert_cmpuint(stat.burst_ns, ==, CGSTAT_UNKNOWN);
	g_assert_cmpuint(stat.memory_bytes, ==, 8192);
	g_assert_cmpuint(stat.inactive_file_bytes, ==, 1024);
	g_assert_cmpuint(stat.refaults_file, ==, 6);
	g_assert_cmpuint(stat.refaults_anon, ==, 0);
	g_assert_cmpuint(stat.faults, ==, 77);
	g_assert_cmpuint(stat.oom_kills, ==, 2);
	g_assert_cmpuint(stat.oom_events, ==, 1);
	g_assert_cmpuint(stat.read_bytes, ==, 111);
	g_assert_cmpuint(stat.writes, ==, 2);
	g_assert_cmpuint(stat.pressure[PRESSURE_CPU].some_ns, ==, 10000);
	g_assert_cmpuint(stat.pressure[PRESSURE_CPU].full_ns, ==, 4000);
	g_assert_cmpuint(stat.pressure[PRESSURE_IO].some_ns, ==, CGSTAT_UNKNOWN);
	g_assert_cmpuint(limits.cpu_nanocores, ==, 250000000);
	g_assert_cmpuint(limits.memory_bytes, ==, CGSTAT_UNLIMITED);
	g_assert_cmpuint(limits.memory_high_bytes, ==, CGSTAT_UNKNOWN);
	g_assert_cmpuint(limits.pids, ==, 50);
	tree_remove(root);
}

static void test_cgstat_v1(void)
{
	g_autofree char *root = tree_new();
	static const char memory[] = "sys/fs/cgroup/memory/web";
	struct cglimits limits;
	struct cgstat stat;

	tree_machine(root, TREE_MODE_V1);
	put(root, memory, "memory.usage_in_bytes", "8192\n");
	put(root, memory, "memory.limit_in_bytes", "9223372036854771712\n");
	put(root, memory, "memory.stat",
	    "cache 1\nrss 2\npgfault 3\ninactive_file 4\ntotal_cache 2048\ntotal_rss 4096\ntotal_swap 0\n"
	    "total_pgfault 30\ntotal_pgmajfault 0\ntotal_inactive_file 512\n");
	put(root, memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
	stat = stat_of(root, "/web", &limits);
	g_assert_cmpuint(stat.memory_bytes, ==, 8192);
	g_assert_cmpuint(stat.inactive_file_bytes, ==, 512);
	g_assert_cmpuint(stat.anon_bytes, ==, 4096);
	g_assert_cmpuint(stat.swap_bytes, ==, 0);
	g_assert_cmpuint(stat.faults, ==, 30);
	g_assert_cmpuint(stat.oom_kills, ==, 7);
	g_assert_cmpuint(stat.cpu_ns, ==, CGSTAT_UNKNOWN);
	g_assert_cmpuint(limits.memory_bytes, ==, CGSTAT_UNLIMITED);
	g_assert_cmpuint(limits.cpu_nanocores, ==, CGSTAT_UNKNOWN);
	tree_remove(root);
}

/* On a hybrid machine a namesake without processes says nothing. */
static void test_cgstat_hybrid(void)
{
	g_autofree char *root = tree_new();
	static const char memory[] = "sys/fs/cgroup/memory/web", unified[] = "sys/fs/cgroup/unified/web";
	struct cglimits limits;
	struct cgstat stat;

	tree_machine(root, TREE_MODE_HYBRID);
	put(root, memory, "memory.usage_in_bytes", "8192\n");
	put(root, unified, "cgroup.events", "populated 0\nfrozen 0\n");
	put(root, unified, "cpu.stat", "usage_usec 5\n");
	stat = stat_of(root, "/web", &limits);
	g_assert_cmpuint(stat.memory_bytes, ==, 8192);
	g_assert_cmpuint(stat.cpu_ns, ==, CGSTAT_UNKNOWN);
	put(root, unified, "cgroup.events", "populated 1\nfrozen 0\n");
	stat = stat_of(root, "/web", &limits);
	g_assert_cmpuint(stat.cpu_ns, ==, 5000);
	tree_remove(root);
}

static void test_hoststat(void)
{
	g_autofree char *root = tree_new();
	struct hoststat_reader *reader;
	struct hoststat host;

	tree_file(root, "proc/stat", "cpu  100 10 40 500 5 1 2 30 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5\n");
	tree_file(root, "proc/meminfo", "MemTotal: 1000 kB\nMemFree: 5 kB\nMemAvailable: 400 kB\n");
	tree_file(
		root, "proc/diskstats",
		" 254 0 vda 10 0 8 0 20 0 16 0 0 0 0\n 254 1 vda1 10 0 8 0 20 0 16 0 0 0 0\n 7 0 loop0 9 0 9 0 9 0 9 0\n");
	reader = hoststat_open(root);
	hoststat_read(reader, &host);
	g_assert_cmpuint(host.processors, ==, 2);
	g_assert_cmpuint(host.stat.cpu_user_ns / host.stat.cpu_system_ns, ==, 110 / 43);
	g_assert_cmpuint(host.stat.memory_bytes, ==, 600 * 1024);
	g_assert_cmpuint(host.memory_total_bytes, ==, 1000 * 1024);
	g_assert_cmpuint(host.stat.reads, ==, 10);
	g_assert_cmpuint(host.stat.write_bytes, ==, 16 * 512);
	g_assert_cmpuint(host.stat.faults, ==, CGSTAT_UNKNOWN);
	g_assert_cmpuint(host.stat.pressure[PRESSURE_CPU].some_ns, ==, CGSTAT_UNKNOWN);
	hoststat_close(reader);
	tree_remove(root);
}

static void test_netdev(void)
{
	g_autofree char *root = tree_new();
	struct netdev_traffic traffic;
	int fd;

	tree_file(root, "proc/7/net/dev",
		  "Inter-|   Receive                                                |  Transmit\n"
		  " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n"
		  "    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0\n"
		  "  eth0: 100 2 0 1 0 0 0 0 50 1 0 3 0 0 0 0\n"
		  "  eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n");
	fd = netdev_open(root, 7);
	g_assert_cmpint(fd, >=, 0);
	g_assert_true(netdev_read(fd, &traffic));
	g_assert_cmpuint(traffic.received_bytes, ==, 101);
	g_assert_cmpuint(traffic.sent_bytes, ==, 52);
	g_assert_cmpuint(traffic.received_packets, ==, 3);
	g_assert_cmpuint(traffic.drops, ==, 4);
	g_assert_cmpuint(traffic.interfaces, ==, 2);
	close(fd);
	g_assert_cmpint(netdev_open(root, 8), <, 0);
	tree_remove(root);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/kernel/procfs/stat", test_stat);
	g_test_add_func("/kernel/procfs/stat-long-name", test_stat_long_name);
	g_test_add_func("/kernel/procfs/process", test_process);
	g_test_add_func("/kernel/procfs/deleted-cgroup", test_deleted_cgroup);
	g_test_add_func("/kernel/procfs/hostname", test_hostname);
	g_test_add_func("/kernel/cgroupfs/modes", test_modes);
	g_test_add_func("/kernel/cgroupfs/none", test_no_cgroups);
	g_test_add_func("/kernel/cgroupfs/walk", test_walk);
	g_test_add_func("/kernel/cgroupfs/handle", test_handle);
	g_test_add_func("/kernel/cgstat/v2", test_cgstat_v2);
	g_test_add_func("/kernel/cgstat/v1", test_cgstat_v1);
	g_test_add_func("/kernel/cgstat/hybrid", test_cgstat_hybrid);
	g_test_add_func("/kernel/cgstat/host", test_hoststat);
	g_test_add_func("/kernel/netdev", test_netdev);
	return g_test_run();
}
